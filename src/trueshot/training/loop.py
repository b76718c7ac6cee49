"""The training loop, in plain PyTorch: a run can be killed at any moment and resumed."""

from __future__ import annotations

import hashlib
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.parameter import is_lazy

from trueshot.attacks import FGSM, perturb
from trueshot.bundle import bundle_sha256, is_finite, load_bundle, save_bundle
from trueshot.card import Card
from trueshot.datasets import Dataset, Part
from trueshot.detector import Detector, evaluating
from trueshot.errors import RecipeError, RunError
from trueshot.files import (
    append_line,
    claim,
    read_lines,
    remove_leftovers,
    write_atomically,
    write_lines,
)
from trueshot.networks.own import in_a_line
from trueshot.plugins import is_plugin
from trueshot.progress import progress
from trueshot.tasks import Task
from trueshot.training.checkpoints import (
    Progress,
    checkpoint,
    load_checkpoint,
    save_checkpoint,
)
from trueshot.training.distributed import Processes, processes
from trueshot.training.recipe import Recipe, parse_recipe
from trueshot.training.steps import (
    Minibatch,
    State,
    begin,
    blank_card,
    gradients,
    keep,
    minibatches,
    new_detector,
    project,
)
from trueshot.versions import versions

BUNDLE = "detector.safetensors"
LOG = "log.jsonl"
VALIDATION_BUDGET = 2.0
_LOGS, _VALIDATIONS = 200, 20
_ADVICE = "lower the learning rate or the penalty"


@dataclass(frozen=True, kw_only=True)
class TrainingHistory:
    """The log of a run.

    Args:
        bundle: Path of the trained detector's bundle.
        records: Lines of the log, in order of their `step`; see docs/training.md.
        is_first: Whether this is the run's first process, which writes; the others have no
            records.
    """

    bundle: Path
    records: list[dict[str, Any]]
    is_first: bool = True


@dataclass(frozen=True, kw_only=True)
class _Run:
    recipe: Recipe
    task: Task
    training: Part
    validation: Part
    fingerprint: str
    folder: Path
    device: torch.device
    processes: Processes
    start: tuple[Detector, str] | None

    @property
    def checkpoint(self) -> Path:
        return self.folder / "checkpoint.safetensors"

    @property
    def identity(self) -> str:
        """The content of recipe.yaml: if it is equal for two runs, they are the same run."""
        data = f"# data: {self.fingerprint}, {self.training.side} px"
        if self.start is not None:
            data += f", start: {self.start[1]}"
        return f"{data}\n{self.recipe.to_yaml()}"

    def begin(self) -> State:
        start = None if self.start is None else self.start[0]
        return begin(self.recipe, self.device, self.processes, start, self.task)

    def minibatches(self, first: int) -> AbstractContextManager[Iterator[Minibatch]]:
        return minibatches(self.recipe, self.training, self.device, self.processes, first)

    def step(self, state: State, minibatch: Minibatch) -> dict[str, Tensor]:
        parts = gradients(self.recipe, state, minibatch, self.processes)
        if not bool(torch.isfinite(parts["loss"])):
            raise RunError(
                f"{self.folder}: the loss is not finite at step {state.at.step}; {_ADVICE}"
            )
        state.optimizer.step()
        project(state.detector)
        if state.average is not None:
            share = self.recipe.schedule.averaging
            keep(state.average, state.detector, state.at.step, share)
        return parts


def train(
    recipe: Recipe,
    dataset: Dataset,
    out_dir: str | Path,
    resume: bool = True,
    *,
    side: int | None = None,
    device: str | torch.device = "cpu",
    start: str | Path | None = None,
    checkpoint_seconds: float = 60.0,
    validation_crops: int = 500,
) -> TrainingHistory:
    """Train a detector, or resume an interrupted run of the same recipe.

    On the same machine, with the same number of threads, an interrupted run ends with the same bits
    as an uninterrupted one. Under `torchrun` all processes train one detector; their number changes
    nothing but rounding and dropout masks, so a run may resume with more or fewer of them.

    Args:
        recipe: All settings of the run.
        dataset: A data set made by `prepare`; its training and validation parts are used.
        out_dir: Folder for recipe.yaml, log.jsonl, checkpoint.safetensors, detector.safetensors.
        resume: Whether to resume a run found in the folder; if False, such a run is an error.
        side: Size of the crops to use; may be left out if the data set has only one.
        device: Device to compute on.
        start: A bundle with the initial weights, trained on crops of any size; by default the
            weights are drawn from the seed.
        checkpoint_seconds: Time between checkpoints.
        validation_crops: Maximum number of crops of each class that a validation judges.

    Returns:
        The log and the path of the detector; the log is empty on processes other than the first.

    Raises:
        RecipeError: The recipe's network cannot be built, or does not take crops of that size.
        RunError: The folder holds another run, `start` has another network or other classes, the
            loss or the weights are not finite, a process died, or several processes cannot share
            the network's batch statistics.
        BundleError: `start` cannot be read.
        DatasetError: There are no crops of that size, or too few.
    """
    side = dataset.only_side() if side is None else side
    task = dataset.task
    detector = _checked_detector(recipe, task, side)  # fails before anything is written
    with processes(torch.device(device)) as (together, own_device):
        run = _Run(
            recipe=recipe,
            task=task,
            training=dataset.part(side, "train"),
            validation=dataset.part(side, "validation").drawn(validation_crops),
            fingerprint=dataset.fingerprint(side),
            folder=Path(out_dir),
            device=own_device,
            processes=together,
            start=None if start is None else _weights(Path(start), recipe, task),
        )
        fusion, batch = recipe.objective.fusion, recipe.schedule.batch
        attacked = fusion.adversarial if fusion else 0
        together.share(attacked, batch - attacked)  # fails before anything is written
        together.share_statistics(detector)  # likewise
        if together.is_first:
            _lead(run, resume, checkpoint_seconds)
        else:
            _follow(run)
        together.from_first(b"", own_device)  # no process ends before the detector is written
    records = read_lines(run.folder / LOG) if together.is_first else []
    return TrainingHistory(bundle=run.folder / BUNDLE, records=records, is_first=together.is_first)


