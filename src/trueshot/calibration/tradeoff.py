"""Both errors over all thresholds: DET curve, equal error rate, BPCER at a fixed APCER.

Class 1, recaptured, is the attack presentation; class 0, original, the bona fide presentation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike

from trueshot.calibration.rates import of_kinds
from trueshot.calibration.samples import Floats, checked
from trueshot.errors import CalibrationError


@dataclass(frozen=True, kw_only=True, eq=False)
class Tradeoff:
    """Both errors at every threshold, where scores from the threshold on are called recaptured.

    Args:
        thresholds: Every distinct score, rising, and plus infinity; shape (n + 1,).
        apcer: Share of recaptures below the threshold; rises from 0 to 1.
        bpcer: Share of originals at or above the threshold; falls from 1 to 0.
    """

    thresholds: Floats
    apcer: Floats
    bpcer: Floats


def det_curve(scores: ArrayLike, labels: ArrayLike, kinds: Sequence[str] | None = None) -> Tradeoff:
    """The points of the detection error tradeoff.

    Args:
        scores: Higher means rather recaptured, shape (n,).
        labels: 0 original, 1 recaptured, shape (n,).
        kinds: Kinds of recaptures, see `rates.apcer`: the APCER is then that of the worst kind at
            each threshold.

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
    return Tradeoff(thresholds=thresholds, apcer=np.max(missed, axis=0), bpcer=false)


def equal_error_rate(scores: ArrayLike, labels: ArrayLike) -> tuple[float, float]:
    """Where both errors are equally frequent, straight lines between the points of the curve.

    Args:
        scores: Higher means rather recaptured, shape (n,).
        labels: 0 original, 1 recaptured, shape (n,).

    Returns:
        The rate, and the threshold that comes closest to it, a finite score.

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
    """BPCER at the highest threshold that keeps the APCER of the worst kind within a rate.

    BPCER10, BPCER20 and BPCER100 of the standard are those at 0.1, 0.05 and 0.01.

    Args:
        scores: Higher means rather recaptured, shape (n,).
        labels: 0 original, 1 recaptured, shape (n,).
        apcer: The rate to keep, in [0, 1].
        kinds: See `rates.apcer`.

    Returns:
        The rate and the threshold. It is chosen on the very photographs that it is counted on, as
        the standard has it: a figure to compare detectors by, no promise of a decision.

    Raises:
        CalibrationError: A class is missing, a score is not a number, or no such rate.
    """
    if not 0 <= apcer <= 1:
        raise CalibrationError(f"APCER {apcer}: a share from 0 to 1 wanted")
    curve = det_curve(scores, labels, kinds)
    place = int(np.flatnonzero(curve.apcer <= apcer)[-1])
    return float(curve.bpcer[place]), float(curve.thresholds[place])


def probit(rates: ArrayLike, least: float = 1e-4) -> Floats:
    """Rates as normal quantiles, the axes of a DET plot: two normal classes make a straight line.

    Args:
        rates: In [0, 1], any shape.
        least: Rates nearer to 0 or 1 than this are drawn there, as 0 has no place on the axis.
    """
    quantile = np.vectorize(NormalDist().inv_cdf, otypes=[np.float64])
    return np.asarray(quantile(np.clip(np.asarray(rates, np.float64), least, 1 - least)))
