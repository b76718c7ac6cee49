"""What training minimises: the losses of equations 5 to 7, as one objective with two parts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from trueshot.attacks import FGSM, perturb, statistics_kept
from trueshot.detector import Detector
from trueshot.networks.convolution import gradient_wanted_from
from trueshot.training.penalty import directions, gradient_norms, input_gradient
from trueshot.training.recipe import Fusion, Objective, Penalty


@dataclass(frozen=True, kw_only=True)
class ObjectiveValue:
    """The loss of a minibatch and its parts.

    Args:
        loss: What is differentiated: a scalar.
        parts: Named scalars for the log, detached: means over the images that they name.
    """

    loss: Tensor
    parts: dict[str, Tensor]


def differentiate(
    objective: Objective,
    detector: Detector,
    images: Tensor,
    labels: Tensor,
    budgets: Tensor | None,
    batch: int | None = None,
) -> dict[str, Tensor]:
    """Add the gradient of equation 7 to the `grad` of the detector's parameters.

    With `penalty.method: exact` it is the gradient of `objective_value`. With `difference` that of
    the penalty is the difference of two gradients of cross-entropy, at the images and `step` levels
    down their own gradient (Finlay, Oberman 2019, arXiv:1905.11468): two passes without gradients
    of gradients. Its error is of the order of the step times the curvature of the loss, and, as
    each ReLU that changes its side within the step counts in the difference and not in the exact
    gradient, does not vanish with the step; docs/performance.md has it measured.

    Args: as of `objective_value`.

    Returns:
        The parts of the loss, as in `ObjectiveValue`.
    """
    share = _share(objective, detector, images, labels, budgets, batch)
    if objective.penalty is not None and objective.penalty.method == "difference":
        return _by_difference(share, objective.penalty, detector, labels)
    value = _exact(share, objective.penalty, detector, labels)
    torch.autograd.backward(value.loss, inputs=_learned(detector))
    return value.parts


def objective_value(
    objective: Objective,
    detector: Detector,
    images: Tensor,
    labels: Tensor,
    budgets: Tensor | None,
    batch: int | None = None,
) -> ObjectiveValue:
    """Equation 7, with the penalty of equation 5 inside its L, divided by the batch size m.

    Args:
        objective: Which of the two parts of the defence, and their settings.
        detector: In train mode.
        images: Clean levels, shape (m, 3, h, w).
        labels: True classes, shape (m,).
        budgets: With fusion: ε of the first k images, in levels, shape (k,).
        batch: m, where these images are one process's share of a minibatch: then loss and parts
            are its share of the sums, and those of all processes add up to the minibatch's.

    Raises:
        ValueError: Fusion without budgets, or budgets without fusion.
    """
    share = _share(objective, detector, images, labels, budgets, batch)
    return _exact(share, objective.penalty, detector, labels)


@dataclass(frozen=True, kw_only=True)
class _Share:
    """One process's share of a fused minibatch: attacked images first, then clean ones.

    Args:
        images: Shape (n, 3, h, w).
        weights: α for the attacked images, 1 for the others, shape (n,).
        adversarial: Attacked ones among them.
        first: Number of the first that is penalised.
        penalty: λ, or 0.
        counts: Images of the whole minibatch: all, and those that each part is a mean over.
    """

    images: Tensor
    weights: Tensor
    adversarial: int
    first: int
    penalty: float
    counts: Mapping[str, int]


def _share(
    objective: Objective,
    detector: Detector,
    images: Tensor,
    labels: Tensor,
    budgets: Tensor | None,
    batch: int | None,
) -> _Share:
    fusion, penalty = objective.fusion, objective.penalty
    if (fusion is None) != (budgets is None):
        raise ValueError("budgets go with fusion, and fusion with budgets")
    weights = images.new_ones(len(images))
    adversarial = 0
    if fusion is not None and budgets is not None:
        images = fused(fusion, detector, images, labels, budgets)
        adversarial = len(budgets)
        weights[:adversarial] = fusion.weight
    whole, attacked = len(images), adversarial
    if batch is not None:
        whole, attacked = batch, fusion.adversarial if fusion else 0
    every = penalty is not None and penalty.images == "all"
    return _Share(
        images=images,
        weights=weights,
        adversarial=adversarial,
        first=0 if every else adversarial,
        penalty=penalty.weight_at(images.shape[-1]) if penalty else 0.0,
        counts={
            "loss": whole,
            "cross_entropy_clean": whole - attacked,
            "cross_entropy_adversarial": attacked,
            "gradient_norm": whole if every else whole - attacked,
        },
    )


def _losses(share: _Share, detector: Detector, leaves: Tensor, labels: Tensor) -> Tensor:
    with gradient_wanted_from(share.first):
        return functional.cross_entropy(detector(leaves), labels, reduction="none")


def _value(share: _Share, losses: Tensor, norms: Tensor | None = None) -> ObjectiveValue:
    k, first = share.adversarial, share.first
    totals = losses
    parts = {"cross_entropy_clean": losses[k:], "cross_entropy_adversarial": losses[:k]}
    if norms is not None:
        totals = torch.cat([losses[:first], losses[first:] + share.penalty * norms])
        parts["gradient_norm"] = norms
    loss = (share.weights * totals).sum() / share.counts["loss"]
    means = {
        name: values.detach().sum() / share.counts[name]
        for name, values in parts.items()
        if share.counts[name]
    }
    return ObjectiveValue(loss=loss, parts={"loss": loss.detach(), **means})


def _exact(
    share: _Share, penalty: Penalty | None, detector: Detector, labels: Tensor
) -> ObjectiveValue:
    leaves = share.images.detach().requires_grad_(penalty is not None)
    losses = _losses(share, detector, leaves, labels)
    if penalty is None:
        return _value(share, losses)
    gradient = input_gradient(losses[share.first :], leaves)[share.first :]
    return _value(share, losses, gradient_norms(gradient, squared=penalty.squared))


def _by_difference(
    share: _Share, penalty: Penalty, detector: Detector, labels: Tensor
) -> dict[str, Tensor]:
    step, first, whole = penalty.step, share.first, share.counts["loss"]
    per_step = share.penalty / step
    # One pass back gives the minibatch's gradient, the first half of the difference, and the
    # direction: each image's gradient is that of its loss times its seed.
    seeds = share.weights.clone()
    seeds[first:] += per_step
    leaves = share.images.detach().requires_grad_(True)
    losses = _losses(share, detector, leaves, labels)
    torch.autograd.backward((seeds * losses).sum() / whole, inputs=[leaves, *_learned(detector)])
    assert leaves.grad is not None
    gradient = leaves.grad[first:]
    norms = gradient_norms(gradient) * whole / seeds[first:]
    lower = leaves.detach()
    lengths = step * share.weights[first:]
    lower = torch.cat([lower[:first], lower[first:] - directions(gradient, lengths)])
    with statistics_kept(detector):
        below = functional.cross_entropy(detector(lower), labels, reduction="none")
        torch.autograd.backward(-per_step * below[first:].sum() / whole, inputs=_learned(detector))
    return _value(share, losses.detach(), norms).parts


def fused(
    fusion: Fusion, detector: Detector, images: Tensor, labels: Tensor, budgets: Tensor
) -> Tensor:
    """Figure 4: the first images attacked with FGSM on the detector as it is, the rest clean."""
    k = len(budgets)
    attack = FGSM(budget=budgets, batch_statistics=fusion.batch_norm == "batch")
    return torch.cat([perturb(attack, detector, images[:k], labels[:k]), images[k:]])


def _learned(detector: Detector) -> list[Tensor]:
    return [parameter for parameter in detector.parameters() if parameter.requires_grad]
