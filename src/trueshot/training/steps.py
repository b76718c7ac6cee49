"""The steps of a run: their minibatches, their gradients, and the state that they change."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from trueshot.attacks import statistics_kept
from trueshot.card import Card
from trueshot.datasets import Batches, Part
from trueshot.detector import Detector
from trueshot.networks.registry import Network
from trueshot.pixels import Bytes, to_levels
from trueshot.tasks import Task
from trueshot.tasks.recapture import RECAPTURE
from trueshot.training.checkpoints import Progress
from trueshot.training.distributed import Processes
from trueshot.training.objectives import accumulate, learned, mixed
from trueshot.training.recipe import Recipe

SYMMETRIES = 8  # of a square

_FACTOR = "factor"  # key in a parameter group: its learning rate relative to the schedule's
_BUDGET_STREAM, _SYMMETRY_STREAM = 1, 2
_SEEDS = 1_000_003  # distance between the step seeds of one recipe seed and of the next

Minibatch = tuple[Tensor, Tensor, Tensor | None]
"""Images, labels, and the budgets of the first images, which are attacked; None without fusion."""


@dataclass(kw_only=True)
class State:
    """Everything that changes in a run, apart from its files.

    Args:
        detector: The detector in training.
        optimizer: Optimiser of its parameters.
        average: Running mean of the detectors of all steps, if the recipe asks for one.
        at: Progress of the run.
    """

    detector: Detector
    optimizer: torch.optim.Optimizer
    average: Detector | None = None
    at: Progress = field(default_factory=Progress)

    @property
    def kept(self) -> Detector:
        """The detector that the run would keep now: the running mean, if there is one."""
        return self.detector if self.average is None else self.average


def begin(
    recipe: Recipe,
    device: torch.device,
    processes: Processes,
    start: Detector | None,
    task: Task = RECAPTURE,
) -> State:
    """Create the state of a run before its first step, with fresh weights or those of `start`."""
    detector = new_detector(recipe, task)
    if start is not None:
        detector.load_state_dict(start.state_dict())
    project(detector)
    detector.to(device)
    detector.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    average = copy.deepcopy(detector).eval() if recipe.schedule.averaging else None
    processes.share_statistics(detector)
    return State(detector=detector, optimizer=_optimizer(recipe, detector), average=average)


def _optimizer(recipe: Recipe, detector: Detector) -> torch.optim.Optimizer:
    rate, settings = recipe.schedule.learning_rate, recipe.schedule.optimizer
    parameters = list(detector.parameters())
    fused = parameters[0].device.type in ("cpu", "cuda")
    groups: list[dict[str, Any]] = [{"params": parameters, _FACTOR: 1.0}]
    if settings.weight_decay or settings.offset_rate != 1:
        weights = [p for p in parameters if p.ndim >= 2]
        offsets = [p for p in parameters if p.ndim < 2]
        groups = [
            {"params": weights, _FACTOR: 1.0, "weight_decay": settings.weight_decay},
            {"params": offsets, _FACTOR: settings.offset_rate},
        ]
    if settings.name == "sgd":
        return torch.optim.SGD(groups, lr=rate, momentum=settings.momentum, fused=fused)
    return torch.optim.Adam(groups, lr=rate, fused=fused)


def project(detector: Detector) -> None:
    """Restore the constraints that the network has on its weights; see `Network.project`."""
    if isinstance(detector.network, Network):
        detector.network.project()


def new_detector(recipe: Recipe, task: Task = RECAPTURE) -> Detector:
    """Create the detector that a run of this recipe starts with; its weights follow the seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        return blank_card(recipe, task).new_detector()


def blank_card(recipe: Recipe, task: Task) -> Card:
    """Return a card with only the recipe's network and input scaling, and the task's classes."""
    return Card.of_task(
        task,
        network=recipe.network.model_dump(mode="json"),
        offset=recipe.input.offset,
        scale=recipe.input.scale,
    )


@contextmanager
def minibatches(
    recipe: Recipe, part: Part, device: torch.device, processes: Processes, first: int
) -> Iterator[Iterator[Minibatch]]:
    """Yield an iterator over this process's share of the minibatches from step `first` on.

    A thread reads the next minibatch while the last one is used.
    """
    order = Batches(part=part, batch=recipe.schedule.batch, seed=recipe.seed)

    def read(step: int) -> Minibatch:
        return _read(recipe, order, step, device, processes)

    def ahead() -> Iterator[Minibatch]:
        coming = reader.submit(read, first)
        for step in range(first, recipe.schedule.iterations):
            minibatch = coming.result()
            if step + 1 < recipe.schedule.iterations:
                coming = reader.submit(read, step + 1)
            yield minibatch

    with ThreadPoolExecutor(1) as reader:
        yield ahead()


