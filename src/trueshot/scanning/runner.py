"""A scan: items in, verdicts out in their order, each kept in a ledger as soon as it is known."""

from __future__ import annotations

import contextlib
import math
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO

from trueshot.detectors import located
from trueshot.engines.engine import Engine, Reply, Request, Work, open_engine
from trueshot.engines.pool import DEFAULT_MEMORY, DEFAULT_SECONDS, MOST_SECONDS, WorkerError
from trueshot.errors import RunError
from trueshot.files import check_destinations, sanitize
from trueshot.scanning.ledger import EXPLAINED, THUMBNAILS, Ledger
from trueshot.scanning.output import check_output, write_output
from trueshot.scanning.shown import explain_shown, request_of
from trueshot.scanning.sources import STANDARD_INPUT, Item, items
from trueshot.scanning.verdict import (
    EXPLANATION,
    THUMBNAIL,
    Verdict,
    exit_status,
    failing_words,
    words_of,
)
from trueshot.tasks import Task
from trueshot.tasks.recapture import RECAPTURE
from trueshot.tasks.task import FAILED

_LOADER = "trueshot.scanning.worker:load"
_PIXEL_LIMIT = 200_000_000  # that of images, whose import takes longer than all the rest here
_MOST_PIPED = 2**30
_BESIDE_LEDGER = ("wal", "shm", "journal")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How to scan.

    Args:
        workers: Processes; all cores, if not said.
        seconds: That a file may take.
        memory: Bytes that a worker may take beyond what is loaded; None for no limit.
        pixel_limit: Larger photographs are refused.
        explain: Whether the ledger keeps a small picture of each photograph, and why it was judged
            as it was of those that a report shows first; until `finish` was called.
        most_explained: So many are explained.
        piped_names: Whether standard input is a list of names, and not one photograph.
        show_progress: Whether a bar, or lines, go to standard error.
        say_waiting: Whether it is said there, if it is a terminal, what is waited for before the
            first verdict.
        loader: What the workers run, as `Pool` takes it.
        excel: Whether a CSV begins with a byte order mark, by which Excel knows UTF-8.
        fail_on: Verdicts for which the exit status is not 0; None for the default, see
            `failing_words`.
        engine: Where: "local", or "ray" for the machines of a cluster, where `workers` is not
            heeded: each core that Ray knows of judges one file at a time.
        address: Of the Ray cluster, `host:port`; by default that of RAY_ADDRESS, or of a cluster
            that runs on this machine.

    Raises:
        RunError: The seconds are no number, or more than `MOST_SECONDS`.
    """

    workers: int | None = None
    seconds: float = DEFAULT_SECONDS
    memory: int | None = DEFAULT_MEMORY
    pixel_limit: int = _PIXEL_LIMIT
    explain: bool = False
    most_explained: int = 200
    piped_names: bool = False
    show_progress: bool = False
    say_waiting: bool = False
    excel: bool = False
    loader: str = _LOADER
    fail_on: tuple[str, ...] | None = None
    engine: str = "local"
    address: str | None = None

    def __post_init__(self) -> None:
        if not (math.isfinite(self.seconds) and self.seconds <= MOST_SECONDS):
            raise RunError(
                f"a file may take {self.seconds:g} s: give a number of at most {MOST_SECONDS:,.0f}"
            )

    def work(self, bundle: str | os.PathLike[str]) -> Work:
        """What workers do that judge with a detector."""
        return Work(
            loader=self.loader,
            settings={
                "bundle": os.fspath(located(bundle)),
                "pixel_limit": self.pixel_limit,
                "explain": self.explain,
            },
            files=("bundle",),
            memory=self.memory,
            seconds=self.seconds,
        )

    def open(self, bundle: str | os.PathLike[str]) -> Engine:
        """An engine that judges with a detector; for several scans, one after another."""
        work = self.work(bundle)
        return open_engine(self.engine, work, workers=self.workers, address=self.address)


@dataclass
class Summary:
    """What a scan has come to so far: add each verdict to it."""

    counts: Counter[str] = field(default_factory=Counter)
    started: float = field(default_factory=time.monotonic)
    task: Task = RECAPTURE
    fail_on: tuple[str, ...] | None = None
    passed_over: int = 0

    def add(self, verdict: Verdict) -> None:
        """Count one more."""
        self.counts[verdict.verdict] += 1
        self.passed_over += verdict.passed_over
        self.task = verdict.task

    @property
    def total(self) -> int:
        """All files, errors among them."""
        return self.counts.total()

    @property
    def rate(self) -> float:
        """Files a second since it was made."""
        return self.total / max(time.monotonic() - self.started, 1e-9)

    @property
    def failing(self) -> tuple[str, ...]:
        """See `failing_words`."""
        return failing_words(self.task, self.fail_on)

    @property
    def status(self) -> int:
        """See `exit_status`."""
        return exit_status(self.counts, self.task, self.fail_on)

    def __str__(self) -> str:
        parts = [f"{self.counts[word]} {word}" for word in words_of(self.task)]
        passed = f"; {self.passed_over} passed over" if self.passed_over else ""
        return f"{self.total} files: {', '.join(parts)}{passed}"


def scan(
    bundle: str | os.PathLike[str],
    paths: Sequence[str | os.PathLike[str]],
    out: str | os.PathLike[str] | None = None,
    settings: Settings | None = None,
    *,
    ledger: str | os.PathLike[str] | None = None,
    stdin: BinaryIO | None = None,
    engine: Engine | None = None,
    finish: Callable[[Ledger, Summary], None] | None = None,
    own: Sequence[Path] = (),
) -> Iterator[Verdict]:
    """Judge files, and write what was found when all are done.

    A file that cannot be judged is a verdict, too. Killed at any moment and started again with the
    same ledger, it goes on, and ends with the same results, times aside, whichever engine began.
    Verdicts come in the order of items, so that equal input gives equal output.

    Args:
        bundle: The detector.
        paths: Files, folders, patterns, zip archives, `-` for standard input; see `items`.
        out: File of results, .jsonl, .csv or .parquet; written once, when all is judged.
        settings: How to scan.
        ledger: File of what is done; beside `out` (`results.jsonl.ledger`), if not said. Without
            either, nothing is kept.
        stdin: What to read for `-`.
        engine: One that is there already, of the same detector; it is left as it is.
        finish: Called when all is judged and written, if there is a ledger; for reports. What
            explains verdicts is not kept any longer then, small pictures are.
        own: Files beside results and ledger that come of the scan, such as a report: where they
            lie in a folder that is scanned, nothing is said of them.

    Yields:
        A verdict for each file.

    Raises:
        RunError: The results or the ledger cannot be used as asked; Ray is wanted, and is not
            installed, or has no cluster; `fail_on` names a verdict that the task has not.
        BundleError: The detector cannot be loaded.
    """
    settings, out = settings or Settings(), None if out is None else Path(out)
    place = Path(ledger) if ledger is not None else None if out is None else ledger_beside(out)
    if out is not None:
        check_output(out)
    check_destinations(out, place)
    with contextlib.ExitStack() as stack:
        if engine is None:  # first of all: it loads while files are looked for
            engine = stack.enter_context(settings.open(bundle))
        piped = any(os.fspath(path) == STANDARD_INPUT for path in paths)
        read = _read(stdin) if piped else b""

        mine = _own_files(out, place, own)

        def found() -> Iterator[Item]:
            return items(paths, piped=read, piped_names=settings.piped_names, own=mine)

        shown = settings.show_progress and sys.stderr is not None
        with _waiting("looking for files", settings):
            total = sum(1 for _ in found()) if shown else 0
        with _waiting("loading the detector", settings):
            claim = {"detector": str(engine.facts["detector"])}
        task = task_of(engine)
        failing_words(task, settings.fail_on)  # a wrong word is told of before the work
        book = None if place is None else stack.enter_context(Ledger(place, claim))
        summary = Summary(task=task, fail_on=settings.fail_on)
        advance = stack.enter_context(_progress(total)) if shown else _silent
        for verdict in judge_items(
            engine,
            found(),
            book,
            pictured=settings.explain,
            explained=settings.most_explained if settings.explain else 0,
            task=task,
        ):
            summary.add(verdict)
            advance(1, f"{summary.rate:.1f} a second")
            yield verdict
        if out is not None and book is not None:
            write_output(out, book.verdicts(), excel=settings.excel)
        if settings.explain and book is not None:
            with _waiting("explaining what the report shows", settings):
                explain_shown(engine, found(), book, settings.most_explained, task)
        if finish is not None and book is not None:
            finish(book, summary)
            if settings.explain:
                book.drop_explanations()


def judge_items(
    engine: Engine,
    found: Iterable[Item],
    ledger: Ledger | None = None,
    *,
    pictured: bool = False,
    explained: int = 0,
    task: Task = RECAPTURE,
) -> Iterator[Verdict]:
    """Judge items; whatever goes wrong with one is a verdict on it.

    Args:
        engine: Of a detector, as `Settings.open` makes it.
        found: Files, members of archives, or bytes with names.
        ledger: Verdicts that it holds are not made again, others are entered as they come.
        pictured: Whether a small picture of each is wanted in the ledger.
        explained: So many of the first are explained at once, which saves reading them again if it
            turns out that they are shown.
        task: What the detector decides, see `task_of`.

    Yields:
        Verdicts, in the order of the items.
    """

    def wanted(position: int) -> int:
        return EXPLAINED if position < explained else THUMBNAILS if pictured else 0

    def ask(position: int, item: Item) -> Request | Verdict:
        if item.reason is not None:
            verdict = Verdict(
                file=item.name,
                verdict=FAILED,
                reason=item.reason,
                task=task,
                passed_over=item.passed_over,
            )
            return keep(position, item, verdict, final=False)
        least = min(wanted(position), THUMBNAILS)
        known = None if ledger is None else ledger.find(item, position, explained=least)
        return request_of(item, wanted(position)) if known is None else replace(known, task=task)

    def done(position: int, item: Item, reply: Reply) -> Verdict:
        verdict = verdict_of(reply, item.name, task)
        if item.note:
            verdict = replace(verdict, notes=(*verdict.notes, item.note))
        if isinstance(reply, WorkerError):
            return keep(position, item, verdict, final=False)
        # By our names alone: a worker that was taken over may attach anything.
        pictures = {k: v for k, v in reply.attached.items() if k in (EXPLANATION, THUMBNAIL)}
        final = reply.content.get("final") is True and verdict.sha256 is not None
        return keep(position, item, verdict, final=final, pictures=pictures)

    def keep(
        position: int,
        item: Item,
        verdict: Verdict,
        *,
        final: bool,
        pictures: Mapping[str, bytes] | None = None,
    ) -> Verdict:
        if ledger is not None:
            level = 0 if pictures is None else wanted(position)
            ledger.keep(
                item, position, verdict, final=final, explained=level, explanations=pictures
            )
        return verdict

    return engine.map(found, ask, done)


def task_of(engine: Engine) -> Task:
    """What the detector of an engine decides, as its card says."""
    facts = engine.facts.get("task")
    return RECAPTURE if facts is None else Task.of_facts(facts)


def verdict_of(reply: Reply, name: str, task: Task = RECAPTURE) -> Verdict:
    """The verdict in a reply; an error if there is none in it.

    Args:
        reply: Of a worker.
        name: Of the file, as it is known here, whatever the worker calls it.
        task: What the detector decides.
    """
    try:
        if isinstance(reply, WorkerError):
            raise reply
        return Verdict.from_record(reply.content.get("verdict"), name, task)
    except (WorkerError, ValueError) as error:
        return Verdict(file=name, verdict=FAILED, reason=sanitize(str(error)), task=task)


def _own_files(out: Path | None, ledger: Path | None, own: Sequence[Path]) -> list[Path]:
    """What a scan writes, with what SQLite lays beside a ledger."""
    beside = [] if ledger is None else [ledger, *(Path(f"{ledger}-{e}") for e in _BESIDE_LEDGER)]
    return [*own, *beside, *([] if out is None else [out])]


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


def _progress(total: int) -> contextlib.AbstractContextManager[Callable[[int, str], None]]:
    from trueshot.progress import progress

    return progress("scan", total)


def _waiting(what: str, settings: Settings) -> contextlib.AbstractContextManager[None]:
    if not settings.say_waiting or sys.stderr is None:
        return contextlib.nullcontext()
    from trueshot.progress import waiting

    return waiting(what)
