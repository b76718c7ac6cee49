"""Whole examples of a task as files: photographs for calibrating or trying a detector."""

from __future__ import annotations

import csv
import errno
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from trueshot.datasets.manifest import Dataset
from trueshot.datasets.photos import Photo, examples_of
from trueshot.datasets.settings import Settings
from trueshot.datasets.survey import example_of
from trueshot.errors import DatasetError, ImageFileError, TaskError
from trueshot.files import (
    append_line,
    claim,
    hold,
    read_lines,
    refuse_foreign,
    sanitize_unique,
    utf8_safe,
    write_atomically,
    write_lines,
)
from trueshot.images import DEFAULT_PIXEL_LIMIT, pixels_sha256, read_image, write_png
from trueshot.progress import progress
from trueshot.tasks import Task

MANIFEST = "manifest.csv"
_HELD, _JOURNAL = "examples.json", "examples.jsonl"


@dataclass(frozen=True, kw_only=True)
class ExampleFiles:
    """The result of `write_examples`.

    Args:
        manifest: Manifest with path, label and source (the original photograph) of each example.
        photographs: Number of photographs that examples were made of.
        trained_on: Number of photographs left out because the detector was trained on them.
        unread: Reasons why other photographs gave no examples, by name.
    """

    manifest: Path
    photographs: int
    trained_on: int = 0
    unread: dict[str, str] = field(default_factory=dict)


def write_examples(
    photos: Sequence[Photo],
    task: Task,
    out: Path,
    *,
    seed: int = 0,
    unseen_by: Dataset | None = None,
    pixel_limit: int = DEFAULT_PIXEL_LIMIT,
) -> ExampleFiles:
    """Write one whole PNG example per class and photograph, and a manifest of them.

    A run that was stopped continues when called again: existing files are kept, except those of a
    photograph whose file has changed. Photographs in `out` are its own, and no examples are made of
    them.

    Args:
        photos: Photographs without classes.
        task: Task that makes the examples; see `Task.example`.
        out: Folder for the manifest and a subfolder per class.
        seed: Seed of the examples.
        unseen_by: Data set; photographs whose files are in its part `train` are left out.
        pixel_limit: Photographs with more pixels are refused.

    Raises:
        DatasetError: The task makes no examples, no photograph gave any, or the folder holds other
            content.
        OSError: The folder cannot be written, or the disk is full.
        RunError: Another run is using the folder.
    """
    if task.examples is None:
        raise DatasetError(
            f"{task.name}: this task makes no examples; its photographs must come with labels"
        )
    settings = Settings(sides=(16,), seed=seed, task=task, pixel_limit=pixel_limit)
    facts = {"task": task.facts(), "seed": seed}
    own = out.resolve()
    photos = [photo for photo in photos if own not in photo.path.resolve().parents]
    seen = set() if unseen_by is None else _trained_on(unseen_by)
    rows: list[tuple[str, str, str]] = []
    unread: dict[str, str] = {}
    left_out = 0
    taken: dict[str, str] = {}  # names of photographs by their pixels
    refuse_foreign(out / _HELD, "set of examples", DatasetError)
    with claim(out), progress("examples", len(photos)) as advance:
        hold(out / _HELD, facts, "set of examples", DatasetError)
        lines = read_lines(out / _JOURNAL)
        write_lines(out / _JOURNAL, lines)  # drops a line that a crash cut off
        made_of = {line["path"]: line["sha256"] for line in lines}
        for photo in photos:
            made = None
            try:
                made = _of(photo, settings, out, seen, made_of, taken)
            except ImageFileError as error:
                unread[photo.name] = error.reason
            except TaskError as error:
                unread[photo.name] = utf8_safe(str(error))
            except OSError as error:  # a name may be too long for one more ending
                if error.errno != errno.ENAMETOOLONG:
                    raise
                unread[photo.name] = utf8_safe(str(error))
            left_out += made == []
            rows += made or []
            advance(1, "")
        if not rows:
            first = "".join(f" ({name}: {reason})" for name, reason in list(unread.items())[:1])
            raise DatasetError(
                f"{task.name}: no photograph gave an example; {len(unread)} could not be used"
                f"{first}, and {left_out} were used for training"
            )
        text = io.StringIO()
        content = [("path", "label", "source"), *rows]
        csv.writer(text, lineterminator="\n").writerows(content)
        write_atomically(out / MANIFEST, text.getvalue().encode())
    count = len(rows) // len(task.classes)
    return ExampleFiles(
        manifest=out / MANIFEST, photographs=count, trained_on=left_out, unread=unread
    )


def _of(
    photo: Photo,
    settings: Settings,
    out: Path,
    seen: set[str],
    made_of: dict[str, str],
    taken: dict[str, str],
) -> list[tuple[str, str, str]]:
    """Write a photograph's examples; return their manifest rows, none if it is in `seen`.

    `made_of` gives the hash of the photograph that each existing example was made of, and `taken`
    the names of the photographs before this one by the hashes of their pixels.
    """
    image = read_image(photo.path, pixel_limit=settings.pixel_limit)
    if image.facts.sha256 in seen:
        return []
    first = taken.setdefault(pixels_sha256(image.pixels), photo.name)
    if first != photo.name:
        raise ImageFileError(photo.name, f"the same picture as {first}")
    rows = []
    for example in examples_of([photo], settings.task):
        name = f"{sanitize_unique(example.name)}.png"
        if made_of.get(name) != image.facts.sha256:
            (out / name).unlink(missing_ok=True)
            append_line(out / _JOURNAL, {"path": name, "sha256": image.facts.sha256})
        if not (out / name).exists():
            write_png(out / name, example_of(image, example, settings))
        rows.append((name, example.label, photo.name))
    return rows


def _trained_on(dataset: Dataset) -> set[str]:
    """Return the hashes of the files in the data set's training part."""
    return {row["sha256"] for row in dataset.photos.to_pylist() if row["part"] == "train"}
