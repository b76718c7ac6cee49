"""A plain-text description of a bundle, from its card."""

from __future__ import annotations

from collections.abc import Iterator
from textwrap import wrap

from trueshot.calibration import Calibration, Decision
from trueshot.card import Card, EvidenceModel, Measurement, Rate
from trueshot.inference.proof import is_provable
from trueshot.tasks import Wording

_WIDTH, _WIDEST = 24, 40
_FITS = 100
_PASSES = {
    "clean": "photographs like those used for calibration",
    "attacked": "with adversarial noise",
    "everyday": "changed as by messengers and editors",
    "real": "real photographs, none of them used for training or calibration",
}


def describe(card: Card, sha256: str) -> str:
    """Describe a bundle, with one or a few lines per topic: what it is, does, and cannot do.

    Args:
        card: The card of the bundle.
        sha256: SHA-256 of its file.
    """
    told = (_printable(line) for line in _lines(card, sha256))
    return "\n".join(part for line in told for part in _folded(line)) + "\n"


def _lines(card: Card, sha256: str) -> Iterator[str]:
    yield card.title or "Untitled detector"
    yield from filter(None, [card.task])
    yield ""
    yield _row("SHA-256 of the file", sha256)
    own = card.network.get("sha256")
    code = f": custom code, in a file with SHA-256 {own}" if own else ""
    yield _row("network", f"{card.network.get('name', '?')}{code}")
    yield _row("classes", ", ".join(card.classes))
    yield _row("licence", card.licence or "not stated")
    yield from _training(card)
    yield from _judging(card)
    if card.calibration is not None:
        yield from _ratios(card.calibration)
    if card.calibrated_on is not None:
        facts = card.calibrated_on
        first, other = card.words.plurals
        counts = f"{facts.originals} {first} and {facts.recaptured} {other}"
        yield _row("calibrated on", f"{facts.name}: {counts} of {facts.sources} sources")
        yield from [_row("left out", facts.note)] * bool(facts.note)
        yield _row("fingerprint", facts.fingerprint)
    yield from _measurements(card)
    yield from _limits(card)


def _training(card: Card) -> Iterator[str]:
    if card.recipe is not None:
        yield _row("recipe", str(card.recipe.get("name", "unnamed")))
    if card.data is not None:
        yield _row("trained on", f"data {card.data}")
    if card.versions:
        yield _row("trained with", ", ".join(f"{k} {v}" for k, v in card.versions.items()))


def _judging(card: Card) -> Iterator[str]:
    yield from ("", "How it judges")
    contract = card.contract
    if contract is None:
        yield "  Straight from training, no input contract. Make a bundle with `trueshot bundle`."
        return
    crops = "one crop" if contract.crops == 1 else f"up to {contract.crops} crops"
    how = "by region" if card.evidence is not None else f"by {contract.aggregation}"
    where = ", at positions set by the image size" if contract.places == "grid" else ""
    yield _row("crops", f"{crops} of {contract.side} px{where}, scores combined {how}")
    if is_provable(card):
        yield _row(
            "proof", "verdicts come with a radius in levels; no change up to it can alter them"
        )
    if card.evidence is not None:
        yield from _evidence(card.evidence)
    first, other = card.words.verdicts
    if card.decision_rule == "top-class":
        yield _row("verdict", "the most likely class")
        if card.likeliest is not None:
            least, share = card.likeliest.least, card.likeliest.rejected
            wanted = f"below a probability of {least:.3g}; target: at most {_percent(share)}"
            yield _row("undecided", wanted)
    elif card.decision is None:
        yield _row(
            "verdict",
            f"{other} if the score is above 0, otherwise {first}; no thresholds were chosen",
        )
    else:
        yield from _decision(card.decision, card.words)
    if card.domain is not None:
        least = card.domain.fewest_crops
        fewer = f"with fewer than {least} crops, or " if least > 1 else ""
        names = ", ".join(card.domain.features) or "no property"
        yield _row("also undecided", f"{fewer}if unlike the calibration photographs in {names}")


def _evidence(model: EvidenceModel) -> Iterator[str]:
    yield _row("media it can name", ", ".join(model.media[1:]))
    if model.joint is None:
        yield _row("joined", "not yet; only the texture of crops decides")
        return
    weights = zip(model.joint.features, model.joint.weights, strict=True)
    told = ", ".join(f"{name} {weight:+.2f}" for name, weight in weights)
    yield _row("joined", f"by weights: {told}")


