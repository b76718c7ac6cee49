"""Evaluation of detectors: accuracy without and under attack, and reasons to doubt the figures."""

from trueshot.evaluation.detector_source import DetectorSource
from trueshot.evaluation.evaluate import (
    PAPER_ATTACKS,
    PAPER_BUDGETS,
    evaluate,
    evaluate_suite,
    paper_attacks,
)
from trueshot.evaluation.examples import make_examples
from trueshot.evaluation.external import InputSpec, OutsideDetectorError, load_outside
from trueshot.evaluation.plan import DetectorUnderTest, EvaluationSettings
from trueshot.evaluation.planned_attacks import QUICK, THOROUGH, Effort
from trueshot.evaluation.result import (
    CLEAN,
    Change,
    Doubt,
    EvaluationResult,
    Trial,
    WorstCase,
    load_experiments,
    load_result,
    save_result,
)
from trueshot.evaluation.runner import RunOutcome, evaluate_detectors
from trueshot.evaluation.suites import SUITES, load_suite
from trueshot.evaluation.worst_case import area_under_curve

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
