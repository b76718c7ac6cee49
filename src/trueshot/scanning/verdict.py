"""The verdict on one file: as a record for JSON, CSV and Parquet, on one line, and at length."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from trueshot.errors import RunError
from trueshot.files import sanitize
from trueshot.tasks import Task
from trueshot.tasks.recapture import RECAPTURE
from trueshot.tasks.task import FAILED, UNDECIDED

EXPLANATION, THUMBNAIL = "explanation", "thumbnail"
"""Names of a worker's attachments: the bytes that `inference.explanation.Explanation` reads, and a
thumbnail for a row of a table."""

COLUMNS: dict[str, type] = {
    "file": str,
    "sha256": str,
    "verdict": str,
    "top_class": str,
    "likelihood_ratio": float,
    "log10_lr": float,
    "log10_lr_low": float,
    "log10_lr_high": float,
    "certified_radius": float,
    "score": float,
    "crops": int,
    "notes": list,
    "reason": str,
    "width": int,
    "height": int,
    "format": str,
    "seconds": float,
    "detector": str,
}
"""Types of the fields of a record, in the order of the output; a float may be a whole number."""

FIELDS = COLUMNS | {"features": dict}
"""Types of the fields of a verdict that are stored."""
del FIELDS["likelihood_ratio"]  # derived from its logarithm

# Output of a worker is untrusted, because a malicious file may control it: these limits protect
# tables, terminals and reports.
MOST_LOG10_LR = 100.0
_MOST_WHOLE, _MOST_NUMBER, _MOST_PARTS = 2**31 - 1, 1e12, 100
_LEVELS = 255.0
_ACCEPTED = {(float, int), (list, tuple)}
_HASH = re.compile("[0-9a-f]{64}")
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._ -]{0,99}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """The verdict on one file.

    Args:
        file: Its name as given or found, made printable; `archive.zip!/inner.jpg` for a member of
            an archive, `-` for standard input.
        verdict: A word of the task ("original" or "recaptured"), "undecided" (it was judged, but
            the evidence is too weak, or the photograph is unlike those that the detector was
            calibrated on), or "error".
        sha256: SHA-256 of the judged bytes, 64 hexadecimal digits; None if they were not read.
        top_class: For a task with more than two classes: the likeliest one.
        log10_lr: Log10 likelihood ratio: above 0 the evidence speaks against class 0 (for a
            recapture), below 0 for it.
        log10_lr_low: Lower end of its 95 % interval over other sources that might have been used
            for calibration; None if the detector does not know it.
        log10_lr_high: Upper end of this interval.
        certified_radius: Proven radius: no change of the decoded picture by up to this many levels
            changes the verdict; None if nothing is proven (docs/certificates.md).
        score: Score of the detector: log odds that the file is not of class 0.
        crops: Number of crops that were judged.
        notes: What was done to the pixels, and what was left undone.
        reason: Why it is an error or undecided.
        width: Width in pixels, as a viewer shows it.
        height: Height in pixels, as a viewer shows it.
        format: "JPEG", "PNG" and so on, by content.
        seconds: Time for reading and inference.
        detector: SHA-256 of the bundle.
        features: Properties of the crops by which a calibration recognises unlike photographs, see
            `inference.features`; not part of a record.
        task: Task of the detector, which defines the words of verdicts; not part of a record.
        passed_over: For an error about files in a folder or archive that are not images: their
            number; not part of a record, where the reason says it.
    """

    file: str
    verdict: str
    sha256: str | None = None
    top_class: str | None = None
    log10_lr: float | None = None
    log10_lr_low: float | None = None
    log10_lr_high: float | None = None
    certified_radius: float | None = None
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
    task: Task = field(default=RECAPTURE, compare=False, repr=False)
    passed_over: int = field(default=0, compare=False)

    @property
    def likelihood_ratio(self) -> float | None:
        """How many times more probable the evidence is for other classes than for class 0."""
        if self.log10_lr is None:
            return None
        return 10.0**self.log10_lr if abs(self.log10_lr) < 300 else math.inf * (self.log10_lr > 0)

    @property
    def log10_lr_interval(self) -> tuple[float, float] | None:
        """Both ends of the interval of `log10_lr`, or None if not known."""
        low, high = self.log10_lr_low, self.log10_lr_high
        return None if low is None or high is None else (low, high)

    def as_record(self) -> dict[str, Any]:
        """Return the fields in the order of the output, with the likelihood ratio."""
        return {name: getattr(self, name) for name in COLUMNS} | {"notes": list(self.notes)}

    @classmethod
    def from_record(
        cls, record: object, file: str | None = None, task: Task | None = RECAPTURE
    ) -> Verdict:
        """Restore a verdict from a record, and make its texts safe to print.

        Args:
            record: Record from a worker or a file; it may be anything.
            file: Name of the file; the name in the record is then ignored.
            task: Task whose words are allowed; None if they were checked before.

        Raises:
            ValueError: It is not a valid record.
        """
        if not isinstance(record, Mapping):
            raise ValueError("its worker process gave no verdict")
        fields = {name: value for name, value in record.items() if name in FIELDS}
        wrong = [name for name, value in fields.items() if not _is_in_order(name, value)]
        known = record.keys() <= {*COLUMNS, "features"} and record.keys() >= {"file", "verdict"}
        words = None if task is None else (*words_of(task), *task.classes)
        if not known or wrong or not _are_words(fields, words):
            raise ValueError(f"invalid record of a verdict: {wrong or sorted(record)}")
        told = {name: sanitize(fields[name]) for name in ("reason", "format") if fields.get(name)}
        told |= {} if file is None else {"file": file}
        notes = tuple(map(sanitize, fields.get("notes") or ()))
        try:
            rest = {"notes": notes, "features": fields.get("features") or {}}
            return cls(**fields | told | rest, task=task or RECAPTURE)
        except TypeError as error:
            raise ValueError(f"invalid record of a verdict: {error}") from None


def words_of(task: Task) -> tuple[str, ...]:
    """Return all verdicts of a task: class 0 first, undecided and error last."""
    return (*task.verdict_words, UNDECIDED, FAILED)


def one_line(verdict: Verdict) -> str:
    """Format a verdict on one line: verdict, likelihood ratio, file, and reason or notes."""
    from trueshot.calibration.verbal_scale import in_figures, proof_in_words  # loads numpy

    ratio = "" if verdict.log10_lr is None else f"LR {in_figures(verdict.log10_lr)}"
    parts = [f"{_called(verdict):10}", f"{ratio:10}", verdict.file]
    proof = proof_in_words(verdict.certified_radius)
    said = "; ".join(filter(None, [proof, verdict.reason or "; ".join(verdict.notes)]))
    return "  ".join([*parts, *([f"({said})"] if said else [])])


def long_text(verdict: Verdict) -> str:
    """Format a verdict at length, with its likelihood ratio in words; for a single photograph."""
    from trueshot.calibration.verbal_scale import (
        BETWEEN_THRESHOLDS,
        beside_verdict,
        between,
        in_figures,
        in_words,
        leaning,
        proof_in_words,
    )

    told = [verdict.file, f"  {_called(verdict).upper()}"]
    if verdict.reason:
        told.append(f"  reason: {verdict.reason}")
    if verdict.log10_lr is not None:
        ratio = in_figures(verdict.log10_lr) + between(verdict.log10_lr_interval)
        words = verdict.task.words
        told.append(f"  likelihood ratio {ratio}. {in_words(verdict.log10_lr, words)}")
        beside = beside_verdict(verdict.verdict, verdict.log10_lr, words)
        told += [f"  {beside}"] if beside else []
        if verdict.reason == BETWEEN_THRESHOLDS:
            told.append(f"  {leaning(verdict.log10_lr, words)}")
    if proof := proof_in_words(verdict.certified_radius):
        told.append(f"  {proof}")
    if verdict.score is not None:
        told.append(
            f"  score {verdict.score:.2f} from {verdict.crops} crops; "
            f"{verdict.width}×{verdict.height} {verdict.format}"
        )
    told += [f"  note: {note}" for note in verdict.notes]
    if verdict.sha256:
        told.append(f"  SHA-256 {verdict.sha256}")
    return "\n".join(told)


def _called(verdict: Verdict) -> str:
    """Return the verdict and, with more than two classes, the likeliest of the others."""
    is_other = verdict.verdict == verdict.task.words.verdicts[1]
    is_more = verdict.top_class not in (None, verdict.verdict)
    return verdict.verdict + (f", most likely {verdict.top_class}" if is_other and is_more else "")


FOUND, NOT_JUDGED = 1, 2
"""Bits of the exit status: a verdict to fail on was found; a file could not be judged."""


def failing_words(task: Task, named: Sequence[str] | None = None) -> tuple[str, ...]:
    """Return the verdicts for which a scan fails.

    Args:
        task: Task that defines the words.
        named: Some of `words_of(task)`; None for the default: every class but 0, and errors.

    Raises:
        RunError: A word is not a verdict of this task.
    """
    if named is None:
        return (*task.verdict_words[1:], FAILED)
    known = words_of(task)
    for word in named:
        if word not in known:
            raise RunError(
                f"--fail-on {sanitize(word, 100)}: unknown verdict; choose from {', '.join(known)}"
            )
    return tuple(named)


def exit_status(
    counts: Mapping[str, int], task: Task = RECAPTURE, fail_on: Sequence[str] | None = None
) -> int:
    """Return the exit status of a scan.

    Args:
        counts: Number of files by verdict.
        task: Task that defines the words.
        fail_on: See `failing_words`.

    Returns:
        The sum of 1, if a file got one of the verdicts to fail on, and 2, if files could not be
        judged and errors are among them, or if nothing was judged at all. Files that were passed
        over count as not judged.

    Raises:
        RunError: See `failing_words`.
    """
    failing = failing_words(task, fail_on)
    is_found = any(counts.get(word) for word in failing if word != FAILED)
    judged = sum(count for word, count in counts.items() if word != FAILED)
    is_left = not judged or (FAILED in failing and counts.get(FAILED, 0) > 0)
    return FOUND * is_found | NOT_JUDGED * is_left


def _are_words(fields: Mapping[str, Any], allowed: tuple[str, ...] | None) -> bool:
    """Whether the verdict and the likeliest class are words of the task."""
    given = [fields.get("verdict"), *filter(None, [fields.get("top_class")])]
    return all(_WORD.fullmatch(str(w)) if allowed is None else w in allowed for w in given)


def _is_in_order(name: str, value: Any) -> bool:
    """Whether this is a valid value of the field."""
    kind = FIELDS[name]
    if value is None:
        return True
    if type(value) is not kind and (kind, type(value)) not in _ACCEPTED:
        return False
    if name in ("sha256", "detector"):
        return bool(_HASH.fullmatch(value))
    if name == "certified_radius":
        return bool(0 < value <= _LEVELS)
    if kind is int:
        return bool(0 <= value <= _MOST_WHOLE)
    if kind is float:
        return _is_number(value, MOST_LOG10_LR if name.startswith("log10_lr") else _MOST_NUMBER)
    if kind is list:
        return len(value) <= _MOST_PARTS and all(isinstance(note, str) for note in value)
    if kind is dict:
        return len(value) <= _MOST_PARTS and all(map(_is_number, value.values()))
    return True


def _is_number(value: Any, most: float = _MOST_NUMBER) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and abs(value) <= most  # false for NaN, too
