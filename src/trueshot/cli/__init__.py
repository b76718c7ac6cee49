"""The command line: parses, calls, prints. Heavy imports stand where they are used."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from trueshot import __version__
from trueshot.cli import bundles, data, learning, scanning, security
from trueshot.errors import TrueshotError
from trueshot.files import utf8_safe

app = typer.Typer(
    help="Tells true shots from recaptures, and goes on telling them apart under attack.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

_INTERRUPTED = 130
_TRAINING = {
    *("torch", "pyarrow", "sklearn", "skimage", "matplotlib", "onnx", "yaml", "threadpoolctl"),
}  # modules of the extra train
_COMMANDS = (
    scanning.scan,
    bundles.inspect,
    bundles.bundle,
    bundles.export,
    bundles.serve,
    data.prepare,
    data.simulate,
    learning.train,
    security.evaluate,
    learning.reproduce,
    security.attack,
    learning.recipe,
    security.report,
    security.compare,
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"trueshot {__version__}")
        raise typer.Exit()


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print it.")
    ] = False,
) -> None:
    pass


for _command in _COMMANDS:
    app.command()(_command)


def main() -> None:
    """Run the command line; errors that a user can act on are printed without a traceback."""
    _mend_streams()
    try:
        app()
    except (TrueshotError, OSError) as error:
        print(utf8_safe(f"error: {error}"), file=sys.stderr)
        sys.exit(1)
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in _TRAINING:
            raise
        print(
            f"error: this needs {missing}, which the light installation is without: "
            "pip install 'trueshot[train]'",
            file=sys.stderr,
        )
        sys.exit(1)
    except SystemExit as ended:
        if ended.code == _INTERRUPTED:
            print("interrupted; the same command goes on where it was", file=sys.stderr)
        raise
    finally:
        _let_go_of_streams()


def _mend_streams() -> None:
    """Open to nowhere what a daemon or `2>&-` closed, and let no name be one that cannot be shown.

    The next file that is opened would take the number of a closed stream, and what a library says
    of its troubles would go into it.
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
    """What cannot be written any more would have Python exit with a status of its own."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
