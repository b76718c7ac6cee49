"""Production of staged photographs on all cores; any number of workers gives the same bytes."""

from __future__ import annotations

import csv
import hashlib
import io
import itertools
import json
import os
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import TypeAdapter

from trueshot.engines.engine import LocalEngine, Work
from trueshot.engines.pool import MOST_SECONDS, cores
from trueshot.errors import DatasetError, SimulationError
from trueshot.files import claim, hold, refuse_inside, utf8_safe, write_atomically
from trueshot.simulation.production import maker, produce
from trueshot.simulation.scenes import Scene, photo_scenes, procedural_scenes, readable_scenes
from trueshot.simulation.staging.examples import PARTS, Cast, Example, draw_cast, draw_example
from trueshot.simulation.staging.take import (
    native_photograph,
    native_size,
    outline_in_pixels,
    small_frame,
    small_size,
)

if TYPE_CHECKING:
    from trueshot.engines.fork_server import Handler

VERSION = 7  # version of the photographs made from a seed; raised when they change
PHONES, DISPLAYS = 150, 150  # numbers in all parts together
_SCREEN = "interface"  # left out: cameras see interfaces on displays only, and pages draw theirs


@dataclass(frozen=True, kw_only=True)
class Staging:
    """Settings that, together with the source photographs, determine the staged photographs.

    Args:
        per_class: Number of photographs of each class, in all parts together.
        per_part: Numbers of photographs of each class in train, validation and test; None splits
            `per_class` by `fractions`.
        side: Small frames have about side · side pixels; None makes photographs of native size.
        megapixels: Largest number of megapixels that a camera records.
        fractions: Shares of train, validation and test; scenes, phones and media are split alike.
        procedural: Share of scenes that are procedural.
        seed: Seed of everything that is drawn at random.
        in_turn: Whether recaptures go through the kinds of media in turn, each equally often, so
            that rates of each kind can be measured.
    """

    per_class: int = 1000
    side: int | None = 288
    megapixels: float = 12.5
    fractions: tuple[float, float, float] = (0.8, 0.1, 0.1)
    procedural: float = 0.2
    seed: int = 0
    per_part: tuple[int, int, int] | None = None
    in_turn: bool = False

    def __post_init__(self) -> None:
        if self.per_class < 1:
            raise SimulationError(f"per_class must be at least 1, got {self.per_class}")
        if self.side is not None and not 32 <= self.side <= 2048:
            raise SimulationError(f"side must be from 32 to 2048 px, got {self.side}")
        if not self.megapixels >= 0.1:
            raise SimulationError(f"megapixels must be at least 0.1, got {self.megapixels}")
        if not abs(sum(self.fractions) - 1) <= 1e-6 or min(self.fractions) < 0:
            raise SimulationError(
                f"fractions must not be negative and must add up to 1, got {self.fractions}"
            )
        if self.per_part is not None and (min(self.per_part) < 0 or not any(self.per_part)):
            raise SimulationError(
                f"per_part must not be negative, nor 0 for all parts, got {self.per_part}"
            )
        counts = self.counts().values()
        if any(n and not share for n, share in zip(counts, self.fractions, strict=True)):
            raise SimulationError(
                "per_part must be 0 for parts whose share in fractions is 0, got "
                f"{self.per_part} and {self.fractions}"
            )
        if not 0 <= self.procedural <= 1:
            raise SimulationError(f"procedural must be between 0 and 1, got {self.procedural}")
        if self.seed < 0:
            raise SimulationError(f"seed must not be negative, got {self.seed}")

    def counts(self) -> dict[str, int]:
        """Return the number of photographs in each part, both classes together."""
        if self.per_part is not None:
            return {part: 2 * count for part, count in zip(PARTS, self.per_part, strict=True)}
        pairs = [round(self.per_class * share) for share in self.fractions]
        pairs[int(np.argmax(self.fractions))] += self.per_class - sum(pairs)
        return {part: 2 * count for part, count in zip(PARTS, pairs, strict=True)}


@dataclass(frozen=True, kw_only=True)
class Production:
    """A staging with its casts: all that a process needs to make any of its photographs."""

    staging: Staging
    casts: Mapping[str, Cast]

    def places(self) -> list[tuple[str, int]]:
        """Return part and index of every photograph."""
        return [(part, at) for part, count in self.staging.counts().items() for at in range(count)]

    def example(self, part: str, index: int) -> Example:
        """Return one example; it depends only on the staging, the casts and the arguments."""
        staging = self.staging
        example = draw_example(self.casts[part], staging.seed, index, part, in_turn=staging.in_turn)
        return replace(example, megapixels=min(example.megapixels, staging.megapixels))

    def size(self, example: Example) -> tuple[int, int]:
        """Return height and width of the photograph of an example, in pixels."""
        side = self.staging.side
        return native_size(example) if side is None else small_size(example, side)

    def names(self, part: str, index: int) -> tuple[str]:
        """Return the path of a photograph, the only file made for a part and index."""
        return (f"{part}/{index:06d}.jpg",)

    def made(self, part: str, index: int) -> dict[str, bytes]:
        """Make a photograph and return its JPEG file by its path."""
        side, example = self.staging.side, self.example(part, index)
        file = native_photograph(example) if side is None else small_frame(example, side)
        return dict.fromkeys(self.names(part, index), file)


