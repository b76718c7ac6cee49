"""Plans, made from the survey alone: which photo goes to which part, which crops are cut."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from trueshot.datasets.crops import shares
from trueshot.datasets.photos import LABELS
from trueshot.datasets.settings import Settings
from trueshot.datasets.splits import PARTS, groups_of, split_groups
from trueshot.datasets.survey import Record, crop_corners
from trueshot.errors import DatasetError


@dataclass(frozen=True, kw_only=True)
class Crop:
    """One crop to cut: the number of its photo, its corner (y, x), whether it is near-flat."""

    photo: int
    corner: tuple[int, int]
    flat: bool


def pass_over_twins(records: list[Record]) -> None:
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


def split_photos(records: Sequence[Record], settings: Settings) -> tuple[list[str], list[int]]:
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


def plan_crops(
    records: Sequence[Record], parts: Sequence[str], side: int, settings: Settings
) -> list[Crop]:
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
    plan: list[Crop] = []
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
) -> list[Crop]:
    available = [len(records[i]["flat"][str(side)]) for i in photos]
    ranked: list[tuple[int, Crop]] = []
    for i, count in zip(photos, shares(available, quota), strict=True):
        flat = np.array([flag == "1" for flag in records[i]["flat"][str(side)]])
        corners = crop_corners(records[i]["facts"], side, seed)
        # The spread order, with the flat ones behind all others.
        for rank, place in enumerate(np.argsort(flat, kind="stable")[:count]):
            y, x = corners[place].tolist()
            ranked.append((rank, Crop(photo=i, corner=(y, x), flat=bool(flat[place]))))
    return [crop for _, crop in sorted(ranked, key=lambda item: item[0])]


def photos_table_of(records: Sequence[Record], parts: Sequence[str], groups: Sequence[int]) -> Any:
    """The table of photographs: a row each, in the order of the list."""
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


def crops_table_of(records: Sequence[Record], parts: Sequence[str], plan: Sequence[Crop]) -> Any:
    """The table of crops of one size: a row each, in the order of the plan."""
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
