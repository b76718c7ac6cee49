"""Plot the training cost per image against image size and batch size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from speed.rows import DIFFERENCE, EXACT, PLAIN, USUAL_SECURE, step_calls
from speed.timing import Settings, in_turns

SIDES, BATCHES = (64, 96, 128, 192, 256), (16, 32, 64, 128)
BATCH, SIDE = 64, 64
_ROUNDS = 3
_LINES = {
    USUAL_SECURE: ("#b42318", "s", "--"),
    EXACT: ("#175cd3", "o", "-"),
    DIFFERENCE: ("#7a5af8", "^", "-"),
    PLAIN: ("#1a7f37", "D", "-"),
}

Costs = Mapping[int, Mapping[str, float]]  # ms per image, by size or batch, then by name


def draw(settings: Settings, out: Path) -> None:
    """Measure and draw; sizes up to the largest in the settings."""
    sides = [side for side in SIDES if side <= max(settings.sides)]
    by_side = {side: _costs(side, BATCH, settings) for side in sides}
    by_batch = {batch: _costs(SIDE, batch, settings) for batch in BATCHES}
    _draw(by_side, by_batch, out)


def _costs(side: int, batch: int, settings: Settings) -> dict[str, float]:
    calls = step_calls(side, batch, _LINES)
    times = in_turns(calls, settings.seconds / 4, _ROUNDS)
    return {name: times.milliseconds(name) / batch for name in calls}


def _draw(by_side: Costs, by_batch: Costs, out: Path) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.6, 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    _panel(left, by_side, "image size, px", f"batch of {BATCH}")
    _panel(right, by_batch, "batch", f"images of {SIDE} px")
    left.set_ylabel("ms for one image and one step")
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=len(_LINES))
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=150, format="png", metadata={"Software": None})


def _panel(axis: Any, costs: Costs, across: str, title: str) -> None:
    for name, (colour, marker, style) in _LINES.items():
        values = [cost[name] for cost in costs.values()]
        axis.plot(list(costs), values, color=colour, marker=marker, linestyle=style, label=name)
    axis.set(xscale="log", yscale="log", xlabel=across, title=title)
    axis.set_xticks(list(costs), [str(value) for value in costs])
    axis.set_xticks([], minor=True)
    largest = max(max(cost.values()) for cost in costs.values())
    smallest = min(min(cost.values()) for cost in costs.values())
    axis.set_yticks(*_ticks(smallest, largest))
    axis.set_yticks([], minor=True)
    axis.set_ylim(smallest / 1.3, largest * 1.3)
    axis.grid(color="#dddddd", linewidth=0.6)


def _ticks(smallest: float, largest: float) -> tuple[Sequence[float], Sequence[str]]:
    """Return 1, 2, 5, 10, … within the range, and their labels."""
    values = [digit * 10**power for power in range(-3, 5) for digit in (1, 2, 5)]
    inside = [value for value in values if smallest / 1.3 <= value <= largest * 1.3]
    return inside, [f"{value:g}" for value in inside]
