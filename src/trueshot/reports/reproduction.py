"""The HTML page of a reproduction: its content, size by size, made from results.json alone."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import yaml

from trueshot.errors import RunError
from trueshot.evaluation.result import CLEAN, EvaluationResult, load_experiments
from trueshot.files import write_atomically
from trueshot.proportion import Proportion
from trueshot.reports import narrative, paper
from trueshot.reports.chart import DASHES, Chart, Curve, line_chart
from trueshot.reports.narrative import NBSP, percent
from trueshot.reports.page import picture, render
from trueshot.reports.paper import ATTACK_NAMES, BUDGETS
from trueshot.reports.paper_tables import cell, check_pairs, printed
from trueshot.reports.security_tables import attack_name
from trueshot.reports.table import Cell as TableCell
from trueshot.reports.table import Number, Table

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


@dataclass(frozen=True, kw_only=True)
class Size:
    """The content of the page for one crop size.

    Args:
        side: Height and width of the crops in pixels.
        detectors: Results by role: `plain`, `secure`.
        shown: Examples: names of image files, verdicts and facts about the data; every key is
            present, with None or an empty list if there are no examples of that kind.
        command: Command that reproduces the results.
        limits: Limitations of the results, as sentences.
    """

    side: int
    detectors: Mapping[str, EvaluationResult]
    shown: Mapping[str, Any]
    command: str
    limits: list[str]

    @property
    def split(self) -> str:
        """Description of what the split keeps in one part."""
        name = self.detectors["plain"].split_by
        return _SPLITS.get(name, f"by {name}")

    @property
    def attacks(self) -> list[str]:
        """Names of the attacks run on either detector."""
        cells = (found for result in self.detectors.values() for found in result.singles())
        return [name for name in dict.fromkeys(found.attack for found in cells) if name != CLEAN]

    @property
    def further_attacks(self) -> list[str]:
        """Names of the attacks that are not in the paper."""
        return [name for name in self.attacks if name not in ATTACK_NAMES]

    @property
    def paper_chart(self) -> Chart:
        """Curves under the paper's attacks."""
        return _chart(self.detectors, [name for name in self.attacks if name in ATTACK_NAMES])

    @property
    def further_chart(self) -> Chart:
        """Curves under FGSM and the attacks that are not in the paper."""
        return _chart(self.detectors, ["fgsm", *self.further_attacks])

    @property
    def collapse_table(self) -> Table:
        """Table of the plain detector under the paper's attacks."""
        budgets, plain = self.budgets(["fgsm"]), self.detectors["plain"]
        return Table(
            name="plain",
            title="The plain detector under the paper's attacks",
            note=_SHARE,
            header=("attack", *(f"ε = {budget:g}" for budget in budgets)),
            rows=tuple(
                (attack_name(attack), *(cell(plain, attack, budget) for budget in budgets))
                for attack in ATTACK_NAMES
            ),
        )

    @property
    def attacked_table(self) -> Table:
        """Tables 2 and 3: each of the paper's attacks at each budget, ours and the paper's."""
        rows: list[tuple[TableCell, ...]] = []
        for attack in (name for name in self.attacks if name in ATTACK_NAMES):
            for budget in self.budgets([attack]):
                cells = (
                    found
                    for role, result in self.detectors.items()
                    for found in _both(role, result, attack, budget)
                )
                rows.append((attack_name(attack), f"{budget:g}", *cells))
        whose = (f"{role}, {which}" for role in self.detectors for which in ("ours", "paper, %"))
        return Table(
            name="attacked",
            title=f"Tables 2 and 3. Attacked crops of {self.side} × {self.side}",
            note=_SHARE,
            header=("attack", "ε, levels", *whose),
            rows=tuple(rows),
            stubs=2,
        )

    @property
    def further_table(self) -> Table:
        """Table of FGSM and the attacks that are not in the paper."""
        attacks = ["fgsm", *self.further_attacks]
        columns = [(role, name) for role in self.detectors for name in attacks]
        return Table(
            name="further",
            title=f"Not in the paper: attacked crops of {self.side} × {self.side}",
            note=_SHARE,
            header=("ε, levels", *(f"{role}, {attack_name(name)}" for role, name in columns)),
            rows=tuple(
                (f"{b:g}", *(cell(self.detectors[role], name, b) for role, name in columns))
                for b in self.budgets(attacks)
            ),
        )

    @property
    def training_table(self) -> Table:
        """Table of how both detectors were trained."""
        return Table(
            name="trainings",
            title="Training of the two detectors",
            note="The full recipes are below.",
            header=("detector", "iterations", "batch", "seed", "weights, SHA-256"),
            rows=tuple(
                (_title(role, result), *_training(result))
                for role, result in self.detectors.items()
            ),
        )

    @property
    def works(self) -> narrative.Statement:
        """Statement of section 1: whether the plain detector has learnt the task."""
        return narrative.works(self.detectors["plain"])

    @property
    def collapse(self) -> narrative.Statement:
        """Statement of section 2: the plain detector under FGSM at one level."""
        return narrative.collapse(self.detectors["plain"])

    @property
    def defence(self) -> narrative.Statement:
        """Statement of section 3: gain and cost of the paper's defence."""
        return narrative.defence(self.detectors["plain"], self.detectors["secure"])

    @property
    def truth(self) -> narrative.Statement:
        """Statement of section 4: how the defence holds under PGD."""
        return narrative.truth(self.detectors["plain"], self.detectors["secure"])

    def cell(self, role: str, attack: str, budget: float) -> Proportion | None:
        """Return the accuracy under an attack, or None if it was not measured."""
        return cell(self.detectors[role], attack, budget)

    def budgets(self, attacks: Sequence[str]) -> list[float]:
        """Return all budgets at which either detector was attacked with any of these attacks."""
        cells = (found for result in self.detectors.values() for found in result.singles())
        return sorted({found.budget for found in cells if found.attack in attacks})

    def triples(self, role: str, attack: str) -> list[Mapping[str, Any]]:
        """Return the examples (clean, noise, attacked) of a detector under an attack."""
        name = self.detectors[role].detector
        wanted = [
            t for t in self.shown["triples"] if (t["detector"], t["attack"]) == (name, attack)
        ]
        return [{**triple, "role": role} for triple in wanted]


