"""Images of all formats and variants that people send, each of another picture."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pillow_heif
import simplejpeg
from conftest import photo_pixels
from PIL import Image, ImageCms, ImageOps

Pixels = npt.NDArray[np.uint8]
HEIGHT, WIDTH = 84, 124  # no multiples of 8


@dataclass(frozen=True, kw_only=True)
class Variant:
    """A file, and what every way to its pixels has to come to.

    Args:
        name: Of the format and its variant.
        data: The file.
        pixels: As another library reads them, upright; None where there is no such opinion.
        refusal: Words of the reason why it is not read; empty if it is read.
        suffix: Without which a folder would pass it over.
    """

    name: str
    data: bytes
    pixels: Pixels | None = None
    refusal: str = ""
    suffix: str = ""


def corpus() -> list[Variant]:
    """All of them."""
    made = [
        *((name, make, None) for name, make in (_JPEG | _PNG | _OTHERS).items()),
        *((f"JPEG, orientation {turn}", _turned("JPEG", turn), None) for turn in range(1, 9)),
        *((f"{kind}, orientation 6", _turned(kind, 6), None) for kind in ("PNG", "TIFF", "WEBP")),
    ]
    read = [
        _variant(name, make(Image.fromarray(_picture(seed))))
        for seed, (name, make, _) in enumerate(made)
    ]
    deep = _picture(len(made))
    read += [
        Variant(name="PNG, 16-bit colours", data=_png_of_16_bits(deep), pixels=deep),
        Variant(name="PNG, interlaced", data=_interlaced(deep[:, ::-1]), pixels=deep[:, ::-1]),
        Variant(name="TIFF, big end first", data=_big_endian_tiff(deep[::-1]), pixels=deep[::-1]),
        *(_grey(format, len(made) + 1 + number) for number, format in enumerate(("PNG", "TIFF"))),
        Variant(name="JPEG, arithmetic coding", data=_arithmetic(deep)),
    ]
    return read + [
        Variant(name=name, data=data, refusal=words, suffix=suffix)
        for name, (data, words, suffix) in _refused(Image.fromarray(deep[::-1, ::-1])).items()
    ]


def _picture(seed: int) -> Pixels:
    return np.ascontiguousarray(photo_pixels(seed, bool(seed % 2), 128)[:HEIGHT, :WIDTH])


def _variant(name: str, data: bytes) -> Variant:
    if name.startswith("HEIC"):
        opened = pillow_heif.open_heif(io.BytesIO(data))
        return Variant(name=name, data=data, pixels=np.asarray(opened.to_pillow().convert("RGB")))
    with Image.open(io.BytesIO(data)) as picture:
        upright = ImageOps.exif_transpose(picture)
        upright.info.pop("transparency", None)
        return Variant(name=name, data=data, pixels=np.array(upright.convert("RGB")))


def encoded(picture: Image.Image, format: str, **how: Any) -> bytes:
    file = io.BytesIO()
    picture.copy().save(file, format, **how)
    return file.getvalue()


Make = Callable[[Image.Image], bytes]


def _saved(format: str, mode: str = "RGB", **how: Any) -> Make:
    return lambda picture: encoded(picture.convert(mode), format, **how)


def _few(format: str, colours: int, **how: Any) -> Make:
    return lambda picture: encoded(picture.quantize(colours), format, **how)


def _of_two(format: str, mode: str = "RGB", **how: Any) -> Make:
    def make(picture: Image.Image) -> bytes:
        first = picture.convert(mode)
        second = ImageOps.mirror(first)
        return encoded(first, format, save_all=True, append_images=[second], **how)

    return make


def _turned(format: str, orientation: int) -> Make:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return _saved(format, exif=exif)


def _with_alpha(format: str, **how: Any) -> Make:
    def make(picture: Image.Image) -> bytes:
        picture = picture.copy()
        picture.putalpha(Image.linear_gradient("L").resize(picture.size).point(lambda v: v | 1))
        return encoded(picture, format, **how)

    return make


def _heic(mode: str) -> Make:
    def make(picture: Image.Image) -> bytes:
        file = io.BytesIO()
        pillow_heif.from_pillow(picture.convert(mode)).save(file)
        return file.getvalue()

    return make


def _ycck(picture: Image.Image) -> bytes:
    inks = np.ascontiguousarray(255 - np.array(picture.convert("CMYK")))
    return bytes(simplejpeg.encode_jpeg(inks, quality=90, colorspace="CMYK"))


def _profile() -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


_JPEG: dict[str, Make] = {
    "JPEG 4:4:4": _saved("JPEG", subsampling=0),
    "JPEG 4:2:2": _saved("JPEG", subsampling=1),
    "JPEG 4:2:0": _saved("JPEG", subsampling=2),
    "JPEG, progressive": _saved("JPEG", progressive=True),
    "JPEG, optimised, with restarts": _saved("JPEG", optimize=True, restart_marker_blocks=2),
    "JPEG, grey": _saved("JPEG", "L"),
    "JPEG, RGB inside": _saved("JPEG", keep_rgb=True),
    "JPEG, CMYK": _saved("JPEG", "CMYK"),
    "JPEG, YCCK": _ycck,
    "JPEG, colour profile": lambda picture: encoded(picture, "JPEG", icc_profile=_profile()),
    "JPEG, comment and resolution": _saved("JPEG", comment=b"a comment", dpi=(300, 300)),
    "JPEG, junk behind it": lambda picture: encoded(picture, "JPEG") + b"\xff\xd8\xff junk" * 99,
    "MPO of two": _of_two("MPO"),
}
_PNG: dict[str, Make] = {
    "PNG": _saved("PNG"),
    "PNG, grey": _saved("PNG", "L"),
    "PNG, grey and alpha": _saved("PNG", "LA"),
    "PNG, alpha": _with_alpha("PNG"),
    "PNG, 1 bit": _saved("PNG", "1"),
    "PNG, palette of 2 bits": _few("PNG", 4, bits=2),
    "PNG, palette of 4 bits": _few("PNG", 16, bits=4),
    "PNG, palette of 8 bits": _few("PNG", 200),
    "PNG, web palette": _saved("PNG", "P"),
    "PNG, palette and transparency": _few("PNG", 16, transparency=b"\x07" * 16),
    "APNG of two": _of_two("PNG"),
}
_OTHERS: dict[str, Make] = {
    "GIF": _few("GIF", 128),
    "GIF of two": _of_two("GIF", "P"),
    "GIF, grey": _saved("GIF", "L"),
    "BMP": _saved("BMP"),
    "BMP, 1 bit": _saved("BMP", "1"),
    "BMP, 4 bits": lambda picture: _bmp_of_4_bits(picture),
    "BMP, 8 bits": _few("BMP", 200),
    "BMP, 16 bits": lambda picture: _bmp_of_16_bits(picture),
    "BMP, 32 bits": _saved("BMP", "RGBA"),
    "TIFF": _saved("TIFF"),
    "TIFF, LZW": _saved("TIFF", compression="tiff_lzw"),
    "TIFF, deflate": _saved("TIFF", compression="tiff_adobe_deflate"),
    "TIFF, packed bits": _saved("TIFF", compression="packbits"),
    "TIFF, JPEG inside": _saved("TIFF", compression="jpeg"),
    "TIFF, fax": _saved("TIFF", "1", compression="group4"),
    "TIFF, palette": _few("TIFF", 64),
    "TIFF, CMYK": _saved("TIFF", "CMYK"),
    "TIFF, alpha": _with_alpha("TIFF"),
    "TIFF, big": _saved("TIFF", big_tiff=True),
    "TIFF of two": _of_two("TIFF"),
    "WebP": _saved("WEBP"),
    "WebP, lossless": _saved("WEBP", lossless=True),
    "WebP, alpha": _with_alpha("WEBP", lossless=True, exact=True),
    "WebP of two": _of_two("WEBP", lossless=True),
    "HEIC": _heic("RGB"),
    "HEIC, alpha": _heic("RGBA"),
    "AVIF": _saved("AVIF"),
    "AVIF, alpha": _with_alpha("AVIF"),
}


def _refused(picture: Image.Image) -> dict[str, tuple[bytes, str, str]]:
    """What is not read: the file, words of the reason, and the suffix that it needs."""
    unread = "pixels that are not read"
    jpeg, png = encoded(picture, "JPEG"), encoded(picture, "PNG")
    known = {
        "JPEG 2000": (encoded(picture, "JPEG2000"), "JPEG 2000 image"),
        "JPEG 2000, no box": (encoded(picture, "JPEG2000", no_jp2=True), "JPEG 2000 image"),
        "JPEG XL": (b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(90), "JPEG XL image"),
        "PPM": (encoded(picture, "PPM"), "PNM image"),
        "PGM": (encoded(picture.convert("L"), "PPM"), "PNM image"),
        "PBM": (encoded(picture.convert("1"), "PPM"), "PNM image"),
        "icon": (encoded(picture, "ICO", sizes=[(64, 64)]), "icon"),
        "PCX": (encoded(picture, "PCX"), "PCX image"),
        "SGI": (encoded(picture, "SGI"), "SGI image"),
        "DDS": (encoded(picture, "DDS"), "DDS image"),
        "QOI": (b"qoif" + struct.pack(">IIBB", 9, 9, 3, 0) + bytes(60), "QOI image"),
        "Photoshop": (b"8BPS\0\1" + bytes(90), "Photoshop image"),
        "Canon raw": (b"\0\0\0\x18ftypcrx \0\0\0\1crx isom" + bytes(90), "camera raw file"),
        "Canon raw, a TIFF": (
            b"II*\0\x10\0\0\0CR\2\0" + encoded(picture, "TIFF"),
            "camera raw file",
        ),
        "Fujifilm raw": (b"FUJIFILMCCD-RAW 0201" + bytes(90), "camera raw file"),
    }
    return {name: (data, f"is a {kind}", "") for name, (data, kind) in known.items()} | {
        "raw with a thumbnail": (encoded(picture, "TIFF", tiffinfo={254: 1}), "camera", ""),
        "TIFF of fractions": (
            encoded(picture.convert("F"), "TIFF"),
            "pixels that are not read",
            "",
        ),
        "TIFF of 32 bits": (encoded(picture.convert("I"), "TIFF"), unread, ""),
        "JPEG, cut": (jpeg[: len(jpeg) // 2], "damaged or cut JPEG", ""),
        "PNG, cut": (png[: len(png) // 2], "damaged or cut PNG", ""),
        "PNG, damaged": (png[:500] + b"\0" + png[501:], "damaged or cut PNG", ""),
        "GIF, cut": (encoded(picture.quantize(9), "GIF")[:400], "damaged or cut GIF", ""),
        "TGA": (encoded(picture, "TGA"), "is no image", ".tga"),
        "text": (b"no image at all", "is no image", ".jpg"),
        "nothing": (b"", "is empty", ".png"),
    }


def _grey(format: str, seed: int) -> Variant:
    grey = _picture(seed)[..., 1].astype(np.uint16) * 257 + 100
    levels = np.round(np.minimum(grey, 65535) / 257).astype(np.uint8)
    data = encoded(Image.fromarray(grey), format)
    return Variant(name=f"{format}, grey of 16 bits", data=data, pixels=np.stack([levels] * 3, -1))


def _chunk(name: bytes, content: bytes) -> bytes:
    crc = zlib.crc32(name + content)
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", crc)


def _png_of(rows: bytes, depth: int, colours: int, interlaced: int = 0) -> bytes:
    header = struct.pack(">IIBBBBB", WIDTH, HEIGHT, depth, colours, 0, 0, interlaced)
    parts = [(b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*part) for part in parts)


def _png_of_16_bits(pixels: Pixels) -> bytes:
    wide = pixels.astype(">u2") * 257
    return _png_of(b"".join(b"\0" + row.astype(">u2").tobytes() for row in wide), 16, 2)


def _interlaced(pixels: Pixels) -> bytes:
    """In the seven passes of Adam7."""
    passes = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2)]
    rows = b"".join(
        b"\0" + row.tobytes()
        for y, x, down, across in [*passes, (1, 0, 2, 1)]
        for row in pixels[y::down, x::across]
    )
    return _png_of(rows, 8, 2, interlaced=1)


def _big_endian_tiff(pixels: Pixels) -> bytes:
    values = {256: WIDTH, 257: HEIGHT, 259: 1, 262: 2, 273: 14, 277: 3, 278: HEIGHT}
    size = 3 * HEIGHT * WIDTH
    entries = {tag: struct.pack(">HHIHH", tag, 3, 1, value, 0) for tag, value in values.items()}
    entries[258] = struct.pack(">HHII", 258, 3, 3, 8)
    entries[279] = struct.pack(">HHII", 279, 4, 1, size)
    table = b"".join(entries[tag] for tag in sorted(entries))
    head = b"MM\0*" + struct.pack(">I", 14 + size) + struct.pack(">HHH", 8, 8, 8)
    return head + pixels.tobytes() + struct.pack(">H", len(entries)) + table + bytes(4)


def _bmp(bits: int, table: bytes, rows: bytes) -> bytes:
    start = 54 + len(table)
    header = struct.pack("<IiiHHIIiiII", 40, WIDTH, HEIGHT, 1, bits, 0, len(rows), 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", start + len(rows), 0, 0, start) + header + table + rows


def _bmp_of_4_bits(picture: Image.Image) -> bytes:
    few = picture.quantize(16)
    colours = np.zeros((16, 4), np.uint8)
    palette = np.array(few.getpalette()[: 3 * 16], np.uint8).reshape(-1, 3)  # type: ignore[index]
    colours[: len(palette), :3] = palette[:, ::-1]
    numbers = np.asarray(few)[::-1]
    packed = numbers[:, ::2] << 4 | numbers[:, 1::2]
    padded = np.pad(packed, ((0, 0), (0, -packed.shape[1] % 4)))
    return _bmp(4, colours.tobytes(), padded.astype(np.uint8).tobytes())


def _bmp_of_16_bits(picture: Image.Image) -> bytes:
    red, green, blue = (
        np.asarray(picture)[::-1, :, colour].astype("<u2") >> 3 for colour in range(3)
    )
    return _bmp(16, b"", (red << 10 | green << 5 | blue).astype("<u2").tobytes())


def _arithmetic(pixels: Pixels) -> bytes:
    """A JPEG that says that its bits are coded so: decoders may read it or not, but all alike."""
    return encoded(Image.fromarray(pixels), "JPEG").replace(b"\xff\xc0", b"\xff\xc9", 1)
