"""What happens to a picture's light: blur, noise, brightness."""

from __future__ import annotations

import math
import zlib
from dataclasses import KW_ONLY, dataclass
from typing import final

import numpy as np
from scipy.ndimage import gaussian_filter

from trueshot.channels.base import Channel, check_positive, filed
from trueshot.pixels import Bytes


@final
@dataclass(frozen=True)
class Blurred(Channel):
    """Blurred by a Gaussian, cut off at four sigma; beyond the edge the edge is repeated.

    Args:
        sigma: Pixels.

    Raises:
        ValueError: Not a positive number.
    """

    sigma: float

    def __post_init__(self) -> None:
        check_positive("sigma", self.sigma)

    @property
    def name(self) -> str:
        return f"blur-{self.sigma:g}"

    @property
    def radius(self) -> int:
        """Pixels from the middle of the kernel to its end."""
        return int(4 * self.sigma + 0.5)

    def changed(self, pixels: Bytes) -> Bytes:
        spread, reach = (self.sigma, self.sigma, 0), (self.radius, self.radius, 0)
        return filed(
            gaussian_filter(pixels.astype(np.float64), spread, mode="nearest", radius=reach)
        )


@final
@dataclass(frozen=True)
class Noisy(Channel):
    """Noise of a normal distribution added to every level, independently.

    Args:
        sigma: Levels.
        seed: A picture's noise depends on this and on its own bytes alone.

    Raises:
        ValueError: `sigma` is not a positive number, or `seed` is negative.
    """

    sigma: float
    _: KW_ONLY
    seed: int = 0

    def __post_init__(self) -> None:
        check_positive("sigma", self.sigma)
        if self.seed < 0:
            raise ValueError(f"seed: 0 or more wanted, got {self.seed}")

    @property
    def name(self) -> str:
        return f"noise-{self.sigma:g}"

    def changed(self, pixels: Bytes) -> Bytes:
        random = np.random.default_rng([self.seed, zlib.crc32(pixels.tobytes())])
        return filed(pixels + random.normal(0.0, self.sigma, pixels.shape))


@final
@dataclass(frozen=True)
class Brightened(Channel):
    """Every level times a factor plus an offset, cut off at black and white.

    Args:
        levels: Added; below 0 for darker.
        factor: Multiplied with, before.

    Raises:
        ValueError: The factor is not positive, `levels` not finite, or they change nothing.
    """

    levels: float = 0.0
    _: KW_ONLY
    factor: float = 1.0

    def __post_init__(self) -> None:
        check_positive("factor", self.factor)
        if not math.isfinite(self.levels) or (self.levels == 0 and self.factor == 1):
            raise ValueError(f"levels: a number that changes some wanted, got {self.levels}")

    @property
    def name(self) -> str:
        factor = [] if self.factor == 1 else [f"x{self.factor:g}"]
        levels = [] if self.levels == 0 else [f"{self.levels:+g}"]
        return "-".join(["bright", *factor, *levels])

    def changed(self, pixels: Bytes) -> Bytes:
        return filed(pixels * self.factor + self.levels)
