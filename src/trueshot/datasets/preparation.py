"""Preparing a data set: survey, split, plan and cut, each resuming where it was interrupted."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from trueshot.datasets.crops import cut
from trueshot.datasets.manifest import (
    Dataset,
    crops_file,
    crops_pixels,
    fingerprint,
    has_card,
    remove_card,
    write_card,
    write_tables,
)
from trueshot.datasets.photos import Photo, check_labels, check_parts
from trueshot.datasets.plan import (
    Crop,
    crops_table_of,
    pass_over_twins,
    photos_table_of,
    plan_crops,
    split_is_given,
    split_photos,
)
from trueshot.datasets.settings import Settings
from trueshot.datasets.shortcuts import ShortcutAudit, audit_shortcuts
from trueshot.datasets.splits import PARTS, check_origins
from trueshot.datasets.survey import (
    SCALED,
    Record,
    check_finished,
    example_of,
    known_records,
    state_of,
    survey,
    survey_journal,
)
from trueshot.errors import DatasetError, LeakError
from trueshot.files import (
    append_line,
    claim,
    hold,
    read_lines,
    refuse_foreign,
    remove_leftovers,
    write_lines,
)
from trueshot.images import pixels_sha256, read_image
from trueshot.progress import in_threads, progress
from trueshot.tasks.recapture import RECAPTURE

# What the folder may hold before: the lock of a killed run, and the files of a simulation.
_OURS = (".lock", "photos", "simulation.json", "pairs.json", ".simulation.json.", ".pairs.json.")
_HELD = "prepare.json"
_FLUSH_EVERY = 128  # photographs; with 16 the flushing took an eighth of the time


def prepare(
    photos: Sequence[Photo],
    out: str | os.PathLike[str],
    settings: Settings,
    workers: int | None = None,
    no_image: int = 0,
) -> Dataset:
    """Cut crops from photographs and store them as a data set.

    The result depends on the photographs and the settings only. Unreadable photographs and
    duplicates are left out and listed in the card; photographs smaller than a crop are counted.

    Args:
        photos: Photographs; see `photos_in_folders`, `photos_in_manifest` and `examples_of`.
        out: Folder of the data set; a run that was stopped resumes there.
        settings: Sizes, numbers, split, seed.
        workers: Number of threads; by default one per processor.
        no_image: Number of files that were skipped because they hold no image, for the card.

    Raises:
        DatasetError: The folder holds something else; the photographs cannot be split, are too few
            or too small; the disk is too small; or a photograph changed meanwhile.
        LeakError: The photographs have parts, and a source or an origin is in two of them.
    """
    root = Path(out)
    workers = workers or os.cpu_count() or 1
    check_labels(photos, settings.task)
    _check_given_split(photos, settings.shared)
    refuse_foreign(root / _HELD, "data set", DatasetError, _OURS)
    with claim(root):
        _claim(root, photos, settings)  # while no other run can do the same
        if not (_is_finished(root) and check_finished(root, photos, settings)):
            remove_card(root)
            for folder in (root, *(crops_file(root, side).parent for side in settings.sides)):
                remove_leftovers(folder)
            _prepare(root, photos, settings, workers, no_image)
    return Dataset.open(root)


def _check_given_split(photos: Sequence[Photo], shared: Sequence[str]) -> None:
    check_parts(photos)
    if any(photo.part for photo in photos):
        check_origins(
            [{**photo.origins, "source": photo.source} for photo in photos],
            [photo.part for photo in photos],
            "put all photographs that come from it into one part",
            shared,
        )


def _is_finished(root: Path) -> bool:
    if not has_card(root):
        return False
    try:
        Dataset.open(root)
    except LeakError:
        raise
    except DatasetError:
        return False  # damaged: make it again
    return True


def _prepare(
    root: Path, photos: Sequence[Photo], settings: Settings, workers: int, no_image: int
) -> None:
    records = _survey_all(root, photos, settings, workers)
    parts, groups = split_photos(records, settings)
    plans = {side: plan_crops(records, parts, side, settings) for side in settings.sides}
    _require_space(root, plans)
    _cut_all(root, photos, records, plans, settings, workers)
    audit = _audit(records, parts, groups, settings)
    tables = {side: crops_table_of(records, parts, plan) for side, plan in plans.items()}
    photos_table = photos_table_of(records, parts, groups)
    write_tables(root, photos_table, tables)
    card = _card(settings, records, photos_table, tables, audit)
    write_card(root, card | {"no_image": no_image})


def _claim(root: Path, photos: Sequence[Photo], settings: Settings) -> None:
    listed = [_listed(photo) for photo in photos]
    facts = settings.facts()
    if settings.task == RECAPTURE:  # so that folders from before other tasks existed can resume
        del facts["task"]
    content = {"settings": facts, "photos": listed}
    hold(root / _HELD, content, "data set", DatasetError, _OURS)


def _listed(photo: Photo) -> list[Any]:
    """Return a photo's entry in prepare.json; part and origins only if given, as in old files."""
    more = {"part": photo.part, "origins": _known_origins(photo)}
    given = {key: value for key, value in more.items() if value}
    return [photo.name, photo.label, photo.source, *([given] if given else [])]


