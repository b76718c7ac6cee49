"""A bundle as one ONNX file for other programs, written only if it judges as the bundle does."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from trueshot.card import Card
from trueshot.errors import BundleError, TrueshotError
from trueshot.export.photographs import IMAGES, photographs
from trueshot.files import write_atomically

TOLERANCE = 1e-4
RELATIVE = 2e-6  # sixteen roundings of float32, which a score above 50 has no more digits than


class ExportError(TrueshotError):
    """A detector that is not exported as asked; nothing was written."""


@dataclass(frozen=True, kw_only=True)
class Exported:
    """What was written.

    Args:
        path: The file.
        sha256: Of the file.
        images: Generated photographs on which it was compared with the bundle.
        difference: Largest difference of a score, of a crop or a photograph.
    """

    path: Path
    sha256: str
    images: int
    difference: float


def export_onnx(bundle: str | os.PathLike[str], out: str | os.PathLike[str]) -> Exported:
    """Write a bundle as one ONNX file: see `judging.onnx_graph` for what is in it.

    Before it is written it judges 200 generated photographs beside the bundle. All scores must be
    within 1e-4 (or 2e-6 of a score above 50), all verdicts the same.

    Args:
        bundle: The detector.
        out: The file, replaced if it is there.

    Raises:
        BundleError: The bundle cannot be read, does not judge photographs, or has a network that
            is not known to ONNX here; or onnx and onnxruntime are not installed.
        ExportError: They do not judge alike, or `out` does not end in .onnx.
    """
    from trueshot.bundle import load_bundle
    from trueshot.inference.onnx_reading import SUFFIX, facts_of
    from trueshot.inference.onnx_runtime import serialised

    if Path(out).suffix.lower() != SUFFIX:
        raise ExportError(f"{out}: an ONNX file is known by its name; end it in {SUFFIX}")
    detector, card = load_bundle(bundle)
    try:
        data = serialised(bundle, card)
    except ValueError as error:
        raise BundleError(f"{bundle}: cannot judge photographs: {error}") from error
    facts_of(data, out)  # whoever reads it will ask the same
    difference = largest_difference(detector, card, data, out)
    write_atomically(Path(out), data)
    sha256 = hashlib.sha256(data).hexdigest()
    return Exported(path=Path(out), sha256=sha256, images=IMAGES, difference=difference)


def largest_difference(detector: Any, card: Card, data: bytes, path: object) -> float:
    """Compare a graph with the detector that it was made of.

    Args:
        detector: In evaluation mode.
        card: With its contract, calibration and decision.
        data: The graph, serialised.
        path: What errors name.

    Returns:
        The largest difference of a score.

    Raises:
        ExportError: A score, a likelihood ratio or a verdict is another.
    """
    from trueshot.inference.backends import with_torch
    from trueshot.inference.onnx_runtime import session_of

    contract, session, margins = card.input_contract(), session_of(data, path), with_torch(detector)
    names = [each.name for each in session.get_outputs()]
    largest = 0.0
    for number, crops in enumerate(photographs(contract.side, contract.crops)):
        wanted = _answers(card, margins(crops))
        found = dict(zip(names, session.run(names, {"crops": crops}), strict=True))
        largest = max(largest, _compared(wanted, found, f"{path}: image {number}"))
    return largest


def _answers(card: Card, scores: npt.NDArray[np.float64]) -> dict[str, Any]:
    """All that a graph gives, without it."""
    from trueshot.inference.onnx_graph import VERDICTS
    from trueshot.inference.predictor import aggregate

    score = aggregate(scores, card.input_contract().aggregation)
    untold = "recaptured" if score > 0 else "original"
    verdict = untold if card.decision is None else card.decision.verdict(score)
    answers = {"scores": scores, "score": score, "verdict": VERDICTS.index(verdict)}
    if card.calibration is None:
        return answers
    return {**answers, "log10_lr": card.calibration.log10_lr(score)}


def _compared(wanted: dict[str, Any], found: dict[str, Any], where: str) -> float:
    if wanted.keys() != found.keys():
        raise ExportError(f"{where}: gives {sorted(found)}, {sorted(wanted)} wanted")
    largest = 0.0
    for name in wanted:
        if name == "verdict":
            continue
        ours, theirs = np.asarray(wanted[name]), np.asarray(found[name])
        if ours.shape != theirs.shape:
            raise ExportError(f"{where}: {name} of shape {theirs.shape}, {ours.shape} wanted")
        differences = np.abs(ours - theirs)
        if not bool((differences <= np.maximum(TOLERANCE, RELATIVE * np.abs(ours))).all()):
            raise ExportError(
                f"{where}: {name} differs by {differences.max():.3g} from the bundle's, at most "
                f"{TOLERANCE:g} is let through; nothing was written: judge with torch, and report "
                "this as a fault of trueshot"
            )
        largest = max(largest, float(differences.max()))
    if wanted["verdict"] != found["verdict"]:
        raise ExportError(
            f"{where}: verdict {found['verdict']} instead of {wanted['verdict']} at the score "
            f"{float(wanted['score']):.9g}, while scores differ by at most {largest:.3g}; nothing "
            "was written: judge with torch, and report this as a fault of trueshot"
        )
    return largest
