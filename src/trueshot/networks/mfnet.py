"""MFNet: detects median filtering in images as small as 16 px.

Source: Tang, Ni, Zhao, Li 2018, "Median filtering detection of small-size image based on CNN",
Journal of Visual Communication and Image Representation 51. Only its abstract was read. From it
come nearest-neighbour up-sampling, two multilayer perceptron layers (Lin et al. 2014,
arXiv:1312.4400) and three plain convolutions. Choices of ours: the factor of 2, grey levels centred
at 128, all numbers of filters, batch normalisation, where max pooling takes place, and the mean
over all positions at the end, so that it takes images of any size from 16 px.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from trueshot.networks.layers import (
    Luma,
    centred,
    check_classes,
    check_smallest,
    max_pool,
    normalised,
    of_places,
)
from trueshot.networks.registry import Explained, Filters, Network, NetworkSettings, register

DEFAULT_FILTERS = (64, 96, 128, 128, 256)


class MFNetSettings(NetworkSettings):
    """MFNet and its arguments."""

    name: Literal["mfnet"]
    filters: tuple[Filters, Filters, Filters, Filters, Filters] = Field(
        default=DEFAULT_FILTERS,
        description="Numbers of filters of the two perceptron layers and three convolutions.",
    )


@register("mfnet")
class MFNet(Network):
    """Up-sampling, two perceptron layers, three convolutions, global mean, one linear layer.

    Args:
        filters: Numbers of filters of the two perceptron layers and the three convolutions.
        classes: Number of logits.

    Raises:
        ValueError: Fewer than two classes.
    """

    Settings = MFNetSettings

    def __init__(self, filters: tuple[int, ...] = DEFAULT_FILTERS, classes: int = 2) -> None:
        super().__init__()
        self.classes = check_classes(classes)
        self.luma = Luma()
        first, second, *plain = filters
        layers = [*_perceptron(1, first, 5), max_pool(), *_perceptron(first, second, 3)]
        before = second
        for after in plain:
            layers += [max_pool(), *normalised(before, after, 3)]
            before = after
        self.units = nn.Sequential(*layers)
        self.classifier = nn.Linear(before, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Compute logits (n, classes) from levels (n, 3, h, w); h and w are at least 16."""
        logits: Tensor = self.classifier(self._features(images).mean((2, 3)))
        return logits

    def explained(self, images: Tensor) -> Explained:
        """Return the logits, and those of each position before the mean over all."""
        return of_places(self._features(images), self.classifier)

    def _features(self, images: Tensor) -> Tensor:
        check_smallest(images)
        planes = centred(self.luma(images))
        larger = functional.interpolate(planes, scale_factor=2.0, mode="nearest")
        features: Tensor = self.units(larger)
        return features


def _perceptron(before: int, after: int, side: int) -> list[nn.Module]:
    """Return one perceptron layer: a convolution followed by two 1 × 1 convolutions."""
    return [
        *normalised(before, after, side),
        *normalised(after, after, 1),
        *normalised(after, after, 1),
    ]
