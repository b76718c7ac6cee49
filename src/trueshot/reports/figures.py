"""Figures 2 and 5 of the paper, drawn from results and image files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from trueshot.evaluation.results import CLEAN, RobustnessResult
from trueshot.images import read_image

_DPI = 150
_COLOURS = ("#b42318", "#175cd3", "#1a7f37", "#7a5af8")
_STYLES = ("-", "--", ":", "-.")


def draw_figure_2(root: Path, rows: Sequence[Mapping[str, Any]], out: Path) -> Path:
    """Attacked images with true label, predicted label and probability, a row per detector.

    Args:
        root: Folder that the panels' files are relative to.
        rows: Per detector its name, the budget, and panels: file, true, predicted, probability.
        out: The PNG to write.
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
    return save_figure(figure, out)


def draw_figure_5(root: Path, panels: Sequence[Mapping[str, Any]], out: Path) -> Path:
    """One image under growing budgets, a row per attack.

    Args:
        root: Folder that the panels' files are relative to.
        panels: Each with attack, budget and file.
        out: The PNG to write.
    """
    attacks = list(dict.fromkeys(panel["attack"] for panel in panels))
    lines = [[panel for panel in panels if panel["attack"] == attack] for attack in attacks]
    figure, axes = _grid(len(lines), len(lines[0]), caption_lines=1)
    for panels_of_one, line in zip(lines, axes, strict=True):
        for panel, axis in zip(panels_of_one, line, strict=True):
            _show(axis, root / panel["file"])
            name = panel["attack"].upper() if panel["budget"] else "clean"
            axis.set_xlabel(f"{name} (ε = {panel['budget']:g})")
    return save_figure(figure, out)


def draw_curves(results: Sequence[RobustnessResult], out: Path) -> Path:
    """Accuracy against budget, a panel per size, a line per detector and attack.

    Args:
        results: Of any detectors; the cells at each budget, the clean ones at 0.
        out: The PNG to write.
    """
    sides = list(dict.fromkeys(result.side for result in results))
    figure, axes = _panels(len(sides))
    for side, axis in zip(sides, axes, strict=True):
        detectors = [result for result in results if result.side == side]
        for colour, result in zip(_COLOURS, detectors, strict=False):
            for style, attack in zip(_STYLES, _attacks(result), strict=False):
                cells = [c for c in result.cells if c.attack in (CLEAN, attack)]
                budgets = [cell.budget for cell in cells]
                shares = [100 * cell.accuracy for cell in cells]
                label = f"{result.detector}, {attack.upper()}"
                axis.plot(budgets, shares, color=colour, linestyle=style, marker="o", label=label)
        axis.axhline(50, color="#999999", linewidth=0.8)
        axis.set(title=f"{side} × {side}", xlabel="ε in levels", ylim=(-2, 102))
    axes[0].set_ylabel("judged rightly, %")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right center", fontsize="small")
    return save_figure(figure, out)


def _attacks(result: RobustnessResult) -> list[str]:
    return [name for name in dict.fromkeys(c.attack for c in result.cells) if name != CLEAN]


def _panels(columns: int) -> tuple[Any, Any]:
    figure, axes = _grid(1, columns, caption_lines=1)
    figure.set_size_inches(4.6 * columns + 1.4, 3.8)  # the legend stands on the right
    return figure, axes[0]


def _grid(rows: int, columns: int, caption_lines: int) -> tuple[Any, Any]:
    figure = new_figure((2.2 * columns, rows * (2.1 + 0.2 * caption_lines)))
    return figure, figure.subplots(rows, columns, squeeze=False)


def new_figure(size: tuple[float, float]) -> Any:
    """An empty figure of so many inches across and down."""
    # Not through pyplot: that holds global state and asks for a display.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _show(axis: Any, path: Path) -> None:
    # Nearest: no interpolation may smooth away what the attack has done.
    axis.imshow(read_image(path).pixels, interpolation="nearest")
    axis.set_xticks([])
    axis.set_yticks([])


def save_figure(figure: Any, out: Path) -> Path:
    """Write a figure as PNG; the name holds, at any moment, the old file or the whole new one."""
    out.parent.mkdir(parents=True, exist_ok=True)
    unfinished = out.with_name(f".{out.name}.part")
    figure.savefig(unfinished, dpi=_DPI, format="png", metadata={"Software": None})
    unfinished.replace(out)
    return out
