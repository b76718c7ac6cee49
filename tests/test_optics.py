"""Light, displays, prints and how a camera looks at them: against closed forms and brute force."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage
from scipy.signal import fftconvolve

from trueshot.simulation.camera import FRAME, Camera, Lens, Sensor, Shot, through_lens
from trueshot.simulation.colour import (
    blur,
    decode_srgb,
    encode_srgb,
    smooth_field,
    to_bytes,
    transfer,
)
from trueshot.simulation.display import (
    LAYOUTS,
    Display,
    Layout,
    draw_display,
    fit_to_panel,
    grid_table,
    look_up,
    scan_flicker,
    shine,
    stripes,
    uneven_light,
    white_subpixel,
)
from trueshot.simulation.mosaic import mosaic
from trueshot.simulation.print import DOTS, Print, grain, halftone, reflect, separate
from trueshot.simulation.recapture import (
    MARGIN,
    Ambience,
    View,
    blur_of_optics,
    look,
    picture_scale,
    sample,
    see_display,
    see_print,
)

FILLS = {"bgr": 0.7, "chevrons": 0.9, "white": 0.7}
PANELS = [make(FILLS.get(name, 0.8)) for name, make in LAYOUTS.items()]
EVERY_PANEL = pytest.mark.parametrize("layout", PANELS, ids=list(LAYOUTS))
DARK = Ambience(veil=0, shading=0)
RAMP = np.arange(256, dtype=np.uint8)


def impulse(side: int) -> NDArray[np.float32]:
    light = np.zeros((side, side, 3), np.float32)
    light[side // 2, side // 2] = 1
    return light


def moments(spot: NDArray[np.float32]) -> NDArray[np.float64]:
    """Sum, centre (y, x) and covariance (yy, xx, yx) of a spot of light."""
    spot = spot.astype(float)
    y, x = np.indices(spot.shape)
    total = spot.sum()
    y0, x0 = (spot * y).sum() / total, (spot * x).sum() / total
    spread = [(spot * a).sum() / total for a in ((y - y0) ** 2, (x - x0) ** 2, (y - y0) * (x - x0))]
    return np.array([total, y0, x0, *spread])


def panel(layout: Layout, **settings: object) -> Display:
    plain = {"gamma": 2.0, "black": 0.0, "unevenness": 0.0}
    return Display(name="panel", layout=layout, **{**plain, **settings})  # type: ignore[arg-type]


def camera(sigma: float = 0.3, aperture: float = 0.95) -> Camera:
    return Camera(name="camera", lens=Lens(sigma=sigma), sensor=Sensor(aperture=aperture))


def white_seen(layout: Layout, view: View, side: int, sigma: float = 0.3) -> NDArray[np.float32]:
    """What a camera sees of a panel that is white all over."""
    places = look(view, side, side)
    picture = np.full((places.height, places.width, 3), 255, np.uint8)
    return see_display(picture, panel(layout), places, camera(sigma), Shot(), DARK)


def hann(height: int, width: int) -> NDArray[np.float64]:
    """Weights whose mean is 1, and which waves of a few periods do not disturb."""
    weights = np.outer(np.hanning(height + 2)[1:-1], np.hanning(width + 2)[1:-1])
    return weights / weights.mean()


def strongest_wave(plane: NDArray[np.float32]) -> tuple[float, float]:
    """Frequency (y, x) of the strongest wave, in cycles per pixel; x is not negative."""
    size = 1024
    level = (plane * hann(*plane.shape)).mean()
    spectrum = np.abs(np.fft.rfft2((plane - level) * hann(*plane.shape), (size, size)))
    row, column = np.unravel_index(spectrum.argmax(), spectrum.shape)
    return float(np.fft.fftfreq(size)[row]), float(column / size)


def same_wave(first: tuple[float, float], second: tuple[float, float], near: float) -> bool:
    """Whether two frequencies are of one wave: a cosine's sign is not seen."""
    ahead, behind = np.subtract(first, second), np.add(first, second)
    return bool(min(np.abs(ahead).max(), np.abs(behind).max()) <= near)


def alias(frequency: NDArray[np.float64]) -> tuple[float, float]:
    y, x = frequency - np.round(frequency)
    return float(y), float(x)


# --- light


def test_bytes_decode_by_the_closed_form_of_srgb() -> None:
    value = RAMP / 255
    expected = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    np.testing.assert_allclose(decode_srgb(RAMP), expected, atol=1e-7)


