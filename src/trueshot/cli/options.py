"""Options shared by several commands."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from trueshot.errors import TrueshotError
from trueshot.files import sanitize


class AttackName(StrEnum):
    """Attacks, by their short names."""

    fgsm = "fgsm"
    llcm = "llcm"
    pgd = "pgd"


class ConditionsName(StrEnum):
    """Recapture conditions: everyday, close to a screen, or as for the data sets of papers."""

    everyday = "everyday"
    close = "close"
    paper = "paper"


class AggregationName(StrEnum):
    """Ways to combine the logits of many crops."""

    mean = "mean"
    median = "median"
    trimmed = "trimmed"
    max = "max"


def sides_option(default: str) -> Any:
    """Return the option --size of a command whose default, in words, is this."""
    said = f"Side of the crops in pixels; repeatable; by default {default}."
    return typer.Option("--size", help=said)


PARTS = "TRAIN VALIDATION TEST"  # how the help shows three values with blanks between
PixelLimit = Annotated[
    int,
    typer.Option(min=1, help="Maximum number of pixels of a photograph; larger ones are refused."),
]
Seed = Annotated[int, typer.Option(min=0, help="Random seed.")]
Fractions = Annotated[
    tuple[float, float, float],
    typer.Option(metavar=PARTS, help="Fractions for train, validation and test."),
]
Workers = Annotated[
    int | None, typer.Option(min=1, help="Number of worker processes; by default one per core.")
]


def _device(name: str) -> str:
    import torch

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(1, dtype=torch.float64, device=name)  # what scores and attacks compute with
    except (RuntimeError, AssertionError, NotImplementedError, TypeError) as error:
        raise typer.BadParameter(f"device {name!r}: {str(error).splitlines()[0]}") from error
    return name


Device = Annotated[
    str, typer.Option(help="cpu, cuda, …; auto uses a GPU if there is one.", callback=_device)
]


def _give(specs: list[str] | None) -> list[str] | None:
    if specs:
        from trueshot.networks.own import give  # imported here because it loads torch

        for spec in specs:
            give(spec)
    return specs


OwnNetworks = Annotated[
    list[str] | None,
    typer.Option(
        "--network",
        is_eager=True,
        callback=_give,
        help="Network of your own, as path/to/file.py:Name; the file is run; repeatable.",
    ),
]


Bundle = Annotated[
    str,
    typer.Option(
        help="Built-in detector (accurate, robust, certified or lcnn), or the file of another one."
    ),
]


BundleArgument = Annotated[
    str,
    typer.Argument(help="Built-in detector (accurate, robust, certified or lcnn), or a file."),
]


class EngineName(StrEnum):
    """Where to compute: on this machine, or on a Ray cluster."""

    local = "local"
    ray = "ray"


EngineOption = Annotated[
    EngineName, typer.Option(help="local: this machine; ray: a Ray cluster (extra ray).")
]
Address = Annotated[
    str | None,
    typer.Option(
        help="Address of the Ray cluster; by default RAY_ADDRESS, or a cluster on this machine."
    ),
]


def tell_error(error: Exception) -> None:
    """Print an error on one line; ignore failures to print it."""
    if isinstance(error, BrokenPipeError):  # whoever read the output has enough, as head does
        return
    is_known = isinstance(error, TrueshotError | OSError)
    said = str(error) if is_known else f"{type(error).__name__}: {error}"
    with suppress(OSError, ValueError):
        typer.echo(sanitize(f"error: {'; '.join(map(str.strip, said.splitlines()))}"), err=True)


def tell_passed_over(files: Sequence[Path]) -> None:
    """Print how many files in the folders hold no image, and the names of the first ones."""
    if files:
        first = ", ".join(sanitize(str(path)) for path in files[:3])
        more = ", …" if len(files) > 3 else ""
        typer.echo(
            f"files skipped because they are not images ({len(files)}): {first}{more}", err=True
        )
