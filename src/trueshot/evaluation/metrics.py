"""How well scores tell classes apart."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def area_under_curve(scores: npt.NDArray[np.float64], labels: npt.NDArray[np.int64]) -> float:
    """Share of pairs, one of class 0 and one of another, that scores rank rightly; ties count half.

    Args:
        scores: Higher means rather not of class 0, shape (n,).
        labels: Classes, shape (n,); class 0 and another must occur.
    """
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(labels > 0, scores))
