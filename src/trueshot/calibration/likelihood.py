"""The model that turns the score of a photograph into a likelihood ratio."""

from __future__ import annotations

from statistics import NormalDist
from typing import Annotated, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from trueshot.calibration.numbers import Count, Number

MOST_KNOTS = 1000
MOST_LOG10 = 100  # no set of photographs supports more, and 10 to this is still a number
_Knots = Annotated[tuple[Number, ...], Field(max_length=MOST_KNOTS)]
_FARTHEST = 1e100  # infinite scores are put here, so that a slope of 0 still makes a number


class Calibration(BaseModel):
    """How a score becomes a likelihood ratio: "recapture" against "original".

    A ratio above 1 (log10 above 0) speaks for a recapture. It says how much more often the
    photographs of the calibration set gave such a score when they were recaptures; it contains no
    prior, and holds for photographs like those.

    Args:
        method: "logistic" or "isotonic".
        slope: Logistic: the natural logarithm of the ratio is slope * score + intercept.
        intercept: See slope.
        knots: Isotonic: scores, strictly increasing; between them is a straight line, outside
            them the nearest value.
        values: Log10 of the ratio at the knots, never falling.
        lower: Least log10 ratio that the amount of calibration data supports, at most 0.
        upper: Greatest such, at least 0.
        covariance: Logistic: variance of slope, covariance, variance of intercept, over sources
            that might have been drawn instead; None if it is not known.
        originals: Original photographs that it was fitted on.
        recaptured: Recaptured photographs that it was fitted on.
        sources: Sources that these come from.
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
            raise ValueError("a logistic calibration has slope and intercept, and no knots")
        if self.method == "isotonic" and not (neither and self.knots):
            raise ValueError("an isotonic calibration has knots, and neither slope nor intercept")
        if self.covariance is not None:
            slope, both, intercept = self.covariance
            near = 1 + 1e-9  # sums round
            if min(slope, intercept) < 0 or both**2 > slope * intercept * near:
                raise ValueError("a covariance of slope and intercept is positive semidefinite")
            if self.method != "logistic":
                raise ValueError("only a logistic calibration has a covariance")
        if len(self.knots) != len(self.values):
            raise ValueError("as many knots as values are needed")
        if not all(a < b for a, b in zip(self.knots, self.knots[1:], strict=False)):
            raise ValueError("knots must increase strictly")
        if not all(a <= b for a, b in zip(self.values, self.values[1:], strict=False)):
            raise ValueError("values must not fall")
        return self

    def log10_lr(self, scores: ArrayLike) -> NDArray[np.float64]:
        """The bounded log10 likelihood ratios of these scores.

        Args:
            scores: Any shape; infinite scores meet the bounds.

        Returns:
            Same shape, within [lower, upper], never falling with the score.

        Raises:
            ValueError: A score is not a number.
        """
        return np.clip(self.unbounded(scores), self.lower, self.upper)

    def log10_interval(
        self, scores: ArrayLike, confidence: float = 0.95
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
        """Between what the log10 likelihood ratios lie, as far as the calibration set can tell.

        It tells how much the ratio would have moved had other sources of the same kind been drawn
        for calibration; not how much photographs of another kind would move it.

        Args:
            scores: Any shape; infinite scores meet the bounds.
            confidence: In (0, 1).

        Returns:
            Lower and upper ends, of the same shape, within [lower, upper]; None where the
            covariance is not known.

        Raises:
            ValueError: A score is not a number.

        Source: The delta method with a covariance that draws sources, see `fit_logistic`.
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
        """The same before the bounds: what the model says where it only extrapolates.

        Raises:
            ValueError: A score is not a number.
        """
        given = np.asarray(scores, dtype=np.float64)
        if np.isnan(given).any():
            raise ValueError("a score is not a number (NaN)")
        given = np.clip(given, -_FARTHEST, _FARTHEST)
        if self.slope is None or self.intercept is None:
            return np.asarray(np.interp(given, self.knots, self.values), dtype=np.float64)
        with np.errstate(over="ignore"):  # an infinite ratio is bounded like any other
            return np.asarray((self.slope * given + self.intercept) / np.log(10), dtype=np.float64)
