"""Scores with their classes, as every function of calibration takes them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trueshot.errors import CalibrationError
from trueshot.tasks import Wording
from trueshot.tasks.recapture import RECAPTURE

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]


def checked(
    scores: ArrayLike,
    labels: ArrayLike,
    *,
    finite: bool = True,
    wording: Wording = RECAPTURE.words,
) -> tuple[Floats, Labels]:
    """Scores and labels as arrays that fit each other.

    Args:
        scores: Shape (n,), higher means rather not of class 0.
        labels: 0 of class 0, 1 of any other, shape (n,).
        finite: Whether infinite scores are refused; what is not a number always is.
        wording: What errors call the two.

    Raises:
        CalibrationError: They do not fit, a score is no number, or a class is missing.
    """
    given, classes = np.asarray(scores, dtype=np.float64), np.asarray(labels)
    if given.ndim != 1 or given.shape != classes.shape:
        raise CalibrationError(
            f"scores of shape {given.shape} and labels of shape {classes.shape}: one of each for "
            "every photograph is needed"
        )
    if np.isnan(given).any() or (finite and np.isinf(given).any()):
        raise CalibrationError("a score is no finite number; leave such photographs out")
    for label, name in enumerate(wording.verdicts):
        if not (classes == label).any():
            raise CalibrationError(f"no {name} photograph among {len(given)}: both are needed")
    if not np.isin(classes, (0, 1)).all():
        first, other = wording.verdicts
        raise CalibrationError(f"labels other than 0 ({first}) and 1 ({other})")
    return given, classes.astype(np.int64)


def balanced(labels: Labels) -> Floats:
    """Weights under which both classes count half, however many photographs each has; sum 1."""
    return np.asarray(0.5 / np.bincount(labels, minlength=2)[labels])


def groups(sources: Sequence[object] | None, count: int) -> Labels:
    """Sources by number, shape (count,); without sources every photograph is one of its own.

    Raises:
        CalibrationError: There are more or fewer sources than photographs.
    """
    if sources is None:
        return np.arange(count)
    if len(sources) != count:
        raise CalibrationError(f"{len(sources)} sources for {count} photographs")
    names = [str(source) for source in sources]
    return np.asarray(np.unique(names, return_inverse=True)[1], dtype=np.int64).reshape(-1)
