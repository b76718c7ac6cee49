"""What a channel is, and channels one after the other.

Each picture is changed by itself, from the whole levels of a file to whole levels; the same
picture is always changed in the same way, whatever batch it comes in. A kind of channel is a frozen
dataclass: settings, a short name, and one call.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from typing import final

import numpy as np
from torch import Tensor

from trueshot.pixels import LEVELS, Bytes, Floats, to_bytes, to_levels


class Channel(ABC):
    """What happens to a picture on its way: a kind says how one picture is changed."""

    @property
    @abstractmethod
    def name(self) -> str:
        """Short, for tables and the names of files: `jpeg-75`."""

    @abstractmethod
    def changed(self, pixels: Bytes) -> Bytes:
        """One picture, RGB bytes of shape (h, w, 3), as it arrives."""

    @final
    def __call__(self, images: Tensor) -> Tensor:
        """Send pictures through, each by itself.

        Args:
            images: Levels in [0, 255], shape (n, 3, h, w); rounded first, as a file's are.

        Returns:
            Whole levels of the same type on the same device; shape (n, 3, h, w), unless the
            channel is one that resizes and does not resize back.
        """
        if not len(images):
            return images
        arrived = [self.changed(pixels) for pixels in to_bytes(images)]
        return to_levels(np.stack(arrived), images.dtype, images.device)


@final
@dataclass(frozen=True)
class Chain(Channel):
    """One channel after the other; between them a picture is a file, of whole levels.

    Args:
        steps: In order, one or more.
        title: Name of the whole; by default the names of the steps joined by `+`.

    Raises:
        ValueError: No step.
    """

    steps: Sequence[Channel]
    _: KW_ONLY
    title: str = ""

    def __post_init__(self) -> None:
        if not self.steps:
            raise ValueError("steps: one or more wanted")
        object.__setattr__(self, "steps", tuple(self.steps))

    @property
    def name(self) -> str:
        return self.title or "+".join(step.name for step in self.steps)

    def changed(self, pixels: Bytes) -> Bytes:
        for step in self.steps:
            pixels = step.changed(pixels)
        return pixels


def check_positive(name: str, value: float) -> None:
    """Raises ValueError, with the name, for what is no positive number."""
    if not (math.isfinite(value) and value > 0):
        raise ValueError(f"{name}: a positive number wanted, got {value}")


def filed(levels: Floats) -> Bytes:
    """Levels as a file holds them."""
    return np.rint(levels).clip(0, LEVELS).astype(np.uint8)
