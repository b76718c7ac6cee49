from .detector_source import DetectorSource
from .doubt import Doubt
from .evaluate import PAPER_ATTACKS, PAPER_BUDGETS, evaluate, evaluate_suite, paper_attacks
from .examples import make_examples
from .external import InputSpec, OutsideDetectorError, load_outside
from .plan import DetectorUnderTest, EvaluationSettings
from .planned_attacks import QUICK, THOROUGH, Effort
from .result import EvaluationResult, load_experiments, load_result, save_result
from .runner import RunOutcome, evaluate_detectors
from .suites import SUITES, load_suite
from .tally import CLEAN, Change, Trial, WorstCase
from .worst_case import area_under_curve

__all__ = [
    "CLEAN",
    "PAPER_ATTACKS",
    "PAPER_BUDGETS",
    "QUICK",
    "SUITES",
    "THOROUGH",
    "Change",
    "DetectorSource",
    "DetectorUnderTest",
    "Doubt",
    "Effort",
    "EvaluationResult",
    "EvaluationSettings",
    "InputSpec",
    "OutsideDetectorError",
    "RunOutcome",
    "Trial",
    "WorstCase",
    "area_under_curve",
    "evaluate",
    "evaluate_detectors",
    "evaluate_suite",
    "load_experiments",
    "load_outside",
    "load_result",
    "load_suite",
    "make_examples",
    "paper_attacks",
    "save_result",
]
