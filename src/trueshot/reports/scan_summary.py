"""Summary of a scan's records: counts, the most important rows, reasons, and a histogram."""

from __future__ import annotations

import heapq
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from trueshot.errors import RunError
from trueshot.files import sanitize
from trueshot.reports.scan_charts import Histogram
from trueshot.reports.scan_text import FIRST, OTHER
from trueshot.tasks import Task
from trueshot.tasks.recapture import RECAPTURE
from trueshot.tasks.task import FAILED, UNDECIDED

WORDS = (OTHER, UNDECIDED, FAILED, FIRST)
"""Kinds of verdicts in order of interest: not class 0, undecided, not judged, class 0."""

_LONGEST = 1000  # maximum length in characters of a name, reason or note
# A number that stands alone, not one that is part of a name or a hash.
_FIGURE = re.compile(r"(?<![\w.+])-?\d+(?:,\d{3})*(?:\.\d+)?(?:e[+-]?\d+)?(?!\.?\w)")


@dataclass(frozen=True, kw_only=True)
class Row:
    """A record of the results, sanitised for display; see `scanning.Verdict` for the fields.

    Args:
        number: Number of the record in the results, from 1.
        kind: Kind of verdict, one of `WORDS`.
    """

    number: int
    file: str
    verdict: str
    kind: str
    top_class: str
    sha256: str
    log10_lr: float | None
    log10_lr_interval: tuple[float, float] | None
    certified_radius: float | None
    score: float | None
    crops: int | None
    notes: tuple[str, ...]
    reason: str
    width: int | None
    height: int | None
    format: str
    seconds: float | None


@dataclass(frozen=True, kw_only=True)
class Summary:
    """A whole scan.

    Args:
        counts: Number of files for each of the four kinds of verdict.
        rows: Rows that are kept, by kind in the order of `WORDS`; within a kind the highest score
            first, then rows without a score in the order of the records.
        histogram: Histogram over all files with a likelihood ratio (or, without calibration, with
            a score).
        seconds: Total time of all files.
        reasons: Reasons given for verdicts or failures with their number of files, most frequent
            first; reasons that differ only in their numbers are merged.
        detectors: Detectors named in the records.
    """

    counts: Mapping[str, int]
    rows: tuple[Row, ...]
    histogram: Histogram
    seconds: float
    reasons: tuple[tuple[str, int], ...]
    detectors: tuple[str, ...]

    @property
    def total(self) -> int:
        """Number of files."""
        return sum(self.counts.values())

    def of(self, *kinds: str) -> tuple[Row, ...]:
        """Return the rows with verdicts of these kinds, in the order of the kinds."""
        return tuple(row for kind in kinds for row in self.rows if row.kind == kind)


def summarise(
    records: Iterable[Mapping[str, Any]],
    histogram: Histogram,
    most_rows: int,
    task: Task = RECAPTURE,
) -> Summary:
    """Summarise records in one pass, keeping a limited number of rows.

    Args:
        records: Records of the results file, in any order.
        histogram: Empty histogram to fill.
        most_rows: Maximum number of rows to keep.
        task: Task whose words the verdicts use.

    Raises:
        RunError: A record has no file or no valid verdict.
    """
    best: dict[str, list[tuple[float, int, Row]]] = {word: [] for word in WORDS}
    counts = dict.fromkeys(WORDS, 0)
    reasons = Reasons(most_rows)
    detectors: dict[str, None] = {}
    seconds = 0.0
    for number, record in enumerate(records, start=1):
        row = row_of(record, number, task)
        counts[row.kind] += 1
        seconds += row.seconds or 0.0
        histogram.add(row.kind, row.log10_lr if histogram.is_calibrated else row.score)
        reasons.add(row.reason)
        if record.get("detector"):
            detectors[sanitize(str(record["detector"]), 80)] = None
        _keep(best[row.kind], row, most_rows)
    ranked = [entry[2] for word in WORDS for entry in sorted(best[word], reverse=True)]
    return Summary(
        counts=counts,
        rows=tuple(ranked[:most_rows]),
        histogram=histogram,
        seconds=seconds,
        reasons=reasons.ranked(),
        detectors=tuple(detectors),
    )


