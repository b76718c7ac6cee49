"""Security report and leaderboard: their content for each comparison, and the files written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import TypeAdapter

from trueshot.files import utf8_safe, write_atomically
from trueshot.reports.chart import COLOURS, DASHES, Chart, Curve, line_chart
from trueshot.reports.comparison import Comparison, comparisons_of, standings
from trueshot.reports.figures import draw_board
from trueshot.reports.leaderboard import Board, leaderboard
from trueshot.reports.narrative import percent, verdict
from trueshot.reports.page import picture, render
from trueshot.reports.paper_tables import comparison_tables
from trueshot.reports.results import L2, LINF, DetectorResults, Findings, LoadedResult, threat_name
from trueshot.reports.security_tables import (
    attack_name,
    boundary_table,
    command,
    everyday_table,
    file_tables,
    first_table,
    origin_table,
    price_table,
    strong_table,
    training_table,
    trial_table,
)
from trueshot.reports.table import (
    Table,
    as_csv,
    as_latex,
    as_markdown,
    in_markdown,
    names_in_full,
    one_line,
)
from trueshot.tasks.recapture import RECAPTURE

TITLE = "Detectors under attack"
_MOST_EXAMPLES = 4  # per detector, because pictures make the page large

_Section = dict[str, Any]
"""The content of the report for one comparison, by the names that report.html.jinja uses."""


def write_report(findings: Findings, out: Path) -> tuple[list[Path], list[str]]:
    """Write report.html, report.md, report.tex, and each table as a CSV file in tables/.

    Args:
        findings: Results, and sentences on files that were skipped.
        out: Output folder.

    Returns:
        Paths of the files, and one sentence for each file, example or picture that was skipped.
    """
    faults = list(findings.faults)
    sections = [_section(each, faults) for each in comparisons_of(findings.results)]
    faults = list(dict.fromkeys(faults))
    tables = names_in_full([table for section in sections for table in section["all_tables"]])
    texts = {
        "report.html": _page(sections, faults),
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
    told = (
        f"{as_markdown(table)}\n\n![{in_markdown(table.title)}]({table.name}.png)\n"
        for table in tables
    )
    write_atomically(paths[0], "\n\n".join(told))
    write_atomically(paths[1], "\n\n".join(as_latex(table) for table in tables) + "\n")
    for made, table in zip(boards, tables, strict=True):
        write_atomically(out / f"{table.name}.csv", as_csv(table))
        paths += [out / f"{table.name}.csv", draw_board(made, out / f"{table.name}.png")]
    return paths


def _section(comparison: Comparison, faults: list[str]) -> _Section:
    """Return the content for one comparison; faults of its examples are added to `faults`."""
    detectors = comparison.detectors
    results = [found for one in detectors for found in one.suites.values()]
    doubts = {one.name: list(one.doubts.values()) for one in detectors if one.was_attacked}
    versions = (
        ", ".join(f"{name} {number}" for name, number in found.result.versions.items())
        for found in results
    )
    examples = {one.name: _examples(one, faults) for one in detectors}
    return _tables(comparison) | {
        "comparison": comparison,
        "verdict": verdict(comparison),
        "headlines": _headlines(comparison),
        "doubts": doubts,  # of each detector that a suite attacked
        "undoubted": [name for name, found in doubts.items() if not found],
        "examples": {name: found for name, found in examples.items() if found[0]},
        "notes": {one.name: one.notes for one in detectors if one.notes},
        "commands": list(dict.fromkeys(map(command, results))),
        "recipes": {one.name: one.recipe for one in detectors if one.recipe},
        "versions": list(dict.fromkeys(filter(None, versions))),
    }


def _tables(comparison: Comparison) -> _Section:
    """Return the tables, each with its chart where it has one, and all of them in order."""
    worst = {threat: _worst(comparison, threat) for threat in comparison.threats}
    trials = [(one.name, trial_table(comparison, one)) for one in comparison.detectors]
    content: _Section = {
        "first": first_table(comparison),
        "worst": [each for threat, each in worst.items() if threat in (LINF, L2)],
        "sent": [each for threat, each in worst.items() if threat not in (LINF, L2)],
        "files": file_tables(comparison),
        "attacks": price_table(comparison),
        "everyday": everyday_table(comparison),
        "boundary": boundary_table(comparison),
        "paper": comparison_tables(comparison),
        "trials": [(name, table) for name, table in trials if table.rows],
        "results": origin_table(comparison),
        "training": training_table(comparison),
    }
    found: list[Table] = []
    for each in content.values():
        several = each if isinstance(each, list) else [each]
        found += [one if isinstance(one, Table) else one[-1] for one in several]
    return content | {"all_tables": [table for table in found if table.rows]}


def _worst(comparison: Comparison, threat: str) -> tuple[str, Chart, Table]:
    """Return name, chart and table of a threat model, or of a channel that files go through."""
    curves = [
        Curve(
            name=one.name,
            tone=f"c{one.number % COLOURS}",
            points=tuple((case.budget, case.proportion) for case in one.curve(threat)),
            dash=DASHES[one.number // COLOURS % len(DASHES)],  # once colours run out
        )
        for one in comparison.detectors
        if one.curve(threat)
    ]
    return (
        threat_name(threat),
        line_chart(curves, len(comparison.classes)),
        strong_table(comparison, threat),
    )


def _headlines(comparison: Comparison) -> list[tuple[DetectorResults, str, float]]:
    """Return clean and worst-case accuracy in L∞ of the weakest and of the best detector."""
    budget = comparison.budget(LINF)
    ranked = standings(comparison, LINF, budget)
    return [
        (each.detector, what, share)
        for each in ([ranked[-1], ranked[0]] if len(ranked) > 1 else ranked)
        for what, share in (
            ("without an attack", each.clean.share),
            (f"worst case, ε = {budget:g}", each.worst.accuracy),
        )
    ]


@dataclass(frozen=True, kw_only=True)
class JudgedFile:
    """A picture, and a detector's prediction on it."""

    predicted: str
    probability: float
    file: str


