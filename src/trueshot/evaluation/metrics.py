"""Rates and what they are worth."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
import numpy.typing as npt


def wilson_interval(right: int, total: int, confidence: float = 0.95) -> tuple[float, float]:
    """Interval of a proportion that keeps its level for few trials and for rates near 0 and 1.

    Args:
        right: Successes.
        total: Trials, at least one.
        confidence: Of the interval, in (0, 1).

    Returns:
        Lower and upper end, in [0, 1]. It takes the trials as independent: crops of one photo are
        not quite, so the true interval is wider.

    Raises:
        ValueError: No trials, or more successes than trials.

    Source: Wilson 1927.
    """
    if total < 1 or not 0 <= right <= total:
        raise ValueError(f"{right} of {total} is no proportion")
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share, scale = right / total, 1 + z * z / total
    middle = (share + z * z / (2 * total)) / scale
    half = z / scale * math.sqrt(share * (1 - share) / total + z * z / (4 * total * total))
    return max(0.0, middle - half), min(1.0, middle + half)


def area_under_curve(scores: npt.NDArray[np.float64], labels: npt.NDArray[np.int64]) -> float:
    """Share of pairs (original, recaptured) that the scores rank rightly; ties count half.

    Args:
        scores: Higher means rather recaptured, shape (n,).
        labels: 0 or 1, shape (n,); both must occur.
    """
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(labels, scores))
