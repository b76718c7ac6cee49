"""Figures as PNG files: figures 2 and 5 of the paper, accuracy curves, and leaderboards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

from trueshot.evaluation.result import EvaluationResult
from trueshot.evaluation.tally import CLEAN, SingleAttack, WorstCase
from trueshot.images import read_image
from trueshot.proportion import Proportion
from trueshot.reports.chart import is_wide
from trueshot.reports.comparison import Standing
from trueshot.reports.leaderboard import DOUBTED, Board
from trueshot.reports.results import L2, threat_name
from trueshot.reports.security_tables import epsilon
from trueshot.reports.table import one_line

_DPI = 150
_COLOURS = ("#b42318", "#175cd3", "#1a7f37", "#7a5af8")
_STYLES = ("-", "--", ":", "-.")
_MARKERS = "osD^vPX*"


def draw_figure_2(root: Path, rows: Sequence[Mapping[str, Any]], out: Path) -> Path:
    """Draw attacked images with true label, prediction and probability, one row per detector.

    Args:
        root: Folder that the panels' file names are relative to.
        rows: For each detector a mapping with `detector`, `budget` and `panels`, each with `file`,
            `true`, `predicted` and `probability`.
        out: PNG file to write.
    """
    columns = max(len(row["panels"]) for row in rows)
    figure, axes = _grid(len(rows), columns, caption_lines=3)
    for row, line in zip(rows, axes, strict=True):
        for panel, axis in zip(row["panels"], line, strict=True):
            _show(axis, root / panel["file"])
            right = panel["true"] == panel["predicted"]
            caption = (
                f"true: {panel['true']}\npred: {panel['predicted']}\n"
                f"prob: {100 * panel['probability']:.2f} %"
            )
            axis.set_xlabel(caption, color="#1a7f37" if right else "#b42318")
        line[0].set_ylabel(f"{row['detector']}\nFGSM, ε = {row['budget']:g}")
    return _save(figure, out)


def draw_figure_5(root: Path, panels: Sequence[Mapping[str, Any]], out: Path) -> Path:
    """Draw one image under increasing budgets, one row per attack.

    Args:
        root: Folder that the panels' file names are relative to.
        panels: Mappings with `attack`, `budget` and `file`.
        out: PNG file to write.
    """
    attacks = list(dict.fromkeys(panel["attack"] for panel in panels))
    lines = [[panel for panel in panels if panel["attack"] == attack] for attack in attacks]
    figure, axes = _grid(len(lines), len(lines[0]), caption_lines=1)
    for panels_of_one, line in zip(lines, axes, strict=True):
        for panel, axis in zip(panels_of_one, line, strict=True):
            _show(axis, root / panel["file"])
            name = panel["attack"].upper() if panel["budget"] else "clean"
            axis.set_xlabel(f"{name} (ε = {panel['budget']:g})")
    return _save(figure, out)


def draw_curves(results: Sequence[EvaluationResult], out: Path) -> Path:
    """Draw accuracy against budget, one panel per size, one line per detector and attack.

    Args:
        results: Results of any detectors; the clean accuracy is drawn at budget 0.
        out: PNG file to write.
    """
    sides = list(dict.fromkeys(result.side for result in results))
    figure, axes = _panels(len(sides))
    for side, axis in zip(sides, axes, strict=True):
        detectors = [result for result in results if result.side == side]
        for result, colour in zip(detectors, cycle(_COLOURS), strict=False):
            for attack, style in zip(_attacks(result), cycle(_STYLES), strict=False):
                cells = [c for c in result.singles() if c.attack in (CLEAN, attack)]
                label = f"{result.detector}, {attack.upper()}"
                _plot(axis, cells, color=colour, linestyle=style, marker="o", label=label)
        axis.axhline(100 / len(detectors[0].classes), color="#999999", linewidth=0.8)
        axis.set(title=f"{side} × {side}", xlabel="ε in levels", ylim=(-2, 102))
    axes[0].set_ylabel("judged rightly, %")
    named: dict[str, Any] = {}
    for axis in axes:
        handles, labels = axis.get_legend_handles_labels()
        named |= zip(labels, handles, strict=True)
    figure.legend(named.values(), named.keys(), loc="outside right center", fontsize="small")
    return _save(figure, out)


def _attacks(result: EvaluationResult) -> list[str]:
    return [name for name in dict.fromkeys(c.attack for c in result.singles()) if name != CLEAN]


def _panels(columns: int) -> tuple[Any, Any]:
    figure, axes = _grid(1, columns, caption_lines=1)
    figure.set_size_inches(4.6 * columns + 1.4, 3.8)  # room for the legend on the right
    return figure, axes[0]


def _grid(rows: int, columns: int, caption_lines: int) -> tuple[Any, Any]:
    figure = _new_figure((2.2 * columns, rows * (2.1 + 0.2 * caption_lines)))
    return figure, figure.subplots(rows, columns, squeeze=False)


def _new_figure(size: tuple[float, float]) -> Any:
    """Return an empty figure of the given width and height in inches."""
    # Avoid pyplot, which keeps global state and needs a display.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _show(axis: Any, path: Path) -> None:
    # Nearest, because interpolation would smooth away the attack's changes.
    axis.imshow(read_image(path).pixels, interpolation="nearest")
    axis.set_xticks([])
    axis.set_yticks([])


def _save(figure: Any, out: Path) -> Path:
    """Write a figure as PNG, replacing an existing file atomically."""
    out.parent.mkdir(parents=True, exist_ok=True)
    unfinished = out.with_name(f".{out.name}.part")
    figure.savefig(unfinished, dpi=_DPI, format="png", metadata={"Software": None})
    unfinished.replace(out)
    return out


def draw_board(made: Board, out: Path) -> Path:
    """Draw the worst case against the budget, and the worst case against clean accuracy.

    Args:
        made: Leaderboard whose detectors are drawn, except those without a worst case.
        out: PNG file to write.
    """
    figure = _new_figure((11.5, 4.6))
    curves, points = figure.subplots(1, 2)
    for place, standing in enumerate(made.ranked):
        _draw_curve(curves, made, standing, place)
        _draw_point(points, standing, place)
    chance = 100 / len(made.comparison.classes)
    for axes in (curves, points):
        axes.axhline(chance, color="#999999", linewidth=0.8, linestyle=":")
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
    return _save(figure, out)


def _draw_curve(axes: Any, made: Board, standing: Standing, place: int) -> None:
    _plot(
        axes,
        standing.detector.curve(made.threat),
        color=f"C{place % 10}",
        marker=_MARKERS[place % len(_MARKERS)],
        markersize=5,
        label=_drawable(standing.detector.name) + (DOUBTED if standing.detector.doubts else ""),
    )


def _plot(
    axes: Any, cells: Sequence[SingleAttack] | Sequence[WorstCase], color: str, **style: Any
) -> None:
    """Plot accuracy against budget with the 95 % interval as a band."""
    budgets, found = [cell.budget for cell in cells], [cell.proportion for cell in cells]
    low, high = ([100 * each.interval95[end] for each in found] for end in (0, 1))
    axes.fill_between(budgets, low, high, color=color, alpha=0.12, linewidth=0)
    axes.plot(budgets, [100 * each.share for each in found], color=color, **style)


def _draw_point(axes: Any, standing: Standing, place: int) -> None:
    clean, worst = standing.clean, standing.worst.proportion
    axes.errorbar(
        100 * clean.share,
        100 * worst.share,
        xerr=_reach(clean),
        yerr=_reach(worst),
        color=f"C{place % 10}",
        marker=_MARKERS[place % len(_MARKERS)],
        markersize=7,
        linewidth=1,
        markerfacecolor="none" if standing.detector.doubts else None,
    )


def _reach(found: Proportion) -> list[list[float]]:
    """Return the distances from a share to the ends of its interval, in percentage points."""
    low, high = found.interval95
    return [[100 * max(0.0, found.share - low)], [100 * max(0.0, high - found.share)]]


def _drawable(text: str) -> str:
    """Escape a text for matplotlib: no formulas, and no leading "_", which hides legend entries."""
    return one_line(text)[:60].replace("$", r"\$").lstrip("_") or "?"
