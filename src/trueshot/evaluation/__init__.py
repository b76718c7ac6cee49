"""Evaluation: how often a detector is right, clean and attacked, and what that figure is worth."""

from trueshot.evaluation.examples import make_examples
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

__all__ = [
    "CLEAN",
    "PAPER_ATTACKS",
    "PAPER_BUDGETS",
    "Cell",
    "RobustnessResult",
    "Subject",
    "area_under_curve",
    "evaluate",
    "load_experiments",
    "load_result",
    "make_examples",
    "paper_attacks",
    "save_result",
    "wilson_interval",
]
