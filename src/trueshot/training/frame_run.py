"""Training runs on whole frames: steps, validations, and the files that are kept."""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch

from trueshot.detector import Detector
from trueshot.errors import DatasetError, RunError, TrueshotError
from trueshot.files import append_line, claim, read_lines, write_atomically, write_lines
from trueshot.progress import progress
from trueshot.tasks.recapture import RECAPTURE
from trueshot.training.checkpoints import Progress, load_checkpoint, save_checkpoint
from trueshot.training.context_file import load_context, save_context
from trueshot.training.frames import Frame, fingerprint, read_frames

AnyRecipe = TypeVar("AnyRecipe", bound=Any)  # a dataclass

BEST = "context.safetensors"
_ORDER = 1  # random number stream of the order


class Run(ABC):
    """A training run: a detector that learns, its training step and its validation.

    Attributes:
        detector: The detector that learns.
        optimizer: Its optimiser.
        average: Running mean of the detector, judged and kept in its place; None if there is none.
        facts: Facts to store in the file that is kept, see `save_context`.
    """

    detector: Detector
    optimizer: torch.optim.Optimizer
    average: Detector | None = None
    facts: Mapping[str, object]

    @abstractmethod
    def step(self, number: int) -> float:
        """Train on one minibatch and return its loss."""

    @abstractmethod
    def judge(self) -> float:
        """Return the AUC on the validation part."""


def run(
    frames: Sequence[Frame],
    out: Path,
    recipe: Any,
    start: Callable[[Sequence[Frame], Sequence[Frame]], Run],
) -> Detector:
    """Train; an interrupted run resumes, and ends with the same bits.

    Args:
        frames: Frames of all parts, of which train and validation are used.
        out: Folder of the run: recipe.json, log.jsonl, checkpoint.safetensors, and
            context.safetensors, the state with the best validation AUC.
        recipe: All settings of the run, a dataclass.
        start: Creates the run from the frames of both parts; called once the folder is claimed.

    Returns:
        The detector with the best validation AUC.

    Raises:
        RunError: The folder holds another run, or the loss is not finite.
        DatasetError: A part lacks a class, or a frame cannot be read.
    """
    training, validation = (_part(frames, name) for name in ("train", "validation"))
    data = {"training": len(training), "validation": len(validation), "frames": fingerprint(frames)}
    steps, every = recipe.steps, recipe.validate_every
    with claim(out):
        _claim(out, {**asdict(recipe), **data})
        learning, at = start(training, validation), Progress()
        checkpoint, log = out / "checkpoint.safetensors", out / "log.jsonl"
        detector, optimizer = learning.detector, learning.optimizer
        if checkpoint.exists():
            at = load_checkpoint(checkpoint, detector, optimizer, learning.average)
        write_lines(log, [line for line in read_lines(log) if line["step"] <= at.step])
        with progress("context", steps, at.step) as advance:
            while at.step < steps:
                started = time.monotonic()
                loss = learning.step(at.step)
                if not math.isfinite(loss):
                    raise RunError(
                        f"{out}: the loss is not finite at step {at.step}; lower the learning rate"
                    )
                at.step += 1
                at.sums = {"loss": at.sums.get("loss", 0.0) + loss}
                at.counted += 1
                at.seconds += time.monotonic() - started
                advance(1, f"loss {loss:.3f}")
                if at.step % every == 0 or at.step == steps:
                    _validate(learning, at, out)
                    save_checkpoint(checkpoint, detector, optimizer, at, learning.average)
    return load_context(out / BEST)


def _claim(out: Path, settings: Mapping[str, object]) -> None:
    text = json.dumps(dict(settings), indent=1) + "\n"
    path = out / "recipe.json"
    if path.exists() and path.read_text("utf-8") != text:
        raise RunError(
            f"{out}: already holds a run with other settings or data; choose another folder"
        )
    write_atomically(path, text)


def _validate(learning: Run, at: Progress, out: Path) -> None:
    area, log = learning.judge(), out / "log.jsonl"
    best = max((line["validation_auc"] for line in read_lines(log)), default=-1.0)
    facts = {"step": at.step, "validation_auc": area}
    if area > best:
        kept = learning.detector if learning.average is None else learning.average
        save_context(out / BEST, kept, facts={**learning.facts, **facts})
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
        try:
            changed[name] = type(known[name])(value)
        except ValueError as error:
            raise ValueError(f"{setting}: {error}") from error
    return replace(recipe, **changed)


def _part(frames: Sequence[Frame], name: str) -> list[Frame]:
    part = [frame for frame in frames if frame.part == name]
    if len({frame.label for frame in part}) < len(RECAPTURE.classes):
        raise DatasetError(f"part {name} must have frames of both classes")
    return part


def drawn_frames(frames: Sequence[Frame], seed: int, batch: int, step: int) -> list[Frame]:
    """Return the frames of a step; each epoch takes every frame once, in its own order."""
    places = np.arange(step * batch, (step + 1) * batch)
    epochs, numbers = np.divmod(places, len(frames))
    orders = {
        int(epoch): np.random.default_rng((seed, _ORDER, epoch)).permutation(len(frames))
        for epoch in np.unique(epochs)
    }
    return [
        frames[orders[int(epoch)][number]] for epoch, number in zip(epochs, numbers, strict=True)
    ]
