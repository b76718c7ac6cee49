"""Commands that create, show, export and serve bundles."""

from __future__ import annotations

import shlex
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trueshot.cli.options import (
    AggregationName,
    Bundle,
    OwnNetworks,
    bundle_named,
    tell_passed_over,
)
from trueshot.files import utf8_safe

if TYPE_CHECKING:
    from trueshot.card import Card


class MethodName(StrEnum):
    """Methods of calibration, from scores to likelihood ratios."""

    logistic = "logistic"
    isotonic = "isotonic"


class FormatName(StrEnum):
    """Formats that a detector can be exported to."""

    onnx = "onnx"
    bundle = "bundle"


def bundle(
    run: Annotated[Path, typer.Argument(help="Folder of a training run, or a bundle.")],
    calibrate: Annotated[
        Path,
        typer.Option(
            help="Photographs of known class: a manifest (path, label, source, medium), a folder "
            "with one for each class in it (original, recaptured), or a data set."
        ),
    ],
    out: Annotated[Path, typer.Option(help="The bundle.")],
    test: Annotated[
        Path | None,
        typer.Option(help="Others to measure error rates on; by default sources are left out."),
    ] = None,
    apcer: Annotated[
        float,
        typer.Option(
            help="Share of recaptures (of all classes but the first) that may be called original."
        ),
    ] = 0.05,
    bpcer: Annotated[
        float,
        typer.Option(help="Share of originals (of the first class) that may be called recaptured."),
    ] = 0.01,
    method: Annotated[MethodName, typer.Option(help="Of calibration.")] = MethodName.logistic,
    size: Annotated[
        int | None, typer.Option(help="Side of the crops; by default as it was trained.")
    ] = None,
    crops: Annotated[int, typer.Option(min=1, help="At most so many of a photograph.")] = 16,
    aggregation: Annotated[
        AggregationName, typer.Option(help="How the scores of crops become one.")
    ] = AggregationName.mean,
    grid: Annotated[
        bool,
        typer.Option(help="Crops at places that the size alone decides, not by what they show."),
    ] = False,
    title: Annotated[str, typer.Option(help="For people.")] = "",
    licence: Annotated[str, typer.Option(help="Of the weights.")] = "",
    limit: Annotated[
        list[str] | None, typer.Option(help="What it cannot do, a sentence; repeatable.")
    ] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes.")] = None,
    network: OwnNetworks = None,
) -> None:
    """Calibrate a detector, measure its error rates, save a bundle."""
    from trueshot.calibrating import CalibrationSettings, describe, make_bundle

    made = make_bundle(
        run,
        calibrate,
        out,
        test=test,
        settings=CalibrationSettings(
            apcer=apcer,
            bpcer=bpcer,
            method=method.value,
            crops=crops,
            aggregation=aggregation.value,
            places="grid" if grid else "textured",
            side=size,
            title=title,
            licence=licence,
            limits=tuple(limit or ()),
        ),
        workers=workers,
        command=shlex.join(["trueshot", *sys.argv[1:]]),
    )
    tell_passed_over(made.passed_over)
    for name, reason in made.unread.items():
        typer.echo(utf8_safe(f"passed over {name}: {reason}"), err=True)
    typer.echo(describe(made.card, made.sha256), nl=False)
    typer.echo(f"bundle: {utf8_safe(str(made.path))}")


def inspect(
    bundle: Annotated[
        str, typer.Argument(help="accurate, robust, certified, or the file of a detector.")
    ],
    as_json: Annotated[bool, typer.Option("--json", help="The card as it is.")] = False,
) -> None:
    """Describe a detector, its measured error rates and its limits."""
    from trueshot.bundle import bundle_sha256
    from trueshot.calibrating import describe

    path = bundle_named(bundle)
    card = _card_of_use(path)
    if as_json:
        typer.echo(card.model_dump_json(indent=2))
    else:
        typer.echo(describe(card, bundle_sha256(path)), nl=False)


def _card_of_use(path: Path) -> Card:
    """Return the card of a detector, after loading it the way a scan or a library user would.

    Raises:
        TrueshotError: The detector cannot be loaded; the same error as they would get.
    """
    from trueshot.bundle import is_torch_there, load_bundle, read_bundle
    from trueshot.scanning.runner import Settings

    found = read_bundle(path)
    if found.graph is not None:  # in a process with time and memory limits, as in a scan
        with Settings(workers=1).open(path) as engine:
            _ = engine.facts
    elif "sha256" not in found.card.network and is_torch_there():
        load_bundle(path)
    return found.card


def export(
    bundle: Annotated[
        str, typer.Argument(help="accurate, robust, certified, or the file of a detector.")
    ],
    out: Annotated[Path, typer.Option(help="The file.")],
    to: Annotated[FormatName, typer.Option(help="Its format.")] = FormatName.onnx,
    network: OwnNetworks = None,
) -> None:
    """Export a detector to ONNX, if its results stay the same.

    With --to bundle, convert a bundle of an older format to the current one, which can scan without
    PyTorch; weights, calibration and thresholds stay the same.
    """
    from trueshot.bundle import bundle_sha256, load_bundle, upgrade_bundle

    if to is FormatName.bundle:
        upgrade_bundle(bundle, out)
        typer.echo(f"{utf8_safe(str(out))}: SHA-256 {bundle_sha256(out)}")
        return
    detector, card = load_bundle(bundle)
    from trueshot.onnx import IMAGES, export_onnx

    sha256, difference = export_onnx(detector, card, bundle_sha256(bundle), out)
    typer.echo(
        f"{utf8_safe(str(out))}: {IMAGES} photographs judged alike, scores within "
        f"{difference:.1e}; SHA-256 {sha256}"
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
    """Serve the web page and the REST interface (extra web)."""
    from trueshot.errors import RunError

    try:
        from trueshot.web.server import serve as run
        from trueshot.web.settings import ServiceSettings
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
    run(bundle_named(bundle), bundle_named(robust), settings)
