"""Commands that make data sets."""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from trueshot.cli.options import (
    PARTS,
    Address,
    ConditionsName,
    EngineName,
    EngineOption,
    Fractions,
    PixelLimit,
    Seed,
    Workers,
    sides_option,
    tell_passed_over,
)
from trueshot.files import DEFAULT_PIXEL_LIMIT, sanitize
from trueshot.tasks.camera_model import CAMERA_MODEL

if TYPE_CHECKING:
    from trueshot.datasets import Photo
    from trueshot.tasks import Task


class SplitBy(StrEnum):
    """The unit that a split keeps together."""

    source = "source"
    photo = "photo"


_MADE = "median-filtering, recompression, double-jpeg, manipulation"
_OR_OWN = "a variant of these (docs/tasks.md), or path/to/file.py:NAME, whose code is run."


def prepare(
    out: Annotated[Path, typer.Option(help="Folder for the data set.")],
    photos: Annotated[
        list[Path] | None,
        typer.Argument(help="Photographs, or folders of them, from which --task makes examples."),
    ] = None,
    task: Annotated[
        str, typer.Option(help=f"recapture, {_MADE}, camera-model, {_OR_OWN}")
    ] = "recapture",
    folders: Annotated[
        list[str] | None,
        typer.Option(
            "--class",
            help="Name of a class and folder of its photographs, as NAME=FOLDER; repeatable.",
        ),
    ] = None,
    original: Annotated[Path | None, typer.Option(help="Folder of true shots.")] = None,
    recaptured: Annotated[Path | None, typer.Option(help="Folder of recaptures.")] = None,
    manifest: Annotated[
        Path | None,
        typer.Option(
            help="CSV or Parquet file with columns path, label, source; instead of folders."
        ),
    ] = None,
    size: Annotated[list[int] | None, sides_option("64")] = None,
    per_class: Annotated[
        int, typer.Option(help="Maximum number of crops per class and size.")
    ] = 10_000,
    fractions: Fractions = (0.4, 0.1, 0.5),
    split_by: Annotated[
        SplitBy,
        typer.Option(help="Unit that is kept within one part: each source, or only each photo."),
    ] = SplitBy.source,
    seed: Seed = 0,
    pixel_limit: PixelLimit = DEFAULT_PIXEL_LIMIT,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Number of threads; by default one per core.")
    ] = None,
) -> None:
    """Cut photographs into a data set of crops, split without leaks."""
    from trueshot import datasets

    by_class = _by_class(folders or [], original, recaptured)
    passed_over: list[Path] = []
    if task == CAMERA_MODEL:
        if by_class:
            raise typer.BadParameter(
                f"{CAMERA_MODEL} takes its classes from EXIF, or from the column label of a "
                "--manifest; give one of these, not a folder for each class"
            )
        chosen, found = _of_cameras(
            photos or [], manifest, passed_over, fractions, seed, pixel_limit
        )
    else:
        chosen = _task(task, by_class)
        found = _photographs(chosen, photos or [], by_class, manifest, passed_over)
    tell_passed_over(passed_over)
    settings = datasets.Settings(
        task=chosen,
        sides=tuple(size or [64]),
        per_class=per_class,
        fractions=fractions,
        split_by=split_by.value,
        seed=seed,
        pixel_limit=pixel_limit,
    )
    _print_dataset(datasets.prepare(found, out, settings, workers, len(passed_over)))


def examples(
    photos: Annotated[list[Path], typer.Argument(help="Photographs, or folders of them.")],
    task: Annotated[str, typer.Option(help=f"{_MADE}, {_OR_OWN}")],
    out: Annotated[Path, typer.Option(help="Folder for manifest.csv and a subfolder per class.")],
    seed: Annotated[int, typer.Option(min=0, help="Random seed of the task.")] = 0,
    unseen_by: Annotated[
        Path | None,
        typer.Option(help="Data set; photographs in its training part are left out."),
    ] = None,
    pixel_limit: PixelLimit = DEFAULT_PIXEL_LIMIT,
) -> None:
    """Write a task's example photographs, to calibrate on or scan.

    Exit status 2: some photographs gave no example.
    """
    from trueshot import datasets
    from trueshot.datasets.example_files import write_examples
    from trueshot.tasks import task_named

    passed_over: list[Path] = []
    given = datasets.photos_at(photos, passed_over)
    tell_passed_over(passed_over)
    made = write_examples(
        given,
        task_named(task),
        out,
        seed=seed,
        unseen_by=None if unseen_by is None else datasets.Dataset.open(unseen_by),
        pixel_limit=pixel_limit,
    )
    for name, reason in made.unread.items():
        typer.echo(sanitize(f"skipped {name}: {reason}"), err=True)
    if made.trained_on:
        typer.echo(
            f"photographs left out because they were used for training: {made.trained_on}", err=True
        )
    typer.echo(f"examples of {made.photographs} photographs: {sanitize(str(made.manifest))}")
    if made.unread:
        raise typer.Exit(2)


