"""The shortcut audit: can the classes be separated without looking at a single pixel?

If so, a detector may learn file formats instead of image content, and its accuracy means nothing
on other data.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

WARNING_AUC = 0.6
_FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "HEIF")
_SUBSAMPLINGS = ("4:4:4", "4:2:2", "4:2:0", "4:4:0", "4:1:1")
_MODES = ("RGB", "L", "P", "RGBA", "CMYK", "I;16", "1")
_FEWEST_PER_CLASS = 10
_FOLDS = 5
TREES = 200  # in the random forest

Features = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class ShortcutAudit:
    """How well format facts alone separate the classes.

    Args:
        auc: Area under the ROC curve of a classifier of format facts, cross-validated so that no
            group is in both training and testing. With more than two classes, the AUC of the
            class best separated from all others. None if there are too few photos or groups.
        photos: Number of photos audited.
        strongest: Names of the most important facts in the classifier, most important first.
    """

    auc: float | None
    photos: int
    strongest: tuple[str, ...] = ()

    @property
    def warning(self) -> str:
        """A warning if the format separates the classes (AUC above 0.6); otherwise empty."""
        if self.auc is None or self.auc <= WARNING_AUC:
            return ""
        return (
            f"format facts alone separate the classes (AUC {self.auc:.2f}, mainly by "
            f"{', '.join(self.strongest)}): a detector may learn these instead of image content"
        )


def audit_shortcuts(
    facts: Sequence[dict[str, Any]], labels: Sequence[int], groups: Sequence[int], seed: int = 0
) -> ShortcutAudit:
    """Train a classifier on format facts and measure its AUC on groups it has not seen.

    Args:
        facts: Format facts of each photo, as in `ImageFacts`.
        labels: Class number of each photo.
        groups: Group of each photo, which a split keeps in one part.
        seed: Seed of the classifier and the folds.
    """
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict

    truth = np.asarray(labels)
    classes, counts = np.unique(truth, return_counts=True)
    folds = min(_FOLDS, *(len(set(np.asarray(groups)[truth == label])) for label in classes))
    if folds < 2 or len(classes) < 2 or counts.min() < _FEWEST_PER_CLASS:
        return ShortcutAudit(auc=None, photos=len(facts))
    names, table = format_features(facts)
    parts = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    divided = list(parts.split(table, truth, groups))
    if any(len(set(truth[seen])) < len(classes) for seen, _ in divided):
        return ShortcutAudit(auc=None, photos=len(facts))  # a fold cannot learn every class
    forest = RandomForestClassifier(TREES, min_samples_leaf=3, random_state=seed)
    scores = cross_val_predict(
        forest,
        table,
        truth,
        cv=divided,
        method="predict_proba",
    )
    weights = forest.fit(table, truth).feature_importances_
    strongest = tuple(names[i] for i in np.argsort(-weights)[:3] if weights[i] > 0)
    told = range(1, 2) if len(classes) == 2 else range(len(classes))
    auc = max(float(roc_auc_score(truth == classes[c], scores[:, c])) for c in told)
    return ShortcutAudit(auc=auc, photos=len(facts), strongest=strongest)


def format_features(facts: Sequence[dict[str, Any]]) -> tuple[list[str], Features]:
    """Convert format facts to column names and a table of numbers, shape (photos, columns)."""
    rows = [_features(fact) for fact in facts]
    names = list(rows[0]) if rows else []
    table = np.array([[row[name] for name in names] for row in rows], dtype=np.float64)
    return names, table.clip(max=np.finfo(np.float32).max)  # the forest computes in float32


def _features(fact: dict[str, Any]) -> dict[str, float]:
    # Without the file size: it depends on the content of the picture, so it is no shortcut.
    width, height = fact["width"], fact["height"]
    numbers = {
        "width": width,
        "height": height,
        "pixels": width * height,
        "aspect": max(width, height) / min(width, height),
        "frames": fact["frames"],
        "progressive": fact["progressive"],
        "EXIF tags": fact["exif_tags"],
        "ICC bytes": fact["icc_bytes"],
        "metadata bytes": fact["metadata_bytes"],
        "resolution": fact["dpi"] or 0.0,
    }
    tables = [*fact["quantization"], (), ()][:2]
    for name, table in zip(("luma", "chroma"), tables, strict=True):
        numbers[f"JPEG {name} table sum"] = sum(table)
        numbers[f"JPEG {name} table start"] = table[0] if table else 0
    for kind, known in (("format", _FORMATS), ("subsampling", _SUBSAMPLINGS), ("mode", _MODES)):
        numbers |= {f"{kind} {value}": fact[kind] == value for value in known}
    return {name: float(value) for name, value in numbers.items()}
