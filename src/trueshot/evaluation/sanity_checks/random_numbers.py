"""Helpers of the probes: margins and verdicts in chunks, and a fixed random state."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from trueshot.attacks import margin
from trueshot.detector import Detector

_VALUES = 3 << 19  # values per chunk: 128 crops of 64 px, 8 of 256 px


def chunk_of(images: Tensor) -> int:
    """Return how many images of this size a detector gets at a time."""
    return max(2, min(128, _VALUES // max(1, images[0].numel())))


@contextmanager
def random_numbers_from(seed: int, device: torch.device) -> Iterator[None]:
    """Seed the global random state inside the context, and restore it afterwards."""
    devices = [device.index or 0] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        yield


@torch.no_grad()
def margins(detector: Detector, images: Tensor, labels: Tensor) -> Tensor:
    """Compute the largest wrong logit minus the true one, float64, shape (n,).

    The detector's mode is not changed.
    """
    return in_chunks(images, labels, lambda some, truth: margin(detector(some), truth).double())


@torch.no_grad()
def wrong(detector: Detector, images: Tensor, labels: Tensor) -> Tensor:
    """Return which images are misclassified, shape (n,); ties and NaN are left to argmax."""
    return in_chunks(images, labels, lambda some, truth: detector(some).argmax(1) != truth)


def in_chunks(
    images: Tensor, labels: Tensor, compute: Callable[[Tensor, Tensor], Tensor]
) -> Tensor:
    """Apply `compute` to one chunk after the other, and concatenate the results."""
    size = chunk_of(images)
    parts = zip(images.split(size), labels.split(size), strict=True)
    return torch.cat([compute(some, of_them) for some, of_them in parts])
