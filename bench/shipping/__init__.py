"""The steps of bench/shipped.py, one file each, and the simulation that networks learnt from."""

from __future__ import annotations

from pathlib import Path

from trueshot.simulate import Simulation

RUNS = Path("runs/shipped")
SIMULATION = Simulation(sides=(64, 128), per_class=64_000, fractions=(0.8, 0.1, 0.1), seed=11)
PARTS = ("validation", "test")  # for calibration, for tests
