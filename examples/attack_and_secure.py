"""Train one detector plainly and one securely, and attack both; needs the extra `train`.

trueshot simulate --embedded --conditions close --size 64 --per-class 2000 --out DATASET
python examples/attack_and_secure.py DATASET OUT [ITERATIONS]
"""

from __future__ import annotations

import sys
from pathlib import Path

from trueshot import FGSM, PGD, Attack, Dataset, load_bundle, perturb, train
from trueshot.training import load_recipe


def main(dataset: Path, out: Path, iterations: int = 2000) -> None:
    """Print each detector's accuracy on 64 crops: clean, under FGSM, and under PGD."""
    opened = Dataset.open(dataset)
    images, labels = opened.part(opened.only_side(), "test").drawn(32).batch(slice(None))
    attacks: dict[str, Attack] = {"FGSM": FGSM(budget=1.0), "PGD": PGD(budget=1.0, steps=20)}
    for name in ("yang", "secure"):
        history = train(load_recipe(name).shortened(iterations), opened, out / name)
        detector, _ = load_bundle(history.bundle)
        batches = {"clean": images} | {
            attack: perturb(method, detector, images, labels) for attack, method in attacks.items()
        }
        rates = {
            what: float((detector.probabilities(batch).argmax(1) == labels).double().mean())
            for what, batch in batches.items()
        }
        print(f"{name:7}", "  ".join(f"{what} {rate:.0%}" for what, rate in rates.items()))


if __name__ == "__main__":
    if len(sys.argv) not in (3, 4):
        sys.exit(__doc__)
    main(Path(sys.argv[1]), Path(sys.argv[2]), *(int(number) for number in sys.argv[3:]))
