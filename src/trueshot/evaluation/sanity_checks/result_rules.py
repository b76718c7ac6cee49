"""Doubts that can be read from the figures of a result alone."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

from trueshot.evaluation.result import UNBROKEN, Doubt, EvaluationResult, Trial, WorstCase
from trueshot.evaluation.sanity_checks.attack_rules import LOST, Case, significant
from trueshot.evaluation.sanity_checks.panel import FAR_BUDGET
from trueshot.evaluation.sanity_checks.significance import LEVEL, Difference, at_least, more_than

WIDEST = 0.1
"""Width of a 95 % interval up to which a rate is worth being given to the percent."""

ONE_STEP = frozenset({"FGSM", "LeastLikelyClass"})
ITERATIVE = frozenset({"PGD", "APGD"})
BLIND = frozenset({"UniformNoise", "Square", "RayS", "Transfer"})
_LEFT_BY_GRADIENTS = 0.05  # of survivors: what a blind attack may find that the others missed
# Elsewhere a file changes more than rounding does, and which attack survives it is no sign.
_EXACT_FILES = frozenset({"linf", "l2", "png"})


def from_figures(result: EvaluationResult) -> Iterator[Doubt]:
    """Doubts about a result."""
    found = [
        _without_gradients(result),
        _one_step(result),
        _rising(result),
        _far_from_chance(result),
        _blind(result),
        _lost(result),
        _too_few(result),
    ]
    yield from (doubt for doubt in found if doubt is not None)


def kind_of(trial: Trial) -> str:
    """Name of the attack's type."""
    return trial.settings.partition("(")[0]


def _same_images(one: Trial, other: Trial) -> bool:
    """Whether both were tried on the same: survivors only get fewer, so as many are the same."""
    return one.threat == other.threat and one.tried == other.tried


def _difference(first: Trial, second: Trial) -> Difference:
    return Difference.at_most(sum(first.broken), sum(second.broken), sum(first.tried))


def _without_gradients(result: EvaluationResult) -> Doubt | None:
    if not result.trials or any(kind_of(trial) not in BLIND for trial in result.trials):
        return None
    names = sorted({trial.attack for trial in result.trials})
    return Doubt(
        name="no-gradients",
        finding=f"Nothing was tried that follows a gradient, only {', '.join(names)}.",
    )


def _one_step(result: EvaluationResult) -> Doubt | None:
    cases = {
        (f"{first.attack} than {second.attack}, {first.threat}", first.budget): (first, second)
        for first in result.trials
        for second in result.trials
        if kind_of(first) in ONE_STEP and kind_of(second) in ITERATIVE
        if first.threat in _EXACT_FILES and first.budget == second.budget
        if _same_images(first, second)
    }
    found = significant({case: _difference(*pair) for case, pair in cases.items()})
    return _stronger("one-step-beats-iterative", *cases[found[0]], found) if found else None


def _rising(result: EvaluationResult) -> Doubt | None:
    cases = {
        (f"{low.attack} {low.threat} {low.budget:g}", high.budget): (low, high)
        for low, high in combinations(sorted(result.trials, key=lambda trial: trial.budget), 2)
        if low.attack == high.attack and low.budget < high.budget
        if kind_of(low) not in BLIND and _same_images(low, high)
    }
    curves: dict[Case, tuple[WorstCase, WorstCase]] = {
        (f"worst case {threat} {low.budget:g}", high.budget): (low, high)
        for threat in result.threats
        for low, high in combinations(result.curve(threat), 2)
        if low.total == high.total
    }
    differences = {case: _difference(*pair) for case, pair in cases.items()}
    differences |= {case: _gained_back(*pair) for case, pair in curves.items()}
    found = significant(differences)
    if not found:
        return None
    case, difference = found
    rates = _rates(*cases[case]) if case in cases else tuple(c.accuracy for c in curves[case])
    what, low = case[0].rsplit(" ", 1)
    return Doubt(
        name="accuracy-rises-with-budget",
        finding=f"{what}: accuracy rises from {_percent(rates[0])} at {low} to "
        f"{_percent(rates[1])} at {case[1]:g} levels, on the same images.",
        evidence={"low": rates[0], "high": rates[1], "chance": difference.chance},
    )


def _gained_back(low: WorstCase, high: WorstCase) -> Difference:
    """Images that the larger budget leaves right and the smaller one does not."""
    if len(low.broken_by) == len(high.broken_by) == sum(low.total):
        pairs = list(zip(low.broken_by, high.broken_by, strict=True))
        return Difference(
            sum(one != UNBROKEN == other for one, other in pairs),
            sum(one == UNBROKEN != other for one, other in pairs),
        )
    return Difference.at_most(sum(high.right), sum(low.right), sum(low.total))


def _rates(low: Trial, high: Trial) -> tuple[float, float]:
    total = sum(low.tried)
    return 1 - sum(low.broken) / total, 1 - sum(high.broken) / total


