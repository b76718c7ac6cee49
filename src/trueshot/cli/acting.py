"""Commands that judge photographs, and that make, show and serve the detectors that do."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterable
from contextlib import suppress
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from trueshot.cli.options import AggregationName
from trueshot.errors import TrueshotError
from trueshot.files import plain, printable


class RuntimeName(StrEnum):
    """What computes."""

    torch = "torch"
    onnx = "onnx"


class EngineName(StrEnum):
    """Where it computes: on this machine, or on those of a Ray cluster."""

    local = "local"
    ray = "ray"


class MethodName(StrEnum):
    """How scores become likelihood ratios."""

    logistic = "logistic"
    isotonic = "isotonic"


class FormatName(StrEnum):
    """What a detector is exported to."""

    onnx = "onnx"


Bundle = Annotated[
    str, typer.Option(help="accurate or robust, which come along; or the file of another detector.")
]


def _bundle(name: str) -> Path:
    from trueshot import detectors

    return detectors.shipped(name) if name in detectors.NAMES else Path(name)


def scan(
    paths: Annotated[
        list[str],
        typer.Argument(
            help="Photographs, folders, patterns, zip archives; - for standard input.",
            metavar="PATH…",
        ),
    ],
    out: Annotated[
        Path | None, typer.Option(help="Results, by their suffix .jsonl, .csv or .parquet.")
    ] = None,
    report: Annotated[
        Path | None, typer.Option(help="What was found, for people: .html; or .pdf (extra pdf).")
    ] = None,
    bundle: Bundle = "accurate",
    runtime: Annotated[
        RuntimeName | None, typer.Option(help="onnx: without torch, so sooner (extra onnx).")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes; by default as many as processors.")
    ] = None,
    timeout: Annotated[float, typer.Option(min=1, help="Seconds that a file may take.")] = 60.0,
    memory: Annotated[
        int, typer.Option(min=256, help="MiB that a worker may take for a file.")
    ] = 4096,
    pixel_limit: Annotated[int, typer.Option(help="Larger photographs are refused.")] = 200_000_000,
    names: Annotated[
        bool, typer.Option("--names", help="Standard input is a list of names, one a line.")
    ] = False,
    ledger: Annotated[
        Path | None, typer.Option(help="Of what is done; by default beside the results.")
    ] = None,
    engine: Annotated[
        EngineName, typer.Option(help="ray: many machines (extra ray).")
    ] = EngineName.local,
    address: Annotated[
        str | None,
        typer.Option(help="Of the Ray cluster; by default RAY_ADDRESS, or one that runs here."),
    ] = None,
    exit_zero: Annotated[
        bool, typer.Option("--exit-zero", help="Exit status 0 whatever was found.")
    ] = False,
) -> None:
    """Judge photographs. Exit status 0: all original; 1: some recaptured; 2: some not judged."""
    try:
        from trueshot.scanning.errand import Settings

        wanted = out is not None or report is not None
        alone = not wanted and len(paths) == 1 and os.path.isfile(paths[0])  # noqa: PTH113
        chosen = _bundle(bundle)
        is_onnx = runtime is None and chosen.suffix.lower() == ".onnx"
        settings = Settings(
            workers=workers,
            runtime="onnx" if is_onnx else runtime.value if runtime else "torch",
            seconds=timeout,
            memory=memory * 2**20,
            pixel_limit=pixel_limit,
            explain=report is not None,
            piped_names=names,
            show_progress=not alone,
        )
        ledger = _destinations(out, report, ledger)
        said = {"engine": engine.value, **_told(settings)}
        finish = report and partial(_write_report, report, chosen, paths, out, said)
        stdin = getattr(sys.stdin, "buffer", None)  # a daemon has none
        course = _course(engine, address)
        verdicts = course(chosen, paths, out, settings, ledger=ledger, stdin=stdin, finish=finish)
        status = _follow(verdicts, alone=alone, shown=not wanted)
    except Exception as error:  # 1, as for any other, would say that some are recaptured
        _tell(error)
        raise typer.Exit(2) from None
    if not exit_zero:
        raise typer.Exit(status)


def _destinations(out: Path | None, report: Path | None, ledger: Path | None) -> Path | None:
    """See that all can be written before the work begins; where the ledger is to lie."""
    from trueshot.files import check_destinations
    from trueshot.scanning.errand import ledger_beside
    from trueshot.scanning.output import check_output

    if out is not None:
        check_output(out)
    if report is not None:
        from trueshot.publish import check_report

        check_report(report)
    first = out or report
    ledger = ledger or (first and ledger_beside(first))
    check_destinations(out, report, ledger)
    return ledger


def _tell(error: Exception) -> None:
    """What went wrong, on one line; if nobody can be told, that is not worse than it is."""
    is_known = isinstance(error, TrueshotError | OSError)
    said = str(error) if is_known else f"{type(error).__name__}: {error}"
    with suppress(OSError, ValueError):
        typer.echo(plain(f"error: {'; '.join(map(str.strip, said.splitlines()))}"), err=True)


def _course(engine: EngineName, address: str | None) -> Any:
    """What scans."""
    if engine is EngineName.ray:
        from trueshot.scanning.ray_engine import scan_with_ray

        return partial(scan_with_ray, address=address)
    from trueshot.scanning.runner import scan

    return scan


def _follow(verdicts: Iterable[Any], *, alone: bool, shown: bool) -> int:
    """Print verdicts as they come, and what they add up to; the exit status is returned."""
    from trueshot.scanning.errand import Summary
    from trueshot.scanning.telling import account, line

    summary = Summary()
    for verdict in verdicts:
        summary.add(verdict)
        if shown:
            typer.echo((account if alone else line)(verdict))
    if not alone:
        typer.echo(str(summary), err=True)
    return summary.status


def _told(settings: Any) -> dict[str, Any]:
    """Settings as a report tells them."""
    return {
        "runtime": settings.runtime,
        "most pixels": f"{settings.pixel_limit:,}",
        "seconds for each file": f"{settings.seconds:g}",
        "memory for each worker": f"{settings.memory // 2**20:,} MiB",
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
    from trueshot.publish import scan_report
    from trueshot.scanning.explained import Explanations

    scan_report(
        (verdict.as_record() for verdict in ledger.verdicts()),
        Explanations(ledger),
        report,
        detector,
        asked=paths,
        settings=settings,
        results=None if out is None else str(out),
        exit_status=summary.status,
    )
    typer.echo(f"report: {plain(str(report))}", err=True)


def bundle(
    run: Annotated[Path, typer.Argument(help="Folder of a training run, or a bundle.")],
    calibrate: Annotated[
        Path,
        typer.Option(
            help="Photographs of known class: a manifest (path, label, source, kind), a folder "
            "with original and recaptured in it, or a data set."
        ),
    ],
    out: Annotated[Path, typer.Option(help="The bundle.")],
    test: Annotated[
        Path | None,
        typer.Option(help="Others to measure error rates on; by default sources are left out."),
    ] = None,
    apcer: Annotated[
        float, typer.Option(help="Share of recaptures that may be called original.")
    ] = 0.05,
    bpcer: Annotated[
        float, typer.Option(help="Share of originals that may be called recaptured.")
    ] = 0.01,
    method: Annotated[MethodName, typer.Option(help="Of calibration.")] = MethodName.logistic,
    size: Annotated[
        int | None, typer.Option(help="Side of the crops; by default as it was trained.")
    ] = None,
    crops: Annotated[int, typer.Option(min=1, help="At most so many of a photograph.")] = 16,
    aggregation: Annotated[
        AggregationName, typer.Option(help="How the scores of crops become one.")
    ] = AggregationName.mean,
    title: Annotated[str, typer.Option(help="For people.")] = "",
    licence: Annotated[str, typer.Option(help="Of the weights.")] = "",
    limit: Annotated[
        list[str] | None, typer.Option(help="What it cannot do, a sentence; repeatable.")
    ] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Threads.")] = None,
) -> None:
    """Calibrate a detector, measure its error rates, and write it as one file."""
    from trueshot.bundling import Wishes, describe, make_bundle

    made = make_bundle(
        run,
        calibrate,
        out,
        test=test,
        wishes=Wishes(
            apcer=apcer,
            bpcer=bpcer,
            method=method.value,
            crops=crops,
            aggregation=aggregation.value,
            side=size,
            title=title,
            licence=licence,
            limits=tuple(limit or ()),
        ),
        workers=workers,
        command=shlex.join(["trueshot", *sys.argv[1:]]),
    )
    for name, reason in made.unread.items():
        typer.echo(printable(f"passed over {name}: {reason}"), err=True)
    typer.echo(describe(made.card, made.sha256), nl=False)
    typer.echo(f"bundle: {printable(str(made.path))}")


def inspect(
    bundle: Annotated[str, typer.Argument(help="accurate, robust, or the file of a detector.")],
    as_json: Annotated[bool, typer.Option("--json", help="The card as it is.")] = False,
) -> None:
    """Tell what a detector is, how it judges, what it was measured to do, and its limits."""
    from trueshot.bundle import bundle_sha256
    from trueshot.bundling import describe
    from trueshot.judging.onnx_reading import card_of

    path = _bundle(bundle)
    card = card_of(path)
    if as_json:
        typer.echo(card.model_dump_json(indent=2))
    else:
        typer.echo(describe(card, bundle_sha256(path)), nl=False)


def export(
    bundle: Annotated[str, typer.Argument(help="accurate, robust, or the file of a detector.")],
    out: Annotated[Path, typer.Option(help="The file.")],
    to: Annotated[FormatName, typer.Option(help="Its format.")] = FormatName.onnx,
) -> None:
    """Write a detector for other runtimes, once it was found to judge alike there."""
    from trueshot.export import export_onnx

    made = export_onnx(_bundle(bundle), out)
    typer.echo(
        f"{printable(str(made.path))}: {made.images} photographs judged alike, scores within "
        f"{made.difference:.1e}; SHA-256 {made.sha256}"
    )


def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes one that is free.")] = 8000,
    bundle: Bundle = "accurate",
    robust: Annotated[
        str, typer.Option(help="The detector that is attacked beside it; as --bundle.")
    ] = "robust",
    allow_host: Annotated[
        list[str] | None, typer.Option(help="Another name under which it is asked; repeatable.")
    ] = None,
    max_upload_mb: Annotated[float, typer.Option(help="Of one request.")] = 50.0,
    max_megapixels: Annotated[float, typer.Option(help="Of one photograph.")] = 100.0,
    max_files: Annotated[int, typer.Option(min=1, help="Of one request.")] = 20,
    timeout: Annotated[float, typer.Option(help="Seconds that a photograph may take.")] = 60.0,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes; by default as many as processors.")
    ] = None,
    queue: Annotated[int, typer.Option(min=0, help="Requests that may wait.")] = 16,
    keep: Annotated[
        Path | None, typer.Option(help="Folder to keep uploads and verdicts in; else nothing is.")
    ] = None,
) -> None:
    """Serve the page and the REST interface (extra web)."""
    from trueshot.errors import RunError

    try:
        from trueshot.web.limits import ServiceSettings
        from trueshot.web.serving import serve as run
    except ImportError as error:
        raise RunError(
            f"the service needs the extra web: pip install 'trueshot[web]' ({error})"
        ) from error

    settings = ServiceSettings(
        host=host,
        port=port,
        allowed_hosts=tuple(allow_host or ()),
        max_upload_mb=max_upload_mb,
        max_megapixels=max_megapixels,
        max_files=max_files,
        seconds=timeout,
        workers=workers,
        queue=queue,
        keep=keep,
    )
    run(_bundle(bundle), _bundle(robust), settings)
