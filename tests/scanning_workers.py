"""What the workers of tests run in place of a detector; no torch, so that they start at once."""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
import stat
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from trueshot.errors import BundleError, TruncatedImageError
from trueshot.images import ImageFile
from trueshot.scanning.worker import examiner

Handler = Callable[[dict[str, Any], dict[str, bytes]], tuple[dict[str, Any], dict[str, bytes]]]


class Brightness:
    """Takes what is bright for a recapture; levels around the middle leave it undecided."""

    notes = ()

    def predict(self, image: ImageFile) -> SimpleNamespace:
        score = (float(image.stored.mean()) - 127.5) / 10
        verdict = "recaptured" if score > 5 else "original" if score < -5 else "undecided"
        return SimpleNamespace(
            verdict=verdict,
            score=score,
            log10_lr=score / 5,
            log10_lr_interval=(score / 5 - 0.1, score / 5 + 0.1),
            certified_radius=abs(score) or None,
            scores=np.array([score]),
            reasons=(),
            notes=(),
            top_class=None,
            features={},
        )


def load(settings: dict[str, Any]) -> tuple[Handler, dict[str, Any]]:
    """Judge by brightness; a bundle called slow takes its time."""
    judge = Brightness()
    detector = hashlib.sha256(settings["bundle"].encode()).hexdigest()
    handle = examiner(judge, detector, settings["pixel_limit"])  # type: ignore[arg-type]

    def slowly(request: dict[str, Any], attached: dict[str, bytes]) -> Any:
        if settings["bundle"] == "slow":
            time.sleep(0.01)
        answer, pictures = handle({**request, "explain": False}, attached)
        if settings["bundle"] == "hangs on 66" and answer["verdict"]["width"] == 66:
            time.sleep(600)
        if request.get("explain") and "error" not in answer:
            pictures["explanation"] = answer["verdict"]["sha256"].encode()
        return answer, pictures

    return slowly, {"detector": detector}


def tricks(settings: dict[str, Any]) -> tuple[Handler, dict[str, Any]]:
    """Do what a request says, however bad it is."""

    def handle(request: dict[str, Any], attached: dict[str, bytes]) -> Any:
        return TRICKS[request["do"]](request), {name: data[::-1] for name, data in attached.items()}

    return handle, {"settings": settings, "pid": os.getpid()}


def refuse(settings: dict[str, Any]) -> tuple[Handler, dict[str, Any]]:
    raise BundleError("this one: no bundle at all")


def refuse_file(settings: dict[str, Any]) -> tuple[Handler, dict[str, Any]]:
    raise TruncatedImageError("this one", "ends too early")


def slow(settings: dict[str, Any]) -> tuple[Handler, dict[str, Any]]:
    """Load for ever, and say that it does."""
    Path(settings["mark"]).touch()
    time.sleep(600)
    raise BundleError("nobody came")


def _die(number: int) -> Callable[[dict[str, Any]], dict[str, Any]]:
    def die(request: dict[str, Any]) -> dict[str, Any]:
        os.kill(os.getpid(), number)
        time.sleep(60)
        return {}

    return die


def _die_once(request: dict[str, Any]) -> dict[str, Any]:
    try:
        os.mkdir(request["mark"])  # noqa: PTH102
    except FileExistsError:
        return {"lives": True}
    os.kill(os.getpid(), signal.SIGKILL)
    return {}


def _eat(request: dict[str, Any]) -> dict[str, Any]:
    return {"bytes": len(bytearray(request["bytes"]))}


def _write(request: dict[str, Any]) -> dict[str, Any]:
    with open(request["path"], "wb", buffering=0) as file:  # noqa: PTH123
        return {"written": file.write(b"evil")}


def _say_half(request: dict[str, Any]) -> dict[str, Any]:
    """What a worker that was taken over may do: the head of a message, and then nothing."""
    for place in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            if stat.S_ISSOCK(os.fstat(int(place.name)).st_mode):
                os.write(int(place.name), b"\0\0\1\0half")
    time.sleep(600)
    return {}


def _hang(request: dict[str, Any]) -> dict[str, Any]:
    time.sleep(request.get("seconds", 600))
    return {"pid": os.getpid()}


def _fail(request: dict[str, Any]) -> dict[str, Any]:
    raise ZeroDivisionError("by nothing")


TRICKS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "echo": lambda request: {"pid": os.getpid(), "text": request.get("text")},
    "hang": _hang,
    "half a message": _say_half,
    "segfault": _die(signal.SIGSEGV),
    "killed": _die(signal.SIGKILL),
    "die once": _die_once,
    "leave": lambda request: os._exit(7),
    "eat": _eat,
    "write": _write,
    "fail": _fail,
    "print": lambda request: {"written": os.write(1, b"\x1b[31m") + os.write(2, b"\x1b[31m")},
}
