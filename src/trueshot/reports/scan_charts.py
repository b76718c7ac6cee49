"""Charts of a scan report: histogram of a scan, and plots of the quality of likelihood ratios."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from trueshot.calibration.ratio_quality import empirical_cross_entropy, tippett
from trueshot.calibration.verbal_scale import in_figures
from trueshot.card import Card, RatioSample
from trueshot.files import sanitize
from trueshot.reports.chart import Axes, Chart, Line, joined
from trueshot.reports.scan_text import FIRST, OTHER, number_text, ratio_text
from trueshot.tasks.task import UNDECIDED

Floats = npt.NDArray[np.float64]

BINS = 36
_AXES = Axes(width=720, height=272, left=46, right=706, top=68, bottom=220)
_RATIO_AXES = Axes(width=340, height=250, left=44, right=330, top=12, bottom=204)
_LEAST = 1.0  # decades: a Tippett plot spans at least this much to either side of 1
_ODDS = 2.0  # decades: prior odds span this much to either side of 1
ORDER = (FIRST, UNDECIDED, OTHER)  # stacked from the axis up
_SCORES = 10.0  # without calibration the axis spans scores from -10 to 10
_LETTER = 7.5  # width of a letter of a label, in units of the SVG, generously
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
        return min(math.floor(self._share(value) * BINS), BINS - 1)

    @property
    def total(self) -> int:
        """Number of files counted."""
        return sum(map(sum, self.counts.values()))

    def edges(self, number: int) -> tuple[float, float]:
        """Return the lower and the upper edge of a bin."""
        step = (self.high - self.low) / BINS
        return self.low + number * step, self.low + (number + 1) * step

    def across(self, value: float) -> float:
        """Return the x coordinate of a value."""
        return _AXES.across(self._share(value))

    def _share(self, value: float) -> float:
        return (min(max(value, self.low), self.high) - self.low) / (self.high - self.low)


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
    axes: Axes = _AXES


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
        up=tuple((_height(count, highest), f"{count:,}") for count in (0, highest // 2, highest)),
        marks=_marks(histogram, card),
        rows=tuple(_rows(histogram, columns)),
        neutral=histogram.across(0.0),
    )


def _bars(number: int, column: Sequence[int], highest: int) -> list[Bar]:
    step = (_AXES.right - _AXES.left) / BINS
    found, below = [], 0
    for verdict, count in zip(ORDER, column, strict=True):
        if count:
            foot, head = _height(below, highest), _height(below + count, highest)
            bar = Bar(
                verdict=verdict,
                across=round(_AXES.left + number * step + 0.5, 1),
                up=head,
                width=round(step - 1, 1),
                height=round(foot - head, 1),
            )
            found.append(bar)
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
    return tuple((histogram.across(value), say(value)) for value in kept)


def _marks(histogram: Histogram, card: Card) -> tuple[Mark, ...]:
    decision = card.decision
    if decision is None:
        return ()
    values = np.array([decision.original_to, decision.recaptured_from])
    if card.calibration is not None:
        values = card.calibration.log10_lr(values)
    low, high = (histogram.across(float(value)) for value in values)
    first, other = card.words.verdicts
    upto, from_here = f"← {first} up to here", f"{other} from here →"
    # Labels lie outside of both lines. One without room there lies inside, in the upper row, which
    # the other's line does not reach.
    inside = (low < _LETTER * len(upto), _AXES.width - high < _LETTER * len(from_here))
    return (
        Mark(across=low, words=upto, anchor="start" if inside[0] else "end", row=int(inside[1])),
        Mark(
            across=high,
            words=from_here,
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


def _height(count: int, highest: int) -> float:
    return _AXES.up(count / highest)


@dataclass(frozen=True, kw_only=True)
class RatioFigure:
    """Plots of the quality of the likelihood ratios of one measurement.

    Args:
        name: Name of the measured photographs.
        tippett: Share of each class whose ratio is at least a given value.
        cross_entropy: Empirical cross-entropy in bits against prior odds.
        misleading: Share of originals with a ratio above 1, and of recaptures with one below 1.
    """

    name: str
    tippett: Chart
    cross_entropy: Chart
    misleading: tuple[float, float]


def ratio_figures(card: Card) -> tuple[RatioFigure, ...]:
    """Return figures for the clean measurement and for all real ones pooled, if they have ratios.

    Real measurements are weighted by their numbers of photographs.
    """
    measured = [one for one in card.measured if one.ratios is not None]
    clean = [one for one in measured if one.kind == "clean"][:1]
    real = [one for one in measured if one.kind == "real"]
    found = [
        (sanitize(one.name), [(one.ratios, one.photographs)])
        for one in clean
        if one.ratios is not None
    ]
    if real:
        parts = [(one.ratios, one.photographs) for one in real if one.ratios is not None]
        names = ", ".join(sanitize(one.name) for one in real)
        found.append((f"real photographs: {names}", parts))
    return tuple(_figure(name, parts, card) for name, parts in found)


def _figure(name: str, parts: Sequence[tuple[RatioSample, int]], card: Card) -> RatioFigure:
    sides = [
        _pooled((getattr(sample, side), count) for sample, count in parts)
        for side in ("originals", "recaptured")
    ]
    ratios = np.concatenate(sides)
    labels = np.repeat([0, 1], [len(side) for side in sides])
    return RatioFigure(
        name=name,
        tippett=_tippett(ratios, labels, card.words.plurals),
        cross_entropy=_cross_entropy(ratios, labels),
        misleading=(float((sides[0] > 0).mean()), float((sides[1] < 0).mean())),
    )


def _pooled(parts: Iterable[tuple[Sequence[float], int]]) -> Floats:
    """Pool samples, each resampled by quantiles to as many values as it has photographs."""
    return np.concatenate(
        [
            np.quantile(values, (np.arange(count) + 0.5) / count, method="inverted_cdf")
            for values, count in parts
        ]
    )


def _tippett(ratios: Floats, labels: npt.NDArray[np.int64], plurals: Sequence[str]) -> Chart:
    found = tippett(ratios, labels)
    reach = max(_LEAST, float(np.ceil(np.abs(ratios).max())))
    sides = ((plurals[0], "class-0", found.originals), (plurals[1], "other", found.recaptured))
    return Chart(
        lines=tuple(
            Line(name=name, tone=tone, points=_steps(found.log10_lrs, shares, reach))
            for name, tone, shares in sides
        ),
        across=_decades(reach),
        up=_shares(),
        neutral=_at(0, reach),
        axes=_RATIO_AXES,
    )


def _cross_entropy(ratios: Floats, labels: npt.NDArray[np.int64]) -> Chart:
    found = empirical_cross_entropy(ratios, labels)
    lines = (
        ("as they are", "other", "", found.found),
        ("calibrated as well as can be", "class-0", "6 4", found.calibrated),
        ("without ratios", "undecided", "2 4", found.nothing),
    )
    return Chart(
        lines=tuple(
            Line(
                name=name,
                tone=tone,
                dash=dash,
                points=_joined(found.log10_odds, np.minimum(bits, 1.0), _ODDS),
            )
            for name, tone, dash, bits in lines
        ),
        across=_decades(_ODDS),
        up=_shares(),
        neutral=_at(0, _ODDS),
        axes=_RATIO_AXES,
    )


def _steps(at: Floats, shares: Floats, reach: float) -> str:
    """Return a step line that falls just after each ratio."""
    xs = np.concatenate([[-reach], np.repeat(at, 2), [reach]])
    after = np.append(shares[1:], 0.0)
    ys = np.concatenate([[1.0], np.stack([shares, after], 1).ravel(), [0.0]])
    return _joined(xs, ys, reach)


def _joined(xs: Floats, ys: Floats, reach: float) -> str:
    return joined((_at(x, reach), _RATIO_AXES.up(float(y))) for x, y in zip(xs, ys, strict=True))


def _decades(reach: float) -> tuple[tuple[float, str], ...]:
    step = 1 if reach <= 3 else 2
    values = range(-int(reach) // step * step, int(reach) + 1, step)
    return tuple((_at(v, reach), in_figures(float(v))) for v in values if abs(v) <= reach)


def _shares() -> tuple[tuple[float, str], ...]:
    return tuple((_RATIO_AXES.up(share), f"{share:g}") for share in (0.0, 0.5, 1.0))


def _at(value: float, reach: float) -> float:
    return _RATIO_AXES.across((float(value) + reach) / (2 * reach))
