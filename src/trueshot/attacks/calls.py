"""What an attack costs: calls of the detector and of its gradient, for each image."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Calls:
    """Calls that attacks have made so far.

    Args:
        forward: Times that the detector judged each image, shape (n,).
        backward: Times that a gradient was pulled back to each image, shape (n,).
    """

    forward: Tensor
    backward: Tensor


_COUNTING: ContextVar[Calls | None] = ContextVar("calls", default=None)


@contextmanager
def counted(images: int) -> Iterator[Calls]:
    """Count the calls that attacks on one batch of so many images make inside."""
    calls = Calls(torch.zeros(images, dtype=torch.long), torch.zeros(images, dtype=torch.long))
    token = _COUNTING.set(calls)
    try:
        yield calls
    finally:
        _COUNTING.reset(token)


def spend(*, forward: int = 0, backward: int = 0, places: Tensor | None = None) -> None:
    """Enter calls into the count that is being kept, if one is.

    Args:
        forward: Calls of the detector on each image.
        backward: Gradients at each image.
        places: Numbers of the images in the batch, shape (k,); by default all of them.
    """
    calls = _COUNTING.get()
    if calls is None:
        return
    which = slice(None) if places is None else places.cpu()
    calls.forward[which] += forward
    calls.backward[which] += backward
