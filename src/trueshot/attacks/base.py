"""What an attack is, what it must leave as it was, and what its caller checks."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from trueshot.detector import Detector
from trueshot.errors import BrokenPromiseError
from trueshot.pixels import LEVELS, l2, linf

Budget = float | Tensor
Norm = Literal["linf", "l2"]
_HALVINGS = 16
_DOUBLINGS = 24
_DISTANCES = {"linf": linf, "l2": l2}


@runtime_checkable
class Attack(Protocol):
    """Settings and one call. An implementation is a frozen dataclass whose repr names the test.

    `budget` is the largest change of a level: one number for all images, or a tensor of shape (n,)
    with one for each. An attack whose budget is meant in another norm has a field `norm`.
    """

    @property
    def budget(self) -> Budget: ...

    def __call__(self, detector: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        """Levels (n, 3, h, w) and true classes (n,) in, levels of the same shape out."""
        ...


def norm_of(attack: Attack) -> Norm:
    """The norm in which an attack's budget is meant: its field `norm`, or L∞."""
    norm: Norm = getattr(attack, "norm", "linf")
    if norm not in _DISTANCES:
        raise ValueError(f"norm {norm!r}: unknown; known: {', '.join(_DISTANCES)}")
    return norm


def distance(norm: Norm, first: Tensor, second: Tensor) -> Tensor:
    """Distance of each image from the other in levels, shape (n,)."""
    return _DISTANCES[norm](first, second)


def per_image(budget: Budget, images: Tensor) -> Tensor:
    """The budget as a tensor that broadcasts over images: shape (n, 1, 1, 1) or (1, 1, 1, 1).

    Raises:
        ValueError: Negative, not finite, or not one number nor one for each image.
    """
    levels = torch.as_tensor(budget, dtype=images.dtype, device=images.device)
    if levels.ndim > 1 or (levels.ndim == 1 and len(levels) != len(images)):
        raise ValueError(
            f"one budget, or one for each of {len(images)} images, wanted; "
            f"got shape {tuple(levels.shape)}"
        )
    if not bool(torch.isfinite(levels).all()) or bool((levels < 0).any()):
        raise ValueError(f"a budget is a finite number of levels, 0 or more; got {budget}")
    return levels.reshape(-1, 1, 1, 1)


@contextmanager
def undisturbed(detector: nn.Module, *, training: bool = False) -> Iterator[nn.Module]:
    """Run an attack inside; leave the detector as it was found, also when the attack fails.

    Restored: the mode of every module, batch-normalisation statistics and every other buffer,
    `grad` and `requires_grad` of every parameter, and the global random state. Parameters need no
    gradient inside, so that backward passes stop at the images.

    Args:
        detector: What is attacked: a `Detector`, or any module from levels to logits.
        training: Attack in train mode, with the statistics of the batch, instead of eval mode.

    Yields:
        What is to be attacked: of a `Detector` in eval mode one whose batch normalisation is
        folded, which is the same function with fewer steps; else itself.
    """
    modes = [(module, module.training) for module in detector.modules()]
    parameters = [(p, p.requires_grad, p.grad) for p in detector.parameters()]
    devices = sorted({p.device.index or 0 for p, _, _ in parameters if p.is_cuda})
    with torch.random.fork_rng(devices=devices), statistics_kept(detector):
        try:
            detector.train(training)
            for parameter, _, _ in parameters:
                parameter.requires_grad_(False)
            yield detector.folded() if isinstance(detector, Detector) and not training else detector
        finally:
            for module, mode in modes:
                module.training = mode
            for parameter, requires_grad, grad in parameters:
                parameter.requires_grad_(requires_grad)
                parameter.grad = grad


def classes_of(detector: nn.Module, images: Tensor) -> tuple[str, ...]:
    """Names of the classes that a module tells apart; numbers, if it has no names for them.

    Args:
        detector: A `Detector`, or any module from levels to logits.
        images: Of which one is shown to a module that does not say how many there are.
    """
    if isinstance(detector, Detector):
        return detector.classes
    with torch.no_grad(), undisturbed(detector) as quiet:
        count = quiet(images[:1]).shape[1] if len(images) else 2
    return tuple(map(str, range(count)))


def check_labels(detector: nn.Module, images: Tensor, labels: Tensor) -> None:
    """Refuse labels that are no classes of a detector.

    Args:
        detector: A `Detector`, or any module from levels to logits.
        images: Of which one is shown to a module that does not say how many classes there are.
        labels: True classes, shape (n,).

    Raises:
        ValueError: It names the first label that is wrong.
    """
    if labels.is_floating_point() or labels.dtype == torch.bool:
        raise ValueError(f"labels are numbers of classes, integers; got {labels.dtype}")
    if not len(labels):
        return
    if isinstance(detector, Detector) or bool(labels.amax() > 1) or bool(labels.amin() < 0):
        classes = len(classes_of(detector, images))  # no module has fewer than two
        wrong = labels[(labels < 0) | (labels >= classes)]
        if len(wrong):
            raise ValueError(f"labels from 0 to {classes - 1} wanted, got {int(wrong[0])}")


@contextmanager
def statistics_kept(detector: nn.Module) -> Iterator[None]:
    """Whatever happens inside, batch statistics and other buffers are as they were afterwards.

    A buffer that did not change is not written to: PyTorch may have kept it for a gradient that is
    taken later, which writing would forbid.
    """
    buffers = [(buffer, buffer.detach().clone()) for buffer in detector.buffers()]
    try:
        yield
    finally:
        with torch.no_grad():
            for buffer, before in buffers:
                if not torch.equal(buffer, before):
                    buffer.copy_(before)


