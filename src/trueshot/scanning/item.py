"""One thing to judge: a file, a member of an archive, or bytes."""

from __future__ import annotations

import hashlib
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from trueshot.files import NO_FILE, FileState, sanitize, sanitize_unique


@dataclass(frozen=True, kw_only=True, slots=True)
class Member:
    """The place of a photograph in an archive.

    Args:
        offset: Offset of its header, in bytes.
        packed: Compressed size in bytes.
        size: Uncompressed size in bytes.
        method: Compression method, as numbered in zip files.
        crc: CRC-32 of its bytes.
    """

    offset: int
    packed: int
    size: int
    method: int
    crc: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Item:
    """One thing to judge, or the reason why it cannot be judged.

    Args:
        name: Name in the results: printable, on one line, and different for different paths.
        path: The file to open, as the operating system needs it.
        state: State of the file when it was found.
        inside: Its name in the archive `path`.
        member: Its place in the archive.
        data: Its bytes, if they came from standard input.
        note: A remark on its name.
        reason: Why it cannot be judged, found without reading it.
        passed_over: Number of skipped files, in a folder or archive, that this item stands for.
    """

    name: str
    path: str
    state: FileState = NO_FILE
    inside: str = ""
    member: Member | None = None
    data: bytes | None = None
    note: str | None = None
    reason: str | None = None
    passed_over: int = 0

    @property
    def identity(self) -> bytes:
        """Unique key of an item in a scan, independent of how its file is named.

        For a file it is the absolute path, regardless of its content; for standard input, a hash
        of the bytes.
        """
        if self.data is not None:
            return os.fsencode(self.path) + hashlib.sha256(self.data).digest()
        inside = f"\0{self.inside}" if self.inside else ""
        return os.fsencode(_absolute(self.path)) + inside.encode("utf-8", "surrogatepass")

    def request(self) -> dict[str, Any]:
        """Return what a worker on any machine needs to read it."""
        member = None if self.member is None else asdict(self.member)
        path = self.path if self.data is not None else _absolute(self.path)
        return {"name": self.name, "path": path, "member": member}


def problem(path: str, reason: str) -> Item:
    """Return an item for a path that cannot be judged."""
    return Item(name=sanitize_unique(path), path=path, reason=sanitize(reason))


def _absolute(path: str) -> str:
    """Return one path for all names of a file; `..` after a link is resolved as the system does."""
    if ".." in Path(path).parts and "\0" not in path:
        above, name = os.path.split(path)
        path = os.path.join(os.path.realpath(above), name)  # noqa: PTH118
    return os.path.abspath(path)  # noqa: PTH100
