"""The detector: pixel levels in, logits out."""

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
    """A network together with its input normalisation.

    Code outside works in levels, 0 to 255; the normalisation `(levels - offset) / scale` happens
    only here. Nothing is resized or cropped.

    Args:
        network: Takes normalised images (n, 3, h, w) and returns logits (n, classes).
        offset: Level that becomes 0.
        scale: Number of levels that become 1; the LCNN takes raw levels, as in its paper.
        classes: Names of the classes in the order of the logits; 0 is the untouched image.

    Raises:
        ValueError: `scale` is not positive, or there are fewer than two classes.
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
            raise ValueError(f"classes must have at least two names, got {classes}")
        self.network = network
        self.offset = float(offset)
        self.scale = float(scale)
        self.classes = tuple(classes)

    def forward(self, images: Tensor) -> Tensor:
        """Compute the logits of images.

        Args:
            images: Levels in [0, 255], float, shape (n, 3, h, w).

        Returns:
            Logits, shape (n, classes).

        Raises:
            ValueError: The images are not float, or not of that shape.
        """
        logits: Tensor = self.network(self._normalised(images))
        return logits

    def explained(self, images: Tensor) -> Explained:
        """Compute logits and, where the network supports it, what they come from; see `forward`."""
        normalised = self._normalised(images)
        if isinstance(self.network, Network):
            return self.network.explained(normalised)
        return Explained(self.network(normalised))

    def _normalised(self, images: Tensor) -> Tensor:
        if images.ndim != 4 or images.shape[1] != 3 or not images.is_floating_point():
            raise ValueError(
                "images must be float levels of shape (n, 3, h, w), "
                f"got {images.dtype} {tuple(images.shape)}"
            )
        if self.offset != 0.0 or self.scale != 1.0:
            images = (images - self.offset) / self.scale
        return images

    def folded(self) -> Detector:
        """Return an equivalent detector with fewer steps for evaluation; see `folding.folded`."""
        return folded(self)

    @torch.no_grad()
    def probabilities(self, images: Tensor) -> Tensor:
        """Compute the softmax of the logits in evaluation mode, shape (n, classes).

        The previous mode is restored.
        """
        with evaluating(self):
            logits: Tensor = self(images)
            return logits.double().softmax(1)


def scores_of(logits: Tensor) -> Tensor:
    """Convert logits (n, classes, …) to scores (n, …): log odds that an image is not of class 0.

    With two classes, the score is the logit of class 1 minus that of class 0.
    """
    others = logits[:, 1] if logits.shape[1] == 2 else logits[:, 1:].logsumexp(1)
    return others - logits[:, 0]


@contextmanager
def evaluating(detector: nn.Module) -> Iterator[None]:
    """Switch to evaluation mode in the `with` block, then restore the mode of every module."""
    modes = [(module, module.training) for module in detector.modules()]
    detector.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training
