"""Both sides of a fork server: workers are forked from a process that has loaded what they need.

It differs from the fork server of `multiprocessing` in three ways: workers share what was loaded,
not only what was imported; the main script is not run again in each worker; and nothing from a
worker is unpickled, because a worker reads hostile files: a message is JSON with bytes by name.
`ForkServer` runs this module as `python -m … DESCRIPTOR PARENT`.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.reduction import recv_handle, send_handle
from pathlib import Path
from typing import Any

from trueshot import errors
from trueshot.errors import ImageFileError, RunError, TrueshotError

Attached = dict[str, bytes]
Handler = Callable[[dict[str, Any], Attached], tuple[dict[str, Any], Attached]]

_MODULE = "trueshot.engines.fork_server"
_MOST_JSON = 64 * 2**20
_MOST_ASKED = 4 * 2**30
_MOST_ANSWERED = 2**28  # limited, because a file may have compromised the worker

_LEAST_TO_LOAD = 4 * 2**30
_SECONDS_TO_LOAD = 600.0
_SECONDS_TO_ANSWER = 60.0
_SECONDS_TO_END = 5.0
_SECONDS_TO_DIE = 2.0
_SECONDS_BETWEEN_LOOKS = 0.5  # between checks whether the parent is alive
_END_WITH_PARENT = 1  # PR_SET_PDEATHSIG of prctl(2)

# One thread each, because there are as many processes as cores, and threads do not survive a fork.
_ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"), "1"
)

# The GNU C library returns blocks of the size of a photograph to the system and requests them
# again, zeroed, for the next one: a tenth of the decoding time. It keeps blocks up to this size.
_KEPT_MEMORY = {
    "MALLOC_MMAP_THRESHOLD_": str(2**28),
    "MALLOC_TRIM_THRESHOLD_": str(2**29),
}


def send(
    connection: Connection, content: Mapping[str, Any], attached: Mapping[str, bytes] | None = None
) -> None:
    """Send one message: JSON values, and bytes by name.

    Raises:
        OSError: The other side has closed the connection.
    """
    parts = attached or {}
    connection.send_bytes(json.dumps({"content": content, "attached": [*parts]}).encode("ascii"))
    for data in parts.values():
        connection.send_bytes(data)


def receive(connection: Connection, most: int = _MOST_ASKED) -> tuple[dict[str, Any], Attached]:
    """Receive one message.

    Args:
        connection: Connection to the process that calls `send`.
        most: Maximum number of attached bytes.

    Raises:
        EOFError: The other side has closed the connection.
        OSError: It closed the connection within a message, or sent one that is too long.
        ValueError: This is not a valid message.
    """
    text = connection.recv_bytes(_MOST_JSON)
    try:
        message = json.loads(text)
        content, names = dict(message["content"]), [str(name) for name in message["attached"]]
    except (KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"invalid message: {error}") from error
    attached: Attached = {}
    for name in names:
        attached[name] = connection.recv_bytes(most)
        most -= len(attached[name])
    return content, attached


def _hang_up(connection: Connection) -> None:
    """Shut a connection down; reading from it or writing to it fails at once, in any thread."""
    with (
        contextlib.suppress(OSError),
        socket.fromfd(connection.fileno(), socket.AF_UNIX, socket.SOCK_STREAM) as stream,
    ):
        stream.shutdown(socket.SHUT_RDWR)


def _connected() -> tuple[Connection, Connection]:
    ours, theirs = socket.socketpair()
    return Connection(ours.detach()), Connection(theirs.detach())


@dataclass(frozen=True, eq=False)
class Worker:
    """A worker process, its fork server, and the connection to it."""

    number: int
    connection: Connection
    server: ForkServer

    def ask(
        self, request: Mapping[str, Any], attached: Mapping[str, bytes], seconds: float
    ) -> tuple[dict[str, Any], Attached]:
        """Send a request and wait for the answer.

        Raises:
            TimeoutError: No complete answer arrived in time.
            EOFError, OSError, ValueError: The process died, or sent an invalid message.
        """
        late = threading.Event()

        def give_up() -> None:
            late.set()
            _hang_up(self.connection)

        timer = threading.Timer(seconds, give_up)
        timer.daemon = True
        started = time.monotonic()
        timer.start()
        try:
            send(self.connection, request, attached)
            answer = receive(self.connection, _MOST_ANSWERED)
        except (EOFError, OSError):
            if late.is_set():
                raise TimeoutError from None
            raise
        finally:
            timer.cancel()
        if late.is_set() or time.monotonic() - started > seconds:
            raise TimeoutError
        return answer

    def end(self, *, at_once: bool) -> int | None:
        """End the process.

        Args:
            at_once: Whether to kill it; otherwise it first gets a moment to end by itself.

        Returns:
            Its exit status, or minus the signal that ended it; None if its fork server is gone.
        """
        self.connection.close()
        order = {"do": "end", "process": self.number, "at_once": at_once}
        with contextlib.suppress(OSError):
            return self.server.order(order)
        return None


class ForkServer:
    """A process that loads once and is forked for every worker; the constructor does not wait.

    Args:
        loader: `module:function`, called there with the settings; it returns the handler of
            requests, and facts for this side.
        settings: Settings for the loader, as JSON values.
        memory: Bytes each worker may allocate on top of what the loader uses; None means no limit.
    """

    def __init__(self, loader: str, settings: Mapping[str, Any], memory: int | None) -> None:
        self._lock = threading.Lock()
        self._facts: dict[str, Any] | None = None
        self._fault: TrueshotError | None = None
        self._control, theirs = _connected()
        with theirs:
            self._process = _begun(theirs.fileno())
        with contextlib.suppress(OSError):  # if it died at once, `facts` reports it
            send(self._control, {"loader": loader, "settings": settings, "memory": memory})

    def facts(self) -> dict[str, Any]:
        """Wait for the loader and return its facts.

        Raises:
            TrueshotError: Loading failed; the error has the same type as in that process.
        """
        with self._lock:
            if self._fault is not None:
                raise self._fault
            if self._facts is None:
                try:
                    self._facts = self._started()
                except TrueshotError as error:
                    self._fault = error
                    raise
            return self._facts

    def fork(self) -> Worker:
        """Fork a new worker.

        Raises:
            OSError: The fork server is gone.
            TrueshotError: See `facts`.
        """
        self.facts()
        ours, theirs = _connected()
        try:
            with theirs:
                return Worker(self.order({"do": "fork"}, theirs), ours, self)
        except BaseException:
            ours.close()
            raise

    def close(self) -> None:
        """End the fork server and all its workers."""
        _hang_up(self._control)
        if self._facts is None:  # still loading, without workers; it would finish that first
            self._process.kill()
        try:
            self._process.wait(_SECONDS_TO_END)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        with self._lock:
            self._control.close()

    def order(self, order: Mapping[str, Any], handed_over: Connection | None = None) -> int:
        """Send an order, with a connection for the new process; return the number in the answer.

        Raises:
            OSError: The fork server is gone.
        """
        with self._lock:
            send(self._control, order)
            if handed_over is not None:
                send_handle(self._control, handed_over.fileno(), self._process.pid)
            if not self._control.poll(_SECONDS_TO_ANSWER):
                raise TimeoutError("the fork server does not answer")
            try:
                return int(receive(self._control)[0]["process"])
            except EOFError:
                raise ConnectionError("the fork server has ended") from None

    def _started(self) -> dict[str, Any]:
        try:
            if not self._control.poll(_SECONDS_TO_LOAD):
                raise TimeoutError
            answer, _ = receive(self._control)
        except (EOFError, OSError, ValueError):
            raise RunError(
                "the process that loads the detector ended before it had finished; see its output "
                "above; if there is none, it may have run out of memory"
            ) from None
        if "error" in answer:
            kind = getattr(errors, answer["error"], RunError)
            whole = isinstance(kind, type) and issubclass(kind, TrueshotError)
            raise (kind if whole else RunError)(*answer["said"])
        facts: dict[str, Any] = answer["facts"]
        return facts


def _begun(descriptor: int) -> subprocess.Popen[bytes]:
    """Start this module as a process that inherits a descriptor."""
    # Without this folder in the path, because a file json.py among the photographs must not be
    # imported; and in its own session, because only this process handles interrupts.
    return subprocess.Popen(
        [sys.executable, "-P", "-m", _MODULE, str(descriptor), str(os.getpid())],
        pass_fds=(descriptor,),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        env=os.environ | _ONE_THREAD | _KEPT_MEMORY,
        start_new_session=True,
    )


def main(descriptor: int, parent: int) -> None:
    """Load what the first message asks for, then fork workers until the other side is gone.

    Args:
        descriptor: Descriptor of the connection to the main process.
        parent: Process ID of the main process, which may have died since it started this one.
    """
    # The main process decides when to stop; an interrupt may reach all processes at once.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    gc.disable()  # imported objects stay; searching them for garbage takes a tenth of the time
    with contextlib.suppress(EOFError, OSError), Connection(descriptor) as control:
        with _ending_with(parent):
            order, _ = receive(control)
            try:
                with _within(order["memory"]):
                    handler, facts = _load(order["loader"], order["settings"])
            except MemoryError:
                text = "loading needs more memory than the limit; allow more memory"
                send(control, {"error": "RunError", "said": [text]})
                return
            except Exception as error:
                name = type(error).__name__ if isinstance(error, TrueshotError) else "RunError"
                send(control, {"error": name, "said": _said(error)})
                return
        gc.freeze()  # keeps shared pages shared: a collection would write to every object
        send(control, {"facts": facts})
        children: set[int] = set()
        try:
            _obey(control, parent, children, handler, order["memory"])
        finally:
            for child in children:
                _end(child, at_once=True)


def _said(error: Exception) -> list[str]:
    """Return the arguments with which the other side makes the same error."""
    if isinstance(error, ImageFileError):
        return [error.path, error.reason]
    return [str(error) if isinstance(error, TrueshotError) else f"{type(error)}: {error}"]


@contextlib.contextmanager
def _ending_with(parent: int) -> Any:
    """End this process as soon as its parent is gone; nothing else checks it during loading."""
    loaded = threading.Event()

    def watch() -> None:
        while not loaded.is_set():
            if os.getppid() != parent:
                os._exit(1)
            loaded.wait(_SECONDS_BETWEEN_LOOKS)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        loaded.set()
        watcher.join()  # no thread may be running when workers are forked


@contextlib.contextmanager
def _within(memory: int | None) -> Any:
    """Limit the memory of this process as for a worker, but to no less than loading needs."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    used = _used_memory()
    if memory is not None and used is not None:
        most = used + max(memory, _LEAST_TO_LOAD)
        most = most if before[1] == resource.RLIM_INFINITY else min(most, before[1])
        _limit(resource.RLIMIT_AS, most, before[1])
    try:
        yield
    finally:
        _limit(resource.RLIMIT_AS, *before)