def _checked_detector(recipe: Recipe, task: Task, side: int) -> Detector:
    """Return an untrained detector of the recipe, for crops of that side."""
    detector = new_detector(recipe, task)
    if is_plugin(recipe.network.name):
        _try_own(detector, recipe.network.name, side)
        return detector  # its arguments may mean anything
    wanted = getattr(recipe.network, "side", side)
    if wanted != side:
        raise RecipeError(
            f"network {recipe.network.name} takes images of {wanted} px, "
            f"but the crops are {side} px"
        )
    window = getattr(recipe.network, "window", 0)
    if window > side:
        raise RecipeError(
            f"network.window is {window} px, but the crops are {side} px; "
            "use larger crops or a smaller window"
        )
    return detector


@torch.no_grad()
def _try_own(detector: Detector, name: str, side: int) -> None:
    """Run a user-defined network once, as a test, because its code may do anything.

    Raises:
        RecipeError: The network fails, or writes into the images, which are used again after it.
    """
    if any(map(is_lazy, detector.parameters())):
        raise RecipeError(f"network {name}: has lazy layers; give them their numbers of inputs")
    images = torch.full((2, 3, side, side), 128.0)
    try:
        detector.eval()(images)
    except Exception as error:  # user code may raise anything
        raise RecipeError(
            f"network {name}: fails on images of shape {tuple(images.shape)}: {in_a_line(error)}"
        ) from error
    if not bool((images == 128.0).all()):
        raise RecipeError(f"network {name}: modifies its input images; make it work on a copy")


def _claim(run: _Run, resume: bool) -> None:
    """Claim the folder for this run, or check that it already belongs to it."""
    path = run.folder / "recipe.yaml"
    if not path.exists():
        write_atomically(path, run.identity)
        return
    text = path.read_text("utf-8")
    before = parse_recipe(text, str(path))
    if not resume:
        raise RunError(f"{run.folder}: already holds a run; choose another folder, or resume it")
    if before != run.recipe:
        known = f"{before.name!r}, {before.schedule.iterations} steps"
        raise RunError(
            f"{run.folder}: already holds a run of another recipe ({known}); choose another folder"
        )
    if text.splitlines()[0] != run.identity.splitlines()[0]:
        raise RunError(
            f"{run.folder}: already holds a run on other data or from other initial weights; "
            "choose another folder"
        )


def _lead(run: _Run, resume: bool, checkpoint_seconds: float) -> None:
    """Train as the first process, unless the run is complete, and write the files of the run."""
    with ExitStack() as held:
        try:
            held.enter_context(claim(run.folder))
            _claim(run, resume)  # while no other run can do the same
            remove_leftovers(run.folder)
            state = None if (run.folder / BUNDLE).is_file() else _begun(run)
        except BaseException:
            # Release the other processes at both points where they wait; only this error counts.
            run.processes.from_first(b"", run.device)
            run.processes.from_first(b"", run.device)
            raise
        run.processes.from_first(b"" if state is None else _beginning(run, state), run.device)
        if state is None:
            return
        log = run.folder / LOG
        write_lines(log, [line for line in read_lines(log) if line["step"] <= state.at.step])
        _train(run, state, checkpoint_seconds)
        if not is_finite(state.kept):
            raise RunError(f"{run.folder}: the weights are not finite; {_ADVICE}")
        save_bundle(run.folder / BUNDLE, state.kept, _card(run))


