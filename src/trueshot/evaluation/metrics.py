"""Metrics of how well scores separate classes."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def area_under_curve(scores: npt.NDArray[np.float64], labels: npt.NDArray[np.int64]) -> float:
    """Compute the area under the ROC curve for class 0 against all other classes.

    This is the share of pairs, one image of class 0 and one of another class, that the scores rank
    correctly; ties count half.

    Args:
        scores: Scores, shape (n,); higher means more likely not class 0.
        labels: Classes, shape (n,); class 0 and another class must occur.
    """
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(labels > 0, scores))
