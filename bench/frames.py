"""Compare context networks on staged frames, whole and from so close that the medium fills them.

    python bench/frames.py runs/frames/manifest.csv runs/context/context.safetensors … [--most 600]

Measures only: AUC on the validation part, which chose the state of each network.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from sklearn.metrics import roc_auc_score

from trueshot.detector import Detector
from trueshot.training.context import load_context
from trueshot.training.context_recipe import ContextRecipe
from trueshot.training.frame_augmentation import Bytes, close_by, seen
from trueshot.training.frames import open_frame, read_frames

AT_ONCE = 32


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("manifest", type=Path)
    parser.add_argument("networks", type=Path, nargs="+", help="as `training.context` leaves them")
    parser.add_argument("--most", type=int, default=600, help="frames")
    given = parser.parse_args()
    torch.set_num_threads(1)
    frames = [each for each in read_frames(given.manifest) if each.part == "validation"]
    frames, recipe = frames[: given.most], ContextRecipe()
    labels = [each.label for each in frames]
    opened = [open_frame(each) for each in frames]
    whole = [seen(image, recipe) for image in opened]
    filled = [
        np.asarray(
            image.resize(
                (recipe.side, recipe.side),
                Image.Resampling.BILINEAR,
                box=close_by(image, frame.outline, np.random.default_rng(number)),
            )
        )
        for number, (image, frame) in enumerate(zip(opened, frames, strict=True))
    ]
    print("| network | whole frames | filled by the medium |\n|---|---|---|")
    for path in given.networks:
        detector = load_context(path).folded()
        areas = (roc_auc_score(labels, scores(detector, each)) for each in (whole, filled))
        print(f"| {path} | {' | '.join(f'{area:.3f}' for area in areas)} |")


def scores(detector: Detector, images: Sequence[Bytes]) -> list[float]:
    """Log odds that images are no originals."""
    found: list[float] = []
    with torch.inference_mode():
        for first in range(0, len(images), AT_ONCE):
            levels = torch.from_numpy(np.stack(images[first : first + AT_ONCE]))
            logits = detector(levels.permute(0, 3, 1, 2).float())
            found += (logits[:, 1:].logsumexp(1) - logits[:, 0]).tolist()
    return found


if __name__ == "__main__":
    main()
