"""Camera models: labels from EXIF or a manifest, and a split that shares no device and no scene."""

from __future__ import annotations

import csv
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
from conftest import SIDE, photo_pixels
from PIL import ExifTags, Image
from typer.testing import CliRunner

from trueshot.cli import app
from trueshot.datasets import Dataset, Photo
from trueshot.datasets.cameras import labelled, model_of, split_by_device_and_scene, task_of
from trueshot.errors import DatasetError


def taken(path: Path, make: str, model: str, seed: int = 0) -> Path:
    exif = Image.Exif()
    exif[ExifTags.Base.Make], exif[ExifTags.Base.Model] = make, model
    pixels = photo_pixels(seed, recaptured=False)
    Image.fromarray(pixels).save(path, exif=exif, quality=95)
    return path


@pytest.mark.parametrize(
    ("make", "model", "name"),
    [
        ("Canon", "Canon PowerShot S100", "Canon PowerShot S100"),
        ("NIKON CORPORATION", "NIKON D70", "NIKON D70"),
        ("samsung", "SM-G960F/DS", "samsung SM-G960F-DS"),
        ("Apple", "iPhone 12 (mini)\0", "Apple iPhone 12 -mini"),
        ("Canon", "", ""),
    ],
)
def test_a_model_is_read_from_exif_in_signs_that_a_class_may_have(
    make: str, model: str, name: str, tmp_path: Path
) -> None:
    assert model_of(taken(tmp_path / "a.jpg", make, model)) == name


def test_photographs_without_a_model_are_named_and_labels_of_a_manifest_are_kept(
    tmp_path: Path,
) -> None:
    known = taken(tmp_path / "a.jpg", "Canon", "S100")
    Image.fromarray(photo_pixels(1, recaptured=False)).save(tmp_path / "b.png")
    (tmp_path / "c.jpg").write_bytes(b"nothing")
    photos = [Photo(name=p.name, path=p, label="") for p in sorted(tmp_path.iterdir())]
    found, unknown = labelled([*photos, Photo(name="x", path=known, label="mine")])
    assert [photo.label for photo in found] == ["Canon S100", "mine"]
    assert [path.name for path in unknown] == ["b.png", "c.jpg"]
    with pytest.raises(DatasetError, match="two camera models"):
        task_of(found[:1])


def test_neither_device_nor_scene_of_the_test_was_ever_trained_on() -> None:
    photos = [
        Photo(
            name=f"{model}{device}{scene}",
            path=Path("none"),
            label=model,
            origins={"camera": f"{model}{device}", "scene": f"scene {scene}"},
        )
        for model, devices in (("a", 3), ("b", 2), ("c", 1))
        for device in range(devices)
        for scene in range(20)
    ]
    task = task_of(photos)
    assert task.decision == "top-class"
    kept = split_by_device_and_scene(photos, task, (0.6, 0.2, 0.2), 0)
    device_of = {photo.name: photo.origins["camera"] for photo in photos}
    scenes, devices = defaultdict(set), defaultdict(set)
    for photo in kept:
        scenes[photo.part].add(photo.origins["scene"])
        devices[photo.part].add(device_of[photo.name])
    assert set(scenes) == {"train", "validation", "test"}
    assert not scenes["train"] & scenes["test"]
    assert not scenes["validation"] & (scenes["train"] | scenes["test"])
    shared = (devices["train"] | devices["validation"]) & devices["test"]
    assert shared == {"c0"}  # the only device of its model
    assert len(devices["test"]) == 3
    assert len(kept) < len(photos)
    assert split_by_device_and_scene(photos, task, (0.6, 0.2, 0.2), 0) == kept


def test_photographs_of_an_unknown_device_are_not_the_test_of_their_model() -> None:
    photos = [
        Photo(
            name=f"{model}{device}{scene}",
            path=Path("none"),
            label=model,
            origins={"camera": device, "scene": f"scene {scene}"},
        )
        for model in "ab"
        for device in ("", f"{model}0", f"{model}1")
        for scene in range(20)
    ]
    device_of = {photo.name: photo.origins["camera"] for photo in photos}
    for seed in range(5):
        kept = split_by_device_and_scene(photos, task_of(photos), (0.6, 0.2, 0.2), seed)
        assert "" not in {device_of[photo.name] for photo in kept if photo.part == "test"}


def test_scenes_of_one_source_are_in_one_part() -> None:
    photos = [
        Photo(
            name=f"{model}{scene}",
            path=Path("none"),
            label=model,
            source=f"session {scene // 2}",
            origins={"scene": f"scene {scene}"},
        )
        for model in "ab"
        for scene in range(30)
    ]
    parts = defaultdict(set)
    for photo in split_by_device_and_scene(photos, task_of(photos), (0.6, 0.2, 0.2), 0):
        parts[photo.source].add(photo.part)
    assert all(len(held) == 1 for held in parts.values())
    assert set.union(*parts.values()) == {"train", "validation", "test"}


def test_a_manifest_of_cameras_becomes_a_data_set(tmp_path: Path) -> None:
    rows = []
    for number in range(48):
        name = f"{number}.png"
        Image.fromarray(photo_pixels(number, recaptured=False)).save(tmp_path / name)
        rows.append((name, "xyz"[number % 3], f"device {number % 6}", f"scene {number // 6}"))
    with (tmp_path / "m.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("path", "label", "camera", "scene"), *rows])
    asked = ["prepare", "--task", "camera-model", "--manifest", str(tmp_path / "m.csv")]
    asked += ["--size", str(SIDE), "--per-class", "30", "--fractions", "0.5", "0.2", "0.3"]
    done = CliRunner().invoke(app, [*asked, "--out", str(tmp_path / "d")])
    assert done.exit_code == 0, (done.output, done.exception)
    made = Dataset.open(tmp_path / "d")
    assert (made.task.name, made.task.classes) == ("camera-model", ("x", "y", "z"))
    assert made.task.decision == "top-class"
    rows_made = made.crops[SIDE].to_pylist()
    assert all(row["y"] % 8 == row["x"] % 8 == 0 for row in rows_made)
    labels = made.part(SIDE, "test").labels
    assert len(set(np.bincount(labels))) == 1
    wrong = CliRunner().invoke(app, [*asked[:3], "--out", str(tmp_path / "e")])
    assert "EXIF" in wrong.output


def test_folders_of_camera_models_are_refused_with_what_to_give_instead(tmp_path: Path) -> None:
    asked = ["prepare", "--task", "camera-model", "--class", f"x={tmp_path}"]
    done = CliRunner().invoke(app, [*asked, "--out", str(tmp_path / "d")])
    assert done.exit_code == 2
    assert "column label of a --manifest" in " ".join(done.output.split())
