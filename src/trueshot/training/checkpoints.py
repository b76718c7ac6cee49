"""Checkpoints: everything a run needs to resume as if never interrupted. No pickle."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor

from trueshot.bundle import read_safetensors
from trueshot.detector import Detector
from trueshot.errors import BundleError, RunError
from trueshot.files import write_atomically

_KEY = "trueshot-checkpoint"


@dataclass
class Progress:
    """Progress of a run: all of its state but the tensors.

    Random number generators need no state: each step draws from the seed and the step's number,
    dropout masks included.

    Args:
        step: Number of steps done.
        sums: Sums of the loss parts since the last line of the log.
        counted: Number of steps in `sums`.
        seconds: Training time so far, over all starts.
    """

    step: int = 0
    sums: dict[str, float] = field(default_factory=dict)
    counted: int = 0
    seconds: float = 0.0


def save_checkpoint(
    path: Path,
    detector: Detector,
    optimizer: torch.optim.Optimizer,
    progress: Progress,
    average: Detector | None = None,
) -> None:
    """Write weights, buffers, the optimiser's moments and the progress to one checkpoint file."""
    write_atomically(path, checkpoint(detector, optimizer, progress, average))


def checkpoint(
    detector: Detector,
    optimizer: torch.optim.Optimizer,
    progress: Progress,
    average: Detector | None = None,
) -> bytes:
    """Return the content of a checkpoint file."""
    tensors = {f"detector.{name}": value for name, value in detector.state_dict().items()}
    if average is not None:
        tensors |= {f"average.{name}": value for name, value in average.state_dict().items()}
    for index, moments in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{name}": value for name, value in moments.items()}
    # A copy of each, since a network may hold one tensor under two names.
    contiguous = torch.contiguous_format
    cpu = {name: t.detach().cpu().clone(memory_format=contiguous) for name, t in tensors.items()}
    return save(cpu, metadata={_KEY: json.dumps(asdict(progress))})


def load_checkpoint(
    path: Path,
    detector: Detector,
    optimizer: torch.optim.Optimizer,
    average: Detector | None = None,
) -> Progress:
    """Load a checkpoint into a detector and its optimiser, both built from the same recipe.

    Raises:
        RunError: The file is damaged, or belongs to another recipe.
    """
    try:
        tensors, header = read_safetensors(path)
        progress = Progress(**json.loads(header[_KEY]))
        detector.load_state_dict(_under("detector.", tensors))
        if average is not None:
            average.load_state_dict(_under("average.", tensors))
        _load_moments(optimizer, _under("optimizer.", tensors))
    except (BundleError, KeyError, ValueError, TypeError, RuntimeError) as error:
        raise RunError(
            f"{path}: damaged, or not a checkpoint of this run ({error}); "
            "delete it to start from the beginning"
        ) from error
    return progress


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}


def _load_moments(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        index, moment = name.split(".", 1)
        parameter = parameters[int(index)]
        if value.shape == parameter.shape:
            # In the parameter's memory layout: summing in another order would give other bits.
            value = torch.empty_like(parameter).copy_(value)
        state.setdefault(int(index), {})[moment] = value
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
