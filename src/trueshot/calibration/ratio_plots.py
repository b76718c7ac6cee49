"""How good likelihood ratios are, as curves: Tippett plot and empirical cross-entropy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from trueshot.calibration.fitting import pooled
from trueshot.calibration.samples import Floats, checked


@dataclass(frozen=True, kw_only=True, eq=False)
class Tippett:
    """Shares of photographs whose likelihood ratio is at least so large.

    Args:
        log10_lrs: Ratios, rising, shape (k,).
        originals: Of originals, shape (k,); what lies right of 0 misleads.
        recaptured: Of recaptures, shape (k,); what is missing at 0 misleads.
    """

    log10_lrs: Floats
    originals: Floats
    recaptured: Floats


def tippett(log10_lrs: ArrayLike, labels: ArrayLike) -> Tippett:
    """The Tippett plot of likelihood ratios: one step for each distinct one.

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
    """What is not known after likelihood ratios were heard, in bits, for each prior.

    Args:
        log10_odds: Prior odds of a recapture, shape (k,).
        found: With the ratios as they are; at odds of 1 it is Cllr. Shape (k,).
        calibrated: With the best calibration that does not fall, shape (k,).
        nothing: Without any, shape (k,): ratios are worth hearing where `found` lies below.
    """

    log10_odds: Floats
    found: Floats
    calibrated: Floats
    nothing: Floats


def empirical_cross_entropy(
    log10_lrs: ArrayLike, labels: ArrayLike, log10_odds: ArrayLike | None = None
) -> CrossEntropy:
    """The empirical cross-entropy of likelihood ratios.

    Args:
        log10_lrs: Log10 likelihood ratios, shape (n,); may be infinite.
        labels: 0 original, 1 recaptured, shape (n,).
        log10_odds: Prior odds, shape (k,); by default 81 from -2 to 2.

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
    """In bits; ratios and odds are natural logarithms."""
    prior = 1 / (1 + np.exp(-odds))
    after = ratios[None] + odds[:, None]
    missed = np.logaddexp(0, -after[:, recaptured]).mean(1)
    false = np.logaddexp(0, after[:, ~recaptured]).mean(1)
    return np.asarray((prior * missed + (1 - prior) * false) / np.log(2))
