"""Print the tables of docs/detectors.md from the cards of `lcnn` and the earlier `robust`."""

from __future__ import annotations

from collections.abc import Iterator

from shipping import RUNS
from shipping.bundling import TITLES
from trueshot.bundle import read_card
from trueshot.card import Card, Measurement, Rate


def print_tables() -> None:
    cards = {name: read_card(RUNS / f"{name}.safetensors") for name in TITLES}
    for table in (clean(cards), attacked(cards), everyday(cards), real(cards)):
        print("\n".join(table), end="\n\n")


def clean(cards: dict[str, Card]) -> Iterator[str]:
    yield (
        "| 1,600 simulated test photographs | AUC | EER | APCER | screens / prints | BPCER "
        "| undecided recaptures | originals | Cllr (least) |"
    )
    yield "|---" * 9 + "|"
    for name, found in of_kind(cards, "clean"):
        kinds = " / ".join(
            f"{100 * found.apcer_by_kind[kind].value:.1f}" for kind in ("screen", "print")
        )
        yield (
            f"| `{name}` | {area(found.auc)} | {share(found.equal_error_rate)} "
            f"| {share(found.apcer)} | {kinds} | {share(found.bpcer)} "
            f"| {share(found.undecided_recaptures)} | {share(found.undecided_originals)} "
            f"| {found.cllr:.2f} ({found.cllr_min:.2f}) |"
        )


def attacked(cards: dict[str, Card]) -> Iterator[str]:
    yield (
        "| detector | ε | AUC | recaptures: right / undecided / wrong "
        "| originals: right / undecided / wrong |"
    )
    yield "|---" * 5 + "|"
    for name, found in of_kind(cards, "attacked"):
        yield (
            f"| `{name}` | {found.name.rpartition(' ')[2]} | {found.auc.value:.3f} "
            f"| {thirds(pooled(found), found.undecided_recaptures)} "
            f"| {thirds(found.bpcer, found.undecided_originals)} |"
        )


def everyday(cards: dict[str, Card]) -> Iterator[str]:
    first, second = cards
    columns = "| {}: AUC | APCER | BPCER | undecided "
    yield "| change " + "".join(columns.format(f"`{name}`") for name in cards) + "|"
    yield "|---" * 9 + "|"
    rows = zip(of_kind(cards, "everyday", first), of_kind(cards, "everyday", second), strict=True)
    for (_, one), (_, other) in rows:
        yield f"| {one.name} " + "".join(changed(each) for each in (one, other)) + "|"


def changed(found: Measurement) -> str:
    both = (found.undecided_originals, found.undecided_recaptures)
    undecided = sum(rate.count for rate in both) / sum(rate.total for rate in both)
    wrong = (100 * rate.value for rate in (pooled(found), found.bpcer))
    return (
        f"| {found.auc.value:.3f} | "
        + " | ".join(f"{value:.0f}" for value in (*wrong, 100 * undecided))
        + " "
    )


def real(cards: dict[str, Card]) -> Iterator[str]:
    yield (
        "| detector | source | photographs | AUC | APCER | BPCER | undecided recaptures "
        "| originals | Cllr |"
    )
    yield "|---" * 9 + "|"
    for name, found in of_kind(cards, "real"):
        yield (
            f"| `{name}` | {found.name} | {found.photographs} | {area(found.auc)} "
            f"| {share(found.apcer)} | {share(found.bpcer)} | {share(found.undecided_recaptures)} "
            f"| {share(found.undecided_originals)} | {found.cllr:.2f} |"
        )


def of_kind(
    cards: dict[str, Card], kind: str, only: str | None = None
) -> Iterator[tuple[str, Measurement]]:
    for name, card in cards.items():
        if only in (None, name):
            yield from ((name, each) for each in card.measured if each.kind == kind)


def pooled(found: Measurement) -> Rate:
    """Return the APCER over all recaptures, without an interval; the card has the worst kind's."""
    kinds = found.apcer_by_kind.values()
    if not kinds:
        return found.apcer
    count, total = (sum(getattr(rate, name) for rate in kinds) for name in ("count", "total"))
    return Rate(value=count / total, low=0, high=1, count=count, total=total)


def area(rate: Rate) -> str:
    return f"{rate.value:.3f} ({rate.low:.2f} to {rate.high:.2f})"


def share(rate: Rate) -> str:
    return f"{100 * rate.value:.1f} ({100 * rate.low:.0f} to {100 * rate.high:.0f})"


def thirds(wrong: Rate, undecided: Rate) -> str:
    right = 1 - wrong.value - undecided.value
    return " / ".join(f"{100 * part:.0f}" for part in (right, undecided.value, wrong.value))
