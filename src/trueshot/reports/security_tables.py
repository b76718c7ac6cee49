"""The tables of a security report, each made from one comparison."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence

from trueshot.evaluation.result import Change, EvaluationResult, Trial, WorstCase
from trueshot.proportion import Proportion
from trueshot.reports.comparison import Comparison, slug_of
from trueshot.reports.detector_results import (
    L2,
    LINF,
    NO_CHANGE,
    DetectorResults,
    threat_name,
)
from trueshot.reports.paper import ATTACK_NAMES
from trueshot.reports.table import Cell, Number, Table

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
INTERVAL = (
    "Share of images classified correctly, with its 95 % interval, clustered by scene, else by "
    "photograph, where these are known"
)
_Share = Callable[[WorstCase], Proportion | None]
_ALL: _Share = operator.attrgetter("proportion")
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
        f"matters: {other} made to look {first}.{proven}{_goes_with(comparison, threat)}",
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
    found = {b for one in comparison.detectors for t in threats for b in _tried(one, t)}
    budgets = sorted(found)
    apart = ", budgets in L2" if L2 in threats else ""
    rows: list[tuple[Cell, ...]] = []
    for one in comparison.detectors:
        for threat in filter(one.curve, threats):
            cases = [one.case(threat, budget) for budget in [0.0, *budgets]]
            place = one.name, threat_name(threat)
            rows.append((*place, "before", *_shares(_before, cases)))
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


def _tried(one: DetectorResults, threat: str) -> list[float]:
    return one.budgets(threat) if one.curve(threat) else []


def everyday_table(comparison: Comparison) -> Table:
    """Return a table of accuracy and AUC after everyday changes, two columns per detector."""
    found = {one.name: _changes(one) for one in comparison.detectors if _changes(one)}
    names = dict.fromkeys(name for changes in found.values() for name in changes)
    rows = [
        (
            "no change" if name == NO_CHANGE else name,
            *(
                cell
                for changes in found.values()
                for cell in (_change(changes.get(name)), _auc(changes.get(name)))
            ),
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


def _goes_with(comparison: Comparison, threat: str) -> str:
    scale = max((one.per_epsilon(threat) for one in comparison.detectors), default=1.0)
    return f" {scale:.4g} levels in L2 match ε = 1 in L∞." if threat == L2 and scale != 1 else ""


def _shares(share: _Share, cases: Sequence[WorstCase | None]) -> list[Proportion | None]:
    return [None if case is None else share(case) for case in cases]


def _before(case: WorstCase) -> Proportion:
    return case.before_file.proportion


def _changes(one: DetectorResults) -> dict[str, Change]:
    return {change.name: change for result in one.security for change in result.changes}


def _change(change: Change | None) -> Proportion | None:
    return None if change is None else change.proportion


def _auc(change: Change | None) -> Number | None:
    return None if change is None else Number(value=change.auc, digits=3)


def _boundary(one: DetectorResults) -> dict[str, float | None]:
    return {norm: value for r in one.security for norm, value in r.boundary.items()}


def price_table(comparison: Comparison) -> Table:
    """Return a table of how many images each attack broke, and at what cost."""
    rows = [
        (one.name, threat_name(threat), attack_name(name), *_price(one, threat, name))
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


def _price(one: DetectorResults, threat: str, attack: str) -> tuple[Cell, ...]:
    trials = [t for t in _trials(one, threat) if t.attack == attack]
    tried = sum(sum(t.tried) for t in trials)
    asked = [(t.calls or (0.0, 0.0), sum(t.tried)) for t in trials]
    calls = [sum(each[i] * images for each, images in asked) / max(tried, 1) for i in (0, 1)]
    largest = max((case.budget for case in one.curve(threat)), default=0.0)
    return (
        _count(tried),
        _count(sum(sum(t.broken) for t in trials)),
        _count(sum(sum(t.broken[1:]) for t in trials)),
        _count(one.broken_first_by(threat, largest).get(attack, 0)),
        *(Number(value=value) for value in calls),
        Number(value=sum(t.seconds for t in trials)),
    )


def _trial(result: EvaluationResult, trial: Trial) -> tuple[Cell, ...]:
    reached = result.called_target(trial)
    return (
        threat_name(trial.threat),
        f"{trial.budget:.4g}",
        attack_name(trial.attack),
        _count(sum(trial.tried)),
        _count(sum(trial.broken)),
        _count(sum(trial.broken[1:])),
        _count(sum(trial.broken_before_file)),
        None if reached is None else _count(reached.count),
        None if trial.psnr is None else Number(value=trial.psnr),
        None if trial.ssim is None else Number(value=trial.ssim, digits=4),
        *(None if n is None else Number(value=n) for n in trial.calls or (None, None)),
        Number(value=trial.seconds),
        trial.settings,
    )


def _count(number: int) -> Number:
    return Number(value=number, digits=0)