def _used_memory() -> int | None:
    """Return the bytes of address space in use, or None if the system does not tell."""
    with contextlib.suppress(OSError, ValueError):
        pages = Path("/proc/self/statm").read_text("ascii").split()[0]
        return int(pages) * resource.getpagesize()
    return None


def _load(loader: str, settings: dict[str, Any]) -> tuple[Handler, Mapping[str, Any]]:
    module, name = loader.split(":")
    load: Callable[[dict[str, Any]], tuple[Handler, Mapping[str, Any]]]
    load = getattr(importlib.import_module(module), name)
    return load(settings)


def _obey(
    control: Connection, parent: int, children: set[int], handler: Handler, memory: int | None
) -> None:
    while os.getppid() == parent:
        if not control.poll(_SECONDS_BETWEEN_LOOKS):
            continue
        command, _ = receive(control)
        if command["do"] == "fork":
            answer = _fork(control, recv_handle(control), handler, memory)
            children.add(answer)
        else:
            answer = _end(command["process"], at_once=command["at_once"])
            children.discard(command["process"])
        send(control, {"process": answer})


def _fork(control: Connection, descriptor: int, handler: Handler, memory: int | None) -> int:
    parent = os.getpid()
    child = os.fork()
    if child:
        os.close(descriptor)
        return child
    try:
        gc.enable()
        control.close()
        _restrict(parent, memory)
        _serve(Connection(descriptor), handler)
    finally:
        os._exit(1)


