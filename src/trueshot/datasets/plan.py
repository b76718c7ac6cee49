"""The plan of a data set, made from the survey only: parts of the photos, and crops to cut."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from trueshot.datasets.crops import shares
from trueshot.datasets.settings import Settings
from trueshot.datasets.splits import PARTS, groups_of, split_groups
from trueshot.datasets.survey import Record, crop_corners
from trueshot.errors import DatasetError


@dataclass(frozen=True, kw_only=True)
class Crop:
    """A crop to cut: the index of its photo, its corner (y, x), and whether it is nearly flat."""

    photo: int
    corner: tuple[int, int]
    flat: bool


def pass_over_twins(records: list[Record]) -> None:
    """Mark duplicates as errors: all but the first of equal pictures, or all if labels differ.

    Of photographs with equal pixels, a task's examples are made of the first only: they depend on
    the bytes of the file too, so the examples themselves may differ.
    """
    for first, *others in _alike(records, "photograph_sha256"):
        kept = first["origins"].get("photograph")
        for other in others:
            if other["origins"].get("photograph") != kept:
                other["error"] = f"made of the same picture as {kept}"
    for first, *others in _alike(records, "pixels_sha256"):
        labels = list(dict.fromkeys(record["label"] for record in (first, *others)))
        if len(labels) > 1:
            names = ", ".join(record["name"] for record in (first, *others))
            first["error"] = f"the same picture is given as {' and as '.join(labels)}: {names}"
        for other in others:
            other["error"] = first["error"] or f"the same picture as {first['name']}"


def _alike(records: Sequence[Record], kind: str) -> list[list[Record]]:
    """Group the records without an error that have the hash `kind`, by that hash."""
    same: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        if not record["error"] and kind in record:
            same[record[kind]].append(record)
    return list(same.values())


def split_is_given(records: Sequence[Record]) -> bool:
    """Whether the manifest gives the split; `check_parts` ensures that all photos have a part."""
    return any(record["part"] for record in records)


def split_photos(records: Sequence[Record], settings: Settings) -> tuple[list[str], list[int]]:
    """Return the part and the group of each photograph; "" and -1 for those with an error.

    Parts given by the manifest are kept. Otherwise a split is drawn that keeps each group whole.

    Raises:
        DatasetError: No photograph is usable, or the groups cannot be split.
    """
    usable = [i for i, record in enumerate(records) if not record["error"]]
    if not usable:
        raise DatasetError("none of the photographs can be used; see survey.jsonl")
    given = split_is_given(records)
    kinds = ("scene", "source") if given else ("source",) if settings.split_by == "source" else ()
    groups = groups_of([_group_keys(i, records[i], kinds) for i in usable])
    labels = [settings.task.label(records[i]["label"]) for i in usable]
    part_of = {} if given else _draw(groups, labels, settings)
    parts, all_groups = [""] * len(records), [-1] * len(records)
    for i, group in zip(usable, groups, strict=True):
        parts[i], all_groups[i] = records[i]["part"] if given else part_of[group], group
    return parts, all_groups


def _group_keys(number: int, record: Record, kinds: Sequence[str]) -> list[Hashable]:
    """Return a photo's group keys: itself, its original, and the first known kind of `kinds`."""
    known = {**record["origins"], "source": record["source"]}
    shared = [(kind, known[kind]) for kind in kinds if known.get(kind)]
    made_of = [("photograph", known["photograph"])] if "photograph" in known else []
    return [("photo", number), *made_of, *shared[:1]]


def _draw(groups: Sequence[int], labels: Sequence[int], settings: Settings) -> dict[int, str]:
    counts: dict[int, list[int]] = defaultdict(lambda: [0] * len(settings.task.classes))
    for group, label in zip(groups, labels, strict=True):
        counts[group][label] += 1
    return split_groups(counts, settings.fractions, settings.seed)


def plan_crops(
    records: Sequence[Record], parts: Sequence[str], side: int, settings: Settings
) -> list[Crop]:
    """Choose the crops: equally many of each class in each part; see `_quotas` for the numbers.

    Within a class and part, the first crops of all photos come before any second crop, so that the
    first crops come from as many photos as possible.

    Raises:
        DatasetError: A part with a nonzero share gets no crops.
    """
    held: dict[tuple[str, str], list[int]] = defaultdict(list)
    for i, record in enumerate(records):
        if parts[i] and record["flat"][str(side)]:
            held[parts[i], record["label"]].append(i)
    classes = settings.task.classes
    available = [
        min(sum(len(records[i]["flat"][str(side)]) for i in held[part, label]) for label in classes)
        for part in PARTS
    ]
    quotas = _quotas(available, settings, split_is_given(records))
    plan: list[Crop] = []
    for part, fraction, quota in zip(PARTS, settings.fractions, quotas, strict=True):
        if fraction and not int(settings.per_class * fraction + 1e-6):
            raise DatasetError(
                f"per_class is {settings.per_class}: too few crops for the {part} part, whose "
                f"share is {fraction:g}; use more, or other shares"
            )
        if fraction and not quota:
            raise DatasetError(
                f"too few photographs of {side} px or more: the {part} part must have crops of "
                "every class"
            )
        for label in classes:
            plan += _take(records, held[part, label], side, quota, settings)
    return plan


def _quotas(available: Sequence[int], settings: Settings, given: bool) -> list[int]:
    """Return the number of crops per class to take for each part.

    A split that was drawn keeps its exact shares, so the scarcest part limits the others. If the
    manifest gave the parts, each is filled on its own, up to its share of `per_class`.
    """
    if given:
        bounds = [int(settings.per_class * fraction + 1e-6) for fraction in settings.fractions]
        return [min(pair) for pair in zip(available, bounds, strict=True)]
    pairs = zip(available, settings.fractions, strict=True)
    total = min([float(settings.per_class), *(held / share for held, share in pairs if share)])
    return [int(total * fraction + 1e-6) for fraction in settings.fractions]


def _take(
    records: Sequence[Record], photos: Sequence[int], side: int, quota: int, settings: Settings
) -> list[Crop]:
    seed, grid = settings.seed, settings.task.grid
    available = [len(records[i]["flat"][str(side)]) for i in photos]
    ranked: list[tuple[int, Crop]] = []
    for i, count in zip(photos, shares(available, quota), strict=True):
        flat = np.array([flag == "1" for flag in records[i]["flat"][str(side)]])
        corners = crop_corners(records[i]["facts"], side, seed, grid)
        # In the order that spreads them, but flat crops last.
        for rank, place in enumerate(np.argsort(flat, kind="stable")[:count]):
            y, x = corners[place].tolist()
            ranked.append((rank, Crop(photo=i, corner=(y, x), flat=bool(flat[place]))))
    return [crop for _, crop in sorted(ranked, key=lambda item: item[0])]


def photos_table_of(records: Sequence[Record], parts: Sequence[str], groups: Sequence[int]) -> Any:
    """Return the table of photographs, one row each, in the order of `records`."""
    rows = [
        {
            "path": record["name"],
            "label": record["label"],
            "source": record["source"],
            "origins": json.dumps(record["origins"], sort_keys=True),
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


def crops_table_of(records: Sequence[Record], parts: Sequence[str], plan: Sequence[Crop]) -> Any:
    """Return the table of crops of one size, one row each, in the order of the plan."""
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
