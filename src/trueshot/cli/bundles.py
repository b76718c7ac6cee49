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
    BundleArgument,
    OwnNetworks,
    Workers,
    tell_passed_over,
)
from trueshot.detectors import located
from trueshot.files import sanitize, utf8_safe

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
    run: Annotated[
        Path, typer.Argument(help="Folder of a training run, a bundle, or a built-in detector.")
    ],
    calibrate: Annotated[
        Path,
        typer.Option(
            help="Photographs of known class: a manifest (path, label, source, medium), a folder "
            "with a subfolder per class (original, recaptured), or a data set."
        ),
    ],
    out: Annotated[Path, typer.Option(help="File for the bundle.")],
    test: Annotated[
        Path | None,
        typer.Option(
            help="Other photographs, to measure error rates on; by default the test part of "
            "--calibrate, or else cross-validation over sources."
        ),
    ] = None,
    apcer: Annotated[
        float,
        typer.Option(
            help="Fraction of recaptures (all classes but the first) that may be judged original."
        ),
    ] = 0.05,
    bpcer: Annotated[
        float,
        typer.Option(help="Fraction of originals (the first class) that may be judged recaptured."),
    ] = 0.01,
    method: Annotated[MethodName, typer.Option(help="Calibration method.")] = MethodName.logistic,
    size: Annotated[
        int | None, typer.Option(help="Side of the crops in pixels; by default the detector's own.")
    ] = None,
    crops: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Maximum number of crops per photograph; by default the detector's own, else 16.",
        ),
    ] = None,
    aggregation: Annotated[
        AggregationName | None,
        typer.Option(
            help="How to combine the scores of crops; by default the detector's own, else mean."
        ),
    ] = None,
    grid: Annotated[
        bool | None,
        typer.Option(
            help="Place crops by the size of the photograph alone, or by its content; by default "
            "as the detector does, else by content."
        ),
    ] = None,
    title: Annotated[str, typer.Option(help="Title shown to people.")] = "",
    licence: Annotated[str, typer.Option(help="Licence of the weights.")] = "",
    limit: Annotated[
        list[str] | None,
        typer.Option(help="Known limitation, as a sentence; repeatable."),
    ] = None,
    workers: Workers = None,
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
            aggregation=aggregation and aggregation.value,
            places=None if grid is None else "grid" if grid else "textured",
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
        typer.echo(sanitize(f"skipped {name}: {reason}"), err=True)
    typer.echo(describe(made.card, made.sha256), nl=False)
    typer.echo(f"bundle: {utf8_safe(str(made.path))}")


def inspect(
    bundle: BundleArgument,
    as_json: Annotated[bool, typer.Option("--json", help="Print the card as JSON.")] = False,
) -> None:
    """Describe a detector, its measured error rates and its limits."""
    from trueshot.bundle import bundle_sha256
    from trueshot.calibrating import describe

    path = located(bundle)
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
    bundle: BundleArgument,
    out: Annotated[Path, typer.Option(help="File to write.")],
    to: Annotated[FormatName, typer.Option(help="Format of the file.")] = FormatName.onnx,
    network: OwnNetworks = None,
) -> None:
    """Export a detector to ONNX, if its results stay the same.

    Detectors that join kinds of evidence, such as accurate and robust, have no ONNX form.

    With --to bundle, convert a bundle of an older format to the current one, which can scan without
    PyTorch; weights, calibration and thresholds stay the same.
    """
    from trueshot.bundle import bundle_sha256, load_bundle, upgrade_bundle

    if to is FormatName.bundle:
        upgrade_bundle(bundle, out)
        typer.echo(f"{utf8_safe(str(out))}: SHA-256 {bundle_sha256(out)}")
        return
    detector, card = load_bundle(bundle)
    from trueshot.onnx import export_onnx
    from trueshot.parity import IMAGES

    sha256, difference = export_onnx(detector, card, bundle_sha256(bundle), out)
    typer.echo(
        f"{utf8_safe(str(out))}: {IMAGES} photographs judged alike, scores within "
        f"{difference:.1e}; SHA-256 {sha256}"
    )


def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port to listen on; 0: any free one.")
    ] = 8000,
    bundle: Bundle = "accurate",
    robust: Annotated[
        str, typer.Option(help="Second detector, attacked alongside; values as for --bundle.")
    ] = "robust",
    allow_host: Annotated[
        list[str] | None, typer.Option(help="Further host name of the server; repeatable.")
    ] = None,
    max_upload_mb: Annotated[float, typer.Option(help="Maximum size of a request, in MB.")] = 50.0,
    max_megapixels: Annotated[
        float, typer.Option(help="Maximum size of a photograph, in megapixels.")
    ] = 100.0,
    max_files: Annotated[
        int, typer.Option(min=1, help="Maximum number of photographs per request.")
    ] = 20,
    timeout: Annotated[
        float, typer.Option(min=1, help="Time limit per photograph, in seconds.")
    ] = 60.0,
    workers: Workers = None,
    queue: Annotated[int, typer.Option(min=0, help="Number of requests that may wait.")] = 16,
    keep: Annotated[
        Path | None,
        typer.Option(help="Folder for uploads and verdicts; by default, nothing is kept."),
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
    run(located(bundle), located(robust), settings)
