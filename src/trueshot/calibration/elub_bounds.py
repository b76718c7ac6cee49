"""Bounds on the likelihood ratios that the amount of calibration data supports."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from trueshot.calibration.samples import Floats, Labels, checked, groups

_SURE = 0.95  # confidence that photographs of one source are no more alike than assumed


def elub(
    log10_lrs: ArrayLike, labels: ArrayLike, weights: Floats | None = None
) -> tuple[float, float]:
    """Compute the empirical lower and upper bound (ELUB) of likelihood ratios.

    Deciding by the ratios at a threshold t, with costs and priors that make t the right threshold,
    has the expected loss P(LR < t | recaptured) + t * P(LR >= t | original). Deciding without the
    ratios has the loss min(1, t). One maximally misleading ratio is added to each class. The
    bounds are the first thresholds, going up and down from 1, at which the ratios do no better
    than no ratios. They are exact, not searched on a grid: the rates only change at the ratios.

    Photographs of one source are correlated: a hundred photographs of one scene support far less
    than a hundred scenes. `weights` from `independence` take this into account. The added ratio
    counts as one more independent photograph.

    Args:
        log10_lrs: Unbounded log10 ratios, shape (n,); may be infinite.
        labels: 0 original, 1 recaptured, shape (n,).
        weights: Share of an independent photograph that each one counts as, shape (n,), in (0, 1];
            None: 1.

    Returns:
        Lower (at most 0) and upper (at least 0) bound, log10.

    Raises:
        CalibrationError: A class is missing, or a ratio is not a number.

    Source: Vergeer, van Es, de Jongh, Alberink and Stoel 2016, "Numerical likelihood ratios
        outputted by LR systems are often based on extrapolation: when to stop extrapolating?",
        Science & Justice 56.
    """
    given, classes = checked(log10_lrs, labels, finite=False)
    counts = np.ones(len(given)) if weights is None else weights
    return -_upper(-given, 1 - classes, counts), _upper(given, classes, counts)


def independence(scores: Floats, labels: Labels, sources: Sequence[object] | None = None) -> Floats:
    """Return the share of an independent photograph each one counts as, shape (n,), in (0, 1].

    So a class counts between its number of sources, if the scores within a source are all alike,
    and its number of photographs, if they differ as much as scores of different sources. The share
    is 1 / (1 + (m - 1) r), where m photographs of the class come from the same source, and r is the
    upper 95 % confidence limit of the rank correlation within sources, because with few sources it
    may look small by chance. With a single source, or without any variation, r is 1.

    Args:
        scores: Scores or ratios, shape (n,); only their ranks matter, and they may be infinite.
        labels: 0 original, 1 recaptured, shape (n,).
        sources: Source of each photograph; None: each is its own source.

    Source: Kish 1965, section 5.4; for the limit Shrout and Fleiss 1979, "Intraclass correlations":
        exact for normal values and sources of equal size.
    """
    from scipy.stats import rankdata

    source, weights = groups(sources, len(scores)), np.ones(len(scores))
    for label in (0, 1):
        chosen = labels == label
        _, place, sizes = np.unique(source[chosen], return_inverse=True, return_counts=True)
        within = _within(rankdata(scores[chosen]), place, sizes)
        weights[chosen] = 1 / (1 + (sizes[place] - 1) * within)
    return weights


def _within(ranks: Floats, place: Labels, sizes: Labels) -> float:
    """Return the upper confidence limit of the ranks' intraclass correlation, in [0, 1]."""
    from scipy.stats import f

    count, total = len(sizes), len(ranks)
    if count in (1, total):
        return 1.0  # without effect if every photograph is the only one of its source
    means = np.bincount(place, ranks) / sizes
    between = float(np.sum(sizes * (means - ranks.mean()) ** 2)) / (count - 1)
    rest = float(np.sum((ranks - means[place]) ** 2)) / (total - count)
    typical = (total - float(np.sum(sizes**2)) / total) / (count - 1)
    between /= float(f.ppf(1 - _SURE, count - 1, total - count))
    whole = between + (typical - 1) * rest
    return 1.0 if whole <= 0 else min(1.0, max(0.0, (between - rest) / whole))


def _upper(ratios: Floats, labels: Labels, weights: Floats) -> float:
    """Return the first log10 threshold, from 0 upwards, at which the ratios do not help."""
    edges = np.unique(ratios[ratios > 0])
    starts, ends = np.append(0.0, edges), np.append(edges, np.inf)
    missed = _share(starts, ratios, labels == 1, weights, above=False)
    false = _share(ends, ratios, labels == 0, weights, above=True)
    with np.errstate(divide="ignore"):
        crossings = np.log10(1 - missed) - np.log10(false)
    failing = np.flatnonzero(crossings < ends)  # true at the last edge at the latest
    return float(np.maximum(crossings, starts)[failing[0]])


def _share(edges: Floats, ratios: Floats, chosen: Labels, weights: Floats, above: bool) -> Floats:
    """Return the share of a class at and above (or up to) each edge, plus one misleading ratio."""
    order = np.argsort(ratios[chosen])
    ranked = ratios[chosen][order]
    sums = np.append(0.0, np.cumsum(weights[chosen][order]))
    below = sums[np.searchsorted(ranked, edges, side="left" if above else "right")]
    count = sums[-1] - below if above else below
    return np.asarray(np.minimum((count + 1) / (sums[-1] + 1), 1.0))
