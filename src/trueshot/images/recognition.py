"""Recognises image files by their first bytes, because suffixes can be wrong, and finds them."""

from __future__ import annotations

import os
from pathlib import Path

from trueshot.errors import ImageFileError
from trueshot.files import read_start

START = 64
"""Number of first bytes that are needed to recognise a format."""

SUFFIXES = frozenset(
    (
        *(".jpg", ".jpeg", ".jpe", ".jif", ".jfif", ".mpo", ".png", ".apng", ".webp", ".gif"),
        *(".tif", ".tiff", ".bmp", ".dib", ".heic", ".heif", ".hif", ".heics", ".heifs"),
        *(".avif", ".avifs", ".dng", ".cr2", ".cr3", ".nef", ".nrw", ".arw", ".orf", ".rw2"),
        *(".raf", ".pef", ".srw", ".jp2", ".j2k", ".jpf", ".jpx", ".jxl", ".tga", ".psd", ".pcx"),
        *(".ppm", ".pgm", ".pbm", ".pnm"),
    )
)
"""Suffixes of image files; a file with one of them is always listed, whatever it contains."""

READ = frozenset({"JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "HEIF", "AVIF"})
"""Formats that can be decoded; others are recognised only to be refused by name."""

_TIFF_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_BMP_HEADERS = (12, 40, 52, 56, 64, 108, 124)
_HEIF_BRANDS = frozenset(b"heic heix heim heis hevc hevx hevm hevs".split())
_AVIF_BRANDS = frozenset(b"avif avis".split())
_EITHER_BRANDS = frozenset(b"mif1 msf1 miaf".split())  # used by both formats
_RAW = "camera raw file"
_STARTS = {
    b"\xff\xd8\xff": "JPEG",
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"GIF87a": "GIF",
    b"GIF89a": "GIF",
    b"II*\0\x10\0\0\0CR": _RAW,  # Canon's CR2, a TIFF that begins with a JPEG preview
    **dict.fromkeys(_TIFF_STARTS, "TIFF"),
    b"IIRO": _RAW,  # Olympus
    b"IIRS": _RAW,
    b"IIU\0": _RAW,  # Panasonic
    b"FUJIFILMCCD-RAW": _RAW,
    b"\0\0\0\x0cjP  \r\n": "JPEG 2000 image",
    b"\xff\x4f\xff\x51": "JPEG 2000 image",
    b"\0\0\0\x0cJXL \r\n": "JPEG XL image",
    b"\xff\x0a": "JPEG XL image",
    b"8BPS\0": "Photoshop image",
    b"qoif": "QOI image",
    b"DDS \x7c\0\0\0": "DDS image",
    b"v/1\x01": "OpenEXR image",
    b"#?RADIANCE": "Radiance image",
    b"\0\0\x01\0": "icon",
    b"\0\0\x02\0": "icon",
    b"icns": "icon",
}
_ICON_SIZES = range(1, 257)


def recognise(start: bytes) -> str | None:
    """Recognise the format of an image.

    Args:
        start: The first `START` bytes of a file, or the whole file if it is shorter.

    Returns:
        One of `READ`, or a description of a known format that is not read; None if it is no image.
    """
    if start.startswith(b"RIFF"):
        return "WEBP" if start[8:12] == b"WEBP" else None
    # By these two letters alone, every text that starts with "BM" would be a BMP.
    if start.startswith(b"BM"):
        return "BMP" if int.from_bytes(start[14:18], "little") in _BMP_HEADERS else None
    if start[4:8] == b"ftyp":
        return _by_brands(start)
    for beginning, kind in _STARTS.items():
        if start.startswith(beginning):
            return kind if kind != "icon" or _is_icon(start) else None
    return _without_magic(start)


def _by_brands(start: bytes) -> str | None:
    """Recognise images among ISO base media files, which include videos, by their brands."""
    end = min(int.from_bytes(start[:4], "big"), START)
    brands = [start[8:12], *(start[at : at + 4] for at in range(16, end, 4))]
    if brands[0] == b"crx ":
        return _RAW
    for brand in brands:
        if brand in _HEIF_BRANDS:
            return "HEIF"
        if brand in _AVIF_BRANDS:
            return "AVIF"
    return "HEIF" if _EITHER_BRANDS & set(brands) else None


def _is_icon(start: bytes) -> bool:
    """Whether a valid count and first entry follow; many other files start with zeros, too."""
    if start.startswith(b"icns"):
        return True
    return int.from_bytes(start[4:6], "little") in _ICON_SIZES and start[9:10] == b"\0"


def _without_magic(start: bytes) -> str | None:
    """Recognise formats with few fixed bits at the start, by checking several fields."""
    if start[:1] == b"P" and start[1:2] in b"123456" and start[2:3] in (b"\n", b" ", b"\r", b"\t"):
        rest = start[3:].lstrip()
        return "PNM image" if rest[:1].isdigit() or rest[:1] == b"#" else None
    if start[:1] == b"\n" and start[1:2] in b"\0\2\3\4\5" and start[2:3] == b"\1":
        return "PCX image" if start[3:4] in b"\1\2\4\x08" and len(start) >= START else None
    if start[:2] == b"\x01\xda" and start[2:3] in b"\0\1" and start[3:4] in b"\1\2":
        return "SGI image"
    return None


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
    start = read_start(path, START)
    return start is None or recognise(start) is not None


def has_image_suffix(path: str | os.PathLike[str]) -> bool:
    """Whether a path has one of `SUFFIXES`, in upper or lower case; opens no file."""
    return os.path.splitext(os.fspath(path))[1].lower() in SUFFIXES  # noqa: PTH122


def _refuse_folder(error: OSError) -> None:
    reason = f"cannot be listed ({error.strerror}); check the path and its permissions"
    raise ImageFileError(error.filename, reason) from error
