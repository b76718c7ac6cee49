"""The camera model CNN of Bondi et al., for 64 × 64 px in colour, with few non-linearities.

Source: Bondi, Baroffio, Güera, Bestagini, Delp, Tubaro 2017, "First steps toward camera model
identification with convolutional neural networks", IEEE SPL 24(3), arXiv:1603.01068 (first
version: Baroffio et al. 2016); the sizes are those of its authors' layer file. Their second stage,
linear support vector machines on the 128 features and a vote of 32 patches, is not implemented:
scans take the mean over crops.

Choice of ours: 128 instead of the mean image of the training patches; the factor of 0.0125 is
theirs. The recipe sets both as the offset and scale of its input.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from torch import Tensor, nn

from trueshot.networks.layers import check_classes, check_side, max_pool
from trueshot.networks.registry import Network, NetworkSettings, register

SIDE = 64
_FILTERS = (32, 48, 64, 128)
_SIDES = (4, 5, 5, 5)
FEATURES = 128


class BondiSettings(NetworkSettings):
    """Bondi's network and its arguments."""

    name: Literal["bondi"]
    side: Literal[64] = Field(default=64, description="Side of the crops, in pixels.")


@register("bondi")
class Bondi(Network):
    """Four convolutions with max pooling between them, and two fully connected layers.

    Args:
        side: Height and width of the images; has to be 64.
        classes: Number of logits.

    Raises:
        ValueError: `side` is not 64, or there are fewer than two classes.
    """

    Settings = BondiSettings

    def __init__(self, side: int = SIDE, classes: int = 18) -> None:
        super().__init__()
        if side != SIDE:
            raise ValueError(f"side must be {SIDE}, got {side}")
        self.classes = check_classes(classes)
        layers: list[nn.Module] = []
        for number, (before, after) in enumerate(zip((3, *_FILTERS), _FILTERS, strict=False)):
            layers += [max_pool(2)] if number else []
            layers.append(nn.Conv2d(before, after, _SIDES[number]))
        self.units = nn.Sequential(*layers)
        self.classifier = nn.Sequential(
            nn.Flatten(), nn.Linear(FEATURES, FEATURES), nn.ReLU(), nn.Linear(FEATURES, classes)
        )
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)  # type: ignore[arg-type]

    def forward(self, images: Tensor) -> Tensor:
        """Compute logits (n, classes) from normalised images (n, 3, 64, 64)."""
        check_side(images, SIDE)
        logits: Tensor = self.classifier(self.units(images))
        return logits
