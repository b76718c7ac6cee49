"""Reading the rows of a manifest, however a spreadsheet or another system has written it."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from trueshot.errors import DatasetError

Row = Mapping[str, str]

_DELIMITERS = ",;\t|"
_SEPARATOR_LINE = re.compile(r'"?sep=(.)"?\s*', re.IGNORECASE)  # as Excel writes and reads it
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
    """The rows of a CSV or Parquet file, known by its content.

    Names of columns are in small letters and without blanks around them. In CSV the delimiter is
    a comma, semicolon, tab or bar, whichever divides the header so that it has a column path, or
    what a first line `sep=;` says; the text is UTF-8, UTF-16 or Windows' Latin-1. Rows without
    any content are left out, as are lines that begin with # and are no rows.

    Paths are written with slashes; `file://` is read as the path that it is.

    Raises:
        DatasetError: It cannot be read so, or a path is of another machine; it is named.
    """
    try:
        if not manifest.is_file():
            raise DatasetError(f"{manifest}: no such file, or a pipe or a device")
        data = manifest.read_bytes()
        rows = _of_parquet(data) if data.startswith(b"PAR1") else _of_text(manifest, data)
    except (OSError, ValueError, csv.Error, KeyError, TypeError) as error:
        if isinstance(error, DatasetError):
            raise
        raise DatasetError(f"{manifest}: cannot be read as a manifest: {error}") from error
    return [_with_path(manifest, number, row) for number, row in enumerate(rows, start=1)]


def _of_parquet(data: bytes) -> list[dict[str, str]]:
    import pyarrow.parquet

    table: list[dict[str, Any]] = pyarrow.parquet.read_table(io.BytesIO(data)).to_pylist()
    rows = [{_column(name): _cell(value) for name, value in row.items()} for row in table]
    return [row for row in rows if any(row.values())]


def _cell(value: object) -> str:
    """What a cell says: nothing where it is None or NaN; a 0 is a name like any other."""
    if isinstance(value, bytes):
        value = _decoded(value)
    missing = value is None or value != value
    return "" if missing else str(value).strip()


def _of_text(manifest: Path, data: bytes) -> list[dict[str, str]]:
    for start, what in _OTHERS.items():
        if data.startswith(start):
            raise DatasetError(f"{manifest}: is {what}; save it as CSV, or as Parquet")
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
            raise DatasetError(f"{manifest}: lists no photograph")
        raise DatasetError(
            f"{manifest}: lacks the column path: its first line is {first!r}, and a header such "
            "as path,label is wanted"
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
        # A photograph may be called #1.jpg: what has the columns of a row is a row.
        is_comment = bool(cells) and cells[0].startswith("#") and len(cells) != len(columns)
        if not any(cells) or is_comment:
            continue
        if any(cells[len(columns) :]):
            raise DatasetError(
                f"{manifest}, row {number}: has {len(cells)} columns, and the header "
                f"{len(columns)}; put names with a delimiter in them in quotes"
            )
        yield {name: cell for name, cell in zip(columns, cells, strict=False) if name}


def _column(name: object) -> str:
    text = _decoded(name) if isinstance(name, bytes) else str(name)
    return text.strip().strip("\ufeff\"'").strip().casefold()


def _decoded(data: bytes) -> str:
    """Text in the first encoding that fits; the last, Latin-1 with Windows' signs, fits nearly all.

    Raises:
        UnicodeDecodeError: It is no text.
    """
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16")
    if b"\0" in data[:200]:  # UTF-16 without its mark: of Latin letters, each other byte is zero
        return data.decode("utf-16-le" if data[1:2] == b"\0" else "utf-16-be")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp1252")


def _with_path(manifest: Path, number: int, row: dict[str, str]) -> Row:
    """The row, its path as this system writes it.

    Raises:
        DatasetError: It leads to another machine.
    """
    path = row.get("path", "")
    wanted = "give paths that are relative to the manifest"
    if path.casefold().startswith("file:"):
        parts = urlsplit(path)
        if parts.netloc not in ("", "localhost") or _DRIVE.match(parts.path.lstrip("/")):
            raise DatasetError(f"{manifest}, row {number}: {path} is on another machine; {wanted}")
        return row | {"path": unquote(parts.path)}
    if _SCHEME.match(path):
        reason = "is an address in a network, and nothing is fetched"
        raise DatasetError(f"{manifest}, row {number}: {path} {reason}; {wanted}")
    if (manifest.parent / path).exists():
        return row
    if _DRIVE.match(path):
        reason = "is a path of Windows, which this system does not have"
        raise DatasetError(f"{manifest}, row {number}: {path} {reason}; {wanted}")
    return row | {"path": path.replace("\\", "/")}
