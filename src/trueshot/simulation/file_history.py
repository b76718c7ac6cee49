"""The processing of a picture after the camera: JPEG compression and resizing."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from PIL import Image, JpegImagePlugin

from trueshot.images.jpeg_tables import CHROMA, LUMA, scale_of
from trueshot.simulation.colour import Bytes, Random

SUBSAMPLINGS = ("4:4:4", "4:2:2", "4:2:0")
FILTERS = ("points", "bilinear", "bicubic", "lanczos", "box")


@dataclass(frozen=True, kw_only=True)
class Jpeg:
    """Settings of one JPEG compression.

    Args:
        quality: Quality from 1 to 100, on libjpeg's scale.
        subsampling: Chroma subsampling; one of `SUBSAMPLINGS`.
        slope: Exponent on the shape of the quantisation tables: 1 gives the standard's tables,
            below 1 flatter ones, as camera makers use.
    """

    quality: int = 92
    subsampling: str = "4:2:0"
    slope: float = 1.0

    def tables(self) -> list[list[int]]:
        """Return the quantisation tables of luma and chroma, row by row; entries are 1 to 255."""
        scale = scale_of(self.quality)
        made = []
        for table in (np.array(LUMA, float), np.array(CHROMA, float)):
            shaped = table.mean() * (table / table.mean()) ** self.slope
            scaled = (shaped * scale + 50.001) // 100  # .001 absorbs rounding errors
            made.append(np.clip(scaled, 1, 255).astype(int).tolist())
        return made


@dataclass(frozen=True, kw_only=True)
class History:
    """The processing of a picture: first compression, resizing, last compression.

    Args:
        first: Compression in the camera; None skips it.
        reduction: Reduction factor of the resizing, 1 or more; 1 means no resizing.
        method: Resizing filter, one of `FILTERS`; `points` takes bilinear samples without
            smoothing first, as fast resizers do.
        last: Compression of the final file.
    """

    first: Jpeg | None = None
    reduction: float = 1.0
    method: str = "bicubic"
    last: Jpeg = Jpeg()


def compress(picture: Bytes, settings: Jpeg) -> bytes:
    """Return a picture as a JPEG file."""
    file = io.BytesIO()
    Image.fromarray(picture).save(
        file,
        "JPEG",
        qtables=settings.tables(),
        subsampling=SUBSAMPLINGS.index(settings.subsampling),
    )
    return file.getvalue()


def decompress(file: bytes) -> Bytes:
    """Return the pixels of a JPEG file made by `compress`."""
    return np.asarray(JpegImagePlugin.JpegImageFile(io.BytesIO(file)).convert("RGB"))


def resize(picture: Bytes, height: int, width: int, method: str) -> Bytes:
    """Resize encoded values to (height, width) with one of `FILTERS`.

    Raises:
        ValueError: The filter is unknown.
    """
    if method not in FILTERS:
        raise ValueError(f"unknown resizing method {method!r}; choose one of {', '.join(FILTERS)}")
    image = Image.fromarray(picture)
    if method != "points":
        return np.asarray(image.resize((width, height), Image.Resampling[method.upper()]))
    down, across = picture.shape[0] / height, picture.shape[1] / width
    step = (across, 0.0, 0.0, 0.0, down, 0.0)
    bilinear = Image.Resampling.BILINEAR
    return np.asarray(image.transform((width, height), Image.Transform.AFFINE, step, bilinear))


def file_of(picture: Bytes, history: History, height: int, width: int) -> bytes:
    """Apply a history to a picture and return a JPEG file of (height, width) pixels."""
    if history.first is not None:
        picture = decompress(compress(picture, history.first))
    if picture.shape[:2] != (height, width):
        picture = resize(picture, height, width, history.method)
    return compress(picture, history.last)


def draw_jpeg(random: Random, lowest: int, highest: int) -> Jpeg:
    """Draw random JPEG settings with a quality from `lowest` to `highest`, both included."""
    return Jpeg(
        quality=int(random.integers(lowest, highest + 1)),
        subsampling=str(random.choice(SUBSAMPLINGS, p=[0.3, 0.15, 0.55])),
        slope=float(random.uniform(0.6, 1.0)),
    )
