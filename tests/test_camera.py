"""Sensor, demosaicing, development and what becomes of a picture: closed forms and oracles."""

from __future__ import annotations

import io
import warnings
from dataclasses import replace
from types import ModuleType

import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from PIL import Image, JpegImagePlugin

from trueshot.simulation.camera import (
    FRAME,
    Camera,
    Lens,
    Sensor,
    Shot,
    add_noise,
    develop,
    draw_camera,
    draw_shot,
    exposure_for,
    photograph,
    record,
    vignette,
)
from trueshot.simulation.colour import LUMA, encode_srgb, to_bytes
from trueshot.simulation.develop import (
    DENOISERS,
    Development,
    add_local_contrast,
    correct_colour,
    crosstalk_matrix,
    denoise,
    guided_smooth,
    s_curve,
    sharpen,
)
from trueshot.simulation.file_history import (
    FILTERS,
    SUBSAMPLINGS,
    History,
    Jpeg,
    compress,
    decompress,
    draw_jpeg,
    file_of,
    resize,
)
from trueshot.simulation.mosaic import METHODS, PATTERNS, demosaic, mosaic, spread

LUMINANCE = np.array([0.2126, 0.7152, 0.0722])
PLAIN = Development(
    crosstalk=0.2, saturation=1.0, denoiser="none", contrast=0.0, sharpen_amount=0.0
)
EVERY_PATTERN = pytest.mark.parametrize("pattern", PATTERNS)
EVERY_METHOD = pytest.mark.parametrize("method", METHODS)


@pytest.fixture(scope="module")
def oracle() -> ModuleType:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it imports a deprecated name of SciPy's
        import colour_demosaicing
    return colour_demosaicing


def noise(*shape: int, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).random(shape, dtype=np.float32)


# --- mosaic and demosaicing


@EVERY_PATTERN
def test_the_mosaic_is_that_of_colour_demosaicing(oracle: ModuleType, pattern: str) -> None:
    light = noise(9, 14, 3)
    expected = oracle.mosaicing_CFA_Bayer(light, pattern)
    np.testing.assert_allclose(mosaic(light, pattern), expected, atol=1e-7)


@EVERY_PATTERN
@pytest.mark.parametrize("size", [(32, 28), (31, 27)])
def test_malvars_demosaicing_is_that_of_colour_demosaicing_up_to_the_edge(
    oracle: ModuleType, pattern: str, size: tuple[int, int]
) -> None:
    raw = noise(*size)
    expected = oracle.demosaicing_CFA_Bayer_Malvar2004(raw, pattern)
    # It repeats the outermost pixels, we mirror at them, which keeps colours apart.
    inside = np.s_[2:-2, 2:-2]
    np.testing.assert_allclose(
        demosaic(raw, pattern, "malvar")[inside], expected[inside], atol=2e-6
    )


@EVERY_PATTERN
@pytest.mark.parametrize("size", [(32, 28), (31, 27)])
def test_bilinear_demosaicing_is_that_of_colour_demosaicing(
    oracle: ModuleType, pattern: str, size: tuple[int, int]
) -> None:
    raw = noise(*size)
    expected = oracle.demosaicing_CFA_Bayer_bilinear(raw, pattern)
    inside = np.s_[1:-1, 1:-1]
    found = demosaic(raw, pattern, "bilinear")
    np.testing.assert_allclose(found[inside], expected[inside], atol=1e-6)


@EVERY_PATTERN
@EVERY_METHOD
def test_one_colour_all_over_stays_that_colour_up_to_the_edge(pattern: str, method: str) -> None:
    light = np.broadcast_to(np.array([0.7, 0.4, 0.1], np.float32), (11, 12, 3))
    np.testing.assert_allclose(demosaic(mosaic(light, pattern), pattern, method), light, atol=1e-6)


