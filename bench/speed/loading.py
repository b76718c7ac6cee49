"""Cost of reading a minibatch and turning or mirroring its images, beside a plain step."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from speed.rows import PLAIN, step_calls
from speed.timing import Call, Settings, Times, in_turns, table
from trueshot.datasets import Batches, Part
from trueshot.pixels import Bytes, to_levels
from trueshot.training.steps import SYMMETRIES, turn

BATCH = 64
_COLUMNS = 128_000  # in total: 2,000 images of 64 px, 500 of 256 px
_READ, _TURN, _BOTH = "read", "turn", "both"
_HEAD = ("px", "read, ms", "turn, ms", "plain step, ms", "both in % of the step")


def loading(settings: Settings) -> Iterator[str]:
    """Yield one table, with a row per size."""
    lines = []
    for side in settings.sides:
        with tempfile.TemporaryDirectory() as folder:
            part = _part(Path(folder) / "crops.npy", side)
            times = in_turns(_calls(part), settings.seconds / 3, settings.rounds)
            del part  # release the file before its folder is deleted
        lines.append(_line(side, times))
    yield (
        f"## Loading\n\n{BATCH} images a minibatch, shuffled, from a memory-mapped file that was "
        f"just written, so the system has it in memory.\n\n{table(_HEAD, lines)}"
    )


def _part(file: Path, side: int) -> Part:
    count, random = _COLUMNS // side, np.random.default_rng(0)
    np.save(file, random.integers(256, size=(count, side, side, 3), dtype=np.uint8))
    return Part(
        pixels=np.load(file, mmap_mode="r"),
        rows=np.arange(count),
        labels=random.integers(2, size=count),
    )


def _calls(part: Part) -> dict[str, Call]:
    batches, steps = Batches(part=part, batch=BATCH, seed=0), itertools.count()
    random = np.random.default_rng(0)
    crops = part.crops(slice(BATCH))

    def read() -> Bytes:
        return part.crops(batches.places(next(steps)))

    def turned(pixels: Bytes) -> Bytes:
        return turn(pixels, random.integers(SYMMETRIES, size=len(pixels)))

    return {
        _READ: lambda: to_levels(read()),
        _TURN: lambda: turned(crops),
        _BOTH: lambda: to_levels(turned(read())),
        **step_calls(part.side, BATCH, {PLAIN}),
    }


def _line(side: int, times: Times) -> list[str]:
    share = times.ratio(_BOTH, PLAIN)
    milliseconds = [f"{times.milliseconds(name):.2f}" for name in (_READ, _TURN, PLAIN)]
    return [str(side), *milliseconds, str(share.times(100))]
