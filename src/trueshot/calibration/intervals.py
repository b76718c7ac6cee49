"""How sure a rate is, when photographs of one source are right or wrong together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from trueshot.calibration.samples import Floats, Labels, groups
from trueshot.errors import CalibrationError

FEW = 4  # with fewer sources than this no interval is worth much
_DRAWS = 2000


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A figure with its interval.

    Args:
        value: On all photographs.
        low: Lower end, at most the value.
        high: Upper end, at least the value.
        sources: How many were drawn from.
        note: What else must be known, or nothing.
    """

    value: float
    low: float
    high: float
    sources: int
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class CountedRate:
    """A share with its interval, all in [0, 1], and what it was counted on.

    Args:
        value: count / total.
        low: Lower end, at most the value.
        high: Upper end, at least the value.
        count: Photographs of which it is true.
        total: All photographs.
        sources: How many these come from.
    """

    value: float
    low: float
    high: float
    count: int
    total: int
    sources: int


def clopper_pearson(count: float, total: float, confidence: float = 0.95) -> tuple[float, float]:
    """The exact interval of a share: it never covers less often than it says.

    Args:
        count: Hits; parts are allowed, as an effective number of photographs has.
        total: Independent trials, more than 0.
        confidence: Of the interval, in (0, 1).

    Returns:
        Lower and upper end. With no hit the upper end is 1 - ((1 - confidence) / 2)^(1 / total).

    Raises:
        CalibrationError: No trials, or more hits than trials.

    Source: Clopper and Pearson 1934.
    """
    from scipy.stats import beta

    if not 0 <= count <= total or total <= 0:
        raise CalibrationError(f"{count} of {total} is no share")
    tail = (1 - confidence) / 2
    low = float(beta.ppf(tail, count, total - count + 1)) if count > 0 else 0.0
    high = float(beta.isf(tail, count + 1, total - count)) if count < total else 1.0
    return low, high


def cluster_bootstrap(
    statistic: Callable[[Labels], float],
    sources: Sequence[object],
    *,
    draws: int = _DRAWS,
    confidence: float = 0.95,
    seed: int = 0,
) -> Interval:
    """The interval of any statistic by drawing sources, not photographs, with replacement.

    Its ends are quantiles of the drawn statistics, taken farther out the fewer the sources are:
    plain quantiles cover too seldom then. Draws of which the statistic is not a number, because a
    class is missing from them, are left out. One source says nothing of others: the interval is
    all numbers.

    Args:
        statistic: Takes the numbers of photographs, from 0, some more than once; returns a number.
        sources: What each photograph comes from.
        draws: How often to draw.
        confidence: Of the interval, in (0, 1).
        seed: Same seed, same interval.

    Returns:
        The value on all photographs with its interval, and a note where sources are too few.

    Source: Field and Welsh 2007, "Bootstrapping clustered data"; Hesterberg 2015, "What teachers
        should know about the bootstrap", section 4.3, for the quantiles.
    """
    source = groups(sources, len(sources))
    members = [np.flatnonzero(source == number) for number in range(int(source.max()) + 1)]
    value = float(statistic(np.arange(len(source))))
    random = np.random.default_rng(seed)
    drawn = np.array(
        [
            statistic(np.concatenate([members[one] for one in chosen]))
            for chosen in random.integers(len(members), size=(draws, len(members)))
        ]
    )
    low, high = _ends(drawn[~np.isnan(drawn)], value, len(members), confidence)
    return Interval(
        value=value, low=low, high=high, sources=len(members), note=_note_on(len(members))
    )


def share_with_interval(
    statistic: Callable[[Labels], float],
    sources: Sequence[object],
    *,
    trials: int | None = None,
    draws: int = _DRAWS,
    confidence: float = 0.95,
) -> Interval:
    """The interval of a statistic in [0, 1] that is no plain share, such as an equal error rate.

    The cluster bootstrap, but where all draws are the same, as when the classes lie perfectly
    apart, and for an end at 0 or 1 of a value that is not there: there it is Clopper-Pearson with
    sources as trials. With one source it is 0 to 1.

    Args:
        statistic: See `cluster_bootstrap`.
        sources: What each photograph comes from.
        trials: Sources that count; by default all. A statistic of two classes is no surer than
            that class is which has fewer.
        draws: How often to draw.
        confidence: Of the interval, in (0, 1).
    """
    found = cluster_bootstrap(statistic, sources, draws=draws, confidence=confidence)
    if found.sources < 2:
        return replace(found, low=0.0, high=1.0)
    trials = found.sources if trials is None else trials
    low, high = clopper_pearson(found.value * trials, trials, confidence)
    if found.low == found.high or found.value in (0, 1):
        return replace(found, low=min(low, found.value), high=max(high, found.value), note="")
    return replace(
        found,
        low=min(_unless_at(0, found.low, low), found.value),
        high=max(_unless_at(1, found.high, high), found.value),
    )