@dataclass(frozen=True, kw_only=True)
class VerdictAfter:
    """A prediction on the attacked image after a channel such as JPEG."""

    predicted: str
    probability: float
    channel: str


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A picture whose content was amplified by the factor `magnified`."""

    file: str
    magnified: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Example:
    """An attacked image as described in a result; picture files are relative to its folder."""

    detector: str
    attack: str
    budget: float
    true: str
    clean: JudgedFile
    attacked: JudgedFile
    threat: str = LINF
    fate: str = ""
    residual: Picture | None = None
    noise: Picture | None = None
    after: tuple[VerdictAfter, ...] = ()


_EXAMPLE = TypeAdapter(Example)
_Panel = tuple[Example, dict[str, str]]
"""An example, and its pictures as data URIs by file name; "" for one that cannot be read."""


def _examples(one: DetectorResults, faults: list[str]) -> tuple[list[_Panel], int]:
    """Return a detector's examples to show, and the number of others that are valid."""
    valid: list[tuple[LoadedResult, Example]] = []
    for found in sorted(one.suites.values(), key=lambda each: each.result.suite, reverse=True):
        for number, content in enumerate(found.examples, start=1):
            try:
                known = {name: value for name, value in content.items() if value is not None}
                valid.append((found, _EXAMPLE.validate_python(known)))
            except ValueError as error:
                reason = one_line(str(error))[:160]
                faults.append(f"{found.path}: example {number} cannot be shown: {reason}")
    valid = list({_same(example): (found, example) for found, example in valid[::-1]}.values())
    chosen = _spread(valid[::-1])
    panels = [_panel(*each) for each in chosen]
    missing: dict[Path, list[str]] = {}
    for (found, _), (_, pictures) in zip(chosen, panels, strict=True):
        names = missing.setdefault(found.path, [])
        names += [name for name, source in pictures.items() if not source and name not in names]
    faults += [
        f"{path}: missing or unreadable pictures: {len(names)}, the first {one_line(names[0])}"
        for path, names in missing.items()
        if names
    ]
    return panels, len(valid) - len(chosen)


