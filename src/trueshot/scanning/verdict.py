"""What is said of one file: as a record for JSON, CSV and Parquet, on a line, and at length."""

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
"""Under what names a worker attaches the bytes that `inference.explanation.Explanation` reads, and
a picture for a row of a table."""

# What comes from a worker may come from a file that took it over, and is to harm no table, no
# terminal and no report.
MOST_LOG10_LR = 100.0
_MOST_WHOLE, _MOST_NUMBER, _MOST_PARTS = 2**31 - 1, 1e12, 100
_LEVELS = 255.0
_HASH = re.compile("[0-9a-f]{64}")
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._ -]{0,99}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """What is said of one file.

    Args:
        file: Its name as it was given or found, made printable; `archive.zip!/inner.jpg` for a
            member of an archive, `-` for standard input.
        verdict: A word of the task ("original" or "recaptured"), "undecided" (it was judged, and
            the evidence is too weak or the photograph unlike those that the detector was
            calibrated on), or "error".
        sha256: Of the bytes that were judged, 64 hexadecimal digits; none if they were not read.
        top_class: Of a task of more than two classes: the likeliest.
        log10_lr: Decimal logarithm of the likelihood ratio: above 0 the evidence speaks against
            class 0 (for a recapture), below 0 for it.
        log10_lr_low: Lower end of its 95 % interval over other sources that might have calibrated
            the detector; none if the detector does not know it.
        log10_lr_high: Upper end.
        certified_radius: Levels up to which no change of the decoded picture turns the verdict: a
            proof; none where nothing is proven (docs/certificates.md).
        score: What the detector said: log odds that it is not of class 0.
        crops: Number of crops that were looked at.
        notes: What was done to the pixels on the way, and what was left undone.
        reason: Why it is an error, or undecided.
        width: Pixels across, as a viewer shows it.
        height: Pixels down, as a viewer shows it.
        format: "JPEG", "PNG" and so on, by content.
        seconds: Time that reading and inference took.
        detector: SHA-256 of the bundle.
        features: Properties of the crops by which a calibration knows what is unlike it, see
            `inference.features`; they are no part of a record.
        task: What the detector decides, in whose words the verdict is; no part of a record.
        passed_over: Of an error that stands for files of a folder or an archive which hold no
            image: how many they are; no part of a record, whose reason says it.
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
        """How many times likelier the evidence is if it is not of class 0 than if it is."""
        if self.log10_lr is None:
            return None
        return 10.0**self.log10_lr if abs(self.log10_lr) < 300 else math.inf * (self.log10_lr > 0)

    @property
    def log10_lr_interval(self) -> tuple[float, float] | None:
        """Both ends of the interval of the ratio, if they are known."""
        low, high = self.log10_lr_low, self.log10_lr_high
        return None if low is None or high is None else (low, high)

    def as_record(self) -> dict[str, Any]:
        """The fields in the order of the output, with the likelihood ratio."""
        return {name: getattr(self, name) for name in COLUMNS} | {"notes": list(self.notes)}

    @classmethod
    def from_record(
        cls, record: object, file: str | None = None, task: Task | None = RECAPTURE
    ) -> Verdict:
        """The verdict that a record was made of; what is told in it is made safe to print.

        Args:
            record: From a worker or a file, so it may be anything.
            file: Its name as it is known here, whatever the record calls it.
            task: Whose words it may use; None if that was seen to before.

        Raises:
            ValueError: It is no such record.
        """
        if not isinstance(record, Mapping):
            raise ValueError("its decoder gave no verdict")
        fields = {name: value for name, value in record.items() if name in _KINDS}
        wrong = [name for name, value in fields.items() if not _is_in_order(name, value)]
        known = record.keys() <= {*COLUMNS, "features"} and record.keys() >= {"file", "verdict"}
        words = None if task is None else (*words_of(task), *task.classes)
        if not known or wrong or not _are_words(fields, words):
            raise ValueError(f"no record of a verdict: {wrong or sorted(record)}")
        told = {name: sanitize(fields[name]) for name in ("reason", "format") if fields.get(name)}
        told |= {} if file is None else {"file": file}
        notes = tuple(map(sanitize, fields.get("notes") or ()))
        try:
            rest = {"notes": notes, "features": fields.get("features") or {}}
            return cls(**fields | told | rest, task=task or RECAPTURE)
        except TypeError as error:
            raise ValueError(f"no record of a verdict: {error}") from None


COLUMNS = (
    "file",
    "sha256",
    "verdict",
    "top_class",
    "likelihood_ratio",
    "log10_lr",
    "log10_lr_low",
    "log10_lr_high",
    "certified_radius",
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
_RATIOS = ("log10_lr", "log10_lr_low", "log10_lr_high")
_KINDS |= dict.fromkeys((*_RATIOS, "certified_radius", "score", "seconds"), (float, int))
_WHOLE = ("crops", "width", "height")
_KINDS |= dict.fromkeys(_WHOLE, (int,))
_KINDS["notes"] = (list, tuple)
_KINDS["features"] = (dict,)
del _KINDS["likelihood_ratio"]  # which follows from its logarithm


def words_of(task: Task) -> tuple[str, ...]:
    """All that a file may be called: class 0 first, undecided and not judged last."""
    return (*task.verdict_words, UNDECIDED, FAILED)


def one_line(verdict: Verdict) -> str:
    """A verdict on one line: what, how strongly, of which file, and why not."""
    from trueshot.calibration.verbal_scale import in_figures, proof_in_words  # which loads numpy

    ratio = "" if verdict.log10_lr is None else f"LR {in_figures(verdict.log10_lr)}"
    parts = [f"{_called(verdict):10}", f"{ratio:10}", verdict.file]
    proof = proof_in_words(verdict.certified_radius)
    said = "; ".join(filter(None, [proof, verdict.reason or "; ".join(verdict.notes)]))
    return "  ".join([*parts, *([f"({said})"] if said else [])])


def long_text(verdict: Verdict) -> str:
    """A verdict at length, with its likelihood ratio in words: for a single photograph."""
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
        told.append(f"  because: {verdict.reason}")
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
    """The verdict, and of more than two classes the likeliest of the others."""
    is_other = verdict.verdict == verdict.task.words.verdicts[1]
    is_more = verdict.top_class not in (None, verdict.verdict)
    return verdict.verdict + (f", most likely {verdict.top_class}" if is_other and is_more else "")


FOUND, NOT_JUDGED = 1, 2
"""Bits of an exit status: a verdict that was asked about; a file that nobody judged."""


def failing_words(task: Task, named: Sequence[str] | None = None) -> tuple[str, ...]:
    """The verdicts for which a scan fails.

    Args:
        task: In whose words.
        named: Some of `words_of(task)`; None for the default: every class but 0, and errors.

    Raises:
        RunError: A word that no file of this task is called.
    """
    if named is None:
        return (*task.verdict_words[1:], FAILED)
    known = words_of(task)
    for word in named:
        if word not in known:
            raise RunError(f"--fail-on {sanitize(word, 100)}: known here: {', '.join(known)}")
    return tuple(named)


def exit_status(
    counts: Mapping[str, int], task: Task = RECAPTURE, fail_on: Sequence[str] | None = None
) -> int:
    """The exit status of a scan.

    Args:
        counts: How many files got each verdict.
        task: In whose words.
        fail_on: See `failing_words`.

    Returns:
        The sum of 1, if a file was judged and its verdict is one to fail on, and 2, if files could
        not be judged and errors are to fail on, or if nothing was judged at all. What was passed
        over is such a file.

    Raises:
        RunError: As for `failing_words`.
    """
    failing = failing_words(task, fail_on)
    is_found = any(counts.get(word) for word in failing if word != FAILED)
    judged = sum(count for word, count in counts.items() if word != FAILED)
    is_left = not judged or (FAILED in failing and counts.get(FAILED, 0) > 0)
    return FOUND * is_found | NOT_JUDGED * is_left


def _are_words(fields: Mapping[str, Any], allowed: tuple[str, ...] | None) -> bool:
    """Whether the verdict and the likeliest class are words that a task has."""
    given = [fields.get("verdict"), *filter(None, [fields.get("top_class")])]
    return all(_WORD.fullmatch(str(w)) if allowed is None else w in allowed for w in given)


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
    if name == "certified_radius":
        return bool(0 < value <= _LEVELS)
    if isinstance(value, int | float):
        return _is_number(value, MOST_LOG10_LR if name in _RATIOS else _MOST_NUMBER)
    return True


def _is_number(value: Any, most: float = _MOST_NUMBER) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and abs(value) <= most  # false for NaN, too
