"""The training loop: one page of plain PyTorch that can be killed at any moment and goes on."""

from __future__ import annotations

import hashlib
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from trueshot.attacks import FGSM, perturb
from trueshot.bundle import Card, is_finite, load_bundle, save_bundle
from trueshot.datasets import Batches, Dataset, Part
from trueshot.detector import Detector, evaluating
from trueshot.errors import RunError
from trueshot.files import (
    append_line,
    only_run_in,
    read_lines,
    remove_leftovers,
    write_atomically,
    write_lines,
)
from trueshot.progress import progress
from trueshot.training.augmentation import SYMMETRIES, turn
from trueshot.training.checkpoints import (
    Progress,
    checkpoint,
    load_checkpoint,
    save_checkpoint,
)
from trueshot.training.distributed import Processes, processes
from trueshot.training.objectives import differentiate
from trueshot.training.recipe import Recipe, load_recipe
from trueshot.versions import versions

BUNDLE = "detector.safetensors"
LOG = "log.jsonl"
VALIDATION_BUDGET = 2.0
_BUDGET_STREAM, _SYMMETRY_STREAM = 1, 2
_LOGS, _VALIDATIONS = 200, 20
_ADVICE = "lower the learning rate or the penalty"


@dataclass(frozen=True, kw_only=True)
class TrainingHistory:
    """What a run has logged.

    Args:
        bundle: The trained detector.
        records: Lines of the log, in order of their `step`; see docs/training.md.
    """

    bundle: Path
    records: list[dict[str, Any]]


@dataclass(frozen=True, kw_only=True)
class _Run:
    recipe: Recipe
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
    """Train a detector, or go on where an interrupted run of the same recipe was.

    On the same machine, with the same number of threads, an interrupted run ends with the same
    bits as one that was not. Under `torchrun` all its processes train one detector; how many they
    are changes nothing but rounding, so that a run may go on with more or fewer.

    Args:
        recipe: All settings.
        dataset: As `prepare` made it; its training and validation parts are used.
        out_dir: Folder for recipe.yaml, log.jsonl, checkpoint.safetensors, detector.safetensors.
        resume: Go on where a run in that folder was; otherwise such a run is an error.
        side: Which of the data set's sizes; may be left out if there is one.
        device: Where to compute.
        start: A bundle whose weights the run begins with, of any size of crops; by default they
            are drawn from the seed.
        checkpoint_seconds: Time between checkpoints.
        validation_crops: At most so many crops of each class are judged at each validation.

    Returns:
        The log, and where the detector is; on processes other than the first no log.

    Raises:
        RunError: The folder holds another run, `start` is of another network, or a process died.
        BundleError: `start` cannot be read.
        DatasetError: No such size, or too few crops.
    """
    side = dataset.only_side() if side is None else side
    with processes(torch.device(device)) as (together, own_device):
        run = _Run(
            recipe=recipe,
            training=dataset.part(side, "train"),
            validation=dataset.part(side, "validation").first(validation_crops),
            fingerprint=dataset.fingerprint(side),
            folder=Path(out_dir),
            device=own_device,
            processes=together,
            start=None if start is None else _weights(Path(start), recipe),
        )
        if not together.is_first:
            _follow(run)
            return TrainingHistory(bundle=run.folder / BUNDLE, records=[])
        _claim(run, resume)
        with only_run_in(run.folder):
            remove_leftovers(run.folder)
            _lead(run, checkpoint_seconds)
    return TrainingHistory(bundle=run.folder / BUNDLE, records=read_lines(run.folder / LOG))


