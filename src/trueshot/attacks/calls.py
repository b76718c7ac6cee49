"""The cost of an attack: forward and backward passes of the detector, counted per image."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Calls:
    """Number of passes that attacks have made so far.

    Args:
        forward: Forward passes of each image through the detector, shape (n,).
        backward: Backward passes to each image, shape (n,).
    """

    forward: Tensor
    backward: Tensor


_COUNTING: ContextVar[Calls | None] = ContextVar("calls", default=None)


@contextmanager
def counted(images: int) -> Iterator[Calls]:
    """Count the passes that attacks inside make on one batch of `images` images."""
    calls = Calls(torch.zeros(images, dtype=torch.long), torch.zeros(images, dtype=torch.long))
    token = _COUNTING.set(calls)
    try:
        yield calls
    finally:
        _COUNTING.reset(token)


def spend(*, forward: int = 0, backward: int = 0, places: Tensor | None = None) -> None:
    """Add passes to the active count, if there is one.

    Args:
        forward: Forward passes of each image.
        backward: Backward passes to each image.
        places: Indices of the images in the batch, shape (k,); by default all of them.
    """
    calls = _COUNTING.get()
    if calls is None:
        return
    which = slice(None) if places is None else places.cpu()
    calls.forward[which] += forward
    calls.backward[which] += backward
