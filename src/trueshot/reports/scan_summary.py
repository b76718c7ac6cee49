"""Summary of a scan's records: counts, the most important rows, and a histogram."""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from trueshot.card import Card
from trueshot.errors import RunError
from trueshot.files import sanitize
from trueshot.reports.axes import Axes
from trueshot.reports.merged import Reasons
from trueshot.reports.scan_text import number_text, ratio_text
from trueshot.tasks import Task
from trueshot.tasks.recapture import RECAPTURE
from trueshot.tasks.task import FAILED, UNDECIDED

OTHER, FIRST = "other", "class-0"
WORDS = (OTHER, UNDECIDED, FAILED, FIRST)
"""Kinds of verdicts in order of interest: not class 0, undecided, not judged, class 0."""

_LONGEST = 1000  # maximum length in characters of a name, reason or note


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


BINS = 36
_LETTER = 7.5  # room for a letter of a label, in units of the SVG
AXES = Axes(width=720, height=272, left=46, right=706, top=68, bottom=220)
ORDER = (FIRST, UNDECIDED, OTHER)  # stacked from the axis up
_SCORES = 10.0  # without calibration the axis spans scores from -10 to 10
_ROOM = 0.15  # minimum log10 span to either side of 0, for calibrations with narrow bounds


@dataclass(kw_only=True)
class Histogram:
    """Counts by bin and verdict; values beyond the ends are counted in the outermost bins.

    Args:
        low: Lower edge of the first bin: log10 of the likelihood ratio, or a score.
        high: Upper edge of the last bin.
        is_calibrated: Whether the values are log10 likelihood ratios rather than scores.
    """

    low: float
    high: float
    is_calibrated: bool
    counts: dict[str, list[int]] = field(default_factory=lambda: {w: [0] * BINS for w in ORDER})

    def add(self, verdict: str, value: float | None) -> None:
        """Count one file, unless it has no value or was not judged."""
        if value is not None and verdict in self.counts:
            self.counts[verdict][self.bin_of(value)] += 1

    def bin_of(self, value: float) -> int:
        """Return the bin of a value; a value on an edge belongs to the bin above."""
        place = math.floor((value - self.low) / (self.high - self.low) * BINS)
        return min(max(place, 0), BINS - 1)

    @property
    def total(self) -> int:
        """Number of files counted."""
        return sum(map(sum, self.counts.values()))

    def edges(self, number: int) -> tuple[float, float]:
        """Return the lower and the upper edge of a bin."""
        step = (self.high - self.low) / BINS
        return self.low + number * step, self.low + (number + 1) * step


@dataclass(frozen=True, kw_only=True)
class Bar:
    """One verdict's part of a stacked column, in units of the SVG."""

    verdict: str
    across: float
    up: float
    width: float
    height: float


@dataclass(frozen=True, kw_only=True)
class Mark:
    """A vertical line with a label to its left or right, in the first or second row above."""

    across: float
    words: str
    anchor: str
    row: int


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """Layout of a histogram: ticks are (place, text), rows (from, to, counts as in `ORDER`)."""

    bars: tuple[Bar, ...]
    across: tuple[tuple[float, str], ...]
    up: tuple[tuple[float, str], ...]
    marks: tuple[Mark, ...]
    rows: tuple[tuple[str, str, tuple[int, ...]], ...]
    neutral: float
    axes: Axes = AXES


def histogram_for(card: Card) -> Histogram:
    """Return an empty histogram over the calibration's range, or over scores without one."""
    if card.calibration is None:
        return Histogram(low=-_SCORES, high=_SCORES, is_calibrated=False)
    low = min(card.calibration.lower, -_ROOM)
    high = max(card.calibration.upper, _ROOM)
    return Histogram(low=low, high=high, is_calibrated=True)


def draw(histogram: Histogram, card: Card) -> Drawing:
    """Lay out the columns, the axes and the two thresholds."""
    columns = list(zip(*(histogram.counts[word] for word in ORDER), strict=True))
    highest = _ceiling(max(map(sum, columns)))
    bars = [bar for number, column in enumerate(columns) for bar in _bars(number, column, highest)]
    return Drawing(
        bars=tuple(bars),
        across=_ticks(histogram),
        up=tuple((_up(count, highest), f"{count:,}") for count in (0, highest // 2, highest)),
        marks=_marks(histogram, card),
        rows=tuple(_rows(histogram, columns)),
        neutral=_across(histogram, 0.0),
    )


def _bars(number: int, column: Sequence[int], highest: int) -> list[Bar]:
    step = (AXES.right - AXES.left) / BINS
    found, below = [], 0
    for verdict, count in zip(ORDER, column, strict=True):
        if count:
            foot, head = _up(below, highest), _up(below + count, highest)
            across = round(AXES.left + number * step + 0.5, 1)
            height = round(foot - head, 1)
            found.append(
                Bar(
                    verdict=verdict,
                    across=across,
                    up=head,
                    width=round(step - 1, 1),
                    height=height,
                )
            )
        below += count
    return found


def _ticks(histogram: Histogram) -> tuple[tuple[float, str], ...]:
    if not histogram.is_calibrated:
        wanted = {float(value) for value in range(-10, 11, 5)}
    else:
        reach = math.ceil(max(-histogram.low, histogram.high))
        decades = range(0, reach + 1, 1 if reach < 5 else 2)
        # With up to three decades there is room for ticks at 3, 30, … in between.
        steps = {d + part for d in decades for part in ((0, math.log10(3)) if reach < 4 else (0,))}
        wanted = steps | {-step for step in steps}
    kept = sorted(v for v in wanted if histogram.low <= v <= histogram.high)
    say = ratio_text if histogram.is_calibrated else (lambda value: number_text(value, 0))
    return tuple((_across(histogram, value), say(value)) for value in kept)


def _marks(histogram: Histogram, card: Card) -> tuple[Mark, ...]:
    decision = card.decision
    if decision is None:
        return ()
    scores = (decision.original_to, decision.recaptured_from)
    values = scores
    if card.calibration is not None:
        first, second = card.calibration.log10_lr(scores)
        values = (float(first), float(second))
    left, right = (_across(histogram, value) for value in values)
    first, other = (
        f"← {card.words.verdicts[0]} up to here",
        f"{card.words.verdicts[1]} from here →",
    )
    # Labels lie outside of both lines. One without room there lies inside, in the upper row, which
    # the other's line does not reach.
    inside = (left < _LETTER * len(first), AXES.width - right < _LETTER * len(other))
    return (
        Mark(across=left, words=first, anchor="start" if inside[0] else "end", row=int(inside[1])),
        Mark(
            across=right,
            words=other,
            anchor="end" if inside[1] else "start",
            row=int(not inside[1]),
        ),
    )


def _rows(
    histogram: Histogram, columns: Sequence[Sequence[int]]
) -> list[tuple[str, str, tuple[int, ...]]]:
    say = ratio_text if histogram.is_calibrated else number_text
    edges = [histogram.edges(number) for number in range(BINS)]
    found = zip(edges, columns, strict=True)
    return [(say(low), say(high), tuple(column)) for (low, high), column in found if sum(column)]


def _ceiling(count: int) -> int:
    """Round a count up to an even number with at most two significant digits."""
    unit = 10 ** max(0, len(str(count)) - 2)
    return int(max(2, -(-count // (2 * unit)) * 2 * unit))


def _across(histogram: Histogram, value: float) -> float:
    share = (min(max(value, histogram.low), histogram.high) - histogram.low) / (
        histogram.high - histogram.low
    )
    return AXES.across(share)


def _up(count: int, highest: int) -> float:
    return AXES.up(count / highest)
