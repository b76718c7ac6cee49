"""Three CNNs for double JPEG: of pixels, of noise residuals, of histograms of DCT coefficients.

Source: Barni, Bondi, Bonettini, Bestagini, Costanzo, Maggini, Tondi, Tubaro 2017, "Aligned and
non-aligned double JPEG detection using convolutional neural networks", arXiv:1708.00930, of which
the abstract and a reader's notes were read, not the full text. What stands in neither is a choice
of ours: no padding, 128 in the place of the training mean, no activation between convolutions and
maxima; of the histograms the bins (whole numbers from -50 to 50, each half a step wide to both
sides), and convolutions of 64 filters of 5 × 5 with batch normalisation after them, as a later
network with the same layer has them.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from trueshot.networks.filter_first import FilterFirst, connected
from trueshot.networks.layers import Luma, check_classes, max_pool, normalised, pooled
from trueshot.networks.registry import Filters, Network, NetworkSettings, register
from trueshot.networks.wavelets import NoiseResidual

_MIDDLE = 128.0
_BLOCK = 8
_LARGEST = 50  # bins go from its opposite to it
_SIDE_OF_FILTERS = 5


class PixelCNNSettings(NetworkSettings):
    """Barni's network of pixels or of noise, and its arguments."""

    name: Literal["barni-pixels", "barni-noise"]
    side: int = Field(default=64, ge=32, le=256, description="Of the crops, in pixels.")
    filters: Filters = Field(default=30, description="Of each convolution.")
    blocks: int = Field(default=3, ge=1, le=4, description="Convolutions; published: 4 for 256 px.")
    units: Filters = Field(default=500, description="Of the fully connected layer.")
    dropout: float = Field(default=0.5, ge=0, lt=1, description="After it.")


class _ConvolutionsAndMaxima(FilterFirst):
    """Convolutions 5 × 5 with maxima of 2 × 2 after each, then two fully connected layers."""

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
                raise ValueError(f"{side} px: too small for {blocks} convolutions")
        self.units = nn.Sequential(*layers)
        self.classifier = connected(filters * size**2, (units,), classes, dropout=dropout)


@register("barni-pixels")
class BarniPixels(_ConvolutionsAndMaxima):
    """Barni's network of pixels.

    Args:
        side: Height and width of the images.
        filters: Of each convolution.
        blocks: Convolutions.
        units: Of the fully connected layer.
        dropout: After it.
        classes: Number of logits.

    Raises:
        ValueError: Fewer than two classes, or images too small for the convolutions.
    """

    def filtered(self, images: Tensor) -> Tensor:
        """Luma about 0."""
        planes: Tensor = self.luma(images)
        return planes - _MIDDLE


@register("barni-noise")
class BarniNoise(_ConvolutionsAndMaxima):
    """Barni's network of noise residuals: what a wavelet filter takes away as noise.

    Args: as of `BarniPixels`.
    """

    def __init__(self, side: int = 64, **more: float) -> None:
        super().__init__(side, **more)  # type: ignore[arg-type]
        self.residual = NoiseResidual(side)

    def filtered(self, images: Tensor) -> Tensor:
        """The noise residual of luma."""
        residual: Tensor = self.residual(self.luma(images))
        return residual


class HistogramCNNSettings(NetworkSettings):
    """Barni's network of histograms, and its arguments."""

    name: Literal["barni-histograms"]
    gamma: float = Field(
        default=1e6, gt=0, description="Steepness of the edges of a bin, per level."
    )
    soft_gamma: float = Field(
        default=4.0, gt=0, description="The same of the bins that a gradient passes."
    )
    filters: Filters = Field(default=64, description="Of each convolution.")
    units: Filters = Field(default=500, description="Of the fully connected layer.")
    dropout: float = Field(default=0.5, ge=0, lt=1, description="After it.")


class CoefficientHistograms(nn.Module):
    """Histograms of each of the 63 AC coefficients of the blocks of an image.

    The count below an edge is a sum of sigmoids of steepness γ; differences of neighbouring edges
    are the histogram, divided by the number of blocks. With the published γ = 1e6 its gradient is
    zero nearly everywhere, and an attack would stand still: a gradient passes bins of a softer
    steepness instead, whose values are not used (backward pass differentiable approximation,
    Athalye et al. 2018, arXiv:1802.00420, section 4.1.2).

    Args:
        gamma: Per level of a coefficient.
        soft_gamma: The same of the gradient.
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
        """Grey levels (n, 1, h, w), the grid beginning at the upper left, to (n, 1, 63, 101)."""
        coefficients = functional.conv2d(planes - _MIDDLE, self.basis, stride=_BLOCK).flatten(2)
        with torch.no_grad():
            counted = self._histogram(coefficients, self.gamma)
        if not (torch.is_grad_enabled() and planes.requires_grad):
            return counted  # nothing before it is learned: training needs no gradient here
        soft = self._histogram(coefficients, self.soft_gamma)
        return counted + (soft - soft.detach())

    def _histogram(self, coefficients: Tensor, gamma: float) -> Tensor:
        above = torch.sigmoid(gamma * (coefficients[..., None, :] - self.edges[:, None])).mean(3)
        return (above[..., :-1] - above[..., 1:])[:, None]


@register("barni-histograms")
class BarniHistograms(Network):
    """Barni's network of histograms, for a grid of blocks that begins at the upper left.

    Any image of at least 16 × 16 px is taken; what is over at the right and below is not looked at.

    Args:
        gamma: Steepness of the bins; see `CoefficientHistograms`.
        soft_gamma: Steepness of those that a gradient passes.
        filters: Of the convolutions.
        units: Of the fully connected layer.
        dropout: After it.
        classes: Number of logits.

    Raises:
        ValueError: Fewer than two classes, or a steepness that is none.
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
            raise ValueError(f"positive steepness wanted, got {gamma} and {soft_gamma}")
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
        """Levels of shape (n, 3, h, w) to logits of shape (n, classes)."""
        height, width = (int(size) for size in images.shape[2:])
        if min(height, width) < 2 * _BLOCK:
            raise ValueError(f"{width}×{height} px: 16×16 or more wanted")
        logits: Tensor = self.classifier(self.units(self.histograms(self.luma(images))))
        return logits


def _cosines() -> Tensor:
    """Filters of the 63 AC coefficients of a block, by rows, shape (63, 1, 8, 8); orthonormal."""
    places = torch.arange(_BLOCK, dtype=torch.float64)
    waves = torch.cos(math.pi / (2 * _BLOCK) * (2 * places + 1) * places[:, None]) / 2
    waves[0] = math.sqrt(1 / _BLOCK)
    pairs = waves[:, None, :, None] * waves[None, :, None, :]
    return pairs.reshape(_BLOCK**2, 1, _BLOCK, _BLOCK)[1:].float()
