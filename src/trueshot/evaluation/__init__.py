"""Evaluation: how often a detector is right, clean and attacked, and what that figure is worth."""

from trueshot.evaluation.examples import make_examples
from trueshot.evaluation.judging import Judgement, Source, judge_all
from trueshot.evaluation.metrics import area_under_curve, wilson_interval
from trueshot.evaluation.outside import Contract, OutsideDetectorError, load_outside
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
from trueshot.evaluation.run_suite import Candidate, Terms, run_suite
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
    "Candidate",
    "Cell",
    "Change",
    "Contract",
    "Doubt",
    "Effort",
    "Judgement",
    "OutsideDetectorError",
    "RobustnessResult",
    "SecurityResult",
    "Source",
    "Subject",
    "Terms",
    "Trial",
    "WorstCase",
    "area_under_curve",
    "evaluate",
    "judge_all",
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
