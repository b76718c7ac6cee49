"""A light context network: logistic regression on features of a frozen ImageNet network.

    python bench/context_probe.py FRAMES/manifest.csv OUT.safetensors

The regularisation strength is chosen on the scenes of the validation part. The output is a context
network like a fine-tuned one, with the regression as its last layer.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from entry import enter
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from trueshot.inference.context import squeezed
from trueshot.networks.efficientnet_lite import OFFSET, SCALE
from trueshot.networks.folding import folded
from trueshot.pixels import to_levels
from trueshot.training.context import new_context
from trueshot.training.context_file import save_context
from trueshot.training.frames import Frame, open_frame, read_frames

Floats = npt.NDArray[np.float32]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("manifest", type=Path)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    frames = read_frames(arguments.manifest)
    features = kept_features(frames, arguments.out.with_suffix(".npy"))
    labels = np.array([frame.label for frame in frames])
    parts = np.array([frame.part for frame in frames])
    mean, spread = (f(features[parts == "train"], 0) for f in (np.mean, np.std))
    standard = (features - mean) / (spread + 1e-6)
    best, chosen = 0.0, None
    for strength in (1e-5, 1e-4, 1e-3, 1e-2):
        model = LogisticRegression(C=strength, max_iter=300)
        model.fit(standard[parts == "train"], labels[parts == "train"])
        scores = model.decision_function(standard)
        area, test = (roc_auc_score(labels[parts == p], scores[parts == p]) for p in PARTS)
        print(f"C {strength:g}: AUC validation {area:.4f}, test {test:.4f}", flush=True)
        if area > best:
            best, chosen = area, model
    assert chosen is not None
    weight = chosen.coef_[0] / (spread + 1e-6)
    bias = float(chosen.intercept_[0] - weight @ mean)
    detector = new_context()
    last = detector.network.classifier
    with torch.no_grad():
        last.weight.copy_(torch.from_numpy(np.stack([0 * weight, weight])))
        last.bias.copy_(torch.tensor([0.0, bias]))
    save_context(arguments.out, detector, facts={"probe": True, "validation_auc": best})


PARTS = ("validation", "test")


def kept_features(frames: Sequence[Frame], kept: Path) -> Floats:
    if not kept.exists():
        np.save(kept, features_of(frames))
    return np.load(kept)


def features_of(frames: Sequence[Frame]) -> Floats:
    network = folded(new_context().network)
    rows = []
    with torch.inference_mode():
        for first in range(0, len(frames), 32):
            some = frames[first : first + 32]
            levels = to_levels(np.stack([squeezed(open_frame(frame)) for frame in some]))
            rows.append(network.features((levels - OFFSET) / SCALE).numpy())
    return np.concatenate(rows)


if __name__ == "__main__":
    enter(main)
