"""The domain of a calibration: whether a photograph is like the calibrated ones, and why not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from trueshot.calibration.numbers import Count, Number

MOST_FEATURES = 50
_Name = Annotated[str, Field(min_length=1, max_length=100)]
_Row = Annotated[tuple[Number, ...], Field(max_length=MOST_FEATURES)]


class Domain(BaseModel):
    """The photographs a calibration is valid for, described by simple features.

    Args:
        features: Lowest and highest accepted value of each feature, by name.
        mean: Mean of each feature after `compressed`, in the order of `features`.
        precision: Inverse of their covariance after `compressed`.
        limit: Highest accepted Mahalanobis distance. It catches unusual combinations of features
            that are each usual alone.
        fewest_crops: Minimum number of crops a score must be based on.
        side: Height and width of these crops in pixels, if known; only used in messages.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    features: Annotated[dict[_Name, tuple[Number, Number]], Field(max_length=MOST_FEATURES)]
    mean: _Row
    precision: Annotated[tuple[_Row, ...], Field(max_length=MOST_FEATURES)]
    limit: Annotated[Number, Field(ge=0)]
    fewest_crops: Count
    side: Annotated[int, Field(strict=True, ge=1, le=100_000)] | None = None

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if any(low > high for low, high in self.features.values()):
            raise ValueError("the upper end of a feature's range is below its lower end")
        count = len(self.features)
        if {len(self.mean), len(self.precision), *map(len, self.precision)} - {count}:
            raise ValueError("mean and precision must have one number per feature")
        if count and not _is_precision(np.asarray(self.precision)):
            raise ValueError("precision must be symmetric and positive definite")
        return self

    def reasons(self, features: Mapping[str, float], crops: int) -> list[str]:
        """Return why a photograph is outside the domain, one sentence per reason; empty if inside.

        Args:
            features: Features of the photograph by name; names not in the domain are ignored.
            crops: Number of crops its score is based on.
        """
        few = [_too_few(crops, self.fewest_crops, self.side)] if crops < self.fewest_crops else []
        outside = []
        for name, (low, high) in self.features.items():
            if name not in features:
                outside.append(
                    f"{name}: used in the calibration, but not known for this photograph"
                )
            elif not low <= features[name] <= high:
                outside.append(_beyond(name, features[name], low, high))
        return few + (outside or self._unusual_together(features))

    def distance(self, features: Mapping[str, float]) -> float:
        """Return the Mahalanobis distance of a photograph from the mean of the calibrated ones.

        Raises:
            KeyError: A calibrated feature is missing.
        """
        if not self.features:
            return 0.0
        with np.errstate(over="ignore", invalid="ignore"):
            away = compressed([features[name] for name in self.features]) - np.asarray(self.mean)
            squared = float(away @ np.asarray(self.precision) @ away)
        return float(np.sqrt(max(squared, 0.0))) if np.isfinite(squared) else float("inf")

    def _unusual_together(self, features: Mapping[str, float]) -> list[str]:
        distance = self.distance(features)
        if distance <= self.limit:
            return []
        return [
            "unlike the calibration photographs: each property is usual by itself, but their "
            f"combination is not (distance {distance:.3g}, accepted up to {self.limit:.3g})"
        ]


def compressed(values: ArrayLike) -> NDArray[np.float64]:
    """Return sign(v) * log(1 + |v|): factors become differences, and small values hardly change.

    Sharpness and noise differ between photographs by factors; shares lie in [0, 1].

    Args:
        values: Features, any shape.
    """
    given = np.asarray(values, dtype=np.float64)
    return np.asarray(np.sign(given) * np.log1p(np.abs(given)))


def expanded(values: ArrayLike) -> NDArray[np.float64]:
    """Invert `compressed`."""
    given = np.asarray(values, dtype=np.float64)
    return np.asarray(np.sign(given) * np.expm1(np.abs(given)))


def _is_precision(matrix: NDArray[np.float64]) -> bool:
    if not np.allclose(matrix, matrix.T, rtol=1e-6, atol=0):
        return False
    with np.errstate(over="ignore", invalid="ignore"):
        try:
            np.linalg.cholesky(matrix)
        except np.linalg.LinAlgError:
            return False
    return True


def _too_few(crops: int, fewest: int, side: int | None) -> str:
    of_size = "" if side is None else f" of {side} px"
    what = "no crop" if crops == 0 else "only 1 crop" if crops == 1 else f"only {crops} crops"
    need = "1 is needed" if fewest == 1 else f"at least {fewest} are needed"
    return f"{what}{of_size} with texture: {need}"


def _beyond(name: str, value: float, low: float, high: float) -> str:
    if np.isnan(value):
        return f"{name} is not a number"
    where = "below" if value < low else "above"
    return f"{name} {value:.3g}: {where} the calibrated range, {low:.3g} to {high:.3g}"
