"""Scenes: photographs as linear light, and scenes made by rule."""

from __future__ import annotations

import importlib.util
import os
import socket
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from skimage.color import rgb2xyz

from trueshot.errors import DatasetError, ImageFileError
from trueshot.images import read_image, write_jpeg, write_png
from trueshot.simulation import scenes
from trueshot.simulation.colour import LUMA, Bytes, Linear, decode_srgb
from trueshot.simulation.procedural import KINDS, MIXTURE
from trueshot.simulation.procedural.noise import tile
from trueshot.simulation.scenes import Scene, embedded_scenes, photo_scenes, procedural_scenes


def noise(height: int, width: int, seed: int = 0) -> Bytes:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def photo(folder: Path, pixels: Bytes, name: str = "photo.png") -> Scene:
    write_png(folder / name, pixels)
    return Scene(name=f"photo:{name}", kind="photo", path=folder / name)


def look(scene: Scene, height: int, width: int, magnification: float = 1, seed: int = 0) -> Linear:
    return scene.light(np.random.default_rng(seed), height, width, magnification)


def made(kind: str, seed: int, height: int = 96, width: int = 128) -> Linear:
    return look(Scene(name=f"{kind}:{seed}", kind=kind, seed=seed), height, width)


def places_of(window: Linear, whole: Linear) -> list[tuple[int, int]]:
    """Where a window lies in a whole, as it is or mirrored, to float accuracy."""
    height, width = window.shape[:2]
    found = []
    for each in (window, window[:, ::-1]):
        alike = np.abs(whole[: -height + 1, : -width + 1] - each[0, 0]).max(axis=2) < 1e-5
        for y, x in np.argwhere(alike):
            if np.abs(whole[y : y + height, x : x + width] - each).max() < 1e-5:
                found.append((int(y), int(x)))
    return found


