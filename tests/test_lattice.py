"""A display's grid is found where it is, with its period; cloth and files have weaker ones."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest
from scipy import ndimage

from trueshot.inference.lattice import (
    NOISE,
    SCALES,
    SIDES,
    Lattice,
    find_lattice,
    spectrum_of,
)

Floats = npt.NDArray[np.float64]


def world(height: int, width: int, seed: int = 0) -> Floats:
    """Soft texture under a sensor's noise, grey levels."""
    random = np.random.default_rng(seed)
    texture = ndimage.gaussian_filter(random.normal(0, 1, (height, width)), 2)
    return 128 + 25 * texture / texture.std() + random.normal(0, 2, (height, width))


def wave(
    height: int, width: int, period: float, angle: float, phase: float | Floats = 0.0
) -> Floats:
    y, x = np.mgrid[:height, :width]
    along = x * math.cos(angle) + y * math.sin(angle)
    return np.cos(2 * math.pi * along / period + phase)


def photograph(*colours: Floats) -> npt.NDArray[np.uint8]:
    planes = colours * 3 if len(colours) == 1 else colours
    return np.stack(planes, -1).round().clip(0, 255).astype(np.uint8)


def with_display(period: float, *, y: int, x: int, side: int, size: int = 1536) -> Floats:
    levels = world(size, size)
    levels[y : y + side, x : x + side] += 4 * wave(side, side, period, 0.3)
    return levels


def centre(found: Lattice) -> tuple[float, float]:
    assert found.region
    squares = [(w.y + w.side / 2, w.x + w.side / 2) for w in found.region.windows]
    y, x = np.mean(squares, 0)
    return float(y), float(x)


@pytest.mark.parametrize(("y", "x"), [(100, 150), (800, 100), (600, 780)])
@pytest.mark.parametrize("period", [2.7, 4.5])
def test_a_planted_lattice_is_found_at_its_place_with_its_period(
    period: float, y: int, x: int
) -> None:
    found = find_lattice(photograph(with_display(period, y=y, x=x, side=640)))
    assert found.region
    assert found.score > 2
    assert found.region.period == pytest.approx(period, rel=0.02)
    assert centre(found) == pytest.approx((y + 320, x + 320), abs=200)
    for window in found.region.windows:
        assert y - window.side < window.y < y + 640
        assert x - window.side < window.x < x + 640


def test_a_long_period_is_found_at_half_size_and_given_in_pixels_of_the_photograph() -> None:
    levels = world(1100, 1100) + 6 * wave(1100, 1100, 11, 0.7)
    found = find_lattice(photograph(levels))
    assert found.region
    assert found.region.scale == 2
    assert found.region.period == pytest.approx(11, rel=0.02)


def test_texture_and_noise_have_no_lattice() -> None:
    found = find_lattice(photograph(world(1024, 1024)))
    assert found.score < 0.5
    assert found.features["luma 1/1 height"] < NOISE + 0.5


def test_the_same_wave_on_cloth_whose_threads_wander_says_less() -> None:
    random = np.random.default_rng(1)
    wandering = ndimage.gaussian_filter(random.normal(0, 1, (1024, 1024)), 12)
    wandering *= 1.5 / wandering.std()
    straight, cloth = (
        find_lattice(photograph(world(1024, 1024) + 4 * wave(1024, 1024, 4, 0.3, phase)))
        for phase in (0.0, wandering)
    )
    assert straight.score > 2 * cloth.score
    assert straight.region
    assert straight.region.peak.sharpness > 6


def test_a_photograph_and_its_crop_agree() -> None:
    levels = with_display(3.3, y=300, x=400, side=900)
    whole = find_lattice(photograph(levels))
    crop = find_lattice(photograph(levels[250:1250, 350:1350]))
    assert whole.region
    assert crop.region
    assert crop.region.period == pytest.approx(whole.region.period, rel=0.01)
    assert crop.score == pytest.approx(whole.score, abs=1.5)  # windows lie elsewhere on it
    y, x = centre(crop)
    assert (y + 250, x + 350) == pytest.approx(centre(whole), abs=200)


@pytest.mark.parametrize("period", [3.3, 11])
def test_the_spectrum_that_is_shown_has_its_highest_point_where_the_peak_is(period: float) -> None:
    pixels = photograph(world(1100, 1100) + 6 * wave(1100, 1100, period, 0.7))
    region = find_lattice(pixels).region
    assert region
    power, place = spectrum_of(region, pixels)
    side = region.windows[0].side // region.scale
    y, x = np.indices(power.shape) - side // 2
    power[np.hypot(y, x) < side / 12] = -math.inf  # the world is louder at low frequencies
    mirrored = (side - place[0], side - place[1])
    assert np.unravel_index(power.argmax(), power.shape) in (place, mirrored)
    away = math.hypot(place[0] - side // 2, place[1] - side // 2)
    assert side / away * region.scale == pytest.approx(period, rel=0.02)


def test_the_blocks_of_a_jpeg_file_are_no_lattice() -> None:
    random = np.random.default_rng(3)
    blocks = np.kron(random.normal(0, 3, (128, 128)), np.ones((8, 8)))
    blocks[::8] += 3
    blocks[:, ::8] += 3
    assert find_lattice(photograph(world(1024, 1024) + blocks)).score < 1


def test_a_pattern_along_an_axis_is_found_too() -> None:
    found = find_lattice(photograph(world(768, 768) + 4 * wave(768, 768, 3.1, 0)))
    assert found.region
    assert found.region.period == pytest.approx(3.1, rel=0.02)
    assert found.score > 2


@pytest.mark.parametrize("shape", [(100, 3000), (255, 255), (0, 0), (257, 401), (1025, 511)])
def test_every_size_has_the_same_features_all_finite(shape: tuple[int, int]) -> None:
    found = find_lattice(photograph(world(*shape) if min(shape) else np.zeros(shape)))
    assert len(found.features) == len(SCALES)
    assert all(math.isfinite(value) for value in found.features.values())
    if min(shape) < min(SIDES):
        assert found.region is None
        assert found.score == 0


def test_a_black_frame_has_no_lattice() -> None:
    assert find_lattice(np.zeros((600, 600, 3), np.uint8)).score == 0
