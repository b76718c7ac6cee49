"""Reads image files: from a path or bytes to RGB pixels as viewers show them, facts and notes."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image
from PIL.TiffImagePlugin import TiffImageFile

from trueshot.errors import ImageFileError, TruncatedImageError
from trueshot.files import DEFAULT_PIXEL_LIMIT
from trueshot.images.decoding import (
    MOST_SCANS,
    Pixels,
    count_scans,
    decode,
    has_sensible_chunks,
)
from trueshot.images.facts import ImageFacts, bits_of, facts_of
from trueshot.images.opening import opened, read_bytes
from trueshot.images.orientation import upright
from trueshot.images.profile import has_wide_gamut

_MODE_NOTES = {
    "1": "black and white image: channels repeated",
    "L": "grey image: channels repeated",
    "LA": "grey image: channels repeated",
    "P": "palette image: colours looked up",
    "PA": "palette image: colours looked up",
    "CMYK": "CMYK converted without its colour profile",
    "YCbCr": "YCbCr converted",
    "I;16": "grey image: channels repeated",
    "I;16B": "grey image: channels repeated",
}
_LOSSLESS = ("PNG", "BMP", "GIF")
_SUBFILE_TYPE = ExifTags.Base.NewSubfileType
_READ_MODES = {"RGB", "RGBA", "RGBX", *_MODE_NOTES}


@dataclass(frozen=True, kw_only=True, eq=False)
class ImageFile:
    """A decoded image file.

    Args:
        path: Path or name of the file, as the caller gave it.
        stored: RGB bytes on the grid on which they were compressed, not yet turned upright.
        facts: Facts from the header of the same bytes.
        notes: What was converted or ignored while decoding; often empty.
        icc_profile: Its ICC profile, often empty.
    """

    path: str
    stored: Pixels
    facts: ImageFacts
    notes: tuple[str, ...]
    icc_profile: bytes = b""

    @cached_property
    def pixels(self) -> Pixels:
        """RGB bytes as a viewer shows them, shape (h, w, 3), turned upright according to EXIF."""
        return np.ascontiguousarray(upright(self.stored, self.facts.orientation))


def pixels_sha256(pixels: Pixels) -> str:
    """Return the SHA-256 of a picture's shape and bytes, the same for all files of one picture."""
    digest = hashlib.sha256(repr(pixels.shape).encode())
    digest.update(np.ascontiguousarray(pixels).data)
    return digest.hexdigest()


def read_image(
    path: str | os.PathLike[str], *, pixel_limit: int = DEFAULT_PIXEL_LIMIT
) -> ImageFile:
    """Read an image file, only once, so that hash and pixels are of the same bytes.

    Args:
        path: Path of a regular file; its suffix does not matter.
        pixel_limit: Maximum number of pixels (width times height) to decode.

    Raises:
        EmptyFileError: The file has no bytes.
        NotAnImageError: The file is in no format that is read here.
        ImageTooLargeError: The file declares more than `pixel_limit` pixels, or has more bytes than
            so many pixels can need; it was not decoded.
        TruncatedImageError: The file is truncated or damaged.
        ImageFileError: The file is missing, not readable or not a regular file, its kind of pixels
            is not supported, or it is HEIC and pillow-heif is missing. Base class of the above.
    """
    return read_image_bytes(
        read_bytes(path, pixel_limit), os.fsdecode(path), pixel_limit=pixel_limit
    )


def read_image_bytes(
    data: bytes, name: str, *, pixel_limit: int = DEFAULT_PIXEL_LIMIT
) -> ImageFile:
    """Read an image from the bytes of a file, such as a member of a zip or an upload.

    Args:
        data: The whole file.
        name: Name of the file in errors and in the result.
        pixel_limit: As in `read_image`.

    Raises:
        ImageFileError: As in `read_image`.
    """
    with opened(data, name, pixel_limit) as picture:
        facts = facts_of(picture, data)
        notes = _refuse_or_note(picture, data, name, facts)
        icc_profile = picture.info.get("icc_profile") or b""
        pixels = decode(picture, data, facts, notes)
    if pixels.shape != (facts.height, facts.width, 3):
        reason = f"declares {facts.width}×{facts.height} pixels and holds another number"
        raise TruncatedImageError(name, f"{reason}; fetch it again from where it came")
    return ImageFile(
        path=name, stored=pixels, facts=facts, notes=tuple(notes), icc_profile=icc_profile
    )


def inspect_image(path: str | os.PathLike[str]) -> ImageFacts:
    """Read the facts in a file's header; pixels are not decoded, so damage there is not noticed.

    Raises:
        ImageFileError: As in `read_image`, with the default limit.
    """
    data = read_bytes(path, DEFAULT_PIXEL_LIMIT)
    with opened(data, os.fsdecode(path), DEFAULT_PIXEL_LIMIT) as picture:
        return facts_of(picture, data)


def _refuse_or_note(picture: Image.Image, data: bytes, name: str, facts: ImageFacts) -> list[str]:
    """Return notes on what decoding will change; raise if the file should not be decoded."""
    if facts.mode not in _READ_MODES:
        reason = f"has pixels that are not read here (Pillow calls them {facts.mode})"
        raise ImageFileError(name, f"{reason}; save it with 8 or 16 whole bits per channel")
    if isinstance(picture, TiffImageFile) and picture.tag_v2.get(_SUBFILE_TYPE, 0) & 1:
        reason = "begins with a thumbnail, as raw files of cameras do"
        raise ImageFileError(name, f"{reason}; develop it to TIFF or JPEG first")
    if facts.format == "JPEG" and count_scans(data) > MOST_SCANS:
        reason = f"has more than {MOST_SCANS} scans, which no camera or program writes"
        raise ImageFileError(name, f"{reason}; leave it out, or save it again")
    if facts.format == "PNG" and not has_sensible_chunks(data):
        reason = "has more chunks than any program writes"
        raise ImageFileError(name, f"{reason}; leave it out, or save it again")
    notes = [_MODE_NOTES.get(facts.mode), _depth_note(picture, data), _turn_note(facts)]
    if facts.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info:
        notes.append("alpha ignored")
    if facts.frames > 1:
        which = "main" if facts.format == "HEIF" else "first"
        notes.append(f"several pictures inside: {which} of {facts.frames} frames")
    if has_wide_gamut(data, picture.info.get("icc_profile") or b""):
        notes.append("wide colour gamut by its profile: levels taken as they are")
    if picture.info.get("exif") and not facts.exif_tags:
        notes.append("EXIF has no tag that can be read")
    return [note for note in notes if note]


def _depth_note(picture: Image.Image, data: bytes) -> str | None:
    bits = bits_of(picture, data)
    if bits <= 8:
        return None
    # Pillow and libheif keep the upper byte of colours; greys keep all bits, and we round them.
    how = "rounded" if picture.mode.startswith("I;16") else "lower bits cut off"
    return f"{bits}-bit reduced to 8-bit: {how}"


def _turn_note(facts: ImageFacts) -> str | None:
    if facts.format == "HEIF":
        return "HEIF: its decoder applies the turns and crops that the file asks for"
    orientation = facts.orientation
    return f"turned upright, as EXIF orientation {orientation} asks" if orientation > 1 else None


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
