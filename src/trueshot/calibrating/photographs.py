"""Photographs of known class for `--calibrate` and `--test`, from any supported listing."""

from __future__ import annotations

import io
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from trueshot.datasets.listing import manifest_rows
from trueshot.datasets.photos import Photo, photos_in_folders, photos_in_manifest
from trueshot.errors import DatasetError
from trueshot.files import FileState, sanitize_unique, utf8_safe
from trueshot.scanning.item import Item
from trueshot.scanning.sources import file_item
from trueshot.tasks import Task
from trueshot.tasks.recapture import RECAPTURE

if TYPE_CHECKING:
    from trueshot.datasets import Dataset

_NUMBERED = re.compile(r"\s+\S*\d\S*$")  # reduces "display validation.3" to "display"


@dataclass(frozen=True, kw_only=True)
class Photograph:
    """One photograph of known class.

    Args:
        name: Name used in messages.
        path: Its file, or the file of crops that contains it.
        row: Its row in the file of crops; None if it has a file of its own.
        label: Number of its class; 0 is the untouched image.
        source: Its source, if known.
        kind: Kind of recapture, if known; for a task with more than two classes, the class.
    """

    name: str
    path: Path
    row: int | None = None
    label: int
    source: str = ""
    kind: str = ""

    def item(self) -> Item:
        """Return the item that a scan judges; a crop becomes a file in memory."""
        if self.row is None:
            return file_item(str(self.path), self.name)
        crops = np.load(self.path, mmap_mode="r", allow_pickle=False)
        file = io.BytesIO()
        Image.fromarray(np.array(crops[self.row], dtype=np.uint8)).save(file, "BMP")
        data, name = file.getvalue(), sanitize_unique(self.name)
        state = FileState(len(data))
        return Item(name=name, path=f"{self.path}/{self.row}", state=state, data=data)


def photographs_of(
    dataset: Path, part: str, task: Task = RECAPTURE, passed_over: list[Path] | None = None
) -> list[Photograph]:
    """List the photographs of a manifest, of one folder per class, or of a prepared data set.

    From a prepared data set only the given part is taken: its photographs if they lie in its
    folder (as simulated ones do), otherwise its crops of the largest size, each as a photograph.
    From a manifest with parts, too, only that part is taken; all other listings are taken whole.

    Args:
        dataset: CSV or Parquet file, or folder.
        part: `validation` to calibrate on, `test` to measure on.
        task: The task that defines the classes.
        passed_over: List that receives the files that are not images; see `find_images`.

    Raises:
        DatasetError: `dataset` is none of these, is damaged, has other classes, or has no
            photograph of a class.
    """
    if (dataset / "dataset.json").is_file():
        from trueshot.datasets import Dataset  # needs Parquet

        found = _of_prepared(Dataset.open(dataset), part, task)
    elif dataset.is_dir():
        folders = {name: dataset / name for name in task.classes}
        if not all(folder.is_dir() for folder in folders.values()):
            raise DatasetError(
                f"{dataset}: neither a data set of `trueshot prepare` nor a folder with subfolders "
                f"{' and '.join(task.classes)}; give one of these, or a manifest"
            )
        found = [_of_photo(photo, {}, task) for photo in photos_in_folders(folders, passed_over)]
    else:
        photos = photos_in_manifest(dataset, task)
        kinds = _kinds(dataset)
        found = [_of_photo(p, kinds, task) for p in photos if p.part in ("", part)]
    for label, name in enumerate(task.classes):
        if not any(photograph.label == label for photograph in found):
            raise DatasetError(f"{dataset}: has no {name} photograph for {part}")
    return found


def has_test_part(dataset: Path, task: Task = RECAPTURE) -> bool:
    """Whether a prepared data set, or a manifest with parts, has a test part.

    Raises:
        DatasetError: See `photographs_of`.
    """
    if (dataset / "dataset.json").is_file():
        from trueshot.datasets import Dataset

        return "test" in Dataset.open(dataset).photos["part"].to_pylist()
    return dataset.is_file() and any(p.part == "test" for p in photos_in_manifest(dataset, task))


def _of_prepared(dataset: Dataset, part: str, task: Task) -> list[Photograph]:
    from trueshot.datasets.manifest import crops_file  # needs Parquet

    if dataset.task.classes != task.classes:
        raise DatasetError(
            f"{dataset.folder}: has the classes {', '.join(dataset.task.classes)}, but the "
            f"detector has {', '.join(task.classes)}"
        )

    rows = [row for row in dataset.photos.to_pylist() if row["part"] == part]
    photos = [_of_row(dataset.folder, row) for row in rows]
    if all(photo.path.is_file() for photo in photos):
        return [_of_photo(photo, {}, task) for photo in photos]
    side = max(dataset.sides)
    by_name = {photo.name: _of_photo(photo, {}, task) for photo in photos}
    pixels = crops_file(dataset.folder, side)
    return [
        Photograph(
            name=f"{crop['path']} at ({crop['y']}, {crop['x']})",
            path=pixels,
            row=number,
            label=task.label(crop["label"]),
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


def _of_photo(photo: Photo, kinds: dict[str, str], task: Task) -> Photograph:
    """Convert a listed photograph; its scene replaces a missing source, its medium a missing kind.

    For an example, the source is the photograph it was made from. For a task with more than two
    classes, the kinds are the classes.
    """
    kind = kinds.get(photo.name, "") or _NUMBERED.sub("", photo.origins.get("medium", ""))
    kind = kind if len(task.classes) == 2 else photo.label
    label = task.label(photo.label)
    known = (photo.source, photo.origins.get("scene"), photo.origins.get("photograph"))
    return Photograph(
        name=photo.name,
        path=photo.path,
        label=label,
        source=next(filter(None, known), ""),
        kind=kind if label else "",
    )


def _kinds(manifest: Path) -> dict[str, str]:
    """Return the column `kind` of a manifest, already checked, by name of the photograph."""
    return {utf8_safe(row["path"]): row.get("kind", "") for row in manifest_rows(manifest)}
