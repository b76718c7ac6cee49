"""Which parts of the simulation matter? Train detectors that each lack one of them.

    python bench/ablation.py PHOTOS --out FOLDER
    python bench/sim_to_real.py MANIFEST.csv FOLDER/*/detector.safetensors --out ablation.json

PHOTOS is a folder of photographs used as scenes. Each variant gets its own data set and training
run, with the same size and seed. An interrupted run resumes.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from entry import enter

from trueshot.memory import keep_freed_memory
from trueshot.simulate import Simulation, simulate
from trueshot.simulation.pairs import EVERYDAY
from trueshot.training import load_recipe, train

WHOLE = Simulation(per_class=3200, fractions=(0.9, 0.05, 0.05))
VARIANTS = {
    "whole": WHOLE,
    "no-grid": replace(WHOLE, conditions=replace(EVERYDAY, grid=0.0)),
    "no-processing": replace(WHOLE, conditions=replace(EVERYDAY, processing=False)),
    "no-history": replace(WHOLE, conditions=replace(EVERYDAY, kept=1.0)),
    "no-prints": replace(WHOLE, conditions=replace(EVERYDAY, prints=0.0)),
    "close-only": replace(WHOLE, conditions=replace(EVERYDAY, magnification=(1.5, 6.0))),
    "no-procedural": replace(WHOLE, procedural=0.0),
    "procedural-only": replace(WHOLE, procedural=1.0),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photos", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--iterations", type=int, default=3000)
    parser.add_argument("--variant", choices=VARIANTS, nargs="*", default=list(VARIANTS))
    arguments = parser.parse_args()
    keep_freed_memory()
    recipe = load_recipe("field").shortened(arguments.iterations)
    for name in arguments.variant:
        dataset = simulate(arguments.photos, arguments.out / "data" / name, VARIANTS[name])
        print(train(recipe, dataset, arguments.out / name).bundle, flush=True)


if __name__ == "__main__":
    enter(main)
