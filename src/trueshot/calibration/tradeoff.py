"""Both error rates over all thresholds: DET curve, equal error rate, BPCER at a fixed APCER.

Class 1, recaptured, is the attack presentation; class 0, original, the bona fide presentation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from trueshot.calibration.samples import Floats, checked, of_kinds
from trueshot.errors import CalibrationError


@dataclass(frozen=True, kw_only=True, eq=False)
class Tradeoff:
    """Both error rates at every threshold; scores at or above a threshold are called recaptured.

    Args:
        thresholds: The k distinct scores, increasing, then plus infinity; shape (k + 1,). At the
            last one nothing is called recaptured, not even an infinite score.
        apcer: Share of recaptures below the threshold; rises from 0 to 1.
        bpcer: Share of originals at or above the threshold; falls from 1 to 0.
    """

    thresholds: Floats
    apcer: Floats
    bpcer: Floats


def det_curve(scores: ArrayLike, labels: ArrayLike, kinds: Sequence[str] | None = None) -> Tradeoff:
    """Compute the points of the detection error tradeoff curve.

    Args:
        scores: Higher means more likely recaptured, shape (n,).
        labels: 0 original, 1 recaptured, shape (n,).
        kinds: Kinds of recaptures, see `samples.of_kinds`. If given, the APCER at each threshold is
            that of the worst kind.

    Raises:
        CalibrationError: A class is missing, or a score is not a number.
    """
    given, classes = checked(scores, labels, finite=False)
    thresholds = np.append(np.unique(given), np.inf)
    originals = given[classes == 0]
    false = (len(originals) - np.searchsorted(np.sort(originals), thresholds)) / len(originals)
    missed = [
        np.searchsorted(np.sort(given[chosen]), thresholds) / chosen.sum()
        for chosen in of_kinds(classes, kinds).values()
    ]
    apcer = np.max(missed, axis=0)
    apcer[-1], false[-1] = 1, 0
    return Tradeoff(thresholds=thresholds, apcer=apcer, bpcer=false)


def equal_error_rate(scores: ArrayLike, labels: ArrayLike) -> tuple[float, float]:
    """Compute the rate at which both errors are equal, interpolating the curve linearly.

    Args:
        scores: Higher means more likely recaptured, shape (n,).
        labels: 0 original, 1 recaptured, shape (n,).

    Returns:
        The rate, and the finite threshold (a score) that comes closest to it.

    Raises:
        CalibrationError: A class is missing, or a score is not a number.
    """
    curve = det_curve(scores, labels)
    gap = curve.apcer - curve.bpcer  # rises from -1 to 1
    after = int(np.argmax(gap >= 0))
    before = after - 1
    part = -gap[before] / (gap[after] - gap[before])
    rate = curve.apcer[before] + part * (curve.apcer[after] - curve.apcer[before])
    ends = [place for place in (before, after) if np.isfinite(curve.thresholds[place])]
    nearest = min(ends, key=lambda place: abs(gap[place]), default=before)
    return float(rate), float(curve.thresholds[nearest])


def bpcer_at(
    scores: ArrayLike, labels: ArrayLike, apcer: float, kinds: Sequence[str] | None = None
) -> tuple[float, float]:
    """Compute the BPCER at the highest threshold where the worst kind's APCER is at most `apcer`.

    BPCER10, BPCER20 and BPCER100 of the standard are the values at 0.1, 0.05 and 0.01.

    Args:
        scores: Higher means more likely recaptured, shape (n,).
        labels: 0 original, 1 recaptured, shape (n,).
        apcer: Highest allowed APCER, in [0, 1].
        kinds: See `samples.of_kinds`.

    Returns:
        The BPCER and the threshold. As in the standard, the threshold is chosen on the same
        photographs that the rate is measured on: use it to compare detectors, not to predict the
        error rate of a decision.

    Raises:
        CalibrationError: A class is missing, a score is not a number, or `apcer` is not in [0, 1].
    """
    if not 0 <= apcer <= 1:
        raise CalibrationError(f"apcer must be between 0 and 1, got {apcer}")
    curve = det_curve(scores, labels, kinds)
    place = int(np.flatnonzero(curve.apcer <= apcer)[-1])
    return float(curve.bpcer[place]), float(curve.thresholds[place])