def _claim(run: _Run, resume: bool) -> None:
    """Take a folder for this run, or find that it is this run's."""
    claim = run.folder / "recipe.yaml"
    data = f"# data: {run.fingerprint}, {run.training.side} px"
    if run.start is not None:
        data += f", start: {run.start[1]}"
    if not claim.exists():
        write_atomically(claim, f"{data}\n{run.recipe.to_yaml()}")
        return
    before = load_recipe(claim)
    if not resume:
        raise RunError(f"{run.folder}: holds a run already; name another folder, or resume it")
    if before != run.recipe:
        known = f"{before.name!r}, {before.schedule.iterations} steps"
        raise RunError(
            f"{run.folder}: holds a run of another recipe ({known}); name another folder"
        )
    if claim.read_text("utf-8").splitlines()[0] != data:
        raise RunError(
            f"{run.folder}: holds a run on other data or from another start; name another folder"
        )


def _lead(run: _Run, checkpoint_seconds: float) -> None:
    """Train, or find that this was done; write what the run writes."""
    if (run.folder / BUNDLE).is_file():
        run.processes.from_first(b"", run.device)
        return
    state = _State.begin(run)
    if run.checkpoint.is_file():
        state.at = load_checkpoint(run.checkpoint, state.detector, state.optimizer)
    run.processes.from_first(_beginning(run, state), run.device)
    log = run.folder / LOG
    write_lines(log, [line for line in read_lines(log) if line["step"] <= state.at.step])
    _train(run, state, checkpoint_seconds)
    if not is_finite(state.detector):
        raise RunError(f"{run.folder}: weights that are no finite numbers; {_ADVICE}")
    save_bundle(run.folder / BUNDLE, state.detector, _card(run))


def _follow(run: _Run) -> None:
    """Take part in what the first process leads, from where it begins; write nothing."""
    beginning = run.processes.from_first(b"", run.device)
    if not beginning:
        return
    state = _State.begin(run)
    fingerprint, content = beginning.split(b"\n", 1)
    if fingerprint.decode() != run.fingerprint:
        raise RunError("the data set differs from that of the run's first process")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "checkpoint.safetensors"
        path.write_bytes(content)
        state.at = load_checkpoint(path, state.detector, state.optimizer)
    total = run.recipe.schedule.iterations
    with _batches(run, state.at.step) as batches:
        while state.at.step < total:
            _step(run, state, next(batches))
            state.at.step += 1


def _beginning(run: _Run, state: _State) -> bytes:
    content = checkpoint(state.detector, state.optimizer, state.at)
    return run.fingerprint.encode() + b"\n" + content


@dataclass(kw_only=True)
class _State:
    """All that changes in a run, beside its files."""

    detector: Detector
    optimizer: torch.optim.Optimizer
    at: Progress

    @classmethod
    def begin(cls, run: _Run) -> _State:
        detector = new_detector(run.recipe)
        if run.start is not None:
            detector.load_state_dict(run.start[0].state_dict())
        detector.to(run.device)
        detector.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        run.processes.share_statistics(detector)
        fused = run.device.type in ("cpu", "cuda")
        rate = run.recipe.schedule.learning_rate
        optimizer = torch.optim.Adam(detector.parameters(), lr=rate, fused=fused)
        return cls(detector=detector, optimizer=optimizer, at=Progress())


