"""Position of a figure's axes within its SVG."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Axes:
    """Size of an SVG and position of the axes in it, in units of the SVG.

    Args:
        width: Width of the SVG.
        height: Height of the SVG.
        left: Horizontal position of the vertical axis.
        right: Right end of the horizontal axis.
        top: Upper end of the vertical axis.
        bottom: Vertical position of the horizontal axis.
    """

    width: int
    height: int
    left: int
    right: int
    top: int
    bottom: int

    def across(self, share: float) -> float:
        """Return the x coordinate at a share, in [0, 1], of the horizontal axis."""
        return round(self.left + (self.right - self.left) * share, 1)

    def up(self, share: float) -> float:
        """Return the y coordinate at a share, in [0, 1], of the vertical axis."""
        return round(self.bottom - (self.bottom - self.top) * share, 1)


def joined(places: Iterable[tuple[float, float]]) -> str:
    """Return points (x, y) in the format of the `points` attribute of an SVG `polyline`."""
    return " ".join(f"{across:g},{up:g}" for across, up in places)
