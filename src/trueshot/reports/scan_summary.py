"""What the records of a scan add up to, and which of them a report has room for."""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from trueshot.errors import RunError
from trueshot.files import sanitize
from trueshot.reports.scan_chart import Histogram

WORDS = ("recaptured", "undecided", "error", "original")
"""Verdicts in the order in which an analyst wants them."""

_LONGEST = 1000  # characters of a name, reason or note


@dataclass(frozen=True, kw_only=True)
class Row:
    """A record of the results, made safe to show; see `scanning.Verdict` for the fields.

    Args:
        number: Of the record in the results, from 1.
    """

    number: int
    file: str
    verdict: str
    sha256: str
    log10_lr: float | None
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
    """A scan as a whole.

    Args:
        counts: Files by verdict; all four verdicts are there.
        rows: Those there is room for, by verdict as in `WORDS`, within a verdict the strongest
            evidence for a recapture first; those without a score as they came.
        histogram: Over all files that have a likelihood ratio (or a score, without calibration).
        seconds: Of all files together.
        reasons: Files by why they were not decided or not judged, the most frequent first.
        detectors: Detectors that the records name.
    """

    counts: Mapping[str, int]
    rows: tuple[Row, ...]
    histogram: Histogram
    seconds: float
    reasons: tuple[tuple[str, int], ...]
    detectors: tuple[str, ...]

    @property
    def total(self) -> int:
        """All files."""
        return sum(self.counts.values())

    def of(self, *verdicts: str) -> tuple[Row, ...]:
        """The rows with these verdicts, in this order."""
        return tuple(row for word in verdicts for row in self.rows if row.verdict == word)


def summarise(
    records: Iterable[Mapping[str, Any]], histogram: Histogram, most_rows: int
) -> Summary:
    """Read records once, keeping no more of them than there is room for.

    Args:
        records: As in the results file, in any order.
        histogram: An empty one.
        most_rows: So many rows are kept.

    Raises:
        RunError: A record has no file or no verdict.
    """
    best: dict[str, list[tuple[float, int, Row]]] = {word: [] for word in WORDS}
    counts = dict.fromkeys(WORDS, 0)
    reasons: dict[str, int] = {}
    detectors: dict[str, None] = {}
    seconds = 0.0
    for number, record in enumerate(records, start=1):
        row = row_of(record, number)
        counts[row.verdict] += 1
        seconds += row.seconds or 0.0
        histogram.add(row.verdict, row.log10_lr if histogram.is_calibrated else row.score)
        if row.reason and (row.reason in reasons or len(reasons) < most_rows):
            reasons[row.reason] = reasons.get(row.reason, 0) + 1
        if record.get("detector"):
            detectors[sanitize(str(record["detector"]), 80)] = None
        _keep(best[row.verdict], row, most_rows)
    ranked = [entry[2] for word in WORDS for entry in sorted(best[word], reverse=True)]
    return Summary(
        counts=counts,
        rows=tuple(ranked[:most_rows]),
        histogram=histogram,
        seconds=seconds,
        reasons=tuple(sorted(reasons.items(), key=lambda pair: -pair[1])),
        detectors=tuple(detectors),
    )


def row_of(record: Mapping[str, Any], number: int) -> Row:
    """One record, made safe to show.

    Raises:
        RunError: It has no file or no verdict.
    """
    if record.get("verdict") not in WORDS or "file" not in record:
        raise RunError(
            f"result {number} is no verdict on a file: {sanitize(str(dict(record)), 200)}"
        )
    return Row(
        number=number,
        file=sanitize(str(record["file"]), _LONGEST),
        verdict=str(record["verdict"]),
        sha256=sanitize(str(record.get("sha256") or ""), 64),
        log10_lr=_finite(record.get("log10_lr")),
        score=_finite(record.get("score")),
        crops=_whole(record.get("crops")),
        notes=tuple(sanitize(str(note), _LONGEST) for note in record.get("notes") or ()),
        reason=sanitize(str(record.get("reason") or ""), _LONGEST),
        width=_whole(record.get("width")),
        height=_whole(record.get("height")),
        format=sanitize(str(record.get("format") or ""), 40),
        seconds=_finite(record.get("seconds")),
    )


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
