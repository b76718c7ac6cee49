"""Bounds that go through a function: what goes in lies between two values, so what comes out does.

Interval bound propagation (Gowal et al. 2018, arXiv:1810.12715), for what is done with amplitudes.
Each bound is the best that can be said from the bounds of its arguments alone, one by one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Bounds:
    """Everything from `lower` to `upper`, element by element.

    Args:
        lower: Any shape.
        upper: The same shape.

    Raises:
        ValueError: Of different shapes, or the wrong way round.
    """

    lower: Tensor
    upper: Tensor

    def __post_init__(self) -> None:
        if self.lower.shape != self.upper.shape or bool((self.lower > self.upper).any()):
            raise ValueError("bounds of one shape, the lower below the upper, wanted")

    @classmethod
    def around(cls, values: Tensor, reach: Tensor | float, *, least: float = -torch.inf) -> Bounds:
        """What is no farther than `reach`, and no less than `least`, as amplitudes are than 0."""
        return cls((values - reach).clamp(min=least), (values + reach).clamp(min=least))

    def monotone(self, function: Callable[[Tensor], Tensor]) -> Bounds:
        """Through any function that no argument lets fall: mean, maximum, sorted values, ReLU."""
        return Bounds(function(self.lower), function(self.upper))

    def log_above(self, floor: float) -> Bounds:
        """Through log(1 + (a / floor)²), for amplitudes a of 0 or more."""
        return self.monotone(lambda a: (a / floor).square().log1p())

    def linear(self, weights: Tensor, bias: Tensor | float = 0.0) -> Bounds:
        """Through a linear layer: weights (out, in) of any sign, over the last dimension."""
        up, down = weights.clamp(min=0).T, weights.clamp(max=0).T
        return Bounds(
            self.lower @ up + self.upper @ down + bias, self.upper @ up + self.lower @ down + bias
        )

    def intersection(self, other: Bounds) -> Bounds:
        """What two bounds of the same thing leave.

        Raises:
            ValueError: Nothing: one of them is wrong.
        """
        lower = torch.maximum(self.lower, other.lower)
        return Bounds(lower, torch.minimum(self.upper, other.upper))
