"""Progress of long work: a bar on a terminal, plain lines in a pipe or a log file."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

_SECONDS_BETWEEN_LINES = 10.0

Advance = Callable[[int, str], None]


@contextmanager
def progress(description: str, total: int, done: int = 0) -> Iterator[Advance]:
    """Show that `total` steps are being done, on standard error.

    Args:
        description: What is being done; one or two words.
        total: Number of steps.
        done: Steps that were done before, when work goes on.

    Yields:
        `advance(steps, note)`: call it as steps get done; the note stands beside the bar.
    """
    if sys.stderr.isatty():
        with _bar() as bar:
            task = bar.add_task(description, total=total, completed=done, note="")
            yield lambda steps, note: bar.update(task, advance=steps, note=note)
    else:
        yield _lines(description, total, done)


def _bar() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
        console=Console(stderr=True),
    )


def _lines(description: str, total: int, done: int) -> Advance:
    last = started = time.monotonic()
    first = done

    def advance(steps: int, note: str) -> None:
        nonlocal done, last
        done += steps
        now = time.monotonic()
        if now - last < _SECONDS_BETWEEN_LINES and done < total:
            return
        last = now
        rate = (done - first) / max(now - started, 1e-9)
        left = f", {(total - done) / rate:.0f} s left" if rate > 0 and done < total else ""
        tail = f" ({note})" if note else ""
        print(f"{description}: {done}/{total}{left}{tail}", file=sys.stderr, flush=True)

    return advance
