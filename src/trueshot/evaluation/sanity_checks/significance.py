"""What chance explains: exact tests, so that no doubt is raised over a difference that is luck."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

Flags = npt.NDArray[np.bool_]

LEVEL = 0.01
"""Of every doubt: how often it may be raised where there is nothing but chance."""


@dataclass(frozen=True)
class Difference:
    """Two verdicts on each of the same images.

    Args:
        gained: Images for which only the first holds.
        lost: Images for which only the second holds.
    """

    gained: int
    lost: int

    @classmethod
    def of(cls, first: Flags, second: Flags) -> Difference:
        """Of flags of the same images, each of shape (n,)."""
        return cls(int((first & ~second).sum()), int((second & ~first).sum()))

    @classmethod
    def at_most(cls, first: int, second: int, total: int) -> Difference:
        """Of counts alone: which images they were is unknown, so as many as possible differ.

        More images that differ, with the same difference, make chance more likely: what this
        finds significant is so for any images that give these counts.
        """
        overlap = max(0, first + second - total)
        return cls(first - overlap, second - overlap)

    @property
    def chance(self) -> float:
        """One-sided p-value of McNemar's exact test: that the first holds no more often."""
        return at_least(self.gained, self.gained + self.lost, 0.5)


@lru_cache(maxsize=4096)
def at_least(count: int, total: int, share: float) -> float:
    """Probability of so many successes or more in so many trials."""
    from scipy.stats import binom

    return 1.0 if count <= 0 else float(binom.sf(count - 1, total, share))


def more_than(share: float, count: int, total: int, level: float = LEVEL) -> bool:
    """Whether `count` of `total` is more than chance makes of a share of at most `share`."""
    return total > 0 and at_least(count, total, share) < level
