"""The camera model CNN of Tuama et al.: a fixed high-pass filter, then three convolutions.

Source: Tuama, Comby, Chaumont 2016, "Camera model identification with the use of deep
convolutional neural networks", IEEE WIFS. Only its abstract was read, which mentions the high-pass
filter. The filter (Kodovský and Fridrich's 5 × 5), all sizes and the dropout are from memory and
were not verified; treat them as choices of ours.
"""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from trueshot.networks.convolution import convolve
from trueshot.networks.filter_first import FilterFirst, connected
from trueshot.networks.layers import Luma, max_pool, pooled
from trueshot.networks.registry import NetworkSettings, Units, register

_HIGH_PASS = (
    (-1.0, 2.0, -2.0, 2.0, -1.0),
    (2.0, -6.0, 8.0, -6.0, 2.0),
    (-2.0, 8.0, -12.0, 8.0, -2.0),
    (2.0, -6.0, 8.0, -6.0, 2.0),
    (-1.0, 2.0, -2.0, 2.0, -1.0),
)
_FILTERS = (64, 64, 32)


class TuamaSettings(NetworkSettings):
    """Tuama's network and its arguments."""

    name: Literal["tuama"]
    side: int = Field(default=256, ge=32, le=512, description="Side of the crops, in pixels.")
    units: tuple[Units, Units] = Field(
        default=(256, 4096), description="Widths of the first two fully connected layers."
    )
    dropout: float = Field(
        default=0.5,
        ge=0,
        lt=1,
        description="Dropout probability after each hidden connected layer.",
    )


@register("tuama")
class Tuama(FilterFirst):
    """High-pass filter of luma, three convolutions with max pooling, three connected layers.

    Args:
        side: Height and width of the images.
        units: Widths of the first two fully connected layers.
        dropout: Dropout probability after each of them.
        classes: Number of logits.

    Raises:
        ValueError: Fewer than two classes.
    """

    Settings = TuamaSettings
    picture = "filtered"
    kernel: Tensor

    def __init__(
        self,
        side: int = 256,
        units: tuple[int, int] = (256, 4096),
        dropout: float = 0.5,
        classes: int = 12,
    ) -> None:
        super().__init__(side, classes)
        self.luma = Luma()
        kernel = torch.tensor(_HIGH_PASS)[None, None] / 12
        self.register_buffer("kernel", kernel, persistent=False)
        layers: list[nn.Module] = []
        size = (side - 4 - 1) // 2 + 1  # filtered, then stride 2 with padding 1
        for number, (before, after) in enumerate(zip((1, *_FILTERS), _FILTERS, strict=False)):
            stride = 1 if number else 2
            layers.append(nn.Conv2d(before, after, 3, stride=stride, padding=1))
            layers += [nn.ReLU(), max_pool()]
            size = pooled(size)
        self.units = nn.Sequential(*layers)
        self.classifier = connected(_FILTERS[-1] * size**2, units, classes, dropout=dropout)

    def filtered(self, images: Tensor) -> Tensor:
        """Return the high frequencies of luma."""
        return convolve(self.luma(images), self.kernel)
