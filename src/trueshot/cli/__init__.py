"""The command line. Heavy modules are imported inside the commands that need them."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from trueshot import __version__
from trueshot.cli import bundles, data, learning, scanning, security
from trueshot.cli.options import tell_error
from trueshot.errors import TrueshotError

_FAILED, _INTERRUPTED = 2, 130  # 1 is reserved for a scan that found something
_TRAINING = {
    *("torch", "pyarrow", "sklearn", "skimage", "matplotlib", "onnx", "yaml", "threadpoolctl"),
}  # modules of the extra train
_GROUPS: dict[str, dict[Callable[..., None], str]] = {
    "Judge photographs": {
        scanning.scan: "scan PHOTOS --out results.csv --report report.html",
        bundles.inspect: "inspect accurate",
        bundles.bundle: "bundle accurate --calibrate photos.csv --out mine.safetensors",
        bundles.export: "export lcnn --out lcnn.onnx",
    },
    "Train and attack detectors": {
        learning.train: "train DATASET --recipe robust --size 64 --out RUN",
        learning.recipe: "recipe secure",
        security.attack: "attack accurate PHOTOS --attack pgd --budget 2 --out ATTACKED",
        security.evaluate: "evaluate RUN/detector.safetensors --dataset DATASET --suite strong "
        "--out RESULT",
        security.report: "report RESULT --out PAGE",
        security.compare: "compare RESULT --out BOARD",
        learning.reproduce: "reproduce DATASET --size 64 --iterations 5000 --out RUN",
    },
    "Data": {
        data.prepare: "prepare --original DIR --recaptured DIR --out DATASET --size 64",
        data.examples: "examples PHOTOS --task median-filtering --out EXAMPLES",
        data.simulate: "simulate --embedded --conditions close --size 64 --out DATASET",
        data.stage: "stage --photos PHOTOS --native --per-class 100 --out STAGED",
    },
    "Service": {bundles.serve: "serve --port 8000"},
}


class _Grouped(TyperGroup):
    """Lists the commands under the headings of `_GROUPS`."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        for title, commands in _GROUPS.items():
            rows = []
            for function in commands:
                command = self.get_command(ctx, function.__name__)
                rows.append((function.__name__, command.get_short_help_str(64) if command else ""))
            with formatter.section(title):
                formatter.write_dl(rows, col_max=12)


app = typer.Typer(
    cls=_Grouped,
    help="Tells true shots from recaptures, even under attack.",
    epilog="Exit status: 0 if the work was done, even if files had to be left out, 2 if not, 130 "
    "if interrupted; that of scan also says what was found and left out.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"trueshot {__version__}")
        raise typer.Exit()


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    pass


for _commands in _GROUPS.values():
    for _command, _example in _commands.items():
        app.command(epilog=f"Example: trueshot {_example}")(_command)


def main() -> None:
    """Run the command line; print errors that a user can act on without a traceback."""
    _mend_streams()
    try:
        app()
    except (TrueshotError, OSError) as error:
        tell_error(error)
        sys.exit(_FAILED)
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in _TRAINING:
            raise
        print(
            f"error: this command needs {missing}, which is not installed: "
            "pip install 'trueshot[train]'",
            file=sys.stderr,
        )
        sys.exit(_FAILED)
    except SystemExit as ended:
        if ended.code == _INTERRUPTED:
            print("interrupted; run the same command again to resume", file=sys.stderr)
        if isinstance(ended.__context__, BrokenPipeError):  # click exits with 1
            sys.exit(_FAILED)
        raise
    finally:
        _let_go_of_streams()


def _mend_streams() -> None:
    """Open closed standard streams to /dev/null, and escape characters they cannot encode.

    A daemon or `2>&-` leaves streams closed. The next file opened would get a closed stream's
    number, and library messages would be written into it.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, Path(os.devnull).open("w"))  # noqa: SIM115
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def _let_go_of_streams() -> None:
    """Replace closed output streams, because flushing them at exit would change the exit status."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