def test_every_byte_survives_decoding_and_encoding() -> None:
    assert (to_bytes(encode_srgb(decode_srgb(RAMP))) == RAMP).all()


def test_light_encodes_by_the_closed_form_and_is_clipped_outside() -> None:
    light = np.concatenate([np.geomspace(1e-7, 1, 50_000), [-1.0, 0.0, 1.5]]).astype(np.float32)
    inside = np.clip(light.astype(float), 0, 1)
    expected = np.where(inside <= 0.0031308, 12.92 * inside, 1.055 * inside ** (1 / 2.4) - 0.055)
    np.testing.assert_allclose(encode_srgb(light), expected, atol=3e-4)


def test_values_are_rounded_to_the_nearest_byte() -> None:
    values = np.array([-0.1, 0.49 / 255, 0.51 / 255, 99.6 / 255, 2], np.float32)
    assert to_bytes(values).tolist() == [0, 0, 1, 100, 255]


@pytest.mark.parametrize("sigma", [0.2, 0.3, 0.4, 0.6, 0.9, 1.5, 3.0])
def test_a_blur_keeps_light_and_place_and_has_the_variance_it_is_asked_for(sigma: float) -> None:
    total, y, x, *covariance = moments(blur(impulse(41), sigma)[..., 1])
    assert (total, y, x) == pytest.approx((1, 20, 20), abs=1e-5)
    assert covariance == pytest.approx([sigma**2, sigma**2, 0], rel=5e-3, abs=1e-6)


def test_a_wide_blur_is_scipys_and_a_tiny_one_is_none() -> None:
    light = np.random.default_rng(0).random((40, 50, 3), dtype=np.float32)
    expected = ndimage.gaussian_filter(light, (3, 3, 0), mode="nearest", truncate=6)
    np.testing.assert_allclose(blur(light, 3), expected, atol=3e-3)
    assert (blur(light, 0.01) == light).all()


def test_the_transfer_function_is_the_transform_of_a_gaussian_and_a_square() -> None:
    sigma, aperture = 0.45, 0.9
    step = 1 / 1000
    place = (np.arange(-3000, 3000) + 0.5) * step
    square = np.where(np.abs(place) < aperture / 2, 1 / aperture, 0)
    gauss = np.exp(-(place**2) / (2 * sigma**2)) / (sigma * np.sqrt(2 * np.pi))
    spread = fftconvolve(gauss, square) * step
    place = np.arange(-5999, 6000) * step

    def transformed(frequency: float) -> float:
        return float((spread * np.cos(2 * np.pi * frequency * place)).sum() * step)

    for y, x in [(0, 0), (0.3, 0.1), (0.8, 0.2), (1.3, 0), (-0.4, 1.25)]:
        expected = transformed(y) * transformed(x)
        assert float(transfer(y, x, sigma, aperture)) == pytest.approx(expected, abs=1e-6)


def test_smooth_fields_scatter_around_nothing_and_are_smooth() -> None:
    random = np.random.default_rng(0)
    fields = np.stack([smooth_field(random, 60, 40, 3) for _ in range(300)])
    assert fields.mean() == pytest.approx(0, abs=0.05)
    assert fields.std() == pytest.approx(0.75, abs=0.03)
    assert np.abs(np.diff(fields, axis=1)).max() < 1.5 * 3 / 60 * 8  # slope 1.5, cells, range


# --- displays


def test_layouts_of_both_cell_sizes_are_drawn() -> None:
    random = np.random.default_rng(0)
    drawn = {draw_display(random, "some").layout.cell for _ in range(60)}
    assert drawn == {(1, 1), (2, 2)}


def raster(layout: Layout, fine: int) -> NDArray[np.float64]:
    """A cell as covered by its subpixels, `fine` points per display pixel; mean 1 per channel."""

    def covered(centre: float, length: float, period: int) -> NDArray[np.float64]:
        edges = np.arange(period * fine + 1) / fine
        share = np.zeros(period * fine)
        for turn in (-period, 0, period):
            inside = np.clip(edges, centre - length / 2 + turn, centre + length / 2 + turn)
            share += np.diff(inside) * fine
        return share

    cell = np.zeros((layout.cell[0] * fine, layout.cell[1] * fine, 3))
    for channel, y, x, height, width in layout.subpixels:
        rows, columns = covered(y, height, layout.cell[0]), covered(x, width, layout.cell[1])
        cell[..., channel] += np.outer(rows, columns)
    return cell / cell.mean((0, 1))


