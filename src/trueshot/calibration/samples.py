"""Types of the numbers in a card, and checks of scores with labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import Field

from trueshot.errors import CalibrationError
from trueshot.tasks import Wording
from trueshot.tasks.recapture import RECAPTURE

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]

# Numbers in a card: finite, and not given as text.
Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Share = Annotated[float, Field(strict=True, ge=0, le=1)]
Count = Annotated[int, Field(strict=True, ge=0)]


def checked(
    scores: ArrayLike,
    labels: ArrayLike,
    *,
    finite: bool = True,
    wording: Wording = RECAPTURE.words,
) -> tuple[Floats, Labels]:
    """Return scores and labels as arrays, after checking that they match.

    Args:
        scores: Shape (n,); the higher, the less likely class 0.
        labels: 0 for class 0, 1 for any other class, shape (n,).
        finite: Whether to refuse infinite scores; NaN is always refused.
        wording: Names of the two classes in error messages.

    Raises:
        CalibrationError: Shapes differ, a score is not a number, a class is missing, or a label
            is neither 0 nor 1.
    """
    given, classes = np.asarray(scores, dtype=np.float64), np.asarray(labels)
    if given.ndim != 1 or given.shape != classes.shape:
        raise CalibrationError(
            f"need one score and one label per photograph, got scores of shape {given.shape} and "
            f"labels of shape {classes.shape}"
        )
    if np.isnan(given).any() or (finite and np.isinf(given).any()):
        raise CalibrationError("a score is not a finite number; leave such photographs out")
    for label, name in enumerate(wording.verdicts):
        if not (classes == label).any():
            raise CalibrationError(
                f"no {name} photographs among {len(given)}; both classes are needed"
            )
    if not np.isin(classes, (0, 1)).all():
        first, other = wording.verdicts
        raise CalibrationError(f"labels must be 0 ({first}) or 1 ({other})")
    return given, classes.astype(np.int64)


def balanced(labels: Labels) -> Floats:
    """Return weights that sum to 1/2 in each class, whatever its number of photographs."""
    return np.asarray(0.5 / np.bincount(labels, minlength=2)[labels])


def groups(sources: Sequence[object] | None, count: int) -> Labels:
    """Return the sources as numbers, shape (count,); for None, each photograph is its own source.

    Raises:
        CalibrationError: The numbers of sources and photographs differ.
    """
    if sources is None:
        return np.arange(count)
    if len(sources) != count:
        raise CalibrationError(
            f"sources must have one entry per photograph, got {len(sources)} for {count}"
        )
    names = [str(source) for source in sources]
    return np.asarray(np.unique(names, return_inverse=True)[1], dtype=np.int64).reshape(-1)


def of_kinds(
    labels: ArrayLike, kinds: Sequence[str] | None, unknown: str = RECAPTURE.words.verdicts[1]
) -> dict[str, NDArray[np.bool_]]:
    """Return a mask of the recaptures of each kind, in alphabetical order of the kinds.

    ISO/IEC 30107-3 requires the error rate of each kind.

    Args:
        labels: 0 original, 1 recaptured, shape (n,).
        kinds: Kind of each recapture, such as "screen" and "print", n of them; entries for
            originals are ignored. None: all are of one kind, `unknown`.
        unknown: Name of an empty kind.

    Raises:
        CalibrationError: The numbers of kinds and photographs differ.
    """
    recaptured = np.asarray(labels) == 1
    if kinds is None:
        return {unknown: recaptured}
    if len(kinds) != len(recaptured):
        raise CalibrationError(
            f"kinds must have one entry per photograph, got {len(kinds)} for {len(recaptured)}"
        )
    names = np.array([str(kind) or unknown for kind in kinds], dtype=object)
    found = sorted(set(names[recaptured]))
    return {kind: recaptured & np.asarray(names == kind, dtype=bool) for kind in found}
