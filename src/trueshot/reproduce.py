"""The paper's experiments 1 and 2, from a data set to tables and figures."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from trueshot.attacks import BY_NAME, FGSM, Attack, perturb
from trueshot.bundle import load_bundle
from trueshot.datasets import LABELS, Dataset
from trueshot.detector import Detector
from trueshot.errors import RunError
from trueshot.evaluation import (
    PAPER_ATTACKS,
    RobustnessResult,
    Subject,
    evaluate,
    paper_attacks,
    save_result,
)
from trueshot.files import only_run_in, write_json
from trueshot.imagefiles import read_image, write_png
from trueshot.pixels import to_bytes, to_levels
from trueshot.reports.figures import draw_curves, draw_figure_2, draw_figure_5
from trueshot.reports.tables import write_tables
from trueshot.training import Recipe, train

EXAMPLES = 4
FIGURE_2_BUDGET = 1.0
FIGURE_5_BUDGETS = (0.0, 5.0, 10.0, 15.0)


@dataclass(frozen=True, kw_only=True)
class Reproduction:
    """What a run of the experiments has made.

    Args:
        results: One per recipe and size, in that order.
        results_file: All of them as JSON, with the examples of the figures.
        tables: Tables 1 to 3, as Markdown and as LaTeX.
        figures: Curves of accuracy against budget, and, per size, figures 2 and 5.
    """

    results: list[RobustnessResult]
    results_file: Path
    tables: list[Path]
    figures: list[Path]


def reproduce(
    dataset: Dataset,
    out: str | Path,
    recipes: Sequence[Recipe],
    *,
    sides: Sequence[int] | None = None,
    attacks: Mapping[tuple[str, float], Attack] | None = None,
    device: str | torch.device = "cpu",
    crops: int | None = None,
) -> Reproduction:
    """Train each recipe at each size, attack the results, write tables 1 to 3, figures 2 and 5.

    Stopped at any moment and called again it goes on where it was. Called again with other sizes or
    more attacks it adds them: sizes may have schedules of their own.

    Args:
        dataset: As `prepare` made it.
        out: Folder of the experiments: SIZEpx/RECIPE/ holds each run.
        recipes: The plain recipe, and the secure one, in that order.
        sides: Which of the data set's sizes; all by default.
        attacks: By short name and budget, the paper's among them; by default those alone.
        device: Where to compute.
        crops: At most so many test crops of each class; all by default.

    Raises:
        RunError: The folder holds experiments with other recipes or data, or the paper's attacks
            are not among `attacks`.
    """
    if len(recipes) != 2:
        raise RunError(f"two recipes wanted, the plain and the secure one; got {len(recipes)}")
    attacks = paper_attacks() if attacks is None else attacks
    if not set(paper_attacks()) <= set(attacks):
        raise RunError("the tables want FGSM and LLCM at 1, 2, 3, 4 and 5 levels")
    sides = list(sides or dataset.sides)
    for side in sides:
        _require_test_crops(dataset, side)
    root = Path(out)
    with only_run_in(root):
        results, examples = _others(root, sides)
        _run(root, dataset, recipes, sides, attacks, device, crops, results, examples)
    return render(root)


def _run(
    root: Path,
    dataset: Dataset,
    recipes: Sequence[Recipe],
    sides: Sequence[int],
    attacks: Mapping[tuple[str, float], Attack],
    device: str | torch.device,
    crops: int | None,
    results: list[RobustnessResult],
    examples: dict[str, Any],
) -> None:
    for side in sides:
        bundles = [
            train(recipe, dataset, _folder(root, side, recipe), side=side, device=device).bundle
            for recipe in recipes
        ]
        results += [
            evaluate_bundle(
                bundle, dataset, bundle.parent, attacks, side=side, crops=crops, device=device
            )
            for bundle in bundles
        ]
        examples[str(side)] = _examples(dataset, side, recipes, bundles, root, device)
    results.sort(key=lambda result: result.side)  # stable: plain before secure
    content = {"results": [result.to_json() for result in results], "examples": examples}
    write_json(root / "results.json", content)


def _require_test_crops(dataset: Dataset, side: int) -> None:
    """Notice before days of training that there will be nothing to judge."""
    if len(set(dataset.part(side, "test").labels.tolist())) < len(LABELS):
        raise RunError(f"{dataset.folder}: its test part at {side} px lacks a class")


def _others(root: Path, sides: Sequence[int]) -> tuple[list[RobustnessResult], dict[str, Any]]:
    """What an earlier call has found at other sizes: it stays."""
    if not (root / "results.json").is_file():
        return [], {}
    results, examples = _read(root / "results.json")
    kept = [result for result in results if result.side not in sides]
    return kept, {side: one for side, one in examples.items() if int(side) not in sides}


def _read(path: Path) -> tuple[list[RobustnessResult], dict[str, Any]]:
    try:
        content = json.loads(path.read_text("utf-8"))
        results = [RobustnessResult.from_json(result) for result in content["results"]]
        return results, dict(content["examples"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(f"{path}: no results that can be read: {error}") from error


def render(root: Path) -> Reproduction:
    """Make tables and figures again from results.json and the examples beside it.

    Raises:
        RunError: results.json is missing or damaged.
    """
    path = root / "results.json"
    results, examples = _read(path)
    tables = write_tables(root, results)
    figures = [draw_curves(results, root / "curves.png")]
    for side, example in sorted(examples.items(), key=lambda item: int(item[0])):
        figures += [
            draw_figure_2(root, example["figure_2"], root / f"figure-2-{side}px.png"),
            draw_figure_5(root, example["figure_5"], root / f"figure-5-{side}px.png"),
        ]
    return Reproduction(results=results, results_file=path, tables=tables, figures=figures)


def evaluate_bundle(
    bundle: Path,
    dataset: Dataset,
    out: Path,
    attacks: Mapping[tuple[str, float], Attack] | None = None,
    *,
    side: int | None = None,
    part: str = "test",
    crops: int | None = None,
    device: str | torch.device = "cpu",
) -> RobustnessResult:
    """Evaluate a bundle, by default as the paper does; write result.json into a folder.

    An evaluation that was stopped goes on; one that is finished is read back.
    """
    detector, card = load_bundle(bundle)
    side = side or card.side or dataset.only_side()
    sha256 = hashlib.sha256(bundle.read_bytes()).hexdigest()
    name = str((card.recipe or {}).get("name", bundle.stem))
    with only_run_in(out):
        result = evaluate(
            detector,
            dataset,
            paper_attacks() if attacks is None else attacks,
            side=side,
            part=part,
            crops=crops,
            subject=Subject(name=name, bundle_sha256=sha256, recipe=card.recipe),
            journal=out / "cells.jsonl",
            device=device,
        )
        save_result(out / "result.json", result)
    return result


def _folder(root: Path, side: int, recipe: Recipe) -> Path:
    return root / f"{side}px" / recipe.name


def _examples(
    dataset: Dataset,
    side: int,
    recipes: Sequence[Recipe],
    bundles: Sequence[Path],
    root: Path,
    device: str | torch.device,
) -> dict[str, Any]:
    """Attack a few test crops for the figures; keep what a file would hold, and the verdicts."""
    part = dataset.part(side, "test")
    places = np.concatenate([np.flatnonzero(part.labels == c)[: EXAMPLES // 2] for c in (0, 1)])
    images, labels = part.batch(places, device)
    detectors = {
        recipe.name: load_bundle(bundle)[0].to(device)
        for recipe, bundle in zip(recipes, bundles, strict=True)
    }
    plain = detectors[recipes[0].name]
    folder = f"{side}px/examples"
    return {
        "figure_2": [
            _figure_2_row(name, detector, images, labels, root, folder)
            for name, detector in detectors.items()
        ],
        "figure_5": [
            _figure_5_panel(name, budget, plain, images[:1], labels[:1], root, folder)
            for name in PAPER_ATTACKS
            for budget in FIGURE_5_BUDGETS
        ],
    }


def _figure_2_row(
    name: str,
    detector: Detector,
    images: torch.Tensor,
    labels: torch.Tensor,
    root: Path,
    folder: str,
) -> dict[str, Any]:
    attacked = perturb(FGSM(budget=FIGURE_2_BUDGET), detector, images, labels)
    files = _write(root, f"{folder}/{name}-fgsm{FIGURE_2_BUDGET:g}", attacked)
    filed = to_levels(np.stack([read_image(root / file).pixels for file in files])).to(images)
    panels = [
        {
            "file": file,
            "true": LABELS[int(label)],
            "predicted": LABELS[int(row.argmax())],
            "probability": float(row.max()),
        }
        for file, row, label in zip(files, detector.probabilities(filed), labels, strict=True)
    ]
    return {"detector": name, "budget": FIGURE_2_BUDGET, "panels": panels}


def _figure_5_panel(
    name: str,
    budget: float,
    detector: Detector,
    image: torch.Tensor,
    label: torch.Tensor,
    root: Path,
    folder: str,
) -> dict[str, Any]:
    attacked = perturb(BY_NAME[name](budget=budget), detector, image, label)
    (file,) = _write(root, f"{folder}/{name}{budget:g}", attacked)
    return {"attack": name, "budget": budget, "file": file}


def _write(root: Path, stem: str, images: torch.Tensor) -> list[str]:
    names = [f"{stem}-{number}.png" for number in range(len(images))]
    for name, pixels in zip(names, to_bytes(images), strict=True):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        write_png(root / name, pixels)
    return names
