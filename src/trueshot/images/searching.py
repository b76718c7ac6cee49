"""Finding the image files in a folder: by content where the name does not say it."""

from __future__ import annotations

import os
from pathlib import Path

from trueshot.errors import ImageFileError
from trueshot.images.opening import read_start
from trueshot.images.recognition import SUFFIXES, recognise


def find_images(
    folder: str | os.PathLike[str], passed_over: list[Path] | None = None
) -> list[Path]:
    """List the files below a folder that bear the name of an image, or hold one.

    Hidden files and folders are left out, and links to folders are not followed. Whatever else
    bears a suffix of `SUFFIXES`, in either case, is listed, a broken link too: reading it says
    what is wrong. Of other names, the first bytes decide; see `recognise`.

    Args:
        folder: Where to search.
        passed_over: Gets the files that were found not to be images.

    Returns:
        Paths that begin with `folder`, sorted by their path below it, written with slashes.

    Raises:
        ImageFileError: The folder, or one in it, is missing or cannot be listed.
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
    """Whether a file is called an image, begins as one, or cannot be looked into."""
    if has_image_suffix(path):
        return True
    start = read_start(path)
    return start is None or recognise(start) is not None


def has_image_suffix(path: str | os.PathLike[str]) -> bool:
    """Whether a name ends as those of images do; this opens nothing."""
    return os.path.splitext(os.fspath(path))[1].lower() in SUFFIXES  # noqa: PTH122


def _refuse_folder(error: OSError) -> None:
    reason = f"cannot be listed ({error.strerror}); check the path and its permissions"
    raise ImageFileError(error.filename, reason) from error
