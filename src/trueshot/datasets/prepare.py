"""Photographs to a data set: survey, split, plan, cut. Each step goes on where it was stopped."""

from __future__ import annotations

import json
import os
import shutil
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from trueshot.datasets.crops import cut, shares
from trueshot.datasets.manifest import (
    Dataset,
    crops_file,
    fingerprint,
    has_card,
    write_card,
    write_tables,
)
from trueshot.datasets.photos import LABELS, Photo
from trueshot.datasets.shortcuts import ShortcutAudit, audit_shortcuts
from trueshot.datasets.splits import PAPER_FRACTIONS, PARTS, groups_of, split_groups
from trueshot.datasets.survey import Record, crop_corners, in_threads, survey
from trueshot.errors import DatasetError
from trueshot.files import append_line, read_lines, remove_leftovers, write_json, write_lines
from trueshot.imagefiles import DEFAULT_PIXEL_LIMIT, read_image
from trueshot.progress import progress

PAPER_PER_CLASS = 10_000
SMALLEST_SIDE, LARGEST_SIDE = 16, 4096


@dataclass(frozen=True, kw_only=True)
class Settings:
    """All that a data set depends on beside its photographs.

    Args:
        sides: Sizes of the crops, in pixels.
        per_class: At most so many crops of each class, over all parts, at each size.
        fractions: Shares of train, validation and test, in crops.
        split_by: What a split keeps whole: the `source` of each photo, or the `photo` alone.
        seed: Of the split and of the places of the crops.
        pixel_limit: Photographs of more pixels are refused.
    """

    sides: tuple[int, ...]
    per_class: int = PAPER_PER_CLASS
    fractions: tuple[float, float, float] = PAPER_FRACTIONS
    split_by: Literal["source", "photo"] = "source"
    seed: int = 0
    pixel_limit: int = DEFAULT_PIXEL_LIMIT

    def __post_init__(self) -> None:
        if not self.sides or not all(SMALLEST_SIDE <= s <= LARGEST_SIDE for s in self.sides):
            raise DatasetError(f"sizes from 16 to 4096 px wanted, got {list(self.sides)}")
        if len(set(self.sides)) != len(self.sides):
            raise DatasetError(f"a size is named twice: {list(self.sides)}")
        if self.per_class < 1:
            raise DatasetError(f"one crop per class or more wanted, got {self.per_class}")
        if min(self.fractions) < 0 or abs(sum(self.fractions) - 1) > 1e-6:
            raise DatasetError(f"three shares that add up to 1 wanted, got {self.fractions}")
        if self.split_by not in ("source", "photo"):
            raise DatasetError(f"split by {self.split_by!r}: known: source, photo")


def prepare(
    photos: Sequence[Photo],
    out: str | os.PathLike[str],
    settings: Settings,
    workers: int | None = None,
) -> Dataset:
    """Cut crops out of photographs and lay them down as a data set.

    The result depends on the photographs and the settings alone. A photograph that cannot be read,
    that stands in the list twice, or that is smaller than a crop is noted and passed over.

    Args:
        photos: What to cut; see `photos_in_folders` and `photos_in_manifest`.
        out: Folder of the data set; a run that was stopped goes on there.
        settings: Sizes, numbers, split, seed.
        workers: Threads; by default as many as there are processors.

    Raises:
        DatasetError: The folder holds something else, the photographs cannot be split, are too few
            or too small, the disk is too small, or a photograph changed meanwhile.
    """
    root = Path(out)
    workers = workers or os.cpu_count() or 1
    _claim(root, photos, settings)
    if has_card(root):
        return Dataset.open(root)
    remove_leftovers(root)
    records = _survey_all(root, photos, settings, workers)
    parts, groups = _split(records, settings)
    plans = {side: _plan(records, parts, side, settings) for side in settings.sides}
    _require_space(root, plans)
    _cut_all(root, photos, records, plans, settings, workers)
    audit = _audit(records, parts, groups, settings)
    tables = {side: _crops_table(records, parts, plan) for side, plan in plans.items()}
    photos_table = _photos_table(records, parts, groups)
    write_tables(root, photos_table, tables)
    write_card(root, _card(settings, records, photos_table, tables, audit))
    return Dataset.open(root)


@dataclass(frozen=True, kw_only=True)
class _Crop:
    photo: int
    corner: tuple[int, int]
    flat: bool


