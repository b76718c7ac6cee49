"""Bounds propagated through functions: an interval of inputs gives an interval of outputs.

Interval bound propagation (Gowal et al. 2018, arXiv:1810.12715), for the operations on amplitudes.
Each bound is the tightest that follows from the bounds of the arguments, taken one by one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Bounds:
    """The interval from `lower` to `upper`, element by element.

    Args:
        lower: Lower bounds, any shape.
        upper: Upper bounds, same shape.

    Raises:
        ValueError: The shapes differ, or a lower bound exceeds its upper bound.
    """

    lower: Tensor
    upper: Tensor

    def __post_init__(self) -> None:
        if self.lower.shape != self.upper.shape or bool((self.lower > self.upper).any()):
            raise ValueError(
                "lower and upper must have the same shape, and lower must not exceed upper"
            )

    @classmethod
    def around(cls, values: Tensor, reach: Tensor | float, *, least: float = -torch.inf) -> Bounds:
        """Return bounds `reach` around `values`, clipped at `least` (for amplitudes, 0)."""
        return cls((values - reach).clamp(min=least), (values + reach).clamp(min=least))

    def monotone(self, function: Callable[[Tensor], Tensor]) -> Bounds:
        """Apply a non-decreasing function, such as a mean, a maximum, sorting or a ReLU."""
        return Bounds(function(self.lower), function(self.upper))

    def linear(self, weights: Tensor, bias: Tensor | float = 0.0) -> Bounds:
        """Apply a linear layer to the last dimension; `weights` (out, in) may have any sign."""
        up, down = weights.clamp(min=0).T, weights.clamp(max=0).T
        return Bounds(
            self.lower @ up + self.upper @ down + bias, self.upper @ up + self.lower @ down + bias
        )
