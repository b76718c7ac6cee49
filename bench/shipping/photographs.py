"""Whole photographs for calibration and test, with the casts of the training simulation.

Scenes have 512 pixels, so a scene is finer than its photograph only if the photograph is smaller.
Most photographs therefore have 400 px; the others show how little this matters.
"""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

from shipping import PARTS, RUNS, SIMULATION
from trueshot.simulate import production_of
from trueshot.simulation.print import Print
from trueshot.simulation.production import Production, names, produce

PHOTO_SIDES = {400: 500, 528: 300}  # side in pixels: pairs per part


def photographs(photos: Path) -> None:
    """Write JPEGs, and a manifest per part: path, label, source (scene), kind, camera, medium."""
    whole = production_of(photos, SIMULATION)
    for part in PARTS:
        check_apart(whole, part)
    for side, pairs in PHOTO_SIDES.items():
        folder = RUNS / "whole" / f"{side}px"
        produce(production_at(whole, side, pairs), folder)
    for part in PARTS:
        write_manifest(whole, part)


def production_at(whole: Production, side: int, pairs: int) -> Production:
    """Return a production with the same casts but other pairs, since its seed of draws differs."""
    counts = {"train": 0, **dict.fromkeys(PARTS, pairs)}
    return replace(whole, side=side, counts=counts, seed=1000 * whole.seed + side)


def check_apart(whole: Production, part: str) -> None:
    """Raise AssertionError if another part shares a scene, a camera or a medium with this one."""
    here = whole.casts[part]
    for other in set(whole.casts) - {part}:
        there = whole.casts[other]
        for kind in ("scenes", "cameras", "media"):
            both = {one.name for one in getattr(here, kind)} & {
                one.name for one in getattr(there, kind)
            }
            assert not both, f"{part} and {other} share {kind}: {sorted(both)}"
            counts = (len(getattr(here, kind)), len(getattr(there, kind)))
            print(f"{part}, {other}: {counts[0]} and {counts[1]} {kind}, none in both")


def write_manifest(whole: Production, part: str) -> None:
    rows = []
    for side, pairs in PHOTO_SIDES.items():
        production = production_at(whole, side, pairs)
        for number in range(pairs):
            pair = production.pair(part, number)
            kind = "print" if isinstance(pair.medium, Print) else "screen"
            for name, label in zip(names(part, number), ("original", "recaptured"), strict=True):
                shown = label == "recaptured"
                rows.append(
                    {
                        "path": f"{side}px/{name}",
                        "label": label,
                        "source": pair.scene.name,
                        "kind": kind if shown else "",
                        "camera": pair.camera.name,
                        "medium": pair.medium.name if shown else "",
                    }
                )
    path = RUNS / "whole" / f"{part}.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    print(f"{path}: {len(rows)} photographs of {len({row['source'] for row in rows})} scenes")
