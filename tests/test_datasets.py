"""Data sets: no leak, equal classes, native pixels, the same result however often interrupted."""

from __future__ import annotations

import contextlib
import importlib
import json
import math
import os
import random
import threading
import warnings
import zipfile
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from conftest import SIDE, all_trees, photo_pixels, write_photos
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from processes import Forked, kill_at_moments

from trueshot.datasets import (
    PARTS,
    Dataset,
    Photo,
    Settings,
    photos_in_folders,
    photos_in_manifest,
    prepare,
)
from trueshot.datasets.crops import grid_corners, is_flat, shares
from trueshot.datasets.manifest import crops_table, fingerprint
from trueshot.datasets.shortcuts import audit_shortcuts
from trueshot.datasets.splits import check_disjoint, groups_of, split_groups
from trueshot.errors import DatasetError, LeakError, RunError
from trueshot.files import claim, read_lines
from trueshot.images import read_image
from trueshot.progress import in_threads

# The function of that name hides the module.
PREPARE = importlib.import_module("trueshot.datasets.preparation")
SMALL = Settings(sides=(SIDE, 16), per_class=50)


def in_two_folders(original: Path, recaptured: Path) -> list[Photo]:
    return photos_in_folders({"original": original, "recaptured": recaptured})


def rows(dataset: Dataset, side: int = SIDE) -> list[dict[str, object]]:
    return dataset.crops[side].to_pylist()


def test_every_crop_is_the_photographs_own_pixels_at_native_resolution(
    photos: list[Photo], tmp_path: Path
) -> None:
    made = prepare(photos, tmp_path / "d", SMALL)
    paths = {photo.name: photo.path for photo in photos}
    for side in SMALL.sides:
        pixels = np.load(tmp_path / "d" / f"{side}px" / "crops.npy", mmap_mode="r")
        assert isinstance(pixels, np.memmap)
        for row, crop in zip(rows(made, side), pixels, strict=True):
            whole = read_image(paths[str(row["path"])]).pixels
            y, x = row["y"], row["x"]
            assert (whole[y : y + side, x : x + side] == crop).all()


def test_no_photo_stands_in_two_parts_and_the_parts_have_their_shares(dataset: Dataset) -> None:
    parts = defaultdict(set)
    for row in rows(dataset):
        parts[row["path"]].add(row["part"])
    assert all(len(names) == 1 for names in parts.values())
    counts = dataset.card["sides"][str(SIDE)]["crops_per_class"]
    assert counts["train"] / sum(counts.values()) == pytest.approx(0.4, abs=0.02)
    assert counts["test"] / sum(counts.values()) == pytest.approx(0.5, abs=0.02)


def test_the_classes_are_equal_in_every_part(dataset: Dataset) -> None:
    for part in PARTS:
        labels = dataset.part(SIDE, part).labels
        assert len(labels) > 0
        assert (labels == 0).sum() == (labels == 1).sum()


def test_crops_of_a_photo_do_not_overlap(dataset: Dataset) -> None:
    corners = defaultdict(list)
    for row in rows(dataset):
        corners[row["path"]].append((row["y"], row["x"]))
    for own in corners.values():
        for i, (y, x) in enumerate(own):
            assert all(max(abs(y - v), abs(x - u)) >= SIDE for v, u in own[i + 1 :])


def test_photos_of_a_class_give_numbers_of_crops_that_differ_by_one_at_most(
    photos: list[Photo], tmp_path: Path
) -> None:
    made = prepare(photos, tmp_path / "d", Settings(sides=(SIDE,), per_class=50))
    counts: dict[tuple[object, object], dict[object, int]] = defaultdict(lambda: defaultdict(int))
    for row in rows(made):
        counts[row["part"], row["label"]][row["path"]] += 1
    for own in counts.values():
        assert max(own.values()) - min(own.values()) <= 1


def test_the_same_seed_gives_the_same_bytes_whatever_the_workers(
    photos: list[Photo], tmp_path: Path
) -> None:
    for name, workers in (("a", 1), ("b", 4)):
        prepare(photos, tmp_path / name, SMALL, workers=workers)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    other = prepare(photos, tmp_path / "c", Settings(sides=SMALL.sides, per_class=50, seed=1))
    assert other.fingerprint(SIDE) != Dataset.open(tmp_path / "a").fingerprint(SIDE)


def contents(root: Path) -> dict[str, bytes]:
    """All files but the journals, whose order of lines may differ."""
    files = (p for p in sorted(root.rglob("*")) if p.is_file() and p.suffix != ".jsonl")
    return {str(p.relative_to(root)): p.read_bytes() for p in files}


def test_a_preparation_killed_at_random_moments_ends_as_one_that_was_not(
    photos: list[Photo], tmp_path: Path
) -> None:
    script = (
        "import sys, time\nfrom pathlib import Path\n"
        "from trueshot import datasets\nfrom trueshot.datasets import survey, preparation as _\n"
        "import importlib\nmodule = importlib.import_module('trueshot.datasets.preparation')\n"
        # Slow reading, so that there is something to interrupt.
        "def slow(read):\n    def reading(*a, **k):\n        time.sleep(0.02)\n"
        "        return read(*a, **k)\n    return reading\n"
        "survey.read_image = slow(survey.read_image)\n"
        "module.read_image = slow(module.read_image)\n"
        "photos = datasets.photos_in_folders("
        "{'original': Path(sys.argv[1]), 'recaptured': Path(sys.argv[2])})\n"
        "settings = datasets.Settings(sides=(32, 16), per_class=50)\n"
        "module.prepare(photos, sys.argv[3], settings, workers=1)\n"
    )
    folder = photos[0].path.parent.parent

    def start(out: Path) -> Forked:
        return Forked(script, folder / "original", folder / "recaptured", out)

    assert start(tmp_path / "whole").wait() == 0
    moments, out = random.Random(1), tmp_path / "killed"
    kill_at_moments(lambda: start(out), out, lambda: journalled(out), lambda: moments.randint(1, 8))
    assert start(out).wait() == 0
    assert contents(out) == contents(tmp_path / "whole")


