"""How attacks fare over a training schedule: a table row per checkpoint of one run.

    trueshot train DATASET --size 64 --recipe yang --iterations 100000 --out RUN
    # while it runs, keep copies of RUN/checkpoint.safetensors
    python bench/schedule.py DATASET RUN COPY.safetensors...

Cells are percentages of originals / recaptures of the test part that are classified correctly, at
whole levels. The distance is the median, over crops classified correctly, of the margin divided by
the L1 norm of its gradient: the levels at which a linear detector would change its verdict.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from entry import enter
from torch import Tensor

from trueshot.attacks import FGSM, PGD, LeastLikelyClass, as_filed, perturb
from trueshot.datasets import Dataset
from trueshot.detector import Detector, evaluating
from trueshot.pixels import to_levels
from trueshot.training import load_recipe
from trueshot.training.checkpoints import load_checkpoint
from trueshot.training.distributed import Processes
from trueshot.training.steps import begin

ATTACKS = (
    ("FGSM", FGSM(budget=1.0)),
    ("FGSM", FGSM(budget=5.0)),
    ("LLCM", LeastLikelyClass(budget=1.0)),
    ("PGD", PGD(budget=1.0, steps=10)),
    ("PGD", PGD(budget=5.0, steps=10)),
)
BATCH = 250


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dataset", type=Path)
    parser.add_argument("run", type=Path, help="folder of the run, for its recipe")
    parser.add_argument("checkpoints", type=Path, nargs="+")
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--crops", type=int, default=500, help="of each class")
    given = parser.parse_args()
    torch.set_num_threads(1)
    part = Dataset.open(given.dataset).part(given.size, "test").drawn(given.crops)
    images, labels = to_levels(part.crops(slice(None))), torch.from_numpy(part.labels)
    names = [f"{name} ε = {attack.budget:g}" for name, attack in ATTACKS]
    print(f"| iterations | clean | {' | '.join(names)} | distance, levels | margin |")
    print("|---" * (len(names) + 4) + "|")
    rows = sorted(measured(given.run, path, images, labels) for path in given.checkpoints)
    for step, cells in rows:
        print(f"| {step:,} | {' | '.join(cells)} |", flush=True)


def measured(run: Path, path: Path, images: Tensor, labels: Tensor) -> tuple[int, list[str]]:
    """Return the number of iterations, and the cells of a checkpoint's row."""
    recipe = load_recipe(run / "recipe.yaml")
    state = begin(recipe, torch.device("cpu"), Processes(), None)
    step = load_checkpoint(path, state.detector, state.optimizer, state.average).step
    detector = state.kept
    with evaluating(detector):
        margins, distances = geometry(detector, images, labels)
        right = margins > 0
        cells = [by_class(right, labels)]
        for _, attack in ATTACKS:
            attacked = [
                as_filed(attack, some, perturb(attack, detector, some, of_them))
                for some, of_them in zip(images.split(BATCH), labels.split(BATCH), strict=True)
            ]
            cells.append(by_class(geometry(detector, torch.cat(attacked), labels)[0] > 0, labels))
    for values in (distances, margins):
        medians = (float(values[right & (labels == label)].median()) for label in (0, 1))
        cells.append(" / ".join(f"{value:.2f}" for value in medians))
    return step, cells


def geometry(detector: Detector, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Return the margin of the true class, and its linear distance to 0 in levels, shape (n,)."""
    margins, distances = [], []
    for some, of_them in zip(images.split(BATCH), labels.split(BATCH), strict=True):
        seen = some.detach().requires_grad_()
        logits = detector(seen)
        margin = (logits[:, 1] - logits[:, 0]) * (2 * of_them - 1)
        (gradient,) = torch.autograd.grad(margin.sum(), seen)
        margins.append(margin.detach())
        distances.append(margin.detach() / gradient.abs().flatten(1).sum(1).clamp_min(1e-12))
    return torch.cat(margins), torch.cat(distances)


def by_class(right: Tensor, labels: Tensor) -> str:
    return " / ".join(
        f"{100 * float(right[labels == label].float().mean()):.0f}" for label in (0, 1)
    )


if __name__ == "__main__":
    enter(main)
