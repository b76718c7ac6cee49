"""A network of local power spectra that ignores patterns weak enough for a small change to make.

The grid of a display, and the moiré it forms with the grid of a camera, are periodic over many
pixels. A few levels of noise can overwrite the evidence in a single pixel. The evidence of a
periodic pattern adds up over a window, while a change of ε levels can create or erase, at any one
frequency, at most an amplitude of 4ε/π, that of a square wave. The logarithm of the power is
therefore taken above a floor of about that size: weaker patterns, which an adversary could have
made, hardly affect the detector, and stronger ones do.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from trueshot.images.jpeg_tables import LUMA_WEIGHTS
from trueshot.networks.convolution import Conv2d
from trueshot.networks.layers import check_classes
from trueshot.networks.normalisation import BatchNorm2d
from trueshot.networks.registry import (
    MOST_SIDE,
    Explained,
    Filters,
    Network,
    NetworkSettings,
    register,
)
from trueshot.networks.windows import overlapping_windows

DEFAULT_SPECTRAL_FILTERS = (16, 32, 64)

# Luma, and the two colour differences that the subpixels of a display cause.
_COLOURS = (LUMA_WEIGHTS, (0.5, -0.5, 0.0), (-0.25, -0.25, 0.5))


class Spectra(nn.Module):
    """Logarithms of local power spectra: (n, 3, h, w) to (n, 3, window, window / 2 + 1).

    Windows overlap by half. The mean of each window is subtracted, a Hann taper is applied, and the
    powers of all windows are averaged (Welch 1967, "The use of fast Fourier transform for the
    estimation of power spectra"). A pattern of amplitude a at one frequency gives
    log(1 + (a / floor)²). Zero frequency is in the middle of the first axis and at the start of the
    second. The transform is a product with small matrices, which every device and export format
    supports.

    Args:
        window: Side of a window in pixels, even.
        floor: Amplitude in levels up to which a pattern hardly counts.
    """

    colours: Tensor
    rows: Tensor
    columns: Tensor

    def __init__(self, window: int, floor: float) -> None:
        super().__init__()
        self.window = window
        self.floor = floor
        self.register_buffer("colours", torch.tensor(_COLOURS), persistent=False)
        # Rows hold all frequencies, zero in the middle; columns half of them, as the input is real.
        rows = _transform(window, torch.arange(-window // 2, window // 2))
        columns = _transform(window, torch.arange(window // 2 + 1))
        self.register_buffer("rows", rows, persistent=False)
        self.register_buffer("columns", columns, persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        windows = overlapping_windows(images, self.colours, self.window)
        power = self._power(windows - windows.mean((3, 4), keepdim=True))
        return (power.mean(1) * (2 / self.floor) ** 2).log1p()

    def _power(self, windows: Tensor) -> Tensor:
        real, imaginary = windows @ self.columns[0], windows @ self.columns[1]
        cosines, sines = self.rows[0].T, self.rows[1].T
        in_phase = cosines @ real - sines @ imaginary
        out_of_phase = cosines @ imaginary + sines @ real
        return in_phase.square() + out_of_phase.square()


class SpectralSettings(NetworkSettings):
    """The network of local power spectra, and its arguments."""

    name: Literal["spectral"]
    window: int = Field(
        default=64,
        ge=8,
        le=MOST_SIDE,
        description="Side of the windows, in pixels; at most that of the crops.",
    )
    floor: float = Field(
        default=5.0,
        gt=0,
        description="Amplitude of a pattern, in levels, up to which it hardly counts.",
    )
    filters: tuple[Filters, ...] = Field(
        default=DEFAULT_SPECTRAL_FILTERS,
        min_length=1,
        max_length=9,  # as often as a window can be halved
        description="Numbers of filters of the convolutions over frequencies.",
    )


@register("spectral")
class SpectralNetwork(Network):
    """Convolutions over the frequencies of local power spectra, then one fully connected layer.

    The position of a peak gives the pitch of a grid, so frequencies are not averaged.

    Args:
        window: Side of the windows in pixels; images have to be at least as large.
        floor: Amplitude in levels up to which a pattern hardly counts.
        filters: Number of filters of each convolution; 2×2 max pooling follows all but the last.
        classes: Number of logits.

    Raises:
        ValueError: `window` cannot be halved as often as the pooling needs, `floor` or a number of
            filters is not positive, or there are fewer than two classes.
    """

    Settings = SpectralSettings
    picture = "spectrum"

    def __init__(
        self,
        window: int = 64,
        floor: float = 5.0,
        filters: Sequence[int] = DEFAULT_SPECTRAL_FILTERS,
        classes: int = 2,
    ) -> None:
        super().__init__()
        if not filters or min(filters) < 1:
            raise ValueError(f"filters must be one or more positive numbers, got {tuple(filters)}")
        halvings = 2 ** (len(filters) - 1)
        if window < 2 * halvings or window % (2 * halvings):
            raise ValueError(f"window must be a positive multiple of {2 * halvings}, got {window}")
        if not 0 < floor < math.inf:
            raise ValueError(f"floor must be positive and finite, got {floor}")
        self.classes = check_classes(classes)
        self.spectra = Spectra(window, floor)
        layers: list[nn.Module] = []
        for before, after in zip((3, *filters), filters, strict=False):
            layers += [nn.MaxPool2d(2)] if layers else []
            layers += [Conv2d(before, after, 3, padding=1, bias=False), BatchNorm2d(after)]
            layers += [nn.ReLU(inplace=True)]
        self.units = nn.Sequential(*layers)
        frequencies = (window // halvings) * ((window // 2 + 1) // halvings)
        self.classifier = nn.Linear(filters[-1] * frequencies, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Compute logits (n, classes) from levels (n, 3, h, w)."""
        return self._logits(self.spectra(images))

    def explained(self, images: Tensor) -> Explained:
        """Return logits and spectra of luma; averaging windows leaves no evidence by position."""
        spectra = self.spectra(images)
        return Explained(self._logits(spectra), first_layer=spectra[:, 0])

    def _logits(self, spectra: Tensor) -> Tensor:
        maps = spectra.contiguous(memory_format=torch.channels_last)
        logits: Tensor = self.classifier(self.units(maps).flatten(1))
        return logits


def _transform(window: int, frequencies: Tensor) -> Tensor:
    """Return cosines and sines times a Hann window of sum 1, shape (2, window, frequencies)."""
    hann = torch.hann_window(window, periodic=False, dtype=torch.float64)
    angles = -2 * math.pi * torch.arange(window).double()[:, None] * frequencies / window
    waves = torch.stack([angles.cos(), angles.sin()])
    return (waves * (hann / hann.sum())[:, None]).float()
