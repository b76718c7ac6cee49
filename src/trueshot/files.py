"""Writing that survives interruption, and journals that survive a cut line."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any


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
        Path(name).chmod(0o666 & ~_umask())
        Path(name).replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(name).unlink()
        raise


def write_json(path: Path, content: Any) -> None:
    """Write JSON that people can read, all or nothing."""
    write_atomically(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Records of a JSONL journal; what follows the first cut or damaged line is left out."""
    records: list[dict[str, Any]] = []
    if not path.is_file():
        return records
    for line in path.read_bytes().split(b"\n")[:-1]:
        try:
            records.append(json.loads(line))
        except ValueError:
            break
    return records


def write_lines(path: Path, records: Iterable[dict[str, Any]]) -> None:
    """Replace a journal by these records, all or nothing."""
    write_atomically(path, "".join(_line(record) for record in records))


def append_line(path: Path, record: dict[str, Any]) -> None:
    """Add one record to a journal; a crash leaves at most one cut line, which readers leave out."""
    with path.open("a", encoding="utf-8") as file:
        file.write(_line(record))


def remove_leftovers(folder: Path) -> None:
    """Delete what writers that were killed in this folder have left half written."""
    for path in folder.glob(".*.part"):
        path.unlink(missing_ok=True)


def _line(record: dict[str, Any]) -> str:
    return json.dumps(record, ensure_ascii=False) + "\n"


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current
