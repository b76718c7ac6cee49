"""Tippett plot and empirical cross-entropy of likelihood ratios, as SVG lines."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from trueshot.calibration.ratio_quality import empirical_cross_entropy, tippett
from trueshot.calibration.verbal_scale import in_figures
from trueshot.card import Card, RatioSample
from trueshot.files import sanitize
from trueshot.reports.axes import Axes, joined

Floats = npt.NDArray[np.float64]

AXES = Axes(width=340, height=250, left=44, right=330, top=12, bottom=204)
_LEAST = 1.0  # decades: a Tippett plot spans at least this much to either side of 1
_ODDS = 2.0  # decades: prior odds span this much to either side of 1


@dataclass(frozen=True, kw_only=True)
class Trace:
    """A line.

    Args:
        name: Text in the legend.
        tone: CSS class that sets the colour.
        points: `points` attribute of an SVG `polyline`.
        dash: Value of `stroke-dasharray`.
    """

    name: str
    tone: str
    points: str
    dash: str = ""


@dataclass(frozen=True, kw_only=True)
class Panel:
    """Lines and axis ticks as (place, text); `neutral` is the x coordinate of 1 (10^0)."""

    traces: tuple[Trace, ...]
    across: tuple[tuple[float, str], ...]
    up: tuple[tuple[float, str], ...]
    neutral: float
    axes: Axes = AXES


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
    tippett: Panel
    cross_entropy: Panel
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
    given = [(np.array(values), count) for values, count in parts]
    return np.concatenate(
        [
            np.quantile(values, (np.arange(count) + 0.5) / count, method="inverted_cdf")
            for values, count in given
        ]
    )


def _tippett(ratios: Floats, labels: npt.NDArray[np.int64], plurals: Sequence[str]) -> Panel:
    found = tippett(ratios, labels)
    reach = max(_LEAST, float(np.ceil(np.abs(ratios).max())))
    sides = ((plurals[0], "class-0", found.originals), (plurals[1], "other", found.recaptured))
    return Panel(
        traces=tuple(
            Trace(name=name, tone=tone, points=_steps(found.log10_lrs, shares, reach))
            for name, tone, shares in sides
        ),
        across=_decades(reach),
        up=_shares(),
        neutral=_across(0, reach),
    )


def _cross_entropy(ratios: Floats, labels: npt.NDArray[np.int64]) -> Panel:
    found = empirical_cross_entropy(ratios, labels)
    lines = (
        ("as they are", "other", "", found.found),
        ("calibrated as well as can be", "class-0", "6 4", found.calibrated),
        ("without ratios", "undecided", "2 4", found.nothing),
    )
    return Panel(
        traces=tuple(
            Trace(name=name, tone=tone, dash=dash, points=_line(found.log10_odds, bits))
            for name, tone, dash, bits in lines
        ),
        across=_decades(_ODDS),
        up=_shares(),
        neutral=_across(0, _ODDS),
    )


def _steps(at: Floats, shares: Floats, reach: float) -> str:
    """Return a step line that falls just after each ratio."""
    xs = np.concatenate([[-reach], np.repeat(at, 2), [reach]])
    after = np.append(shares[1:], 0.0)
    ys = np.concatenate([[1.0], np.stack([shares, after], 1).ravel(), [0.0]])
    return _joined(xs, ys, reach)


def _line(odds: Floats, bits: Floats) -> str:
    return _joined(odds, np.minimum(bits, 1.0), _ODDS)


def _joined(xs: Floats, ys: Floats, reach: float) -> str:
    return joined((_across(x, reach), AXES.up(float(y))) for x, y in zip(xs, ys, strict=True))


def _decades(reach: float) -> tuple[tuple[float, str], ...]:
    step = 1 if reach <= 3 else 2
    values = range(-int(reach) // step * step, int(reach) + 1, step)
    return tuple((_across(v, reach), in_figures(float(v))) for v in values if abs(v) <= reach)


def _shares() -> tuple[tuple[float, str], ...]:
    return tuple((AXES.up(share), f"{share:g}") for share in (0.0, 0.5, 1.0))


def _across(value: float, reach: float) -> float:
    return AXES.across((float(value) + reach) / (2 * reach))