def journalled(root: Path) -> int:
    """Lines in the journals: 24 when all photographs are surveyed."""
    return sum(len(read_lines(path)) for path in root.glob("*.jsonl"))


def sourced(photos: list[Photo], count: int) -> list[Photo]:
    """The same photographs, as if they came from so many sources, each of both classes."""
    return [
        Photo(name=p.name, path=p.path, label=p.label, source=f"phone{i % count}")
        for i, p in enumerate(photos)
    ]


@pytest.mark.parametrize("count", [3, 4, 11])
def test_no_source_stands_in_two_parts(photos: list[Photo], tmp_path: Path, count: int) -> None:
    made = prepare(sourced(photos, count), tmp_path / "d", SMALL)
    parts = defaultdict(set)
    for row in made.photos.to_pylist():
        parts[row["source"]].add(row["part"])
    assert all(len(names) == 1 for names in parts.values())
    assert set.union(*parts.values()) == set(PARTS)
    assert made.card["split_by"] == "source"


def test_a_split_where_no_source_is_known_is_called_one_by_photo(dataset: Dataset) -> None:
    assert dataset.card["split_by"] == "photo"


def test_split_by_photo_divides_sources_when_that_is_asked_for(
    photos: list[Photo], tmp_path: Path
) -> None:
    asked = Settings(sides=(SIDE,), split_by="photo")
    made = prepare(sourced(photos, 2), tmp_path / "d", asked)
    assert len({row["part"] for row in rows(made) if row["source"] == "phone0"}) == 3


