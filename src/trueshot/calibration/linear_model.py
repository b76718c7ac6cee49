"""A linear model that combines features of a photograph into a score, with contributions."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, model_validator

FARTHEST = 4.0  # deviations from the mean: training saw nothing further off


class LinearModel(BaseModel):
    """Logistic regression on standardised features.

    A feature that is missing or NaN counts as its mean, so it adds nothing. A feature more than
    four standard deviations from its mean is clipped to four. So every score is finite.

    Args:
        features: Names of the features.
        means: Means of the features in the training data.
        deviations: Their standard deviations in the training data.
        weights: Weight of each feature, per standard deviation.
        intercept: Score if all features are at their mean.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    features: tuple[str, ...]
    means: tuple[FiniteFloat, ...]
    deviations: tuple[Annotated[FiniteFloat, Field(gt=0)], ...]
    weights: tuple[FiniteFloat, ...]
    intercept: FiniteFloat

    @model_validator(mode="after")
    def _fits(self) -> Self:
        counts = {len(self.features), len(self.means), len(self.deviations), len(self.weights)}
        if len(counts) != 1 or len(set(self.features)) != len(self.features):
            raise ValueError("features must be unique, each with one mean, deviation and weight")
        if not math.isfinite(FARTHEST * sum(map(abs, self.weights)) + abs(self.intercept)):
            raise ValueError("weights and intercept are so large that a score may be infinite")
        return self

    def score(self, values: Mapping[str, float]) -> float:
        """Return the logit of recaptured: the intercept plus the contribution of each feature."""
        return self.intercept + sum(self.contributions(values).values())

    def contributions(self, values: Mapping[str, float]) -> dict[str, float]:
        """Return what each feature adds to the score, by name; positive supports recaptured."""
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
