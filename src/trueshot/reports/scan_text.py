"""Figures and names of a scan as text for a page."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from trueshot.card import Rate
from trueshot.files import plain

DASH = "–"
NBSP = "\N{NO-BREAK SPACE}"


def ratio_text(log10_lr: float | None) -> str:
    """A likelihood ratio as people write it: 33, 1/14; in exponents where it is beyond 10,000."""
    if log10_lr is None:
        return DASH
    if abs(log10_lr) >= 4:
        return f"10^{log10_lr:.1f}"
    larger = _two_digits(10 ** abs(log10_lr))
    return larger if log10_lr >= 0 or larger == "1" else f"1/{larger}"


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


def flat(settings: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Settings as pairs of texts."""
    return [(plain(str(name)), plain(str(value))) for name, value in settings.items()]


def _two_digits(value: float) -> str:
    if value >= 99.5:
        return f"{float(f'{value:.1e}'):,.0f}"
    return f"{value:.0f}" if value >= 9.95 else f"{value:.1f}".removesuffix(".0")
