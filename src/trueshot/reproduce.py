"""Experiments 1 and 2 of the paper, from a data set to tables and figures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from trueshot.attacks import Attack
from trueshot.bundle import bundle_sha256, load_bundle
from trueshot.datasets import Dataset
from trueshot.errors import RunError
from trueshot.evaluation import (
    DetectorUnderTest,
    EvaluationResult,
    evaluate,
    load_experiments,
    make_examples,
    paper_attacks,
    save_result,
)
from trueshot.files import claim, write_json
from trueshot.reports.figures import draw_curves, draw_figure_2, draw_figure_5
from trueshot.reports.paper_tables import write_tables
from trueshot.reports.reproduction import STARTED, write_page
from trueshot.tasks.recapture import RECAPTURE
from trueshot.training import Recipe, train
from trueshot.training.loop import BUNDLE


@dataclass(frozen=True, kw_only=True)
class Reproduction:
    """Results and output files of the experiments.

    Args:
        results: One result per size and recipe: sizes in ascending order, plain before secure.
        results_file: JSON file with all results and the examples used in the figures.
        tables: Tables 1 to 5 as a Markdown file and a LaTeX file.
        figures: Accuracy against budget, and figures 2 and 5 for each size.
        page: Self-contained HTML page with the complete report.
    """

    results: list[EvaluationResult]
    results_file: Path
    tables: list[Path]
    figures: list[Path]
    page: Path


def simulated(
    photos: Path | None,
    folder: Path,
    sides: Sequence[int],
    conditions: str = "close",
    per_class: int = 10_000,
) -> Iterator[Dataset]:
    """Simulate the paper's data lazily, yielding one data set per size.

    Args:
        photos: Folder of photographs to use as scenes, or None; see `simulate`.
        folder: Parent of the data sets, which are written to SIZEpx; unfinished ones are resumed.
        sides: Crop sizes in pixels.
        conditions: Name of the recapture conditions, a key of `CONDITIONS`.
        per_class: Crops of each class at each size, over all parts of the split.
    """
    from trueshot.simulate import Simulation, simulate
    from trueshot.simulation.pairs import CONDITIONS

    for side in sides:
        settings = Simulation(
            sides=(side,),
            per_class=per_class,
            crops_per_photo=8,
            procedural=0.9 if photos is None else 0.3,
            conditions=CONDITIONS[conditions],
        )
        yield simulate(photos, folder / f"{side}px", settings)


def reproduce(
    dataset: Dataset,
    out: str | Path,
    recipes: Sequence[Recipe],
    *,
    sides: Sequence[int] | None = None,
    attacks: Mapping[tuple[str, float], Attack] | None = None,
    device: str | torch.device = "cpu",
    crops: int | None = None,
    from_smaller: bool = False,
) -> Reproduction:
    """Train each recipe at each size, attack the detectors, and write tables, figures and a page.

    An interrupted run resumes when called again. A call with other sizes or more attacks adds
    them to the folder, so each size may have its own training schedule.

    Args:
        dataset: A data set made by `prepare`.
        out: Folder of the experiments; SIZEpx/RECIPE/ holds each run.
        recipes: The plain recipe and the secure recipe, in that order.
        sides: Sizes to use; by default all sizes of the data set.
        attacks: Attacks by short name and budget; they must include the paper's, which are the
            default.
        device: Device to compute on.
        crops: Maximum number of test crops per class; all by default.
        from_smaller: Start each size from the weights of the next smaller size in the folder.

    Raises:
        RunError: The folder holds experiments with other recipes or data, the paper's attacks are
            not among `attacks`, there are not exactly two recipes with different names, the data
            set has another task, or its test part lacks a class.
    """
    if len(recipes) != 2:
        raise RunError(
            f"recipes must be the plain one and the secure one, got {len(recipes)} recipes"
        )
    attacks = paper_attacks() if attacks is None else attacks
    if not set(paper_attacks()) <= set(attacks):
        raise RunError(
            "attacks must include FGSM and LLCM at 1, 2, 3, 4 and 5 levels, which the tables need"
        )
    names = [recipe.name for recipe in recipes]
    if names[0] == names[1]:
        raise RunError(
            f"both recipes are named {names[0]}, and their runs would share a folder; "
            "give each its own name"
        )
    sides = sorted(set(sides or dataset.sides))
    for side in sides:
        _require_test_crops(dataset, side)
    root = Path(out)
    with claim(root):
        results, examples = _others(root, sides, names)
        for side in sides:
            bundles = {}
            for recipe in recipes:
                folder = root / f"{side}px" / recipe.name
                start = _next_smaller(root, side, recipe) if from_smaller else None
                run = train(recipe, dataset, folder, side=side, device=device, start=start)
                bundles[recipe.name] = run.bundle
            results += [
                _evaluated(bundle, dataset, attacks, side, crops, device)
                for bundle in bundles.values()
            ]
            detectors = {name: load_bundle(each)[0].to(device) for name, each in bundles.items()}
            examples[str(side)] = make_examples(dataset, side, detectors, attacks, root)
        results.sort(key=lambda result: result.side)  # stable sort keeps plain before secure
        content = {"results": [result.to_json() for result in results], "examples": examples}
        write_json(root / "results.json", content)
    return render(root)


def _require_test_crops(dataset: Dataset, side: int) -> None:
    """Check before days of training that the test part has crops of both classes."""
    if dataset.task.classes != RECAPTURE.classes:
        raise RunError(
            f"{dataset.folder}: the paper's experiments need a data set of {RECAPTURE.name}"
        )
    if len(set(dataset.part(side, "test").labels.tolist())) < len(RECAPTURE.classes):
        raise RunError(
            f"{dataset.folder}: its test part at {side} px must have crops of both classes"
        )


def _others(
    root: Path, sides: Sequence[int], names: Sequence[str]
) -> tuple[list[EvaluationResult], dict[str, Any]]:
    """Return the results and examples of earlier calls at other sizes, which are kept.

    Raises:
        RunError: They are of recipes with other names, which the tables would not tell apart.
    """
    if not (root / "results.json").is_file():
        return [], {}
    results, examples = load_experiments(root / "results.json")
    before = list(dict.fromkeys(result.detector for result in results))
    if before != list(names):
        raise RunError(
            f"{root}: already holds experiments with the recipes {' and '.join(before)}; "
            "choose another folder"
        )
    kept = [result for result in results if result.side not in sides]
    return kept, {side: one for side, one in examples.items() if int(side) not in sides}


def render(root: Path) -> Reproduction:
    """Write tables, figures and the page again from results.json and the example images.

    Raises:
        RunError: results.json is missing or damaged.
    """
    path = root / "results.json"
    results, examples = load_experiments(path)
    tables = write_tables(root, results)
    figures = [draw_curves(results, root / "curves.png")]
    for side, example in sorted(examples.items(), key=lambda item: int(item[0])):
        figures += [
            draw_figure_2(root, example["figure_2"], root / f"figure-2-{side}px.png"),
            draw_figure_5(root, example["figure_5"], root / f"figure-5-{side}px.png"),
        ]
    return Reproduction(
        results=results, results_file=path, tables=tables, figures=figures, page=write_page(root)
    )


def _evaluated(
    bundle: Path,
    dataset: Dataset,
    attacks: Mapping[tuple[str, float], Attack],
    side: int,
    crops: int | None,
    device: str | torch.device,
) -> EvaluationResult:
    """Evaluate a bundle and write result.json beside it.

    Finished trials are read from a journal there, so an interrupted evaluation resumes.
    """
    out = bundle.parent
    detector, card = load_bundle(bundle)
    name = str((card.recipe or {}).get("name", bundle.stem))
    tested = DetectorUnderTest(
        detector=detector, name=name, bundle_sha256=bundle_sha256(bundle), recipe=card.recipe
    )
    with claim(out):
        result = evaluate(
            tested,
            dataset,
            attacks,
            side=side,
            crops=crops,
            journal=out / "result.jsonl",
            device=device,
        )
        if card.start is not None:
            note = f"{STARTED}: {name}, {side} px, from {card.start[:12]}."
            result = replace(result, notes=(*result.notes, note))
        save_result(out / "result.json", result)
    return result


def _next_smaller(root: Path, side: int, recipe: Recipe) -> Path | None:
    """Return the bundle of the next smaller size in the folder, or None if there is none."""
    bundles = root.glob(f"*px/{recipe.name}/{BUNDLE}")
    folders = {one.parts[-3].removesuffix("px"): one for one in bundles}
    known = {int(name): one for name, one in folders.items() if name.isdecimal()}
    return known.get(max((other for other in known if other < side), default=0))
