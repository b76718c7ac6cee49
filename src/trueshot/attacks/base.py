"""The attack protocol, what attacks must leave unchanged, and checks of their results."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
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
    """An attack: settings and one call. Implementations are frozen dataclasses.

    Their repr identifies the attack in error messages and results. `budget` is the largest change
    of a level: one number for all images, or a tensor of shape (n,) with one per image. An attack
    with its budget in another norm than L∞ has a field `norm`.
    """

    @property
    def budget(self) -> Budget: ...

    def __call__(self, detector: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        """Attack levels (n, 3, h, w) with true classes (n,); return levels of the same shape."""
        ...


def norm_of(attack: Attack) -> Norm:
    """Return the norm of an attack's budget: its field `norm`, or L∞ if it has none."""
    norm: Norm = getattr(attack, "norm", "linf")
    if norm not in _DISTANCES:
        raise ValueError(f"norm must be one of {', '.join(_DISTANCES)}, got {norm!r}")
    return norm


def distance(norm: Norm, first: Tensor, second: Tensor) -> Tensor:
    """Return the distance in levels between corresponding images, shape (n,)."""
    return _DISTANCES[norm](first, second)


def per_image(budget: Budget, images: Tensor) -> Tensor:
    """Return the budget of each image, shape (n, 1, 1, 1).

    Raises:
        ValueError: The budget is negative or not finite, or is neither one number nor one per
            image.
    """
    levels = torch.as_tensor(budget, dtype=images.dtype, device=images.device)
    if levels.ndim > 1 or (levels.ndim == 1 and len(levels) != len(images)):
        raise ValueError(
            f"budget must be one number, or one for each of the {len(images)} images; "
            f"got shape {tuple(levels.shape)}"
        )
    if not bool(torch.isfinite(levels).all()) or bool((levels < 0).any()):
        raise ValueError(f"budget must be finite and at least 0 levels, got {budget}")
    return levels.reshape(-1, 1, 1, 1).expand(len(images), 1, 1, 1)


