"""Figures and names of a scan as text for a page."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from trueshot.calibration.verbal_scale import in_figures
from trueshot.card import Rate
from trueshot.files import sanitize

_ABSOLUTE = re.compile(r"/|\\\\|[A-Za-z]:[\\/]")
DASH = "–"
NBSP = "\N{NO-BREAK SPACE}"


def ratio_text(log10_lr: float | None) -> str:
    """A likelihood ratio in figures, or a dash."""
    return DASH if log10_lr is None else in_figures(log10_lr)


def times_text(log10_lr: float) -> str:
    """How many times more probable, without the direction."""
    return ratio_text(abs(log10_lr))


def share_text(count: int, total: int) -> str:
    """A share in per cent; never 0 or 100 unless it is."""
    if not total:
        return DASH
    shown = f"{100 * count / total:.1f}"
    if shown == "0.0" and count:
        return f"<{NBSP}0.1{NBSP}%"
    return f">{NBSP}99.9{NBSP}%" if shown == "100.0" and count < total else f"{shown}{NBSP}%"


def rate_text(rate: Rate | None) -> str:
    """A rate with its interval and what it was counted on."""
    if rate is None:
        return DASH
    low, value, high = (100 * part for part in (rate.low, rate.value, rate.high))
    counted = f"{rate.count:,}{NBSP}of{NBSP}{rate.total:,}"
    return f"{value:.1f}{NBSP}% ({low:.1f}–{high:.1f}; {counted})"


def span_text(rate: Rate | None) -> str:
    """A share with its interval, where nothing was counted out: an equal error rate."""
    if rate is None:
        return DASH
    low, value, high = (100 * part for part in (rate.low, rate.value, rate.high))
    return f"{value:.1f}{NBSP}% ({low:.1f}–{high:.1f})"


def area_text(rate: Rate | None) -> str:
    """An area under the ROC curve with its interval."""
    if rate is None:
        return DASH
    return f"{rate.value:.3f} ({rate.low:.3f}–{rate.high:.3f})"


def worst_kinds(rates: Mapping[str, Rate]) -> set[str]:
    """The kinds with the highest rate; none where all kinds have the same."""
    values = [rate.value for rate in rates.values()]
    if not values or min(values) == max(values):
        return set()
    return {kind for kind, rate in rates.items() if rate.value == max(values)}


def number_text(value: float | None, digits: int = 2) -> str:
    """A number with a true minus sign, or a dash."""
    if value is None or not math.isfinite(value):
        return DASH
    return f"{value:.{digits}f}".replace("-", "−")


def bytes_text(count: int) -> str:
    """A size in bytes, kB or MB."""
    if count < 1000:
        return f"{count} bytes"
    return f"{count / 1000:.0f} kB" if count < 1_000_000 else f"{count / 1e6:.1f} MB"


def common_folder(names: Sequence[str]) -> str:
    r"""The folder that absolute names have in common, with its last separator; "" for others.

    Relative names are left as they were given, and so is a lone file. Both `/` and `\` part
    folders, for results may come from another system.
    """
    if len(names) < 2 or not all(_ABSOLUTE.match(name) for name in names):
        return ""
    low, high = min(names), max(names)  # what these two share, all between them do
    same = next(
        (n for n, pair in enumerate(zip(low, high, strict=False)) if pair[0] != pair[1]), len(low)
    )
    folder = low[: max(low.rfind("/", 0, same), low.rfind("\\", 0, same)) + 1]
    return "" if _ABSOLUTE.fullmatch(folder) else folder


def flat(settings: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Settings as pairs of texts."""
    return [(sanitize(str(name)), sanitize(_value_text(value))) for name, value in settings.items()]


def _value_text(value: object) -> str:
    if value is None or isinstance(value, bool):
        return {None: "none", True: "yes", False: "no"}[value]
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:g}" if isinstance(value, float) else str(value)
