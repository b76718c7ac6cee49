"""A likelihood ratio in words and in figures, and the two propositions it compares."""

from __future__ import annotations

import math

from trueshot.tasks import Wording
from trueshot.tasks.recapture import RECAPTURE


def propositions(wording: Wording) -> tuple[str, str]:
    """Return the proposition that a ratio above 1 supports, and the one it is weighed against."""
    return wording.alternative, wording.propositions[0]


PROPOSITIONS = propositions(RECAPTURE.words)

SCALE = (
    (2.0, "weak"),
    (10.0, "moderate"),
    (100.0, "moderately strong"),
    (1000.0, "strong"),
    (10_000.0, "very strong"),
    (1_000_000.0, "extremely strong"),
)
"""Likelihood ratio from which each word of support applies; below the first there is none."""

BETWEEN_THRESHOLDS = "its score lies between the thresholds"
"""Reason given for an undecided photograph if only its score makes it undecided."""

_FROM_POWERS = 4  # log10 from which ratios are written as powers of ten


def in_words(log10_lr: float, wording: Wording = RECAPTURE.words) -> str:
    """Return the meaning of a likelihood ratio as a sentence about the findings.

    The ratio says how much more probable the findings are under one proposition than under the
    other. It does not say how probable a proposition is: that depends on all other evidence.

    Args:
        log10_lr: Log10 likelihood ratio of recapture against original.
        wording: Wording of the task whose propositions are compared.

    Raises:
        ValueError: `log10_lr` is NaN.

    Source: ENFSI 2015, "Guideline for evaluative reporting in forensic science", table 1.
    """
    if math.isnan(log10_lr):
        raise ValueError("the likelihood ratio is not a number")
    first, other = propositions(wording)[:: 1 if log10_lr >= 0 else -1]
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
    """Return the word of the scale for a ratio in either direction, or None below 2."""
    reached = [word for ratio, word in SCALE if abs(log10_lr) >= math.log10(ratio)]
    return reached[-1] if reached else None


def leaning(log10_lr: float, wording: Wording = RECAPTURE.words) -> str:
    """Return which way a score between the thresholds leans, and what would help to decide.

    Args:
        log10_lr: Log10 likelihood ratio of recapture against original.
        wording: Wording of the task.
    """
    return (
        f"It leans towards {wording.verdicts[log10_lr > 0]}. A sharper or closer photograph of the "
        "same subject, or the original file from the camera, may decide."
    )


def beside_verdict(verdict: str, log10_lr: float, wording: Wording = RECAPTURE.words) -> str:
    """Return a caveat if a verdict says more than the verbal scale says of its ratio.

    Thresholds are chosen for error rates, while the verbal scale is one of likelihood ratios, so
    the two can disagree.

    Args:
        verdict: "original", "recaptured", or a word that is no decision.
        log10_lr: Log10 likelihood ratio of recapture against original.
        wording: Wording of the task, which the verdict is taken from.

    Returns:
        A sentence; empty if the scale supports the verdict or nothing was decided.
    """
    if verdict not in wording.verdicts:
        return ""
    strength = support(log10_lr)
    towards = 1.0 if verdict == wording.verdicts[1] else -1.0
    if strength is not None and log10_lr * towards > 0:
        return ""
    said = "neither proposition" if strength is None else "the other proposition"
    return (
        "The verdict follows a threshold chosen for its error rates; on the verbal scale, these "
        f"findings support {said}."
    )


def in_figures(log10_lr: float) -> str:
    """Return a likelihood ratio as people write it: 33, 1/14, and 10^4.3 from 10,000 on.

    Two digits, rounded to the nearest, unless that would reach a step of the verbal scale that
    the ratio itself does not reach: 1.96 becomes 1.9, because weak support begins at 2.

    Args:
        log10_lr: Log10 likelihood ratio of recapture against original.
    """
    size = abs(log10_lr)
    if size >= _FROM_POWERS:
        power = round(size, 1)
        if support(power) != support(size):
            power = round(power - 0.1, 1)
        return f"10^{math.copysign(power, log10_lr):.1f}"
    figure = f"{_two_digits(size):,.1f}".removesuffix(".0")
    return figure if log10_lr >= 0 or figure == "1" else f"1/{figure}"


def between(interval: tuple[float, float] | None) -> str:
    """Return the interval of a ratio as text to append to it; empty if `interval` is None."""
    if interval is None:
        return ""
    low, high = map(in_figures, interval)
    return f" (95 %: {low} to {high})"


def _two_digits(log10: float) -> float:
    step = 10.0 ** (math.floor(log10) - 1)
    steps = round(10**log10 / step)
    if support(math.log10(steps * step)) != support(log10):
        steps -= 1
    return steps * step


def proof_in_words(certified_radius: float | None) -> str:
    """Return a sentence on the certified radius; empty if it is below one whole level."""
    whole = int(certified_radius or 0)
    if not whole:
        return ""
    return (
        f"proven: no change of up to {whole} level{'s' if whole > 1 else ''} can alter this verdict"
    )
