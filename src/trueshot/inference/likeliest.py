"""Names the likeliest of several classes, or none, for tasks without an untouched class."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from trueshot.card import Likeliest

CLASS_LOGIT = "logit of class "
"""Prefix of the names under which an uncalibrated detector reports a photograph's logits."""

Floats = npt.NDArray[np.float64]


def probabilities(logits: Floats, temperature: float = 1.0) -> Floats:
    """Compute the softmax of one photograph's logits, (classes,), divided by a temperature."""
    scaled = logits / temperature
    return np.asarray(np.exp(scaled - np.logaddexp.reduce(scaled)), np.float64)


def raw(logits: Floats) -> dict[str, float]:
    """Return the logits by name, as features from which a calibration is fitted."""
    return {f"{CLASS_LOGIT}{number:02}": float(value) for number, value in enumerate(logits)}


def reasons_of_none(logits: Floats, classes: tuple[str, ...], how: Likeliest) -> list[str]:
    """Return why no class is named, or an empty list if the likeliest is probable enough."""
    found = probabilities(logits, how.temperature)
    best = int(found.argmax())
    if found[best] >= how.least:
        return []
    return [
        f"perhaps none of its classes: the likeliest, {classes[best]}, has a probability of "
        f"{found[best]:.2f}, and {how.least:.2f} is wanted"
    ]
