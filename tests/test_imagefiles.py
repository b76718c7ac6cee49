"""Files are read to the stored pixels or refused by name; written whole or not at all."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import struct
import subprocess
import sys
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt
import pillow_heif
import pytest
import simplejpeg
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, ImageOps, TiffImagePlugin, WebPImagePlugin
from PIL import ImageFile as PillowFile

from trueshot import files
from trueshot.errors import (
    EmptyFileError,
    ImageFileError,
    ImageTooLargeError,
    NotAnImageError,
    TruncatedImageError,
)
from trueshot.images import (
    SUFFIXES,
    decoding,
    find_images,
    inspect_image,
    opening,
    read_image,
    read_image_bytes,
    write_jpeg,
    write_png,
)
from trueshot.images.orientation import lying, upright, upright_corner
from trueshot.images.profile import has_wide_gamut

Pixels = npt.NDArray[np.uint8]


def scene(height: int = 37, width: int = 53, seed: int = 0) -> Pixels:
    """A picture with soft edges and noise, so that every decoder has something to do."""
    random = np.random.default_rng(seed)
    coarse = random.integers(0, 256, (height // 4 + 2, width // 4 + 2, 3), dtype=np.uint8)
    soft = np.asarray(Image.fromarray(coarse).resize((width, height))).astype(int)
    return (soft + random.integers(-12, 13, soft.shape)).clip(0, 255).astype(np.uint8)


PIXELS = scene()
PICTURE = Image.fromarray(PIXELS)
GREY16 = np.arange(65536, dtype=np.uint16).reshape(256, 256)


def encoded(format: str, picture: Image.Image = PICTURE, **how: Any) -> bytes:
    file = io.BytesIO()
    picture.copy().save(file, format, **how)  # saving leaves settings behind on the picture
    return file.getvalue()


def heic(**how: Any) -> bytes:
    file = io.BytesIO()
    pillow_heif.from_pillow(PICTURE).save(file, **how)
    return file.getvalue()


def exif(**tags: int | str) -> bytes:
    made = Image.Exif()
    for name, value in tags.items():
        made[int(name.removeprefix("tag"))] = value
    return made.tobytes()


def tiff(*pages: dict[int, tuple[int, int]], pixels: bytes = b"", after_last: int = 0) -> bytes:
    """A little-endian TIFF of single-valued tags {number: (type, value)}, pixels at byte 8."""
    data = b"II*\0" + struct.pack("<I", 8 + len(pixels)) + pixels
    for number, page in enumerate(pages, 1):
        entries = b"".join(struct.pack("<HHII", t, k, 1, v) for t, (k, v) in sorted(page.items()))
        end = len(data) + 2 + len(entries) + 4
        link = end if number < len(pages) else after_last
        data += struct.pack("<H", len(page)) + entries + struct.pack("<I", link)
    return data


def page(
    width: int, height: int, bits: int, *, white: int, size: int
) -> dict[int, tuple[int, int]]:
    """Tags of an uncompressed grey TIFF page; `white` is 1, or 0 where zero means white."""
    numbers = {256: width, 257: height, 258: bits, 259: 1, 262: white, 273: 8, 277: 1, 278: height}
    return {**{number: (3, value) for number, value in numbers.items()}, 279: (4, size)}


def png_chunk(name: bytes, content: bytes) -> bytes:
    return (
        struct.pack(">I", len(content))
        + name
        + content
        + struct.pack(">I", zlib.crc32(name + content))
    )


def png_header(width: int, height: int) -> bytes:
    """A PNG that declares this size and holds next to nothing."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = [(b"IHDR", header), (b"IDAT", zlib.compress(b"")), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(*part) for part in parts)


def jpeg_of_size(width: int, height: int) -> bytes:
    data = bytearray(encoded("JPEG"))
    at = data.index(b"\xff\xc0")
    data[at + 5 : at + 9] = struct.pack(">HH", height, width)
    return bytes(data)


def bmp_of_size(width: int, height: int) -> bytes:
    data = bytearray(encoded("BMP"))
    data[18:26] = struct.pack("<ii", width, height)
    return bytes(data)


def webp_of_size(width: int, height: int) -> bytes:
    canvas = (
        struct.pack("<I", 0)
        + (width - 1).to_bytes(3, "little")
        + (height - 1).to_bytes(3, "little")
    )
    inner = b"WEBPVP8X" + struct.pack("<I", 10) + canvas + encoded("WEBP")[12:]
    return b"RIFF" + struct.pack("<I", len(inner)) + inner


def of_two(format: str) -> bytes:
    """A file of two pictures, of which the second is the mirrored first."""
    return encoded(format, save_all=True, append_images=[Image.fromarray(PIXELS[:, ::-1])])


