"""Generated photographs on which two runtimes are compared: like scenes, like screens, extremes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float64]

IMAGES = 200


def photographs(side: int, most: int, seed: int = 0) -> Iterator[Bytes]:
    """The crops of 200 generated photographs: structure as in scenes and screens, and extremes.

    Args:
        side: Of the crops.
        most: Crops of a photograph; they have from 1 to so many, the first has all.
        seed: Equal seeds give equal photographs.

    Yields:
        Bytes, shape (n, side, side, 3).
    """
    random = np.random.default_rng(seed)
    kinds = (_clouds, _grid, _edges, _gradient)
    for number in range(IMAGES):
        count = most if number == 0 else int(random.integers(1, min(most, 6), endpoint=True))
        if number % 10 == 9:
            yield np.stack([_extreme(random, side, number // 10)] * count)
        else:
            made = [kinds[number % len(kinds)](random, side) for _ in range(count)]
            yield np.clip(np.round(made), 0, 255).astype(np.uint8)


def _clouds(random: np.random.Generator, side: int) -> Floats:
    """Noise of which the power falls with frequency, as in photographs."""
    across = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side))
    across[0, 0] = 1 / side
    noise = np.fft.rfft2(random.normal(size=(3, side, side))) / across ** random.uniform(0.3, 2)
    field = np.fft.irfft2(noise, (side, side)).transpose(1, 2, 0)
    made: Floats = random.uniform(20, 235) + random.uniform(2, 60) * field / field.std()
    return made


def _grid(random: np.random.Generator, side: int) -> Floats:
    """Waves across each other with stripes of colour, as of a display, and some noise."""
    y, x = np.mgrid[:side, :side]
    first, second = random.uniform(0.05, 3.1, (2, 2))
    waves = np.cos(first[0] * x + first[1] * y) * np.cos(second[0] * x - second[1] * y)
    colours = random.uniform(-60, 60, 3)
    noise = random.normal(0, random.uniform(0, 8), (side, side, 3))
    made: Floats = random.uniform(40, 215) + waves[..., None] * colours + noise
    return made


def _edges(random: np.random.Generator, side: int) -> Floats:
    """Flat areas that lie over one another."""
    y, x = np.mgrid[:side, :side] / side
    image = np.full((side, side, 3), random.uniform(0, 255))
    for _ in range(8):
        a, b, c = (*random.normal(size=2), random.uniform(-0.5, 0.5))
        image[a * (x - 0.5) + b * (y - 0.5) > c] = random.uniform(0, 255, 3)
    return image + random.normal(0, random.uniform(0, 3), image.shape)


def _gradient(random: np.random.Generator, side: int) -> Floats:
    ramp = np.linspace(0, 1, side)[:, None, None] * random.uniform(-120, 120, 3)
    noise = random.normal(0, random.uniform(0.2, 12), (side, side, 3))
    made: Floats = random.uniform(60, 195) + ramp + noise
    return made


def _extreme(random: np.random.Generator, side: int, number: int) -> Bytes:
    """Black, white, bytes at random, black and white at random, a pure colour, a chessboard."""
    shape = (side, side, 3)
    y, x = np.mgrid[:side, :side]
    board = np.repeat((x + y)[..., None] % 2 * 255, 3, 2)
    colour = np.broadcast_to(random.integers(0, 2, 3) * 255, shape)
    bits = random.integers(0, 2, shape) * 255
    levels = random.integers(0, 256, shape)
    options = (np.zeros(shape), np.full(shape, 255), levels, bits, colour, board)
    return np.asarray(options[number % len(options)], np.uint8)