def _far_from_chance(result: EvaluationResult) -> Doubt | None:
    for case in result.worst:
        if case.threat not in ("linf", "png") or case.budget < FAR_BUDGET:
            continue
        share = max(0.5, max(case.total) / sum(case.total))
        chance = at_least(sum(case.right), sum(case.total), share)
        if chance < LEVEL:
            return Doubt(
                name="large-budget-does-not-reach-chance",
                finding=f"At {case.budget:g} levels, where every image can be made the same grey, "
                f"{_percent(case.accuracy)} are still right; one grey cannot be right for more "
                f"than {_percent(share)}.",
                evidence={"budget": case.budget, "accuracy": case.accuracy, "chance": chance},
            )
    return None


def _blind(result: EvaluationResult) -> Doubt | None:
    """A blind attack breaks more than one along the gradient, or much of what all of them left."""
    cases: dict[Case, tuple[Trial, Trial]] = {}
    for first, second in combinations(result.trials, 2):
        if first.budget != second.budget or first.threat not in _EXACT_FILES:
            continue
        blind, other = (first, second) if kind_of(first) in BLIND else (second, first)
        if kind_of(blind) in BLIND and kind_of(other) in ITERATIVE and _same_images(blind, other):
            cases[f"{blind.attack} {other.attack} {blind.threat}", blind.budget] = blind, other
    found = significant({case: _difference(*pair) for case, pair in cases.items()})
    if found:
        return _stronger("black-box-beats-white-box", *cases[found[0]], found)
    for number, trial in enumerate(result.trials):
        if kind_of(trial) not in BLIND or trial.threat not in _EXACT_FILES:
            continue
        before = [
            other
            for other in result.trials[:number]
            if (other.threat, other.budget) == (trial.threat, trial.budget)
            if kind_of(other) not in BLIND
        ]
        left, broken = sum(trial.tried), sum(trial.broken)
        # It was tried on survivors if the attacks before it left no more than that.
        survivors = any(sum(o.tried) - sum(o.broken) >= left for o in before)
        if survivors and more_than(_LEFT_BY_GRADIENTS, broken, left):
            return Doubt(
                name="black-box-beats-white-box",
                finding=f"{trial.threat}, {trial.budget:g} levels: {trial.attack} broke {broken} "
                f"of the {left} images that no attack along the gradient had broken.",
                evidence={"budget": trial.budget, "tried": float(left), "broken": float(broken)},
            )
    return None


def _stronger(name: str, first: Trial, second: Trial, found: tuple[Case, Difference]) -> Doubt:
    return Doubt(
        name=name,
        finding=f"{first.threat}, {first.budget:g} levels: of the same {sum(first.tried)} images "
        f"{first.attack} broke {sum(first.broken)}, {second.attack} {sum(second.broken)}.",
        evidence={
            "budget": first.budget,
            "tried": float(sum(first.tried)),
            first.attack.replace("-", "_"): float(sum(first.broken)),
            second.attack.replace("-", "_"): float(sum(second.broken)),
            "chance": found[1].chance,
        },
    )


def _lost(result: EvaluationResult) -> Doubt | None:
    differences = {}
    for case in result.worst:
        if case.threat not in _EXACT_FILES or case.budget == 0:
            continue
        total = sum(case.total)
        in_memory, in_file = total - sum(case.right_before_file), total - sum(case.right)
        clean = total - sum(result.curve(case.threat)[0].right)
        if in_memory - in_file >= LOST * max(1, in_memory - clean):
            difference = Difference.at_most(in_memory, in_file, total)
            differences[case.threat, case.budget] = difference
    found = significant(differences)
    if not found:
        return None
    (threat, budget), difference = found
    case = result.worst_case(threat, budget)
    before = sum(case.right_before_file) / sum(case.total)
    return Doubt(
        name="attack-lost-by-rounding",
        finding=f"{threat}, {budget:g} levels: {_percent(before)} are right in memory, "
        f"{_percent(case.accuracy)} when levels are whole, as in a file.",
        evidence={"in_memory": before, "in_file": case.accuracy, "chance": difference.chance},
    )


def _too_few(result: EvaluationResult) -> Doubt | None:
    rated = [(sum(case.total), case.interval) for case in result.worst]
    rated += [(sum(change.total), change.interval) for change in result.changes]
    if not rated:
        return None
    total, (low, high) = max(rated, key=lambda one: one[1][1] - one[1][0])
    if high - low <= WIDEST:
        return None
    return Doubt(
        name="too-few-images",
        finding=f"{total} images: a 95 % interval reaches from {_percent(low)} to "
        f"{_percent(high)}, and crops of one photo make it wider still.",
        evidence={"images": float(total), "low": low, "high": high},
    )


def _percent(rate: float) -> str:
    return f"{100 * rate:.0f} %"
