"""Accuracy against budget as lines of an SVG: geometry only, the template draws it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from trueshot.evaluation.results import CLEAN, Cell, RobustnessResult

WIDTH, HEIGHT = 640, 380
LEFT, RIGHT, TOP, BOTTOM = 52, 14, 14, 48
_DASHES = ("", "9 5", "2 5", "9 5 2 5")


@dataclass(frozen=True, kw_only=True)
class Line:
    """One detector under one attack, in units of the SVG.

    Args:
        role: `plain` or `secure`: the colour.
        attack: Its short name.
        dash: As `stroke-dasharray`; one for each attack.
        points: As `polyline` takes them, the clean accuracy first.
        band: The 95 % interval as a polygon.
        dots: Places of the cells.
        last: Accuracy at the largest budget, as a share.
    """

    role: str
    attack: str
    dash: str
    points: str
    band: str
    dots: tuple[tuple[float, float], ...]
    last: float


@dataclass(frozen=True, kw_only=True)
class Chart:
    """Lines and axes of one size; ticks are (place, text)."""

    lines: tuple[Line, ...]
    across: tuple[tuple[float, str], ...]
    up: tuple[tuple[float, str], ...]
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    right: int = WIDTH - RIGHT
    top: int = TOP
    bottom: int = HEIGHT - BOTTOM


def chart(results: Sequence[RobustnessResult], attacks: Sequence[str]) -> Chart:
    """Lay out the curves of the plain and of the secure detector at one size.

    Args:
        results: The two of them, in that order.
        attacks: Which of their attacks; the first is drawn as a full line.
    """
    cells = [cell for result in results for cell in result.cells]
    budgets = sorted({cell.budget for cell in cells if cell.attack in attacks} | {0.0, 1.0})
    largest = budgets[-1]
    lines = [
        _line(role, result, attack, _DASHES[attacks.index(attack) % len(_DASHES)], largest)
        for role, result in zip(("plain", "secure"), results, strict=True)
        for attack in attacks
        if any(cell.attack == attack for cell in result.cells)
    ]
    return Chart(
        lines=tuple(sorted(lines, key=lambda line: -line.last)),  # as they end, from the top
        across=tuple((_across(budget, largest), f"{budget:g}") for budget in budgets),
        up=tuple((_up(share / 100), f"{share}") for share in (0, 25, 50, 75, 100)),
    )


def _line(role: str, result: RobustnessResult, attack: str, dash: str, largest: float) -> Line:
    cells = [cell for cell in result.cells if cell.attack in (CLEAN, attack)]
    cells = sorted(cells, key=lambda cell: cell.budget)
    edge = [_place(cell, cell.interval[1], largest) for cell in cells]
    edge += [_place(cell, cell.interval[0], largest) for cell in reversed(cells)]
    dots = tuple(_place(cell, cell.accuracy, largest) for cell in cells)
    return Line(
        role=role,
        attack=attack,
        dash=dash,
        points=_points(dots),
        band=_points(edge),
        dots=dots,
        last=cells[-1].accuracy,
    )


def _place(cell: Cell, share: float, largest: float) -> tuple[float, float]:
    return _across(cell.budget, largest), _up(share)


def _across(budget: float, largest: float) -> float:
    return round(LEFT + (WIDTH - RIGHT - LEFT) * budget / largest, 1)


def _up(share: float) -> float:
    return round(HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * share, 1)


def _points(places: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{across:g},{up:g}" for across, up in places)
