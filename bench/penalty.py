"""Compare the finite-difference penalty with the exact one: gradients, and trained detectors.

    python bench/penalty.py DATASET --size 64 --iterations 800 --seeds 3

First table: cosine between the float32 gradient with finite differences and the exact one in
float64, for all of equation 7 and for the penalty alone, of detectors before, early in and after
training. Second table: results on the validation part (1,000 crops of each class) of detectors
trained either way with several seeds: mean and standard deviation. An interrupted run resumes.
"""

from __future__ import annotations

import argparse
import copy
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from entry import enter
from torch import Tensor

from trueshot.attacks import FGSM, PGD, Attack
from trueshot.bundle import load_bundle
from trueshot.datasets import Batches, Dataset
from trueshot.detector import Detector
from trueshot.evaluation import evaluate
from trueshot.memory import keep_freed_memory
from trueshot.training import Recipe, differentiate, load_recipe, train
from trueshot.training.objective_settings import Objective
from trueshot.training.steps import draw_budgets, new_detector

STEPS = (0.01, 0.1, 0.5, 1.0, 2.0)
EARLY = 100
ATTACKS: dict[tuple[str, float], Attack] = {
    ("fgsm", 1.0): FGSM(budget=1.0),
    ("fgsm", 5.0): FGSM(budget=5.0),
    ("pgd", 1.0): PGD(budget=1.0),
    ("pgd", 2.0): PGD(budget=2.0),
}


def main() -> None:
    arguments = parse()
    keep_freed_memory()
    dataset = Dataset.open(arguments.dataset)
    print("| detector | λ | share of the penalty | step | cosine, whole | penalty alone |")
    print("|---|---|---|---|---|---|")
    for name, detector in detectors(arguments, dataset):
        for weight in arguments.penalty:
            compare(name, detector, dataset, arguments.size, weight)
    print(
        "\n| λ | method | clean | FGSM 1 | FGSM 5 | PGD 1 | PGD 2 |\n|---|---|---|---|---|---|---|"
    )
    for weight in arguments.penalty:
        for method in ("exact", "difference"):
            print(f"| {weight:g} | {method} | {judged(arguments, dataset, weight, method)} |")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--iterations", type=int, default=800)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--penalty", type=float, nargs="+", default=[2.0, 20.0])
    parser.add_argument("--out", type=Path, default=Path("runs/penalty"))
    return parser.parse_args()


def recipe(weight: float, method: str, seed: int, iterations: int) -> Recipe:
    settings = load_recipe("secure").shortened(iterations).model_dump()
    settings |= {"name": f"{method}-{weight:g}-{seed}-{iterations}", "seed": seed}
    settings["objective"]["penalty"] |= {"weight": weight, "method": method}
    return Recipe.model_validate(settings)


def trained(arguments: argparse.Namespace, dataset: Dataset, chosen: Recipe) -> Detector:
    run = train(chosen, dataset, arguments.out / chosen.name, side=arguments.size)
    return load_bundle(run.bundle)[0]


def detectors(arguments: argparse.Namespace, dataset: Dataset) -> Iterator[tuple[str, Detector]]:
    weight, whole = arguments.penalty[0], arguments.iterations
    yield "fresh", new_detector(recipe(weight, "exact", 0, whole))
    for iterations in (EARLY, whole):
        chosen = recipe(weight, "exact", 0, iterations)
        yield f"after {iterations} steps", trained(arguments, dataset, chosen)


def compare(name: str, detector: Detector, dataset: Dataset, side: int, weight: float) -> None:
    chosen = recipe(weight, "exact", 0, 1)
    part = dataset.part(side, "train")
    images, labels = part.batch(Batches(part=part, batch=64, seed=1).places(0))
    budgets = draw_budgets(chosen, 0)
    assert budgets is not None
    objective = chosen.objective
    double = gradient(objective, detector, images.double(), labels, budgets)
    bare = objective.model_copy(update={"penalty": None})
    plain = gradient(bare, detector, images.double(), labels, budgets)
    share = float((double - plain).norm() / double.norm())
    for step in STEPS:
        settings = {"method": "difference", "step": step}
        fast = objective.model_copy(
            update={"penalty": objective.penalty.model_copy(update=settings)}
        )
        found = gradient(fast, detector, images, labels, budgets)
        whole, alone = cosine(found, double), cosine(found - plain, double - plain)
        print(f"| {name} | {weight:g} | {share:.3f} | {step:g} | {whole:.4f} | {alone:.3f} |")


def gradient(
    objective: Objective, detector: Detector, images: Tensor, labels: Tensor, budgets: Tensor
) -> Tensor:
    twin = copy.deepcopy(detector).to(images.dtype).train()
    twin.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    differentiate(objective, twin, images, labels, budgets.to(images.dtype))
    gradients = [parameter.grad for parameter in twin.parameters()]
    return torch.cat([each.flatten().double() for each in gradients if each is not None])


def cosine(first: Tensor, second: Tensor) -> float:
    return float(first @ second / (first.norm() * second.norm()))


def judged(arguments: argparse.Namespace, dataset: Dataset, weight: float, method: str) -> str:
    rows = []
    for seed in range(arguments.seeds):
        detector = trained(arguments, dataset, recipe(weight, method, seed, arguments.iterations))
        result = evaluate(
            detector, dataset, ATTACKS, side=arguments.size, part="validation", crops=1000
        )
        rows.append([100 * cell.accuracy for cell in result.singles()])
    means, deviations = np.mean(rows, 0), np.std(rows, 0, ddof=1)
    return " | ".join(f"{m:.1f} ± {d:.1f}" for m, d in zip(means, deviations, strict=True))


if __name__ == "__main__":
    enter(main)
