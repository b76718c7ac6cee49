"""Examples of the tasks, against filters and codecs of other libraries."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from conftest import photo_pixels
from PIL import Image, ImageFilter
from scipy import fft, ndimage

from trueshot.datasets import Dataset, Settings, examples_of, photos_at, prepare
from trueshot.images import read_image
from trueshot.images.jpeg_tables import standard_tables
from trueshot.images.reading import is_lossy
from trueshot.tasks import TASKS, VARIANTS, Pixels, Task, task_named

SHA = "5" * 64


def textured(side: int = 96, seed: int = 0) -> Pixels:
    """A picture with structure of all sizes, in colour."""
    noise = np.random.default_rng(seed).normal(size=(side, side, 3))
    layers = [ndimage.gaussian_filter(noise, (s, s, 0)) * s * 40 for s in (0.7, 2, 6)]
    return np.clip(128 + sum(layers), 0, 255).astype(np.uint8)


def by_pillow(pixels: Pixels, quality: int) -> Pixels:
    """A grey JPEG, written and read by Pillow, as a plane."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(io.BytesIO(file.getvalue())))


def in_grey(pixels: Pixels) -> Pixels:
    return np.asarray(Image.fromarray(pixels).convert("L"))


def example(task: Task, pixels: Pixels, label: int, seed: int = 0) -> Pixels:
    return task.example(pixels, label, seed, SHA)


