"""Time spent in a step, by kind of operation."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from speed.rows import DIFFERENCE, EXACT, PLAIN, step_calls
from speed.timing import Call, Settings, table

STEPS = 3
KINDS = (
    "convolutions",
    "their gradients",
    "Laplacian and pooling",
    "batch normalisation",
    "ReLU",
    "all else, Python included",
)


def profile(settings: Settings) -> Iterator[str]:
    """Yield the milliseconds of a step by kind of operation, and their sum."""
    yield "## Where the time goes\n\nMilliseconds of a step, batch 64, operation by operation."
    for side in settings.sides:
        calls = step_calls(side, 64, (PLAIN, DIFFERENCE, EXACT))
        spent = {name: _by_kind(call) for name, call in calls.items()}
        rows = [[kind, *(f"{spent[name][kind]:.1f}" for name in calls)] for kind in KINDS]
        sums = [f"{sum(kinds.values()):.1f}" for kinds in spent.values()]
        yield table([f"{side} px", *calls], [*rows, ["sum", *sums]])


class Clock(TorchDispatchMode):
    """Adds up the time of operations by kind; PyTorch's profiler disturbs the memory it watches."""

    def __init__(self) -> None:
        super().__init__()
        self.milliseconds: dict[str, float] = defaultdict(float)

    def __torch_dispatch__(
        self, operation: Any, types: Any, arguments: Any = (), settings: Any = None
    ) -> Any:
        started = time.perf_counter()
        result = operation(*arguments, **(settings or {}))
        spent = time.perf_counter() - started
        shapes = [list(each.shape) for each in arguments if isinstance(each, Tensor)]
        self.milliseconds[_kind(operation.overloadpacket.__name__, shapes)] += 1000 * spent
        return result


def _by_kind(call: Call) -> dict[str, float]:
    call()
    call()
    clock = Clock()
    started = time.perf_counter()
    with clock:
        for _ in range(STEPS):
            call()
    whole = 1000 * (time.perf_counter() - started)
    clock.milliseconds[KINDS[-1]] += whole - sum(clock.milliseconds.values())
    return {kind: spent / STEPS for kind, spent in clock.milliseconds.items()}


def _kind(name: str, shapes: list[list[int]]) -> str:
    if name.startswith("convolution"):
        weight = shapes[1 if name == "convolution" else 2]
        if weight[1] == 1:
            return "Laplacian and pooling"
        return "convolutions" if name == "convolution" else "their gradients"
    if name in ("relu", "relu_", "threshold_backward"):
        return "ReLU"
    large = any(len(shape) == 4 and shape[1] >= 8 for shape in shapes)
    if name.startswith("addcmul") or (large and name in ("mul", "sum", "square_")):
        return "batch normalisation"
    return KINDS[-1]
