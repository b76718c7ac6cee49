"""Settings for fine-tuning EfficientNet-Lite0 on frames."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from trueshot.inference.context import SIDE
from trueshot.networks.efficientnet_lite import BLOCKS, FEATURES


@dataclass(frozen=True, kw_only=True)
class ContextRecipe:
    """All settings of a fine-tuning run.

    Args:
        side: Side of the network's input in pixels.
        view: `frame`: images are resized to squares; `crop`: squares are cut out of them, mostly at
            native size, because texture matters.
        blocks: Number of the sixteen blocks that are kept: few blocks see textures, all see
            objects.
        features: Number of filters of the head.
        steps: Total number of steps, each on one minibatch.
        head_steps: Number of steps at the start in which only the last layer learns.
        batch: Frames per minibatch.
        frozen_blocks: Number of blocks at the start of the network that never learn.
        learning_rate: Learning rate after `head_steps`; it rises over a tenth of the remaining
            steps and falls to 0 as a cosine.
        head_learning_rate: Learning rate during `head_steps`.
        weight_decay: Weight decay of AdamW.
        smoothing: Label smoothing, as in `torch.nn.functional.cross_entropy`.
        colours: Largest random change of saturation and contrast, up or down, as a power of two.
        close: Share of frames cropped so closely that the medium fills them; originals are cropped
            to a smaller part equally often.
        validate_every: Steps between validations.
        seed: Seed of order, augmentation, dropout and the last layer's initial weights.
    """

    side: int = SIDE
    view: Literal["frame", "crop"] = "frame"
    blocks: int = BLOCKS
    features: int = FEATURES
    steps: int = 2000
    head_steps: int = 150
    batch: int = 32
    frozen_blocks: int = 6
    learning_rate: float = 3e-4
    head_learning_rate: float = 2e-3
    weight_decay: float = 0.02
    smoothing: float = 0.05
    colours: float = 0.0
    close: float = 0.0
    validate_every: int = 200
    seed: int = 0

    def __post_init__(self) -> None:
        if self.view not in ("frame", "crop"):
            raise ValueError(f"view must be frame or crop, got {self.view!r}")
        if self.side < 32 or min(self.steps, self.batch, self.validate_every) < 1:
            raise ValueError(
                "side must be at least 32 px; steps, batch and validate_every at least 1"
            )
        if not 0 <= self.head_steps <= self.steps:
            raise ValueError(
                f"head_steps must be between 0 and {self.steps}, got {self.head_steps}"
            )
        if not 1 <= self.blocks <= BLOCKS:
            raise ValueError(f"blocks must be between 1 and {BLOCKS}, got {self.blocks}")
        if not 0 <= self.frozen_blocks <= self.blocks:
            raise ValueError(
                f"frozen_blocks must be between 0 and {self.blocks}, got {self.frozen_blocks}"
            )
