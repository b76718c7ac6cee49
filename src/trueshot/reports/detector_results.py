"""All evaluation results of one detector."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from trueshot.evaluation.result import (
    CLEAN,
    PAPER,
    UNBROKEN,
    EvaluationResult,
    SingleAttack,
    WorstCase,
)
from trueshot.proportion import Proportion
from trueshot.reports.loading import LoadedResult
from trueshot.tasks import Wording
from trueshot.tasks.recapture import words_for

LINF, L2 = "linf", "l2"
NO_CHANGE = "none"
LARGEST = 5.0  # levels in L∞: the largest budget in the paper's tables
ROUNDING = 1e-3  # relative tolerance, because budgets in L2 are not round numbers
_THREATS = {LINF: "L∞, written as PNG", L2: "L2, written as PNG"}
_SUITES = ("strong", "file", "everyday")


@dataclass(frozen=True, kw_only=True)
class DetectorResults:
    """Results of one detector on one part of one data set at one size.

    Args:
        name: Name, unique within the comparison.
        number: Number of the detector within the report, which determines its colour.
        suites: Result of each suite, by the suite's name.
    """

    name: str
    number: int = 0
    suites: Mapping[str, LoadedResult] = field(default_factory=dict)

    @property
    def words(self) -> Wording:
        """Words for the classes that it distinguishes."""
        return words_for(self.classes)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes that it distinguishes; 0 is the untouched image."""
        return next(found.result.classes for found in self.suites.values())

    @property
    def auc(self) -> float:
        """AUC without an attack."""
        return next(result.auc for result in (*self.security, self.paper) if result)

    @property
    def security(self) -> list[EvaluationResult]:
        """Results of all suites except the paper's, with the strong suite first."""
        ordered = sorted(self.suites, key=lambda s: _SUITES.index(s) if s in _SUITES else 9)
        return [self.suites[suite].result for suite in ordered if suite != PAPER]

    @property
    def paper(self) -> EvaluationResult | None:
        """Result of the paper suite, if there is one."""
        return self.suites[PAPER].result if PAPER in self.suites else None

    @property
    def role(self) -> str:
        """`plain` or `secure` if it is one of the paper's two detectors, else ""."""
        return self.suites[PAPER].role if PAPER in self.suites else ""

    @property
    def threats(self) -> list[str]:
        """Threat models for which its worst case is known."""
        return list(dict.fromkeys(t for result in self.security for t in result.threats))

    def curve(self, threat: str) -> list[WorstCase]:
        """Return the worst cases in order of budget; empty if the threat was not tried."""
        return next((r.curve(threat) for r in self.security if threat in r.threats), [])

    def case(self, threat: str, budget: float) -> WorstCase | None:
        """Return the worst case at a budget, or None if it is not known."""
        return next((c for c in self.curve(threat) if c.budget == budget), None)

    def certified(self, budget: float) -> Proportion | None:
        """Return the certified accuracy at a budget in L∞; None without certificates."""
        tallies = (result.certified(budget) for result in self.security)
        return next((tally.proportion for tally in tallies if tally), None)

    @property
    def clean(self) -> Proportion | None:
        """Accuracy without an attack, before the image is saved as a file, if known."""
        for threat in [LINF, *self.threats]:
            if case := self.case(threat, 0.0):
                return case.before_file.proportion
        if self.paper and (cell := single_of(self.paper, CLEAN, 0.0)):
            return cell.proportion
        changes = (c for r in self.security for c in r.changes if c.name == NO_CHANGE)
        return next((change.proportion for change in changes), None)

    @property
    def groups(self) -> int | None:
        """Number of scenes or photographs its images come from, if known."""
        known = [f.result.group_count for f in self.suites.values() if f.result.group_count]
        return max(known, default=None)

    @property
    def was_attacked(self) -> bool:
        """Whether a suite looked for its worst case, and therefore for doubts."""
        return any(result.trials or result.worst for result in self.security)

    @property
    def doubts(self) -> dict[str, str]:
        """Finding of each doubt, by the name of the doubt."""
        return {d.name: d.finding for r in reversed(self.security) for d in reversed(r.doubts)}

    @property
    def recipe(self) -> Mapping[str, Any] | None:
        """Training recipe, if any result contains it."""
        return next((f.result.recipe for f in self.suites.values() if f.result.recipe), None)

    @property
    def cost(self) -> Mapping[str, float]:
        """Cost of its training, if any result contains it."""
        return next((result.cost for result in self.security if result.cost), {})

    def alone(self, attack: str, budget: float) -> Proportion | None:
        """Return the accuracy under this attack alone, or None if it was not measured.

        It comes from the paper suite, or else from a trial on all images or on all that were
        classified correctly without an attack; the others then count as wrong.
        """
        for result in (self.paper, *self.security):
            if result and (single := single_of(result, attack, budget)):
                return single.proportion
        return None

    def attacks_alone(self) -> list[str]:
        """Return the attacks whose accuracy alone is known for at least half of the budgets."""
        names = [t.attack for r in self.security for t in r.trials if t.threat == LINF]
        names += [c.attack for c in self.paper.singles() if c.attack != CLEAN] if self.paper else []
        budgets = self.budgets(LINF)
        known = {n: sum(self.alone(n, b) is not None for b in budgets) for n in names}
        return [name for name, count in known.items() if 2 * count >= len(budgets)]

    def budgets(self, threat: str) -> list[float]:
        """Return the budgets above 0 of a threat, up to the equivalent of 5 levels in L∞.

        Larger budgets, which only extend the curve, are returned if there are no others. For L∞
        the budgets of the paper suite are included.
        """
        found = {case.budget for case in self.curve(threat)}
        if threat == LINF and self.paper:
            found |= {cell.budget for cell in self.paper.singles()}
        most = LARGEST * self.per_epsilon(threat) * (1 + ROUNDING)
        return sorted({b for b in found if b <= most} - {0.0}) or sorted(found - {0.0})

    def per_epsilon(self, threat: str) -> float:
        """Return the budget of a threat that corresponds to an ε of one level in L∞."""
        return next((r.per_epsilon[threat] for r in self.security if threat in r.per_epsilon), 1.0)

    @property
    def notes(self) -> list[str]:
        """Notes on how its results were obtained."""
        return list(dict.fromkeys(note for result in self.security for note in result.notes))

    def broken_first_by(self, threat: str, budget: float) -> dict[str, int]:
        """Return how many images each attack was the first to break, up to a budget."""
        case = self.case(threat, budget)
        names = [n for n in (case.broken_by if case else ()) if n not in (UNBROKEN, CLEAN)]
        return {name: names.count(name) for name in dict.fromkeys(names)}


def single_of(result: EvaluationResult, attack: str, budget: float) -> SingleAttack | None:
    """Return the outcome of one attack alone, or None if it was not measured."""
    cells = (cell for cell in result.singles() if (cell.attack, cell.budget) == (attack, budget))
    return next(cells, None)


def threat_name(threat: str) -> str:
    """Return a threat model in words."""
    return _THREATS.get(threat, threat)