@EVERY_PANEL
def test_a_layouts_spectrum_is_the_fourier_transform_of_its_cell(layout: Layout) -> None:
    fine = 360
    rows, columns = layout.orders()
    half_y, half_x = rows / (2 * layout.cell[0] * fine), columns / (2 * layout.cell[1] * fine)
    centred = np.exp(-2j * np.pi * (half_y[:, None] + half_x[None, :]))  # points lie within steps
    cell = raster(layout, fine)
    for channel in range(3):
        brute = np.fft.fft2(cell[..., channel])[np.ix_(rows, columns)] / cell[..., channel].size
        found = layout.spectrum(channel)
        assert found[len(rows) // 2, len(columns) // 2] == pytest.approx(1, abs=1e-12)
        np.testing.assert_allclose(found, brute * centred, atol=1.5e-3)


@EVERY_PANEL
def test_without_blur_the_grid_shows_the_subpixels_at_their_places(layout: Layout) -> None:
    table = grid_table(layout, np.eye(2), 0.0, 0.0)
    np.testing.assert_allclose(table.mean((0, 1)), 1, atol=1e-5)
    shape = raster(layout, 64)
    # Entry i stands for the place i / 64, a point of the raster for the step from there.
    between = (table + np.roll(table, -1, 0)) / 2
    between = (between + np.roll(between, -1, 1)) / 2
    for channel in range(3):
        lit = shape[..., channel] > 0
        assert between[lit, channel].sum() / between[..., channel].sum() > 0.95
        matching = np.corrcoef(between[..., channel].ravel(), shape[..., channel].ravel())[0, 1]
        assert matching > 0.96


def turned(angle: float) -> NDArray[np.float64]:
    turn = np.deg2rad(angle)
    return np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])


