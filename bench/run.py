"""Speed of training, attacks and loading, compared with other implementations.

    python bench/run.py
    python bench/run.py --quick
    python bench/run.py --plot cost.png --detector detector.safetensors --dataset FOLDER
    python bench/run.py --torchattacks PYTHON

Prints Markdown tables. Compared implementations take turns, round by round; a ratio is the median
of the rounds' ratios, with their quartiles in brackets. Before timing, both sides are checked to
compute the same.

torchattacks declares torchvision as a dependency, though it does not need it, so install it in an
environment of its own, whose Python is PYTHON:

    pip install -c constraints.txt '.[train]' requests; pip install --no-deps torchattacks
"""

from __future__ import annotations

import argparse
import os
import platform
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from entry import enter
from speed.attacking import attacks
from speed.loading import loading
from speed.plot import draw
from speed.processes import processes
from speed.profiling import profile
from speed.steps import steps
from speed.timing import Settings

from trueshot.memory import keep_freed_memory

SIDES = (64, 128, 256)
SECTIONS: dict[str, Callable[[Settings], Iterator[str]]] = {
    "steps": steps,
    "attacks": attacks,
    "loading": loading,
    "processes": processes,
    "profile": profile,
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0],
        epilog=__doc__.partition("\n\n")[2],
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--size", type=int, action="append", help="px; may be repeated")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=45.0, help="for the rounds of one table")
    parser.add_argument("--only", choices=SECTIONS, action="append", help="may be repeated")
    parser.add_argument("--quick", action="store_true", help="64 px, few rounds: does it run?")
    parser.add_argument("--plot", type=Path, metavar="PNG")
    parser.add_argument("--detector", type=Path, metavar="BUNDLE", help="to attack")
    parser.add_argument("--dataset", type=Path, metavar="FOLDER", help="its test part is attacked")
    parser.add_argument("--torchattacks", type=Path, metavar="PYTHON")
    arguments = parser.parse_args()
    if (arguments.detector is None) != (arguments.dataset is None):
        parser.error("--detector and --dataset go together")
    run(_settings(arguments), arguments.only or list(SECTIONS))
    if arguments.plot is not None:
        draw(_settings(arguments), arguments.plot)


def run(settings: Settings, names: list[str]) -> None:
    """Print the sections with these names."""
    keep_freed_memory()
    torch.set_num_threads(settings.threads)
    print(f"# Speed\n\n{_machine(settings)}")
    for name in names:
        for text in SECTIONS[name](settings):
            print(f"\n{text}", flush=True)


def _settings(arguments: argparse.Namespace) -> Settings:
    sides = arguments.size or ((SIDES[0],) if arguments.quick else SIDES)
    return Settings(
        sides=tuple(sides),
        threads=arguments.threads,
        seconds=1.0 if arguments.quick else arguments.seconds,
        rounds=3 if arguments.quick else 5,
        detector=arguments.detector,
        dataset=arguments.dataset,
        torchattacks=arguments.torchattacks,
    )


def _machine(settings: Settings) -> str:
    load, _, _ = os.getloadavg()
    cores = os.cpu_count() or 1
    busy = load + settings.threads > cores + 0.5
    warning = " **It is not idle: with more than one thread, times mean little.**" if busy else ""
    return (
        f"{_processor()}, {cores} cores, {settings.threads} threads; load {load:.1f} at the start."
        f"{warning} Python {platform.python_version()}, torch {torch.__version__}, NumPy "
        f"{np.__version__}."
    )


def _processor() -> str:
    information = Path("/proc/cpuinfo")
    if information.exists():
        for line in information.read_text("utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


if __name__ == "__main__":
    enter(main)
