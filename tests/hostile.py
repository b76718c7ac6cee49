"""More than a thousand damaged and malicious files, the same ones every time.

    python tests/hostile.py FOLDER

Each is named after what is wrong with it. Whole files are few: `whole-*`, and what was renamed.
"""

from __future__ import annotations

import contextlib
import io
import os
import pickle
import random
import socket
import stat
import struct
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from hostile_archives import archives
from PIL import Image

Named = Iterator[tuple[str, bytes]]

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp", ".heic", ".heif", ".avif")
CUTS, FLIPS, LIES = 24, 48, 20


def make(folder: Path) -> None:
    """Write them all; the folder is made, and should be new."""
    for kind in (damaged, renamed, nonsense, bombs, endless, polyglots, archives):
        place = folder / kind.__name__
        place.mkdir(parents=True)
        for name, data in kind():
            (place / name).write_bytes(data)
    evil_names(folder / "names")
    specials(folder / "specials")


def samples() -> dict[str, bytes]:
    """A small whole file of each kind."""
    random_ = np.random.default_rng(0)
    noise = random_.integers(0, 256, (24, 32, 3)).astype(np.uint8)
    picture = Image.fromarray(noise)
    grey = Image.fromarray(noise[..., 0].astype(np.uint16) * 257)
    return {
        "baseline.jpg": saved(picture, "JPEG", quality=85),
        "progressive.jpg": saved(picture, "JPEG", progressive=True, subsampling=0),
        "cmyk.jpg": saved(picture.convert("CMYK"), "JPEG"),
        "plain.png": saved(picture, "PNG"),
        "palette.png": saved(picture.quantize(16), "PNG"),
        "deep.png": saved(grey, "PNG"),
        "lossy.webp": saved(picture, "WEBP"),
        "lossless.webp": saved(picture, "WEBP", lossless=True),
        "packed.tif": saved(picture, "TIFF", compression="tiff_lzw"),
        "raw.tif": saved(picture, "TIFF"),
        "plain.bmp": saved(picture, "BMP"),
        "photo.heic": heif(picture),
    }


def saved(picture: Image.Image, kind: str, **how: object) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, **how)
    return file.getvalue()


def heif(picture: Image.Image) -> bytes:
    import pillow_heif

    file = io.BytesIO()
    pillow_heif.from_pillow(picture).save(file, quality=50)
    return file.getvalue()


