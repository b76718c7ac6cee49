"""What is said of one file: as a record for JSON, CSV and Parquet, on a line, and at length."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from trueshot.files import sanitize

Word = Literal["original", "recaptured", "undecided", "error"]

EXPLANATION = "explanation"
"""Under what name a worker attaches the bytes that `inference.explanation.Explanation` reads."""

WORDS: tuple[Word, ...] = ("original", "recaptured", "undecided", "error")

# What comes from a worker may come from a file that took it over, and is to harm no table, no
# terminal and no report.
MOST_LOG10_LR = 100.0
_MOST_WHOLE, _MOST_NUMBER, _MOST_PARTS = 2**31 - 1, 1e12, 100
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
        features: Properties of the crops by which a calibration knows what is unlike it, see
            `inference.features`; they are no part of a record.
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
    features: Mapping[str, float] = field(default_factory=dict, hash=False)

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
    def from_record(cls, record: object, file: str | None = None) -> Verdict:
        """The verdict that a record was made of; what is told in it is made safe to print.

        Args:
            record: From a worker or a file, so it may be anything.
            file: Its name as it is known here, whatever the record calls it.

        Raises:
            ValueError: It is no such record.
        """
        if not isinstance(record, Mapping):
            raise ValueError("its decoder gave no verdict")
        fields = {name: value for name, value in record.items() if name in _KINDS}
        wrong = [name for name, value in fields.items() if not _is_in_order(name, value)]
        known = record.keys() <= {*COLUMNS, "features"} and record.keys() >= {"file", "verdict"}
        if not known or wrong or fields["verdict"] not in WORDS:
            raise ValueError(f"no record of a verdict: {wrong or sorted(record)}")
        told = {name: sanitize(fields[name]) for name in ("reason", "format") if fields.get(name)}
        told |= {} if file is None else {"file": file}
        notes = tuple(map(sanitize, fields.get("notes") or ()))
        try:
            return cls(**fields | told | {"notes": notes, "features": fields.get("features") or {}})
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
_KINDS["features"] = (dict,)
del _KINDS["likelihood_ratio"]  # which follows from its logarithm


def one_line(verdict: Verdict) -> str:
    """A verdict on one line: what, how strongly, of which file, and why not."""
    from trueshot.calibration.verbal_scale import in_figures  # which loads numpy

    ratio = "" if verdict.log10_lr is None else f"LR {in_figures(verdict.log10_lr)}"
    parts = [f"{verdict.verdict:10}", f"{ratio:10}", verdict.file]
    said = verdict.reason or "; ".join(verdict.notes)
    return "  ".join([*parts, *([f"({said})"] if said else [])])


def long_text(verdict: Verdict) -> str:
    """A verdict at length, with its likelihood ratio in words: for a single photograph."""
    from trueshot.calibration.verbal_scale import beside_verdict, in_figures, in_words

    told = [verdict.file, f"  {verdict.verdict.upper()}"]
    if verdict.reason:
        told.append(f"  because: {verdict.reason}")
    if verdict.log10_lr is not None:
        ratio = in_figures(verdict.log10_lr)
        told.append(f"  likelihood ratio {ratio}. {in_words(verdict.log10_lr)}")
        beside = beside_verdict(verdict.verdict, verdict.log10_lr)
        told += [f"  {beside}"] if beside else []
    if verdict.score is not None:
        told.append(
            f"  score {verdict.score:.2f} from {verdict.crops} crops; "
            f"{verdict.width}×{verdict.height} {verdict.format}"
        )
    told += [f"  note: {note}" for note in verdict.notes]
    if verdict.sha256:
        told.append(f"  SHA-256 {verdict.sha256}")
    return "\n".join(told)


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


def _is_in_order(name: str, value: Any) -> bool:
    """Whether a field may have this value."""
    if value is None:
        return True
    if isinstance(value, bool) or type(value) not in _KINDS[name]:
        return False
    if name in ("sha256", "detector"):
        return bool(_HASH.fullmatch(str(value)))
    if isinstance(value, int) and name in _WHOLE:
        return 0 <= value <= _MOST_WHOLE
    if name == "notes":
        return len(value) <= _MOST_PARTS and all(isinstance(note, str) for note in value)
    if name == "features":
        return len(value) <= _MOST_PARTS and all(map(_is_number, value.values()))
    if isinstance(value, int | float):
        return _is_number(value, MOST_LOG10_LR if name == "log10_lr" else _MOST_NUMBER)
    return True


def _is_number(value: Any, most: float = _MOST_NUMBER) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and abs(value) <= most  # false for NaN, too
