"""Timing in turns, so that other load on the machine affects all calls alike; settings, tables."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

Call = Callable[[], object]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Settings that all sections share.

    Args:
        sides: Heights and widths of the images.
        threads: Number of threads for PyTorch.
        seconds: Time limit for the rounds of one table, without the warm-up.
        rounds: Minimum number of rounds.
        detector: Bundle to attack; None trains a detector first.
        dataset: Folder of the data set whose test part is attacked, with `detector`.
        torchattacks: Python of an environment with torchattacks; None leaves it out.
    """

    sides: tuple[int, ...]
    threads: int
    seconds: float
    rounds: int
    detector: Path | None
    dataset: Path | None
    torchattacks: Path | None


@dataclass(frozen=True)
class Spread:
    """Median and quartiles."""

    median: float
    low: float
    high: float

    def times(self, factor: float) -> Spread:
        """Return the spread multiplied by `factor`, for another unit."""
        return Spread(self.median * factor, self.low * factor, self.high * factor)

    def __str__(self) -> str:
        digits = 0 if self.median >= 100 else 1 if self.median >= 10 else 2
        median, low, high = (f"{v:.{digits}f}" for v in (self.median, self.low, self.high))
        return f"{median} ({low}–{high})"


@dataclass(frozen=True)
class Times:
    """Seconds that each named call took, one number per round."""

    seconds: Mapping[str, list[float]]

    @property
    def rounds(self) -> int:
        """Number of rounds."""
        return min(len(seconds) for seconds in self.seconds.values())

    def milliseconds(self, name: str) -> float:
        """Return the median time of a call."""
        return 1000 * float(np.median(self.seconds[name]))

    def ratio(self, name: str, to: str) -> Spread:
        """Return how many times as long one call took as another, round by round."""
        ratios = np.array(self.seconds[name]) / np.array(self.seconds[to])
        low, median, high = (float(value) for value in np.quantile(ratios, (0.25, 0.5, 0.75)))
        return Spread(median, low, high)


def in_turns(calls: Mapping[str, Call], limit: float, least: int, most: int = 31) -> Times:
    """Call everything twice to warm up, then in rounds, each in another order.

    Args:
        calls: Calls to time, by name.
        limit: Time limit in seconds for all rounds together; the warm-up does not count.
        least: Minimum number of rounds, even if they take longer.
        most: Maximum number of rounds.
    """
    shuffle = random.Random(0).shuffle
    for call in calls.values():
        call()
    once = sum(_seconds(call) for call in calls.values())
    rounds = max(least, min(most, int(limit / once)))
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        order = list(calls)
        shuffle(order)
        for name in order:
            seconds[name].append(_seconds(calls[name]))
    return Times(seconds)


def _seconds(call: Call) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Format a table whose first column is text and whose others are numbers."""
    columns = list(zip(head, *rows, strict=True))
    widths = [max(map(len, column)) for column in columns]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    return "\n".join(_line(cells, widths) for cells in (head, rule, *rows))


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    first, *others = zip(cells, widths, strict=True)
    padded = [first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in others)]
    return f"| {' | '.join(padded)} |"
