"""What a security report says of each comparison, in the order in which it says it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trueshot.reports.charts import Chart, worst_case_chart
from trueshot.reports.comparison import Comparison
from trueshot.reports.detector_results import L2, LINF, DetectorResults, threat_name
from trueshot.reports.gallery import Panels, panels
from trueshot.reports.grids import Grid
from trueshot.reports.loading import LoadedResult
from trueshot.reports.narrative import Statement
from trueshot.reports.paper_grids import paper_tables
from trueshot.reports.provenance import command, origin_table, training_table
from trueshot.reports.security_grids import (
    boundary_table,
    everyday_table,
    file_tables,
    first_table,
    strong_table,
)
from trueshot.reports.security_narrative import standings, verdict
from trueshot.reports.trial_grids import price_table, trial_table

UNEXPLAINED = "This version has no page on this doubt."


@dataclass(frozen=True, kw_only=True)
class DoubtEntry:
    """A doubt about a detector.

    Args:
        name: Of the doubt.
        finding: What raises it.
        meaning: What it means.
        evidence: Figures by name.
    """

    name: str
    finding: str
    meaning: str
    evidence: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class Headline:
    """A figure in large.

    Args:
        detector: Whose; its number is the colour.
        what: What was done to the images.
        share: Prediction rightly; None where it was not measured.
    """

    detector: DetectorResults
    what: str
    share: float | None


@dataclass(frozen=True, kw_only=True)
class Section:
    """Everything said of one comparison.

    Args:
        comparison: Of which detectors.
        doubts: Per detector that a suite has attacked; empty where none was raised.
        panels: Pictures, per detector.
    """

    comparison: Comparison
    doubts: Mapping[str, list[DoubtEntry]]
    panels: Mapping[str, Panels]

    @property
    def verdict(self) -> Statement:
        """In words."""
        return verdict(self.comparison)

    @property
    def first(self) -> Grid:
        """One attack, and the worst case."""
        return first_table(self.comparison)

    @property
    def worst(self) -> list[tuple[str, Chart, Grid]]:
        """Per threat model of the strong suite its name, its chart and its table."""
        return [self._worst(t) for t in self.comparison.threats if t in (LINF, L2)]

    @property
    def sent(self) -> list[tuple[str, Chart, Grid]]:
        """The same per thing that the attacked file goes through."""
        return [self._worst(t) for t in self.comparison.threats if t not in (LINF, L2)]

    @property
    def trials(self) -> list[tuple[str, Grid]]:
        """Every trial, per detector."""
        found = [(one.name, trial_table(self.comparison, one)) for one in self.detectors]
        return [(name, grid) for name, grid in found if grid.rows]

    @property
    def tables(self) -> dict[str, Grid]:
        """Further tables by what they are about; those with nothing to say are left out."""
        found = {
            "attacks": price_table(self.comparison),
            "everyday": everyday_table(self.comparison),
            "boundary": boundary_table(self.comparison),
            "results": origin_table(self.comparison),
            "training": training_table(self.comparison),
        }
        return {name: grid for name, grid in found.items() if grid.rows}

    @property
    def files(self) -> list[Grid]:
        """Before the file and after it."""
        return file_tables(self.comparison)

    @property
    def notes(self) -> dict[str, list[str]]:
        """What has to be known of how results were obtained, by detector."""
        return {one.name: one.notes for one in self.detectors if one.notes}

    @property
    def paper(self) -> list[Grid]:
        """Tables 1 to 3 beside the paper's own."""
        return paper_tables(self.comparison)

    @property
    def undoubted(self) -> list[str]:
        """Detectors that were attacked, and about which no doubt is recorded."""
        return [name for name, doubts in self.doubts.items() if not doubts]

    @property
    def grids(self) -> list[Grid]:
        """All tables, in order."""
        tables = self.tables
        last = [tables.pop(name) for name in ("results", "training") if name in tables]
        worst = [grid for _, _, grid in [*self.worst, *self.sent]]
        trials = [grid for _, grid in self.trials]
        found = [self.first, *worst, *self.files, *tables.values(), *self.paper, *trials, *last]
        return [grid for grid in found if grid.rows]

    @property
    def detectors(self) -> Sequence[DetectorResults]:
        """Its detectors."""
        return self.comparison.detectors

    @property
    def commands(self) -> list[str]:
        """What makes the results again, each once."""
        return list(dict.fromkeys(command(found) for found in self._found))

    @property
    def recipes(self) -> dict[str, Mapping[str, Any]]:
        """Settings of the trainings, by detector."""
        return {one.name: one.recipe for one in self.detectors if one.recipe}

    @property
    def versions(self) -> list[str]:
        """Of the libraries that computed, each set of them once."""
        sets = (found.result.versions for found in self._found)
        told = (", ".join(f"{name} {number}" for name, number in each.items()) for each in sets)
        return list(dict.fromkeys(filter(None, told)))

    @property
    def tiles(self) -> list[Headline]:
        """Four figures: of the weakest and of the best detector, clean and in the worst case."""
        budget = self.comparison.budget(LINF)
        ranked = standings(self.comparison, LINF, budget)
        few = [ranked[-1], ranked[0]] if len(ranked) > 1 else ranked
        return [
            Headline(detector=each.detector, what=what, share=share)
            for each in few
            for what, share in (
                ("without an attack", each.clean.share),
                (f"worst case, ε = {budget:g}", each.worst.accuracy),
            )
        ]

    @property
    def _found(self) -> list[LoadedResult]:
        return [found for one in self.detectors for found in one.suites.values()]

    def _worst(self, threat: str) -> tuple[str, Chart, Grid]:
        curves = [(one.number, one.name, one.curve(threat)) for one in self.detectors]
        drawn = worst_case_chart([curve for curve in curves if curve[2]])
        return threat_name(threat), drawn, strong_table(self.comparison, threat)


def chapters_of(comparisons: Sequence[Comparison], meanings: Mapping[str, str]) -> list[Section]:
    """A chapter for each comparison.

    Args:
        comparisons: In the order of the report.
        meanings: What each doubt means, by its name.
    """
    return [
        Section(
            comparison=comparison,
            doubts={
                one.name: _suspicions(one, meanings)
                for one in comparison.detectors
                if one.was_attacked
            },
            panels=panels(comparison),
        )
        for comparison in comparisons
    ]


def _suspicions(one: DetectorResults, meanings: Mapping[str, str]) -> list[DoubtEntry]:
    found = {doubt.name: doubt for result in reversed(one.security) for doubt in result.doubts}
    return [
        DoubtEntry(
            name=name,
            finding=doubt.finding,
            meaning=meanings.get(name, UNEXPLAINED),
            evidence=doubt.evidence,
        )
        for name, doubt in found.items()
    ]
