"""The command that judges photographs."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from trueshot.cli.options import (
    Address,
    Bundle,
    EngineName,
    EngineOption,
    PixelLimit,
    Workers,
    tell_error,
)
from trueshot.detectors import located
from trueshot.errors import RunError
from trueshot.files import DEFAULT_PIXEL_LIMIT, sanitize

if TYPE_CHECKING:
    from trueshot.scanning.runner import Summary
    from trueshot.scanning.verdict import Verdict


def scan(
    paths: Annotated[
        list[str],
        typer.Argument(
            help="Photographs, folders, patterns or zip archives; - for standard input.",
            metavar="PATH…",
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(help="File for the results: .jsonl, .csv or .parquet (extra train)."),
    ] = None,
    report: Annotated[
        Path | None, typer.Option(help="File for the report: .html, or .pdf (extra pdf).")
    ] = None,
    bundle: Bundle = "accurate",
    workers: Workers = None,
    timeout: Annotated[float, typer.Option(min=1, help="Time limit per file, in seconds.")] = 60.0,
    memory: Annotated[
        int, typer.Option(min=256, help="Memory limit of a worker per file, in MiB.")
    ] = 4096,
    pixel_limit: PixelLimit = DEFAULT_PIXEL_LIMIT,
    names: Annotated[
        bool, typer.Option("--names", help="Standard input is a list of names, one per line.")
    ] = False,
    ledger: Annotated[
        Path | None, typer.Option(help="Ledger of finished files; by default beside the results.")
    ] = None,
    engine: EngineOption = EngineName.local,
    address: Address = None,
    as_json: Annotated[
        bool,
        typer.Option("--json", help="Print each record as a line of JSON, as soon as it is known."),
    ] = False,
    excel: Annotated[
        bool,
        typer.Option(
            "--excel", help="Begin a .csv with a byte order mark, so that Excel reads all names."
        ),
    ] = False,
    fail_on: Annotated[
        str | None,
        typer.Option(
            metavar="WORD,…",
            help="Verdicts for which the exit status is not 0; by default recaptured,error. "
            "undecided is possible too; other tasks have other verdicts.",
        ),
    ] = None,
    exit_zero: Annotated[
        bool, typer.Option("--exit-zero", help="Return exit status 0, whatever was found.")
    ] = False,
) -> None:
    """Judge photographs. Exit status 0: nothing found; 1: recaptures; 2: failures; 3: both."""
    try:
        from trueshot.scanning.archives import is_archive
        from trueshot.scanning.runner import Settings, Summary, ledger_beside, scan
        from trueshot.scanning.verdict import long_text, one_line

        wanted = out is not None or report is not None
        is_one = len(paths) == 1 and os.path.isfile(paths[0])  # noqa: PTH113
        alone = not wanted and is_one and not is_archive(paths[0])
        chosen = located(bundle)
        settings = Settings(
            workers=workers,
            seconds=timeout,
            memory=memory * 2**20,
            pixel_limit=pixel_limit,
            explain=report is not None,
            piped_names=names,
            show_progress=not alone,
            say_waiting=True,
            excel=excel,
            engine=engine.value,
            address=address,
            fail_on=None
            if fail_on is None
            else tuple(word.strip() for word in fail_on.split(",") if word.strip()),
        )
        if excel and (out is None or out.suffix.lower() != ".csv"):
            raise RunError("--excel only changes a .csv: add --out with a name that ends in .csv")
        if report is not None:
            from trueshot.publish import check_report

            check_report(report)
            ledger = ledger or (ledger_beside(report) if out is None else None)
        said = _told(settings)
        finish = partial(_write_report, report, chosen, paths, out, said) if report else None
        stdin = getattr(sys.stdin, "buffer", None)  # a daemon has no stdin
        own = [report] if report else []
        verdicts = scan(
            chosen, paths, out, settings, ledger=ledger, stdin=stdin, finish=finish, own=own
        )
        say = _record if as_json else None if wanted else long_text if alone else one_line
        status = _follow(verdicts, Summary(fail_on=settings.fail_on), say, summed=not alone)
    except Exception as error:  # any other exception would exit with 1, which means recaptures
        tell_error(error)
        raise typer.Exit(2) from None
    if not exit_zero:
        raise typer.Exit(status)


def _follow(
    verdicts: Iterable[Verdict],
    summary: Summary,
    say: Callable[[Verdict], str] | None,
    *,
    summed: bool,
) -> int:
    """Print verdicts as they come, then a summary; return the exit status."""
    for verdict in verdicts:
        summary.add(verdict)
        if say is not None:
            typer.echo(say(verdict))
    if summed:
        typer.echo(str(summary), err=True)
    return summary.status


def _record(verdict: Verdict) -> str:
    return json.dumps(verdict.as_record(), allow_nan=False)


def _told(settings: Any) -> dict[str, Any]:
    """Return the settings as the report shows them."""
    return {
        "engine": settings.engine,
        "pixel limit": f"{settings.pixel_limit:,}",
        "time limit per file": f"{settings.seconds:g} s",
        "memory limit per worker": f"{settings.memory // 2**20:,} MiB",
    }


def _write_report(
    report: Path,
    detector: Path,
    paths: list[str],
    out: Path | None,
    settings: dict[str, Any],
    ledger: Any,
    summary: Any,
) -> None:
    from trueshot.inference.explanation import Explanation
    from trueshot.publish import scan_report
    from trueshot.scanning.ledger import Pictures
    from trueshot.scanning.verdict import EXPLANATION, THUMBNAIL

    scan_report(
        (verdict.as_record() for verdict in ledger.verdicts()),
        Pictures(ledger, EXPLANATION, Explanation.from_bytes),
        report,
        detector,
        thumbnails=Pictures(ledger, THUMBNAIL, bytes),
        asked=paths,
        settings={**settings, "exit status not 0 for": ", ".join(summary.failing)},
        results=None if out is None else str(out),
        exit_status=summary.status,
    )
    typer.echo(f"report: {sanitize(str(report))}", err=True)
