"""Exact significance tests, so that no doubt is raised over a difference that chance explains."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from trueshot.evaluation.tally import Flags

LEVEL = 0.01
"""Significance level: how often each doubt may be raised by chance alone."""


@dataclass(frozen=True)
class Difference:
    """Difference between two sets of flags on the same images.

    Args:
        gained: Number of images for which only the first flag is set.
        lost: Number of images for which only the second flag is set.
    """

    gained: int
    lost: int

    @classmethod
    def of(cls, first: Flags, second: Flags) -> Difference:
        """Build the difference from two sets of flags of the same images, each of shape (n,)."""
        return cls(int((first & ~second).sum()), int((second & ~first).sum()))

    @classmethod
    def at_most(cls, first: int, second: int, total: int) -> Difference:
        """Build the least significant difference from the counts of set flags alone.

        It is unknown which images the counts refer to, so as many as possible are taken to differ.
        With the same net difference, more differing images make chance more likely; so a result
        that is significant here is significant for any images with these counts.
        """
        overlap = max(0, first + second - total)
        return cls(first - overlap, second - overlap)

    @property
    def chance(self) -> float:
        """One-sided p-value of McNemar's exact test; null: the first is set no more often."""
        return at_least(self.gained, self.gained + self.lost, 0.5)


@lru_cache(maxsize=4096)
def at_least(count: int, total: int, share: float) -> float:
    """Return the probability of `count` or more successes in `total` trials of rate `share`."""
    from scipy.stats import binom

    return 1.0 if count <= 0 else float(binom.sf(count - 1, total, share))


def percent(share: float) -> str:
    """Write a share in whole per cent, for findings."""
    return f"{100 * share:.0f} %"


def more_than(share: float, count: int, total: int, level: float = LEVEL) -> bool:
    """Whether `count` of `total` is significantly more than a rate of `share` explains."""
    return total > 0 and at_least(count, total, share) < level
