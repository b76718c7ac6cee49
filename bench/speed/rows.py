"""The training steps that are compared: one table row and one call each."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from speed import examples, libraries, usual
from speed.timing import Call
from trueshot.training import differentiate, load_recipe
from trueshot.training.objective_settings import Objective

PLAIN, FUSED = "trueshot, plain", "trueshot, fused only"
EXACT, DIFFERENCE = "trueshot, secure, exact", "trueshot, secure, by difference"
USUAL_PLAIN, USUAL_FUSED, USUAL_SECURE = "usual, plain", "usual, fused only", "usual, secure"
LAST_PLAIN, LAST_SECURE = "usual, channels last, plain", "usual, channels last, secure"
ART_USUAL, ART_OURS = "ART, fused only, usual network", "ART, fused only, our network"


@dataclass(frozen=True)
class Minibatch:
    """Levels, channels last in memory, labels, and the budgets of the attacked images."""

    images: Tensor
    labels: Tensor
    budgets: Tensor


def minibatch(side: int, batch: int) -> Minibatch:
    images, labels = examples.levels(batch, side, seed=3)
    fusion = _secure(batch).fusion
    assert fusion is not None
    return Minibatch(images, labels, torch.linspace(*fusion.budget, fusion.adversarial))


def objectives(batch: int) -> dict[str, Objective]:
    """Return our objectives, by the names of their rows."""
    secure = _secure(batch)
    assert secure.penalty is not None
    difference = secure.penalty.model_copy(update={"method": "difference"})
    return {
        PLAIN: Objective(),
        FUSED: Objective(fusion=secure.fusion),
        EXACT: Objective(
            fusion=secure.fusion, penalty=secure.penalty.model_copy(update={"method": "exact"})
        ),
        DIFFERENCE: Objective(fusion=secure.fusion, penalty=difference),
    }


def step_calls(side: int, batch: int, names: Collection[str] | None = None) -> dict[str, Call]:
    """Return calls by row, each with its own network and the same weights and images.

    Every step ends with a step of Adam at a learning rate of zero, so each round computes the same.

    Args:
        side: Height and width of the images.
        batch: Number of images.
        names: Names of the rows; None means all.
    """
    data, ours = minibatch(side, batch), objectives(batch)
    makers: dict[str, Callable[[], Call]] = {
        PLAIN: lambda: _ours(ours[PLAIN], data),
        FUSED: lambda: _ours(ours[FUSED], data),
        DIFFERENCE: lambda: _ours(ours[DIFFERENCE], data),
        EXACT: lambda: _ours(ours[EXACT], data),
        USUAL_PLAIN: lambda: _usual(ours[PLAIN], data),
        USUAL_FUSED: lambda: _usual(ours[FUSED], data),
        USUAL_SECURE: lambda: _usual(ours[EXACT], data),
        LAST_PLAIN: lambda: _usual(ours[PLAIN], data, torch.channels_last),
        LAST_SECURE: lambda: _usual(ours[EXACT], data, torch.channels_last),
        ART_USUAL: lambda: _of_art(usual.twin(examples.plainly_trained()), data),
        ART_OURS: lambda: _of_art(examples.plainly_trained(), data),
    }
    return {name: make() for name, make in makers.items() if names is None or name in names}


def _secure(batch: int) -> Objective:
    """Return the objective of `secure` with half of any batch attacked, as in the paper."""
    objective = load_recipe("secure").objective
    assert objective.fusion is not None
    fusion = objective.fusion.model_copy(update={"adversarial": batch // 2})
    return objective.model_copy(update={"fusion": fusion})


def _ours(objective: Objective, data: Minibatch) -> Call:
    detector = examples.plainly_trained().train()
    budgets = data.budgets if objective.fusion else None

    def gradient() -> None:
        differentiate(objective, detector, data.images, data.labels, budgets)

    return _stepping(detector, gradient, fused=True)


def _usual(
    objective: Objective, data: Minibatch, layout: torch.memory_format = torch.contiguous_format
) -> Call:
    network = usual.twin(examples.plainly_trained()).train()
    network.to(memory_format=layout)  # type: ignore[call-overload]
    images = data.images.contiguous(memory_format=layout)

    def gradient() -> None:
        if objective.fusion is None:
            usual.plain_gradient(network, images, data.labels)
        else:
            mixed = usual.fused(network, images, data.labels, data.budgets)
            usual.secure_gradient(network, mixed, data.labels, len(data.budgets), objective)

    return _stepping(network, gradient)


def _stepping(network: nn.Module, gradient: Call, fused: bool | None = None) -> Call:
    """Return a step with Adam: fused as in our training, or in PyTorch's default form."""
    optimizer = torch.optim.Adam(network.parameters(), lr=0.0, fused=fused)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        gradient()
        optimizer.step()

    return step


def _of_art(network: nn.Module, data: Minibatch) -> Call:
    return libraries.art_training_step(network, data.images, data.labels)
