"""Reports and leaderboards from evaluation results on disk, and the report of a scan."""

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
    """The files that were written.

    Args:
        files: Paths; the page or the table comes first.
        faults: One sentence for each file that was skipped.
    """

    files: list[Path]
    faults: list[str]


def report(paths: Sequence[Path], out: Path) -> Published:
    """Write a report on all results in files and folders: a page, and its tables as text.

    Args:
        paths: Result files and folders that contain some, including results.json of `reproduce`.
        out: Output folder.

    Raises:
        RunError: No result was found.
    """
    from trueshot.reports.report import write_report
    from trueshot.reports.results import find

    files, faults = write_report(find(paths), out)
    return Published(files=files, faults=faults)


def compare(
    paths: Sequence[Path], out: Path, threat: str = "linf", budget: float | None = None
) -> Published:
    """Write a leaderboard sorted by worst case for each data set, part and image size.

    Args:
        paths: Result files and folders that contain some.
        out: Output folder.
        threat: Threat model of the worst cases.
        budget: Budget in levels whose worst case decides the order; by default chosen for each
            table by `Comparison.budget`: the largest, up to 5, that most of its detectors have.

    Raises:
        RunError: There is no result, or no worst case for that threat model or at that budget.
    """
    from trueshot.reports.comparison import comparisons_of
    from trueshot.reports.leaderboard import board
    from trueshot.reports.report import write_leaderboard
    from trueshot.reports.results import find

    findings = find(paths)
    comparisons = comparisons_of(findings.results)
    boards = [board(each, threat, budget) for each in comparisons]
    if not any(made.ranked for made in boards):
        raise RunError(_nothing(sorted({t for c in comparisons for t in c.threats}), budget))
    return Published(files=write_leaderboard(boards, out), faults=findings.faults)


def _nothing(threats: Sequence[str], budget: float | None) -> str:
    wanted = "" if budget is None else f" at ε = {budget:g}"
    advice = "evaluate with --suite strong or file, which have threats"
    known = f"their threats: {', '.join(threats)}" if threats else f"they have no threats; {advice}"
    return f"these results contain no worst case{wanted}; {known}"


def scan_report(
    records: Iterable[Mapping[str, Any]],
    explanations: Mapping[str, Explanation],
    out: Path,
    detector: Path,
    **said: Any,
) -> None:
    """Write the report of a scan as an HTML page, or as a PDF if `out` ends in .pdf.

    Args:
        records: Records of the results file.
        explanations: Explanations by SHA-256 of the image file.
        out: File to write; it is the only one.
        detector: Bundle or ONNX file of the detector that was used.
        said: Further facts about the scan: keyword arguments of `reports.scan_report.scan_report`.

    Raises:
        RunError: The name has no supported ending, or the extra pdf is not installed.
        BundleError: The detector can no longer be read.
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
    """Yield the path to write the page to: `out`, or a temporary file if `out` is a PDF.

    The PDF is printed from the temporary page on leaving the context.
    """
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
            raise RunError(f"{out}: {reason}; choose .html instead") from error


def check_report(out: Path) -> None:
    """Check before a long scan that a report can be written under this name.

    Raises:
        RunError: The ending is not supported, or the extra pdf is not installed.
    """
    if out.suffix.lower() not in (*PAGES, PDF):
        raise RunError(f"{out}: the name of a report must end in {', '.join(PAGES)} or {PDF}")
    if out.suffix.lower() == PDF and not find_spec("plutoprint"):
        raise RunError(
            f"{out}: PDF needs the extra pdf: pip install 'trueshot[pdf]', or choose .html instead"
        )
