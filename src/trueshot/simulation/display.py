"""Displays: subpixels, their light, and the appearance of a picture on a panel.

A panel is modelled as a picture times a periodic grid. The grid consists of luminous rectangles,
so its spectrum is known in closed form. The camera's optics filter it by their transfer function.
Any moiré arises from sampling the result; none is painted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt
from PIL import Image

from trueshot.simulation.colour import (
    Bytes,
    Linear,
    Plane,
    Random,
    between,
    mix,
    smooth_field,
    transfer,
)

# (channel, centre y, centre x, height, width), in display pixels within a cell.
Subpixel = tuple[int, float, float, float, float]
_HARMONICS = 12
_TABLE = 64  # samples of the tabulated grid per display pixel, along a side


@dataclass(frozen=True, kw_only=True)
class Layout:
    """The subpixel layout: which rectangles of a cell emit which colour.

    Args:
        cell: Height and width of the repeating cell, in display pixels.
        subpixels: (channel, centre y, centre x, height, width) of each, in display pixels.
    """

    cell: tuple[int, int]
    subpixels: tuple[Subpixel, ...]

    def orders(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Return the harmonics of `spectrum`: periods per cell, down and across.

        They go up to 12 periods per display pixel, because no camera resolves finer ones.
        """
        most_y, most_x = _HARMONICS * self.cell[0], _HARMONICS * self.cell[1]
        return np.arange(-most_y, most_y + 1), np.arange(-most_x, most_x + 1)

    def spectrum(self, channel: int) -> npt.NDArray[np.complex128]:
        """Return the Fourier coefficients of a channel's grid, scaled to a mean of 1.

        There is a row and a column per order. A rectangle contributes a product of two sincs.
        """
        rows, columns = self.orders()
        down, across = rows[:, None] / self.cell[0], columns[None, :] / self.cell[1]
        total = np.zeros((len(rows), len(columns)), complex)
        for shining, y, x, height, width in self.subpixels:
            if shining == channel:
                phase = np.exp(-2j * np.pi * (down * y + across * x))
                total += height * width * np.sinc(down * height) * np.sinc(across * width) * phase
        return np.asarray(total / total[len(rows) // 2, len(columns) // 2].real)


def stripes(fill: float = 0.8, order: str = "RGB", vertical: bool = False) -> Layout:
    """Return a layout of three stripes per pixel, as in LCDs; `vertical` turns it by 90 degrees."""
    subpixels = []
    for place, name in enumerate(order):
        centre, width = (place + 0.5) / 3, fill / 3
        where = (centre, 0.5, width, fill) if vertical else (0.5, centre, fill, width)
        subpixels.append(("RGB".index(name), *where))
    return Layout(cell=(1, 1), subpixels=tuple(subpixels))


def chevrons(fill: float) -> Layout:
    """Return a layout of stripes that lean one way above and the other way below (IPS)."""
    subpixels: list[Subpixel] = []
    for channel in range(3):
        for half, lean in ((0, -1), (1, 1)):
            for step in range(3):
                y = (half + (step + 0.5) / 3 * fill + (1 - fill) / 2) / 2
                x = (channel + 0.5) / 3 + lean * (step - 1) * 0.045
                subpixels.append((channel, y, x, fill / 6, fill / 3))
    return Layout(cell=(1, 1), subpixels=tuple(subpixels))


def white_subpixel(fill: float) -> Layout:
    """Return an RGBW layout: red, green, blue and white quarters; white emits all three colours."""
    width = fill / 4
    own = [(channel, 0.5, (channel + 0.5) / 4, fill, width) for channel in range(3)]
    white = [(channel, 0.5, 3.5 / 4, fill, 0.5 * width) for channel in range(3)]
    return Layout(cell=(1, 1), subpixels=(*own, *white))


def pentile(fill: float) -> Layout:
    """Return a PenTile OLED layout: green in every pixel, red and blue in a checkerboard."""
    side, large = 0.45 * fill / 0.6, 0.6 * fill / 0.6
    subpixels: list[Subpixel] = []
    for y in range(2):
        for x in range(2):
            subpixels.append((1, y + 0.25, x + 0.25, side, side))
            subpixels.append((0 if (x + y) % 2 == 0 else 2, y + 0.75, x + 0.75, large, large))
    return Layout(cell=(2, 2), subpixels=tuple(subpixels))


EVEN = Layout(cell=(1, 1), subpixels=tuple((channel, 0.5, 0.5, 1, 1) for channel in range(3)))


@dataclass(frozen=True, kw_only=True)
class Display:
    """Properties of a display.

    Args:
        name: Name of this display; data sets record it as the origin `medium`.
        layout: Subpixel layout.
        gamma: Exponent of the tone curve: light = value ** gamma.
        black: Light of black, as a share of white.
        white: Colour of white: relative light of red, green and blue.
        unevenness: Relative variation of the backlight over the panel: scale of a `smooth_field`.
        sparkle: Standard deviation of a matte surface's grain, as a share.
        flicker: Modulation depth that a rolling shutter sees, as a share.
        reflectance: Share of the ambient light that the surface reflects.
        contrast: Contrast of the subpixel grid: 1 as the layout gives it, 0 none. Values below 1
            model a diffuser or a fine panel.
    """

    name: str
    layout: Layout
    gamma: float = 2.2
    black: float = 0.001
    white: tuple[float, float, float] = (1.0, 1.0, 1.0)
    unevenness: float = 0.02
    sparkle: float = 0.0
    flicker: float = 0.0
    reflectance: float = 0.02
    contrast: float = 1.0


def shine(picture: Bytes, display: Display) -> Linear:
    """Return the mean light of each display pixel, shape (h, w, 3); white is `display.white`."""
    curve = (np.arange(256) / 255.0) ** display.gamma
    light = display.black + (1 - display.black) * curve
    table = (light[:, None] * np.array(display.white)).astype(np.float32)
    return np.stack([table[:, c][picture[..., c]] for c in range(3)], axis=-1)


def fit_to_panel(picture: Bytes, height: int, width: int, method: str) -> Bytes:
    """Scale a picture to (height, width) display pixels, on encoded values, as viewers do.

    Args:
        picture: Bytes, shape (h, w, 3).
        height: Number of display pixels down.
        width: Number of display pixels across.
        method: `nearest`, `bilinear`, `bicubic` or `lanczos`.
    """
    how = Image.Resampling[method.upper()]
    return np.asarray(Image.fromarray(picture).resize((width, height), how))


def grid_table(
    layout: Layout, jacobian: npt.NDArray[np.float64], sigma: float, aperture: float
) -> Linear:
    """Tabulate the subpixel grid over one cell, as blurred by a camera's optics.

    Args:
        layout: Subpixel layout.
        jacobian: Display pixels (y, x) per camera pixel (y, x), shape (2, 2).
        sigma: Lens blur in camera pixels: standard deviation of a Gaussian.
        aperture: Side of a photosite in camera pixels.

    Returns:
        Factors of mean 1, shape (64 · cell height, 64 · cell width, 3).
    """
    rows, columns = layout.orders()
    down, across = rows[:, None] / layout.cell[0], columns[None, :] / layout.cell[1]
    seen_y = down * jacobian[0, 0] + across * jacobian[1, 0]
    seen_x = down * jacobian[0, 1] + across * jacobian[1, 1]
    passed = transfer(seen_y, seen_x, sigma, aperture)
    shape = _TABLE * layout.cell[0], _TABLE * layout.cell[1]
    table = np.empty((*shape, 3), np.float32)
    for channel in range(3):
        full = np.zeros(shape, complex)
        full[np.ix_(rows, columns)] = layout.spectrum(channel) * passed
        table[..., channel] = np.fft.ifft2(full).real * full.size
    return table


def look_up(table: Linear, cell: tuple[int, int], y: Plane, x: Plane) -> Linear:
    """Interpolate the grid's factors at (y, x) in display pixels: shape of `y`, and 3 channels."""
    around = np.pad(table, ((0, 2), (0, 2), (0, 0)), mode="wrap")
    rows, columns = (
        (place - np.float32(period) * np.floor(place / np.float32(period))) * np.float32(_TABLE)
        for place, period in zip((y, x), cell, strict=True)
    )
    return mix(around, rows, columns)


def uneven_light(display: Display, random: Random, height: int, width: int) -> Plane:
    """Draw the variation of backlight and viewing angle over the view: factors, shape (h, w)."""
    field = smooth_field(random, height, width, 2)
    factors: Plane = np.maximum(1 + np.float32(display.unevenness) * field, np.float32(0.1))
    return factors


def scan_flicker(random: Random, depth: float, height: int) -> Plane:
    """Draw the flicker that a rolling shutter records: one factor per row, shape (h, 1).

    An exposure over many periods of a pulse-width modulated light shows its mean with a small wave
    on top; a scan line is the same wave with a longer period.
    """
    period = between(random, 40, 2000)
    phase = random.uniform(0, 2 * np.pi)
    rows = np.arange(height, dtype=np.float32)[:, None]
    wave: Plane = 1 + np.float32(depth) * np.sin(2 * np.pi * rows / period + phase)
    return wave.astype(np.float32)


LAYOUTS: Mapping[str, Callable[[float], Layout]] = {
    "stripes": stripes,
    "bgr": partial(stripes, order="BGR"),
    "turned": partial(stripes, vertical=True),
    "chevrons": chevrons,
    "white": white_subpixel,
    "pentile": lambda fill: pentile(0.75 * fill),
}
"""Layouts of displays by name; each is a function of the share that subpixels fill, 0 to 1."""


def draw_display(random: Random, name: str) -> Display:
    """Draw a random display from the range of common ones.

    Source of the ranges: panel microphotographs and black levels as display reviewers publish them
    (LCD contrast 700 to 5000, OLED without a black level; gamma 2.0 to 2.4; white 5500 to 9000 K).
    """
    kind = random.choice(list(LAYOUTS), p=[0.4, 0.06, 0.1, 0.22, 0.06, 0.16])
    layout = LAYOUTS[kind](float(random.uniform(0.6, 0.92)))
    warm = float(random.normal(0, 0.06))
    return Display(
        name=name,
        layout=layout,
        gamma=float(random.uniform(2.0, 2.4)),
        black=0.0002 if kind == "pentile" else float(1 / random.uniform(500, 3000)),
        white=(1 + warm, 1.0, 1 - warm),
        unevenness=float(random.uniform(0.01, 0.06)),
        sparkle=float(random.choice([0.0, random.uniform(0.01, 0.05)])),
        flicker=float(random.choice([0.0, 0.0, random.uniform(0.005, 0.08)])),
        reflectance=float(random.uniform(0.005, 0.05)),
    )
