"""Numbers, error rates and names of a scan as text for a page."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from trueshot.calibration.verbal_scale import in_figures
from trueshot.card import Measurement, Rate
from trueshot.files import sanitize
from trueshot.proportion import Proportion
from trueshot.tasks import Wording

_ABSOLUTE = re.compile(r"/|\\\\|[A-Za-z]:[\\/]")
DASH = "–"
NBSP = "\N{NO-BREAK SPACE}"
OTHER, FIRST = "other", "class-0"  # kinds of verdicts


def ratio_text(log10_lr: float | None) -> str:
    """Format a likelihood ratio as a number; None gives a dash."""
    return DASH if log10_lr is None else in_figures(log10_lr)


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
    counted = "" if rate is None else f"; {rate.count:,}{NBSP}of{NBSP}{rate.total:,}"
    return span_text(rate, counted)


def span_text(rate: Rate | None, more: str = "") -> str:
    """Format a rate, such as an equal error rate, with its interval and no counts."""
    if rate is None:
        return DASH
    low, value, high = (100 * part for part in (rate.low, rate.value, rate.high))
    return f"{value:.1f}{NBSP}% ({low:.1f}–{high:.1f}{more})"


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


def begun(text: str) -> str:
    """Return a text with a capital at its beginning."""
    return text[:1].upper() + text[1:]


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
    Names from Windows may be separated by `\`, because results may come from there; elsewhere it is
    part of a name, or of an escape in it.
    """
    if len(names) < 2 or not all(_ABSOLUTE.match(name) for name in names):
        return ""
    low, high = min(names), max(names)  # a common prefix of these two is common to all
    same = next(
        (n for n, pair in enumerate(zip(low, high, strict=False)) if pair[0] != pair[1]), len(low)
    )
    separators = "/" if low.startswith("/") else "/\\"
    folder = low[: max(low.rfind(each, 0, same) for each in separators) + 1]
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


def of_hundred(found: Measurement, words: Wording) -> str:
    """Describe the verdicts on 100 photographs of each class, in one sentence per class.

    If rates are known for each kind of recapture, they are pooled in the proportions of the
    measurement; otherwise the rate is `apcer`, that of the kind missed most often.
    """
    first, other = words.verdicts
    sides = (
        (words.plurals[1], other, first, _missed(found), found.undecided_recaptures),
        (words.plurals[0], first, other, _value(found.bpcer), found.undecided_originals),
    )
    return " ".join(_sentence(*side) for side in sides if side[3] is not None)


def pooled(measured: Sequence[Measurement]) -> Measurement:
    """Pool measurements of one kind, such as those of several phones, over all photographs."""

    def rate(rates: Iterable[Rate | None]) -> Rate | None:
        known = [each for each in rates if each is not None]
        if not known:
            return None
        found = Proportion(sum(each.count for each in known), sum(each.total for each in known))
        low, high = found.interval95
        return Rate(value=found.share, low=low, high=high, count=found.count, total=found.total)

    missed = [each for m in measured for each in (*m.apcer_by_kind.values(),) or (m.apcer,)]
    photographs = sum(each.photographs for each in measured)
    return Measurement(
        kind=measured[0].kind,
        name=f"all {photographs:,} {measured[0].kind} photographs",
        apcer=rate(missed),
        bpcer=rate(each.bpcer for each in measured),
        undecided_originals=rate(each.undecided_originals for each in measured),
        undecided_recaptures=rate(each.undecided_recaptures for each in measured),
        photographs=photographs,
    )


def by_kind(found: Measurement, words: Wording) -> str:
    """Describe how many of 100 recaptures are missed for each kind; "" for fewer than two kinds."""
    if len(found.apcer_by_kind) < 2:
        return ""
    parts = [f"{sanitize(kind)} {_count(rate.value)}" for kind, rate in found.apcer_by_kind.items()]
    return f"Of 100 of each kind, called {words.verdicts[0]}: {', '.join(parts)}."


def parts_of_hundred(shares: Sequence[float]) -> list[int]:
    """Return whole numbers that add up to 100, rounded by the largest-remainder method.

    Args:
        shares: Shares that add up to 1.
    """
    counts = [math.floor(100 * share) for share in shares]
    by_rest = sorted(range(len(counts)), key=lambda n: counts[n] - 100 * shares[n])
    for number in by_rest[: 100 - sum(counts)]:
        counts[number] += 1
    return counts


def _sentence(
    plural: str, right: str, wrong: str, missed: float | None, undecided: Rate | None
) -> str:
    missed = missed or 0.0
    if undecided is None:
        wrongly, not_so = parts_of_hundred([missed, 1 - missed])
        told = f"Of 100 {plural}, {wrongly} {_are(wrongly)} called {wrong}"
        return f"{told}, {not_so} {_are(not_so)} not."
    aside = min(undecided.value, 1 - missed)
    rightly, wrongly, none = parts_of_hundred([1 - missed - aside, missed, aside])
    told = f"Of 100 {plural}, {rightly} {_are(rightly)} called {right}, {wrongly} {wrong}"
    return f"{told}, and {none} {'gets' if none == 1 else 'get'} no verdict."


def _missed(found: Measurement) -> float | None:
    rates = found.apcer_by_kind.values()
    total = sum(rate.total for rate in rates)
    return sum(rate.count for rate in rates) / total if total else _value(found.apcer)


def _value(rate: Rate | None) -> float | None:
    return None if rate is None else rate.value


def _count(share: float) -> str:
    count = round(100 * share)
    return "fewer than 1" if share and not count else str(count)


def _are(count: int) -> str:
    return "is" if count == 1 else "are"