def brute_force(
    layout: Layout, jacobian: NDArray[np.float64], origin: tuple[float, float], sigma: float
) -> NDArray[np.float64]:
    """8 × 8 camera pixels of a white panel, and photosites of 0.9 pixels: nothing but sums.

    The panel shines in points, 30 per camera pixel along a side; a Gaussian blurs them, photosites
    add them up. The middle of the window looks at `origin` of the panel.
    """
    fine, around = 30, 4
    side = (8 + 2 * around) * fine + 1
    place = (np.arange(side) - side // 2) / fine
    down, across = np.meshgrid(place, place, indexing="ij")
    y = origin[0] + jacobian[0, 0] * down + jacobian[0, 1] * across
    x = origin[1] + jacobian[1, 0] * down + jacobian[1, 1] * across
    light = np.zeros((side, side, 3))
    areas = np.zeros(3)
    rows, columns = layout.cell
    for channel, centre_y, centre_x, height, width in layout.subpixels:
        off_y = np.abs((y - centre_y + rows / 2) % rows - rows / 2)
        off_x = np.abs((x - centre_x + columns / 2) % columns - columns / 2)
        light[..., channel] += (off_y < height / 2) & (off_x < width / 2)
        areas[channel] += height * width / (rows * columns)
    light = ndimage.gaussian_filter(light / areas, (sigma * fine, sigma * fine, 0))
    light = ndimage.uniform_filter(light, (round(0.9 * fine), round(0.9 * fine), 1))
    inside = slice(around * fine + fine // 2, -around * fine, fine)
    return light[inside, inside]


@EVERY_PANEL
@pytest.mark.parametrize(
    ("magnification", "angle", "stretch"), [(2.3, 17.0, 1.15), (1.2, -38.0, 0.9), (4.6, 64.0, 1.0)]
)
def test_a_white_panel_looks_as_if_every_point_of_it_were_traced(
    layout: Layout, magnification: float, angle: float, stretch: float
) -> None:
    sigma, aperture, origin = 0.45, 0.9, (5.3, 8.9)
    jacobian = turned(angle) @ np.diag([1, stretch]) / magnification
    expected = brute_force(layout, jacobian, origin, sigma)
    place = np.arange(8) - 3.5
    down, across = np.meshgrid(place, place, indexing="ij")
    y = origin[0] + jacobian[0, 0] * down + jacobian[0, 1] * across
    x = origin[1] + jacobian[1, 0] * down + jacobian[1, 1] * across
    table = grid_table(layout, jacobian, sigma, aperture)
    seen = [
        ndimage.map_coordinates(table[..., c], [64 * y, 64 * x], order=3, mode="grid-wrap")
        for c in range(3)
    ]
    assert expected.std() > 0.02
    np.testing.assert_allclose(np.stack(seen, -1), expected, atol=0.012)
    looked_up = look_up(table, layout.cell, y.astype(np.float32), x.astype(np.float32))
    np.testing.assert_allclose(looked_up, expected, atol=0.02)


def test_the_grid_is_looked_up_between_its_entries() -> None:
    turn = 2 * np.pi * np.arange(128) / 128
    table = np.zeros((128, 64, 3), np.float32)
    table[..., 0], table[..., 1] = np.sin(turn)[:, None], np.sin(2 * turn[:64])[None, :]
    random = np.random.default_rng(0)
    y, x = (random.uniform(3, 60, (50, 40)).astype(np.float32) for _ in range(2))
    found = look_up(table, (2, 1), y, x)
    np.testing.assert_allclose(found[..., 0], np.sin(np.pi * y), atol=5e-4)
    np.testing.assert_allclose(found[..., 1], np.sin(2 * np.pi * x), atol=1.3e-3)


def test_a_panel_shines_by_its_gamma_its_black_and_its_white() -> None:
    white = (1.1, 1.0, 0.8)
    screen = panel(stripes(), gamma=2.3, black=0.01, white=white)
    picture = np.repeat(RAMP[None, :, None], 3, 2)
    expected = (0.01 + 0.99 * (RAMP / 255) ** 2.3)[None, :, None] * np.array(white)
    np.testing.assert_allclose(shine(picture, screen), expected, rtol=1e-6)


def test_a_picture_of_the_panels_size_is_shown_as_it_is() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
    assert (fit_to_panel(picture, 5, 7, "lanczos") == picture).all()
    doubled = fit_to_panel(picture, 10, 14, "nearest")
    assert (doubled == picture.repeat(2, 0).repeat(2, 1)).all()


def test_flicker_is_a_wave_down_the_rows_of_the_depth_asked_for() -> None:
    random = np.random.default_rng(0)
    waves = np.stack([scan_flicker(random, 0.05, 3000) for _ in range(40)])
    assert waves.shape == (40, 3000, 1)
    assert waves.max() == pytest.approx(1.05, abs=1e-4)
    assert waves.min() == pytest.approx(0.95, abs=1e-4)
    assert waves.mean() == pytest.approx(1, abs=0.003)


def test_an_even_backlight_is_even() -> None:
    random = np.random.default_rng(0)
    assert (uneven_light(panel(stripes()), random, 6, 5) == 1).all()
    uneven = uneven_light(panel(stripes(), unevenness=0.04), random, 200, 200)
    assert 0.005 < uneven.std() < 0.08


# --- how a camera looks at a flat picture


def test_steps_are_one_over_the_magnification() -> None:
    places = look(View(magnification=2.5), 6, 9)
    np.testing.assert_allclose(np.diff(places.y, axis=0), 0.4, atol=1e-5)
    np.testing.assert_allclose(np.diff(places.x, axis=1), 0.4, atol=1e-5)
    assert np.ptp(places.y, axis=1).max() == np.ptp(places.x, axis=0).max() == 0


def test_a_turned_picture_is_looked_at_along_turned_lines() -> None:
    places = look(View(magnification=2.0, angle=30), 7, 7)
    cos, sin = np.sqrt(3) / 4, 1 / 4
    np.testing.assert_allclose(np.diff(places.y, axis=0), cos, atol=1e-5)
    np.testing.assert_allclose(np.diff(places.x, axis=0), sin, atol=1e-5)
    np.testing.assert_allclose(np.diff(places.y, axis=1), -sin, atol=1e-5)
    np.testing.assert_allclose(np.diff(places.x, axis=1), cos, atol=1e-5)


def test_a_tilted_picture_is_larger_at_the_end_that_is_nearer() -> None:
    side, tilt = 101, 0.002
    places = look(View(magnification=2.0, tilt=(tilt, 0)), side, side)
    off = np.arange(side) - side // 2
    steps = np.diff(places.x, axis=1).mean(1)  # across the axis: one over the magnification
    np.testing.assert_allclose(1 / steps, 2 * (1 + tilt * off), rtol=1e-5)
    down = places.y[:, 0] - places.y[side // 2, 0]
    np.testing.assert_allclose(down, off / (2 * (1 + tilt * off)), atol=1e-4)


def test_distortion_moves_places_by_their_radius_cubed() -> None:
    view = View(magnification=1.0, distortion=250.0)
    straight, bent = look(View(magnification=1.0), 61, 81), look(view, 61, 81)
    y, x = (places - places[30, 40] for places in (straight.y, straight.x))
    factor = 1 + 250 * (y**2 + x**2) / FRAME**2
    np.testing.assert_allclose(bent.y - bent.y[30, 40], y * factor, atol=1e-4)
    np.testing.assert_allclose(bent.x - bent.x[30, 40], x * factor, atol=1e-4)


def test_distortion_counts_from_the_centre_of_the_lens() -> None:
    lens = {"magnification": 1.0, "distortion": 250.0}
    whole = look(View(**lens), 121, 121)  # type: ignore[arg-type]
    part = look(View(**lens, place=(20.0, 30.0)), 41, 41)  # type: ignore[arg-type]
    for all_of_it, some in ((whole.y, part.y), (whole.x, part.x)):
        there = all_of_it[60 : 60 + 41, 70 : 70 + 41]
        np.testing.assert_allclose(some - some[0, 0], there - there[0, 0], atol=1e-4)


def test_the_jacobian_is_how_places_differ_from_pixel_to_pixel() -> None:
    view = View(
        magnification=1.7,
        angle=25,
        tilt=(2e-3, -1e-3),
        distortion=14.0,
        place=(60.0, -90.0),
    )
    places = look(view, 3, 3)
    down = [places.y[2, 1] - places.y[0, 1], places.x[2, 1] - places.x[0, 1]]
    across = [places.y[1, 2] - places.y[1, 0], places.x[1, 2] - places.x[1, 0]]
    np.testing.assert_allclose(places.jacobian, np.stack([down, across], 1) / 2, atol=1e-5)


@settings(max_examples=50, deadline=None, derandomize=True)
@given(
    magnification=st.floats(0.3, 10),
    angle=st.floats(-180, 180),
    tilt=st.tuples(st.floats(-1e-3, 1e-3), st.floats(-1e-3, 1e-3)),
    phase=st.tuples(st.floats(0, 0.999), st.floats(0, 0.999)),
    size=st.tuples(st.integers(1, 90), st.integers(1, 90)),
)
def test_all_places_lie_on_the_picture_with_a_margin_and_little_more(
    magnification: float,
    angle: float,
    tilt: tuple[float, float],
    phase: tuple[float, float],
    size: tuple[int, int],
) -> None:
    view = View(magnification=magnification, angle=angle, tilt=tilt, phase=phase)
    places = look(view, *size)
    for place, length in ((places.y, places.height), (places.x, places.width)):
        assert place.shape == size
        assert place.dtype == np.float32
        assert MARGIN <= place.min() < MARGIN + 2
        assert MARGIN - 1e-4 <= length - place.max() <= MARGIN + 1


def test_the_centre_of_the_window_lies_where_the_phase_says() -> None:
    places = look(View(magnification=3.3, angle=20, phase=(0.25, 0.7)), 11, 11)
    assert float(places.y[5, 5]) % 1 == pytest.approx(0.25, abs=1e-5)
    assert float(places.x[5, 5]) % 1 == pytest.approx(0.7, abs=1e-5)


def test_samples_of_a_ramp_are_exact_and_the_edge_goes_on() -> None:
    y, x = np.indices((9, 12)) + 0.5  # the centre of the first pixel is (0.5, 0.5)
    light = np.stack([2 * y, 3 * x, 1 + y - x], -1).astype(np.float32)
    random = np.random.default_rng(0)
    at_y = random.uniform(0.5, 8.49, (20, 30)).astype(np.float32)
    at_x = random.uniform(0.5, 11.49, (20, 30)).astype(np.float32)
    expected = np.stack([2 * at_y, 3 * at_x, 1 + at_y - at_x], -1)
    np.testing.assert_allclose(sample(light, at_y, at_x), expected, atol=2e-5)
    outside = sample(light, np.array([[0.0, 9.0]], np.float32), np.array([[0.0, 12.0]], np.float32))
    np.testing.assert_allclose(outside, [[light[0, 0], light[-1, -1]]], atol=0.01)


def test_samples_at_the_centres_of_pixels_are_those_pixels() -> None:
    light = np.random.default_rng(0).random((6, 8, 3), dtype=np.float32)
    y, x = (np.indices((5, 7)) + 0.5).astype(np.float32)
    np.testing.assert_allclose(sample(light, y, x), light[:5, :7], atol=1e-6)


def test_a_picture_is_blurred_as_lens_and_photosites_will_blur_it() -> None:
    places = look(View(magnification=0.5, angle=30), 8, 8)  # two of its pixels per camera pixel
    sigma = picture_scale(places.jacobian) * blur_of_optics(0.7, 0.9)
    *_, yy, xx, yx = moments(blur(impulse(41), sigma)[..., 0])
    variance = 4 * (0.7**2 + 0.9**2 / 12)
    assert (yy, xx, yx) == pytest.approx((variance, variance, 0), rel=5e-3, abs=1e-5)


def test_what_is_shown_lies_where_the_camera_looks() -> None:
    view = View(magnification=2.4, angle=33, phase=(0.2, 0.6), tilt=(4e-4, -3e-4))
    places = look(view, 90, 90)
    picture = np.zeros((places.height, places.width, 3), np.uint8)
    at_y, at_x = places.height // 2 + 3, places.width // 2 - 5
    picture[at_y - 4 : at_y + 5, at_x - 4 : at_x + 5] = 255
    screen = panel(white_subpixel(0.8))
    seen = see_display(picture, screen, places, camera(0.5), Shot(), DARK)[..., 1]
    total = seen.sum()
    assert (seen * places.y).sum() / total == pytest.approx(at_y + 0.5, abs=0.05)
    assert (seen * places.x).sum() / total == pytest.approx(at_x + 0.5, abs=0.15)


@pytest.mark.parametrize(
    ("magnification", "side"), [(1.3, 130), (1.6, 128), (0.8, 128), (0.7, 140)]
)
def test_stripes_too_fine_for_the_camera_come_back_as_the_predicted_moire(
    magnification: float, side: int
) -> None:
    layout = stripes(0.8)
    seen = white_seen(layout, View(magnification=magnification), side)[..., 1]
    waves = np.abs(np.fft.rfft(seen.mean(0))) / side
    frequency = 1 / magnification
    expected = abs(frequency - round(frequency))
    assert expected > 0.1  # so that nothing else explains it
    assert waves[1:].argmax() + 1 == round(expected * side)
    rows, columns = layout.orders()
    coefficient = layout.spectrum(1)[len(rows) // 2, len(columns) // 2 + 1]
    strength = abs(coefficient * transfer(0, frequency, 0.3, 0.95))
    assert waves[round(expected * side)] == pytest.approx(strength, rel=0.02)


@pytest.mark.parametrize("angle", [8.0, -27.0, 61.0])
def test_moire_turns_with_the_panel_as_the_jacobian_says(angle: float) -> None:
    view = View(magnification=1.45, angle=angle)
    jacobian = look(view, 128, 128).jacobian
    np.testing.assert_allclose(jacobian, turned(angle) / 1.45, atol=1e-6)
    frequency = np.array([0.0, 1.0]) @ jacobian  # one period per display pixel, across it
    assert np.abs(frequency).max() > 0.5
    seen = white_seen(stripes(0.8), view, 128)[..., 1]
    assert same_wave(strongest_wave(seen), alias(frequency), 2 / 1024)


def test_red_photosites_lie_twice_as_far_apart_and_see_a_moire_of_their_own() -> None:
    seen = white_seen(stripes(0.8), View(magnification=1.6), 128)
    raw = mosaic(seen, "RGGB")
    everywhere = np.abs(np.fft.rfft(seen[..., 0].mean(0)))
    red = np.abs(np.fft.rfft(raw[::2, ::2].mean(0)))
    per_photosite = 2 / 1.6
    assert everywhere[1:].argmax() + 1 == round(abs(1 / 1.6 - 1) * 128) == 48
    assert red[1:].argmax() + 1 == round(abs(per_photosite - 1) * 64) == 16


@EVERY_PANEL
@pytest.mark.parametrize(("magnification", "angle"), [(0.7, 9.0), (1.7, 37.0), (3.3, -4.0)])
def test_no_light_is_lost_between_panel_and_sensor(
    layout: Layout, magnification: float, angle: float
) -> None:
    places = look(View(magnification=magnification, angle=angle), 112, 112)
    picture = np.full((places.height, places.width, 3), (200, 120, 40), np.uint8)
    screen = panel(layout, black=0.01, white=(1.1, 1.0, 0.9))
    seen = see_display(picture, screen, places, camera(0.5), Shot(defocus=0.3), DARK)
    mean = (seen * hann(112, 112)[..., None]).mean((0, 1))
    np.testing.assert_allclose(mean, shine(picture, screen)[0, 0], rtol=3e-3)


def test_defocus_takes_the_grid_away() -> None:
    places = look(View(magnification=2.0, angle=5), 64, 64)
    picture = np.full((places.height, places.width, 3), 255, np.uint8)
    screen = panel(stripes())
    seen = [
        see_display(picture, screen, places, camera(0.4), Shot(defocus=defocus), DARK).std()
        for defocus in (0.0, 0.5, 2.0)
    ]
    assert seen[0] > 2 * seen[1] > 100 * seen[2]


def test_a_room_adds_its_veil_to_whatever_is_shown() -> None:
    places = look(View(), 16, 16)
    black = np.zeros((places.height, places.width, 3), np.uint8)
    veil = Ambience(veil=0.03)
    seen = see_display(black, panel(stripes()), places, camera(), Shot(), veil)
    np.testing.assert_allclose(seen, 0.03, atol=1e-7)
    mirror = Ambience(veil=0.03, mirror=0.1)
    seen = see_display(black, panel(stripes()), places, camera(), Shot(), mirror)
    assert seen.min() >= 0.03 - 1e-7
    assert seen.std() > 0.01


def test_grain_flicker_and_reflections_follow_the_seed() -> None:
    places = look(View(), 24, 24)
    picture = np.full((places.height, places.width, 3), 200, np.uint8)
    screen = panel(stripes(), sparkle=0.05, flicker=0.05, unevenness=0.05)

    def seen(seed: int) -> NDArray[np.float32]:
        ambience = Ambience(mirror=0.1, seed=seed)
        return see_display(picture, screen, places, camera(), Shot(), ambience)

    assert (seen(1) == seen(1)).all()
    assert np.abs(seen(1) - seen(2)).max() > 0.01


def test_the_lens_of_a_true_shot_blurs_as_much_as_that_of_a_recapture() -> None:
    *_, yy, xx, yx = moments(through_lens(impulse(41), camera(0.4), Shot(defocus=0.3))[..., 2])
    assert (yy, xx, yx) == pytest.approx((0.25, 0.25, 0), rel=0.01, abs=1e-6)


# --- prints


def test_white_takes_no_ink_and_black_takes_black_alone() -> None:
    picture = np.array([[[255] * 3, [0] * 3]], np.uint8)
    np.testing.assert_allclose(separate(picture)[0], [[0, 0, 0, 0], [0, 0, 0, 1]], atol=1e-6)


def test_perfect_inks_give_back_the_light_of_the_picture() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)
    cover = separate(picture)
    assert cover.min() >= 0
    assert cover.max() <= 1
    left = (1 - cover[..., :3]) * (1 - cover[..., 3:])
    np.testing.assert_allclose(left, decode_srgb(picture), atol=1e-5)


@pytest.mark.parametrize("share", [0.1, 0.25, 0.5, 0.75, 0.9])
@pytest.mark.parametrize(
    ("cell", "angle"), [(0.0, 0.0), (5.3, 15.0), (5.3, 0.0), (3.7, 45.0), (6.6, 75.0)]
)
def test_dots_cover_the_share_of_the_paper_that_they_stand_for(
    share: float, cell: float, angle: float
) -> None:
    cover = np.full((300, 300), share, np.float32)
    dots = halftone(cover, cell, angle, np.random.default_rng(1))
    assert set(np.unique(dots)) == {0, 1}
    assert dots.mean() == pytest.approx(share, abs=0.01)


@pytest.mark.parametrize(("cell", "angle"), [(6.0, 15.0), (4.3, 75.0), (7.0, 40.0), (5.0, 0.0)])
def test_a_halftone_repeats_every_cell_at_its_angle(cell: float, angle: float) -> None:
    cover = np.full((256, 256), 0.4, np.float32)
    dots = halftone(cover, cell, angle, np.random.default_rng(1))
    cos, sin = (float(f(np.deg2rad(angle))) / cell for f in (np.cos, np.sin))
    found = strongest_wave(dots)
    assert any(same_wave(found, wave, 2 / 1024) for wave in ((sin, cos), (cos, -sin)))


def test_bare_paper_reflects_what_paper_reflects() -> None:
    medium = Print(name="print", paper=(0.9, 0.85, 0.8), texture=0.0, ink=0.1)
    white = np.full((10, 12, 3), 255, np.uint8)
    light = reflect(white, medium, np.random.default_rng(0))
    assert light.shape == (30, 36, 3)
    np.testing.assert_allclose(light, np.broadcast_to(medium.paper, light.shape), rtol=1e-6)


@pytest.mark.parametrize("cell", [0.0, 5.3])
@pytest.mark.parametrize("colour", [(0, 255, 255), (255, 0, 255), (0, 0, 0), (180, 120, 200)])
def test_inks_take_light_as_their_shares_multiply(
    cell: float, colour: tuple[int, int, int]
) -> None:
    medium = Print(name="print", paper=(0.9, 0.85, 0.8), texture=0.0, ink=0.1, cell=cell)
    picture = np.full((120, 120, 3), colour, np.uint8)
    light = reflect(picture, medium, np.random.default_rng(0)).mean((0, 1))
    cyan, magenta, yellow, black = separate(picture)[0, 0].astype(float)
    own = 1 - 0.9 * np.array([cyan, magenta, yellow])
    impure = 1 - 0.12 * np.array([yellow, cyan, magenta])  # what the ink before takes besides
    expected = medium.paper * own * impure * (1 - 0.9 * black)  # Demichel: dots fall independently
    np.testing.assert_allclose(light, expected, atol=0.012)


def test_the_grain_of_paper_scatters_around_one() -> None:
    factors = grain(300, 300, 0.02, np.random.default_rng(0))
    assert factors.mean() == pytest.approx(1, abs=0.02)
    fine = factors - ndimage.gaussian_filter(factors, 8)
    assert fine.std() == pytest.approx(0.02, rel=0.15)


def test_a_camera_sees_the_halftone_at_its_magnification() -> None:
    medium = Print(name="print", cell=5.4, ink=0.1, spread=0.3, texture=0.0)
    places = look(View(magnification=2.5), 160, 160)
    picture = np.full((places.height, places.width, 3), (180, 255, 255), np.uint8)  # cyan, at 15°
    seen = see_print(picture, medium, places, camera(0.4), Shot(), DARK)[..., 0]
    period = medium.cell / DOTS * 2.5
    cos, sin = (float(f(np.deg2rad(15))) / period for f in (np.cos, np.sin))
    found = strongest_wave(seen)
    assert any(same_wave(found, wave, 2 / 1024) for wave in ((sin, cos), (cos, -sin)))


@pytest.mark.parametrize("angle", [0.0, 30.0])
def test_no_light_is_lost_between_print_and_sensor(angle: float) -> None:
    medium = Print(name="print", texture=0.0, cell=0.0)
    places = look(View(magnification=1.3, angle=angle), 120, 120)
    picture = np.full((places.height, places.width, 3), (150, 100, 200), np.uint8)
    seen = see_print(picture, medium, places, camera(), Shot(), Ambience(veil=0.02, shading=0))
    given_back = reflect(picture, medium, np.random.default_rng(0)).mean((0, 1))
    np.testing.assert_allclose(seen.mean((0, 1)), given_back + 0.02, atol=0.004)


def test_places_of_a_print_are_those_of_its_picture() -> None:
    medium = Print(name="print", texture=0.0, cell=0.0)
    places = look(View(magnification=2.0, angle=20), 80, 80)
    picture = np.full((places.height, places.width, 3), 255, np.uint8)
    at_y, at_x = places.height // 2 + 2, places.width // 2 - 4
    picture[at_y - 4 : at_y + 5, at_x - 4 : at_x + 5] = 0
    dark = 0.88 - see_print(picture, medium, places, camera(), Shot(), DARK)[..., 0]
    assert (dark * places.y).sum() / dark.sum() == pytest.approx(at_y + 0.5, abs=0.05)
    assert (dark * places.x).sum() / dark.sum() == pytest.approx(at_x + 0.5, abs=0.05)
