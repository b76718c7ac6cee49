"""So many of so many, and what that is worth."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal


@dataclass(frozen=True)
class Proportion:
    """A count out of a total.

    Args:
        count: Successes.
        total: Trials, at least one.

    Raises:
        ValueError: No trials, or more successes than trials.
    """

    count: int
    total: int

    def __post_init__(self) -> None:
        if self.total < 1 or not 0 <= self.count <= self.total:
            raise ValueError(f"{self.count} of {self.total} is no proportion")

    @property
    def share(self) -> float:
        """Successes by trials, in [0, 1]."""
        return self.count / self.total

    @property
    def interval95(self) -> tuple[float, float]:
        """Wilson interval at 95 %."""
        return self.interval()

    def interval(
        self, confidence: float = 0.95, method: Literal["wilson", "exact"] = "wilson"
    ) -> tuple[float, float]:
        """Interval of the share, both ends in [0, 1].

        It takes the trials as independent: crops of one photo are not quite, so the true interval
        is wider.

        Args:
            confidence: In (0, 1).
            method: `wilson` keeps its level on average, also for few trials and for shares near
                0 and 1; `exact` (Clopper and Pearson) never falls below it.

        Source: Wilson 1927; Clopper and Pearson 1934.
        """
        if method == "exact":
            from scipy.stats import binomtest

            found = binomtest(self.count, self.total).proportion_ci(confidence, method="exact")
            return float(found.low), float(found.high)
        z = NormalDist().inv_cdf((1 + confidence) / 2)
        share, scale = self.share, 1 + z * z / self.total
        middle = (share + z * z / (2 * self.total)) / scale
        spread = share * (1 - share) / self.total + z * z / (4 * self.total * self.total)
        half = z / scale * math.sqrt(spread)
        return max(0.0, middle - half), min(1.0, middle + half)
