"""A scan: items in, verdicts out in their order, all cores at work, each step in the ledger."""

from __future__ import annotations

import contextlib
import os
import queue
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO

from trueshot.errors import RunError
from trueshot.files import plain
from trueshot.scanning.ledger import Ledger
from trueshot.scanning.output import check_output, write_output
from trueshot.scanning.pool import DEFAULT_MEMORY, DEFAULT_SECONDS, Pool, WorkerError
from trueshot.scanning.sources import STANDARD_INPUT, Item, items
from trueshot.scanning.verdicts import WORDS, Verdict, exit_status

_LOADER = "trueshot.scanning.worker:load"
_PIXEL_LIMIT = 200_000_000  # that of imagefiles, whose import takes longer than all the rest here
_MOST_PIPED = 2**30

# For each worker: items in its queue, and verdicts that wait for one before them, which may hang
# until its time is up.
_AT_ONCE, _AHEAD = 4, 2048

Judgement = tuple[Verdict, bool, dict[str, bytes] | None]
"""A verdict, whether it is final, and pictures if they were asked for."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How to scan.

    Args:
        workers: Processes; all cores, if not said.
        runtime: What computes: "torch" or "onnx".
        seconds: That a file may take.
        memory: Bytes that a worker may take beyond what is loaded; None for no limit.
        pixel_limit: Larger photographs are refused.
        explain: Whether pictures that show why are kept in the ledger.
        piped_names: Whether standard input is a list of names, and not one photograph.
        show_progress: Whether a bar, or lines, go to standard error.
        loader: What the workers run, as `Pool` takes it.
    """

    workers: int | None = None
    runtime: str = "torch"
    seconds: float = DEFAULT_SECONDS
    memory: int | None = DEFAULT_MEMORY
    pixel_limit: int = _PIXEL_LIMIT
    explain: bool = False
    piped_names: bool = False
    show_progress: bool = False
    loader: str = _LOADER


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
    chosen = settings or Settings()
    target = None if out is None else Path(out)
    if target is not None:
        check_output(target)
    with contextlib.ExitStack() as stack:
        if pool is None:  # first of all: it loads while files are looked for
            pool = stack.enter_context(open_pool(bundle, chosen))
        piped = _read(stdin) if any(os.fspath(p) == STANDARD_INPUT for p in paths) else b""
        place = _ledger_path(target, ledger)

        def found() -> Iterator[Item]:
            return items(paths, piped=piped, piped_names=chosen.piped_names)

        advance = stack.enter_context(_progress(found)) if chosen.show_progress else _silent
        claim = {"detector": str(pool.facts["detector"]), "runtime": chosen.runtime}
        book = None if place is None else stack.enter_context(Ledger(place, claim))
        summary = Summary()
        for verdict in _Course(pool, book, chosen).verdicts(found()):
            summary.add(verdict)
            advance(1, f"{summary.rate:.1f} a second")
            yield verdict
        if target is not None and book is not None:
            write_output(target, book.verdicts())
        if finish is not None and book is not None:
            finish(book, summary)


def open_pool(bundle: str | os.PathLike[str], settings: Settings) -> Pool:
    """Workers that judge with a detector; for several scans, or for single requests."""
    return Pool(
        settings.loader,
        {
            "bundle": os.fsdecode(bundle),
            "runtime": settings.runtime,
            "pixel_limit": settings.pixel_limit,
            "explain": settings.explain,
        },
        workers=settings.workers,
        memory=settings.memory,
    )


def judge_item(pool: Pool, item: Item, *, seconds: float, explain: bool = False) -> Judgement:
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
        verdict = _checked(answer.content.get("verdict"), item)
    except (WorkerError, ValueError) as error:
        spent = round(time.perf_counter() - started, 6)
        reason = plain(str(error))
        return Verdict(file=item.name, verdict="error", reason=reason, seconds=spent), False, None
    return verdict, answer.content.get("final") is True, answer.attached if explain else None


def _checked(record: object, item: Item) -> Verdict:
    """A worker's verdict, with the name that is known here, and texts that are safe to print."""
    if not isinstance(record, Mapping):
        raise ValueError("its decoder gave no verdict")
    verdict = Verdict.from_record(record)
    notes = (*verdict.notes, *([item.note] if item.note else []))
    return replace(
        verdict,
        file=item.name,
        notes=tuple(map(plain, notes)),
        reason=None if verdict.reason is None else plain(verdict.reason),
    )


class _Course:
    """The course of a scan: what is being judged, and what waits for its turn to be told."""

    def __init__(self, pool: Pool, ledger: Ledger | None, settings: Settings) -> None:
        self._pool, self._ledger, self._settings = pool, ledger, settings
        self._threads = ThreadPoolExecutor(pool.workers, "scan")
        self._done: queue.SimpleQueue[tuple[int, Item, Future[Judgement]]] = queue.SimpleQueue()
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

    def _collect(self, done: tuple[int, Item, Future[Judgement]]) -> None:
        position, item, future = done
        self._busy -= 1
        if future.cancelled():
            return
        verdict, final, pictures = future.result()
        if self._ledger is not None:
            self._ledger.keep(item, position, verdict, final=final, explanations=pictures)
        self._ready[position] = verdict


def _read(stdin: BinaryIO | None) -> bytes:
    if stdin is None:
        raise RunError("-: there is no standard input to read")
    piped = stdin.read(_MOST_PIPED + 1)
    if len(piped) > _MOST_PIPED:
        raise RunError(f"-: more than {_MOST_PIPED:,} bytes came in; give a file or a folder")
    return piped


def _ledger_path(out: Path | None, ledger: str | os.PathLike[str] | None) -> Path | None:
    if ledger is not None:
        return Path(ledger)
    return None if out is None else out.with_name(f"{out.name}.ledger")


def _silent(steps: int, note: str) -> None:
    pass


def _progress(
    found: Callable[[], Iterator[Item]],
) -> contextlib.AbstractContextManager[Callable[[int, str], None]]:
    from trueshot.progress import progress

    return progress("scan", sum(1 for _ in found()))
