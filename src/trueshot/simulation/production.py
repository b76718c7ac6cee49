"""Making photographs on all cores, as files: the same bytes for any number of processes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from trueshot.engines.engine import Engine, Reply, Request
from trueshot.engines.pool import WorkerError
from trueshot.errors import SimulationError
from trueshot.files import remove_leftovers, write_atomically
from trueshot.progress import progress
from trueshot.simulation.pairs import Cast, Pair, draw_pair, original, recaptured

if TYPE_CHECKING:
    from trueshot.engines.fork_server import Attached, Handler

VERSION = 1  # raised whenever the photographs made from a seed change

Place = tuple[str, int]
"""Part of the split, and number within that part."""


class Photographs(Protocol):
    """Photographs that can be made one by one, in any process."""

    def places(self) -> Sequence[Place]:
        """Return every place: a part and a number."""

    def names(self, part: str, number: int) -> Sequence[str]:
        """Return the paths of a place's files, relative to the production's folder."""

    def made(self, part: str, number: int) -> Mapping[str, bytes]:
        """Make the files of a place; return their bytes by name."""


@dataclass(frozen=True, kw_only=True)
class Production:
    """The pairs of photographs to make.

    Args:
        casts: Scenes and devices of each part of the split.
        counts: Number of pairs in each part of the split.
        side: Height and width of the photographs, in pixels.
        seed: Seed of all random choices.
        recaptures: Whether to make the recapture of each pair too, or only its true shot.
    """

    casts: Mapping[str, Cast]
    counts: Mapping[str, int]
    side: int
    seed: int
    recaptures: bool = True

    def pair(self, part: str, number: int) -> Pair:
        """Return pair `number` of a part; it depends on these settings only."""
        return draw_pair(self.casts[part], [self.seed, list(self.casts).index(part), number])

    def places(self) -> list[Place]:
        """Return the part and number of every pair."""
        return [(part, number) for part, count in self.counts.items() for number in range(count)]

    def names(self, part: str, number: int) -> tuple[str, ...]:
        """Return the paths of a pair's files, the true shot first."""
        return names(part, number)[: 1 + self.recaptures]

    def made(self, part: str, number: int) -> dict[str, bytes]:
        """Make the files of a pair; return their bytes by name."""
        pair, files = self.pair(part, number), self.names(part, number)
        return {
            name: take(pair, self.side)
            for name, take in zip(files, (original, recaptured), strict=False)
        }


def names(part: str, number: int) -> tuple[str, str]:
    """Return the paths of a pair's true shot and recapture, below the production's folder."""
    stem = f"{part}/{number:06d}"
    return f"{stem}-original.jpg", f"{stem}-recaptured.jpg"


def produce(production: Photographs, folder: Path, engine: Engine | None = None) -> None:
    """Write all files; existing ones are kept as they are.

    Args:
        production: The photographs to make.
        folder: Folder to write to.
        engine: Engine whose workers answer with the handler of `maker`; None makes the photographs
            one after another in this process.

    Raises:
        SimulationError: A worker failed or died.
        ImageFileError: A scene's photograph can no longer be read.
    """
    places = production.places()
    for part in {part for part, _ in places}:
        (folder / part).mkdir(parents=True, exist_ok=True)
        remove_leftovers(folder / part)
    left = [
        place
        for place in places
        if not all((folder / name).is_file() for name in production.names(*place))
    ]

    def ask(_: int, place: Place) -> Request:
        return Request({"part": place[0], "number": place[1]})

    def done(_: int, place: Place, reply: Reply) -> None:
        if isinstance(reply, WorkerError):
            raise SimulationError(
                f"{folder}: photograph {place[1]} of the part {place[0]}: {reply}; "
                "run the same command again to continue, with fewer --workers if necessary"
            )
        write(place, reply.attached)

    def write(place: Place, files: Mapping[str, bytes]) -> None:
        for name in production.names(*place):
            write_atomically(folder / name, files[name])

    with progress("photographs", len(places), len(places) - len(left)) as advance:
        if engine is None:
            for place in left:
                write(place, production.made(*place))
                advance(1, "")
        else:
            for _ in engine.map(left, ask, done):
                advance(1, "")


def maker(production: Photographs) -> Handler:
    """Return a handler that answers requests for places with their files' bytes by name."""

    def handle(request: dict[str, Any], _: Attached) -> tuple[dict[str, Any], Attached]:
        return {}, dict(production.made(request["part"], request["number"]))

    return handle