def _claim(root: Path, photos: Sequence[Photo], settings: Settings) -> None:
    listed = [[photo.name, photo.label, photo.source] for photo in photos]
    content = json.loads(json.dumps({"settings": asdict(settings), "photos": listed}))
    claim = root / "prepare.json"
    if claim.is_file():
        if json.loads(claim.read_text("utf-8")) != content:
            raise DatasetError(
                f"{root}: holds a data set of other photographs or settings; name another folder"
            )
    elif root.exists() and any(root.iterdir()):
        raise DatasetError(f"{root}: is not empty and holds no data set; name another folder")
    else:
        write_json(claim, content)


def _survey_all(
    root: Path, photos: Sequence[Photo], settings: Settings, workers: int
) -> list[Record]:
    journal = root / "survey.jsonl"
    records = read_lines(journal)
    write_lines(journal, records)
    look = partial(
        survey, sides=settings.sides, seed=settings.seed, pixel_limit=settings.pixel_limit
    )
    with progress("survey", len(photos), len(records)) as advance:
        for record in in_threads(look, photos[len(records) :], workers):
            append_line(journal, record)
            records.append(record)
            advance(1, "")
    _pass_over_twins(records)
    return records


def _pass_over_twins(records: list[Record]) -> None:
    """Keep one of equal pictures; keep none if they are said to be of both classes."""
    same: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        if not record["error"]:
            same[record["pixels_sha256"]].append(record)
    for first, *others in same.values():
        contradicted = any(other["label"] != first["label"] for other in others)
        if contradicted:
            names = ", ".join(record["name"] for record in (first, *others))
            first["error"] = f"the same picture is given as original and as recaptured: {names}"
        for other in others:
            other["error"] = first["error"] or f"the same picture as {first['name']}"


def _split(records: Sequence[Record], settings: Settings) -> tuple[list[str], list[int]]:
    """The part, or nothing, and the group, or -1, of each photograph."""
    usable = [i for i, record in enumerate(records) if not record["error"]]
    if not usable:
        raise DatasetError("none of the photographs can be read; see survey.jsonl")
    keys = []
    for i in usable:
        source = records[i]["source"] if settings.split_by == "source" else ""
        keys.append([("photo", i)] + ([("source", source)] if source else []))
    groups = groups_of(keys)
    counts: dict[int, list[int]] = defaultdict(lambda: [0, 0])
    for i, group in zip(usable, groups, strict=True):
        counts[group][LABELS.index(records[i]["label"])] += 1
    part_of = split_groups(counts, settings.fractions, settings.seed)
    parts, all_groups = [""] * len(records), [-1] * len(records)
    for i, group in zip(usable, groups, strict=True):
        parts[i], all_groups[i] = part_of[group], group
    return parts, all_groups


def _plan(
    records: Sequence[Record], parts: Sequence[str], side: int, settings: Settings
) -> list[_Crop]:
    """Which crops to take: equal numbers of both classes, parts in their exact shares.

    In the order of the result each photo of a class and part gives its first crop before any
    gives its second; so the first crops of a part are of as many photos as possible.
    """
    held: dict[tuple[str, str], list[int]] = defaultdict(list)
    for i, record in enumerate(records):
        if parts[i] and record["flat"][str(side)]:
            held[parts[i], record["label"]].append(i)
    total = float(settings.per_class)
    for part, fraction in zip(PARTS, settings.fractions, strict=True):
        for label in LABELS:
            available = sum(len(records[i]["flat"][str(side)]) for i in held[part, label])
            total = min(total, available / fraction) if fraction else total
    plan: list[_Crop] = []
    for part, fraction in zip(PARTS, settings.fractions, strict=True):
        quota = int(total * fraction + 1e-6)
        if fraction and not quota:
            raise DatasetError(
                f"too few photographs of {side} px or more for a {part} part of both classes"
            )
        for label in LABELS:
            plan += _take(records, held[part, label], side, quota, settings.seed)
    return plan


def _take(
    records: Sequence[Record], photos: Sequence[int], side: int, quota: int, seed: int
) -> list[_Crop]:
    available = [len(records[i]["flat"][str(side)]) for i in photos]
    ranked: list[tuple[int, _Crop]] = []
    for i, count in zip(photos, shares(available, quota), strict=True):
        flat = np.array([flag == "1" for flag in records[i]["flat"][str(side)]])
        corners = crop_corners(records[i]["facts"], side, seed)
        # The spread order, with the flat ones behind all others.
        for rank, place in enumerate(np.argsort(flat, kind="stable")[:count]):
            y, x = corners[place].tolist()
            ranked.append((rank, _Crop(photo=i, corner=(y, x), flat=bool(flat[place]))))
    return [crop for _, crop in sorted(ranked, key=lambda item: item[0])]


