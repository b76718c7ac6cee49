"""Security report and leaderboard: their content for each comparison, and the files written."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from trueshot.files import utf8_safe, write_atomically
from trueshot.reports.chart import COLOURS, DASHES, Chart, Curve, line_chart
from trueshot.reports.comparison import Comparison, comparisons_of, standings
from trueshot.reports.detector_results import L2, LINF, DetectorResults, threat_name
from trueshot.reports.figures import draw_board
from trueshot.reports.gallery import Panels, panels
from trueshot.reports.leaderboard import Board, leaderboard
from trueshot.reports.loading import Findings, LoadedResult
from trueshot.reports.narrative import Statement, percent, verdict
from trueshot.reports.page import render
from trueshot.reports.paper_tables import comparison_tables
from trueshot.reports.provenance import command, origin_table, training_table
from trueshot.reports.security_tables import (
    attack_name,
    boundary_table,
    everyday_table,
    file_tables,
    first_table,
    price_table,
    strong_table,
    trial_table,
)
from trueshot.reports.table import (
    Table,
    as_csv,
    as_latex,
    as_markdown,
    in_markdown,
    names_in_full,
)
from trueshot.tasks.recapture import RECAPTURE

TITLE = "Detectors under attack"
UNEXPLAINED = "This version has no page on this doubt."


@dataclass(frozen=True, kw_only=True)
class DoubtEntry:
    """A doubt about a detector.

    Args:
        name: Name of the doubt.
        finding: Observation that raises it.
        meaning: Meaning of this kind of doubt.
        evidence: Figures by name.
    """

    name: str
    finding: str
    meaning: str
    evidence: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class Headline:
    """A figure shown in large type at the top of the page.

    Args:
        detector: The detector; its number determines the colour.
        what: Condition of the images, such as "without an attack".
        share: Accuracy; None if it was not measured.
    """

    detector: DetectorResults
    what: str
    share: float | None


@dataclass(frozen=True, kw_only=True)
class Section:
    """The content of the report for one comparison.

    Args:
        comparison: Comparison of detectors.
        doubts: Doubts for each detector that a suite attacked; an empty list if there are none.
        panels: Panels of example images for each detector.
    """

    comparison: Comparison
    doubts: Mapping[str, list[DoubtEntry]]
    panels: Mapping[str, Panels]

    @property
    def verdict(self) -> Statement:
        """Verdict on the comparison in words."""
        return verdict(self.comparison)

    @property
    def first(self) -> Table:
        """Table of each attack alone and of the worst case."""
        return first_table(self.comparison)

    @property
    def worst(self) -> list[tuple[str, Chart, Table]]:
        """Name, chart and table of each threat model of the strong suite."""
        return [self._worst(t) for t in self.comparison.threats if t in (LINF, L2)]

    @property
    def sent(self) -> list[tuple[str, Chart, Table]]:
        """Name, chart and table of each channel, such as JPEG, that attacked files go through."""
        return [self._worst(t) for t in self.comparison.threats if t not in (LINF, L2)]

    @property
    def trials(self) -> list[tuple[str, Table]]:
        """Table of all trials for each detector that has any, with its name."""
        found = [(one.name, trial_table(self.comparison, one)) for one in self.detectors]
        return [(name, table) for name, table in found if table.rows]

    @property
    def further_tables(self) -> dict[str, Table]:
        """Further tables by topic; tables without rows are omitted."""
        found = {
            "attacks": price_table(self.comparison),
            "everyday": everyday_table(self.comparison),
            "boundary": boundary_table(self.comparison),
            "results": origin_table(self.comparison),
            "training": training_table(self.comparison),
        }
        return {name: table for name, table in found.items() if table.rows}

    @property
    def files(self) -> list[Table]:
        """Tables of worst cases before and after saving to a file."""
        return file_tables(self.comparison)

    @property
    def notes(self) -> dict[str, list[str]]:
        """Notes on how results were obtained, by detector."""
        return {one.name: one.notes for one in self.detectors if one.notes}

    @property
    def paper(self) -> list[Table]:
        """Tables 1 to 3 with the paper's figures beside ours."""
        return comparison_tables(self.comparison)

    @property
    def undoubted(self) -> list[str]:
        """Names of attacked detectors without a recorded doubt."""
        return [name for name, doubts in self.doubts.items() if not doubts]

    @property
    def all_tables(self) -> list[Table]:
        """All tables that have rows, in order."""
        tables = self.further_tables
        last = [tables.pop(name) for name in ("results", "training") if name in tables]
        worst = [table for _, _, table in [*self.worst, *self.sent]]
        trials = [table for _, table in self.trials]
        found = [self.first, *worst, *self.files, *tables.values(), *self.paper, *trials, *last]
        return [table for table in found if table.rows]

    @property
    def detectors(self) -> Sequence[DetectorResults]:
        """Detectors of the comparison."""
        return self.comparison.detectors

    @property
    def commands(self) -> list[str]:
        """Commands that reproduce the results, without duplicates."""
        return list(dict.fromkeys(command(found) for found in self._results))

    @property
    def recipes(self) -> dict[str, Mapping[str, Any]]:
        """Training recipes that are known, by detector."""
        return {one.name: one.recipe for one in self.detectors if one.recipe}

    @property
    def versions(self) -> list[str]:
        """Library versions behind the results, each distinct set once, as text."""
        sets = (found.result.versions for found in self._results)
        told = (", ".join(f"{name} {number}" for name, number in each.items()) for each in sets)
        return list(dict.fromkeys(filter(None, told)))

    @property
    def headlines(self) -> list[Headline]:
        """Clean and worst-case accuracy in L∞ of the weakest and of the best detector.

        There are four figures, or two if only one detector is ranked, or none.
        """
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
    def _results(self) -> list[LoadedResult]:
        return [found for one in self.detectors for found in one.suites.values()]

    def _worst(self, threat: str) -> tuple[str, Chart, Table]:
        curves = [_curve(one, threat) for one in self.detectors if one.curve(threat)]
        return threat_name(threat), line_chart(curves), strong_table(self.comparison, threat)


