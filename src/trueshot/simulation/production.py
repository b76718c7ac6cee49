"""Many pairs, on all cores, as files: the same bytes whatever the number of processes."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path

from threadpoolctl import threadpool_limits

from trueshot.errors import SimulationError
from trueshot.files import remove_leftovers, write_atomically
from trueshot.memory import keep_freed_memory
from trueshot.progress import progress
from trueshot.simulation.pairs import Cast, Pair, draw_pair, original, recaptured

VERSION = 1  # of the pictures that a seed stands for: raised when they change
_CHUNK = 8


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

    def places(self) -> list[tuple[str, int]]:
        """Part and number of every pair."""
        return [(part, number) for part, count in self.counts.items() for number in range(count)]

    def files(self, part: str, number: int) -> Mapping[str, Callable[[Pair, int], bytes]]:
        """What is made of a pair, by its path below the folder of the production."""
        true_shot, recapture = names(part, number)
        return {true_shot: original} | ({recapture: recaptured} if self.recaptures else {})


def names(part: str, number: int) -> tuple[str, str]:
    """Paths of the true shot and the recapture of a pair, below the folder of a production."""
    stem = f"{part}/{number:06d}"
    return f"{stem}-original.jpg", f"{stem}-recaptured.jpg"


def produce(production: Production, folder: Path, workers: int | None = None) -> None:
    """Write the files of all pairs; those that are there already are left as they are.

    Args:
        production: What to make.
        folder: Where.
        workers: Processes; by default as many as there are processors.

    Raises:
        SimulationError: A process died.
        ImageFileError: A photograph of a scene cannot be read any more.
    """
    places = production.places()
    for part in production.counts:
        (folder / part).mkdir(parents=True, exist_ok=True)
        remove_leftovers(folder / part)
    left = [
        place
        for place in places
        if not all((folder / name).is_file() for name in production.files(*place))
    ]
    workers = min(workers or os.cpu_count() or 1, max(1, len(left)))
    with progress("pairs", len(places), len(places) - len(left)) as advance:
        if workers == 1:
            for place in left:
                _write(production, folder, place)
                advance(1, "")
            return
        pool = ProcessPoolExecutor(
            workers,
            multiprocessing.get_context("spawn"),
            initializer=_begin,
            initargs=(production, folder),
        )
        try:
            for _ in pool.map(_write_here, left, chunksize=_CHUNK):
                advance(1, "")
        except BrokenProcessPool as error:
            raise SimulationError(
                f"{folder}: a process died, perhaps for want of memory; "
                "the same command goes on where it was, with fewer --workers if need be"
            ) from error
        finally:
            pool.shutdown(cancel_futures=True)


_at_work: tuple[Production, Path]


def _begin(production: Production, folder: Path) -> None:
    """Prepare a process: it ends with its parent, however that ends, and leaves Ctrl-C to it."""
    global _at_work
    _at_work = production, folder
    threadpool_limits(1)  # a process is a core here
    keep_freed_memory()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


def _write_here(place: tuple[str, int]) -> None:
    _write(*_at_work, place)


def _write(production: Production, folder: Path, place: tuple[str, int]) -> None:
    pair = production.pair(*place)
    for name, take in production.files(*place).items():
        write_atomically(folder / name, take(pair, production.side))
