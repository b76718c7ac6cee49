"""Write results as JSON lines, CSV or Parquet: atomically, and without holding all in memory."""

from __future__ import annotations

import contextlib
import csv
import fcntl
import glob
import itertools
import json
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from trueshot.errors import RunError
from trueshot.scanning.verdict import COLUMNS, Verdict

_ROWS_AT_ONCE = 10_000
_BETWEEN_NOTES = " | "

# A spreadsheet takes a cell that starts with these for a formula. (OWASP, "CSV Injection".)
_FORMULAS = ("=", "+", "-", "@", "\t", "\r")


def check_output(path: Path) -> None:
    """Check, before the work begins, that results can be written under this name.

    Raises:
        RunError: The suffix is not .jsonl, .csv or .parquet, or pyarrow is not installed for the
            last.
    """
    if path.suffix.lower() not in _WRITERS:
        raise RunError(f"{path}: unknown format; choose a name that ends in {', '.join(_WRITERS)}")
    if path.suffix.lower() == ".parquet":
        try:
            import pyarrow  # noqa: F401
        except ModuleNotFoundError as error:
            raise RunError(
                f"{path}: Parquet needs the extra train: pip install 'trueshot[train]', or choose "
                "a name that ends in .jsonl or .csv"
            ) from error


def write_output(path: Path, verdicts: Iterable[Verdict], *, excel: bool = False) -> None:
    """Write results atomically: at any moment, the path holds either the old or the new file.

    In JSON lines and Parquet, notes are a list. In CSV they are one text, and texts that a
    spreadsheet would take for a formula are prefixed with an apostrophe.

    Args:
        path: The file; its suffix determines the format: .jsonl, .csv or .parquet.
        verdicts: The results, consumed a few at a time.
        excel: Whether a CSV begins with a byte order mark, which Excel needs to recognise UTF-8.

    Raises:
        RunError: It cannot be written, or as for `check_output`.
    """
    check_output(path)
    try:
        with _replacing(path) as part:
            if path.suffix.lower() == ".csv":
                _write_csv(part, verdicts, "utf-8-sig" if excel else "utf-8")
            else:
                _WRITERS[path.suffix.lower()](part, verdicts)
    except OSError as error:
        reason = f"cannot be written ({error.strerror or error})"
        raise RunError(f"{path}: {reason}; check the folder and the free space") from error


@contextlib.contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path in the same folder; on success, sync it and rename it to `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    for left in path.parent.glob(f".{glob.escape(path.name)}.*.part"):  # left by killed processes
        with contextlib.suppress(OSError), left.open("rb+") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # fails if one is still writing it
            left.unlink()
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    with part.open("wb") as file:
        with contextlib.suppress(OSError):  # the file system has no locks
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        try:
            yield part
            os.fsync(file.fileno())
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)


def _write_lines(path: Path, verdicts: Iterable[Verdict]) -> None:
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for verdict in verdicts:
            file.write(json.dumps(verdict.as_record(), ensure_ascii=False, allow_nan=False) + "\n")


def _write_csv(path: Path, verdicts: Iterable[Verdict], encoding: str = "utf-8") -> None:
    with path.open("w", encoding=encoding, newline="") as file:
        table = csv.writer(file)
        table.writerow(COLUMNS)
        for verdict in verdicts:
            record = verdict.as_record() | {"notes": _BETWEEN_NOTES.join(verdict.notes)}
            table.writerow(map(_cell, record.values()))


def _cell(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULAS) else value


def _write_parquet(path: Path, verdicts: Iterable[Verdict]) -> None:
    import pyarrow
    from pyarrow import parquet

    kinds = {str: pyarrow.string(), float: pyarrow.float64(), int: pyarrow.int64()}
    kinds[list] = pyarrow.list_(pyarrow.string())
    schema = pyarrow.schema([(name, kinds[kind]) for name, kind in COLUMNS.items()])
    records = (verdict.as_record() for verdict in verdicts)
    with parquet.ParquetWriter(path, schema) as table:
        while rows := list(itertools.islice(records, _ROWS_AT_ONCE)):
            table.write_table(pyarrow.Table.from_pylist(rows, schema=schema))


_WRITERS: dict[str, Callable[[Path, Iterable[Verdict]], None]] = {
    ".jsonl": _write_lines,
    ".csv": _write_csv,
    ".parquet": _write_parquet,
}
