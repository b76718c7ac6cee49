"""The quality of likelihood ratios: Cllr, Tippett plot and empirical cross-entropy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from trueshot.calibration.fitting import pooled
from trueshot.calibration.samples import Floats, checked


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


@dataclass(frozen=True, kw_only=True, eq=False)
class Tippett:
    """Share of photographs with a likelihood ratio of at least a given value.

    Args:
        log10_lrs: Log10 ratios, increasing, shape (k,).
        originals: Share of originals, shape (k,); those above 0 are misleading.
        recaptured: Share of recaptures, shape (k,); those missing at 0 are misleading.
    """

    log10_lrs: Floats
    originals: Floats
    recaptured: Floats


def tippett(log10_lrs: ArrayLike, labels: ArrayLike) -> Tippett:
    """Compute the Tippett plot of likelihood ratios, with one step per distinct ratio.

    Args:
        log10_lrs: Log10 likelihood ratios, shape (n,).
        labels: 0 original, 1 recaptured, shape (n,).

    Raises:
        CalibrationError: A class is missing, or a ratio is not a number.

    Source: Evett and Buckleton 1996; Meuwly, Ramos and Haraksim 2017, "A guideline for the
        validation of likelihood ratio methods".
    """
    given, classes = checked(log10_lrs, labels, finite=False)
    at = np.unique(given)
    shares = [
        1 - np.searchsorted(np.sort(given[classes == label]), at) / (classes == label).sum()
        for label in (0, 1)
    ]
    return Tippett(log10_lrs=at, originals=shares[0], recaptured=shares[1])


@dataclass(frozen=True, kw_only=True, eq=False)
class CrossEntropy:
    """Remaining uncertainty given the likelihood ratios, in bits, for each prior.

    Args:
        log10_odds: Log10 prior odds of a recapture, shape (k,).
        found: With the ratios as they are, shape (k,); at odds of 1 it is Cllr.
        calibrated: With the ratios after the best monotone calibration, shape (k,).
        nothing: Without ratios, shape (k,): ratios are useful where `found` is lower.
    """

    log10_odds: Floats
    found: Floats
    calibrated: Floats
    nothing: Floats


def empirical_cross_entropy(
    log10_lrs: ArrayLike, labels: ArrayLike, log10_odds: ArrayLike | None = None
) -> CrossEntropy:
    """Compute the empirical cross-entropy of likelihood ratios.

    Args:
        log10_lrs: Log10 likelihood ratios, shape (n,); may be infinite.
        labels: 0 original, 1 recaptured, shape (n,).
        log10_odds: Log10 prior odds, shape (k,); by default 81 values from -2 to 2.

    Raises:
        CalibrationError: A class is missing, or a ratio is not a number.

    Source: Ramos and Gonzalez-Rodriguez 2013, "Reliable support: measuring calibration of
        likelihood ratios".
    """
    given, classes = checked(log10_lrs, labels, finite=False)
    odds = np.asarray(np.linspace(-2, 2, 81) if log10_odds is None else log10_odds, np.float64)
    natural = odds * np.log(10)
    return CrossEntropy(
        log10_odds=odds,
        found=_cost(given * np.log(10), classes == 1, natural),
        calibrated=_cost(pooled(given, classes) * np.log(10), classes == 1, natural),
        nothing=_cost(np.zeros(len(given)), classes == 1, natural),
    )


def _cost(ratios: Floats, recaptured: np.typing.NDArray[np.bool_], odds: Floats) -> Floats:
    """Return the cross-entropy in bits; `ratios` and `odds` are natural logarithms."""
    prior = 1 / (1 + np.exp(-odds))
    after = ratios[None] + odds[:, None]
    missed = np.logaddexp(0, -after[:, recaptured]).mean(1)
    false = np.logaddexp(0, after[:, ~recaptured]).mean(1)
    return np.asarray((prior * missed + (1 - prior) * false) / np.log(2))
