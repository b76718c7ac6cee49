"""What training minimises: the losses of equations 5 to 7, as one objective with two parts."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from trueshot.attacks import FGSM, perturb
from trueshot.detector import Detector
from trueshot.training.penalty import gradient_norms, input_gradient
from trueshot.training.recipe import Fusion, Objective


@dataclass(frozen=True, kw_only=True)
class ObjectiveValue:
    """The loss of a minibatch and its parts.

    Args:
        loss: What is differentiated: a scalar.
        parts: Named scalars for the log, detached: means over the images that they name.
    """

    loss: Tensor
    parts: dict[str, Tensor]


def objective_value(
    objective: Objective, detector: Detector, images: Tensor, labels: Tensor, budgets: Tensor | None
) -> ObjectiveValue:
    """Equation 7, with the penalty of equation 5 inside its L, divided by the batch size m.

    Args:
        objective: Which of the two parts of the defence, and their settings.
        detector: In train mode.
        images: Clean levels, shape (m, 3, h, w).
        labels: True classes, shape (m,).
        budgets: With fusion: ε of the first k images, in levels, shape (k,).

    Raises:
        ValueError: Fusion without budgets, or budgets without fusion.
    """
    if (objective.fusion is None) != (budgets is None):
        raise ValueError("budgets go with fusion, and fusion with budgets")
    adversarial = objective.fusion.adversarial if objective.fusion else 0
    if objective.fusion is not None and budgets is not None:
        images = fused(objective.fusion, detector, images, labels, budgets)
    penalty = objective.penalty
    images = images.detach().requires_grad_(penalty is not None)
    losses = functional.cross_entropy(detector(images), labels, reduction="none")
    parts = {"cross_entropy_clean": losses[adversarial:]}
    totals = losses
    if penalty is not None:
        first = 0 if penalty.images == "all" else adversarial
        gradient = input_gradient(losses[first:], images)[first:]
        norms = gradient_norms(gradient, squared=penalty.squared)
        weight = penalty.weight_at(images.shape[-1])
        totals = torch.cat([losses[:first], losses[first:] + weight * norms])
        parts["gradient_norm"] = norms
    weights = torch.ones_like(losses)
    if objective.fusion is not None:
        parts["cross_entropy_adversarial"] = losses[:adversarial]
        weights[:adversarial] = objective.fusion.weight
    loss = (weights * totals).sum() / len(images)
    means = {name: values.detach().mean() for name, values in parts.items() if len(values)}
    return ObjectiveValue(loss=loss, parts={"loss": loss.detach(), **means})


def fused(
    fusion: Fusion, detector: Detector, images: Tensor, labels: Tensor, budgets: Tensor
) -> Tensor:
    """Figure 4: the first k images attacked with FGSM on the detector as it is, the rest clean."""
    k = fusion.adversarial
    attack = FGSM(budget=budgets, batch_statistics=fusion.batch_norm == "batch")
    return torch.cat([perturb(attack, detector, images[:k], labels[:k]), images[k:]])
