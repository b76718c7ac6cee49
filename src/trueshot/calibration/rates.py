"""Error rates of verdicts, in the terms of ISO/IEC 30107-3.

Class 1, recaptured, is the attack presentation; class 0, original, is the bona fide presentation.
Of other tasks class 1 stands for all classes but 0, and their words take the place of these two.
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
    """What became of the photographs of one class; each share is of all of them.

    Undecided photographs stay in the total: a detector must not look better by not deciding, so
    the share of errors is always read with the share undecided beside it.

    Args:
        wrong: Photographs that were given the verdict of the other class.
        undecided: Photographs that were given no verdict.
        total: All photographs of the class, at least one.
    """

    wrong: int
    undecided: int
    total: int

    @property
    def error(self) -> float:
        """Wrong ones among all."""
        return self.wrong / self.total

    @property
    def left_open(self) -> float:
        """Undecided ones among all."""
        return self.undecided / self.total

    @property
    def error_of_decided(self) -> float:
        """Wrong ones among those that were given a verdict; 0 if none was."""
        return self.wrong / max(1, self.total - self.undecided)


def shares(
    verdicts: Sequence[str], labels: ArrayLike, wording: Wording = _WORDS
) -> tuple[Shares, Shares]:
    """What became of originals and of recaptures.

    Args:
        verdicts: "original", "recaptured" or "undecided", n of them.
        labels: 0 original, 1 recaptured, shape (n,).
        wording: What the two are called in verdicts.

    Raises:
        CalibrationError: A class is missing, lengths differ, or a verdict is none of the three.
    """
    given, classes = _checked(verdicts, labels, wording)
    first, other = wording.verdicts
    return _of(given[classes == 0], other), _of(given[classes == 1], first)


def bpcer(verdicts: Sequence[str], labels: ArrayLike, wording: Wording = _WORDS) -> float:
    """Share of originals (bona fide presentations) that are called recaptured.

    Args, raises: As `shares`.
    """
    return shares(verdicts, labels, wording)[0].error


def apcer(
    verdicts: Sequence[str],
    labels: ArrayLike,
    kinds: Sequence[str] | None = None,
    wording: Wording = _WORDS,
) -> dict[str, float]:
    """Share of recaptures (attack presentations) that are called original, per kind.

    Args:
        verdicts: "original", "recaptured" or "undecided", n of them.
        labels: 0 original, 1 recaptured, shape (n,).
        kinds: Kind of each recapture, such as "screen" and "print", n of them; what stands for
            originals is passed over. None: all of one kind, "recaptured".
        wording: What the two are called in verdicts.

    Returns:
        The rate by kind, in the order of the alphabet. The standard has the worst kind reported:
        see `worst`.

    Raises:
        CalibrationError: As `shares`.
    """
    given, classes = _checked(verdicts, labels, wording)
    first, other = wording.verdicts
    chosen = of_kinds(classes, kinds, other)
    return {kind: _of(given[which], first).error for kind, which in chosen.items()}


def worst(rates: Mapping[str, float]) -> tuple[str, float]:
    """The kind with the highest rate, and that rate.

    Raises:
        CalibrationError: There is no kind.
    """
    if not rates:
        raise CalibrationError("no kind of recapture: there is no worst one")
    return max(rates.items(), key=lambda pair: pair[1])


def of_kinds(
    labels: ArrayLike, kinds: Sequence[str] | None, unknown: str = _WORDS.verdicts[1]
) -> dict[str, NDArray[np.bool_]]:
    """Which photographs are recaptures of each kind, by name; without a kind it is `unknown`.

    Raises:
        CalibrationError: There are more or fewer kinds than photographs.
    """
    recaptured = np.asarray(labels) == 1
    if kinds is None:
        return {unknown: recaptured}
    if len(kinds) != len(recaptured):
        raise CalibrationError(f"{len(kinds)} kinds for {len(recaptured)} photographs")
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
        raise CalibrationError(f"{given.size} verdicts and {classes.size} labels: as many needed")
    known = (*wording.verdicts, UNDECIDED)
    if other := sorted(set(given.tolist()) - set(known)):
        raise CalibrationError(f"verdict {other[0]!r}; known: {', '.join(known)}")
    for label, name in enumerate(wording.verdicts):
        if not (classes == label).any():
            raise CalibrationError(f"no {name} photograph: its error rate cannot be told")
    return given, classes
