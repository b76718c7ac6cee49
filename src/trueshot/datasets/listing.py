"""Reading the rows of a manifest, as written by spreadsheets and various systems."""

from __future__ import annotations

import csv
import io
import itertools
import json
import math
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from trueshot.errors import DatasetError

Row = Mapping[str, str]
Outline = tuple[tuple[float, float], ...]

_DELIMITERS = ",;\t|"
_SEPARATOR_LINE = re.compile(r'"?sep=(.)"?\s*', re.IGNORECASE)  # an Excel convention
_DRIVE = re.compile(r"[A-Za-z]:[\\/]|\\\\")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
_OTHERS = {
    b"PK\3\4": "an Excel workbook, or another zip archive",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook",
    b"%PDF": "a PDF",
    b"SQLite": "a database",
    b"{": "JSON",
    b"[": "JSON",
}


def manifest_rows(manifest: Path) -> list[Row]:
    """Read the rows of a CSV or Parquet file; the content decides which it is.

    Column names are returned in lower case, without surrounding blanks. In CSV the delimiter is
    given by a first line such as `sep=;`; otherwise it is the comma, semicolon, tab or bar for
    which the header has a column `path`. The text is UTF-8, UTF-16 or Windows-1252. Empty rows are
    left out, and so are comment lines: they begin with # and do not have the header's columns.

    Backslashes in paths become slashes, and `file://` addresses become paths.

    Raises:
        DatasetError: The file cannot be read, or a path is on another machine; the message says
            which.
    """
    try:
        if not manifest.is_file():
            raise DatasetError(f"{manifest}: no such file, or not a regular file")
        data = manifest.read_bytes()
        rows = _of_parquet(data) if data.startswith(b"PAR1") else _of_text(manifest, data)
    except (OSError, ValueError, csv.Error, KeyError, TypeError) as error:
        if isinstance(error, DatasetError):
            raise
        raise DatasetError(f"{manifest}: cannot be read as a manifest: {error}") from error
    return [_with_path(manifest, number, row) for number, row in enumerate(rows, start=1)]


def outline_in(manifest: Path, row: Row) -> Outline:
    """Return the outline of the medium in a photograph: corners (x, y), or none if unknown.

    Raises:
        DatasetError: The column `outline` is not a list of such corners, in JSON.
    """
    try:
        corners = tuple((x, y) for x, y in json.loads(row.get("outline") or "[]"))
        if not all(map(math.isfinite, itertools.chain(*corners))):
            raise ValueError("a coordinate is not finite")
    except (ValueError, TypeError, OverflowError) as error:
        place = f"{manifest}: {row.get('path', '')}"
        raise DatasetError(f"{place}: invalid outline: {error}") from error
    return corners


def _of_parquet(data: bytes) -> list[dict[str, str]]:
    import pyarrow.parquet

    table: list[dict[str, Any]] = pyarrow.parquet.read_table(io.BytesIO(data)).to_pylist()
    rows = [{_column(name): _cell(value) for name, value in row.items()} for row in table]
    return [row for row in rows if any(row.values())]


def _cell(value: object) -> str:
    """Return the text of a cell; None and NaN give "", but 0 is a name like any other."""
    if isinstance(value, bytes):
        value = _decoded(value)
    missing = value is None or value != value
    return "" if missing else str(value).strip()


def _of_text(manifest: Path, data: bytes) -> list[dict[str, str]]:
    for start, what in _OTHERS.items():
        if data.startswith(start):
            raise DatasetError(f"{manifest}: is {what}; save it as CSV or Parquet")
    lines = list(io.StringIO(_decoded(data), newline=""))
    delimiters: Sequence[str] = _DELIMITERS
    while lines and (not lines[0].strip() or _is_before_header(lines[0])):
        if said := _SEPARATOR_LINE.fullmatch(lines[0].strip("\r\n")):
            delimiters = said[1]
        lines = lines[1:]
    tables = (list(csv.reader(lines, delimiter=each)) for each in delimiters)
    found = next((table for table in tables if table and "path" in map(_column, table[0])), None)
    if found is None:
        first = lines[0].strip()[:80] if lines else ""
        if not lines:
            raise DatasetError(f"{manifest}: lists no photographs")
        raise DatasetError(
            f"{manifest}: lacks the column path: its first line is {first!r}, but should be a "
            "header such as path,label"
        )
    return list(_rows(manifest, [_column(name) for name in found[0]], found[1:]))


def _is_before_header(line: str) -> bool:
    return line.lstrip().startswith("#") or bool(_SEPARATOR_LINE.fullmatch(line.strip("\r\n")))


def _rows(
    manifest: Path, columns: Sequence[str], table: Sequence[Sequence[str]]
) -> Iterator[dict[str, str]]:
    named = [name for name in columns if name]
    if twice := {name for name in named if named.count(name) > 1}:
        raise DatasetError(f"{manifest}: has the column {sorted(twice)[0]} twice")
    for number, cells in enumerate(table, start=1):
        cells = [cell.strip() for cell in cells]
        # A photograph may be called #1.jpg, so a line with the right number of columns is a row.
        is_comment = bool(cells) and cells[0].startswith("#") and len(cells) != len(columns)
        if not any(cells) or is_comment:
            continue
        cells += [""] * (len(columns) - len(cells))
        if any(cells[len(columns) :]):
            raise DatasetError(
                f"{manifest}, row {number}: has {len(cells)} columns, but the header has "
                f"{len(columns)}; put names that contain the delimiter in quotes"
            )
        yield {name: cell for name, cell in zip(columns, cells, strict=False) if name}


def _column(name: object) -> str:
    text = _decoded(name) if isinstance(name, bytes) else str(name)
    return text.strip().strip("\ufeff\"'").strip().casefold()


def _decoded(data: bytes) -> str:
    """Decode text in the first encoding that fits; the last, Windows-1252, fits nearly anything.

    Raises:
        UnicodeDecodeError: The data is not text.
    """
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16")
    if b"\0" in data[:200]:  # UTF-16 without a BOM: every other byte of Latin text is zero
        return data.decode("utf-16-le" if data[1:2] == b"\0" else "utf-16-be")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp1252")


def _with_path(manifest: Path, number: int, row: dict[str, str]) -> Row:
    """Return the row with its path in this system's notation.

    Raises:
        DatasetError: The path is on another machine.
    """
    path = row.get("path", "")
    wanted = "use paths relative to the manifest"
    if path.casefold().startswith("file:"):
        try:
            parts = urlsplit(path)
        except ValueError as error:
            raise DatasetError(f"{manifest}, row {number}: {path}: {error}; {wanted}") from error
        if parts.netloc not in ("", "localhost") or _DRIVE.match(parts.path.lstrip("/")):
            raise DatasetError(f"{manifest}, row {number}: {path} is on another machine; {wanted}")
        return row | {"path": unquote(parts.path)}
    if _SCHEME.match(path):
        reason = "is a network address, and nothing is downloaded"
        raise DatasetError(f"{manifest}, row {number}: {path} {reason}; {wanted}")
    if os.path.exists(manifest.parent / path):  # noqa: PTH110 - does not raise for a long name
        return row
    if _DRIVE.match(path):
        reason = "is a Windows path, which does not exist on this system"
        raise DatasetError(f"{manifest}, row {number}: {path} {reason}; {wanted}")
    return row | {"path": path.replace("\\", "/")}
