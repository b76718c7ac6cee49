"""Fit calibrations to scores: logistic (a straight line) or isotonic (any monotone curve)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from trueshot.calibration.elub_bounds import elub, independence
from trueshot.calibration.likelihood import MOST_KNOTS, Calibration
from trueshot.calibration.samples import Floats, Labels, balanced, checked, groups

_STRENGTH = 1000.0  # penalty: (slope * standard deviation of the scores)^2 / (2 * _STRENGTH)


def fit_logistic(
    scores: ArrayLike, labels: ArrayLike, sources: Sequence[object] | None = None
) -> Calibration:
    """Fit a log likelihood ratio that is linear in the score.

    Maximum likelihood with weights that give both classes half the total. So the result does not
    depend on the share of recaptures in this set, and the fit minimises Cllr. A weak penalty on
    the slope keeps it finite if the scores separate the classes perfectly, where the maximum
    likelihood is at infinity; with a hundred photographs that overlap, it reduces the slope by
    less than a hundredth. If scores fall from originals to recaptures, the slope is 0: then no
    photograph is evidence for anything.

    Args:
        scores: Scores of the calibration photographs, shape (n,).
        labels: 0 original, 1 recaptured, shape (n,).
        sources: Source of each photograph, shape (n,); see `independence`.

    Returns:
        The calibration, bounded by `elub`.

    Raises:
        CalibrationError: A class is missing, or a score is not finite.

    Source: Morrison 2013, "Tutorial on logistic-regression calibration and fusion". The covariance
        is the sandwich estimator of Liang and Zeger 1986, "Longitudinal data analysis using
        generalized linear models", with sources as clusters.
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
    """Fit a likelihood ratio that is any non-decreasing function of the score.

    Pool adjacent violators, with half the total weight on each class. Within a pool the ratio is
    constant; from one pool to the next, its logarithm is interpolated linearly. Where only one
    class occurs, the ratio would be 0 or infinite and the bounds of `elub` are used instead.

    Args, returns and raises: See `fit_logistic`.

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
    """Call `fit_logistic` or `fit_isotonic`, chosen by `method`.

    Raises:
        ValueError: `method` is unknown.
        CalibrationError: See the two functions.
    """
    known: dict[str, Callable[..., Calibration]] = {
        "logistic": fit_logistic,
        "isotonic": fit_isotonic,
    }
    if method not in known:
        raise ValueError(f"unknown calibration method {method!r}; choose from {', '.join(known)}")
    return known[method](scores, labels, sources)


def pooled(scores: Floats, labels: Labels) -> Floats:
    """Return each photograph's log10 likelihood ratio from pooled adjacent violators, shape (n,).

    Where only one class occurs, it is plus or minus infinity. Equal scores get equal ratios.
    """
    from scipy.optimize import isotonic_regression

    distinct, place = np.unique(scores, return_inverse=True)
    weights = balanced(labels)
    weight = np.bincount(place, weights, len(distinct))
    share = np.bincount(place, weights * labels, len(distinct)) / weight
    posterior = np.clip(isotonic_regression(share, weights=weight).x, 0, 1)
    originals = 1 - posterior
    near = 1e-12  # sums round: what should be 0 must be exactly 0 for the ratio to be infinite
    posterior, originals = (np.where(p < near, 0, p) for p in (posterior, originals))
    with np.errstate(divide="ignore"):
        return np.asarray((np.log10(posterior) - np.log10(originals))[place])


def _line(scores: Floats, labels: Labels) -> tuple[float, float]:
    """Return slope and intercept of the natural log ratio that minimise the penalised loss."""
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
    """Return variance of slope, covariance, variance of intercept, with sources as clusters.

    None for a slope of 0 or a single source.
    """
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
    """Return the fields that both kinds of calibration have in common."""
    lower, upper = elub(ratios, labels, independence(scores, labels, sources))
    originals, recaptured = np.bincount(labels, minlength=2).tolist()
    return {
        "lower": lower,
        "upper": upper,
        "originals": originals,
        "recaptured": recaptured,
        "sources": len(np.unique(groups(sources, len(labels)))),
    }


def _pool_ends(ranked: Floats, values: Floats) -> Labels:
    """Return the indices of the first and last distinct score of each pool, at most MOST_KNOTS."""
    distinct = np.flatnonzero(np.append(True, np.diff(ranked) > 0))
    level = values[distinct]
    changes = np.append(True, np.diff(level) > 0)
    ends = distinct[changes | np.append(changes[1:], True)]
    if len(ends) > MOST_KNOTS:
        ends = ends[np.linspace(0, len(ends) - 1, MOST_KNOTS).round().astype(np.int64)]
    return np.asarray(ends, dtype=np.int64)
