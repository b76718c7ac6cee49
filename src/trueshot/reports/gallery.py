"""Panels for examples of attacks: image, residual, noise and attacked image, with verdicts."""

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

_PNG = "png"  # a threat of the file suite that equals L∞
MOST = 4  # panels per detector, because pictures make the page large


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """A detector's prediction on a file, and its probability."""

    predicted: str
    probability: float


@dataclass(frozen=True, kw_only=True)
class JudgedFile(Verdict):
    """A prediction with the file it is about."""

    file: str


@dataclass(frozen=True, kw_only=True)
class VerdictAfter(Verdict):
    """A prediction on the attacked image after a channel such as JPEG."""

    channel: str


@dataclass(frozen=True, kw_only=True)
class Picture:
    """An image file whose content was amplified by the factor `magnified`."""

    file: str
    magnified: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Example:
    """An attacked image as described in a result."""

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
    """An example with its pictures.

    Args:
        example: The example.
        pictures: Data URIs by file name; "" for a file that cannot be read.
    """

    example: Example
    pictures: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Panels:
    """The panels of one detector.

    Args:
        shown: Panels on the page, at most `MOST`.
        more: Number of examples that are omitted.
        faults: One sentence for each example or picture that cannot be shown.
    """

    shown: list[Panel] = field(default_factory=list)
    more: int = 0
    faults: list[str] = field(default_factory=list)


def panels(comparison: Comparison) -> dict[str, Panels]:
    """Return the panels of each detector by its name, omitting detectors without examples."""
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
    """Return a key for duplicates: suites that start with the same attack show the same image."""
    threat = LINF if example.threat == _PNG else example.threat
    verdicts = example.clean.probability, example.attacked.probability
    return threat, example.attack, example.budget, example.true, *verdicts


def _dated(content: Mapping[str, Any]) -> dict[str, Any]:
    """Drop fields that are None, because examples may omit unknown fields or set them to None."""
    return {name: value for name, value in content.items() if value is not None}


def _spread(valid: Sequence[tuple[LoadedResult, Example]]) -> list[tuple[LoadedResult, Example]]:
    """Choose at most `MOST` examples: one of each kind before a second of any kind.

    A kind is a combination of threat, true class and fate.
    """
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
