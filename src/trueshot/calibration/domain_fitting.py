"""Fit the domain of a calibration to the features of its photographs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike

from trueshot.calibration.domain import Domain, compressed, expanded
from trueshot.calibration.samples import Floats
from trueshot.errors import CalibrationError

REFUSED = 1 / 200  # share of photographs like the calibrated ones to refuse, over all reasons
FEWEST_PHOTOGRAPHS = 20
_TAIL = 0.1  # share of the values, the largest, to which the exponential tail is fitted
_FARTHEST = 0.1  # longest extrapolation beyond the last value, as a share of the range below
_NEARLY_ALL = (0.01, 0.99)  # quantiles that bound this range
_LEAST_ROOM = 0.05  # least margin, on the compressed scale: 5 % of a large value, 0.05 of a share
_DEVIATIONS = 4.0  # the scale of a feature is at least its greatest deviation divided by this


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
