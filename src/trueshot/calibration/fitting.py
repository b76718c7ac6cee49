"""Calibrations fitted to scores: a straight line, or any curve that does not fall."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from trueshot.calibration.elub_bounds import independence, weighted_elub
from trueshot.calibration.likelihood import MOST_KNOTS, Calibration
from trueshot.calibration.samples import Floats, Labels, balanced, checked, groups

_STRENGTH = 1000.0  # the penalty is (slope * deviation of scores)^2 / (2 * this)


def fit_logistic(
    scores: ArrayLike, labels: ArrayLike, sources: Sequence[object] | None = None
) -> Calibration:
    """Fit a likelihood ratio whose logarithm is a straight line in the score.

    Maximum likelihood with weights by which both classes count half: what comes out is free of the
    share of recaptures in this set, and the fit is that of least Cllr. A weak penalty on the slope
    keeps it finite where scores separate the classes perfectly, when the likelihood alone would
    make it endless; with a hundred photographs that overlap it takes less than a hundredth off.
    Scores that fall from originals to recaptures give the slope 0: no photograph is then evidence
    for anything.

    Args:
        scores: Of the calibration photographs, shape (n,).
        labels: 0 original, 1 recaptured, shape (n,).
        sources: What the photographs come from, shape (n,); see `elub`.

    Returns:
        The calibration, bounded by `elub`.

    Raises:
        CalibrationError: A class is missing, or a score is no finite number.

    Source: Morrison 2013, "Tutorial on logistic-regression calibration and fusion"; its covariance
        is the sandwich of Liang and Zeger 1986, "Longitudinal data analysis using generalized
        linear models", with sources as clusters.
    """
    given, classes = checked(scores, labels)
    slope, intercept = _line(given, classes)
    ratios = (slope * given + intercept) / np.log(10)
    facts = _facts(ratios, given, classes, sources)
    covariance = _covariance(given, classes, groups(sources, len(given)), slope, intercept)
    return Calibration(
        method="logistic", slope=slope, intercept=intercept, covariance=covariance, **facts
    )


def fit_isotonic(
    scores: ArrayLike, labels: ArrayLike, sources: Sequence[object] | None = None
) -> Calibration:
    """Fit a likelihood ratio that may be any function that does not fall with the score.

    Pooling of adjacent violators, both classes counting half. Within a pool the ratio is constant,
    from one to the next it follows a straight line in its logarithm. Where only one class occurs
    the ratio would be nought or infinite: the bounds of `elub` stand there.

    Args, returns and raises: As `fit_logistic`.

    Source: Zadrozny and Elkan 2002; Brümmer and du Preez 2006, section 4.
    """
    given, classes = checked(scores, labels)
    ratios = pooled(given, classes)
    facts = _facts(ratios, given, classes, sources)
    order = np.argsort(given, kind="stable")
    ranked, values = given[order], np.clip(ratios[order], facts["lower"], facts["upper"])
    ends = _pool_ends(ranked, values)
    knots, levels = ranked[ends].tolist(), values[ends].tolist()
    return Calibration(method="isotonic", knots=tuple(knots), values=tuple(levels), **facts)


def fit(
    method: str, scores: ArrayLike, labels: ArrayLike, sources: Sequence[object] | None = None
) -> Calibration:
    """`fit_logistic` or `fit_isotonic` by its name.

    Raises:
        ValueError: No such method.
        CalibrationError: As they do.
    """
    known: dict[str, Callable[..., Calibration]] = {
        "logistic": fit_logistic,
        "isotonic": fit_isotonic,
    }
    if method not in known:
        raise ValueError(f"calibration {method!r}; known: {', '.join(known)}")
    return known[method](scores, labels, sources)


def pooled(scores: Floats, labels: Labels) -> Floats:
    """Log10 likelihood ratio of each photograph by pooling adjacent violators, shape (n,).

    Minus and plus infinity where only one class occurs. Equal scores get equal ratios.
    """
    from scipy.optimize import isotonic_regression

    distinct, place = np.unique(scores, return_inverse=True)
    weights = balanced(labels)
    weight = np.bincount(place, weights, len(distinct))
    share = np.bincount(place, weights * labels, len(distinct)) / weight
    posterior = np.clip(isotonic_regression(share, weights=weight).x, 0, 1)
    originals = 1 - posterior
    near = 1e-12  # sums round: what is 0 must not be nearly 0, or the ratio were not infinite
    posterior, originals = (np.where(p < near, 0, p) for p in (posterior, originals))
    with np.errstate(divide="ignore"):
        return np.asarray((np.log10(posterior) - np.log10(originals))[place])


def _line(scores: Floats, labels: Labels) -> tuple[float, float]:
    """Slope and intercept of the natural logarithm of the ratio: the least penalised loss."""
    from scipy.optimize import minimize
    from scipy.special import expit

    middle, deviation = float(np.mean(scores)), float(np.std(scores))
    if deviation == 0:
        return 0.0, 0.0
    given = np.stack([(scores - middle) / deviation, np.ones_like(scores)], 1)
    signs, weights = 2.0 * labels - 1, _STRENGTH * len(labels) * balanced(labels)
    penalty = np.diag([1.0, 0.0])

    def loss(line: Floats) -> float:
        return float(weights @ np.logaddexp(0, -signs * (given @ line)) + line @ penalty @ line / 2)

    def gradient(line: Floats) -> Floats:
        return np.asarray(given.T @ (weights * (expit(given @ line) - labels)) + penalty @ line)

    def curvature(line: Floats) -> Floats:
        share = expit(given @ line)
        return np.asarray(given.T @ (given * (weights * share * (1 - share))[:, None]) + penalty)

    found = minimize(
        loss, np.zeros(2), jac=gradient, hess=curvature, method="trust-exact",
        options={"gtol": 1e-9 * _STRENGTH},
    ).x  # fmt: skip
    slope = float(found[0]) / deviation
    if slope <= 0:
        return 0.0, 0.0
    return slope, float(found[1]) - slope * middle


def _covariance(
    scores: Floats, labels: Labels, source: Labels, slope: float, intercept: float
) -> tuple[float, float, float] | None:
    """Of slope and intercept, drawing sources; None for a slope of 0, or of a single source."""
    from scipy.special import expit

    count = len(np.unique(source))
    if slope == 0 or count < 2:
        return None
    middle, deviation = float(np.mean(scores)), float(np.std(scores))
    given = np.stack([(scores - middle) / deviation, np.ones_like(scores)], 1)
    weights = _STRENGTH * len(labels) * balanced(labels)
    share = expit(slope * scores + intercept)
    bread = given.T @ (given * (weights * share * (1 - share))[:, None]) + np.diag([1.0, 0.0])
    pulls = given * (weights * (labels - share))[:, None]
    of_sources = np.stack([np.bincount(source, column) for column in pulls.T], 1)
    inner = np.linalg.solve(bread, of_sources.T)
    covariance = count / (count - 1) * (inner @ inner.T)
    back = np.array([[1 / deviation, 0.0], [-middle / deviation, 1.0]])
    found = back @ covariance @ back.T
    return float(found[0, 0]), float(found[0, 1]), float(found[1, 1])


def _facts(
    ratios: Floats, scores: Floats, labels: Labels, sources: Sequence[object] | None
) -> dict[str, Any]:
    """What both kinds of calibration hold."""
    lower, upper = weighted_elub(ratios, labels, independence(scores, labels, sources))
    originals, recaptured = np.bincount(labels, minlength=2).tolist()
    return {
        "lower": lower,
        "upper": upper,
        "originals": originals,
        "recaptured": recaptured,
        "sources": len(np.unique(groups(sources, len(labels)))),
    }


def _pool_ends(ranked: Floats, values: Floats) -> Labels:
    """Places of the first and last distinct score of every pool, thinned to what a card holds."""
    distinct = np.flatnonzero(np.append(True, np.diff(ranked) > 0))
    level = values[distinct]
    changes = np.append(True, np.diff(level) > 0)
    ends = distinct[changes | np.append(changes[1:], True)]
    if len(ends) > MOST_KNOTS:
        ends = ends[np.linspace(0, len(ends) - 1, MOST_KNOTS).round().astype(np.int64)]
    return np.asarray(ends, dtype=np.int64)
