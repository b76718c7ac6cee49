"""The domain of a calibration, from the features of its photographs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike

from trueshot.calibration.domain import Domain, compressed, expanded
from trueshot.calibration.samples import Floats
from trueshot.errors import CalibrationError

REFUSED = 1 / 200  # of photographs like those calibrated, over all reasons
FEWEST_PHOTOGRAPHS = 20
_TAIL = 0.1  # share of photographs from which the way on beyond the last of them is told
_FARTHEST = 0.1  # of the range of nearly all: never farther beyond the last of them than this
_NEARLY_ALL = (0.01, 0.99)  # what that range is
_LEAST_ROOM = 0.05  # on the compressed scale: 5 % of a large value, 0.05 of a share
_DEVIATIONS = 4.0  # that one feature is away from its mean at most: shares mostly nought are more


def fit_domain(
    features: Sequence[Mapping[str, float]],
    crops: Sequence[int],
    *,
    side: int | None = None,
    refused: float = REFUSED,
) -> Domain:
    """Tell from calibration photographs which others are like them.

    Half of the share that may be refused goes to the ranges of single features and half to their
    combination: a Mahalanobis distance on a scale on which factors count, with a covariance shrunk
    towards independence (Ledoit and Wolf 2004). Each photograph's distance is measured to all the
    others, as that of a new one will be. A quantile farther out than there are photographs for is
    reached from the outer tenth, by an exponential tail. It never lies within what was seen, and
    beyond that by a tenth of the range of nearly all at most: where no photograph was, nothing was
    calibrated. Of what was never nought, no less than half of the least is accepted. From a few
    hundred photographs on that keeps the share, or nearly; fewer than a hundred refuse more, as
    they should: they have not seen what is usual. A photograph may have half as many crops as all
    but one in 200 of these had.

    Args:
        features: Of each calibration photograph, the same names in all; finite.
        crops: Crops that each score rests on.
        side: Height and width of crops, for the sentences.
        refused: Wanted share of photographs like these that are refused, in (0, 1).

    Raises:
        CalibrationError: Fewer than 20 photographs, other names in some, a value that is no finite
            number, or no such share.
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
    """A bound that at most this share of values like these exceeds, or not many more.

    Where share * (n + 1) is 1 or more, the conformal quantile of the values. Else the end of an
    exponential tail through the outer tenth, but no less than the greatest of them, and no more
    than a tenth of the range from the first to the last hundredth beyond it.

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
    # With ties at its start the tail holds less than a tenth of the values.
    tail = start + float(excess.mean()) * math.log(len(excess) / count / share)
    low, high = np.quantile(ranked, _NEARLY_ALL)
    return min(max(greatest, tail), greatest + _FARTHEST * float(high - low))


def _table(
    features: Sequence[Mapping[str, float]], crops: Sequence[int], refused: float
) -> tuple[Floats, list[str]]:
    """Compressed features, shape (photographs, features), and their names."""
    if not 0 < refused < 1:
        raise CalibrationError(f"share {refused} to refuse: above 0 and below 1 wanted")
    if len(features) < FEWEST_PHOTOGRAPHS or len(features) != len(crops):
        raise CalibrationError(
            f"features of {len(features)} and crops of {len(crops)} photographs: "
            f"{FEWEST_PHOTOGRAPHS} or more of each are needed to tell what is usual; add some"
        )
    names = list(features[0])
    if any(set(each) != set(names) for each in features):
        raise CalibrationError("photographs with other features than the first one")
    table = np.array([[each[name] for name in names] for each in features], dtype=np.float64)
    if not np.isfinite(table).all():
        raise CalibrationError("a feature is no finite number; leave such photographs out")
    return compressed(table), names


def _range(column: Floats, tail: float) -> tuple[float, float]:
    """Least and greatest value that is accepted."""
    least, greatest = float(column.min()), float(column.max())
    high = max(beyond(column, tail), greatest + _LEAST_ROOM)
    low = min(-beyond(-column, tail), least - _LEAST_ROOM)
    if least >= 0:  # what is never below 0 cannot be, and what is never 0 is so by its nature
        low = max(low, least / 2)
    return float(expanded(low)), float(expanded(high))


def _precision(table: Floats) -> Floats:
    """Inverse of the shrunk covariance.

    A feature that hardly ever varies, and then much, as a share that is mostly nought, gets a
    variance of its own on top: else all others would be lost beside its few large distances.
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
    """Covariance of the columns, shrunk towards a multiple of the identity as far as is best.

    Source: Ledoit, Wolf 2004, "A well-conditioned estimator for large-dimensional covariance
    matrices", section 3.
    """
    away = table - table.mean(axis=0)
    count, size = away.shape
    covariance = away.T @ away / count
    identity = np.trace(covariance) / size * np.eye(size)
    distance = float(np.square(covariance - identity).sum())
    # How far the covariance of one photograph is from that of all, on average.
    spread = float((np.square(away).T @ np.square(away)).sum() / count)
    error = (spread - float(np.square(covariance).sum())) / count
    share = min(error, distance) / distance if distance > 0 else 0.0
    return np.asarray(share * identity + (1 - share) * covariance)


def _to_the_others(table: Floats, precision: Floats) -> Floats:
    """Distance of each photograph to the mean of the others."""
    away = table - table.mean(axis=0)
    squared = np.einsum("ij,jk,ik->i", away, precision, away)
    return np.asarray(np.sqrt(np.maximum(squared, 0)) * len(table) / (len(table) - 1))


def _fewest(crops: Sequence[int]) -> int:
    """Half of what nearly all had, but at least one: the mean of half as many is little worse."""
    usual = float(np.quantile(np.asarray(crops, dtype=np.float64), REFUSED, method="lower"))
    return max(1, math.ceil(usual / 2))
