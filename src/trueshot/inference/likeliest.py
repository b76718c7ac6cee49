"""The likeliest of several classes, or none of them: an answer for tasks without an untouched."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from trueshot.card import Likeliest

CLASS_LOGIT = "logit of class "
"""Begins the names of what a photograph's probabilities are made of, as long as nothing is
calibrated."""

Floats = npt.NDArray[np.float64]


def probabilities(logits: Floats, temperature: float = 1.0) -> Floats:
    """Softmax of the logits of one photograph, shape (classes,), over a temperature."""
    scaled = logits / temperature
    return np.asarray(np.exp(scaled - np.logaddexp.reduce(scaled)), np.float64)


def raw(logits: Floats) -> dict[str, float]:
    """What a calibration is made of, by name."""
    return {f"{CLASS_LOGIT}{number:02}": float(value) for number, value in enumerate(logits)}


def reasons_of_none(logits: Floats, classes: tuple[str, ...], how: Likeliest) -> list[str]:
    """Why no class is named, or nothing."""
    found = probabilities(logits, how.temperature)
    best = int(found.argmax())
    if found[best] >= how.least:
        return []
    return [
        f"perhaps none of its classes: the likeliest, {classes[best]}, has a probability of "
        f"{found[best]:.2f}, and {how.least:.2f} is wanted"
    ]
