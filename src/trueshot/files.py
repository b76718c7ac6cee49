"""Atomic writing, journals that survive a crash, and safe reading and display of foreign data."""

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

DEFAULT_PIXEL_LIMIT = 200_000_000
"""Photographs with more pixels are refused, unless another limit is given."""

_DEEPEST_YAML = 50  # nesting levels
_JOINERS = "\u200c\u200d"  # zero-width joiners: invisible, but used to spell some languages
_ESCAPE = re.compile(r"\\(?:[nrt\\]|x[0-9a-f]{2}|u[0-9a-f]{4}|U[0-9a-f]{8})")


def read_file(path: str | os.PathLike[str], most: int = 2**30) -> bytes:
    """Read a whole regular file; pipes and devices are refused, since reading them may never end.

    Raises:
        OSError: The file is missing, not a regular file, or larger than `most` bytes.
    """
    with open(path, "rb", opener=open_without_waiting) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError("is a pipe or a device, not a regular file")
        data = file.read(most + 1)
    if len(data) > most:
        raise OSError(f"is larger than the limit of {most:,} bytes")
    return data


def read_text(path: str | os.PathLike[str], most: int = 2**26) -> str:
    """Read a UTF-8 text file as `read_file` does.

    Raises:
        OSError: As for `read_file`.
        UnicodeDecodeError: The file is not UTF-8.
    """
    return read_file(path, most).decode("utf-8")


def parse_json(text: str | bytes) -> Any:
    """Parse JSON from an untrusted source.

    Raises:
        ValueError: The text is not JSON, or repeats a key, which parsers handle differently.
        RecursionError: The JSON is nested too deeply.
    """
    return json.loads(text, object_pairs_hook=_without_repeats)


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table: dict[str, Any] = {}
    for name, value in pairs:
        if name in table:
            raise ValueError(f"the key {sanitize(name, 100)!r} is given twice")
        table[name] = value
    return table


# File system clocks can be as coarse as two seconds (FAT), and two changes within one tick get the
# same time: a file changed so shortly before it was checked may have changed again unnoticed.
_TICK_NS = 2 * 10**9
_MOST_NUMBER = 2**63 - 1  # largest integer that SQLite stores


class FileState(NamedTuple):
    """Metadata that shows whether a file has changed, without reading it.

    Args:
        size: Size in bytes; -1 if there is no file.
        mtime_ns: Modification time of the content, which programs can set.
        ctime_ns: Change time of content or metadata, which the system sets.
        inode: Inode number.
        seen_ns: When this state was read.
    """

    size: int = -1
    mtime_ns: int = -1
    ctime_ns: int = -1
    inode: int = -1
    seen_ns: int = -1

    @classmethod
    def of(cls, status: os.stat_result) -> Self:
        """Build the state from a stat result read just now; limit times to what SQLite stores."""
        times = (status.st_mtime_ns, status.st_ctime_ns)
        mtime, ctime = (max(-_MOST_NUMBER, min(each, _MOST_NUMBER)) for each in times)
        return cls(status.st_size, mtime, ctime, status.st_ino & _MOST_NUMBER, time.time_ns())

    def is_surely(self, now: FileState) -> bool:
        """Whether the file has certainly not changed between this state and `now`.

        If False, its hash has to decide.
        """
        return self[:4] == now[:4] and self.seen_ns - max(self[1:3]) > _TICK_NS


NO_FILE = FileState()


def read_start(path: str | os.PathLike[str], size: int) -> bytes | None:
    """Return a file's first bytes; b"" if it is no regular file, None if it cannot be read."""
    try:
        with io.FileIO(path, opener=open_without_waiting) as file:
            is_regular = stat.S_ISREG(os.fstat(file.fileno()).st_mode)
            return file.read(size) if is_regular else b""
    except IsADirectoryError:
        return b""
    except (OSError, ValueError):
        return None


def file_sha256(path: str | os.PathLike[str]) -> str | None:
    """Return the SHA-256 of a regular file; None if it is not one, or cannot be read."""
    try:
        with io.FileIO(path, opener=open_without_waiting) as file:
            is_regular = stat.S_ISREG(os.fstat(file.fileno()).st_mode)
            return hashlib.file_digest(file, "sha256").hexdigest() if is_regular else None
    except (OSError, ValueError):
        return None


