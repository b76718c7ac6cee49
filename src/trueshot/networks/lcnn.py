"""The Laplacian convolutional neural network (LCNN).

Source: Yang, Ni, Zhao 2016, "Recapture image forensics based on Laplacian convolutional neural
networks", as described in section 2 of Zhao et al. 2018. docs/paper.md lists what both leave open.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from trueshot.networks.convolution import AveragePool, Conv2d
from trueshot.networks.front_ends import FRONT_ENDS
from trueshot.networks.layers import check_classes
from trueshot.networks.normalisation import BatchNorm2d
from trueshot.networks.registry import (
    Explained,
    Filters,
    Network,
    NetworkSettings,
    register,
)

UNITS = 5
DEFAULT_FILTERS = (8, 16, 32, 64, 128)


class LCNNSettings(NetworkSettings):
    """The LCNN and its arguments."""

    name: Literal["lcnn"] = "lcnn"
    filters: tuple[Filters, Filters, Filters, Filters, Filters] = Field(
        default=DEFAULT_FILTERS,
        description="Numbers of filters of the five convolutions; the paper gives none, this is an "
        "assumption.",
    )
    front: Literal["laplacian", "smoothed", "none", "learned", "constrained"] = Field(
        default="laplacian", description="Layer before the first convolution."
    )


class GlobalAveragePool(nn.Module):
    """Mean over height and width: (n, c, h, w) to (n, c, 1, 1)."""

    def forward(self, features: Tensor) -> Tensor:
        return features.mean((2, 3), keepdim=True)


@register("lcnn")
class LCNN(Network):
    """Laplacian layer, five units, one fully connected layer.

    A unit is a 3×3 convolution (stride 1), batch normalisation, ReLU and 5×5 average pooling with
    stride 2; the fifth unit pools globally, so images of any size from 16×16 px are accepted.

    Args:
        filters: Numbers of filters of the five convolutions. The paper does not give them: the
            default is our assumption, chosen by validation (docs/paper.md).
        classes: Number of logits.
        front: Name of the first layer, by default the Laplacian: see `FRONT_ENDS`.

    Raises:
        ValueError: Not five positive numbers of filters, fewer than two classes, or an unknown
            front end.
    """

    Settings = LCNNSettings

    def __init__(
        self,
        filters: Sequence[int] = DEFAULT_FILTERS,
        classes: int = 2,
        front: str = "laplacian",
    ) -> None:
        super().__init__()
        if len(filters) != UNITS or min(filters) < 1:
            raise ValueError(f"filters must be five positive numbers, got {tuple(filters)}")
        if front not in FRONT_ENDS:
            raise ValueError(f"front end {front!r}: unknown; known: {', '.join(FRONT_ENDS)}")
        self.filters = tuple(filters)
        self.classes = check_classes(classes)
        self.picture = None if front == "none" else "filtered"
        self.enhancement = FRONT_ENDS[front]()
        channels = (3, *filters)
        self.units = nn.Sequential(*(_unit(channels, number) for number in range(UNITS)))
        # A front end that learns needs the gradients of all images, and skips unwanted ones itself.
        learns = any(True for _ in self.enhancement.parameters())
        self.units[0][0].leads_to_images = not learns  # type: ignore[index]
        self.classifier = nn.Linear(filters[-1], classes)

    def forward(self, images: Tensor) -> Tensor:
        """Compute logits (n, classes) from levels (n, 3, h, w)."""
        features = self.units(self.enhancement(images))
        logits: Tensor = self.classifier(features.flatten(1))
        return logits

    def explained(self, images: Tensor) -> Explained:
        """Compute the logits of levels (n, 3, h, w), and where they come from.

        Pooling and classifier are linear and can be swapped: the mean of the classifier's logits
        at all positions of the last feature maps is the network's logits.

        Source: Zhou et al. 2016, "Learning deep features for discriminative localization",
        equation 2, with the bias added.
        """
        filtered = self.enhancement(images)
        *units, last = self.units
        features = filtered
        for layer in (*units, *list(last.children())[:-1]):
            features = layer(features)
        pooled = last[-1](features)  # type: ignore[index]
        weight, bias = self.classifier.weight, self.classifier.bias
        return Explained(
            logits=self.classifier(pooled.flatten(1)),
            evidence=functional.conv2d(features, weight[:, :, None, None], bias),
            first_layer=filtered if self.picture else None,
        )


def _unit(channels: Sequence[int], number: int) -> nn.Sequential:
    last = number == UNITS - 1
    # No bias: batch normalisation would remove it.
    convolution = Conv2d(channels[number], channels[number + 1], 3, padding=1, bias=False)
    return nn.Sequential(
        convolution,
        BatchNorm2d(channels[number + 1]),
        nn.ReLU(inplace=True),
        GlobalAveragePool() if last else AveragePool(5, stride=2, padding=2),
    )
