"""Options that several commands have in common."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from trueshot.files import sanitize


class AttackName(StrEnum):
    """Attacks, by their short names."""

    fgsm = "fgsm"
    llcm = "llcm"
    pgd = "pgd"


class ConditionsName(StrEnum):
    """How people recapture: every day, close to a screen, or as the data of papers were made."""

    everyday = "everyday"
    close = "close"
    paper = "paper"


class AggregationName(StrEnum):
    """How the logits of many crops become one."""

    mean = "mean"
    median = "median"
    trimmed = "trimmed"
    max = "max"


Sides = Annotated[
    list[int] | None, typer.Option("--size", help="Side of the crops in pixels; repeatable.")
]


def _device(name: str) -> str:
    import torch

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(1, device=name)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise typer.BadParameter(f"device {name!r}: {str(error).splitlines()[0]}") from error
    return name


Device = Annotated[
    str, typer.Option(help="cpu, cuda, …; auto takes a GPU if there is one.", callback=_device)
]


def _give(specs: list[str] | None) -> list[str] | None:
    if specs:
        from trueshot.networks.own import give  # which loads torch

        for spec in specs:
            give(spec)
    return specs


OwnNetworks = Annotated[
    list[str] | None,
    typer.Option(
        "--network",
        is_eager=True,
        callback=_give,
        help="path/to/file.py:Name of a network of your own, which is run; repeatable.",
    ),
]


def recipe_named(name: str, iterations: int | None) -> Any:
    """A recipe of ours, or of a YAML file, shortened if so wanted."""
    from trueshot.training.recipe import load_recipe

    found = load_recipe(name)
    return found if iterations is None else found.shortened(iterations)


Bundle = Annotated[
    str,
    typer.Option(
        help="accurate, robust or certified, which come along; or the file of another detector."
    ),
]


def bundle_named(name: str) -> Path:
    """The file of a detector: one that comes along, or any other."""
    from trueshot.detectors import located

    return located(name)


class EngineName(StrEnum):
    """Where it computes: on this machine, or on those of a Ray cluster."""

    local = "local"
    ray = "ray"


EngineOption = Annotated[EngineName, typer.Option(help="ray: many machines (extra ray).")]
Address = Annotated[
    str | None,
    typer.Option(help="Of the Ray cluster; by default RAY_ADDRESS, or one that runs here."),
]


def tell_passed_over(files: Sequence[Path]) -> None:
    """Say how many files of the folders hold no image, and which come first."""
    if files:
        first = ", ".join(sanitize(str(path)) for path in files[:3])
        more = ", …" if len(files) > 3 else ""
        typer.echo(f"passed over, as holding no image: {len(files)}: {first}{more}", err=True)