@EVERY_PATTERN
@EVERY_METHOD
def test_what_a_photosite_measured_is_kept(pattern: str, method: str) -> None:
    raw = noise(13, 10)
    found = demosaic(raw, pattern, method)
    np.testing.assert_allclose(mosaic(found, pattern), raw, atol=1e-6)
    measured = spread(raw, pattern)
    assert (np.count_nonzero(measured, axis=2) == 1).all()
    assert (measured.sum(axis=2) == raw).all()


@EVERY_PATTERN
def test_edge_demosaicing_is_exact_on_ramps_of_one_colour(pattern: str) -> None:
    y, x = np.indices((20, 24))
    lightness = 1 + 0.03 * y - 0.02 * x
    light = (lightness[..., None] * np.array([0.9, 0.5, 0.2])).astype(np.float32)
    found = demosaic(mosaic(light, pattern), pattern, "edges")
    np.testing.assert_allclose(found[3:-3, 3:-3], light[3:-3, 3:-3], atol=2e-6)


@EVERY_PATTERN
def test_edge_demosaicing_errs_less_than_bilinear_across_edges(pattern: str) -> None:
    y, x = np.indices((48, 48))
    for edge in (x > 20, y > 20, x + 0.15 * y > 24, y - 0.2 * x > 12):
        light = np.where(edge[..., None], [0.8, 0.8, 0.8], [0.1, 0.1, 0.1]).astype(np.float32)
        errors = {}
        for method in METHODS:
            found = demosaic(mosaic(light, pattern), pattern, method)
            errors[method] = np.abs(found - light)[4:-4, 4:-4].mean()
        assert errors["edges"] < 0.4 * errors["bilinear"]


def test_edge_demosaicing_leaves_straight_grey_edges_as_they_are() -> None:
    light = np.zeros((24, 24, 3), np.float32)
    light[:, 11:] = 0.8
    for turned in (light, light.transpose(1, 0, 2)):
        found = demosaic(mosaic(turned), "RGGB", "edges")
        assert np.abs(found[..., 1] - turned[..., 1]).max() < 1e-6


def test_unknown_patterns_and_methods_are_refused() -> None:
    with pytest.raises(ValueError, match="RGBW"):
        mosaic(noise(4, 4, 3), "RGBW")
    with pytest.raises(ValueError, match="'best'"):
        demosaic(noise(4, 4), "RGGB", "best")


# --- sensor


@pytest.mark.parametrize("electrons", [0.0, 20.0, 1000.0, 20_000.0])
@pytest.mark.parametrize("read_noise", [0.0, 3.0, 12.0])
def test_noise_is_that_of_photons_and_of_reading(electrons: float, read_noise: float) -> None:
    count = 200_000
    level = np.full(count, electrons, np.float32)
    found = add_noise(level, read_noise, np.random.default_rng(1)).astype(float)
    variance = electrons + read_noise**2
    assert found.var() == pytest.approx(variance, rel=0.015)
    assert found.mean() == pytest.approx(electrons, abs=4 * np.sqrt(variance / count) + 1e-9)


@pytest.mark.parametrize("level", [0.0, 0.05, 0.4])
@pytest.mark.parametrize("gain", [1.0, 4.0])
def test_a_gain_leaves_fewer_electrons_to_count(level: float, gain: float) -> None:
    sensor = Sensor(full_well=5000, read_noise=4)
    light = np.full((400, 400, 3), level, np.float32)
    raw = record(light, sensor, gain, np.random.default_rng(2)).astype(float)
    well = 5000 / gain
    variance = (level * well + 16 / gain) / well**2
    assert raw.var() == pytest.approx(variance, rel=0.02)
    assert raw.mean() == pytest.approx(level, abs=4 * np.sqrt(variance) / 400)


def test_a_sensor_saturates_at_one() -> None:
    raw = record(np.full((50, 50, 3), 1.5, np.float32), Sensor(), 2.0, np.random.default_rng(0))
    assert (raw == 1).all()


def test_photosites_of_a_colour_count_light_of_that_colour() -> None:
    light = np.broadcast_to(np.array([0.5, 0.2, 0.1], np.float32), (200, 200, 3))
    raw = record(light, Sensor(pattern="GBRG"), 1.0, np.random.default_rng(0))
    found = [raw[y::2, x::2].mean() for y in (0, 1) for x in (0, 1)]
    assert found == pytest.approx([0.2, 0.1, 0.5, 0.2], abs=1e-3)


