"""The HTML page of a reproduction: its content, size by size, made from results.json alone."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
import yaml

from trueshot.errors import RunError
from trueshot.evaluation.result import EvaluationResult, load_experiments
from trueshot.evaluation.tally import CLEAN
from trueshot.files import write_atomically
from trueshot.reports import narrative, paper
from trueshot.reports.chart import DASHES, Chart, Curve, line_chart
from trueshot.reports.narrative import NBSP, percent
from trueshot.reports.page import picture, render
from trueshot.reports.paper import ATTACK_NAMES, BUDGETS
from trueshot.reports.paper_tables import check_pairs, printed
from trueshot.reports.results import accuracy
from trueshot.reports.security_tables import at, attack_name
from trueshot.reports.table import Cell, Number, Table

PAPER_ITERATIONS = 100_000
STARTED = "Training began with the weights of a smaller size"  # start of that note
_SHARE = "Percentage of test crops classified correctly; in small type, the 95 % interval."
_NOTHING_SHOWN: dict[str, Any] = {
    "figure_2": [],
    "figure_5": [],
    "data": None,
    "gallery": [],
    "triples": [],
    "pairs": [],
    "pairs_passed_over": [],
}
_SPLITS = {
    "photo": "by photo: no photo is in two parts, but a camera or scene may be",
    "source": "by source: no photo and no source, such as a camera, is in two parts",
    "manifest": "supplied with the data: no known origin of a photo, such as its scene, camera or "
    "screen, is in two parts",
}
_TILES = (
    ("plain", "clean crops", CLEAN, 0.0),
    ("plain", "under FGSM, ε = 1", "fgsm", 1.0),
    ("secure", "under FGSM, ε = 1", "fgsm", 1.0),
    ("secure", "under PGD, ε = 1", "pgd", 1.0),
)

Detectors = Mapping[str, EvaluationResult]
"""Results at one size by role: `plain`, `secure`."""


def write_page(out: Path) -> Path:
    """Write `page.html` from `results.json` and the image files that it names.

    The page is self-contained: images are embedded. Pages of results from older versions have
    fewer pictures.

    Args:
        out: Folder of the experiments, as written by `reproduce`.

    Raises:
        RunError: results.json is missing or damaged, or its results are not pairs.
    """
    path = out / "results.json"
    results, examples = load_experiments(path)
    try:
        sizes = sizes_of(results, examples)
        limits = list(dict.fromkeys(limit for size in sizes for limit in size["limits"]))
        content = {"sizes": sizes, "limits": limits, "table_1": _clean_table(sizes)}
        text = render("reproduction.html.jinja", _filters(out), **content)
    except (jinja2.TemplateError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise RunError(f"{path}: cannot be shown as a page: {error!r}; run again") from error
    write_atomically(out / "page.html", text)
    return out / "page.html"


def sizes_of(
    results: Sequence[EvaluationResult], examples: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Return the content of the page for each size, by the names that the template uses.

    Args:
        results: For each size the result of the plain detector, then that of the secure one.
        examples: Examples by size as in results.json; older files contain fewer kinds.

    Raises:
        ValueError: The results are not such pairs.
    """
    pairs = zip(*check_pairs(results), strict=True)
    return [_size(plain, secure, examples.get(str(plain.side), {})) for plain, secure in pairs]


def _size(
    plain: EvaluationResult, secure: EvaluationResult, examples: Mapping[str, Any]
) -> dict[str, Any]:
    shown = _NOTHING_SHOWN | dict(examples)
    detectors = {"plain": plain, "secure": secure}
    cells = (found for result in detectors.values() for found in result.singles())
    attacks = [name for name in dict.fromkeys(found.attack for found in cells) if name != CLEAN]
    papers = [name for name in attacks if name in ATTACK_NAMES]
    further = [name for name in attacks if name not in ATTACK_NAMES]
    tiles = [
        (role, words, accuracy(detectors[role], attack, budget))
        for role, words, attack, budget in _TILES
    ]
    return {
        "side": plain.side,
        "detectors": detectors,
        "shown": shown,  # names of image files, verdicts and facts about the data
        "split": _SPLITS.get(plain.split_by, f"by {plain.split_by}"),
        "tiles": tiles,
        "triples": {
            (role, name): _triples(shown, role, detectors[role], name)
            for role in detectors
            for name in attacks
        },
        "works": narrative.works(plain),
        "collapse": narrative.collapse(plain),
        "defence": narrative.defence(plain, secure),
        "truth": narrative.truth(plain, secure),
        "collapse_table": _collapse_table(detectors),
        "paper_chart": _chart(detectors, papers),
        "attacked_table": _attacked_table(detectors, papers),
        "further_attacks": further,
        "further_chart": _chart(detectors, ["fgsm", *further]),
        "further_table": _further_table(detectors, ["fgsm", *further]),
        "training_table": _training_table(detectors),
        "command": _command(plain, secure, shown["data"]),
        "limits": _limits(plain, shown["data"]),
    }


