"""Measure how long it takes to explain a verdict, beside reading and judging, in ms per photograph.

    python bench/explaining.py PHOTOS [--bundle lcnn] [--rounds 3]

One thread; medians over photographs and rounds. Also the size of an explanation in the ledger.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path

import torch
from entry import enter

from trueshot.detectors import shipped
from trueshot.images import find_images, read_image
from trueshot.inference import Predictor
from trueshot.inference.explaining import explain


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photos", type=Path)
    parser.add_argument("--bundle", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    predictor = Predictor.load(options.bundle or shipped("accurate"))
    times: dict[str, list[float]] = {"read": [], "judge": [], "explain": []}
    sizes = []
    paths = find_images(options.photos)
    if not paths:
        raise SystemExit(f"{options.photos}: no photographs in it")
    for path in paths * options.rounds:
        moments = [time.perf_counter()]
        pixels = read_image(path).pixels
        moments.append(time.perf_counter())
        prediction = predictor.predict(pixels)
        moments.append(time.perf_counter())
        sizes.append(len(explain(predictor, pixels, prediction).to_bytes()))
        moments.append(time.perf_counter())
        for name, start, end in zip(times, moments, moments[1:], strict=False):
            times[name].append(1000 * (end - start))
    for name, values in times.items():
        print(f"{name}: {statistics.median(values):.0f} ms")
    print(f"an explanation: {min(sizes) / 1000:.0f} to {max(sizes) / 1000:.0f} kB")


if __name__ == "__main__":
    enter(main)
