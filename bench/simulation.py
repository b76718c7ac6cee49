"""Speed of simulation: pairs of one size per second, on one process and on all cores.

    python bench/simulation.py

Pairs are made in a temporary folder, from scenes in installed packages and procedural scenes. The
first pairs, which load what is needed, and the start of the processes are not timed.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from entry import enter

from trueshot.engines.engine import LocalEngine
from trueshot.simulate import Simulation, production_of, work_of
from trueshot.simulation.production import produce
from trueshot.simulation.scenes import embedded_scenes, photo_scenes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=1000)
    parser.add_argument("--photos", type=Path)
    arguments = parser.parse_args()
    simulation = Simulation(procedural=0.5)
    scenes = photo_scenes(arguments.photos) if arguments.photos else embedded_scenes()
    whole = production_of(arguments.photos, simulation)
    rates = {}
    for workers in (1, os.cpu_count() or 1):
        few = replace(whole, counts={"train": 16 * workers})
        many = replace(whole, counts={"train": 16 * workers + arguments.pairs})
        with (
            tempfile.TemporaryDirectory() as folder,
            LocalEngine(work_of(arguments.photos, scenes, simulation), workers) as engine,
        ):
            produce(few, Path(folder), engine)
            started = time.monotonic()
            produce(many, Path(folder), engine)
            rates[workers] = arguments.pairs / (time.monotonic() - started)
        print(f"{workers} process(es): {rates[workers]:.1f} pairs of {whole.side} px a second")
    first, last = min(rates), max(rates)
    print(f"{last} processes against {first}: {rates[last] / rates[first]:.2f} times as fast")


if __name__ == "__main__":
    enter(main)
