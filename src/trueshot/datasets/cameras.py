"""Photographs of known camera models: labels from EXIF, and a split by device and by scene.

Source: the split of Bondi, Baroffio et al. 2017, arXiv:1603.01068: what is tested are devices and
scenes that training never saw. Of each model one device is kept for the test, if it has several;
validation has other scenes than training, and its devices. Photographs of a device of one part that
show a scene of another are left out.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image

from trueshot.datasets.photos import Photo
from trueshot.datasets.splits import PARTS, split_groups
from trueshot.errors import DatasetError, ImageFileError
from trueshot.images.facts import exif_of
from trueshot.images.opening import DEFAULT_PIXEL_LIMIT, opened, read_bytes
from trueshot.tasks import Task
from trueshot.tasks.camera_model import camera_model

_FOREIGN = re.compile(r"[^A-Za-z0-9._ -]+")
_DEVICE_STREAM = 4


def labelled(
    photos: Sequence[Photo], pixel_limit: int = DEFAULT_PIXEL_LIMIT
) -> tuple[list[Photo], list[Path]]:
    """Photographs with the camera model that their EXIF names, as label.

    Args:
        photos: Those that have a label keep it.
        pixel_limit: Files of more pixels are not looked into.

    Returns:
        Those of known model; files of which it is not known.
    """
    found, unknown = [], []
    for photo in photos:
        label = photo.label or model_of(photo.path, pixel_limit)
        if label:
            found.append(replace(photo, label=label))
        else:
            unknown.append(photo.path)
    return found, unknown


def model_of(path: Path, pixel_limit: int = DEFAULT_PIXEL_LIMIT) -> str:
    """Make and model by a file's EXIF, in signs that names of classes have; empty if not known."""
    try:
        with opened(read_bytes(path, pixel_limit), str(path), pixel_limit) as picture:
            exif = exif_of(picture) or Image.Exif()
            tags = (ExifTags.Base.Make, ExifTags.Base.Model)
            make, model = (str(exif.get(tag, "")).strip(" \0") for tag in tags)
    except ImageFileError:
        return ""
    brand = make.split(" ")[0]
    whole = model if model.casefold().startswith(brand.casefold()) else f"{brand} {model}"
    return _FOREIGN.sub("-", whole).strip(" ._-")[:80] if model else ""


def task_of(photos: Sequence[Photo]) -> Task:
    """The task of telling the models of these photographs apart.

    Raises:
        DatasetError: They are of fewer than two models.
    """
    models = tuple(sorted({photo.label for photo in photos}))
    if len(models) < 2:
        raise DatasetError(
            f"{len(photos)} photographs of {', '.join(models) or 'no known camera'}: two camera "
            "models or more are wanted, in EXIF or in the column label of a manifest"
        )
    return camera_model(models)


def split_by_device_and_scene(
    photos: Sequence[Photo], task: Task, fractions: Sequence[float], seed: int
) -> list[Photo]:
    """Photographs with their parts; see above for those that are left out.

    Args:
        photos: With the origins `camera`, the device, and `scene`, where they are known; without a
            scene, each photograph, or all of a source, is one of its own.
        task: Whose classes they are of.
        fractions: Shares of the scenes for train, validation and test.
        seed: Of the choice of devices and scenes.

    Raises:
        DatasetError: The scenes cannot be divided with every model in each part.
    """
    if any(photo.part for photo in photos):
        return list(photos)
    scenes = [photo.origins.get("scene") or photo.source or photo.name for photo in photos]
    numbers = {scene: number for number, scene in enumerate(dict.fromkeys(scenes))}
    counts: dict[int, list[int]] = defaultdict(lambda: [0] * len(task.classes))
    for photo, scene in zip(photos, scenes, strict=True):
        counts[numbers[scene]][task.label(photo.label)] += 1
    part_of = split_groups(counts, fractions, seed)
    tested = _tested_devices(photos, seed)
    kept = []
    for photo, scene in zip(photos, scenes, strict=True):
        part, device = part_of[numbers[scene]], photo.origins.get("camera", "")
        if photo.label in tested and (device == tested[photo.label]) != (part == PARTS[2]):
            continue
        # Training and validation share devices, which a split of origins does not allow.
        origins = {k: v for k, v in photo.origins.items() if k != "camera"}
        kept.append(replace(photo, part=part, origins={**origins, "scene": scene}))
    return kept


def _tested_devices(photos: Sequence[Photo], seed: int) -> dict[str, str]:
    """The device that is kept for the test, of each model that has several."""
    devices: dict[str, set[str]] = defaultdict(set)
    for photo in photos:
        devices[photo.label].add(photo.origins.get("camera", ""))
    random = np.random.default_rng([seed, _DEVICE_STREAM])
    return {
        model: sorted(own)[int(random.integers(len(own)))]
        for model, own in sorted(devices.items())
        if len(own - {""}) > 1
    }
