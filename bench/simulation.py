"""How fast pairs are made: pairs of one size a second, on one process and on all cores.

    python bench/simulation.py --side 256

Made from the scenes inside installed packages and scenes made by rule, in a temporary folder; the
first pairs, which load what is needed, are not timed; the start of the processes is.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from trueshot.simulate import Simulation, production_of
from trueshot.simulation.production import produce


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--pairs", type=int, default=1000)
    parser.add_argument("--photos", type=Path)
    arguments = parser.parse_args()
    whole = production_of(arguments.photos, Simulation(procedural=0.5))
    rates = {}
    for workers in (1, os.cpu_count() or 1):
        with tempfile.TemporaryDirectory() as folder:
            few = replace(whole, side=arguments.side, counts={"train": 16 * workers})
            produce(few, Path(folder), workers)  # scenes are read, but processes end with it
            started = time.monotonic()
            many = {"train": 16 * workers + arguments.pairs}
            produce(replace(few, counts=many), Path(folder), workers)
            rates[workers] = arguments.pairs / (time.monotonic() - started)
        print(f"{workers} process(es): {rates[workers]:.1f} pairs of {arguments.side} px a second")
    first, last = min(rates), max(rates)
    print(f"{last} processes against {first}: {rates[last] / rates[first]:.2f} times as fast")


if __name__ == "__main__":
    main()
