"""The base class of channels, and chains of channels.

A channel changes each image by itself, from the whole levels of a file to whole levels. The same
image is always changed in the same way, whatever batch it is in. Each kind of channel is a frozen
dataclass with settings, a short name and one call.
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
    """Base class of changes of an image in transit; a subclass defines how one image changes."""

    @property
    @abstractmethod
    def name(self) -> str:
        """Short name for tables and file names, such as `jpeg-75`."""

    @abstractmethod
    def changed(self, pixels: Bytes) -> Bytes:
        """Return one image, RGB bytes of shape (h, w, 3), as it leaves the channel."""

    @final
    def __call__(self, images: Tensor) -> Tensor:
        """Send images through the channel, each by itself.

        Args:
            images: Levels in [0, 255], shape (n, 3, h, w); rounded first to the levels of a file.

        Returns:
            Whole levels of the same dtype on the same device. The shape is (n, 3, h, w) too,
            unless the channel resizes without resizing back.
        """
        if not len(images):
            return images
        arrived = [self.changed(pixels) for pixels in to_bytes(images)]
        return to_levels(np.stack(arrived), images.dtype, images.device)


@final
@dataclass(frozen=True)
class Chain(Channel):
    """Several channels, one after the other, with an image of whole levels between them.

    Args:
        steps: One or more channels, in order.
        title: Name of the chain; by default the names of the steps joined by `+`.

    Raises:
        ValueError: There are no steps.
    """

    steps: Sequence[Channel]
    _: KW_ONLY
    title: str = ""

    def __post_init__(self) -> None:
        if not self.steps:
            raise ValueError("steps must not be empty")
        object.__setattr__(self, "steps", tuple(self.steps))

    @property
    def name(self) -> str:
        return self.title or "+".join(step.name for step in self.steps)

    def changed(self, pixels: Bytes) -> Bytes:
        for step in self.steps:
            pixels = step.changed(pixels)
        return pixels


def check_positive(name: str, value: float) -> None:
    """Raise a ValueError that names the parameter, unless `value` is positive and finite."""
    if not (math.isfinite(value) and value > 0):
        raise ValueError(f"{name} must be positive and finite, got {value}")


def filed(levels: Floats) -> Bytes:
    """Round and clip levels to the bytes of a file."""
    return np.rint(levels).clip(0, LEVELS).astype(np.uint8)
