"""Compare choices that the paper leaves open, on the validation part of a data set.

    python bench/choices.py DATASET --size 64 --iterations 1000 --penalty 0 --penalty 2
    python bench/choices.py DATASET --size 64 --iterations 2000 --filters 8,16,32,64,128

One row per choice: validation accuracy clean, under FGSM at 2 levels and under PGD of 10 steps at
1, 2 and 5 levels, mean gradient norm per level, seconds. --penalty trains the secure recipe with
that λ (0: fusion alone), --filters the plain recipe. An interrupted run resumes.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from entry import enter
from torch.nn import functional

from trueshot.attacks import FGSM, PGD, Attack
from trueshot.bundle import load_bundle
from trueshot.datasets import Dataset
from trueshot.detector import Detector
from trueshot.evaluation import evaluate
from trueshot.training import Recipe, load_recipe, train
from trueshot.training.losses import gradient_norms, input_gradient

ATTACKS: dict[tuple[str, float], Attack] = {
    ("fgsm", 2.0): FGSM(budget=2.0),
    **{("pgd", budget): PGD(budget=budget) for budget in (1.0, 2.0, 5.0)},
}


def main() -> None:
    arguments = parse()
    dataset = Dataset.open(arguments.dataset)
    print("| choice | clean | FGSM 2 | PGD 1 | PGD 2 | PGD 5 | gradient norm | seconds |")
    print("|---|---|---|---|---|---|---|---|")
    for name, recipe in recipes(arguments):
        started = time.monotonic()
        run = train(recipe, dataset, arguments.out / recipe.name, side=arguments.size)
        seconds = time.monotonic() - started
        detector, _ = load_bundle(run.bundle)
        result = evaluate(
            detector, dataset, ATTACKS, side=arguments.size, part="validation", crops=500
        )
        cells = " | ".join(f"{100 * cell.accuracy:.1f} %" for cell in result.singles())
        norm = mean_gradient_norm(detector, dataset, arguments.size)
        print(f"| {name} | {cells} | {norm:.4f} | {seconds:.0f} |", flush=True)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--iterations", type=int, default=1000)
    parser.add_argument("--penalty", type=float, action="append", default=[])
    parser.add_argument("--filters", action="append", default=[])
    parser.add_argument("--out", type=Path, default=Path("runs/choices"))
    return parser.parse_args()


def recipes(arguments: argparse.Namespace) -> list[tuple[str, Recipe]]:
    found = []
    for weight in arguments.penalty:
        settings = load_recipe("secure").shortened(arguments.iterations).model_dump()
        settings["name"] = f"penalty-{weight:g}"
        settings["objective"]["penalty"] = {"weight": weight} if weight else None
        found.append((f"λ = {weight:g}", Recipe.model_validate(settings)))
    for filters in arguments.filters:
        settings = load_recipe("yang").shortened(arguments.iterations).model_dump()
        settings["name"] = f"filters-{filters.replace(',', '-')}"
        settings["network"]["filters"] = [int(count) for count in filters.split(",")]
        found.append((f"filters {filters}", Recipe.model_validate(settings)))
    return found


def mean_gradient_norm(detector: Detector, dataset: Dataset, side: int) -> float:
    images, labels = dataset.part(side, "validation").drawn(100).batch(slice(None))
    images.requires_grad_(True)
    losses = functional.cross_entropy(detector(images), labels, reduction="none")
    return float(gradient_norms(input_gradient(losses, images)).detach().mean())


if __name__ == "__main__":
    enter(main)