@contextmanager
def undisturbed(detector: nn.Module, *, training: bool = False) -> Iterator[nn.Module]:
    """Prepare a detector for an attack inside, and restore it afterwards, even after an error.

    Restored: the mode of every module, batch-normalisation statistics and every other buffer,
    `grad` and `requires_grad` of every parameter, and the global random state. Inside, parameters
    require no gradient, so backward passes compute gradients at the images only.

    Args:
        detector: Detector to attack: a `Detector`, or any module from levels to logits.
        training: Attack in train mode, with the statistics of the batch, instead of eval mode.

    Yields:
        The module to attack. For a `Detector` in eval mode it has folded batch normalisation: the
        same function, up to rounding, in fewer steps. Otherwise it is the detector itself.
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
    """Return the names of a detector's classes; their numbers, if it has no names.

    Args:
        detector: A `Detector`, or any module from levels to logits.
        images: The first one is run through a module that is not a `Detector`, to count its
            classes; without images, two are assumed.
    """
    if isinstance(detector, Detector):
        return detector.classes
    with torch.no_grad(), undisturbed(detector) as quiet:
        count = quiet(images[:1]).shape[1] if len(images) else 2
    return tuple(map(str, range(count)))


def check_labels(detector: nn.Module, images: Tensor, labels: Tensor) -> None:
    """Check that labels are classes of a detector.

    Args:
        detector: A `Detector`, or any module from levels to logits.
        images: Images that may be needed to count the classes, see `classes_of`.
        labels: True classes, shape (n,).

    Raises:
        ValueError: The labels are not integers, or one is not a class; the first such is named.
    """
    if labels.is_floating_point() or labels.dtype == torch.bool:
        raise ValueError(f"labels must be integer class numbers, got {labels.dtype}")
    if not len(labels):
        return
    if isinstance(detector, Detector) or bool(labels.amax() > 1) or bool(labels.amin() < 0):
        classes = len(classes_of(detector, images))  # no module has fewer than two
        wrong = labels[(labels < 0) | (labels >= classes)]
        if len(wrong):
            raise ValueError(f"labels must be between 0 and {classes - 1}, got {int(wrong[0])}")


@contextmanager
def statistics_kept(detector: nn.Module) -> Iterator[None]:
    """Restore batch statistics and all other buffers afterwards, whatever happens inside.

    Unchanged buffers are not written to: PyTorch may have saved them for a later backward pass,
    which would fail after a write.
    """
    own = [(module, dict(module._buffers)) for module in detector.modules()]
    buffers = [(buffer, buffer.detach().clone()) for buffer in detector.buffers()]
    try:
        yield
    finally:
        for module, names in own:  # a buffer that was assigned to is another tensor
            module._buffers.update(names)
        with torch.no_grad():
            for buffer, before in buffers:
                if not torch.equal(buffer, before):
                    buffer.copy_(before)


def perturb(attack: Attack, detector: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    """Run an attack and check its result. All attacks should be run through this function.

    Args:
        attack: Attack to run.
        detector: Detector to attack: a `Detector`, or any module from levels (n, 3, h, w) to logits
            (n, classes); left unchanged.
        images: Levels in [0, 255], float, shape (n, 3, h, w).
        labels: True classes, shape (n,).

    Returns:
        Attacked levels within the budget around `images`, same shape, detached.

    Raises:
        ValueError: Images or labels have the wrong shape, images are outside [0, 255], or labels
            are not classes of the detector.
        BrokenPromiseError: The attack exceeded its budget, left [0, 255], returned NaN, or changed
            the shape or dtype.
    """
    if images.ndim != 4 or labels.shape != images.shape[:1]:
        raise ValueError(
            f"images must have shape (n, 3, h, w) and labels (n,), "
            f"got {tuple(images.shape)} and {tuple(labels.shape)}"
        )
    if images.numel() and not _are_levels(images):
        raise ValueError("images must contain levels from 0 to 255 only")
    check_labels(detector, images, labels)
    with torch.inference_mode(False) if torch.is_inference_mode_enabled() else nullcontext():
        # In inference mode there are no gradients, and its tensors cannot be part of any.
        images, labels = (
            each.clone() if each.is_inference() else each for each in (images, labels)
        )
        attacked = attack(detector, images, labels.long()).detach()
    if len(images):
        _check_promise(attack, images, attacked)
    return attacked


def as_filed(attack: Attack, images: Tensor, attacked: Tensor) -> Tensor:
    """Round attacked images to the whole levels of a file, without exceeding the budget.

    Args:
        attack: The attack that was run; its budget still holds after rounding.
        images: Original images, in whole levels, as read from a file.
        attacked: Result of `perturb` for these images.

    Returns:
        Whole levels, same shape. In L∞, a budget that is not a whole number is rounded down: a
        change of half a level does not survive in a file. In L2, the change is scaled down to fit.
    """
    budget = per_image(attack.budget, images)
    if norm_of(attack) == "linf":
        filed = attacked.round().clamp(images - budget.floor(), images + budget.floor())
        return filed.clamp(0, LEVELS)
    return _largest_share(images, attacked - images, budget)


def lost_in_file(budget: float) -> str:
    """Return a sentence on what a file loses of an L∞ budget; empty if it loses nothing."""
    if budget == math.floor(budget):
        return ""
    left = f"no more than {math.floor(budget)}" if budget > 1 else "nothing"
    return f"A file holds whole levels: of a budget of {budget:g} levels {left} is left in it."


def _largest_share(images: Tensor, change: Tensor, budget: Tensor) -> Tensor:
    """Return images plus the largest share of a change that fits the L2 budget after rounding."""
    whole = (images + change).round().clamp(0, LEVELS)
    fits = (l2(images, whole) <= budget.flatten())[:, None, None, None]
    if bool(fits.all()):
        return whole
    found = torch.where(fits, whole, images)
    return _between(images, change, budget, found, fits.to(budget), torch.ones_like(budget))


def lengthened(images: Tensor, attacked: Tensor, budget: Tensor) -> Tensor:
    """Return images plus the largest multiple, at least 1, of a change that fits the L2 budget.

    The budget is checked after rounding. If a change is spread over many values, rounding drops
    most of it. A multiple of the same change leaves as much in a file as the budget allows.

    Args:
        images: Original images, in whole levels.
        attacked: Attacked images.
        budget: L2 budget in levels, shape (n, 1, 1, 1).

    Returns:
        Whole levels, same shape; the original image where even the change itself does not fit.
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
    """Search by bisection for the largest share below `high` of a change that fits the budget.

    `found` is the result at the share `low`, which fits.
    """
    for _ in range(_HALVINGS):
        share = (low + high) / 2
        tried = (images + share * change).round().clamp(0, LEVELS)
        fits = (l2(images, tried) <= budget.flatten())[:, None, None, None]
        low, high = torch.where(fits, share, low), torch.where(fits, high, share)
        found = torch.where(fits, tried, found)
    return found


def _check_promise(attack: Attack, images: Tensor, attacked: Tensor) -> None:
    if attacked.shape != images.shape or attacked.dtype != images.dtype:
        raise BrokenPromiseError(f"{attack!r} changed the shape or dtype of the images")
    if not _are_levels(attacked):
        raise BrokenPromiseError(f"{attack!r} returned levels outside 0 to 255, or NaN")
    norm = norm_of(attack)
    rounding = 4 * LEVELS * torch.finfo(images.dtype).eps
    if norm == "l2":
        rounding *= images[0].numel() ** 0.5
    excess = distance(norm, images, attacked) - per_image(attack.budget, images).flatten()
    if bool((excess > rounding).any()):
        raise BrokenPromiseError(
            f"{attack!r} exceeded its budget by {float(excess.max()):.3g} levels"
        )


def _are_levels(images: Tensor) -> bool:
    # With a NaN in it, amin and amax are NaN, and both comparisons are false.
    return bool(images.amin() >= 0) and bool(images.amax() <= LEVELS)
