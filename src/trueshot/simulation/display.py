"""Displays: subpixels, their light, and what a picture becomes on a panel.

A panel is a picture times a grid that repeats. The grid is given by rectangles that shine, so its
spectrum is known in closed form, and a camera sees it through its own transfer function: whatever
moiré there is comes from sampling that, and none is painted.
"""

from __future__ import annotations

from dataclasses import dataclass

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

# Subpixels as (channel, centre y, centre x, height, width) in display pixels, per cell.
Subpixel = tuple[int, float, float, float, float]
_HARMONICS = 12
_TABLE = 64  # places per display pixel at which the grid is tabulated


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Which rectangles of a cell shine in which colour.

    Args:
        cell: Height and width of what repeats, in display pixels.
        subpixels: (channel, centre y, centre x, height, width) of each, in display pixels.
    """

    cell: tuple[int, int]
    subpixels: tuple[Subpixel, ...]

    def orders(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Periods per cell, down and across, of the waves that `spectrum` is made of.

        Up to 12 per display pixel: finer ones no camera resolves.
        """
        most_y, most_x = _HARMONICS * self.cell[0], _HARMONICS * self.cell[1]
        return np.arange(-most_y, most_y + 1), np.arange(-most_x, most_x + 1)

    def spectrum(self, channel: int) -> npt.NDArray[np.complex128]:
        """Fourier coefficients of a channel's grid, of mean 1; a row and a column per order.

        A rectangle's are those of two sinc functions.
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
    """Three stripes in each pixel, as LCDs have them; `vertical`: a panel that is turned."""
    subpixels = []
    for place, name in enumerate(order):
        centre, width = (place + 0.5) / 3, fill / 3
        where = (centre, 0.5, width, fill) if vertical else (0.5, centre, fill, width)
        subpixels.append(("RGB".index(name), *where))
    return Layout(cell=(1, 1), subpixels=tuple(subpixels))


def chevrons(fill: float = 0.8, order: str = "RGB") -> Layout:
    """Stripes that lean one way in the upper half and the other way in the lower (IPS)."""
    subpixels: list[Subpixel] = []
    for place, name in enumerate(order):
        for half, lean in ((0, -1), (1, 1)):
            for step in range(3):
                y = (half + (step + 0.5) / 3 * fill + (1 - fill) / 2) / 2
                x = (place + 0.5) / 3 + lean * (step - 1) * 0.045
                subpixels.append(("RGB".index(name), y, x, fill / 6, fill / 3))
    return Layout(cell=(1, 1), subpixels=tuple(subpixels))


def white_subpixel(fill: float = 0.8) -> Layout:
    """Red, green, blue and white quarters, the white one shining in all three colours (RGBW)."""
    width = fill / 4
    own = [(channel, 0.5, (channel + 0.5) / 4, fill, width) for channel in range(3)]
    white = [(channel, 0.5, 3.5 / 4, fill, 0.5 * width) for channel in range(3)]
    return Layout(cell=(1, 1), subpixels=(*own, *white))


def pentile(fill: float = 0.6) -> Layout:
    """OLED diamonds: a green in each pixel; red and blue in turns, as in a draughtboard."""
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
    """A screen.

    Args:
        name: Of the source.
        layout: Its subpixels.
        gamma: Its curve: light = value ** gamma.
        black: Light of black, as a share of white.
        white: Colour of white, relative light of red, green, blue.
        unevenness: Standard deviation of the backlight over the panel, as a share.
        sparkle: Standard deviation of a matte surface's grain, as a share.
        flicker: Depth of the modulation that a rolling shutter sees, as a share.
        reflectance: Of the surface, for ambient light.
        contrast: Of the grid: 1 as its subpixels are, 0 none. Less than 1 is a grid that a diffuser
            or a fine panel leaves.
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
    """Mean light of each display pixel, shape (h, w, 3); white is 1 times the display's white."""
    curve = (np.arange(256) / 255.0) ** display.gamma
    light = display.black + (1 - display.black) * curve
    table = (light[:, None] * np.array(display.white)).astype(np.float32)
    return np.stack([table[:, c][picture[..., c]] for c in range(3)], axis=-1)


def fit_to_panel(picture: Bytes, height: int, width: int, method: str = "bilinear") -> Bytes:
    """Scale a picture to so many display pixels, as a viewer does: on encoded values.

    Args:
        picture: Bytes, shape (h, w, 3).
        height: Display pixels down.
        width: Display pixels across.
        method: `nearest`, `bilinear`, `bicubic` or `lanczos`.
    """
    if picture.shape[:2] == (height, width):
        return picture
    how = Image.Resampling[method.upper()]
    return np.asarray(Image.fromarray(picture).resize((width, height), how))


def grid_table(
    layout: Layout, jacobian: npt.NDArray[np.float64], sigma: float, aperture: float
) -> Linear:
    """The grid as a camera's optics leave it, tabulated over one cell.

    Args:
        layout: Subpixels.
        jacobian: Display pixels (y, x) per camera pixel (y, x), shape (2, 2).
        sigma: Blur of the lens in camera pixels.
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
    """The grid's factors at places in display pixels: shape of `y`, and three channels."""
    around = np.pad(table, ((0, 2), (0, 2), (0, 0)), mode="wrap")
    rows, columns = (
        (place - np.float32(period) * np.floor(place / np.float32(period))) * np.float32(_TABLE)
        for place, period in zip((y, x), cell, strict=True)
    )
    return mix(around, rows, columns)


def uneven_light(display: Display, random: Random, height: int, width: int) -> Plane:
    """Backlight and viewing angle over the part that the camera sees: factors, shape (h, w)."""
    field = smooth_field(random, height, width, 2)
    factors: Plane = np.maximum(1 + np.float32(display.unevenness) * field, np.float32(0.1))
    return factors


def scan_flicker(random: Random, depth: float, height: int) -> Plane:
    """What a rolling shutter makes of a light that is switched: factors per row, shape (h, 1).

    A pulse-width modulated light seen through an exposure of many of its periods is a mean with a
    small wave on it; a scan line is the same wave with a longer period.
    """
    period = between(random, 40, 2000)
    phase = random.uniform(0, 2 * np.pi)
    rows = np.arange(height, dtype=np.float32)[:, None]
    wave: Plane = 1 + np.float32(depth) * np.sin(2 * np.pi * rows / period + phase)
    return wave.astype(np.float32)


LAYOUTS = ("stripes", "bgr", "turned", "chevrons", "white", "pentile")


def draw_display(random: Random, name: str) -> Display:
    """A display from the range of those that people have.

    Source of the ranges: panel microphotographs and black levels as display reviewers publish them
    (contrast 700 to 5000 for LCD, none for OLED; gamma 2.0 to 2.4; white from 5500 to 9000 K).
    """
    kind = random.choice(LAYOUTS, p=[0.4, 0.06, 0.1, 0.22, 0.06, 0.16])
    fill = float(random.uniform(0.6, 0.92))
    layout = {
        "stripes": lambda: stripes(fill),
        "bgr": lambda: stripes(fill, "BGR"),
        "turned": lambda: stripes(fill, vertical=True),
        "chevrons": lambda: chevrons(fill),
        "white": lambda: white_subpixel(fill),
        "pentile": lambda: pentile(0.75 * fill),
    }[kind]()
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
