"""The attacked images of a minibatch: figure 4, and variants with other attacks."""

from __future__ import annotations

import torch
from torch import Tensor

from trueshot.attacks import FGSM, PGD, image_gradient, perturb, undisturbed
from trueshot.detector import Detector, evaluating
from trueshot.pixels import LEVELS
from trueshot.training.losses import uniform
from trueshot.training.objective_settings import Fusion

_REACH = 2.0  # largest noise of N-FGSM, in budgets


def fused(
    fusion: Fusion,
    detector: Detector,
    images: Tensor,
    labels: Tensor,
    budgets: Tensor,
    seed: int = 0,
) -> Tensor:
    """Attack the first images on the current detector, and append the clean ones: figure 4.

    Args:
        fusion: Settings of the attack; also whether the clean versions of attacked images stay.
        detector: Detector to attack; left unchanged.
        images: Clean levels, shape (m, 3, h, w).
        labels: True classes, shape (m,).
        budgets: ε of the first k images in levels, shape (k,).
        seed: Seed of N-FGSM's noise.

    Returns:
        Shape (m, 3, h, w): k attacked images, then m - k clean ones. With TRADES and MART, shape
        (k + m, 3, h, w): k attacked images, then all m clean ones.
    """
    k = len(budgets)
    clean, truth = images[:k], labels[:k]
    if fusion.loss == "trades":
        # Moving away from the predicted class increases the divergence from the clean prediction.
        with torch.no_grad(), evaluating(detector):
            truth = detector(clean).argmax(1)
    if fusion.attack == "n-fgsm":
        attacked = n_fgsm(detector, clean, truth, budgets, seed)
    elif fusion.attack == "pgd":
        attack = PGD(budget=budgets, steps=fusion.steps, relative_step=fusion.relative_step)
        attacked = perturb(attack, detector, clean, truth)
    else:
        by_batch = fusion.batch_norm == "batch"
        attacked = perturb(FGSM(budget=budgets, batch_statistics=by_batch), detector, clean, truth)
    return torch.cat([attacked, images if fusion.keeps_clean else images[k:]])


def n_fgsm(
    detector: Detector, images: Tensor, labels: Tensor, budgets: Tensor, seed: int
) -> Tensor:
    """Take one FGSM step from noise of twice the budget, without projection: for training only.

    Args:
        detector: Detector to attack; left unchanged.
        images: Levels, shape (k, 3, h, w).
        labels: Classes to move away from, shape (k,).
        budgets: Budgets in levels, shape (k,).
        seed: Seed of the noise.

    Returns:
        Levels within three budgets of the images.

    Source: de Jorge et al. 2022, arXiv:2202.01181, equation 4.
    """
    noisy = images + uniform(images, _REACH * budgets, seed)
    with undisturbed(detector) as target:
        gradient = image_gradient(target, noisy, labels)
    return (noisy + budgets.reshape(-1, 1, 1, 1) * gradient.sign()).clamp(0, LEVELS)
