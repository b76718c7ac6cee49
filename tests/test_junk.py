"""Photographs that begin as one and go on as junk: refused by a first look, whatever their size."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from trueshot.errors import ImageFileError
from trueshot.images import read_image_bytes
from trueshot.scanning import Settings, scan

LEVELS = np.random.default_rng(0).integers(0, 256, (96, 128, 3), dtype=np.uint8)
MANY = 2**18  # parts of junk: more than the limit, and few enough to be made in a moment


def saved(kind: str, **how: object) -> bytes:
    file = io.BytesIO()
    Image.fromarray(LEVELS).save(file, kind, **how)  # type: ignore[arg-type]
    return file.getvalue()


def segment(kind: int, content: bytes = b"") -> bytes:
    return bytes([0xFF, kind]) + struct.pack(">H", len(content) + 2) + content


def chunk(kind: bytes, content: bytes = b"") -> bytes:
    return (
        struct.pack(">I", len(content))
        + kind
        + content
        + struct.pack(">I", zlib.crc32(kind + content))
    )


JPEG, PNG = saved("JPEG"), saved("PNG")
HEADER, REST = PNG[:33], PNG[33:]
ENDLESS = "junk, or parts without end"
JUNK = {
    "zeros": (b"\xff\xd8\xff" + bytes(MANY), ENDLESS),
    "fill bytes": (b"\xff\xd8" + b"\xff" * MANY, ENDLESS),
    "noise": (b"\xff\xd8\xff\xe0\0\4ab" + b"\x12\x34" * MANY, ENDLESS),
    "application segments": (b"\xff\xd8" + segment(0xE1) * MANY + JPEG[2:], ENDLESS),
    "comments": (b"\xff\xd8" + segment(0xFE) * MANY + JPEG[2:], ENDLESS),
    "tables": (b"\xff\xd8" + segment(0xDB) * MANY + JPEG[2:], ENDLESS),
    "after the pixels begin": (
        JPEG[:-2] + b"\xff\xda" * 501 + segment(0xE1) * MANY,
        "more than 500 scans",
    ),
    "chunks before the pixels": (HEADER + chunk(b"abCd") * MANY + REST, ENDLESS),
    "texts before the pixels": (HEADER + chunk(b"tEXt", b"a\0b") * MANY + REST, ENDLESS),
    "chunks of no pixels": (HEADER + chunk(b"IDAT") * MANY + REST, "more chunks than"),
    "chunks after the pixels": (PNG[:-12] + chunk(b"abCd") * MANY + PNG[-12:], "more chunks than"),
    "tags of a TIFF": (
        b"II*\0\x08\0\0\0" + struct.pack("<H", 65535) + struct.pack("<HHII", 305, 2, 9, 8) * 65535,
        ENDLESS,
    ),
}


@pytest.mark.parametrize("kind", JUNK)
def test_junk_is_refused_before_it_is_gone_through(kind: str) -> None:
    data, reason = JUNK[kind]
    with pytest.raises(ImageFileError, match=reason):
        read_image_bytes(data, "junk")


def pieces(data: bytes, size: int) -> bytes:
    """The PNG with its compressed pixels in chunks of this size."""
    begin = data.index(b"IDAT") - 4
    length = int.from_bytes(data[begin : begin + 4], "big")
    content = data[begin + 8 : begin + 8 + length]
    parts = [chunk(b"IDAT", content[at : at + size]) for at in range(0, length, size)]
    return data[:begin] + b"".join(parts) + data[begin + 12 + length :]


WHOLE = {
    "a JPEG with as many segments as the largest profile takes": (
        b"\xff\xd8" + segment(0xE2, b"ICC_PROFILE\0" + bytes(100)) * 255 + JPEG[2:]
    ),
    "a JPEG with a little junk between its segments": b"\xff\xd8"
    + segment(0xFE, b"a")
    + bytes(500)
    + JPEG[2:],
    "a progressive JPEG": saved("JPEG", progressive=True),
    "a PNG in small chunks": pieces(PNG, 128),
    "a PNG with something behind its end": PNG + bytes(100_000),
    "a TIFF of strips": saved("TIFF"),
}


@pytest.mark.parametrize("kind", WHOLE)
def test_what_programs_write_is_read(kind: str) -> None:
    assert read_image_bytes(WHOLE[kind], kind).pixels.shape == LEVELS.shape


def test_a_scan_names_each_and_judges_what_lies_between(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "all.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for number, (data, _) in enumerate(JUNK.values()):
            archive.writestr(f"{number:02}.jpg", data)
        archive.writestr("photo.png", PNG)
    found = list(scan("accurate", [tmp_path], settings=Settings(workers=1, seconds=600)))
    assert [each.verdict for each in found] == ["error"] * len(JUNK) + ["undecided"]
    reasons = [reason for _, reason in JUNK.values()]
    assert all(why in (each.reason or "") for why, each in zip(reasons, found, strict=False))
