"""Draw the paper's figures 1, 3 and 4 from the code: loss, architecture, minibatch.

    python docs/results/figures.py DATASET BUNDLE

DATASET must be made by `simulate` from embedded scenes, which may be published; BUNDLE is a plain
LCNN trained on it, for one crop size. figure-1.png, figure-3.png and figure-4.png are written to
this file's folder.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, Rectangle
from torch import Tensor, nn
from torch.nn import functional

from trueshot.attacks import image_gradient, undisturbed
from trueshot.bundle import load_bundle
from trueshot.datasets import Dataset
from trueshot.detector import Detector
from trueshot.networks import LCNN
from trueshot.training import load_recipe
from trueshot.training.adversaries import fused

HERE = Path(__file__).parent
RED, BLUE, GREY = "#b42318", "#175cd3", "#667085"
REACH, PLACES = 3.0, 31  # reach in levels, and number of samples, along each direction


def main(dataset: Dataset, detector: Detector) -> None:
    detector.eval()
    _save(draw_loss(detector, *_right(dataset, detector)), "figure-1.png")
    _save(draw_architecture(dataset.only_side()), "figure-3.png")
    _save(draw_minibatch(dataset, detector), "figure-4.png", dpi=64)


def _right(dataset: Dataset, detector: Detector) -> tuple[Tensor, Tensor]:
    """Pick one test crop per class, with the median loss among those with a loss below 0.5."""
    images, labels = dataset.part(dataset.only_side(), "test").drawn(60).batch(slice(None))
    with torch.no_grad():
        loss = functional.cross_entropy(detector(images), labels, reduction="none")
    chosen = []
    for label in (0, 1):
        places = ((labels == label) & (loss < 0.5)).nonzero().flatten()
        chosen.append(places[loss[places].argsort()[len(places) // 2]])
    return images[torch.stack(chosen)], labels[torch.stack(chosen)]


def draw_loss(detector: Detector, images: Tensor, labels: Tensor) -> Figure:
    """Figure 1: the loss along the direction of steepest change and along a random one.

    The plane is spanned by the step of FGSM (the signs of the gradient) and by random signs.
    """
    figure, axes = _figure(len(images), 2, height=6.4)
    steps = torch.linspace(-REACH, REACH, PLACES)
    for pair, image, label in zip(axes.reshape(-1, 2), images, labels, strict=True):
        with undisturbed(detector) as target:
            steepest = image_gradient(target, image[None], label[None]).sign()[0]
        random = torch.Generator().manual_seed(0)
        other = torch.randint(0, 2, image.shape, generator=random) * 2.0 - 1.0
        losses = torch.stack(
            [_losses(detector, image + b * other, steps, steepest, label) for b in steps]
        )
        middle = PLACES // 2
        name = ("an original", "a recapture")[int(label)]
        pair[0].plot(steps, losses[middle], color=RED, label="along the signs of the gradient")
        pair[0].plot(steps, losses[:, middle], color=BLUE, label="along random signs")
        pair[0].axhline(np.log(2), color=GREY, linewidth=0.8, linestyle=":")
        pair[0].set(xlabel="levels", ylabel="loss L(x, y)", title=f"{name}; above the dots: wrong")
        pair[0].legend(fontsize="x-small")
        shown = pair[1].contourf(steps, steps, losses, levels=14, cmap="magma_r")
        pair[1].contour(steps, steps, losses, levels=[np.log(2)], colors="white")
        pair[1].annotate(
            "", (1, 0), (0, 0), arrowprops={"arrowstyle": "->", "color": BLUE, "linewidth": 2}
        )
        pair[1].text(0, -0.5, "FGSM, ε = 1", ha="right", color=BLUE, fontsize="small")
        pair[1].plot(0, 0, "o", color=BLUE)
        pair[1].set(xlabel="signs of the gradient, levels", ylabel="random signs, levels")
        figure.colorbar(shown, ax=pair[1], label="loss")
    return figure


@torch.no_grad()
def _losses(
    detector: Detector, start: Tensor, steps: Tensor, direction: Tensor, label: Tensor
) -> Tensor:
    images = (start + steps[:, None, None, None] * direction).clamp(0, 255)
    return functional.cross_entropy(detector(images), label.expand(len(steps)), reduction="none")


def draw_architecture(side: int) -> Figure:
    """Figure 3: every layer of the LCNN with the size of its output, recorded in a forward pass."""
    network = LCNN().eval()
    found: list[tuple[str, str, int]] = [("image", f"3 × {side} × {side}", 0)]

    def note(name: str) -> Any:
        def hook(module: nn.Module, _: Any, out: Tensor) -> None:
            size = " × ".join(str(n) for n in out.shape[1:])
            count = sum(parameter.numel() for parameter in module.parameters())
            found.append((name, size, count))

        return hook

    network.enhancement.register_forward_hook(note("Laplacian, fixed"))
    for number, unit in enumerate(network.units, start=1):
        names = ("3×3 convolution", "batch normalisation", "ReLU", "5×5 average pooling, stride 2")
        for layer, name in zip(unit.children(), names, strict=True):
            whole = name if number < 5 or "pooling" not in name else "global average pooling"
            layer.register_forward_hook(note(f"{number}: {whole}"))
    network.classifier.register_forward_hook(note("fully connected"))
    with torch.no_grad():
        network(torch.zeros(1, 3, side, side))
    figure, axes = _figure(1, 1, height=7.6, width=6.4)
    axis = axes[0, 0]
    for row, (name, size, count) in enumerate(found):
        colour = "#eef4ff" if name[0].isdigit() and int(name[0]) % 2 else "#ffffff"
        box = FancyBboxPatch((0, -row), 1, 0.8, boxstyle="round,pad=0.02", fc=colour, ec=GREY)
        axis.add_patch(box)
        axis.text(0.03, 0.4 - row, name, va="center", fontsize=8)
        axis.text(0.7, 0.4 - row, size, va="center", ha="center", fontsize=8)
        told = f"{count:,} weights" if count else ""
        axis.text(0.97, 0.4 - row, told, va="center", ha="right", fontsize=7, color=GREY)
    axis.set(xlim=(-0.05, 1.05), ylim=(-len(found) + 0.8, 1.1))
    axis.set_title(
        f"LCNN: {sum(p.numel() for p in network.parameters()):,} weights; sizes are channels × "
        "height × width",
        fontsize=9,
    )
    axis.axis("off")
    return figure


def draw_minibatch(dataset: Dataset, detector: Detector) -> Figure:
    """Figure 4: a minibatch of the recipe `secure`, its first k images attacked as in training.

    The noise is drawn 20 times as strong as it is.
    """
    recipe = load_recipe("secure")
    fusion, count = recipe.objective.fusion, recipe.schedule.batch
    assert fusion is not None
    part, k = dataset.part(dataset.only_side(), "train"), fusion.adversarial
    random = np.random.default_rng(0)
    images, labels = part.batch(random.permutation(len(part))[:count])
    low, high = fusion.budget
    budgets = torch.as_tensor(random.uniform(low, high, k), dtype=images.dtype)
    batch = fused(fusion, detector, images, labels, budgets)
    noise = (128 + 20 * (batch - images)).clamp(0, 255)
    figure, axes = _figure(1, 3, height=4.6, width=13)
    titles = (
        f"B: m = {count} clean images",
        f"noise of FGSM on the first k = {k}, ε uniform in [{low:g}, {high:g}], × 20",
        f"B′: {k} attacked (red, weight α = {fusion.weight:g}), {count - k} clean (blue, weight 1)",
    )
    for axis, shown, title in zip(axes[0], (images, noise, batch), titles, strict=True):
        axis.imshow(_mosaic(shown), interpolation="nearest")
        axis.set_title(title, fontsize=8)
        axis.axis("off")
    columns, side = int(count**0.5), dataset.only_side() + 4
    for number in range(count):
        place = (number % columns * side - 1, number // columns * side - 1)
        colour = RED if number < k else BLUE
        axes[0, 2].add_patch(Rectangle(place, side - 1, side - 1, fill=False, ec=colour, lw=1.2))
    return figure


def _mosaic(images: Tensor) -> np.ndarray[Any, np.dtype[np.uint8]]:
    columns = int(len(images) ** 0.5)
    padded = functional.pad(images, (2, 2, 2, 2), value=255.0)
    lines = [torch.cat(list(line), 2) for line in padded.split(columns)]
    return torch.cat(lines, 1).permute(1, 2, 0).round().byte().numpy()


def _figure(rows: int, columns: int, height: float, width: float = 9.0) -> tuple[Figure, Any]:
    figure = Figure(figsize=(width, height * (rows if rows > 1 else 1) / (2 if rows > 1 else 1)))
    figure.set_layout_engine("constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots(rows, columns, squeeze=False)


def _save(figure: Figure, name: str, dpi: int = 90) -> None:
    figure.savefig(HERE / name, dpi=dpi)
    print(HERE / name)


if __name__ == "__main__":
    main(Dataset.open(sys.argv[1]), load_bundle(Path(sys.argv[2]))[0])