def _of_cameras(
    paths: list[Path],
    manifest: Path | None,
    passed_over: list[Path],
    fractions: tuple[float, float, float],
    seed: int,
    pixel_limit: int,
) -> tuple[Task, list[Photo]]:
    """Return a task for the camera models found, and the photographs, split into parts."""
    from trueshot import datasets
    from trueshot.datasets import cameras

    if bool(paths) == (manifest is not None):
        raise typer.BadParameter("give either photographs with EXIF or a --manifest")
    if manifest is None:
        given = datasets.photos_at(paths, passed_over)
    else:
        given = datasets.photos_in_manifest(manifest, None)
    found, unknown = cameras.labelled(given, pixel_limit)
    if unknown:
        first = ", ".join(sanitize(str(path)) for path in unknown[:3])
        typer.echo(
            f"photographs left out because their camera model is unknown ({len(unknown)}): {first}",
            err=True,
        )
    task = cameras.task_of(found)
    kept = cameras.split_by_device_and_scene(found, task, fractions, seed)
    if len(kept) < len(found):
        typer.echo(
            "photographs left out because device and scene are in different parts: "
            f"{len(found) - len(kept)}",
            err=True,
        )
    return task, kept


def _by_class(
    folders: list[str], original: Path | None, recaptured: Path | None
) -> dict[str, Path]:
    """Return the folders by class name."""
    by_class = {"original": original, "recaptured": recaptured}
    found = {name: folder for name, folder in by_class.items() if folder is not None}
    for each in folders:
        name, equals, folder = each.partition("=")
        if not (name and equals and folder) or name in found:
            raise typer.BadParameter(f"--class {each}: must be NAME=FOLDER, with each class once")
        found[name] = Path(folder)
    return found


def _task(name: str, by_class: dict[str, Path]) -> Task:
    """Return the named task, or one of the user's own classes if they differ from recapture's."""
    from trueshot.tasks import Task, task_named

    task = task_named(name)
    if name == "recapture" and by_class and not by_class.keys() <= set(task.classes):
        return Task(name="own-classes", classes=tuple(by_class))
    return task


def _photographs(
    task: Task,
    photos: list[Path],
    by_class: dict[str, Path],
    manifest: Path | None,
    passed_over: list[Path],
) -> list[Photo]:
    """Return the photographs for a task: labelled by class, or those to make examples from."""
    from trueshot import datasets

    if [bool(photos), bool(by_class), manifest is not None].count(True) != 1:
        raise typer.BadParameter(
            "give exactly one of: a folder for each class, a --manifest, or photographs"
        )
    if manifest is not None:
        from trueshot.datasets.photos import refuse_one_class

        found = datasets.photos_in_manifest(manifest, task)
        refuse_one_class(manifest, found, task)
        return found if task.examples is None else datasets.examples_of(found, task)
    if task.examples is not None:
        if by_class:
            raise typer.BadParameter(
                f"{task.name} makes its examples: give photographs, not a folder for each class"
            )
        return datasets.examples_of(datasets.photos_at(photos, passed_over), task)
    if by_class.keys() != set(task.classes):
        raise typer.BadParameter(
            f"{task.name} needs a folder for each class: "
            + " ".join(f"--class {name}=FOLDER" for name in task.classes)
        )
    folders = {name: by_class[name] for name in task.classes}
    return datasets.photos_in_folders(folders, passed_over)


def simulate(
    out: Annotated[Path | None, typer.Option(help="Folder for the data set.")] = None,
    photos: Annotated[
        Path | None, typer.Option(help="Folder of photographs to use as scenes.")
    ] = None,
    embedded: Annotated[
        bool,
        typer.Option(
            "--embedded", help="Use photographs in installed packages as scenes (default)."
        ),
    ] = False,
    show: Annotated[
        Path | None, typer.Option(help="Only draw a PNG sheet of pairs with the stages in between.")
    ] = None,
    size: Annotated[list[int] | None, sides_option("64")] = None,
    per_class: Annotated[int, typer.Option(help="Number of crops per class and size.")] = 10_000,
    crops_per_photo: Annotated[
        int, typer.Option(help="Maximum number of crops per photograph.")
    ] = 4,
    fractions: Fractions = (0.4, 0.1, 0.5),
    procedural: Annotated[
        float | None,
        typer.Option(
            help="Fraction of procedural scenes; by default 0.3 with --photos, otherwise 0.9."
        ),
    ] = None,
    conditions: Annotated[
        ConditionsName,
        typer.Option(help="Recapture conditions: everyday, close to the screen, or as in papers."),
    ] = ConditionsName.everyday,
    grid: Annotated[
        float | None,
        typer.Option(
            help="Contrast of display grids, from 0 (none) to 1 (real); default 1; paper: 0.1."
        ),
    ] = None,
    devices: Annotated[
        int,
        typer.Option(
            help="Number of cameras, and of displays and prints together, over all parts."
        ),
    ] = 100,
    shared_devices: Annotated[
        int | None,
        typer.Option(
            help="Number of cameras, and of media, shared by all parts: a leak, which is reported; "
            "default 0 (none shared); paper: 3."
        ),
    ] = None,
    task: Annotated[str, typer.Option(help=f"recapture, {_MADE}, {_OR_OWN}")] = "recapture",
    seed: Seed = 0,
    workers: Workers = None,
    engine: EngineOption = EngineName.local,
    address: Address = None,
) -> None:
    """Simulate originals and recaptures, and make a data set.

    With another task, its examples take the place of recaptures.
    """
    from trueshot import simulate as simulation
    from trueshot.simulation.pairs import CONDITIONS
    from trueshot.tasks import task_named

    if embedded and photos is not None:
        raise typer.BadParameter("give --photos or --embedded, not both")
    if (out is None) == (show is None):
        raise typer.BadParameter("give either --out or --show")
    chosen = CONDITIONS[conditions.value]
    settings = simulation.Simulation(
        sides=tuple(size or [64]),
        per_class=per_class,
        crops_per_photo=crops_per_photo,
        fractions=fractions,
        procedural=(0.9 if photos is None else 0.3) if procedural is None else procedural,
        conditions=replace(
            chosen,
            grid=chosen.grid if grid is None else grid,
            shared_devices=chosen.shared_devices if shared_devices is None else shared_devices,
        ),
        devices=devices,
        task=task_named(task),
        seed=seed,
    )
    if show is not None:
        simulation.show(photos, show, settings)
        typer.echo(f"sheet: {show}")
    elif out is not None:
        made = simulation.simulate(
            photos, out, settings, workers, engine=engine.value, address=address
        )
        _print_dataset(made)


