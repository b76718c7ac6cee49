"""Fitting of linear models to features of simulated photographs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import GroupKFold

from trueshot.calibration.linear_model import LinearModel
from trueshot.errors import CalibrationError

Floats = npt.NDArray[np.float64]

STRENGTHS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3)  # the inverse of the penalty's factor
_FOLDS = 5


def fit_linear_model(
    rows: Sequence[Mapping[str, float]],
    labels: Sequence[int],
    sources: Sequence[str],
    features: Sequence[str] | None = None,
) -> LinearModel:
    """Fit logistic regression; cross-validation over sources chooses the strength of its penalty.

    Args:
        rows: Features of each photograph by name; what is missing or no number counts as the mean.
        labels: 0 original, 1 recaptured.
        sources: No source is on both sides of a fold.
        features: Names to use, by default all; those that never change are left out.

    Raises:
        CalibrationError: Fewer than five sources of a class, or no feature that changes.
    """
    names = list(features if features is not None else dict.fromkeys(n for r in rows for n in r))
    table = np.array([[row.get(name, math.nan) for name in names] for row in rows], np.float64)
    truth, groups = np.array(labels), np.array(sources)
    for label in (0, 1):
        if len(set(groups[truth == label])) < _FOLDS:
            raise CalibrationError(f"{_FOLDS} sources of each class wanted, class {label} has less")
    changing = np.array([len(set(column[~np.isnan(column)])) > 1 for column in table.T], bool)
    if not changing.any():
        raise CalibrationError("no feature changes from one photograph to another")
    names = [name for name, kept in zip(names, changing, strict=True) if kept]
    table = table[:, changing]
    means, deviations = np.nanmean(table, 0), np.nanstd(table, 0)
    standard = np.clip(np.nan_to_num((table - means) / deviations), -4, 4)
    losses = [_loss(standard, truth, groups, strength) for strength in STRENGTHS]
    model = _regression(STRENGTHS[int(np.argmin(losses))]).fit(standard, truth)
    return LinearModel(
        features=tuple(names),
        means=tuple(means.tolist()),
        deviations=tuple(deviations.tolist()),
        weights=tuple(model.coef_[0].tolist()),
        intercept=float(model.intercept_[0]),
    )


def _loss(
    table: Floats, labels: npt.NDArray[np.int64], groups: npt.NDArray[np.str_], c: float
) -> float:
    losses = []
    for rest, fold in GroupKFold(_FOLDS).split(table, labels, groups):
        model = _regression(c).fit(table[rest], labels[rest])
        losses.append(log_loss(labels[fold], model.predict_proba(table[fold]), labels=[0, 1]))
    return float(np.mean(losses))


def _regression(strength: float) -> LogisticRegression:
    return LogisticRegression(C=strength, max_iter=2000)
