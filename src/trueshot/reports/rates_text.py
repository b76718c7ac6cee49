"""Error rates in words, as numbers of photographs out of 100."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from trueshot.card import Measurement, Rate
from trueshot.files import sanitize
from trueshot.proportion import Proportion
from trueshot.tasks import Wording


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