def sizes_of(results: Sequence[EvaluationResult], examples: Mapping[str, Any]) -> list[Size]:
    """Return the content of the page: a `Size` for each pair of results.

    Args:
        results: For each size the result of the plain detector, then that of the secure one.
        examples: Examples by size as in results.json; older files contain fewer kinds.

    Raises:
        ValueError: The results are not such pairs.
    """
    pairs = zip(*check_pairs(results), strict=True)
    return [_size(plain, secure, examples.get(str(plain.side), {})) for plain, secure in pairs]


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
        limits = list(dict.fromkeys(limit for size in sizes for limit in size.limits))
        content = {"sizes": sizes, "limits": limits, "table_1": _clean_table(sizes)}
        text = render("reproduction.html.jinja", _filters(out), **content)
    except (jinja2.TemplateError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise RunError(f"{path}: cannot be shown as a page: {error!r}; run again") from error
    write_atomically(out / "page.html", text)
    return out / "page.html"


def _filters(out: Path) -> dict[str, Callable[..., Any]]:
    return {
        "attack": attack_name,
        "epsilon": lambda budget: f"ε{NBSP}={NBSP}{budget:g}",
        "percent": percent,
        "picture": lambda name: picture(out, str(name)),
        "yaml": lambda content: yaml.safe_dump(content, sort_keys=False, allow_unicode=True),
    }


def _size(plain: EvaluationResult, secure: EvaluationResult, example: Mapping[str, Any]) -> Size:
    shown = _NOTHING_SHOWN | dict(example)
    detectors = {"plain": plain, "secure": secure}
    return Size(
        side=plain.side,
        detectors=detectors,
        shown=shown,
        command=_command(plain, secure, shown["data"]),
        limits=_limits(plain, shown["data"]),
    )


def _clean_table(sizes: Sequence[Size]) -> Table:
    rows = [
        (
            _title(role, result),
            f"{size.side} × {size.side}",
            cell(result, CLEAN, 0.0),
            printed(paper.CLEAN[role].get(size.side)),
            Number(value=result.auc, digits=3),
        )
        for size in sizes
        for role, result in size.detectors.items()
    ]
    return Table(
        name="clean",
        title="Table 1. Clean crops",
        note=_SHARE,
        header=("detector", "size", "ours", "paper, %", "AUC, ours"),
        rows=tuple(rows),
    )


def _chart(detectors: Mapping[str, EvaluationResult], attacks: Sequence[str]) -> Chart:
    """Lay out accuracy against budget: colours distinguish detectors, dashes attacks."""
    curves = [
        Curve(
            name=f"{role}, {attack_name(attack)}",
            tone=role,
            points=_points(result, attack),
            dash=DASHES[number % len(DASHES)],
        )
        for role, result in detectors.items()
        for number, attack in enumerate(attacks)
        if any(found.attack == attack for found in result.singles())
    ]
    return line_chart(curves)


def _points(result: EvaluationResult, attack: str) -> tuple[tuple[float, Proportion], ...]:
    cells = [found for found in result.singles() if found.attack in (CLEAN, attack)]
    return tuple((each.budget, each.proportion) for each in sorted(cells, key=lambda c: c.budget))


def _both(
    role: str, result: EvaluationResult, attack: str, budget: float
) -> tuple[Proportion | None, Number | None]:
    """Return our accuracy and the paper's, each None if unknown."""
    figures = paper.ATTACKED[role].get((result.side, attack), ())
    theirs = dict(zip(BUDGETS, figures, strict=False)).get(budget)
    return cell(result, attack, budget), printed(theirs)


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