def with_parts(photos: list[Photo], cameras: bool = False) -> list[Photo]:
    """The same photographs, each scene in both classes, with parts as a manifest gives them."""
    named = []
    for i, photo in enumerate(photos):
        scene = i % (len(photos) // 2)
        part = PARTS[scene % 3]
        origins = {"scene": f"scene{scene}", "medium": ""}
        if cameras:
            origins |= {"camera": f"{part} camera", "first_camera": f"{part} first camera"}
        named.append(replace(photo, part=part, origins=origins))
    return named


def test_parts_that_are_given_are_kept_and_each_is_filled_on_its_own(
    photos: list[Photo], tmp_path: Path
) -> None:
    few = [photo for photo in with_parts(photos) if photo.part != "test"]
    few += [photo for photo in with_parts(photos) if photo.part == "test"][::4]  # one of each class
    made = prepare(few, tmp_path / "d", Settings(sides=(SIDE,), per_class=100))
    wanted = {photo.name: photo.part for photo in few}
    assert {row["path"]: row["part"] for row in made.photos.to_pylist()} == wanted
    assert {row["path"]: row["part"] for row in rows(made)} == wanted
    assert made.card["split_by"] == "manifest"
    # A photo holds 16 crops: 64 for training, bounded by 40; 64 bounded by 10; 16, below 50.
    counts = {"train": 40, "validation": 10, "test": 16}
    assert made.card["sides"][str(SIDE)]["crops_per_class"] == counts
    for part in PARTS:
        assert np.bincount(made.part(SIDE, part).labels).tolist() == [counts[part]] * 2


def test_a_part_that_is_given_no_photo_is_refused_unless_its_share_is_zero(
    photos: list[Photo], tmp_path: Path
) -> None:
    two = [photo for photo in with_parts(photos) if photo.part != "validation"]
    with pytest.raises(DatasetError, match="the validation part must have crops of every class"):
        prepare(two, tmp_path / "d", Settings(sides=(SIDE,)))
    made = prepare(two, tmp_path / "e", Settings(sides=(SIDE,), fractions=(0.5, 0, 0.5)))
    assert len(made.part(SIDE, "validation")) == 0
    assert len(made.part(SIDE, "test")) > 0


def test_origins_are_recorded_and_divide_nothing_where_no_part_is_given(
    photos: list[Photo], tmp_path: Path
) -> None:
    shared = [replace(p, origins={"camera": "phone", "medium": ""}) for p in sourced(photos, 4)]
    made = prepare(shared, tmp_path / "d", SMALL)
    assert {row["origins"] for row in made.photos.to_pylist()} == {'{"camera": "phone"}'}
    assert made.card["split_by"] == "source"
    assert set(made.photos["part"].to_pylist()) == set(PARTS)


@pytest.mark.parametrize(
    ("kind", "other"),
    [("camera", "camera"), ("first_camera", "camera"), ("scene", "scene"), ("medium", "medium")],
)
def test_an_origin_in_two_given_parts_is_refused_before_anything_is_written(
    photos: list[Photo], tmp_path: Path, kind: str, other: str
) -> None:
    leaking = with_parts(photos)
    for part, role in (("train", kind), ("test", other)):
        i = next(i for i, photo in enumerate(leaking) if photo.part == part)
        leaking[i] = replace(leaking[i], origins={**leaking[i].origins, role: "one"})
    expected = f"^{other} one: is in both train and test"
    with pytest.raises(LeakError, match=expected):
        prepare(leaking, tmp_path / "d", SMALL)
    assert not (tmp_path / "d").exists()


def test_a_source_in_two_given_parts_is_refused_even_if_a_split_by_photo_is_asked_for(
    photos: list[Photo], tmp_path: Path
) -> None:
    leaking = [replace(photo, source="phone") for photo in with_parts(photos)]
    asked = Settings(sides=(SIDE,), split_by="photo")
    with pytest.raises(LeakError, match="source phone: is in both train and validation"):
        prepare(leaking, tmp_path / "d", asked)


def test_names_of_different_kinds_of_origin_have_nothing_in_common(
    photos: list[Photo], tmp_path: Path
) -> None:
    apart = with_parts(photos)
    for part, kind in (("train", "camera"), ("test", "medium"), ("validation", "scene")):
        apart = [
            replace(photo, origins={kind: "one"}) if photo.part == part else photo
            for photo in apart
        ]
    assert prepare(apart, tmp_path / "d", SMALL).card["split_by"] == "manifest"


def test_a_camera_that_leaks_across_roles_is_refused_when_a_data_set_is_opened(
    photos: list[Photo], tmp_path: Path
) -> None:
    made = prepare(with_parts(photos, cameras=True), tmp_path / "d", SMALL)
    tampered = made.photos.to_pylist()
    train = next(row for row in tampered if row["part"] == "train")
    train["origins"] = json.dumps({"first_camera": "test camera"})
    pyarrow.parquet.write_table(pa.Table.from_pylist(tampered), tmp_path / "d" / "photos.parquet")
    with pytest.raises(LeakError, match="camera test camera: is in both train and test"):
        Dataset.open(tmp_path / "d")


def test_origins_that_were_struck_out_are_missed(photos: list[Photo], tmp_path: Path) -> None:
    made = prepare(with_parts(photos, cameras=True), tmp_path / "d", SMALL)
    tampered = made.photos.to_pylist()
    tampered[0]["origins"] = "{}"
    pyarrow.parquet.write_table(pa.Table.from_pylist(tampered), tmp_path / "d" / "photos.parquet")
    with pytest.raises(DatasetError, match=r"do not match the fingerprint in dataset\.json"):
        Dataset.open(tmp_path / "d")


def test_an_original_and_a_recapture_of_one_scene_are_one_group(
    photos: list[Photo], tmp_path: Path
) -> None:
    # Sources that would join what no scene joins.
    own = [replace(photo, source=f"{photo.part} phone") for photo in with_parts(photos)]
    made = prepare(own, tmp_path / "d", SMALL)
    groups = made.photos["group"].to_pylist()
    assert groups == [i % 12 for i in range(24)]
    bare = [replace(photo, origins={}) for photo in own]
    again = prepare(bare, tmp_path / "e", SMALL)
    assert again.photos["group"].to_pylist() == [i % 3 for i in range(24)]


def test_of_equal_pictures_in_two_given_parts_the_first_is_taken(tmp_path: Path) -> None:
    own = with_parts(write_photos(tmp_path / "photos", 12))
    own[1].path.write_bytes(own[0].path.read_bytes())
    assert (own[0].part, own[1].part) == ("train", "validation")
    made = prepare(own, tmp_path / "d", SMALL)
    reasons = {own[1].name: f"the same picture as {own[0].name}"}
    assert made.card["passed_over"] == reasons


def test_parts_for_some_photos_only_are_refused(photos: list[Photo], tmp_path: Path) -> None:
    own = with_parts(photos)
    own[4] = replace(own[4], part="")
    with pytest.raises(DatasetError, match=r"photo 5 \(original/004.png\): no part"):
        prepare(own, tmp_path / "d", SMALL)
    assert not (tmp_path / "d").exists()


def test_a_data_set_from_before_parts_and_origins_opens_and_goes_on(
    photos: list[Photo], tmp_path: Path
) -> None:
    made = prepare(sourced(photos, 4), tmp_path / "d", SMALL)
    claim = json.loads((tmp_path / "d" / "prepare.json").read_text())
    assert claim["photos"][0] == ["original/000.png", "original", "phone0"]
    old = made.photos.drop_columns(["origins"])
    pyarrow.parquet.write_table(old, tmp_path / "d" / "photos.parquet")
    assert Dataset.open(tmp_path / "d").fingerprint(SIDE) == made.fingerprint(SIDE)
    assert prepare(sourced(photos, 4), tmp_path / "d", SMALL).photos.equals(old)
    (tmp_path / "d" / "dataset.json").unlink()
    again = prepare(sourced(photos, 4), tmp_path / "d", SMALL)
    assert again.fingerprint(SIDE) == made.fingerprint(SIDE)


@pytest.mark.parametrize("change", [{"part": "test"}, {"origins": {"camera": "other"}}])
def test_other_parts_or_origins_are_another_data_set(
    photos: list[Photo], tmp_path: Path, change: dict[str, Any]
) -> None:
    own = [replace(photo, origins={"medium": ""}) for photo in with_parts(photos)]
    made = prepare(own, tmp_path / "d", SMALL)
    bare = [replace(photo, origins={}) for photo in own]
    assert prepare(bare, tmp_path / "d", SMALL).photos.equals(made.photos)
    with pytest.raises(DatasetError, match="made from other photographs, with other settings"):
        prepare([replace(own[0], **change), *own[1:]], tmp_path / "d", SMALL)


def test_too_few_sources_are_refused(photos: list[Photo], tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="2 sources cannot be split"):
        prepare(sourced(photos, 2), tmp_path / "d", SMALL)


def test_a_leak_is_refused_when_a_data_set_is_opened(photos: list[Photo], tmp_path: Path) -> None:
    prepare(sourced(photos, 4), tmp_path / "d", SMALL)
    path = tmp_path / "d" / "photos.parquet"
    table = pyarrow.parquet.read_table(path).to_pylist()
    moved = next(row for row in table if row["part"] == "train")
    moved["part"] = "test"
    pyarrow.parquet.write_table(pa.Table.from_pylist(table), path)
    with pytest.raises(LeakError, match=moved["source"]):
        Dataset.open(tmp_path / "d")


def test_a_crop_moved_to_another_part_is_refused(photos: list[Photo], tmp_path: Path) -> None:
    prepare(photos, tmp_path / "d", SMALL)
    path = crops_table(tmp_path / "d", SIDE)
    table = pyarrow.parquet.read_table(path).to_pylist()
    table[0]["part"] = "test"
    pyarrow.parquet.write_table(pa.Table.from_pylist(table), path)
    with pytest.raises(LeakError, match=table[0]["path"]):
        Dataset.open(tmp_path / "d")


def test_the_fingerprint_changes_with_a_label_a_part_or_a_byte(dataset: Dataset) -> None:
    photos, crops = dataset.photos, dataset.crops[SIDE]
    for column in ("label", "part", "sha256", "source"):
        changed = photos.to_pylist()
        changed[0][column] += "x"
        other = fingerprint(pa.Table.from_pylist(changed), crops)
        assert other != dataset.fingerprint(SIDE)


def test_bad_files_are_passed_over_by_name_and_the_rest_goes_on(tmp_path: Path) -> None:
    photos = write_photos(tmp_path / "photos", 8)
    folder = tmp_path / "photos" / "original"
    whole = (folder / "000.png").read_bytes()
    (folder / "cut.png").write_bytes(whole[: len(whole) // 2])
    (folder / "empty.png").write_bytes(b"")
    (folder / "text.jpg").write_text("no image")
    (folder / "twin.png").write_bytes(whole)
    Image.fromarray(photo_pixels(99, True, 16)).save(folder / "tiny.png")
    found = in_two_folders(folder, tmp_path / "photos" / "recaptured")
    assert len(found) == len(photos) + 5
    made = prepare(found, tmp_path / "d", Settings(sides=(SIDE,)))
    reasons = made.card["passed_over"]
    assert set(reasons) == {
        f"original/{n}" for n in ("cut.png", "empty.png", "text.jpg", "twin.png")
    }
    assert "the same picture as original/000.png" in reasons["original/twin.png"]
    assert "original/tiny.png" not in {row["path"] for row in rows(made)}


def test_a_picture_given_in_both_classes_is_taken_in_neither(tmp_path: Path) -> None:
    photos = write_photos(tmp_path / "photos", 8)
    shared = (tmp_path / "photos" / "original" / "000.png").read_bytes()
    (tmp_path / "photos" / "recaptured" / "000.png").write_bytes(shared)
    made = prepare(photos, tmp_path / "d", Settings(sides=(SIDE,)))
    assert set(made.card["passed_over"]) == {"original/000.png", "recaptured/000.png"}
    assert all("as original and as recaptured" in r for r in made.card["passed_over"].values())


def test_other_photographs_or_settings_in_the_same_folder_are_refused(
    photos: list[Photo], tmp_path: Path
) -> None:
    prepare(photos, tmp_path / "d", SMALL)
    with pytest.raises(DatasetError, match="made from other photographs, with other settings"):
        prepare(photos[1:], tmp_path / "d", SMALL)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("do not touch")
    with pytest.raises(DatasetError, match="not empty"):
        prepare(photos, tmp_path / "mine", SMALL)
    assert [p.name for p in (tmp_path / "mine").iterdir()] == ["thesis.txt"]


def test_a_photo_that_changes_meanwhile_is_refused(
    photos: list[Photo], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = write_photos(tmp_path / "photos", 6)
    monkeypatch.setattr(PREPARE, "_require_space", lambda *_: swap(own[0].path))

    def swap(path: Path) -> None:
        Image.fromarray(photo_pixels(77, False)).save(path)

    with pytest.raises(DatasetError, match="changed while"):
        prepare(own, tmp_path / "d", Settings(sides=(SIDE,)))


def test_a_disk_that_is_too_small_is_noticed_before_anything_is_written(
    photos: list[Photo], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = type("Usage", (), {"free": 1000})
    monkeypatch.setattr(PREPARE.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(DatasetError, match="GB are free"):
        prepare(photos, tmp_path / "d", SMALL)
    assert not list((tmp_path / "d").rglob("*.npy"))


def test_work_in_threads_that_is_broken_off_does_not_begin_what_it_had_not_begun(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    begun: list[int] = []
    broken_off = threading.Event()

    class Executor(ThreadPoolExecutor):
        def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
            super().shutdown(wait=False, cancel_futures=cancel_futures)
            broken_off.set()
            super().shutdown(wait)

    def work(item: int) -> int:
        begun.append(item)
        if item > 0:
            broken_off.wait()
        return item

    monkeypatch.setattr("trueshot.progress.ThreadPoolExecutor", Executor)

    with contextlib.suppress(KeyboardInterrupt), in_threads(work, range(500), 2) as results:
        assert next(results) == 0
        raise KeyboardInterrupt
    assert len(begun) <= 3


def test_an_unfinished_or_missing_data_set_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="missing"):
        Dataset.open(tmp_path / "none")
    (tmp_path / "begun").mkdir()
    with pytest.raises(DatasetError, match="unfinished"):
        Dataset.open(tmp_path / "begun")


@pytest.mark.parametrize("name", ["dataset.json", "photos.parquet", f"{SIDE}px/crops.npy"])
def test_a_damaged_data_set_is_refused(photos: list[Photo], tmp_path: Path, name: str) -> None:
    prepare(photos, tmp_path / "d", SMALL)
    path = tmp_path / "d" / name
    for left in (path.read_bytes()[: path.stat().st_size // 2], b"", b"[" * 100_000):
        path.write_bytes(left)
        with pytest.raises(DatasetError, match="damaged"):
            Dataset.open(tmp_path / "d")


def test_near_flat_crops_are_taken_last_and_counted(tmp_path: Path) -> None:
    photos = write_photos(tmp_path / "photos", 6)
    for photo in photos:
        pixels = np.array(Image.open(photo.path))
        pixels[: 2 * SIDE] = 200  # the upper half: a clear sky
        pixels[0, 0] = pixels[-1, -1]  # equal pictures are passed over
        Image.fromarray(pixels).save(photo.path)
    few = prepare(photos, tmp_path / "few", Settings(sides=(SIDE,), per_class=20))
    assert not any(row["flat"] for row in rows(few))
    assert few.card["sides"][str(SIDE)]["flat"] == 0
    every = prepare(photos, tmp_path / "all", Settings(sides=(SIDE,), per_class=1000))
    assert every.card["sides"][str(SIDE)]["flat"] == sum(bool(r["flat"]) for r in rows(every)) > 0


def test_a_crop_is_flat_by_the_deviation_of_its_luma() -> None:
    flat = np.full((16, 16, 3), 120, np.uint8)
    assert is_flat(flat)
    textured = flat.copy()
    textured[::2] += 7
    assert not is_flat(textured)


@given(st.integers(1, 300), st.integers(1, 300), st.integers(16, 80), st.integers(0, 9))
@settings(max_examples=60, deadline=None)
def test_crops_of_the_grid_lie_inside_apart_and_are_as_many_as_fit(
    height: int, width: int, side: int, seed: int
) -> None:
    corners = grid_corners(height, width, side, np.random.default_rng(seed))
    assert len(corners) == (height // side) * (width // side)
    assert len(np.unique(corners, axis=0)) == len(corners)
    if len(corners):
        assert (corners >= 0).all()
        assert (corners + side <= [height, width]).all()
        assert (((corners - corners[0]) % side) == 0).all()


@given(st.integers(1, 300), st.integers(16, 80), st.integers(0, 9))
@settings(max_examples=60, deadline=None)
def test_crops_begin_at_blocks_whatever_their_side(width: int, side: int, seed: int) -> None:
    corners = grid_corners(side, width, side, np.random.default_rng(seed), multiple=8)
    assert (corners % 8 == 0).all()
    places = np.sort(corners[:, 1])
    assert (np.diff(places) >= side).all()
    held = [x for x in range(width - side + 1) if x % (8 * math.ceil(side / 8)) == 0]
    assert len(places) == len(held)
    assert not len(places) or places[-1] + side <= width


def test_the_first_crops_are_spread_over_the_photo() -> None:
    corners = grid_corners(640, 640, 64, np.random.default_rng(0))[:5]
    apart = np.linalg.norm(corners[:, None] - corners[None], axis=-1)
    assert apart[~np.eye(5, dtype=bool)].min() > 4 * 64 - 1


@given(st.lists(st.integers(0, 30), min_size=1, max_size=12), st.data())
@settings(max_examples=100, deadline=None)
def test_shares_are_as_even_as_what_is_held_allows(held: list[int], data: st.DataObject) -> None:
    wanted = data.draw(st.integers(0, sum(held)))
    taken = shares(held, wanted)
    assert sum(taken) == wanted
    assert all(0 <= t <= h for t, h in zip(taken, held, strict=True))
    level = max(taken)
    assert all(t >= level - 1 for t, h in zip(taken, held, strict=True) if h > t)


def test_groups_join_whatever_shares_a_key_directly_or_through_others() -> None:
    keys = [["a"], ["b"], ["a", "c"], ["c"], ["d"], []]
    assert groups_of(keys) == [0, 1, 0, 0, 2, 3]


def test_the_split_of_a_few_groups_is_the_best_that_there_is() -> None:
    parts = split_groups({0: (40, 40), 1: (10, 10), 2: (50, 50)}, (0.4, 0.1, 0.5), seed=0)
    assert parts == {0: "train", 1: "validation", 2: "test"}


def test_many_groups_are_split_if_they_can_be() -> None:
    few = {2: 23, 3: 15, 5: 57, 6: 28}  # four of nine sources have originals
    recaptured = (31, 25, 1, 41, 59, 12, 48, 55, 30)
    counts = {group: [few.get(group, 0), count] for group, count in enumerate(recaptured)}
    parts = split_groups(counts, (0.8, 0.1, 0.1), 0)
    assert {parts[group] for group in few} == set(PARTS)


def test_many_groups_are_split_close_to_the_shares() -> None:
    counts = {i: ((1, 0), (0, 1))[i % 2] for i in range(200)}
    parts = split_groups(counts, (0.4, 0.1, 0.5), seed=0)
    for label in (0, 1):
        own = [parts[i] for i in range(200) if i % 2 == label]
        assert [own.count(part) for part in PARTS] == [40, 10, 50]
    assert parts != split_groups(counts, (0.4, 0.1, 0.5), seed=1)


def test_a_leak_names_its_source_and_both_parts() -> None:
    with pytest.raises(LeakError, match="source phone1: is in both train and test"):
        check_disjoint({"source": ["phone1", "phone1"]}, ["train", "test"])


def facts_of(photos: list[Photo]) -> list[dict[str, object]]:
    from dataclasses import asdict

    return [asdict(read_image(photo.path).facts) for photo in photos]


def planted(folder: Path, qualities: dict[str, tuple[int, ...]]) -> list[Photo]:
    photos = []
    for label, values in qualities.items():
        for number in range(40):
            path = folder / f"{label}{number}.jpg"
            pixels = photo_pixels(number, False)
            Image.fromarray(pixels).save(path, quality=values[number % len(values)])
            photos.append(Photo(name=path.name, path=path, label=label))
    return photos


def test_a_planted_shortcut_is_found_by_the_audit(tmp_path: Path) -> None:
    photos = planted(tmp_path, {"original": (92, 95), "recaptured": (75, 80)})
    labels = [int(photo.label == "recaptured") for photo in photos]
    with all_trees():
        audit = audit_shortcuts(facts_of(photos), labels, list(range(80)))
    assert audit.auc is not None
    assert audit.auc > 0.95
    assert "AUC" in audit.warning


def test_the_audit_finds_nothing_where_there_is_nothing(tmp_path: Path) -> None:
    photos = planted(tmp_path, {"original": (75, 92), "recaptured": (75, 92)})
    labels = [int(photo.label == "recaptured") for photo in photos]
    with all_trees():
        audit = audit_shortcuts(facts_of(photos), labels, [i % 40 for i in range(80)])
    assert audit.auc is not None
    assert audit.auc < 0.6
    assert audit.warning == ""


def test_a_resolution_beyond_single_precision_does_not_end_the_audit(tmp_path: Path) -> None:
    photos = planted(tmp_path, {"original": (75, 92), "recaptured": (75, 92)})
    facts = facts_of(photos)
    facts[0]["dpi"] = 1e300
    labels = [int(photo.label == "recaptured") for photo in photos]
    with all_trees():
        assert audit_shortcuts(facts, labels, [i % 40 for i in range(80)]).auc is not None


def test_the_audit_says_nothing_of_a_handful_of_photos(photos: list[Photo]) -> None:
    few = photos[:4] + photos[-4:]
    labels = [int(photo.label == "recaptured") for photo in few]
    assert audit_shortcuts(facts_of(few), labels, list(range(8))).auc is None


def test_the_audit_says_nothing_of_groups_that_cannot_be_divided(tmp_path: Path) -> None:
    photos = planted(tmp_path, {"original": (75, 92), "recaptured": (75, 92)})
    labels = [int(photo.label == "recaptured") for photo in photos]
    groups = [2 if number % 2 else label for number, label in enumerate(labels)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert audit_shortcuts(facts_of(photos), labels, groups).auc is None


def test_folders_give_all_their_images_with_labels(tmp_path: Path) -> None:
    write_photos(tmp_path, 2)
    (tmp_path / "original" / "deep").mkdir()
    Image.fromarray(photo_pixels(5, False)).save(tmp_path / "original" / "deep" / "a.jpg")
    found = in_two_folders(tmp_path / "original", tmp_path / "recaptured")
    assert [(p.name, p.label) for p in found] == [
        ("original/000.png", "original"),
        ("original/001.png", "original"),
        ("original/deep/a.jpg", "original"),
        ("recaptured/000.png", "recaptured"),
        ("recaptured/001.png", "recaptured"),
    ]


def test_folders_that_are_missing_empty_or_nested_are_refused(tmp_path: Path) -> None:
    write_photos(tmp_path, 1)
    (tmp_path / "empty").mkdir()
    for other, reason in (("none", "no such folder"), ("empty", "no images"), (".", "inside")):
        with pytest.raises(DatasetError, match=reason):
            in_two_folders(tmp_path / "original", tmp_path / other)


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_manifest_lists_photographs_beside_it(tmp_path: Path, suffix: str) -> None:
    lines = [
        {"path": "a/1.jpg", "label": "original", "source": "phone1", "more": "7"},
        {"path": "a/2.jpg", "label": "recaptured", "source": "", "more": "8"},
    ]
    manifest = tmp_path / f"list{suffix}"
    write_manifest(manifest, lines)
    assert photos_in_manifest(manifest) == [
        Photo(name="a/1.jpg", path=tmp_path / "a/1.jpg", label="original", source="phone1"),
        Photo(name="a/2.jpg", path=tmp_path / "a/2.jpg", label="recaptured", source=""),
    ]


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_manifest_gives_parts_and_origins(tmp_path: Path, suffix: str) -> None:
    cells = {"scene": "s1", "first_camera": "", "camera": "c1", "medium": " ", "display": "d"}
    line = {"path": "1.jpg", "label": "original", "part": "validation", **cells}
    write_manifest(tmp_path / f"list{suffix}", [line])
    (photo,) = photos_in_manifest(tmp_path / f"list{suffix}")
    assert photo.part == "validation"
    assert photo.origins == {"scene": "s1", "camera": "c1"}
    assert photo.source == ""


def write_manifest(path: Path, lines: list[dict[str, str]]) -> None:
    if path.suffix == ".parquet":
        pyarrow.parquet.write_table(pa.Table.from_pylist(lines), path)
    else:
        table = [",".join(lines[0]), *(",".join(line.values()) for line in lines)]
        path.write_text("\n".join(table), "utf-8")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("path,label\na.jpg,fake", "row 1 .a.jpg.: unknown label 'fake'"),
        ("path,label\n,original", "row 1: has no path"),
        ("path,label\na.jpg,original\na.jpg,original", "lists a.jpg twice"),
        ("file,label\na.jpg,original", "lacks the column path"),
        ("path,label", "lists no photographs"),
        ("path,label,part\na.jpg,original,eval", "list.csv, row 1 .a.jpg.: unknown part 'eval'"),
        (
            "path,label,part\na.jpg,original,test\nb.jpg,original,",
            "list.csv, row 2 .b.jpg.: no part, but others have one",
        ),
        ("path,label\n\x00,\xff", "label|cannot be read|no path"),
    ],
)
def test_a_wrong_manifest_is_refused_by_row(tmp_path: Path, text: str, reason: str) -> None:
    manifest = tmp_path / "list.csv"
    manifest.write_bytes(text.encode("latin-1"))
    with pytest.raises(DatasetError, match=reason):
        photos_in_manifest(manifest)


def test_a_parquet_file_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "list.parquet").write_text("no table")
    with pytest.raises(DatasetError, match="lacks the column path"):
        photos_in_manifest(tmp_path / "list.parquet")


@pytest.mark.parametrize(
    "wrong",
    [
        {"sides": ()},
        {"sides": (8,)},
        {"sides": (64, 64)},
        {"sides": (64,), "per_class": 0},
        {"sides": (64,), "fractions": (0.5, 0.5, 0.5)},
        {"sides": (64,), "fractions": (0.5, 0.5)},
        {"sides": (64,), "split_by": "colour"},
        {"sides": (64,), "seed": -1},
        {"sides": (64,), "seed": 2**32},
        {"sides": (64,), "fractions": (float("nan"),) * 3},
    ],
)
def test_wrong_settings_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(DatasetError):
        Settings(**wrong)  # type: ignore[arg-type]


def test_photographs_smaller_than_a_crop_leave_nothing_to_prepare(
    photos: list[Photo], tmp_path: Path
) -> None:
    with pytest.raises(DatasetError, match="too few photographs of 256 px"):
        prepare(photos, tmp_path / "d", Settings(sides=(256,)))


def test_too_small_a_per_class_for_the_shares_is_named(photos: list[Photo], tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"per_class is 5: .* the validation part"):
        prepare(photos, tmp_path / "d", Settings(sides=(16,), per_class=5))


def test_the_survey_is_a_journal_that_a_cut_line_does_not_spoil(
    photos: list[Photo], tmp_path: Path
) -> None:
    whole = prepare(photos, tmp_path / "whole", SMALL)
    out = tmp_path / "cut"
    out.mkdir()
    (out / "prepare.json").write_bytes((tmp_path / "whole" / "prepare.json").read_bytes())
    journal = (tmp_path / "whole" / "survey.jsonl").read_bytes()
    (out / "survey.jsonl").write_bytes(journal[: len(journal) // 2])
    assert prepare(photos, out, SMALL).fingerprint(16) == whole.fingerprint(16)
    assert [json.loads(line) for line in (out / "survey.jsonl").read_text().splitlines()]


def test_the_journal_says_that_a_photograph_is_cut_when_its_crops_are_on_disk(
    photos: list[Photo], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushes: list[None] = []
    read_after: dict[Path, int] = {}
    flush, read, append = np.memmap.flush, PREPARE.read_image, PREPARE.append_line

    def flushing(pixels: np.memmap) -> None:  # type: ignore[type-arg]
        flushes.append(None)
        flush(pixels)

    def reading(path: Path, **settings: int) -> object:
        read_after[path] = len(flushes)
        return read(path, **settings)

    def appending(journal: Path, record: dict[str, object]) -> None:
        if "photo" in record:
            assert len(flushes) > read_after[photos[record["photo"]].path]
        append(journal, record)

    monkeypatch.setattr(np.memmap, "flush", flushing)
    monkeypatch.setattr(PREPARE, "read_image", reading)
    monkeypatch.setattr(PREPARE, "append_line", appending)
    prepare(photos, tmp_path / "d", SMALL)
    assert len(read_after) == len(photos)


def test_a_source_is_what_the_cell_says_and_zero_is_a_name(tmp_path: Path) -> None:
    lines = [
        {"path": f"{i}.jpg", "label": "original", "source": source}
        for i, source in enumerate([0, 1, None, float("nan")])
    ]
    pyarrow.parquet.write_table(pa.Table.from_pylist(lines), tmp_path / "m.parquet")
    sources = [photo.source for photo in photos_in_manifest(tmp_path / "m.parquet")]
    assert sources == ["0.0", "1.0", "", ""]  # with a NaN among them, integers are floats
    integers = pa.table({"path": ["a", "b"], "label": ["original"] * 2, "source": [0, 1]})
    pyarrow.parquet.write_table(integers, tmp_path / "i.parquet")
    assert [p.source for p in photos_in_manifest(tmp_path / "i.parquet")] == ["0", "1"]
    (tmp_path / "m.csv").write_text("path,label,source\na,original,s0\nb,original,s0 ")
    assert [p.source for p in photos_in_manifest(tmp_path / "m.csv")] == ["s0", "s0"]


@pytest.mark.parametrize("kind", ["sha256", "pixels_sha256", "path"])
def test_a_photo_that_stands_in_two_parts_is_refused_whatever_it_is_known_by(
    photos: list[Photo], tmp_path: Path, kind: str
) -> None:
    prepare(photos, tmp_path / "d", SMALL)
    path = tmp_path / "d" / "photos.parquet"
    table = pyarrow.parquet.read_table(path).to_pylist()
    train, test = (next(row for row in table if row["part"] == p) for p in ("train", "test"))
    test[kind] = train[kind]
    pyarrow.parquet.write_table(pa.Table.from_pylist(table), path)
    with pytest.raises(LeakError, match=kind):
        Dataset.open(tmp_path / "d")


@pytest.mark.parametrize(
    "name", ["dataset.json", "photos.parquet", f"{SIDE}px/crops.npy", f"{SIDE}px/crops.parquet"]
)
@pytest.mark.parametrize("damage", ["halved", "emptied", "missing"])
def test_preparing_again_heals_what_was_damaged(
    photos: list[Photo], tmp_path: Path, name: str, damage: str
) -> None:
    prepare(photos, tmp_path / "d", SMALL)
    whole = contents(tmp_path / "d")
    path = tmp_path / "d" / name
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2 if damage == "halved" else 0])
    if damage == "missing":
        path.unlink()
    prepare(photos, tmp_path / "d", SMALL)
    assert contents(tmp_path / "d") == whole


def test_crops_of_another_type_are_refused(photos: list[Photo], tmp_path: Path) -> None:
    prepare(photos, tmp_path / "d", SMALL)
    path = tmp_path / "d" / f"{SIDE}px" / "crops.npy"
    np.save(path, np.load(path).astype(np.float32))
    with pytest.raises(DatasetError, match="float32"):
        Dataset.open(tmp_path / "d")


def test_crops_in_a_zip_archive_are_named_and_made_again(
    photos: list[Photo], tmp_path: Path
) -> None:
    expected = prepare(photos, tmp_path / "d", SMALL).fingerprint(SIDE)
    path = tmp_path / "d" / f"{SIDE}px" / "crops.npy"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("crops.npy", b"")
    with pytest.raises(DatasetError, match=r"crops\.npy is a zip archive"):
        Dataset.open(tmp_path / "d")
    assert prepare(photos, tmp_path / "d", SMALL).fingerprint(SIDE) == expected


def test_a_second_run_in_the_same_folder_is_refused_and_harms_nothing(
    photos: list[Photo], tmp_path: Path
) -> None:
    expected = prepare(photos, tmp_path / "whole", SMALL).fingerprint(SIDE)
    with claim(tmp_path / "d"), pytest.raises(RunError, match="another process is using"):
        prepare(photos, tmp_path / "d", replace(SMALL, seed=9))
    assert prepare(photos, tmp_path / "d", SMALL).fingerprint(SIDE) == expected


def test_a_run_killed_in_its_very_first_write_can_be_started_again(
    photos: list[Photo], tmp_path: Path
) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / ".prepare.json.abc.part").write_text("{")
    prepare(photos, tmp_path / "d", SMALL)
    assert not list((tmp_path / "d").rglob("*.part"))


def test_leftovers_are_deleted_where_they_were_written_and_nowhere_below(
    photos: list[Photo], tmp_path: Path
) -> None:
    root = tmp_path / "d"
    prepare(photos, root, SMALL)
    whole = contents(root)
    (root / "dataset.json").unlink()
    ours = [root / ".photos.parquet.a.part", root / f"{SIDE}px" / ".crops.npy.part"]
    (root / "mine").mkdir()
    theirs = root / "mine" / ".download.part"
    for path in (*ours, theirs):
        path.write_text("half")
    prepare(photos, root, SMALL)
    assert theirs.read_text() == "half"
    theirs.unlink()
    assert contents(root) == whole


def test_a_disk_that_fills_up_is_noticed_before_a_crop_is_cut(
    photos: list[Photo], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full, raising=False)
    with pytest.raises(DatasetError, match="cannot reserve disk space"):
        prepare(photos, tmp_path / "d", SMALL)


def test_a_name_that_is_no_utf_8_is_written_as_escapes(tmp_path: Path) -> None:
    photos = write_photos(tmp_path / "photos", 8)
    odd = os.fsdecode(os.fsencode(tmp_path / "photos" / "original") + b"/b\xe9d.png")
    try:
        Image.fromarray(photo_pixels(50, False)).save(odd)
    except OSError:
        pytest.skip("this file system takes no such name")
    folders = (tmp_path / "photos" / "original", tmp_path / "photos" / "recaptured")
    made = prepare(in_two_folders(*folders), tmp_path / "d", Settings(sides=(SIDE,)))
    assert len(made.photos) == len(photos) + 1
    assert "original/b\\udce9d.png" in made.photos["path"].to_pylist()
    assert not made.card["passed_over"]


def test_photographs_smaller_than_a_crop_are_counted(tmp_path: Path) -> None:
    photos = write_photos(tmp_path / "photos", 6)
    Image.fromarray(photo_pixels(9, False, 16)).save(photos[0].path)
    made = prepare(photos, tmp_path / "d", SMALL)
    assert [made.card["sides"][str(side)]["too_small"] for side in SMALL.sides] == [1, 0]


def copied(photos: list[Photo], folder: Path) -> list[Photo]:
    """The same photographs in files of their own, which a test may spoil."""
    found = []
    for photo in photos:
        path = folder / photo.name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(photo.path.read_bytes())
        found.append(replace(photo, path=path))
    return found


def test_what_was_missing_or_damaged_is_looked_at_again(
    photos: list[Photo], tmp_path: Path
) -> None:
    own = copied(photos, tmp_path / "in")
    wanted = prepare(own, tmp_path / "wanted", SMALL)
    missing, damaged = own[0].path, own[-1].path
    whole = {path: path.read_bytes() for path in (missing, damaged)}
    missing.unlink()
    damaged.write_bytes(whole[damaged][:100])
    made = prepare(own, tmp_path / "d", SMALL)
    assert made.card["passed_over"].keys() == {own[0].name, own[-1].name}
    assert prepare(own, tmp_path / "d", SMALL).card == made.card, "as long as nothing is mended"
    for path, data in whole.items():
        path.write_bytes(data)
    mended = prepare(own, tmp_path / "d", SMALL)
    assert mended.card["passed_over"] == {}
    assert mended.fingerprint(SIDE) == wanted.fingerprint(SIDE)
    assert contents(tmp_path / "d") == contents(tmp_path / "wanted")


def test_what_was_changed_is_looked_at_again_and_a_touch_is_no_change(
    photos: list[Photo], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = copied(photos, tmp_path / "in")
    first = prepare(own, tmp_path / "d", SMALL)
    os.utime(own[0].path, ns=(1, 1))
    assert prepare(own, tmp_path / "d", SMALL).fingerprint(SIDE) == first.fingerprint(SIDE)
    other = 255 - read_image(own[0].path).pixels
    Image.fromarray(other).save(own[0].path)
    os.utime(own[0].path, ns=(1, 1))
    second = prepare(own, tmp_path / "d", SMALL)
    assert second.fingerprint(SIDE) != first.fingerprint(SIDE)
    assert contents(tmp_path / "d") == contents(prepare(own, tmp_path / "e", SMALL).folder)
    own[1].path.unlink()
    assert prepare(own, tmp_path / "d", SMALL).fingerprint(SIDE) == second.fingerprint(SIDE)
    Image.fromarray(255 - other).save(own[0].path)
    with pytest.raises(DatasetError, match=r"has changed since .* is missing: restore it"):
        prepare(own, tmp_path / "d", SMALL)


def test_a_photograph_that_changes_between_two_runs_is_cut_as_it_is(
    photos: list[Photo], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = copied(photos, tmp_path / "in")
    cut_all = PREPARE._cut_all

    def cut_half(*arguments: object) -> None:
        cut_all(*arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(PREPARE, "_cut_all", cut_half)
    with pytest.raises(KeyboardInterrupt):
        prepare(own, tmp_path / "d", SMALL)
    monkeypatch.undo()
    Image.fromarray(255 - read_image(own[2].path).pixels).save(own[2].path)
    prepare(own, tmp_path / "d", SMALL)
    assert contents(tmp_path / "d") == contents(prepare(own, tmp_path / "e", SMALL).folder)
