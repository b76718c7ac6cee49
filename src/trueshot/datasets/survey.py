"""The first look at each photograph: can it be read, what is it, where can crops be taken."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any, TypeVar

import numpy as np
from PIL import Image

from trueshot.datasets.crops import Corners, cut, grid_corners, is_flat
from trueshot.datasets.photos import Photo
from trueshot.datasets.settings import Settings
from trueshot.errors import ImageFileError, TaskError
from trueshot.images import ImageFile, read_image
from trueshot.images.compression import is_lossy
from trueshot.tasks import Pixels

_SCALE = 0.4
SCALED = "scaled down to two fifths: its file is lossy, and the task wants no grid of blocks in it"

Record = dict[str, Any]
_In = TypeVar("_In")
_Out = TypeVar("_Out")


def survey(photo: Photo, settings: Settings) -> Record:
    """Read a photograph once and note all that planning needs, without keeping a pixel.

    Returns:
        A record for the journal: name, label, source, and either `error`, or facts, hashes, notes
        and `flat`: for each side one flag per crop of its grid, in their order.
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
    """The photograph as it is, or the example that the task makes of it.

    Raises:
        TaskError: The task fails on it.
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
    """A photograph of two fifths of its size: blocks of 8 pixels become 3.2, and lie on no grid."""
    height, width = (max(1, round(size * _SCALE)) for size in pixels.shape[:2])
    return np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.LANCZOS))


def pixels_sha256(pixels: Pixels) -> str:
    """SHA-256 of a picture: its shape and its bytes."""
    return hashlib.sha256(repr(pixels.shape).encode() + pixels.tobytes()).hexdigest()


def crop_corners(facts: Record, side: int, seed: int, multiple: int = 1) -> Corners:
    """Corners of the grid of a photo: they depend on its bytes and these numbers alone.

    Args:
        facts: Height and width of the photo or the example, and the hash of its file.
        side: Of the crops.
        seed: Of the data set.
        multiple: Corners are multiples of so many pixels.
    """
    entropy = [seed, side, int(facts["sha256"][:16], 16)]
    random = np.random.default_rng(entropy)
    return grid_corners(facts["height"], facts["width"], side, random, multiple)


@contextmanager
def in_threads(
    function: Callable[[_In], _Out], items: Iterable[_In], workers: int
) -> Iterator[Iterator[_Out]]:
    """`map` on threads, in order; when the block is left early, what has not begun never begins."""
    pool = ThreadPoolExecutor(workers)
    try:
        yield pool.map(function, items)
    finally:
        pool.shutdown(cancel_futures=True)
