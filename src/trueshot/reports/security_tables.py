"""The tables of a security report, each made from one comparison, and how results were obtained."""

from __future__ import annotations

import math
import operator
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from trueshot.evaluation.result import PAPER, EvaluationResult
from trueshot.evaluation.tally import CLEAN, Change, Trial, WorstCase
from trueshot.plugins import is_plugin
from trueshot.proportion import Proportion
from trueshot.reports.comparison import Comparison, slug_of
from trueshot.reports.paper import ATTACK_NAMES, BUDGETS
from trueshot.reports.results import (
    L2,
    LARGEST,
    LINF,
    NO_CHANGE,
    DetectorResults,
    LoadedResult,
    threat_name,
)
from trueshot.reports.table import Cell, Number, Table, one_line

WORST = "worst case"
NOISE = "noise"
CERTIFIED = "certified"
_NAMES = {
    NOISE: "random noise",
    "apgd-margin": "APGD-margin",
    "pgd-restarts": "PGD, restarts",
    "square": "Square",
    "square-l2": "Square-L2",
    "rays": "RayS",
}
_MINUTE, _HOUR = 60, 3600
INTERVAL = (
    "Share of images classified correctly, with its 95 % interval, clustered by scene, else by "
    "photograph, where these are known"
)
_Share = Callable[[WorstCase], Proportion | None]
_ALL: _Share = operator.attrgetter("proportion")
_BEFORE: _Share = operator.attrgetter("before_file.proportion")
_DIRECTIONS: tuple[_Share, ...] = (
    _ALL,
    lambda case: case.of_class(0),
    operator.attrgetter("others"),
)


def attack_name(name: str) -> str:
    """Return the usual spelling of an attack's name."""
    if name in _NAMES or name.startswith("transfer"):
        return _NAMES.get(name, name)
    return ATTACK_NAMES.get(name, name.upper())


def at(budgets: Sequence[float], threat: str = LINF) -> tuple[str, ...]:
    """Return the column headings for budgets."""
    return tuple(epsilon(budget, threat) for budget in budgets)


def epsilon(budget: float, threat: str = LINF) -> str:
    """Return a budget as text with its symbol: ε for L∞, ε₂ for L2."""
    return f"ε₂ = {budget:.4g}" if threat == L2 else f"ε = {budget:g}"


def first_table(comparison: Comparison) -> Table:
    """Return a table of accuracy: clean, under each attack alone where known, and worst case."""
    budgets = sorted({b for one in comparison.detectors for b in one.budgets(LINF)})
    rows: list[tuple[Cell, ...]] = []
    for one in comparison.detectors:
        for name in one.attacks_alone():
            cells = (one.alone(name, budget) for budget in budgets)
            rows.append((one.name, attack_name(name), one.clean, *cells))
        if one.curve(LINF):
            cases = [one.case(LINF, budget) for budget in budgets]
            rows.append((one.name, WORST, one.clean, *_shares(_ALL, cases)))
    return Table(
        name=f"{comparison.slug}-first",
        title=f"Single attacks and the worst case. {comparison.title}",
        note=f"{INTERVAL}; budgets in levels, L∞. For a single attack of a suite, an image that "
        "was already misclassified counts as wrong.",
        header=("detector", "attack", "clean", *at(budgets)),
        rows=tuple(rows),
        stubs=2,
    )


def strong_table(comparison: Comparison, threat: str) -> Table:
    """Return a table of the worst case at every budget: all images, class 0, and the others."""
    budgets = [0.0, *comparison.budgets(threat)]
    rows: list[tuple[Cell, ...]] = []
    for one in comparison.detectors:
        cases = [one.case(threat, budget) for budget in budgets]
        names = ("all" if len(one.classes) > 2 else "both", *one.words.plurals)
        for words, share in zip(names, _DIRECTIONS, strict=True) if any(cases) else ():
            rows.append((one.name, words, *_shares(share, cases)))
        if threat == LINF and one.certified(0.0):
            rows.append((one.name, CERTIFIED, *(one.certified(budget) for budget in budgets)))
    first, other = comparison.words.verdicts[0], comparison.words.plurals[1]
    has_proofs = any(row[1] == CERTIFIED for row in rows)
    proven = " Certified: proven correct under any attack." if has_proofs else ""
    return Table(
        name=f"{comparison.slug}-worst-{slug_of(threat)[:40]}",
        title=f"Worst case, {threat_name(threat)}. {comparison.title}",
        note=f"{INTERVAL}: correct without an attack and under every attack. The direction that "
        f"matters: {other} made to look {first}.{proven}{_matching_budgets(comparison, threat)}",
        header=("detector", "images", "clean", *at(budgets[1:], threat)),
        rows=tuple(rows),
        stubs=2,
    )


