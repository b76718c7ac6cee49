"""Simulated data sets: split the scenes, make pairs of photographs, and cut crops."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from pydantic import TypeAdapter

from trueshot.datasets import Dataset, Photo, Settings, examples_of, prepare
from trueshot.datasets.splits import PARTS
from trueshot.datasets.survey import SCALE
from trueshot.engines.engine import Work, open_engine
from trueshot.errors import SimulationError
from trueshot.files import claim, hold, refuse_inside, write_json
from trueshot.images import write_png
from trueshot.simulation.pairs import EVERYDAY, Cast, Conditions, Pair, draw_cast
from trueshot.simulation.production import VERSION, Production, maker, names, produce
from trueshot.simulation.scenes import (
    Scene,
    embedded_scenes,
    photo_scenes,
    procedural_scenes,
    readable_scenes,
)
from trueshot.simulation.sheet import describe, draw_sheet
from trueshot.tasks import Task
from trueshot.tasks.recapture import RECAPTURE

if TYPE_CHECKING:
    from trueshot.engines.fork_server import Handler

DEVICES = 100  # cameras, and as many media (displays and prints together), over all parts
_LEAST_DEVICES = 2 * len(PARTS)
SHOWN_PAIRS = 8
_PHOTOS = "photos"
_SECONDS = 600.0  # time limit of one pair
_MARGIN = 16  # pixels by which photographs exceed their largest crops, for random positions


@dataclass(frozen=True, kw_only=True)
class Simulation:
    """Settings of a simulated data set: all it depends on except the photographs of its scenes.

    Args:
        sides: Sizes of the crops, in pixels.
        per_class: Crops of each class, over all parts, at each size.
        crops_per_photo: Largest number of crops from one photograph.
        fractions: Shares of train, validation and test, in crops, scenes, cameras and media.
        procedural: Share of the scenes that are procedural, not photographed.
        conditions: How recaptures are made, and whether all parts share their devices.
        devices: Number of cameras, and of media (displays and prints together), over all parts;
            must be left at its default if the conditions have shared devices.
        seed: Seed of all random choices.
        task: Recapture, or a task that makes its examples from true shots. For the latter, true
            shots are files as their cameras wrote them, and no recaptures are made.
    """

    sides: tuple[int, ...] = (64,)
    per_class: int = 10_000
    crops_per_photo: int = 4
    fractions: tuple[float, float, float] = (0.4, 0.1, 0.5)
    procedural: float = 0.3
    conditions: Conditions = EVERYDAY
    devices: int = DEVICES
    seed: int = 0
    task: Task = RECAPTURE

    def __post_init__(self) -> None:
        self.settings()
        if not self.recaptures and self.task.examples is None:
            raise SimulationError(
                f"{self.task.name}: this task makes no examples from photographs; "
                "use prepare with your own labelled photographs"
            )
        if self.crops_per_photo < 1:
            raise SimulationError(f"crops_per_photo must be at least 1, got {self.crops_per_photo}")
        if not 0 <= self.procedural <= 1:
            raise SimulationError(f"procedural must be between 0 and 1, got {self.procedural}")
        if self.devices < _LEAST_DEVICES:
            raise SimulationError(f"devices must be at least {_LEAST_DEVICES}, got {self.devices}")
        if self.conditions.shared_devices and self.devices != DEVICES:
            raise SimulationError(
                "devices cannot be set for conditions with shared devices; give only one of them"
            )

    @property
    def recaptures(self) -> bool:
        """Whether recaptures are made, not only true shots."""
        return self.task == RECAPTURE

    def settings(self) -> Settings:
        """Return the settings with which crops are cut from the photographs."""
        return Settings(
            sides=self.sides,
            per_class=self.per_class,
            fractions=self.fractions,
            seed=self.seed,
            task=self.task,
            shared=("camera", "medium") if self.conditions.shared_devices else (),
        )

    def facts(self) -> dict[str, Any]:
        """Return the settings as JSON values; default `task` and `devices` are omitted."""
        facts = asdict(replace(self, task=RECAPTURE)) | {"conditions": self.conditions.facts()}
        del facts["task"]
        if self.devices == DEVICES:
            del facts["devices"]
        return facts if self.recaptures else {**facts, "task": self.task.facts()}

    @classmethod
    def of_facts(cls, facts: Mapping[str, Any]) -> Self:
        """Build a simulation of recaptures from the result of `facts`, also after JSON."""
        conditions = TypeAdapter(Conditions).validate_python(facts["conditions"])
        tuples = {name: tuple(facts[name]) for name in ("sides", "fractions")}
        return cls(**{**facts, **tuples, "conditions": conditions})

    def photo_side(self) -> int:
        """Return the height and width of the photographs, in pixels.

        A task that wants no lossy file scales them down before it makes its examples.
        """
        cut = self._cut_side()
        return math.ceil(cut / SCALE) if self.task.uncompressed else cut

    def _cut_side(self) -> int:
        """Return the height and width of the pictures that crops are cut from, in pixels."""
        return max(256, *self.sides) + _MARGIN

    def pairs(self, part: str) -> int:
        """Return the number of pairs that a part of the split needs."""
        held = min((self._cut_side() // side) ** 2 for side in self.sides)
        crops = self.per_class * self.fractions[PARTS.index(part)]
        return math.ceil(crops / min(self.crops_per_photo, held) - 1e-9)


def simulate(
    photos: Path | None,
    out: str | os.PathLike[str],
    simulation: Simulation,
    workers: int | None = None,
    *,
    engine: str = "local",
    address: str | None = None,
) -> Dataset:
    """Simulate true shots and recaptures, or a task's examples, and prepare a data set of them.

    Each scene, camera, display and print is in one part of the split only, unless the conditions
    have devices that all parts share; the data set then says so. The result depends on the
    photographs and the settings only. A run that was stopped continues when called again.

    Args:
        photos: Folder of photographs to use as scenes; None uses those that ship with scikit-image
            and scikit-learn. Procedural scenes are added to either.
        out: Folder of the data set; the photographs are kept in its subfolder `photos`.
        simulation: Settings of the simulation.
        workers: Number of processes; by default one per processor.
        engine: Where pairs are made: "local", or "ray" for the machines of a cluster, which must
            find the scenes' photographs under the same path. Files are written on this machine.
        address: Address of the Ray cluster; see `RayEngine`.

    Raises:
        SimulationError: There are too few scenes, or the folder holds another simulation, or lies
            inside that of the photographs.
        DatasetError: Raised by `prepare`.
    """
    root = Path(out)
    if photos is not None:
        refuse_inside(root, photos, SimulationError)
    with claim(root / _PHOTOS):
        scenes, prints = readable_scenes(_scenes(photos))
        production = _production(scenes, simulation)
        _claim(root, simulation, prints)
        work = work_of(photos, scenes, simulation)
        with (
            nullcontext()
            if engine == "local" and workers == 1 and address is None
            else open_engine(engine, work, workers=workers, address=address)
        ) as made_by:
            produce(production, root / _PHOTOS, made_by)
        photographs = _photos(root, production)
        if simulation.recaptures:
            write_json(root / "pairs.json", {"pairs": _shown(production)})
        else:
            photographs = examples_of(photographs, simulation.task)
        return prepare(photographs, root, simulation.settings(), workers)


def load(settings: Mapping[str, Any]) -> tuple[Handler, dict[str, Any]]:
    """Prepare a worker process for making pairs; a loader for `Pool`.

    Args:
        settings: The settings made by `work_of`.

    Returns:
        A handler for requests, and no facts.
    """
    photos = settings["photos"]
    known = {scene.name: scene for scene in _scenes(None if photos is None else Path(photos))}
    if missing := [name for name in settings["scenes"] if name not in known]:
        place = photos or "the installed packages"
        raise SimulationError(
            f"{place}: {missing[0]} is missing; each machine must find the same photographs there"
        )
    simulation = Simulation.of_facts(settings["simulation"])
    scenes = [known[name] for name in settings["scenes"]]
    production = _production(scenes, simulation)
    own = {name: settings[name] for name in ("recaptures", "side")}
    return maker(replace(production, **own)), {}


def work_of(photos: Path | None, scenes: Sequence[Scene], simulation: Simulation) -> Work:
    """Return the work for an engine's worker processes; pairs depend on it only."""
    return Work(
        loader="trueshot.simulate:load",
        settings={
            "photos": None if photos is None else str(photos.absolute()),
            "scenes": [scene.name for scene in scenes],
            "simulation": replace(
                simulation, task=RECAPTURE, conditions=_conditions(simulation)
            ).facts(),
            "recaptures": simulation.recaptures,
            "side": simulation.photo_side(),
        },
        memory=None,
        seconds=_SECONDS,
    )