def _known_origins(photo: Photo) -> dict[str, str]:
    return {kind: name for kind, name in photo.origins.items() if name}


def _survey_all(
    root: Path, photos: Sequence[Photo], settings: Settings, workers: int
) -> list[Record]:
    journal = survey_journal(root)
    known = known_records(root, photos)
    write_lines(journal, [record for record in known if record is not None])
    left = [place for place, record in enumerate(known) if record is None]

    def look(photo: Photo) -> Record:
        state = state_of(photo.path)  # before reading, so that a change in between is noticed
        return survey(photo, settings) | {"state": state}

    with (
        progress("survey", len(photos), len(photos) - len(left)) as advance,
        in_threads(look, [photos[place] for place in left], workers) as found,
    ):
        for place, record in zip(left, found, strict=True):
            append_line(journal, record)
            known[place] = record
            advance(1, "")
    records = [record for record in known if record is not None]
    # Not in the journal, which holds only the survey, so that older journals can resume.
    for record, photo in zip(records, photos, strict=True):
        record.update(part=photo.part, origins=_known_origins(photo))
    pass_over_twins(records)
    return records


def _require_space(root: Path, plans: dict[int, list[Crop]]) -> None:
    needed = sum(
        3 * side * side * len(plan)
        for side, plan in plans.items()
        if not _is_whole(root, side, len(plan))
    )
    free = shutil.disk_usage(root).free
    if needed > free:
        raise DatasetError(
            f"{root}: the crops need {needed / 1e9:.1f} GB, but {free / 1e9:.1f} GB are free; "
            "use fewer sizes or fewer crops per class"
        )


def _cut_all(
    root: Path,
    photos: Sequence[Photo],
    records: Sequence[Record],
    plans: dict[int, list[Crop]],
    settings: Settings,
    workers: int,
) -> None:
    journal = root / "cut.jsonl"
    plan_of = {"plan": _digest(records, plans)}
    if plan_of not in read_lines(journal)[:1] or not all(
        _is_whole(root, side, len(plan)) for side, plan in plans.items()
    ):
        journal.unlink(missing_ok=True)  # before new files, which would not hold its crops
    targets = {side: _open_pixels(root, side, len(plan)) for side, plan in plans.items()}
    wanted: dict[int, list[tuple[int, int, tuple[int, int]]]] = defaultdict(list)
    for side, plan in plans.items():
        for row, crop in enumerate(plan):
            wanted[crop.photo].append((side, row, crop.corner))

    def copy(i: int) -> int:
        image = read_image(photos[i].path, pixel_limit=settings.pixel_limit)
        if image.facts.sha256 != records[i]["facts"]["sha256"]:
            raise DatasetError(
                f"{photos[i].path}: changed while the data set was being prepared; run the same "
                "command again, which reads it again"
            )
        pixels = example_of(image, photos[i], settings)
        if pixels is not image.pixels and pixels_sha256(pixels) != records[i]["pixels_sha256"]:
            raise DatasetError(
                f"{photos[i].name}: the task {settings.task.name} made a different example than "
                "before; take all randomness in examples from the generator that is passed in"
            )
        for side, row, corner in wanted[i]:
            targets[side][row] = cut(pixels, corner, side)
        return i

    done = [line for line in read_lines(journal) if "photo" in line]
    write_lines(journal, [plan_of, *done])
    left = sorted(set(wanted) - {line["photo"] for line in done})
    with (
        progress("crops", len(wanted), len(wanted) - len(left)) as advance,
        in_threads(copy, left, workers) as copied,
    ):
        unflushed: list[int] = []
        for number, i in enumerate(copied, start=1):
            unflushed.append(i)
            if number % _FLUSH_EVERY == 0 or number == len(left):
                for pixels in targets.values():
                    pixels.flush()  # before the journal says so, in case the power fails
                for done_now in unflushed:
                    append_line(journal, {"photo": done_now})
                unflushed.clear()
            advance(1, "")


