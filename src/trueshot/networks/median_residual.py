"""The CNN of median filter residuals: the median-filtered image minus the image.

Source: Chen, Kang, Liu, Wang 2015, "Median filtering forensics based on convolutional neural
networks", IEEE Signal Processing Letters 22(11), and its authors' layer file.

Choices of ours: edge pixels are repeated where the median's window leaves the image; the residual
is a signed number (their data file stores it modulo 256); and, in the short recipes,
`normalisation: batch`, `places: mean`, narrower layers and Adam. The fully connected layers have
5120 units in the paper's text and 4096, the default here, in its layer file.
"""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from trueshot.networks.filter_first import FilterFirst, connected
from trueshot.networks.layers import Luma, max_pool, normalised, pooled
from trueshot.networks.registry import Filters, NetworkSettings, Units, register

DEFAULT_FILTERS = (128, 256, 384, 384, 256)
_SIDES = (5, 3, 3, 3, 3)  # sides of the filters
_POOLED = (0, 1, 4)  # convolutions followed by max pooling
_SMALL = 64  # below this image side the first pooling is left out

# Exchanges that move the median of nine values to the middle; source: Smith 1996, as in
# Devillard 1998, "Fast median search".
_EXCHANGES = (
    *((1, 2), (4, 5), (7, 8), (0, 1), (3, 4), (6, 7), (1, 2), (4, 5), (7, 8), (0, 3), (5, 8)),
    *((4, 7), (3, 6), (1, 4), (2, 5), (4, 7), (4, 2), (6, 4), (4, 2)),
)


class MedianResidualSettings(NetworkSettings):
    """The CNN of median filter residuals, and its arguments."""

    name: Literal["median-residual"]
    side: int = Field(default=64, ge=16, le=256, description="Side of the crops, in pixels.")
    filters: tuple[Filters, Filters, Filters, Filters, Filters] = Field(
        default=DEFAULT_FILTERS, description="Numbers of filters of the five convolutions."
    )
    units: tuple[Units, Units] = Field(
        default=(4096, 4096),
        description="Widths of the two fully connected layers before the last.",
    )
    dropout: float = Field(
        default=0.5,
        ge=0,
        lt=1,
        description="Dropout probability after each hidden connected layer.",
    )
    normalisation: Literal["local-response", "batch"] = Field(
        default="local-response",
        description="local-response, as published: in the first two convolutions, after their "
        "pooling; batch: in all of them.",
    )
    places: Literal["connected", "mean"] = Field(
        default="connected",
        description="connected, as published: all positions of the last maps go to the fully "
        "connected layers; mean: the mean over positions goes to a single layer.",
    )


class MedianResidual(nn.Module):
    """Median of 3 × 3 pixels minus the centre pixel, for grey levels (n, 1, h, w)."""

    def forward(self, planes: Tensor) -> Tensor:
        padded = functional.pad(planes, (1, 1, 1, 1), mode="replicate")
        height, width = (int(size) for size in planes.shape[2:])
        nine = [padded[..., y : y + height, x : x + width] for y in range(3) for x in range(3)]
        for low, high in _EXCHANGES:
            smaller = torch.minimum(nine[low], nine[high])
            nine[high] = torch.maximum(nine[low], nine[high])
            nine[low] = smaller
        return nine[4] - planes


class LocalResponse(nn.Module):
    """x / (1 + α · mean of x² over 5 × 5 pixels of the channel)^β, as Caffe's WITHIN_CHANNEL.

    Source: Jia et al. 2014, arXiv:1408.5093; α = 1e-4, β = 0.75, as in the authors' layer file.
    """

    def forward(self, features: Tensor) -> Tensor:
        means = functional.avg_pool2d(features.square(), 5, stride=1, padding=2)
        return features * (1 + 1e-4 * means).pow(-0.75)


@register("median-residual")
class MedianResidualCNN(FilterFirst):
    """Median filter residual, five convolutions, three of them pooled, three connected layers.

    Args:
        side: Height and width of the images. Below 64 px the first convolution is not pooled, as
            published for 32 px.
        filters: Numbers of filters of the five convolutions.
        units: Widths of the two fully connected layers before the last.
        dropout: Dropout probability after each of them.
        normalisation: `local-response`, as published, in the first two convolutions after their
            pooling; or `batch`, in all of them.
        places: `connected`: all positions go to the fully connected layers, as published; `mean`:
            the mean over positions goes directly to the last layer.
        classes: Number of logits.

    Raises:
        ValueError: Fewer than two classes, or an unknown value of `normalisation` or `places`.
    """

    Settings = MedianResidualSettings
    picture = "filtered"

    def __init__(
        self,
        side: int = 64,
        filters: tuple[int, ...] = DEFAULT_FILTERS,
        units: tuple[int, int] = (4096, 4096),
        dropout: float = 0.5,
        normalisation: str = "local-response",
        places: str = "connected",
        classes: int = 2,
    ) -> None:
        super().__init__(side, classes)
        if normalisation not in ("local-response", "batch"):
            raise ValueError(
                f"normalisation must be local-response or batch, got {normalisation!r}"
            )
        if places not in ("connected", "mean"):
            raise ValueError(f"places must be connected or mean, got {places!r}")
        self.luma = Luma()
        self.residual = MedianResidual()
        layers: list[nn.Module] = []
        size = side
        for number, (before, after) in enumerate(zip((1, *filters), filters, strict=False)):
            by_batch = normalisation == "batch"
            layers += _convolution(before, after, _SIDES[number], by_batch)
            if number in _POOLED and (number > 0 or side >= _SMALL):
                layers.append(max_pool())
                size = pooled(size)
            if number < 2 and not by_batch:
                layers.append(LocalResponse())
        self.units = nn.Sequential(*layers)
        if places == "mean":
            self.classifier = nn.Sequential(
                nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(filters[-1], classes)
            )
        else:
            self.classifier = connected(filters[-1] * size**2, units, classes, dropout=dropout)
        if normalisation == "local-response":
            self._begin_as_published()

    def filtered(self, images: Tensor) -> Tensor:
        """Return the median filter residual of luma."""
        filtered: Tensor = self.residual(self.luma(images))
        return filtered

    @torch.no_grad()
    def _begin_as_published(self) -> None:
        """Set Gaussian weights; biases of 0 in convolutions 1 and 3 and the last layer, else 1."""
        convolutions = [m for m in self.units if isinstance(m, nn.Conv2d)]
        connected = [m for m in self.classifier if isinstance(m, nn.Linear)]
        zero = (convolutions[0].bias, convolutions[2].bias, connected[-1].bias)
        weights = [(m.weight, m.bias, 0.01) for m in convolutions]
        weights += [(m.weight, m.bias, 0.005) for m in connected]
        for weight, offset, deviation in weights:
            nn.init.normal_(weight, std=deviation)
            assert offset is not None
            nn.init.constant_(offset, 0.0 if any(offset is each for each in zero) else 1.0)


def _convolution(before: int, after: int, side: int, by_batch: bool) -> list[nn.Module]:
    if by_batch:
        return normalised(before, after, side)
    return [nn.Conv2d(before, after, side, padding=side // 2), nn.ReLU()]
