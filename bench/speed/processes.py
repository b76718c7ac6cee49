"""Compare training on two processes and on one, with the stated number of threads each."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from speed.timing import Settings, Spread, table

ROUNDS = 3
ALONE = "one process of one thread"
CHOICES = {
    ALONE: (1, 1, 64),
    "one process of two threads": (1, 2, 64),
    "two processes of one thread": (2, 1, 64),
    "two processes of one thread, minibatches of 128": (2, 1, 128),
}


def processes(settings: Settings) -> Iterator[str]:
    """Measure images per second of the secure recipe, for all configurations in turn."""
    yield "## Processes\n\nThe recipe `secure`, minibatches of 64 unless said, with Adam."
    for side in settings.sides:
        rates: dict[str, list[float]] = {name: [] for name in CHOICES}
        for _ in range(ROUNDS):
            for name, choice in CHOICES.items():
                rates[name].append(_rate(side, *choice, max(1.0, settings.seconds / 10)))
        yield table([f"{side} px", "images a second", "as fast"], [_row(n, rates) for n in CHOICES])


def _row(name: str, rates: dict[str, list[float]]) -> list[str]:
    ratios = np.array(rates[name]) / np.array(rates[ALONE])
    low, median, high = (float(value) for value in np.quantile(ratios, (0.25, 0.5, 0.75)))
    return [name, f"{np.median(rates[name]):.0f}", f"{Spread(median, low, high)} ×"]


def _rate(side: int, count: int, threads: int, batch: int, seconds: float) -> float:
    """Return images per second of freshly started processes, without their start-up."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "rate.json"
        command = ["-m", "speed.worker", str(side), str(batch), str(seconds), str(report)]
        if count > 1:
            launcher = ["-m", "torch.distributed.run", "--standalone"]
            command = [*launcher, f"--nproc-per-node={count}", *command]
        environment = {
            **os.environ,
            "OMP_NUM_THREADS": str(threads),
            "PYTHONPATH": str(Path(__file__).parents[1]),
        }
        subprocess.run([sys.executable, *command], env=environment, check=True)
        return float(json.loads(report.read_text("utf-8")))
