"""A scan: judge items, yield verdicts in their order, and keep each in a ledger at once."""

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
from trueshot.files import DEFAULT_PIXEL_LIMIT, check_destinations, sanitize
from trueshot.scanning.item import Item
from trueshot.scanning.ledger import EXPLAINED, THUMBNAILS, Ledger
from trueshot.scanning.output import check_output, write_output
from trueshot.scanning.sources import STANDARD_INPUT, items
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
_MOST_PIPED = 2**30
_BESIDE_LEDGER = ("wal", "shm", "journal")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Settings of a scan.

    Args:
        workers: Number of worker processes; by default all cores.
        seconds: Time limit per file.
        memory: Bytes a worker may allocate on top of what the loader uses; None means no limit.
        pixel_limit: Photographs with more pixels are refused.
        explain: Whether the ledger keeps a thumbnail of each photograph and, until `finish` has
            been called, explanations of those that a report shows first.
        most_explained: Maximum number of photographs that are explained.
        piped_names: Whether standard input is a list of names instead of one photograph.
        show_progress: Whether to show a progress bar, or lines, on standard error.
        say_waiting: Whether to say on standard error, if it is a terminal, what is being waited
            for before the first verdict.
        loader: `module:function` that loads the detector, see `Pool`.
        excel: Whether a CSV begins with a byte order mark, by which Excel recognises UTF-8.
        fail_on: Verdicts for which the exit status is not 0; None for the default, see
            `failing_words`.
        engine: "local", or "ray" for the machines of a cluster. With Ray, `workers` is ignored:
            each core known to Ray judges one file at a time.
        address: Address of the Ray cluster, `host:port`; by default RAY_ADDRESS, or a cluster
            running on this machine.

    Raises:
        RunError: `seconds` is not finite, or more than `MOST_SECONDS`.
    """

    workers: int | None = None
    seconds: float = DEFAULT_SECONDS
    memory: int | None = DEFAULT_MEMORY
    pixel_limit: int = DEFAULT_PIXEL_LIMIT
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
                f"the time limit per file must be at most {MOST_SECONDS:,.0f} s, "
                f"got {self.seconds:g}"
            )

    def work(self, bundle: str | os.PathLike[str]) -> Work:
        """Return the work of workers that judge with this detector."""
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
        """Open an engine that judges with this detector; it can be used for several scans."""
        work = self.work(bundle)
        return open_engine(self.engine, work, workers=self.workers, address=self.address)


@dataclass
class Summary:
    """Running totals of a scan, to which each verdict is added."""

    counts: Counter[str] = field(default_factory=Counter)
    started: float = field(default_factory=time.monotonic)
    task: Task = RECAPTURE
    fail_on: tuple[str, ...] | None = None
    passed_over: int = 0

    def add(self, verdict: Verdict) -> None:
        """Count one more verdict."""
        self.counts[verdict.verdict] += 1
        self.passed_over += verdict.passed_over
        self.task = verdict.task

    @property
    def total(self) -> int:
        """Number of files, errors included."""
        return self.counts.total()

    @property
    def rate(self) -> float:
        """Files per second since this object was created."""
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
        passed = f"; {self.passed_over} skipped" if self.passed_over else ""
        files = "1 file" if self.total == 1 else f"{self.total} files"
        return f"{files}: {', '.join(parts)}{passed}"


def scan(
    bundle: str | os.PathLike[str],
    paths: Sequence[str | os.PathLike[str]] | str | os.PathLike[str],
    out: str | os.PathLike[str] | None = None,
    settings: Settings | None = None,
    *,
    ledger: str | os.PathLike[str] | None = None,
    stdin: BinaryIO | None = None,
    engine: Engine | None = None,
    finish: Callable[[Ledger, Summary], None] | None = None,
    own: Sequence[Path] = (),
) -> Iterator[Verdict]:
    """Judge files, and write the results when all are done.

    A file that cannot be judged gets a verdict, too. A scan that is killed and started again with
    the same ledger resumes and gives the same results, except for times, whichever engine it used.
    Verdicts come in the order of items, so equal input gives equal output.

    Args:
        bundle: The detector.
        paths: Files, folders, patterns, zip archives, `-` for standard input, or one of these; see
            `items`.
        out: File for the results, .jsonl, .csv or .parquet; written once, at the end.
        settings: Settings of the scan.
        ledger: File of the ledger; by default beside `out` (`results.jsonl.ledger`). Without
            either, nothing is kept.
        stdin: Stream to read for `-`.
        engine: An open engine with the same detector; it is not closed.
        finish: Called when all is judged and written, if there is a ledger; for reports.
            Afterwards explanations are deleted from the ledger, thumbnails are kept.
        own: Other files that the scan produces, such as a report: if they lie in a scanned
            folder, they are not mentioned.

    Yields:
        A verdict for each file.

    Raises:
        RunError: The results or the ledger cannot be used as asked; Ray is requested but not
            installed, or has no cluster; `fail_on` names a verdict that the task does not have; an
            address is given without Ray, or `piped_names` without `-`.
        BundleError: The detector cannot be loaded.
    """
    if isinstance(paths, str | os.PathLike):
        paths = (paths,)
    settings, out = settings or Settings(), None if out is None else Path(out)
    place = Path(ledger) if ledger is not None else None if out is None else ledger_beside(out)
    if out is not None:
        check_output(out)
    check_destinations(out, *own, place)
    piped = any(os.fspath(path) == STANDARD_INPUT for path in paths)
    if settings.piped_names and not piped:
        raise RunError("a list of names (--names) is read from standard input only: add the path -")
    with contextlib.ExitStack() as stack:
        if engine is None:  # opened first, because it loads while files are searched
            engine = stack.enter_context(settings.open(bundle))
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
        failing_words(task, settings.fail_on)  # report a wrong word before the work begins
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
            advance(1, f"{summary.rate:.1f} files/s")
            yield verdict
        if out is not None and book is not None:
            write_output(out, book.verdicts(), excel=settings.excel)
        if settings.explain and book is not None:
            with _waiting("explaining the photographs in the report", settings):
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
    """Judge items; any failure of one becomes a verdict on it.

    Args:
        engine: Engine with a detector, as made by `Settings.open`.
        found: Files, members of archives, or bytes with names.
        ledger: Verdicts in it are reused, new ones are stored at once.
        pictured: Whether to store a thumbnail of each item in the ledger.
        explained: Number of first items to explain at once, which saves reading them again if
            they turn out to be shown.
        task: Task of the detector, see `task_of`.

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
        # Only known names: a compromised worker may attach anything.
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
    """Return the task of an engine's detector, as its card defines it."""
    facts = engine.facts.get("task")
    return RECAPTURE if facts is None else Task.of_facts(facts)


