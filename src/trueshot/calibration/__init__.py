"""Turn scores into likelihood ratios and verdicts, and compute error rates with intervals.

Label 0 is an original (bona fide presentation), label 1 a recapture (attack presentation). The
higher the score, the more likely the photograph is a recapture. See docs/calibration.md.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trueshot.calibration.decision import Decision, choose_thresholds, needed
    from trueshot.calibration.domain import Domain
    from trueshot.calibration.domain_fitting import fit_domain
    from trueshot.calibration.elub_bounds import elub
    from trueshot.calibration.fitting import fit, fit_isotonic, fit_logistic
    from trueshot.calibration.intervals import (
        CountedRate,
        Interval,
        clopper_pearson,
        cluster_bootstrap,
        rate_with_interval,
        share_with_interval,
    )
    from trueshot.calibration.likelihood import Calibration
    from trueshot.calibration.llr_cost import cllr, cllr_min
    from trueshot.calibration.ratio_plots import (
        CrossEntropy,
        Tippett,
        empirical_cross_entropy,
        tippett,
    )
    from trueshot.calibration.tradeoff import (
        Tradeoff,
        bpcer_at,
        det_curve,
        equal_error_rate,
    )
    from trueshot.calibration.verbal_scale import PROPOSITIONS, in_words, support

_HOMES = {
    "Calibration": "likelihood",
    "CountedRate": "intervals",
    "CrossEntropy": "ratio_plots",
    "Decision": "decision",
    "Domain": "domain",
    "Interval": "intervals",
    "PROPOSITIONS": "verbal_scale",
    "Tippett": "ratio_plots",
    "Tradeoff": "tradeoff",
    "bpcer_at": "tradeoff",
    "choose_thresholds": "decision",
    "cllr": "llr_cost",
    "cllr_min": "llr_cost",
    "clopper_pearson": "intervals",
    "cluster_bootstrap": "intervals",
    "det_curve": "tradeoff",
    "elub": "elub_bounds",
    "empirical_cross_entropy": "ratio_plots",
    "equal_error_rate": "tradeoff",
    "fit": "fitting",
    "fit_domain": "domain_fitting",
    "fit_isotonic": "fitting",
    "fit_logistic": "fitting",
    "in_words": "verbal_scale",
    "needed": "decision",
    "rate_with_interval": "intervals",
    "share_with_interval": "intervals",
    "support": "verbal_scale",
    "tippett": "ratio_plots",
}

__all__ = [
    "PROPOSITIONS",
    "Calibration",
    "CountedRate",
    "CrossEntropy",
    "Decision",
    "Domain",
    "Interval",
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


def __getattr__(name: str) -> Any:  # lazy, because a scan's main process needs only verbal_scale
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
