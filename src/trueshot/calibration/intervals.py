"""Confidence intervals of rates when errors within a source are correlated."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import ArrayLike
from pydantic import BaseModel, ConfigDict, Field, model_validator

from trueshot.calibration.samples import Floats, Labels, groups
from trueshot.errors import CalibrationError

FEW = 4  # with fewer sources, intervals are unreliable
_DRAWS = 2000


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A value with its confidence interval.

    Args:
        value: Value on all photographs.
        low: Lower end, at most the value.
        high: Upper end, at least the value.
        sources: Number of sources that were resampled.
        note: A caveat about the interval, or an empty string.
    """

    value: float
    low: float
    high: float
    sources: int
    note: str = ""


class Rate(BaseModel):
    """A share and its 95 % interval, all in [0, 1], and the counts behind it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    value: float = Field(ge=0, le=1)
    low: float = Field(ge=0, le=1)
    high: float = Field(ge=0, le=1)
    count: int = Field(ge=0)
    total: int = Field(ge=1)

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if not self.low <= self.value <= self.high or self.count > self.total:
            raise ValueError(
                "a rate must lie in its interval, and its count must not exceed its total, "
                f"got {self!r}"
            )
        return self


def clopper_pearson(count: float, total: float, confidence: float = 0.95) -> tuple[float, float]:
    """Compute the exact confidence interval of a share; its coverage is never below `confidence`.

    Args:
        count: Hits; may be fractional, as an effective number of photographs is.
        total: Independent trials, more than 0.
        confidence: Confidence level, in (0, 1).

    Returns:
        Lower and upper end. Without hits, the upper end is 1 - ((1 - confidence) / 2)^(1 / total).

    Raises:
        CalibrationError: There are no trials, or more hits than trials.

    Source: Clopper and Pearson 1934.
    """
    from scipy.stats import beta

    if not 0 <= count <= total or total <= 0:
        raise CalibrationError(f"{count} of {total} is not a valid share")
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
    """Compute an interval of any statistic by resampling sources, not photographs.

    Sources are drawn with replacement. The ends are quantiles of the drawn statistics, moved
    further out the fewer the sources, because plain quantiles then cover too seldom. Draws with a
    statistic of NaN, because a class is missing from them, are ignored. One source says nothing
    about others, so its interval is all numbers.

    Args:
        statistic: Takes indices of photographs, possibly repeated, and returns a number.
        sources: Source of each photograph.
        draws: Number of bootstrap draws.
        confidence: Confidence level, in (0, 1).
        seed: Seed of the draws; the same seed gives the same interval.

    Returns:
        The value on all photographs with its interval, and a note if there are too few sources.

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
    """Compute an interval of a statistic in [0, 1] that is not a plain share, such as an EER.

    It is the cluster bootstrap, with two exceptions. If all draws agree, as for perfectly separated
    classes, or if the value is 0 or 1, it is Clopper-Pearson with sources as trials. If only an end
    lies at 0 or 1 while the value does not, that end is taken from Clopper-Pearson. With one
    source, or one trial, the interval is 0 to 1.

    Args:
        statistic: See `cluster_bootstrap`.
        sources: Source of each photograph.
        trials: Number of sources that count as trials; by default all. A statistic of two classes
            is no more certain than the class with fewer sources allows.
        draws: Number of bootstrap draws.
        confidence: Confidence level, in (0, 1).
    """
    found = cluster_bootstrap(statistic, sources, draws=draws, confidence=confidence)
    trials = found.sources if trials is None else trials
    if min(found.sources, trials) < 2:
        return replace(found, low=0.0, high=1.0, note=found.note or _note_on(1))
    low, high = clopper_pearson(found.value * trials, trials, confidence)
    if found.low == found.high or found.value in (0, 1):
        return replace(found, low=min(low, found.value), high=max(high, found.value), note="")
    return replace(
        found,
        low=min(_unless_at(0, found.low, low), found.value),
        high=max(_unless_at(1, found.high, high), found.value),
        note=found.note or _note_on(trials, " in a class"),
    )


