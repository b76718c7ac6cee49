"""Train and evaluate a network of your own: this file defines it, and a recipe names it.

    trueshot train DATASET --out RUN --recipe examples/own_network.yaml
    trueshot evaluate RUN/detector.safetensors --network examples/own_network.py:Residual ...

Or from Python: python examples/own_network.py DATASET OUT [ITERATIONS]
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from torch import Tensor, nn

from trueshot.networks.normalisation import BatchNorm2d  # also for training in several processes


class Residual(nn.Module):
    """A small network on high-pass residuals.

    Args:
        classes: Number of classes; set by the data set.
        width: Number of channels; may be set by the recipe.
    """

    def __init__(self, classes: int, width: int = 8) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, width, 5, padding=2, bias=False)
        self.layers = nn.Sequential(
            nn.Conv2d(width, width, 3, stride=2, padding=1), BatchNorm2d(width), nn.ReLU(),
            nn.Conv2d(width, 2 * width, 3, stride=2, padding=1), BatchNorm2d(2 * width),
            nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2 * width, classes),
        )  # fmt: skip

    def forward(self, images: Tensor) -> Tensor:
        """Compute logits, shape (n, classes), of normalised images, shape (n, 3, h, w)."""
        kernel = self.first.weight - self.first.weight.mean((2, 3), keepdim=True)
        logits: Tensor = self.layers(torch.nn.functional.conv2d(images, kernel, padding=2))
        return logits


def main(dataset: Path, out: Path, iterations: int = 2000) -> None:
    """Train the network, and attack the trained detector."""
    from trueshot.attacks import PGD, perturb
    from trueshot.bundle import load_bundle
    from trueshot.datasets import Dataset
    from trueshot.training import load_recipe, train

    opened = Dataset.open(dataset)
    recipe = load_recipe(Path(__file__).with_suffix(".yaml")).shortened(iterations)
    history = train(recipe, opened, out)
    detector, _ = load_bundle(history.bundle)  # loading the recipe has registered its network
    images, labels = opened.part(opened.only_side(), "test").batch(slice(0, 64))
    attacked = perturb(PGD(budget=2.0, steps=10), detector, images, labels)
    for name, batch in (("clean", images), ("PGD at 2 levels", attacked)):
        right = (detector.probabilities(batch).argmax(1) == labels).double().mean()
        print(f"{name}: {float(right):.2f} right")
    print(f"detector: {history.bundle}")


if __name__ == "__main__":
    if len(sys.argv) not in (3, 4):
        sys.exit(__doc__)
    main(Path(sys.argv[1]), Path(sys.argv[2]), *(int(number) for number in sys.argv[3:]))
