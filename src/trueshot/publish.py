"""Reports and leaderboards of results on disk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from trueshot.errors import RunError
from trueshot.reports.candidate import LINF
from trueshot.reports.comparison import comparisons_of
from trueshot.reports.found import find
from trueshot.reports.leaderboard import board
from trueshot.reports.report import write_leaderboard, write_report


@dataclass(frozen=True, kw_only=True)
class Published:
    """What was written.

    Args:
        files: The page, or the table, first.
        faults: One sentence for each file that was passed over.
    """

    files: list[Path]
    faults: list[str]


def report(paths: Sequence[Path], out: Path) -> Published:
    """Write a page of every result in files and folders, and its tables as text.

    Args:
        paths: Results, and folders that hold some; results.json of `reproduce`, too.
        out: Folder of the report.

    Raises:
        RunError: There is no result.
    """
    files, faults = write_report(find(paths), out, _meanings())
    return Published(files=files, faults=faults)


def compare(
    paths: Sequence[Path], out: Path, threat: str = LINF, budget: float | None = None
) -> Published:
    """Write a leaderboard sorted by worst case, one for each data set, part and size.

    Args:
        paths: Results, and folders that hold some.
        out: Folder of the leaderboard.
        threat: Threat model of the worst cases.
        budget: By whose worst case to sort, in levels; by default the largest that all detectors
            of a table have, at most 5.

    Raises:
        RunError: There is no result, or none of that threat model, or at that budget.
    """
    findings = find(paths)
    comparisons = comparisons_of(findings.results)
    boards = [board(each, threat, budget) for each in comparisons]
    if not any(made.ranked for made in boards):
        raise RunError(_nothing(sorted({t for c in comparisons for t in c.threats}), budget))
    return Published(files=write_leaderboard(boards, out), faults=findings.faults)


def _nothing(threats: Sequence[str], budget: float | None) -> str:
    wanted = "" if budget is None else f" at ε = {budget:g}"
    known = f"threats known here: {', '.join(threats)}" if threats else "no threat was tried here"
    return f"no worst case{wanted} in these results; {known}"


def _meanings() -> dict[str, str]:
    """What each doubt means, by its name."""
    from trueshot.evaluation.doubts import NAMES

    return dict(NAMES)
