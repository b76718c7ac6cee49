"""What is to be scanned, how, and what comes of it, whichever engine does it."""

from __future__ import annotations

import contextlib
import math
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from trueshot.errors import RunError
from trueshot.files import check_destinations
from trueshot.scanning.ledger import Ledger
from trueshot.scanning.output import check_output, write_output
from trueshot.scanning.pool import DEFAULT_MEMORY, DEFAULT_SECONDS, MOST_SECONDS
from trueshot.scanning.sources import STANDARD_INPUT, Item, items
from trueshot.scanning.verdict import WORDS, Verdict, exit_status

_LOADER = "trueshot.scanning.worker:load"
_PIXEL_LIMIT = 200_000_000  # that of imagefiles, whose import takes longer than all the rest here
_MOST_PIPED = 2**30


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How to scan.

    Args:
        workers: Processes; all cores, if not said.
        seconds: That a file may take.
        memory: Bytes that a worker may take beyond what is loaded; None for no limit.
        pixel_limit: Larger photographs are refused.
        explain: Whether pictures that show why are kept in the ledger.
        piped_names: Whether standard input is a list of names, and not one photograph.
        show_progress: Whether a bar, or lines, go to standard error.
        loader: What the workers run, as `Pool` takes it.

    Raises:
        RunError: The seconds are no number, or more than `MOST_SECONDS`.
    """

    workers: int | None = None
    seconds: float = DEFAULT_SECONDS
    memory: int | None = DEFAULT_MEMORY
    pixel_limit: int = _PIXEL_LIMIT
    explain: bool = False
    piped_names: bool = False
    show_progress: bool = False
    loader: str = _LOADER

    def __post_init__(self) -> None:
        if not (math.isfinite(self.seconds) and self.seconds <= MOST_SECONDS):
            raise RunError(
                f"a file may take {self.seconds:g} s: give a number of at most {MOST_SECONDS:,.0f}"
            )


@dataclass
class Summary:
    """What a scan has come to so far: add each verdict to it."""

    counts: Counter[str] = field(default_factory=lambda: Counter(dict.fromkeys(WORDS, 0)))
    started: float = field(default_factory=time.monotonic)

    def add(self, verdict: Verdict) -> None:
        """Count one more."""
        self.counts[verdict.verdict] += 1

    @property
    def total(self) -> int:
        """All files, errors among them."""
        return self.counts.total()

    @property
    def rate(self) -> float:
        """Files a second since it was made."""
        return self.total / max(time.monotonic() - self.started, 1e-9)

    @property
    def status(self) -> int:
        """See `exit_status`."""
        return exit_status(self.counts)

    def __str__(self) -> str:
        parts = [f"{self.counts[word]} {word}" for word in WORDS]
        return f"{self.total} files: {', '.join(parts)}"


Engine = Callable[[Iterator[Item], Ledger | None], Iterator[Verdict]]
"""What judges items, in their order, and keeps each in the ledger as soon as it is known."""


@dataclass(frozen=True, kw_only=True)
class ScanJob:
    """What is to be scanned, and what is to come of it, whichever engine does it; see `scan`.

    Raises:
        RunError: The results cannot be written as asked.
    """

    paths: Sequence[str | os.PathLike[str]]
    out: Path | None = None
    ledger: Path | None = None
    settings: Settings = field(default_factory=Settings)
    stdin: BinaryIO | None = None
    finish: Callable[[Ledger, Summary], None] | None = None

    def __post_init__(self) -> None:
        if self.out is not None:
            check_output(self.out)
        check_destinations(self.out, self._place_of_ledger())

    def run(self, detector: str, course: Engine) -> Iterator[Verdict]:
        """Send the items on their course, and write what came of it.

        Args:
            detector: SHA-256 of the bundle.
            course: Judges.
        """
        piped = any(os.fspath(path) == STANDARD_INPUT for path in self.paths)
        read = _read(self.stdin) if piped else b""

        def found() -> Iterator[Item]:
            return items(self.paths, piped=read, piped_names=self.settings.piped_names)

        with contextlib.ExitStack() as stack:
            shown = self.settings.show_progress and sys.stderr is not None
            advance = stack.enter_context(_progress(found)) if shown else _silent
            claim = {"detector": detector}
            place = self._place_of_ledger()
            book = None if place is None else stack.enter_context(Ledger(place, claim))
            summary = Summary()
            for verdict in course(found(), book):
                summary.add(verdict)
                advance(1, f"{summary.rate:.1f} a second")
                yield verdict
            if self.out is not None and book is not None:
                write_output(self.out, book.verdicts())
            if self.finish is not None and book is not None:
                self.finish(book, summary)

    def _place_of_ledger(self) -> Path | None:
        if self.ledger is not None or self.out is None:
            return self.ledger
        return ledger_beside(self.out)


def ledger_beside(results: Path) -> Path:
    """Where the ledger of these results lies, if nothing else is said."""
    return results.with_name(f"{results.name}.ledger")


def _read(stdin: BinaryIO | None) -> bytes:
    if stdin is None:
        raise RunError("-: there is no standard input to read")
    piped = stdin.read(_MOST_PIPED + 1)
    if len(piped) > _MOST_PIPED:
        raise RunError(f"-: more than {_MOST_PIPED:,} bytes came in; give a file or a folder")
    return piped


def _silent(steps: int, note: str) -> None:
    pass


def _progress(
    found: Callable[[], Iterator[Item]],
) -> contextlib.AbstractContextManager[Callable[[int, str], None]]:
    from trueshot.progress import progress

    return progress("scan", sum(1 for _ in found()))