SAMPLES = {
    "JPEG": encoded("JPEG", exif=exif(tag271="a maker")),
    "progressive JPEG": encoded("JPEG", progressive=True, subsampling=0),
    "JPEG with restarts": encoded("JPEG", restart_marker_blocks=2),
    "CMYK JPEG": encoded("JPEG", PICTURE.convert("CMYK")),
    "MPO": of_two("MPO"),
    "PNG": encoded("PNG", exif=exif(tag271="a maker")),
    "palette PNG": encoded("PNG", PICTURE.quantize(16)),
    "16-bit PNG": encoded("PNG", Image.fromarray(PIXELS[..., 0].astype(np.uint16) * 251)),
    "APNG": of_two("PNG"),
    "WebP": encoded("WEBP"),
    "lossless WebP": encoded("WEBP", lossless=True, exif=exif(tag271="a maker")),
    "animated WebP": of_two("WEBP"),
    "TIFF": encoded("TIFF"),
    "LZW TIFF": encoded("TIFF", compression="tiff_lzw", tiffinfo={274: 6}),
    "JPEG TIFF": encoded("TIFF", compression="jpeg"),
    "two-page TIFF": of_two("TIFF"),
    "BMP": encoded("BMP"),
    "palette BMP": encoded("BMP", PICTURE.quantize(16)),
    "HEIC": heic(),
}
BOMBS = {
    "PNG": png_header(50_000, 50_000),
    "JPEG": jpeg_of_size(50_000, 50_000),
    "BMP": bmp_of_size(50_000, 50_000),
    "WEBP": webp_of_size(50_000, 50_000),
    "TIFF": tiff({256: (3, 50_000), 257: (3, 50_000), 262: (3, 1), 258: (3, 8), 273: (4, 8)}),
}


def read(data: bytes, **how: Any) -> Any:
    return read_image_bytes(data, "picture", **how)


def forbid_decoding(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_: Any, **__: Any) -> NoReturn:
        pytest.fail("a decoder was called")

    monkeypatch.setattr(simplejpeg, "decode_jpeg", forbidden)
    for kind in (
        PillowFile.ImageFile,
        TiffImagePlugin.TiffImageFile,
        WebPImagePlugin.WebPImageFile,
        pillow_heif.HeifImageFile,
    ):
        monkeypatch.setattr(kind, "load", forbidden)


# Pixels


@pytest.mark.parametrize("name", ["PNG", "lossless WebP", "TIFF", "BMP", "APNG", "two-page TIFF"])
def test_lossless_formats_give_back_the_pixels(name: str) -> None:
    pixels = read(SAMPLES[name]).pixels
    assert pixels.dtype == np.uint8
    assert pixels.flags["C_CONTIGUOUS"]
    assert np.array_equal(pixels, PIXELS)


@st.composite
def jpegs(draw: st.DrawFn) -> tuple[bytes, str]:
    """JPEG files of two encoders with all that they can vary, and the chroma subsampling."""
    height, width = draw(st.integers(1, 70)), draw(st.integers(1, 70))
    pixels = scene(height, width, draw(st.integers(0, 99)))
    quality, grey = draw(st.integers(1, 100)), draw(st.booleans())
    if draw(st.booleans()):
        names = {"444": "4:4:4", "422": "4:2:2", "420": "4:2:0", "440": "4:4:0", "411": "4:1:1"}
        name = draw(st.sampled_from(sorted(names)))
        return simplejpeg.encode_jpeg(pixels, quality, "RGB", name), names[name]
    how: dict[str, Any] = {"progressive": draw(st.booleans()), "optimize": draw(st.booleans())}
    how |= draw(st.sampled_from([{}, {"restart_marker_blocks": 3}, {"restart_marker_rows": 1}]))
    if grey:
        return encoded("JPEG", Image.fromarray(pixels[..., 0]), quality=quality, **how), "4:0:0"
    if draw(st.booleans()):
        return encoded(
            "JPEG", Image.fromarray(pixels), quality=quality, keep_rgb=True, **how
        ), "4:4:4"
    name = draw(st.sampled_from(["4:4:4", "4:2:2", "4:2:0"]))
    return encoded("JPEG", Image.fromarray(pixels), quality=quality, subsampling=name, **how), name


@settings(max_examples=300, deadline=None)
@given(made=jpegs())
def test_the_fast_jpeg_decoder_gives_the_bytes_of_the_reference(made: tuple[bytes, str]) -> None:
    data, subsampling = made
    image = read(data)
    fast = decoding._decode_fast(data, image.facts)
    with Image.open(io.BytesIO(data)) as picture:
        reference = decoding._decode_reference(picture)
    with Image.open(io.BytesIO(data)) as picture:
        pillow = np.array(picture.convert("RGB"))
    assert fast is not None
    assert np.array_equal(fast, reference)
    assert np.array_equal(pillow, reference)
    assert np.array_equal(image.pixels, reference)
    assert image.facts.subsampling == subsampling


def test_a_jpeg_is_read_by_the_fast_decoder(monkeypatch: pytest.MonkeyPatch) -> None:
    decoded: list[Pixels | None] = []
    fast = decoding._decode_fast

    def watched(*given: Any) -> Pixels | None:
        decoded.append(fast(*given))
        return decoded[-1]

    monkeypatch.setattr(decoding, "_decode_fast", watched)
    for name in ("JPEG", "progressive JPEG", "JPEG with restarts", "MPO"):
        assert read(SAMPLES[name]).stored is decoded.pop(), name
    read(SAMPLES["PNG"])
    assert not decoded


