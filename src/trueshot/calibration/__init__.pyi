from .decision import Decision, choose_thresholds, needed
from .domain import Domain, fit_domain
from .elub_bounds import elub
from .fitting import fit, fit_isotonic, fit_logistic
from .intervals import (
    Interval,
    Rate,
    clopper_pearson,
    cluster_bootstrap,
    rate_with_interval,
    share_with_interval,
)
from .likelihood import Calibration
from .ratio_quality import CrossEntropy, Tippett, cllr, cllr_min, empirical_cross_entropy, tippett
from .tradeoff import Tradeoff, bpcer_at, det_curve, equal_error_rate
from .verbal_scale import PROPOSITIONS, in_words, support

__all__ = [
    "PROPOSITIONS",
    "Calibration",
    "CrossEntropy",
    "Decision",
    "Domain",
    "Interval",
    "Rate",
    "Tippett",
    "Tradeoff",
    "bpcer_at",
    "choose_thresholds",
    "cllr",
    "cllr_min",
    "clopper_pearson",
    "cluster_bootstrap",
    "det_curve",
    "elub",
    "empirical_cross_entropy",
    "equal_error_rate",
    "fit",
    "fit_domain",
    "fit_isotonic",
    "fit_logistic",
    "in_words",
    "needed",
    "rate_with_interval",
    "share_with_interval",
    "support",
    "tippett",
]
