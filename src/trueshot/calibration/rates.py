"""Error rates of verdicts, in the terms of ISO/IEC 30107-3.

Class 1, recaptured, is the attack presentation; class 0, original, is the bona fide presentation.
In other tasks class 1 stands for all classes but 0, and their wording replaces these two words.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trueshot.errors import CalibrationError
from trueshot.tasks import Wording
from trueshot.tasks.recapture import RECAPTURE
from trueshot.tasks.task import UNDECIDED

_WORDS = RECAPTURE.words


@dataclass(frozen=True, kw_only=True)
class Shares:
    """Counts of the verdicts on the photographs of one class, and shares of all of them.

    Undecided photographs stay in the total, so that a detector does not look better by not
    deciding. Read the share of errors together with the share undecided.

    Args:
        wrong: Photographs that got the verdict of the other class.
        undecided: Photographs that got no verdict.
        total: All photographs of the class, at least one.
    """

    wrong: int
    undecided: int
    total: int

    @property
    def error(self) -> float:
        """Share of wrong verdicts among all photographs of the class."""
        return self.wrong / self.total

    @property
    def left_open(self) -> float:
        """Share of undecided photographs among all of the class."""
        return self.undecided / self.total

    @property
    def error_of_decided(self) -> float:
        """Share of wrong verdicts among decided photographs; 0 if none was decided."""
        return self.wrong / max(1, self.total - self.undecided)


def shares(
    verdicts: Sequence[str], labels: ArrayLike, wording: Wording = _WORDS
) -> tuple[Shares, Shares]:
    """Count the verdicts on originals and on recaptures.

    Args:
        verdicts: "original", "recaptured" or "undecided", n of them.
        labels: 0 original, 1 recaptured, shape (n,).
        wording: Words of the verdicts.

    Raises:
        CalibrationError: A class is missing, lengths differ, or a verdict is none of the three.
    """
    given, classes = _checked(verdicts, labels, wording)
    first, other = wording.verdicts
    return _of(given[classes == 0], other), _of(given[classes == 1], first)


def bpcer(verdicts: Sequence[str], labels: ArrayLike, wording: Wording = _WORDS) -> float:
    """Return the share of originals (bona fide presentations) that are called recaptured.

    Args, raises: See `shares`.
    """
    return shares(verdicts, labels, wording)[0].error


def apcer(
    verdicts: Sequence[str],
    labels: ArrayLike,
    kinds: Sequence[str] | None = None,
    wording: Wording = _WORDS,
) -> dict[str, float]:
    """Return the share of recaptures (attack presentations) that are called original, per kind.

    Args:
        verdicts: "original", "recaptured" or "undecided", n of them.
        labels: 0 original, 1 recaptured, shape (n,).
        kinds: Kind of each recapture, such as "screen" and "print", n of them; entries for
            originals are ignored. None: all are of one kind, "recaptured".
        wording: Words of the verdicts.

    Returns:
        The rate by kind, in alphabetical order. The standard requires the worst kind to be
        reported: see `worst`.

    Raises:
        CalibrationError: See `shares`.
    """
    given, classes = _checked(verdicts, labels, wording)
    first, other = wording.verdicts
    chosen = of_kinds(classes, kinds, other)
    return {kind: _of(given[which], first).error for kind, which in chosen.items()}


def worst(rates: Mapping[str, float]) -> tuple[str, float]:
    """Return the kind with the highest rate, and that rate.

    Raises:
        CalibrationError: `rates` is empty.
    """
    if not rates:
        raise CalibrationError("the worst kind needs the rate of at least one kind")
    return max(rates.items(), key=lambda pair: pair[1])


def of_kinds(
    labels: ArrayLike, kinds: Sequence[str] | None, unknown: str = _WORDS.verdicts[1]
) -> dict[str, NDArray[np.bool_]]:
    """Return a mask of the recaptures of each kind; an empty kind is named `unknown`.

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


def _of(verdicts: NDArray[np.str_], error: str) -> Shares:
    return Shares(
        wrong=int((verdicts == error).sum()),
        undecided=int((verdicts == UNDECIDED).sum()),
        total=len(verdicts),
    )


def _checked(
    verdicts: Sequence[str], labels: ArrayLike, wording: Wording
) -> tuple[NDArray[np.str_], NDArray[np.int64]]:
    given, classes = np.asarray(verdicts, dtype=np.str_), np.asarray(labels, dtype=np.int64)
    if given.ndim != 1 or given.shape != classes.shape:
        raise CalibrationError(f"need one label per verdict, got {classes.size} for {given.size}")
    known = (*wording.verdicts, UNDECIDED)
    if other := sorted(set(given.tolist()) - set(known)):
        raise CalibrationError(f"unknown verdict {other[0]!r}; choose from {', '.join(known)}")
    for label, name in enumerate(wording.verdicts):
        if not (classes == label).any():
            raise CalibrationError(f"no {name} photographs: their error rate is unknown")
    return given, classes