def test_a_cmyk_jpeg_is_left_to_the_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    forbidden = lambda *_, **__: pytest.fail("simplejpeg rounds CMYK another way")  # noqa: E731
    monkeypatch.setattr(simplejpeg, "decode_jpeg", forbidden)
    with Image.open(io.BytesIO(SAMPLES["CMYK JPEG"])) as picture:
        assert np.array_equal(read(SAMPLES["CMYK JPEG"]).pixels, np.array(picture.convert("RGB")))


def test_a_jpeg_that_says_two_sizes_is_kept_from_the_fast_decoder() -> None:
    facts = read(SAMPLES["JPEG"]).facts
    assert decoding._decode_fast(SAMPLES["JPEG"], replace(facts, width=facts.width - 1)) is None
    assert decoding._decode_fast(SAMPLES["JPEG"], facts) is not None


def test_slight_damage_to_a_jpeg_is_noted_and_decoded_as_the_reference_does() -> None:
    data = SAMPLES["JPEG"][:-2] + b"\0\0\0" + SAMPLES["JPEG"][-2:]
    image = read(data)
    with Image.open(io.BytesIO(data)) as picture:
        assert np.array_equal(image.pixels, np.array(picture))
    assert any("more forgiving decoder" in note for note in image.notes)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_pixels_are_upright_as_a_viewer_shows_them(format: str, orientation: int) -> None:
    how = {"lossless": True} if format == "WEBP" else {}
    data = encoded(format, exif=exif(tag274=orientation), **how)
    image, plain = read(data), read(encoded(format, **how))
    assert np.array_equal(image.stored, plain.pixels), "what was compressed is there as well"
    with Image.open(io.BytesIO(data)) as picture:
        assert np.array_equal(image.pixels, np.array(ImageOps.exif_transpose(picture)))
    assert (image.facts.width, image.facts.height) == (53, 37)
    assert image.facts.orientation == orientation
    said = f"turned upright, as EXIF orientation {orientation} asks"
    assert image.notes == ((said,) if orientation > 1 else ())


@pytest.mark.parametrize("orientation", range(1, 9))
def test_turns_are_undone_and_corners_follow_their_squares(orientation: int) -> None:
    turned = upright(PIXELS, orientation)
    assert np.array_equal(lying(turned, orientation), PIXELS)
    y, x = upright_corner((8, 16), 10, PIXELS.shape[:2], orientation)
    square = upright(PIXELS[8:18, 16:26], orientation)
    assert np.array_equal(turned[y : y + 10, x : x + 10], square)
    assert np.array_equal(upright(PIXELS[None, 8:18, 16:26], orientation)[0], square)


def test_an_orientation_after_the_pixels_of_a_png_turns_nothing() -> None:
    data = encoded("PNG")
    chunk = png_chunk(b"eXIf", exif(tag274=6).removeprefix(b"Exif\0\0"))
    image = read(data[:-12] + chunk + data[-12:])
    assert (image.facts.orientation, image.notes) == (1, ())
    assert np.array_equal(image.pixels, PIXELS)


def test_an_orientation_in_xmp_which_no_browser_follows_turns_nothing() -> None:
    xmp = b'<x:xmpmeta><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
    image = read(encoded("JPEG", xmp=xmp))
    assert (image.facts.orientation, image.notes) == (1, ())


def test_a_wide_gamut_is_noted_and_that_of_srgb_is_not() -> None:
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    at = srgb.index(b"XYZ \0\0\0\0", struct.unpack(">I", srgb[tag_at(srgb, b"gXYZ")])[0])
    green = struct.pack(">3i", *(round(65536 * value) for value in (0.29198, 0.69225, 0.04189)))
    display_p3 = srgb[: at + 8] + green + srgb[at + 20 :]
    wide = "wide colour gamut by its profile: levels taken as they are"
    for format in ("JPEG", "PNG", "WEBP", "TIFF"):
        assert read(encoded(format, icc_profile=srgb)).notes == ()
        image = read(encoded(format, icc_profile=display_p3))
        assert (image.notes, image.icc_profile) == ((wide,), display_p3)
        assert np.array_equal(image.pixels, read(encoded(format)).pixels)
    assert read(encoded("PNG", icc_profile=b"nonsense" * 20)).notes == ()


WIDE = "wide colour gamut by its profile: levels taken as they are"
SRGB_AREA = 0.5 * abs((0.3 - 0.64) * (0.06 - 0.33) - (0.15 - 0.64) * (0.6 - 0.33))


@pytest.mark.parametrize("primaries", [1, 4, 5, 6, 7, 8, 9, 11, 12])
def test_a_wide_gamut_by_numbers_of_its_primaries_is_noted(primaries: int) -> None:
    """As large as libheif says that the triangle of these primaries is."""
    heif = heic(color_primaries=primaries)
    said = pillow_heif.open_heif(heif).info["nclx_profile"]
    (ax, ay), (bx, by), (cx, cy) = (
        (said[f"color_primary_{colour}_x"], said[f"color_primary_{colour}_y"])
        for colour in ("red", "green", "blue")
    )
    area = abs((bx - ax) * (cy - ay) - (cx - ax) * (by - ay)) / 2
    wanted = (WIDE,) if area > 1.1 * SRGB_AREA else ()
    avif = encoded("AVIF")
    at = avif.index(b"colrnclx") + 8
    avif = avif[:at] + struct.pack(">H", primaries) + avif[at + 2 :]
    for data in (heif, avif, png_with_cicp(encoded("PNG"), primaries)):
        notes = read(data).notes
        assert tuple(note for note in notes if "gamut" in note) == wanted


