"""Everything that results say of one detector."""

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
LARGEST = 5.0  # levels, L∞: what the paper tried at most
ROUNDING = 1e-3  # budgets in L2 are no round numbers
_THREATS = {LINF: "L∞, written as PNG", L2: "L2, written as PNG"}
_SUITES = ("strong", "file", "everyday")


@dataclass(frozen=True, kw_only=True)
class DetectorResults:
    """One detector, on one part of one data set at one size.

    Args:
        name: Unlike that of every other one there.
        number: Of the detector among all of a report: its colour.
        suites: What each suite found out.
    """

    name: str
    number: int = 0
    suites: Mapping[str, LoadedResult] = field(default_factory=dict)

    @property
    def words(self) -> Wording:
        """Of the classes that it tells apart."""
        return words_for(self.classes)

    @property
    def classes(self) -> tuple[str, ...]:
        """That it tells apart; 0 is the untouched image."""
        return next(found.result.classes for found in self.suites.values())

    @property
    def auc(self) -> float:
        """Without an attack."""
        return next(result.auc for result in (*self.security, self.paper) if result)

    @property
    def security(self) -> list[EvaluationResult]:
        """Its results but the paper suite's, the strong suite's first."""
        ordered = sorted(self.suites, key=lambda s: _SUITES.index(s) if s in _SUITES else 9)
        return [self.suites[suite].result for suite in ordered if suite != PAPER]

    @property
    def paper(self) -> EvaluationResult | None:
        """Its result of the paper's attacks."""
        return self.suites[PAPER].result if PAPER in self.suites else None

    @property
    def role(self) -> str:
        """`plain` or `secure`, as the paper has them; or nothing."""
        return self.suites[PAPER].role if PAPER in self.suites else ""

    @property
    def threats(self) -> list[str]:
        """Threat models under which its worst case is known."""
        return list(dict.fromkeys(t for result in self.security for t in result.threats))

    def curve(self, threat: str) -> list[WorstCase]:
        """Worst cases in order of budget; none if it was not tried."""
        return next((r.curve(threat) for r in self.security if threat in r.threats), [])

    def case(self, threat: str, budget: float) -> WorstCase | None:
        """The worst case at a budget, if it is known."""
        return next((c for c in self.curve(threat) if c.budget == budget), None)

    def certified(self, budget: float) -> Proportion | None:
        """Proven right at a budget in L∞; None where nothing is proven."""
        tallies = (result.certified(budget) for result in self.security)
        return next((tally.proportion for tally in tallies if tally), None)

    @property
    def clean(self) -> Proportion | None:
        """Judged rightly without an attack, and before any file."""
        for threat in [LINF, *self.threats]:
            if case := self.case(threat, 0.0):
                return case.before_file.proportion
        if self.paper and (cell := single_of(self.paper, CLEAN, 0.0)):
            return cell.proportion
        changes = (c for r in self.security for c in r.changes if c.name == NO_CHANGE)
        return next((change.proportion for change in changes), None)

    @property
    def groups(self) -> int | None:
        """Scenes or photographs that its images are of, if its results know them."""
        known = [f.result.group_count for f in self.suites.values() if f.result.group_count]
        return max(known, default=None)

    @property
    def was_attacked(self) -> bool:
        """Whether a suite has looked for its worst case, and so for doubts."""
        return any(result.trials or result.worst for result in self.security)

    @property
    def doubts(self) -> dict[str, str]:
        """Findings by the name of the doubt, each once."""
        return {d.name: d.finding for r in reversed(self.security) for d in reversed(r.doubts)}

    @property
    def recipe(self) -> Mapping[str, Any] | None:
        """Of its training, if any result says it."""
        return next((f.result.recipe for f in self.suites.values() if f.result.recipe), None)

    @property
    def cost(self) -> Mapping[str, float]:
        """Of its training, if any result says it."""
        return next((result.cost for result in self.security if result.cost), {})

    def alone(self, attack: str, budget: float) -> Proportion | None:
        """Judged rightly under this attack alone.

        Of the paper suite; or of a trial for whose turn nothing had been broken yet: then the
        images that were wrong before it count as wrong.
        """
        for result in (self.paper, *self.security):
            if result and (single := single_of(result, attack, budget)):
                return single.proportion
        return None

    def attacks_alone(self) -> list[str]:
        """Attacks whose own figures are known at half of the budgets or more."""
        names = [t.attack for r in self.security for t in r.trials if t.threat == LINF]
        names += [c.attack for c in self.paper.singles() if c.attack != CLEAN] if self.paper else []
        budgets = self.budgets(LINF)
        known = {n: sum(self.alone(n, b) is not None for b in budgets) for n in names}
        return [name for name, count in known.items() if 2 * count >= len(budgets)]

    def budgets(self, threat: str) -> list[float]:
        """Budgets above 0 of a threat, without those that only carry its curve to its end.

        For L∞ those of the paper suite are among them.
        """
        found = {case.budget for case in self.curve(threat)}
        if threat == LINF and self.paper:
            found |= {cell.budget for cell in self.paper.singles()}
        most = LARGEST * self.per_epsilon(threat) * (1 + ROUNDING)
        return sorted({b for b in found if b <= most} - {0.0}) or sorted(found - {0.0})

    def per_epsilon(self, threat: str) -> float:
        """The budget of a threat that goes with an ε of one level in L∞."""
        return next((r.per_epsilon[threat] for r in self.security if threat in r.per_epsilon), 1.0)

    @property
    def notes(self) -> list[str]:
        """What has to be known of how its results were obtained."""
        return list(dict.fromkeys(note for result in self.security for note in result.notes))

    def broken_first_by(self, threat: str, budget: float) -> dict[str, int]:
        """Images that each attack was the first to break, up to a budget."""
        case = self.case(threat, budget)
        names = [n for n in (case.broken_by if case else ()) if n not in (UNBROKEN, CLEAN)]
        return {name: names.count(name) for name in dict.fromkeys(names)}


def single_of(result: EvaluationResult, attack: str, budget: float) -> SingleAttack | None:
    """What one attack alone leaves, or None where it was not measured."""
    cells = (cell for cell in result.singles() if (cell.attack, cell.budget) == (attack, budget))
    return next(cells, None)


def threat_name(threat: str) -> str:
    """A threat model in words."""
    return _THREATS.get(threat, threat)
