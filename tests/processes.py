"""Processes of tests, forked from one that has imported what takes long: they begin at once.

What they run is what a shell would: their own process, streams, status and death.
"""

from __future__ import annotations

import contextlib
import functools
import multiprocessing
import os
import runpy
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from multiprocessing import forkserver
from multiprocessing.process import BaseProcess
from multiprocessing.reduction import DupFd
from pathlib import Path
from typing import Any

from trueshot.engines import fork_server

_LONG_TO_IMPORT = (
    "torch",
    "torch._dynamo",  # which an optimiser imports
    "torch.distributed",
    "scipy.optimize",
    "scipy.stats",
    "sklearn.discriminant_analysis",
    "sklearn.ensemble",
    "sklearn.metrics",
    "skimage.metrics._structural_similarity",
    "onnx",
    "onnxruntime",
    "torch.onnx",
    "pyarrow.dataset",
    "matplotlib.figure",
    "matplotlib.backends.backend_agg",
    "pyarrow.parquet",
    "trueshot.cli",
    "trueshot.datasets",
    "trueshot.reproduce",
    "trueshot.training",
    "trueshot.simulate",
)


class Forked:
    """A process that runs a Python program, or a module as `python -m`.

    Args:
        program: A module's name, or a program's text.
        arguments: Of it.
        environment: Variables that it has beside those of the tests.
    """

    def __init__(self, program: str, *arguments: object, **environment: str) -> None:
        folder = Path(tempfile.mkdtemp(prefix="said-"))
        self._said = folder / "stdout", folder / "stderr"
        given = [str(each) for each in arguments]
        self._process = _context().Process(
            target=_run, args=(program, given, self._said, Path.cwd(), environment)
        )
        weakref.finalize(self, _tidy, self._process, folder)
        self._process.start()
        self.pid = self._process.pid

    def poll(self) -> int | None:
        """Its status, once it has ended; minus the signal that ended it."""
        return self._process.exitcode

    def wait(self) -> int:
        """Its status, when it has ended."""
        self._process.join()
        assert self._process.exitcode is not None
        return self._process.exitcode

    def kill(self) -> int:
        """End it, unless it has ended; its status."""
        self._process.kill()
        return self.wait()

    def send_signal(self, number: signal.Signals) -> None:
        assert self.pid is not None
        os.kill(self.pid, number)

    @property
    def stdout(self) -> str:
        return self._said[0].read_text("utf-8")

    @property
    def stderr(self) -> str:
        return self._said[1].read_text("utf-8")


def kill_at_moments(
    start: Callable[[], Forked],
    out: Path,
    told: Callable[[], int],
    moment: Callable[[], int],
    kept: Callable[[], int] | None = None,
    times: int = 3,
) -> None:
    """Kill a process so many times at work; one that ended before (if this one slept) begins anew.

    Args:
        start: Begins it, or goes on with what is there.
        out: The folder that it works in.
        told: How much it says to have done.
        moment: How much more is to be done before it is killed.
        kept: How much of it a new process begins with; all, by default.
        times: How often.
    """
    while times:
        enough = (kept or told)() + moment()
        process = start()
        while process.poll() is None and told() < enough:
            time.sleep(0.02)
        status = process.kill()
        assert status in (0, -signal.SIGKILL), process.stderr
        if status:
            times -= 1
        else:
            shutil.rmtree(out)


@dataclass(frozen=True)
class _Sent:
    """A descriptor, sent to a process that is forked: there it is the number of its own."""

    number: int

    def __reduce__(self) -> tuple[Any, ...]:
        return _received, (DupFd(self.number),)


def _received(descriptor: Any) -> int:
    return int(descriptor.detach())


class ForkedServer:
    """A fork server of workers (`trueshot.engines.fork_server`) that is forked itself.

    Args:
        descriptor: Of the connection that it obeys.
    """

    def __init__(self, descriptor: int) -> None:
        given = _Sent(descriptor), _Sent(2), str(Path.cwd()), dict(os.environ)
        self._process = _context().Process(target=_serve, args=given, daemon=True)
        self._process.start()
        self.pid = self._process.pid

    def wait(self, seconds: float | None = None) -> int | None:
        """Its status, when it has ended."""
        self._process.join(seconds)
        if self._process.is_alive():
            raise subprocess.TimeoutExpired("fork server", seconds or 0.0)
        return self._process.exitcode

    def kill(self) -> None:
        self._process.kill()


@functools.cache
def _context() -> multiprocessing.context.ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(_LONG_TO_IMPORT))
    before = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = "1"
    try:
        forkserver.ensure_running()
    finally:
        del os.environ["OMP_NUM_THREADS"]
        if before is not None:
            os.environ["OMP_NUM_THREADS"] = before
    return context


def _serve(descriptor: int, stderr: int, folder: str, environment: dict[str, str]) -> None:
    """Do what `python -P -m trueshot.engines.fork_server` does."""
    os.setsid()
    os.dup2(stderr, 2)
    os.dup2(os.open(os.devnull, os.O_RDWR), 1)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.path[:0] = filter(None, environment.get("PYTHONPATH", "").split(os.pathsep))
    fork_server.main(descriptor, os.getppid())
    os._exit(0)


def _tidy(process: BaseProcess, folder: Path) -> None:
    if process.is_alive():
        process.kill()
    shutil.rmtree(folder)


def _run(
    program: str,
    arguments: list[str],
    said: tuple[Path, Path],
    folder: Path,
    environment: Mapping[str, str],
) -> None:
    for number, path in enumerate(said, 1):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    sys.stdout, sys.stderr = (os.fdopen(number, "w", 1, "utf-8") for number in (1, 2))
    os.chdir(folder)
    os.environ.update(environment)
    sys.argv = ["-c", *arguments]
    if "\n" in program:
        exec(compile(program, "<program>", "exec"), {"__name__": "__main__"})
    else:
        runpy.run_module(program, run_name="__main__", alter_sys=True)


def below(process: int) -> set[int]:
    """Processes that this one started, and those that they did."""
    known, found = parents(), {process}
    while more := {child for child, parent in known.items() if parent in found} - found:
        found |= more
    return found - {process}


def parents() -> dict[int, int]:
    """The parent of each process that is alive."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, parent = path.read_text("ascii", "replace").rpartition(")")[2].split()[:2]
            if state != "Z":
                found[int(path.parent.name)] = int(parent)
    return found