def steps_of(plane: Pixels) -> np.ndarray:
    """Coefficients of the 8×8 blocks of a plane, shape (blocks, 8, 8)."""
    rows, columns = (size // 8 for size in plane.shape)
    blocks = plane[: rows * 8, : columns * 8].astype(float).reshape(rows, 8, columns, 8) - 128
    return fft.dctn(blocks.transpose(0, 2, 1, 3), axes=(2, 3), norm="ortho").reshape(-1, 8, 8)


@pytest.mark.parametrize("window", [3, 5])
@pytest.mark.parametrize("quality", [None, 70, 90])
def test_median_filtering_is_that_of_pillow_before_the_jpeg_of_pillow(
    window: int, quality: int | None
) -> None:
    how = "png" if quality is None else f"jpeg{quality}"
    task = task_named(f"median-filtering-{window}x{window}-{how}")
    grey = in_grey(textured())
    filtered = np.asarray(Image.fromarray(grey).filter(ImageFilter.MedianFilter(window)))
    for label, wanted in enumerate((grey, filtered)):
        made = example(task, textured(), label)
        wanted = wanted if quality is None else by_pillow(wanted, quality)
        assert (made == wanted[..., None]).all()


def test_median_filtering_draws_windows_and_qualities_for_both_classes() -> None:
    found: list[set[object]] = [set(), set()]
    for seed in range(40):
        for label in (0, 1):
            made = example(TASKS["median-filtering"], textured(), label, seed)
            for window in (3, 5) if label else (1,):
                filtered = ImageFilter.MedianFilter(window)
                plane = np.asarray(Image.fromarray(textured()).filter(filtered))
                for quality in (None, 70, 90):
                    wanted = plane if quality is None else by_pillow(plane, quality)
                    if (made == wanted).all():
                        found[label].add((window, quality))
    assert found[0] == {(1, quality) for quality in (None, 70, 90)}
    assert found[1] == {(window, quality) for window in (3, 5) for quality in (None, 70, 90)}


def test_compressed_once_or_twice_is_what_pillow_makes_of_it() -> None:
    pixels = textured()
    grey = in_grey(pixels)
    task = task_named("double-jpeg-aligned-below95")
    once = by_pillow(grey[:88, :88], 95)
    assert (example(task, pixels, 0)[..., 0] == once).all()
    for seed in range(8):
        made = example(task, pixels, 1, seed)[..., 0]
        firsts = (60, 70, 75, 80, 85, 90)
        twice = [by_pillow(by_pillow(grey, first)[:88, :88], 95) for first in firsts]
        assert sum((made == one).all() for one in twice) == 1


def test_shifted_compression_is_never_aligned_and_reaches_many_shifts() -> None:
    pixels = textured()
    grey = in_grey(pixels)
    task = task_named("double-jpeg-shifted-above75")
    firsts, shifts = (80, 85, 90), set()
    before = {first: by_pillow(grey, first) for first in firsts}
    for seed in range(12):
        made = example(task, pixels, 1, seed)[..., 0]
        (shift,) = [
            (down, across)
            for first in firsts
            for down in range(8)
            for across in range(8)
            if (by_pillow(before[first][down : down + 88, across : across + 88], 75) == made).all()
        ]
        shifts.add(shift)
    assert (0, 0) not in shifts
    assert len(shifts) > 6


def test_every_variant_of_double_jpeg_has_first_qualities_on_its_side() -> None:
    names = [name for name in VARIANTS if name.startswith("double-jpeg")]
    assert len(names) == 8
    for name in names:
        made = [example(VARIANTS[name], textured(64), label) for label in (0, 1)]
        assert made[0].shape == made[1].shape == (56, 56, 3)
        last = 95 if name.endswith("95") else 75
        table = np.reshape(standard_tables(last)[0], (8, 8))
        for one in made:  # the last compression is the same in both classes
            coarse = steps_of(one[..., 0])[:, 6, 7] / table[6, 7]
            assert np.abs(coarse - coarse.round()).mean() < 0.15


def test_the_published_manipulations_are_those_of_other_libraries() -> None:
    pixels = textured()
    green = pixels[..., 1]
    task = task_named("manipulation-published")
    made = {name: example(task, pixels, label) for label, name in enumerate(task.classes)}
    assert all(
        (each == each[..., :1]).all() and each.shape == pixels.shape for each in made.values()
    )
    planes = {name: each[..., 0] for name, each in made.items()}
    assert (planes["original"] == green).all()
    median = np.asarray(Image.fromarray(green).filter(ImageFilter.MedianFilter(5)))
    assert (planes["median-filtered"] == median).all()
    blurred = ndimage.gaussian_filter(green.astype(float), 1.1, mode="mirror", radius=2)
    assert np.abs(planes["blurred"] - blurred).max() <= 0.5 + 1e-9
    inside = (green > 10) & (green < 245)
    noise = planes["noisy"].astype(float) - green
    assert noise[inside].std() == pytest.approx(2.0, rel=0.1)
    assert noise[inside].mean() == pytest.approx(-0.5, abs=0.1)  # cut to bytes, not rounded
    larger = Image.fromarray(green).resize((144, 144), Image.Resampling.BILINEAR)
    assert (planes["resampled"] == np.asarray(larger)[24:120, 24:120]).all()
    assert (planes["compressed"] == by_pillow(green, 70)).all()


def prepared(task: Task, folder: Path, out: Path, side: int = 32) -> Dataset:
    settings = Settings(sides=(side,), per_class=30, task=task, fractions=(0.5, 0.0, 0.5))
    return prepare(examples_of(photos_at([folder]), task), out, settings)


def test_crops_of_both_classes_lie_at_the_same_places_on_the_grid_of_blocks(
    tmp_path: Path,
) -> None:
    (tmp_path / "photos").mkdir()
    for number in range(6):
        pixels = photo_pixels(number, recaptured=False, side=101)
        Image.fromarray(pixels).save(tmp_path / "photos" / f"{number}.png")
    made = prepared(TASKS["double-jpeg"], tmp_path / "photos", tmp_path / "data")
    places: dict[str, set[tuple[str, int, int]]] = {}
    for row in made.crops[32].to_pylist():
        label, name = row["path"].split("/")
        places.setdefault(label, set()).add((name, row["y"], row["x"]))
        assert row["y"] % 8 == row["x"] % 8 == 0
    once, twice = places.values()
    assert once == twice
    assert not made.card["shortcut_audit"]["warning"]


def blockiness(plane: np.ndarray) -> float:
    """Mean step over the borders of blocks, over that of all other columns."""
    steps = np.abs(np.diff(plane.astype(float), axis=1)).mean(0)
    return float(steps[7::8].mean() / np.delete(steps, np.s_[7::8]).mean())


def test_lossy_photographs_are_scaled_down_until_no_grid_is_left_and_that_is_said(
    tmp_path: Path,
) -> None:
    (tmp_path / "photos").mkdir()
    kinds = {"a.jpg": {"quality": 40}, "b.webp": {"lossless": True}, "c.webp": {"quality": 80}}
    kinds |= {f"{n}.png": {} for n in range(3)}
    for number, (name, settings) in enumerate(kinds.items()):
        Image.fromarray(textured(320, number)).save(tmp_path / "photos" / name, **settings)
    lossy = {name: is_lossy(read_image(tmp_path / "photos" / name)) for name in kinds}
    assert [name for name, found in lossy.items() if found] == ["a.jpg", "c.webp"]
    made = prepared(TASKS["double-jpeg"], tmp_path / "photos", tmp_path / "data")
    assert made.card["scaled_down"] == 4
    for row in made.photos.to_pylist():
        name = row["path"].split("/")[1]
        assert ("scaled down" in row["notes"]) == lossy[name]
    from trueshot.datasets.survey import scaled_down

    pixels = read_image(tmp_path / "photos" / "a.jpg").pixels
    assert blockiness(in_grey(pixels)) > 1.1
    assert blockiness(in_grey(scaled_down(pixels))) == pytest.approx(1, abs=0.08)
    other = prepared(TASKS["median-filtering"], tmp_path / "photos", tmp_path / "other")
    assert other.card["scaled_down"] == 0
