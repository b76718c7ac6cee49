"""Format numbers and names of a scan as text for a page."""

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
    """Format a likelihood ratio as a number; None gives a dash."""
    return DASH if log10_lr is None else in_figures(log10_lr)


def times_text(log10_lr: float) -> str:
    """Format a likelihood ratio, or its inverse if it is below 1, as a number of at least 1."""
    return ratio_text(abs(log10_lr))


def share_text(count: int, total: int) -> str:
    """Format a share in per cent; only exact values are shown as 0.0 or 100.0."""
    if not total:
        return DASH
    shown = f"{100 * count / total:.1f}"
    if shown == "0.0" and count:
        return f"<{NBSP}0.1{NBSP}%"
    return f">{NBSP}99.9{NBSP}%" if shown == "100.0" and count < total else f"{shown}{NBSP}%"


def rate_text(rate: Rate | None) -> str:
    """Format a rate with its interval and its counts."""
    if rate is None:
        return DASH
    low, value, high = (100 * part for part in (rate.low, rate.value, rate.high))
    counted = f"{rate.count:,}{NBSP}of{NBSP}{rate.total:,}"
    return f"{value:.1f}{NBSP}% ({low:.1f}–{high:.1f}; {counted})"


def span_text(rate: Rate | None) -> str:
    """Format a rate with its interval but without counts, such as an equal error rate."""
    if rate is None:
        return DASH
    low, value, high = (100 * part for part in (rate.low, rate.value, rate.high))
    return f"{value:.1f}{NBSP}% ({low:.1f}–{high:.1f})"


def area_text(rate: Rate | None) -> str:
    """Format an area under the ROC curve with its interval."""
    if rate is None:
        return DASH
    return f"{rate.value:.3f} ({rate.low:.3f}–{rate.high:.3f})"


def worst_kinds(rates: Mapping[str, Rate]) -> set[str]:
    """Return the kinds with the highest rate; none if all rates are equal."""
    values = [rate.value for rate in rates.values()]
    if not values or min(values) == max(values):
        return set()
    return {kind for kind, rate in rates.items() if rate.value == max(values)}


def number_text(value: float | None, digits: int = 2) -> str:
    """Format a number with a typographic minus sign; None or a non-finite value gives a dash."""
    if value is None or not math.isfinite(value):
        return DASH
    return f"{value:.{digits}f}".replace("-", "−")


def bytes_text(count: int) -> str:
    """Format a size in bytes, kB or MB."""
    if count < 1000:
        return f"{count} bytes"
    return f"{count / 1000:.0f} kB" if count < 1_000_000 else f"{count / 1e6:.1f} MB"


def common_folder(names: Sequence[str]) -> str:
    r"""Return the common folder of absolute file names, with its trailing separator.

    The result is "" for relative names, for fewer than two names, and if only the root is shared.
    Both `/` and `\` are separators, because results may come from another operating system.
    """
    if len(names) < 2 or not all(_ABSOLUTE.match(name) for name in names):
        return ""
    low, high = min(names), max(names)  # a common prefix of these two is common to all
    same = next(
        (n for n, pair in enumerate(zip(low, high, strict=False)) if pair[0] != pair[1]), len(low)
    )
    folder = low[: max(low.rfind("/", 0, same), low.rfind("\\", 0, same)) + 1]
    return "" if _ABSOLUTE.fullmatch(folder) else folder


def flat(settings: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return settings as pairs of printable texts."""
    return [(sanitize(str(name)), sanitize(_value_text(value))) for name, value in settings.items()]


def _value_text(value: object) -> str:
    if value is None or isinstance(value, bool):
        return {None: "none", True: "yes", False: "no"}[value]
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:g}" if isinstance(value, float) else str(value)
