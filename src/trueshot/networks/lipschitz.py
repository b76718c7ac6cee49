"""A network whose score never moves farther than the image: its verdicts can be proven.

If every level of an image is changed by up to ε, the score changes by up to ε, whatever the
weights; so a score of 3 above the threshold is a proof that no change of fewer than 3 levels turns
the verdict. That holds because each step moves, in L2, no farther than what it is given:

- The spectrum of a window is a rotation of its weighed pixels (Parseval): a change of ε levels
  everywhere moves all of its amplitudes together by a root mean square of ε. A grid adds up at few
  frequencies; an adversary's budget has to serve all of them.
- Colours are turned into their mean and two differences, another rotation; amplitudes do not see
  phases; windows are averaged; amplitudes are sorted within groups of frequencies; lengths of parts
  are taken. None of these moves two things farther apart.
- The layers are residual ones that are scaled so that they do not either (Araujo et al. 2023,
  "A unified algebraic perspective on Lipschitz neural networks", arXiv:2303.03169), and the last
  weights have length 1.
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

HIGHEST_FREQUENCY = 0.5
_GREY = 127.5  # taken away before the transform: what is left rounds finer, and no change notices
_LEAST = 1e-3  # of a length, so that its gradient is finite
_TINY = 1e-12
_ON_AXIS = 0.06  # radians from an axis that count as on it
# Mean of the colours and two differences: a rotation of red, green and blue.
_ROTATION = ((3**-0.5,) * 3, (2**-0.5, 0.0, -(2**-0.5)), (6**-0.5, -2 * 6**-0.5, 6**-0.5))


class Amplitudes(nn.Module):
    """Amplitudes of windowed spectra, averaged: (n, 3, h, w) to (n, 2, window, window / 2).

    Windows with a periodic Hann taper overlap by half; a last strip narrower than half a window is
    left out. The first of the two is the amplitude of the mean of the colours, the second the
    length of their differences. All together move by no more than the root mean square of a
    change, and no more than its L2 length over `l2_scale`. Rows begin at frequency zero and go
    round; columns go from zero up to half the sampling rate, which is left out; the mirror images
    in the first column, and what is its own mirror image, are zero.

    Args:
        window: Side in pixels, even.
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
        # |sum| squared over all frequencies is window² × sum of squares; half of it is looked at.
        self.energy = float((hann**2).sum()) ** 2
        scale = math.sqrt(2 / (3 * window**2 * self.energy))
        angles = -2 * math.pi * np.outer(steps, steps) / window
        waves = np.stack([np.cos(angles), np.sin(angles)]) * hann[:, None]
        once = np.ones((window, window // 2))
        once[window // 2 :, 0] = once[0, 0] = 0
        once[window // 2] = 0  # in part its own mirror image; no ring reaches it
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
        """Of each window and rotated colour, shape (n, windows, 3, window, window / 2)."""
        windows = self._windows(images)
        real, imaginary = windows @ self.columns[0], windows @ self.columns[1]
        cosines, sines = self.rows[0], self.rows[1]
        in_phase = cosines @ real - sines @ imaginary
        out_of_phase = cosines @ imaginary + sines @ real
        return _length(torch.stack([in_phase, out_of_phase]), 0) * self.once

    def _windows(self, images: Tensor) -> Tensor:
        height, width = (int(size) for size in images.shape[2:])  # as an exported graph keeps them
        if min(height, width) < self.window:
            raise ValueError(f"{width}×{height} px: smaller than a window of {self.window} px")
        half = self.window // 2
        down, across = height // half, width // half
        images = images[:, :, : down * half, : across * half] - _GREY
        colours = self.rotation @ images.reshape(-1, 3, down * across * half * half)
        cells = colours.reshape(-1, 3, down, half, across, half).permute(0, 2, 4, 1, 3, 5)
        cells = torch.cat([cells[:, :, :-1], cells[:, :, 1:]], 5)
        cells = torch.cat([cells[:, :-1], cells[:, 1:]], 4)
        count = (down - 1) * (across - 1)
        return cells.reshape(-1, count, 3, self.window, self.window)

    def l2_scale(self, height: int, width: int) -> float:
        """Levels in L2, over an image of that size, that may move the amplitudes by 1.

        Windows share the length of a change: the squares of the taper, summed over all windows
        that hold a pixel, are at most 1, so m windows move together by at most √m times what one
        window could be moved by.
        """
        half = self.window // 2
        count = (height // half - 1) * (width // half - 1)
        return math.sqrt(3 * self.energy * count)


class Groups(nn.Module):
    """Amplitudes by ring and direction: of each group the highest, and the length of the rest.

    A lattice turned by a quarter is the same lattice, and one mirrored is as likely: directions
    are those on an axis, nearer to the horizontal one, and nearer to the vertical one.

    Args:
        window: Side of the windows.
        lowest: Frequency at which rings begin, cycles per pixel; they end at a half.
        rings: Their number.
        highest: Amplitudes of a group that are looked at one by one.

    Raises:
        ValueError: So many rings that one holds too few frequencies.
    """

    order: Tensor

    def __init__(self, window: int, lowest: float, rings: int, highest: int) -> None:
        super().__init__()
        self.highest = highest
        places = _places(window, lowest, rings)
        self.counts = [len(each) for each in places]
        if min(self.counts) <= highest:
            raise ValueError(f"{rings} rings of windows of {window} px: too few frequencies in one")
        self.register_buffer("order", torch.tensor(np.concatenate(places)), persistent=False)
        self.features = 2 * len(places) * (highest + 1)

    def forward(self, amplitudes: Tensor) -> Tensor:
        """Amplitudes (n, 2, window, window / 2) to features (n, features)."""
        flat = amplitudes.flatten(2)[:, :, self.order]
        found = []
        for group in flat.split(self.counts, 2):
            ranked = group.sort(2, descending=True).values
            rest = _length(ranked[:, :, self.highest :], 2, keepdim=True)
            found += [ranked[:, :, : self.highest], rest]
        return torch.cat(found, 2).flatten(1)


def _places(window: int, lowest: float, rings: int) -> list[npt.NDArray[np.int64]]:
    """Where the frequencies of each group are in a flat half spectrum."""
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
    """x - 2 W T⁻¹ ReLU(Wᵀ x + b): moves no two points apart, whatever W, b and q are.

    T is diagonal: the sums of |WᵀW|·q² over q², which shares a row's length among units.

    Args:
        features: In and out.
        units: Hidden.

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
    window: int = Field(default=64, ge=16, le=MOST_SIDE, multiple_of=2, description="Pixels.")
    lowest: float = Field(
        default=0.1, ge=0.05, le=0.4, description="Frequency that rings begin at, per pixel."
    )
    rings: int = Field(default=10, ge=1, le=100, description="Of frequencies.")
    highest: int = Field(default=2, ge=1, le=16, description="Amplitudes of a group, one by one.")
    units: tuple[Annotated[int, Field(ge=1, le=1024)], ...] = Field(
        default=(32,), max_length=8, description="Of the hidden layers."
    )


@register("lipschitz")
class LipschitzNetwork(Network):
    """Amplitudes in groups, residual layers, and a score in levels: logits are 0 and the score.

    Args:
        window: Side of the windows in pixels; any image of at least that size is taken.
        lowest: Frequency at which rings begin, in cycles per pixel.
        rings: Of frequencies.
        highest: Amplitudes of a group that are looked at one by one.
        units: Of the hidden layers; none for a sum of features with weights.
        classes: Two.

    Raises:
        ValueError: More classes than two, or rings too narrow for the windows.
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
            raise ValueError(f"a score tells two classes apart, got {classes}")
        self.classes = classes
        self.amplitudes = Amplitudes(window)
        self.groups = Groups(window, lowest, rings, highest)
        features = self.groups.features
        self.layers = nn.Sequential(*(Residual(features, each) for each in units))
        self.weight = nn.Parameter(torch.ones(features))
        self.threshold = nn.Parameter(torch.tensor(10.0))

    def forward(self, images: Tensor) -> Tensor:
        """Levels of shape (n, 3, h, w) to logits of shape (n, 2)."""
        score = self.score(self.features(images))
        return torch.stack([torch.zeros_like(score), score], 1)

    def features(self, images: Tensor) -> Tensor:
        """What the layers are given, shape (n, features)."""
        features: Tensor = self.groups(self.amplitudes(images))
        return features

    def score(self, features: Tensor) -> Tensor:
        """Levels above the threshold, shape (n,)."""
        score: Tensor = self.layers(features) @ (self.weight / self.weight.norm()) - self.threshold
        return score


def _length(parts: Tensor, dim: int, *, keepdim: bool = False) -> Tensor:
    """In L2, and no less than a thousandth of a level, where it would have no gradient."""
    return parts.square().sum(dim, keepdim=keepdim).clamp(min=_LEAST**2).sqrt()
