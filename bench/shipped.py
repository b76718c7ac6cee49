"""How `lcnn` and an earlier `robust` were made and measured; results are in docs/detectors.md.

    trueshot simulate --photos PHOTOS --size 64 --size 128 --per-class 64000 \
        --fractions 0.8 0.1 0.1 --seed 11 --out runs/shipped/data
    python bench/shipped.py photographs --photos PHOTOS     # to calibrate on and to test on
    python bench/shipped.py train NAME...                   # rows of RECIPES, below
    python bench/shipped.py choose NAME@SIDE...             # on photographs of the validation part
    python bench/shipped.py bundle lcnn NAME@SIDE           # contract, calibration, thresholds
    python bench/shipped.py measure lcnn --real MANIFEST.csv   # what the card says
    python bench/shipped.py install lcnn                    # into the package, with its sum
    python bench/shipped.py tables                          # of docs/detectors.md, from both cards

`photographs` makes whole photographs with the scenes, cameras and media of that simulation's
validation part (for calibration) and test part (for tests), and checks that none of these are in
the training part. `choose` uses neither the test part nor real photographs.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from entry import enter
from shipping.bundling import TITLES, bundle, install
from shipping.choosing import choose
from shipping.measuring import measure_all
from shipping.photographs import photographs
from shipping.recipes import train_all
from shipping.tables import print_tables


def main() -> None:
    torch.set_num_threads(1)
    arguments = parse()
    arguments.run(arguments)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(required=True)
    command = commands.add_parser("photographs")
    command.add_argument("--photos", type=Path, required=True)
    command.set_defaults(run=lambda a: photographs(a.photos))
    command = commands.add_parser("train")
    command.add_argument("names", nargs="+")
    command.set_defaults(run=lambda a: train_all(a.names))
    command = commands.add_parser("choose")
    command.add_argument("names", nargs="+")
    command.add_argument("--every", type=int, default=8, help="attack every N-th pair")
    command.add_argument("--budget", type=float, action="append", default=[])
    command.set_defaults(run=lambda a: choose(a.names, a.every, a.budget))
    command = commands.add_parser("bundle")
    command.add_argument("name", choices=TITLES)
    command.add_argument("chosen")
    command.set_defaults(run=lambda a: bundle(a.name, a.chosen))
    command = commands.add_parser("install")
    command.add_argument("names", nargs="+", choices=TITLES)
    command.set_defaults(run=lambda a: install(a.names))
    command = commands.add_parser("tables")
    command.set_defaults(run=lambda a: print_tables())
    command = commands.add_parser("measure")
    command.add_argument("names", nargs="+")
    command.add_argument("--real", type=Path, required=True, help="manifest of real photographs")
    command.set_defaults(run=lambda a: measure_all(a.names, a.real))
    return parser.parse_args()


if __name__ == "__main__":
    enter(main)