def test_the_exposure_brings_the_mean_to_the_brightness() -> None:
    light = 3 * noise(41, 50, 3)
    exposed = light * exposure_for(light, 0.2)
    assert (exposed @ LUMINANCE).mean() == pytest.approx(0.2, rel=1e-4)


def test_the_exposure_spares_all_but_a_tenth_from_clipping() -> None:
    light = np.full((40, 50, 3), 0.01, np.float32)
    light[:, :15] = 2 * noise(40, 15, 3)
    exposed = light * exposure_for(light, 0.9)
    assert (exposed @ LUMINANCE).mean() < 0.5
    assert np.quantile(exposed.max(axis=2), 0.9) == pytest.approx(1, rel=1e-4)


def test_the_exposure_is_right_for_stripes_of_any_period() -> None:
    for period in (2, 3, 4, 8):
        light = np.full((64, 64, 3), 0.1, np.float32)
        light[:, ::period] = 1
        exposed = light * exposure_for(light, 0.08)
        assert (exposed @ LUMINANCE).mean() == pytest.approx(0.08, rel=1e-3)


def test_the_lens_darkens_by_the_square_of_the_radius() -> None:
    height, width = 30, 41
    shot = Shot(place=(0.3, -0.5))
    found = vignette(Lens(vignetting=0.4), shot, height, width)
    y, x = np.indices((height, width))
    away_y = y + 0.5 - height / 2 + 0.3 * FRAME / np.sqrt(2)
    away_x = x + 0.5 - width / 2 - 0.5 * FRAME / np.sqrt(2)
    expected = 1 - 0.4 * (away_y**2 + away_x**2) / FRAME**2
    assert found.shape == (height, width)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_the_centre_of_the_frame_keeps_its_light_and_the_corner_loses_most() -> None:
    lens = Lens(vignetting=0.5)
    assert vignette(lens, Shot(), 1, 1).item() == 1
    corner = vignette(lens, Shot(place=(1.0, -1.0)), 1, 1).item()
    assert corner == pytest.approx(0.5, abs=1e-6)


# --- development


