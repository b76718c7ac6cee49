"""The facts in the header of an image file, all known before any pixel is decoded."""

from __future__ import annotations

import hashlib
import math
import struct
from dataclasses import dataclass

from PIL import ExifTags, Image
from PIL.JpegImagePlugin import JpegImageFile
from PIL.TiffImagePlugin import TiffImageFile

_MOST_FRAMES = 10_000
_SUBSAMPLINGS = {
    (1, 1): "4:4:4",
    (2, 1): "4:2:2",
    (2, 2): "4:2:0",
    (1, 2): "4:4:0",
    (4, 1): "4:1:1",
    (4, 2): "4:1:0",
}


@dataclass(frozen=True, kw_only=True)
class ImageFacts:
    """Facts from the header of an image file.

    Args:
        format: "JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "HEIF" or "AVIF", by content.
        width: Width in pixels as stored, before turning the image upright.
        height: Height in pixels as stored.
        mode: Pillow's mode of the pixels, such as "RGB", "L", "P", "CMYK", "I;16".
        file_bytes: Size of the file in bytes.
        sha256: SHA-256 of the file, 64 hexadecimal digits.
        frames: Number of pictures: animation frames, TIFF pages, pictures of an MPO or HEIF.
        quantization: JPEG quantisation tables in the order of their numbers, 64 steps by rows.
        subsampling: JPEG chroma subsampling such as "4:2:0", "4:0:0" for grey; sampling factors
            such as "2x2,1x2,1x1" if there is no such name; "" for other formats.
        progressive: Whether a JPEG is progressive.
        exif_tags: Number of tags in the main, Exif and GPS directories (including a TIFF's own
            tags).
        icc_bytes: Size of the ICC profile in bytes.
        metadata_bytes: Size in bytes of all application segments and comments of a JPEG; of EXIF,
            XMP, ICC profile and texts before the pixels in other formats.
        dpi: Horizontal dots per inch, or None if the file does not give it.
        orientation: EXIF orientation, 1 to 8; 1 for HEIF, whose decoder has applied it.
    """

    format: str
    width: int
    height: int
    mode: str
    file_bytes: int
    sha256: str
    frames: int
    quantization: tuple[tuple[int, ...], ...]
    subsampling: str
    progressive: bool
    exif_tags: int
    icc_bytes: int
    metadata_bytes: int
    dpi: float | None
    orientation: int = 1


def facts_of(picture: Image.Image, data: bytes) -> ImageFacts:
    """Collect the facts of an opened image without decoding it."""
    jpeg = picture if isinstance(picture, JpegImageFile) else None
    tables = jpeg.quantization if jpeg else {}
    width, height = stored_size(picture)
    return ImageFacts(
        format="JPEG" if jpeg else picture.format or "",  # Pillow calls some JPEGs MPO
        width=width,
        height=height,
        mode=picture.mode,
        file_bytes=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
        frames=_frames(picture, data),
        quantization=tuple(tuple(tables[number]) for number in sorted(tables)),
        subsampling=_subsampling(jpeg) if jpeg else "",
        progressive=bool(jpeg and jpeg.info.get("progressive")),
        exif_tags=_count_tags(exif_of(picture)),
        icc_bytes=len(picture.info.get("icc_profile") or b""),
        metadata_bytes=_metadata_bytes(picture),
        dpi=_dpi(picture),
        orientation=1 if picture.format == "HEIF" else orientation_of(picture),
    )


def stored_size(picture: Image.Image) -> tuple[int, int]:
    """Return stored width and height; Pillow swaps them for a TIFF that has to be rotated."""
    if isinstance(picture, TiffImageFile):
        return picture.tag_v2[ExifTags.Base.ImageWidth], picture.tag_v2[ExifTags.Base.ImageLength]
    return picture.size


def exif_of(picture: Image.Image) -> Image.Exif | None:
    """Return the EXIF data, or None if it is damaged; this does not affect the pixels."""
    try:
        # For a PNG without EXIF, its own method decodes the pixels to find EXIF after them.
        return Image.Image.getexif(picture)
    except Exception:  # EXIF is a format of its own that can be damaged in any way
        return None


def orientation_of(picture: Image.Image) -> int:
    """Return the EXIF orientation, 1 (as stored) to 8; 1 if it is missing or invalid.

    The orientation in XMP, which Pillow falls back to, is ignored, as browsers do.
    """
    exif = exif_of(picture) if isinstance(picture, TiffImageFile) else _exif_alone(picture)
    value = exif.get(ExifTags.Base.Orientation) if exif else 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _exif_alone(picture: Image.Image) -> Image.Exif | None:
    found = Image.Exif()
    try:
        found.load(picture.info.get("exif") or b"")
    except Exception:  # as in `exif_of`
        return None
    return found


