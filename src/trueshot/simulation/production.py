"""Photographs, on all cores, as files: the same bytes whatever the number of processes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
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

VERSION = 1  # of the pictures that a seed stands for: raised when they change

Place = tuple[str, int]
"""Part, and number in it."""


class Photographs(Protocol):
    """Photographs that can be made one by one, in any process."""

    def places(self) -> Sequence[Place]:
        """Part and number of all."""

    def names(self, part: str, number: int) -> Sequence[str]:
        """Paths of the files of a place, below the folder of the production."""

    def made(self, part: str, number: int) -> Mapping[str, bytes]:
        """Those files, by name."""


@dataclass(frozen=True, kw_only=True)
class Production:
    """Pairs to make.

    Args:
        casts: Who takes part, per part of the split.
        counts: Pairs, per part of the split.
        side: Height and width of the photographs, in pixels.
        seed: Of everything that is drawn.
        recaptures: Whether the recapture of each pair is made, or its true shot alone.
    """

    casts: Mapping[str, Cast]
    counts: Mapping[str, int]
    side: int
    seed: int
    recaptures: bool = True

    def pair(self, part: str, number: int) -> Pair:
        """Pair `number` of a part: it depends on these settings alone."""
        return draw_pair(self.casts[part], [self.seed, list(self.casts).index(part), number])

    def places(self) -> list[Place]:
        """Part and number of every pair."""
        return [(part, number) for part, count in self.counts.items() for number in range(count)]

    def files(self, part: str, number: int) -> Mapping[str, Callable[[Pair, int], bytes]]:
        """What is made of a pair, by its path below the folder of the production."""
        true_shot, recapture = names(part, number)
        return {true_shot: original} | ({recapture: recaptured} if self.recaptures else {})

    def names(self, part: str, number: int) -> tuple[str, ...]:
        """Paths of the files of a pair."""
        return tuple(self.files(part, number))

    def made(self, part: str, number: int) -> dict[str, bytes]:
        """The files of a pair, by name."""
        pair = self.pair(part, number)
        return {name: take(pair, self.side) for name, take in self.files(part, number).items()}


def names(part: str, number: int) -> tuple[str, str]:
    """Paths of the true shot and the recapture of a pair, below the folder of a production."""
    stem = f"{part}/{number:06d}"
    return f"{stem}-original.jpg", f"{stem}-recaptured.jpg"


def produce(production: Photographs, folder: Path, engine: Engine | None = None) -> None:
    """Write all files; those that are there already are left as they are.

    Args:
        production: What to make.
        folder: Where.
        engine: Its workers answer as `maker` does; None: this process makes one after another.

    Raises:
        SimulationError: A worker failed or died.
        ImageFileError: A photograph of a scene cannot be read any more.
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
                f"{folder}: number {place[1]} of {place[0]}: {reply}; "
                "the same command goes on where it was, with fewer --workers if need be"
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
    """What answers requests for places, with the bytes of their files by name."""

    def handle(request: dict[str, Any], _: Attached) -> tuple[dict[str, Any], Attached]:
        return {}, dict(production.made(request["part"], request["number"]))

    return handle
