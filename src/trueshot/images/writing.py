"""Writing, all or nothing, and finding image files in a folder."""

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

SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp", ".heic", ".heif", ".avif"}
)

_SUBSAMPLINGS = ("4:4:4", "4:2:2", "4:2:0")


def write_png(path: str | os.PathLike[str], pixels: npt.NDArray[np.uint8]) -> None:
    """Write a PNG without loss; the name holds, at any moment, the old file or the whole new one.

    Args:
        path: The file; folders on the way are made.
        pixels: RGB bytes, shape (h, w, 3).

    Raises:
        ValueError: The pixels are of another type or shape.
        ImageFileError: The file cannot be written.
    """
    _write(path, pixels, format="PNG")


def write_jpeg(
    path: str | os.PathLike[str],
    pixels: npt.NDArray[np.uint8],
    quality: int,
    subsampling: str = "4:2:0",
) -> None:
    """Write a baseline JPEG; the name holds, at any moment, the old file or the whole new one.

    Args:
        path: The file; folders on the way are made.
        pixels: RGB bytes, shape (h, w, 3).
        quality: 1 to 100, as libjpeg counts it.
        subsampling: Of chroma: "4:4:4", "4:2:2" or "4:2:0".

    Raises:
        ValueError: An argument is none of the above.
        ImageFileError: The file cannot be written.
    """
    if not 1 <= quality <= 100:
        raise ValueError(f"a quality of 1 to 100 wanted, got {quality}")
    if subsampling not in _SUBSAMPLINGS:
        raise ValueError(f"subsampling {' or '.join(_SUBSAMPLINGS)} wanted, got {subsampling!r}")
    _write(path, pixels, format="JPEG", quality=quality, subsampling=subsampling)


def find_images(folder: str | os.PathLike[str]) -> list[Path]:
    """List the files below a folder whose suffix is one of `SUFFIXES`, in either case.

    Hidden files and folders are left out, and links to folders are not followed. Whatever else
    bears such a name is listed, a broken link too: reading it says what is wrong.

    Returns:
        Paths that begin with `folder`, sorted by their path below it, written with slashes.

    Raises:
        ImageFileError: The folder, or one in it, is missing or cannot be listed.
    """
    root = Path(folder)
    found: list[Path] = []
    for place, folders, names in os.walk(root, onerror=_refuse_folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [Path(place, name) for name in names if _is_image_name(name)]
    return sorted(found, key=lambda path: path.relative_to(root).as_posix())


def _write(path: str | os.PathLike[str], pixels: npt.NDArray[np.uint8], **how: Any) -> None:
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[-1] != 3 or not pixels.size:
        raise ValueError(f"bytes of shape (h, w, 3) wanted, got {pixels.dtype} {pixels.shape}")
    file = io.BytesIO()
    try:
        Image.fromarray(pixels).save(file, **how)
        write_atomically(Path(path), file.getvalue())
    except OSError as error:
        reason = f"cannot be written ({error.strerror or error})"
        raise ImageFileError(path, f"{reason}; check the folder and the free space") from error


def _refuse_folder(error: OSError) -> None:
    reason = f"cannot be listed ({error.strerror}); check the path and its permissions"
    raise ImageFileError(error.filename, reason) from error


def _is_image_name(name: str) -> bool:
    return not name.startswith(".") and Path(name).suffix.lower() in SUFFIXES