def bits_of(picture: Image.Image, data: bytes) -> int:
    """Return the bits per channel in the file; Pillow may keep only eight of them."""
    if picture.format == "PNG":
        return data[24]
    if isinstance(picture, TiffImageFile):
        return int(max(picture.tag_v2.get(ExifTags.Base.BitsPerSample, (1,))))
    return int(picture.info.get("bit_depth", 8))


def _count_tags(exif: Image.Exif | None) -> int:
    try:
        # Tags of the main directory point to two others.
        folders = (
            [exif, *map(exif.get_ifd, (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo))] if exif else []
        )
        return sum(len(folder) for folder in folders)
    except Exception:  # as in `exif_of`
        return 0


def _subsampling(jpeg: JpegImageFile) -> str:
    factors = [(across, down) for _, across, down, _ in jpeg.layer]
    if len(factors) == 1:
        return "4:0:0"
    if len(factors) == 3 and factors[1] == factors[2] and 0 not in factors[1]:
        (across, down), (chroma_across, chroma_down), _ = factors
        if across % chroma_across == down % chroma_down == 0:
            name = _SUBSAMPLINGS.get((across // chroma_across, down // chroma_down))
            if name:
                return name
    return ",".join(f"{across}x{down}" for across, down in factors)


def _frames(picture: Image.Image, data: bytes) -> int:
    if isinstance(picture, TiffImageFile):
        return _tiff_pages(data)
    if picture.format == "GIF":
        return _gif_frames(data)
    return int(getattr(picture, "n_frames", 1))


def _tiff_pages(data: bytes) -> int:
    """Count the directories of a TIFF, up to a limit.

    Pillow's own count parses every page and searches a list of all pages before it: a file of a few
    megabytes can take hours.
    """
    order = "<" if data.startswith(b"II") else ">"
    big = 43 in data[2:4]
    entries, entry_bytes, link = ("Q", 20, "Q") if big else ("H", 12, "I")
    seen: set[int] = set()
    at = 8 if big else 4
    try:
        while len(seen) < _MOST_FRAMES:
            (page,) = struct.unpack_from(order + link, data, at)
            if not page or page in seen:
                break
            (count,) = struct.unpack_from(order + entries, data, page)
            seen.add(page)
            at = page + struct.calcsize(order + entries) + count * entry_bytes
    except struct.error:  # the chain of directories leaves the file
        pass
    return max(1, len(seen))


def _gif_frames(data: bytes) -> int:
    """Count the pictures of a GIF, up to a limit; Pillow's own count parses each of them."""
    at, frames = 13 + _colour_table(data[10:11]), 0
    while frames < _MOST_FRAMES and data[at : at + 1] in (b"!", b","):
        if data[at : at + 1] == b",":
            frames += 1
            at += 11 + _colour_table(data[at + 9 : at + 10])
        else:
            at += 2
        while length := int.from_bytes(data[at : at + 1], "little"):  # of a sub-block; 0 ends them
            at += 1 + length
        at += 1
    return max(1, frames)


def _colour_table(flags: bytes) -> int:
    """Return the size in bytes of the colour table that follows these GIF flags."""
    value = int.from_bytes(flags, "little")
    return 3 * 2 ** ((value & 7) + 1) if value & 0x80 else 0


def _metadata_bytes(picture: Image.Image) -> int:
    if isinstance(picture, JpegImageFile):
        return sum(len(content) for _, content in picture.applist)
    info = dict(picture.info)
    if "XML:com.adobe.xmp" in info:  # a PNG's XMP is listed under both names
        info.pop("xmp", None)
    texts = (value for key, value in info.items() if key != "compression")
    return sum(len(value) for value in texts if isinstance(value, bytes | str))


def _dpi(picture: Image.Image) -> float | None:
    info = picture.info
    if isinstance(picture, JpegImageFile) and info.get("jfif_unit") not in (1, 2):
        exif = exif_of(picture)
        if not exif or ExifTags.Base.XResolution not in exif:
            return None  # Pillow reports 72 here, although the file does not
    try:
        value = float(info["dpi"][0])
    except Exception:  # missing, or not a number
        return None
    return value if math.isfinite(value) and value > 0 else None
