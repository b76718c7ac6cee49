"""Requests to workers: a bounded queue, one worker at a time for each, and answers in words."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, TypeVar

import anyio
import anyio.to_thread
from starlette.requests import ClientDisconnect, Request

from trueshot.files import append_line, write_atomically
from trueshot.judging.evidence import Explanation
from trueshot.scanning.pool import Answer, Pool, WorkerError
from trueshot.scanning.verdicts import Verdict
from trueshot.web.answers import EXPLANATION, PLAIN, ROBUST
from trueshot.web.limits import ServiceSettings
from trueshot.web.problems import ProblemError, busy
from trueshot.web.reporting import report_of
from trueshot.web.uploads import Upload

Outcome = TypeVar("Outcome")

LOADER = "trueshot.web.work:load"

_LATE = "took longer"


class Service:
    """Two detectors in worker processes, and the queue before them.

    Args:
        plain: Bundle of the detector that was trained without a defence.
        robust: Bundle of the one that was trained with one.
        settings: Limits.
        loader: What the workers run, as `Pool` takes it.
    """

    def __init__(
        self, plain: Path, robust: Path, settings: ServiceSettings, loader: str = LOADER
    ) -> None:
        self.settings = settings
        self.places = settings.at_once + settings.queue
        self.taken = 0
        self._bundles = {PLAIN: str(plain.absolute()), ROBUST: str(robust.absolute())}
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

    async def judge(
        self, upload: Upload, detector: str, explained: bool
    ) -> tuple[Verdict, Explanation | None, int]:
        """Judge a file.

        Returns:
            The verdict, which may be an error; the explanation if there is one; and the status of
            HTTP that fits a file that is all of a request.
        """
        request = {"do": "judge", "detector": detector, "name": upload.name, "explain": explained}
        try:
            answer = await self._ask(request, upload.data)
        except WorkerError as error:
            return self._lost(upload, detector, error)
        verdict = Verdict.from_record(answer.content["verdict"])
        await self._keep(upload, verdict)
        data = answer.attached.get(EXPLANATION)
        explanation = None if data is None else Explanation.from_bytes(data)
        return verdict, explanation, answer.content.get("status", 200)

    async def attack(self, upload: Upload, detector: str, method: str, budget: float) -> Answer:
        """Attack a file with the detector known.

        Raises:
            ProblemError: It cannot be read, has nothing to attack, or takes too long.
        """
        request = {"do": "attack", "detector": detector, "name": upload.name}
        try:
            answer = await self._ask(request | {"method": method, "budget": budget}, upload.data)
        except WorkerError as error:
            status = _status(error)
            raise ProblemError(status, "file", f"{upload.name}: {error}") from error
        if "refused" in answer.content:
            detail = f"{upload.name}: {answer.content['refused']}"
            raise ProblemError(answer.content["status"], "file", detail)
        return answer

    async def report(self, uploads: Sequence[Upload], detector: str) -> bytes:
        """Judge files, and tell of them on one page."""
        verdicts, explanations = [], {}
        for upload in uploads:
            verdict, explanation, _ = await self.judge(upload, detector, explained=True)
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

    def _lost(self, upload: Upload, detector: str, error: WorkerError) -> tuple[Verdict, None, int]:
        sha256 = self.pool.facts[detector]["sha256"]
        verdict = Verdict(file=upload.name, verdict="error", reason=str(error), detector=sha256)
        return verdict, None, _status(error)

    async def _keep(self, upload: Upload, verdict: Verdict) -> None:
        folder = self.settings.keep
        if folder is not None and verdict.sha256 is not None:
            await anyio.to_thread.run_sync(_write, folder, upload.data, verdict)


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


def _status(error: WorkerError) -> int:
    return 504 if str(error).startswith(_LATE) else 422


def _write(folder: Path, data: bytes, verdict: Verdict) -> None:
    """Under its hash: no name that was sent becomes part of a path."""
    assert verdict.sha256 is not None
    path = folder / verdict.sha256
    if not path.exists():
        write_atomically(path, data)
    append_line(folder / "verdicts.jsonl", verdict.as_record())