def _train(run: _Run, state: _State, checkpoint_seconds: float) -> None:
    at, total = state.at, run.recipe.schedule.iterations
    log_every, validate_every = max(1, total // _LOGS), max(1, total // _VALIDATIONS)
    saved = time.monotonic()
    with (
        progress(f"{run.recipe.name} {run.training.side} px", total, at.step) as advance,
        _batches(run, at.step) as batches,
    ):
        while at.step < total:
            started = time.monotonic()
            parts = _step(run, state, next(batches))
            _count(at, parts, time.monotonic() - started)
            note = f"loss {parts['loss']:.3f}"
            due = at.step % validate_every == 0 or at.step == total
            if at.step % log_every == 0 or due:
                append_line(run.folder / LOG, _log_line(run, state.detector, at, validate=due))
            if time.monotonic() - saved >= checkpoint_seconds or at.step == total:
                save_checkpoint(run.checkpoint, state.detector, state.optimizer, at)
                saved = time.monotonic()
            advance(1, note)


def new_detector(recipe: Recipe) -> Detector:
    """A detector as a run of this recipe begins: fresh weights that the seed determines."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        return _blank_card(recipe).new_detector()


def _weights(start: Path, recipe: Recipe) -> tuple[Detector, str]:
    """The detector that a run starts from, and the hash of its file."""
    detector, card = load_bundle(start)
    blank = _blank_card(recipe)
    if (card.network, card.offset, card.scale) != (blank.network, blank.offset, blank.scale):
        raise RunError(f"{start}: another network than the recipe's, or other inputs")
    return detector, hashlib.sha256(start.read_bytes()).hexdigest()


_Batch = tuple[Tensor, Tensor, Tensor | None]


@contextmanager
def _batches(run: _Run, first: int) -> Iterator[Iterator[_Batch]]:
    """This process's share of each minibatch from step `first` on, read while the last is used."""
    order = Batches(part=run.training, batch=run.recipe.schedule.batch, seed=run.recipe.seed)

    def ahead() -> Iterator[_Batch]:
        coming = reader.submit(_read, run, order, first)
        for step in range(first, run.recipe.schedule.iterations):
            batch = coming.result()
            coming = reader.submit(_read, run, order, step + 1)
            yield batch

    with ThreadPoolExecutor(1) as reader:
        yield ahead()


def _read(run: _Run, order: Batches, step: int) -> _Batch:
    """Images, labels and the budgets of those that are to be attacked."""
    budgets = draw_budgets(run.recipe, step)
    attacked = 0 if budgets is None else len(budgets)
    share = run.processes.share(attacked, order.batch - attacked)
    images, labels = run.training.batch(order.places(step)[share], run.device)
    if run.recipe.augmentation == "symmetries":
        random = np.random.default_rng([run.recipe.seed, _SYMMETRY_STREAM, step])
        images = turn(images, random.integers(SYMMETRIES, size=order.batch)[share])
    if budgets is not None:
        budgets = budgets[share[share < attacked]].to(run.device)
    return images, labels, budgets


def _step(run: _Run, state: _State, batch: _Batch) -> dict[str, Tensor]:
    for group in state.optimizer.param_groups:
        group["lr"] = run.recipe.schedule.learning_rate_at(state.at.step)
    state.detector.train()
    state.optimizer.zero_grad(set_to_none=True)
    whole = run.recipe.schedule.batch
    parts = differentiate(run.recipe.objective, state.detector, *batch, whole)
    parts = run.processes.add_up(list(state.detector.parameters()), parts)
    if not bool(torch.isfinite(parts["loss"])):
        step = state.at.step
        raise RunError(f"{run.folder}: the loss is no finite number at step {step}; {_ADVICE}")
    state.optimizer.step()
    return parts


def draw_budgets(recipe: Recipe, step: int) -> Tensor | None:
    """ε of the attacked images of step number `step`, shape (k,); None without fusion."""
    fusion = recipe.objective.fusion
    if fusion is None:
        return None
    random = np.random.default_rng([recipe.seed, _BUDGET_STREAM, step])
    return torch.from_numpy(random.uniform(*fusion.budget, fusion.adversarial)).float()


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
    """Share of a part's crops judged rightly, clean and under FGSM at 2 levels, in eval mode."""
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


def _blank_card(recipe: Recipe) -> Card:
    return Card(
        network=recipe.network.model_dump(mode="json"),
        offset=recipe.input.offset,
        scale=recipe.input.scale,
    )


def _card(run: _Run) -> Card:
    return _blank_card(run.recipe).model_copy(
        update={
            "side": run.training.side,
            "recipe": run.recipe.model_dump(mode="json"),
            "start": None if run.start is None else run.start[1],
            "data": run.fingerprint,
            "versions": versions(),
        }
    )
