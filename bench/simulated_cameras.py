"""Photographs by simulated cameras, one class per camera, for `trueshot prepare --manifest`.

    python bench/simulated_cameras.py PHOTOS OUT [--cameras 8] [--shots 60] [--side 272]
    trueshot prepare --manifest OUT/manifest.csv --task camera-model --size 64 --out DATASET

Every camera is one model in one mode (lens, sensor, demosaicing, development, JPEG), drawn as in
`trueshot simulate`; its files are kept as it wrote them. Shots differ in scene, window, zoom,
exposure, focus and noise. All cameras photograph the same scenes, and a split keeps each scene in
one part. This is simulation: real models differ more, and in other ways.
"""

from __future__ import annotations

import argparse
import csv
import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from entry import enter

from trueshot.files import write_atomically
from trueshot.progress import progress
from trueshot.simulation.camera import Camera, draw_camera
from trueshot.simulation.pairs import EVERYDAY, Cast, draw_cast, draw_pair, original
from trueshot.simulation.scenes import Scene, photo_scenes

UNCHANGED = replace(EVERYDAY, kept=1.0, sent=0.0)


def drawn_cameras(count: int, seed: int) -> list[Camera]:
    """Draw cameras from the range of phones and compact cameras."""
    random = np.random.default_rng([seed, 21])
    return [draw_camera(random, f"camera {number}") for number in range(count)]


def cast_of(scene: Scene, camera: Camera, seed: int) -> Cast:
    """Return one camera before one scene; pairs need a medium too, but it is never used."""
    cast = draw_cast([scene], seed, 0, cameras=2, media=2, conditions=UNCHANGED)
    return replace(cast, cameras=[camera])


def shots(
    scenes: list[Scene], cameras: list[Camera], count: int, seed: int
) -> Iterator[tuple[str, Camera, Scene, Cast, list[int]]]:
    """Yield name, camera, scene, cast and seed of every shot; all cameras cycle through scenes."""
    for number in range(count):
        scene = scenes[number % len(scenes)]
        for place, camera in enumerate(cameras):
            name = f"{camera.name.replace(' ', '-')}/{number:04}.jpg"
            yield name, camera, scene, cast_of(scene, camera, seed), [seed, place, number]


def make(photos: Path, out: Path, cameras: int, count: int, side: int, seed: int) -> Path:
    """Write the missing photographs, and the manifest.

    Args:
        photos: Folder of photographs used as scenes.
        out: Output folder.
        cameras: Number of cameras.
        count: Shots per camera.
        side: Height and width of a photograph, in pixels.
        seed: Seed of all random draws.
    """
    scenes, drawn = photo_scenes(photos), drawn_cameras(cameras, seed)
    rows = []
    with progress("shots", cameras * count) as advance:
        for name, camera, scene, cast, own in shots(scenes, drawn, count, seed):
            path = out / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if not path.exists():
                write_atomically(path, original(draw_pair(cast, own), side))
            rows.append((name, camera.name, scene.name))
            advance(1, "")
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([("path", "label", "scene"), *rows])
    write_atomically(out / "manifest.csv", text.getvalue().encode())
    return out / "manifest.csv"


def main() -> None:
    """Make the photographs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photos", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--cameras", type=int, default=8)
    parser.add_argument("--shots", type=int, default=60, help="of each camera")
    parser.add_argument("--side", type=int, default=272)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    print(make(given.photos, given.out, given.cameras, given.shots, given.side, given.seed))


if __name__ == "__main__":
    enter(main)
