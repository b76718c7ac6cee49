"""Lists of photographs: two folders, or a manifest that somebody wrote."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trueshot.datasets.splits import PARTS
from trueshot.errors import DatasetError
from trueshot.files import utf8_safe
from trueshot.images import find_images

LABELS = ("original", "recaptured")
ORIGINS = ("scene", "first_camera", "camera", "medium")


@dataclass(frozen=True, kw_only=True)
class Photo:
    """One photograph to take crops from.

    Args:
        name: Path as manifests tell it, relative, with forward slashes.
        path: Where the file is.
        label: `original` or `recaptured`.
        source: What a split keeps whole beside the photo itself; empty if not known.
        part: The part of the split that it was given to; empty if that is not decided.
        origins: More that it came from, kind to name, such as its `camera`; see `ORIGINS`. An
            empty name means none.
    """

    name: str
    path: Path
    label: str
    source: str = ""
    part: str = ""
    origins: Mapping[str, str] = field(default_factory=dict, hash=False)


def photos_in_folders(original: Path, recaptured: Path) -> list[Photo]:
    """All photographs under two folders.

    Raises:
        DatasetError: A folder is missing, holds no image, or lies within the other.
    """
    roots = {"original": original, "recaptured": recaptured}
    resolved = [root.resolve() for root in roots.values()]
    if any(a == b or a in b.parents for a in resolved for b in resolved if a is not b):
        raise DatasetError(f"{original} and {recaptured}: one lies within the other")
    photos = []
    for label, root in roots.items():
        if not root.is_dir():
            raise DatasetError(f"{root}: no such folder")
        found = [
            Photo(
                name=utf8_safe(f"{label}/{path.relative_to(root).as_posix()}"),
                path=path,
                label=label,
            )
            for path in find_images(root)
        ]
        if not found:
            raise DatasetError(f"{root}: no image in it")
        photos += found
    return photos


def photos_in_manifest(manifest: Path) -> list[Photo]:
    """Photographs that a CSV or Parquet file lists in the columns path and label.

    Paths are relative to the manifest's folder. The columns source, part and those of `ORIGINS`
    are read where they are there; others are passed over.

    Raises:
        DatasetError: The file cannot be read, lacks a column, or a row is wrong; it is named.
    """
    if not manifest.is_file():
        raise DatasetError(f"{manifest}: no such file")
    rows = _rows(manifest)
    if not rows:
        raise DatasetError(f"{manifest}: lists no photograph")
    missing = {"path", "label"} - set(rows[0])
    if missing:
        raise DatasetError(f"{manifest}: lacks the column {', '.join(sorted(missing))}")
    photos = [_photo(manifest, number, row) for number, row in enumerate(rows, start=1)]
    _refuse_twins(manifest, photos)
    check_parts(photos, f"{manifest}, row")
    return photos


def check_parts(photos: Sequence[Photo], listed: str = "photo") -> None:
    """Refuse parts that no split has, and parts for some photographs only.

    Args:
        photos: All photographs of a data set.
        listed: What to call a place in that list, before its number from 1.

    Raises:
        DatasetError: It names the first photograph whose part is wrong or missing.
    """
    given = any(photo.part for photo in photos)
    for number, photo in enumerate(photos, start=1):
        if given and photo.part not in PARTS:
            found = f"part {photo.part!r}" if photo.part else "no part, but others have one"
            raise DatasetError(
                f"{listed} {number} ({photo.name}): {found}; "
                f"give every photo one of {', '.join(PARTS)}, or none"
            )


def _rows(manifest: Path) -> Sequence[dict[str, Any]]:
    try:
        if manifest.suffix.lower() == ".parquet":
            import pyarrow.parquet

            table: list[dict[str, Any]] = pyarrow.parquet.read_table(manifest).to_pylist()
            return table
        with manifest.open(newline="", encoding="utf-8-sig") as file:
            return list(csv.DictReader(file))
    except (OSError, ValueError, csv.Error) as error:
        raise DatasetError(f"{manifest}: cannot be read as a manifest: {error}") from error


def _photo(manifest: Path, number: int, row: dict[str, Any]) -> Photo:
    name, label = _text(row.get("path")), _text(row.get("label"))
    if not name:
        raise DatasetError(f"{manifest}, row {number}: no path")
    if label not in LABELS:
        raise DatasetError(
            f"{manifest}, row {number} ({name}): label {label!r}; known: {', '.join(LABELS)}"
        )
    return Photo(
        name=utf8_safe(name),
        path=manifest.parent / name,
        label=label,
        source=_text(row.get("source")),
        part=_text(row.get("part")),
        origins={kind: name for kind in ORIGINS if (name := _text(row.get(kind)))},
    )


def _text(value: object) -> str:
    """What a cell says: nothing where it is None, NaN or blank; a 0 is a name like any other."""
    missing = value is None or value != value
    return "" if missing else str(value).strip()


def _refuse_twins(manifest: Path, photos: Iterable[Photo]) -> None:
    seen: set[str] = set()
    for photo in photos:
        if photo.name in seen:
            raise DatasetError(f"{manifest}: lists {photo.name} twice")
        seen.add(photo.name)
