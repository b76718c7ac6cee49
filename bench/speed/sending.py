"""Send a detector and images to another environment, and receive its measurements."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

import trueshot
from speed.elsewhere import IMAGES, LABELS
from speed.settings import Settings
from trueshot.detector import Detector
from trueshot.networks import LCNN
from trueshot.pixels import to_bytes


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
