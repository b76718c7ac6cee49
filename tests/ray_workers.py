"""What the machines of a test run: the real thing, which says where it was, and can be poisoned."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path
from typing import Any

from trueshot.scanning import worker

MARKS = "TRUESHOT_TEST_MARKS"
POISON, DEADLY, SLOW = "poison.png", "deadly.png", "slow.png"


def load(settings: dict[str, Any]) -> Any:
    """Judge, after leaving a mark; some files end the process that judges, or Ray's above it."""
    handler, facts = worker.load(settings)

    def handle(request: dict[str, Any], attached: dict[str, bytes]) -> Any:
        path = Path(request["path"])
        machine = os.environ.get("RAY_RAYLET_PID", "here")
        with contextlib.suppress(OSError), (Path(os.environ[MARKS]) / machine).open("a") as file:
            file.write(f"{path.name}\n")
        if path.name.endswith(SLOW):
            time.sleep(0.5)
        if path.name == POISON and machine != "here":
            os.kill(_parent(os.getppid()), signal.SIGKILL)
            time.sleep(60)
        if path.name == DEADLY:
            os.kill(os.getpid(), signal.SIGSEGV)
        return handler(request, attached)

    return handle, facts


def _parent(process: int) -> int:
    fields = Path(f"/proc/{process}/stat").read_text("utf-8").rpartition(")")[2].split()
    return int(fields[1])
