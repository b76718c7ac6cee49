"""Detector: levels in, logits out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import final

import torch
from torch import Tensor, nn

from trueshot.networks.folding import folded
from trueshot.networks.registry import Explained, Network
from trueshot.tasks.recapture import RECAPTURE


@final
class Detector(nn.Module):
    """A network together with its input contract.

    Everything outside works in levels; the normalisation `(levels - offset) / scale` is done in
    here and nowhere else. Nothing is resized or cropped.

    Args:
        network: Takes normalised images (n, 3, h, w), returns logits (n, classes).
        offset: Level that becomes 0.
        scale: Levels that become 1; the LCNN takes levels as they are, as its paper does.
        classes: Names of the classes in the order of the logits; 0 is the untouched image.

    Raises:
        ValueError: `scale` is not positive, or fewer than two classes.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        offset: float = 0.0,
        scale: float = 1.0,
        classes: tuple[str, ...] = RECAPTURE.classes,
    ) -> None:
        super().__init__()
        if scale <= 0:
            raise ValueError(f"scale must be positive, got {scale}")
        if len(classes) < 2:
            raise ValueError(f"two classes or more wanted, got {classes}")
        self.network = network
        self.offset = float(offset)
        self.scale = float(scale)
        self.classes = tuple(classes)

    def forward(self, images: Tensor) -> Tensor:
        """Judge images.

        Args:
            images: Levels in [0, 255], float, shape (n, 3, h, w).

        Returns:
            Logits, shape (n, classes).

        Raises:
            ValueError: Not float, or not of that shape.
        """
        logits: Tensor = self.network(self._normalised(images))
        return logits

    def explained(self, images: Tensor) -> Explained:
        """Logits, and where they come from, as far as the network tells; see `forward`."""
        normalised = self._normalised(images)
        if isinstance(self.network, Network):
            return self.network.explained(normalised)
        return Explained(self.network(normalised))

    def _normalised(self, images: Tensor) -> Tensor:
        if images.ndim != 4 or images.shape[1] != 3 or not images.is_floating_point():
            raise ValueError(
                "float levels of shape (n, 3, h, w) wanted, "
                f"got {images.dtype} {tuple(images.shape)}"
            )
        if self.offset != 0.0 or self.scale != 1.0:
            images = (images - self.offset) / self.scale
        return images

    def folded(self) -> Detector:
        """The same detector in fewer steps, while it is in evaluation mode: see `folded`."""
        return folded(self)

    @torch.no_grad()
    def probabilities(self, images: Tensor) -> Tensor:
        """Softmax of the logits in evaluation mode, shape (n, classes); the mode is restored."""
        with evaluating(self):
            logits: Tensor = self(images)
            return logits.double().softmax(1)


def scores_of(logits: Tensor) -> Tensor:
    """Logits (n, classes, …) as scores (n, …): log odds that an image is not of class 0.

    With two classes that is the logit of class 1 minus that of class 0.
    """
    others = logits[:, 1] if logits.shape[1] == 2 else logits[:, 1:].logsumexp(1)
    return others - logits[:, 0]


@contextmanager
def evaluating(detector: nn.Module) -> Iterator[None]:
    """Evaluation mode inside; the mode of every module as it was afterwards."""
    modes = [(module, module.training) for module in detector.modules()]
    detector.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training
