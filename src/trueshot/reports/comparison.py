"""Detectors that can be compared: judged on the same part of the same data at the same size."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from trueshot.evaluation.result import PAPER, WorstCase
from trueshot.proportion import Proportion
from trueshot.reports.detector_results import ROUNDING, DetectorResults
from trueshot.reports.loading import LoadedResult
from trueshot.tasks import Wording


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Detectors judged on the same part of the same data at the same size.

    Args:
        side: Pixels.
        part: Of the split.
        data: Fingerprint of the data set.
        split_by: What the split kept whole.
        alone: No other setting of the report has its size and part.
        detectors: In the order in which they were found.
    """

    side: int
    part: str
    data: str
    split_by: str
    alone: bool
    detectors: tuple[DetectorResults, ...]

    @property
    def title(self) -> str:
        """In words, unlike any other's."""
        words = f"{self.side} × {self.side} pixels, {self.part} part"
        return words if self.alone else f"{words} of data {self.data[:8]}"

    @property
    def words(self) -> Wording:
        """Of the classes that its detectors tell apart."""
        return self.detectors[0].words

    @property
    def slug(self) -> str:
        """For names of files, unlike any other's."""
        part = "" if self.part == "test" else f"-{_slug(self.part)}"
        return f"{self.side}px{part}{'' if self.alone else f'-{_slug(self.data[:8])}'}"

    @property
    def threats(self) -> list[str]:
        """Threat models under which the worst case of any is known."""
        return list(dict.fromkeys(t for d in self.detectors for t in d.threats))

    def budgets(self, threat: str) -> list[float]:
        """All budgets above 0 at which the worst case of any is known."""
        return sorted({c.budget for d in self.detectors for c in d.curve(threat)} - {0.0})

    def budget(self, threat: str, wanted: float | None = None) -> float | None:
        """At which to compare.

        Args:
            threat: Of whose worst cases.
            wanted: In levels; by default the largest of those that most detectors have, if not
                all, and none above an ε of 5 levels if there is one below.

        Returns:
            None if no detector has such a worst case.
        """
        if wanted is not None:
            near = [b for b in self.budgets(threat) if math.isclose(b, wanted, rel_tol=ROUNDING)]
            return next(iter(near), None)
        having = [one.budgets(threat) for one in self.detectors if one.curve(threat)]
        known = [budget for budget in self.budgets(threat) if any(budget in one for one in having)]
        return max(
            known, key=lambda budget: (sum(budget in o for o in having), budget), default=None
        )


@dataclass(frozen=True, kw_only=True)
class Standing:
    """A detector, its worst case at the budget of the comparison, and its clean accuracy."""

    detector: DetectorResults
    clean: Proportion
    worst: WorstCase

    @property
    def loss(self) -> float:
        """Share of images that attacks have taken."""
        return self.clean.share - self.worst.accuracy

    @property
    def beats_guessing(self) -> bool:
        """Whether more is left than always naming the larger class gives, by more than chance."""
        return self.worst.interval[0] > max(self.worst.total) / sum(self.worst.total)


def comparisons_of(results: Sequence[LoadedResult]) -> list[Comparison]:
    """Put results together: those of the same data, part and size, and of the same detector.

    Results of other data, of another part or at another size never stand in one table.
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
            detectors=tuple(_numbered(one, numbers) for one in _detectors(mine)),
        )
        for (side, part, data), mine in sorted(places.items(), key=lambda item: item[0])
    ]


def standings(comparison: Comparison, threat: str, budget: float | None) -> list[Standing]:
    """Detectors whose worst case at a budget is known, the best first.

    Equal ones stand in the order of clean accuracy, then of their names.
    """
    found = [
        Standing(detector=one, clean=one.clean, worst=case)
        for one in comparison.detectors
        if budget is not None and (case := one.case(threat, budget)) and one.clean
    ]
    return sorted(found, key=lambda s: (-s.worst.accuracy, -s.clean.share, s.detector.name))


def _detectors(results: Sequence[LoadedResult]) -> list[DetectorResults]:
    """Suites of the same weights together; a suite that is there already begins another one."""
    gathered: list[tuple[tuple[str, int | None], dict[str, LoadedResult]]] = []
    for found in results:
        key = found.result.bundle_sha256 or found.result.detector, found.result.crop_side
        free = (s for k, s in gathered if k == key and found.suite not in s)
        suites = next(free, None)
        if suites is None:
            suites = {}
            gathered.append((key, suites))
        suites[found.suite] = found
    names = _distinct([_named(suites) for _, suites in gathered])
    return [
        DetectorResults(name=name, suites=suites)
        for name, (_, suites) in zip(names, gathered, strict=True)
    ]


def _named(suites: Mapping[str, LoadedResult]) -> tuple[str, str]:
    """Name and weights; the paper suite may know a detector by its recipe only."""
    last = sorted(suites.values(), key=lambda found: found.suite == PAPER)[0].result
    crops = last.crop_side
    name = f"{last.detector} by crops of {crops}" if crops else last.detector
    return name, last.bundle_sha256


def _distinct(keys: Sequence[tuple[str, str]]) -> list[str]:
    """Names of detectors; one that two have gets the beginning of its weights, or a number."""
    plain = [name for name, _ in dict.fromkeys(keys)]
    names: list[str] = []
    for name, weights in keys:
        full = f"{name} ({weights[:6]})" if plain.count(name) > 1 and weights else name
        again = sum(other == full or other.startswith(f"{full} #") for other in names)
        names.append(f"{full} #{again + 1}" if again else full)
    return names


def _numbered(one: DetectorResults, numbers: dict[str, int]) -> DetectorResults:
    return replace(one, number=numbers.setdefault(one.name, len(numbers)))


def _slug(text: str) -> str:
    return "".join(c if c.isascii() and c.isalnum() else "-" for c in text.lower())
