"""A running service, on loopback and in a thread, and detectors small enough to start at once."""

from __future__ import annotations

import gc
import socket
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import torch
import uvicorn
from conftest import HANGS, photo_pixels, wait_until
from fastapi import FastAPI

from trueshot.bundle import save_bundle
from trueshot.calibration import Calibration, Decision
from trueshot.card import Card, InputContract
from trueshot.images import write_png
from trueshot.web.app import create_app
from trueshot.web.server import config
from trueshot.web.service import LOADER
from trueshot.web.settings import ServiceSettings

QUICK = "web_workers:load"
SIDE = 32
CALIBRATION = Calibration(
    method="logistic",
    slope=2.0,
    intercept=0.0,
    lower=-1.5,
    upper=1.5,
    originals=50,
    recaptured=50,
    sources=10,
)


@dataclass(frozen=True)
class Served:
    """A service that runs."""

    app: FastAPI
    port: int
    shared: httpx.Client

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def client(self, **how: Any) -> httpx.Client:
        return new_client(self.port, **how)

    def send(self, data: bytes, **parameters: Any) -> httpx.Response:
        """Have a file judged that is all of the request."""
        kind = {"content-type": "application/octet-stream"}
        return self.shared.post("/v1/verdicts", content=data, params=parameters, headers=kind)


def new_client(port: int, **how: Any) -> httpx.Client:
    """Of one service; it is not told of proxies and certificates."""
    address = f"http://127.0.0.1:{port}"
    return httpx.Client(base_url=address, timeout=HANGS, trust_env=False, verify=False, **how)


@contextmanager
def served(
    bundles: tuple[Path, Path] = (Path("accurate"), Path("robust")),
    loader: str = QUICK,
    **limits: Any,
) -> Iterator[Served]:
    """Run a service on a port that is free."""
    settings = ServiceSettings(**{"workers": 2, "queue": 4, **limits})
    app = create_app(*bundles, settings, loader)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        server = uvicorn.Server(config(app, settings))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            wait_until(lambda: server.started or not thread.is_alive())
            assert thread.is_alive(), "the service did not start"
            port = listener.getsockname()[1]
            with new_client(port) as client:
                yield Served(app, port, client)
        finally:
            server.should_exit = True
            thread.join(HANGS)
            _forget_connections()


def _forget_connections() -> None:
    """Collect what clients still held open when the loop ended, here and not within some test."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


def small_bundle(path: Path, seed: int, **said: Any) -> Path:
    """A detector that was never trained, but whose scores differ from one photograph to another."""
    card = Card(
        network={"name": "lcnn", "filters": [4, 4, 4, 4, 4]},
        side=SIDE,
        title=f"Untrained {seed}",
        contract=InputContract(side=SIDE, crops=9),
        calibration=CALIBRATION,
        decision=Decision(original_to=-0.01, recaptured_from=0.01, apcer=0.05, bpcer=0.05),
        limits=("Never trained.",),
    ).model_copy(update=said)
    torch.manual_seed(seed)
    detector = card.new_detector()
    with torch.no_grad():  # as steep as one that was trained
        [*detector.parameters()][-2].mul_(1000.0)
    save_bundle(path, detector.eval(), card)
    return path


def small_bundles(folder: Path) -> tuple[Path, Path]:
    """An accurate and a robust one."""
    return small_bundle(folder / "accurate.safetensors", 1), small_bundle(folder / "robust.st", 2)


def real_service(folder: Path, **limits: Any) -> Any:
    """A service that judges by small detectors."""
    return served(small_bundles(folder), LOADER, **limits)


def photograph(folder: Path, seed: int = 0, recaptured: bool = False, side: int = 128) -> Path:
    """A PNG file."""
    path = folder / f"photo-{seed}.png"
    write_png(path, photo_pixels(seed, recaptured, side))
    return path


def bright(level: int, side: int = 8) -> bytes:
    """A PNG of one level."""
    from trueshot.web.worker import png

    return png(np.full((side, side, 3), level, np.uint8))
