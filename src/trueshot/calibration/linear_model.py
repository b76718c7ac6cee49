"""Many numbers about a photograph made one: a weighted sum that says what each adds to it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Self

from pydantic import BaseModel, ConfigDict, FiniteFloat, PositiveFloat, model_validator

FARTHEST = 4.0  # deviations from the mean: what is farther off was not seen in training


class LinearModel(BaseModel):
    """Logistic regression on standardised features.

    A feature that is missing or no number counts as its mean, and so adds nothing; one that is
    farther than four deviations from its mean counts as four.

    Args:
        features: Names.
        means: Of the features where the model was fitted.
        deviations: Likewise.
        weights: Per deviation.
        intercept: What all begin with.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    features: tuple[str, ...]
    means: tuple[FiniteFloat, ...]
    deviations: tuple[PositiveFloat, ...]
    weights: tuple[FiniteFloat, ...]
    intercept: FiniteFloat

    @model_validator(mode="after")
    def _fits(self) -> Self:
        counts = {len(self.features), len(self.means), len(self.deviations), len(self.weights)}
        if len(counts) != 1 or len(set(self.features)) != len(self.features):
            raise ValueError("one mean, deviation and weight for each feature wanted")
        return self

    def score(self, values: Mapping[str, float]) -> float:
        """Logit of recaptured: the intercept and what each feature adds."""
        return self.intercept + sum(self.contributions(values).values())

    def contributions(self, values: Mapping[str, float]) -> dict[str, float]:
        """What each feature adds to the score, by name; positive speaks for recaptured."""
        return {
            name: weight * _standardised(values.get(name, math.nan), mean, deviation)
            for name, mean, deviation, weight in zip(
                self.features, self.means, self.deviations, self.weights, strict=True
            )
        }


def _standardised(value: float, mean: float, deviation: float) -> float:
    if math.isnan(value):
        return 0.0
    return min(max((value - mean) / deviation, -FARTHEST), FARTHEST)