def area_with_interval(
    scores: Floats, labels: Labels, sources: Sequence[object], draws: int = _DRAWS
) -> Interval:
    """Compute the area under the ROC curve: the share of correctly ranked pairs, ties as half.

    Args:
        scores: Higher means more likely class 1, shape (n,).
        labels: 0 or 1, shape (n,); both must occur.
        sources: Source of each photograph, n of them.
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
    """Return the number of different sources among the photographs of a class."""
    return len({source for source, own in zip(sources, labels, strict=True) if own == label})


def rate_with_interval(
    hits: ArrayLike, sources: Sequence[object] | None = None, confidence: float = 0.95
) -> Rate:
    """Compute a share with an interval that accounts for sources.

    - All or none are hits: Clopper-Pearson with one trial per source.
    - Every photograph is its own source: Clopper-Pearson.
    - Otherwise the wider of two intervals: the cluster bootstrap, and Clopper-Pearson with the
      effective number of photographs, which is smaller the more those of one source agree. With
      few sources, the bootstrap alone would cover 80 to 90 times in a hundred instead of 95. A
      bootstrap end is ignored if it is 0 although there are hits, or 1 although there are misses.
    - A single source says nothing about others: with hits and misses in it, 0 to 1.

    Args:
        hits: Whether each photograph is a hit, shape (n,), n at least 1.
        sources: Source of each photograph; None: each is its own source.
        confidence: Confidence level, in (0, 1).

    Raises:
        CalibrationError: There are no photographs, or lengths differ.

    Source: Korn and Graubard 1998, "Confidence intervals for proportions with small expected
        number of positive counts", for the effective number.
    """
    hit = np.asarray(hits, dtype=bool)
    if not hit.size:
        raise CalibrationError("a rate needs at least one photograph")
    source = groups(sources, len(hit))
    photographs = np.bincount(source).astype(np.int64)
    wrong = np.bincount(source, hit).astype(np.float64)
    low, high = _interval(wrong, photographs, confidence)
    return Rate(
        value=float(hit.mean()),
        low=min(low, float(hit.mean())),
        high=max(high, float(hit.mean())),
        count=int(hit.sum()),
        total=len(hit),
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
    """Return the number of independent photographs that would give the share this uncertainty."""
    count, total = len(photographs), photographs.sum()
    share = wrong.sum() / total
    variance = count / (count - 1) * np.sum((wrong - share * photographs) ** 2) / total**2
    if variance <= 0:  # all sources have the same share: count each as one photograph
        return float(count)
    ratio = _normal(confidence) / _student(confidence, count - 1)
    return float(min(total, share * (1 - share) / variance * ratio**2))


def _ends(drawn: Floats, value: float, sources: int, confidence: float) -> tuple[float, float]:
    """Return quantiles of the drawn statistics, further out the fewer the sources."""
    from scipy.stats import norm

    if sources < 2 or not drawn.size:
        return -np.inf, np.inf
    reach = np.sqrt(sources / (sources - 1)) * _student(confidence, sources - 1)
    tail = float(norm.cdf(-reach))
    low, high = np.quantile(drawn, [tail, 1 - tail])
    return min(float(low), value), max(float(high), value)


def _unless_at(edge: int, end: float, exact: float) -> float:
    """Return the bootstrap's end, or the exact one if the bootstrap's is at `edge` (0 or 1).

    The value itself is not at the edge. A draw that happens to miss the few sources with failures
    is no evidence that nothing ever fails.
    """
    beyond = end <= edge if edge == 0 else end >= edge
    return exact if beyond else end


def _note_on(sources: int, where: str = "") -> str:
    if sources == 1:
        return "only 1 source: it says nothing of others"
    return f"only {sources} sources{where}: the interval is too narrow" if sources < FEW else ""


def _normal(confidence: float) -> float:
    from scipy.stats import norm

    return float(norm.isf((1 - confidence) / 2))


def _student(confidence: float, freedom: int) -> float:
    from scipy.stats import t

    return float(t.isf((1 - confidence) / 2, freedom))
