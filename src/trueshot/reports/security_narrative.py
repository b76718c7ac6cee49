"""What a comparison says in words: as in `story`, each sentence is chosen by the figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from trueshot.evaluation.security import WorstCase
from trueshot.reports.comparison import Comparison
from trueshot.reports.detector_results import LINF, DetectorResults, threat_name
from trueshot.reports.grids import Rate
from trueshot.reports.narrative import MUCH, SOME, Kind, Statement, percent
from trueshot.reports.security_grids import NOISE, attack_name


@dataclass(frozen=True, kw_only=True)
class Standing:
    """A detector, its worst case at the budget of the comparison, and its clean accuracy."""

    detector: DetectorResults
    clean: Rate
    worst: WorstCase

    @property
    def loss(self) -> float:
        """Share of images that attacks have taken."""
        return self.clean.share - self.worst.accuracy

    @property
    def beats_guessing(self) -> bool:
        """Whether more is left than always naming the larger class gives, by more than chance."""
        return self.worst.interval[0] > max(self.worst.total) / sum(self.worst.total)


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


def verdict(comparison: Comparison) -> Statement:
    """What is left of the best detector at the largest budget that they have in common."""
    threat = LINF if LINF in comparison.threats else next(iter(comparison.threats), LINF)
    budget = comparison.budget(threat)
    ranked = standings(comparison, threat, budget)
    if not ranked or budget is None:
        return Statement(
            kind="open",
            headline="The worst case is not known",
            sentences=(
                "No suite of strong attacks has been run here, and one attack alone proves "
                "nothing: trueshot evaluate with --suite strong does that.",
            ),
        )
    best = ranked[0]
    kind, headline = _headline(best, budget)
    if best.detector.doubts and kind == "good":
        kind = "mixed"
    where = f" ({threat_name(threat)})" if threat != LINF else ""
    sentences = (
        f"Of all its test images {best.detector.name} judges {percent(best.clean.share)} rightly "
        f"without an attack, and {percent(best.worst.accuracy)} whatever the suite does within "
        f"{budget:g} levels{where}.",
        _direction(best.worst),
        _others(ranked[1:]),
        _misled(ranked, budget) if threat == LINF else "",
        _doubted(ranked),
    )
    return Statement(kind=kind, headline=headline, sentences=tuple(filter(None, sentences)))


def _headline(best: Standing, budget: float) -> tuple[Kind, str]:
    name, left = best.detector.name, percent(best.worst.accuracy)
    if not best.beats_guessing:
        return "bad", f"Nothing here holds at ε = {budget:g}: {name}, the best, keeps {left}"
    if best.loss >= MUCH:
        return "mixed", f"{name} keeps {left} in the worst case at ε = {budget:g}: a part holds"
    if best.loss >= SOME:
        return "mixed", f"{name} keeps {left} in the worst case at ε = {budget:g}: most holds"
    return "good", f"{name} holds: {left} in the worst case at ε = {budget:g}"


def _direction(case: WorstCase) -> str:
    """Each class apart: what an attacker wants is a recapture that passes."""
    if not all(case.total):
        return ""
    originals, recaptures = (percent(r / t) for r, t in zip(case.right, case.total, strict=True))
    return (
        f"In the direction that matters, a recapture made to look original, it still finds "
        f"{recaptures} of the recaptures; of the originals it keeps {originals}."
    )


def _others(others: Sequence[Standing]) -> str:
    if not others:
        return ""
    named = "; ".join(f"{s.detector.name} {percent(s.worst.accuracy)}" for s in others[:5])
    more = f", and {len(others) - 5} more" if len(others) > 5 else ""
    return f"The others keep: {named}{more}."


def _misled(ranked: Sequence[Standing], budget: float) -> str:
    """The detector that one attack alone flatters most, if by much."""
    found = [
        (alone.share - s.worst.accuracy, s, name, alone)
        for s in ranked
        for name in s.detector.attacks_alone()
        if name != NOISE and (alone := s.detector.alone(name, budget))
    ]
    if not found:
        return ""
    gap, standing, name, alone = max(found, key=lambda each: each[0])
    if gap < MUCH:
        return ""
    return (
        f"One attack alone flatters: under {attack_name(name)} {standing.detector.name} seems to "
        f"keep {percent(alone.share)} at ε = {budget:g}, and all attacks together leave "
        f"{percent(standing.worst.accuracy)}."
    )


def _doubted(ranked: Sequence[Standing]) -> str:
    names = [s.detector.name for s in ranked if s.detector.doubts]
    if not names:
        return ""
    which = "its" if len(names) == 1 else "their"
    return f"There are doubts about {', '.join(names)}: {which} true worst case may be lower."