def _filters(out: Path) -> dict[str, Callable[..., Any]]:
    return {
        "attack": attack_name,
        "epsilon": lambda budget: f"ε{NBSP}={NBSP}{budget:g}",
        "percent": percent,
        "picture": lambda name: picture(out, str(name)),
        "yaml": lambda content: yaml.safe_dump(content, sort_keys=False, allow_unicode=True),
    }


def _triples(
    shown: Mapping[str, Any], role: str, result: EvaluationResult, attack: str
) -> list[dict[str, Any]]:
    """Return the examples (clean, noise, attacked) of a detector under an attack."""
    wanted = result.detector, attack
    found = (each for each in shown["triples"] if (each["detector"], each["attack"]) == wanted)
    return [{**each, "role": role} for each in found]


def _budgets(detectors: Detectors, attacks: Sequence[str]) -> list[float]:
    """Return all budgets at which either detector was attacked with any of these attacks."""
    cells = (found for result in detectors.values() for found in result.singles())
    return sorted({found.budget for found in cells if found.attack in attacks})


def _clean_table(sizes: Sequence[Mapping[str, Any]]) -> Table:
    rows = [
        (
            _title(role, result),
            f"{result.side} × {result.side}",
            accuracy(result, CLEAN, 0.0),
            printed(paper.CLEAN[role].get(result.side)),
            Number(value=result.auc, digits=3),
        )
        for size in sizes
        for role, result in size["detectors"].items()
    ]
    return Table(
        name="clean",
        title="Table 1. Clean crops",
        note=_SHARE,
        header=("detector", "size", "ours", "paper, %", "AUC, ours"),
        rows=tuple(rows),
    )


def _collapse_table(detectors: Detectors) -> Table:
    budgets, plain = _budgets(detectors, ["fgsm"]), detectors["plain"]
    return Table(
        name="plain",
        title="The plain detector under the paper's attacks",
        note=_SHARE,
        header=("attack", *at(budgets)),
        rows=tuple(
            (attack_name(attack), *(accuracy(plain, attack, budget) for budget in budgets))
            for attack in ATTACK_NAMES
        ),
    )


def _attacked_table(detectors: Detectors, attacks: Sequence[str]) -> Table:
    """Tables 2 and 3: each of the paper's attacks at each budget, ours and the paper's."""
    rows: list[tuple[Cell, ...]] = []
    side = detectors["plain"].side
    for attack in attacks:
        for budget in _budgets(detectors, [attack]):
            cells: list[Cell] = []
            for role, result in detectors.items():
                figures = paper.ATTACKED[role].get((side, attack), ())
                theirs = dict(zip(BUDGETS, figures, strict=False)).get(budget)
                cells += [accuracy(result, attack, budget), printed(theirs)]
            rows.append((attack_name(attack), f"{budget:g}", *cells))
    whose = (f"{role}, {which}" for role in detectors for which in ("ours", "paper, %"))
    return Table(
        name="attacked",
        title=f"Tables 2 and 3. Attacked crops of {side} × {side}",
        note=_SHARE,
        header=("attack", "ε, levels", *whose),
        rows=tuple(rows),
        stubs=2,
    )


