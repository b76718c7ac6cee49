"""Photographs in zip archives: listed with limits, read in memory, never unpacked to disk."""

from __future__ import annotations

import contextlib
import io
import os
import re
import stat
import struct
import zipfile
import zlib
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import BinaryIO, cast

from trueshot.errors import ImageFileError, TruncatedImageError
from trueshot.files import FileState, open_without_waiting, read_start, sanitize_unique
from trueshot.scanning.item import Item, Member

MOST_MEMBERS = 100_000
LARGEST_MEMBER = 2**30
_LARGEST_LISTING = 64 * 2**20

# Photographs compress little. Large files with a higher ratio are made to exhaust memory.
MOST_RATIO = 200
_HARMLESS, _HARMLESS_IN_ALL = 64 * 2**20, 2**30

_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_ENCRYPTED = 1
_LOCAL = struct.Struct("<4s22xHH")  # signature, lengths of name and extra field
_BETWEEN_PARTS = re.compile(r"[/\\]")
_ENOUGH_PACKED = 4096  # compressed bytes, enough to recognise the start of a member
_LEADS_OUT = "its name points outside the archive; nothing was written to disk"
_STARTS = (b"PK\3\4", b"PK\5\6")


class _Bounded(io.FileIO):
    """A file with limited reads, so that a forged listing cannot exhaust memory."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > _LARGEST_LISTING:
            raise ValueError(f"its list of members claims a length of {size:,} bytes")
        return super().read(_LARGEST_LISTING if size is None or size < 0 else size) or b""


def is_archive(path: str) -> bool:
    """Whether a regular file starts like a zip archive."""
    return read_start(path, 4) in _STARTS


def members(path: str) -> Iterator[Item]:
    """List the members of an archive in its order, with those to refuse and to pass over.

    Photographs are recognised by name or by content. Archives inside the archive are listed as
    refused, files that are not images as passed over. Folders, and hidden files that are not
    images, are omitted. Of members with the same name, the second ends in " (2)", or in the next
    number that is free.

    Args:
        path: The archive.

    Raises:
        ImageFileError: It is damaged, or made to do harm.
        OSError: It is gone, or cannot be read.
    """
    from trueshot.images.recognition import SUFFIXES

    state = FileState.of(Path(path).stat())
    seen: defaultdict[str, int] = defaultdict(lambda: 1)
    given: set[str] = set()
    for info in _listing(path):
        name = info.orig_filename or "(no name)"  # `filename` is cut off at a zero byte
        parts = _BETWEEN_PARTS.split(name)
        is_hidden = any(part.startswith(".") and part not in (".", "..") for part in parts)
        is_named = PurePosixPath(parts[-1].partition("\0")[0]).suffix.lower() in {*SUFFIXES, ".zip"}
        if info.filename.endswith("/") and not info.file_size:  # `is_dir` fails on an empty name
            continue
        called = name
        while called in given:
            seen[name] += 1
            called = f"{name} ({seen[name]})"
        given.add(called)
        item = Item(
            name=sanitize_unique(f"{path}!/{called}"), path=path, state=state, inside=called
        )
        reason = _refusal(info)
        if is_hidden or not is_named:
            holds = None if reason else _is_image(path, _member(info))
            if holds is False and is_hidden:
                continue
            if is_hidden or holds is False:
                yield replace(item, passed_over=1)
                continue
        if reason:
            yield replace(item, reason=reason)
        else:
            leads_out = not parts[0] or ".." in parts or parts[0].endswith(":")
            note = _LEADS_OUT if leads_out else None
            yield replace(item, member=_member(info), note=note)


def _is_image(path: str, member: Member) -> bool:
    """Whether a member starts like an image; only its start is decompressed."""
    from trueshot.images.recognition import START, recognise

    try:
        with _opened(path) as file:
            packed = _packed(file, path, member, _ENOUGH_PACKED)
        if member.method == zipfile.ZIP_DEFLATED:
            packed = zlib.decompressobj(-zlib.MAX_WBITS).decompress(packed, START)
    except (TruncatedImageError, zlib.error):
        return True  # unknown; judging it will report what is wrong
    return recognise(packed[:START]) is not None


def read_member(path: str, member: Member) -> bytes:
    """Read a whole member into memory.

    Raises:
        ImageFileError: The archive cannot be read.
        TruncatedImageError: The member is damaged.
    """
    with _opened(path) as file:
        return _unpacked(path, member, _packed(file, path, member, member.packed))


@contextlib.contextmanager
def _opened(path: str) -> Iterator[BinaryIO]:
    try:
        with io.BufferedReader(io.FileIO(path, opener=open_without_waiting)) as file:
            yield cast(BinaryIO, file)
    except (OSError, ValueError, struct.error) as error:
        raise TruncatedImageError(path, f"cannot be read from its archive ({error})") from error


def _packed(file: BinaryIO, path: str, member: Member, most: int) -> bytes:
    """Return at most `most` of the compressed bytes of a member."""
    file.seek(member.offset)
    mark, name, extra = _LOCAL.unpack(file.read(_LOCAL.size))
    file.seek(name + extra, io.SEEK_CUR)
    wanted = min(member.packed, most)
    packed = file.read(wanted)
    if mark != _STARTS[0] or len(packed) != wanted:
        raise _damaged(path, "its position in the archive holds other data")
    return packed


def _unpacked(path: str, member: Member, packed: bytes) -> bytes:
    data = packed
    if member.method == zipfile.ZIP_DEFLATED:
        inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        try:
            # One byte more than declared, to notice members that are too long.
            data = inflater.decompress(packed, member.size + 1)
        except zlib.error as error:
            raise _damaged(path, str(error)) from error
    if len(data) != member.size:
        raise _damaged(path, "its size differs from the size that the archive states")
    if zlib.crc32(data) != member.crc:
        raise _damaged(path, "its checksum is wrong")
    return data


def _damaged(path: str, what: str) -> TruncatedImageError:
    return TruncatedImageError(
        path, f"is damaged in its archive ({what}); get a new copy of the archive"
    )


def _listing(path: str) -> list[zipfile.ZipInfo]:
    try:
        with _Bounded(path, opener=open_without_waiting) as file:
            with zipfile.ZipFile(file) as archive:
                listed = archive.infolist()
            size = os.fstat(file.fileno()).st_size
    except Exception as error:  # zipfile raises many types of errors on hostile bytes
        reason = f"is a damaged zip archive ({error})"
        raise ImageFileError(path, f"{reason}; get a new copy of it") from error
    if len(listed) > MOST_MEMBERS:
        reason = f"has {len(listed):,} members, more than the limit of {MOST_MEMBERS:,}"
        raise ImageFileError(path, f"{reason}; split it, or unpack it and scan the folder")
    if sum(info.compress_size for info in listed) > size:
        raise ImageFileError(path, "has overlapping members, like a zip bomb; leave it out")
    whole = sum(info.file_size for info in listed)
    if whole > max(_HARMLESS_IN_ALL, MOST_RATIO * size):
        reason = f"unpacks to {whole:,} bytes from {size:,}, like a zip bomb"
        raise ImageFileError(path, f"{reason}; leave it out, or unpack it and scan the folder")
    return listed


def _refusal(info: zipfile.ZipInfo) -> str | None:
    if info.orig_filename.lower().endswith(".zip"):
        return "is an archive inside an archive; unpack the outer one, and scan the folder"
    if stat.S_ISLNK(info.external_attr >> 16):
        return "is a link, and links in archives are not followed; leave it out"
    if info.flag_bits & _ENCRYPTED:
        return "is encrypted; unpack the archive with its password, and scan the folder"
    if info.compress_type not in _METHODS:
        reason = f"uses compression method {info.compress_type}, which is not supported"
        return f"{reason}; unpack the archive, and scan the folder"
    if (most := max(info.file_size, info.compress_size)) > LARGEST_MEMBER:
        return f"has {most:,} bytes, more than the limit of {LARGEST_MEMBER:,}; leave it out"
    if info.file_size > max(_HARMLESS, MOST_RATIO * info.compress_size):
        packed = f"{info.compress_size:,}"
        return f"unpacks to {info.file_size:,} bytes from {packed}, like a zip bomb; leave it out"
    return None


def _member(info: zipfile.ZipInfo) -> Member:
    return Member(
        offset=info.header_offset,
        packed=info.compress_size,
        size=info.file_size,
        method=info.compress_type,
        crc=info.CRC,
    )