def _end(child: int, *, at_once: bool) -> int:
    """Wait for a process to end, and kill it if it does not.

    Returns:
        Its exit status, or minus the signal that ended it.
    """
    deadline = time.monotonic() + (0 if at_once else _SECONDS_TO_DIE)
    with contextlib.suppress(ChildProcessError, ProcessLookupError):
        while True:
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                return os.waitstatus_to_exitcode(status)
            if time.monotonic() >= deadline:
                os.kill(child, signal.SIGKILL)
                return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            time.sleep(0.005)
    return 1


def _restrict(parent: int, memory: int | None) -> None:
    """Limit a worker's memory, forbid writing files, mute its streams, and tie it to `parent`."""
    if sys.platform.startswith("linux"):
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_END_WITH_PARENT, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(0)
    for kind in (resource.RLIMIT_CORE, resource.RLIMIT_FSIZE):
        _limit(kind, 0, 0)
    used = _used_memory()
    if memory is not None and used is not None:
        _limit(resource.RLIMIT_AS, used + memory, used + memory)
    # Decoders in C print whatever they like, including bytes from the file.
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nowhere, stream)


def _limit(kind: int, soft: int, hard: int) -> None:
    with contextlib.suppress(OSError, ValueError, OverflowError):
        resource.setrlimit(kind, (soft, hard))


def _serve(connection: Connection, handler: Handler) -> None:
    while True:
        try:
            request, attached = receive(connection)
        except (EOFError, OSError):
            os._exit(0)
        content, attached = _answered(handler, request, attached)
        send(connection, content, attached)


def _answered(
    handler: Handler, request: dict[str, Any], attached: Attached
) -> tuple[dict[str, Any], Attached]:
    try:
        return handler(request, attached)
    except MemoryError:
        return {"failed": "memory"}, {}
    except Exception as error:
        if "allocate memory" in str(error):  # torch's message
            return {"failed": "memory"}, {}
        return {"failed": f"{type(error).__name__}: {error}"}, {}


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
    os._exit(0)  # no cleanup is needed, and torch's is slow