def png_with_cicp(png: bytes, primaries: int) -> bytes:
    return png[:33] + png_chunk(b"cICP", bytes([primaries, 13, 0, 1])) + png[33:]


def test_numbers_for_primaries_go_before_a_profile_and_those_of_other_pictures_say_nothing() -> (
    None
):
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert read(png_with_cicp(encoded("PNG", icc_profile=srgb), 9)).notes == (WIDE,)
    assert read(png_with_cicp(encoded("PNG"), 2)).notes == ()  # not known
    avif = encoded("AVIF")
    at = avif.index(b"colrnclx") + 8
    wide = avif[:at] + struct.pack(">H", 12) + avif[at + 2 :]
    assert has_wide_gamut(wide, b"")
    item = wide.index(b"ipma") + 12
    assert wide[item : item + 3] == b"\0\1\4", "the only picture, with four properties"
    of_another = wide[:item] + b"\0\2" + wide[item + 2 :]
    assert not has_wide_gamut(of_another, b"")


@given(cut=st.integers(0, 400), at=st.integers(8, 400), value=st.integers(0, 255))
def test_damage_to_what_is_said_of_primaries_ends_nothing(cut: int, at: int, value: int) -> None:
    for data in (encoded("AVIF"), SAMPLES["HEIC"], png_with_cicp(SAMPLES["PNG"], 9)):
        changed = bytearray(data)
        changed[at] = value
        assert has_wide_gamut(bytes(changed[: len(data) - cut]), b"") in (True, False)


def tag_at(profile: bytes, name: bytes) -> slice:
    """Where a colour profile says where a tag begins."""
    at = profile.index(name, 128) + 4
    return slice(at, at + 4)


@pytest.mark.parametrize("format", ["PNG", "TIFF"])
def test_greys_of_16_bits_are_rounded_to_the_nearest_of_8(format: str) -> None:
    image = read(encoded(format, Image.fromarray(GREY16)))
    expected = np.round(GREY16 / 257).astype(np.uint8)
    assert np.array_equal(image.pixels, np.stack([expected] * 3, -1))
    assert image.notes == ("grey image: channels repeated", "16-bit reduced to 8-bit: rounded")


def test_a_tiff_of_12_bits_is_scaled_from_its_own_white() -> None:
    image = read(tiff(page(2, 1, 12, white=1, size=3), pixels=b"\xff\xf8\x00\0"))
    assert image.pixels[0, :, 0].tolist() == [255, 128]  # 4095 and 2048 of 4095
    assert "12-bit reduced to 8-bit: rounded" in image.notes


def test_a_16_bit_tiff_in_which_zero_is_white_is_inverted_as_one_of_8_bits_is() -> None:
    for bits, pixels in ((8, b"\xff\0"), (16, b"\xff\xff\0\0")):
        image = read(tiff(page(2, 1, bits, white=0, size=len(pixels)), pixels=pixels))
        assert image.pixels[0, :, 0].tolist() == [0, 255]


def test_colours_of_16_bits_are_noted_as_cut_to_their_upper_byte() -> None:
    header = struct.pack(">IIBBBBB", 1, 1, 16, 2, 0, 0, 0)
    rows = zlib.compress(b"\0" + bytes([10, 255, 20, 0, 30, 128]))
    parts = [(b"IHDR", header), (b"IDAT", rows), (b"IEND", b"")]
    image = read(b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(*part) for part in parts))
    assert image.pixels.tolist() == [[[10, 20, 30]]]
    assert image.notes == ("16-bit reduced to 8-bit: lower bits cut off",)


def with_alpha() -> Image.Image:
    alpha = np.full((37, 53, 1), 7, np.uint8)
    return Image.fromarray(np.concatenate([PIXELS, alpha], -1))


@pytest.mark.parametrize(
    ("data", "mode", "note"),
    [
        (encoded("JPEG", PICTURE.convert("L")), "L", "grey image"),
        (encoded("PNG", PICTURE.convert("LA")), "LA", "grey image"),
        (encoded("PNG", PICTURE.convert("LA")), "LA", "alpha ignored"),
        (encoded("PNG", PICTURE.convert("1")), "1", "black and white image"),
        (SAMPLES["palette PNG"], "P", "palette image"),
        (encoded("PNG", PICTURE.quantize(16), transparency=b"\x07" * 16), "P", "alpha ignored"),
        (encoded("PNG", with_alpha()), "RGBA", "alpha ignored"),
        (SAMPLES["CMYK JPEG"], "CMYK", "CMYK converted"),
        (encoded("TIFF", PICTURE.convert("YCbCr")), "YCbCr", "YCbCr converted"),
        (SAMPLES["APNG"], "RGB", "first of 2 frames"),
        (SAMPLES["animated WebP"], "RGB", "first of 2 frames"),
        (SAMPLES["two-page TIFF"], "RGB", "first of 2 frames"),
        (SAMPLES["MPO"], "RGB", "first of 2 frames"),
        (encoded("JPEG", exif=b"Exif\0\0no such thing"), "RGB", "EXIF has no tag"),
        (SAMPLES["HEIC"], "RGB", "HEIF: its decoder applies the turns"),
    ],
)
def test_what_was_done_to_the_pixels_is_noted(data: bytes, mode: str, note: str) -> None:
    image = read(data)
    assert image.facts.mode == mode
    assert any(note in each for each in image.notes), image.notes


