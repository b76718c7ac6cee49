"""Archives that lie, grow, climb out of their folder, or are broken."""

from __future__ import annotations

import io
import random
import stat
import struct
import warnings
import zipfile
from collections.abc import Iterator

from PIL import Image

CENTRAL, LOCAL, END = b"PK\1\2", b"PK\3\4", b"PK\5\6"
_WHEN = (2020, 1, 1, 0, 0, 0)


def archives() -> Iterator[tuple[str, bytes]]:
    """Archives, by what is wrong with them."""
    picture = _picture()
    whole = zipped(("a.png", picture), ("b.jpg", b"text"))
    yield "whole.zip", whole
    yield "empty.zip", zipped()
    yield "texts.zip", zipped(("a.txt", b"a"))
    climbing = (
        "../../evil.png",
        "/tmp/evil.png",
        "..\\..\\evil.png",
        "a/../../../evil.png",
        "C:/e.png",
    )
    yield "climbing.zip", zipped(*[(name, picture) for name in climbing])
    names = ("\x1b[31m.png", "a\nb.png", "=1+1.png", "\u202egnp.png", "a" * 60_000 + ".png")
    yield "names.zip", zipped(*[(name, picture) for name in names])
    yield "twice.zip", zipped(("a.png", picture), ("a.png", picture[:50]))
    yield "nested.zip", nested(picture, 5)
    yield "many.zip", overlapping(picture, 100_001)
    yield "bomb.zip", zipped(("bomb.png", bytes(80 * 2**20)), ("a.png", picture))
    large = struct.pack("<I", 60 * 2**20)
    flat = zipped(*[(f"{number}.png", picture) for number in range(20)])
    yield "flat-bomb.zip", patched(flat, (CENTRAL, 24, large))
    yield "overlapping.zip", overlapping(picture, 1000)
    yield "odd-methods.zip", odd_methods(picture)
    yield "encrypted.zip", patched(whole, (CENTRAL, 8, b"\1\0"), (LOCAL, 6, b"\1\0"))
    yield "link.zip", linked()
    yield "zip64.zip", patched(whole, (CENTRAL, 20, b"\xff" * 8))
    yield "long-list.zip", patched(whole, (END, 12, b"\xff\xff\xff\x7f"))
    yield "many-disks.zip", patched(whole, (END, 4, b"\xff\x7f"))
    yield "wrong-count.zip", patched(whole, (END, 8, b"\xff\x7f\xff\x7f"))
    yield "far-off.zip", patched(whole, (CENTRAL, 42, b"\xff\xff\xff\x7f"))
    yield "wrong-size.zip", patched(whole, (CENTRAL, 24, struct.pack("<I", 7)))
    yield "wrong-sum.zip", patched(whole, (CENTRAL, 16, b"evil"))
    yield "comment.zip", whole[:-2] + b"\xff\xff" + b"PK\5\6" * 16_000
    numbers = random.Random(0)
    for number in range(24):
        yield f"cut-{number:02}.zip", whole[: numbers.randrange(len(whole))]
    for number in range(48):
        changed = bytearray(whole)
        changed[numbers.randrange(len(whole))] ^= 1 << numbers.randrange(8)
        yield f"flipped-{number:02}.zip", bytes(changed)


def zipped(*members: tuple[str, bytes]) -> bytes:
    """A zip archive of these, the same bytes each time."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of names that come twice
        for name, data in members:
            info = zipfile.ZipInfo(name, _WHEN)
            info.compress_type = zipfile.ZIP_DEFLATED if len(data) > 10_000 else zipfile.ZIP_STORED
            archive.writestr(info, data)
    return file.getvalue()


def nested(picture: bytes, depth: int) -> bytes:
    """Archives in archives, a picture beside each."""
    data = zipped(("a.png", picture))
    for _ in range(depth):
        data = zipped(("a.png", picture), ("inner.zip", data))
    return data


def overlapping(picture: bytes, count: int) -> bytes:
    """So many entries of one and the same member: Fifield 2019, "A better zip bomb", simplified."""
    data = zipped(("a.png", picture))
    at, end = data.index(CENTRAL), data.index(END)
    entry = data[at:end]
    counts = struct.pack("<HHI", *[count & 0xFFFF] * 2, len(entry) * count)
    return data[:at] + entry * count + data[end : end + 8] + counts + data[end + 16 :]


def odd_methods(picture: bytes) -> bytes:
    """Members packed in ways that photographs never are, and by methods that do not exist."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for method in (zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
            archive.writestr(zipfile.ZipInfo(f"{method}.png", _WHEN), picture, method)
    return file.getvalue()


def linked() -> bytes:
    """A member that is a link."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        info = zipfile.ZipInfo("link.png", _WHEN)
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(info, "/etc/passwd")
    return file.getvalue()


def patched(data: bytes, *changes: tuple[bytes, int, bytes]) -> bytes:
    """Overwrite bytes at so many after each place where a mark stands."""
    changed = bytearray(data)
    for mark, after, new in changes:
        at = -1
        while (at := data.find(mark, at + 1)) >= 0:
            changed[at + after : at + after + len(new)] = new
    return bytes(changed)


def _picture() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (16, 16), "white").save(file, "PNG")
    return file.getvalue()