def show(photos: Path | None, out: Path, simulation: Simulation, pairs: int = 6) -> None:
    """Draw a sheet of pairs, with their intermediate stages, as a PNG.

    They are from the test part, or from train if there is no test part.

    Args:
        photos: Folder of photographs, as for `simulate`.
        out: The PNG file to write.
        simulation: Settings of the simulation.
        pairs: Number of pairs, one per row.
    """
    production = production_of(photos, simulation)
    part = _shown_part(production)
    write_png(out, draw_sheet([production.pair(part, i) for i in range(pairs)]))


def production_of(photos: Path | None, simulation: Simulation) -> Production:
    """Return the casts and numbers of pairs of a simulation; arguments as for `simulate`."""
    return _production(readable_scenes(_scenes(photos))[0], simulation)


def _scenes(photos: Path | None) -> list[Scene]:
    return embedded_scenes() if photos is None else photo_scenes(photos)


def _production(photographed: Sequence[Scene], simulation: Simulation) -> Production:
    share = simulation.procedural
    count = len(photographed) if share == 1 else round(len(photographed) * share / (1 - share))
    kinds = [[] if share == 1 else list(photographed)]
    kinds.append(procedural_scenes(max(count, 60 if share else 0), simulation.seed))
    parts: dict[str, list[Scene]] = {part: [] for part in PARTS}
    for number, scenes in enumerate(kinds):
        random = np.random.default_rng([simulation.seed, 7, number])
        order = [scenes[i] for i in random.permutation(len(scenes))]
        for part, some in zip(PARTS, _divided(order, simulation.fractions), strict=True):
            parts[part] += some
    counts = {part: simulation.pairs(part) for part in PARTS}
    for part, count in counts.items():
        if count and not parts[part]:
            raise SimulationError(f"too few scenes for the {part} part; give more photographs")
    casts = {part: _cast(parts[part], simulation, number) for number, part in enumerate(PARTS)}
    return Production(
        casts=casts,
        counts=counts,
        side=simulation.photo_side(),
        seed=simulation.seed,
        recaptures=simulation.recaptures,
    )