@pytest.mark.parametrize("share", [0.0, 0.1, 0.25])
def test_crosstalk_keeps_grey_and_is_undone(share: float) -> None:
    matrix = crosstalk_matrix(share)
    np.testing.assert_allclose(matrix.sum(axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(np.diag(matrix), 1 - share, atol=1e-6)
    light = noise(6, 7, 3)
    filtered = (light @ matrix.T).astype(np.float32)
    np.testing.assert_allclose(correct_colour(filtered, share, 1.0), light, atol=2e-6)


@pytest.mark.parametrize("saturation", [0.0, 0.7, 1.4])
def test_saturation_scales_colours_around_their_lightness(saturation: float) -> None:
    light = noise(6, 7, 3)
    lightness = (light @ LUMINANCE)[..., None]
    filtered = (light @ crosstalk_matrix(0.15).T).astype(np.float32)
    expected = lightness + saturation * (light - lightness)
    np.testing.assert_allclose(correct_colour(filtered, 0.15, saturation), expected, atol=3e-6)
    grey = np.repeat(light[..., :1], 3, axis=2)
    np.testing.assert_allclose(correct_colour(grey, 0.15, saturation), grey, atol=3e-6)


@pytest.mark.parametrize("strength", [0.0, 0.3, 1.0])
def test_the_s_curve_keeps_black_middle_and_white_and_never_turns_back(strength: float) -> None:
    values = np.linspace(0, 1, 1001, dtype=np.float32)
    curve = s_curve(values, strength)
    assert curve[[0, 500, 1000]] == pytest.approx([0, 0.5, 1], abs=1e-6)
    assert (np.diff(curve) >= 0).all()
    np.testing.assert_allclose(curve + curve[::-1], 1, atol=1e-6)
    assert (curve[501] - curve[499]) / 0.002 == pytest.approx(1 + strength / 2, abs=1e-3)


def he_sun_tang(
    plane: NDArray[np.float32], guide: NDArray[np.float32], radius: int, strength: float
) -> NDArray[np.float64]:
    """The guided filter, window by window."""

    def windows(values: NDArray[np.float64]) -> NDArray[np.float64]:
        around = np.pad(values, radius, mode="symmetric")
        side = 2 * radius + 1
        return sliding_window_view(around, (side, side)).reshape(*values.shape, -1)

    seen, led = windows(plane.astype(float)), windows(guide.astype(float))
    slope, offset = np.empty(plane.shape), np.empty(plane.shape)
    for place in np.ndindex(plane.shape):
        covariance = np.cov(led[place], seen[place], bias=True)
        slope[place] = covariance[0, 1] / (covariance[0, 0] + strength**2)
        offset[place] = seen[place].mean() - slope[place] * led[place].mean()
    return windows(slope).mean(-1) * guide + windows(offset).mean(-1)


@pytest.mark.parametrize("radius", [1, 3])
def test_the_guided_filter_is_that_of_he_sun_and_tang(radius: int) -> None:
    plane, guide = noise(15, 18), noise(15, 18, seed=1)
    for leader in (plane, guide):
        expected = he_sun_tang(plane, leader, radius, 0.2)
        (found,) = guided_smooth([plane], leader, radius, 0.2)
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_the_guided_filter_keeps_steps_and_flattens_noise() -> None:
    random = np.random.default_rng(0)
    step = np.zeros((40, 40), np.float32)
    step[:, 20:] = 1
    (kept,) = guided_smooth([step], step, 3, 0.02)
    assert np.abs(kept - step).max() < 0.01
    grain = random.normal(0.5, 0.01, (40, 40)).astype(np.float32)
    (flat,) = guided_smooth([grain], grain, 3, 0.1)
    assert flat[6:-6, 6:-6].std() < 0.2 * grain.std()


@pytest.mark.parametrize("kind", DENOISERS)
def test_denoisers_leave_flat_colour_alone(kind: str) -> None:
    flat = np.broadcast_to(np.array([0.7, 0.4, 0.2], np.float32), (12, 13, 3)).copy()
    np.testing.assert_allclose(denoise(flat, kind, 2, 0.02), flat, atol=1e-6)


def test_no_denoising_is_none_and_unknown_denoisers_are_refused() -> None:
    values = noise(8, 9, 3)
    assert (denoise(values, "none", 2, 0.02) == values).all()
    with pytest.raises(ValueError, match="'magic'"):
        denoise(values, "magic", 2, 0.02)


@pytest.mark.parametrize("kind", ["chroma", "guided", "median"])
def test_denoisers_take_noise_from_colours_more_than_from_lightness(kind: str) -> None:
    random = np.random.default_rng(0)
    values = random.normal(0.5, 0.02, (60, 60, 3)).astype(np.float32)
    smooth = denoise(values, kind, 2, 0.03)

    def deviations(of: NDArray[np.float32]) -> tuple[float, float]:
        return float((of @ LUMA).std()), float((of[..., 0] - of[..., 1]).std())

    before, after = deviations(values), deviations(smooth)
    assert after[1] < 0.35 * before[1]
    assert after[1] / before[1] < after[0] / before[0]
    if kind == "chroma":
        np.testing.assert_allclose(smooth @ LUMA, values @ LUMA, atol=1e-6)
    else:
        assert after[0] < 0.8 * before[0]


def test_sharpening_overshoots_at_edges_by_the_halo_at_most_and_leaves_flat_areas() -> None:
    values = np.full((20, 40, 3), (0.3, 0.2, 0.4), np.float32)
    values[:, 20:] += 0.4
    added = sharpen(values, 1.5, 1.0, 0.06) - values
    assert np.abs(added).max() == pytest.approx(0.06, abs=1e-6)
    assert np.abs(added[:, :14]).max() < 1e-6
    assert np.abs(added[:, 26:]).max() < 1e-6
    np.testing.assert_allclose(added[..., 0], added[..., 2], atol=1e-6)
    assert added[5, 19, 0] < -0.05 < 0.05 < added[5, 20, 0]
    assert (sharpen(values, 0.0, 1.0, 0.06) == values).all()


def test_sharpening_below_the_halo_adds_the_detail_times_the_amount() -> None:
    x = np.arange(400)
    wave = 0.5 + 0.02 * np.cos(2 * np.pi * x / 8)
    values = np.repeat(np.repeat(wave[None, :, None], 12, 0), 3, 2).astype(np.float32)
    found = sharpen(values, 0.8, 1.2, 0.2)
    # The discrete Gaussian leaves exp(variance (cos ω - 1)) of a wave.
    left = np.exp(1.2**2 * (np.cos(2 * np.pi / 8) - 1))
    expected = 0.5 + (wave - 0.5) * (1 + 0.8 * (1 - left))
    np.testing.assert_allclose(found[5, 10:-10, 1], expected[10:-10], atol=1e-4)


@pytest.mark.parametrize("period", [4, 5, 8])
def test_local_contrast_does_not_make_moire_of_a_grid(period: int) -> None:
    x = np.arange(128)
    wave = 0.5 + 0.3 * np.cos(2 * np.pi * x / period)
    values = np.repeat(np.repeat(wave[None, :, None], 128, 0), 3, 2).astype(np.float32)
    found = add_local_contrast(values, 0.4)[64, 32:-32, 0]
    expected = wave[32:-32] + 0.4 * (wave[32:-32] - 0.5)  # the base is the mean, no slow wave
    np.testing.assert_allclose(found, expected, atol=0.006)


def test_local_contrast_lifts_what_is_large_and_leaves_flat_areas() -> None:
    values = np.full((96, 96, 3), 0.5, np.float32)
    np.testing.assert_allclose(add_local_contrast(values, 0.4), values, atol=1e-6)
    values[40:56, 40:56] += 0.2
    lifted = add_local_contrast(values, 0.4) - values
    assert 0.03 < lifted[48, 48, 0] < 0.08
    assert -0.03 < lifted[48, 36, 0] < 0
    assert (add_local_contrast(values, 0.0) == values).all()


# --- photographs


def card(*colour: float, side: int = 128) -> NDArray[np.float32]:
    return np.broadcast_to(np.array(colour, np.float32), (side, side, 3)).copy()


def plain_camera(**settings: object) -> Camera:
    sensor = Sensor(full_well=50_000, read_noise=2)
    return Camera(
        name="camera",
        lens=Lens(vignetting=0.0),
        sensor=sensor,
        development=replace(PLAIN, **settings),  # type: ignore[arg-type]
    )


def mean_level(picture: NDArray[np.uint8]) -> NDArray[np.float64]:
    mean: NDArray[np.float64] = picture.mean((0, 1))
    return mean


@pytest.mark.parametrize("demosaicing", METHODS)
@pytest.mark.parametrize("contrast", [0.0, 0.5])
def test_a_grey_card_comes_out_grey_at_the_level_of_its_exposure(
    demosaicing: str, contrast: float
) -> None:
    camera = plain_camera(contrast=contrast)
    camera = replace(camera, sensor=replace(camera.sensor, demosaicing=demosaicing))
    shot = Shot(brightness=0.18, gain=1.0)
    picture = photograph(card(7, 7, 7), camera, shot, np.random.default_rng(0))
    assert picture.dtype == np.uint8
    expected = 255 * s_curve(encode_srgb(np.float32(0.18)[None]), contrast)
    np.testing.assert_allclose(mean_level(picture), np.repeat(expected, 3), atol=0.3)


def test_a_colour_card_comes_out_in_its_colours() -> None:
    colour = np.array([0.5, 0.2, 0.1])
    shot = Shot(brightness=0.2, gain=1.0)
    picture = photograph(card(*colour), plain_camera(), shot, np.random.default_rng(0))
    exposed = (colour * 0.2 / (colour @ LUMINANCE)).astype(np.float32)
    np.testing.assert_allclose(mean_level(picture), 255 * encode_srgb(exposed), atol=0.6)


def test_a_cast_scales_red_and_blue() -> None:
    shot = Shot(brightness=0.2, gain=1.0, cast=(1.3, 0.7))
    picture = photograph(card(1, 1, 1), plain_camera(), shot, np.random.default_rng(0))
    expected = 255 * encode_srgb(np.array([0.26, 0.2, 0.14], np.float32))
    np.testing.assert_allclose(mean_level(picture), expected, atol=0.5)


def test_more_brightness_is_more_light_and_more_gain_more_noise() -> None:
    camera, scene = plain_camera(), card(1, 1, 1)

    def taken(shot: Shot) -> NDArray[np.uint8]:
        return photograph(scene, camera, shot, np.random.default_rng(0))

    levels = [taken(Shot(brightness=value)).mean() for value in (0.08, 0.18, 0.4)]
    assert np.diff(levels).min() > 30
    deviations = [taken(Shot(gain=gain)).std() for gain in (1.0, 8.0, 64.0)]
    assert deviations[0] < deviations[1] / 2 < deviations[2] / 4


def test_the_same_seed_gives_the_same_bytes_and_another_seed_other_noise() -> None:
    scene, camera = noise(64, 64, 3), draw_camera(np.random.default_rng(4), "some")
    shot = draw_shot(np.random.default_rng(5))
    first, again, other = (
        photograph(scene, camera, shot, np.random.default_rng(seed)) for seed in (1, 1, 2)
    )
    assert (first == again).all()
    assert (first != other).mean() > 0.1


@EVERY_PATTERN
def test_development_of_raw_values_that_are_exact_gives_the_exact_picture(pattern: str) -> None:
    camera = plain_camera()
    camera = replace(camera, sensor=Sensor(pattern=pattern, demosaicing="bilinear"))
    light = card(0.3, 0.5, 0.2, side=16)
    raw = mosaic((light @ crosstalk_matrix(0.2).T).astype(np.float32), pattern)
    picture = develop(raw, camera, (1.0, 1.0))
    assert (picture == to_bytes(encode_srgb(light))).all()


def test_drawn_cameras_differ_and_lie_in_their_ranges() -> None:
    cameras = [draw_camera(np.random.default_rng(seed), "some") for seed in range(60)]
    assert len(set(cameras)) == 60
    assert {camera.sensor.pattern for camera in cameras} == set(PATTERNS)
    assert {camera.sensor.demosaicing for camera in cameras} == set(METHODS)
    assert {camera.development.denoiser for camera in cameras} == set(DENOISERS)
    assert all(4000 <= camera.sensor.full_well <= 16_000 for camera in cameras)
    assert draw_camera(np.random.default_rng(3), "some") == cameras[3]


# --- what becomes of a picture


def opened(file: bytes) -> JpegImagePlugin.JpegImageFile:
    image = Image.open(io.BytesIO(file))
    assert isinstance(image, JpegImagePlugin.JpegImageFile)
    return image


def test_tables_of_slope_one_are_libjpegs() -> None:
    for quality in range(1, 101):
        file = io.BytesIO()
        Image.new("RGB", (8, 8)).save(file, "JPEG", quality=quality)
        tables = opened(file.getvalue()).quantization
        assert Jpeg(quality=quality).tables() == [tables[0], tables[1]]


def test_a_smaller_slope_flattens_the_tables() -> None:
    steep, flat, even = (Jpeg(quality=50, slope=slope).tables()[0] for slope in (1.0, 0.7, 0.0))
    assert max(flat) / min(flat) < 0.6 * max(steep) / min(steep)
    assert set(even) == {58}  # the mean of the standard's, 57.6, rounded


@pytest.mark.parametrize("subsampling", SUBSAMPLINGS)
def test_a_file_holds_the_tables_and_the_subsampling_asked_for(subsampling: str) -> None:
    asked = Jpeg(quality=83, slope=0.7, subsampling=subsampling)
    image = opened(compress((255 * noise(24, 40, 3)).astype(np.uint8), asked))
    assert image.size == (40, 24)
    assert [image.quantization[i] for i in (0, 1)] == asked.tables()
    assert JpegImagePlugin.get_sampling(image) == SUBSAMPLINGS.index(subsampling)


def test_a_better_quality_keeps_a_picture_closer() -> None:
    picture = (255 * noise(64, 64, 3)).astype(np.uint8)
    errors = [
        np.abs(
            decompress(compress(picture, Jpeg(quality=quality, subsampling="4:4:4")))
            - picture.astype(float)
        ).mean()
        for quality in (50, 80, 95, 100)
    ]
    assert (np.diff(errors) < 0).all()
    assert errors[-1] < 1.5


def test_a_history_is_its_steps_in_order() -> None:
    picture = (255 * noise(60, 80, 3)).astype(np.uint8)
    first, last = Jpeg(quality=70), Jpeg(quality=90)
    history = History(first=first, reduction=2.0, method="box", last=last)
    smaller = Image.fromarray(decompress(compress(picture, first))).resize((40, 30), Image.BOX)
    expected = compress(np.asarray(smaller), last)
    assert file_of(picture, history, 30, 40) == expected
    assert opened(expected).size == (40, 30)


def test_without_a_first_compression_and_a_resizing_only_the_last_compression_is_left() -> None:
    picture = (255 * noise(32, 40, 3)).astype(np.uint8)
    last = Jpeg(quality=77)
    assert file_of(picture, History(last=last), 32, 40) == compress(picture, last)


@pytest.mark.parametrize("method", FILTERS)
def test_every_filter_gives_the_size_asked_for_and_keeps_ramps(method: str) -> None:
    y, x = np.indices((60, 90))
    picture = np.stack([2 * y, x, 50 + y + x], -1).astype(np.uint8)
    found = resize(picture, 37, 52, method)
    assert found.shape == (37, 52, 3)
    at_y = (np.arange(37) + 0.5)[:, None] * 60 / 37 - 0.5
    at_x = (np.arange(52) + 0.5)[None, :] * 90 / 52 - 0.5
    inside = np.s_[4:-4, 4:-4]
    expected = np.stack(np.broadcast_arrays(2 * at_y, at_x, 50 + at_y + at_x), -1)
    difference = found.astype(float) - expected
    limit = 1.8 if method == "box" else 1.0  # a box takes whole pixels in
    assert np.abs(difference[inside]).max() < limit
    assert abs(difference[inside].mean()) < 0.6


def test_points_make_moire_of_a_fine_grating_and_a_box_does_not() -> None:
    wave = 128 + 100 * np.cos(2 * np.pi * 0.325 * np.arange(600))
    picture = np.repeat(np.repeat(wave[None, :, None], 50, 0), 3, 2).astype(np.uint8)
    amplitudes = {}
    for method in FILTERS:
        row = resize(picture, 20, 200, method)[10, :, 0].astype(float)
        waves = 2 * np.abs(np.fft.rfft((row - row.mean()) * np.hanning(200) * 2)) / 200
        amplitudes[method] = waves[round((1 - 0.325 * 3) * 200)]
    assert amplitudes["points"] > 90
    assert all(value < 8 for method, value in amplitudes.items() if method != "points")


def test_an_unknown_filter_is_refused() -> None:
    with pytest.raises(ValueError, match="'sharpest'"):
        resize(np.zeros((8, 8, 3), np.uint8), 4, 4, "sharpest")


def test_drawn_compressions_lie_in_their_range() -> None:
    drawn = [draw_jpeg(np.random.default_rng(seed), 70, 75) for seed in range(80)]
    assert {jpeg.quality for jpeg in drawn} == set(range(70, 76))
    assert {jpeg.subsampling for jpeg in drawn} == set(SUBSAMPLINGS)
    assert all(0.6 <= jpeg.slope <= 1 for jpeg in drawn)
