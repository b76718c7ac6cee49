"""The survey of photographs: whether each can be read, its facts, and its possible crops."""

from __future__ import annotations

import hashlib
from dataclasses import asdict
from typing import Any

import numpy as np
from PIL import Image

from trueshot.datasets.crops import Corners, cut, grid_corners, is_flat
from trueshot.datasets.photos import Photo
from trueshot.datasets.settings import Settings
from trueshot.errors import ImageFileError, TaskError
from trueshot.images import ImageFile, read_image
from trueshot.images.reading import is_lossy
from trueshot.tasks import Pixels

_SCALE = 0.4
SCALED = "scaled down to two fifths: its file is lossy, and the task wants no grid of blocks in it"

Record = dict[str, Any]


def survey(photo: Photo, settings: Settings) -> Record:
    """Read a photograph once and record everything that planning needs, but no pixels.

    Returns:
        A record for the journal: name, label, source and `error`. If `error` is empty, also facts,
        hashes, notes and `flat`: for each side, a string with a flag per crop of its grid, in grid
        order.
    """
    record: Record = {"name": photo.name, "label": photo.label, "source": photo.source}
    try:
        image = read_image(photo.path, pixel_limit=settings.pixel_limit)
        pixels = example_of(image, photo, settings)
    except ImageFileError as error:
        return record | {"error": error.reason}
    except TaskError as error:
        return record | {"error": str(error)}
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
    height, width = (max(1, round(size * _SCALE)) for size in pixels.shape[:2])
    return np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.LANCZOS))


def pixels_sha256(pixels: Pixels) -> str:
    """Return the SHA-256 of a picture's shape and bytes."""
    return hashlib.sha256(repr(pixels.shape).encode() + pixels.tobytes()).hexdigest()


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