def _decision(decision: Decision, words: Wording) -> Iterator[str]:
    first, other = words.verdicts
    false, missed = words.errors
    low, high = decision.original_to, decision.recaptured_from
    if low == high:
        yield _row(first, f"score below {low:.4g}")
    else:
        yield _row(first, f"score up to {low:.4g}")
        yield _row("undecided", "between")
    yield _row(other, f"score of at least {high:.4g}")
    wanted = (
        f"{missed} at most {_percent(decision.apcer)}, {false} at most {_percent(decision.bpcer)}"
    )
    yield _row("target rates", wanted)


def _ratios(calibration: Calibration) -> Iterator[str]:
    lower, upper = 10**calibration.lower, 10**calibration.upper
    if lower == upper == 1:
        yield _row(
            "likelihood ratio", "always 1: the scores and the amount of data support no other value"
        )
        return
    yield _row(
        "likelihood ratio",
        f"{calibration.method}; the data supports {lower:.3g} to {upper:.3g}",
    )


def _measurements(card: Card) -> Iterator[str]:
    if not card.measured:
        yield from ("", "Error rates", "  not measured")
    for found in card.measured:
        yield from ("", f"Error rates: {found.name} ({_PASSES[found.kind]})")
        sources = "" if found.sources is None else f" of {found.sources} sources"
        yield _row("photographs", f"{found.photographs}{sources}")
        rates = dict(_rates(found, card.words))
        width = min(max([_WIDTH, *(len(name) + 1 for name in rates)]), _WIDEST)
        yield from (_row(name, text, width) for name, text in rates.items())
        if found.cllr is not None:
            least = "" if found.cllr_min is None else f" (minimum {found.cllr_min:.3f})"
            yield _row("Cllr", f"{found.cllr:.3f} bits{least}")
        yield from (f"  {text}" for text in (found.note, found.command) if text)


def _rates(found: Measurement, words: Wording) -> Iterator[tuple[str, str]]:
    """Return the measured error rates by name; rates that were not measured are omitted."""
    first, other = words.plurals
    rates = {
        **_apcers(found, words.errors[1]),
        words.errors[0]: found.bpcer,
        f"undecided {first}": found.undecided_originals,
        f"undecided {other}": found.undecided_recaptures,
        "right class named": found.right,
        "no class named": found.of_none,
    }
    yield from ((name, _counted(rate)) for name, rate in rates.items() if rate is not None)
    if found.equal_error_rate is not None:
        yield "equal error rate", _rate(found.equal_error_rate)
    if found.auc is not None:
        yield "area under the curve", _rate(found.auc)


def _apcers(found: Measurement, missed: str) -> dict[str, Rate | None]:
    """Return the rate of the worst kind first, then those of the other kinds."""
    kinds = found.apcer_by_kind
    most = max((rate.value for rate in kinds.values()), default=0.0)
    named = [kind for kind, rate in kinds.items() if rate == found.apcer and rate.value == most]
    first = f"{missed}, worst kind ({named[0]})" if named else missed
    others = {f"{missed}, {kind}": rate for kind, rate in kinds.items() if kind not in named[:1]}
    return {first: found.apcer, **others}


def _limits(card: Card) -> Iterator[str]:
    yield from ("", "Limits")
    yield from (f"  - {limit}" for limit in card.limits or ("none stated",))


def _counted(rate: Rate) -> str:
    return f"{_rate(rate)}   ({rate.count} of {rate.total})"


def _rate(rate: Rate) -> str:
    return f"{_percent(rate.value):>8}   95 %: {_percent(rate.low)} to {_percent(rate.high)}"


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"


def _row(name: str, text: str, width: int = _WIDTH) -> str:
    return f"  {name:<{width}}{text}"


def _folded(line: str) -> list[str]:
    """Wrap a line; continuation lines are indented to where its text begins."""
    is_row = line.startswith("  ") and "  " in line[2 : 2 + _WIDTH].lstrip("- ")
    margin = 2 + _WIDTH if is_row else 4 if line.startswith("  - ") else 2
    return wrap(line, _FITS, subsequent_indent=" " * margin, break_long_words=False) or [""]


def _printable(line: str) -> str:
    """Replace unprintable characters: cards are untrusted and must not control the terminal."""
    return "".join(sign if sign.isprintable() else " " for sign in line).rstrip()
