"""Print the figures of docs/results/README.md, and write tables and curves, from the JSON here.

python docs/results/summary.py
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from trueshot.evaluation import CLEAN, EvaluationResult, load_result
from trueshot.reports.figures import draw_curves
from trueshot.reports.paper_tables import write_tables

HERE = Path(__file__).parent
# Plain and secure at each size.
PAIRED = ("recapture-dev", "recapture-dev/source", "close", "paper-style")
HEADER = (
    "size",
    "detector",
    "crops (groups)",
    "clean (95 %)",
    "by class",
    "FGSM 1 … 5",
    "by class at 1",
    "LLCM 1 … 5",
    "PGD",
    "worst of the strong suite",
)
ALL = ("size", "detector", "crops (groups)", "clean (95 %)", "by class", "AUC", "FGSM, ε = 1")


def main() -> None:
    for run in (*PAIRED, "close/short", "paper-style/short"):
        found = sorted(results(HERE / run), key=lambda one: one.side)
        print(f"\n{run}\n\n| {' | '.join(HEADER)} |\n{'|---' * len(HEADER)}|")
        for result in found:
            print(f"| {' | '.join(row(result, HERE / run))} |")
        if run in PAIRED:
            write_tables(HERE / run, [noted(result, found) for result in found])
            draw_curves(found, HERE / run / "curves.png")
        every = [load_result(path) for path in sorted((HERE / run / "all").glob("paper-*.json"))]
        if every:
            print(f"\n{run}, all test crops\n\n| {' | '.join(ALL)} |\n{'|---' * len(ALL)}|")
        for result in sorted(every, key=lambda one: (one.side, one.detector == "secure")):
            print(f"| {' | '.join(row_of_all(result))} |")


def results(folder: Path) -> Iterator[EvaluationResult]:
    """Yield the results that `reproduce` or `evaluate` wrote there, the plain detector first."""
    if (folder / "results.json").is_file():
        for content in json.loads((folder / "results.json").read_text("utf-8"))["results"]:
            yield EvaluationResult.from_json(content)
    for path in sorted(folder.glob("paper-*.json"), reverse=True):
        result, more = load_result(path), folder / "pgd" / path.name
        extra = load_result(more).trials if more.is_file() else ()
        yield replace(result, trials=(*result.trials, *extra))


def noted(result: EvaluationResult, others: Sequence[EvaluationResult]) -> EvaluationResult:
    """Add a note if the same weights were judged at several sizes."""
    sides = [one.side for one in others if one.bundle_sha256 == result.bundle_sha256]
    if len(sides) == 1:
        return result
    note = f"Trained at {min(sides)} px, and judged at all sizes with those weights."
    return replace(result, notes=(*result.notes, note))


def row(result: EvaluationResult, folder: Path) -> Iterator[str]:
    """Yield the cells of one detector: its results without and under each attack."""
    yield from clean_cells(result)
    yield under(result, "fgsm")
    yield by_class(result, "fgsm", 1.0)
    yield under(result, "llcm")
    yield under(result, "pgd")
    strong = folder / "strong" / f"strong-{result.detector}-{result.side}px.json"
    yield worst(load_result(strong)) if strong.is_file() else "–"


def clean_cells(result: EvaluationResult) -> Iterator[str]:
    """Yield size, detector, number of crops, and the accuracy without an attack."""
    clean = result.single(CLEAN)
    low, high = clean.interval
    yield str(result.side)
    yield result.detector
    yield f"{sum(clean.total)} ({result.group_count})"
    yield f"{100 * clean.accuracy:.1f} ({100 * low:.0f} to {100 * high:.0f})"
    yield by_class(result, CLEAN, 0.0)


def row_of_all(result: EvaluationResult) -> Iterator[str]:
    """Yield the cells of one detector on all test crops, with one attack."""
    yield from clean_cells(result)
    yield f"{result.auc:.2f}"
    yield f"{under(result, 'fgsm').split()[0]} ({by_class(result, 'fgsm', 1.0)})"


def under(result: EvaluationResult, attack: str) -> str:
    """Return the accuracy in per cent at each budget, and the budgets if they are not all five."""
    found = [one for one in result.singles() if one.attack == attack]
    cells = " / ".join(f"{100 * one.accuracy:.0f}" for one in found)
    budgets = " / ".join(f"{one.budget:g}" for one in found)
    return cells if len(found) in (0, 5) else f"{cells} (ε = {budgets})"


def by_class(result: EvaluationResult, attack: str, budget: float) -> str:
    """Return the accuracy in per cent on originals and on recaptures."""
    shares = (result.single(attack, budget).of_class(label) for label in range(2))
    return " / ".join(f"{100 * share.share:.0f}" for share in shares if share)


def worst(strong: EvaluationResult) -> str:
    """Return the percentage of crops that withstand every attack, at each budget."""
    cases = [case for case in strong.worst if case.threat == "linf" and case.budget]
    cells = " / ".join(f"{100 * case.accuracy:.0f}" for case in cases)
    budgets = " / ".join(f"{case.budget:g}" for case in cases)
    return f"{cells} (ε = {budgets}; {sum(cases[0].total)} crops)"


if __name__ == "__main__":
    main()
