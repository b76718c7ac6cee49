"""Certified radii: the largest change, in levels, that provably leaves a verdict unchanged.

The proof needs a 1-Lipschitz network (`networks.lipschitz`), crop positions that depend only on the
size of the photograph, and a mean, median, trimmed mean or maximum of the crop scores. Then a
change of every value by up to r levels moves the photograph's score by at most r, and the distance
from the score to the nearest threshold is the certified radius. Nothing else may affect the
verdict: such a card has no domain, and reduced colours give a note instead of a reason.
"""

from __future__ import annotations

from trueshot.card import Card

ROUNDING = 0.01
"""Levels subtracted from every radius: more than the rounding error of a score in float32."""

_LEVELS = 255.0
_BOUNDED = ("lipschitz",)  # networks whose score changes by at most 1 per level


def is_provable(card: Card) -> bool:
    """Whether the verdicts of a detector on whole photographs can be certified."""
    contract = card.contract
    return (
        card.network.get("name") in _BOUNDED
        and contract is not None
        and contract.places == "grid"
        and card.evidence is None
        and card.domain is None
        and card.decision_rule == "against-class-0"
        and len(card.classes) == 2
    )


def proven_radius(card: Card, score: float) -> float | None:
    """Return the certified radius of the verdict on a photograph with this score.

    Args:
        card: Card of the detector.
        score: Score of the photograph.

    Returns:
        A radius in levels, above 0: changing every value of the decoded picture by up to that much
        gives no other verdict, neither the opposite nor undecided. None if nothing is proven.
    """
    if not is_provable(card):
        return None
    low, high = card.thresholds
    if score >= high:
        distance = score - high
    else:
        distance = low - score if score <= low else min(score - low, high - score)
    radius = distance * card.scale - ROUNDING  # the input of a network is levels / scale
    return min(radius, _LEVELS) if radius > 0 else None
