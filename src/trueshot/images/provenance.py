"""Reads what a file claims about its origin: camera, software, JPEG tables, Content Credentials.

Anybody who can write a file can forge all of this. It is shown to people, who can compare it with
what else they know; no detector ever uses it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from PIL import ExifTags, Image

from trueshot.errors import ImageFileError
from trueshot.files import sanitize
from trueshot.images.facts import ImageFacts, exif_of
from trueshot.images.jpeg_tables import standard_tables
from trueshot.images.opening import opened

_LONGEST = 120  # most characters of a claim
_MOST_PARTS = 10_000  # most chunks or boxes that are searched
_C2PA_BOX = bytes.fromhex("d8fec3d61b0e483c92975828877ec481")
_PRESENT, _ABSENT = "present; its signature was not checked", "none found"

Claims = tuple[tuple[str, str], ...]


def claims_of(data: bytes, facts: ImageFacts) -> Claims:
    """Return what a file says about its origin, as pairs of a name and a text safe to display.

    Args:
        data: The whole file.
        facts: Facts of the same file.

    Returns:
        Camera, software and time from EXIF; quantisation tables and chroma subsampling of a JPEG;
        whether there is a C2PA manifest. None of it is verified.
    """
    claims = [*_of_exif(data, facts)]
    if facts.format == "JPEG":
        claims.append(("JPEG tables", tables_text(facts.quantization)))
        claims.append(("Colour sampling", facts.subsampling))
    claims.append(("C2PA manifest", _PRESENT if has_c2pa(data) else _ABSENT))
    return tuple((name, sanitize(text, _LONGEST)) for name, text in claims if text)


def tables_text(tables: tuple[tuple[int, ...], ...]) -> str:
    """Describe quantisation tables: whether they are libjpeg's, and of which quality."""
    if not tables:
        return "none"
    found = [quality for quality in range(1, 101) if set(tables) <= set(standard_tables(quality))]
    if found:
        return f"the common ones (libjpeg) of quality {found[0]}"
    return "not the common ones: those of a camera, or of a program with its own"


def has_c2pa(data: bytes) -> bool:
    """Whether there is a C2PA manifest where the standard puts it; its content is not read.

    Source: C2PA Technical Specification 2.1, appendix A, "Embedding manifests into assets".
    """
    if data.startswith(b"\xff\xd8"):
        return any(kind == 0xEB and b"c2pa" in part[:4096] for kind, part in _segments(data))
    if data.startswith(b"\x89PNG"):
        return any(kind == b"caBX" for kind in _kinds(data, 8, _png_chunk))
    if data.startswith(b"RIFF"):
        return any(kind == b"C2PA" for kind in _kinds(data, 12, _riff_chunk))
    if data[4:8] == b"ftyp":
        return any(kind == b"uuid" + _C2PA_BOX for kind in _kinds(data, 0, _box))
    return False


def _of_exif(data: bytes, facts: ImageFacts) -> Iterator[tuple[str, str]]:
    try:
        with opened(data, "", facts.width * facts.height) as picture:
            exif = exif_of(picture)
            inner = exif.get_ifd(ExifTags.IFD.Exif) if exif else {}
    except (ImageFileError, ValueError):  # decoded before, so only its EXIF may be damaged
        exif, inner = None, {}
    if not exif:
        yield "EXIF", "none"
        return
    make, model = (_text(exif, tag) for tag in (ExifTags.Base.Make, ExifTags.Base.Model))
    yield "Camera", model if model.lower().startswith(make.lower()) else f"{make} {model}".strip()
    yield "Software", _text(exif, ExifTags.Base.Software)
    yield "Taken", _text(inner, ExifTags.Base.DateTimeOriginal)


def _text(tags: Image.Exif | dict[int, object], tag: int) -> str:
    value = tags.get(tag)
    return value.strip("\0 ") if isinstance(value, str) else ""


def _segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield marker and content of the segments of a JPEG before its first scan."""
    place = 2
    while place + 4 <= len(data) and data[place] == 0xFF and data[place + 1] != 0xDA:
        length = int.from_bytes(data[place + 2 : place + 4], "big")
        if length < 2:
            return
        yield data[place + 1], data[place + 4 : place + 2 + length]
        place += 2 + length


def _kinds(
    data: bytes, place: int, part: Callable[[bytes, int], tuple[bytes, int]]
) -> Iterator[bytes]:
    """Yield the kinds of consecutive parts of a file; `part` gives kind and length of one."""
    for _ in range(_MOST_PARTS):
        if place + 8 > len(data):
            return
        kind, length = part(data, place)
        yield kind
        if length < 8:
            return
        place += length


def _png_chunk(data: bytes, place: int) -> tuple[bytes, int]:
    return data[place + 4 : place + 8], 12 + int.from_bytes(data[place : place + 4], "big")


def _riff_chunk(data: bytes, place: int) -> tuple[bytes, int]:
    length = int.from_bytes(data[place + 4 : place + 8], "little")
    return data[place : place + 4], 8 + length + length % 2


def _box(data: bytes, place: int) -> tuple[bytes, int]:
    length, kind = int.from_bytes(data[place : place + 4], "big"), data[place + 4 : place + 8]
    begin = place + 8
    if length == 1:
        length, begin = int.from_bytes(data[begin : begin + 8], "big"), begin + 8
    return (kind + data[begin : begin + 16] if kind == b"uuid" else kind), length
