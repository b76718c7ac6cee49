"""Tables 1 to 3 of any detectors that the paper's suite has judged, beside the paper's figures."""

from __future__ import annotations

from collections.abc import Sequence

from trueshot.evaluation.results import CLEAN, RobustnessResult
from trueshot.reports import paper
from trueshot.reports.comparison import Comparison
from trueshot.reports.detector_results import DetectorResults, cell_of, rate
from trueshot.reports.grids import Cell, Figure, Grid, Rate
from trueshot.reports.security_grids import WILSON, at, attack_name
from trueshot.reports.tables import ATTACK_NAMES, BUDGETS


def paper_tables(comparison: Comparison) -> list[Grid]:
    """Tables 1, 2 and 3 beside the paper's own figures; none without the paper's suite."""
    tried = [(one, one.paper) for one in comparison.detectors if one.paper is not None]
    named = [(one, result) for one, result in tried if one.role]
    first = [
        (
            one.name,
            _cell(result, CLEAN, 0.0),
            _printed(paper.CLEAN.get(one.role, {}).get(comparison.side)),
            Figure(value=result.auc, digits=3),
        )
        for one, result in tried
    ]
    grids = [
        Grid(
            name=f"{comparison.slug}-table-1",
            title=f"Table 1. Clean images. {comparison.title}",
            note=f"{WILSON}; in per cent, the paper's.",
            header=("detector", "ours", "paper, %", "AUC, ours"),
            rows=tuple(first),
        ),
        *(
            _paper_table(comparison, number, [pair for pair in named if pair[0].role == role])
            for number, role in ((2, "plain"), (3, "secure"))
        ),
    ]
    return [grid for grid in grids if grid.rows]


def _paper_table(
    comparison: Comparison,
    number: int,
    detectors: Sequence[tuple[DetectorResults, RobustnessResult]],
) -> Grid:
    rows: list[tuple[Cell, ...]] = []
    for one, result in detectors:
        for attack in ATTACK_NAMES:
            cells = [_cell(result, attack, budget) for budget in BUDGETS]
            if not any(cells):
                continue
            printed = paper.ATTACKED[one.role].get((comparison.side, attack), (None,) * 5)
            rows.append((one.name, attack_name(attack), "ours", *cells))
            rows.append((one.name, attack_name(attack), "paper, %", *map(_printed, printed)))
    role = "the plain detector" if number == 2 else "the paper's secure training"
    return Grid(
        name=f"{comparison.slug}-table-{number}",
        title=f"Table {number}. Attacked images, {role}. {comparison.title}",
        note=f"{WILSON}.",
        header=("detector", "attack", "whose", *at(BUDGETS)),
        rows=tuple(rows),
        stubs=3,
    )


def _cell(result: RobustnessResult, attack: str, budget: float) -> Rate | None:
    cell = cell_of(result, attack, budget)
    return None if cell is None else rate(cell)


def _printed(value: float | None) -> Figure | None:
    return None if value is None else Figure(value=value)
