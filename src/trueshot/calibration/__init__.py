"""Scores made into likelihood ratios, verdicts, and error rates with intervals."""

from __future__ import annotations

from trueshot.calibration.decision import Decision
from trueshot.calibration.domain import Domain
from trueshot.calibration.likelihood import Calibration

__all__ = ["Calibration", "Decision", "Domain"]
