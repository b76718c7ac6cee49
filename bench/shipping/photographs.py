"""Whole photographs to calibrate on and to test on, of the casts of the training's simulation.

Scenes of 512 pixels are finer than a photograph that shows them only as long as the photograph is
smaller: so most are of 400 px, and the others show how little that matters.
"""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

from shipping.places import PARTS, RUNS, SIMULATION
from trueshot.simulate import production_of
from trueshot.simulation.print import Print
from trueshot.simulation.production import Production, names, produce

PHOTO_SIDES = {400: 500, 528: 300}  # pixels: pairs of each part


def photographs(photos: Path, workers: int | None) -> None:
    """JPEG files and a manifest per part: path, label, source (the scene), kind, camera, medium."""
    whole = production_of(photos, SIMULATION)
    for part in PARTS:
        check_apart(whole, part)
    for side, pairs in PHOTO_SIDES.items():
        folder = RUNS / "whole" / f"{side}px"
        produce(production_at(whole, side, pairs), folder, workers)
    for part in PARTS:
        write_manifest(whole, part)


def production_at(whole: Production, side: int, pairs: int) -> Production:
    """The same casts, other pairs: the seed of the draws is another, that of the casts is not."""
    counts = {"train": 0, **dict.fromkeys(PARTS, pairs)}
    return replace(whole, side=side, counts=counts, seed=1000 * whole.seed + side)


def check_apart(whole: Production, part: str) -> None:
    """Raises AssertionError where a scene, a camera or a medium is in another part too."""
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