def test_a_plain_picture_has_no_notes() -> None:
    for name in ("JPEG", "progressive JPEG", "PNG", "WebP", "lossless WebP", "TIFF", "BMP"):
        assert read(SAMPLES[name]).notes == ()


def test_alpha_is_dropped_and_changes_no_colour() -> None:
    for format, how in (("PNG", {}), ("TIFF", {}), ("WEBP", {"lossless": True, "exact": True})):
        assert np.array_equal(read(encoded(format, with_alpha(), **how)).pixels, PIXELS)


@pytest.mark.parametrize("mode", ["F", "I", "LAB"])
def test_pixels_that_bytes_cannot_hold_are_refused(mode: str) -> None:
    picture = Image.new(mode, (4, 4))
    with pytest.raises(ImageFileError, match=f"picture: has pixels that are not read.*{mode}"):
        read(encoded("TIFF", picture))


def test_a_tiff_that_begins_with_a_thumbnail_is_refused() -> None:
    tags = page(2, 1, 8, white=1, size=2) | {254: (4, 1)}
    with pytest.raises(ImageFileError, match="thumbnail"):
        read(tiff(tags, pixels=b"\0\0"))


# Facts


def test_facts_name_format_size_and_hash_and_go_to_json() -> None:
    formats = {"PNG": "PNG", "MPO": "JPEG", "WebP": "WEBP", "LZW TIFF": "TIFF", "HEIC": "HEIF"}
    for name, format in formats.items():
        facts = read(SAMPLES[name]).facts
        assert facts.format == format
        assert (facts.width, facts.height) == (53, 37)
        assert facts.file_bytes == len(SAMPLES[name])
        assert facts.sha256 == hashlib.sha256(SAMPLES[name]).hexdigest()
        assert json.loads(json.dumps(asdict(facts)))["frames"] == facts.frames


def test_quantization_tables_are_those_of_the_standard_at_quality_50() -> None:
    luma, chroma = read(encoded("JPEG", quality=50)).facts.quantization
    assert luma[:8] == (16, 11, 10, 16, 24, 40, 51, 61)  # ITU T.81, table K.1, first row
    assert luma[8:11] == (12, 12, 14)
    assert chroma[:4] == (17, 18, 24, 47)
    assert (len(luma), len(chroma)) == (64, 64)
    assert read(SAMPLES["PNG"]).facts.quantization == ()


@pytest.mark.parametrize(
    ("factors", "name"),
    [
        (b"\x22\x22\x22", "4:4:4"),
        (b"\x21\x11\x11", "4:2:2"),
        (b"\x22\x21\x21", "4:4:0"),
        (b"\x42\x11\x11", "4:1:0"),
        (b"\x22\x12\x11", "2x2,1x2,1x1"),
        (b"\x31\x21\x21", "3x1,2x1,2x1"),
    ],
)
def test_subsampling_is_read_from_the_sampling_factors(
    tmp_path: Path, factors: bytes, name: str
) -> None:
    data = bytearray(encoded("JPEG"))
    at = data.index(b"\xff\xc0")
    data[at + 11 : at + 18 : 3] = factors
    (tmp_path / "a.jpg").write_bytes(data)
    assert inspect_image(tmp_path / "a.jpg").subsampling == name


def test_progressive_is_said_of_progressive_jpegs_alone() -> None:
    assert read(SAMPLES["progressive JPEG"]).facts.progressive
    assert not any(read(SAMPLES[name]).facts.progressive for name in ("JPEG", "PNG", "WebP"))


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_metadata_is_counted(format: str) -> None:
    made = Image.Exif()
    made[271] = "a maker"
    made.get_ifd(0x8769)[0x9003] = "2024:01:01 00:00:00"
    profile = b"a colour profile" * 20
    bare = read(encoded(format)).facts
    full = read(encoded(format, exif=made.tobytes(), icc_profile=profile)).facts
    assert full.exif_tags - bare.exif_tags >= 2
    assert (bare.icc_bytes, full.icc_bytes) == (0, len(profile))
    assert full.metadata_bytes - bare.metadata_bytes >= len(profile)


def test_resolution_is_what_the_file_says_and_not_a_custom() -> None:
    assert read(encoded("JPEG", dpi=(300, 300))).facts.dpi == pytest.approx(300)
    assert read(encoded("PNG", dpi=(300, 300))).facts.dpi == pytest.approx(300, abs=0.1)
    # Pillow says 72 of a JPEG with EXIF that has no resolution.
    assert read(encoded("JPEG", exif=exif(tag271="a maker"))).facts.dpi is None


def test_pages_of_a_tiff_are_counted_without_a_trap() -> None:
    tags = page(1, 1, 8, white=1, size=1)
    chain = tiff(*[tags] * 30, pixels=b"\0\0")
    loop = tiff(*[tags] * 3, pixels=b"\0\0", after_last=10)
    out = tiff(*[tags] * 3, pixels=b"\0\0", after_last=2**32 - 1)
    assert [read(data).facts.frames for data in (chain, loop, out)] == [30, 3, 3]


