"""What a report of a scan shows of one image: pictures, and the findings in words."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from trueshot.calibration.verbal_scale import (
    BETWEEN_THRESHOLDS,
    PROPOSITIONS,
    beside_verdict,
    in_words,
)
from trueshot.card import Card
from trueshot.reports.scan_summary import Row
from trueshot.reports.scan_text import number_text, times_text

if TYPE_CHECKING:
    from trueshot.inference.explanation import Explanation

_TYPES = {b"\xff\xd8": "image/jpeg", b"\x89P": "image/png", b"RI": "image/webp"}
_FRAME = 4000  # bytes of a card besides its pictures, about
_AT_BOUND = 1e-6


@dataclass(frozen=True, kw_only=True)
class ImageCard:
    """One image of a report.

    Args:
        row: Its record.
        explanation: None if none was kept; the pictures are then missing.
        verdict: In a sentence.
        findings: The likelihood ratio in words, or why there is none; empty for none.
        caution: Why the likelihood ratio must not be relied on; empty if nothing speaks against.
    """

    row: Row
    explanation: Explanation | None
    verdict: str
    findings: tuple[str, ...]
    caution: str

    @property
    def picture_bytes(self) -> int:
        """What its pictures take in the page, as base64."""
        return sum(4 * (len(picture) + 2) // 3 for picture in _pictures(self.explanation))


def image_cards(
    rows: Iterable[Row],
    explanations: Mapping[str, Explanation],
    card: Card,
    most: int,
    most_bytes: int,
) -> list[ImageCard]:
    """The first so many images that fit into so many bytes."""
    found: list[ImageCard] = []
    room = most_bytes
    for row in rows:
        if len(found) == most:
            break
        one = image_card(row, _explanation(explanations, row.sha256), card)
        room -= one.picture_bytes + _FRAME
        if room < 0:
            break
        found.append(one)
    return found


def image_card(row: Row, explanation: Explanation | None, card: Card) -> ImageCard:
    """Put the record of one image into words."""
    return ImageCard(
        row=row,
        explanation=explanation,
        verdict=_verdict(row, card),
        findings=_findings(row, card),
        caution=_caution(row, card),
    )


def data_uri(picture: bytes) -> str:
    """A JPEG, PNG or WebP as an address that holds it."""
    kind = _TYPES[picture[:2]]
    return f"data:{kind};base64,{base64.b64encode(picture).decode('ascii')}"


def rests_on_score(row: Row, card: Card) -> bool:
    """Whether the verdict is what the thresholds make of the score, and nothing else speaks.

    The record's reason tells: a photograph unlike those calibrated may have a score between the
    thresholds, too. Only where a record gives no reason the thresholds are asked.
    """
    if row.verdict != "undecided" or row.reason:
        return row.verdict != "undecided" or row.reason == BETWEEN_THRESHOLDS
    if row.score is None or card.decision is None:
        return False
    return card.decision.verdict(row.score) == "undecided"


def _verdict(row: Row, card: Card) -> str:
    if row.verdict == "undecided" and rests_on_score(row, card):
        return "No verdict: the score lies between the two thresholds."
    if row.verdict == "undecided" and row.score is None:
        return "No verdict: there is no score."
    if row.verdict == "undecided":
        return "No verdict: outside of what the detector was calibrated for."
    where = "" if card.decision is None else " by the thresholds of this detector"
    return f"Classified as {_ARTICLE[row.verdict]}{where}."


_ARTICLE = {"original": "an original", "recaptured": "a recapture", "error": "not judged"}


def _findings(row: Row, card: Card) -> tuple[str, ...]:
    if row.log10_lr is None:
        why = "the detector is not calibrated" if card.calibration is None else "there is no score"
        return (f"No likelihood ratio: {why}.",)
    times = times_text(row.log10_lr)
    likelier, other = ("H1", "H2") if row.log10_lr >= 0 else ("H2", "H1")
    bound = ", the most that the calibration supports" if _at_bound(row.log10_lr, card) else ""
    said = f"about {times} times as probable if {likelier} is true as if {other} is{bound}"
    if times == "1":
        said = "about as probable if H1 is true as if H2 is"
    beside = beside_verdict(row.verdict, row.log10_lr) if card.decision is not None else ""
    told = (f"A score of {number_text(row.score)} is {said}.", in_words(row.log10_lr))
    return (*told, beside) if beside else told


def _caution(row: Row, card: Card) -> str:
    if row.verdict != "undecided" or row.log10_lr is None or rests_on_score(row, card):
        return ""
    return (
        "This photograph is unlike those that the likelihood ratio was calibrated on. The ratio is "
        "printed for completeness and must not be relied on."
    )


def _at_bound(log10_lr: float, card: Card) -> bool:
    if card.calibration is None:
        return False
    bounds = (card.calibration.lower, card.calibration.upper)
    return any(abs(log10_lr - bound) < _AT_BOUND and bound for bound in bounds)


def _explanation(explanations: Mapping[str, Explanation], sha256: str) -> Explanation | None:
    try:
        return explanations.get(sha256) if sha256 else None
    except ValueError:  # a damaged one: the findings stand without it
        return None


def _pictures(explanation: Explanation | None) -> list[bytes]:
    if explanation is None:
        return []
    telling: Any = explanation.telling
    found = [explanation.thumbnail, explanation.heat or b""]
    return found + ([telling.crop, telling.seen] if telling else [])


def hypotheses() -> tuple[str, str]:
    """The two propositions, H1 and H2, as sentences."""
    first, second = (text[0].upper() + text[1:] + "." for text in PROPOSITIONS)
    return first, second
