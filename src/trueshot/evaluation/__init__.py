"""Evaluation: how often a detector is right, clean and attacked, and what that figure is worth."""

from trueshot.evaluation.examples import make_examples
from trueshot.evaluation.external import InputSpec, OutsideDetectorError, load_outside
from trueshot.evaluation.metrics import area_under_curve, wilson_interval
from trueshot.evaluation.results import (
    CLEAN,
    Cell,
    RobustnessResult,
    load_experiments,
    load_result,
    save_result,
)
from trueshot.evaluation.robustness import (
    PAPER_ATTACKS,
    PAPER_BUDGETS,
    Subject,
    evaluate,
    paper_attacks,
)
from trueshot.evaluation.run_suite import DetectorUnderTest, EvaluationSettings, run_suite
from trueshot.evaluation.runner import DetectorSource, RunOutcome, evaluate_detectors
from trueshot.evaluation.security import (
    Change,
    Doubt,
    SecurityResult,
    Trial,
    WorstCase,
    load_security_result,
    save_security_result,
)
from trueshot.evaluation.suites import QUICK, SUITES, THOROUGH, Effort

__all__ = [
    "CLEAN",
    "PAPER_ATTACKS",
    "PAPER_BUDGETS",
    "QUICK",
    "SUITES",
    "THOROUGH",
    "Cell",
    "Change",
    "DetectorSource",
    "DetectorUnderTest",
    "Doubt",
    "Effort",
    "EvaluationSettings",
    "InputSpec",
    "OutsideDetectorError",
    "RobustnessResult",
    "RunOutcome",
    "SecurityResult",
    "Subject",
    "Trial",
    "WorstCase",
    "area_under_curve",
    "evaluate",
    "evaluate_detectors",
    "load_experiments",
    "load_outside",
    "load_result",
    "load_security_result",
    "make_examples",
    "paper_attacks",
    "run_suite",
    "save_result",
    "save_security_result",
    "wilson_interval",
]
