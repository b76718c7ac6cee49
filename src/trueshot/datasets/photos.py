"""Lists of photographs: from a folder for each class, from a manifest, or as a task's examples."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import permutations
from pathlib import Path

from trueshot.datasets.listing import Row, manifest_rows
from trueshot.datasets.splits import PARTS
from trueshot.errors import DatasetError
from trueshot.files import utf8_safe
from trueshot.images import find_images
from trueshot.tasks import Task
from trueshot.tasks.recapture import RECAPTURE

ORIGINS = ("scene", "first_camera", "camera", "medium", "photograph")


@dataclass(frozen=True, kw_only=True)
class Photo:
    """A photograph to take crops from.

    Args:
        name: Name, unique in a list: a path as in a manifest, with forward slashes.
        path: Path of the file.
        label: Name of its class; empty if examples are made from it.
        source: Source that a split keeps in one part, such as a session; empty if not known.
        part: Part of the split that it was assigned to; empty if not yet decided.
        origins: Further origins by kind, such as its `camera`; see `ORIGINS`. An empty name means
            none. An example of a task has the origin `photograph`: the name of the photograph it
            is made from, whose file is at `path`.
    """

    name: str
    path: Path
    label: str
    source: str = ""
    part: str = ""
    origins: Mapping[str, str] = field(default_factory=dict, hash=False)


def photos_in_folders(
    folders: Mapping[str, Path], passed_over: list[Path] | None = None
) -> list[Photo]:
    """List all photographs below one folder per class.

    Args:
        folders: Folders by class name.
        passed_over: List to which files without an image are appended; see `find_images`.

    Raises:
        DatasetError: A folder is missing, holds no image, or lies inside another.
    """
    for one, other in permutations(folders.values(), 2):
        if one.resolve() == other.resolve() or one.resolve() in other.resolve().parents:
            raise DatasetError(
                f"{one} and {other}: the same folder, or one inside the other; give separate ones"
            )
    return [
        photo
        for label, root in folders.items()
        for photo in _in_folder(root, label, label, passed_over)
    ]


def photos_at(paths: Sequence[Path], passed_over: list[Path] | None = None) -> list[Photo]:
    """List photographs without a class, for a task that makes examples from them.

    Args:
        paths: Files, and folders to search.
        passed_over: List to which files without an image are appended; see `find_images`.

    Raises:
        DatasetError: A path is missing, a folder holds no image, or two photographs have the same
            name.
    """
    photos: list[Photo] = []
    for path in paths:
        if path.is_dir():
            # The name of `..` would put examples of all classes at the same place.
            own = path.resolve().name if path.name == ".." else path.name
            photos += _in_folder(path, "", own if len(paths) > 1 else "", passed_over)
        elif path.is_file():
            photos.append(Photo(name=utf8_safe(path.name), path=path, label=""))
        else:
            raise DatasetError(f"{path}: no such file or folder")
    _refuse_twins("the given paths contain", photos)
    return photos


def examples_of(photos: Sequence[Photo], task: Task) -> list[Photo]:
    """Return an example of each class of a task for each photograph; see `Task.example`."""
    return [
        replace(
            photo,
            name=f"{label}/{photo.name}",
            label=label,
            origins={**photo.origins, "photograph": photo.name},
        )
        for label in task.classes
        for photo in photos
    ]


def _in_folder(root: Path, label: str, prefix: str, passed_over: list[Path] | None) -> list[Photo]:
    if not root.is_dir():
        raise DatasetError(f"{root}: no such folder")
    found = [
        Photo(
            name=utf8_safe("/".join(filter(None, [prefix, path.relative_to(root).as_posix()]))),
            path=path,
            label=label,
        )
        for path in find_images(root, passed_over)
    ]
    if not found:
        raise DatasetError(f"{root}: contains no images")
    return found


def photos_in_manifest(manifest: Path, task: Task | None = RECAPTURE) -> list[Photo]:
    """List the photographs of a CSV or Parquet file with the columns path and label.

    Paths are relative to the manifest's folder. The columns source, part and those of `ORIGINS`
    are optional; others are ignored. With a task that makes its own examples the column label is
    ignored; without a task, labels are not checked.

    Raises:
        DatasetError: The file cannot be read, lacks a column, or has a wrong row; the message says
            which. See `manifest_rows` for the formats.
    """
    rows = manifest_rows(manifest)
    if not rows:
        raise DatasetError(f"{manifest}: lists no photographs")
    wanted = {"path", "label"} if task is not None and task.examples is None else {"path"}
    if missing := wanted - set(rows[0]):
        raise DatasetError(f"{manifest}: lacks the column {', '.join(sorted(missing))}")
    photos = [_photo(manifest, number, row, task) for number, row in enumerate(rows, start=1)]
    _refuse_twins(f"{manifest}: lists", photos)
    check_parts(photos, f"{manifest}, row")
    return photos


def check_parts(photos: Sequence[Photo], listed: str = "photo") -> None:
    """Check that either all photographs have a valid part, or none has a part.

    Args:
        photos: All photographs of a data set.
        listed: Word that precedes a photograph's number, counted from 1, in the error message.

    Raises:
        DatasetError: A part is wrong or missing; the message names the first such photograph.
    """
    given = any(photo.part for photo in photos)
    for number, photo in enumerate(photos, start=1):
        if given and photo.part not in PARTS:
            found = f"unknown part {photo.part!r}" if photo.part else "no part, but others have one"
            raise DatasetError(
                f"{listed} {number} ({photo.name}): {found}; "
                f"give every photo one of {', '.join(PARTS)}, or leave out all parts"
            )


def check_labels(photos: Sequence[Photo], task: Task) -> None:
    """Check that each photograph's label is a class of the task.

    Raises:
        DatasetError: One is not; the message names the first such photograph.
    """
    for photo in photos:
        if photo.label not in task.classes:
            raise DatasetError(
                f"{photo.name}: unknown label {photo.label!r}; use one of {', '.join(task.classes)}"
            )


def _photo(manifest: Path, number: int, row: Row, task: Task | None) -> Photo:
    name = row.get("path", "")
    label = row.get("label", "") if task is None or task.examples is None else ""
    if not name:
        raise DatasetError(f"{manifest}, row {number}: has no path")
    if task is not None and label not in task.classes and task.examples is None:
        alike = [each for each in task.classes if each.casefold() == label.casefold()]
        if len(alike) != 1:
            known = ", ".join(task.classes)
            raise DatasetError(
                f"{manifest}, row {number} ({name}): unknown label {label!r}; use one of {known}"
            )
        label = alike[0]
    return Photo(
        name=utf8_safe(name),
        path=manifest.parent / name,
        label=label,
        source=row.get("source", ""),
        part=row.get("part", ""),
        origins={kind: name for kind in ORIGINS if (name := row.get(kind, ""))},
    )


def refuse_one_class(manifest: Path, photos: Sequence[Photo], task: Task) -> None:
    """Check that a manifest lists photographs of every class, unless the task makes its examples.

    Raises:
        DatasetError: A class has none; the message says which classes were found.
    """
    lacking = [name for name in task.classes if all(photo.label != name for photo in photos)]
    if task.examples is None and lacking:
        found = ", ".join(sorted({photo.label for photo in photos}))
        raise DatasetError(
            f"{manifest}: all {len(photos)} photographs are {found}, and none is "
            f"{' or '.join(lacking)}; list photographs of every class"
        )


def _refuse_twins(listed: str, photos: Iterable[Photo]) -> None:
    seen: set[str] = set()
    for photo in photos:
        if photo.name in seen:
            raise DatasetError(f"{listed} {photo.name} twice")
        seen.add(photo.name)
