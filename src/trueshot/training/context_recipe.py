"""The settings of a fine-tuning of EfficientNet-Lite0 on frames."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from trueshot.inference.context import SIDE
from trueshot.networks.efficientnet_lite import BLOCKS, FEATURES


@dataclass(frozen=True, kw_only=True)
class ContextRecipe:
    """All settings of a fine-tuning.

    Args:
        side: Of what the network sees, in pixels.
        view: `frame`: images are squeezed to squares; `crop`: squares are cut out of them, mostly
            at their own size, as texture is what counts.
        blocks: Of the sixteen, those that are kept: few see textures, all see things.
        features: Of the head.
        steps: In all; minibatches.
        head_steps: The first ones, in which the last layer learns alone.
        batch: Frames of a step.
        frozen_blocks: Of the sixteen, the first ones, which learn nothing.
        learning_rate: Of the later blocks; it rises over a tenth of their steps and falls to 0 as
            a cosine.
        head_learning_rate: Of the last layer while it learns alone.
        weight_decay: Of AdamW.
        smoothing: Share of a label that the other classes get.
        colours: How far saturation and contrast are turned up or down, in powers of two.
        close: Share of frames that are seen from so close that the medium fills them; of
            originals a smaller part is seen as often.
        validate_every: Steps between validations.
        seed: Of order, augmentation, dropout and the first weights of the last layer.
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
        if not 0 <= self.head_steps <= self.steps:
            raise ValueError(f"0 to {self.steps} head steps wanted, got {self.head_steps}")
        if not 1 <= self.blocks <= BLOCKS:
            raise ValueError(f"1 to {BLOCKS} blocks wanted, got {self.blocks}")
        if not 0 <= self.frozen_blocks <= self.blocks:
            raise ValueError(f"0 to {self.blocks} frozen blocks wanted, got {self.frozen_blocks}")
        if min(self.side // 32, self.batch, self.validate_every) < 1:
            raise ValueError("a side of 32 px or more, and positive counts, wanted")
