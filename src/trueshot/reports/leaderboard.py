"""Leaderboards: the detectors of each comparison ranked by their worst case."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from trueshot.reports.comparison import Comparison, Standing, standings
from trueshot.reports.results import LINF, NO_CHANGE, DetectorResults, threat_name
from trueshot.reports.security_tables import INTERVAL, at, cost, count, epsilon
from trueshot.reports.table import Cell, Number, Table

DOUBTED = " †"


@dataclass(frozen=True, kw_only=True)
class Board:
    """The ranked detectors of a comparison.

    Args:
        comparison: Comparison with the detectors.
        threat: Threat model of the worst cases.
        budget: Budget whose worst case decides the order; None if no detector has one.
        ranked: Ranked detectors, best first.
        unranked: Detectors whose worst case at that budget is not known.
    """

    comparison: Comparison
    threat: str
    budget: float | None
    ranked: tuple[Standing, ...]
    unranked: tuple[DetectorResults, ...]


def board(comparison: Comparison, threat: str = LINF, budget: float | None = None) -> Board:
    """Rank the detectors of a comparison by worst case.

    Args:
        comparison: Comparison with the detectors.
        threat: Threat model of the worst cases.
        budget: Budget in levels; by default chosen by `Comparison.budget`.
    """
    chosen = comparison.budget(threat, budget)
    ranked = standings(comparison, threat, chosen)
    named = {standing.detector.name for standing in ranked}
    return Board(
        comparison=comparison,
        threat=threat,
        budget=chosen,
        ranked=tuple(ranked),
        unranked=tuple(one for one in comparison.detectors if one.name not in named),
    )


def leaderboard(made: Board) -> Table:
    """Return the table of a board; detectors with doubts are marked but keep their rank."""
    budgets = _near(made)
    common = _common_changes(made.comparison.detectors)
    has_proofs = any(one.certified(0.0) for one in made.comparison.detectors)
    proven = budgets if made.threat == LINF and has_proofs else []
    here = "" if made.budget is None else f" at {epsilon(made.budget, made.threat)}"
    rows = [
        (str(place), *_row(made, standing.detector, budgets, proven, common))
        for place, standing in enumerate(made.ranked, start=1)
    ]
    rows += [("–", *_row(made, one, budgets, proven, common)) for one in made.unranked]
    return Table(
        name=f"leaderboard-{made.comparison.slug}",
        title=f"Leaderboard by the worst case{here}, {threat_name(made.threat)}. "
        f"{made.comparison.title}",
        note=_note(made, common),
        header=(
            "place",
            "detector",
            *(f"worst case, {text}" for text in at(budgets, made.threat)),
            *(f"certified, {text}" for text in at(proven, made.threat)),
            f"{made.comparison.words.plurals[1]} found{here}",
            "clean",
            "AUC",
            "images",
            "scenes or photographs",
            "everyday, mean",
            "everyday, lowest",
            "cost of training",
            "doubts",
        ),
        rows=tuple(rows),
        stubs=2,
    )


def _near(made: Board) -> list[float]:
    """Return the budgets of the columns: the detectors' `budgets` and the chosen one."""
    threat = made.threat
    found = {
        b for one in made.comparison.detectors if one.curve(threat) for b in one.budgets(threat)
    }
    return sorted(found | ({made.budget} if made.budget is not None else set()))


def _row(
    made: Board,
    one: DetectorResults,
    budgets: Sequence[float],
    proven: Sequence[float],
    common: Sequence[str],
) -> tuple[Cell, ...]:
    cases = [one.case(made.threat, budget) for budget in budgets]
    chosen = None if made.budget is None else one.case(made.threat, made.budget)
    return (
        one.name + (DOUBTED if one.doubts else ""),
        *(None if case is None else case.proportion for case in cases),
        *(one.certified(budget) for budget in proven),
        None if chosen is None else chosen.others,
        one.clean,
        Number(value=one.auc, digits=3),
        None if one.clean is None else count(one.clean.total),
        None if one.groups is None else count(one.groups),
        *_everyday(one, common),
        cost(one),
        _doubts(one),
    )


def _note(made: Board, common: Sequence[str]) -> str:
    notes = [f"{INTERVAL}."]
    if any(one.doubts for one in made.comparison.detectors):
        notes.append("† There are doubts: the figures may be too good.")
    if made.unranked and made.ranked:
        names = ", ".join(one.name for one in made.unranked)
        notes.append(f"Not measured at this budget and therefore not ranked: {names}.")
    if len({s.clean.total for s in made.ranked}) > 1:
        notes.append("Not all detectors were evaluated on the same number of images.")
    for one in made.comparison.detectors:
        notes += [f"{one.name}: {note.rstrip('.')}." for note in one.notes]
    if common:
        notes.append(f"Everyday changes: {', '.join(common)}.")
    return " ".join(notes)


def _common_changes(detectors: Sequence[DetectorResults]) -> list[str]:
    """Return the everyday changes shared by all detectors for which any were measured."""
    named = [[n for n in one.changes if n != NO_CHANGE] for one in detectors]
    named = [names for names in named if names]
    return [name for name in named[0] if all(name in one for one in named)] if named else []


def _everyday(one: DetectorResults, common: Sequence[str]) -> tuple[Cell, Cell]:
    found = {name: each.accuracy for name, each in one.changes.items() if name in common}
    if not found:
        return None, None
    mean = sum(found.values()) / len(found)
    lowest = min(found, key=found.__getitem__)
    return f"{100 * mean:.1f} %", f"{100 * found[lowest]:.1f} % ({lowest})"


def _doubts(one: DetectorResults) -> str | None:
    if not one.was_attacked:
        return None
    return f"{len(one.doubts)}: {', '.join(one.doubts)}" if one.doubts else "none recorded"