def row_of(record: Mapping[str, Any], number: int, task: Task = RECAPTURE) -> Row:
    """Return one record, sanitised for display.

    Raises:
        RunError: The record has no file or no valid verdict.
    """
    first, *others = task.verdict_words
    kinds = {first: FIRST, UNDECIDED: UNDECIDED, FAILED: FAILED, **dict.fromkeys(others, OTHER)}
    verdict = record.get("verdict")
    if verdict not in kinds or "file" not in record:
        raise RunError(
            f"result {number} is not a verdict on a file: {sanitize(str(dict(record)), 200)}"
        )
    return Row(
        number=number,
        file=sanitize(str(record["file"]), _LONGEST),
        verdict=str(verdict),
        kind=kinds[str(verdict)],
        top_class=sanitize(str(record.get("top_class") or ""), 100),
        sha256=sanitize(str(record.get("sha256") or ""), 64),
        log10_lr=_finite(record.get("log10_lr")),
        log10_lr_interval=_interval(record),
        certified_radius=_finite(record.get("certified_radius")),
        score=_finite(record.get("score")),
        crops=_whole(record.get("crops")),
        notes=tuple(sanitize(str(note), _LONGEST) for note in record.get("notes") or ()),
        reason=sanitize(str(record.get("reason") or ""), _LONGEST),
        width=_whole(record.get("width")),
        height=_whole(record.get("height")),
        format=sanitize(str(record.get("format") or ""), 40),
        seconds=_finite(record.get("seconds")),
    )


def _interval(record: Mapping[str, Any]) -> tuple[float, float] | None:
    low, high = (_finite(record.get(f"log10_lr_{end}")) for end in ("low", "high"))
    return None if low is None or high is None else (low, high)


def _keep(best: list[tuple[float, int, Row]], row: Row, most: int) -> None:
    strength = -math.inf if row.score is None else row.score
    entry = (strength, -row.number, row)
    if len(best) < most:
        heapq.heappush(best, entry)
    elif best and entry[:2] > best[0][:2]:
        heapq.heapreplace(best, entry)


def _finite(value: object) -> float | None:
    usable = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if usable and math.isfinite(value) else None  # type: ignore[arg-type]


def _whole(value: object) -> int | None:
    return None if (found := _finite(value)) is None else int(found)


@dataclass
class _Group:
    count: int
    lowest: list[str]
    highest: list[str]

    def add(self, figures: list[str]) -> None:
        self.count += 1
        self.lowest = [min(pair, key=_size) for pair in zip(self.lowest, figures, strict=True)]
        self.highest = [max(pair, key=_size) for pair in zip(self.highest, figures, strict=True)]


class Reasons:
    """Counter of reasons that merges "distance 4.94" and "distance 5.2" to "distance 4.94 to 5.2".

    Args:
        most: Maximum number of different reasons; further ones are ignored.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._groups: dict[tuple[str, ...], _Group] = {}

    def add(self, reason: str) -> None:
        """Count a reason; an empty text is ignored."""
        if not reason:
            return
        words, figures = tuple(_FIGURE.split(reason)), _FIGURE.findall(reason)
        if words in self._groups:
            self._groups[words].add(figures)
        elif len(self._groups) < self._most:
            self._groups[words] = _Group(1, figures, figures)

    def ranked(self) -> tuple[tuple[str, int], ...]:
        """Return texts and counts, most frequent first; ties keep the order of appearance."""
        found = [(_text(words, group), group.count) for words, group in self._groups.items()]
        return tuple(sorted(found, key=lambda pair: -pair[1]))


def _text(words: tuple[str, ...], group: _Group) -> str:
    ranges = [
        low if low == high else f"{low} to {high}"
        for low, high in zip(group.lowest, group.highest, strict=True)
    ]
    return "".join(part + figure for part, figure in zip(words, [*ranges, ""], strict=True))


def _size(figure: str) -> float:
    return float(figure.replace(",", ""))
