"""Whether two attacks have done the same; imports no more than another environment may have."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from trueshot.detector import Detector
from trueshot.networks import LCNN

LEAST = 0.99  # of all levels, in two attacks that are said to be one


class DisagreementError(Exception):
    """Two that are to be compared do not compute the same."""


def share_equal(ours: Tensor, theirs: Tensor) -> float:
    """Share of the levels that two attacks have set alike, up to rounding."""
    return float(torch.isclose(ours, theirs, rtol=0, atol=1e-3).double().mean())


def require_equal(name: str, ours: Tensor, theirs: Tensor) -> float:
    """As `share_equal`.

    Raises:
        DisagreementError: Less than 99 % are equal.
    """
    share = share_equal(ours, theirs)
    if share < LEAST:
        raise DisagreementError(f"{name}: only {100 * share:.2f} % of the levels are as ours")
    return share


@torch.no_grad()
def for_check(detector: Detector) -> Detector:
    """A copy on which every right implementation of an attack sets the same levels.

    Its logits are a sixteenth: with two classes that changes no direction, but keeps float32's
    cross-entropy from saturating, where it says nothing of it. And its batch normalisation is not
    folded into the convolutions, which trueshot does and others do not: ten steps of signs make
    much of another rounding.

    Args:
        detector: An LCNN in evaluation mode.
    """
    twin = copy.deepcopy(detector)
    assert isinstance(twin.network, LCNN)
    for parameter in twin.network.classifier.parameters():
        parameter.mul_(1 / 16)
    for module in twin.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.register_forward_hook(_as_it_was)  # what has a hook is not folded
    return twin


def _as_it_was(*_: object) -> None:
    return None


@torch.no_grad()
def success(detector: nn.Module, attacked: Tensor, labels: Tensor) -> float:
    """Share of the images that a detector in evaluation mode judges wrongly."""
    return float((detector(attacked).argmax(1) != labels).double().mean())