def verdict_of(reply: Reply, name: str, task: Task = RECAPTURE) -> Verdict:
    """Return the verdict in a reply, or an error verdict if it has none.

    Args:
        reply: Reply of a worker.
        name: Name of the file; whatever name the worker gives is ignored.
        task: Task of the detector.
    """
    try:
        if isinstance(reply, WorkerError):
            raise reply
        return Verdict.from_record(reply.content.get("verdict"), name, task)
    except (WorkerError, ValueError) as error:
        return Verdict(file=name, verdict=FAILED, reason=sanitize(str(error)), task=task)


def request_of(item: Item, explained: int) -> Request:
    """Return a request for the verdict on an item and what is needed besides, see `Ledger.find`."""
    asked = {"explain": explained == EXPLAINED, "thumbnail": explained > 0}
    return Request(item.request() | asked, {} if item.data is None else {"data": item.data})


def explain_shown(
    engine: Engine, found: Iterable[Item], ledger: Ledger, most: int, task: Task = RECAPTURE
) -> None:
    """Explain the photographs that a report will show, unless they are explained already.

    Verdicts do not change: a file that can no longer be read, or has changed, gets no explanation.

    Args:
        engine: Engine with a detector.
        found: All items of the scan, in order.
        ledger: Ledger with their verdicts.
        most: Number of photographs that are shown.
        task: Task of the detector.
    """
    missing = ledger.unexplained(most, task)

    def ask(_: int, item: Item) -> Request | None:
        return request_of(item, EXPLAINED)

    def done(_: int, item: Item, reply: Reply) -> None:
        if isinstance(reply, WorkerError) or EXPLANATION not in reply.attached:
            return
        said = reply.content.get("verdict")
        sha256 = str(said.get("sha256")) if isinstance(said, dict) else ""
        ledger.explain(item, sha256, reply.attached[EXPLANATION])

    # Selected by identity, because files may have come and gone since positions were counted.
    for _ in engine.map((item for item in found if item.identity in missing), ask, done):
        pass


def _own_files(out: Path | None, ledger: Path | None, own: Sequence[Path]) -> list[Path]:
    """Return the files a scan writes, including those SQLite creates beside a ledger."""
    beside = [] if ledger is None else [ledger, *(Path(f"{ledger}-{e}") for e in _BESIDE_LEDGER)]
    return [*own, *beside, *([] if out is None else [out])]


def ledger_beside(results: Path) -> Path:
    """Return the default path of the ledger of these results."""
    return results.with_name(f"{results.name}.ledger")


def _read(stdin: BinaryIO | None) -> bytes:
    if stdin is None:
        raise RunError("-: standard input is not available")
    piped = stdin.read(_MOST_PIPED + 1)
    if len(piped) > _MOST_PIPED:
        raise RunError(
            f"-: standard input has more than {_MOST_PIPED:,} bytes; give a file or a folder"
        )
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
