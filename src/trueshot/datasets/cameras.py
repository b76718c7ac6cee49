"""Photographs of known camera models: labels from EXIF, and a split by device and by scene.

Source: the split of Bondi, Baroffio et al. 2017, arXiv:1603.01068: the test part has devices and
scenes that training never saw. If a model has several devices, one is kept for the test part.
Validation has other scenes than training but the same devices. A photograph is left out if its
device belongs to one part and its scene to another.
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
from trueshot.datasets.splits import PARTS, groups_of, split_groups
from trueshot.errors import DatasetError, ImageFileError
from trueshot.images import DEFAULT_PIXEL_LIMIT
from trueshot.images.facts import exif_of
from trueshot.images.opening import opened, read_bytes
from trueshot.tasks import Task
from trueshot.tasks.camera_model import camera_model

_FOREIGN = re.compile(r"[^A-Za-z0-9._ -]+")
_DEVICE_STREAM = 4


def labelled(
    photos: Sequence[Photo], pixel_limit: int = DEFAULT_PIXEL_LIMIT
) -> tuple[list[Photo], list[Path]]:
    """Label photographs with the camera model named in their EXIF.

    Args:
        photos: Photographs; existing labels are kept.
        pixel_limit: Files with more pixels are refused, so their model remains unknown.

    Returns:
        The photographs of known model, and the paths of all others.
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
    """Return make and model from a file's EXIF as a valid class name, or "" if not known."""
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
    """Return the task of distinguishing the camera models of these photographs.

    Raises:
        DatasetError: There are fewer than two models.
    """
    models = tuple(sorted({photo.label for photo in photos}))
    if len(models) < 2:
        raise DatasetError(
            "at least two camera models are needed, named in EXIF or in the column label of a "
            f"manifest; got {len(photos)} photographs by {', '.join(models) or 'no known camera'}"
        )
    return camera_model(models)


def split_by_device_and_scene(
    photos: Sequence[Photo], task: Task, fractions: Sequence[float], seed: int
) -> list[Photo]:
    """Assign photographs to parts by device and scene; see the module for those left out.

    If any photograph already has a part, the list is returned unchanged.

    Args:
        photos: Photographs, with the origins `camera` (the device) and `scene` where known. Without
            a scene, the photograph's source, or else the photograph itself, counts as one. Scenes
            that share a source are in one part.
        task: Task whose classes are the labels.
        fractions: Shares of the scenes for train, validation and test.
        seed: Seed of the choice of devices and scenes.

    Raises:
        DatasetError: The scenes cannot be split with every model in each part.
    """
    if any(photo.part for photo in photos):
        return list(photos)
    scenes = [photo.origins.get("scene") or photo.source or photo.name for photo in photos]
    sources = [[("source", photo.source)] if photo.source else [] for photo in photos]
    keys = [[("scene", scene), *source] for scene, source in zip(scenes, sources, strict=True)]
    groups = groups_of(keys)
    counts: dict[int, list[int]] = defaultdict(lambda: [0] * len(task.classes))
    for photo, group in zip(photos, groups, strict=True):
        counts[group][task.label(photo.label)] += 1
    part_of = split_groups(counts, fractions, seed)
    tested = _tested_devices(photos, seed)
    kept = []
    for photo, scene, group in zip(photos, scenes, groups, strict=True):
        part, device = part_of[group], photo.origins.get("camera", "")
        if photo.label in tested and (device == tested[photo.label]) != (part == PARTS[2]):
            continue
        # Drop the camera: training and validation share devices, which `check_origins` refuses.
        origins = {k: v for k, v in photo.origins.items() if k != "camera"}
        kept.append(replace(photo, part=part, origins={**origins, "scene": scene}))
    return kept


def _tested_devices(photos: Sequence[Photo], seed: int) -> dict[str, str]:
    """Choose the test device of each model that has several known devices."""
    devices: dict[str, set[str]] = defaultdict(set)
    for photo in photos:
        devices[photo.label].add(photo.origins.get("camera", ""))
    random = np.random.default_rng([seed, _DEVICE_STREAM])
    return {
        model: sorted(known)[int(random.integers(len(known)))]
        for model, own in sorted(devices.items())
        if len(known := own - {""}) > 1
    }
