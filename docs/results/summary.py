"""Print the tables of docs/results/README.md from the JSON in this folder.

python docs/results/summary.py
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from trueshot.evaluation import CLEAN, EvaluationResult, load_result
from trueshot.proportion import Proportion

HERE = Path(__file__).parent
RUNS = ("recapture-dev/photo", "recapture-dev/source", "close", "paper-style")
BUDGETS = (1.0, 2.0, 3.0, 4.0, 5.0)


def main() -> None:
    for run in RUNS:
        if (HERE / run / "results.json").is_file():
            print("\n".join([f"\n{run}\n", *table(HERE / run)]))


def table(folder: Path) -> Iterator[str]:
    """A row for each detector of a run: what it does clean, and under each attack."""
    yield (
        "| size | detector | iterations | crops (groups) | clean | originals / recaptures "
        "| FGSM 1 … 5 | by class at 1 | LLCM 1 … 5 | PGD 1 … 5 | strong suite |"
    )
    yield "|" + "---|" * 11
    content = json.loads((folder / "results.json").read_text("utf-8"))
    for result in map(EvaluationResult.from_json, content["results"]):
        path = folder / f"strong-{result.detector}-{result.side}px.json"
        yield row(result, load_result(path) if path.is_file() else None)


def row(result: EvaluationResult, strong: EvaluationResult | None) -> str:
    """The row of one detector; `strong`: its worst case over the strong suite."""
    clean = result.single(CLEAN)
    cells = [
        str(result.side),
        result.detector,
        f"{(result.recipe or {})['schedule']['iterations']:,}",
        f"{sum(clean.total)} ({result.group_count})",
        with_interval(clean.proportion),
        by_class(result, CLEAN, 0.0),
        under(result, "fgsm"),
        by_class(result, "fgsm", 1.0),
        under(result, "llcm"),
        under(result, "pgd"),
        "–" if strong is None else worst(strong),
    ]
    return f"| {' | '.join(cells)} |"


def with_interval(share: Proportion) -> str:
    """Per cent, and the 95 % interval."""
    low, high = share.interval()
    return f"{100 * share.share:.1f} ({100 * low:.0f} to {100 * high:.0f})"


def under(result: EvaluationResult, attack: str) -> str:
    """Per cent at each budget, where it was measured."""
    cells = [one for one in result.singles() if one.attack == attack and one.budget in BUDGETS]
    return " / ".join(f"{100 * one.accuracy:.0f}" for one in cells) or "–"


def by_class(result: EvaluationResult, attack: str, budget: float) -> str:
    """Per cent of the originals and of the recaptures."""
    shares = (result.single(attack, budget).of_class(label) for label in range(2))
    return " / ".join(f"{100 * share.share:.0f}" for share in shares if share)


def worst(strong: EvaluationResult) -> str:
    """Per cent that no attack breaks, at each budget."""
    cases = [case for case in strong.worst if case.threat == "linf" and case.budget]
    return " / ".join(f"{100 * case.accuracy:.0f} at {case.budget:g}" for case in cases)


if __name__ == "__main__":
    main()
