"""Worker processes that may hang, die or eat memory: only the item at hand becomes an error."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from trueshot.engines.closing import Closing
from trueshot.engines.fork_server import Attached, ForkServer, Worker
from trueshot.errors import RunError, TrueshotError

DEFAULT_MEMORY = 4 * 2**30
DEFAULT_SECONDS = 60.0
MOST_SECONDS = 1_000_000.0  # what is longer no socket waits for


class WorkerError(TrueshotError):
    """A request that got no answer, for want of time, memory or a whole decoder."""


class WorkerTimeoutError(WorkerError):
    """A worker took longer than it may."""


@dataclass(frozen=True)
class Answer:
    """What a worker said: what JSON can hold, and bytes by name."""

    content: dict[str, Any]
    attached: Attached


class Pool(Closing):
    """Supervised worker processes; any number of threads may ask at once.

    The detector is loaded once, in a process from which workers are forked as they are needed. A
    worker that does not answer in time is killed, one that dies is replaced, and no other request
    notices. What a worker died of is tried once more, in a fresh one, since a process may die of
    what others do (the system's want of memory); what takes too long is not.

    Args:
        loader: `module:function`; called once with the settings, in a process of its own. It
            returns a handler and facts: the handler takes a request and the attached bytes, in
            any of the workers, and returns an answer and attached bytes.
        settings: For the loader; what JSON can hold.
        workers: How many requests are worked at once; all cores, if not said.
        memory: Bytes that a worker may take beyond what is loaded, where the system can hold it
            to that; None for no limit.
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
        self._idle: queue.LifoQueue[tuple[ForkServer, Worker] | None] = queue.LifoQueue()
        for _ in range(self.workers):
            self._idle.put(None)  # a place, taken by a process when it is needed

    @property
    def facts(self) -> dict[str, Any]:
        """What the loader said of what it loaded; waits until it has.

        Raises:
            TrueshotError: It could not be loaded; the error that the loader raised.
        """
        return self._fork_server.facts()

    def run(
        self,
        request: Mapping[str, Any],
        attached: Mapping[str, bytes] | None = None,
        *,
        timeout: float = DEFAULT_SECONDS,
    ) -> Answer:
        """Have a request answered, once a worker is free.

        Args:
            request: For the handler; what JSON can hold.
            attached: Bytes for the handler, by name.
            timeout: Seconds that a worker may take.

        Raises:
            WorkerTimeoutError: It took longer.
            WorkerError: It died, or raised.
            RunError: The pool is closed.
        """
        death = WorkerError("its decoder died")
        for _ in range(2):
            try:
                return self._try(request, attached or {}, timeout)
            except _DeathError as error:
                death = WorkerError(str(error))
        raise death

    def close(self) -> None:
        """End all processes; whoever still waits for an answer gets a `RunError`."""
        with self._lock:
            self._closed = True
        self._fork_server.close()
        places = []
        with contextlib.suppress(queue.Empty):
            while True:
                places.append(self._idle.get_nowait())
        for place in places:
            _let_go(place)
            self._idle.put(None)  # who waits for a place comes in, and sees that it is closed

    def _try(
        self, request: Mapping[str, Any], attached: Mapping[str, bytes], timeout: float
    ) -> Answer:
        place = self._idle.get()
        try:
            self._refuse_if_closed()
            place = place or self._new_worker()
            content, blobs = place[1].ask(request, attached, timeout)
            if content.get("failed") == "memory":  # who knows what it left undone
                self._end(place, at_once=True)
                place = None
        except (EOFError, OSError, ValueError) as error:  # a TimeoutError is an OSError
            late = isinstance(error, TimeoutError)
            status = self._end(place, at_once=late)
            place = None
            self._refuse_if_closed()
            if late:
                raise WorkerTimeoutError(f"took longer than {timeout:g} s") from None
            raise _DeathError(_death(status)) from None
        except BaseException:
            self._end(place, at_once=True)
            place = None
            raise
        finally:
            if self._closed:
                _let_go(place)
                place = None
            self._idle.put(place)
        if "failed" in content:
            raise WorkerError(self._failure(content["failed"]))
        return Answer(content, blobs)

    def _new_worker(self) -> tuple[ForkServer, Worker]:
        fork_server = self._fork_server
        try:
            return fork_server, fork_server.fork()
        except OSError:
            with self._lock:
                if self._fork_server is fork_server and not self._closed:  # the first to notice
                    fork_server.close()
                    self._fork_server = ForkServer(*self._start)
                fork_server = self._fork_server
            self._refuse_if_closed()
            return fork_server, fork_server.fork()

    def _end(self, place: tuple[ForkServer, Worker] | None, *, at_once: bool) -> int | None:
        if place is None:
            return None
        fork_server, worker = place
        with contextlib.suppress(OSError):
            return fork_server.end(worker, at_once=at_once)
        return None

    def _failure(self, what: object) -> str:
        if not isinstance(what, str):  # a worker may have been taken over by what it read
            return "could not be judged, and its decoder says nothing sensible"
        if what != "memory":
            return f"could not be judged ({what})"
        memory = self._start[2]
        limit = f"the {memory / 2**30:.1f} GiB that it may take" if memory else "there is"
        return f"needs more memory than {limit}; make it smaller, or allow more"

    def _refuse_if_closed(self) -> None:
        if self._closed:
            raise RunError("the pool of workers is closed")


def _let_go(place: tuple[ForkServer, Worker] | None) -> None:
    if place is not None:
        place[1].connection.close()


class _DeathError(Exception):
    """A worker died; how."""


def cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _death(status: int | None) -> str:
    if status is None:
        return "its decoder died"
    if status < 0:
        with contextlib.suppress(ValueError):
            return f"its decoder died (signal {-status}, {signal.Signals(-status).name})"
        return f"its decoder died (signal {-status})"
    return f"its decoder ended without an answer (exit status {status})"
