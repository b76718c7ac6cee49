"""Proportions and their confidence intervals."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import lru_cache
from statistics import NormalDist

Groups = tuple[tuple[int, int], ...]
"""Successes and trials of each group; trials in one group are correlated."""

_CONFIDENCE = 0.95
_DRAWS = 2000


@dataclass(frozen=True)
class Proportion:
    """A number of successes out of a number of trials.

    Args:
        count: Number of successes.
        total: Number of trials, at least one.
        groups: Successes and trials of each group of correlated trials, such as the crops of one
            scene; intervals resample whole groups. Empty if the trials are independent.

    Raises:
        ValueError: There are no trials, more successes than trials, or the groups do not add up
            to `count` and `total`.
    """

    count: int
    total: int
    groups: Groups = field(default=(), compare=False, repr=False)

    def __post_init__(self) -> None:
        if self.total < 1 or not 0 <= self.count <= self.total:
            raise ValueError(
                "count must be between 0 and total, and total at least 1, "
                f"got {self.count} of {self.total}"
            )
        sums = sum(one for one, _ in self.groups), sum(one for _, one in self.groups)
        if self.groups and sums != (self.count, self.total):
            raise ValueError(
                f"groups must add up to {self.count} of {self.total}, got {sums[0]} of {sums[1]}"
            )

    @property
    def share(self) -> float:
        """Successes divided by trials, in [0, 1]."""
        return self.count / self.total

    @property
    def interval95(self) -> tuple[float, float]:
        """The 95 % interval of the share, both ends in [0, 1].

        With groups it is that of `interval_over_groups`; without, Wilson's, whose coverage is right
        on average, even for few trials and shares near 0 and 1.

        Source: Wilson 1927.
        """
        if self.groups:
            return interval_over_groups(self.groups)
        return _wilson(self.share, self.total)


@lru_cache(maxsize=4096)  # a report writes each interval several times, and may have thousands
def interval_over_groups(groups: Groups) -> tuple[float, float]:
    """Return the 95 % interval of a share whose trials are correlated within groups.

    - If all groups have the same size and each succeeded or failed as a whole: Wilson's interval
      with the groups as trials.
    - If all trials or none succeeded: also Wilson's interval with the groups as trials.
    - Otherwise, if there is only one group: 0 to 1, because it says nothing about other groups.
    - In all other cases the union of two intervals. One is a cluster bootstrap, whose quantiles lie
      farther out the fewer groups there are; alone its coverage is too low with few groups. The
      other is Wilson's with the effective number of trials, which is smaller the more the trials
      of a group agree.

    Args:
        groups: Successes and trials of each group; at least one trial in each.

    Source: Field and Welsh 2007, "Bootstrapping clustered data"; Hesterberg 2015, "What teachers
        should know about the bootstrap", section 4.3, for the quantiles; Korn and Graubard 1998
        for the effective number.
    """
    import numpy as np
    from scipy.stats import norm, t

    # Groups with equal counts are interchangeable, so drawing how often each kind occurs is the
    # same as drawing groups, and faster.
    kinds, times = np.unique(np.array(groups), axis=0, return_counts=True)
    right, trials = kinds.T
    count = len(groups)
    total = float(times @ trials)
    share = float(times @ right) / total
    alike = np.all(trials == trials[0]) and np.all((right == 0) | (right == trials))
    if alike or share in (0, 1):
        return _wilson(share, count)
    if count == 1:
        return 0.0, 1.0
    tail = (1 - _CONFIDENCE) / 2
    away = times @ np.square(right - share * trials)
    variance = count / (count - 1) * float(away) / total**2
    reach = float(t.isf(tail, count - 1) / norm.isf(tail))
    effective = total if not variance else share * (1 - share) / variance / reach**2
    low, high = _wilson(share, min(total, effective))
    drawn = np.random.default_rng(0).multinomial(count, times / count, size=_DRAWS)
    farther = norm.sf(math.sqrt(count / (count - 1)) * t.isf(tail, count - 1))
    ends = np.quantile((drawn @ right) / (drawn @ trials), [farther, 1 - farther])
    return min(low, float(ends[0])), max(high, float(ends[1]))


def _wilson(share: float, total: float) -> tuple[float, float]:
    z = NormalDist().inv_cdf((1 + _CONFIDENCE) / 2)
    scale = 1 + z * z / total
    middle = (share + z * z / (2 * total)) / scale
    spread = share * (1 - share) / total + z * z / (4 * total * total)
    half = z / scale * math.sqrt(spread)
    return min(share, max(0.0, middle - half)), max(share, min(1.0, middle + half))