def _digest(records: Sequence[Record], plans: dict[int, list[Crop]]) -> str:
    """Return the SHA-256 of the plan and the files' hashes; crops of another plan are discarded."""
    found = hashlib.sha256(json.dumps([r.get("facts", {}).get("sha256") for r in records]).encode())
    for side, plan in sorted(plans.items()):
        found.update(json.dumps([side, [[crop.photo, *crop.corner] for crop in plan]]).encode())
    return found.hexdigest()


def _open_pixels(root: Path, side: int, count: int) -> np.memmap[Any, Any]:
    """Open the crops on disk; a new file has a temporary name until it has its full size."""
    path = crops_file(root, side)
    if not _is_whole(root, side, count):
        path.parent.mkdir(exist_ok=True)
        unfinished = path.with_name(f".{path.name}.part")
        shape = (count, side, side, 3)
        np.lib.format.open_memmap(unfinished, mode="w+", dtype=np.uint8, shape=shape).flush()
        _reserve(unfinished)
        unfinished.replace(path)
    return np.lib.format.open_memmap(path, mode="r+")


def _is_whole(root: Path, side: int, count: int) -> bool:
    try:
        pixels = crops_pixels(root, side)
    except (OSError, EOFError, ValueError):
        return False
    return bool(pixels.dtype == np.uint8 and pixels.shape == (count, side, side, 3))


def _reserve(path: Path) -> None:
    """Allocate a sparse file's disk space now; writing to a memory map on a full disk crashes.

    Raises:
        DatasetError: The disk is too small.
    """
    if not hasattr(os, "posix_fallocate"):
        return
    with path.open("r+b") as file:
        try:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
        except OSError as error:
            path.unlink()
            raise DatasetError(
                f"{path.parent}: cannot reserve disk space for the crops: {error}"
            ) from error


def _audit(
    records: Sequence[Record], parts: Sequence[str], groups: Sequence[int], settings: Settings
) -> ShortcutAudit:
    usable = [i for i, part in enumerate(parts) if part]
    return audit_shortcuts(
        [records[i]["facts"] for i in usable],
        [settings.task.label(records[i]["label"]) for i in usable],
        [groups[i] for i in usable],
        settings.seed,
    )


def _card(
    settings: Settings,
    records: Sequence[Record],
    photos: Any,
    tables: dict[int, Any],
    audit: ShortcutAudit,
) -> dict[str, Any]:
    sides, classes = {}, len(settings.task.classes)
    for side, table in tables.items():
        parts, flat = table["part"].to_pylist(), table["flat"].to_pylist()
        sides[str(side)] = {
            "fingerprint": fingerprint(photos, table),
            "crops_per_class": {part: parts.count(part) // classes for part in PARTS},
            "flat": sum(flat),
            "too_small": sum(not r["error"] and not r["flat"][str(side)] for r in records),
        }
    # If no source is known, a split by source is a split by photo.
    drawn_by = settings.split_by if any(r["source"] for r in records) else "photo"
    return {
        **settings.facts(),
        "split_by": "manifest" if split_is_given(records) else drawn_by,
        "sides": sides,
        "photos": len(records),
        "passed_over": {r["name"]: r["error"] for r in records if r["error"]},
        "scaled_down": sum(SCALED in r.get("notes", ()) for r in records),
        "shortcut_audit": {**asdict(audit), "warning": audit.warning},
    }
