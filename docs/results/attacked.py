"""Draw the paper's figures 2 and 5 at all four sizes, with the published detectors of `close`.

    trueshot simulate --embedded --conditions close --size 64 --size 128 --size 256 --size 512 \\
        --per-class 100 --out DATASET
    python docs/results/attacked.py DATASET

The scenes must be embedded ones, which may be published. figure-2.jpg and figure-5.jpg are written
to the folder `close`.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

from PIL import Image

from trueshot.bundle import load_bundle
from trueshot.datasets import Dataset
from trueshot.evaluation.examples import make_examples
from trueshot.reports.figures import draw_figure_2, draw_figure_5

HERE = Path(__file__).parent / "close"
SIDES = (64, 128, 256, 512)


def main(dataset: Dataset) -> None:
    rows: list[dict[str, Any]] = []
    panels: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for side in SIDES:
            detectors = {
                name: load_bundle(HERE / f"{name}-{side}px.safetensors")[0]
                for name in ("yang", "secure")
            }
            made = make_examples(dataset, side, detectors, {}, root)
            rows += [
                {**row, "detector": f"{row['detector']}, {side} px"} for row in made["figure_2"]
            ]
            panels += [
                {**panel, "attack": f"{panel['attack']}, {side}"} for panel in made["figure_5"]
            ]
        draw_figure_2(root, rows, root / "figure-2.png")
        draw_figure_5(root, panels, root / "figure-5.png")
        for name in ("figure-2", "figure-5"):
            with Image.open(root / f"{name}.png") as drawn:
                drawn.convert("RGB").save(HERE / f"{name}.jpg", quality=80)  # a quarter of the size


if __name__ == "__main__":
    main(Dataset.open(sys.argv[1]))
