"""The command line: parses, calls, prints. Heavy imports stand where they are used."""

from __future__ import annotations

import json
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from trueshot import __version__
from trueshot.errors import BundleError, TrueshotError
from trueshot.files import printable

app = typer.Typer(
    help="Tells true shots from recaptures, and goes on telling them apart under attack.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

_INTERRUPTED = 130


class SplitBy(StrEnum):
    """What a split keeps whole."""

    source = "source"
    photo = "photo"


class AttackName(StrEnum):
    """Attacks, by their short names."""

    fgsm = "fgsm"
    llcm = "llcm"
    pgd = "pgd"


class Label(StrEnum):
    """Classes."""

    original = "original"
    recaptured = "recaptured"


class ConditionsName(StrEnum):
    """How people recapture: as they do every day, or close to a screen, in focus."""

    everyday = "everyday"
    close = "close"


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


@app.command()
def prepare(
    out: Annotated[Path, typer.Option(help="Folder of the data set.")],
    original: Annotated[Path | None, typer.Option(help="Folder of true shots.")] = None,
    recaptured: Annotated[Path | None, typer.Option(help="Folder of recaptures.")] = None,
    manifest: Annotated[
        Path | None,
        typer.Option(help="CSV or Parquet file with columns path, label, source, instead."),
    ] = None,
    size: Sides = None,
    per_class: Annotated[
        int, typer.Option(help="At most so many crops of each class at each size.")
    ] = 10_000,
    fractions: Annotated[
        tuple[float, float, float], typer.Option(help="Shares of train, validation and test.")
    ] = (0.4, 0.1, 0.5),
    split_by: Annotated[
        SplitBy, typer.Option(help="What a split keeps whole: each source, or only each photo.")
    ] = SplitBy.source,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    pixel_limit: Annotated[int, typer.Option(help="Larger photographs are refused.")] = 200_000_000,
    workers: Annotated[int | None, typer.Option(min=1, help="Threads.")] = None,
) -> None:
    """Cut photographs into a data set of crops, split without a leak."""
    from trueshot import datasets

    if manifest is not None and original is None and recaptured is None:
        photos = datasets.photos_in_manifest(manifest)
    elif manifest is None and original is not None and recaptured is not None:
        photos = datasets.photos_in_folders(original, recaptured)
    else:
        raise typer.BadParameter("give --original and --recaptured, or --manifest")
    settings = datasets.Settings(
        sides=tuple(size or [64]),
        per_class=per_class,
        fractions=fractions,
        split_by=split_by.value,
        seed=seed,
        pixel_limit=pixel_limit,
    )
    _print_dataset(datasets.prepare(photos, out, settings, workers))


@app.command()
def simulate(
    out: Annotated[Path | None, typer.Option(help="Folder of the data set.")] = None,
    photos: Annotated[
        Path | None, typer.Option(help="Folder of photographs to take as scenes.")
    ] = None,
    embedded: Annotated[
        bool, typer.Option("--embedded", help="Take those inside installed packages: the default.")
    ] = False,
    show: Annotated[
        Path | None, typer.Option(help="Draw a sheet of pairs with the stages between, as PNG.")
    ] = None,
    size: Sides = None,
    per_class: Annotated[int, typer.Option(help="Crops of each class at each size.")] = 10_000,
    crops_per_photo: Annotated[int, typer.Option(help="At most so many of one photograph.")] = 4,
    fractions: Annotated[
        tuple[float, float, float], typer.Option(help="Shares of train, validation and test.")
    ] = (0.4, 0.1, 0.5),
    procedural: Annotated[
        float | None,
        typer.Option(help="Share of scenes made by rule: 0.3 with --photos, else 0.9."),
    ] = None,
    conditions: Annotated[
        ConditionsName, typer.Option(help="How people recapture.")
    ] = ConditionsName.everyday,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes.")] = None,
) -> None:
    """Make true shots and recaptures by physics, and a data set of them."""
    from trueshot import simulate as simulation
    from trueshot.simulation.pairs import CONDITIONS

    if embedded and photos is not None:
        raise typer.BadParameter("give --photos or --embedded, not both")
    if (out is None) == (show is None):
        raise typer.BadParameter("give --out or --show")
    settings = simulation.Simulation(
        sides=tuple(size or [64]),
        per_class=per_class,
        crops_per_photo=crops_per_photo,
        fractions=fractions,
        procedural=(0.9 if photos is None else 0.3) if procedural is None else procedural,
        conditions=CONDITIONS[conditions.value],
        seed=seed,
    )
    if show is not None:
        simulation.show(photos, show, settings)
        typer.echo(f"sheet: {show}")
    elif out is not None:
        _print_dataset(simulation.simulate(photos, out, settings, workers))


def _print_dataset(dataset: Any) -> None:
    for name, reason in dataset.card["passed_over"].items():
        typer.echo(f"passed over {name}: {reason}", err=True)
    for side, facts in dataset.card["sides"].items():
        counts = ", ".join(f"{part} {n}" for part, n in facts["crops_per_class"].items())
        typer.echo(f"{side} px: crops per class: {counts}; near-flat crops taken: {facts['flat']}")
        if facts["too_small"]:
            typer.echo(
                f"{side} px: photographs smaller than a crop: {facts['too_small']}", err=True
            )
    audit = dataset.card["shortcut_audit"]
    auc = "not measured, too few photos" if audit["auc"] is None else f"AUC {audit['auc']:.2f}"
    typer.echo(f"shortcut audit (format facts alone): {auc}")
    if audit["warning"]:
        typer.echo(f"warning: {audit['warning']}", err=True)
    typer.echo(f"data set: {dataset.folder}")


@app.command()
def train(
    dataset: Annotated[Path, typer.Argument(help="Folder that prepare made.")],
    out: Annotated[Path, typer.Option(help="Folder of the run.")],
    recipe: Annotated[str, typer.Option(help="yang, secure, or a YAML file.")] = "secure",
    size: Annotated[int | None, typer.Option(help="Side of the crops in pixels.")] = None,
    iterations: Annotated[
        int | None, typer.Option(min=1, help="Shorten the recipe's schedule to so many.")
    ] = None,
    start: Annotated[
        Path | None, typer.Option(help="Detector whose weights to begin with, of any size.")
    ] = None,
    validation_crops: Annotated[
        int,
        typer.Option(
            min=0,
            help="Judged twenty times in a run, for the log; fewer for a short run on large crops.",
        ),
    ] = 500,
    device: Device = "auto",
) -> None:
    """Train a detector; the same command goes on with a run that was stopped."""
    from trueshot import training
    from trueshot.datasets import Dataset
    from trueshot.memory import keep_freed_memory

    keep_freed_memory()
    history = training.train(
        _recipe(recipe, iterations),
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


class SuiteName(StrEnum):
    """What is done to a detector."""

    paper = "paper"
    strong = "strong"
    file = "file"
    everyday = "everyday"


class AggregationName(StrEnum):
    """How the logits of many crops become one."""

    mean = "mean"
    median = "median"
    trimmed = "trimmed"
    max = "max"


@app.command()
def evaluate(
    dataset: Annotated[Path, typer.Option(help="Folder that prepare made.")],
    out: Annotated[Path, typer.Option(help="Folder for the results.")],
    bundle: Annotated[
        list[Path] | None, typer.Argument(help="Detectors that train made.", metavar="BUNDLE…")
    ] = None,
    suite: Annotated[
        SuiteName,
        typer.Option(
            help="paper: FGSM and LLCM; strong: the worst case over many attacks; "
            "file: after PNG, JPEG, messengers; everyday: changes that are nobody's attack."
        ),
    ] = SuiteName.paper,
    size: Sides = None,
    part: Annotated[str, typer.Option(help="train, validation or test.")] = "test",
    crops: Annotated[int | None, typer.Option(min=1, help="At most so many of each class.")] = None,
    attack: Annotated[
        list[AttackName] | None,
        typer.Option(help="Of the paper's suite, repeatable; by default fgsm and llcm."),
    ] = None,
    budget: Annotated[
        list[float] | None,
        typer.Option(min=0, max=255, help="Levels, repeatable; by default 1, 2, 3, 4, 5."),
    ] = None,
    threat: Annotated[
        list[str] | None,
        typer.Option(
            help="Of the strong suite linf or l2, of the file suite png, jpeg-75, …; repeatable; "
            "by default all."
        ),
    ] = None,
    name: Annotated[
        list[str] | None,
        typer.Option(help="Of a detector, in their order; by default the bundle's folder."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the attacks.")] = 0,
    thorough: Annotated[
        bool, typer.Option("--thorough", help="Steps and queries as published: takes hours.")
    ] = False,
    doubts: Annotated[
        bool, typer.Option(help="Look for reasons why the figures may be false.")
    ] = True,
    many_crops: Annotated[
        AggregationName | None,
        typer.Option(
            help="Judge, and attack, each image of --size by all crops of the detector's size: "
            "mean, median, trimmed or max of their logits."
        ),
    ] = None,
    transfer_from: Annotated[
        Path | None, typer.Option(help="Detector from which attacks are transferred.")
    ] = None,
    second_opinions: Annotated[
        bool,
        typer.Option(
            "--second-opinions",
            help="Strong suite: ask pyautoattack and foolbox, too (extra robustness).",
        ),
    ] = False,
    detector: Annotated[
        list[str] | None,
        typer.Option(
            help="From elsewhere, repeatable: module:attribute or file.py:attribute, whose code "
            "is run; or an ONNX file."
        ),
    ] = None,
    input_offset: Annotated[float, typer.Option(help="Of --detector: level that becomes 0.")] = 0.0,
    input_scale: Annotated[
        float, typer.Option(help="Of --detector: levels that become 1; often 255.")
    ] = 1.0,
    input_mean: Annotated[
        tuple[float, float, float], typer.Option(help="Per channel, taken away after that.")
    ] = (0.0, 0.0, 0.0),
    input_std: Annotated[
        tuple[float, float, float], typer.Option(help="Per channel, by which it is divided then.")
    ] = (1.0, 1.0, 1.0),
    positive_class: Annotated[
        int, typer.Option(min=0, max=1, help="Of --detector: which class means recaptured.")
    ] = 1,
    device: Device = "auto",
) -> None:
    """Judge detectors on a data set, clean and under attack. Exit status 2: some could not be."""
    from trueshot.datasets import Dataset
    from trueshot.evaluation.judging import judge_all, sources_of, terms_of
    from trueshot.evaluation.outside import Contract

    contract = Contract(
        offset=input_offset,
        scale=input_scale,
        mean=input_mean,
        std=input_std,
        positive_class=positive_class,
    )
    failed = 0
    for judgement in judge_all(
        sources_of(
            bundle or (),
            detector or (),
            name or (),
            contract,
            many_crops and many_crops.value,
        ),
        Dataset.open(dataset),
        out,
        terms_of(
            suite.value,
            budget or (),
            part,
            crops,
            seed,
            thorough,
            doubts,
            device,
            threat or (),
            second_opinions,
        ),
        sides=size or (),
        attacks=[each.value for each in attack or ()],
        transfer=transfer_from,
    ):
        failed += bool(judgement.error)
        typer.echo("\n".join(judgement.lines()), err=bool(judgement.error))
    if failed:
        raise typer.Exit(2)


@app.command()
def reproduce(
    dataset: Annotated[Path, typer.Argument(help="Folder that prepare made.")],
    out: Annotated[Path, typer.Option(help="Folder of the experiments.")],
    size: Sides = None,
    iterations: Annotated[
        int | None, typer.Option(min=1, help="Shorten the schedules from 100,000 to so many.")
    ] = None,
    plain: Annotated[str, typer.Option(help="The plain recipe.")] = "yang",
    secure: Annotated[str, typer.Option(help="The secure recipe.")] = "secure",
    crops: Annotated[
        int | None, typer.Option(min=1, help="At most so many test crops of each class.")
    ] = None,
    more_attack: Annotated[
        list[AttackName] | None,
        typer.Option(help="Beside FGSM and LLCM: pgd, to see what they leave out. Slower."),
    ] = None,
    device: Device = "auto",
) -> None:
    """Run the paper's experiments: train, attack, write tables 1 to 3 and figures 2 and 5."""
    from trueshot.datasets import Dataset
    from trueshot.evaluation import paper_attacks
    from trueshot.memory import keep_freed_memory
    from trueshot.reproduce import reproduce as run

    keep_freed_memory()
    made = run(
        Dataset.open(dataset),
        out,
        [_recipe(plain, iterations), _recipe(secure, iterations)],
        sides=size,
        attacks=paper_attacks() | paper_attacks(tuple(name.value for name in more_attack or ())),
        device=device,
        crops=crops,
    )
    typer.echo(made.tables[0].read_text("utf-8"))
    for path in (made.results_file, *made.tables, *made.figures, made.page):
        typer.echo(path)


@app.command()
def attack(
    bundle: Annotated[Path, typer.Argument(help="Detector that train made.")],
    paths: Annotated[list[Path], typer.Argument(help="Photographs, and folders of them.")],
    out: Annotated[Path, typer.Option(help="Folder for the attacked PNGs and attacks.jsonl.")],
    attack: Annotated[AttackName, typer.Option()] = AttackName.fgsm,
    budget: Annotated[float, typer.Option(min=0, max=255, help="Levels.")] = 2.0,
    label: Annotated[
        Label | None, typer.Option(help="True class; by default what the detector says.")
    ] = None,
    size: Annotated[
        int | None, typer.Option(help="Side of the crops; by default the detector's own.")
    ] = None,
    pixel_limit: Annotated[int, typer.Option(help="Larger photographs are refused.")] = 200_000_000,
    device: Device = "auto",
) -> None:
    """Attack photographs, write them as PNG, and judge the files. Exit status 2: some could not."""
    import hashlib

    from trueshot.attacks import BY_NAME
    from trueshot.bundle import load_bundle
    from trueshot.evaluation.saved import attack_files

    detector, card = load_bundle(bundle)
    side = size or card.side
    if side is None:
        raise typer.BadParameter("this detector does not say the size of its crops: give --size")
    if label is not None and label.value not in detector.classes:
        raise BundleError(f"{bundle}: has no class {label.value}, only {detector.classes}")
    weights = hashlib.sha256(bundle.read_bytes()).hexdigest()[:8]
    failed = 0
    for record in attack_files(
        detector,
        side,
        BY_NAME[attack.value](budget=budget),
        paths,
        out,
        name=f"{attack.value}{budget:g}-{side}px-{weights}-{label.value if label else 'verdict'}",
        label=None if label is None else detector.classes.index(label.value),
        device=device,
        pixel_limit=pixel_limit,
    ):
        failed += bool(record.error)
        typer.echo(_attacked_line(record), err=bool(record.error))
    if failed:
        raise typer.Exit(2)


def _attacked_line(record: Any) -> str:
    if record.error:
        return f"{record.path}: {record.error}"
    steps = (
        f"{verdict.label} {100 * verdict.probability:.1f} %"
        for verdict in (record.before, record.in_memory, record.after_file)
    )
    quality = "equal" if record.psnr is None else f"PSNR {record.psnr:.1f} dB"
    return (
        f"{record.path}: {' → in memory '.join([next(steps), next(steps)])} → file {next(steps)}; "
        f"largest change {record.largest_change:g}, {quality}, SSIM {record.ssim:.4f}; {record.out}"
    )


@app.command()
def recipe(
    name: Annotated[str | None, typer.Argument(help="yang, secure, or a YAML file.")] = None,
    schema: Annotated[bool, typer.Option(help="Print the JSON schema of recipes.")] = False,
    iterations: Annotated[int | None, typer.Option(min=1, help="Shortened to so many.")] = None,
) -> None:
    """Print a recipe in full, or the names of those that there are, or their schema."""
    from trueshot.training.recipe import Recipe, recipe_names

    if schema:
        typer.echo(json.dumps(Recipe.model_json_schema(), indent=2, ensure_ascii=False))
    elif name is None:
        typer.echo("\n".join(recipe_names()))
    else:
        typer.echo(_recipe(name, iterations).to_yaml(), nl=False)


def _recipe(name: str, iterations: int | None) -> Any:
    from trueshot.training.recipe import load_recipe

    found = load_recipe(name)
    return found if iterations is None else found.shortened(iterations)


@app.command()
def report(
    results: Annotated[
        list[Path],
        typer.Argument(metavar="RESULT…", help="Results, and folders that hold some."),
    ],
    out: Annotated[Path, typer.Option(help="Folder of the report.")],
) -> None:
    """Write results as a page, Markdown, LaTeX and CSV. Exit status 2: some passed over."""
    from trueshot import publish

    _print_published(publish.report(results, out))


@app.command()
def compare(
    results: Annotated[
        list[Path],
        typer.Argument(metavar="RESULT…", help="Results, and folders that hold some."),
    ],
    out: Annotated[Path, typer.Option(help="Folder of the leaderboard.")],
    threat: Annotated[str, typer.Option(help="linf, l2, or what a file goes through.")] = "linf",
    budget: Annotated[
        float | None,
        typer.Option(min=0, help="Levels; by default the largest in common, at most 5."),
    ] = None,
) -> None:
    """Sort detectors by worst case: tables and plots. Exit status 2: some passed over."""
    from trueshot import publish

    made = publish.compare(results, out, threat, budget)
    typer.echo(made.files[0].read_text("utf-8"))
    _print_published(made)


def _print_published(made: Any) -> None:
    for path in made.files:
        typer.echo(printable(str(path)))
    for fault in made.faults:
        typer.echo(printable(fault), err=True)
    if made.faults:
        raise typer.Exit(2)


def main() -> None:
    """Run the command line; errors that a user can act on are printed without a traceback."""
    try:
        app()
    except (TrueshotError, OSError) as error:
        print(printable(f"error: {error}"), file=sys.stderr)
        sys.exit(1)
    except SystemExit as ended:
        if ended.code == _INTERRUPTED:
            print("interrupted; the same command goes on where it was", file=sys.stderr)
        raise
