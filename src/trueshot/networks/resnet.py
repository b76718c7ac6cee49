"""A small residual network for whole frames at reduced size.

Source: He et al. 2016, "Deep residual learning for image recognition", arXiv:1512.03385. The basic
blocks, and the doubling of filters where the size is halved, are from the paper; a stem of stride 4
without max pooling, three stages and few filters are choices of ours, to suit a CPU.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from trueshot.networks.layers import check_classes, normalised, of_places
from trueshot.networks.registry import Explained, Filters, Network, NetworkSettings, register

WIDTH = 32
_STAGES, _BLOCKS = 3, 2


class ResNetSettings(NetworkSettings):
    """The residual network and its arguments."""

    name: Literal["resnet"]
    width: Filters = Field(default=WIDTH, description="Number of filters of the first stage.")


@register("resnet")
class ResNet(Network):
    """A stem, three stages of two basic blocks, the mean over all positions, one linear layer.

    Args:
        classes: Number of logits.
        width: Number of filters of the first stage; it doubles from stage to stage.

    Raises:
        ValueError: Fewer than two classes.
    """

    Settings = ResNetSettings

    def __init__(self, classes: int = 2, width: int = WIDTH) -> None:
        super().__init__()
        self.classes = check_classes(classes)
        self.stem = nn.Sequential(*normalised(3, width, 7, stride=4))
        layers, before = [], width
        for stage in range(_STAGES):
            after = width << stage
            for block in range(_BLOCKS):
                layers.append(BasicBlock(before, after, 2 if stage and not block else 1))
                before = after
        self.stages = nn.Sequential(*layers)
        self.classifier = nn.Linear(before, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Compute logits (n, classes) from normalised images (n, 3, h, w)."""
        logits: Tensor = self.classifier(self._maps(images).mean((2, 3)))
        return logits

    def explained(self, images: Tensor) -> Explained:
        """Return the logits, and those of each position before the mean over all."""
        return of_places(self._maps(images), self.classifier)

    def _maps(self, images: Tensor) -> Tensor:
        maps: Tensor = self.stages(self.stem(images))
        return maps


class BasicBlock(nn.Module):
    """Two 3×3 convolutions whose input is added to their output."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *normalised(before, after, 3, stride=stride),
            *normalised(after, after, 3, activation=nn.Identity),
        )
        fits = before == after and stride == 1
        changed = (
            [] if fits else normalised(before, after, 1, stride=stride, activation=nn.Identity)
        )
        self.shortcut = nn.Sequential(*changed)

    def forward(self, maps: Tensor) -> Tensor:
        return functional.relu(self.shortcut(maps) + self.layers(maps))
