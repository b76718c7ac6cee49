"""One of three verdicts for a score: the model, and how its thresholds are chosen."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Self

import numpy as np
from numpy.typing import ArrayLike
from pydantic import BaseModel, ConfigDict, model_validator

from trueshot.calibration.numbers import Number, Share
from trueshot.calibration.rates import of_kinds
from trueshot.calibration.samples import Floats, Labels, checked, groups
from trueshot.errors import CalibrationError
from trueshot.tasks import Wording
from trueshot.tasks.recapture import RECAPTURE
from trueshot.tasks.task import UNDECIDED


class Decision(BaseModel):
    """Two thresholds, and the error rates that they were chosen for.

    Args:
        original_to: Scores up to this one are called class 0: original.
        recaptured_from: Scores from this one on are called otherwise: recaptured; between the two
            is undecided. Where both are the same score, that score is recaptured.
        apcer: Share of recaptures (attack presentations) called original that was wanted; of other
            tasks, of all other classes called class 0.
        bpcer: Share of originals (bona fide presentations) called recaptured that was wanted.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    original_to: Number
    recaptured_from: Number
    apcer: Share
    bpcer: Share

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.original_to > self.recaptured_from:
            raise ValueError("original_to must not lie above recaptured_from")
        return self

    def verdict(self, score: float, wording: Wording = RECAPTURE.words) -> str:
        """What this score is called; one that is not a number is undecided."""
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
    """Choose both thresholds for wanted error rates, on calibration photographs only.

    `recaptured_from` is the least score from which on calling a photograph recaptured is wrong for
    at most a share `bpcer` of originals; `original_to` is the greatest score up to which calling
    it original is wrong for at most a share `apcer` of recaptures of the worst kind. Both with the
    care that few photographs ask for: the quantile is taken among n + 1, as if the photograph to
    be judged stood among those calibrated. So each rate holds on average over calibration sets,
    for any detector and any distribution of scores, if the photograph to be judged and those
    calibrated are exchangeable: drawn alike, in an order that says nothing.

    Without `sources` that is said of single photographs. With `sources` it is said of a photograph
    of a source that was not seen: each source counts as one, its photographs in equal parts. That
    takes as many sources as it otherwise takes photographs.

    A detector that keeps both rates and leaves nothing between gets one threshold, in the middle
    of those that keep both: nothing is undecided then.

    Args:
        scores: Of the calibration photographs, shape (n,).
        labels: 0 original, 1 recaptured, shape (n,).
        sources: What each photograph comes from, or None.
        kinds: Kind of each recapture, such as "screen" or "print"; what stands for originals is
            passed over. Kinds that have too few photographs of their own only count in the whole.
        apcer: Wanted share of recaptures that are called original, in (0, 1).
        bpcer: Wanted share of originals that are called recaptured, in (0, 1).
        wording: What errors call the classes and the rates.

    Raises:
        CalibrationError: There is too little data for the wanted rates: it says how much each
            needs, and which could be had.

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
    """How many photographs, or sources, a wanted error rate takes at least: 99 for 0.01.

    Raises:
        CalibrationError: No number of photographs is enough for such a rate.
    """
    if not 0 < rate < 1:
        raise CalibrationError(f"error rate {rate}: wanted above 0 and below 1, such as 0.05")
    return math.ceil(1 / rate - 1e-9) - 1


def _refuse_few(wanted: Mapping[str, tuple[str, float, str, int]]) -> None:
    """Name everything that is too little for its rate, by the option that asks for the rate."""
    lacking, instead = [], []
    for option, (name, rate, what, count) in wanted.items():
        if count < needed(rate):
            lacking.append(
                f"{name} {rate:g} needs {needed(rate)} {what} or more, there are {count}"
            )
            instead.append(f"{option} {math.ceil(1e4 / (count + 1)) / 1e4:g}")
    if lacking:
        raise CalibrationError(f"{'; '.join(lacking)}: add some, or ask for {' '.join(instead)}")


def _highest(scores: Floats, source: Labels, rate: float) -> float:
    """The score that a new one of the same class exceeds with at most this probability."""
    distinct, place, sizes = np.unique(source, return_inverse=True, return_counts=True)
    order = np.argsort(scores)
    weights = 1 / ((len(distinct) + 1) * sizes[place[order]])
    enough = np.flatnonzero(np.cumsum(weights) >= 1 - rate - 1e-12)
    return float(scores[order][enough[0]])
