"""What `--calibrate` and `--test` name: photographs of known class, wherever they are listed."""

from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from trueshot.datasets.photos import LABELS, Photo, photos_in_folders, photos_in_manifest
from trueshot.errors import DatasetError
from trueshot.files import sanitize_unique, utf8_safe
from trueshot.scanning.sources import Item, file_item

if TYPE_CHECKING:
    from trueshot.datasets import Dataset

_NUMBERED = re.compile(r"\s+\S*\d\S*$")  # "display validation.3" is a display


@dataclass(frozen=True, kw_only=True)
class Photograph:
    """One photograph of known class.

    Args:
        name: What it is called.
        path: Its file, or the file of crops that it is one of.
        row: Its row in the file of crops; None for a file of its own.
        label: 0 original, 1 recaptured.
        source: What it comes from, if that is known.
        kind: Kind of recapture, if that is known.
    """

    name: str
    path: Path
    row: int | None = None
    label: int
    source: str = ""
    kind: str = ""

    def item(self) -> Item:
        """What a scan judges; a crop is a file that lies in memory."""
        if self.row is None:
            return file_item(str(self.path), self.name)
        crops = np.load(self.path, mmap_mode="r", allow_pickle=False)
        file = io.BytesIO()
        Image.fromarray(np.array(crops[self.row], dtype=np.uint8)).save(file, "BMP")
        data, name = file.getvalue(), sanitize_unique(self.name)
        return Item(name=name, path=f"{self.path}/{self.row}", size=len(data), data=data)


def photographs_of(dataset: Path, part: str) -> list[Photograph]:
    """The photographs of a manifest, of a folder with two folders, or of a prepared data set.

    Of a prepared data set only the given part is taken: its photographs, where they lie in its
    folder (as simulated ones do), else its crops of the largest size, each as a photograph. A
    manifest with parts is taken in the same way; all others are taken whole.

    Args:
        dataset: CSV or Parquet file, or folder.
        part: `validation` to calibrate on, `test` to measure on.

    Raises:
        DatasetError: It is none of these, is damaged, or holds no photograph of a class.
    """
    if (dataset / "dataset.json").is_file():
        from trueshot.datasets import Dataset  # prepared ones are of Parquet

        found = _of_prepared(Dataset.open(dataset), part)
    elif dataset.is_dir():
        two = [dataset / label for label in LABELS]
        if not all(folder.is_dir() for folder in two):
            raise DatasetError(
                f"{dataset}: neither a data set of `trueshot prepare` nor a folder with "
                f"{' and '.join(LABELS)}; name one, or a manifest"
            )
        found = [_of_photo(photo, {}) for photo in photos_in_folders(*two)]
    else:
        photos = photos_in_manifest(dataset)
        kinds = _kinds(dataset)
        found = [_of_photo(p, kinds) for p in photos if p.part in ("", part)]
    for label, name in enumerate(LABELS):
        if not any(photograph.label == label for photograph in found):
            raise DatasetError(f"{dataset}: no {name} photograph to take for {part}")
    return found


def has_test_part(dataset: Path) -> bool:
    """Whether a prepared data set, or a manifest with parts, keeps photographs for testing.

    Raises:
        DatasetError: As `photographs_of`.
    """
    if (dataset / "dataset.json").is_file():
        from trueshot.datasets import Dataset

        return "test" in Dataset.open(dataset).photos["part"].to_pylist()
    return dataset.is_file() and any(p.part == "test" for p in photos_in_manifest(dataset))


def _of_prepared(dataset: Dataset, part: str) -> list[Photograph]:
    from trueshot.datasets.manifest import crops_file  # it reads Parquet

    rows = [row for row in dataset.photos.to_pylist() if row["part"] == part]
    photos = [_of_row(dataset.folder, row) for row in rows]
    if all(photo.path.is_file() for photo in photos):
        return [_of_photo(photo, {}) for photo in photos]
    side = max(dataset.sides)
    by_name = {photo.name: _of_photo(photo, {}) for photo in photos}
    pixels = crops_file(dataset.folder, side)
    return [
        Photograph(
            name=f"{crop['path']} at ({crop['y']}, {crop['x']})",
            path=pixels,
            row=number,
            label=LABELS.index(crop["label"]),
            source=by_name[crop["path"]].source or crop["path"],
            kind=by_name[crop["path"]].kind,
        )
        for number, crop in enumerate(dataset.crops[side].to_pylist())
        if crop["part"] == part
    ]


def _of_row(folder: Path, row: dict[str, Any]) -> Photo:
    return Photo(
        name=row["path"],
        path=folder / row["path"],
        label=row["label"],
        source=row["source"],
        origins=json.loads(row.get("origins") or "{}"),
    )


def _of_photo(photo: Photo, kinds: dict[str, str]) -> Photograph:
    """A listed photograph: its source, or else its scene; its kind, or else its medium's."""
    kind = kinds.get(photo.name, "") or _NUMBERED.sub("", photo.origins.get("medium", ""))
    return Photograph(
        name=photo.name,
        path=photo.path,
        label=LABELS.index(photo.label),
        source=photo.source or photo.origins.get("scene", ""),
        kind=kind if photo.label == LABELS[1] else "",
    )


def _kinds(manifest: Path) -> dict[str, str]:
    """The column `kind` of a manifest that was read before, by name of the photograph."""
    if manifest.suffix.lower() == ".parquet":
        import pyarrow.parquet

        rows = pyarrow.parquet.read_table(manifest).to_pylist()
    else:
        with manifest.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
    return {utf8_safe(str(row["path"]).strip()): str(row.get("kind") or "").strip() for row in rows}
