"""Parts of an objective, per image: TRADES, MART, GradAlign, and the input-gradient penalty."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from trueshot.attacks import statistics_kept
from trueshot.attacks.randomness import drawn, generators
from trueshot.detector import Detector
from trueshot.networks.convolution import gradient_wanted_from
from trueshot.training.objective_settings import Alignment

_SMALL = 1e-18  # smaller gradients count as zero: squares of their components underflow in float32


def divergence(clean: Tensor, attacked: Tensor) -> Tensor:
    """Compute KL(p(clean) ‖ p(attacked)) of logits (k, classes), differentiable in both: (k,).

    Source: Zhang et al. 2019 (TRADES), arXiv:1901.08573, equation 5.
    """
    before, after = clean.log_softmax(1), attacked.log_softmax(1)
    return (before.exp() * (before - after)).sum(1)


def boosted_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Compute -log p_y - log(1 - max p_other), shape (k,): with two classes, twice cross-entropy.

    Source: Wang et al. 2020 (MART), OpenReview rklOg6EFwS, equation 9.
    """
    plain = functional.cross_entropy(logits, labels, reduction="none")
    classes = torch.arange(logits.shape[1], device=logits.device)
    others = logits.masked_fill(classes == labels[:, None], float("-inf"))
    strongest = others.argmax(1)
    # log(1 - p) is the log of the sum over all other classes, so no close numbers are subtracted.
    rest = logits.masked_fill(classes == strongest[:, None], float("-inf"))
    return plain - (rest.logsumexp(1) - logits.logsumexp(1))


def misclassification(clean: Tensor, labels: Tensor) -> Tensor:
    """Return 1 - p_y of the clean image, shape (k,): MART's weight of divergence, equation 13."""
    return 1 - clean.softmax(1).gather(1, labels[:, None]).squeeze(1)


def misalignment(
    alignment: Alignment,
    detector: Detector,
    images: Tensor,
    labels: Tensor,
    gradient: Tensor,
    seed: int,
    dropout_seed: int = 0,
    first: int = 0,
) -> Tensor:
    """Compute one minus the cosine of the gradients at each image and at a random point near it.

    The images before number `first` are not moved. They are judged along with the others, so that
    dropout masks and batch statistics are those of the gradient at the images.

    Args:
        alignment: Settings; the random point is uniform within `budget` levels of the image.
        detector: In train mode; its running statistics are not updated at the random points.
        images: Levels, shape (n, 3, h, w), clean from number `first` on.
        labels: True classes, shape (n,).
        gradient: Gradient of cross-entropy at the images from `first` on, differentiable.
        seed: Seed of the random points.
        dropout_seed: Seed of the dropout masks at the random points, see `dropout_seeded`.
        first: Number of images at the start that are not compared.

    Returns:
        Shape (n - first,), in [0, 2]; 0 where one of the two gradients vanishes.

    Source: Andriushchenko, Flammarion 2020, arXiv:2007.02617, equation 5.
    """
    clean = images[first:]
    moved = clean + uniform(clean, alignment.budget, seed)
    places = torch.cat([images[:first], moved]).requires_grad_(True)
    with (
        statistics_kept(detector),
        gradient_wanted_from(first),
        dropout_seeded(images, dropout_seed),
    ):
        losses = functional.cross_entropy(detector(places), labels, reduction="none")
    there = input_gradient(losses[first:], places)[first:]
    here_length, there_length = gradient_norms(gradient), gradient_norms(there)
    # Each is scaled by itself, because the product of two tiny norms would underflow.
    cosine = (_unit(gradient, here_length) * _unit(there, there_length)).sum((1, 2, 3))
    directed = torch.minimum(here_length, there_length) > _SMALL
    return torch.where(directed, 1 - cosine, torch.zeros_like(cosine))


def _unit(gradient: Tensor, lengths: Tensor) -> Tensor:
    return gradient / lengths.clamp(min=_SMALL)[:, None, None, None]


def uniform(images: Tensor, budget: float | Tensor, seed: int) -> Tensor:
    """Draw uniform noise of up to `budget` levels for each image, shape of the images."""
    noise = drawn(
        generators(images, seed),
        lambda source: torch.rand(images.shape[1:], generator=source) * 2 - 1,
        images,
    )
    return noise * torch.as_tensor(budget).to(images).reshape(-1, 1, 1, 1)


@contextmanager
def dropout_seeded(images: Tensor, seed: int) -> Iterator[None]:
    """Draw dropout masks in the `with` block from a seed, and keep the global random state.

    Two passes with the same seed have the same masks if they have equally many images.

    Args:
        images: Images on the device that computes.
        seed: Seed of the masks, below 2³².
    """
    with torch.random.fork_rng(devices=[images.device] if images.is_cuda else []):
        torch.manual_seed(seed)
        yield


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
