"""Channels that blur an image, add noise to it, or change its brightness."""

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
    """Gaussian blur, truncated at four sigma; pixels at the edge are repeated beyond it.

    Args:
        sigma: Standard deviation in pixels.

    Raises:
        ValueError: `sigma` is not a positive number.
    """

    sigma: float

    def __post_init__(self) -> None:
        check_positive("sigma", self.sigma)

    @property
    def name(self) -> str:
        return f"blur-{self.sigma:g}"

    @property
    def radius(self) -> int:
        """Pixels from the centre of the kernel to its end."""
        return int(4 * self.sigma + 0.5)

    def changed(self, pixels: Bytes) -> Bytes:
        spread, reach = (self.sigma, self.sigma, 0), (self.radius, self.radius, 0)
        return filed(
            gaussian_filter(pixels.astype(np.float64), spread, mode="nearest", radius=reach)
        )


@final
@dataclass(frozen=True)
class Noisy(Channel):
    """Normally distributed noise, added to every level independently.

    Args:
        sigma: Standard deviation in levels.
        seed: Seed of the noise, which depends only on this and on the bytes of the image.

    Raises:
        ValueError: `sigma` is not a positive number, or `seed` is negative.
    """

    sigma: float
    _: KW_ONLY
    seed: int = 0

    def __post_init__(self) -> None:
        check_positive("sigma", self.sigma)
        if self.seed < 0:
            raise ValueError(f"seed must be at least 0, got {self.seed}")

    @property
    def name(self) -> str:
        return f"noise-{self.sigma:g}"

    def changed(self, pixels: Bytes) -> Bytes:
        random = np.random.default_rng([self.seed, zlib.crc32(pixels.tobytes())])
        return filed(pixels + random.normal(0.0, self.sigma, pixels.shape))


@final
@dataclass(frozen=True)
class Brightened(Channel):
    """Every level multiplied by a factor, plus an offset, clipped to 0 to 255.

    Args:
        levels: Offset, added after the multiplication; below 0 darkens.
        factor: Factor of every level.

    Raises:
        ValueError: `factor` is not a positive number, `levels` is not finite, or together they
            change nothing.
    """

    levels: float = 0.0
    _: KW_ONLY
    factor: float = 1.0

    def __post_init__(self) -> None:
        check_positive("factor", self.factor)
        if not math.isfinite(self.levels) or (self.levels == 0 and self.factor == 1):
            raise ValueError(
                f"levels must be finite, and must not be 0 if factor is 1; got {self.levels}"
            )

    @property
    def name(self) -> str:
        factor = [] if self.factor == 1 else [f"x{self.factor:g}"]
        levels = [] if self.levels == 0 else [f"{self.levels:+g}"]
        return "-".join(["bright", *factor, *levels])

    def changed(self, pixels: Bytes) -> Bytes:
        return filed(pixels * self.factor + self.levels)