def _begun(run: _Run) -> State:
    """Return the state in which the run was interrupted, or the one before its first step."""
    state = run.begin()
    if run.checkpoint.is_file():
        state.at = load_checkpoint(run.checkpoint, state.detector, state.optimizer, state.average)
    return state


def _beginning(run: _Run, state: State) -> bytes:
    content = checkpoint(state.detector, state.optimizer, state.at, state.average)
    return hashlib.sha256(run.identity.encode()).digest() + content


def _follow(run: _Run) -> None:
    """Train along with the first process, from its state on; write nothing."""
    beginning = run.processes.from_first(b"", run.device)
    if not beginning:  # the run is complete, or the first process has failed with an error
        return
    mine = hashlib.sha256(run.identity.encode()).digest()
    if beginning[: len(mine)] != mine:
        raise RunError(
            f"{run.folder}: recipe, data set or initial weights differ from those of the run's "
            "first process; start all processes with the same command"
        )
    state = run.begin()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "checkpoint of the first process"
        path.write_bytes(beginning[len(mine) :])
        state.at = load_checkpoint(path, state.detector, state.optimizer, state.average)
    total = run.recipe.schedule.iterations
    with run.minibatches(state.at.step) as minibatches:
        while state.at.step < total:
            run.step(state, next(minibatches))
            state.at.step += 1


def _train(run: _Run, state: State, checkpoint_seconds: float) -> None:
    at, total = state.at, run.recipe.schedule.iterations
    log_every, validate_every = max(1, total // _LOGS), max(1, total // _VALIDATIONS)
    saved = time.monotonic()
    with (
        progress(f"{run.recipe.name} {run.training.side} px", total, at.step) as advance,
        run.minibatches(at.step) as minibatches,
    ):
        while at.step < total:
            started = time.monotonic()
            parts = run.step(state, next(minibatches))
            _count(at, parts, time.monotonic() - started)
            due = at.step % validate_every == 0 or at.step == total
            if at.step % log_every == 0 or due:
                append_line(run.folder / LOG, _log_line(run, state.kept, at, validate=due))
            if time.monotonic() - saved >= checkpoint_seconds or at.step == total:
                save_checkpoint(run.checkpoint, state.detector, state.optimizer, at, state.average)
                saved = time.monotonic()
            advance(1, f"loss {parts['loss']:.3f}")


def _weights(start: Path, recipe: Recipe, task: Task) -> tuple[Detector, str]:
    """Return the detector that a run starts from, and the SHA-256 of its file."""
    detector, card = load_bundle(start)
    blank = blank_card(recipe, task)
    if card.classes != blank.classes:
        raise RunError(
            f"{start}: has the classes {', '.join(card.classes)}, "
            f"but the data set has {', '.join(task.classes)}"
        )
    if (card.network, card.offset, card.scale) != (blank.network, blank.offset, blank.scale):
        raise RunError(f"{start}: its network or input normalisation differs from the recipe's")
    return detector, bundle_sha256(start)


def _count(at: Progress, parts: dict[str, Tensor], seconds: float) -> None:
    at.step += 1
    at.counted += 1
    at.seconds += seconds
    for name, part in parts.items():
        at.sums[name] = at.sums.get(name, 0.0) + float(part)


def _log_line(run: _Run, detector: Detector, at: Progress, *, validate: bool) -> dict[str, Any]:
    line: dict[str, Any] = {"step": at.step}
    line |= {name: total / at.counted for name, total in at.sums.items()}
    line["learning_rate"] = run.recipe.schedule.learning_rate_at(at.step - 1)
    line["images_per_second"] = round(at.step * run.recipe.schedule.batch / at.seconds, 1)
    if validate and len(run.validation):
        line |= validate_detector(detector, run.validation, run.device)
    at.sums, at.counted = {}, 0
    return line


def validate_detector(
    detector: Detector, part: Part, device: torch.device, batch: int = 250
) -> dict[str, float]:
    """Return the accuracy on a part's crops, clean and under FGSM at 2 levels, in eval mode."""
    attack = FGSM(budget=VALIDATION_BUDGET)
    right: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
        "validation_clean": lambda images, _: images,
        "validation_fgsm": lambda images, labels: perturb(attack, detector, images, labels),
    }
    counts = dict.fromkeys(right, 0)
    with evaluating(detector), torch.no_grad():
        for start in range(0, len(part), batch):
            images, labels = part.batch(slice(start, start + batch), device)
            for name, change in right.items():
                counts[name] += int((detector(change(images, labels)).argmax(1) == labels).sum())
    return {name: count / len(part) for name, count in counts.items()}


def _card(run: _Run) -> Card:
    return blank_card(run.recipe, run.task).model_copy(
        update={
            "side": run.training.side,
            "recipe": run.recipe.model_dump(mode="json"),
            "start": None if run.start is None else run.start[1],
            "data": run.fingerprint,
            "versions": versions(),
        }
    )
