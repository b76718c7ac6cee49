"""The paper's two attacks: one step along the sign of a gradient."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from trueshot.attacks.base import Budget, per_image, undisturbed
from trueshot.attacks.calls import spend
from trueshot.attacks.losses import Loss, image_gradient, least_likely
from trueshot.pixels import LEVELS


@dataclass(frozen=True, kw_only=True)
class FGSM:
    """Fast gradient sign method: one step that increases the loss of the true class.

    Args:
        budget: Largest change in levels; one number, or a tensor of shape (n,).
        loss: `cross_entropy`, as published, or `margin`; with two classes both give the same
            direction.
        batch_statistics: Attack in train mode, where batch normalisation uses the statistics of
            the attacked batch, instead of eval mode. The running statistics stay unchanged.

    Source: Goodfellow et al. 2015, arXiv:1412.6572; equation 2 of Zhao et al. 2018, with the sign
    function and the arguments of clip as intended, not as printed.
    """

    budget: Budget
    loss: Loss = "cross_entropy"
    batch_statistics: bool = False

    def __call__(self, detector: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        """Take one step of the whole budget up the loss; return levels."""
        with undisturbed(detector, training=self.batch_statistics) as target:
            gradient = image_gradient(target, images, labels, self.loss)
        spend(forward=1, backward=1)
        return _step(images, gradient, per_image(self.budget, images))


@dataclass(frozen=True, kw_only=True)
class LeastLikelyClass:
    """Least-likely-class method (LLCM; TGSM in the paper's tables): one step towards that class.

    The class is the one that the detector finds least likely, so the true label is not used. With
    two classes this is FGSM with the predicted label instead of the true one: where the detector
    was wrong, the step leads towards the right class.

    Args: see `FGSM`.

    Source: Kurakin et al. 2017, arXiv:1607.02533; equations 3 and 4 of Zhao et al. 2018.
    """

    budget: Budget
    loss: Loss = "cross_entropy"
    batch_statistics: bool = False

    def __call__(self, detector: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        """Take one step of the whole budget down the least likely class's loss; return levels."""
        with undisturbed(detector, training=self.batch_statistics) as target:
            gradient = image_gradient(target, images, least_likely, self.loss)
        spend(forward=1, backward=1)
        return _step(images, -gradient, per_image(self.budget, images))


def _step(images: Tensor, gradient: Tensor, budget: Tensor) -> Tensor:
    return gradient.sign().mul_(budget).add_(images).clamp_(0, LEVELS).detach()
