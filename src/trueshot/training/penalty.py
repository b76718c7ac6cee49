"""The input-gradient penalty of equation 5: gradients at images, their norms and directions."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor


def input_gradient(losses: Tensor, images: Tensor) -> Tensor:
    """Compute the gradient of each image's loss at that image, itself differentiable.

    Batch normalisation in train mode couples the images of a batch; the result is then the gradient
    of the sum of the losses, as in the paper's training.

    Args:
        losses: One loss per image, shape (n,), or the losses of a subset of the batch.
        images: Levels, shape (n, 3, h, w), a leaf tensor that requires a gradient.

    Returns:
        Gradients per level, shape (n, 3, h, w).
    """
    (gradient,) = torch.autograd.grad(losses.sum(), images, create_graph=True)
    return gradient


def gradient_norms(
    gradient: Tensor, *, squared: bool = False, norm: Literal["l2", "l1"] = "l2"
) -> Tensor:
    """Compute the norm of each image's gradient, or its square: shape (n,), per level.

    The 2-norm of a gradient that is exactly zero gets the subgradient zero, so a saturated image
    adds nothing and causes no NaN.
    """
    if norm == "l1":
        sums = gradient.abs().sum((1, 2, 3))
        return sums.square() if squared else sums
    squares = gradient.square().sum((1, 2, 3))
    if squared:
        return squares
    positive = squares > 0
    roots = torch.where(positive, squares, torch.ones_like(squares)).sqrt()
    return torch.where(positive, roots, torch.zeros_like(squares))


def directions(gradient: Tensor, lengths: Tensor) -> Tensor:
    """Scale each image's gradient to a 2-norm of `lengths`, shape (n,); zero gradients stay 0."""
    norms = gradient_norms(gradient)
    factors = torch.where(norms > 0, lengths / norms, torch.zeros_like(norms))
    return gradient * factors[:, None, None, None]
