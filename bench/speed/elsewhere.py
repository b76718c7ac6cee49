"""Time torchattacks beside trueshot in a separate environment, because it requires torchvision.

    python -m speed.elsewhere FILE

`measure_elsewhere` writes FILE and runs this module there, with this checkout's trueshot.
`bench/run.py` describes how to create the environment.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

import trueshot
from speed.equality import for_check, require_equal, success
from speed.timing import Settings, in_turns
from trueshot.attacks import FGSM, PGD, perturb
from trueshot.detector import Detector
from trueshot.memory import keep_freed_memory
from trueshot.networks import LCNN
from trueshot.pixels import LEVELS, to_bytes, to_levels

Attacking = Callable[[], Tensor]
IMAGES, LABELS = "images", "labels"


def measure_elsewhere(
    settings: Settings,
    detector: Detector,
    images: Tensor,
    labels: Tensor,
    budget: float,
    steps: int,
) -> dict[str, Any]:
    """Return seconds by name and round, and for each name the success and share of equal levels.

    Args:
        settings: Settings with the Python of that environment.
        detector: An LCNN.
        images: Whole levels, shape (n, 3, h, w).
        labels: True classes, shape (n,).
        budget: L∞ budget in levels.
        steps: Steps of PGD.

    Raises:
        CalledProcessError: The process failed; it has printed the reason.
    """
    assert isinstance(detector.network, LCNN)
    tensors = {name: value.contiguous() for name, value in detector.state_dict().items()}
    tensors |= {IMAGES: torch.from_numpy(to_bytes(images)), LABELS: labels}
    asked = {
        "filters": detector.network.filters,
        "offset": detector.offset,
        "scale": detector.scale,
        "budget": budget,
        "steps": steps,
        "threads": settings.threads,
        "seconds": settings.seconds,
        "rounds": settings.rounds,
    }
    folders = [str(Path(str(file)).parents[1]) for file in (__file__, trueshot.__file__)]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "asked.safetensors"
        save_file(tensors, file, metadata={"asked": json.dumps(asked)})
        done = subprocess.run(
            [str(settings.torchattacks), "-m", "speed.elsewhere", str(file)],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(folders)},
            stdout=subprocess.PIPE,
            check=True,
            text=True,
        )
    return dict(json.loads(done.stdout.splitlines()[-1]))


def main() -> None:
    with safe_open(sys.argv[1], framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        asked = json.loads(file.metadata()["asked"])
    keep_freed_memory()
    torch.set_num_threads(asked["threads"])
    images, labels = to_levels(tensors.pop(IMAGES).numpy()), tensors.pop(LABELS)
    detector = Detector(LCNN(asked["filters"]), offset=asked["offset"], scale=asked["scale"])
    detector.load_state_dict(tensors)
    detector.eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    print(json.dumps(_compare(detector, images, labels, asked)))


def _compare(
    detector: Detector, images: Tensor, labels: Tensor, asked: dict[str, Any]
) -> dict[str, Any]:
    budget, steps = asked["budget"], asked["steps"]
    same = _require_same(for_check(detector), images, labels, budget, steps)
    theirs = _theirs(detector, LEVELS, images, labels, budget, steps)
    scores = {
        name: (success(detector, call() * LEVELS, labels), same[name])
        for name, call in theirs.items()
    }
    ours = _ours(detector, images, labels, PGD(budget=budget, steps=steps))
    times = in_turns({**ours, **theirs}, asked["seconds"], asked["rounds"])
    return {"seconds": times.seconds, "scores": scores}


def _require_same(
    detector: Detector, images: Tensor, labels: Tensor, budget: float, steps: int
) -> dict[str, float]:
    """Return the share of levels set as ours, in units of 256 levels, which need no rounding.

    Images are kept away from 0 and 255, because that unit is clipped at other levels.
    """
    images, unit = images.clamp(budget, LEVELS - budget), LEVELS + 1
    ours = _ours(detector, images, labels, PGD(budget=budget, steps=steps, loss="cross_entropy"))
    theirs = _theirs(detector, unit, images, labels, budget, steps)
    pairs = zip(theirs.items(), ours.values(), strict=True)
    return {name: require_equal(name, mine(), call() * unit) for (name, call), mine in pairs}


def _ours(detector: Detector, images: Tensor, labels: Tensor, pgd: PGD) -> dict[str, Attacking]:
    return {
        "FGSM, trueshot": partial(perturb, FGSM(budget=pgd.budget), detector, images, labels),
        "PGD, trueshot": partial(perturb, pgd, detector, images, labels),
    }


def _theirs(
    detector: Detector, unit: float, images: Tensor, labels: Tensor, budget: float, steps: int
) -> dict[str, Attacking]:
    """Return calls that give images in units of `unit` levels: torchattacks only takes 0 to 1."""
    import torchattacks

    model = _InUnits(detector, unit).eval()
    most, step = budget / unit, budget / 4 / unit
    pgd = torchattacks.PGD(model, eps=most, alpha=step, steps=steps, random_start=False)
    return {
        "FGSM, torchattacks": partial(torchattacks.FGSM(model, eps=most), images / unit, labels),
        "PGD, torchattacks": partial(pgd, images / unit, labels),
    }


class _InUnits(nn.Module):
    def __init__(self, detector: Detector, unit: float) -> None:
        super().__init__()
        self.detector = detector
        self.unit = unit

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.detector(images * self.unit)
        return logits


if __name__ == "__main__":
    main()