def perturb(attack: Attack, detector: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    """Call an attack and check what it promised: the way to run every attack.

    Args:
        attack: The attack.
        detector: What is attacked: a `Detector`, or any module from levels (n, 3, h, w) to logits
            (n, classes); left as it was.
        images: Levels in [0, 255], float, shape (n, 3, h, w).
        labels: True classes, shape (n,).

    Returns:
        Levels within the budget of `images`, same shape, detached.

    Raises:
        ValueError: Images or labels of the wrong shape, images outside [0, 255], or labels that
            are no classes of the detector.
        BrokenPromiseError: The attack left its budget or [0, 255], or returned no numbers.
    """
    if images.ndim != 4 or labels.shape != images.shape[:1]:
        raise ValueError(
            f"images (n, 3, h, w) and labels (n,) wanted, "
            f"got {tuple(images.shape)} and {tuple(labels.shape)}"
        )
    if images.numel() and not _are_levels(images):
        raise ValueError("images outside the levels 0 to 255")
    check_labels(detector, images, labels)
    attacked = attack(detector, images, labels).detach()
    if len(images):
        _check_promise(attack, images, attacked)
    return attacked


def as_filed(attack: Attack, images: Tensor, attacked: Tensor) -> Tensor:
    """Round attacked images to the levels that a file holds, without leaving the budget.

    Args:
        attack: What was done; its budget still holds afterwards.
        images: The images before, levels as a file gave them: whole.
        attacked: What `perturb` returned for them.

    Returns:
        Whole levels, same shape. With a budget that is no whole number, only as many whole levels
        as fit into it are changed: of half a level nothing is left in a file.
    """
    budget = per_image(attack.budget, images).expand(len(images), 1, 1, 1)
    if norm_of(attack) == "linf":
        filed = attacked.round().clamp(images - budget.floor(), images + budget.floor())
        return filed.clamp(0, LEVELS)
    return _largest_share(images, attacked - images, budget)


def lost_in_file(budget: float) -> str:
    """What becomes of a budget in L∞ in a file, as a sentence; empty if nothing is lost."""
    if budget == math.floor(budget):
        return ""
    left = f"no more than {math.floor(budget)}" if budget > 1 else "nothing"
    return f"A file holds whole levels: of a budget of {budget:g} levels {left} is left in it."


def _largest_share(images: Tensor, change: Tensor, budget: Tensor) -> Tensor:
    """Images plus the largest share of a change that, rounded, is within the budget in L2."""
    whole = (images + change).round().clamp(0, LEVELS)
    fits = (l2(images, whole) <= budget.flatten())[:, None, None, None]
    if bool(fits.all()):
        return whole
    found = torch.where(fits, whole, images)
    return _between(images, change, budget, found, fits.to(budget), torch.ones_like(budget))


def lengthened(images: Tensor, attacked: Tensor, budget: Tensor) -> Tensor:
    """Images plus the largest share, 1 or more, of a change that, rounded, is within L2.

    Where a change is spread over many values, rounding drops most of it. More of the same change
    leaves in a file as much as the budget has room for.

    Args:
        images: The images before, whole levels.
        attacked: The images now.
        budget: Levels in L2, shape (n, 1, 1, 1).

    Returns:
        Whole levels, same shape; where the change as it is does not fit, the images before.
    """
    change = attacked - images
    low, high, found = torch.zeros_like(budget), torch.ones_like(budget), images
    for _ in range(_DOUBLINGS):
        tried = (images + high * change).round().clamp(0, LEVELS)
        fits = (l2(images, tried) <= budget.flatten())[:, None, None, None]
        found = torch.where(fits, tried, found)
        low, high = torch.where(fits, high, low), torch.where(fits, 2 * high, high)
        if not bool(fits.any()):
            break
    begun = low > 0
    return torch.where(begun, _between(images, change, budget, found, low, high), images)


def _between(
    images: Tensor, change: Tensor, budget: Tensor, found: Tensor, low: Tensor, high: Tensor
) -> Tensor:
    """As `found` at the share `low`, which fits; or at the largest below `high` that does."""
    for _ in range(_HALVINGS):
        share = (low + high) / 2
        tried = (images + share * change).round().clamp(0, LEVELS)
        fits = (l2(images, tried) <= budget.flatten())[:, None, None, None]
        low, high = torch.where(fits, share, low), torch.where(fits, high, share)
        found = torch.where(fits, tried, found)
    return found


def _check_promise(attack: Attack, images: Tensor, attacked: Tensor) -> None:
    if attacked.shape != images.shape or attacked.dtype != images.dtype:
        raise BrokenPromiseError(f"{attack!r} changed the shape or the type of the images")
    if not _are_levels(attacked):
        raise BrokenPromiseError(f"{attack!r} left the levels 0 to 255")
    norm = norm_of(attack)
    rounding = 4 * LEVELS * torch.finfo(images.dtype).eps
    if norm == "l2":
        rounding *= images[0].numel() ** 0.5
    excess = distance(norm, images, attacked) - per_image(attack.budget, images).flatten()
    if bool((excess > rounding).any()):
        raise BrokenPromiseError(f"{attack!r} left its budget by {float(excess.max()):.3g} levels")


def _are_levels(images: Tensor) -> bool:
    # Where there is a nan, both are nan, and no comparison with it holds.
    return bool(images.amin() >= 0) and bool(images.amax() <= LEVELS)
