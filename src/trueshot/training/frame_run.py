"""Training runs on whole frames: steps, validations, and the files that are kept."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor

from trueshot.detector import Detector
from trueshot.errors import DatasetError, RunError, TrueshotError
from trueshot.files import append_line, claim, read_lines, write_atomically, write_lines
from trueshot.progress import progress
from trueshot.tasks.recapture import RECAPTURE
from trueshot.training.checkpoints import Progress, load_checkpoint, save_checkpoint
from trueshot.training.context_file import save_context
from trueshot.training.frame_augmentation import Bytes
from trueshot.training.frames import Frame, read_frames

AnyRecipe = TypeVar("AnyRecipe", bound=Any)  # a dataclass

BEST = "context.safetensors"
_ORDER = 1  # random number stream of the order


class Drawn(Protocol):
    """The settings that determine which frames a step draws."""

    @property
    def seed(self) -> int:
        """Seed of the order."""

    @property
    def batch(self) -> int:
        """Frames per step."""


class Run(Protocol):
    """A training run: a detector that learns, its training step and its validation."""

    @property
    def detector(self) -> Detector:
        """The detector that learns."""

    @property
    def optimizer(self) -> torch.optim.Optimizer:
        """The optimiser of the detector."""

    @property
    def average(self) -> Detector | None:
        """Running mean of the detector, judged and kept in its place; None if there is none."""

    @property
    def facts(self) -> Mapping[str, object]:
        """Facts to store in the file that is kept, see `save_context`."""

    def step(self, number: int) -> float:
        """Train on one minibatch and return its loss."""

    def judge(self) -> float:
        """Return the AUC on the validation part."""


def run(
    start: Callable[[], Run], out: Path, settings: Mapping[str, object], steps: int, every: int
) -> None:
    """Train; an interrupted run resumes, and ends with the same bits.

    Args:
        start: Creates the run; called once the folder is claimed.
        out: Folder of the run: recipe.json, log.jsonl, checkpoint.safetensors, and
            context.safetensors, the state with the best validation AUC.
        settings: All settings that the run depends on, and the fingerprint of its data.
        steps: Total number of steps.
        every: Steps between validations.

    Raises:
        RunError: The folder holds another run.
    """
    with claim(out):
        _claim(out, settings)
        training, at = start(), Progress()
        checkpoint, log = out / "checkpoint.safetensors", out / "log.jsonl"
        detector, optimizer = training.detector, training.optimizer
        if checkpoint.exists():
            at = load_checkpoint(checkpoint, detector, optimizer, training.average)
        write_lines(log, [line for line in read_lines(log) if line["step"] <= at.step])
        with progress("context", steps, at.step) as advance:
            while at.step < steps:
                started = time.monotonic()
                loss = training.step(at.step)
                at.step += 1
                at.sums = {"loss": at.sums.get("loss", 0.0) + loss}
                at.counted += 1
                at.seconds += time.monotonic() - started
                advance(1, f"loss {loss:.3f}")
                if at.step % every == 0 or at.step == steps:
                    _validate(training, at, out)
                    save_checkpoint(checkpoint, detector, optimizer, at, training.average)


def _claim(out: Path, settings: Mapping[str, object]) -> None:
    text = json.dumps(dict(settings), indent=1) + "\n"
    path = out / "recipe.json"
    if path.exists() and path.read_text("utf-8") != text:
        raise RunError(
            f"{out}: already holds a run with other settings or data; choose another folder"
        )
    write_atomically(path, text)


def _validate(training: Run, at: Progress, out: Path) -> None:
    area, log = training.judge(), out / "log.jsonl"
    best = max((line["validation_auc"] for line in read_lines(log)), default=-1.0)
    facts = {"step": at.step, "validation_auc": area}
    if area > best:
        kept = training.detector if training.average is None else training.average
        save_context(out / BEST, kept, facts={**training.facts, **facts})
    append_line(log, {**facts, "loss": at.sums["loss"] / at.counted, "seconds": at.seconds})
    at.sums, at.counted = {}, 0


def command(
    train: Callable[[Sequence[Frame], Path, AnyRecipe], Detector],
    recipe: AnyRecipe,
    arguments: Sequence[str] | None = None,
) -> int:
    """Run a training with the arguments MANIFEST OUT [SETTING=VALUE …] of a command line.

    Args:
        train: The training.
        recipe: Its default settings, a dataclass.
        arguments: The arguments; by default those of this process.

    Returns:
        The exit status, 0 for success.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("manifest", type=Path, help="manifest that `trueshot stage` wrote")
    parser.add_argument("out", type=Path, help="folder of the run")
    known = ", ".join(asdict(recipe))
    parser.add_argument("settings", nargs="*", metavar="SETTING=VALUE", help=f"one of {known}")
    given = parser.parse_args(arguments)
    try:
        train(read_frames(given.manifest), given.out, _with_settings(recipe, given.settings))
    except (TrueshotError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def _with_settings(recipe: AnyRecipe, settings: Sequence[str]) -> AnyRecipe:
    known, changed = asdict(recipe), {}
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not equals or name not in known:
            raise ValueError(f"{setting}: must be SETTING=VALUE; settings: {', '.join(known)}")
        changed[name] = type(known[name])(value)
    return replace(recipe, **changed)


def part_of(frames: Sequence[Frame], name: str) -> list[Frame]:
    """Return the frames of a part.

    Raises:
        DatasetError: The part lacks a class.
    """
    part = [frame for frame in frames if frame.part == name]
    if len(Counter(frame.label for frame in part)) < len(RECAPTURE.classes):
        raise DatasetError(f"part {name} must have frames of both classes")
    return part


def drawn_frames(frames: Sequence[Frame], by: Drawn, step: int) -> list[Frame]:
    """Return the frames of a step; each epoch takes every frame once, in its own order."""
    places = np.arange(step * by.batch, (step + 1) * by.batch)
    epochs, numbers = np.divmod(places, len(frames))
    orders = {
        int(epoch): np.random.default_rng((by.seed, _ORDER, epoch)).permutation(len(frames))
        for epoch in np.unique(epochs)
    }
    return [
        frames[orders[int(epoch)][number]] for epoch, number in zip(epochs, numbers, strict=True)
    ]


def levels_of(images: Sequence[Bytes]) -> Tensor:
    """Return images as levels, shape (n, 3, side, side), channels last in memory."""
    stacked = torch.from_numpy(np.stack(images))
    return stacked.permute(0, 3, 1, 2).to(torch.float32, memory_format=torch.channels_last)
