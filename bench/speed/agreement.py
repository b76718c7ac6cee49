"""Check that the compared training steps compute the same gradient."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from speed import examples, usual
from speed.equality import DisagreementError
from trueshot.training import differentiate
from trueshot.training.adversaries import fused
from trueshot.training.objective_settings import Objective, Penalty

_ROUNDING = 1e-9


def difference_of_secure_gradients(objective: Objective, side: int = 32) -> float:
    """Return the largest difference between our exact secure gradient and the usual one.

    Computed in float64, with the same weights and attacked images, relative to the largest value of
    each weight's gradient.

    Args:
        objective: Objective with penalty and fusion; four images are attacked, four are not.
        side: Side of the images.

    Raises:
        DisagreementError: The difference exceeds rounding errors.
    """
    budgets = torch.tensor([1.0, 2.0, 3.0, 5.0], dtype=torch.float64)
    images, labels = examples.levels(2 * len(budgets), side, seed=2)
    images = images.double()
    detector = examples.plainly_trained().double().train()
    network = usual.twin(detector).double().train()
    assert objective.fusion is not None
    mixed = fused(objective.fusion, detector, images, labels, budgets)
    differentiate(objective, detector, images, labels, budgets)
    usual.secure_gradient(network, mixed, labels, len(budgets), objective)
    worst = max(map(_difference, _gradients(detector), _gradients(network)))
    if not worst < _ROUNDING:
        raise DisagreementError(f"the secure gradients differ by {worst:.1e} of their size")
    return worst


def cosine_of_penalties(penalty: Penalty, images: Tensor, labels: Tensor) -> float:
    """Return the cosine between the finite-difference and exact gradients of the penalty alone."""
    plain, exact, difference = (
        _gradient(Objective(penalty=each), images, labels)
        for each in (
            None,
            penalty.model_copy(update={"method": "exact"}),
            penalty.model_copy(update={"method": "difference"}),
        )
    )
    return float(torch.cosine_similarity(exact - plain, difference - plain, dim=0))


def _gradient(objective: Objective, images: Tensor, labels: Tensor) -> Tensor:
    """Return the gradient of all weights as one vector."""
    detector = examples.plainly_trained().train()
    differentiate(objective, detector, images, labels, None)
    return torch.cat([gradient.flatten() for gradient in _gradients(detector)])


def _gradients(network: nn.Module) -> list[Tensor]:
    gradients = [parameter.grad for parameter in network.parameters()]
    return [gradient for gradient in gradients if gradient is not None]


def _difference(ours: Tensor, theirs: Tensor) -> float:
    return float((ours - theirs).abs().max() / theirs.abs().max())