def damaged() -> Named:
    """Cut, flipped, overwritten, filled and lengthened, at places drawn once for all."""
    for name, data in samples().items():
        stem, _, suffix = name.partition(".")
        numbers = random.Random(name)
        yield f"whole-{name}", data
        for number in range(CUTS):
            cut = numbers.randrange(len(data))
            yield f"{stem}-cut-{number:02}.{suffix}", data[:cut]
            if number < CUTS // 4:
                filler = bytes([numbers.choice((0, 255))]) * (len(data) - cut)
                yield f"{stem}-filled-{number:02}.{suffix}", data[:cut] + filler
        for number in range(FLIPS):
            changed = bytearray(data)
            for _ in range(1 + number % 4):
                changed[numbers.randrange(len(data))] ^= 1 << numbers.randrange(8)
            yield f"{stem}-flipped-{number:02}.{suffix}", bytes(changed)
        for number in range(LIES):
            at = numbers.randrange(4, min(96, len(data) - 4))
            lie = numbers.choice(
                (b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", bytes(4), b"\0\0\xff\xff")
            )
            yield f"{stem}-lies-{number:02}.{suffix}", data[:at] + lie + data[at + 4 :]
        yield f"{stem}-longer.{suffix}", data + b"\xff" * 1000
        yield f"{stem}-later.{suffix}", b"\0" * 7 + data
        yield f"{stem}-twice.{suffix}", data * 2


def renamed() -> Named:
    """Whole files under the suffixes of others."""
    for name, data in samples().items():
        for suffix in (*SUFFIXES, ".zip"):
            yield f"{name.replace('.', '-')}{suffix}", data


def nonsense() -> Named:
    """What never was an image."""
    yield "empty.jpg", b""
    for size in (1, 2, 3, 4, 8, 12, 64, 4096):
        yield f"zeros-{size}.png", bytes(size)
        yield f"ones-{size}.jpg", b"\xff" * size
        yield f"noise-{size}.webp", random.Random(size).randbytes(size)
    yield "pickle.jpg", pickle.dumps(Evil())
    yield "script.png", b"#!/bin/sh\ntouch /tmp/evil\n"
    yield "page.jpg", b"<html><script>alert(1)</script></html>"
    yield (
        "vector.png",
        b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>',
    )
    yield "entities.bmp", b'<!DOCTYPE a [<!ENTITY b "bb"><!ENTITY c "&b;&b;">]><a>&c;</a>'
    yield "program.tif", b"\x7fELF\2\1\1" + bytes(100)
    yield "postscript.jpg", b"%!PS\n(/etc/passwd) (r) file\n"
    yield "movie.heic", b"\0\0\0\x18ftypisom" + bytes(100)
    yield "begins.jpg", b"\xff\xd8\xff"
    yield "begins.png", b"\x89PNG\r\n\x1a\n"
    yield "begins.webp", b"RIFF\xff\xff\xff\xffWEBP"
    yield "begins.tif", b"II*\0\xff\xff\xff\xff"
    yield "begins.bmp", b"BM" + bytes(12) + struct.pack("<I", 40)
    yield "begins.heic", b"\0\0\0\x18ftypheic"


class Evil:
    """What a reader of pickle would run."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("touch evil",)


def chunk(kind: bytes, data: bytes) -> bytes:
    """A chunk of a PNG."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, *chunks: bytes, bits: int = 8, colour: int = 2) -> bytes:
    """A PNG with this header."""
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + b"".join(chunks) + chunk(b"IEND", b"")


def zeros(count: int) -> bytes:
    """So many zero bytes, packed a thousandfold."""
    packer = zlib.compressobj(9)
    parts = [packer.compress(bytes(min(2**20, count - at))) for at in range(0, count, 2**20)]
    return b"".join(parts) + packer.flush()


def bombs() -> Named:
    """Little files that want much memory or time."""
    picture = Image.new("RGB", (8, 8))
    jpeg = saved(picture, "JPEG")
    size = jpeg.index(b"\xff\xc0") + 5
    for side in (0, 1, 20_000, 65_535):
        yield f"size-{side}.jpg", jpeg[:size] + struct.pack(">HH", side, side) + jpeg[size + 4 :]
    for side in (0, 1, 50_000, 2**31 - 1, 2**32 - 1):
        yield f"size-{side}.png", png(side, side, chunk(b"IDAT", zeros(1000)))
    yield "large-1-bit.png", png(7000, 7000, chunk(b"IDAT", zeros(7000 * 876)), bits=1, colour=0)
    yield "more-than-said.png", png(16, 16, chunk(b"IDAT", zeros(2**26)))
    pixels = chunk(b"IDAT", zeros(16 * 49))
    packed = zeros(2**26)
    yield "text.png", png(16, 16, chunk(b"zTXt", b"a\0\0" + packed), pixels)
    yield "texts.png", png(16, 16, *[chunk(b"zTXt", b"a\0\0" + zeros(2**20))] * 200, pixels)
    yield "itext.png", png(16, 16, chunk(b"iTXt", b"a\0\1\0\0\0" + packed), pixels)
    yield "profile.png", png(16, 16, chunk(b"iCCP", b"a\0\0" + packed), pixels)
    yield "after.png", png(16, 16, pixels, chunk(b"zTXt", b"a\0\0" + packed))
    yield "chunks.png", png(16, 16, *[chunk(b"tEXt", b"a\0b")] * 50_000, pixels)
    yield "empty-data.png", png(16, 16, *[chunk(b"IDAT", b"")] * 50_000, pixels)
    metadata = b"\xff\xe1\xff\xff" + b"Exif\0\0II*\0\x08\0\0\0\xff\xff" + bytes(65_535 - 18)
    yield "metadata.jpg", jpeg[:2] + metadata * 300 + jpeg[2:]
    yield (
        "profiles.jpg",
        jpeg[:2] + (b"\xff\xe2\xff\xff" + b"ICC_PROFILE\0\1\xff" * 4681)[:65_537] * 99,
    )
    yield "comments.jpg", jpeg[:2] + b"\xff\xfe\0\2" * 200_000 + jpeg[2:]
    yield "scans.jpg", scans(30_000)
    yield "restarts.jpg", jpeg[:-2] + b"\xff\xd0" * 500_000 + b"\xff\xd9"
    for side in (0, 1, 16_384):
        extended = struct.pack("<I", (side - 1) & 0xFFFFFF)[:3] * 2
        body = b"WEBPVP8X\x0a\0\0\0\x10\0\0\0" + extended
        yield f"size-{side}.webp", b"RIFF" + struct.pack("<I", len(body)) + body
    for side in (-(2**31), -1, 0, 1, 100_000, 2**31 - 1):
        header = struct.pack("<IiiHHIIiiII", 40, side, side, 1, 24, 0, 0, 0, 0, 0, 0)
        yield f"size{side}.bmp", b"BM" + struct.pack("<IHHI", 54, 0, 0, 54) + header + bytes(99)
    yield "runs.bmp", run_lengths()


def scans(count: int) -> bytes:
    """A progressive JPEG, most of whose scans say nothing."""
    data = saved(Image.new("RGB", (64, 64), "red"), "JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    return data[:last] + data[last:-2] * count + data[-2:]


def run_lengths() -> bytes:
    """A BMP of 8 bits whose runs jump about and never end a line."""
    header = struct.pack("<IiiHHIIiiII", 40, 4000, 4000, 1, 8, 1, 0, 0, 0, 256, 0)
    start = 14 + len(header) + 1024
    head = b"BM" + struct.pack("<IHHI", start, 0, 0, start)
    return head + header + bytes(1024) + b"\0\2\xff\xff" * 100_000


def endless() -> Named:
    """Animations, pages and pictures in pictures without end."""
    frames = [Image.new("RGB", (8, 8), (number % 256, 0, 0)) for number in range(300)]
    for kind, name in (("WEBP", "frames.webp"), ("PNG", "frames.png"), ("GIF", "frames.jpg")):
        yield name, saved(frames[0], kind, save_all=True, append_images=frames[1:], loop=0)
    yield "frames.tif", saved(frames[0], "TIFF", save_all=True, append_images=frames[1:])
    yield "frames.mpo.jpg", saved(frames[0], "MPO", save_all=True, append_images=frames[1:40])
    control = chunk(b"acTL", struct.pack(">II", 2**31 - 1, 0))
    yield "says-many.png", png(16, 16, control, chunk(b"IDAT", zeros(16 * 49)))
    for name, pages in (("itself", 1), ("circle", 7), ("chain", 60_000)):
        yield f"{name}.tif", tiff_pages(pages, ends=name == "chain")
    for tag, kind, count in ((273, 4, 2**31), (256, 16, 2**28), (258, 3, 2**32 - 1), (34665, 4, 9)):
        yield f"tag-{tag}.tif", tiff_with(tag, kind, count)


def tiff_pages(count: int, *, ends: bool) -> bytes:
    """A grey TIFF of so many pages; the last leads back to the first, or nowhere."""
    tags = (
        (256, 3, 1, 1),
        (257, 3, 1, 1),
        (258, 3, 1, 8),
        (262, 3, 1, 1),
        (273, 4, 1, 0),
        (279, 4, 1, 1),
    )
    entries = b"".join(struct.pack("<HHII", *tag) for tag in tags)
    page = 2 + len(entries) + 4
    parts = [b"II*\0", struct.pack("<I", 8)]
    for number in range(count):
        following = 8 + (number + 1) * page if number < count - 1 else 0 if ends else 8
        parts.append(struct.pack("<H", len(tags)) + entries + struct.pack("<I", following))
    return b"".join(parts)


def tiff_with(tag: int, kind: int, count: int) -> bytes:
    """A TIFF, one of whose tags claims more values than the file has bytes."""
    entry = struct.pack("<HHII", tag, kind, count & 0xFFFFFFFF, 8)
    return b"II*\0" + struct.pack("<IH", 8, 1) + entry + bytes(4)


def polyglots() -> Named:
    """One thing to one reader and another to the next."""
    jpeg, other = samples()["baseline.jpg"], samples()["plain.png"]
    yield "page.png", other + b"<script>alert(document.domain)</script>"
    yield "archive.jpg", jpeg + dict(archives())["whole.zip"]
    yield "archive.zip", dict(archives())["whole.zip"] + jpeg
    yield "comment.jpg", jpeg[:2] + b"\xff\xfe\0\x1e<?php system($_GET['c']); ?>" + jpeg[2:]
    yield "two.jpg", jpeg + other
    yield "pdf.jpg", b"%PDF-1.7\n" + jpeg
    frame = jpeg.index(b"\xff\xc0")
    twice = jpeg[frame : frame + 2 + int.from_bytes(jpeg[frame + 2 : frame + 4], "big")]
    lie = twice[:5] + struct.pack(">HH", 60_000, 60_000) + twice[9:]
    yield "two-sizes.jpg", jpeg[:frame] + lie + jpeg[frame:]
    yield "two-sizes-later.jpg", jpeg[:frame] + twice + lie + jpeg[frame + len(twice) :]


def evil_names(folder: Path) -> None:
    """Whole and broken files by names that attack terminals, tables, pages and shells."""
    folder.mkdir()
    data = samples()["plain.png"]
    for number, name in enumerate(
        (
            b"\x1b[2J\x1b[31mred\x07.png",
            b"two\nlines\r.png",
            b"tab\t.png",
            b"=cmd|' -c calc'!A1.png",
            b"+1.png",
            b"-rf.png",
            b"--help.png",
            b"@sum.png",
            b"$(touch evil);`touch evil`&.png",
            b"<script>alert(1)<|script>.png",
            b"%s%n{0}{{7*7}}.png",
            b"no-utf8-\xff\xfe.png",
            "\u202egnp.exe.png".encode(),
            "\ufeff\u2028\x85.png".encode(),
            b"a" * 251 + b".png",
            b"'; DROP TABLE items; --.png",
            b"a,b\"c'd.png",
            b"..png",
            b"a..png",
            b" .png",
            b"CON.png",
        )
    ):
        whole = data if number % 2 else data[:50]
        Path(os.fsdecode(os.fsencode(folder) + b"/" + name)).write_bytes(whole)


def specials(folder: Path) -> None:
    """What is no regular file, leads elsewhere, or is larger than the disk."""
    folder.mkdir()
    targets = {
        "self": "self.jpg",
        "gone": "nothing",
        "passwd": "/etc/passwd",
        "zero": "/dev/zero",
        "stdin": "/dev/stdin",
        "memory": "/proc/self/mem",
        "up": "..",
        "chain-1": "chain-2.jpg",
        "chain-2": "chain-1.jpg",
    }
    for name, target in targets.items():
        (folder / f"{name}.jpg").symlink_to(target)
    (folder / "folder.jpg").mkdir()
    (folder / "circle").symlink_to(folder)
    os.mkfifo(folder / "pipe.jpg")
    os.mkfifo(folder / "pipe.zip")
    with contextlib.suppress(PermissionError):
        os.mknod(folder / "device.jpg", stat.S_IFCHR | 0o666, os.makedev(1, 5))
    here = Path.cwd()
    with socket.socket(socket.AF_UNIX) as made:  # whose names may not be long
        os.chdir(folder)
        try:
            made.bind("socket.jpg")
        finally:
            os.chdir(here)
    for name, size in (("sparse.jpg", 2**28), ("vast.jpg", 2**43)):
        with (folder / name).open("wb") as file, contextlib.suppress(OSError):
            file.truncate(size)


if __name__ == "__main__":
    make(Path(sys.argv[1]))
