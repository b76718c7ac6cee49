"""Scores made into likelihood ratios, verdicts, and error rates with intervals.

Label 0 is an original (bona fide presentation), 1 a recapture (attack presentation); a score is
higher for a photograph that is rather a recapture. See docs/calibration.md.
"""

from __future__ import annotations

from trueshot.calibration.cllr import cllr, cllr_cal, cllr_min
from trueshot.calibration.decision import Decision, choose_thresholds, needed
from trueshot.calibration.domain import Domain
from trueshot.calibration.domain_fitting import fit_domain
from trueshot.calibration.elub import elub
from trueshot.calibration.fitting import fit, fit_isotonic, fit_logistic
from trueshot.calibration.intervals import (
    CountedRate,
    Interval,
    clopper_pearson,
    cluster_bootstrap,
    rate_with_interval,
)
from trueshot.calibration.likelihood import Calibration
from trueshot.calibration.rates import Shares, apcer, bpcer, shares, worst
from trueshot.calibration.tradeoff import Tradeoff, bpcer_at, det_curve, equal_error_rate, probit
from trueshot.calibration.words import PROPOSITIONS, in_words, support

__all__ = [
    "PROPOSITIONS",
    "Calibration",
    "CountedRate",
    "Decision",
    "Domain",
    "Interval",
    "Shares",
    "Tradeoff",
    "apcer",
    "bpcer",
    "bpcer_at",
    "choose_thresholds",
    "cllr",
    "cllr_cal",
    "cllr_min",
    "clopper_pearson",
    "cluster_bootstrap",
    "det_curve",
    "elub",
    "equal_error_rate",
    "fit",
    "fit_domain",
    "fit_isotonic",
    "fit_logistic",
    "in_words",
    "needed",
    "probit",
    "rate_with_interval",
    "shares",
    "support",
    "worst",
]
