"""Draw docs/results/curves.png and print the summary of docs/results/README.md from the JSON here.

python docs/results/draw.py
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from trueshot.evaluation import CLEAN, EvaluationResult, load_result
from trueshot.reports.figures import draw_curves

HERE = Path(__file__).parent
RUNS = ("photo-64px", "photo-128px", "source-64px", "source-128px")


def results_of(run: str) -> list[EvaluationResult]:
    """The results of a run, with those of PGD beside them where they were measured."""
    folder = HERE / "recapture-dev" / run
    content = json.loads((folder / "results.json").read_text("utf-8"))
    results = [EvaluationResult.from_json(result) for result in content["results"]]
    return [_with_pgd(result, folder / f"{result.detector}-pgd.json") for result in results]


def _with_pgd(result: EvaluationResult, path: Path) -> EvaluationResult:
    if not path.is_file():
        return result
    return replace(result, trials=(*result.trials, *load_result(path).trials))


def summary(run: str) -> list[str]:
    """A row of the summary for each detector of a run: per cent at the paper's budgets."""
    rows = []
    for r in results_of(run):
        clean = r.single(CLEAN)
        cells = [f"{100 * clean.accuracy:.1f}", f"{r.auc:.3f}"]
        for attack in ("fgsm", "llcm", "pgd"):
            found = [c for c in r.singles() if c.attack == attack and c.budget in (1, 2, 5)]
            cells.append(" / ".join(f"{100 * c.accuracy:.1f}" for c in found) or "–")
        one = r.single("fgsm", 1.0)
        shares = (one.of_class(label) for label in range(len(r.classes)))
        cells.append(" / ".join(f"{100 * share.share:.1f}" for share in shares if share))
        rows.append(f"| {run} | {r.detector} | {' | '.join(cells)} |")
    return rows


def main() -> None:
    runs = [run for run in RUNS if (HERE / "recapture-dev" / run / "results.json").is_file()]
    by_photo = [r for run in runs if run.startswith("photo") for r in results_of(run)]
    draw_curves(by_photo, HERE / "curves.png")
    print(
        "| run | detector | clean | AUC | FGSM 1/2/5 | LLCM 1/2/5 | PGD 1/2/5 | FGSM 1 by class |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for run in runs:
        print("\n".join(summary(run)))


if __name__ == "__main__":
    main()
