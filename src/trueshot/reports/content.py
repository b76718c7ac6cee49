"""What the page of a reproduction holds, size by size, from results and examples alone."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trueshot.evaluation.results import CLEAN, Cell, RobustnessResult
from trueshot.reports import narrative, paper
from trueshot.reports.charts import Chart, chart
from trueshot.reports.tables import ATTACK_NAMES, BUDGETS

PAPER_ITERATIONS = 100_000
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
    "photo": "by photo: no photo is in two parts, but one camera or scene may be",
    "source": "by source: no photo and no source, such as a camera, is in two parts",
    "manifest": "given with the data: nothing that is known of a photo's origin, such as its "
    "scene, camera or screen, is in two parts",
}


@dataclass(frozen=True, kw_only=True)
class Row:
    """A row of tables 2 and 3: one attack at one budget, per detector ours and the paper's.

    Args:
        budget: Levels.
        ours: Per detector its cell, or None where it was not measured.
        papers: Per detector the paper's figure in per cent, or None where it has none.
    """

    budget: float
    ours: tuple[Cell | None, ...]
    papers: tuple[float | None, ...]


@dataclass(frozen=True, kw_only=True)
class Size:
    """All that the page says of one size of crops.

    Args:
        side: Pixels.
        detectors: Results by role: `plain`, `secure`.
        papers_clean: The paper's figures on clean images by role, in per cent, or None.
        attacked: Rows of tables 2 and 3 by attack.
        shown: Examples: names of image files, verdicts, facts of the data; every kind is there.
        command: What makes these results.
        limits: What narrows them.
    """

    side: int
    detectors: Mapping[str, RobustnessResult]
    papers_clean: Mapping[str, float | None]
    attacked: Mapping[str, list[Row]]
    shown: Mapping[str, Any]
    command: str
    limits: list[str]

    @property
    def split(self) -> str:
        """What its split keeps whole, in words."""
        name = self.detectors["plain"].split_by
        return _SPLITS.get(name, f"by {name}")

    @property
    def paper_attacks(self) -> list[str]:
        """Those of its attacks that the paper tried."""
        return [name for name in self.attacked if name in ATTACK_NAMES]

    @property
    def further_attacks(self) -> list[str]:
        """Those that it did not."""
        return [name for name in self.attacked if name not in ATTACK_NAMES]

    @property
    def paper_chart(self) -> Chart:
        """Curves under the paper's attacks."""
        return chart(list(self.detectors.values()), self.paper_attacks)

    @property
    def further_chart(self) -> Chart:
        """Curves under the other attacks beside FGSM."""
        return chart(list(self.detectors.values()), ["fgsm", *self.further_attacks])

    @property
    def works(self) -> narrative.Statement:
        """Of section 1."""
        return narrative.works(self.detectors["plain"])

    @property
    def collapse(self) -> narrative.Statement:
        """Of section 2."""
        return narrative.collapse(self.detectors["plain"])

    @property
    def defence(self) -> narrative.Statement:
        """Of section 3."""
        return narrative.defence(self.detectors["plain"], self.detectors["secure"])

    @property
    def truth(self) -> narrative.Statement:
        """Of section 4."""
        return narrative.truth(self.detectors["plain"], self.detectors["secure"])

    def cell(self, role: str, attack: str, budget: float) -> Cell | None:
        """A cell, or None where it was not measured."""
        return _cell(self.detectors[role], attack, budget)

    def budgets(self, attacks: Sequence[str]) -> list[float]:
        """All budgets at which any of these attacks was tried."""
        return sorted({row.budget for name in attacks for row in self.attacked.get(name, [])})

    def triples(self, role: str, attack: str) -> list[Mapping[str, Any]]:
        """Clean, noise and attacked, of a detector under an attack."""
        name = self.detectors[role].detector
        wanted = [
            t for t in self.shown["triples"] if (t["detector"], t["attack"]) == (name, attack)
        ]
        return [{**triple, "role": role} for triple in wanted]


def sizes_of(results: Sequence[RobustnessResult], examples: Mapping[str, Any]) -> list[Size]:
    """Everything the page says, a `Size` for each pair of results.

    Args:
        results: Per size the plain detector's and the secure one's, in that order.
        examples: By size, as results.json has them; older files have fewer kinds of them.

    Raises:
        ValueError: The results do not come in such pairs.
    """
    if not results or len(results) % 2:
        raise ValueError(f"pairs of results wanted, plain and secure; got {len(results)}")
    pairs = zip(results[::2], results[1::2], strict=True)
    return [_size(plain, secure, examples.get(str(plain.side), {})) for plain, secure in pairs]


