"""Tables 1 to 3 in the paper's layout, ours beside the paper's, as Markdown and as LaTeX."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from trueshot.evaluation.results import CLEAN, Cell, RobustnessResult
from trueshot.files import write_atomically
from trueshot.reports import paper

BUDGETS = (1.0, 2.0, 3.0, 4.0, 5.0)
ATTACK_NAMES = {"fgsm": "FGSM", "llcm": "LLCM (TGSM)"}
_LATEX = {
    **{character: f"\\{character}" for character in "%&_#${}"},
    **{"×": r"$\times$", "ε": r"$\varepsilon$", "–": "--"},
    **{"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"},
}
_ROLES = ("plain", "secure")


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table as text: what stands above it, its header, its rows."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def paper_tables(results: Sequence[RobustnessResult]) -> list[Table]:
    """Tables 1, 2 and 3, and a fourth if the results hold attacks that the paper did not try.

    Args:
        results: Per size the plain detector's and the secure one's, in that order.

    Raises:
        ValueError: The results do not come in such pairs.
    """
    if not results or len(results) % 2:
        raise ValueError(f"pairs of results wanted, plain and secure; got {len(results)}")
    plain, secure = list(results[::2]), list(results[1::2])
    if [r.side for r in plain] != [r.side for r in secure]:
        raise ValueError("results of the plain and of the secure detector at different sizes")
    tables = [
        _clean_table(plain, secure),
        _attacked_table(2, "plain", plain),
        _attacked_table(3, "secure", secure),
    ]
    more = _further_table(results)
    return [*tables, more] if more.rows else tables


def write_tables(folder: Path, results: Sequence[RobustnessResult]) -> list[Path]:
    """Write tables.md and tables.tex; return where they are."""
    tables = paper_tables(results)
    note = provenance(results)
    paths = [folder / "tables.md", folder / "tables.tex"]
    write_atomically(paths[0], "\n\n".join([*(markdown(t) for t in tables), note]) + "\n")
    write_atomically(paths[1], "\n\n".join(latex(t) for t in tables) + "\n")
    return paths


def provenance(results: Sequence[RobustnessResult]) -> str:
    """How the figures came about, in words for under the tables."""
    lines = [
        "Each cell: share of test crops judged rightly, after rounding to bytes; in brackets the "
        "95 % Wilson interval, which takes crops as independent; below, the paper's figure.",
        "",
    ]
    for r in results:
        iterations = r.recipe["schedule"]["iterations"] if r.recipe else "?"
        crops = sum(r.cell(CLEAN).total)
        lines.append(
            f"- {r.detector}, {r.side} px: {iterations} iterations, {crops} {r.part} crops, split "
            f"by {r.split_by}, clean AUC {r.auc:.3f}, data {r.data[:12]}, "
            f"weights {r.bundle_sha256[:12]}"
        )
    return "\n".join(lines)


def markdown(table: Table) -> str:
    """A table as GitHub shows it."""
    lines = [f"**{table.title}**", "", _row(table.header), _row(["---"] * len(table.header))]
    return "\n".join([*lines, *(_row(row) for row in table.rows)])


def latex(table: Table) -> str:
    """A table for booktabs."""
    rows = [" & ".join(_escaped(cell) for cell in row) + r" \\" for row in table.rows]
    return "\n".join(
        [
            r"\begin{table}",
            rf"\caption{{{_escaped(table.title)}}}",
            rf"\begin{{tabular}}{{{'l' * len(table.header)}}}",
            r"\toprule",
            " & ".join(_escaped(cell) for cell in table.header) + r" \\",
            r"\midrule",
            *rows,
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
        ]
    )


def _clean_table(plain: Sequence[RobustnessResult], secure: Sequence[RobustnessResult]) -> Table:
    rows = []
    for role, results in zip(_ROLES, (plain, secure), strict=True):
        cells = [_measured(r.cell(CLEAN)) for r in results]
        rows.append((f"{results[0].detector}, ours", *cells))
        printed = [paper.CLEAN[role].get(r.side) for r in results]
        rows.append((f"{_NAMES[role]}, paper", *(_printed(p) for p in printed)))
    header = ("image size", *(f"{r.side} × {r.side}" for r in plain))
    return Table(title="Table 1. Accuracy on clean images", header=header, rows=tuple(rows))


_NAMES = {"plain": "Yang", "secure": "Prop"}


def _attacked_table(number: int, role: str, results: Sequence[RobustnessResult]) -> Table:
    rows = []
    for r in results:
        for attack, label in ATTACK_NAMES.items():
            size = f"{r.side} × {r.side}"
            cells = [_measured(r.cell(attack, budget)) for budget in BUDGETS]
            rows.append((size, f"{label}, ours", *cells))
            printed = paper.ATTACKED[role].get((r.side, attack), (None,) * len(BUDGETS))
            rows.append((size, f"{label}, paper", *(_printed(p) for p in printed)))
    name = "the plain LCNN (Yang)" if role == "plain" else "the securely trained LCNN (Prop)"
    return Table(
        title=f"Table {number}. Accuracy on attacked images, {name}",
        header=("size", "method", *(f"ε = {budget:g}" for budget in BUDGETS)),
        rows=tuple(rows),
    )


def _further_table(results: Sequence[RobustnessResult]) -> Table:
    rows = []
    for r in results:
        for attack in dict.fromkeys(cell.attack for cell in r.cells):
            if attack not in (CLEAN, *ATTACK_NAMES):
                cells = [_measured(r.cell(attack, budget)) for budget in BUDGETS]
                rows.append((f"{r.side} × {r.side}", f"{r.detector}, {attack.upper()}", *cells))
    return Table(
        title="Table 4, not in the paper. Accuracy under attacks that it did not try",
        header=("size", "detector, attack", *(f"ε = {budget:g}" for budget in BUDGETS)),
        rows=tuple(rows),
    )


def _measured(cell: Cell) -> str:
    low, high = cell.interval
    return f"{100 * cell.accuracy:.1f} % [{100 * low:.1f}, {100 * high:.1f}]"


def _printed(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f} %"


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |"


def _escaped(text: str) -> str:
    return "".join(_LATEX.get(character, character) for character in text)
