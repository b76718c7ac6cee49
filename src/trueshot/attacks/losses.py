"""What an attack climbs: losses of logits, and their gradients at the images.

A detector that is very sure has a cross-entropy that float32 rounds to zero, with a gradient that
is exactly zero: an attack would stand still and the detector look secure. So directions are
computed from cotangents that cannot vanish (`cotangent`), not by differentiating the loss.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

Loss = Literal["cross_entropy", "margin"]

# Below this largest component, cross-entropy has lost half of its float32 digits.
SATURATED = 1e-4


def margin(logits: Tensor, labels: Tensor) -> Tensor:
    """Largest wrong logit minus the true one: shape (n,), positive where the detector is wrong."""
    true = logits.gather(1, labels[:, None]).squeeze(1)
    others = logits.scatter(1, labels[:, None], float("-inf"))
    return others.amax(1) - true


def cotangent(logits: Tensor, labels: Tensor, loss: Loss = "cross_entropy") -> Tensor:
    """Gradient of a loss at the logits, scaled per image so that it can be pulled back safely.

    Each row is scaled by a power of two, so that its largest component is in [0.5, 1): no
    direction changes and no bit is rounded. Where cross-entropy is saturated its limit is taken,
    which for two classes is the same direction: the margin's.

    Args:
        logits: Shape (n, classes), finite.
        labels: Classes whose loss is meant, shape (n,).
        loss: `cross_entropy` or `margin`.

    Returns:
        Shape (n, classes).
    """
    steepest = _gradient(margin, logits, labels)
    if loss == "margin":
        return steepest * 0.5
    if loss != "cross_entropy":
        raise ValueError(f"loss {loss!r}: unknown; known: cross_entropy, margin")
    slope = _gradient(_cross_entropy, logits, labels)
    size = slope.abs().amax(1, keepdim=True)
    _, exponent = torch.frexp(size)
    scaled = torch.ldexp(slope, -exponent)
    return torch.where(size < SATURATED, steepest * 0.5, scaled)


def least_likely(logits: Tensor) -> Tensor:
    """The class that the detector finds least likely (equation 3 of Zhao et al. 2018): (n,)."""
    return logits.argmin(1)


def image_gradient(
    detector: nn.Module,
    images: Tensor,
    labels: Tensor | Callable[[Tensor], Tensor],
    loss: Loss = "cross_entropy",
) -> Tensor:
    """Direction of the gradient of a loss at the images; its length per image is arbitrary.

    Args:
        detector: In the mode in which it is to be attacked.
        images: Levels, shape (n, 3, h, w).
        labels: Classes whose loss is meant, shape (n,), or what gives them for logits.
        loss: `cross_entropy` or `margin`.

    Returns:
        Shape (n, 3, h, w).
    """
    leaves, logits = judge(detector, images)
    classes = labels(logits.detach()) if callable(labels) else labels
    return pull_back(leaves, logits, classes, loss)


def judge(detector: nn.Module, images: Tensor) -> tuple[Tensor, Tensor]:
    """Logits, shape (n, classes), and the leaves to which `pull_back` takes a gradient."""
    with torch.enable_grad():
        leaves = images.detach().requires_grad_(True)
        return leaves, detector(leaves)


def pull_back(leaves: Tensor, logits: Tensor, labels: Tensor, loss: Loss) -> Tensor:
    """As `image_gradient`, of images that were judged already."""
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
