"""The picture of a leaderboard."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from trueshot.reports.charts import is_wide
from trueshot.reports.detector_results import L2, threat_name
from trueshot.reports.figures import new_figure, save_figure
from trueshot.reports.grids import one_line
from trueshot.reports.leaderboard import DOUBTED, Board
from trueshot.reports.security_grids import epsilon
from trueshot.reports.security_narrative import Standing

_MARKERS = "osD^vPX*"


def draw_board(made: Board, out: Path) -> Path:
    """Worst case against budget, and clean accuracy against worst case.

    Args:
        made: Whose detectors; those without a worst case are not drawn.
        out: The PNG to write.
    """
    figure = new_figure((11.5, 4.6))
    curves, points = figure.subplots(1, 2)
    for place, standing in enumerate(made.ranked):
        _draw_curve(curves, made, standing, place)
        _draw_point(points, standing, place)
    for axes in (curves, points):
        axes.axhline(50, color="#999999", linewidth=0.8, linestyle=":")
        axes.set_ylim(-3, 103)
    curves.set(
        xlabel=f"budget in levels{', L2' if made.threat == L2 else ''}",
        ylabel="worst case, % judged rightly",
    )
    at = "" if made.budget is None else f" at {epsilon(made.budget, made.threat)}"
    if is_wide(budgets := made.comparison.budgets(made.threat)):
        curves.set_xscale("symlog", linthresh=budgets[0], linscale=0.5)
        curves.set_xticks([0.0, *budgets], [f"{budget:g}" for budget in (0.0, *budgets)])
        curves.set_xlim(-0.15 * budgets[0], 1.15 * budgets[-1])
        curves.minorticks_off()
    points.set(xlabel="clean, % judged rightly", ylabel=f"worst case{at}, %")
    figure.suptitle(_drawable(f"{made.comparison.title}; {threat_name(made.threat)}"), fontsize=11)
    if made.ranked:
        handles, labels = curves.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside right center", fontsize="small")
    return save_figure(figure, out)


def _draw_curve(axes: Any, made: Board, standing: Standing, place: int) -> None:
    cases = standing.detector.curve(made.threat)
    colour, marker = f"C{place % 10}", _MARKERS[place % len(_MARKERS)]
    budgets = [case.budget for case in cases]
    axes.fill_between(
        budgets,
        [100 * case.interval[0] for case in cases],
        [100 * case.interval[1] for case in cases],
        color=colour,
        alpha=0.12,
        linewidth=0,
    )
    shares = [100 * case.accuracy for case in cases]
    mark = DOUBTED if standing.detector.doubts else ""
    label = _drawable(standing.detector.name) + mark
    axes.plot(budgets, shares, color=colour, marker=marker, markersize=5, label=label)


def _draw_point(axes: Any, standing: Standing, place: int) -> None:
    clean, worst = standing.clean, standing.worst
    across, up = 100 * clean.share, 100 * worst.accuracy
    axes.errorbar(
        across,
        up,
        xerr=_reach(across, clean.interval),
        yerr=_reach(up, worst.interval),
        color=f"C{place % 10}",
        marker=_MARKERS[place % len(_MARKERS)],
        markersize=7,
        linewidth=1,
        markerfacecolor="none" if standing.detector.doubts else None,
    )


def _reach(middle: float, interval: tuple[float, float]) -> list[list[float]]:
    """How far an interval goes down and up from a figure in per cent."""
    low, high = (100 * end for end in interval)
    return [[max(0.0, middle - low)], [max(0.0, high - middle)]]


def _drawable(text: str) -> str:
    """A text in which matplotlib sees no formula, and that begins no legend entry out of sight."""
    return one_line(text)[:60].replace("$", r"\$").lstrip("_") or "?"
