"""Gradients at images and at their neighbours: whether they exist and show where the loss rises."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from trueshot.attacks.base import undisturbed
from trueshot.attacks.losses import image_gradient, judge, margin
from trueshot.attacks.randomness import drawn, generators
from trueshot.detector import Detector
from trueshot.evaluation.sanity_checks.random_numbers import in_chunks
from trueshot.evaluation.tally import Flags
from trueshot.pixels import LEVELS

NEIGHBOURS = 2
BESIDE = 1.0  # largest change from an image to its neighbour, in levels
NEAR, FAR = 0.25, 1.0  # largest step along the gradient, to either side, in levels
TURNED = 0.1  # cosine below which the neighbour's gradient says nothing about the image's


@dataclass(frozen=True, kw_only=True)
class Slopes:
    """Properties of the gradients; per image, shape (n,), except `ignored`.

    Args:
        right: Whether the image is classified correctly.
        zero: Whether the gradient of the margin is exactly zero, or denormal.
        zero_usual: The same for the gradient of plain cross-entropy.
        flat: Whether the margins of all neighbours are exactly the image's own.
        cosine: Mean cosine between the margin's gradients at the image and at its neighbours; a
            zero gradient counts as cosine 0.
        rises_near: Whether the margin is larger after a step of up to a quarter of a level along
            the sign of the gradient than after the same step against it.
        rises_far: The same for steps of up to one level.
        ignored: Pixels at which every gradient was zero, shape (h, w).
        finite: Whether logits and gradients are finite.
    """

    right: Flags
    zero: Flags
    zero_usual: Flags
    flat: Flags
    cosine: Tensor
    rises_near: Flags
    rises_far: Flags
    ignored: Tensor
    finite: Flags


def gives_gradient(detector: Detector, images: Tensor) -> bool:
    """Whether the logits have a gradient with respect to the images, even if it is zero."""
    with undisturbed(detector) as target:
        leaves, logits = judge(target, images[:2])
        if not logits.requires_grad:
            return False
        (found,) = torch.autograd.grad(logits.sum(), leaves, allow_unused=True)
    return found is not None


def slopes_of(detector: Detector, images: Tensor, labels: Tensor, seed: int = 0) -> Slopes:
    """Compute gradients at the images and at random neighbours, and take steps along them.

    Args:
        detector: A detector for which `gives_gradient` is true; left unchanged.
        images: Levels, shape (n, 3, h, w).
        labels: True classes, shape (n,).
        seed: Seed of the neighbours, which are drawn separately for each image.
    """
    ignored = torch.ones(images.shape[2:], dtype=torch.bool, device=images.device)
    with undisturbed(detector) as target:

        def measure(some: Tensor, of_them: Tensor) -> Tensor:
            return _measure(target, some, of_them, seed, ignored)

        columns = in_chunks(images, labels, measure).T
    flags = [column.bool().cpu().numpy() for column in columns]
    right, zero, zero_usual, flat, _, rises_near, rises_far, finite = flags
    return Slopes(
        right=right,
        zero=zero,
        zero_usual=zero_usual,
        flat=flat,
        cosine=columns[4].cpu(),
        rises_near=rises_near,
        rises_far=rises_far,
        ignored=ignored.cpu(),
        finite=finite,
    )


def _measure(
    detector: nn.Module, images: Tensor, labels: Tensor, seed: int, ignored: Tensor
) -> Tensor:
    """Return the per-image fields of `Slopes` as columns, shape (n, 8); update `ignored`."""
    here = _margin(detector, images, labels)
    gradient = image_gradient(detector, images, labels, "margin")
    usual = _usual_gradient(detector, images, labels)
    finite = here.isfinite() & _finite(gradient) & _finite(usual)
    gradient, usual = gradient.nan_to_num(), usual.nan_to_num()
    ignored &= ~(gradient != 0).any(0).any(0)
    cosines, flat = [], torch.ones_like(finite)
    sources = generators(images, seed)
    for beside in _neighbours(sources, images):
        turned = image_gradient(detector, beside, labels, "margin").nan_to_num()
        ignored &= ~(turned != 0).any(0).any(0)
        cosines.append(_cosine(gradient, turned))
        flat &= _margin(detector, beside, labels) == here
    along = gradient.sign() * _lengths(sources, images)
    columns = [
        here <= 0,
        finite & _is_zero(gradient),
        finite & _is_zero(usual),
        flat,
        torch.stack(cosines).mean(0),
        _rises(detector, images, labels, NEAR * along),
        _rises(detector, images, labels, FAR * along),
        finite,
    ]
    return torch.stack([column.double() for column in columns], 1)


def _usual_gradient(detector: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    """Compute the plain gradient of the summed cross-entropy, which vanishes when it saturates."""
    leaves, logits = judge(detector, images)
    with torch.enable_grad():
        loss = functional.cross_entropy(logits, labels, reduction="sum")
        (gradient,) = torch.autograd.grad(loss, leaves)
    return gradient


def _neighbours(sources: list[torch.Generator], images: Tensor) -> Iterator[Tensor]:
    """Yield images in which every value is changed by half a level to one level, up or down."""
    for _ in range(NEIGHBOURS):
        up = _uniform(sources, images) < 0.5
        step = torch.where(up, 1.0, -1.0) * BESIDE * _lengths(sources, images)
        # A change that would leave 0 to 255 is made in the opposite direction.
        outside = (images + step < 0) | (images + step > LEVELS)
        yield images + torch.where(outside, -step, step)


def _lengths(sources: list[torch.Generator], images: Tensor) -> Tensor:
    """Draw lengths from 0.5 to 1; equal lengths would miss patterns with that period."""
    return 0.5 + 0.5 * _uniform(sources, images)


def _uniform(sources: list[torch.Generator], images: Tensor) -> Tensor:
    shape = images.shape[1:]
    return drawn(sources, lambda source: torch.rand(shape, generator=source), images)


def _rises(detector: nn.Module, images: Tensor, labels: Tensor, step: Tensor) -> Tensor:
    up = _margin(detector, (images + step).clamp(0, LEVELS), labels)
    down = _margin(detector, (images - step).clamp(0, LEVELS), labels)
    return up > down


@torch.no_grad()
def _margin(detector: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    return margin(detector(images), labels)


def _is_zero(gradient: Tensor) -> Tensor:
    """Whether each gradient is exactly zero or denormal, which many processors treat as zero."""
    return gradient.abs().amax((1, 2, 3)) < torch.finfo(gradient.dtype).tiny


def _finite(values: Tensor) -> Tensor:
    return values.isfinite().flatten(1).all(1)


def _cosine(first: Tensor, second: Tensor) -> Tensor:
    """Compute the cosine after scaling each gradient to a maximum of 1, so no square underflows."""
    scaled = [
        g.flatten(1) / g.abs().amax((1, 2, 3)).clamp(min=1e-38)[:, None] for g in (first, second)
    ]
    return functional.cosine_similarity(scaled[0], scaled[1], dim=1)
