"""What a file claims of where it comes from: read in all formats, believed in none."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
from PIL import ExifTags, Image

from trueshot.images import read_image_bytes
from trueshot.images.jpeg_tables import standard_tables
from trueshot.images.provenance import Claims, claims_of, has_c2pa, tables_text
from trueshot.images.writing import ROW, row_thumbnail

PIXELS = np.random.default_rng(5).integers(0, 256, (48, 64, 3), dtype=np.uint8)
C2PA = bytes.fromhex("d8fec3d61b0e483c92975828877ec481")


def picture(kind: str, **how: object) -> bytes:
    file = io.BytesIO()
    Image.fromarray(PIXELS).save(file, kind, **how)
    return file.getvalue()


def claims(data: bytes) -> dict[str, str]:
    found: Claims = claims_of(data, read_image_bytes(data, "it").facts)
    return dict(found)


@pytest.mark.parametrize("quality", [1, 10, 49, 50, 75, 92, 95, 100])
def test_the_common_tables_are_those_that_the_jpeg_library_writes(quality: int) -> None:
    data = picture("JPEG", quality=quality)
    tables = read_image_bytes(data, "it").facts.quantization
    assert tables == standard_tables(quality)
    assert claims(data)["JPEG tables"] == f"the common ones (libjpeg) of quality {quality}"


def test_the_tables_of_every_quality_are_those_that_pillow_writes() -> None:
    for quality in range(1, 101):
        with Image.open(io.BytesIO(picture("JPEG", quality=quality))) as file:
            held = file.quantization  # type: ignore[attr-defined]
        assert standard_tables(quality) == (tuple(held[0]), tuple(held[1]))


def test_tables_of_ones_own_are_told_from_the_common_ones() -> None:
    luma, chroma = standard_tables(90)
    other = (luma[0] + 1, *luma[1:])
    data = picture("JPEG", qtables=[other, chroma])
    assert claims(data)["JPEG tables"].startswith("not the common ones")
    assert tables_text(()) == "none"
    assert "JPEG tables" not in claims(picture("PNG"))


def test_camera_software_and_time_are_read_from_exif() -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Make] = "Example"
    exif[ExifTags.Base.Model] = "Example One"
    exif[ExifTags.Base.Software] = "Editor\u202e 3"
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.DateTimeOriginal] = "2026:01:02 03:04:05"
    for kind in ("JPEG", "PNG", "WEBP"):
        found = claims(picture(kind, exif=exif.tobytes()))
        assert found["Camera"] == "Example One"
        assert found["Software"].startswith("Editor")
        assert "\u202e" not in found["Software"]
        assert found["Taken"] == "2026:01:02 03:04:05"
        assert "EXIF" not in found
    assert claims(picture("JPEG"))["EXIF"] == "none"


def test_damaged_exif_is_no_error() -> None:
    data = picture("JPEG", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff")
    assert claims(data)["C2PA manifest"] == "none found"


def segment(content: bytes) -> bytes:
    return b"\xff\xeb" + struct.pack(">H", 2 + len(content)) + content


def box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", 8 + len(content)) + kind + content


def with_manifest(kind: str) -> bytes:
    """A file with what stands for a C2PA manifest, where the standard wants it."""
    jumbf = b"JP\0\x01\0\0\0\x01" + box(b"jumb", box(b"jumd", b"c2pa\0\x11\0\x10"))
    data = picture(kind)
    if kind == "JPEG":
        return data[:2] + segment(jumbf) + data[2:]
    if kind == "PNG":
        return data[:33] + struct.pack(">I", len(jumbf)) + b"caBX" + jumbf + b"crc." + data[33:]
    if kind == "WEBP":
        padded = jumbf + b"\0" * (len(jumbf) % 2)
        return data + b"C2PA" + struct.pack("<I", len(jumbf)) + padded
    start = int.from_bytes(data[:4], "big")
    return data[:start] + box(b"uuid", C2PA + jumbf) + data[start:]


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF"])
def test_a_manifest_is_found_where_the_standard_wants_it(kind: str) -> None:
    assert has_c2pa(with_manifest(kind))
    assert not has_c2pa(picture(kind))


def test_that_there_is_a_manifest_is_said_with_that_it_was_not_checked() -> None:
    found = claims(with_manifest("JPEG"))
    assert found["C2PA manifest"] == "present; its signature was not checked"


def test_the_word_alone_is_no_manifest() -> None:
    data = picture("JPEG", comment=b"jumb c2pa")
    assert not has_c2pa(data)
    assert not has_c2pa(picture("JPEG") + segment(b"JP c2pa"))


@pytest.mark.parametrize("start", [b"\xff\xd8", b"\x89PNG\r\n\x1a\n", b"RIFF....WEBP", b"....ftyp"])
def test_hostile_lengths_end_the_search(start: bytes) -> None:
    for filler in (b"\0", b"\xff", b"\xff\xe0\0\0"):
        assert not has_c2pa(start + filler * 4000)


def test_a_thumbnail_for_a_row_is_small_and_looks_alike() -> None:
    ramp = np.linspace(0, 255, 900, dtype=np.float64)
    pixels = np.broadcast_to(ramp[None, :, None], (600, 900, 3)).astype(np.uint8)
    made = row_thumbnail(pixels)
    assert len(made) < 2500
    small = np.asarray(Image.open(io.BytesIO(made)).convert("L"), np.float64)
    assert max(small.shape) == ROW
    assert small.mean(0) == pytest.approx(np.linspace(0, 255, small.shape[1]), abs=6)
    with pytest.raises(ValueError, match="thumbnail"):
        row_thumbnail(b"\xff\xd8\xff nothing")
