"""How far the verdict on a photograph is proven: no change of up to so many levels turns it.

A network whose score never moves farther than the image (`networks.lipschitz`), crops at places
that the size of the photograph decides, and a mean, median or maximum of their scores: then a
change of every value by up to r levels moves the photograph's score by no more than r, and the
distance from the score to the next threshold is the radius of a proof. Nothing else may have a say
in the verdict: such a card has no domain, and few colours are a note and no reason.
"""

from __future__ import annotations

from trueshot.card import Card

ROUNDING = 0.01
"""Levels taken off every radius: more than what single precision rounds a score by."""

_LEVELS = 255.0
_BOUNDED = ("lipschitz",)  # networks whose score moves by no more than a level per level


def is_provable(card: Card) -> bool:
    """Whether the verdicts of a detector on whole photographs come with a proof."""
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
    """Levels up to which no change turns the verdict on a photograph with this score.

    Args:
        card: Of the detector.
        score: Of the photograph.

    Returns:
        Levels above 0: no change of every value of the decoded picture by up to so many gives
        another verdict, be that the opposite or undecided. None where nothing is proven.
    """
    if not is_provable(card):
        return None
    decision = card.decision
    low, high = (0.0, 0.0) if decision is None else (decision.original_to, decision.recaptured_from)
    if score >= high:
        distance = score - high
    else:
        distance = low - score if score <= low else min(score - low, high - score)
    radius = distance * card.scale - ROUNDING  # a network is given levels / scale
    return min(radius, _LEVELS) if radius > 0 else None
