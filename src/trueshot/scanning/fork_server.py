"""The main process's side of the fork server: it starts workers and ends them."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from trueshot import errors
from trueshot.errors import RunError, TrueshotError
from trueshot.scanning.frames import MOST_ANSWERED, Attached, receive, send

_SECONDS_TO_LOAD = 600.0
_SECONDS_TO_ANSWER = 60.0
_SECONDS_TO_END = 5.0
_MODULE = "trueshot.scanning.fork_server_process"

# One thread each: there are as many processes as cores, and threads do not survive a fork.
_ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"), "1"
)

# The GNU C library hands blocks of the size of a photograph back to the system, and asks for them
# again, emptied, for the next one: a tenth of the time of decoding. Up to this size it keeps them.
_KEPT_MEMORY = {
    "MALLOC_MMAP_THRESHOLD_": str(2**28),
    "MALLOC_TRIM_THRESHOLD_": str(2**29),
}


@dataclass(frozen=True, eq=False)
class Worker:
    """One process that judges, and the stream to it."""

    number: int
    connection: socket.socket

    def ask(
        self, request: Mapping[str, Any], attached: Mapping[str, bytes], deadline: float
    ) -> tuple[dict[str, Any], Attached]:
        """Send a request and wait for the answer.

        Raises:
            TimeoutError: There was none by then.
            EOFError, OSError, ValueError: The process died, or talks nonsense.
        """
        send(self.connection, request, attached, deadline)
        return receive(self.connection, deadline, most=MOST_ANSWERED)


class ForkServer:
    """A process that loads once and is forked for every worker; it starts without being waited for.

    Args:
        loader: `module:function`, called there with the settings; it returns what handles the
            requests, and facts for this side.
        settings: What JSON can hold.
        memory: Bytes that each worker may take beyond what is loaded; None for no limit.
    """

    def __init__(self, loader: str, settings: Mapping[str, Any], memory: int | None) -> None:
        self._lock = threading.Lock()
        self._facts: dict[str, Any] | None = None
        self._fault: TrueshotError | None = None
        self._control, theirs = socket.socketpair()
        with theirs:
            # Not in this folder, and not with this group: a file called json.py that lies among
            # the photographs must not be imported, and an interrupt is for this process to handle.
            command = [sys.executable, "-P", "-m", _MODULE, str(theirs.fileno())]
            self._process = subprocess.Popen(
                command,
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                env=os.environ | _ONE_THREAD | _KEPT_MEMORY,
                start_new_session=True,
            )
        with contextlib.suppress(OSError):  # it died at once: `facts` will say so
            send(self._control, {"loader": loader, "settings": settings, "memory": memory})

    def facts(self) -> dict[str, Any]:
        """What the loader says of what it loaded; waits for it.

        Raises:
            TrueshotError: It could not be loaded; the kind of error is that raised there.
        """
        with self._lock:
            if self._fault is not None:
                raise self._fault
            if self._facts is None:
                try:
                    self._facts = self._hear_of_start()
                except TrueshotError as error:
                    self._fault = error
                    raise
            return self._facts

    def fork(self) -> Worker:
        """A new worker.

        Raises:
            OSError: The fork server is gone.
            TrueshotError: As for `facts`.
        """
        from trueshot.scanning.fork_server_process import COMMAND, FORK

        self.facts()
        ours, theirs = socket.socketpair()
        try:
            with self._lock, theirs:
                socket.send_fds(self._control, [COMMAND.pack(FORK, 0)], [theirs.fileno()])
                return Worker(self._hear(), ours)
        except BaseException:
            ours.close()
            raise

    def end(self, worker: Worker, *, at_once: bool) -> int:
        """Have a worker end, and hear how it did.

        Args:
            worker: One of this server.
            at_once: Kill it; otherwise it is given a moment to end of what it has.

        Returns:
            Its exit status, or minus the signal that ended it.

        Raises:
            OSError: The fork server is gone.
        """
        from trueshot.scanning.fork_server_process import COMMAND, KILL, REAP

        worker.connection.close()
        with self._lock:
            self._control.sendall(COMMAND.pack(KILL if at_once else REAP, worker.number))
            return self._hear()

    def close(self) -> None:
        """End it and all its workers."""
        with contextlib.suppress(OSError):
            self._control.shutdown(socket.SHUT_RDWR)  # wakes who waits on it, in any thread
        if self._facts is None:  # it is still loading, without workers, and would finish first
            self._process.kill()
        try:
            self._process.wait(_SECONDS_TO_END)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        with self._lock:
            self._control.close()

    def _hear(self) -> int:
        from trueshot.scanning.fork_server_process import ANSWER

        self._control.settimeout(_SECONDS_TO_ANSWER)
        data = b""
        while len(data) < ANSWER.size:
            got = self._control.recv(ANSWER.size - len(data))
            if not got:
                raise ConnectionError("the process that workers come from has ended")
            data += got
        (answer,) = ANSWER.unpack(data)
        return int(answer)

    def _hear_of_start(self) -> dict[str, Any]:
        try:
            answer, _ = receive(self._control, time.monotonic() + _SECONDS_TO_LOAD)
        except (EOFError, OSError, ValueError):
            raise RunError(
                "the process that loads the detector ended before it had; what it said stands "
                "above, and if it says nothing, memory may have been short"
            ) from None
        if "error" in answer:
            kind = getattr(errors, answer["error"], RunError)
            whole = isinstance(kind, type) and issubclass(kind, TrueshotError)
            raise (kind if whole else RunError)(answer["message"])
        facts: dict[str, Any] = answer["facts"]
        return facts
