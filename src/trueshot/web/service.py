"""The service behind the routes: a bounded queue, workers, and verdicts from their answers."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import anyio
import anyio.to_thread
from starlette.requests import ClientDisconnect
from starlette.requests import Request as HttpRequest

from trueshot.card import Card
from trueshot.engines.engine import Reply, Request, Work, answered
from trueshot.engines.pool import Answer, Pool, WorkerError, WorkerTimeoutError
from trueshot.files import append_line, sanitize, write_atomically
from trueshot.inference.explanation import Explanation
from trueshot.scanning.runner import verdict_of
from trueshot.scanning.verdict import EXPLANATION, Verdict
from trueshot.tasks import Task
from trueshot.tasks.task import FAILED
from trueshot.versions import versions
from trueshot.web.problems import ProblemError
from trueshot.web.schemas import ACCURATE, ROBUST
from trueshot.web.settings import ServiceSettings
from trueshot.web.uploads import Upload

Outcome = TypeVar("Outcome")

LOADER = "trueshot.web.worker:load"
KEPT_VERDICTS = "verdicts.jsonl"  # in the folder for uploads

_STATUSES = {"NotAnImageError": 415, "ImageTooLargeError": 413}

_log = logging.getLogger(__name__)


class Service:
    """Two detectors in worker processes, with a queue of requests.

    Args:
        accurate: Bundle of the detector that was trained without a defence.
        robust: Bundle of the detector that was trained with a defence.
        settings: Limits.
        loader: `module:function` that loads the detectors, see `Pool`.

    Attributes:
        facts: Facts about each detector, by name, once started. Unlike `Pool.facts`, reading them
            never waits for detectors that are loaded again.
        tasks: The tasks of the detectors.
    """

    def __init__(
        self, accurate: Path, robust: Path, settings: ServiceSettings, loader: str = LOADER
    ) -> None:
        self.settings = settings
        self.places = settings.at_once + settings.queue
        self.taken = 0
        bundles: dict[str, Any] = {
            ACCURATE: str(accurate.absolute()),
            ROBUST: str(robust.absolute()),
        }
        self._work = Work(
            loader=loader,
            settings=bundles | {"pixel_limit": settings.pixel_limit},
            memory=settings.memory,
            seconds=settings.seconds,
        )
        self._pool: Pool | None = None
        self._turns = anyio.CapacityLimiter(settings.at_once)
        self.facts: dict[str, Any] = {}
        self.tasks: dict[str, Task] = {}

    def start(self) -> None:
        """Load the detectors, unless they are loaded.

        Raises:
            TrueshotError: A detector cannot be loaded.
        """
        if self._pool is None:
            self._pool = self._work.pool(self.settings.at_once)
        self.facts = self._pool.facts
        self.tasks = {
            name: Card.model_validate(self.facts[name]["card"]).decides
            for name in (ACCURATE, ROBUST)
        }

    def stop(self) -> None:
        """End all workers."""
        if self._pool is not None:
            self._pool.close()

    @property
    def pool(self) -> Pool:
        """The pool of workers.

        Raises:
            RuntimeError: The service is not running.
        """
        if self._pool is None:
            raise RuntimeError("the service is not running")
        return self._pool

    @contextmanager
    def place(self) -> Iterator[None]:
        """Hold a place in the queue, from before the request is read until it is answered.

        Raises:
            ProblemError: All places are taken.
        """
        if self.taken >= self.places:
            detail = "the queue is full; try again in a moment"
            raise ProblemError(503, "busy", detail, {"Retry-After": "2"})
        self.taken += 1
        try:
            yield
        finally:
            self.taken -= 1

    async def predict(
        self, upload: Upload, detector: str, explained: bool
    ) -> tuple[Verdict, Explanation | None, int]:
        """Judge a file.

        Returns:
            The verdict, which may be an error; the explanation, if there is one; and the HTTP
            status to use if this file is the whole request.
        """
        request = {"do": "judge", "detector": detector, "name": upload.name, "explain": explained}
        sha256 = await anyio.to_thread.run_sync(_store_upload, self.settings.keep, upload)
        reply = await self._ask(request, upload.data)
        verdict = verdict_of(reply, upload.name, self.tasks[detector])
        status = _status(reply) if verdict.verdict == FAILED else 200
        explanation = None
        if explained and isinstance(reply, Answer) and EXPLANATION in reply.attached:
            with suppress(ValueError):  # damaged: the verdict stands without it, as in a report
                explanation = Explanation.from_bytes(reply.attached[EXPLANATION])
        verdict = replace(verdict, sha256=sha256, detector=self.facts[detector]["sha256"])
        if self.settings.keep is not None:
            verdict = await anyio.to_thread.run_sync(_store_verdict, self.settings.keep, verdict)
        return verdict, explanation, status

    async def attack(self, upload: Upload, detector: str, method: str, budget: float) -> Answer:
        """Attack a file with a white-box attack on the detector.

        Raises:
            ProblemError: The file cannot be read, has nothing to attack, or takes too long.
        """
        request = {"do": "attack", "detector": detector, "name": upload.name}
        await anyio.to_thread.run_sync(_store_upload, self.settings.keep, upload)
        reply = await self._ask(request | {"method": method, "budget": budget}, upload.data)
        refused = reply if isinstance(reply, WorkerError) else reply.content.get("refused")
        if isinstance(reply, WorkerError) or refused is not None:
            detail = f"{upload.name}: {sanitize(str(refused))}"
            raise ProblemError(_status(reply), "file", detail)
        return reply

    async def report(self, uploads: Sequence[Upload], detector: str) -> bytes:
        """Judge files, and return a report on them as one self-contained HTML page."""
        verdicts, explanations = [], {}
        for upload in uploads:
            verdict, explanation, _ = await self.predict(upload, detector, explained=True)
            verdicts.append(verdict)
            if explanation is not None and verdict.sha256 is not None:
                explanations[verdict.sha256] = explanation
        return await anyio.to_thread.run_sync(self._report, verdicts, explanations, detector)

    def _report(
        self, verdicts: list[Verdict], explanations: dict[str, Explanation], detector: str
    ) -> bytes:
        from trueshot.reports.scan_report import scan_report

        return scan_report(
            [verdict.as_record() for verdict in verdicts],
            Card.model_validate(self.facts[detector]["card"]),
            bundle_sha256=self.facts[detector]["sha256"],
            explanations=explanations,
            versions=versions(),
            settings={
                "pixel limit": self.settings.pixel_limit,
                "time limit per file": f"{self.settings.seconds:g} s",
            },
        ).html

    async def _ask(self, content: dict[str, Any], data: bytes) -> Reply:
        request, seconds = Request(content, {"data": data}), self._work.seconds
        return await anyio.to_thread.run_sync(
            answered, self.pool, request, seconds, limiter=self._turns
        )


async def while_wanted(request: HttpRequest, work: Callable[[], Awaitable[Outcome]]) -> Outcome:
    """Do work as long as the client is connected; waiting work then leaves the queue.

    Args:
        request: The request, already read to its end.
        work: The work to do.

    Raises:
        ClientDisconnect: The client has disconnected.
    """
    done: list[Outcome] = []
    failed: list[Exception] = []
    async with anyio.create_task_group() as group:

        async def finish() -> None:
            try:
                done.append(await work())
            except Exception as error:  # the task group would wrap it in an ExceptionGroup
                failed.append(error)
            group.cancel_scope.cancel()

        group.start_soon(finish)
        while (await request.receive())["type"] != "http.disconnect":
            pass
        group.cancel_scope.cancel()
    if failed:
        raise failed[0]
    if not done:
        raise ClientDisconnect
    return done[0]


def _status(reply: Reply) -> int:
    """Return the HTTP status for a file that was not judged or attacked."""
    if isinstance(reply, WorkerTimeoutError):
        return 504
    error = reply.content.get("error") if isinstance(reply, Answer) else None
    return _STATUSES.get(str(error), 422)


def _store_upload(folder: Path | None, upload: Upload) -> str:
    """Store a file before a worker reads it, if uploads are kept; return its SHA-256.

    Its name is its hash: names from clients must not become part of a path. A file that cannot be
    stored is judged all the same; the log and the answer mention it.
    """
    sha256 = hashlib.sha256(upload.data).hexdigest()
    if folder is None or (folder / sha256).exists():
        return sha256
    try:
        write_atomically(folder / sha256, upload.data)
    except OSError as error:
        _log.error("%s: an upload could not be stored (%s)", folder / sha256, error)
    return sha256


def _store_verdict(folder: Path, verdict: Verdict) -> Verdict:
    """Append a verdict to the file of verdicts, with notes on what could not be stored."""
    if not (folder / str(verdict.sha256)).exists():
        verdict = replace(verdict, notes=(*verdict.notes, "the file could not be stored"))
    try:
        append_line(folder / KEPT_VERDICTS, verdict.as_record())
    except OSError as error:
        _log.error("%s: a verdict could not be stored (%s)", folder / KEPT_VERDICTS, error)
        return replace(verdict, notes=(*verdict.notes, "the verdict could not be stored"))
    return verdict
