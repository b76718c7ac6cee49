"""Three CNNs for double JPEG: on pixels, on noise residuals, on histograms of DCT coefficients.

Source: Barni, Bondi, Bonettini, Bestagini, Costanzo, Maggini, Tondi, Tubaro 2017, "Aligned and
non-aligned double JPEG detection using convolutional neural networks", arXiv:1708.00930. Only
the abstract and a reader's notes were read, not the full text. Choices of ours, where neither says
anything: no padding; 128 instead of the training mean; no activation between convolutions and max
pooling; for the histograms, bins of width 1 centred on the whole numbers from -50 to 50, and
convolutions with 64 filters of 5 × 5 followed by batch normalisation, as in a later network with
the same histogram layer.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from trueshot.networks.filter_first import FilterFirst, connected
from trueshot.networks.layers import (
    Luma,
    check_classes,
    check_smallest,
    max_pool,
    normalised,
    pooled,
)
from trueshot.networks.registry import Filters, Network, NetworkSettings, register
from trueshot.networks.wavelets import NoiseResidual

_MIDDLE = 128.0
_BLOCK = 8
_LARGEST = 50  # bins are centred on the whole numbers from -50 to 50
_SIDE_OF_FILTERS = 5


class PixelCNNSettings(NetworkSettings):
    """Barni's network of pixels or of noise, and its arguments."""

    name: Literal["barni-pixels", "barni-noise"]
    side: int = Field(default=64, ge=32, le=256, description="Side of the crops, in pixels.")
    filters: Filters = Field(default=30, description="Number of filters of each convolution.")
    blocks: int = Field(
        default=3, ge=1, le=4, description="Number of convolutions; published: 4 for 256 px."
    )
    units: Filters = Field(default=500, description="Width of the hidden fully connected layer.")
    dropout: float = Field(
        default=0.5, ge=0, lt=1, description="Dropout probability after the hidden layer."
    )


class _ConvolutionsAndMaxima(FilterFirst):
    """5 × 5 convolutions, each followed by 2 × 2 max pooling, then two fully connected layers."""

    Settings = PixelCNNSettings

    def __init__(
        self,
        side: int = 64,
        filters: int = 30,
        blocks: int = 3,
        units: int = 500,
        dropout: float = 0.5,
        classes: int = 2,
    ) -> None:
        super().__init__(side, classes)
        self.luma = Luma()
        layers: list[nn.Module] = []
        size = side
        for number in range(blocks):
            layers.append(nn.Conv2d(filters if number else 1, filters, _SIDE_OF_FILTERS))
            layers.append(max_pool(2))
            size = pooled(size - _SIDE_OF_FILTERS + 1, 2)
            if size < 1:
                raise ValueError(f"side must be larger for {blocks} blocks, got {side}")
        self.units = nn.Sequential(*layers)
        self.classifier = connected(filters * size**2, (units,), classes, dropout=dropout)


@register("barni-pixels")
class BarniPixels(_ConvolutionsAndMaxima):
    """Barni's network of pixels.

    Args:
        side: Height and width of the images.
        filters: Number of filters of each convolution.
        blocks: Number of convolutions.
        units: Width of the hidden fully connected layer.
        dropout: Dropout probability after that layer.
        classes: Number of logits.

    Raises:
        ValueError: Fewer than two classes, or images too small for the convolutions.
    """

    def filtered(self, images: Tensor) -> Tensor:
        """Return luma minus 128."""
        planes: Tensor = self.luma(images)
        return planes - _MIDDLE


@register("barni-noise")
class BarniNoise(_ConvolutionsAndMaxima):
    """Barni's network of noise residuals: the noise that a wavelet filter removes.

    Its arguments are those of `BarniPixels`.
    """

    def __init__(self, side: int = 64, **more: float) -> None:
        super().__init__(side, **more)  # type: ignore[arg-type]
        self.residual = NoiseResidual(side)

    def filtered(self, images: Tensor) -> Tensor:
        """Return the noise residual of luma."""
        residual: Tensor = self.residual(self.luma(images))
        return residual


class HistogramCNNSettings(NetworkSettings):
    """Barni's network of histograms, and its arguments."""

    name: Literal["barni-histograms"]
    gamma: float = Field(
        default=1e6, gt=0, description="Steepness of the edges of a bin, per level."
    )
    soft_gamma: float = Field(
        default=4.0, gt=0, description="Steepness for the gradient, per level."
    )
    filters: Filters = Field(default=64, description="Number of filters of each convolution.")
    units: Filters = Field(default=500, description="Width of the hidden fully connected layer.")
    dropout: float = Field(
        default=0.5, ge=0, lt=1, description="Dropout probability after the hidden layer."
    )


