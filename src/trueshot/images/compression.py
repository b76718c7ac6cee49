"""Tells whether the format of an image file is lossy."""

from __future__ import annotations

from pathlib import Path

from trueshot.images.reading import ImageFile

_LOSSLESS = ("PNG", "BMP", "GIF")


def is_lossy(image: ImageFile) -> bool:
    """Whether a file was, or may have been, compressed with loss.

    PNG, BMP and GIF are lossless; a WebP file says which it is; TIFF, HEIF and AVIF may be lossy
    and count as lossy, like JPEG. Earlier lossy compression of the pixels is not detected.
    """
    if image.facts.format == "WEBP":
        return not _is_lossless_webp(Path(image.path))
    return image.facts.format not in _LOSSLESS


def _is_lossless_webp(path: Path) -> bool:
    """Whether all pictures of a WebP are lossless, by the names of its chunks."""
    data = path.read_bytes()
    place, kinds = 12, set()
    while place + 8 <= len(data):
        name = data[place : place + 4]
        kinds.add(name)
        length = int.from_bytes(data[place + 4 : place + 8], "little")
        # A frame contains chunks itself, after 16 bytes of position and flags.
        place += 24 if name == b"ANMF" else 8 + length + length % 2
    return b"VP8L" in kinds and b"VP8 " not in kinds
