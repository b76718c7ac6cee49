"""Writing that survives interruption, and journals that survive a cut line."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import io
import json
import os
import re
import stat
import tempfile
import time
import unicodedata
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, Self

from trueshot.errors import RunError, TrueshotError

_DEEPEST_YAML = 50  # levels
_JOINERS = "\u200c\u200d"  # invisible, and part of how some languages are written
_ESCAPE = re.compile(r"\\(?:[nrt\\]|x[0-9a-f]{2}|u[0-9a-f]{4}|U[0-9a-f]{8})")


def read_file(path: str | os.PathLike[str], most: int = 2**30) -> bytes:
    """Read a file whole, if it is one: a pipe or a device may have no end, or never begin.

    Raises:
        OSError: It is missing, no regular file, or has more than `most` bytes.
    """
    with open(path, "rb", opener=_open_without_waiting) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError("is a pipe or a device, no file")
        data = file.read(most + 1)
    if len(data) > most:
        raise OSError(f"has more than {most:,} bytes")
    return data


def read_text(path: str | os.PathLike[str], most: int = 2**26) -> str:
    """Read a file of UTF-8 text as `read_file` does.

    Raises:
        OSError: As for `read_file`.
        UnicodeDecodeError: It is not in UTF-8.
    """
    return read_file(path, most).decode("utf-8")


def parse_json(text: str | bytes) -> Any:
    """Plain data from JSON of a stranger.

    Raises:
        ValueError: It is no JSON, or has a key twice, which readers take in different ways.
        RecursionError: It is nested too deeply.
    """
    return json.loads(text, object_pairs_hook=_without_repeats)


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table: dict[str, Any] = {}
    for name, value in pairs:
        if name in table:
            raise ValueError(f"{sanitize(name, 100)!r} is given twice")
        table[name] = value
    return table


# Clocks of file systems tick as seldom as every two seconds (FAT), and two changes within one tick
# leave one time: what was changed so shortly before it was seen may have been changed again.
_TICK_NS = 2 * 10**9
_MOST_NUMBER = 2**63 - 1  # that SQLite holds


class FileState(NamedTuple):
    """By what a file is known to be as it was, without reading it.

    Args:
        size: In bytes.
        mtime_ns: When its content was last changed, as it says.
        ctime_ns: When anything of it was, as the system says.
        inode: Its number on its disk.
        seen_ns: When it was found so.
    """

    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int
    seen_ns: int

    @classmethod
    def of(cls, status: os.stat_result) -> Self:
        """The state that the system tells of now."""
        times = (status.st_mtime_ns, status.st_ctime_ns)
        return cls(status.st_size, *times, status.st_ino & _MOST_NUMBER, time.time_ns())

    def is_surely(self, now: FileState) -> bool:
        """Whether a file that was in this state and is in that one has not been changed between.

        Not sure means that its hash has to decide.
        """
        return self[:4] == now[:4] and self.seen_ns - max(self[1:3]) > _TICK_NS


def file_sha256(path: str | os.PathLike[str]) -> str | None:
    """SHA-256 of a regular file; None of what is none, or cannot be read."""
    try:
        with io.FileIO(path, opener=_open_without_waiting) as file:
            is_regular = stat.S_ISREG(os.fstat(file.fileno()).st_mode)
            return hashlib.file_digest(file, "sha256").hexdigest() if is_regular else None
    except (OSError, ValueError):
        return None


def _open_without_waiting(path: str, flags: int) -> int:
    # Opened in the ordinary way, a FIFO waits for a writer that may never come.
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def write_atomically(path: Path, content: bytes | str) -> None:
    """Write a file so that its name holds, at any moment, the old content or all of the new."""
    path.parent.mkdir(parents=True, exist_ok=True)
    data = content.encode("utf-8") if isinstance(content, str) else content
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(0o666 & ~_UMASK)
        Path(name).replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(name).unlink()
        raise


def check_destinations(*paths: Path | None) -> None:
    """See to it, before hours of work, that files can be written where they are wanted.

    Folders on the way are made.

    Args:
        paths: The files; None for one that is not wanted.

    Raises:
        RunError: One of them is a folder, or the folder that it is to lie in cannot be made or
            written; or two of them are the same file.
    """
    met: dict[str, Path] = {}
    for path in filter(None, paths):
        if os.path.isdir(path):  # noqa: PTH112 - which does not raise
            raise RunError(f"{path}: is a folder; give the name of a file")
        other = met.setdefault(os.path.realpath(path), path)
        if other is not path:
            raise RunError(f"{path}: is wanted for two things at once; give another name")
        try:
            _try_to_write(path)
        except OSError as error:
            reason = f"cannot be written ({error.strerror or error})"
            raise RunError(f"{path}: {reason}; check the folder, or give another") from error


def _try_to_write(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    os.close(handle)
    Path(name).unlink()


def write_json(path: Path, content: Any) -> None:
    """Write JSON that people can read, all or nothing."""
    write_atomically(path, json.dumps(content, indent=2) + "\n")


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Records of a JSONL journal; what follows the first cut or damaged line is left out."""
    records: list[dict[str, Any]] = []
    if not path.is_file():
        return records
    for line in path.read_bytes().split(b"\n")[:-1]:
        try:
            record = json.loads(line)
        except ValueError:
            break
        if not isinstance(record, dict):
            break
        records.append(record)
    return records


def write_lines(path: Path, records: Iterable[dict[str, Any]]) -> None:
    """Replace a journal by these records, all or nothing."""
    write_atomically(path, "".join(_line(record) for record in records))


