"""The domain of a calibration: whether a photograph is like the calibrated ones, and why not.

`fit_domain` fits it to the features of the calibration photographs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Self

import numpy as np
from numpy.typing import ArrayLike
from pydantic import BaseModel, ConfigDict, Field, model_validator

from trueshot.calibration.samples import Count, Floats, Number
from trueshot.errors import CalibrationError

MOST_FEATURES = 50

REFUSED = 1 / 200  # share of photographs like the calibrated ones to refuse, over all reasons
FEWEST_PHOTOGRAPHS = 20
_TAIL = 0.1  # share of the values, the largest, to which the exponential tail is fitted
_FARTHEST = 0.1  # longest extrapolation beyond the last value, as a share of the range below
_NEARLY_ALL = (0.01, 0.99)  # quantiles that bound this range
_LEAST_ROOM = 0.05  # least margin, on the compressed scale: 5 % of a large value, 0.05 of a share
_DEVIATIONS = 4.0  # the scale of a feature is at least its greatest deviation divided by this

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


def compressed(values: ArrayLike) -> Floats:
    """Return sign(v) * log(1 + |v|): factors become differences, and small values hardly change.

    Sharpness and noise differ between photographs by factors; shares lie in [0, 1].

    Args:
        values: Features, any shape.
    """
    given = np.asarray(values, dtype=np.float64)
    return np.asarray(np.sign(given) * np.log1p(np.abs(given)))


def expanded(values: ArrayLike) -> Floats:
    """Invert `compressed`."""
    given = np.asarray(values, dtype=np.float64)
    return np.asarray(np.sign(given) * np.expm1(np.abs(given)))


def _is_precision(matrix: Floats) -> bool:
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


def fit_domain(
    features: Sequence[Mapping[str, float]],
    crops: Sequence[int],
    *,
    side: int | None = None,
    refused: float = REFUSED,
) -> Domain:
    """Fit the domain that tells which other photographs are like the calibration photographs.

    Half of `refused` is spent on the ranges of single features, half on their combination: a
    Mahalanobis distance on the `compressed` scale, with a covariance shrunk towards independence
    (Ledoit and Wolf 2004). Each photograph's distance is measured to the mean of all the others,
    as it will be for a new photograph. If there are too few photographs for a quantile, it is
    extrapolated from the outer tenth of the values with an exponential tail: never inside the
    observed values, and at most a tenth of the range of nearly all values beyond them, because
    nothing was calibrated where no photograph was. On the compressed scale, the range of a feature
    extends at least 0.05 beyond the observed values; but if the feature was never negative, it does
    not begin below half of the least value.

    From a few hundred photographs on, about the share `refused` is refused. With fewer than a
    hundred, more is refused, as it should be: they do not show all that is usual. A photograph
    needs half as many crops as all but one in 200 of the calibration photographs had.

    Args:
        features: Features of each calibration photograph by name: the same names in all, finite.
        crops: Number of crops each score is based on.
        side: Height and width of the crops in pixels, for messages.
        refused: Target share of similar photographs to refuse, in (0, 1).

    Raises:
        CalibrationError: There are fewer than 20 photographs, the names of features differ, the
            lengths differ, a value is not finite, or `refused` is not in (0, 1).
    """
    table, names = _table(features, crops, refused)
    tail = refused / 2 / (2 * max(1, len(names)))
    ranges = {name: _range(table[:, at], tail) for at, name in enumerate(names)}
    mean, precision = table.mean(axis=0), _precision(table)
    distances = _to_the_others(table, precision)
    return Domain(
        features=ranges,
        mean=tuple(mean.tolist()),
        precision=tuple(map(tuple, precision.tolist())),
        limit=beyond(distances, refused / 2) if names else 0.0,
        fewest_crops=_fewest(crops),
        side=side,
    )


def beyond(values: ArrayLike, share: float) -> float:
    """Return a bound that at most about this share of similar values exceeds.

    If share * (n + 1) is at least 1, this is the conformal quantile of the values. Otherwise it is
    the quantile of an exponential tail fitted to the outer tenth, but no less than the greatest
    value, and beyond that by at most a tenth of the range from the 1st to the 99th percentile.

    Args:
        values: Shape (n,).
        share: In (0, 1).
    """
    ranked = np.sort(np.asarray(values, dtype=np.float64))
    count, greatest = len(ranked), float(ranked[-1])
    if share * (count + 1) >= 1:
        return float(ranked[count - math.floor(share * (count + 1) + 1e-9)])
    start = float(np.quantile(ranked, 1 - _TAIL))
    excess = ranked[ranked > start] - start
    if not len(excess):
        return greatest
    # If values are tied at its start, the tail holds less than a tenth of them.
    tail = start + float(excess.mean()) * math.log(len(excess) / count / share)
    low, high = np.quantile(ranked, _NEARLY_ALL)
    return min(max(greatest, tail), greatest + _FARTHEST * float(high - low))


def _table(
    features: Sequence[Mapping[str, float]], crops: Sequence[int], refused: float
) -> tuple[Floats, list[str]]:
    """Return the compressed features, shape (photographs, features), and their names."""
    if not 0 < refused < 1:
        raise CalibrationError(f"refused must be above 0 and below 1, got {refused}")
    if len(features) < FEWEST_PHOTOGRAPHS or len(features) != len(crops):
        raise CalibrationError(
            f"got features of {len(features)} and crop counts of {len(crops)} photographs; at "
            f"least {FEWEST_PHOTOGRAPHS} photographs with both are needed"
        )
    names = list(features[0])
    if any(set(each) != set(names) for each in features):
        raise CalibrationError("all photographs must have the same features as the first one")
    table = np.array([[each[name] for name in names] for each in features], dtype=np.float64)
    if not np.isfinite(table).all():
        raise CalibrationError("a feature is not a finite number; leave such photographs out")
    return compressed(table), names


def _range(column: Floats, tail: float) -> tuple[float, float]:
    """Return the lowest and highest accepted value of a feature."""
    least, greatest = float(column.min()), float(column.max())
    high = max(beyond(column, tail), greatest + _LEAST_ROOM)
    low = min(-beyond(-column, tail), least - _LEAST_ROOM)
    if least >= 0:  # presumably it cannot be negative, and if it was never 0, not 0
        low = max(low, least / 2)
    return float(expanded(low)), float(expanded(high))


def _precision(table: Floats) -> Floats:
    """Return the inverse of the shrunk covariance.

    A feature that varies rarely but then strongly, such as a share that is mostly 0, gets extra
    variance. Otherwise its few large distances would outweigh all other features.
    """
    if not table.shape[1]:
        return np.zeros((0, 0))
    away = np.abs(table - table.mean(axis=0)).max(axis=0) / _DEVIATIONS
    scale = np.maximum(np.maximum(table.std(axis=0), away), _LEAST_ROOM / 2)
    shrunk = ledoit_wolf(table / scale)
    own = np.maximum(1 - np.diag(shrunk), 0) + 1e-6
    precision = np.linalg.inv(shrunk + np.diag(own)) / np.outer(scale, scale)
    return np.asarray((precision + precision.T) / 2)


def ledoit_wolf(table: Floats) -> Floats:
    """Return the covariance of the columns, optimally shrunk towards a multiple of the identity.

    Source: Ledoit, Wolf 2004, "A well-conditioned estimator for large-dimensional covariance
    matrices", section 3.
    """
    away = table - table.mean(axis=0)
    count, size = away.shape
    covariance = away.T @ away / count
    identity = np.trace(covariance) / size * np.eye(size)
    distance = float(np.square(covariance - identity).sum())
    # Mean squared norm of the covariance of a single photograph.
    spread = float((np.square(away).T @ np.square(away)).sum() / count)
    error = (spread - float(np.square(covariance).sum())) / count
    share = min(error, distance) / distance if distance > 0 else 0.0
    return np.asarray(share * identity + (1 - share) * covariance)


def _to_the_others(table: Floats, precision: Floats) -> Floats:
    """Return the distance of each photograph to the mean of the others."""
    away = table - table.mean(axis=0)
    squared = np.einsum("ij,jk,ik->i", away, precision, away)
    return np.asarray(np.sqrt(np.maximum(squared, 0)) * len(table) / (len(table) - 1))


def _fewest(crops: Sequence[int]) -> int:
    """Return half of what nearly all had, at least 1: half as many crops average little worse."""
    usual = float(np.quantile(np.asarray(crops, dtype=np.float64), REFUSED, method="lower"))
    return max(1, math.ceil(usual / 2))
