"""Results of several detectors side by side, on the same data set, part and size."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from trueshot.evaluation.result import PAPER
from trueshot.evaluation.tally import WorstCase
from trueshot.proportion import Proportion
from trueshot.reports.results import ROUNDING, DetectorResults, LoadedResult
from trueshot.tasks import Wording
from trueshot.tasks.recapture import words_for


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Detectors evaluated on the same data set, part and image size.

    Args:
        side: Height and width of the images in pixels.
        part: Part of the split.
        data: Fingerprint of the data set.
        split_by: Unit that the split keeps in one part, such as a photo or a source.
        alone: Whether no other comparison of the report has this size and part.
        detectors: Detectors in the order in which their results were found.
    """

    side: int
    part: str
    data: str
    split_by: str
    alone: bool
    detectors: tuple[DetectorResults, ...]

    @property
    def title(self) -> str:
        """Title in words, unique within the report."""
        words = f"{self.side} × {self.side} pixels, {self.part} part"
        return words if self.alone else f"{words} of data {self.data[:8]}"

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes that its detectors distinguish."""
        return self.detectors[0].classes

    @property
    def words(self) -> Wording:
        """Words for these classes."""
        return words_for(self.classes)

    @property
    def slug(self) -> str:
        """Identifier for file names, unique within the report."""
        part = "" if self.part == "test" else f"-{slug_of(self.part)}"
        return f"{self.side}px{part}{'' if self.alone else f'-{slug_of(self.data[:8])}'}"

    @property
    def threats(self) -> list[str]:
        """Threat models for which a worst case of any detector is known."""
        return list(dict.fromkeys(t for d in self.detectors for t in d.threats))

    def budgets(self, threat: str) -> list[float]:
        """Return all budgets above 0 at which a worst case of any detector is known."""
        return sorted({c.budget for d in self.detectors for c in d.curve(threat)} - {0.0})

    def budget(self, threat: str, wanted: float | None = None) -> float | None:
        """Return the budget at which to compare.

        Args:
            threat: Threat model of the worst cases.
            wanted: Budget in levels; by default the largest of the budgets that the most
                detectors have, ignoring those above an ε of 5 levels where there are smaller ones.

        Returns:
            The budget, or None if no detector has a worst case for it.
        """
        if wanted is not None:
            near = [b for b in self.budgets(threat) if math.isclose(b, wanted, rel_tol=ROUNDING)]
            return next(iter(near), None)
        having = Counter(b for o in self.detectors if o.curve(threat) for b in o.budgets(threat))
        known = [budget for budget in self.budgets(threat) if budget in having]
        return max(known, key=lambda budget: (having[budget], budget), default=None)


@dataclass(frozen=True, kw_only=True)
class Standing:
    """A detector with its clean accuracy and its worst case at the budget of the comparison."""

    detector: DetectorResults
    clean: Proportion
    worst: WorstCase


def comparisons_of(results: Sequence[LoadedResult]) -> list[Comparison]:
    """Group results by data set, part and size, and within each group by detector.

    Results on different data, parts or sizes are never put in the same table.
    """
    places: dict[tuple[int, str, str], list[LoadedResult]] = {}
    for found in results:
        result = found.result
        places.setdefault((result.side, result.part, result.data), []).append(found)
    plain = [key[:2] for key in places]
    numbers: dict[str, int] = {}
    return [
        Comparison(
            side=side,
            part=part,
            data=data,
            split_by=mine[0].result.split_by,
            alone=plain.count((side, part)) == 1,
            detectors=_detectors(mine, numbers),
        )
        for (side, part, data), mine in sorted(places.items(), key=lambda item: item[0])
    ]


def standings(comparison: Comparison, threat: str, budget: float | None) -> list[Standing]:
    """Return the detectors whose worst case at a budget is known, best first.

    Ties are broken by clean accuracy, then by name.
    """
    found = [
        Standing(detector=one, clean=one.clean, worst=case)
        for one in comparison.detectors
        if budget is not None and (case := one.case(threat, budget)) and one.clean
    ]
    return sorted(found, key=lambda s: (-s.worst.accuracy, -s.clean.share, s.detector.name))


def _detectors(
    results: Sequence[LoadedResult], numbers: dict[str, int]
) -> tuple[DetectorResults, ...]:
    """Merge results of the same weights and crop size; a suite seen twice starts a new entry."""
    gathered: list[tuple[tuple[str, int | None], dict[str, LoadedResult]]] = []
    for found in results:
        key = found.result.bundle_sha256 or found.result.detector, found.result.crop_side
        suite = found.result.suite
        suites = next((s for k, s in gathered if k == key and suite not in s), None)
        if suites is None:
            suites = {}
            gathered.append((key, suites))
        suites[suite] = found
    names = _distinct([_named(suites) for _, suites in gathered])
    return tuple(
        DetectorResults(name=name, number=numbers.setdefault(name, len(numbers)), suites=suites)
        for name, (_, suites) in zip(names, gathered, strict=True)
    )


def _named(suites: Mapping[str, LoadedResult]) -> tuple[str, str]:
    """Return name and weights, preferably not from the paper suite.

    The paper suite may know a detector only by the name of its recipe.
    """
    last = min(suites.items(), key=lambda item: item[0] == PAPER)[1].result
    crops = last.crop_side
    name = f"{last.detector} by crops of {crops}" if crops else last.detector
    return name, last.bundle_sha256


def _distinct(keys: Sequence[tuple[str, str]]) -> list[str]:
    """Make names unique by appending the start of the weights' hash, or else a number."""
    plain = [name for name, _ in dict.fromkeys(keys)]
    names: list[str] = []
    for name, weights in keys:
        full = f"{name} ({weights[:6]})" if plain.count(name) > 1 and weights else name
        again = sum(other == full or other.startswith(f"{full} #") for other in names)
        names.append(f"{full} #{again + 1}" if again else full)
    return names


def slug_of(text: str) -> str:
    """Return a text as a part of a file name: ASCII letters and digits, in lower case, and `-`."""
    return "".join(c if c.isascii() and c.isalnum() else "-" for c in text.lower())