def _size(plain: RobustnessResult, secure: RobustnessResult, example: Mapping[str, Any]) -> Size:
    if plain.side != secure.side:
        raise ValueError("results of the plain and of the secure detector at different sizes")
    shown = _NOTHING_SHOWN | dict(example)
    detectors = {"plain": plain, "secure": secure}
    return Size(
        side=plain.side,
        detectors=detectors,
        papers_clean={role: paper.CLEAN[role].get(plain.side) for role in detectors},
        attacked=_attacked(detectors),
        shown=shown,
        command=_command(plain, secure, shown["data"]),
        limits=_limits(plain, shown["data"]),
    )


def _attacked(detectors: Mapping[str, RobustnessResult]) -> dict[str, list[Row]]:
    """Every attacked cell of both detectors: rows by budget, under the name of the attack."""
    cells = [cell for r in detectors.values() for cell in r.cells if cell.attack != CLEAN]
    return {
        attack: [
            _row(detectors, attack, budget)
            for budget in sorted({cell.budget for cell in cells if cell.attack == attack})
        ]
        for attack in dict.fromkeys(cell.attack for cell in cells)
    }


def _row(detectors: Mapping[str, RobustnessResult], attack: str, budget: float) -> Row:
    ours = [_cell(result, attack, budget) for result in detectors.values()]
    printed = [
        dict(zip(BUDGETS, paper.ATTACKED[role].get((r.side, attack), ()), strict=False)).get(budget)
        for role, r in detectors.items()
    ]
    return Row(budget=budget, ours=tuple(ours), papers=tuple(printed))


def _cell(result: RobustnessResult, attack: str, budget: float) -> Cell | None:
    cells = (cell for cell in result.cells if (cell.attack, cell.budget) == (attack, budget))
    return next(cells, None)


def _iterations(result: RobustnessResult) -> int | None:
    found = ((result.recipe or {}).get("schedule") or {}).get("iterations")
    return None if found is None else int(found)


def _command(
    plain: RobustnessResult, secure: RobustnessResult, data: Mapping[str, Any] | None
) -> str:
    """What makes these results again, as far as they say so themselves."""
    words = ["trueshot", "reproduce", str(data["folder"]) if data else "DATASET"]
    words += ["--out", "OUT", "--size", str(plain.side)]
    for role, result, default in (("plain", plain, "yang"), ("secure", secure, "secure")):
        words += [] if result.detector == default else [f"--{role}", f"{result.detector}.yaml"]
    iterations = _iterations(plain)
    if iterations not in (None, PAPER_ITERATIONS):
        words += ["--iterations", str(iterations)]
    judged = min(plain.cell(CLEAN).total)
    if data and judged < int(data["crops_per_class"]["test"]):
        words += ["--crops", str(judged)]
    more = dict.fromkeys(cell.attack for cell in plain.cells)
    for attack in (name for name in more if name not in (CLEAN, "fgsm", "llcm")):
        words += ["--more-attack", attack]
    return shlex.join(words)


def _limits(plain: RobustnessResult, data: Mapping[str, Any] | None) -> list[str]:
    """What narrows these results, as far as they say so themselves."""
    side, iterations = plain.side, _iterations(plain)
    limits = [
        f"Crops of {side} × {side} pixels, judged without the rest of the photograph; the "
        "paper's best figures are those of 512 × 512.",
        "The intervals take crops as independent. Crops of one photograph are not quite, so true "
        "intervals are wider.",
    ]
    if iterations is not None and iterations < PAPER_ITERATIONS:
        limits.append(
            f"A short schedule: {iterations:,} iterations of {PAPER_ITERATIONS:,} in the paper."
        )
    if data and data["simulated"]:
        limits.append(
            "The data are simulated. Cameras, screens and prints that nobody has modelled look "
            "different; a detector for use wants photographs of the real thing."
        )
    if plain.split_by == "photo":
        limits.append(
            "The split keeps photos whole, not cameras or scenes: those of the test may have been "
            "seen in training."
        )
    return limits
