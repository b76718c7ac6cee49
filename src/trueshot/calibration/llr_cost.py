"""The log likelihood ratio cost (Cllr), in bits: one number for the quality of the ratios."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from trueshot.calibration.fitting import pooled
from trueshot.calibration.samples import checked


def cllr(log10_lrs: ArrayLike, labels: ArrayLike) -> float:
    """Compute the mean cost of likelihood ratios, with half the weight on each class.

    Args:
        log10_lrs: Log10 likelihood ratios, shape (n,); may be infinite.
        labels: 0 original, 1 recaptured, shape (n,).

    Returns:
        Bits: 0 is perfect, 1 is the cost of ratios that are all 1, more is misleading.

    Raises:
        CalibrationError: A class is missing, or a ratio is not a number.

    Source: Brümmer and du Preez 2006, "Application-independent evaluation of speaker detection",
        equation 11.
    """
    given, classes = checked(log10_lrs, labels, finite=False)
    natural = given * np.log(10)
    costs = np.logaddexp(0, np.where(classes == 1, -natural, natural)) / np.log(2)
    return float(costs[classes == 0].mean() + costs[classes == 1].mean()) / 2


def cllr_min(scores: ArrayLike, labels: ArrayLike) -> float:
    """Compute Cllr after the best monotone calibration: the cost of discrimination alone.

    Args:
        scores: Scores or ratios, shape (n,).
        labels: 0 original, 1 recaptured, shape (n,).

    Raises:
        CalibrationError: A class is missing, or a score is not a number.
    """
    given, classes = checked(scores, labels, finite=False)
    return cllr(pooled(given, classes), classes)