@pytest.mark.parametrize("name", SAMPLES)
def test_inspecting_gives_the_same_facts_without_decoding(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "picture"
    path.write_bytes(SAMPLES[name])
    facts = read_image(path).facts
    forbid_decoding(monkeypatch)
    assert inspect_image(path) == facts


# Refusals


@pytest.mark.parametrize("name", SAMPLES)
def test_a_file_cut_anywhere_is_refused_by_name(name: str) -> None:
    data = SAMPLES[name]
    # The end of the last page or picture is not needed to read the first.
    whole = data.index(b"\xff\xd9") + 2 if name == "MPO" else len(data)
    whole = len(SAMPLES["TIFF"]) if name == "two-page TIFF" else whole
    for length in {1, 7, 20, 40, whole // 4, whole // 2, whole * 3 // 4, whole - 30, whole - 5}:
        with pytest.raises(ImageFileError, match=r"^picture: ") as caught:
            read(data[:length])
        assert type(caught.value) in (TruncatedImageError, NotAnImageError)
        assert length < 40 or type(caught.value) is TruncatedImageError


@pytest.mark.parametrize("name", SAMPLES)
def test_flipped_bits_end_in_pixels_or_in_a_named_error(name: str) -> None:
    random = np.random.default_rng(len(name))
    for _ in range(30):
        data = bytearray(SAMPLES[name])
        span = 300 if random.random() < 0.5 else len(data)  # headers are where it hurts
        for at in random.integers(0, min(span, len(data)), 3):
            data[at] ^= 1 << int(random.integers(8))
        try:
            image = read(bytes(data), pixel_limit=10**6)
        except ImageFileError:
            continue
        assert image.stored.shape == (image.facts.height, image.facts.width, 3)


def test_a_flipped_bit_in_the_pixels_of_a_png_is_always_found() -> None:
    data, start = bytearray(SAMPLES["PNG"]), SAMPLES["PNG"].index(b"IDAT") + 4
    for at in range(start, len(data) - 12, 50):
        data[at] ^= 4
        with pytest.raises(TruncatedImageError):
            read(bytes(data))
        data[at] ^= 4
    assert np.array_equal(read(bytes(data)).pixels, PIXELS)


@pytest.mark.parametrize("error", [struct.error, zlib.error, RecursionError, KeyError, EOFError])
def test_whatever_a_decoder_raises_becomes_an_error_with_a_name(
    error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> NoReturn:
        raise error("inside")

    monkeypatch.setattr(decoding, "_decode_reference", fail)
    with pytest.raises(TruncatedImageError, match=r"^picture: is a damaged or cut PNG .*inside"):
        read(SAMPLES["PNG"])


def test_a_tiff_of_fractions_is_told_what_is_read_instead() -> None:
    stored = io.BytesIO()
    tifffile.imwrite(stored, np.zeros((20, 20, 3), np.float32), photometric="rgb")
    with pytest.raises(ImageFileError, match="8 or 16 whole bits") as told:
        read(stored.getvalue())
    assert "object" not in str(told.value)


def test_too_little_memory_is_not_called_damage(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> NoReturn:
        raise MemoryError

    monkeypatch.setattr(decoding, "_decode_fast", fail)
    with pytest.raises(ImageFileError, match="memory") as caught:
        read(SAMPLES["JPEG"])
    assert type(caught.value) is ImageFileError


@pytest.mark.parametrize("format", BOMBS)
def test_a_bomb_is_refused_before_any_decoder_runs(
    format: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    forbid_decoding(monkeypatch)
    monkeypatch.setattr(WebPImagePlugin._webp, "WebPAnimDecoder", lambda *_: pytest.fail("canvas"))
    assert len(BOMBS[format]) < 10_000
    with pytest.raises(ImageTooLargeError, match=r"50000×50000 pixels.*pixel limit"):
        read(BOMBS[format])


@pytest.mark.parametrize("name", SAMPLES)
def test_the_limit_is_the_number_of_pixels_itself(name: str) -> None:
    size = read(SAMPLES[name]).facts
    limit = size.width * size.height
    assert read(SAMPLES[name], pixel_limit=limit).pixels.size == 3 * limit
    with pytest.raises(ImageTooLargeError):
        read(SAMPLES[name], pixel_limit=limit - 1)


def test_thousands_of_scans_are_refused_before_any_decoder_runs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = SAMPLES["progressive JPEG"]
    last = data.rindex(b"\xff\xda")
    forbid_decoding(monkeypatch)
    with pytest.raises(ImageFileError, match="scans"):
        read(data[:last] + data[last:-2] * 600 + b"\xff\xd9")


def test_a_film_behind_a_photograph_is_not_taken_for_scans() -> None:
    image = read(SAMPLES["JPEG"] + b"\xff\xda\0\2" * 30_000)
    assert np.array_equal(image.pixels, read(SAMPLES["JPEG"]).pixels)


def test_files_of_other_kinds_are_no_images() -> None:
    with pytest.raises(
        NotAnImageError, match=r"is a PNM image, which is not read here; convert it"
    ):
        read_image_bytes(encoded("PPM"), "picture")
    for data in (b"P5 is a house", b"BMW makes cars", b"%PDF-1.7", b"\0" * 100, b"RIFF1234WAVE"):
        with pytest.raises(NotAnImageError, match=r"^picture: is no image; convert it"):
            read(data)


def test_no_decoder_of_another_format_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    read(SAMPLES["WebP"])  # has Pillow load its plugins
    for format in sorted(set(Image.OPEN) - {"JPEG"}):
        asked = lambda *_, format=format: pytest.fail(f"{format} was asked")  # noqa: E731
        monkeypatch.setitem(Image.OPEN, format, (asked, asked))
    with pytest.raises(TruncatedImageError):
        read(b"\xff\xd8\xff" + b"\0" * 100)


def test_content_decides_and_not_the_suffix(tmp_path: Path) -> None:
    path = tmp_path / "really-a-png.jpg"
    path.write_bytes(SAMPLES["PNG"])
    assert read_image(path).facts.format == "PNG"
    assert read_image(str(path)).path == str(path)


@pytest.mark.parametrize("kind", ["missing", "folder", "fifo", "device", "zero byte", "loop"])
@pytest.mark.parametrize("reader", [read_image, inspect_image])
def test_what_is_no_regular_file_is_refused_without_waiting(
    kind: str, reader: Any, tmp_path: Path
) -> None:
    path = tmp_path / kind
    if kind == "folder":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "loop":
        path.symlink_to(path)
    elif kind == "zero byte":
        path = tmp_path / "a\0b"
    with pytest.raises(ImageFileError) as caught:
        reader(path)
    assert type(caught.value) is ImageFileError
    assert caught.value.path == str(path)
    assert ";" in caught.value.reason  # what is wrong; what to do


def test_an_empty_file_is_called_empty(tmp_path: Path) -> None:
    (tmp_path / "a.png").touch()
    with pytest.raises(EmptyFileError, match=r"a\.png: is empty"):
        read_image(tmp_path / "a.png")


def test_a_file_larger_than_its_pixels_could_be_is_not_even_read(tmp_path: Path) -> None:
    path = tmp_path / "large.png"
    path.write_bytes(SAMPLES["PNG"])
    os.truncate(path, 2**40)  # a hole: no space is taken
    with pytest.raises(ImageTooLargeError, match=r"large\.png: has 1,099,511,627,776 bytes"):
        read_image(path)


def test_heic_without_its_decoder_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(ImageFileError, match="pip install pillow-heif"):
        read(SAMPLES["HEIC"])


def test_avif_gives_the_pixels_of_its_decoder_and_is_checked_like_the_others() -> None:
    file = io.BytesIO()
    Image.fromarray(PIXELS).save(file, "AVIF")
    image = read(file.getvalue())
    np.testing.assert_array_equal(image.pixels, np.asarray(Image.open(file).convert("RGB")))
    assert image.facts.format == "AVIF"
    with pytest.raises(ImageTooLargeError):
        read_image_bytes(file.getvalue(), "a", pixel_limit=100)
    with pytest.raises(ImageFileError):
        read(file.getvalue()[:-20])


def test_heic_gives_the_pixels_of_its_decoder() -> None:
    image = read(SAMPLES["HEIC"])
    decoded = pillow_heif.read_heif(io.BytesIO(SAMPLES["HEIC"])).to_pillow()
    assert np.array_equal(image.pixels, np.array(decoded))
    assert image.notes == ("HEIF: its decoder applies the turns and crops that the file asks for",)


# Pillow is left as it was


def test_pixels_beyond_the_limit_of_pillow_bring_no_warning(tmp_path: Path) -> None:
    for width in (10_000, 14_000):  # Pillow warns of the first and raises at the second
        (tmp_path / "a.png").write_bytes(png_header(width, width))
        assert inspect_image(tmp_path / "a.png").width == width


def test_cut_files_stay_refused_where_someone_told_pillow_to_bear_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(PillowFile, "LOAD_TRUNCATED_IMAGES", True)
    for name in ("JPEG", "CMYK JPEG", "PNG", "TIFF"):
        with pytest.raises(TruncatedImageError):
            read(SAMPLES[name][:-200])
    assert PillowFile.LOAD_TRUNCATED_IMAGES


def test_settings_of_pillow_and_of_warnings_outlive_many_threads() -> None:
    def settings_now() -> tuple[Any, ...]:
        state = Image.MAX_IMAGE_PIXELS, PillowFile.LOAD_TRUNCATED_IMAGES, sorted(Image.OPEN)
        return *state, list(warnings.filters), opening._inside

    def try_to_read(data: bytes) -> bool:
        try:
            return bool(read(data).pixels.size)
        except ImageFileError:
            return False

    read(SAMPLES["WebP"])  # has Pillow load its plugins
    before = settings_now()
    work = [*SAMPLES.values(), *BOMBS.values(), *(data[:99] for data in SAMPLES.values())] * 4
    with ThreadPoolExecutor(8) as threads:
        results = list(threads.map(try_to_read, work))
    assert sum(results) == 4 * len(SAMPLES)
    assert settings_now() == before


def test_the_first_thread_to_finish_leaves_the_settings_of_the_others() -> None:
    limit = Image.MAX_IMAGE_PIXELS
    with opening._strict_pillow():
        with opening._strict_pillow():
            pass
        assert Image.MAX_IMAGE_PIXELS is None
    assert limit == Image.MAX_IMAGE_PIXELS


def test_importing_the_module_loads_no_torch_and_changes_no_warning_filter() -> None:
    code = (
        "import sys, warnings; from PIL import Image; "
        "state = lambda: [Image.MAX_IMAGE_PIXELS, *map(str, warnings.filters)]; "
        "before = state(); import trueshot.images; print('torch' in sys.modules, "
        "before[0] == state()[0], [f for f in state()[1:] if f not in before and 'PIL' in f])"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout == "False True []\n"


# Writing


def test_a_written_png_gives_back_its_pixels(tmp_path: Path) -> None:
    write_png(tmp_path / "made" / "a.png", PIXELS)
    image = read_image(tmp_path / "made" / "a.png")
    assert np.array_equal(image.pixels, PIXELS)
    assert (image.facts.format, image.notes) == ("PNG", ())


@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:2", "4:2:0"])
def test_a_written_jpeg_has_the_quality_and_subsampling_asked_for(
    subsampling: str, tmp_path: Path
) -> None:
    write_jpeg(tmp_path / "a.jpg", PIXELS, 83, subsampling)
    image = read_image(tmp_path / "a.jpg")
    with Image.open(io.BytesIO(encoded("JPEG", quality=83, subsampling=subsampling))) as expected:
        assert np.array_equal(image.pixels, np.array(expected))
    assert image.facts.subsampling == subsampling
    assert image.facts.quantization[0][0] == 5  # the standard's 16 at quality 83: 16 * 34 / 100


@pytest.mark.parametrize("moment", ["fsync", "replace"])
def test_an_interrupted_write_leaves_the_old_file_and_nothing_else(
    moment: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.png"
    write_png(path, PIXELS)

    def interrupt(*_: Any) -> NoReturn:
        raise KeyboardInterrupt

    monkeypatch.setattr(
        *((files.os, "fsync") if moment == "fsync" else (Path, "replace")), interrupt
    )
    for write in (lambda: write_png(path, PIXELS[::-1]), lambda: write_jpeg(path, PIXELS, 90)):
        with pytest.raises(KeyboardInterrupt):
            write()
    assert [each.name for each in tmp_path.iterdir()] == ["a.png"]
    assert np.array_equal(read_image(path).pixels, PIXELS)


def test_a_file_that_a_full_disk_does_not_take_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> NoReturn:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(OSError, match=r"No space left on device: '.*report\.html'"):
        files.write_atomically(tmp_path / "report.html", "page")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "pixels", [PIXELS.astype(float), PIXELS[..., 0], PIXELS[..., :2], PIXELS[:0]]
)
def test_only_bytes_in_three_channels_are_written(pixels: Any, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"uint8 array of shape \(h, w, 3\)"):
        write_png(tmp_path / "a.png", pixels)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("how", [(0, "4:2:0"), (101, "4:2:0"), (90, "4:1:1"), (90, "420")])
def test_a_jpeg_is_not_written_with_other_settings_than_there_are(
    how: tuple[int, str], tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=r"^(quality|subsampling) must be .*, got"):
        write_jpeg(tmp_path / "a.jpg", PIXELS, *how)


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ImageFileError, match=r"a\.png: cannot be written"):
        write_png(tmp_path / "file" / "a.png", PIXELS)


# Finding


def test_images_are_found_below_a_folder_in_the_order_of_their_paths(tmp_path: Path) -> None:
    names = ["b.JPG", "a/z.png", "a/b/c.TIFF", "a-b/x.heic", "a.webp", "Z.bmp"]
    others = ["notes.txt", "jpg", ".hidden.jpg", "a/.hidden/x.jpg", "x.jpg.part", "y.mov"]
    for name in names + others:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found = [path.relative_to(tmp_path).as_posix() for path in find_images(tmp_path)]
    assert found == ["Z.bmp", "a-b/x.heic", "a.webp", "a/b/c.TIFF", "a/z.png", "b.JPG"]
    assert all(Path(name).suffix.lower() in SUFFIXES for name in found)


def test_a_link_back_up_is_not_followed_and_a_broken_link_is_not_hidden(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "up").symlink_to(tmp_path)
    (tmp_path / "in" / "folder.jpg").mkdir()
    (tmp_path / "gone.jpg").symlink_to(tmp_path / "nowhere")
    (tmp_path / "in" / "a.jpg").touch()
    assert find_images(tmp_path) == [tmp_path / "gone.jpg", tmp_path / "in" / "a.jpg"]


def test_a_missing_folder_is_named_and_not_taken_for_an_empty_one(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").touch()
    for name in ("missing", "a.jpg"):
        with pytest.raises(ImageFileError, match=f"{name}: cannot be listed"):
            find_images(tmp_path / name)
    assert find_images(tmp_path) == [tmp_path / "a.jpg"]


@given(st.lists(st.sampled_from([0xFF, 0xDA, 7]), max_size=40).map(bytes))
def test_the_quick_count_of_pairs_is_that_of_bytes(data: bytes) -> None:
    jpeg = b"\xff\xd8" + data
    assert decoding._pairs(jpeg) == jpeg.count(b"\xff\xda")
