"""Behaviour of a detector without attacks: on repeated calls, in other batches, at other sizes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from trueshot.attacks import margin, statistics_kept
from trueshot.detector import Detector, evaluating
from trueshot.evaluation.sanity_checks.random_numbers import chunk_of, margins, random_numbers_from
from trueshot.pixels import LEVELS

# Tolerances as shares of the typical margin. A repeated call gives the same bits, or nearly so on a
# GPU; in another batch, or under autograd, the order of operations may differ.
_AGAIN, _ANOTHER_WAY = 1e-5, 1e-3
_FEW = 32  # images for the checks that do not need all of them
_SAME_AT_TWICE_THE_SIZE = 0.1  # share of the spread of the scores


@dataclass(frozen=True, kw_only=True)
class Behaviour:
    """Observations on a detector; all shares are of the images tried.

    Args:
        random: Share whose margin differs between two calls in a row.
        random_from_one_seed: Share whose margin differs even if both calls start from the same
            global random state.
        flips: Share whose verdict differs between two calls in a row.
        company: Share whose margin depends on the other images of the batch, or on the position
            in it.
        stays_in_train_mode: Number of modules in train mode after `eval()`.
        changing_statistics: Number of buffers that inference changes.
        differs_under_gradient: Share whose margin differs while autograd records.
        same_at_twice_the_size: Median change of the score when images are enlarged to twice the
            size, as a share of the spread of scores; None if the detector is random, refuses that
            size, or gives all images the same score.
        within_unit: Whether all outputs, for the images and their negatives, lie in [0, 1].
        one_verdict: Whether all images get the same verdict, though their classes differ.
    """

    random: float
    random_from_one_seed: float
    flips: float
    company: float
    stays_in_train_mode: int
    changing_statistics: int
    differs_under_gradient: float
    same_at_twice_the_size: float | None
    within_unit: bool = False
    one_verdict: bool = False

    @property
    def resizes(self) -> bool:
        """Whether enlarged images get nearly the same scores as before."""
        change = self.same_at_twice_the_size
        return change is not None and change < _SAME_AT_TWICE_THE_SIZE


def behaviour_of(detector: Detector, images: Tensor, labels: Tensor, seed: int = 0) -> Behaviour:
    """Observe a detector in evaluation mode, mostly on calls whose answers should be equal.

    Args:
        detector: The detector; left unchanged.
        images: Levels, shape (n, 3, h, w).
        labels: True classes, shape (n,).
        seed: Seed of the detector's own random numbers, if it draws any.
    """
    few, of_few = images[:_FEW], labels[:_FEW]

    def ask(some: Tensor = few) -> Tensor:
        return margins(detector, some, of_few)

    with (
        evaluating(detector),
        statistics_kept(detector),
        random_numbers_from(seed, images.device),
    ):
        training = sum(module.training for module in detector.modules())
        changing, first = _changing_statistics(detector, ask)
        second = ask()
        fixed = tuple(_from(seed, images.device, ask) for _ in range(2))
        finite = first[first.isfinite()]
        scale = float(finite.abs().median()) if len(finite) else 0.0
        is_random = _differs(first, second, _AGAIN * scale)
        size = None if is_random else _at_twice_the_size(detector, few)
        return Behaviour(
            random=is_random,
            random_from_one_seed=_differs(fixed[0], fixed[1], _AGAIN * scale),
            flips=float(((first > 0) != (second > 0)).double().mean()),
            company=_differs(first, _in_company(detector, few, of_few), _ANOTHER_WAY * scale),
            stays_in_train_mode=training,
            changing_statistics=changing,
            differs_under_gradient=_differs(
                first, _recorded(detector, few, of_few), _ANOTHER_WAY * scale
            ),
            same_at_twice_the_size=size,
            within_unit=_within_unit(detector, few),
            one_verdict=_one_verdict(detector, images, labels),
        )


@torch.no_grad()
def _within_unit(detector: Detector, images: Tensor) -> bool:
    size = chunk_of(images)
    both = torch.cat([images, LEVELS - images])
    said = torch.cat([detector(some) for some in both.split(size)])
    return bool(((said >= 0) & (said <= 1)).all())


@torch.no_grad()
def _one_verdict(detector: Detector, images: Tensor, labels: Tensor) -> bool:
    said = torch.cat([detector(some).argmax(1) for some in images.split(chunk_of(images))])
    return len(said.unique()) == 1 < len(labels.unique())


def reads(detector: Detector, images: Tensor, labels: Tensor, pixels: Tensor) -> bool:
    """Whether any margin changes when the pixels in the mask `pixels`, (h, w), are inverted."""
    few, of_few = images[:_FEW], labels[:_FEW]
    without = torch.where(pixels.to(few.device), LEVELS - few, few)
    with evaluating(detector), statistics_kept(detector), random_numbers_from(0, images.device):
        before, after = (margins(detector, some, of_few) for some in (few, without))
    return not torch.equal(before, after)


def _changing_statistics(detector: Detector, ask: Callable[[], Tensor]) -> tuple[int, Tensor]:
    """Return the number of buffers that one call changes, and its margins."""
    before = [buffer.detach().clone() for buffer in detector.buffers()]
    said = ask()
    after = list(detector.buffers())
    return sum(not torch.equal(*pair) for pair in zip(before, after, strict=True)), said


def _from(seed: int, device: torch.device, ask: Callable[[], Tensor]) -> Tensor:
    with random_numbers_from(seed, device):
        return ask()


def _in_company(detector: Detector, images: Tensor, labels: Tensor) -> Tensor:
    """Compute margins with each image in a batch after others: negatives at half brightness."""
    size = max(1, chunk_of(images) // 2)
    found = []
    with torch.no_grad():
        for some, of_them in zip(images.split(size), labels.split(size), strict=True):
            logits = detector(torch.cat([(LEVELS - some) / 2, some]))[len(some) :]
            found.append(margin(logits, of_them).double())
    return torch.cat(found)


def _recorded(detector: Detector, images: Tensor, labels: Tensor) -> Tensor:
    size, found = chunk_of(images), []
    with torch.enable_grad():
        for some, of_them in zip(images.split(size), labels.split(size), strict=True):
            logits = detector(some.detach().requires_grad_(True))
            found.append(margin(logits.detach(), of_them).double())
    return torch.cat(found)


def _at_twice_the_size(detector: Detector, images: Tensor) -> float | None:
    """Compute the median change of the score by the interpolation that changes it least.

    The change is a share of the spread of scores; None as for `same_at_twice_the_size`.
    """
    labels = torch.zeros(len(images), dtype=torch.long, device=images.device)
    before = margins(detector, images, labels)
    changes = []
    for way in ("nearest", "bilinear", "bicubic"):
        large = functional.interpolate(images, scale_factor=2, mode=way).clamp(0, LEVELS)
        try:
            changes.append(float((margins(detector, large, labels) - before).abs().median()))
        except Exception:  # a network of one size may raise anything
            return None
    spread = float((before - before.median()).abs().median())
    # If all scores are the same, there is nothing to compare with.
    return min(changes) / spread if spread > 0 else None


def _differs(first: Tensor, second: Tensor, tolerance: float) -> float:
    """Return the share of images whose margins differ by more than `tolerance`; NaN equals NaN."""
    same = (first == second) | (first.isnan() & second.isnan())
    return float((~(same | ((first - second).abs() <= tolerance))).double().mean())
