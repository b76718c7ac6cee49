"""A row of docs/security-of-forensics.md: detectors of one task, clean and attacked.

    python bench/forensics.py DATASET BUNDLE… [--crops 200] [--budget 1 --budget 2]

Judges test crops, and again after each attack, rounded to the levels of a PNG. An attack is counted
by itself on all crops, as in the paper's tables; the last figure is how many crops of the other
classes are called class 0, the untouched one, by the attack that wants that. Intervals are of 95 %,
over photographs. With several detectors each is also shown the attacked crops of the others.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from trueshot.attacks import (
    FGSM,
    PGD,
    Attack,
    LeastLikelyClass,
    Targeted,
    as_filed,
    perturb,
)
from trueshot.bundle import bundle_sha256, load_bundle
from trueshot.calibration import rate_with_interval
from trueshot.datasets import Dataset
from trueshot.detector import Detector, evaluating
from trueshot.pixels import to_levels

_AT_ONCE = 50


def crops_of(dataset: Dataset, side: int, most: int) -> tuple[Tensor, Tensor, list[str]]:
    """Test crops, the first `most` of each class; their labels; the photographs they are of."""
    part = dataset.part(side, "test")
    first = part.drawn(most)
    photographs = [str(row["path"]).split("/", 1)[-1] for row in dataset.crops[side].to_pylist()]
    own = [photographs[int(row)] for row in first.rows]
    images = to_levels(first.crops(slice(None)))
    return images, torch.from_numpy(first.labels), own


def attacks(budgets: Sequence[float], steps: int) -> Iterator[Attack]:
    """The paper's two, the strongest simple one, and the one that wants the untouched class."""
    for budget in budgets:
        yield FGSM(budget=budget)
        yield LeastLikelyClass(budget=budget)
        yield PGD(budget=budget, steps=steps)
        yield Targeted(PGD(budget=budget, steps=steps), target=0)


def attacked_by(attack: Attack, detector: Detector, images: Tensor, labels: Tensor) -> Tensor:
    """Attacked crops as a PNG holds them."""
    parts = zip(images.split(_AT_ONCE), labels.split(_AT_ONCE), strict=True)
    return torch.cat(
        [as_filed(attack, clean, perturb(attack, detector, clean, own)) for clean, own in parts]
    )


def called(detector: Detector, images: Tensor) -> Tensor:
    """The likeliest class of each crop."""
    with torch.no_grad(), evaluating(detector):
        return torch.cat([detector(part).argmax(1) for part in images.split(_AT_ONCE)])


def share(hits: Tensor, photographs: Sequence[str]) -> dict[str, float]:
    """A share in per cent with its interval over photographs."""
    found = rate_with_interval(hits.numpy(), photographs)
    low, value, high = (round(100 * x, 1) for x in (found.low, found.value, found.high))
    return {"value": value, "low": low, "high": high, "count": found.count, "of": found.total}


def figures(
    detectors: dict[str, Detector], given: tuple[Tensor, Tensor, list[str]], chosen: list[Attack]
) -> Iterator[dict[str, Any]]:
    """What each detector makes of clean crops, and of those attacked on each."""
    images, labels, photographs = given
    other = labels > 0
    groups = [name for name, is_other in zip(photographs, other.tolist(), strict=True) if is_other]
    for name, detector in detectors.items():
        found = called(detector, images)
        yield {
            "detector": name,
            "attack": "none",
            "right": share(found == labels, photographs),
            "called untouched": share(found[other] == 0, groups),
        }
        for attack in chosen:
            attacked = attacked_by(attack, detector, images, labels)
            for judge, judging in detectors.items():
                found = called(judging, attacked)
                label = str(getattr(attack, "name", "") or type(attack).__name__)
                yield {
                    "detector": judge,
                    "attack": label + ("" if judge == name else f", made on {name}"),
                    "budget": float(torch.as_tensor(attack.budget)),
                    "right": share(found == labels, photographs),
                    "called untouched": share(found[other] == 0, groups),
                }


def main() -> None:
    """Print one line of JSON for each figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("bundles", type=Path, nargs="+")
    parser.add_argument("--crops", type=int, default=200, help="of each class")
    parser.add_argument("--budget", type=float, action="append")
    parser.add_argument("--steps", type=int, default=10, help="of PGD")
    arguments = parser.parse_args()
    dataset = Dataset.open(arguments.dataset)
    side = dataset.only_side()
    detectors = {}
    for path in arguments.bundles:
        detectors[path.parent.name if path.stem == "detector" else path.stem] = load_bundle(path)[0]
        print(json.dumps({"bundle": str(path), "sha256": bundle_sha256(path)[:12]}))
    given = crops_of(dataset, side, arguments.crops)
    facts = {"task": dataset.task.name, "side": side, "crops": len(given[1])}
    print(json.dumps({**facts, "photographs": len(np.unique(given[2]))}))
    for each in figures(
        detectors, given, [*attacks(arguments.budget or [1.0, 2.0], arguments.steps)]
    ):
        print(json.dumps(each), flush=True)


if __name__ == "__main__":
    main()
