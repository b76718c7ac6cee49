"""Commands that train detectors and run the paper's experiments."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trueshot.cli.options import AttackName, ConditionsName, Device, OwnNetworks, sides_option

if TYPE_CHECKING:
    from trueshot.training import Recipe


def train(
    dataset: Annotated[Path, typer.Argument(help="Data set, made by prepare or simulate.")],
    out: Annotated[Path, typer.Option(help="Folder for the run.")],
    recipe: Annotated[
        str, typer.Option(help="Recipe: yang, secure, …, or a YAML file.")
    ] = "secure",
    size: Annotated[
        int | None,
        typer.Option(help="Side of the crops in pixels; by default the only one of the data set."),
    ] = None,
    iterations: Annotated[
        int | None,
        typer.Option(min=1, help="Shorten the recipe's schedule to this many iterations."),
    ] = None,
    start: Annotated[
        Path | None, typer.Option(help="Detector to start from; its crop size may differ.")
    ] = None,
    validation_crops: Annotated[
        int,
        typer.Option(
            min=0,
            help="Maximum number of validation crops per class, judged twenty times per run; use "
            "fewer for short runs on large crops.",
        ),
    ] = 500,
    network: OwnNetworks = None,
    device: Device = "auto",
) -> None:
    """Train a detector; the same command resumes an interrupted run."""
    from trueshot import training
    from trueshot.datasets import Dataset
    from trueshot.memory import keep_freed_memory

    keep_freed_memory()
    history = training.train(
        _recipe_named(recipe, iterations),
        Dataset.open(dataset),
        out,
        side=size,
        device=device,
        start=start,
        validation_crops=validation_crops,
    )
    if not history.is_first:
        return
    for line in history.records[-1:]:
        typer.echo(json.dumps(line))
    typer.echo(f"detector: {history.bundle}")


def reproduce(
    out: Annotated[Path, typer.Option(help="Folder for the experiments.")],
    dataset: Annotated[
        Path | None, typer.Argument(help="Data set, made by prepare or simulate.")
    ] = None,
    embedded: Annotated[
        bool,
        typer.Option(
            "--embedded",
            help="Instead of DATASET: simulate one per size in OUT/data, from photographs in "
            "installed packages.",
        ),
    ] = False,
    photos: Annotated[
        Path | None, typer.Option(help="As --embedded, but from a folder of photographs.")
    ] = None,
    conditions: Annotated[
        ConditionsName, typer.Option(help="For simulated data: recapture conditions.")
    ] = ConditionsName.close,
    per_class: Annotated[
        int, typer.Option(min=1, help="For simulated data: number of crops per class and size.")
    ] = 10_000,
    size: Annotated[
        list[int] | None, sides_option("those of the data set, or 64 if it is simulated")
    ] = None,
    iterations: Annotated[
        int | None,
        typer.Option(min=1, help="Shorten the schedules from 100,000 to this many iterations."),
    ] = None,
    from_smaller: Annotated[
        bool,
        typer.Option(
            "--from-smaller",
            help="Start each size from the weights of the next smaller one in OUT.",
        ),
    ] = False,
    plain: Annotated[str, typer.Option(help="Plain recipe.")] = "yang",
    secure: Annotated[str, typer.Option(help="Secure recipe.")] = "secure",
    crops: Annotated[
        int | None,
        typer.Option(min=1, help="Maximum number of test crops per class; by default all."),
    ] = None,
    more_attack: Annotated[
        list[AttackName] | None,
        typer.Option(help="Attack besides FGSM and LLCM: pgd finds what they miss, but is slower."),
    ] = None,
    device: Device = "auto",
) -> None:
    """Run the paper's experiments: train, attack, tables, figures.

    Writes tables 1 to 3, figures 2 and 5, and a page. With --embedded or --photos, no data set is
    needed beforehand. The same command resumes an interrupted run.
    """
    from trueshot.datasets import Dataset
    from trueshot.evaluation import paper_attacks
    from trueshot.memory import keep_freed_memory
    from trueshot.reproduce import reproduce as run
    from trueshot.reproduce import simulated

    keep_freed_memory()
    if [dataset is not None, embedded, photos is not None].count(True) != 1:
        raise typer.BadParameter("give exactly one of DATASET, --embedded and --photos")
    if dataset is not None:
        sets = [(Dataset.open(dataset), size)]
    else:
        sizes = list(dict.fromkeys(size or [64]))
        made_sets = simulated(photos, out / "data", sizes, conditions.value, per_class)
        sets = [(one, one.sides) for one in made_sets]
    for data, sides in sets:
        made = run(
            data,
            out,
            [_recipe_named(plain, iterations), _recipe_named(secure, iterations)],
            sides=sides,
            attacks=paper_attacks()
            | paper_attacks(tuple(name.value for name in more_attack or ())),
            device=device,
            crops=crops,
            from_smaller=from_smaller,
        )
    typer.echo(made.tables[0].read_text("utf-8"))
    for path in (made.results_file, *made.tables, *made.figures, made.page):
        typer.echo(path)


def _recipe_named(name: str, iterations: int | None) -> Recipe:
    """Return a built-in recipe or one from a YAML file, shortened to `iterations` if given."""
    from trueshot.training.recipe import load_recipe

    found = load_recipe(name)
    return found if iterations is None else found.shortened(iterations)


def recipe(
    name: Annotated[
        str | None, typer.Argument(help="Recipe: yang, secure, …, or a YAML file.")
    ] = None,
    schema: Annotated[bool, typer.Option(help="Print the JSON schema of recipes.")] = False,
    iterations: Annotated[
        int | None, typer.Option(min=1, help="Shorten the schedule to this many iterations.")
    ] = None,
) -> None:
    """Print a recipe, the names of all recipes, or their schema."""
    from trueshot.training.recipe import Recipe, recipe_names

    if schema:
        typer.echo(json.dumps(Recipe.model_json_schema(), indent=2, ensure_ascii=False))
    elif name is None:
        typer.echo("\n".join(recipe_names()))
    else:
        typer.echo(_recipe_named(name, iterations).to_yaml(), nl=False)
