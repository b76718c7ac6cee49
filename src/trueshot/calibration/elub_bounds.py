"""How great a likelihood ratio the amount of calibration data supports."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from trueshot.calibration.samples import Floats, Labels, checked, groups

_SURE = 0.95  # that photographs of one source are no more alike than is taken for granted


def elub(
    log10_lrs: ArrayLike, labels: ArrayLike, sources: Sequence[object] | None = None
) -> tuple[float, float]:
    """Empirical lower and upper bound of likelihood ratios (ELUB).

    Whoever decides by the ratios at a threshold t, with costs and priors for which t is the right
    one, loses P(LR < t | recaptured) + t * P(LR >= t | original); whoever passes the ratios over
    loses min(1, t). One misleading ratio, as wrong as can be, is added to either class. The bounds
    are the first thresholds, going up and going down from 1, at which the ratios do no better than
    none. They are found exactly, not on a grid: the rates only change at the ratios themselves.

    Photographs of one source hang together: a hundred of one scene support far less than a hundred
    scenes. With `sources`, a class counts as many photographs as it holds independent ones, from
    as many as it has sources, where the ratios of one source are all alike, to all, where they
    differ as much as any. How alike they are is taken at its worst that the data allows: with few
    sources it is luck when they differ little. The ratio added is one more independent one.

    Args:
        log10_lrs: Ratios before any bounds, shape (n,); may be infinite.
        labels: 0 original, 1 recaptured, shape (n,).
        sources: What each photograph comes from, shape (n,). None: each is a source of its own.

    Returns:
        Lower (at most 0) and upper (at least 0) bound, log10.

    Raises:
        CalibrationError: A class is missing, a ratio is not a number, or lengths differ.

    Source: Vergeer, van Es, de Jongh, Alberink and Stoel 2016, "Numerical likelihood ratios
        outputted by LR systems are often based on extrapolation: when to stop extrapolating?",
        Science & Justice 56. The number of independent photographs: Kish 1965, section 5.4.
    """
    given, classes = checked(log10_lrs, labels, finite=False)
    return weighted_elub(given, classes, independence(given, classes, sources))


def weighted_elub(log10_lrs: Floats, labels: Labels, weights: Floats) -> tuple[float, float]:
    """`elub` of photographs that each count as so much of an independent one."""
    lower = -_upper(-log10_lrs, 1 - labels, weights)
    return lower, _upper(log10_lrs, labels, weights)


def independence(scores: Floats, labels: Labels, sources: Sequence[object] | None = None) -> Floats:
    """How much of an independent photograph each one is, shape (n,), in (0, 1].

    1 / (1 + (m - 1) r), where m photographs of its class are of its source, and r is the upper 95 %
    confidence limit of the correlation of ranks within sources, by an analysis of variance of the
    class. With a single source, or where nothing varies, r is 1.

    Args:
        scores: Or ratios: only their ranks matter; shape (n,), may be infinite.
        labels: 0 original, 1 recaptured, shape (n,).
        sources: What each comes from; None: each is a source of its own.

    Source: Shrout and Fleiss 1979, "Intraclass correlations", for the limit: exact for normal
        values and sources of one size.
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
    """The greatest intraclass correlation that the ranks still allow, in [0, 1]."""
    from scipy.stats import f

    count, total = len(sizes), len(ranks)
    if count in (1, total):
        return 1.0  # alone in their sources, it has no effect on them
    means = np.bincount(place, ranks) / sizes
    between = float(np.sum(sizes * (means - ranks.mean()) ** 2)) / (count - 1)
    rest = float(np.sum((ranks - means[place]) ** 2)) / (total - count)
    typical = (total - float(np.sum(sizes**2)) / total) / (count - 1)
    between /= float(f.ppf(1 - _SURE, count - 1, total - count))
    whole = between + (typical - 1) * rest
    return 1.0 if whole <= 0 else min(1.0, max(0.0, (between - rest) / whole))


def _upper(ratios: Floats, labels: Labels, weights: Floats) -> float:
    """The first log10 threshold from 0 upwards at which the ratios are no help."""
    edges = np.unique(ratios[ratios > 0])
    starts, ends = np.append(0.0, edges), np.append(edges, np.inf)
    missed = _share(starts, ratios, labels == 1, weights, above=False)
    false = _share(ends, ratios, labels == 0, weights, above=True)
    with np.errstate(divide="ignore"):
        crossings = np.log10(1 - missed) - np.log10(false)
    failing = np.flatnonzero(crossings < ends)  # the last one always does
    return float(np.maximum(crossings, starts)[failing[0]])


def _share(edges: Floats, ratios: Floats, chosen: Labels, weights: Floats, above: bool) -> Floats:
    """Share of a class, one misleading ratio added, at and above (or up to) each edge."""
    order = np.argsort(ratios[chosen])
    ranked = ratios[chosen][order]
    sums = np.append(0.0, np.cumsum(weights[chosen][order]))
    below = sums[np.searchsorted(ranked, edges, side="left" if above else "right")]
    count = sums[-1] - below if above else below
    return np.asarray(np.minimum((count + 1) / (sums[-1] + 1), 1.0))
