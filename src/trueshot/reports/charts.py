"""Accuracy against budget as lines of an SVG: geometry only, the template draws it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from trueshot.evaluation.results import CLEAN, Cell, RobustnessResult
from trueshot.evaluation.security import WorstCase

WIDTH, HEIGHT = 640, 380
LEFT, RIGHT, TOP, BOTTOM = 52, 14, 14, 48
COLOURS = 8
_ROOM = 34.0  # units of the SVG between figures under the axis
_WIDE = 10.0
_DASHES = ("", "9 5", "2 5", "9 5 2 5")


@dataclass(frozen=True, kw_only=True)
class Line:
    """One detector under one attack, or in the worst case, in units of the SVG.

    Args:
        role: `plain` or `secure`, or `c0`, `c1`, …: the colour.
        attack: Short name of the attack; of the worst case, the detector's.
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
    is_logarithmic: bool = False
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


def worst_case_chart(curves: Sequence[tuple[int, str, Sequence[WorstCase]]]) -> Chart:
    """Lay out the worst cases of any number of detectors under one threat model.

    Args:
        curves: Per detector its number, which is its colour, its name, and worst cases in order
            of budget. When colours are used up, dashes tell detectors apart.
    """
    budgets = sorted({case.budget for _, _, cases in curves for case in cases} | {0.0})
    across = _scale(budgets)
    lines = [
        _through(cases, f"c{number % COLOURS}", name, _DASHES[number // COLOURS % 4], across)
        for number, name, cases in curves
    ]
    return Chart(
        lines=tuple(sorted(lines, key=lambda line: -line.last)),
        across=tuple((across(b), f"{b:.3g}") for b in _apart(budgets, across)),
        up=tuple((_up(share / 100), f"{share}") for share in (0, 25, 50, 75, 100)),
        is_logarithmic=is_wide(budgets),
    )


def is_wide(budgets: Sequence[float]) -> bool:
    """Whether budgets are of such different sizes that they are told apart by their logarithm."""
    above = [budget for budget in budgets if budget > 0]
    return bool(above) and max(above) > _WIDE * min(above)


def _scale(budgets: Sequence[float]) -> Callable[[float], float]:
    """Where a budget stands: in proportion to it, or, of a wide range, to its logarithm."""
    largest = max(budgets) or 1.0
    if not is_wide(budgets):
        return lambda budget: _across(budget, largest)
    unit = min(budget for budget in budgets if budget > 0)
    return lambda budget: _across(math.log1p(budget / unit), math.log1p(largest / unit))


def _apart(budgets: Sequence[float], across: Callable[[float], float]) -> list[float]:
    """Budgets whose figures have room beside one another, the largest and 0 among them."""
    kept: list[float] = []
    for budget in reversed(budgets):
        if not kept or across(kept[-1]) - across(budget) >= _ROOM:
            kept.append(budget)
    kept[-1] = budgets[0]  # 0 goes before its neighbour
    return kept[::-1]


def _line(role: str, result: RobustnessResult, attack: str, dash: str, largest: float) -> Line:
    cells = [cell for cell in result.cells if cell.attack in (CLEAN, attack)]
    cells = sorted(cells, key=lambda cell: cell.budget)
    return _through(cells, role, attack, dash, lambda budget: _across(budget, largest))


def _through(
    cells: Sequence[Cell] | Sequence[WorstCase],
    role: str,
    name: str,
    dash: str,
    across: Callable[[float], float],
) -> Line:
    dots = tuple((across(cell.budget), _up(cell.accuracy)) for cell in cells)
    edge = [(across(cell.budget), _up(cell.interval[1])) for cell in cells]
    edge += [(across(cell.budget), _up(cell.interval[0])) for cell in cells][::-1]
    return Line(
        role=role,
        attack=name,
        dash=dash,
        points=_points(dots),
        band=_points(edge),
        dots=dots,
        last=cells[-1].accuracy,
    )


def _across(budget: float, largest: float) -> float:
    return round(LEFT + (WIDTH - RIGHT - LEFT) * budget / largest, 1)


def _up(share: float) -> float:
    return round(HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * share, 1)


def _points(places: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{across:g},{up:g}" for across, up in places)
