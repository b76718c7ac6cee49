"""The model that turns the score of a photograph into a likelihood ratio."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import Annotated, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from trueshot.calibration.samples import Count, Number

MOST_KNOTS = 1000
MOST_LOG10 = 100  # more than any set of photographs supports, and 10 to this power is still finite
_Knots = Annotated[tuple[Number, ...], Field(max_length=MOST_KNOTS)]
_FARTHEST = 1e100  # infinite scores are clipped to this, so that a slope of 0 does not give NaN


class Calibration(BaseModel):
    """Map from scores to likelihood ratios of "recapture" against "original".

    A ratio above 1 (log10 above 0) supports a recapture. It says how many times more often
    recaptures than originals in the calibration set had such a score. It contains no prior, and
    is valid for photographs like those of the calibration set.

    Args:
        method: "logistic" or "isotonic".
        slope: Logistic: the natural logarithm of the ratio is slope * score + intercept.
        intercept: See slope.
        knots: Isotonic: scores, strictly increasing. Between them the log ratio is linear;
            outside them it is that of the nearest knot.
        values: Log10 of the ratio at the knots, never decreasing.
        lower: Lowest log10 ratio that the amount of calibration data supports, at most 0.
        upper: Highest log10 ratio that it supports, at least 0.
        covariance: Logistic: variance of slope, covariance, variance of intercept, over repeated
            samples of sources; None if not known.
        originals: Number of originals it was fitted to.
        recaptured: Number of recaptures it was fitted to.
        sources: Number of sources these come from.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    method: Literal["logistic", "isotonic"]
    slope: Annotated[Number, Field(ge=0)] | None = None
    intercept: Number | None = None
    knots: _Knots = ()
    values: _Knots = ()
    lower: Annotated[Number, Field(ge=-MOST_LOG10, le=0)]
    upper: Annotated[Number, Field(ge=0, le=MOST_LOG10)]
    originals: Count
    recaptured: Count
    sources: Count
    covariance: tuple[Number, Number, Number] | None = None

    @model_validator(mode="after")
    def _fits_its_method(self) -> Self:
        line = self.slope is not None and self.intercept is not None
        neither = self.slope is None and self.intercept is None
        if self.method == "logistic" and not (line and not self.knots and not self.values):
            raise ValueError("a logistic calibration must have slope and intercept, and no knots")
        if self.method == "isotonic" and not (neither and self.knots):
            raise ValueError(
                "an isotonic calibration must have knots, and neither slope nor intercept"
            )
        if self.covariance is not None:
            slope, both, intercept = self.covariance
            near = 1 + 1e-9  # sums round
            most = math.sqrt(max(slope, 0)) * math.sqrt(max(intercept, 0))
            if min(slope, intercept) < 0 or abs(both) > most * near:
                raise ValueError(
                    "the covariance of slope and intercept must be positive semidefinite"
                )
            if self.method != "logistic":
                raise ValueError("only a logistic calibration can have a covariance")
        if len(self.knots) != len(self.values):
            raise ValueError("knots and values must have the same length")
        if not all(a < b for a, b in zip(self.knots, self.knots[1:], strict=False)):
            raise ValueError("knots must increase strictly")
        if not all(a <= b for a, b in zip(self.values, self.values[1:], strict=False)):
            raise ValueError("values must not decrease")
        return self

    def log10_lr(self, scores: ArrayLike) -> NDArray[np.float64]:
        """Return the bounded log10 likelihood ratios of these scores.

        Args:
            scores: Any shape; may be infinite.

        Returns:
            Same shape, within [lower, upper], non-decreasing in the score.

        Raises:
            ValueError: A score is NaN.
        """
        return np.clip(self.unbounded(scores), self.lower, self.upper)

    def log10_interval(
        self, scores: ArrayLike, confidence: float = 0.95
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
        """Return the confidence interval of the log10 likelihood ratios.

        It tells how much the ratio would vary if other sources of the same kind had been drawn
        for calibration, not how much it would vary with photographs of another kind.

        Args:
            scores: Any shape; may be infinite.
            confidence: Confidence level, in (0, 1).

        Returns:
            Lower and upper ends, of the same shape, within [lower, upper]; None if the covariance
            is not known.

        Raises:
            ValueError: A score is NaN.

        Source: The delta method, with the covariance clustered by source; see `fit_logistic`.
        """
        if self.covariance is None:
            return None
        middle = self.unbounded(scores)
        given = np.clip(np.asarray(scores, dtype=np.float64), -_FARTHEST, _FARTHEST)
        slope, both, intercept = self.covariance
        deviation = np.sqrt(np.maximum(slope * given**2 + 2 * both * given + intercept, 0))
        reach = NormalDist().inv_cdf((1 + confidence) / 2) * deviation / np.log(10)
        low, high = middle - reach, middle + reach
        return np.clip(low, self.lower, self.upper), np.clip(high, self.lower, self.upper)

    def unbounded(self, scores: ArrayLike) -> NDArray[np.float64]:
        """Return the log10 likelihood ratios before the bounds, including mere extrapolation.

        Raises:
            ValueError: A score is NaN.
        """
        given = np.asarray(scores, dtype=np.float64)
        if np.isnan(given).any():
            raise ValueError("a score is not a number (NaN)")
        given = np.clip(given, -_FARTHEST, _FARTHEST)
        if self.slope is None or self.intercept is None:
            return np.asarray(np.interp(given, self.knots, self.values), dtype=np.float64)
        with np.errstate(over="ignore"):  # an infinite ratio is clipped to the bounds later
            return np.asarray((self.slope * given + self.intercept) / np.log(10), dtype=np.float64)
