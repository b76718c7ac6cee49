"""Check that two attacks give the same result. Imports only what another environment may have."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from trueshot.detector import Detector
from trueshot.networks import LCNN

LEAST = 0.99  # least share of equal levels between two implementations of an attack


class DisagreementError(Exception):
    """Two implementations that are to be compared give different results."""


def share_equal(ours: Tensor, theirs: Tensor) -> float:
    """Return the share of levels that two attacks set alike, up to rounding."""
    return float(torch.isclose(ours, theirs, rtol=0, atol=1e-3).double().mean())


def require_equal(name: str, ours: Tensor, theirs: Tensor) -> float:
    """Return `share_equal`, or raise if it is too small.

    Raises:
        DisagreementError: Less than 99 % of the levels are equal.
    """
    share = share_equal(ours, theirs)
    if share < LEAST:
        raise DisagreementError(f"{name}: only {100 * share:.2f} % of the levels are as ours")
    return share


@torch.no_grad()
def for_check(detector: Detector) -> Detector:
    """Return a copy on which every correct implementation of an attack sets the same levels.

    Its logits are divided by 16. With two classes this changes no gradient direction, but keeps the
    float32 cross-entropy from saturating, where its gradient is lost. Batch normalisation is not
    folded into the convolutions, as trueshot does and others do not: over ten sign steps, the
    different rounding would add up.

    Args:
        detector: An LCNN in evaluation mode.
    """
    twin = copy.deepcopy(detector)
    assert isinstance(twin.network, LCNN)
    for parameter in twin.network.classifier.parameters():
        parameter.mul_(1 / 16)
    for module in twin.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.register_forward_hook(_as_it_was)  # modules with a hook are not folded
    return twin


def _as_it_was(*_: object) -> None:
    return None


@torch.no_grad()
def success(detector: nn.Module, attacked: Tensor, labels: Tensor) -> float:
    """Return the share of images that a detector in evaluation mode misclassifies."""
    return float((detector(attacked).argmax(1) != labels).double().mean())
