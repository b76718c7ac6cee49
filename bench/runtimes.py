"""Compare torch with onnxruntime: scores of 16 crops on one thread, and time from start to verdict.

    python bench/runtimes.py [BUNDLE…]

Without bundles, fresh networks are timed: the LCNN on crops of 64 and 128 px and the spectral
network on crops of 128 px; the weights do not affect the time. The two take turns, so that other
load on the machine affects both. Prints medians with quartiles.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from entry import enter

from trueshot.bundle import load_bundle, read_bundle, save_bundle
from trueshot.card import Card, InputContract
from trueshot.inference.crop_model import CropModel
from trueshot.inference.predictor import ScoreFunction
from trueshot.parity import logits_by_torch, photographs

CROPS, ROUNDS, STARTS = 16, 60, 9
NETWORKS = {
    "LCNN, 64 px": ({"name": "lcnn"}, 64),
    "LCNN, 128 px": ({"name": "lcnn"}, 128),
    "spectral, 128 px": ({"name": "spectral", "window": 32}, 128),
}
START = """
import numpy
from trueshot.inference import Predictor
pixels = numpy.random.default_rng(0).integers(0, 256, (1024, 1024, 3), numpy.uint8)
print(Predictor.load({path!r}).predict(pixels).verdict)
"""


def main(bundles: list[str]) -> None:
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        named = [(path, Path(path)) for path in bundles] or list(fresh(Path(folder)))
        print("| detector | torch | onnx | torch / onnx |\n| --- | --- | --- | --- |")
        for name, path in named:
            print(f"| {name}, {CROPS} crops | {row(*judging(path), 'ms')} |", flush=True)
        for name, path in named:
            times = [started(path) for _ in range(STARTS)]
            print(f"| {name}, start to verdict | | {spread(times, 's')} | |", flush=True)


def fresh(folder: Path) -> Iterator[tuple[str, Path]]:
    """Save a bundle of each network with its initial weights."""
    for name, (network, side) in NETWORKS.items():
        card = Card(network=network, contract=InputContract(side=side, crops=CROPS))
        path = folder / f"{name}.safetensors"
        save_bundle(path, card.new_detector().eval(), card)
        yield name, path


def judging(bundle: Path) -> tuple[list[float], list[float]]:
    """Measure milliseconds for one photograph's crops, with torch and with onnxruntime."""
    detector, card = load_bundle(bundle)
    both = logits_by_torch(detector), CropModel.of(read_bundle(bundle), bundle)
    crops = np.resize(
        np.concatenate(list(photographs(card.input_contract().side, CROPS))[:8]),
        (CROPS, card.input_contract().side, card.input_contract().side, 3),
    )
    for margins in both:
        timed(margins, crops)
    turns = [[1000 * timed(margins, crops) for margins in both] for _ in range(ROUNDS)]
    return [turn[0] for turn in turns], [turn[1] for turn in turns]


def timed(margins: ScoreFunction, crops: np.ndarray) -> float:
    start = time.perf_counter()
    margins(crops)
    return time.perf_counter() - start


def started(bundle: Path) -> float:
    """Measure seconds from the start of Python to the verdict on one photograph."""
    script = START.format(path=str(bundle))
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", script], check=True, capture_output=True)
    return time.perf_counter() - start


def row(first: list[float], second: list[float], unit: str) -> str:
    ratio = np.median(first) / np.median(second)
    return f"{spread(first, unit)} | {spread(second, unit)} | {ratio:.2f}"


def spread(times: list[float], unit: str) -> str:
    low, middle, high = np.quantile(times, [0.25, 0.5, 0.75])
    return f"{middle:.2f} {unit} ({low:.2f} to {high:.2f})"


if __name__ == "__main__":
    enter(lambda: main(sys.argv[1:]))