class CoefficientHistograms(nn.Module):
    """Histograms of each of the 63 AC coefficients over the 8 × 8 blocks of an image.

    The share of coefficients above a bin edge is a mean of sigmoids of steepness γ; a bin is the
    difference between its two edges. With the published γ = 1e6 the gradient is zero nearly
    everywhere, and an attack would make no progress. The gradient is therefore that of bins with a
    lower steepness, whose values are not used (backward pass differentiable approximation, Athalye
    et al. 2018, arXiv:1802.00420, section 4.1.2).

    Args:
        gamma: Steepness of the sigmoids, per level of a coefficient.
        soft_gamma: Steepness used for the gradient, in the same unit.
    """

    basis: Tensor
    edges: Tensor

    def __init__(self, gamma: float, soft_gamma: float) -> None:
        super().__init__()
        self.gamma = gamma
        self.soft_gamma = soft_gamma
        self.register_buffer("basis", _cosines(), persistent=False)
        edges = torch.arange(-_LARGEST, _LARGEST + 2) - 0.5
        self.register_buffer("edges", edges, persistent=False)

    def forward(self, planes: Tensor) -> Tensor:
        """Map grey levels (n, 1, h, w) to (n, 1, 63, 101); blocks start at the upper left."""
        coefficients = functional.conv2d(planes - _MIDDLE, self.basis, stride=_BLOCK).flatten(2)
        with torch.no_grad():
            counted = self._histogram(coefficients, self.gamma)
        if not (torch.is_grad_enabled() and planes.requires_grad):
            return counted  # no layer before this one learns, so training needs no gradient
        soft = self._histogram(coefficients, self.soft_gamma)
        return counted + (soft - soft.detach())

    def _histogram(self, coefficients: Tensor, gamma: float) -> Tensor:
        above = torch.sigmoid(gamma * (coefficients[..., None, :] - self.edges[:, None])).mean(3)
        return (above[..., :-1] - above[..., 1:])[:, None]


@register("barni-histograms")
class BarniHistograms(Network):
    """Barni's network of histograms, for JPEG blocks that start at the upper left corner.

    It takes any image of at least 16 × 16 px and ignores incomplete blocks at the right and bottom.

    Args:
        gamma: Steepness of the bin edges; see `CoefficientHistograms`.
        soft_gamma: Steepness of the bin edges in the gradient.
        filters: Number of filters of each convolution.
        units: Width of the hidden fully connected layer.
        dropout: Dropout probability after that layer.
        classes: Number of logits.

    Raises:
        ValueError: Fewer than two classes, or a steepness that is not positive and finite.
    """

    Settings = HistogramCNNSettings

    def __init__(
        self,
        gamma: float = 1e6,
        soft_gamma: float = 4.0,
        filters: int = 64,
        units: int = 500,
        dropout: float = 0.5,
        classes: int = 2,
    ) -> None:
        super().__init__()
        if not (0 < gamma < math.inf and 0 < soft_gamma < math.inf):
            raise ValueError(
                f"gamma and soft_gamma must be positive and finite, got {gamma} and {soft_gamma}"
            )
        self.classes = check_classes(classes)
        self.luma = Luma()
        self.histograms = CoefficientHistograms(gamma, soft_gamma)
        self.units = nn.Sequential(
            *(*normalised(1, filters, _SIDE_OF_FILTERS), max_pool(2)),
            *(*normalised(filters, filters, _SIDE_OF_FILTERS), max_pool(2)),
            *(*normalised(filters, filters, _SIDE_OF_FILTERS), max_pool(2)),
        )
        rows, columns = _BLOCK**2 - 1, 2 * _LARGEST + 1
        for _ in range(3):
            rows, columns = pooled(rows, 2), pooled(columns, 2)
        self.classifier = connected(filters * rows * columns, (units,), classes, dropout=dropout)

    def forward(self, images: Tensor) -> Tensor:
        """Compute logits (n, classes) from levels (n, 3, h, w)."""
        check_smallest(images, 2 * _BLOCK)
        logits: Tensor = self.classifier(self.units(self.histograms(self.luma(images))))
        return logits


def _cosines() -> Tensor:
    """Return orthonormal DCT filters of a block's 63 AC coefficients, by rows, (63, 1, 8, 8)."""
    places = torch.arange(_BLOCK, dtype=torch.float64)
    waves = torch.cos(math.pi / (2 * _BLOCK) * (2 * places + 1) * places[:, None]) / 2
    waves[0] = math.sqrt(1 / _BLOCK)
    pairs = waves[:, None, :, None] * waves[None, :, None, :]
    return pairs.reshape(_BLOCK**2, 1, _BLOCK, _BLOCK)[1:].float()
