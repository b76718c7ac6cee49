"""Requests to workers: a bounded queue, one worker at a time for each, and answers in words."""

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

_REFUSALS = (413, 415, 422)

_log = logging.getLogger(__name__)


class Service:
    """Two detectors in worker processes, and the queue before them.

    Args:
        accurate: Bundle of the detector that was trained without a defence.
        robust: Bundle of the one that was trained with one.
        settings: Limits.
        loader: What the workers run, as `Pool` takes it.
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

    def start(self) -> None:
        """Load the detectors, unless they are.

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
        _ = self._pool.facts

    def stop(self) -> None:
        """End all workers."""
        if self._pool is not None:
            self._pool.close()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Workers inside.

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
        """The workers.

        Raises:
            RuntimeError: It is not running.
        """
        if self._pool is None:
            raise RuntimeError("the service is not running")
        return self._pool

    @contextmanager
    def place(self) -> Iterator[None]:
        """A place in the queue, from before the request is read until it is answered.

        Raises:
            ProblemError: All are taken.
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
            The verdict, which may be an error; the explanation if there is one; and the status of
            HTTP that fits a file that is all of a request.
        """
        request = {"do": "judge", "detector": detector, "name": upload.name, "explain": explained}
        explanation, status, task = None, 200, self._task(detector)
        sha256 = await self._keep_upload(upload)
        try:
            answer = await self._ask(request, upload.data)
            verdict = Verdict.from_record(answer.content.get("verdict"), upload.name, task)
            if explained and EXPLANATION in answer.attached:
                explanation = Explanation.from_bytes(answer.attached[EXPLANATION])
            status = _refusal(answer) if verdict.verdict == FAILED else 200
        except (WorkerError, ValueError) as error:  # ValueError: it talks nonsense
            reason, bundle = sanitize(str(error)), self.pool.facts[detector]["sha256"]
            verdict = Verdict(
                file=upload.name, verdict=FAILED, reason=reason, detector=bundle, task=task
            )
            status = _status(error)
        verdict = replace(verdict, sha256=sha256)
        return await self._keep_verdict(verdict), explanation, status

    def _task(self, detector: str) -> Task:
        """What a detector decides."""
        return Card.model_validate(self.pool.facts[detector]["card"]).decides

    async def attack(self, upload: Upload, detector: str, method: str, budget: float) -> Answer:
        """Attack a file with the detector known.

        Raises:
            ProblemError: It cannot be read, has nothing to attack, or takes too long.
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
        """Judge files, and tell of them on one page."""
        verdicts, explanations = [], {}
        for upload in uploads:
            verdict, explanation, _ = await self.predict(upload, detector, explained=True)
            verdicts.append(verdict)
            if explanation is not None and verdict.sha256 is not None:
                explanations[verdict.sha256] = explanation
        facts = self.pool.facts[detector]
        make = functools.partial(report_of, verdicts, explanations, facts, self.settings)
        return await anyio.to_thread.run_sync(make)

    async def _ask(self, request: dict[str, Any], data: bytes) -> Answer:
        ask = functools.partial(
            self.pool.run, request, {"data": data}, timeout=self.settings.seconds
        )
        return await anyio.to_thread.run_sync(ask, limiter=self._turns)

    async def _keep_upload(self, upload: Upload) -> str:
        """Keep a file, if files are kept, before a worker sees it; its SHA-256 is returned.

        What cannot be kept is judged all the same: the log says so, and the answer.
        """
        return await anyio.to_thread.run_sync(_write, self.settings.keep, upload)

    async def _keep_verdict(self, verdict: Verdict) -> Verdict:
        """Keep a verdict, if they are kept; a note is added to it if it, or its file, was not."""
        if self.settings.keep is None:
            return verdict
        return await anyio.to_thread.run_sync(_enter, self.settings.keep, verdict)


async def while_wanted(request: Request, work: Callable[[], Awaitable[Outcome]]) -> Outcome:
    """Do work for as long as its client is there; what waits in the queue then leaves it.

    Args:
        request: Read to its end.
        work: What is to be done.

    Raises:
        ClientDisconnect: It has gone.
    """
    done: list[Outcome] = []
    failed: list[Exception] = []
    async with anyio.create_task_group() as group:

        async def finish() -> None:
            try:
                done.append(await work())
            except Exception as error:  # out of the group it would come as a group
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
    """The status that a worker says; one that was taken over may say anything."""
    status = answer.content.get("status")
    return status if status in _REFUSALS else 422


def _write(folder: Path | None, upload: Upload) -> str:
    """Under its hash: no name that was sent becomes part of a path."""
    sha256 = hashlib.sha256(upload.data).hexdigest()
    if folder is None or (folder / sha256).exists():
        return sha256
    try:
        write_atomically(folder / sha256, upload.data)
    except OSError as error:
        _log.error("%s: an upload could not be kept (%s)", folder / sha256, error)
    return sha256


def _enter(folder: Path, verdict: Verdict) -> Verdict:
    """A line of its own; the note is in it, too, unless it is about the line itself."""
    if not (folder / str(verdict.sha256)).exists():
        verdict = replace(verdict, notes=(*verdict.notes, "the file could not be kept"))
    try:
        append_line(folder / "verdicts.jsonl", verdict.as_record())
    except OSError as error:
        _log.error("%s: a verdict could not be kept (%s)", folder / "verdicts.jsonl", error)
        return replace(verdict, notes=(*verdict.notes, "the verdict could not be kept"))
    return verdict
