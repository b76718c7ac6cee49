"""The service behind the routes: a bounded queue, workers, and verdicts from their answers."""

from __future__ import annotations

import functools
import hashlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import anyio
import anyio.to_thread
from starlette.requests import ClientDisconnect, Request

from trueshot.card import Card
from trueshot.engines.pool import Answer, Pool, WorkerError, WorkerTimeoutError
from trueshot.files import append_line, sanitize, write_atomically
from trueshot.inference.explanation import Explanation
from trueshot.scanning.verdict import EXPLANATION, Verdict
from trueshot.tasks import Task
from trueshot.tasks.task import FAILED
from trueshot.web.problems import ProblemError, busy
from trueshot.web.reporting import report_of
from trueshot.web.schemas import ACCURATE, ROBUST
from trueshot.web.settings import ServiceSettings
from trueshot.web.uploads import Upload

Outcome = TypeVar("Outcome")

LOADER = "trueshot.web.worker:load"
KEPT_VERDICTS = "verdicts.jsonl"  # in the folder for uploads

_REFUSALS = (413, 415, 422)

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
        self._bundles = {ACCURATE: str(accurate.absolute()), ROBUST: str(robust.absolute())}
        self._loader = loader
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
            limits = {"pixel_limit": self.settings.pixel_limit}
            self._pool = Pool(
                self._loader,
                self._bundles | limits,
                workers=self.settings.at_once,
                memory=self.settings.memory,
            )
        self.facts = self._pool.facts
        self.tasks = {
            name: Card.model_validate(self.facts[name]["card"]).decides for name in self._bundles
        }

    def stop(self) -> None:
        """End all workers."""
        if self._pool is not None:
            self._pool.close()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run the workers inside this context.

        Raises:
            TrueshotError: A detector cannot be loaded.
        """
        try:
            await anyio.to_thread.run_sync(self.start)
            yield
        finally:
            await anyio.to_thread.run_sync(self.stop)

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
            raise busy()
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
        explanation, status, task = None, 200, self.tasks[detector]
        sha256 = await self._keep_upload(upload)
        try:
            answer = await self._ask(request, upload.data)
            verdict = Verdict.from_record(answer.content.get("verdict"), upload.name, task)
            if explained and EXPLANATION in answer.attached:
                explanation = Explanation.from_bytes(answer.attached[EXPLANATION])
            status = _refusal(answer) if verdict.verdict == FAILED else 200
        except (WorkerError, ValueError) as error:  # ValueError: the answer is invalid
            reason, bundle = sanitize(str(error)), self.facts[detector]["sha256"]
            verdict = Verdict(
                file=upload.name, verdict=FAILED, reason=reason, detector=bundle, task=task
            )
            status = _status(error)
        verdict = replace(verdict, sha256=sha256)
        return await self._keep_verdict(verdict), explanation, status

    async def attack(self, upload: Upload, detector: str, method: str, budget: float) -> Answer:
        """Attack a file with a white-box attack on the detector.

        Raises:
            ProblemError: The file cannot be read, has nothing to attack, or takes too long.
        """
        request = {"do": "attack", "detector": detector, "name": upload.name}
        await self._keep_upload(upload)
        try:
            answer = await self._ask(request | {"method": method, "budget": budget}, upload.data)
        except WorkerError as error:
            status = _status(error)
            raise ProblemError(status, "file", f"{upload.name}: {error}") from error
        if "refused" in answer.content:
            detail = f"{upload.name}: {sanitize(str(answer.content['refused']))}"
            raise ProblemError(_refusal(answer), "file", detail)
        return answer

    async def report(self, uploads: Sequence[Upload], detector: str) -> bytes:
        """Judge files, and return a report on them as one HTML page."""
        verdicts, explanations = [], {}
        for upload in uploads:
            verdict, explanation, _ = await self.predict(upload, detector, explained=True)
            verdicts.append(verdict)
            if explanation is not None and verdict.sha256 is not None:
                explanations[verdict.sha256] = explanation
        facts = self.facts[detector]
        make = functools.partial(report_of, verdicts, explanations, facts, self.settings)
        return await anyio.to_thread.run_sync(make)

    async def _ask(self, request: dict[str, Any], data: bytes) -> Answer:
        ask = functools.partial(
            self.pool.run, request, {"data": data}, timeout=self.settings.seconds
        )
        return await anyio.to_thread.run_sync(ask, limiter=self._turns)

    async def _keep_upload(self, upload: Upload) -> str:
        """Store a file before a worker reads it, if uploads are kept; return its SHA-256.

        A file that cannot be stored is judged all the same; the log and the answer mention it.
        """
        return await anyio.to_thread.run_sync(_write, self.settings.keep, upload)

    async def _keep_verdict(self, verdict: Verdict) -> Verdict:
        """Store a verdict, if verdicts are kept; add a note if it or its file was not stored."""
        if self.settings.keep is None:
            return verdict
        return await anyio.to_thread.run_sync(_enter, self.settings.keep, verdict)


async def while_wanted(request: Request, work: Callable[[], Awaitable[Outcome]]) -> Outcome:
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


def _status(error: Exception) -> int:
    return 504 if isinstance(error, WorkerTimeoutError) else 422


def _refusal(answer: Answer) -> int:
    """Return a worker's HTTP status if it is an allowed one; a compromised worker may say any."""
    status = answer.content.get("status")
    return status if status in _REFUSALS else 422


def _write(folder: Path | None, upload: Upload) -> str:
    """Store an upload under its hash: names from clients must not become part of a path."""
    sha256 = hashlib.sha256(upload.data).hexdigest()
    if folder is None or (folder / sha256).exists():
        return sha256
    try:
        write_atomically(folder / sha256, upload.data)
    except OSError as error:
        _log.error("%s: an upload could not be stored (%s)", folder / sha256, error)
    return sha256


def _enter(folder: Path, verdict: Verdict) -> Verdict:
    """Append a verdict to the file of verdicts, with notes on what could not be stored."""
    if not (folder / str(verdict.sha256)).exists():
        verdict = replace(verdict, notes=(*verdict.notes, "the file could not be stored"))
    try:
        append_line(folder / KEPT_VERDICTS, verdict.as_record())
    except OSError as error:
        _log.error("%s: a verdict could not be stored (%s)", folder / KEPT_VERDICTS, error)
        return replace(verdict, notes=(*verdict.notes, "the verdict could not be stored"))
    return verdict