def _conditions(simulation: Simulation) -> Conditions:
    if simulation.recaptures:
        return simulation.conditions
    # Class 0 is the file as the camera wrote it, with no processing after that.
    return replace(simulation.conditions, kept=1.0, sent=0.0)


def _cast(scenes: Sequence[Scene], simulation: Simulation, part: int) -> Cast:
    share, conditions = simulation.fractions[part], _conditions(simulation)
    shared = conditions.shared_devices
    devices = shared or max(2, round(simulation.devices * share))
    return draw_cast(
        scenes,
        simulation.seed,
        0 if shared else part,
        cameras=devices,
        media=devices,
        conditions=conditions,
    )


def _divided(items: Sequence[Scene], fractions: Sequence[float]) -> list[Sequence[Scene]]:
    """Cut a list into runs with these shares; each nonzero share gets an item, if enough exist."""
    counts = [max(int(share * len(items)), int(share > 0)) for share in fractions]
    largest = int(np.argmax(fractions))
    counts[largest] = max(0, counts[largest] + len(items) - sum(counts))
    ends = np.cumsum(counts)
    return [items[end - count : end] for end, count in zip(ends, counts, strict=True)]


def _claim(root: Path, simulation: Simulation, files: dict[str, str]) -> None:
    content = {"version": VERSION, "simulation": simulation.facts(), "scenes": files}
    hold(root / "simulation.json", content, "simulation", SimulationError, (_PHOTOS,))


def _photos(root: Path, production: Production) -> list[Photo]:
    photos = []
    for part, number in production.places():
        pair = production.pair(part, number)
        for name, label in zip(production.names(part, number), RECAPTURE.classes, strict=False):
            photos.append(
                Photo(
                    name=f"{_PHOTOS}/{name}",
                    path=root / _PHOTOS / name,
                    label=label,
                    part=part,
                    origins=_origins(pair, label),
                )
            )
    return photos


def _origins(pair: Pair, label: str) -> dict[str, str]:
    origins = {"scene": pair.scene.name, "camera": pair.camera.name}
    if label == "recaptured":
        origins["medium"] = pair.medium.name
        if pair.first_camera is not None:
            origins["first_camera"] = pair.first_camera.name
    return origins


def _shown_part(production: Production) -> str:
    """Return the test part, or train if there is no test part."""
    return PARTS[-1] if production.counts[PARTS[-1]] else PARTS[0]


def _shown(production: Production) -> list[dict[str, Any]]:
    """Return paths and descriptions of the first pairs of the part that is shown."""
    part = _shown_part(production)
    shown = []
    for number in range(min(SHOWN_PAIRS, production.counts[part])):
        true_shot, recapture = names(part, number)
        shown.append(
            {
                "original": f"{_PHOTOS}/{true_shot}",
                "recaptured": f"{_PHOTOS}/{recapture}",
                "note": describe(production.pair(part, number)),
            }
        )
    return shown
