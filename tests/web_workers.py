"""What the workers of the service's tests run: no torch, and bad if a file asks for it."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from typing import Any

from scanning_workers import Brightness

from trueshot.card import Card
from trueshot.scanning.worker import examiner

Handler = Callable[[dict[str, Any], dict[str, bytes]], tuple[dict[str, Any], dict[str, bytes]]]


def load(settings: dict[str, Any]) -> tuple[Handler, dict[str, Any]]:
    """Judge by brightness; do what the first bytes of a file say."""
    card = Card(network={"name": "lcnn"}, side=32, title="Brightness").model_dump(mode="json")
    facts = {name: {"sha256": name[0] * 64, "card": card} for name in ("accurate", "robust")}
    examine = examiner(Brightness(), "b" * 64, settings["pixel_limit"])  # type: ignore[arg-type]

    def handle(request: dict[str, Any], attached: dict[str, bytes]) -> Any:
        trick = TRICKS.get(attached["data"][:4])
        if trick is not None:
            trick(attached["data"])
        return examine({**request, "explain": False}, attached)

    return handle, facts


def _wait_at_gate(data: bytes) -> None:
    """Wait until there is a file of the name that follows."""
    while not os.path.exists(data[4:]):  # noqa: PTH110
        time.sleep(0.01)


def _eat(data: bytes) -> None:
    bytearray(1 << 40)


def _fail(data: bytes) -> None:
    raise ZeroDivisionError("by nothing")


TRICKS: dict[bytes, Callable[[bytes], object]] = {
    b"HANG": lambda data: time.sleep(600),
    b"GATE": _wait_at_gate,
    b"WAIT": lambda data: time.sleep(0.4),
    b"DIE!": lambda data: os.kill(os.getpid(), signal.SIGSEGV),
    b"EAT!": _eat,
    b"FAIL": _fail,
}