def _read(
    recipe: Recipe, order: Batches, step: int, device: torch.device, processes: Processes
) -> Minibatch:
    budgets = draw_budgets(recipe, step)
    attacked = 0 if budgets is None else len(budgets)
    share = processes.share(attacked, order.batch - attacked)
    places = order.places(step)[share]
    pixels, labels = order.part.crops(places), torch.from_numpy(order.part.labels[places])
    if recipe.augmentation == "symmetries":
        random = np.random.default_rng([recipe.seed, _SYMMETRY_STREAM, step])
        pixels = turn(pixels, random.integers(SYMMETRIES, size=order.batch)[share])
    if budgets is not None:
        budgets = budgets[share[share < attacked]].to(device)
    return to_levels(pixels, device=device), labels.to(device), budgets


def turn(pixels: Bytes, ways: npt.NDArray[np.integer]) -> Bytes:
    """Rotate and mirror square images, as bytes.

    Args:
        pixels: Bytes, shape (n, side, side, 3).
        ways: One of eight ways for each image, shape (n,): 0 to 3 are quarter turns of the image, 4
            to 7 are 0 to 3 quarter turns of its mirror image.

    Returns:
        A new array of the same shape.
    """
    turned = np.empty_like(pixels)
    for image, way, out in zip(pixels, ways, turned, strict=True):
        upright = image[:, ::-1] if way >= SYMMETRIES // 2 else image
        out[:] = np.rot90(upright, int(way) % 4)
    return turned


def draw_budgets(recipe: Recipe, step: int) -> Tensor | None:
    """Draw ε of the attacked images of step number `step`, shape (k,); None without fusion."""
    fusion = recipe.objective.fusion
    if fusion is None:
        return None
    random = np.random.default_rng([recipe.seed, _BUDGET_STREAM, step])
    warmth = fusion.warmth(step, recipe.schedule.iterations)
    return torch.from_numpy(warmth * random.uniform(*fusion.budget, fusion.adversarial)).float()


def gradients(
    recipe: Recipe, state: State, minibatch: Minibatch, processes: Processes
) -> dict[str, Tensor]:
    """Set the learning rate of this step, and compute the parameters' gradients.

    Returns:
        The parts of the loss. Like the gradients, they are over the whole minibatch.
    """
    for group in state.optimizer.param_groups:
        group["lr"] = recipe.schedule.learning_rate_at(state.at.step) * group[_FACTOR]
    state.detector.train()
    state.optimizer.zero_grad(set_to_none=True)
    objective, detector, at = recipe.objective, state.detector, state.at.step
    seed = (recipe.seed * _SEEDS + at) % 2**31
    mixture = mixed(objective, detector, *minibatch, recipe.schedule.batch, seed, processes.rank)
    parameters = list(detector.parameters())
    before: list[Tensor] = []
    if objective.weight_perturbation is not None:
        with statistics_kept(detector):
            processes.add_up(parameters, accumulate(objective, detector, mixture))
        before = _climb(detector, objective.weight_perturbation.radius)
        state.optimizer.zero_grad(set_to_none=True)
    parts = accumulate(objective, detector, mixture)
    with torch.no_grad():
        for weights, own in zip(learned(detector), before, strict=False):
            weights.copy_(own)
    return processes.add_up(parameters, parts)


@torch.no_grad()
def _climb(detector: Detector, radius: float) -> list[Tensor]:
    """Move each layer's weights along their gradient by a share of their own norm.

    Returns:
        The parameters before the move.

    Source: Wu et al. 2020, arXiv:2004.05884, equations 8 and 10; factors and offsets of batch
    normalisation, and biases of layers, are not moved.
    """
    before = [weights.detach().clone() for weights in learned(detector)]
    for weights in learned(detector):
        if weights.grad is not None and weights.ndim >= 2:
            length = radius * weights.norm() / weights.grad.norm().clamp(min=1e-12)
            weights.add_(length * weights.grad)
    return before


@torch.no_grad()
def keep(average: Detector, detector: Detector, step: int, share: float) -> None:
    """Update a running mean of a detector, in place.

    In the first steps less of the mean is kept, (s + 1) / (s + 10) at step s. So the mean is about
    that of the last ninth of the steps so far, and the initial weights hardly count.

    Args:
        average: Running mean, updated in place.
        detector: The detector after the step.
        step: Number of the step, counted from 0.
        share: Share of the mean that is kept once there are enough steps.
    """
    share = min(share, (step + 1) / (step + 10))
    now = detector.state_dict()
    # Each tensor once, even if it has two names in the state.
    for name, mean in (*average.named_parameters(), *average.named_buffers()):
        if name not in now:
            continue
        if mean.is_floating_point():
            mean.lerp_(now[name], 1 - share)
        else:
            mean.copy_(now[name])
