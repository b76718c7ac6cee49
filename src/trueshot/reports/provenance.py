"""Provenance of results: data, weights, training cost, settings and commands."""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from trueshot.evaluation.result import CLEAN, PAPER, EvaluationResult
from trueshot.plugins import is_plugin
from trueshot.reports.comparison import Comparison
from trueshot.reports.detector_results import L2, LARGEST, DetectorResults
from trueshot.reports.loading import LoadedResult
from trueshot.reports.paper import ATTACK_NAMES, BUDGETS
from trueshot.reports.table import Cell, Number, Table, one_line

_MINUTE, _HOUR = 60, 3600


def origin_table(comparison: Comparison) -> Table:
    """Return a table with one row per result: its file, images, data, weights and seed."""
    return Table(
        name=f"{comparison.slug}-results",
        title=f"Results. {comparison.title}",
        note="Each result can be reproduced with the same weights, data, seed and versions.",
        header=(
            "detector", "suite", "file", "images", "scenes or photographs", "AUC", "threshold",
            "seed", "split by", "data, SHA-256", "weights, SHA-256",
        ),
        rows=tuple(
            (one.name, found.suite, found.path.name, *_origin(found.result))
            for one in comparison.detectors
            for found in one.suites.values()
        ),
        stubs=3,
    )  # fmt: skip


def training_table(comparison: Comparison) -> Table:
    """Return a table with one row per detector whose recipe or training cost is known."""
    rows = [(one.name, *_training(one)) for one in comparison.detectors if one.recipe or one.cost]
    return Table(
        name=f"{comparison.slug}-training",
        title=f"Training. {comparison.title}",
        header=("detector", "recipe", "iterations", "batch", "seed", "time", "images a second"),
        rows=tuple(rows),
        stubs=2,
    )


def cost(one: DetectorResults) -> str | None:
    """Return time and iterations of the training as text, or None if both are unknown."""
    seconds, steps = one.cost.get("seconds"), iterations(one)
    parts = [] if seconds is None else [duration(seconds)]
    parts += [] if steps is None else [f"{steps:,} iterations"]
    return ", ".join(parts) or None


def iterations(one: DetectorResults) -> int | None:
    """Return the iterations of the training, as measured or else from the recipe."""
    found = one.cost.get("iterations", _of(one.recipe, "schedule", "iterations"))
    if isinstance(found, int | float) and math.isfinite(found):
        return int(found)
    return None


def duration(seconds: float) -> str:
    """Return a duration as text in seconds, minutes or hours."""
    if not math.isfinite(seconds):
        return "?"
    if seconds < _MINUTE:
        return f"{seconds:.1f} s"
    if seconds < _HOUR:
        return f"{seconds / _MINUTE:.1f} min"
    return f"{seconds / _HOUR:.1f} h"


def command(found: LoadedResult) -> str:
    """Return a command that reproduces a result, as far as its file tells."""
    result = found.result
    words = ["trueshot", "evaluate", f"{one_line(result.detector)}.safetensors"]
    suite = one_line(result.files.get("suite", found.suite))
    words += ["--dataset", "DATASET", "--suite", suite, "--size", str(result.side)]
    words += ["--part", one_line(result.part)] if result.part != "test" else []
    words += ["--crops", str(most)] if (most := max(result.total)) else []
    words += _aggregation_words(result)
    network = str(_of(result.recipe, "network", "name"))
    words += ["--network", one_line(network)] if is_plugin(network) else []
    words += _paper_words(result) if result.suite == PAPER else _secure_words(result)
    return shlex.join([*words, "--out", "RESULT"])


def _aggregation_words(result: EvaluationResult) -> list[str]:
    # `evaluate` names a detector that aggregates crops NAME-mean-of-64px.
    found = re.search(r"-([a-z]+)-of-\d+px$", result.detector) if result.crop_side else None
    return ["--crop-aggregation", found[1]] if found else []


def _secure_words(result: EvaluationResult) -> list[str]:
    words = ["--seed", str(result.seed)] if result.seed else []
    words += _repeated("--attack", [f for name, f in result.files.items() if name != "suite"])
    near = [c.budget for t in result.threats if t != L2 for c in result.curve(t)]
    budgets = sorted({budget for budget in near if 0 < budget <= LARGEST})
    return words + (_repeated("--budget", budgets) if tuple(budgets) not in ((), BUDGETS) else [])


def _paper_words(result: EvaluationResult) -> list[str]:
    attacks = dict.fromkeys(c.attack for c in result.singles() if c.attack != CLEAN)
    budgets = sorted({c.budget for c in result.singles() if c.attack != CLEAN})
    given = [result.files.get(name, name) for name in attacks]
    words = [] if given == list(ATTACK_NAMES) else _repeated("--attack", given)
    return words + (_repeated("--budget", budgets) if tuple(budgets) not in ((), BUDGETS) else [])


def _repeated(option: str, values: Sequence[str | float]) -> list[str]:
    texts = [one_line(value) if isinstance(value, str) else f"{value:g}" for value in values]
    return [word for text in texts for word in (option, text)]


def _origin(result: EvaluationResult) -> tuple[Cell, ...]:
    secure = None if result.suite == PAPER else result
    return (
        _count(sum(result.total)),
        None if result.group_count is None else _count(result.group_count),
        Number(value=result.auc, digits=3),
        Number(value=secure.threshold, digits=4) if secure else None,
        str(secure.seed) if secure else None,
        result.split_by,
        result.data[:12],
        result.bundle_sha256[:12] or None,
    )


def _training(one: DetectorResults) -> tuple[Cell, ...]:
    seconds, speed = one.cost.get("seconds"), one.cost.get("images_per_second")
    steps = iterations(one)
    return (
        _text(_of(one.recipe, "name")),
        None if steps is None else _count(steps),
        _text(_of(one.recipe, "schedule", "batch")),
        _text(_of(one.recipe, "seed")),
        None if seconds is None else duration(seconds),
        None if speed is None else _count(speed),
    )


def _of(content: Mapping[str, Any] | None, *names: str) -> Any:
    found: Any = content
    for name in names:
        found = found.get(name) if isinstance(found, Mapping) else None
    return found


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def _count(number: float) -> Number:
    return Number(value=number, digits=0)
