"""So many of so many, and what that is worth."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import lru_cache
from statistics import NormalDist
from typing import Literal

Groups = tuple[tuple[int, int], ...]
"""Successes and trials of each group; trials of one group succeed or fail together."""

_DRAWS = 2000


@dataclass(frozen=True)
class Proportion:
    """A count out of a total.

    Args:
        count: Successes.
        total: Trials, at least one.
        groups: Successes and trials of each group, such as the crops of one scene, that an
            interval has to draw as a whole; empty if each trial stands for itself.

    Raises:
        ValueError: No trials, more successes than trials, or groups that do not add up to them.
    """

    count: int
    total: int
    groups: Groups = field(default=(), compare=False, repr=False)

    def __post_init__(self) -> None:
        if self.total < 1 or not 0 <= self.count <= self.total:
            raise ValueError(f"{self.count} of {self.total} is no proportion")
        sums = sum(one for one, _ in self.groups), sum(one for _, one in self.groups)
        if self.groups and sums != (self.count, self.total):
            raise ValueError(f"groups of {sums[0]} of {sums[1]} for {self.count} of {self.total}")

    @property
    def share(self) -> float:
        """Successes by trials, in [0, 1]."""
        return self.count / self.total

    @property
    def interval95(self) -> tuple[float, float]:
        """The interval at 95 %."""
        return self.interval()

    def interval(
        self, confidence: float = 0.95, method: Literal["wilson", "exact"] = "wilson"
    ) -> tuple[float, float]:
        """Interval of the share, both ends in [0, 1].

        With groups, see `interval_over_groups`. Without, it takes the trials as independent.

        Args:
            confidence: In (0, 1).
            method: Without groups: `wilson` keeps its level on average, also for few trials and
                for shares near 0 and 1; `exact` (Clopper and Pearson) never falls below it.

        Source: Wilson 1927; Clopper and Pearson 1934.
        """
        if self.groups:
            return interval_over_groups(self.groups, confidence)
        if method == "exact":
            from scipy.stats import binomtest

            found = binomtest(self.count, self.total).proportion_ci(confidence, method="exact")
            return float(found.low), float(found.high)
        return _wilson(self.share, self.total, confidence)


@lru_cache(maxsize=512)
def interval_over_groups(groups: Groups, confidence: float = 0.95) -> tuple[float, float]:
    """Interval of a share whose trials come in groups, which may succeed or fail together.

    - Groups of one size, each all right or all wrong: Wilson's interval of so many trials.
    - All or none succeeded: Wilson's, with groups as trials.
    - Else the wider of two: groups drawn with replacement, quantiles taken farther out the fewer
      the groups, and Wilson's with the effective number of trials, which is smaller the more
      those of one group agree. The first alone covers too seldom where groups are few.
    - One group says nothing of others: 0 to 1.

    Args:
        groups: Successes and trials of each; at least one trial in each.
        confidence: In (0, 1).

    Source: Field and Welsh 2007, "Bootstrapping clustered data"; Hesterberg 2015, "What teachers
        should know about the bootstrap", section 4.3, for the quantiles; Korn and Graubard 1998
        for the effective number.
    """
    import numpy as np
    from scipy.stats import norm, t

    # Groups of equal counts are equal to a draw: drawing kinds of them is the same, and faster.
    kinds, times = np.unique(np.array(groups), axis=0, return_counts=True)
    right, trials = kinds.T
    count = len(groups)
    total = float(times @ trials)
    share = float(times @ right) / total
    alike = np.all(trials == trials[0]) and np.all((right == 0) | (right == trials))
    if alike or share in (0, 1):
        return _wilson(share, count, confidence)
    if count == 1:
        return 0.0, 1.0
    tail = (1 - confidence) / 2
    away = times @ np.square(right - share * trials)
    variance = count / (count - 1) * float(away) / total**2
    reach = float(t.isf(tail, count - 1) / norm.isf(tail))
    effective = total if not variance else share * (1 - share) / variance / reach**2
    low, high = _wilson(share, min(total, effective), confidence)
    drawn = np.random.default_rng(0).multinomial(count, times / count, size=_DRAWS)
    farther = norm.sf(math.sqrt(count / (count - 1)) * t.isf(tail, count - 1))
    ends = np.quantile((drawn @ right) / (drawn @ trials), [farther, 1 - farther])
    return min(low, float(ends[0])), max(high, float(ends[1]))


def _wilson(share: float, total: float, confidence: float) -> tuple[float, float]:
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    scale = 1 + z * z / total
    middle = (share + z * z / (2 * total)) / scale
    spread = share * (1 - share) / total + z * z / (4 * total * total)
    half = z / scale * math.sqrt(spread)
    return min(share, max(0.0, middle - half)), max(share, min(1.0, middle + half))
