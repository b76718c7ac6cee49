"""The decision model, which gives one of three verdicts, and the choice of its thresholds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Self

import numpy as np
from numpy.typing import ArrayLike
from pydantic import BaseModel, ConfigDict, model_validator

from trueshot.calibration.samples import (
    Floats,
    Labels,
    Number,
    Share,
    checked,
    groups,
    of_kinds,
)
from trueshot.errors import CalibrationError
from trueshot.tasks import Wording
from trueshot.tasks.recapture import RECAPTURE
from trueshot.tasks.task import UNDECIDED


class Decision(BaseModel):
    """Two thresholds, and the error rates they were chosen for.

    Args:
        original_to: Scores up to this one get the verdict of class 0: original.
        recaptured_from: Scores from this one on get the other verdict: recaptured. Scores between
            the two are undecided. If both are equal, that score is recaptured.
        apcer: Target share of recaptures (attack presentations) called original. In other tasks,
            the share of all other classes called class 0.
        bpcer: Target share of originals (bona fide presentations) called recaptured.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    original_to: Number
    recaptured_from: Number
    apcer: Share
    bpcer: Share

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.original_to > self.recaptured_from:
            raise ValueError("original_to must not be above recaptured_from")
        return self

    def verdict(self, score: float, wording: Wording = RECAPTURE.words) -> str:
        """Return the verdict for `score`; NaN is undecided."""
        first, other = wording.verdicts
        if score >= self.recaptured_from:
            return other
        return first if score <= self.original_to else UNDECIDED


def choose_thresholds(
    scores: ArrayLike,
    labels: ArrayLike,
    sources: Sequence[object] | None = None,
    kinds: Sequence[str] | None = None,
    *,
    apcer: float,
    bpcer: float,
    wording: Wording = RECAPTURE.words,
) -> Decision:
    """Choose both thresholds for the target error rates, from calibration photographs only.

    `recaptured_from` is the lowest score from which at most a share `bpcer` of originals is
    wrongly called recaptured. `original_to` is the highest score up to which at most a share
    `apcer` of the recaptures of the worst kind is wrongly called original. Both quantiles are
    corrected for small samples: they are taken among n + 1 photographs, as if the photograph to
    be judged were one of the calibration photographs. So each rate holds on average over
    calibration sets, for any detector and any distribution of scores, if the new photograph and
    the calibration photographs are exchangeable.

    Without `sources`, this guarantee is about single photographs. With `sources`, it is about a
    photograph from an unseen source: each source has the same weight, split equally among its
    photographs. This requires as many sources as the first case requires photographs.

    If a detector keeps both rates with no undecided scores, both thresholds are set to the middle
    of the range that keeps both rates, and nothing is undecided.

    Args:
        scores: Scores of the calibration photographs, shape (n,).
        labels: 0 original, 1 recaptured, shape (n,).
        sources: Source of each photograph, or None.
        kinds: Kind of each recapture, such as "screen" or "print"; entries for originals are
            ignored. Kinds with too few photographs of their own only count in the total.
        apcer: Target share of recaptures called original, in (0, 1).
        bpcer: Target share of originals called recaptured, in (0, 1).
        wording: Names of the classes and rates in error messages.

    Raises:
        CalibrationError: There is too little data for the target rates. The message says how much
            each rate needs, and which rates the data allows.

    Source: Vovk, Gammerman and Shafer 2005, proposition 4.1 (conformal prediction); with sources:
        Lee, Barber and Willett 2023, "Distribution-free inference with hierarchical data".
    """
    given, classes = checked(scores, labels, wording=wording)
    source = groups(sources, len(given))
    unit = "photographs" if sources is None else "sources"
    original, attack = classes == 0, classes == 1
    first, other = (f"{word} {unit}" for word in wording.verdicts)
    false, missed = wording.errors
    _refuse_few(
        {
            "--apcer": (missed, apcer, other, len(np.unique(source[attack]))),
            "--bpcer": (false, bpcer, first, len(np.unique(source[original]))),
        }
    )
    from_here = _highest(given[original], source[original], bpcer)
    up_to = -_highest(-given[attack], source[attack], apcer)
    for chosen in of_kinds(classes, kinds).values():
        if len(np.unique(source[chosen])) >= needed(apcer):
            up_to = min(up_to, -_highest(-given[chosen], source[chosen], apcer))
    from_here, up_to = float(np.nextafter(from_here, np.inf)), float(np.nextafter(up_to, -np.inf))
    if up_to >= from_here:
        from_here = up_to = (up_to + from_here) / 2
    return Decision(original_to=up_to, recaptured_from=from_here, apcer=apcer, bpcer=bpcer)


def needed(rate: float) -> int:
    """Return how many photographs, or sources, a target error rate requires: 99 for 0.01.

    Raises:
        CalibrationError: `rate` is not in (0, 1).
    """
    if not 0 < rate < 1:
        raise CalibrationError(f"error rates must be above 0 and below 1, such as 0.05; got {rate}")
    return math.ceil(1 / rate - 1e-9) - 1


def _refuse_few(wanted: Mapping[str, tuple[str, float, str, int]]) -> None:
    """Raise a CalibrationError that names every rate with too little data, and its option."""
    lacking, instead = [], []
    for option, (name, rate, what, count) in wanted.items():
        if count < needed(rate):
            lacking.append(
                f"{name} {rate:g} needs at least {needed(rate)} {what}, but there are {count}"
            )
            instead.append(f"{option} {math.ceil(1e4 / (count + 1)) / 1e4:g}")
    if lacking:
        raise CalibrationError(f"{'; '.join(lacking)}; add some, or use {' '.join(instead)}")


def _highest(scores: Floats, source: Labels, rate: float) -> float:
    """Return the score that a new one of the same class exceeds with at most probability `rate`."""
    distinct, place, sizes = np.unique(source, return_inverse=True, return_counts=True)
    order = np.argsort(scores)
    weights = 1 / ((len(distinct) + 1) * sizes[place[order]])
    enough = np.cumsum(weights) >= 1 - rate - 1e-12
    enough[-1] = True  # as with just enough sources, though a long sum rounds
    return float(scores[order][enough.argmax()])
