"""Examples as panels: image, residual, noise and attacked image inside the page, and verdicts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import TypeAdapter

from trueshot.reports.comparison import Comparison
from trueshot.reports.detector_results import LINF, DetectorResults
from trueshot.reports.loading import LoadedResult
from trueshot.reports.page import picture
from trueshot.reports.table import one_line

_PNG = "png"  # a threat of the file suite: L∞ again
MOST = 4  # panels of a detector on the page: pictures are heavy


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What a detector says of a file."""

    predicted: str
    probability: float


@dataclass(frozen=True, kw_only=True)
class JudgedFile(Verdict):
    """The same, with the file."""

    file: str


@dataclass(frozen=True, kw_only=True)
class VerdictAfter(Verdict):
    """The same, after a channel."""

    channel: str


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A file that shows something so many times as strong."""

    file: str
    magnified: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Example:
    """An attacked image, as a result describes it."""

    detector: str
    attack: str
    budget: float
    true: str
    clean: JudgedFile
    attacked: JudgedFile
    threat: str = LINF
    fate: str = ""
    residual: Picture | None = None
    noise: Picture | None = None
    after: tuple[VerdictAfter, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Panel:
    """An example, with its pictures.

    Args:
        example: What it shows.
        pictures: Data URIs by the name of the file; empty where the file is gone.
    """

    example: Example
    pictures: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Panels:
    """Panels of a detector.

    Args:
        shown: At most `MOST`.
        more: So many examples are left out.
        faults: One sentence for each example or picture that cannot be shown.
    """

    shown: list[Panel] = field(default_factory=list)
    more: int = 0
    faults: list[str] = field(default_factory=list)


def panels(comparison: Comparison) -> dict[str, Panels]:
    """Panels by detector; those without examples are left out."""
    found = {one.name: _panels(one) for one in comparison.detectors}
    return {name: each for name, each in found.items() if each.shown or each.faults}


def _panels(one: DetectorResults) -> Panels:
    made = Panels()
    valid: list[tuple[LoadedResult, Example]] = []
    for found in sorted(one.suites.values(), key=lambda found: found.suite, reverse=True):
        for number, content in enumerate(found.examples, start=1):
            try:
                valid.append((found, _EXAMPLE.validate_python(_dated(content))))
            except ValueError as error:
                reason = one_line(str(error))[:160]
                made.faults.append(f"{found.path}: example {number} cannot be shown: {reason}")
    valid = list({_same(example): (found, example) for found, example in valid[::-1]}.values())
    chosen = _spread(valid[::-1])
    for found, example in chosen:
        made.shown.append(_panel(found, example, made.faults))
    return Panels(shown=made.shown, more=len(valid) - len(chosen), faults=made.faults)


def _same(example: Example) -> tuple[str | float, ...]:
    """Suites show the same image twice, if they begin with the same attack."""
    threat = LINF if example.threat == _PNG else example.threat
    verdicts = example.clean.probability, example.attacked.probability
    return threat, example.attack, example.budget, example.true, *verdicts


def _dated(content: Mapping[str, Any]) -> dict[str, Any]:
    """An example may leave out what it does not know, with None, too."""
    return {name: value for name, value in content.items() if value is not None}


def _spread(valid: Sequence[tuple[LoadedResult, Example]]) -> list[tuple[LoadedResult, Example]]:
    """At most so many, of every kind one before a second of any."""
    seen: dict[tuple[str, str, str], int] = {}
    turns = []
    for place, (_, example) in enumerate(valid):
        kind = (example.threat, example.true, example.fate)
        seen[kind] = seen.get(kind, 0) + 1
        turns.append((seen[kind], place))
    return [valid[place] for place in sorted(place for _, place in sorted(turns)[:MOST])]


def _panel(found: LoadedResult, example: Example, faults: list[str]) -> Panel:
    parts: list[JudgedFile | Picture | None] = [
        example.clean,
        example.residual,
        example.noise,
        example.attacked,
    ]
    pictures = {part.file: picture(found.path.parent, part.file) for part in parts if part}
    for name, source in pictures.items():
        if not source:
            faults.append(f"{found.path}: the picture {one_line(name)} is gone, or none")
    return Panel(example=example, pictures=pictures)


_EXAMPLE = TypeAdapter(Example)
