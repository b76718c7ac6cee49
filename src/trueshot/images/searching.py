"""Finds the image files in a folder, by suffix or else by content."""

from __future__ import annotations

import os
from pathlib import Path

from trueshot.errors import ImageFileError
from trueshot.images.opening import read_start
from trueshot.images.recognition import SUFFIXES, recognise


def find_images(
    folder: str | os.PathLike[str], passed_over: list[Path] | None = None
) -> list[Path]:
    """List the files below a folder that have the suffix of an image, or contain one.

    Hidden files and folders are left out, and links to folders are not followed. All other files
    with one of `SUFFIXES`, in upper or lower case, are listed, even broken links: reading them
    reports what is wrong. For other names, the first bytes decide, see `recognise`; files that
    cannot be read are listed.

    Args:
        folder: Folder to search.
        passed_over: List to which files that are not images are added.

    Returns:
        Paths that start with `folder`, sorted by their relative path with forward slashes.

    Raises:
        ImageFileError: The folder, or a folder in it, is missing or cannot be listed.
    """
    root = Path(folder)
    found: list[Path] = []
    others: list[Path] = []
    for place, folders, names in os.walk(root, onerror=_refuse_folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            if not name.startswith("."):
                path = Path(place, name)
                (found if may_be_image(path) else others).append(path)

    def place_of(path: Path) -> str:
        return path.relative_to(root).as_posix()

    if passed_over is not None:
        passed_over += sorted(others, key=place_of)
    return sorted(found, key=place_of)


def may_be_image(path: str | os.PathLike[str]) -> bool:
    """Whether a file has the suffix of an image, starts like one, or cannot be read."""
    if has_image_suffix(path):
        return True
    start = read_start(path)
    return start is None or recognise(start) is not None


def has_image_suffix(path: str | os.PathLike[str]) -> bool:
    """Whether a path has one of `SUFFIXES`, in upper or lower case; opens no file."""
    return os.path.splitext(os.fspath(path))[1].lower() in SUFFIXES  # noqa: PTH122


def _refuse_folder(error: OSError) -> None:
    reason = f"cannot be listed ({error.strerror}); check the path and its permissions"
    raise ImageFileError(error.filename, reason) from error
