"""The paper's detector and training steps in plain PyTorch, as written without a profiler.

It is meant to be good code in the style of tutorials: the whole minibatch is attacked, and the
penalty is differentiated as written. `agreement.py` compares it with ours.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from trueshot.detector import Detector
from trueshot.networks.lcnn import DEFAULT_FILTERS, LCNN
from trueshot.training.objective_settings import Objective


class UsualLCNN(nn.Module):
    """The LCNN built from PyTorch's own modules; accepts the weights of ours."""

    kernel: Tensor

    def __init__(self, filters: Sequence[int] = DEFAULT_FILTERS) -> None:
        super().__init__()
        kernel = torch.tensor([[0.0, -1.0, 0.0], [-1.0, 4.0, -1.0], [0.0, -1.0, 0.0]])
        self.register_buffer("kernel", kernel.repeat(3, 1, 1, 1), persistent=False)
        channels = (3, *filters)
        self.units = nn.Sequential(
            *(unit(channels[i], channels[i + 1], last=i == 4) for i in range(5))
        )
        self.classifier = nn.Linear(filters[-1], 2)

    def forward(self, images: Tensor) -> Tensor:
        features = self.units(functional.conv2d(images, self.kernel, groups=3))
        logits: Tensor = self.classifier(features.flatten(1))
        return logits


def unit(channels_in: int, channels_out: int, *, last: bool) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, 3, padding=1, bias=False),
        nn.BatchNorm2d(channels_out),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1) if last else nn.AvgPool2d(5, stride=2, padding=2),
    )


def twin(detector: Detector) -> UsualLCNN:
    """Return the same LCNN with the same weights, in PyTorch's default memory layout.

    Raises:
        ValueError: The detector is not an LCNN on raw levels.
    """
    ours = detector.network
    if not isinstance(ours, LCNN) or (detector.offset, detector.scale) != (0.0, 1.0):
        raise ValueError("an LCNN on levels as they are wanted")
    network = UsualLCNN(ours.filters)
    network.load_state_dict(ours.state_dict())
    network.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    return network


def plain_gradient(network: nn.Module, images: Tensor, labels: Tensor) -> None:
    """Add the gradient of cross-entropy to `grad`."""
    functional.cross_entropy(network(images), labels).backward()


def fused(network: nn.Module, images: Tensor, labels: Tensor, budgets: Tensor) -> Tensor:
    """Attack the first images with FGSM in evaluation mode; return them and the unchanged others.

    The gradient is computed by `backward` through the whole minibatch.
    """
    k = len(budgets)
    network.eval()
    leaves = images.clone().requires_grad_(True)
    functional.cross_entropy(network(leaves), labels).backward()
    assert leaves.grad is not None
    network.zero_grad()
    network.train()
    attacked = leaves.detach()[:k] + budgets[:, None, None, None] * leaves.grad[:k].sign()
    return torch.cat([attacked.clamp(0, 255), images[k:]])


def secure_gradient(
    network: nn.Module, mixed: Tensor, labels: Tensor, k: int, objective: Objective
) -> None:
    """Add the gradient of equation 7 to `grad`, with two backward passes over the whole minibatch.

    Args:
        network: The network, in training mode.
        mixed: Levels, the first `k` images attacked.
        labels: True classes.
        k: Number of attacked images.
        objective: Objective with fusion; without a penalty, that term is left out.
    """
    fusion, penalty = objective.fusion, objective.penalty
    assert fusion is not None
    mixed = mixed.detach().requires_grad_(penalty is not None)
    losses = functional.cross_entropy(network(mixed), labels, reduction="none")
    clean = losses[k:]
    if penalty is not None:
        (gradient,) = torch.autograd.grad(clean.sum(), mixed, create_graph=True)
        norms = gradient[k:].flatten(1).norm(dim=1)
        clean = clean + penalty.weight_at(mixed.shape[-1]) * norms
    loss = (fusion.weight * losses[:k].sum() + clean.sum()) / len(mixed)
    loss.backward()