def open_without_waiting(path: str, flags: int) -> int:
    """Open a file, as an `opener`; without O_NONBLOCK, a FIFO waits for a writer, maybe forever."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def write_atomically(path: Path, content: bytes | str) -> None:
    """Write a file such that its path holds, at any moment, the old content or all of the new.

    Raises:
        OSError: It cannot be written; the error names `path`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    data = content.encode("utf-8") if isinstance(content, str) else content
    try:
        _write_and_replace(path, data)
    except OSError as error:  # it names another file or, if the disk is full, none
        raise OSError(error.errno, error.strerror, str(path)) from error


def _write_and_replace(path: Path, data: bytes) -> None:
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
    """Check, before hours of work, that the output files can be written.

    Missing parent folders are created.

    Args:
        paths: The files; None for one that is not wanted.

    Raises:
        RunError: A path is a folder, its parent folder cannot be created or written to, or two
            paths are the same file.
    """
    met: dict[str, Path] = {}
    for path in filter(None, paths):
        if os.path.isdir(path):  # noqa: PTH112 - os.path.isdir does not raise
            raise RunError(f"{path}: is a folder; give the name of a file")
        other = met.setdefault(os.path.realpath(path), path)
        if other is not path:
            raise RunError(f"{path}: is given for two different outputs; give each its own name")
        try:
            _try_to_write(path)
        except OSError as error:
            reason = f"cannot be written ({error.strerror or error})"
            raise RunError(f"{path}: {reason}; check the folder, or choose another") from error


