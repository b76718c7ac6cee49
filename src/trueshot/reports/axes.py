"""The rectangle of an SVG that a figure is drawn in."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Axes:
    """Where a figure's axes lie, in units of its SVG.

    Args:
        width: Of the SVG.
        height: Of the SVG.
        left: Of the vertical axis.
        right: End of the horizontal axis.
        top: End of the vertical axis.
        bottom: Of the horizontal axis.
    """

    width: int
    height: int
    left: int
    right: int
    top: int
    bottom: int

    def across(self, share: float) -> float:
        """Where a share of the horizontal axis ends."""
        return round(self.left + (self.right - self.left) * share, 1)

    def up(self, share: float) -> float:
        """Where a share of the vertical axis ends."""
        return round(self.bottom - (self.bottom - self.top) * share, 1)


def joined(places: Iterable[tuple[float, float]]) -> str:
    """Places (across, up) as `polyline` takes them."""
    return " ".join(f"{across:g},{up:g}" for across, up in places)
