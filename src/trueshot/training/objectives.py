"""The training objective, cross-entropy with the parts of `Objective`, and its gradient."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from trueshot.attacks import statistics_kept
from trueshot.detector import Detector
from trueshot.networks.convolution import gradient_wanted_from
from trueshot.training.adversaries import fused
from trueshot.training.losses import (
    boosted_cross_entropy,
    directions,
    divergence,
    dropout_seeded,
    gradient_norms,
    input_gradient,
    misalignment,
    misclassification,
)
from trueshot.training.objective_settings import Fusion, Objective, Penalty


@dataclass(frozen=True, kw_only=True)
class ObjectiveValue:
    """The loss of a minibatch and its parts.

    Args:
        loss: The scalar to differentiate.
        parts: Named scalars for the log, detached: each is a mean over the images it concerns.
    """

    loss: Tensor
    parts: dict[str, Tensor]


@dataclass(frozen=True, kw_only=True)
class Mixture:
    """One process's share of a minibatch, after the attack: attacked images first.

    Args:
        images: Shape (n, 3, h, w): k attacked images, then clean ones.
        labels: True classes, shape (n,).
        weights: Weights of the images, shape (n,): α for attacked images that replace clean ones,
            1 for others.
        adversarial: Number of attacked images, k.
        first: Index of the first image that is penalised.
        penalty: λ of the penalty, or 0.
        seed: Seed of the randomness in this step.
        dropout_seed: Seed of the dropout masks in this step and process.
        counts: For `loss` and each of its parts, the number of images in the whole minibatch over
            which it is a mean.
    """

    images: Tensor
    labels: Tensor
    weights: Tensor
    adversarial: int
    first: int
    penalty: float
    seed: int
    dropout_seed: int
    counts: Mapping[str, int]


def differentiate(
    objective: Objective,
    detector: Detector,
    images: Tensor,
    labels: Tensor,
    budgets: Tensor | None,
    batch: int | None = None,
    seed: int = 0,
) -> dict[str, Tensor]:
    """Add the gradient of the objective to the `grad` of the detector's parameters.

    Args: see `objective_value`.

    Returns:
        The parts of the loss, as in `ObjectiveValue`.
    """
    mixture = mixed(objective, detector, images, labels, budgets, batch, seed)
    return accumulate(objective, detector, mixture)


def objective_value(
    objective: Objective,
    detector: Detector,
    images: Tensor,
    labels: Tensor,
    budgets: Tensor | None,
    batch: int | None = None,
    seed: int = 0,
) -> ObjectiveValue:
    """Compute equation 7, with the penalty of equation 5 inside its L, divided by the batch size m.

    TRADES and MART replace the cross-entropy of the attacked images (`_paired`), and alignment adds
    a part to the loss of each clean image. Weight perturbation is not part of this value: it moves
    the weights at which the gradient is computed (`training.steps.gradients`).

    Args:
        objective: The parts and their settings.
        detector: In train mode.
        images: Clean levels, shape (m, 3, h, w).
        labels: True classes, shape (m,).
        budgets: With fusion, ε of the first k images in levels, shape (k,); without, None.
        batch: Size m of the whole minibatch, if these images are one process's share of it. The
            loss and its parts are then shares too, whose sums over all processes are the values of
            the minibatch.
        seed: Seed of dropout, and of the random points of N-FGSM and alignment.

    Raises:
        ValueError: Fusion without budgets, or budgets without fusion.
    """
    mixture = mixed(objective, detector, images, labels, budgets, batch, seed)
    return _exact(objective, detector, mixture)


def mixed(
    objective: Objective,
    detector: Detector,
    images: Tensor,
    labels: Tensor,
    budgets: Tensor | None,
    batch: int | None = None,
    seed: int = 0,
    rank: int = 0,
) -> Mixture:
    """Attack the first images on the current detector; for the arguments see `objective_value`.

    `rank` is the number of this process: each draws dropout masks of its own.
    """
    fusion, penalty = objective.fusion, objective.penalty
    if (fusion is None) != (budgets is None):
        raise ValueError("budgets must be given with fusion, and only with fusion")
    k, twins = 0, False
    whole, attacked = len(images), 0
    dropout_seed = zlib.crc32(f"{seed} {rank}".encode())
    if fusion is not None and budgets is not None:
        k, twins = len(budgets), fusion.keeps_clean
        attacked = k if batch is None else fusion.adversarial
        with dropout_seeded(images, dropout_seed):  # the attack may be made in train mode
            images = fused(fusion, detector, images, labels, budgets, seed)
        labels = torch.cat([labels[:k], labels]) if twins else labels
    whole = whole if batch is None else batch
    clean = whole if twins else whole - attacked
    weights = images.new_ones(len(images))
    if fusion is not None and not twins:
        weights[:k] = fusion.weight
    every = penalty is not None and penalty.images == "all"
    return Mixture(
        images=images,
        labels=labels,
        weights=weights,
        adversarial=k,
        first=0 if every else k,
        penalty=penalty.weight_at(images.shape[-1]) if penalty else 0.0,
        seed=seed,
        dropout_seed=dropout_seed,
        counts={
            "loss": whole,
            "cross_entropy_clean": clean,
            "cross_entropy_adversarial": attacked,
            "regularisation": attacked,
            "misalignment": clean,
            "gradient_norm": clean + attacked if every else clean,
        },
    )


def accumulate(objective: Objective, detector: Detector, mixture: Mixture) -> dict[str, Tensor]:
    """Add the gradient of a minibatch's objective to the `grad` of the parameters.

    With `penalty.method: exact` it is the gradient of `objective_value`. With `difference`, the
    gradient of the penalty is the difference of two gradients of cross-entropy, at the images and
    `step` levels down their own gradient (Finlay, Oberman 2019, arXiv:1905.11468): two passes,
    without gradients of gradients. Its error is of the order of the step times the curvature of the
    loss. It does not vanish with the step, because each ReLU that switches within the step counts
    in the difference but not in the exact gradient; docs/performance.md has measurements.

    Returns:
        The parts of the loss, as in `ObjectiveValue`.
    """
    if objective.penalty is not None and objective.penalty.method == "difference":
        return _by_difference(objective.penalty, detector, mixture)
    value = _exact(objective, detector, mixture)
    torch.autograd.backward(value.loss, inputs=learned(detector))
    return value.parts


def learned(detector: Detector) -> list[Tensor]:
    """Return the parameters that training changes."""
    return [parameter for parameter in detector.parameters() if parameter.requires_grad]


def _exact(objective: Objective, detector: Detector, mixture: Mixture) -> ObjectiveValue:
    penalty, alignment, fusion = objective.penalty, objective.alignment, objective.fusion
    k = mixture.adversarial
    first = min(mixture.first, k) if alignment is not None else mixture.first
    leaves = mixture.images.detach()
    leaves.requires_grad_(penalty is not None or alignment is not None)
    with gradient_wanted_from(first), dropout_seeded(leaves, mixture.dropout_seed):
        logits = detector(leaves)
    losses = functional.cross_entropy(logits, mixture.labels, reduction="none")
    parts = {"cross_entropy_clean": losses[k:], "cross_entropy_adversarial": losses[:k]}
    totals = losses
    if fusion is not None and fusion.keeps_clean:
        totals, parts["regularisation"] = _paired(fusion, logits, losses, mixture)
    if penalty is None and alignment is None:
        return _value(mixture, totals, parts)
    gradient = input_gradient(losses[first:], leaves)[first:]
    if penalty is not None:
        norms = gradient_norms(
            gradient[mixture.first - first :], squared=penalty.squared, norm=penalty.norm
        )
        parts["gradient_norm"] = norms
        totals = _added(totals, mixture.first, mixture.penalty * norms)
    if alignment is not None:
        whole, seeds = (mixture.images, mixture.labels), (mixture.seed, mixture.dropout_seed)
        off = misalignment(alignment, detector, *whole, gradient[k - first :], *seeds, first=k)
        parts["misalignment"] = off
        totals = _added(totals, k, alignment.weight * off)
    return _value(mixture, totals, parts)


def _paired(
    fusion: Fusion, logits: Tensor, losses: Tensor, mixture: Mixture
) -> tuple[Tensor, Tensor]:
    """Return all losses, and the regularisers, where attacked images keep their clean twins."""
    k = mixture.adversarial
    attacked, clean, labels = logits[:k], logits[k : 2 * k], mixture.labels[:k]
    apart = divergence(clean, attacked)
    if fusion.loss == "trades":
        return torch.cat([fusion.weight * apart, losses[k:]]), apart
    regularisers = apart * misclassification(clean, labels)
    boosted = boosted_cross_entropy(attacked, labels)
    # In MART the clean twins have no loss of their own: they count in the regularisers only.
    rest = [torch.zeros_like(losses[:k]), losses[2 * k :]]
    return torch.cat([boosted + fusion.weight * regularisers, *rest]), regularisers


def _added(totals: Tensor, first: int, more: Tensor) -> Tensor:
    return torch.cat([totals[:first], totals[first:] + more])


def _value(mixture: Mixture, totals: Tensor, parts: Mapping[str, Tensor]) -> ObjectiveValue:
    loss = (mixture.weights * totals).sum() / mixture.counts["loss"]
    means = {
        name: values.detach().sum() / mixture.counts[name]
        for name, values in parts.items()
        if mixture.counts[name]
    }
    return ObjectiveValue(loss=loss, parts={"loss": loss.detach(), **means})


def _by_difference(penalty: Penalty, detector: Detector, mixture: Mixture) -> dict[str, Tensor]:
    step, first, whole = penalty.step, mixture.first, mixture.counts["loss"]
    k, labels = mixture.adversarial, mixture.labels
    per_step = mixture.penalty / step
    # One backward pass gives the minibatch's gradient, the first half of the difference, and the
    # directions: the gradient at each image is that of its loss times its seed.
    seeds = mixture.weights.clone()
    seeds[first:] += per_step
    leaves = mixture.images.detach().requires_grad_(True)
    with gradient_wanted_from(first), dropout_seeded(leaves, mixture.dropout_seed):
        losses = functional.cross_entropy(detector(leaves), labels, reduction="none")
    torch.autograd.backward((seeds * losses).sum() / whole, inputs=[leaves, *learned(detector)])
    assert leaves.grad is not None
    gradient = leaves.grad[first:]
    norms = gradient_norms(gradient) * whole / seeds[first:]
    lower = leaves.detach()
    lengths = step * mixture.weights[first:]
    down = directions(gradient, lengths)
    lower = torch.cat([lower[:first], lower[first:] - down])
    with statistics_kept(detector):
        with dropout_seeded(lower, mixture.dropout_seed):  # the masks of the first pass
            below = functional.cross_entropy(detector(lower), labels, reduction="none")
        torch.autograd.backward(-per_step * below[first:].sum() / whole, inputs=learned(detector))
    losses = losses.detach()
    parts = {
        "cross_entropy_clean": losses[k:],
        "cross_entropy_adversarial": losses[:k],
        "gradient_norm": norms,
    }
    return _value(mixture, _added(losses, first, mixture.penalty * norms), parts).parts
