"""Turn scores into likelihood ratios and verdicts, and compute error rates with intervals.

Label 0 is an original (bona fide presentation), label 1 a recapture (attack presentation). The
higher the score, the more likely the photograph is a recapture. See docs/calibration.md.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trueshot.calibration.decision import Decision, choose_thresholds, needed
    from trueshot.calibration.domain import Domain, fit_domain
    from trueshot.calibration.elub_bounds import elub
    from trueshot.calibration.fitting import fit, fit_isotonic, fit_logistic
    from trueshot.calibration.intervals import (
        Interval,
        Rate,
        clopper_pearson,
        cluster_bootstrap,
        rate_with_interval,
        share_with_interval,
    )
    from trueshot.calibration.likelihood import Calibration
    from trueshot.calibration.ratio_quality import (
        CrossEntropy,
        Tippett,
        cllr,
        cllr_min,
        empirical_cross_entropy,
        tippett,
    )
    from trueshot.calibration.tradeoff import Tradeoff, bpcer_at, det_curve, equal_error_rate
    from trueshot.calibration.verbal_scale import PROPOSITIONS, in_words, support

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

_MODULES = (
    "verbal_scale",
    "likelihood",
    "decision",
    "domain",
    "intervals",
    "fitting",
    "elub_bounds",
    "tradeoff",
    "ratio_quality",
)


def __getattr__(name: str) -> Any:  # lazy, because a scan's main process needs only verbal_scale
    if name in __all__:
        for home in _MODULES:
            module = importlib.import_module(f"{__name__}.{home}")
            if hasattr(module, name):
                return getattr(module, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
