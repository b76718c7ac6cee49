"""Writes the weights of the small detectors that are attacked in tests: `python train_weights.py`.

They are stored because training comes out otherwise on another processor, and with it every share
of images that an attack breaks.
"""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional

from trueshot.attacks import PGD
from trueshot.detector import Detector

WEIGHTS = Path(__file__).parent / "weights"


class Residual(nn.Module):
    """What differs from its neighbourhood: where the grid of a screen is seen."""

    def forward(self, images: Tensor) -> Tensor:
        return images - functional.avg_pool2d(images, 3, 1, 1, count_include_pad=False)


def untrained_grid() -> Detector:
    """A detector of the grid of a screen."""
    network = nn.Sequential(
        Residual(),
        nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU()),
        nn.Sequential(nn.Conv2d(8, 16, 3, stride=2), nn.BatchNorm2d(16), nn.ReLU()),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(16, 2),
    )
    return Detector(network, scale=4.0)


def untrained_sides() -> Detector:
    """A detector of what is lighter at the sides."""
    network = nn.Sequential(
        *(nn.Conv2d(3, 12, 3, stride=2), nn.ELU(), nn.Conv2d(12, 16, 3, stride=2), nn.ELU()),
        *(nn.Flatten(), nn.Linear(16 * 9, 16), nn.ELU(), nn.Linear(16, 2)),
    )
    return Detector(network, offset=128.0, scale=32.0)


def stored(detector: Detector, name: str) -> Detector:
    """The detector with the weights of this name."""
    detector.load_state_dict(load_file(WEIGHTS / f"{name}.safetensors"))
    return detector.eval()


def train_grid() -> Detector:
    """Train on attacked crops, so that some of what it says holds."""
    from test_gradient_attacks import crops

    torch.manual_seed(0)
    detector = untrained_grid()
    images, labels = crops(0, 20)
    optimiser = torch.optim.Adam(detector.parameters(), 1e-2)
    random = torch.Generator().manual_seed(0)
    for number in range(200):
        rows = torch.randint(len(images), (64,), generator=random)
        batch, classes = images[rows], labels[rows]
        if number > 100:
            attack = PGD(budget=2.0 * (number / 100 - 1), steps=2, relative_step=0.7)
            batch = attack(detector, batch, classes)
        optimiser.zero_grad()
        functional.cross_entropy(detector(batch), classes).backward()
        optimiser.step()
    return detector


def train_sides() -> Detector:
    """Train on soft pictures."""
    from test_minimal_attacks import soft_images

    torch.manual_seed(0)
    detector = untrained_sides()
    images, labels = soft_images(512, seed=0)
    optimiser = torch.optim.Adam(detector.parameters(), 3e-3)
    for step in range(100):
        batch = torch.arange(64 * step, 64 * step + 64) % 512
        optimiser.zero_grad()
        functional.cross_entropy(detector(images[batch]), labels[batch]).backward()
        optimiser.step()
    return detector


if __name__ == "__main__":
    torch.set_num_threads(1)
    WEIGHTS.mkdir(exist_ok=True)
    for name, train in (("grid", train_grid), ("sides", train_sides)):
        save_file(train().state_dict(), WEIGHTS / f"{name}.safetensors")
