"""Decodes an opened image to RGB pixels, with the fast decoder where it gives the same bytes."""

from __future__ import annotations

import io
import re

import numpy as np
import numpy.typing as npt
import simplejpeg
from PIL import ExifTags, Image
from PIL.Image import Transpose
from PIL.TiffImagePlugin import TiffImageFile

from trueshot.images.facts import ImageFacts, bits_of, orientation_of

Pixels = npt.NDArray[np.uint8]

# Each scan of a progressive JPEG costs a pass over all pixels: thousands of empty ones take hours.
MOST_SCANS = 500
_MOST_PARTS = 100_000  # most segments of a JPEG
_BYTES_PER_CHUNK = 128  # lowest average accepted in a PNG; programs write 8 KiB
_MARKER = re.compile(rb"\xff[^\x00\x01\xff\xd0-\xd8]")  # markers with a length, and the end

# Those for which both decoders were found to agree bit for bit; on CMYK they do not.
_FAST_COLOURS = ("YCbCr", "RGB", "Gray")
_FAST_SUBSAMPLINGS = ("4:4:4", "4:2:2", "4:2:0", "4:4:0", "4:1:1", "4:0:0")

# Undoes the transposition that each EXIF orientation asks for.
_TURNS_BACK = {
    2: Transpose.FLIP_LEFT_RIGHT,
    3: Transpose.ROTATE_180,
    4: Transpose.FLIP_TOP_BOTTOM,
    5: Transpose.TRANSPOSE,
    6: Transpose.ROTATE_90,
    7: Transpose.TRANSVERSE,
    8: Transpose.ROTATE_270,
}


def decode(picture: Image.Image, data: bytes, facts: ImageFacts, notes: list[str]) -> Pixels:
    """Decode the pixels of an image; append to `notes` if the fast decoder failed."""
    if facts.format == "JPEG" and facts.subsampling in _FAST_SUBSAMPLINGS:
        try:
            pixels = _decode_fast(data, facts)
        except ValueError as error:
            notes.append(f"read by the slower, more forgiving decoder ({error})")
        else:
            if pixels is not None:
                return pixels
    if facts.format == "PNG":
        # Pillow decodes without checking checksums, and does not notice if the end is missing.
        Image.open(io.BytesIO(data), formats=("PNG",)).verify()
    return _decode_reference(picture, bits_of(picture, data))


def _decode_fast(data: bytes, facts: ImageFacts) -> Pixels | None:
    """Decode a JPEG to the same bytes as the reference decoder, or return None.

    Raises:
        ValueError: The data is damaged, even slightly.
    """
    height, width, colours, _ = simplejpeg.decode_jpeg_header(data, strict=True)
    # A crafted file can show one size to Pillow, which was checked, and another to this decoder.
    if (height, width) != (facts.height, facts.width) or colours not in _FAST_COLOURS:
        return None
    pixels: Pixels = simplejpeg.decode_jpeg(data, colorspace="RGB", strict=True)
    return pixels


def _decode_reference(picture: Image.Image, bits: int = 8) -> Pixels:
    """Decode with Pillow, the reference wherever two decoders could differ."""
    orientation = orientation_of(picture)
    picture.load()
    # Pillow turns a TIFF upright on loading; EXIF after the pixels of a PNG is ignored.
    if isinstance(picture, TiffImageFile) and orientation_of(picture) != orientation:
        stored = picture.transpose(_TURNS_BACK[orientation])
    else:
        stored = picture
    if picture.mode.startswith("I;16"):
        return _reduce_grey(np.asarray(stored), bits, inverted=_white_is_zero(picture))
    return np.array(stored if stored.mode == "RGB" else stored.convert("RGB"))


def _reduce_grey(grey: npt.NDArray[np.uint16], bits: int, *, inverted: bool) -> Pixels:
    """Round greys of 9 to 16 bits to 8, halves up, and repeat them: (h, w) to (h, w, 3)."""
    white = 2**bits - 1
    levels = np.minimum(grey.astype(np.uint32), white)
    levels = ((white - levels if inverted else levels) * 255 + white // 2) // white
    return np.repeat(levels.astype(np.uint8)[..., None], 3, axis=-1)


def _white_is_zero(picture: Image.Image) -> bool:
    # Pillow inverts such a TIFF if it has 8 bits, but not if it has 16.
    photometric = ExifTags.Base.PhotometricInterpretation
    return isinstance(picture, TiffImageFile) and picture.tag_v2.get(photometric) == 0


def count_scans(data: bytes) -> int:
    """Count the scans of a JPEG's first picture up to `MOST_SCANS` + 1; 0 if surely not more."""
    if _pairs(data) <= MOST_SCANS:  # a quick upper bound
        return 0
    at, scans, parts = 2, 0, 0
    while scans <= MOST_SCANS and (found := _MARKER.search(data, at)):
        marker, at, parts = found[0][1], found.end(), parts + 1
        if parts > _MOST_PARTS:
            return MOST_SCANS + 1
        if marker == 0xD9:
            break
        scans += marker == 0xDA
        at += int.from_bytes(data[at : at + 2], "big")
    return scans


def has_sensible_chunks(png: bytes) -> bool:
    """Whether a PNG has no more chunks than programs write; Pillow parses each in slow Python."""
    at, left = 8, 1000 + len(png) // _BYTES_PER_CHUNK
    while left and at + 12 <= len(png) and png[at + 4 : at + 8] != b"IEND":
        at += 12 + int.from_bytes(png[at : at + 4], "big")
        left -= 1
    return left > 0


def _pairs(data: bytes) -> int:
    """Count the byte pairs that start a scan (FF DA); five times as fast as `bytes.count`."""
    starts = (np.frombuffer(data, "<u2", (len(data) - at) // 2, at) for at in (0, 1))
    return sum(int(np.count_nonzero(pairs == 0xDAFF)) for pairs in starts)