def area_with_interval(
    scores: Floats, labels: Labels, sources: Sequence[object], draws: int = _DRAWS
) -> Interval:
    """The area under the ROC curve: the share of pairs that scores rank rightly, ties half.

    Args:
        scores: Higher means rather of class 1, shape (n,).
        labels: 0 or 1, shape (n,), both of them.
        sources: What each photograph comes from, n of them.
        draws: See `share_with_interval`.
    """
    from scipy.stats import rankdata

    def area(chosen: Labels) -> float:
        of_one = labels[chosen] == 1
        ones = int(of_one.sum())
        if not 0 < ones < len(chosen):
            return float("nan")
        below = rankdata(scores[chosen])[of_one].sum() - ones * (ones + 1) / 2
        return float(below) / (ones * (len(chosen) - ones))

    trials = min(sources_of_class(sources, labels, label) for label in (0, 1))
    return share_with_interval(area, sources, trials=trials, draws=draws)


def sources_of_class(sources: Sequence[object], labels: Labels, label: int) -> int:
    """How many different sources the photographs of a class come from."""
    return len({source for source, own in zip(sources, labels, strict=True) if own == label})


def rate_with_interval(
    hits: ArrayLike, sources: Sequence[object] | None = None, confidence: float = 0.95
) -> CountedRate:
    """A share with an interval that respects sources.

    - All or none were hit: Clopper-Pearson with as many trials as there are sources.
    - Every photograph is a source of its own: Clopper-Pearson.
    - Else the wider of two: the cluster bootstrap, and Clopper-Pearson with the effective number
      of photographs, which is smaller the more those of one source agree. Where sources are few,
      the bootstrap alone would cover 80 to 90 times in a hundred and not 95. Its end has no part
      where it is 0 after an error was seen, or 1 after a hit.
    - One source only: it says nothing about another; with hits and misses in it, 0 to 1.

    Args:
        hits: Whether it is true of each photograph, shape (n,), n at least 1.
        sources: What each photograph comes from; None: each is a source of its own.
        confidence: Of the interval, in (0, 1).

    Raises:
        CalibrationError: There are no photographs, or lengths differ.

    Source: Korn and Graubard 1998, "Confidence intervals for proportions with small expected
        number of positive counts", for the effective number.
    """
    hit = np.asarray(hits, dtype=bool)
    if not hit.size:
        raise CalibrationError("no photograph: there is no rate")
    source = groups(sources, len(hit))
    photographs = np.bincount(source).astype(np.int64)
    wrong = np.bincount(source, hit).astype(np.float64)
    low, high = _interval(wrong, photographs, confidence)
    return CountedRate(
        value=float(hit.mean()),
        low=min(low, float(hit.mean())),
        high=max(high, float(hit.mean())),
        count=int(hit.sum()),
        total=len(hit),
        sources=len(photographs),
    )


def _interval(wrong: Floats, photographs: Labels, confidence: float) -> tuple[float, float]:
    share, count = float(wrong.sum() / photographs.sum()), len(photographs)
    if share in (0, 1) or photographs.max() == 1:
        return clopper_pearson(share * count, count, confidence)
    if count == 1:
        return 0.0, 1.0
    effective = _effective(wrong, photographs, confidence)
    low, high = clopper_pearson(share * effective, effective, confidence)
    times = np.random.default_rng(0).multinomial(count, np.full(count, 1 / count), size=_DRAWS)
    drawn = (times @ wrong) / (times @ photographs)
    lower, upper = _ends(drawn, share, count, confidence)
    return min(low, _unless_at(0, lower, low)), max(high, _unless_at(1, upper, high))


def _effective(wrong: Floats, photographs: Labels, confidence: float) -> float:
    """How many independent photographs would make the share as uncertain as these do."""
    count, total = len(photographs), photographs.sum()
    share = wrong.sum() / total
    variance = count / (count - 1) * np.sum((wrong - share * photographs) ** 2) / total**2
    if variance <= 0:  # each source has the same share: nothing says that they differ
        return float(count)
    ratio = _normal(confidence) / _student(confidence, count - 1)
    return float(min(total, share * (1 - share) / variance * ratio**2))


def _ends(drawn: Floats, value: float, sources: int, confidence: float) -> tuple[float, float]:
    """Quantiles of drawn statistics, farther out the fewer the sources."""
    from scipy.stats import norm

    if sources < 2 or not drawn.size:
        return -np.inf, np.inf
    reach = np.sqrt(sources / (sources - 1)) * _student(confidence, sources - 1)
    tail = float(norm.cdf(-reach))
    low, high = np.quantile(drawn, [tail, 1 - tail])
    return min(float(low), value), max(float(high), value)


def _unless_at(edge: int, end: float, exact: float) -> float:
    """The end of a bootstrap, or the exact one where it is an edge that the value is not at.

    A draw without the few sources that failed is no evidence that nothing ever fails.
    """
    beyond = end <= edge if edge == 0 else end >= edge
    return exact if beyond else end


def _note_on(sources: int) -> str:
    if sources == 1:
        return "only 1 source: it says nothing of others"
    return f"only {sources} sources: the interval is too narrow" if sources < FEW else ""


def _normal(confidence: float) -> float:
    from scipy.stats import norm

    return float(norm.isf((1 - confidence) / 2))


def _student(confidence: float, freedom: int) -> float:
    from scipy.stats import t

    return float(t.isf((1 - confidence) / 2, freedom))
