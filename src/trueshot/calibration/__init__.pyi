from .decision import Decision as Decision, choose_thresholds as choose_thresholds, needed as needed
from .domain import Domain as Domain, fit_domain as fit_domain
from .elub_bounds import elub as elub
from .fitting import fit as fit, fit_isotonic as fit_isotonic, fit_logistic as fit_logistic
from .intervals import (
    Interval as Interval,
    Rate as Rate,
    clopper_pearson as clopper_pearson,
    cluster_bootstrap as cluster_bootstrap,
    rate_with_interval as rate_with_interval,
    share_with_interval as share_with_interval,
)
from .likelihood import Calibration as Calibration
from .ratio_quality import (
    CrossEntropy as CrossEntropy,
    Tippett as Tippett,
    cllr as cllr,
    cllr_min as cllr_min,
    empirical_cross_entropy as empirical_cross_entropy,
    tippett as tippett,
)
from .tradeoff import (
    Tradeoff as Tradeoff,
    bpcer_at as bpcer_at,
    det_curve as det_curve,
    equal_error_rate as equal_error_rate,
)
from .verbal_scale import PROPOSITIONS as PROPOSITIONS, in_words as in_words, support as support