def file_tables(comparison: Comparison) -> list[Table]:
    """Return tables of worst cases before and after saving, for each threat model.

    Budgets in L2 have a different scale and are in a separate table.
    """
    kinds = [[t for t in comparison.threats if (t == L2) is apart] for apart in (False, True)]
    return [_file_table(comparison, threats) for threats in kinds if threats]


def _file_table(comparison: Comparison, threats: Sequence[str]) -> Table:
    tried = [(one, t) for one in comparison.detectors for t in threats if one.curve(t)]
    budgets = sorted({budget for one, threat in tried for budget in one.budgets(threat)})
    apart = ", budgets in L2" if L2 in threats else ""
    rows: list[tuple[Cell, ...]] = []
    for one, threat in tried:
        cases = [one.case(threat, budget) for budget in [0.0, *budgets]]
        place = one.name, threat_name(threat)
        rows.append((*place, "before", *_shares(_BEFORE, cases)))
        rows.append((*place, "after", *_shares(_ALL, cases)))
    return Table(
        name=f"{comparison.slug}-files{'-l2' if L2 in threats else ''}",
        title=f"Before and after the file{apart}. {comparison.title}",
        note=f"{INTERVAL}. Worst case in memory, before the file is written, and after it, as the "
        "file arrives.",
        header=("detector", "file", "judged", "clean", *at(budgets, threats[0])),
        rows=tuple(rows),
        stubs=3,
    )


def everyday_table(comparison: Comparison) -> Table:
    """Return a table of accuracy and AUC after everyday changes, two columns per detector."""
    found = {one.name: one.changes for one in comparison.detectors if one.changes}
    names = dict.fromkeys(name for changes in found.values() for name in changes)
    rows = [
        (
            "no change" if name == NO_CHANGE else name,
            *(cell for changes in found.values() for cell in _change(changes.get(name))),
        )
        for name in names
    ]
    return Table(
        name=f"{comparison.slug}-everyday",
        title=f"Everyday changes. {comparison.title}",
        note=f"{INTERVAL}. The threshold is fixed on unchanged images; AUC does not depend on it.",
        header=("change", *(text for name in found for text in (name, f"AUC, {name}"))),
        rows=tuple(rows),
    )


def boundary_table(comparison: Comparison) -> Table:
    """Return a table of the median boundary distance of correctly classified images."""
    found = {one.name: _boundary(one) for one in comparison.detectors if _boundary(one)}
    norms = list(dict.fromkeys(norm for one in found.values() for norm in one))
    rows = [
        (name, *(None if d is None else Number(value=d, digits=2) for d in map(one.get, norms)))
        for name, one in found.items()
    ]
    return Table(
        name=f"{comparison.slug}-boundary",
        title=f"Median distance to the decision boundary, in levels. {comparison.title}",
        note="Over correctly classified images; – if the attack did not find it for half of them.",
        header=("detector", *({"linf": "L∞", "l2": "L2"}.get(norm, norm) for norm in norms)),
        rows=tuple(rows),
    )


def _matching_budgets(comparison: Comparison, threat: str) -> str:
    scale = max((one.per_epsilon(threat) for one in comparison.detectors), default=1.0)
    return f" {scale:.4g} levels in L2 match ε = 1 in L∞." if threat == L2 and scale != 1 else ""


def _shares(share: _Share, cases: Sequence[WorstCase | None]) -> list[Proportion | None]:
    return [None if case is None else share(case) for case in cases]


def _change(change: Change | None) -> tuple[Proportion | None, Number | None]:
    """Return accuracy and AUC."""
    return (change.proportion, Number(value=change.auc, digits=3)) if change else (None, None)


def _boundary(one: DetectorResults) -> dict[str, float | None]:
    return {norm: value for r in one.security for norm, value in r.boundary.items()}


