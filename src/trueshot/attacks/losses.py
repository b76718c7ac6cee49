"""The losses that attacks maximise, and their gradients at the images.

If a detector is very confident, float32 rounds its cross-entropy to zero and the gradient is
exactly zero: an attack would stand still, and the detector would look secure. So directions are
computed from cotangents that cannot vanish (`cotangent`), not by differentiating the loss.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

Loss = Literal["cross_entropy", "margin"]

# If the gradient's largest component is smaller, cross-entropy has lost half its float32 digits.
SATURATED = 1e-4


def margin(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the largest wrong logit minus the true one, shape (n,): positive if misclassified."""
    true = logits.gather(1, labels[:, None]).squeeze(1)
    others = logits.scatter(1, labels[:, None], float("-inf"))
    return others.amax(1) - true


def cotangent(logits: Tensor, labels: Tensor, loss: Loss = "cross_entropy") -> Tensor:
    """Compute the gradient of a loss at the logits, scaled per image for a safe backward pass.

    Each row is scaled by a power of two so that its largest component is in [0.5, 1), which changes
    no direction and rounds no bit. Where cross-entropy is saturated, its limit is used, the
    gradient of the margin; with two classes this has the same direction.

    Args:
        logits: Finite logits, shape (n, classes).
        labels: Classes of which the loss is computed, shape (n,).
        loss: `cross_entropy` or `margin`.

    Returns:
        Shape (n, classes).
    """
    steepest = _gradient(margin, logits, labels)
    if loss == "margin":
        return steepest * 0.5
    if loss != "cross_entropy":
        raise ValueError(f"loss must be one of cross_entropy, margin, got {loss!r}")
    slope = _gradient(_cross_entropy, logits, labels)
    size = slope.abs().amax(1, keepdim=True)
    _, exponent = torch.frexp(size)
    scaled = torch.ldexp(slope, -exponent)
    return torch.where(size < SATURATED, steepest * 0.5, scaled)


def least_likely(logits: Tensor) -> Tensor:
    """Return the class with the smallest logit, shape (n,): equation 3 of Zhao et al. 2018."""
    return logits.argmin(1)


def image_gradient(
    detector: nn.Module,
    images: Tensor,
    labels: Tensor | Callable[[Tensor], Tensor],
    loss: Loss = "cross_entropy",
) -> Tensor:
    """Compute the direction of the gradient of a loss at the images; its length is arbitrary.

    Args:
        detector: Detector, already in the mode in which to attack it.
        images: Levels, shape (n, 3, h, w).
        labels: Classes of which the loss is computed, shape (n,), or a function that returns them
            for logits.
        loss: `cross_entropy` or `margin`.

    Returns:
        Shape (n, 3, h, w).
    """
    leaves, logits = judge(detector, images)
    classes = labels(logits.detach()) if callable(labels) else labels
    return pull_back(leaves, logits, classes, loss)


def judge(detector: nn.Module, images: Tensor) -> tuple[Tensor, Tensor]:
    """Return the images as leaf tensors, for `pull_back`, and their logits, shape (n, classes)."""
    with torch.enable_grad():
        leaves = images.detach().requires_grad_(True)
        return leaves, detector(leaves)


def pull_back(leaves: Tensor, logits: Tensor, labels: Tensor, loss: Loss) -> Tensor:
    """Compute `image_gradient` for images that `judge` has already judged."""
    weights = cotangent(logits.detach(), labels, loss)
    (gradient,) = torch.autograd.grad(logits, leaves, grad_outputs=weights)
    return gradient


def _cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    return functional.cross_entropy(logits, labels, reduction="none")


def _gradient(loss: Callable[[Tensor, Tensor], Tensor], logits: Tensor, labels: Tensor) -> Tensor:
    with torch.enable_grad():
        leaves = logits.detach().requires_grad_(True)
        (gradient,) = torch.autograd.grad(loss(leaves, labels).sum(), leaves)
    return gradient
