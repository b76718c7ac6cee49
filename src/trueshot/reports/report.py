"""The files of a security report and of a leaderboard."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from trueshot.files import utf8_safe, write_atomically
from trueshot.reports.board_figure import draw_board
from trueshot.reports.comparison import comparisons_of
from trueshot.reports.detector_results import threat_name
from trueshot.reports.grids import (
    Grid,
    Rate,
    as_csv,
    as_latex,
    as_markdown,
    in_markdown,
    names_in_full,
)
from trueshot.reports.html import environment
from trueshot.reports.leaderboard import Board, leaderboard
from trueshot.reports.loading import Findings
from trueshot.reports.sections import Section, chapters_of
from trueshot.reports.security_grids import attack_name

TITLE = "What detectors are worth under attack"


def write_report(
    findings: Findings, out: Path, meanings: Mapping[str, str]
) -> tuple[list[Path], list[str]]:
    """Write report.html, report.md, report.tex, and each table as a CSV file below tables/.

    Args:
        findings: Results, and what was passed over.
        out: Folder of the report.
        meanings: What each doubt means, by its name.

    Returns:
        The files, and one sentence for each file, example or picture that was passed over.
    """
    chapters = chapters_of(comparisons_of(findings.results), meanings)
    pictures = [fault for c in chapters for each in c.panels.values() for fault in each.faults]
    faults = list(dict.fromkeys([*findings.faults, *pictures]))
    grids = names_in_full([grid for chapter in chapters for grid in chapter.grids])
    texts = {
        "report.html": page(chapters, faults),
        "report.md": _markdown(chapters, faults),
        "report.tex": "\n\n".join(as_latex(grid) for grid in grids.values()) + "\n",
        **{f"tables/{name}.csv": as_csv(grid) for name, grid in grids.items()},
    }
    for name, text in texts.items():
        write_atomically(out / name, utf8_safe(text))
    return [out / name for name in texts], faults


def write_leaderboard(boards: Sequence[Board], out: Path) -> list[Path]:
    """Write leaderboard.md, leaderboard.tex, and a CSV file and a plot for each board."""
    grids = [leaderboard(made) for made in boards]
    paths = [out / "leaderboard.md", out / "leaderboard.tex"]
    pictures = {grid.name: out / f"{grid.name}.png" for grid in grids}
    write_atomically(paths[0], "\n\n".join(_told(grid, pictures[grid.name]) for grid in grids))
    write_atomically(paths[1], "\n\n".join(as_latex(grid) for grid in grids) + "\n")
    for made, grid in zip(boards, grids, strict=True):
        write_atomically(out / f"{grid.name}.csv", as_csv(grid))
        paths += [out / f"{grid.name}.csv", draw_board(made, pictures[grid.name])]
    return paths


def page(chapters: Sequence[Section], faults: Sequence[str]) -> str:
    """The page; it needs no other file and no network."""
    found = environment(Path())
    found.tests["rate"] = lambda value: isinstance(value, Rate)
    found.filters |= {"attack": attack_name, "threat": threat_name}
    template = found.get_template("report.html.jinja")
    return template.render(title=TITLE, chapters=chapters, faults=faults).lstrip()


def _markdown(chapters: Sequence[Section], faults: Sequence[str]) -> str:
    parts = [f"# {TITLE}"]
    for chapter in chapters:
        told = chapter.verdict
        parts += [
            f"## {in_markdown(chapter.comparison.title)}",
            f"**{in_markdown(told.headline)}.** {in_markdown(' '.join(told.sentences))}",
            *(as_markdown(grid) for grid in chapter.grids),
            *_doubts_in_markdown(chapter),
            *_origin_in_markdown(chapter),
        ]
    if faults:
        parts += ["## Passed over", "\n".join(f"- {in_markdown(fault)}" for fault in faults)]
    return "\n\n".join(parts) + "\n"


def _doubts_in_markdown(chapter: Section) -> list[str]:
    lines = []
    for detector, doubts in chapter.doubts.items():
        if not doubts:
            lines.append(f"- **{in_markdown(detector)}**: no doubt is recorded")
        for doubt in doubts:
            told = f"{doubt.finding} {doubt.meaning}"
            lines.append(f"- **{in_markdown(detector)}**, {in_markdown(f'{doubt.name}: {told}')}")
    return ["### Doubts", "\n".join(lines)] if lines else []


def _origin_in_markdown(chapter: Section) -> list[str]:
    notes = [
        f"- {in_markdown(f'{n}: {note}')}" for n, each in chapter.notes.items() for note in each
    ]
    commands = "\n".join(f"    {command}" for command in chapter.commands)
    lines = "\n".join([*notes, *(f"- {in_markdown(versions)}" for versions in chapter.versions)])
    return ["### How it was obtained", commands, *([lines] if lines else [])]


def _told(grid: Grid, picture: Path) -> str:
    """A table and its plot, as Markdown."""
    return f"{as_markdown(grid)}\n\n![{in_markdown(grid.title)}]({picture.name})\n"