def spectrum(light: Linear) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Frequencies in cycles per pixel, and power of the luminance under a Hann window."""
    side = light.shape[0]
    luminance = light @ LUMA
    taper = np.outer(np.hanning(side), np.hanning(side))
    power = np.abs(np.fft.fft2((luminance - luminance.mean()) * taper)) ** 2
    return np.hypot(np.fft.fftfreq(side)[:, None], np.fft.fftfreq(side)), power


def slope(light: Linear) -> float:
    """Exponent of the power spectrum, averaged over angles, between 1/50 and 1/3 pixel."""
    frequency, power = spectrum(light)
    edges = np.geomspace(0.02, 0.33, 11)
    rings = [power[(frequency >= low) & (frequency < high)].mean() for low, high in pairwise(edges)]
    return float(np.polyfit(np.log(np.sqrt(edges[:-1] * edges[1:])), np.log(rings), 1)[0])


def peak(light: Linear) -> float:
    """How far the strongest frequency stands out of those of its length: large for a period."""
    frequency, power = spectrum(light)
    ring = (frequency * 40).astype(int)
    typical = np.array([np.median(power[ring == number]) for number in range(ring.max() + 1)])
    inside = (frequency > 0.04) & (frequency < 0.5)
    return float((power / typical[ring])[inside].max())


def test_photographs_become_light_as_scikit_image_says(tmp_path: Path) -> None:
    pixels = noise(20, 30)
    light = look(photo(tmp_path, pixels), 20, 30)
    expected = rgb2xyz(pixels)[..., 1]
    assert min(
        np.abs(each @ LUMA - expected).max() for each in (light, light[:, ::-1])
    ) == pytest.approx(0, abs=1e-4)  # its primaries have other digits


@pytest.mark.parametrize("seed", range(6))
def test_magnification_one_returns_pixels_of_the_photograph(tmp_path: Path, seed: int) -> None:
    pixels = noise(60, 90)
    light = look(photo(tmp_path, pixels), 25, 31, 1, seed)
    assert light.dtype == np.float32
    assert len(places_of(light, decode_srgb(pixels))) == 1


def test_windows_lie_in_every_corner_and_are_mirrored_at_times(tmp_path: Path) -> None:
    pixels = noise(12, 13)
    scene, whole = photo(tmp_path, pixels), decode_srgb(pixels)
    windows = [look(scene, 10, 10, seed=seed) for seed in range(200)]
    places = {place for window in windows for place in places_of(window, whole)}
    assert places == {(y, x) for y in range(3) for x in range(4)}
    straight = sum(
        any((window[0, 0] == whole[y, x]).all() for y, x in places) for window in windows
    )
    assert 50 < straight < 150


@pytest.mark.parametrize("magnification", [0.21, 0.37, 0.5, 0.83, 1.4, 3.0])
@pytest.mark.parametrize("corner", [(0, 0), (1, 2), (70, 33), (139, 219)])
def test_a_window_of_a_large_photograph_is_that_window_of_the_whole(
    magnification: float, corner: tuple[int, int]
) -> None:
    pixels = noise(200, 300)
    top, left = corner
    height, width = (int(magnification * side) for side in (60, 80))
    box = (left, top, left + width / magnification, top + height / magnification)
    window = scenes._resampled(pixels, box, height, width)
    kernel = Image.Resampling.HAMMING if magnification < 1 else Image.Resampling.BICUBIC
    for channel in range(3):
        whole = Image.fromarray(decode_srgb(pixels)[..., channel])
        expected = np.asarray(whole.resize((width, height), kernel, box)).clip(0)
        assert np.abs(window[..., channel] - expected).max() < 1e-5


def test_only_the_window_of_a_large_photograph_is_turned_to_light(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    turned: list[int] = []

    def counted(pixels: Bytes) -> Linear:
        turned.append(pixels.size)
        return decode_srgb(pixels)

    scene = photo(tmp_path, np.full((1500, 2000, 3), 90, np.uint8))
    monkeypatch.setattr(scenes, "decode_srgb", counted)
    for magnification in (0.7, 1.0, 1.8):
        look(scene, 100, 100, magnification)
    windows = (100 / 0.7 + 12) ** 2 + 100**2 + (100 / 1.8 + 12) ** 2
    assert 0.8 * windows < sum(turned) / 3 < windows


@pytest.mark.parametrize("magnification", [0.9, 0.71, 0.5, 0.4, 0.25, 0.13])
def test_downscaling_averages_light_and_not_bytes(tmp_path: Path, magnification: float) -> None:
    board = np.indices((800, 800)).sum(axis=0) % 2 * np.uint8(255)
    scene = photo(tmp_path, np.repeat(board[..., None], 3, axis=2).astype(np.uint8))
    light = look(scene, 60, 60, magnification)
    assert light.mean() == pytest.approx(0.5, abs=0.01)  # the mean of bytes would be 0.21
    if magnification <= 0.5:
        assert np.abs(light - 0.5).max() < 0.03


@pytest.mark.parametrize("magnification", [0.6, 0.3, 1.7])
def test_resampling_keeps_the_mean_light_of_a_photograph(
    tmp_path: Path, magnification: float
) -> None:
    pixels = noise(300, 300).astype(np.uint8)
    side = int(300 * magnification)
    light = look(photo(tmp_path, pixels), side, side, magnification)
    assert light.mean() == pytest.approx(float(decode_srgb(pixels).mean()), rel=0.01)


def test_what_is_finer_than_the_result_leaves_no_moire(tmp_path: Path) -> None:
    waves = 127.5 + 127.5 * np.cos(np.arange(900) * 2 * np.pi * 0.37)
    pixels = np.broadcast_to(waves[None, :, None].astype(np.uint8), (900, 900, 3))
    light = look(photo(tmp_path, np.ascontiguousarray(pixels)), 200, 200, 0.3)
    picked = decode_srgb(np.ascontiguousarray(pixels[:600:3, :600:3]))
    assert picked.std() > 0.2
    assert light.std() < 0.03


def test_a_photograph_that_is_too_small_is_enlarged_just_enough(tmp_path: Path) -> None:
    ramp = np.linspace(0, 255, 20).astype(np.uint8)
    pixels = np.ascontiguousarray(np.broadcast_to(ramp[:, None, None], (20, 50, 3)))
    light = look(photo(tmp_path, pixels), 100, 120, 1.0)
    assert light.shape == (100, 120, 3)
    levels = light[:, 60, 0]
    assert levels[0] < 0.01 < 0.95 < levels[-1]  # all 20 rows, five times as large
    assert (np.diff(levels) >= -1e-4).all()


def test_the_same_random_numbers_give_the_same_bytes_and_others_do_not(tmp_path: Path) -> None:
    scene = photo(tmp_path, noise(200, 200))
    for magnification in (0.4, 0.8, 1.0, 1.9):
        first, again, other = (look(scene, 50, 50, magnification, seed) for seed in (1, 1, 2))
        assert first.tobytes() == again.tobytes() != other.tobytes()


def test_a_photograph_is_decoded_once_until_its_file_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[object] = []
    monkeypatch.setattr(
        scenes, "read_image", lambda path: (reads.append(path), read_image(path))[1]
    )
    scene = photo(tmp_path, np.full((40, 40, 3), 255, np.uint8))
    assert [float(look(scene, 8, 8, seed=seed).mean()) for seed in range(3)] == [1, 1, 1]
    assert len(reads) == 1
    photo(tmp_path, np.zeros((41, 41, 3), np.uint8))
    assert look(scene, 8, 8).max() == 0


def test_the_cache_forgets_what_was_used_longest_ago_and_keeps_its_limit(tmp_path: Path) -> None:
    cache = scenes._Cache(3 * 3000)
    paths = [photo(tmp_path, noise(25, 40), f"{name}.png").path for name in "abcd"]
    large = photo(tmp_path, noise(80, 80), "large.png").path
    first = [cache.pixels(path) for path in paths[:3] if path]
    assert paths[0]
    assert cache.pixels(paths[0]) is first[0]
    for path in (paths[3], large):
        assert path
        cache.pixels(path)
    assert [key[0] for key in cache.kept] == [paths[2], paths[0], paths[3]]


def test_damaged_and_missing_photographs_are_named(tmp_path: Path) -> None:
    write_jpeg(tmp_path / "cut.jpg", noise(64, 64), 90)
    whole = (tmp_path / "cut.jpg").read_bytes()
    (tmp_path / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    for name in ("cut.jpg", "gone.jpg"):
        scene = Scene(name=name, kind="photo", path=tmp_path / name)
        with pytest.raises(ImageFileError, match=name):
            look(scene, 8, 8)


def test_photo_scenes_are_named_by_their_place_below_the_folder(tmp_path: Path) -> None:
    photo(tmp_path, noise(8, 8), "b.png")
    photo(tmp_path, noise(8, 8), "sub/dir/a.png")
    photo(tmp_path, noise(8, 8), os.fsdecode(b"sub/f\xe9.png"))
    (tmp_path / "notes.txt").write_text("no image")
    found = photo_scenes(tmp_path)
    names = ["photo:b.png", "photo:sub/dir/a.png", r"photo:sub/f\udce9.png"]
    assert [scene.name for scene in found] == names
    assert {scene.kind for scene in found} == {"photo"}
    assert photo_scenes(str(tmp_path)) == found


def test_a_folder_without_photographs_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=str(tmp_path)):
        photo_scenes(tmp_path)


def test_embedded_scenes_need_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    found = {scene.name: scene for scene in embedded_scenes()}
    assert {"skimage:astronaut", "skimage:coffee", "sklearn:china", "sklearn:flower"} <= set(found)
    spread = {}
    for name, scene in found.items():
        light = look(scene, 200, 200)
        spread[name] = float(np.ptp(light, axis=2).max())
        assert light.std() > 0.01
    assert sum(value > 0.1 for value in spread.values()) >= 7
    assert spread["skimage:camera"] == 0


def test_a_package_that_is_missing_lends_no_picture_of_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photo(tmp_path, noise(8, 8), "data/coffee.png")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(DatasetError, match="contain no photographs"):
        embedded_scenes()


def test_names_are_unique_and_stay_the_same() -> None:
    every = procedural_scenes(500) + procedural_scenes(500, seed=1) + embedded_scenes()
    assert len({scene.name for scene in every}) == len(every)
    assert len({(scene.kind, scene.seed, scene.path) for scene in every}) == len(every)
    assert procedural_scenes(30) == procedural_scenes(500)[:30]
    assert procedural_scenes(3)[1].name == "texture:1"


def test_any_ten_scenes_in_a_row_hold_every_kind() -> None:
    kinds = [scene.kind for scene in procedural_scenes(60)]
    assert set(MIXTURE) == set(KINDS)
    assert all(set(kinds[start : start + 10]) == set(KINDS) for start in range(50))


@pytest.mark.parametrize("kind", KINDS)
def test_a_seed_stands_for_one_picture_and_another_for_another(kind: str) -> None:
    pictures = [made(kind, seed).tobytes() for seed in (1, 1, 2, 3)]
    assert pictures[0] == pictures[1]
    assert len(set(pictures)) == 3
    scene = Scene(name="", kind=kind, seed=1)
    assert len({look(scene, 64, 64, seed=seed).tobytes() for seed in range(4)}) >= 3


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [(16, 16), (33, 150), (150, 41), (97, 101)])
def test_made_scenes_are_light_of_any_size(kind: str, size: tuple[int, int]) -> None:
    spreads = []
    for seed in range(6):
        light = made(kind, seed, *size)
        assert light.shape == (*size, 3)
        assert light.dtype == np.float32
        assert light.flags.c_contiguous
        assert 0 <= light.min() <= light.max() <= 2  # no NaN passes
        assert 0.001 < light.mean() <= 1
        spreads.append(float(light.std()))
    assert np.median(spreads) > 0.01


def test_dead_leaves_have_the_spectrum_of_natural_scenes() -> None:
    """The embedded photographs, measured likewise: -1.7 to -3.4, on average -2.5."""
    pictures = [made("dead leaves", seed, 256, 256) for seed in range(16)]
    assert -3.0 < np.mean([slope(picture) for picture in pictures]) < -2.0
    shuffled = pictures[0].reshape(-1, 3).copy()
    np.random.default_rng(0).shuffle(shuffled)
    assert slope(shuffled.reshape(256, 256, 3)) == pytest.approx(0, abs=0.2)


def test_periods_are_common_among_textures_and_rare_among_dead_leaves() -> None:
    """Or a detector would learn that whatever has a period is a photograph of a screen."""
    grating = np.ones((256, 256, 3), np.float32) + np.sin(np.arange(256, dtype=np.float32))[:, None]
    assert peak(grating + made("dead leaves", 0, 256, 256)) > 1000
    textures = [peak(made("texture", seed, 256, 256)) for seed in range(24)]
    leaves = [peak(made("dead leaves", seed, 256, 256)) for seed in range(8)]
    assert np.mean(np.array(textures) > 200) >= 0.4
    assert np.mean(np.array(leaves) > 200) <= 0.25


def test_text_and_screens_hold_sharp_letters() -> None:
    """Neighbouring pixels differ as ink and paper do, in thousands of places."""
    for kind in ("text", "interface"):
        counts = []
        for seed in range(8):
            luminance = made(kind, seed, 256, 256) @ LUMA
            step = np.abs(np.diff(luminance, axis=1))
            counts.append(int((step > 0.3 * np.ptp(luminance)).sum()))
        assert np.median(counts) > 500


def test_importing_scenes_loads_neither_torch_nor_the_packages_of_the_pictures() -> None:
    code = (
        "import sys, trueshot.simulation.scenes as scenes; scenes.embedded_scenes();"
        "print([name for name in ('torch', 'skimage', 'sklearn', 'pooch') if name in sys.modules])"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, encoding="utf-8", check=True
    )
    assert run.stdout.strip() == "[]"


def test_a_tile_is_the_same_whatever_kind_of_number_asked_for_it_first() -> None:
    first = tile(1.5).tobytes()
    tile.cache_clear()
    assert tile(np.float64(1.5)).tobytes() == first
