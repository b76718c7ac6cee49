"""Tables 1 to 3 in the layout of the paper, with the paper's figures beside ours."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from trueshot.evaluation.result import EvaluationResult
from trueshot.evaluation.tally import CLEAN
from trueshot.files import write_atomically
from trueshot.reports import paper
from trueshot.reports.comparison import Comparison
from trueshot.reports.paper import ATTACK_NAMES, BUDGETS
from trueshot.reports.results import DetectorResults, accuracy, single_of
from trueshot.reports.security_tables import INTERVAL, at, attack_name
from trueshot.reports.table import Cell, Number, Table, as_latex, as_markdown, in_markdown

_ROLES = {"plain": "Yang", "secure": "Prop"}
Results = Sequence[EvaluationResult]


def check_pairs(results: Results) -> tuple[list[EvaluationResult], list[EvaluationResult]]:
    """Split results that alternate between the plain and the secure detector, size by size.

    Returns:
        Results of the plain detector and of the secure one, at the same sizes.

    Raises:
        ValueError: The results are not such pairs.
    """
    if not results or len(results) % 2:
        raise ValueError(f"results must come in pairs, plain and secure, got {len(results)}")
    plain, secure = list(results[::2]), list(results[1::2])
    if [r.side for r in plain] != [r.side for r in secure]:
        raise ValueError("the results of the plain and the secure detector differ in size")
    return plain, secure


def reproduction_tables(results: Results) -> list[Table]:
    """Return tables 1 to 3, one of attacks not in the paper, and one with separate classes.

    Tables without rows are omitted.

    Args:
        results: For each size the result of the plain detector, then that of the secure one.

    Raises:
        ValueError: The results are not such pairs.
    """
    plain, secure = check_pairs(results)
    tables = [
        _clean_table(plain, secure),
        _attacked_table(2, "plain", plain),
        _attacked_table(3, "secure", secure),
        _further_table(results),
        _class_table(results),
    ]
    return [table for table in tables if table.rows]


def write_tables(folder: Path, results: Results) -> list[Path]:
    """Write tables.md and tables.tex and return their paths."""
    tables = reproduction_tables(results)
    paths = [folder / "tables.md", folder / "tables.tex"]
    texts = [*map(as_markdown, tables), provenance(results)]
    write_atomically(paths[0], "\n\n".join(texts) + "\n")
    write_atomically(paths[1], "\n\n".join(map(as_latex, tables)) + "\n")
    return paths


def provenance(results: Results) -> str:
    """Return Markdown text, to go below the tables, on how the figures were obtained."""
    lines = [
        "Each cell: share of test crops classified correctly, after rounding to bytes; in "
        f"brackets the 95 % interval, {_drawn(results)}; below, the paper's figure.",
        "",
    ]
    for r in results:
        iterations = r.recipe["schedule"]["iterations"] if r.recipe else "?"
        crops = f"{sum(r.single(CLEAN).total)} {r.part} crops"
        if r.group_count is not None:
            crops += f" of {r.group_count} scenes or photographs"
        lines.append(
            f"- {r.detector}, {r.side} px: {iterations} iterations, {crops}, split "
            f"by {r.split_by}, clean AUC {r.auc:.3f}, data {r.data[:12]}, "
            f"weights {r.bundle_sha256[:12]}"
        )
    notes = dict.fromkeys(note for result in results for note in result.notes)
    return "\n".join([*lines, *(f"- {in_markdown(note)}" for note in notes)])


def _drawn(results: Results) -> str:
    """Return a phrase on whether the intervals resample groups or assume independence."""
    known = [result.group_count is not None for result in results]
    if all(known):
        return "clustered by scene, else by photograph"
    return "by Wilson, which assumes independent crops: the true intervals are wider"


def comparison_tables(comparison: Comparison) -> list[Table]:
    """Return tables 1 to 3 for any detectors that went through the paper suite.

    Tables without rows are omitted.
    """
    tried = [(one, one.paper) for one in comparison.detectors if one.paper is not None]
    first = [
        (
            one.name,
            accuracy(result, CLEAN, 0.0),
            printed(paper.CLEAN.get(one.role, {}).get(comparison.side)),
            Number(value=result.auc, digits=3),
        )
        for one, result in tried
    ]
    tables = [
        Table(
            name=f"{comparison.slug}-table-1",
            title=f"Table 1. Clean images. {comparison.title}",
            note=f"{INTERVAL}; the paper's figures in per cent.",
            header=("detector", "ours", "paper, %", "AUC, ours"),
            rows=tuple(first),
        ),
        *(
            _compared(comparison, number, [pair for pair in tried if pair[0].role == role])
            for number, role in ((2, "plain"), (3, "secure"))
        ),
    ]
    return [table for table in tables if table.rows]


def printed(value: float | None) -> Number | None:
    """Return a figure of the paper, in per cent, as a table cell."""
    return None if value is None else Number(value=value)


def _clean_table(plain: Results, secure: Results) -> Table:
    rows: list[tuple[Cell, ...]] = []
    for (role, name), results in zip(_ROLES.items(), (plain, secure), strict=True):
        rows.append((f"{results[0].detector}, ours", *(accuracy(r, CLEAN, 0.0) for r in results)))
        theirs = [paper.CLEAN[role].get(r.side) for r in results]
        rows.append((f"{name}, paper, %", *map(printed, theirs)))
    return Table(
        name="table-1",
        title="Table 1. Accuracy on clean images",
        header=("image size", *(f"{r.side} × {r.side}" for r in plain)),
        rows=tuple(rows),
    )


def _attacked_table(number: int, role: str, results: Results) -> Table:
    rows: list[tuple[Cell, ...]] = []
    for r in results:
        for attack in ATTACK_NAMES:
            rows += _both((f"{r.side} × {r.side}", attack_name(attack)), r, role, attack)
    name = "the plain LCNN (Yang)" if role == "plain" else "the securely trained LCNN (Prop)"
    return Table(
        name=f"table-{number}",
        title=f"Table {number}. Accuracy on attacked images, {name}",
        header=("size", "method", "whose", *at(BUDGETS)),
        rows=tuple(rows),
        stubs=3,
    )


def _further_table(results: Results) -> Table:
    rows = [
        (
            f"{r.side} × {r.side}",
            f"{r.detector}, {attack_name(attack)}",
            *(accuracy(r, attack, budget) for budget in BUDGETS),
        )
        for r in results
        for attack in dict.fromkeys(each.attack for each in r.singles())
        if attack not in (CLEAN, *ATTACK_NAMES)
    ]
    return Table(
        name="table-4",
        title="Table 4 (not in the paper). Accuracy under further attacks",
        header=("size", "detector, attack", *at(BUDGETS)),
        rows=tuple(rows),
        stubs=2,
    )


def _class_table(results: Results) -> Table:
    rows: list[tuple[Cell, ...]] = []
    for r in results:
        for attack in dict.fromkeys(each.attack for each in r.singles() if each.attack != CLEAN):
            for label, name in enumerate(r.classes):
                stub = (f"{r.side} × {r.side}", f"{r.detector}, {attack_name(attack)}", name)
                found = [single_of(r, CLEAN, 0.0), *(single_of(r, attack, b) for b in BUDGETS)]
                rows.append(
                    (*stub, *(None if one is None else one.of_class(label) for one in found))
                )
    return Table(
        name="table-5",
        title="Table 5 (not in the paper). Accuracy by class",
        header=("size", "detector, attack", "class", *at((0.0, *BUDGETS))),
        rows=tuple(rows),
        stubs=3,
    )


def _compared(
    comparison: Comparison,
    number: int,
    detectors: Sequence[tuple[DetectorResults, EvaluationResult]],
) -> Table:
    rows: list[tuple[Cell, ...]] = []
    for one, result in detectors:
        for attack in ATTACK_NAMES:
            if any(accuracy(result, attack, budget) for budget in BUDGETS):
                rows += _both((one.name, attack_name(attack)), result, one.role, attack)
    role = "the plain detector" if number == 2 else "the paper's secure training"
    return Table(
        name=f"{comparison.slug}-table-{number}",
        title=f"Table {number}. Attacked images, {role}. {comparison.title}",
        note=f"{INTERVAL}.",
        header=("detector", "attack", "whose", *at(BUDGETS)),
        rows=tuple(rows),
        stubs=3,
    )


def _both(
    stub: tuple[str, str], result: EvaluationResult, role: str, attack: str
) -> list[tuple[Cell, ...]]:
    """Return a row with our accuracies at each budget and a row with the paper's."""
    theirs = paper.ATTACKED[role].get((result.side, attack), (None,) * len(BUDGETS))
    return [
        (*stub, "ours", *(accuracy(result, attack, budget) for budget in BUDGETS)),
        (*stub, "paper, %", *map(printed, theirs)),
    ]
