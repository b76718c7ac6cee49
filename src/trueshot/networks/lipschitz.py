"""A 1-Lipschitz network: its score changes no more than the image, so verdicts can be proven.

If every level of an image changes by up to ε, the score changes by up to ε, whatever the weights.
A score of 3 above the threshold therefore proves that no change of fewer than 3 levels flips the
verdict. This holds because the first step moves by at most ε in L2, and no later step increases an
L2 distance:

- By Parseval's theorem, the spectrum of a window is, up to its scale, a rotation of its tapered
  pixels: a change of ε levels everywhere moves the vector of its amplitudes by at most ε. A grid
  adds up at few frequencies, whereas an adversary's budget is spread over all of them.
- Colours are rotated into their mean and two differences, phases are dropped, windows are averaged,
  amplitudes are sorted within groups of frequencies, and L2 norms of parts are taken. None of these
  increases the distance between two inputs.
- The residual layers are scaled so that they do not increase it either (Araujo et al. 2023, "A
  unified algebraic perspective on Lipschitz neural networks", arXiv:2303.03169), and the last
  weight vector has norm 1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field
from torch import Tensor, nn

from trueshot.networks.registry import MOST_SIDE, Network, NetworkSettings, register
from trueshot.networks.windows import overlapping_windows

HIGHEST_FREQUENCY = 0.5
_GREY = 127.5  # subtracted before the transform to reduce rounding; distances stay the same
_LEAST = 1e-3  # smallest L2 norm, so that its gradient is finite
_TINY = 1e-12
_ON_AXIS = 0.06  # angle in radians up to which a frequency is on an axis
# Rotates red, green and blue to their mean and two differences.
_ROTATION = ((3**-0.5,) * 3, (2**-0.5, 0.0, -(2**-0.5)), (6**-0.5, -2 * 6**-0.5, 6**-0.5))


class Amplitudes(nn.Module):
    """Mean amplitudes of windowed spectra: (n, 3, h, w) to (n, 2, window, window / 2).

    Windows with a periodic Hann taper overlap by half; a last strip narrower than half a window is
    left out. The first channel is the amplitude of the mean colour, the second the L2 norm of the
    amplitudes of the two colour differences. In L2, the output moves by at most the largest change
    of a level, and by at most the L2 norm of the change divided by `l2_scale`. Rows start at
    frequency zero and wrap around; columns go from zero to half the sampling rate, which is left
    out. Zero frequency, mirror images in the first column, and the row at half the sampling rate
    are set to zero.

    Args:
        window: Side of the windows in pixels, even.
    """

    rows: Tensor
    columns: Tensor
    once: Tensor
    rotation: Tensor

    def __init__(self, window: int) -> None:
        super().__init__()
        self.window = window
        steps = np.arange(window)
        hann = 0.5 - 0.5 * np.cos(2 * math.pi * steps / window)
        # Parseval: |spectrum|² sums to window² × the sum of squared tapered pixels; half is used.
        self.energy = float((hann**2).sum()) ** 2
        scale = math.sqrt(2 / (3 * window**2 * self.energy))
        angles = -2 * math.pi * np.outer(steps, steps) / window
        waves = np.stack([np.cos(angles), np.sin(angles)]) * hann[:, None]
        once = np.ones((window, window // 2))
        once[window // 2 :, 0] = once[0, 0] = 0
        once[window // 2] = 0  # partly its own mirror image; outside all rings
        buffers = {
            "rows": waves.transpose(0, 2, 1) * scale,
            "columns": waves[:, :, : window // 2],
            "once": once,
            "rotation": np.array(_ROTATION),
        }
        for name, values in buffers.items():
            self.register_buffer(name, torch.tensor(values, dtype=torch.float32), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        parts = self.parts(images)
        colours = torch.cat([parts[:, :, :1], _length(parts[:, :, 1:], 2, keepdim=True)], 2)
        return colours.mean(1)

    def parts(self, images: Tensor) -> Tensor:
        """Return amplitudes by window and rotated colour, (n, windows, 3, window, window / 2)."""
        windows = overlapping_windows(images - _GREY, self.rotation, self.window)
        real, imaginary = windows @ self.columns[0], windows @ self.columns[1]
        cosines, sines = self.rows[0], self.rows[1]
        in_phase = cosines @ real - sines @ imaginary
        out_of_phase = cosines @ imaginary + sines @ real
        return _length(torch.stack([in_phase, out_of_phase]), 0) * self.once

    def l2_scale(self, height: int, width: int) -> float:
        """Return a lower bound on the L2 norm, in levels, of a change that moves the output by 1.

        The change is one of a whole image of this size. Windows share its norm: the squared tapers
        of all windows that contain a pixel sum to at most 1, so the movements of m windows add up
        to at most √m times what one window could be moved by.
        """
        half = self.window // 2
        count = (height // half - 1) * (width // half - 1)
        return math.sqrt(3 * self.energy * count)


class Groups(nn.Module):
    """Groups amplitudes by ring and direction: the highest of each, and the L2 norm of the rest.

    A lattice rotated by 90° is the same lattice, and its mirror image is as likely. So there are
    three directions: on an axis, nearer to the horizontal axis, and nearer to the vertical axis.

    Args:
        window: Side of the windows in pixels.
        lowest: Frequency at which the rings start, in cycles per pixel; they end at 0.5.
        rings: Number of rings.
        highest: Number of highest amplitudes that each group returns one by one.

    Raises:
        ValueError: A group has too few frequencies because there are too many rings.
    """

    order: Tensor

    def __init__(self, window: int, lowest: float, rings: int, highest: int) -> None:
        super().__init__()
        self.highest = highest
        places = _places(window, lowest, rings)
        self.counts = [len(each) for each in places]
        if min(self.counts) <= highest:
            raise ValueError(
                f"{rings} rings are too many for a window of {window} px: "
                f"each group needs more than {highest} frequencies"
            )
        self.register_buffer("order", torch.tensor(np.concatenate(places)), persistent=False)
        self.features = 2 * len(places) * (highest + 1)

    def forward(self, amplitudes: Tensor) -> Tensor:
        """Compute features (n, features) from amplitudes (n, 2, window, window / 2)."""
        flat = amplitudes.flatten(2)[:, :, self.order]
        found = []
        for group in flat.split(self.counts, 2):
            ranked = group.sort(2, descending=True).values
            rest = _length(ranked[:, :, self.highest :], 2, keepdim=True)
            found += [ranked[:, :, : self.highest], rest]
        return torch.cat(found, 2).flatten(1)


def _places(window: int, lowest: float, rings: int) -> list[npt.NDArray[np.int64]]:
    """Return, for each group, the indices of its frequencies in a flattened half spectrum."""
    down = np.abs(np.fft.fftfreq(window))[:, None]
    across = (np.arange(window // 2) / window)[None]
    radius, angle = np.hypot(down, across), np.arctan2(down, across)
    mirrored = (across == 0) & (np.arange(window)[:, None] >= window // 2)
    inside = (radius >= lowest) & (radius < HIGHEST_FREQUENCY) & (down < 0.5) & ~mirrored
    ring = ((radius - lowest) / (HIGHEST_FREQUENCY - lowest) * rings).astype(int)
    off_axis = np.minimum(angle, math.pi / 2 - angle)
    direction = np.where(off_axis < _ON_AXIS, 0, np.where(angle < math.pi / 4, 1, 2))
    group = np.where(inside, ring * 3 + direction, -1).ravel()
    return [np.flatnonzero(group == number) for number in range(3 * rings)]


class Residual(nn.Module):
    """x - 2 W T⁻¹ ReLU(Wᵀ x + b), which increases no distance, whatever W, b and q are.

    T is diagonal, with the entries Σⱼ |WᵀW|ᵢⱼ qⱼ² / qᵢ²; the learned q balances the units.

    Args:
        features: Number of inputs and of outputs.
        units: Number of hidden units.

    Source: Araujo et al. 2023, arXiv:2303.03169, theorem 3.
    """

    def __init__(self, features: int, units: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(units, features) / math.sqrt(features))
        self.bias = nn.Parameter(torch.zeros(units))
        self.balance = nn.Parameter(torch.ones(units))

    def forward(self, features: Tensor) -> Tensor:
        active = (features @ self.weight.T + self.bias).relu() * self.balance * self.balance
        overlap = (self.weight @ self.weight.T).abs() @ self.balance.square()
        return features - 2 * (active / (overlap + _TINY)) @ self.weight


class LipschitzSettings(NetworkSettings):
    """The 1-Lipschitz network of windowed spectra, and its arguments."""

    name: Literal["lipschitz"]
    window: int = Field(
        default=64,
        ge=16,
        le=MOST_SIDE,
        multiple_of=2,
        description="Side of the windows, in pixels.",
    )
    lowest: float = Field(
        default=0.1,
        ge=0.05,
        le=0.4,
        description="Frequency at which the rings start, in cycles per pixel.",
    )
    rings: int = Field(default=10, ge=1, le=100, description="Number of rings of frequencies.")
    highest: int = Field(
        default=2,
        ge=1,
        le=16,
        description="Number of highest amplitudes per group that are used one by one.",
    )
    units: tuple[Annotated[int, Field(ge=1, le=1024)], ...] = Field(
        default=(32,), max_length=8, description="Widths of the hidden layers."
    )


@register("lipschitz")
class LipschitzNetwork(Network):
    """Grouped amplitudes, residual layers, and a score in levels; the logits are 0 and the score.

    Args:
        window: Side of the windows in pixels; images have to be at least as large.
        lowest: Frequency at which the rings start, in cycles per pixel.
        rings: Number of rings of frequencies.
        highest: Number of highest amplitudes of each group that are used one by one.
        units: Widths of the hidden layers; if empty, the score is a weighted sum of the features.
        classes: Has to be 2.

    Raises:
        ValueError: `classes` is not 2, or the rings are too narrow for the windows.
    """

    Settings = LipschitzSettings

    def __init__(
        self,
        window: int = 64,
        lowest: float = 0.1,
        rings: int = 10,
        highest: int = 2,
        units: Sequence[int] = (32,),
        classes: int = 2,
    ) -> None:
        super().__init__()
        if classes != 2:
            raise ValueError(f"classes must be 2 for a network with a single score, got {classes}")
        self.classes = classes
        self.amplitudes = Amplitudes(window)
        self.groups = Groups(window, lowest, rings, highest)
        features = self.groups.features
        self.layers = nn.Sequential(*(Residual(features, each) for each in units))
        self.weight = nn.Parameter(torch.ones(features))
        self.threshold = nn.Parameter(torch.tensor(10.0))

    def forward(self, images: Tensor) -> Tensor:
        """Compute logits (n, 2) from levels (n, 3, h, w)."""
        score = self.score(self.features(images))
        return torch.stack([torch.zeros_like(score), score], 1)

    def features(self, images: Tensor) -> Tensor:
        """Compute the input of the residual layers, shape (n, features)."""
        features: Tensor = self.groups(self.amplitudes(images))
        return features

    def score(self, features: Tensor) -> Tensor:
        """Compute the scores from features: levels above the threshold, shape (n,)."""
        score: Tensor = self.layers(features) @ (self.weight / self.weight.norm()) - self.threshold
        return score


def _length(parts: Tensor, dim: int, *, keepdim: bool = False) -> Tensor:
    """Return the L2 norm along `dim`, at least 0.001, because at 0 it has no gradient."""
    return parts.square().sum(dim, keepdim=keepdim).clamp(min=_LEAST**2).sqrt()
