"""Geometry of SVG line charts, which the templates draw; that of accuracy against budget."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from trueshot.proportion import Proportion

COLOURS = 8
DASHES = ("", "9 5", "2 5", "9 5 2 5")
_ROOM = 34.0  # minimum distance between tick labels of the horizontal axis, in units of the SVG
_WIDE = 10.0


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


AXES = Axes(width=640, height=380, left=52, right=626, top=14, bottom=332)


@dataclass(frozen=True, kw_only=True)
class Line:
    """A line in units of the SVG.

    Args:
        name: Text in the legend.
        tone: CSS class that sets the colour.
        points: `points` attribute of an SVG `polyline`.
        dash: Value of `stroke-dasharray`.
        band: `points` attribute of the polygon of the 95 % interval.
        dots: Coordinates (x, y) of the points.
    """

    name: str
    tone: str
    points: str
    dash: str = ""
    band: str = ""
    dots: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True, kw_only=True)
class Chart:
    """Lines, and axis ticks as (place, text).

    `classes` sets the line of chance; `neutral` is the x coordinate of a ratio of 1.
    """

    lines: tuple[Line, ...]
    across: tuple[tuple[float, str], ...]
    up: tuple[tuple[float, str], ...]
    axes: Axes
    is_logarithmic: bool = False
    classes: int = 2
    neutral: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Curve:
    """One detector under one attack, or in the worst case.

    Args:
        name: Text in the legend.
        tone: CSS class that sets the colour: `plain`, `secure`, `c0`, `c1`, …
        points: Budgets in levels, ascending, each with the share of correctly classified images;
            at least one point.
        dash: Value of `stroke-dasharray`.
    """

    name: str
    tone: str
    points: tuple[tuple[float, Proportion], ...]
    dash: str = ""


def line_chart(curves: Sequence[Curve], classes: int = 2) -> Chart:
    """Lay out curves on common axes, ordered by their right end from the top down.

    The budget axis is logarithmic if the range is wide. Chance is 1 in `classes`.
    """
    budgets = sorted({budget for curve in curves for budget, _ in curve.points} | {0.0})
    across = _scale(budgets)
    ordered = sorted(curves, key=lambda curve: -curve.points[-1][1].share)
    return Chart(
        lines=tuple(_line(curve, across) for curve in ordered),
        across=tuple((across(budget), f"{budget:.3g}") for budget in _apart(budgets, across)),
        up=tuple((AXES.up(share / 100), f"{share}") for share in (0, 25, 50, 75, 100)),
        axes=AXES,
        is_logarithmic=is_wide(budgets),
        classes=classes,
    )


def is_wide(budgets: Sequence[float]) -> bool:
    """Whether the budgets above 0 span more than a factor of 10 and need a logarithmic axis."""
    above = [budget for budget in budgets if budget > 0]
    return bool(above) and max(above) > _WIDE * min(above)


def _scale(budgets: Sequence[float]) -> Callable[[float], float]:
    """Return a function from budget to x coordinate: linear, or logarithmic for a wide range."""
    largest = max(budgets) or 1.0
    if not is_wide(budgets):
        return lambda budget: AXES.across(budget / largest)
    unit = min(budget for budget in budgets if budget > 0)
    return lambda budget: AXES.across(math.log1p(budget / unit) / math.log1p(largest / unit))


def _apart(budgets: Sequence[float], across: Callable[[float], float]) -> list[float]:
    """Return the budgets whose tick labels do not overlap, always including 0 and the largest."""
    kept: list[float] = []
    for budget in reversed(budgets):
        if not kept or across(kept[-1]) - across(budget) >= _ROOM:
            kept.append(budget)
    kept[-1] = budgets[0]  # 0 takes precedence over its neighbour
    return kept[::-1]


def _line(curve: Curve, across: Callable[[float], float]) -> Line:
    dots = tuple((across(budget), AXES.up(found.share)) for budget, found in curve.points)
    lows = [(across(budget), AXES.up(found.interval95[0])) for budget, found in curve.points]
    highs = [(across(budget), AXES.up(found.interval95[1])) for budget, found in curve.points]
    return Line(
        name=curve.name,
        tone=curve.tone,
        dash=curve.dash,
        points=joined(dots),
        band=joined([*highs, *lows[::-1]]),
        dots=dots,
    )
