"""Writes image files atomically, and makes small thumbnails for long lists."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from trueshot.errors import ImageFileError
from trueshot.files import write_atomically

ROW = 88  # pixels along the long side of a row's thumbnail
_MOST_PIXELS = 2**22  # of a thumbnail that is made smaller; those made here have at most 480×480
_SUBSAMPLINGS = ("4:4:4", "4:2:2", "4:2:0")


def write_png(
    path: str | os.PathLike[str], pixels: npt.NDArray[np.uint8], icc_profile: bytes = b""
) -> None:
    """Write a PNG atomically: at any moment, the path holds the old file or the whole new one.

    Args:
        path: Path of the file; missing folders are created.
        pixels: RGB bytes, shape (h, w, 3).
        icc_profile: ICC profile of the colours; empty for none.

    Raises:
        ValueError: The pixels have another dtype or shape.
        ImageFileError: The file cannot be written.
    """
    _write(path, pixels, format="PNG", icc_profile=icc_profile or None)


def write_jpeg(
    path: str | os.PathLike[str],
    pixels: npt.NDArray[np.uint8],
    quality: int,
    subsampling: str = "4:2:0",
) -> None:
    """Write a baseline JPEG atomically: the path always holds the old file or the whole new one.

    Args:
        path: Path of the file; missing folders are created.
        pixels: RGB bytes, shape (h, w, 3).
        quality: JPEG quality, 1 to 100, as libjpeg defines it.
        subsampling: Chroma subsampling: "4:4:4", "4:2:2" or "4:2:0".

    Raises:
        ValueError: An argument is outside the values above.
        ImageFileError: The file cannot be written.
    """
    if not 1 <= quality <= 100:
        raise ValueError(f"quality must be between 1 and 100, got {quality}")
    if subsampling not in _SUBSAMPLINGS:
        raise ValueError(f"subsampling must be {' or '.join(_SUBSAMPLINGS)}, got {subsampling!r}")
    _write(path, pixels, format="JPEG", quality=quality, subsampling=subsampling)


def _write(path: str | os.PathLike[str], pixels: npt.NDArray[np.uint8], **how: Any) -> None:
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[-1] != 3 or not pixels.size:
        raise ValueError(
            "pixels must be a uint8 array of shape (h, w, 3) and not empty, "
            f"got {pixels.dtype} {pixels.shape}"
        )
    file = io.BytesIO()
    try:
        Image.fromarray(pixels).save(file, **how)
        write_atomically(Path(path), file.getvalue())
    except OSError as error:
        reason = f"cannot be written ({error.strerror or error})"
        raise ImageFileError(path, f"{reason}; check the folder and the free space") from error


def row_thumbnail(picture: npt.NDArray[np.uint8] | bytes) -> bytes:
    """Return a thumbnail for a row of a table: a WebP of at most 88 px, about 1.3 kB.

    Args:
        picture: RGB levels, uint8, shape (h, w, 3), or the bytes of a larger JPEG thumbnail.

    Raises:
        ValueError: The bytes are not a JPEG, or a damaged one.
    """
    try:
        opened = (
            Image.open(io.BytesIO(picture), formats=("JPEG",))
            if isinstance(picture, bytes)
            else Image.fromarray(picture)
        )
        if isinstance(picture, bytes) and opened.width * opened.height > _MOST_PIXELS:
            raise ValueError(f"declares {opened.width}×{opened.height} pixels")
        opened.thumbnail((ROW, ROW), Image.Resampling.BOX, reducing_gap=2.0)
    except Exception as error:  # on hostile bytes decoders may raise anything
        raise ValueError(f"not a JPEG thumbnail, or damaged: {error}") from error
    file = io.BytesIO()
    opened.convert("RGB").save(file, "WEBP", quality=55, method=2)
    return file.getvalue()
