"""Compare context networks on staged frames, whole and cropped so that the medium fills them.

    python bench/frames.py runs/frames/manifest.csv runs/context/context.safetensors …
        [--part test] [--most 600] [--budget 2 --budget 5]

Prints AUCs, by default on the validation part, which also selected each network's state. With
--budget, also the AUC of whole frames under PGD of 20 steps on the network's input, in levels,
after rounding as in files.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from entry import enter
from PIL import Image
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn

from trueshot.attacks import PGD, as_filed, perturb
from trueshot.inference.context import squeezed
from trueshot.pixels import Bytes, to_levels
from trueshot.training.context import scores_of_images
from trueshot.training.context_file import context_side, load_context
from trueshot.training.context_recipe import ContextRecipe
from trueshot.training.frame_augmentation import close_by, seen
from trueshot.training.frames import Frame, open_frame, read_frames
from trueshot.web.attacking import AgainstFirst

AT_ONCE = 32


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("manifest", type=Path)
    parser.add_argument("networks", type=Path, nargs="+", help="as `training.context` leaves them")
    parser.add_argument("--part", default="validation", help="of the manifest")
    parser.add_argument("--most", type=int, default=600, help="frames")
    parser.add_argument("--budget", type=float, action="append", default=[], help="in levels")
    given = parser.parse_args()
    torch.set_num_threads(1)
    frames = [each for each in read_frames(given.manifest) if each.part == given.part][: given.most]
    heads = ["network", "whole frames", "filled by the medium"]
    heads += [f"whole, PGD, ε = {budget:g}" for budget in given.budget]
    print(f"| {' | '.join(heads)} |\n{'|---' * len(heads)}|")
    for path in given.networks:
        print(f"| {' | '.join([str(path), *measured(path, frames, given.budget)])} |", flush=True)


def measured(path: Path, frames: list[Frame], budgets: list[float]) -> list[str]:
    """Return the AUC of whole frames, of filled ones, and of whole ones under attack."""
    detector, recipe = load_context(path), ContextRecipe(side=context_side(path))
    labels = torch.tensor([each.label for each in frames])
    opened = [open_frame(each) for each in frames]
    whole = [seen(image, recipe) for image in opened]
    closer = [
        filled(image, frame, recipe.side, number)
        for number, (image, frame) in enumerate(zip(opened, frames, strict=True))
    ]
    scores = [scores_of_images(detector, images) for images in (whole, closer)]
    levels = to_levels(np.stack(whole))
    scores += [attacked(AgainstFirst(detector), levels, labels, each) for each in budgets]
    return [f"{roc_auc_score(labels.numpy(), each.numpy()):.3f}" for each in scores]


def filled(image: Image.Image, frame: Frame, side: int, number: int) -> Bytes:
    """Cut out a close view, of the medium if there is one, and resize it to `side` pixels."""
    box = close_by(image, frame.outline, np.random.default_rng(number))
    return squeezed(image, side, box)


def attacked(judge: nn.Module, levels: Tensor, labels: Tensor, budget: float) -> Tensor:
    """Return the log odds of frames attacked with PGD and rounded as in files."""
    attack, found = PGD(budget=budget, steps=20), []
    for some, theirs in zip(levels.split(AT_ONCE), labels.split(AT_ONCE), strict=True):
        changed = as_filed(attack, some, perturb(attack, judge, some, theirs))
        with torch.inference_mode():
            logits = judge(changed)
        found.append(logits[:, 1] - logits[:, 0])
    return torch.cat(found)


if __name__ == "__main__":
    enter(main)
