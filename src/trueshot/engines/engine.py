"""The interface of engines, which run work over many items, and the engine of this machine.

Work consists of a loader that each process calls once, and of requests that its handler answers one
by one. Both are data; no code is sent. Scans, simulations and evaluations process their items with
`Engine.map`, whichever engine runs them.
"""

from __future__ import annotations

import queue
from abc import abstractmethod
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import Any, TypeVar

from trueshot.engines.pool import (
    DEFAULT_MEMORY,
    DEFAULT_SECONDS,
    Answer,
    Closing,
    Pool,
    WorkerError,
)
from trueshot.errors import RunError

# Limits per worker: requests that are running or queued, and outcomes that wait for an earlier one,
# which may hang until its time limit.
_AT_ONCE, _AHEAD = 4, 2048

_Item = TypeVar("_Item")
_Outcome = TypeVar("_Outcome")

Reply = Answer | WorkerError
"""The outcome of one request: an answer, or an error that concerns this request only."""


@dataclass(frozen=True, kw_only=True)
class Work:
    """What each process loads once in order to answer requests.

    Args:
        loader: `module:function`, see `Pool`.
        settings: Settings for the loader, as JSON values.
        files: Names of the settings that are paths of files, for machines without these files.
        memory: Bytes a worker may allocate on top of what the loader uses; None means no limit.
        seconds: Time limit of one request.
    """

    loader: str
    settings: Mapping[str, Any]
    files: tuple[str, ...] = ()
    memory: int | None = DEFAULT_MEMORY
    seconds: float = DEFAULT_SECONDS

    def pool(self, workers: int | None = None) -> Pool:
        """Return a pool of processes on this machine that do this work."""
        return Pool(self.loader, self.settings, workers=workers, memory=self.memory)


@dataclass(frozen=True)
class Request:
    """A request to a handler: JSON values, and bytes by name."""

    content: Mapping[str, Any]
    attached: Mapping[str, bytes] = field(default_factory=dict)


Course = Generator[Sequence[Request], tuple[Request, Reply], _Outcome]
"""A generator for work with steps that depend on each other. It yields requests that can be
answered now, is sent each request with its reply as replies come in, and returns its outcome."""


def gather(
    requests: Sequence[Request], done: Callable[[Request], None] = lambda request: None
) -> Course[list[Answer]]:
    """Send all requests at once and wait for all answers.

    Args:
        requests: The requests.
        done: Called with each request when its answer has arrived.

    Returns:
        The answers, in the order of the requests.

    Raises:
        RunError: One of the requests got no answer.
    """
    answers: dict[int, Answer] = {}
    new = requests
    while len(answers) < len(requests):
        request, reply = yield new
        if isinstance(reply, WorkerError):
            raise RunError(str(reply)) from reply
        new, answers[id(request)] = (), reply
        done(request)
    return [answers[id(request)] for request in requests]


def abreast(courses: Sequence[Course[_Outcome]]) -> Course[list[_Outcome]]:
    """Run several independent courses side by side, and return their outcomes in order."""
    outcomes: dict[int, _Outcome] = {}
    asked_by: dict[int, int] = {}

    def go_on(number: int, begin: Callable[[], Sequence[Request]]) -> Sequence[Request]:
        try:
            new = begin()
        except StopIteration as end:
            outcomes[number] = end.value
            return ()
        asked_by.update((id(request), number) for request in new)
        return new

    begun = [go_on(n, partial(next, course)) for n, course in enumerate(courses)]
    new: Sequence[Request] = [request for some in begun for request in some]
    while len(outcomes) < len(courses):
        request, reply = yield new
        number = asked_by.pop(id(request))
        new = go_on(number, partial(courses[number].send, (request, reply)))
    return [outcomes[number] for number in range(len(courses))]


def follow_here(course: Course[_Outcome], answer: Callable[[Request], Answer]) -> _Outcome:
    """Run a course in this process; requests that follow from a reply go before all others."""
    waiting: deque[Request] = deque()
    try:
        waiting += next(course)
        while True:
            request = waiting.popleft()
            waiting.extendleft(reversed(course.send((request, answer(request)))))
    except StopIteration as end:
        outcome: _Outcome = end.value
        return outcome