def _try_to_write(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    os.close(handle)
    Path(name).unlink()


def write_json(path: Path, content: Any) -> None:
    """Write indented JSON, atomically."""
    write_atomically(path, json.dumps(content, indent=2) + "\n")


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Read the records of a JSONL journal, up to the first incomplete or damaged line."""
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
    """Replace a journal by these records, atomically."""
    write_atomically(path, "".join(_line(record) for record in records))


def append_line(path: Path, record: dict[str, Any]) -> None:
    """Append one record to a journal; a crash leaves at most one partial line, which is skipped.

    After such a line the record begins a new one, so that it can still be read.
    """
    line = _line(record).encode("utf-8")
    try:
        with path.open("ab+") as file:
            if file.seek(0, os.SEEK_END):
                file.seek(-1, os.SEEK_END)
                line = line if file.read(1) == b"\n" else b"\n" + line
            file.write(line)
    except OSError as error:  # if the disk is full, it names no file
        raise OSError(error.errno, error.strerror, str(path)) from error


def parse_yaml(text: str, most: int = 100_000) -> Any:
    """Parse YAML that people write by hand.

    Raises:
        ValueError: The text is not YAML, is longer than `most` characters, gives a key twice,
            contains an alias, which can expand a few lines to megabytes, or is nested so deeply
            that parsing could take hours.
    """
    import yaml

    if len(text) > most:
        raise ValueError(f"has {len(text):,} characters, but at most {most:,} are allowed")
    depth = 0
    try:
        for event in yaml.parse(text, yaml.SafeLoader):
            if isinstance(event, yaml.AliasEvent):
                raise ValueError("aliases (*name) are not supported: write out the value instead")
            depth += isinstance(event, yaml.CollectionStartEvent)
            depth -= isinstance(event, yaml.CollectionEndEvent)
            if depth > _DEEPEST_YAML:
                raise ValueError(f"nested too deeply: at most {_DEEPEST_YAML} levels are allowed")
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        _refuse_repeats(node)
        return None if node is None else loader.construct_document(node)
    except yaml.YAMLError as error:
        raise ValueError(sanitize(str(error), 500)) from error
    except (LookupError, AttributeError) as error:  # of a value that its tag, as in !!int, forbids
        raise ValueError(f"has a value that is not what its tag says: {error}") from error


def _refuse_repeats(node: Any) -> None:
    """Raise ValueError if a mapping in a YAML node gives a key twice; YAML takes the last."""
    children = node.value if node is not None and isinstance(node.value, list) else []
    pairs = [child for child in children if isinstance(child, tuple)]
    seen: set[tuple[str, str]] = set()
    for key in (key for key, _ in pairs if isinstance(key.value, str)):
        if (key.tag, key.value) in seen:
            raise ValueError(f"the key {sanitize(key.value, 100)!r} is given twice")
        seen.add((key.tag, key.value))
    for child in children:
        for each in child if isinstance(child, tuple) else (child,):
            _refuse_repeats(each)


class Journal:
    """A journal of finished work, so that an interrupted run can continue.

    A key line says what the records after it belong to. A run with another key appends its own key
    line and ignores the records of other keys.

    Args:
        path: The file; None keeps the records in memory only.
        key: Everything that the records depend on, as JSON values.

    Attributes:
        records: Records of this key, in the order they were added.
    """

    def __init__(self, path: Path | None = None, key: Any = None) -> None:
        self.path = path
        self.key = json.loads(json.dumps(key))
        self.records: list[dict[str, Any]] = []
        self._is_open = False
        if path is not None and path.is_file():
            lines = read_lines(path)
            write_lines(path, lines)  # drops a line that a crash cut off
            for line in lines:
                if line.keys() == {"key"}:
                    self._is_open = line["key"] == self.key
                elif self._is_open:
                    self.records.append(line)

    def append(self, record: dict[str, Any]) -> None:
        """Append a record; it must hold more than a key."""
        self.records.append(record)
        if self.path is None:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if not self._is_open:
            append_line(self.path, {"key": self.key})
            self._is_open = True
        append_line(self.path, record)


def remove_leftovers(folder: Path) -> None:
    """Delete partial files left in this folder, not below it, by writers that were killed."""
    for path in folder.glob(".*.part"):
        path.unlink(missing_ok=True)


def _line(record: dict[str, Any]) -> str:
    return json.dumps(record) + "\n"


def utf8_safe(text: str) -> str:
    """Return a file name as text, with bytes that are not UTF-8 escaped."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def sanitize(text: str, most: int = 10_000) -> str:
    """Make untrusted text safe to show on one line, so that nothing hides or reorders other text.

    Control characters, line breaks, terminal escapes, bidirectional marks and bytes that are not
    UTF-8 are escaped. Text longer than `most` (by default longer than any path) loses its middle.
    """
    if len(text) > most:
        half = (most - 3) // 2
        text = f"{text[:half]} … {text[-half:]}"
    return text if text.isprintable() else "".join(map(_escaped, text))


def sanitize_unique(name: str, most: int = 10_000) -> str:
    r"""Return an untrusted name as `sanitize` shows it, but distinct from every other name.

    A file may really be called `a\x1b.jpg`, with a backslash. So if anything is escaped, or looks
    like an escape, backslashes are escaped too. `sanitize` leaves the result unchanged. Names
    longer than `most` lose their middle and may then look alike.
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
    """Lock a folder against a second run; the lock ends with the process, even if it is killed.

    Raises:
        RunError: Another run is working in it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise RunError(
                f"{folder}: another process is using this folder; wait until it has finished"
            ) from error
        except OSError:
            pass  # the file system has no locks
        yield


def hold(
    file: Path,
    content: Any,
    what: str,
    error: type[TrueshotError],
    ours: tuple[str, ...] = (".lock",),
) -> None:
    """Record in `file` what its folder is made of, or refuse a folder made of something else.

    Args:
        file: The JSON file to write or compare; its folder may not exist yet.
        content: What the folder depends on.
        what: What to call the folder's content in error messages.
        error: Class of the exception to raise.
        ours: Name prefixes of files that may already be in the folder.

    Raises:
        TrueshotError: The folder holds something else, or the file is damaged.
    """
    root, content = file.parent, json.loads(json.dumps(content))
    if not file.is_file():
        refuse_foreign(file, what, error, ours)
        write_json(file, content)
        return
    try:
        before = json.loads(file.read_text("utf-8"))
    except (ValueError, RecursionError) as fault:
        raise error(f"{file}: damaged: {fault}; choose another folder") from fault
    if before != content:
        raise error(
            f"{root}: already contains a {what} made from other photographs, with other settings "
            "or by another version; choose another folder"
        )


def refuse_foreign(
    file: Path, what: str, error: type[TrueshotError], ours: tuple[str, ...] = (".lock",)
) -> None:
    """Refuse a folder of other things, before `claim` puts its lock there; arguments as for `hold`.

    Raises:
        TrueshotError: The folder holds something, but not `file`.
    """
    root, ours = file.parent, (*ours, f".{file.name}.")
    if file.is_file() or not root.is_dir():
        return
    if any(not path.name.startswith(ours) for path in root.iterdir()):
        raise error(f"{root}: is not empty and contains no {what}; choose another folder")


def refuse_inside(out: Path, folder: Path, error: type[TrueshotError]) -> None:
    """Refuse an output folder inside the folder of photographs that a run searches.

    Run again, it would find what it has written, and take it for more photographs.

    Raises:
        TrueshotError: It lies inside.
    """
    if folder.resolve() in out.resolve().parents:
        raise error(
            f"{out}: is inside {folder}, whose photographs are used, so its own would be used, "
            "too; choose a folder elsewhere"
        )


def _read_umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current


_UMASK = _read_umask()  # read once, because reading it briefly changes it for all threads
