"""A likelihood ratio in words and in figures, and the two propositions that it weighs."""

from __future__ import annotations

import math

from trueshot.tasks import Wording
from trueshot.tasks.recapture import RECAPTURE


def propositions(wording: Wording) -> tuple[str, str]:
    """What the findings are weighed under: the first, and against it the second."""
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
"""From which likelihood ratio on support is called what; below the first it is none."""

BETWEEN_THRESHOLDS = "its score lies between the thresholds"
"""Why a photograph is undecided on which nothing but its score leaves it so."""

_FROM_POWERS = 4  # of ten: larger ratios are written as such


def in_words(log10_lr: float, wording: Wording = RECAPTURE.words) -> str:
    """What a likelihood ratio says, in a sentence about the findings.

    It says how much more probable the findings are under one proposition than under the other. It
    does not say how probable a proposition is: that depends on all else that is known.

    Args:
        log10_lr: Log10 likelihood ratio of recapture against original.
        wording: Of the task, whose propositions are weighed.

    Raises:
        ValueError: It is not a number.

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
    """The word of the scale for a ratio in either direction, or None below 2."""
    reached = [word for ratio, word in SCALE if abs(log10_lr) >= math.log10(ratio)]
    return reached[-1] if reached else None


def leaning(log10_lr: float, wording: Wording = RECAPTURE.words) -> str:
    """Of a photograph whose score lies between the thresholds: which way, and what would help.

    Args:
        log10_lr: Log10 likelihood ratio of recapture against original.
        wording: Of the task.
    """
    return (
        f"It leans towards {wording.verdicts[log10_lr > 0]}. A sharper or closer photograph of the "
        "same, or the file as the camera wrote it, may decide."
    )


def beside_verdict(verdict: str, log10_lr: float, wording: Wording = RECAPTURE.words) -> str:
    """What a reader must be told where a verdict goes further than the words of its ratio.

    Thresholds are chosen for error rates, the scale of words is one of likelihood ratios: they
    need not agree.

    Args:
        verdict: "original", "recaptured", or what decides nothing.
        log10_lr: Log10 likelihood ratio of recapture against original.
        wording: Of the task, whose words the verdict is in.

    Returns:
        A sentence; empty where the words support what the verdict says, or nothing was decided.
    """
    if verdict not in wording.verdicts:
        return ""
    strength = support(log10_lr)
    towards = 1.0 if verdict == wording.verdicts[1] else -1.0
    if strength is not None and log10_lr * towards > 0:
        return ""
    said = "neither proposition" if strength is None else "the other proposition"
    return (
        "The verdict follows a threshold chosen for its error rates; by the verbal scale such "
        f"findings support {said}."
    )


def in_figures(log10_lr: float) -> str:
    """A likelihood ratio as people write it: 33, 1/14, and 10^4.3 from 10,000 on.

    Two digits, rounded to the nearest, unless that would reach a step of the scale of words that
    the ratio itself does not reach: 1.96 is 1.9, as weak support begins at 2.

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
    """The interval of a ratio in figures, to stand behind it; empty if none is known."""
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
    """What is proven of a verdict; empty where that is less than a file can be changed by."""
    whole = int(certified_radius or 0)
    if not whole:
        return ""
    return f"proven: no change of up to {whole} level{'s' if whole > 1 else ''} turns this verdict"
