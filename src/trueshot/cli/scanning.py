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
    bundle_named,
    tell_error,
)
from trueshot.errors import RunError
from trueshot.files import sanitize

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
    pixel_limit: PixelLimit = 200_000_000,
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
        from trueshot.scanning.runner import Settings, Summary, scan

        wanted = out is not None or report is not None
        alone = not wanted and len(paths) == 1 and os.path.isfile(paths[0])  # noqa: PTH113
        chosen = bundle_named(bundle)
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
            fail_on=None if fail_on is None else _words(fail_on),
        )
        if excel and (out is None or out.suffix.lower() != ".csv"):
            raise RunError("--excel only changes a .csv: add --out with a name that ends in .csv")
        ledger = _destinations(out, report, ledger)
        said = _told(settings)
        finish = partial(_write_report, report, chosen, paths, out, said) if report else None
        stdin = getattr(sys.stdin, "buffer", None)  # a daemon has no stdin
        own = [report] if report else []
        verdicts = scan(
            chosen, paths, out, settings, ledger=ledger, stdin=stdin, finish=finish, own=own
        )
        say = _record if as_json else None if wanted else _longest if alone else _line
        status = _follow(verdicts, Summary(fail_on=settings.fail_on), say, summed=not alone)
    except Exception as error:  # any other exception would exit with 1, which means recaptures
        tell_error(error)
        raise typer.Exit(2) from None
    if not exit_zero:
        raise typer.Exit(status)


def _destinations(out: Path | None, report: Path | None, ledger: Path | None) -> Path | None:
    """Check that all outputs can be written before work begins; return the ledger's path."""
    from trueshot.files import check_destinations
    from trueshot.scanning.output import check_output
    from trueshot.scanning.runner import ledger_beside

    if out is not None:
        check_output(out)
    if report is not None:
        from trueshot.publish import check_report

        check_report(report)
    first = out or report
    ledger = ledger or (first and ledger_beside(first))
    check_destinations(out, report, ledger)
    return ledger


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())


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


def _line(verdict: Verdict) -> str:
    from trueshot.scanning.verdict import one_line

    return one_line(verdict)


def _longest(verdict: Verdict) -> str:
    from trueshot.scanning.verdict import long_text

    return long_text(verdict)


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