def price_table(comparison: Comparison) -> Table:
    """Return a table of how many images each attack broke, and at what cost."""
    rows = [
        (one.name, threat_name(threat), attack_name(name), *_cost_of_attack(one, threat, name))
        for one in comparison.detectors
        for threat in one.threats
        for name in dict.fromkeys(t.attack for t in _trials(one, threat))
    ]
    return Table(
        name=f"{comparison.slug}-attacks",
        title=f"Attacks: success and cost. {comparison.title}",
        note="All budgets together. Only images that are still correct go on to the next attack, "
        "so later attacks face harder images; calls are per image and budget.",
        header=(
            "detector", "threat", "attack", "tried", "broken",
            f"of them {comparison.words.plurals[1]}",
            "broken first", "detector asked", "gradients", "seconds",
        ),
        rows=tuple(rows),
        stubs=3,
    )  # fmt: skip


def trial_table(comparison: Comparison, one: DetectorResults) -> Table:
    """Return a table of all trials of a detector, in the order in which they were run."""
    rows = [_trial(result, trial) for result in one.security for trial in result.trials]
    return Table(
        name=f"{comparison.slug}-trials-{one.number + 1}",
        title=f"All trials of {one.name}. {comparison.title}",
        header=(
            "threat", "ε", "attack", "tried", "broken", f"of them {one.words.plurals[1]}",
            "before the file", "called the target",
            "PSNR, dB", "SSIM", "detector asked", "gradients", "seconds", "settings",
        ),
        rows=tuple(rows),
        stubs=3,
    )  # fmt: skip


def _trials(one: DetectorResults, threat: str) -> list[Trial]:
    results = (result for result in one.security if threat in result.threats)
    return [t for result in results for t in result.trials if t.threat == threat]


def _cost_of_attack(one: DetectorResults, threat: str, attack: str) -> tuple[Cell, ...]:
    trials = [t for t in _trials(one, threat) if t.attack == attack]
    tried = sum(sum(t.tried) for t in trials)
    asked = [(t.calls or (0.0, 0.0), sum(t.tried)) for t in trials]
    calls = [sum(each[i] * images for each, images in asked) / max(tried, 1) for i in (0, 1)]
    largest = max((case.budget for case in one.curve(threat)), default=0.0)
    return (
        count(tried),
        count(sum(sum(t.broken) for t in trials)),
        count(sum(sum(t.broken[1:]) for t in trials)),
        count(one.broken_first_by(threat, largest).get(attack, 0)),
        *(Number(value=value) for value in calls),
        Number(value=sum(t.seconds for t in trials)),
    )


def _trial(result: EvaluationResult, trial: Trial) -> tuple[Cell, ...]:
    reached = result.called_target(trial)
    return (
        threat_name(trial.threat),
        f"{trial.budget:.4g}",
        attack_name(trial.attack),
        count(sum(trial.tried)),
        count(sum(trial.broken)),
        count(sum(trial.broken[1:])),
        count(sum(trial.broken_before_file)),
        None if reached is None else count(reached.count),
        None if trial.psnr is None else Number(value=trial.psnr),
        None if trial.ssim is None else Number(value=trial.ssim, digits=4),
        *(None if n is None else Number(value=n) for n in trial.calls or (None, None)),
        Number(value=trial.seconds),
        trial.settings,
    )


def count(number: float) -> Number:
    """Return a whole number as a table cell."""
    return Number(value=number, digits=0)


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
            (one.name, found.result.suite, found.path.name, *_origin(found.result))
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
    found = one.cost.get("iterations", _nested(one.recipe, "schedule", "iterations"))
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
    suite = one_line(result.files.get("suite", found.result.suite))
    words += ["--dataset", "DATASET", "--suite", suite, "--size", str(result.side)]
    words += ["--part", one_line(result.part)] if result.part != "test" else []
    words += ["--crops", str(most)] if (most := max(result.total)) else []
    words += _aggregation_words(result)
    network = str(_nested(result.recipe, "network", "name"))
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
        count(sum(result.total)),
        None if result.group_count is None else count(result.group_count),
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
        _text(_nested(one.recipe, "name")),
        None if steps is None else count(steps),
        _text(_nested(one.recipe, "schedule", "batch")),
        _text(_nested(one.recipe, "seed")),
        None if seconds is None else duration(seconds),
        None if speed is None else count(speed),
    )


def _nested(content: Mapping[str, Any] | None, *names: str) -> Any:
    found: Any = content
    for name in names:
        found = found.get(name) if isinstance(found, Mapping) else None
    return found


def _text(value: Any) -> str | None:
    return None if value is None else str(value)
