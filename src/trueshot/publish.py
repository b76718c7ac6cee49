"""Reports and leaderboards of results on disk, and the report of a scan."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from trueshot.errors import RunError

if TYPE_CHECKING:
    from trueshot.inference.explanation import Explanation

PAGES, PDF = (".html", ".htm"), ".pdf"


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
    from trueshot.reports.loading import find
    from trueshot.reports.report import write_report

    files, faults = write_report(find(paths), out, _meanings())
    return Published(files=files, faults=faults)


def compare(
    paths: Sequence[Path], out: Path, threat: str | None = None, budget: float | None = None
) -> Published:
    """Write a leaderboard sorted by worst case, one for each data set, part and size.

    Args:
        paths: Results, and folders that hold some.
        out: Folder of the leaderboard.
        threat: Threat model of the worst cases; by default L∞.
        budget: By whose worst case to sort, in levels; by default the largest that all detectors
            of a table have, at most 5.

    Raises:
        RunError: There is no result, or none of that threat model, or at that budget.
    """
    from trueshot.reports.comparison import comparisons_of
    from trueshot.reports.detector_results import LINF
    from trueshot.reports.leaderboard import board
    from trueshot.reports.loading import find
    from trueshot.reports.report import write_leaderboard

    findings = find(paths)
    comparisons = comparisons_of(findings.results)
    boards = [board(each, threat or LINF, budget) for each in comparisons]
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


def scan_report(
    records: Iterable[Mapping[str, Any]],
    explanations: Mapping[str, Explanation],
    out: Path,
    detector: Path,
    **said: Any,
) -> None:
    """Write the report of a scan: an HTML page, or that page printed, for a name in .pdf.

    Args:
        records: As in the results file.
        explanations: By SHA-256 of the image file.
        out: The file; no other is written.
        detector: The bundle, or ONNX file, that judged.
        said: What else is known of the scan, see `write_scan_report`.

    Raises:
        RunError: No report has such a name, or the extra pdf is not installed.
        BundleError: The detector cannot be read any more.
    """
    from trueshot.bundle import bundle_sha256, read_card
    from trueshot.reports.scan_report import write_scan_report
    from trueshot.versions import versions

    check_report(out)
    with _page_of(out) as page:
        write_scan_report(
            records,
            read_card(detector),
            page,
            bundle_sha256=bundle_sha256(detector),
            explanations=explanations,
            versions=versions(),
            **said,
        )


@contextmanager
def _page_of(out: Path) -> Iterator[Path]:
    """Where the page is to be written; for a PDF that is printed from it, out of the way."""
    if out.suffix.lower() != PDF:
        yield out
        return
    from trueshot.reports.page import write_pdf

    with TemporaryDirectory(prefix="trueshot-") as folder:
        page = Path(folder) / "report.html"
        yield page
        try:
            write_pdf(page, out)
        except RunError as error:
            reason = str(error).removeprefix(f"{page}: ")
            raise RunError(f"{out}: {reason}; ask for .html instead") from error


def check_report(out: Path) -> None:
    """See to it, before hours of scanning, that a report can have this name.

    Raises:
        RunError: It cannot.
    """
    if out.suffix.lower() not in (*PAGES, PDF):
        raise RunError(f"{out}: a report ends in {', '.join(PAGES)} or {PDF}")
    if out.suffix.lower() == PDF and not find_spec("plutoprint"):
        raise RunError(f"{out}: PDF needs the extra pdf: pip install 'trueshot[pdf]'; or ask .html")