def stage(
    photos: Annotated[
        list[Path], typer.Option(help="Folder of photographs to use as content; repeatable.")
    ],
    out: Annotated[Path, typer.Option(help="Folder for the photographs and their manifest.")],
    per_class: Annotated[
        int, typer.Option(help="Number of photographs per class, over all parts.")
    ] = 1000,
    per_part: Annotated[
        tuple[int, int, int] | None,
        typer.Option(
            metavar=PARTS,
            help="Photographs per class in train, validation and test; replaces --per-class.",
        ),
    ] = None,
    side: Annotated[
        int | None,
        typer.Option(help="Small frames have about SIDE x SIDE pixels; by default 288."),
    ] = None,
    native: Annotated[
        bool,
        typer.Option(
            "--native", help="Photographs of native size, as a camera or messenger writes them."
        ),
    ] = False,
    megapixels: Annotated[
        float, typer.Option(help="Maximum resolution of the cameras, in megapixels.")
    ] = 12.5,
    fractions: Annotated[
        tuple[float, float, float],
        typer.Option(metavar=PARTS, help="Fractions of the scenes for train, validation and test."),
    ] = (0.8, 0.1, 0.1),
    procedural: Annotated[float, typer.Option(help="Fraction of procedural content.")] = 0.2,
    in_turn: Annotated[
        bool,
        typer.Option(
            "--in-turn",
            help="Use each kind of medium equally often, so that rates per kind can be measured.",
        ),
    ] = False,
    seed: Seed = 0,
    workers: Workers = None,
) -> None:
    """Simulate photographs of rooms, some with a screen or print."""
    from trueshot.simulation.staging import Staging
    from trueshot.simulation.staging import stage as staged

    if native and side is not None:
        raise typer.BadParameter("--side is the size of small frames; leave it out with --native")
    small = Staging.side if side is None else side
    settings = Staging(
        per_class=per_class,
        side=None if native else small,
        megapixels=megapixels,
        fractions=fractions,
        procedural=procedural,
        seed=seed,
        per_part=per_part,
        in_turn=in_turn,
    )
    typer.echo(f"manifest: {staged(photos, out, settings, workers)}")


def _print_dataset(dataset: Any) -> None:
    for name, reason in dataset.card["passed_over"].items():
        typer.echo(sanitize(f"skipped {name}: {reason}"), err=True)
    if dataset.card["passed_over"]:
        typer.echo("run the same command again to include files that you have repaired", err=True)
    for side, facts in dataset.card["sides"].items():
        counts = ", ".join(f"{part} {n}" for part, n in facts["crops_per_class"].items())
        typer.echo(f"{side} px: crops per class: {counts}; near-flat crops used: {facts['flat']}")
        if facts["too_small"]:
            typer.echo(
                f"{side} px: photographs smaller than a crop: {facts['too_small']}", err=True
            )
    if dataset.card.get("scaled_down"):
        typer.echo(
            f"examples from photographs scaled down first because their files are lossy: "
            f"{dataset.card['scaled_down']}"
        )
    if leak := dataset.leak():
        typer.echo(f"warning: {leak}", err=True)
    audit = dataset.card["shortcut_audit"]
    unknown = "not measured, too few photos or sources"
    auc = unknown if audit["auc"] is None else f"AUC {audit['auc']:.2f}"
    typer.echo(f"shortcut audit (format facts alone): {auc}")
    if audit["warning"]:
        typer.echo(f"warning: {audit['warning']}", err=True)
    typer.echo(f"data set: {dataset.folder}")
