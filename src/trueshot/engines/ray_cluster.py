"""The engine of a Ray cluster: one actor per core, each with a supervised worker process.

Requests are sent to the actors one by one, and replies come back; ledgers and journals stay with
the caller. Files of the work are sent as bytes; files named in requests are opened where they are
answered, on a file system that all machines share. Ray restarts an actor that died, elsewhere if
its machine is gone. Its request is then repeated, and fails if one actor after another dies of it.
"""

from __future__ import annotations

import atexit
import contextlib
import importlib
import logging
import os
import tempfile
import time
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from trueshot.engines.engine import Engine, Reply, Request, Work, answered
from trueshot.engines.pool import WorkerError
from trueshot.errors import RunError, TrueshotError

_TIMES_AGAIN = 3
_SECONDS_TO_BEGIN_AGAIN = 300.0
_DEADLY = "crashed every worker process that judged it, on any machine"


class Machine:
    """The actor on a machine of the cluster, with one worker, started when first needed.

    Args:
        work: The work of the worker.
        contents: A list with a reference to the contents of the work's files, by setting. It is a
            list because Ray would replace a bare reference with its value, and would no longer
            have it when it restarts the actor.
    """

    def __init__(self, work: Work, contents: Sequence[Any]) -> None:
        folder = tempfile.TemporaryDirectory(prefix="trueshot-")
        atexit.register(folder.cleanup)
        settings = dict(work.settings)
        for name, content in importlib.import_module("ray").get(contents[0]).items():
            path = Path(folder.name) / name / Path(settings[name]).name
            path.parent.mkdir()
            path.write_bytes(content)
            settings[name] = str(path)
        self._seconds = work.seconds
        self._pool = replace(work, settings=settings).pool(workers=1)
        atexit.register(self._pool.close)

    def facts(self) -> dict[str, Any]:
        """See `Pool.facts`."""
        return self._pool.facts

    def answer(self, request: Request) -> Reply:
        """Return the reply to a request.

        Raises:
            TrueshotError: The work cannot be loaded.
        """
        _ = self._pool.facts  # the time for loading does not count for the request
        return answered(self._pool, request, self._seconds)


class RayEngine(Engine):
    """The engine that uses all cores of a Ray cluster.

    Args:
        work: The work of the actors.
        address: Address of the cluster, `host:port`; by default RAY_ADDRESS, or a cluster running
            on this machine.

    Raises:
        RunError: Ray is not installed, or there is no cluster, or it has no CPUs.
    """

    def __init__(self, work: Work, address: str | None = None) -> None:
        self._stack = contextlib.ExitStack()
        self._ray = ray = self._stack.enter_context(_connected(address))
        affinity = importlib.import_module("ray.util.scheduling_strategies")
        contents = {name: Path(work.settings[name]).read_bytes() for name in work.files}
        self._contents = ray.put(contents)  # Ray keeps it as long as this reference exists
        machine = ray.remote(max_restarts=-1, max_task_retries=_TIMES_AGAIN)(Machine)
        self._actors = []
        for node in ray.nodes():
            place = affinity.NodeAffinitySchedulingStrategy(node["NodeID"], soft=True)
            for _ in range(int(node["Resources"].get("CPU", 0)) if node["Alive"] else 0):
                actor = machine.options(scheduling_strategy=place).remote(work, [self._contents])
                self._actors.append(actor)
                self._stack.callback(ray.kill, actor)
        if not self._actors:
            self._stack.close()
            raise RunError("the Ray cluster has no CPUs; start ray on a machine with --num-cpus")
        self.begin()

    @property
    def workers(self) -> int:
        """Number of cores of the cluster."""
        return len(self._actors)

    @property
    def facts(self) -> dict[str, Any]:
        """See `Engine`."""
        try:
            facts: dict[str, Any] = self._got(self._actors[0].facts.remote())
        except self._ray.exceptions.RayActorError as error:
            raise RunError(f"the workers of the Ray cluster cannot start: {error}") from error
        return facts

    def begin(self) -> None:
        """See `Engine`."""
        # Not Ray's ActorPool: it does not tell which request an actor died of, and drops the
        # actor, although Ray restarts it.
        self._idle = list(self._actors)
        self._waiting: deque[tuple[int, Request]] = deque()
        self._asked: dict[Any, tuple[int, Request, Any]] = {}
        self._deaths = Counter[int]()

    def submit(self, number: int, request: Request) -> None:
        """See `Engine`."""
        self._waiting.append((number, request))
        self._ask()

    def collect(self, *, wait: bool) -> tuple[int, Reply] | None:
        """See `Engine`."""
        while self._asked:
            there, _ = self._ray.wait([*self._asked], num_returns=1, timeout=None if wait else 0)
            if not there:
                return None
            number, request, actor = self._asked.pop(there[0])
            try:
                reply = self._got(there[0])
            except self._ray.exceptions.RayActorError:
                if not wait:  # the remaining replies are not needed
                    continue
                self._wait_for(actor)
                self._deaths[number] += 1
                if self._deaths[number] <= _TIMES_AGAIN:
                    self._waiting.appendleft((number, request))
                    self._free(actor)
                    continue
                reply = WorkerError(_DEADLY)
            self._free(actor)
            return number, reply
        return None

    def stop(self) -> None:
        """See `Engine`."""
        self._waiting.clear()

    def close(self) -> None:
        """See `Engine`."""
        self._stack.close()

    def _free(self, actor: Any) -> None:
        self._idle.append(actor)
        self._ask()

    def _ask(self) -> None:
        while self._idle and self._waiting:
            number, request = self._waiting.popleft()
            actor = self._idle.pop()
            reference = actor.answer.options(max_task_retries=0).remote(request)
            self._asked[reference] = number, request, actor

    def _wait_for(self, actor: Any) -> None:
        """Wait until a dead actor has been restarted; until then, all calls to it fail."""
        until = time.monotonic() + _SECONDS_TO_BEGIN_AGAIN
        while True:
            try:
                self._got(actor.facts.remote())
                return
            except self._ray.exceptions.RayActorError as error:
                if time.monotonic() > until:
                    raise RunError(
                        f"a worker of the Ray cluster does not restart: {error}"
                    ) from error
                time.sleep(1)

    def _got(self, reference: Any) -> Any:
        """Return an actor's answer; a TrueshotError raised there is raised here."""
        try:
            return self._ray.get(reference)
        except self._ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, TrueshotError):
                raise error.cause from None
            raise


@contextlib.contextmanager
def _connected(address: str | None) -> Iterator[Any]:
    """Connect to a cluster until the end of the context, or use the existing connection."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # no usage statistics are sent
    try:
        ray = importlib.import_module("ray")  # optional dependency that is slow to import
    except ImportError as error:
        advice = "pip install 'trueshot[ray]'"
        raise RunError(f"the engine ray needs the package Ray: {advice}") from error
    if ray.is_initialized():
        yield ray
        return
    where = address or os.environ.get("RAY_ADDRESS") or "auto"
    try:
        ray.init(address=where, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise RunError(
            f"no Ray cluster at {where}: start one with 'ray start --head', and give its address "
            f"in RAY_ADDRESS ({str(error).strip().splitlines()[0][:200]})"
        ) from error
    try:
        yield ray
    finally:
        ray.shutdown()