def _same(example: Example) -> tuple[str | float, ...]:
    """Return a key for duplicates: suites that start with the same attack show the same image."""
    threat = LINF if example.threat == "png" else example.threat  # equal, in the file suite
    verdicts = example.clean.probability, example.attacked.probability
    return threat, example.attack, example.budget, example.true, *verdicts


def _spread(valid: Sequence[tuple[LoadedResult, Example]]) -> list[tuple[LoadedResult, Example]]:
    """Choose at most `_MOST_EXAMPLES`: one of each kind before a second of any kind.

    A kind is a combination of threat, true class and fate.
    """
    seen: dict[tuple[str, str, str], int] = {}
    turns = []
    for place, (_, example) in enumerate(valid):
        kind = (example.threat, example.true, example.fate)
        seen[kind] = seen.get(kind, 0) + 1
        turns.append((seen[kind], place))
    return [valid[place] for place in sorted(place for _, place in sorted(turns)[:_MOST_EXAMPLES])]


def _panel(found: LoadedResult, example: Example) -> _Panel:
    parts = (example.clean, example.residual, example.noise, example.attacked)
    return example, {part.file: picture(found.path.parent, part.file) for part in parts if part}


def _page(sections: Sequence[_Section], faults: Sequence[str]) -> str:
    """Return the report as a self-contained HTML page."""
    filters: dict[str, Callable[..., Any]] = {
        "attack": attack_name,
        "threat": threat_name,
        "percent": percent,
        "yaml": _yaml,
    }
    classes = {one.classes for section in sections for one in section["comparison"].detectors}
    return render(
        "report.html.jinja",
        filters,
        title=TITLE,
        sections=sections,
        faults=faults,
        is_recapture=classes <= {RECAPTURE.classes},
    )


def _yaml(content: Any) -> str:
    return str(yaml.safe_dump(content, sort_keys=False, allow_unicode=True))


def _markdown(sections: Sequence[_Section], faults: Sequence[str]) -> str:
    parts = [f"# {TITLE}"]
    for section in sections:
        title, told = section["comparison"].title, section["verdict"]
        parts += [
            f"## {in_markdown(title)}",
            f"**{in_markdown(told.headline)}.** {in_markdown(' '.join(told.sentences))}",
            *(as_markdown(table) for table in section["all_tables"]),
            *_doubts_in_markdown(section),
            *_origin_in_markdown(section),
        ]
    if faults:
        parts += ["## Skipped", "\n".join(f"- {in_markdown(fault)}" for fault in faults)]
    return "\n\n".join(parts) + "\n"


def _doubts_in_markdown(section: _Section) -> list[str]:
    lines = []
    for detector, doubts in section["doubts"].items():
        if not doubts:
            lines.append(f"- **{in_markdown(detector)}**: no doubts are recorded")
        for doubt in doubts:
            told = f"{doubt.name}: {doubt.finding} {doubt.meaning}"
            lines.append(f"- **{in_markdown(detector)}**, {in_markdown(told)}")
    return ["### Doubts", "\n".join(lines)] if lines else []


def _origin_in_markdown(section: _Section) -> list[str]:
    notes = [
        f"- {in_markdown(f'{name}: {note}')}"
        for name, each in section["notes"].items()
        for note in each
    ]
    commands = "\n".join(f"    {command}" for command in section["commands"])
    lines = "\n".join([*notes, *(f"- {in_markdown(versions)}" for versions in section["versions"])])
    return ["### How the results were obtained", commands, *([lines] if lines else [])]
