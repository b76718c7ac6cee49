"""Probes: small experiments on a detector that tell whether a good figure can be trusted."""

from trueshot.evaluation.sanity_checks.behaviour import Behaviour, behaviour_of
from trueshot.evaluation.sanity_checks.gradients import Slopes, gives_gradient, slopes_of
from trueshot.evaluation.sanity_checks.panel import Panel, run_panel

__all__ = [
    "Behaviour",
    "Panel",
    "Slopes",
    "behaviour_of",
    "gives_gradient",
    "run_panel",
    "slopes_of",
]