def _further_table(detectors: Detectors, attacks: Sequence[str]) -> Table:
    columns = [(role, name) for role in detectors for name in attacks]
    side = detectors["plain"].side
    return Table(
        name="further",
        title=f"Not in the paper: attacked crops of {side} × {side}",
        note=_SHARE,
        header=("ε, levels", *(f"{role}, {attack_name(name)}" for role, name in columns)),
        rows=tuple(
            (f"{b:g}", *(accuracy(detectors[role], name, b) for role, name in columns))
            for b in _budgets(detectors, attacks)
        ),
    )


def _training_table(detectors: Detectors) -> Table:
    return Table(
        name="trainings",
        title="Training of the two detectors",
        note="The full recipes are below.",
        header=("detector", "iterations", "batch", "seed", "weights, SHA-256"),
        rows=tuple((_title(role, each), *_training(each)) for role, each in detectors.items()),
    )


def _chart(detectors: Detectors, attacks: Sequence[str]) -> Chart:
    """Lay out accuracy against budget: colours distinguish detectors, dashes attacks."""
    curves = []
    for role, result in detectors.items():
        singles = sorted(result.singles(), key=lambda each: each.budget)
        tried = {each.attack for each in singles}
        curves += [
            Curve(
                name=f"{role}, {attack_name(attack)}",
                tone=role,
                points=tuple(
                    (each.budget, each.proportion)
                    for each in singles
                    if each.attack in (CLEAN, attack)
                ),
                dash=DASHES[number % len(DASHES)],
            )
            for number, attack in enumerate(attacks)
            if attack in tried
        ]
    return line_chart(curves)


def _title(role: str, result: EvaluationResult) -> str:
    return role if result.detector == role else f"{role} ({result.detector})"


def _training(result: EvaluationResult) -> tuple[str, ...]:
    recipe = result.recipe or {}
    schedule = recipe.get("schedule") or {}
    found = (schedule.get("iterations"), schedule.get("batch"), recipe.get("seed"))
    return (*("?" if each is None else str(each) for each in found), result.bundle_sha256[:12])


def _iterations(result: EvaluationResult) -> int | None:
    found = ((result.recipe or {}).get("schedule") or {}).get("iterations")
    return None if found is None else int(found)


def _command(
    plain: EvaluationResult, secure: EvaluationResult, data: Mapping[str, Any] | None
) -> str:
    """Return a command that reproduces these results, as far as they tell."""
    words = ["trueshot", "reproduce", str(data["folder"]) if data else "DATASET"]
    words += ["--out", "OUT", "--size", str(plain.side)]
    for role, result, default in (("plain", plain, "yang"), ("secure", secure, "secure")):
        words += [] if result.detector == default else [f"--{role}", f"{result.detector}.yaml"]
    iterations = _iterations(plain)
    if iterations not in (None, PAPER_ITERATIONS):
        words += ["--iterations", str(iterations)]
    if any(note.startswith(STARTED) for note in plain.notes):
        words.append("--from-smaller")
    judged = min(plain.single(CLEAN).total)
    if data and judged < int(data["crops_per_class"]["test"]):
        words += ["--crops", str(judged)]
    more = dict.fromkeys(cell.attack for cell in plain.singles())
    for attack in (name for name in more if name not in (CLEAN, "fgsm", "llcm")):
        words += ["--more-attack", attack]
    return shlex.join(words)


def _limits(plain: EvaluationResult, data: Mapping[str, Any] | None) -> list[str]:
    """Return the limitations of these results, as far as they tell."""
    side, iterations = plain.side, _iterations(plain)
    limits = [
        f"Crops of {side} × {side} pixels, classified without the rest of the photograph; the "
        "paper's best figures are for 512 × 512.",
    ]
    if plain.group_count is None:
        limits.append(
            "The intervals assume independent crops. Crops of one photograph are not fully "
            "independent, so the true intervals are wider."
        )
    limits += plain.notes
    if iterations is not None and iterations < PAPER_ITERATIONS:
        limits.append(
            f"Short training: {iterations:,} iterations instead of the paper's "
            f"{PAPER_ITERATIONS:,}."
        )
    if data and data["simulated"]:
        limits.append(
            "The data are simulated. Cameras, screens and prints that were not modelled look "
            "different; a detector for practical use needs real photographs."
        )
    if plain.split_by == "photo":
        limits.append(
            "The split is by photo, not by camera or scene: those of the test part may also occur "
            "in training."
        )
    return limits