def stage(
    photos: Sequence[Path],
    out: str | os.PathLike[str],
    staging: Staging,
    workers: int | None = None,
) -> Path:
    """Make photographs of scenes with and without a medium in them, then write a manifest.

    A run that was interrupted is continued. The bytes depend only on the source photographs and
    the settings. Photographs that cannot be read, and duplicates, are skipped and named on stderr.

    Args:
        photos: Folders of photographs that scenes and media show.
        out: Folder to write the files to.
        staging: Settings.
        workers: Number of worker processes; by default one per processor.

    Returns:
        Path of the manifest, which `trueshot prepare --manifest` reads.

    Raises:
        SimulationError: The folder holds something else, or lies inside one of the photographs, or
            a worker process failed or died.
        RunError: Another run is writing to the folder.
        DatasetError: There are too few photographs.
        ImageFileError: A folder is missing, or a photograph can no longer be read.
    """
    root = Path(out)
    for folder in photos:
        refuse_inside(root, folder, SimulationError)
    with claim(root):
        scenes, prints = _scenes(photos)
        production = _production(scenes, staging)
        _claim(root, staging, prints)
        workers = workers or cores()
        with (
            nullcontext() if workers == 1 else LocalEngine(_work(scenes, staging), workers)
        ) as engine:
            produce(production, root, engine)
        manifest = root / "manifest.csv"
        write_atomically(manifest, _manifest(production))
        return manifest


def _scenes(folders: Sequence[Path]) -> tuple[list[Scene], dict[str, str]]:
    """Return the readable photographs below the folders, without duplicates, and their hashes."""
    found = [
        replace(scene, name=f"photo:{name}/{scene.name.removeprefix('photo:')}")
        for folder, name in zip(folders, _folder_names(folders), strict=True)
        for scene in photo_scenes(folder)
    ]
    kept, prints = readable_scenes(found)
    if len(kept) < len(PARTS):
        raise DatasetError(
            f"too few photographs: at least {len(PARTS)} different, readable ones are needed, "
            f"got {len(kept)}"
        )
    return kept, prints


def _folder_names(folders: Sequence[Path]) -> list[str]:
    """Return a name for each folder: its own, with a number if an earlier folder has it too."""
    own = [utf8_safe(folder.name or folder.resolve().name) for folder in folders]
    names: list[str] = []
    for name in own:
        numbered = (f"{name}-{number}" for number in itertools.count(2))
        free = (each for each in numbered if each not in {*own, *names})
        names.append(next(free) if name in names else name)
    return names


def _production(photographed: Sequence[Scene], staging: Staging) -> Production:
    share = staging.procedural
    count = round(len(photographed) * share / (1 - share)) if share < 1 else len(photographed)
    made = procedural_scenes(2 * count, staging.seed)
    made = [scene for scene in made if scene.kind != _SCREEN][:count]
    kinds = [list(photographed) if share < 1 else [], made]
    parts: dict[str, list[Scene]] = {part: [] for part in PARTS}
    for number, scenes in enumerate(kinds):
        random = np.random.default_rng([staging.seed, 19, number])
        order = [scenes[at] for at in random.permutation(len(scenes))]
        ends = np.round(np.cumsum(staging.fractions) * len(order)).astype(int)
        for part, start, end in zip(PARTS, [0, *ends[:-1]], ends, strict=True):
            parts[part] += order[start:end]
    for part, wanted in staging.counts().items():
        if wanted and not parts[part]:
            raise DatasetError(f"too few photographs for the {part} part; give more")
    casts = {
        part: draw_cast(
            parts[part],
            staging.seed,
            part,
            phones=max(2, round(PHONES * fraction)),
            media=max(4, round(DISPLAYS * fraction)),
        )
        for part, fraction in zip(PARTS, staging.fractions, strict=True)
    }
    return Production(staging=staging, casts=casts)


def _claim(root: Path, staging: Staging, prints: Mapping[str, str]) -> None:
    """Record the settings in the folder, or raise an error if it holds something else."""
    lines = "\n".join(f"{sha256}  {name}" for name, sha256 in prints.items())
    photographs = hashlib.sha256(lines.encode()).hexdigest()
    content = {"version": VERSION, "staging": asdict(staging), "photographs": photographs}
    hold(root / "staging.json", content, "staging", SimulationError)


def _work(scenes: Sequence[Scene], staging: Staging) -> Work:
    return Work(
        loader="trueshot.simulation.staging.production:load",
        settings={
            "scenes": [[scene.name, str(scene.path)] for scene in scenes],
            "staging": asdict(staging),
        },
        memory=None,
        seconds=MOST_SECONDS,
    )


def load(settings: Mapping[str, Any]) -> tuple[Handler, dict[str, Any]]:
    """Return the handler that makes photographs of a staging; a loader for `Pool`."""
    said = {k: tuple(v) if isinstance(v, list) else v for k, v in settings["staging"].items()}
    staging = TypeAdapter(Staging).validate_python(said)
    scenes = [Scene(name=name, kind="photo", path=Path(path)) for name, path in settings["scenes"]]
    return maker(_production(scenes, staging)), {}


def _manifest(production: Production) -> str:
    rows = [_row(production, *place) for place in production.places()]
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _row(production: Production, part: str, index: int) -> dict[str, str | int]:
    """Return a photograph's facts by column of the manifest."""
    example = production.example(part, index)
    height, width = production.size(example)
    outline = outline_in_pixels(example, height, width).tolist()
    (path,) = production.names(part, index)
    return {
        "path": path,
        "label": example.label,
        "part": part,
        "source": f"{part} {index // 2}",
        "scene": example.content.scene.name,
        "camera": example.phone.name,
        "medium": example.medium_name,
        "kind": example.medium,
        "share": f"{example.arrangement.share():.4f}",
        "outline": json.dumps([[round(x, 1), round(y, 1)] for x, y in outline]) if outline else "",
        "width": width,
        "height": height,
        "history": "messenger" if example.edge else "camera",
        "staging": example.staging,
    }
