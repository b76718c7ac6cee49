"""Card entries about the photographs and the calibration of a bundle."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ValidationError

from trueshot.calibrating.error_rates import FittedCalibration
from trueshot.calibrating.scores import Scores
from trueshot.calibration.intervals import FEW
from trueshot.card import Card, DataFacts
from trueshot.errors import BundleError, LeakError
from trueshot.files import utf8_safe
from trueshot.inference.colours import is_colour_reason


def updated(card: Card, said: dict[str, Any], bundle: Path) -> Card:
    """Return the card with other entries, validated like a card that is read."""
    parts = {k: v.model_dump() if isinstance(v, BaseModel) else v for k, v in said.items()}
    try:
        return Card.model_validate({**card.model_dump(), **parts})
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise BundleError(f"{bundle}: invalid {where} for its card: {first['msg']}") from error


def note_on(evidence: Scores, passed_over: int = 0) -> str:
    """Return a note on the photographs that were left out, in sentences.

    Args:
        evidence: The photographs.
        passed_over: Number of files beside them that hold no image.
    """
    without = len(evidence.findings) - len(evidence.scored().findings)
    few_colours = sum(is_colour_reason(each.error) for each in evidence.unread)
    told = {
        "could not be read": len(evidence.unread) - few_colours,
        "are of a palette or of few colours, of which no calibration speaks": few_colours,
        "came twice and count once": evidence.twins,
        "are too small or flat, count as undecided, and have no part in EER, AUC and Cllr": without,
    }
    told = {f"photographs {what}": count for what, count in told.items()}
    told["files beside them hold no image"] = passed_over
    return " ".join(f"{count} {what}." for what, count in told.items() if count)


def limits_of(fitted: FittedCalibration, known: Scores) -> list[str]:
    """Return the limits that follow from the calibration, a sentence each."""
    sources = len(set(known.sources))
    found = [
        "Likelihood ratios, thresholds and rates hold for photographs like those calibrated; on "
        "other cameras, screens, prints or editing they may be others."
    ]
    if not fitted.of_new_sources:
        found.append(
            f"The {sources} sources of the calibration are too few to keep the wanted rates for "
            "photographs of other sources: they are kept for photographs of the same ones."
        )
    if sources < FEW:
        found.append(f"Calibrated on {sources} sources only.")
    return found


def facts_of(evidence: Scores, dataset: Path, passed_over: int = 0) -> DataFacts:
    """Return the card's entry on these photographs; `passed_over` counts files without an image."""
    originals, recaptured = np.bincount(evidence.labels, minlength=2).tolist()
    return DataFacts(
        name=utf8_safe(dataset.resolve().name)[:200],
        fingerprint=evidence.fingerprint,
        originals=originals,
        recaptured=recaptured,
        sources=len(set(evidence.sources)),
        note=note_on(evidence, passed_over),
    )


def refuse_leak(known: Scores, new: Scores) -> None:
    """Raise LeakError if a photograph or a named source is in both sets."""
    hashes = {each.sha256 for each in known.findings}
    sources = {each.photograph.source for each in known.findings} - {""}
    for each in new.findings:
        if each.sha256 in hashes:
            raise LeakError(
                f"{each.photograph.name}: used both for calibration and for testing; remove one"
            )
        if each.photograph.source in sources:
            raise LeakError(
                f"source {each.photograph.source}: used both for calibration and for testing "
                f"({each.photograph.name}); use all its photographs for one of them"
            )
