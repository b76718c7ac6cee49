"""Where the time of a step goes: self time of operations, by kind."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

import torch

from speed.rows import DIFFERENCE, EXACT, PLAIN, step_calls
from speed.settings import Settings
from speed.tables import table
from speed.timing import Call

STEPS = 3
KINDS = (
    "convolutions",
    "their gradients",
    "Laplacian and pooling",
    "batch normalisation",
    "ReLU",
    "all else",
)
_NORMALISING = ("aten::addcmul", "aten::mul", "aten::sum", "aten::square", "aten::sub")


def profile(settings: Settings) -> Iterator[str]:
    """Milliseconds of a step by kind of operation, and their sum."""
    yield "## Where the time goes\n\nMilliseconds of a step, batch 64, as the profiler counts them."
    for side in settings.sides:
        calls = step_calls(side, 64, (PLAIN, DIFFERENCE, EXACT))
        spent = {name: _by_kind(call) for name, call in calls.items()}
        rows = [[kind, *(f"{spent[name][kind]:.1f}" for name in calls)] for kind in KINDS]
        sums = [f"{sum(kinds.values()):.1f}" for kinds in spent.values()]
        yield table([f"{side} px", *calls], [*rows, ["sum", *sums]])


def _by_kind(call: Call) -> dict[str, float]:
    call()
    call()
    with torch.profiler.profile(
        activities=[torch.profiler.ProfilerActivity.CPU], record_shapes=True
    ) as profiler:
        for _ in range(STEPS):
            call()
    spent: dict[str, float] = defaultdict(float)
    for event in profiler.key_averages(group_by_input_shape=True):
        spent[_kind(event.key, event.input_shapes)] += event.self_cpu_time_total / 1000 / STEPS
    return spent


def _kind(name: str, shapes: list[list[int]]) -> str:
    if name in ("aten::mkldnn_convolution", "aten::convolution_backward"):
        weight = shapes[1] if name == "aten::mkldnn_convolution" else shapes[2]
        if weight[1] == 1:
            return "Laplacian and pooling"
        return "convolutions" if name == "aten::mkldnn_convolution" else "their gradients"
    if name in ("aten::threshold_backward", "aten::clamp_min", "aten::relu"):
        return "ReLU"
    if name.startswith(_NORMALISING) and any(len(s) == 4 and s[1] >= 8 for s in shapes[:2]):
        return "batch normalisation"
    if name.startswith("aten::addcmul"):
        return "batch normalisation"
    return "all else"
