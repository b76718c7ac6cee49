"""What computes the scores of crops: torch here, onnxruntime beside it by the same signature."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from trueshot.detector import Detector

Runtime = Literal["torch", "onnx"]

ScoreFunction = Callable[[npt.NDArray[np.uint8]], npt.NDArray[np.float64]]
"""Crops as RGB bytes, shape (n, side, side, 3), to scores, shape (n,)."""

_VALUES_AT_ONCE = 3 * 128 * 128 * 16  # what stays in a processor's cache is the fastest


def with_torch(detector: Detector) -> ScoreFunction:
    """Scores by the detector itself, on the CPU: logit of recaptured minus logit of original.

    Args:
        detector: Of two classes, in evaluation mode.

    Raises:
        ValueError: It has another number of classes.
    """
    import torch  # seconds, which inference by another runtime does not need

    from trueshot.pixels import to_levels

    if len(detector.classes) != 2:
        raise ValueError(f"two classes wanted, got {detector.classes}")
    folded = detector.folded()

    def margins(crops: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
        if not len(crops):
            return np.zeros(0)
        at_once = max(1, _VALUES_AT_ONCE // crops[0].size)
        with torch.inference_mode():
            logits = torch.cat([folded(part) for part in to_levels(crops).split(at_once)]).double()
        return (logits[:, 1] - logits[:, 0]).numpy()

    return margins
