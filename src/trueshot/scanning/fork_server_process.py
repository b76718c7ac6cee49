"""The process that workers are forked from: it loads the detector once, and never reads a photo.

Run as `python -m trueshot.scanning.fork_server_process DESCRIPTOR`, by `ForkServer` alone. It is a
fork server as that of `multiprocessing`, but for three things: what was loaded is shared by all
workers, and not only what was imported; the main script is not run again in each of them; and
nothing that comes out of a worker is unpickled."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import os
import resource
import signal
import socket
import struct
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from trueshot.errors import TrueshotError
from trueshot.scanning.frames import Attached, receive, send

COMMAND = struct.Struct(">ci")  # what to do, and with which process
ANSWER = struct.Struct(">i")
FORK, KILL, REAP = b"f", b"k", b"r"

Handler = Callable[[dict[str, Any], Attached], tuple[dict[str, Any], Attached]]

_SECONDS_TO_DIE = 2.0
_END_WITH_PARENT = 1  # PR_SET_PDEATHSIG of prctl(2)


def main(descriptor: int) -> None:
    """Load what the first message asks for, then fork workers until the other side goes."""
    with contextlib.suppress(EOFError, ConnectionError):  # as it does when it is killed
        _nurse(descriptor)


def _nurse(descriptor: int) -> None:
    # In the main process's own time: an interrupt at the keyboard goes to all processes at once.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    gc.disable()  # what is imported stays: to look for garbage in it takes a tenth of the time
    with socket.socket(fileno=descriptor) as control:
        order, _ = receive(control)
        try:
            handler, facts = _load(order["loader"], order["settings"])
        except Exception as error:
            name = type(error).__name__ if isinstance(error, TrueshotError) else "RunError"
            text = str(error) if isinstance(error, TrueshotError) else f"{type(error)}: {error}"
            send(control, {"error": name, "message": text})
            return
        gc.freeze()  # what is shared stays shared: a collection would write to every object
        send(control, {"facts": facts})
        children: set[int] = set()
        try:
            _obey(control, children, handler, order["memory"])
        finally:
            for child in children:
                _end(child, at_once=True)


def _load(loader: str, settings: dict[str, Any]) -> tuple[Handler, Mapping[str, Any]]:
    module, name = loader.split(":")
    found: tuple[Handler, Mapping[str, Any]] = getattr(importlib.import_module(module), name)(
        settings
    )
    return found


def _obey(control: socket.socket, children: set[int], handler: Handler, memory: int | None) -> None:
    while True:
        control.settimeout(None)
        data, descriptors, _, _ = socket.recv_fds(control, COMMAND.size, 1)
        if len(data) < COMMAND.size:  # the main process has gone
            return
        command, child = COMMAND.unpack(data)
        if command == FORK:
            answer = _fork(control, descriptors[0], handler, memory)
            children.add(answer)
        else:
            answer = _end(child, at_once=command == KILL)
            children.discard(child)
        control.sendall(ANSWER.pack(answer))


def _fork(control: socket.socket, descriptor: int, handler: Handler, memory: int | None) -> int:
    parent = os.getpid()
    child = os.fork()
    if child:
        os.close(descriptor)
        return child
    try:
        gc.enable()
        control.close()
        _restrict(parent, memory)
        _serve(socket.socket(fileno=descriptor), handler)
    finally:
        os._exit(1)


def _end(child: int, *, at_once: bool) -> int:
    """See a process to its end.

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
    """Take from a worker what it has no need of: memory without end, files to write, the screen."""
    if sys.platform.startswith("linux"):
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_END_WITH_PARENT, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(0)
    for kind in (resource.RLIMIT_CORE, resource.RLIMIT_FSIZE):
        _limit(kind, 0)
    statistics = Path("/proc/self/statm")
    if memory is not None and statistics.exists():
        used = int(statistics.read_text("ascii").split()[0]) * resource.getpagesize()
        _limit(resource.RLIMIT_AS, used + memory)
    # Decoders in C print what they like, with what bytes they like.
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nowhere, stream)


def _limit(kind: int, value: int) -> None:
    with contextlib.suppress(OSError, ValueError, OverflowError):
        resource.setrlimit(kind, (value, value))


def _serve(connection: socket.socket, handler: Handler) -> None:
    while True:
        try:
            request, attached = receive(connection)
        except (EOFError, OSError):
            os._exit(0)
        content, attached = _answer(handler, request, attached)
        send(connection, content, attached)


def _answer(
    handler: Handler, request: dict[str, Any], attached: Attached
) -> tuple[dict[str, Any], Attached]:
    try:
        return handler(request, attached)
    except MemoryError:
        return {"failed": "memory"}, {}
    except Exception as error:
        if "allocate memory" in str(error):  # as torch says it
            return {"failed": "memory"}, {}
        return {"failed": f"{type(error).__name__}: {error}"}, {}


if __name__ == "__main__":
    main(int(sys.argv[1]))
    os._exit(0)  # nothing is left to tidy up, and torch takes its time over it