def _require_space(root: Path, plans: dict[int, list[_Crop]]) -> None:
    needed = sum(
        3 * side * side * len(plan)
        for side, plan in plans.items()
        if not crops_file(root, side).is_file()
    )
    free = shutil.disk_usage(root).free
    if needed > free:
        raise DatasetError(
            f"{root}: {needed / 1e9:.1f} GB wanted, {free / 1e9:.1f} GB free; "
            "take fewer sizes or fewer crops per class"
        )


def _cut_all(
    root: Path,
    photos: Sequence[Photo],
    records: Sequence[Record],
    plans: dict[int, list[_Crop]],
    settings: Settings,
    workers: int,
) -> None:
    targets = {side: _open_pixels(root, side, len(plan)) for side, plan in plans.items()}
    wanted: dict[int, list[tuple[int, int, tuple[int, int]]]] = defaultdict(list)
    for side, plan in plans.items():
        for row, crop in enumerate(plan):
            wanted[crop.photo].append((side, row, crop.corner))

    def copy(i: int) -> int:
        image = read_image(photos[i].path, pixel_limit=settings.pixel_limit)
        if image.facts.sha256 != records[i]["facts"]["sha256"]:
            raise DatasetError(f"{photos[i].path}: changed while the data set was being prepared")
        for side, row, corner in wanted[i]:
            targets[side][row] = cut(image.pixels, corner, side)
        return i

    journal = root / "cut.jsonl"
    done = read_lines(journal)
    write_lines(journal, done)
    left = sorted(set(wanted) - {line["photo"] for line in done})
    with progress("crops", len(wanted), len(wanted) - len(left)) as advance:
        for i in in_threads(copy, left, workers):
            append_line(journal, {"photo": i})
            advance(1, "")
    for pixels in targets.values():
        pixels.flush()


def _open_pixels(root: Path, side: int, count: int) -> np.memmap[Any, Any]:
    """The crops on disk: made once, under another name until it has its full size."""
    path = crops_file(root, side)
    if not path.is_file():
        path.parent.mkdir(exist_ok=True)
        unfinished = path.with_suffix(".part")
        shape = (count, side, side, 3)
        np.lib.format.open_memmap(unfinished, mode="w+", dtype=np.uint8, shape=shape).flush()
        unfinished.replace(path)
    return np.lib.format.open_memmap(path, mode="r+")


def _audit(
    records: Sequence[Record], parts: Sequence[str], groups: Sequence[int], settings: Settings
) -> ShortcutAudit:
    usable = [i for i, part in enumerate(parts) if part]
    return audit_shortcuts(
        [records[i]["facts"] for i in usable],
        [LABELS.index(records[i]["label"]) for i in usable],
        [groups[i] for i in usable],
        settings.seed,
    )


def _photos_table(records: Sequence[Record], parts: Sequence[str], groups: Sequence[int]) -> Any:
    rows = [
        {
            "path": record["name"],
            "label": record["label"],
            "source": record["source"],
            "part": part,
            "group": group,
            "sha256": record["facts"]["sha256"] if "facts" in record else "",
            "pixels_sha256": record.get("pixels_sha256", ""),
            "facts": json.dumps(record.get("facts", {})),
            "notes": "; ".join(record.get("notes", [])),
            "error": record["error"],
        }
        for record, part, group in zip(records, parts, groups, strict=True)
    ]
    return pa.Table.from_pylist(rows)


def _crops_table(records: Sequence[Record], parts: Sequence[str], plan: Sequence[_Crop]) -> Any:
    rows = [
        {
            "path": records[crop.photo]["name"],
            "label": records[crop.photo]["label"],
            "source": records[crop.photo]["source"],
            "part": parts[crop.photo],
            "y": crop.corner[0],
            "x": crop.corner[1],
            "flat": crop.flat,
        }
        for crop in plan
    ]
    return pa.Table.from_pylist(rows)


def _card(
    settings: Settings,
    records: Sequence[Record],
    photos: Any,
    tables: dict[int, Any],
    audit: ShortcutAudit,
) -> dict[str, Any]:
    sides = {}
    for side, table in tables.items():
        parts, flat = table["part"].to_pylist(), table["flat"].to_pylist()
        sides[str(side)] = {
            "fingerprint": fingerprint(photos, table),
            "crops_per_class": {part: parts.count(part) // 2 for part in PARTS},
            "flat": sum(flat),
        }
    return {
        **asdict(settings),
        "sides": sides,
        "photos": len(records),
        "passed_over": {r["name"]: r["error"] for r in records if r["error"]},
        "shortcut_audit": {**asdict(audit), "warning": audit.warning},
    }
