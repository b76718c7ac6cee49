"""What is said of one file, as a record for JSON, CSV and Parquet, and what all add up to."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from trueshot.files import sanitize

Word = Literal["original", "recaptured", "undecided", "error"]

EXPLANATION = "explanation"
"""Under what name a worker attaches the bytes that `judging.evidence.Explanation` reads."""

WORDS: tuple[Word, ...] = ("original", "recaptured", "undecided", "error")

# What comes from a worker may come from a file that took it over, and is to harm no table, no
# terminal and no report.
MOST_LOG10_LR = 100.0
_MOST_WHOLE, _MOST_NUMBER, _MOST_NOTES = 2**31 - 1, 1e12, 100
_HASH = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """What is said of one file.

    Args:
        file: Its name as it was given or found, made printable; `archive.zip!/inner.jpg` for a
            member of an archive, `-` for standard input.
        verdict: "original", "recaptured", "undecided" (it was judged, and the evidence is too weak
            or the photograph unlike those that the detector was calibrated on), or "error".
        sha256: Of the bytes that were judged, 64 hexadecimal digits; none if they were not read.
        log10_lr: Decimal logarithm of the likelihood ratio: above 0 the evidence speaks for a
            recapture, below 0 for an original.
        score: What the detector said: logit margin, recaptured minus original.
        crops: Number of crops that were looked at.
        notes: What was done to the pixels on the way, and what was left undone.
        reason: Why it is an error, or undecided.
        width: Pixels across, as stored.
        height: Pixels down, as stored.
        format: "JPEG", "PNG" and so on, by content.
        seconds: Time that reading and inference took.
        detector: SHA-256 of the bundle.
    """

    file: str
    verdict: Word
    sha256: str | None = None
    log10_lr: float | None = None
    score: float | None = None
    crops: int | None = None
    notes: tuple[str, ...] = ()
    reason: str | None = None
    width: int | None = None
    height: int | None = None
    format: str | None = None
    seconds: float | None = None
    detector: str | None = None

    @property
    def likelihood_ratio(self) -> float | None:
        """How many times likelier the evidence is if it is a recapture than if it is original."""
        if self.log10_lr is None:
            return None
        return 10.0**self.log10_lr if abs(self.log10_lr) < 300 else math.inf * (self.log10_lr > 0)

    def as_record(self) -> dict[str, Any]:
        """The fields in the order of the output, with the likelihood ratio."""
        return {name: getattr(self, name) for name in COLUMNS} | {"notes": list(self.notes)}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Verdict:
        """The verdict that a record was made of; what is told in it is made safe to print.

        Raises:
            ValueError: It is no such record.
        """
        fields = {name: value for name, value in record.items() if name in _KINDS}
        wrong = [name for name, value in fields.items() if not _is_in_order(name, value)]
        if record.keys() - {*COLUMNS} or wrong or fields.get("verdict") not in WORDS:
            raise ValueError(f"no record of a verdict: {wrong or sorted(record)}")
        notes = fields.get("notes") or ()
        if len(notes) > _MOST_NOTES or not all(isinstance(note, str) for note in notes):
            raise ValueError("no record of a verdict: notes are texts, and few")
        try:
            told = {
                name: sanitize(fields[name]) for name in ("reason", "format") if fields.get(name)
            }
            return cls(**fields | told | {"notes": tuple(map(sanitize, notes))})
        except TypeError as error:
            raise ValueError(f"no record of a verdict: {error}") from None


COLUMNS = (
    "file",
    "sha256",
    "verdict",
    "likelihood_ratio",
    "log10_lr",
    "score",
    "crops",
    "notes",
    "reason",
    "width",
    "height",
    "format",
    "seconds",
    "detector",
)

_KINDS: dict[str, tuple[type, ...]] = dict.fromkeys(COLUMNS, (str,))
_KINDS |= dict.fromkeys(("log10_lr", "score", "seconds"), (float, int))
_WHOLE = ("crops", "width", "height")
_KINDS |= dict.fromkeys(_WHOLE, (int,))
_KINDS["notes"] = (list, tuple)
del _KINDS["likelihood_ratio"]  # which follows from its logarithm


def exit_status(counts: Mapping[str, int]) -> int:
    """The exit status of a scan, so that 0 means: everything was judged, and all is original.

    Args:
        counts: How many files got each verdict.

    Returns:
        2 if some could not be judged (an error, or undecided) or there were none at all, else 1 if
        some are recaptured, else 0.
    """
    if counts.get("error") or counts.get("undecided") or not sum(counts.values()):
        return 2
    return 1 if counts.get("recaptured") else 0


def checked(record: object, name: str, *notes: str) -> Verdict:
    """What a worker says of a file, if it is a verdict at all.

    Args:
        record: Its answer.
        name: Of the file, as it is known here, whatever the worker calls it.
        notes: To be added to the worker's.

    Raises:
        ValueError: It is no record of a verdict.
    """
    if not isinstance(record, Mapping):
        raise ValueError("its decoder gave no verdict")
    verdict = Verdict.from_record(record)
    return replace(verdict, file=name, notes=(*verdict.notes, *notes))


def _is_in_order(name: str, value: Any) -> bool:
    """Whether a field may have this value."""
    if value is None:
        return True
    if isinstance(value, bool) or not isinstance(value, _KINDS[name]):
        return False
    if name in ("sha256", "detector"):
        return bool(_HASH.fullmatch(str(value)))
    if isinstance(value, int) and name in _WHOLE:
        return 0 <= value <= _MOST_WHOLE
    if isinstance(value, int | float):  # false for NaN, too
        return abs(value) <= (MOST_LOG10_LR if name == "log10_lr" else _MOST_NUMBER)
    return True