def append_line(path: Path, record: dict[str, Any]) -> None:
    """Add one record to a journal; a crash leaves at most one cut line, which readers leave out."""
    with path.open("a", encoding="utf-8") as file:
        file.write(_line(record))


def parse_yaml(text: str, most: int = 100_000) -> Any:
    """Plain data from YAML that people write by hand.

    Raises:
        ValueError: It is no YAML, longer than `most` characters, nested deeper than people write,
            which takes hours to read, or holds an alias, by which a few lines become megabytes.
    """
    import yaml

    if len(text) > most:
        raise ValueError(f"{len(text):,} characters; at most {most:,} are read")
    depth = 0
    try:
        for event in yaml.parse(text, yaml.SafeLoader):
            if isinstance(event, yaml.AliasEvent):
                raise ValueError("an alias (*name) is not read here: write out what it stands for")
            depth += isinstance(event, yaml.CollectionStartEvent)
            depth -= isinstance(event, yaml.CollectionEndEvent)
            if depth > _DEEPEST_YAML:
                raise ValueError(f"nested too deeply: {_DEEPEST_YAML} levels are read")
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(sanitize(str(error), 500)) from error


class Journal:
    """Finished work in a file, so that a run that was stopped at any moment goes on.

    A key line says what the records after it belong to; a run with another key adds its own key
    line, and takes nothing from the records of the others.

    Args:
        path: The file; None keeps nothing.
        key: All that the records depend on, as JSON holds it.

    Attributes:
        records: Those of this key, in the order in which they were added.
    """

    def __init__(self, path: Path | None = None, key: Any = None) -> None:
        self.path = path
        self.key = json.loads(json.dumps(key))
        self.records: list[dict[str, Any]] = []
        self._is_open = False
        if path is not None and path.is_file():
            lines = read_lines(path)
            write_lines(path, lines)  # without a line that a crash has cut
            for line in lines:
                if line.keys() == {"key"}:
                    self._is_open = line["key"] == self.key
                elif self._is_open:
                    self.records.append(line)

    def append(self, record: dict[str, Any]) -> None:
        """Add a record, which holds more than a key."""
        self.records.append(record)
        if self.path is None:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if not self._is_open:
            append_line(self.path, {"key": self.key})
            self._is_open = True
        append_line(self.path, record)


def remove_leftovers(folder: Path) -> None:
    """Delete what writers that were killed in this folder, not below it, left half written."""
    for path in folder.glob(".*.part"):
        path.unlink(missing_ok=True)


def _line(record: dict[str, Any]) -> str:
    return json.dumps(record) + "\n"


def utf8_safe(text: str) -> str:
    """A file name as text: bytes in it that are no UTF-8 are written as escapes."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def sanitize(text: str, most: int = 10_000) -> str:
    """A text from a stranger, on one line, with nothing in it that hides or turns other text.

    Control characters, line breaks, terminal escapes, marks that turn the direction of writing and
    bytes that are no UTF-8 are written as escapes; of what is longer than `most` (by default, than
    any path), the middle is left out.
    """
    if len(text) > most:
        half = (most - 3) // 2
        text = f"{text[:half]} … {text[-half:]}"
    return text if text.isprintable() else "".join(map(_escaped, text))


def sanitize_unique(name: str, most: int = 10_000) -> str:
    r"""A name from a stranger, as `plain` shows it, and such that no other name is shown alike.

    A file may really be called `a\x1b.jpg`, with a backslash. So where something is escaped, or
    could be taken for an escape, backslashes are escaped too. `plain` leaves the result as it is;
    names longer than `most` lose their middle, and may be shown alike.
    """
    if sanitize(name, most) == name and not _ESCAPE.search(name):
        return name
    return sanitize(name.replace("\\", r"\\"), most)


def _escaped(character: str) -> str:
    if character.isprintable() or character in _JOINERS or unicodedata.category(character) == "Zs":
        return character
    return character.encode("unicode_escape", "surrogatepass").decode("ascii")


@contextlib.contextmanager
def claim(folder: Path) -> Iterator[None]:
    """Hold a folder against a second run; a run that is killed holds it no longer.

    Raises:
        RunError: Another run is at work in it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise RunError(f"{folder}: another run is at work here; wait for it") from error
        except OSError:
            pass  # a file system without locks
        yield


def hold(
    file: Path,
    content: Any,
    what: str,
    error: type[TrueshotError],
    ours: tuple[str, ...] = (".lock",),
) -> None:
    """Say in a file what its folder is made of, or refuse a folder that is made of something else.

    Args:
        file: Says it, as JSON; the folder may be missing.
        content: What the folder depends on.
        what: It is called.
        error: To raise.
        ours: How names begin that may be in the folder before.

    Raises:
        TrueshotError: The folder holds something else, or the file is damaged.
    """
    root, content = file.parent, json.loads(json.dumps(content))
    ours = (*ours, f".{file.name}.")
    if not file.is_file():
        if root.is_dir() and any(not path.name.startswith(ours) for path in root.iterdir()):
            raise error(f"{root}: is not empty and holds no {what}; name another folder")
        write_json(file, content)
        return
    try:
        before = json.loads(file.read_text("utf-8"))
    except ValueError as fault:
        raise error(f"{file}: damaged: {fault}; name another folder") from fault
    if before != content:
        raise error(
            f"{root}: holds a {what} of other photographs, other settings or another version; "
            "name another folder"
        )


def _read_umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current


_UMASK = _read_umask()  # once: reading it sets it for a moment, for all threads
