"""The model that turns a score into one of three verdicts."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, model_validator

from trueshot.calibration.numbers import Number, Share

Answer = Literal["original", "recaptured", "undecided"]


class Decision(BaseModel):
    """Two thresholds, and the error rates that they were chosen for.

    Args:
        original_to: Scores up to this one are called original.
        recaptured_from: Scores from this one on are called recaptured; between the two is
            undecided. Where both are the same score, that score is recaptured.
        apcer: Share of recaptures (attack presentations) called original that was wanted.
        bpcer: Share of originals (bona fide presentations) called recaptured that was wanted.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    original_to: Number
    recaptured_from: Number
    apcer: Share
    bpcer: Share

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.original_to > self.recaptured_from:
            raise ValueError("original_to must not lie above recaptured_from")
        return self

    def verdict(self, score: float) -> Answer:
        """What this score is called; one that is not a number is undecided."""
        if score >= self.recaptured_from:
            return "recaptured"
        return "original" if score <= self.original_to else "undecided"