def _curve(one: DetectorResults, threat: str) -> Curve:
    """Return the worst cases as a curve; dashes distinguish detectors once colours run out."""
    return Curve(
        name=one.name,
        tone=f"c{one.number % COLOURS}",
        points=tuple((case.budget, case.proportion) for case in one.curve(threat)),
        dash=DASHES[one.number // COLOURS % len(DASHES)],
    )


def sections_of(comparisons: Sequence[Comparison], meanings: Mapping[str, str]) -> list[Section]:
    """Return a section for each comparison.

    Args:
        comparisons: Comparisons in the order of the report.
        meanings: Meaning of each doubt, by its name.
    """
    return [
        Section(
            comparison=comparison,
            doubts={
                one.name: _doubts_of(one, meanings)
                for one in comparison.detectors
                if one.was_attacked
            },
            panels=panels(comparison),
        )
        for comparison in comparisons
    ]


def _doubts_of(one: DetectorResults, meanings: Mapping[str, str]) -> list[DoubtEntry]:
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


def write_report(
    findings: Findings, out: Path, meanings: Mapping[str, str]
) -> tuple[list[Path], list[str]]:
    """Write report.html, report.md, report.tex, and each table as a CSV file in tables/.

    Args:
        findings: Results, and sentences on files that were skipped.
        out: Output folder.
        meanings: Meaning of each doubt, by its name.

    Returns:
        Paths of the files, and one sentence for each file, example or picture that was skipped.
    """
    sections = sections_of(comparisons_of(findings.results), meanings)
    pictures = [fault for c in sections for each in c.panels.values() for fault in each.faults]
    faults = list(dict.fromkeys([*findings.faults, *pictures]))
    tables = names_in_full([table for section in sections for table in section.all_tables])
    texts = {
        "report.html": page(sections, faults),
        "report.md": _markdown(sections, faults),
        "report.tex": "\n\n".join(as_latex(table) for table in tables.values()) + "\n",
        **{f"tables/{name}.csv": as_csv(table) for name, table in tables.items()},
    }
    for name, text in texts.items():
        write_atomically(out / name, utf8_safe(text))
    return [out / name for name in texts], faults


def write_leaderboard(boards: Sequence[Board], out: Path) -> list[Path]:
    """Write leaderboard.md, leaderboard.tex, and a CSV file and a plot for each board."""
    tables = [leaderboard(made) for made in boards]
    paths = [out / "leaderboard.md", out / "leaderboard.tex"]
    pictures = {table.name: out / f"{table.name}.png" for table in tables}
    write_atomically(paths[0], "\n\n".join(_told(table, pictures[table.name]) for table in tables))
    write_atomically(paths[1], "\n\n".join(as_latex(table) for table in tables) + "\n")
    for made, table in zip(boards, tables, strict=True):
        write_atomically(out / f"{table.name}.csv", as_csv(table))
        paths += [out / f"{table.name}.csv", draw_board(made, pictures[table.name])]
    return paths


def page(sections: Sequence[Section], faults: Sequence[str]) -> str:
    """Return the report as a self-contained HTML page."""
    filters: dict[str, Callable[..., Any]] = {
        "attack": attack_name,
        "threat": threat_name,
        "percent": percent,
        "yaml": _yaml,
    }
    classes = {one.classes for section in sections for one in section.detectors}
    is_recapture = classes <= {RECAPTURE.classes}
    content = {
        "title": TITLE,
        "sections": sections,
        "faults": faults,
        "is_recapture": is_recapture,
    }
    return render("report.html.jinja", filters, **content)


def _yaml(content: Any) -> str:
    return str(yaml.safe_dump(content, sort_keys=False, allow_unicode=True))


def _markdown(sections: Sequence[Section], faults: Sequence[str]) -> str:
    parts = [f"# {TITLE}"]
    for section in sections:
        told = section.verdict
        parts += [
            f"## {in_markdown(section.comparison.title)}",
            f"**{in_markdown(told.headline)}.** {in_markdown(' '.join(told.sentences))}",
            *(as_markdown(table) for table in section.all_tables),
            *_doubts_in_markdown(section),
            *_origin_in_markdown(section),
        ]
    if faults:
        parts += ["## Skipped", "\n".join(f"- {in_markdown(fault)}" for fault in faults)]
    return "\n\n".join(parts) + "\n"


def _doubts_in_markdown(section: Section) -> list[str]:
    lines = []
    for detector, doubts in section.doubts.items():
        if not doubts:
            lines.append(f"- **{in_markdown(detector)}**: no doubts are recorded")
        for doubt in doubts:
            told = f"{doubt.finding} {doubt.meaning}"
            lines.append(f"- **{in_markdown(detector)}**, {in_markdown(f'{doubt.name}: {told}')}")
    return ["### Doubts", "\n".join(lines)] if lines else []


def _origin_in_markdown(section: Section) -> list[str]:
    notes = [
        f"- {in_markdown(f'{n}: {note}')}" for n, each in section.notes.items() for note in each
    ]
    commands = "\n".join(f"    {command}" for command in section.commands)
    lines = "\n".join([*notes, *(f"- {in_markdown(versions)}" for versions in section.versions)])
    return ["### How the results were obtained", commands, *([lines] if lines else [])]


def _told(table: Table, picture: Path) -> str:
    """Return a table and its plot as Markdown."""
    return f"{as_markdown(table)}\n\n![{in_markdown(table.title)}]({picture.name})\n"
