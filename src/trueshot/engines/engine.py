"""One seam for work over many items: what an engine is, and the engine of this machine.

Work is a loader that each process calls once, and requests that its handler then answers, one by
one; both are data, not code that is sent. A scan, a simulation and an evaluation go over their
items by `Engine.map`, whichever engine does it.
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

from trueshot.engines.closing import Closing
from trueshot.engines.pool import DEFAULT_MEMORY, DEFAULT_SECONDS, Answer, Pool, WorkerError
from trueshot.errors import RunError

__all__ = [
    "Answer",
    "Course",
    "Engine",
    "LocalEngine",
    "Reply",
    "Request",
    "Work",
    "WorkerError",
    "abreast",
    "answered",
    "follow_here",
    "gather",
    "open_engine",
]

# For each worker: requests that are under way or next, and outcomes that wait for one before them,
# which may hang until its time is up.
_AT_ONCE, _AHEAD = 4, 2048

_Item = TypeVar("_Item")
_Outcome = TypeVar("_Outcome")

Reply = Answer | WorkerError
"""What came of a request: an error is one of that request alone."""


@dataclass(frozen=True, kw_only=True)
class Work:
    """What is loaded, once in each process, to answer requests.

    Args:
        loader: `module:function`, see `Pool`.
        settings: For the loader; what JSON can hold.
        files: Names of the settings that are paths of files, for machines that do not have them.
        memory: Bytes that a worker may take beyond what is loaded; None for no limit.
        seconds: That a request may take.
    """

    loader: str
    settings: Mapping[str, Any]
    files: tuple[str, ...] = ()
    memory: int | None = DEFAULT_MEMORY
    seconds: float = DEFAULT_SECONDS

    def pool(self, workers: int | None = None) -> Pool:
        """Processes of this machine that do it."""
        return Pool(self.loader, self.settings, workers=workers, memory=self.memory)


@dataclass(frozen=True)
class Request:
    """What a handler is asked: what JSON can hold, and bytes by name."""

    content: Mapping[str, Any]
    attached: Mapping[str, bytes] = field(default_factory=dict)


Course = Generator[Sequence[Request], tuple[Request, Reply], _Outcome]
"""Work of which one step waits for another: it yields requests that can be answered now, and is
sent each of them with its reply, as they come in; what it returns is its outcome."""


def gather(
    requests: Sequence[Request], done: Callable[[Request], None] = lambda request: None
) -> Course[list[Answer]]:
    """Ask for all at once, and wait for all.

    Args:
        requests: What to ask.
        done: Told of each when its answer is there.

    Returns:
        The answers, in the order of the requests.

    Raises:
        RunError: There is no answer to one of them.
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
    """Several courses as one, none of which waits for another; their outcomes, in order."""
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
    """Go through a course in this process: what a request leads to comes before the next one."""
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
    """Processes that answer requests, here or elsewhere; the context ends them.

    An engine says how requests are begun (`submit`) and replies come in (`collect`); their order,
    how many are under way, and what is left when the work is interrupted are the same for all.
    """

    @property
    @abstractmethod
    def workers(self) -> int:
        """Requests that are answered at once."""

    @property
    @abstractmethod
    def facts(self) -> dict[str, Any]:
        """What the loader says of what it loaded.

        Raises:
            TrueshotError: It could not be loaded.
        """

    def map(
        self,
        items: Iterable[_Item],
        ask: Callable[[int, _Item], Request | _Outcome],
        done: Callable[[int, _Item, Reply], _Outcome],
    ) -> Iterator[_Outcome]:
        """Go over items on all workers; outcomes come in the order of the items.

        Args:
            items: Taken as there is room for them.
            ask: The request for an item of this number, or its outcome, if that is known already.
            done: Makes the outcome of a reply, and keeps it. Called in this thread as soon as the
                reply is there, whatever the order, and not lost when the work is left early.

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
            while reply := self.collect(wait=False):  # interrupted: what is done is not lost
                enter(*reply)

    def follow(self, course: Course[_Outcome], shared: Mapping[str, Any]) -> _Outcome:
        """Go through a course on all workers.

        Args:
            course: Its replies come as they are there, in any order.
            shared: Goes with the content of every request.

        Raises:
            TrueshotError: The work cannot be loaded, or what the course raises.
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
            while reply := self.collect(wait=True):
                ask(enter(*reply))
            raise RunError("the course asks for nothing, and has no outcome")
        except StopIteration as end:
            outcome: _Outcome = end.value
            return outcome
        finally:
            self.stop()
            course.close()

    @abstractmethod
    def begin(self) -> None:
        """Make ready for `submit`; what came before is forgotten."""

    @abstractmethod
    def submit(self, number: int, request: Request) -> None:
        """Begin with a request, or keep it until a worker is free; does not wait."""

    @abstractmethod
    def collect(self, *, wait: bool) -> tuple[int, Reply] | None:
        """The next reply with the number of its request; None if there is none, or none yet."""

    @abstractmethod
    def stop(self) -> None:
        """Leave what was not begun, and wait for nothing."""


class LocalEngine(Engine):
    """The processes of this machine; see `Pool`.

    Args:
        work: What they do.
        workers: Processes; all cores, if not said.
        pool: Those that are there already, of the same work; they are left as they are.
    """

    def __init__(self, work: Work, workers: int | None = None, pool: Pool | None = None) -> None:
        self._seconds = work.seconds
        self.pool = pool or work.pool(workers)
        self._is_ours = pool is None
        self.begin()

    @property
    def workers(self) -> int:
        """Processes."""
        return self.pool.workers

    @property
    def facts(self) -> dict[str, Any]:
        """See `Pool.facts`."""
        return self.pool.facts

    def begin(self) -> None:
        """Have threads that ask, one for each process; they are made as they are needed."""
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
        if self._is_ours:
            self.pool.close()


def answered(pool: Pool, request: Request, seconds: float) -> Reply:
    """The reply of a pool to one request.

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
    """The engine of this name.

    Args:
        name: "local" or "ray".
        work: What its processes do.
        workers: Processes of this machine; all cores, if not said.
        address: Of the Ray cluster; see `RayEngine`.

    Raises:
        RunError: There is no engine of this name, no Ray, or no cluster.
    """
    if name == "local":
        return LocalEngine(work, workers)
    if name == "ray":
        from trueshot.engines.ray_cluster import RayEngine

        return RayEngine(work, address)
    raise RunError(f"{name}: is no engine; local or ray wanted")
