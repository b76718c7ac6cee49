"""Finds the grid of a display in a photograph, as peaks in the spectra of large windows.

A display's pixels are periodic over its whole width, and so is the moiré that they form with a
camera's. Even a faint pattern of this kind is a sharp peak in the spectrum of a large window, at
nearly the same frequency in neighbouring windows. Cloth, blinds and bricks cause peaks too, but
broader ones. This module measures luma alone: differences of colours took as long again, and no
detector needed them.

Heights are in nats: the logarithm of the power at a frequency relative to the mean power of
frequencies like it (equally far from zero, in the same direction). Noise and texture without a
period reach about 2.5 in a window, whatever their strength.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import scipy.fft

from trueshot.images.jpeg_tables import LUMA_WEIGHTS

Bytes = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int64]

NOISE = 2.5  # height in nats of the highest of about 10⁵ frequencies of noise
SIDES = (512, 256)  # of the windows, in pixels of the scaled photograph
LONGEST = 8  # longest period, in pixels of the scaled photograph
SCALES = (1, 2, 4)  # full, half and quarter size
_WINDOWS = 48  # most windows of a grid; larger photographs are sampled
_PEAKS = 3  # most peaks of a window
_CANDIDATES = 32  # most frequencies, by height, from which peaks are chosen
_APART = 4  # peaks are more bins apart than this; the lobe of a Hann window is two wide
_ON_AXIS = 3  # frequencies fewer bins than this from an axis count as on it
_ANNULUS = (3.5, 8.5)  # inner and outer radius of a peak's surroundings, in bins
_AGREE = 0.016  # cycles per pixel by which a frequency may differ between neighbouring windows
_LINKED = 3.5  # nats above which frequencies are peaks, and agreeing peaks link windows
ROUNDING = 1 / 12  # variance of the rounding to bytes
EULER = 0.5772  # mean of -log(x) for exponential x of mean 1
_LUMA = np.array(LUMA_WEIGHTS, np.float32)


@dataclass(frozen=True, kw_only=True)
class Peak:
    """A frequency that stands out.

    Args:
        fy: Vertical frequency in cycles per pixel of the photograph, positive downwards.
        fx: Horizontal frequency in cycles per pixel of the photograph, 0 or more.
        height: Nats above frequencies like it.
        sharpness: Nats above the frequencies around it.
    """

    fy: float
    fx: float
    height: float
    sharpness: float

    @property
    def period(self) -> float:
        """Period in pixels of the photograph."""
        return 1 / math.hypot(self.fy, self.fx)

    @property
    def prominence(self) -> float:
        """Lesser of height and sharpness, in nats; low for broad peaks, as those of cloth."""
        return min(self.height, self.sharpness)


@dataclass(frozen=True, kw_only=True)
class Window:
    """A square of the photograph and its peaks.

    Args:
        y: Row of the upper left corner, in pixels of the photograph.
        x: Column of the upper left corner, in pixels of the photograph.
        side: Height and width, in pixels of the photograph.
        peaks: Up to three, the most prominent first.
    """

    y: int
    x: int
    side: int
    peaks: tuple[Peak, ...]


@dataclass(frozen=True, kw_only=True)
class LatticeRegion:
    """Neighbouring windows that have a peak in common.

    Args:
        windows: The windows, by falling prominence of the peak; their squares are the outline.
        peak: The most prominent peak.
        strength: Mean prominence above noise of the peaks in the three best windows, in nats;
            missing windows count as noise, 0.
        share: Share of all windows of that size and scale that belong to the region.
        scale: 1, 2 or 4, for full, half or quarter size.
    """

    windows: tuple[Window, ...]
    peak: Peak
    strength: float
    share: float
    scale: int

    @property
    def period(self) -> float:
        """Period of the peak in pixels of the photograph."""
        return self.peak.period


@dataclass(frozen=True, kw_only=True)
class Lattice:
    """Result of the search for a grid in the spectra of a photograph.

    Args:
        region: The strongest region; None if the photograph is too small for a window.
        features: Mean prominence of the three clearest windows at each size, in nats, by name; that
            of noise where no window fits.
    """

    region: LatticeRegion | None
    features: dict[str, float]

    @property
    def score(self) -> float:
        """Untrained score: strength of the region in nats, 0 without one."""
        return self.region.strength if self.region else 0.0

    def by_cell(self, rows: int, columns: int, cell: float) -> npt.NDArray[np.float64]:
        """Return 1 in the cells of a grid that the region covers, elsewhere 0."""
        found = np.zeros((rows, columns))
        for window in self.region.windows if self.region else ():
            top, left = int(window.y / cell), int(window.x / cell)
            bottom, right = (math.ceil((n + window.side) / cell) for n in (window.y, window.x))
            found[top:bottom, left:right] = 1
        return found


@dataclass(frozen=True, kw_only=True)
class _Grid:
    """Windows of one size at one scale, row by row."""

    scale: int
    rows: list[list[Window]]


def find_lattice(pixels: Bytes) -> Lattice:
    """Look for the grid of a display.

    Args:
        pixels: RGB bytes, shape (h, w, 3). Nothing can be found if one side is below 256 px.

    Returns:
        The strongest region and the features of the whole photograph.
    """
    grids = list(_grids(pixels))
    regions = [region for grid in grids for region in _regions(grid)]
    return Lattice(
        region=max(regions, key=lambda region: region.strength, default=None),
        features={
            f"luma 1/{scale} height": max(
                (_height(grid) for grid in grids if grid.scale == scale), default=NOISE
            )
            for scale in SCALES
        },
    )


def spectrum_of(region: LatticeRegion, pixels: Bytes) -> tuple[Floats, tuple[int, int]]:
    """Compute the spectrum in which a region's peak stands out most, for display.

    Args:
        region: A region that `find_lattice` found.
        pixels: The photograph that it was found in, RGB bytes, shape (h, w, 3).

    Returns:
        The logarithm of the power in nats, shape (side, side), with zero frequency in the middle;
        and row and column of the peak, whose mirror image about the middle is as high.
    """
    window, scale = region.windows[0], region.scale
    side = window.side // scale
    frequencies = frequencies_of(side, scale)
    square = pixels[window.y : window.y + window.side, window.x : window.x + window.side]
    tile: Floats = np.asarray(square, np.float32)
    for _ in range(scale.bit_length() - 1):  # scales are 1, 2 and 4
        tile = _halved(tile)
    luma = tile @ _LUMA
    bins = np.arange(side) - side // 2
    power = _log_power(luma, frequencies).ravel()[frequencies.index(bins[:, None], bins)]
    ky, kx = (round(f * scale * side) for f in (region.peak.fy, region.peak.fx))
    return power, ((ky + side // 2) % side, (kx + side // 2) % side)


def _grids(pixels: Bytes) -> Iterator[_Grid]:
    half: Floats = _halved(pixels) @ _LUMA
    planes: tuple[Floats | Bytes, ...] = (pixels, half, _halved(half))
    for scale, plane in zip(SCALES, planes, strict=True):
        for side in SIDES:
            if side <= min(plane.shape[:2]):
                yield _grid(plane, scale, side)


def _halved(plane: Floats | Bytes) -> Floats:
    """Average 2×2 pixels of an array (h, w, …); an odd last row or column is left out."""
    height, width = plane.shape[0] // 2 * 2, plane.shape[1] // 2 * 2
    kind = np.uint16 if plane.dtype == np.uint8 else np.float32
    rows = np.add(plane[0:height:2, :width], plane[1:height:2, :width], dtype=kind)
    halved: Floats = np.add(rows[:, 0::2], rows[:, 1::2], dtype=np.float32)
    halved *= np.float32(0.25)
    return halved


def _grid(plane: Floats | Bytes, scale: int, side: int) -> _Grid:
    ys, xs = window_corners(plane.shape[0], plane.shape[1], side)
    rows = [[_window(plane, y, x, side, scale) for x in xs] for y in ys]
    return _Grid(scale=scale, rows=rows)


def window_corners(height: int, width: int, side: int) -> tuple[list[int], list[int]]:
    """Return tops and lefts of evenly spaced windows, with gaps if the plane is large."""
    down, across = math.ceil(height / side), math.ceil(width / side)
    thinned = max(1.0, math.sqrt(down * across / _WINDOWS))
    counts = (max(1, int(down / thinned)), max(1, int(across / thinned)))
    ys, xs = (
        [int(y) for y in np.linspace(0, size - side, count)]
        for size, count in zip((height, width), counts, strict=True)
    )
    return ys, xs


def _window(plane: Floats | Bytes, y: int, x: int, side: int, scale: int) -> Window:
    tile: Floats = np.asarray(plane[y : y + side, x : x + side], np.float32)
    if tile.ndim == 3:
        tile = tile @ _LUMA
    frequencies = frequencies_of(side, scale)
    peaks = frequencies.peaks(_log_power(tile, frequencies), scale)
    return Window(y=y * scale, x=x * scale, side=side * scale, peaks=tuple(peaks))


def _log_power(values: Floats, frequencies: Frequencies) -> Floats:
    spectrum = scipy.fft.rfft2((values - values.mean()) * frequencies.hann)
    power = spectrum.real**2 + spectrum.imag**2
    power += np.float32(ROUNDING * frequencies.energy)
    logarithms: Floats = np.log(power)
    return logarithms


class Frequencies:
    """The frequencies of a window that are searched, in groups of similar ones."""

    def __init__(self, side: int, scale: int) -> None:
        self.side = side
        hann = np.hanning(side + 1)[:-1].astype(np.float32)
        self.hann: Floats = np.outer(hann, hann)
        self.energy = float((self.hann.astype(np.float64) ** 2).sum())
        fy = scipy.fft.fftfreq(side)[:, None] * side
        fx = np.arange(side // 2 + 1)[None]
        groups = np.where(_usable(fy, fx, side, scale), _group(fy, fx, side), -1).ravel()
        order = np.argsort(groups, kind="stable")
        self.order: Integers = order[np.searchsorted(groups[order], 0) :]
        _, starts, counts = np.unique(groups[self.order], return_index=True, return_counts=True)
        self.starts, self.counts = starts, counts
        self.place = np.full(groups.size, -1)
        self.place[self.order] = np.arange(self.order.size)
        around = np.arange(-9, 10)
        dy, dx = np.meshgrid(around, around, indexing="ij")
        distance = np.hypot(dy, dx)
        ring = (distance > _ANNULUS[0]) & (distance < _ANNULUS[1])
        self.annulus = dy[ring], dx[ring]

    def peaks(self, power: Floats, scale: int) -> list[Peak]:
        """Return the most prominent peaks of a logarithmic power spectrum, a few bins apart."""
        flat = power.ravel()
        ranked = flat[self.order]
        means = np.add.reduceat(ranked, self.starts) / self.counts
        heights = ranked - np.repeat(means.astype(np.float32) + np.float32(EULER), self.counts)
        candidates = _highest(heights)
        ky, kx = np.divmod(self.order[candidates], self.side // 2 + 1)
        around = self.index(ky[:, None] + self.annulus[0], kx[:, None] + self.annulus[1])
        sharpness = flat[self.order[candidates]] - flat[around].mean(1) - EULER
        prominence = np.minimum(heights[candidates], sharpness)
        chosen: list[int] = []
        for number in np.argsort(-prominence, kind="stable"):
            here = int(ky[number]), int(kx[number])
            if not any(self._are_near(here, (int(ky[o]), int(kx[o]))) for o in chosen):
                chosen.append(number)
            if len(chosen) == _PEAKS:
                break
        signed = np.where(ky >= self.side // 2, ky - self.side, ky)
        return [
            Peak(
                fy=float(signed[n]) / self.side / scale,
                fx=float(kx[n]) / self.side / scale,
                height=float(heights[candidates[n]]),
                sharpness=float(sharpness[n]),
            )
            for n in chosen
        ]

    def index(self, ky: npt.ArrayLike, kx: npt.ArrayLike) -> Integers:
        """Return the index of any frequency, given in bins, in the flattened half spectrum."""
        ky, kx = np.broadcast_arrays(np.asarray(ky), np.asarray(kx) % self.side)
        mirrored = kx > self.side // 2
        ky = np.where(mirrored, -ky, ky) % self.side
        kx = np.where(mirrored, self.side - kx, kx)
        flat: Integers = ky * (self.side // 2 + 1) + kx
        return flat

    def _are_near(self, one: tuple[int, int], other: tuple[int, int]) -> bool:
        """Whether two frequencies are close, also as mirror images or across the edges."""
        half = self.side // 2
        for sign in (1, -1):
            dy = (one[0] - sign * other[0] + half) % self.side - half
            dx = (one[1] - sign * other[1] + half) % self.side - half
            if max(abs(dy), abs(dx)) <= _APART:
                return True
        return False


def _highest(heights: Floats) -> Integers:
    """Return the indices of heights that stand out, at most 32, or of the highest one."""
    places = np.flatnonzero(heights >= min(heights.max(), _LINKED))
    if len(places) > _CANDIDATES:
        places = places[np.argpartition(heights[places], -_CANDIDATES)[-_CANDIDATES:]]
    return places


@lru_cache(maxsize=len(SIDES) * 3)
def frequencies_of(side: int, scale: int) -> Frequencies:
    """Return the frequencies of windows by side in pixels and scale: 1, 2 (half), 4 (quarter)."""
    return Frequencies(side, scale)


def _usable(
    fy: npt.NDArray[np.float64], fx: Integers, side: int, scale: int
) -> npt.NDArray[np.bool_]:
    """Mark frequencies to search: periods below 8 px, no JPEG harmonics, no mirror images."""
    block = side * scale / 8  # bins between harmonics of the block grid
    off = [np.abs((f + block / 2) % block - block / 2) for f in (fy, fx)]
    blocks = (off[0] <= 2) & (off[1] <= 2)
    twice = ((fx == 0) | (fx == side // 2)) & (fy < 0)
    usable: npt.NDArray[np.bool_] = (np.hypot(fy, fx) > side / LONGEST) & ~blocks & ~twice
    return usable


def _group(fy: npt.NDArray[np.float64], fx: Integers, side: int) -> Integers:
    """Return a group number for each frequency, by its distance from zero and its direction.

    Frequencies on an axis are compared only with each other, because vertical and horizontal edges
    are more common than others.
    """
    ring = (np.hypot(fy, fx) / side * 64).astype(int)
    sector = ((np.arctan2(fy, fx) / math.pi + 0.5) * 6).astype(int) % 6
    on_axis = np.minimum(np.abs(fy), fx) < _ON_AXIS
    coarse = (np.hypot(fy, fx) / side * 24).astype(int)
    line = np.where(fx < np.abs(fy), fx, 4 + np.abs(fy)).astype(int)
    groups: Integers = np.where(on_axis, 1000 + coarse * 8 + line, ring * 6 + sector)
    return groups


def _regions(grid: _Grid) -> Iterator[LatticeRegion]:
    """Yield regions: windows linked to neighbours by common peaks, and single windows."""
    windows = {
        (row, column): window
        for row, line in enumerate(grid.rows)
        for column, window in enumerate(line)
    }
    common = {place: window.peaks[0] for place, window in windows.items()}
    links: dict[tuple[int, int], list[tuple[int, int]]] = {place: [] for place in windows}
    for place, window in windows.items():
        for step in ((0, 1), (1, 0)):
            other = (place[0] + step[0], place[1] + step[1])
            if other in windows and (
                pair := _shared(window.peaks, windows[other].peaks, grid.scale)
            ):
                links[place].append(other)
                links[other].append(place)
                for at, peak in zip((place, other), pair, strict=True):
                    if not links[at][:-1] or peak.prominence > common[at].prominence:
                        common[at] = peak
    for members in _connected(links):
        yield _region(grid, [windows[place] for place in members], [common[p] for p in members])


def _shared(ours: Sequence[Peak], theirs: Sequence[Peak], scale: int) -> tuple[Peak, Peak] | None:
    """Return the pair of peaks at nearly the same frequency with the highest lesser prominence."""
    pairs = [
        (one, other)
        for one in ours
        for other in theirs
        if min(one.prominence, other.prominence) > _LINKED
        and _distance(one, other) * scale < _AGREE
    ]
    return max(pairs, key=lambda pair: min(each.prominence for each in pair), default=None)


def _distance(one: Peak, other: Peak) -> float:
    """Return the distance in cycles per pixel; a wave and its mirror image are the same."""
    return min(math.hypot(one.fy - sign * other.fy, one.fx - sign * other.fx) for sign in (1, -1))


def _connected(
    links: dict[tuple[int, int], list[tuple[int, int]]],
) -> Iterator[list[tuple[int, int]]]:
    left = set(links)
    for start in links:
        if start not in left:
            continue
        left.remove(start)
        members, ahead = [start], [start]
        while ahead:
            for other in links[ahead.pop()]:
                if other in left:
                    left.remove(other)
                    members.append(other)
                    ahead.append(other)
        yield members


def _region(grid: _Grid, windows: list[Window], peaks: list[Peak]) -> LatticeRegion:
    ranked = sorted(zip(windows, peaks, strict=True), key=lambda both: -both[1].prominence)
    heights = [peak.prominence for _, peak in ranked[:3]]
    strength = sum(max(height - NOISE, 0.0) for height in heights) / 3
    total = sum(len(line) for line in grid.rows)
    return LatticeRegion(
        windows=tuple(window for window, _ in ranked),
        peak=ranked[0][1],
        strength=strength,
        share=len(windows) / total,
        scale=grid.scale,
    )


def _height(grid: _Grid) -> float:
    heights = sorted(
        (window.peaks[0].prominence for line in grid.rows for window in line), reverse=True
    )
    return float(np.mean(heights[:3]))
