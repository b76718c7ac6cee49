"""A scan: items in, verdicts out in their order, all cores at work, each step in the ledger."""

from __future__ import annotations

import contextlib
import os
import queue
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO

from trueshot.files import sanitize
from trueshot.scanning.ledger import Ledger
from trueshot.scanning.pool import Pool, WorkerError
from trueshot.scanning.scan_job import ScanJob, Settings, Summary
from trueshot.scanning.sources import Item
from trueshot.scanning.verdict import EXPLANATION, Verdict, checked

# For each worker: items in its queue, and verdicts that wait for one before them, which may hang
# until its time is up.
_AT_ONCE, _AHEAD = 4, 2048

RunOutcome = tuple[Verdict, bool, dict[str, bytes] | None]
"""A verdict, whether it is final, and pictures if they were asked for."""


def scan(
    bundle: str | os.PathLike[str],
    paths: Sequence[str | os.PathLike[str]],
    out: str | os.PathLike[str] | None = None,
    settings: Settings | None = None,
    *,
    ledger: str | os.PathLike[str] | None = None,
    stdin: BinaryIO | None = None,
    pool: Pool | None = None,
    finish: Callable[[Ledger, Summary], None] | None = None,
) -> Iterator[Verdict]:
    """Judge files, and write what was found when all are done.

    A file that cannot be judged is a verdict, too. Killed at any moment and started again with the
    same ledger, it goes on, and ends with the same results, times aside. Verdicts come in the order
    of items, so that equal input gives equal output.

    Args:
        bundle: The detector.
        paths: Files, folders, patterns, zip archives, `-` for standard input; see `items`.
        out: File of results, .jsonl, .csv or .parquet; written once, when all is judged.
        settings: How to scan.
        ledger: File of what is done; beside `out` (`results.jsonl.ledger`), if not said. Without
            either, nothing is kept.
        stdin: What to read for `-`.
        pool: Workers that are there already, of the same detector; they are left as they are.
        finish: Called when all is judged and written, if there is a ledger; for reports.

    Yields:
        A verdict for each file.

    Raises:
        RunError: The results or the ledger cannot be used as asked.
        BundleError: The detector cannot be loaded.
    """
    job = ScanJob(
        paths=paths,
        out=None if out is None else Path(out),
        ledger=None if ledger is None else Path(ledger),
        settings=settings or Settings(),
        stdin=stdin,
        finish=finish,
    )
    with contextlib.ExitStack() as stack:
        if pool is None:  # first of all: it loads while files are looked for
            pool = stack.enter_context(open_pool(bundle, job.settings))
        workers = pool

        def course(found: Iterator[Item], book: Ledger | None) -> Iterator[Verdict]:
            return _Course(workers, book, job.settings).verdicts(found)

        yield from job.run(str(pool.facts["detector"]), course)


def open_pool(bundle: str | os.PathLike[str], settings: Settings) -> Pool:
    """Workers that judge with a detector; for several scans, or for single requests."""
    return Pool(
        settings.loader,
        {
            "bundle": os.fsdecode(bundle),
            "pixel_limit": settings.pixel_limit,
            "explain": settings.explain,
        },
        workers=settings.workers,
        memory=settings.memory,
    )


def judge_item(pool: Pool, item: Item, *, seconds: float, explain: bool = False) -> RunOutcome:
    """Have one item judged; whatever goes wrong with it is a verdict.

    Args:
        pool: Workers that judge.
        item: A file, a member of an archive, or bytes with a name.
        seconds: That it may take, once a worker is free.
        explain: Whether pictures are wanted.

    Returns:
        The verdict, whether the same bytes will always get it, and the pictures.

    Raises:
        RunError: The pool is closed.
    """
    started = time.perf_counter()
    if item.reason is not None:
        return Verdict(file=item.name, verdict="error", reason=item.reason), False, None
    try:
        request = item.request() | {"explain": explain}
        attached = {} if item.data is None else {"data": item.data}
        answer = pool.run(request, attached, timeout=seconds)
        notes = [item.note] if item.note else []
        verdict = checked(answer.content.get("verdict"), item.name, *notes)
    except (WorkerError, ValueError) as error:
        spent = round(time.perf_counter() - started, 6)
        reason = sanitize(str(error))
        return Verdict(file=item.name, verdict="error", reason=reason, seconds=spent), False, None
    # By our name alone: a worker that was taken over may attach anything.
    pictures = {name: data for name, data in answer.attached.items() if name == EXPLANATION}
    return verdict, answer.content.get("final") is True, pictures if explain else None


class _Course:
    """The course of a scan: what is being judged, and what waits for its turn to be told."""

    def __init__(self, pool: Pool, ledger: Ledger | None, settings: Settings) -> None:
        self._pool, self._ledger, self._settings = pool, ledger, settings
        self._threads = ThreadPoolExecutor(pool.workers, "scan")
        self._done: queue.SimpleQueue[tuple[int, Item, Future[RunOutcome]]] = queue.SimpleQueue()
        self._ready: dict[int, Verdict] = {}
        self._told = self._taken = self._busy = 0  # numbers of items

    def verdicts(self, found: Iterator[Item]) -> Iterator[Verdict]:
        """Verdicts in the order of items; each is in the ledger as soon as it is known."""
        try:
            more = True
            while more or self._busy:
                while more and self._has_room():
                    more = self._take(next(found, None))
                if self._busy:
                    self._collect(self._done.get())
                while self._told in self._ready:
                    self._told += 1
                    yield self._ready.pop(self._told - 1)
        finally:
            self._threads.shutdown(wait=False, cancel_futures=True)
            with contextlib.suppress(queue.Empty):
                while True:  # interrupted: what is done is not lost
                    self._collect(self._done.get_nowait())

    def _has_room(self) -> bool:
        workers = self._pool.workers
        waiting = self._taken - self._told
        return self._busy < _AT_ONCE * workers and waiting < _AHEAD * workers

    def _take(self, item: Item | None) -> bool:
        """Take the next item in hand, or look up what it got before."""
        if item is None:
            return False
        position, explain = self._taken, self._settings.explain
        self._taken += 1
        known = self._ledger and self._ledger.find(item, position, explained=explain)
        if known:
            self._ready[position] = known
            return True
        judgement = self._threads.submit(
            judge_item, self._pool, item, seconds=self._settings.seconds, explain=explain
        )
        self._busy += 1
        judgement.add_done_callback(lambda future: self._done.put((position, item, future)))
        return True

    def _collect(self, done: tuple[int, Item, Future[RunOutcome]]) -> None:
        position, item, future = done
        self._busy -= 1
        if future.cancelled():
            return
        verdict, final, pictures = future.result()
        if self._ledger is not None:
            self._ledger.keep(item, position, verdict, final=final, explanations=pictures)
        self._ready[position] = verdict
