"""Worker processes that may hang, crash or exhaust memory: only the current item fails."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import threading
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from trueshot.engines.fork_server import Attached, ForkServer, Worker
from trueshot.errors import RunError, TrueshotError

DEFAULT_MEMORY = 4 * 2**30
DEFAULT_SECONDS = 60.0
MOST_SECONDS = 1_000_000.0  # sockets do not support longer timeouts


class Closing(ABC):
    """An object that is closed at the end of its `with` block, however that ends."""

    @abstractmethod
    def close(self) -> None:
        """Release all resources."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class WorkerError(TrueshotError):
    """A request without an answer, because of time, memory or a crash of the decoder."""


class WorkerTimeoutError(WorkerError):
    """A worker exceeded the time limit."""


@dataclass(frozen=True)
class Answer:
    """The answer of a worker: JSON values, and bytes by name."""

    content: dict[str, Any]
    attached: Attached


class Pool(Closing):
    """Supervised worker processes; any number of threads may send requests concurrently.

    The detector is loaded once, in a process from which workers are forked as needed. A worker
    that does not answer in time is killed, one that dies is replaced, and other requests are not
    affected. If a worker dies, its request is tried once more in a new one, because a process may
    die for external reasons (the system is short of memory); after a timeout it is not.

    Args:
        loader: `module:function`; called once with the settings, in a separate process. It
            returns a handler and facts: the handler takes a request and the attached bytes, in
            any of the workers, and returns an answer and attached bytes.
        settings: Settings for the loader, as JSON values.
        workers: Number of requests processed concurrently; by default all cores.
        memory: Bytes a worker may allocate on top of what the loader uses, if the system can
            enforce it; None means no limit.
    """

    def __init__(
        self,
        loader: str,
        settings: Mapping[str, Any] | None = None,
        *,
        workers: int | None = None,
        memory: int | None = DEFAULT_MEMORY,
    ) -> None:
        self.workers = workers or cores()
        self._start = (loader, dict(settings or {}), memory)
        self._lock = threading.Lock()
        self._closed = False
        self._fork_server = ForkServer(*self._start)
        self._idle: queue.LifoQueue[Worker | None] = queue.LifoQueue()
        for _ in range(self.workers):
            self._idle.put(None)  # a slot, filled with a process when it is needed

    @property
    def facts(self) -> dict[str, Any]:
        """Facts that the loader returned; waits until they are available.

        Raises:
            TrueshotError: Loading failed; this is the error that the loader raised.
        """
        return self._fork_server.facts()

    def run(
        self,
        request: Mapping[str, Any],
        attached: Mapping[str, bytes] | None = None,
        *,
        timeout: float = DEFAULT_SECONDS,
    ) -> Answer:
        """Send a request to the next free worker and return its answer.

        Args:
            request: Request for the handler, as JSON values.
            attached: Bytes for the handler, by name.
            timeout: Time limit in seconds, once a worker is free.

        Raises:
            WorkerTimeoutError: The worker exceeded the time limit.
            WorkerError: The worker died, or the handler raised.
            RunError: The pool is closed.
        """
        death = WorkerError("its worker process died")
        for _ in range(2):
            try:
                return self._try(request, attached or {}, timeout)
            except _DeathError as error:
                death = WorkerError(str(error))
        raise death

    def close(self) -> None:
        """End all processes; pending calls of `run` raise a `RunError`."""
        with self._lock:
            self._closed = True
        self._fork_server.close()
        workers = []
        with contextlib.suppress(queue.Empty):
            while True:
                workers.append(self._idle.get_nowait())
        for worker in workers:
            _let_go(worker)
            self._idle.put(None)  # a waiting thread gets this slot and sees the pool is closed

    def _try(
        self, request: Mapping[str, Any], attached: Mapping[str, bytes], timeout: float
    ) -> Answer:
        worker = self._idle.get()
        try:
            self._refuse_if_closed()
            worker = worker or self._new_worker()
            content, blobs = worker.ask(request, attached, timeout)
            if content.get("failed") == "memory":  # its state is unknown
                worker.end(at_once=True)
                worker = None
        except (EOFError, OSError, ValueError) as error:  # includes TimeoutError, an OSError
            late = isinstance(error, TimeoutError)
            status = None if worker is None else worker.end(at_once=late)
            worker = None
            self._refuse_if_closed()
            if late:
                raise WorkerTimeoutError(f"took longer than {timeout:g} s") from None
            raise _DeathError(_death(status)) from None
        except BaseException:
            if worker is not None:
                worker.end(at_once=True)
            worker = None
            raise
        finally:
            if self._closed:
                _let_go(worker)
                worker = None
            self._idle.put(worker)
        if "failed" in content:
            raise WorkerError(self._failure(content["failed"]))
        return Answer(content, blobs)

    def _new_worker(self) -> Worker:
        fork_server = self._fork_server
        try:
            return fork_server.fork()
        except OSError:
            with self._lock:
                if self._fork_server is fork_server and not self._closed:  # not replaced yet
                    fork_server.close()
                    self._fork_server = ForkServer(*self._start)
                fork_server = self._fork_server
            self._refuse_if_closed()
            return fork_server.fork()

    def _failure(self, what: object) -> str:
        if not isinstance(what, str):  # a file may have compromised the worker
            return "could not be judged: its worker process sent an invalid answer"
        if what != "memory":
            return f"could not be judged ({what})"
        memory = self._start[2]
        limit = f"the limit of {memory / 2**30:.1f} GiB" if memory else "there is"
        return f"needs more memory than {limit}; make it smaller, or allow more memory"

    def _refuse_if_closed(self) -> None:
        if self._closed:
            raise RunError("the pool of workers is closed")


def _let_go(worker: Worker | None) -> None:
    if worker is not None:
        worker.connection.close()


class _DeathError(Exception):
    """A worker died; the message says how."""


def cores() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _death(status: int | None) -> str:
    if status is None:
        return "its worker process died"
    if status < 0:
        with contextlib.suppress(ValueError):
            return f"its worker process died (signal {-status}, {signal.Signals(-status).name})"
        return f"its worker process died (signal {-status})"
    return f"its worker process ended without an answer (exit status {status})"
