"""Long tasks: their progress, as a bar on a terminal or plain lines elsewhere, and threads."""

from __future__ import annotations

import itertools
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

_SECONDS_BETWEEN_LINES = 10.0
_SECONDS_OF_PATIENCE = 1.0
_FEWEST = 5  # reports before the remaining time is estimated; the first includes loading time
_LATEST = 50  # latest reports used for the estimate, so that it soon reflects a change of speed

Advance = Callable[[int, str], None]
_In = TypeVar("_In")
_Out = TypeVar("_Out")


@contextmanager
def in_threads(
    function: Callable[[_In], _Out], items: Iterable[_In], workers: int
) -> Iterator[Iterator[_Out]]:
    """Map a function over items in threads, in order; leaving early cancels pending calls."""
    pool = ThreadPoolExecutor(workers)
    try:
        yield pool.map(function, items)
    finally:
        pool.shutdown(cancel_futures=True)


@contextmanager
def progress(description: str, total: int, done: int = 0) -> Iterator[Advance]:
    """Show the progress of a task with `total` steps on standard error.

    Args:
        description: Name of the task, one or two words.
        total: Number of steps.
        done: Steps already finished in an earlier run.

    Yields:
        `advance(steps, note)`: call it whenever steps are finished; the note is shown beside the
        bar.
    """
    if sys.stderr.isatty():
        with _bar() as bar:
            task = bar.add_task(description, total=total, completed=done, note="", reports=0)
            count = itertools.count(1)
            yield lambda steps, note: bar.update(
                task, advance=steps, note=note, reports=next(count)
            )
    else:
        yield _lines(description, total, done)


@contextmanager
def waiting(description: str) -> Iterator[None]:
    """Print what the enclosed code waits for if it takes over a second; on a terminal only."""
    if not sys.stderr.isatty():
        yield
        return

    def say() -> None:
        with suppress(OSError, ValueError):
            print(f"{description} …", file=sys.stderr, flush=True)

    timer = threading.Timer(_SECONDS_OF_PATIENCE, say)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


class _Remaining(TimeRemainingColumn):
    def render(self, task: Task) -> Text:
        if task.fields["reports"] < _FEWEST:
            return Text("-:--:--", style="progress.remaining")
        return super().render(task)


def _bar() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        _Remaining(),
        TextColumn("{task.fields[note]}"),
        console=Console(stderr=True),
    )


def _lines(description: str, total: int, done: int) -> Advance:
    last = time.monotonic()
    latest: deque[tuple[float, int]] = deque(maxlen=_LATEST)

    def advance(steps: int, note: str) -> None:
        nonlocal done, last
        done += steps
        now = time.monotonic()
        latest.append((now, done))
        if now - last < _SECONDS_BETWEEN_LINES and done < total:
            return
        last = now
        # Measured from the oldest report kept, so the time before the first one does not count.
        started, first = latest[0]
        is_known = len(latest) >= _FEWEST and first < done < total
        seconds = (total - done) * (now - started) / max(done - first, 1)
        left = f", {seconds:.0f} s left" if is_known else ""
        tail = f" ({note})" if note else ""
        print(f"{description}: {done}/{total}{left}{tail}", file=sys.stderr, flush=True)

    return advance
