"""Photographs by kind of recapture, since ISO/IEC 30107-3 wants the error rate of each."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trueshot.errors import CalibrationError
from trueshot.tasks.recapture import RECAPTURE


def of_kinds(
    labels: ArrayLike, kinds: Sequence[str] | None, unknown: str = RECAPTURE.words.verdicts[1]
) -> dict[str, NDArray[np.bool_]]:
    """Return a mask of the recaptures of each kind, in alphabetical order of the kinds.

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
