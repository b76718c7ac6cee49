"""Convert the shipped bundles to the current format: add a graph, keep everything else.

    python bench/shipping/convert.py

Nothing is written unless weights and card are unchanged and the graph judges 200 generated
photographs as the detector does: scores within 1e-4, all verdicts the same. Running it again
changes nothing.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import torch

import trueshot.detectors
from trueshot.bundle import bundle_sha256, load_bundle, read_bundle, upgrade_bundle
from trueshot.detectors import NAMES, SUMS, shipped
from trueshot.onnx import IMAGES, largest_difference, photograph_graph

FOLDER = Path(trueshot.detectors.__file__).parent


def main() -> None:
    """Convert, check, and write the checksums."""
    torch.set_num_threads(1)
    made = {name: converted(name) for name in NAMES}
    for name, data in made.items():
        (FOLDER / f"{name}.safetensors").write_bytes(data)
    lines = [
        f"{bundle_sha256(FOLDER / f'{name}.safetensors')}  {name}.safetensors" for name in NAMES
    ]
    (FOLDER / SUMS).write_text("\n".join(lines) + "\n", "utf-8")


def converted(name: str) -> bytes:
    """Return a shipped bundle in the current format."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / f"{name}.safetensors"
        upgrade_bundle(shipped(name), out)
        old, new = read_bundle(shipped(name)), read_bundle(out)
        assert old.card.model_copy(update={"format": new.card.format}) == new.card
        assert old.weights.keys() == new.weights.keys()
        assert all(np.array_equal(old.weights[key], new.weights[key]) for key in old.weights)
        detector, card = load_bundle(out)
        graph = photograph_graph(detector, card)
        difference = largest_difference(detector, card, graph, name)
        print(f"{name}: {IMAGES} photographs judged alike, scores within {difference:.1e}")
        return out.read_bytes()


if __name__ == "__main__":
    main()
