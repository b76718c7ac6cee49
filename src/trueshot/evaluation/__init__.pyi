from .detector_source import DetectorSource as DetectorSource
from .doubt import Doubt as Doubt
from .evaluate import (
    PAPER_ATTACKS as PAPER_ATTACKS,
    PAPER_BUDGETS as PAPER_BUDGETS,
    evaluate as evaluate,
    evaluate_suite as evaluate_suite,
    paper_attacks as paper_attacks,
)
from .examples import make_examples as make_examples
from .external import (
    InputSpec as InputSpec,
    OutsideDetectorError as OutsideDetectorError,
    load_outside as load_outside,
)
from .plan import DetectorUnderTest as DetectorUnderTest, EvaluationSettings as EvaluationSettings
from .planned_attacks import QUICK as QUICK, THOROUGH as THOROUGH, Effort as Effort
from .result import (
    CLEAN as CLEAN,
    Change as Change,
    EvaluationResult as EvaluationResult,
    Trial as Trial,
    WorstCase as WorstCase,
    load_experiments as load_experiments,
    load_result as load_result,
    save_result as save_result,
)
from .runner import RunOutcome as RunOutcome, evaluate_detectors as evaluate_detectors
from .suites import SUITES as SUITES, load_suite as load_suite
from .worst_case import area_under_curve as area_under_curve
