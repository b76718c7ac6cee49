"""The likelihood ratios of a scan as a histogram: counting and geometry, the template draws it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from trueshot.card import Card
from trueshot.reports.scan_text import number_text, ratio_text

BINS = 36
WIDTH, HEIGHT = 720, 272
LEFT, RIGHT, TOP, BOTTOM = 46, 14, 68, 52
ORDER = ("original", "undecided", "recaptured")  # from the axis up
_SCORES = 10.0  # without calibration, scores up to here either way
_ROOM = 0.15  # of log10, so that bounds of a poor calibration still span something


@dataclass(kw_only=True)
class Histogram:
    """Counts by bin and verdict; values beyond the ends count into the outermost bins.

    Args:
        low: Where the first bin begins: log10 of the likelihood ratio, or a score.
        high: Where the last one ends.
        is_calibrated: Whether it is about likelihood ratios.
    """

    low: float
    high: float
    is_calibrated: bool
    counts: dict[str, list[int]] = field(default_factory=lambda: {w: [0] * BINS for w in ORDER})

    def add(self, verdict: str, value: float | None) -> None:
        """Count one file; one without a value, and one that was not judged, is passed over."""
        if value is not None and verdict in self.counts:
            self.counts[verdict][self.bin_of(value)] += 1

    def bin_of(self, value: float) -> int:
        """The bin of a value; one on an edge belongs to the bin above."""
        place = math.floor((value - self.low) / (self.high - self.low) * BINS)
        return min(max(place, 0), BINS - 1)

    @property
    def total(self) -> int:
        """All that were counted."""
        return sum(map(sum, self.counts.values()))

    def edges(self, number: int) -> tuple[float, float]:
        """Where a bin begins and ends."""
        step = (self.high - self.low) / BINS
        return self.low + number * step, self.low + (number + 1) * step


@dataclass(frozen=True, kw_only=True)
class Bar:
    """A part of a column, in units of the SVG."""

    verdict: str
    across: float
    up: float
    width: float
    height: float


@dataclass(frozen=True, kw_only=True)
class Mark:
    """A vertical line with its words, which stand left or right of it."""

    across: float
    words: str
    anchor: str


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """A histogram laid out; ticks are (place, text), rows (from, to, count by `ORDER`…)."""

    bars: tuple[Bar, ...]
    across: tuple[tuple[float, str], ...]
    up: tuple[tuple[float, str], ...]
    marks: tuple[Mark, ...]
    rows: tuple[tuple[str, str, tuple[int, ...]], ...]
    neutral: float
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    right: int = WIDTH - RIGHT
    top: int = TOP
    bottom: int = HEIGHT - BOTTOM


def histogram_for(card: Card) -> Histogram:
    """An empty histogram as wide as the calibration reaches; of scores without one."""
    if card.calibration is None:
        return Histogram(low=-_SCORES, high=_SCORES, is_calibrated=False)
    low = min(card.calibration.lower, -_ROOM)
    high = max(card.calibration.upper, _ROOM)
    return Histogram(low=low, high=high, is_calibrated=True)


def draw(histogram: Histogram, card: Card) -> Drawing:
    """Lay out columns, axes, and the two thresholds."""
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
    step = (WIDTH - RIGHT - LEFT) / BINS
    found, below = [], 0
    for verdict, count in zip(ORDER, column, strict=True):
        if count:
            foot, head = _up(below, highest), _up(below + count, highest)
            across = round(LEFT + number * step + 0.5, 1)
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
        # Up to three decades there is room for the threes between them.
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
    places = [_across(histogram, value) for value in values]
    words = ("← original up to here", "recaptured from here →")
    return tuple(
        Mark(across=across, words=said, anchor="start" if 2 * across < WIDTH else "end")
        for across, said in zip(places, words, strict=True)
    )


def _rows(
    histogram: Histogram, columns: Sequence[Sequence[int]]
) -> list[tuple[str, str, tuple[int, ...]]]:
    say = ratio_text if histogram.is_calibrated else number_text
    edges = [histogram.edges(number) for number in range(BINS)]
    found = zip(edges, columns, strict=True)
    return [(say(low), say(high), tuple(column)) for (low, high), column in found if sum(column)]


def _ceiling(count: int) -> int:
    """An even number at or above a count, of one or two digits and zeros."""
    unit = 10 ** max(0, len(str(count)) - 2)
    return int(max(2, -(-count // (2 * unit)) * 2 * unit))


def _across(histogram: Histogram, value: float) -> float:
    share = (min(max(value, histogram.low), histogram.high) - histogram.low) / (
        histogram.high - histogram.low
    )
    return round(LEFT + (WIDTH - RIGHT - LEFT) * share, 1)


def _up(count: int, highest: int) -> float:
    return round(HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * count / highest, 1)
