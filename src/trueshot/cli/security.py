"""Commands that attack and evaluate detectors, and publish the results."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from trueshot.cli.options import (
    Address,
    AggregationName,
    Device,
    EngineName,
    EngineOption,
    OwnNetworks,
    PixelLimit,
    sides_option,
)
from trueshot.errors import BundleError, RunError
from trueshot.files import DEFAULT_PIXEL_LIMIT, sanitize

if TYPE_CHECKING:
    from trueshot.adversary.suite import PhotographSettings

# Parameters of evaluate that the suite photograph uses. A network of one's own is loaded with its
# bundle.
_OF_PHOTOGRAPHS = {
    *("dataset", "out", "bundle", "suite", "part", "crops", "budget", "threat", "name", "seed"),
    *("thorough", "network"),
}
# Parameters of evaluate that other suites do not use; `EvaluationSettings` refuses further ones.
_OF_OUTSIDERS = {"input_offset", "input_scale", "input_mean", "input_std", "positive_class"}
_UNUSED = {"paper": {"thorough"}, "everyday": {"budget", "thorough"}}


# The options of evaluate.
_Dataset = Annotated[
    Path,
    typer.Option(
        help="Data set, made by prepare or simulate; in the suite photograph also a manifest."
    ),
]
_Bundles = Annotated[
    list[Path] | None,
    typer.Argument(help="Detectors made by train, or built-in (lcnn, …).", metavar="BUNDLE…"),
]
_Suite = Annotated[
    str,
    typer.Option(
        help="paper: FGSM and LLCM; strong: worst case over many attacks; "
        "file: attacks saved as PNG or JPEG or sent by messengers; "
        "everyday: changes without an attacker; "
        "photograph: white-box attacks on whole photographs; or a YAML file."
    ),
]
_Sides = Annotated[list[int] | None, sides_option("each detector's own")]
_Part = Annotated[str, typer.Option(help="Part of the data set: train, validation or test.")]
_Crops = Annotated[
    int | None,
    typer.Option(min=1, help="Maximum number of crops, or photographs, per class; by default all."),
]
_Attacks = Annotated[
    list[str] | None,
    typer.Option(
        help="Attack that replaces those of the suite paper, or is added to another suite: "
        "fgsm, llcm, pgd, apgd, …, or file.py:NAME, whose code is run; repeatable."
    ),
]
_Budgets = Annotated[
    list[float] | None,
    typer.Option(
        min=0, max=255, help="Budget in levels; repeatable; by default those of the suite."
    ),
]
_Threats = Annotated[
    list[str] | None,
    typer.Option(
        help="Threat to evaluate: linf or l2 in the suite strong; png, jpeg-75, … in file; "
        "linf (the default), l2, region or patch in photograph; repeatable; by default all."
    ),
]
_Names = Annotated[
    list[str] | None,
    typer.Option(
        help="Name of each detector, in order; by default that of its folder (of its file in "
        "the suite photograph)."
    ),
]
_Seed = Annotated[int, typer.Option(min=0, help="Random seed of the attacks.")]
_Thorough = Annotated[
    bool, typer.Option("--thorough", help="Run all attacks, as long as published; takes hours.")
]
_Doubts = Annotated[bool, typer.Option(help="Look for signs that the results may be wrong.")]
_CropAggregation = Annotated[
    AggregationName | None,
    typer.Option(
        help="Judge and attack each image of --size by all crops of the detector's size, with "
        "the mean, median, trimmed mean or maximum of their logits."
    ),
]
_Transfer = Annotated[
    Path | None, typer.Option(help="Detector from which attacks are transferred.")
]
_Opinions = Annotated[
    bool,
    typer.Option(
        "--second-opinions",
        help="Suite strong: also attack with pyautoattack and foolbox (extra robustness).",
    ),
]
_Detectors = Annotated[
    list[str] | None,
    typer.Option(
        help="Detector from elsewhere: module:attribute or file.py:attribute (the code is run) "
        "or an ONNX file; repeatable. Its classes must be those of the data set, in order."
    ),
]
_Offset = Annotated[float, typer.Option(help="For --detector: level that becomes 0.")]
_Scale = Annotated[float, typer.Option(help="For --detector: divisor after the offset; often 255.")]
_Mean = Annotated[
    tuple[float, float, float],
    typer.Option(
        metavar="R G B", help="For --detector: mean per channel, subtracted after scaling."
    ),
]
_Std = Annotated[
    tuple[float, float, float],
    typer.Option(metavar="R G B", help="For --detector: divisor per channel, applied last."),
]
_PositiveClass = Annotated[
    int,
    typer.Option(
        min=0,
        max=1,
        help="For a --detector of two classes: its output for the data set's class 1.",
    ),
]
_Workers = Annotated[
    int | None,
    typer.Option(
        min=1, help="Number of single-threaded processes; by default one with many threads."
    ),
]
_Batch = Annotated[
    int, typer.Option(min=1, help="Images per batch; smaller batches keep more processes busy.")
]


def evaluate(
    ctx: typer.Context,
    dataset: _Dataset,
    out: Annotated[Path, typer.Option(help="Folder for the results.")],
    bundle: _Bundles = None,
    suite: _Suite = "paper",
    size: _Sides = None,
    part: _Part = "test",
    crops: _Crops = None,
    attack: _Attacks = None,
    budget: _Budgets = None,
    threat: _Threats = None,
    name: _Names = None,
    seed: _Seed = 0,
    thorough: _Thorough = False,
    doubts: _Doubts = True,
    crop_aggregation: _CropAggregation = None,
    transfer_from: _Transfer = None,
    second_opinions: _Opinions = False,
    network: OwnNetworks = None,
    detector: _Detectors = None,
    input_offset: _Offset = 0.0,
    input_scale: _Scale = 1.0,
    input_mean: _Mean = (0.0, 0.0, 0.0),
    input_std: _Std = (1.0, 1.0, 1.0),
    positive_class: _PositiveClass = 1,
    device: Device = "auto",
    workers: _Workers = None,
    engine: EngineOption = EngineName.local,
    address: Address = None,
    batch: _Batch = 128,
) -> None:
    """Evaluate detectors on a data set, clean and under attack. Exit status 2: some failed."""
    if given := _given(ctx, lambda name: _is_unused(suite, name)):
        raise typer.BadParameter(f"the suite {suite} does not use {given}")
    if thorough and transfer_from is None and suite.endswith((".yaml", ".yml")):
        raise typer.BadParameter(
            f"the suite {suite} does not use --thorough: only --transfer-from would"
        )
    if not detector and (given := _given(ctx, _OF_OUTSIDERS.__contains__)):
        raise typer.BadParameter(f"without --detector, {given} would have no effect")
    if suite == "photograph":
        if not bundle:
            raise typer.BadParameter("give a bundle")
        how = _photograph_settings(budget or (), threat or (), seed, thorough)
        return _evaluate_photographs(bundle, name or [], dataset, part, crops, how, out)
    from trueshot.datasets import Dataset
    from trueshot.evaluation.detector_source import sources_of
    from trueshot.evaluation.external import InputSpec
    from trueshot.evaluation.plan import EvaluationSettings
    from trueshot.evaluation.planned_attacks import BUDGETS, QUICK, THOROUGH, planned
    from trueshot.evaluation.runner import evaluate_detectors
    from trueshot.evaluation.suites import suite_named

    judged = Dataset.open(dataset)
    contract = InputSpec(
        classes=judged.task.classes,
        offset=input_offset,
        scale=input_scale,
        mean=input_mean,
        std=input_std,
        positive_class=positive_class,
    )
    aggregation = crop_aggregation and crop_aggregation.value
    settings = EvaluationSettings(
        suite=suite_named(suite),
        budgets=tuple(sorted(set(budget or BUDGETS))),
        part=part,
        crops=crops,
        seed=seed,
        effort=THOROUGH if thorough else QUICK,
        attacks=tuple(planned(each) for each in attack or ()),
        threats=tuple(threat or ()),
        doubts=doubts,
        opinions=second_opinions,
        device=device,
        batch=batch,
    )
    failed = 0
    for outcome in evaluate_detectors(
        sources_of(bundle or (), detector or (), name or (), contract, aggregation),
        judged,
        out,
        settings,
        sides=size or (),
        transfer=transfer_from,
        engine=engine.value,
        workers=workers,
        address=address,
    ):
        failed += bool(outcome.error)
        typer.echo("\n".join(outcome.lines()), err=bool(outcome.error))
    if failed:
        raise typer.Exit(2)


def _given(ctx: typer.Context, among: Callable[[str | None], bool]) -> str:
    """Return the options on the command line whose parameters are among these, as one text."""
    found = [option for option in ctx.command.params if among(option.name)]
    sources = [ctx.get_parameter_source(option.name or "") for option in found]
    return ", ".join(
        "/".join([*option.opts, *option.secondary_opts])
        for option, source in zip(found, sources, strict=True)
        if source is not None and source.name == "COMMANDLINE"
    )


def _is_unused(suite: str, name: str | None) -> bool:
    if suite == "photograph":
        return name not in _OF_PHOTOGRAPHS
    return name in _UNUSED.get(suite, ())


def _photograph_settings(
    budgets: Sequence[float], threats: Sequence[str], seed: int, thorough: bool
) -> PhotographSettings:
    from trueshot.adversary.suite import THREATS, PhotographSettings

    if unknown := set(threats) - set(THREATS):
        raise typer.BadParameter(
            f"threat {min(unknown)}: unknown; choose from {', '.join(THREATS)}"
        )
    if budgets and set(threats) == {"patch"}:
        raise typer.BadParameter("the threat patch has no budget; leave out --budget")
    defaults = PhotographSettings()
    return PhotographSettings(
        budgets=tuple(sorted(set(budgets))) or defaults.budgets,
        threats=tuple(each for each in THREATS if each in threats) or defaults.threats,
        steps=100 if thorough else defaults.steps,
        restarts=4 if thorough else defaults.restarts,
        seed=seed,
        through=thorough,
    )


def _evaluate_photographs(
    bundles: list[Path],
    names: list[str],
    dataset: Path,
    part: str,
    most: int | None,
    settings: PhotographSettings,
    out: Path,
) -> None:
    from trueshot.adversary.targets import evaluate_photographs, targets_of
    from trueshot.attacks import lost_in_file
    from trueshot.bundle import read_card
    from trueshot.evaluation.detector_source import names_for, safe_name
    from trueshot.evaluation.evaluate import NOT_RANDOM

    given = names_for(len(bundles), names)
    pairs = zip(given, bundles, strict=True)
    named = [safe_name(name or bundle.stem) for name, bundle in pairs]
    if twice := next((name for name in named if named.count(name) > 1), None):
        raise RunError(f"two detectors are named {twice}; give each its own name with --name")
    tasks = [read_card(bundle).decides for bundle in bundles]
    if other := next((task for task in tasks if task.classes != tasks[0].classes), None):
        raise RunError(
            f"the detectors have different classes: {', '.join(tasks[0].classes)} and "
            f"{', '.join(other.classes)}; evaluate them one by one"
        )
    targets = targets_of(dataset, part, most, tasks[0])
    if {"linf", "region"} & set(settings.threats):
        for note in filter(None, map(lost_in_file, settings.budgets)):
            typer.echo(f"note: {note}", err=True)
    if settings.seed and settings.restarts == 1:
        typer.echo(f"note: {NOT_RANDOM.format(settings.seed)}", err=True)
    unread = 0
    for name, bundle in zip(named, bundles, strict=True):
        result = evaluate_photographs(bundle, targets, settings, out, name)
        unread += len(result.unread)
        attacked = len(targets) - len(result.unread) - len(result.unscored)
        typer.echo(f"{name}: {attacked} photographs\n{result.table()}")
        for doubt in result.doubts:
            typer.echo(sanitize(f"doubt {doubt.name}: {doubt.finding}"))
    if unread:
        raise typer.Exit(2)


def attack(
    bundle: Annotated[Path, typer.Argument(help="Detector made by train, or built-in (lcnn, …).")],
    paths: Annotated[list[Path], typer.Argument(help="Photographs, or folders of them.")],
    out: Annotated[Path, typer.Option(help="Folder for the attacked PNGs and attacks.jsonl.")],
    attack: Annotated[
        str,
        typer.Option(help="Attack: fgsm, llcm, pgd, apgd, …, or file.py:NAME, whose code is run."),
    ] = "fgsm",
    budget: Annotated[float, typer.Option(min=0, max=255, help="Budget in levels.")] = 2.0,
    label: Annotated[
        str | None, typer.Option(help="True class; by default the detector's verdict.")
    ] = None,
    size: Annotated[
        int | None,
        typer.Option(min=1, help="Side of the crops in pixels; by default the detector's own."),
    ] = None,
    pixel_limit: PixelLimit = DEFAULT_PIXEL_LIMIT,
    network: OwnNetworks = None,
    device: Device = "auto",
) -> None:
    """Attack photographs, write them as PNG, and judge the files. Exit status 2: some failed."""
    from trueshot.attacks import lost_in_file, norm_of
    from trueshot.bundle import detector_of, read_bundle
    from trueshot.evaluation.attack_files import attack_files
    from trueshot.evaluation.planned_attacks import planned

    read = read_bundle(bundle)
    if read.card.evidence is None:
        detector, side = detector_of(read, bundle), size or read.card.side
        if side is None:
            raise typer.BadParameter(
                f"{bundle}: its card does not state the size of its crops; give --size"
            )
    else:
        from trueshot.adversary.photograph import PhotographDetector
        from trueshot.detector import Detector

        if size:
            raise typer.BadParameter(f"{bundle}: judges photographs as a whole; omit --size")
        joint = PhotographDetector(str(bundle), read.card.middle, read)
        detector, side = Detector(joint, classes=joint.crops.classes), None
        device = "cpu"  # evidence is joined there
    if label is not None and label not in detector.classes:
        raise BundleError(f"{bundle}: has no class {label}; its classes are {detector.classes}")
    weights, chosen = read.sha256[:8], planned(attack)
    made = chosen.step().make(budget)
    if norm_of(made) == "linf" and (note := lost_in_file(budget)):
        typer.echo(f"note: {note}", err=True)
    code = f"-{chosen.origin.split()[-1][:8]}" if chosen.origin else ""
    images = f"{side}px" if side else "whole"
    failed = 0
    for record in attack_files(
        detector,
        side,
        made,
        paths,
        out,
        name=f"{chosen.name}{budget:g}{code}-{images}-{weights}-{label or 'verdict'}",
        label=None if label is None else detector.classes.index(label),
        device=device,
        pixel_limit=pixel_limit,
    ):
        failed += bool(record.error)
        typer.echo(sanitize(_attacked_line(record)), err=bool(record.error))
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
        + "".join(f"; {note}" for note in record.notes)
    )


_Results = Annotated[
    list[Path],
    typer.Argument(metavar="RESULT…", help="Result files, or folders that contain them."),
]


def report(
    results: _Results,
    out: Annotated[Path, typer.Option(help="Folder for the report.")],
) -> None:
    """Write results as a page, Markdown, LaTeX and CSV. Exit status 2: some were skipped."""
    from trueshot import publish

    _print_published(publish.report(results, out))


def compare(
    results: _Results,
    out: Annotated[Path, typer.Option(help="Folder for the leaderboard.")],
    threat: Annotated[
        str, typer.Option(help="Threat to rank by: linf, l2, or a file channel such as jpeg-75.")
    ] = "linf",
    budget: Annotated[
        float | None,
        typer.Option(
            min=0,
            help="Budget in levels; by default the largest, up to 5, that most detectors have.",
        ),
    ] = None,
) -> None:
    """Rank detectors by worst case: tables and plots. Exit status 2: some results were skipped."""
    from trueshot import publish

    made = publish.compare(results, out, threat, budget)
    typer.echo(made.files[0].read_text("utf-8"))
    _print_published(made)


def _print_published(made: Any) -> None:
    for path in made.files:
        typer.echo(sanitize(str(path)))
    for fault in made.faults:
        typer.echo(sanitize(fault), err=True)
    if made.faults:
        raise typer.Exit(2)