class Engine(Closing):
    """A context manager for processes that answer requests, here or elsewhere.

    A subclass defines how requests are started (`submit`) and replies received (`collect`). The
    order of outcomes, the number of open requests and the handling of interruptions are the same
    for all engines.
    """

    @property
    @abstractmethod
    def workers(self) -> int:
        """Number of requests answered concurrently."""

    @property
    @abstractmethod
    def facts(self) -> dict[str, Any]:
        """Facts that the loader returned about what it loaded.

        Raises:
            TrueshotError: Loading failed.
        """

    def map(
        self,
        items: Iterable[_Item],
        ask: Callable[[int, _Item], Request | _Outcome],
        done: Callable[[int, _Item, Reply], _Outcome],
    ) -> Iterator[_Outcome]:
        """Process items on all workers, and yield outcomes in the order of the items.

        Args:
            items: The items, taken as capacity becomes free.
            ask: Returns the request for the item with this index, or its outcome if already known.
            done: Turns a reply into an outcome and stores it. It is called in this thread as soon
                as the reply has arrived, in any order, and also for replies that have arrived when
                the iteration is stopped early.

        Raises:
            TrueshotError: The work cannot be loaded.
        """
        numbered = enumerate(items)
        under_way: dict[int, _Item] = {}
        ready: dict[int, _Outcome] = {}
        told = taken = 0
        more = True

        def take(number: int, item: _Item) -> None:
            asked = ask(number, item)
            if isinstance(asked, Request):
                under_way[number] = item
                self.submit(number, asked)
            else:
                ready[number] = asked

        def enter(number: int, reply: Reply) -> None:
            ready[number] = done(number, under_way.pop(number), reply)

        def has_room() -> bool:
            few = len(under_way) < _AT_ONCE * self.workers
            return few and taken - told < _AHEAD * self.workers and told not in ready

        self.begin()
        try:
            while more or under_way or ready:
                while more and has_room():
                    entry = next(numbered, None)
                    if entry is None:
                        more = False
                    else:
                        take(*entry)
                        taken += 1
                if told not in ready and under_way and (reply := self.collect(wait=True)):
                    enter(*reply)
                while told in ready:
                    told += 1
                    yield ready.pop(told - 1)
        finally:
            self.stop()
            while reply := self.collect(wait=False):  # keep what is done, even if interrupted
                enter(*reply)

    def follow(self, course: Course[_Outcome], shared: Mapping[str, Any]) -> _Outcome:
        """Run a course on all workers.

        Args:
            course: The course; it gets replies as they arrive, in any order.
            shared: Content that is added to every request.

        Raises:
            TrueshotError: The work cannot be loaded, or the course raised it.
        """
        numbers = count()
        under_way: dict[int, Request] = {}

        def ask(requests: Sequence[Request]) -> None:
            for request in requests:
                number = next(numbers)
                under_way[number] = request
                self.submit(number, Request({**shared, **request.content}, request.attached))

        def enter(number: int, reply: Reply) -> Sequence[Request]:
            return course.send((under_way.pop(number), reply))

        self.begin()
        try:
            ask(next(course))
            while under_way and (reply := self.collect(wait=True)):
                ask(enter(*reply))
            raise RunError("the course has no more requests, but did not return an outcome")
        except StopIteration as end:
            outcome: _Outcome = end.value
            return outcome
        finally:
            self.stop()
            course.close()

    @abstractmethod
    def begin(self) -> None:
        """Prepare for `submit`, discarding earlier requests."""

    @abstractmethod
    def submit(self, number: int, request: Request) -> None:
        """Start a request, or queue it until a worker is free, without waiting."""

    @abstractmethod
    def collect(self, *, wait: bool) -> tuple[int, Reply] | None:
        """Return the next reply with the number of its request, or None if there is none (yet)."""

    @abstractmethod
    def stop(self) -> None:
        """Discard requests that have not started, without waiting."""


class LocalEngine(Engine):
    """The engine of this machine, with the processes of a `Pool`.

    Args:
        work: The work of the processes.
        workers: Number of processes; by default all cores.
    """

    def __init__(self, work: Work, workers: int | None = None) -> None:
        self._seconds = work.seconds
        self.pool = work.pool(workers)
        self.begin()

    @property
    def workers(self) -> int:
        """Number of processes."""
        return self.pool.workers

    @property
    def facts(self) -> dict[str, Any]:
        """See `Pool.facts`."""
        return self.pool.facts

    def begin(self) -> None:
        """Create the threads that send requests, at most one per process, started as needed."""
        self._threads = ThreadPoolExecutor(self.pool.workers, "engine")
        self._done: queue.SimpleQueue[tuple[int, Future[Reply]]] = queue.SimpleQueue()

    def submit(self, number: int, request: Request) -> None:
        """See `Engine`."""
        done = self._done
        future = self._threads.submit(answered, self.pool, request, self._seconds)
        future.add_done_callback(lambda future: done.put((number, future)))

    def collect(self, *, wait: bool) -> tuple[int, Reply] | None:
        """See `Engine`."""
        while True:
            try:
                number, future = self._done.get(block=wait)
            except queue.Empty:
                return None
            if not future.cancelled():
                return number, future.result()

    def stop(self) -> None:
        """See `Engine`."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def close(self) -> None:
        """See `Engine`."""
        self.pool.close()


def answered(pool: Pool, request: Request, seconds: float) -> Reply:
    """Return a pool's reply to one request.

    Raises:
        TrueshotError: The work cannot be loaded, or the pool is closed.
    """
    try:
        return pool.run(request.content, request.attached, timeout=seconds)
    except WorkerError as error:
        return error


def open_engine(
    name: str, work: Work, *, workers: int | None = None, address: str | None = None
) -> Engine:
    """Open the engine of this name.

    Args:
        name: "local" or "ray".
        work: The work of its processes.
        workers: Number of processes on this machine; by default all cores.
        address: Address of the Ray cluster; see `RayEngine`.

    Raises:
        RunError: The name is unknown, Ray is not installed, there is no cluster, or this machine
            got an address.
    """
    if name == "local":
        if address is not None:
            raise RunError(
                "the address of a Ray cluster is only used with the engine ray; choose that engine "
                "(--engine ray), or leave out the address"
            )
        return LocalEngine(work, workers)
    if name == "ray":
        from trueshot.engines.ray_cluster import RayEngine

        return RayEngine(work, address)
    raise RunError(f"unknown engine {name}; choose local or ray")
