"""A likelihood ratio in words, and the two propositions that it weighs."""

from __future__ import annotations

import math

PROPOSITIONS = (
    "the photograph is a recapture: a photo of a screen or of a print",
    "the photograph is an original: taken of the scene itself",
)
"""What the findings are weighed under: the first, and against it the second."""

SCALE = (
    (2.0, "weak"),
    (10.0, "moderate"),
    (100.0, "moderately strong"),
    (1000.0, "strong"),
    (10_000.0, "very strong"),
    (1_000_000.0, "extremely strong"),
)
"""From which likelihood ratio on support is called what; below the first it is none."""


def in_words(log10_lr: float) -> str:
    """What a likelihood ratio says, in a sentence about the findings.

    It says how much more probable the findings are under one proposition than under the other. It
    does not say how probable a proposition is: that depends on all else that is known.

    Args:
        log10_lr: Log10 likelihood ratio of recapture against original.

    Raises:
        ValueError: It is not a number.

    Source: ENFSI 2015, "Guideline for evaluative reporting in forensic science", table 1.
    """
    if math.isnan(log10_lr):
        raise ValueError("the likelihood ratio is not a number")
    first, other = PROPOSITIONS if log10_lr >= 0 else PROPOSITIONS[::-1]
    strength = support(log10_lr)
    if strength is None:
        return (
            f"The findings do not support either proposition over the other: that {first}, or "
            f"that {other}."
        )
    return (
        f"The findings provide {strength} support for the proposition that {first}, rather than "
        f"that {other}."
    )


def support(log10_lr: float) -> str | None:
    """The word of the scale for a ratio in either direction, or None below 2."""
    reached = [word for ratio, word in SCALE if abs(log10_lr) >= math.log10(ratio)]
    return reached[-1] if reached else None
