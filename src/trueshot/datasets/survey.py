"""The survey of photographs: whether each can be read, its facts, and its possible crops.

A journal keeps the record of each photograph, so that only those that have changed are read again.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from trueshot.datasets.crops import Corners, cut, grid_corners, is_flat
from trueshot.datasets.photos import Photo
from trueshot.datasets.settings import Settings
from trueshot.errors import DatasetError, ImageFileError, TaskError
from trueshot.files import FileState, file_sha256, read_lines
from trueshot.images import ImageFile, pixels_sha256, read_image
from trueshot.images.reading import is_lossy
from trueshot.tasks import Pixels

_JOURNAL = "survey.jsonl"
SCALE = 0.4
"""Factor on the sides of a photograph from a lossy file, for tasks that want none."""
SCALED = "scaled down to two fifths: its file is lossy, and the task wants no grid of blocks in it"

Record = dict[str, Any]


def survey(photo: Photo, settings: Settings) -> Record:
    """Read a photograph once and record everything that planning needs, but no pixels.

    Returns:
        A record for the journal: name, label, source and `error`. If `error` is empty, also facts,
        hashes, notes and `flat`: for each side, a string with a flag per crop of its grid, in grid
        order. `photograph_sha256` is the hash of the pixels that an example is made of.
    """
    record: Record = {"name": photo.name, "label": photo.label, "source": photo.source}
    try:
        image = read_image(photo.path, pixel_limit=settings.pixel_limit)
        pixels = example_of(image, photo, settings)
    except ImageFileError as error:
        return record | {"error": error.reason}
    except TaskError as error:
        return record | {"error": str(error)}
    examples = settings.task.examples is not None
    made_of = {"photograph_sha256": pixels_sha256(image.pixels)} if examples else {}
    height, width = pixels.shape[:2]
    facts = {**asdict(image.facts), "height": height, "width": width}
    flat = {}
    for side in settings.sides:
        corners = crop_corners(facts, side, settings.seed, settings.task.grid)
        flat[str(side)] = "".join("01"[is_flat(cut(pixels, c, side))] for c in corners)
    return record | {
        "error": "",
        "facts": facts,
        "notes": [*image.notes, *([SCALED] if _is_scaled(image, settings) else [])],
        "pixels_sha256": pixels_sha256(pixels),
        **made_of,
        "flat": flat,
    }


def example_of(image: ImageFile, photo: Photo, settings: Settings) -> Pixels:
    """Return the photograph's pixels, or the example that the task makes from them.

    Raises:
        TaskError: The task fails on this photograph.
    """
    task = settings.task
    if task.examples is None:
        return image.pixels
    label = task.label(photo.label)
    pixels = scaled_down(image.pixels) if _is_scaled(image, settings) else image.pixels
    return task.example(pixels, label, settings.seed, image.facts.sha256)


def _is_scaled(image: ImageFile, settings: Settings) -> bool:
    task = settings.task
    return task.examples is not None and task.uncompressed and is_lossy(image)


def scaled_down(pixels: Pixels) -> Pixels:
    """Scale a photograph to two fifths of its size.

    JPEG blocks of 8 pixels become 3.2 pixels wide, so they no longer lie on a pixel grid.
    """
    height, width = (max(1, round(size * SCALE)) for size in pixels.shape[:2])
    return np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.LANCZOS))


def crop_corners(facts: Record, side: int, seed: int, multiple: int = 1) -> Corners:
    """Return the corners of a photo's grid of crops; they depend on the arguments only.

    Args:
        facts: Facts with the height and width of the photo or example, and its file's SHA-256.
        side: Side of the crops, in pixels.
        seed: Seed of the data set.
        multiple: Corners are multiples of this many pixels; see `grid_corners`.
    """
    entropy = [seed, side, int(facts["sha256"][:16], 16)]
    random = np.random.default_rng(entropy)
    return grid_corners(facts["height"], facts["width"], side, random, multiple)


def survey_journal(root: Path) -> Path:
    """Return the path of the records of `survey`, one per line; the last of a name counts."""
    return root / _JOURNAL


def known_records(root: Path, photos: Sequence[Photo]) -> list[Record | None]:
    """Return each photograph's record, or None if the photograph has to be surveyed again.

    That is the case if it is new, could not be read before, or has changed. Size, inode and times
    show whether a file is unchanged; where they leave a doubt, its hash decides.
    """
    known = {record.get("name"): record for record in read_lines(survey_journal(root))}
    return [_if_current(known.get(photo.name), photo) for photo in photos]


def check_finished(root: Path, photos: Sequence[Photo], settings: Settings) -> bool:
    """Whether a finished data set still matches its photographs.

    Photographs that have been deleted do not matter, because their crops are stored.

    Raises:
        DatasetError: A photograph has changed or become readable, so the data set would have to be
            made again, but another one is gone.
    """
    known = {record.get("name"): record for record in read_lines(survey_journal(root))}
    changed: list[Photo] = []
    gone: list[Photo] = []
    for photo in photos:
        record = known.get(photo.name)
        if record is None or _if_current(record, photo) is not None:
            continue
        if not record.get("error", ""):
            (changed if photo.path.exists() else gone).append(photo)
        elif not survey(photo, settings)["error"]:
            changed.append(photo)
    if changed and gone:
        raise DatasetError(
            f"{root}: {changed[0].path} has changed since the data set was made, and "
            f"{gone[0].path} is missing: restore it to make the data set again, or choose another "
            "folder for a new one"
        )
    return not changed


def _if_current(record: Record | None, photo: Photo) -> Record | None:
    if record is None or record.get("error", "none") or "facts" not in record:
        return None
    now = state_of(photo.path)
    if now is None:
        return None
    before = record.get("state")
    if before is not None and FileState(*before).is_surely(FileState(*now)):
        return record
    same = file_sha256(photo.path) == record["facts"]["sha256"]
    return record | {"state": now} if same else None


def state_of(path: Path) -> list[int] | None:
    """Return the file's size, inode and times as JSON values, or None if it cannot be accessed."""
    with contextlib.suppress(OSError, ValueError):
        return list(FileState.of(path.stat()))
    return None
