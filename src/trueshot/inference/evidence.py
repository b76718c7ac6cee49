"""Combines three kinds of evidence about one photograph: texture, lattice and context.

Texture is a network's judgement of crops at native size, lattice the grid of a display in spectra
of large windows, context the content of the whole frame. Linear models in the card bring them to
one scale and add them. A picture smaller than those that phones and messengers write is a piece of
a photograph: its whole frame is not visible, so context is left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from trueshot.card import KINDS, EvidenceModel
from trueshot.inference.context import context_frame
from trueshot.inference.crop_model import CropModel
from trueshot.inference.lattice import Lattice, find_lattice
from trueshot.inference.pooling import Corners, TextureRegion, most_convincing_region
from trueshot.inference.regions import Region, most_convincing_place

Bytes = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float64]

WHOLE = 400_000  # pixels; a smaller picture is a piece of a photograph


@dataclass(frozen=True, kw_only=True, eq=False)
class Evidence:
    """The evidence for and against a recapture in one photograph.

    Args:
        features: Inputs of each kind's linear model, by kind and name. A kind without data (no
            crop, no window, no whole frame) is missing.
        values: Output of each kind's linear model, on one scale; empty if the card has no models.
        contributions: What each kind adds to the score, positive for a recapture; empty if the
            card has no models.
        looks_like: Kind of medium that the frame looks most like; empty for a piece.
        texture: Region whose crops look most like a recapture; None without crops.
        lattice: Result of the search for a display grid in the spectra.
        region: Outline of the strongest evidence for a recapture; None if there is none.
    """

    features: Mapping[str, Mapping[str, float]]
    values: Mapping[str, float]
    contributions: Mapping[str, float]
    looks_like: str
    texture: TextureRegion | None
    lattice: Lattice
    region: Region | None


class EvidenceJudge:
    """Gathers the evidence about photographs and combines it.

    Args:
        model: Linear models that combine the evidence.
        context: Network that judges whole frames.

    Raises:
        ValueError: The context network lacks a needed output, or has other classes than `model`.
    """

    def __init__(self, model: EvidenceModel, context: CropModel) -> None:
        self.model = model
        self.context = context
        given = context.outputs(np.zeros((1, context.side, context.side, 3), np.uint8))
        count = len(model.media)
        scores, logits = given.get("scores", np.zeros(0)), given.get("logits", np.zeros((1, 2)))
        if scores.shape != (1,) or logits.shape != (1, count):
            raise ValueError(
                f"the context network must return one score and {count} logits per frame, not "
                f"scores of shape {scores.shape} and logits of shape {logits.shape}"
            )
        if given.get("evidence", np.zeros(1)).ndim != 3:
            raise ValueError("the context network has no 3-dimensional output named evidence")

    def gather(self, pixels: Bytes, corners: Corners, scores: Floats, side: int) -> Evidence:
        """Gather all three kinds of evidence about a photograph.

        Args:
            pixels: RGB bytes, shape (h, w, 3).
            corners: Upper left corners (y, x) of the crops that were judged.
            scores: Scores of these crops, shape (n,).
            side: Height and width of these crops, in pixels.
        """
        texture = most_convincing_region(corners, scores, side) if len(scores) else None
        lattice = find_lattice(pixels)
        is_whole = pixels.shape[0] * pixels.shape[1] >= WHOLE
        seen = self._seen(pixels) if is_whole else {"evidence": np.zeros((1, 1, 1))}
        features: dict[str, Mapping[str, float]] = {}
        if is_whole:
            features["context"] = {"logit": float(seen["scores"][0])}
        if texture is not None:
            features["texture"] = {
                "region": texture.score,
                "overall": texture.overall,
                "highest third": texture.highest_third,
                "highest": texture.highest,
            }
        if lattice.region is not None:
            features["lattice"] = lattice.features
        heads = self.model.heads | ({} if is_whole else self.model.pieces)
        values = {kind: heads[kind].score(given) for kind, given in features.items() if heads}
        contributions = self._contributions(values)
        return Evidence(
            features=features,
            values=values,
            contributions=contributions,
            looks_like=self._looks_like(seen) if is_whole else "",
            texture=texture,
            lattice=lattice,
            region=most_convincing_place(
                pixels.shape[:2], contributions, texture, corners, lattice, seen["evidence"][0]
            ),
        )

    def _seen(self, pixels: Bytes) -> dict[str, Floats]:
        return self.context.outputs(context_frame(pixels, self.context.side)[None])

    def score(self, evidence: Evidence) -> float | None:
        """Return the joint score; without a joint model, the texture score or None."""
        joint = self.model.joint
        if joint is None:
            return None if evidence.texture is None else evidence.texture.score
        return joint.score(joint_features(evidence.values))

    def _contributions(self, values: Mapping[str, float]) -> dict[str, float]:
        """Return what each kind adds to the score, summed over all its terms in the joint model."""
        if self.model.joint is None:
            return {}
        parts = self.model.joint.contributions(joint_features(values))
        return {
            kind: sum(value for name, value in parts.items() if name.split()[0] == kind)
            for kind in KINDS
        }

    def _looks_like(self, seen: Mapping[str, Floats]) -> str:
        """Return the likeliest kind of medium, even if there is probably none."""
        if "logits" not in seen:
            return self.model.media[1]
        return self.model.media[1 + int(np.argmax(seen["logits"][0][1:]))]


def joint_features(values: Mapping[str, float]) -> dict[str, float]:
    """Return the inputs of a joint model: each kind's value, its positive and its negative part."""
    found: dict[str, float] = {}
    for kind, value in values.items():
        found |= {kind: value, f"{kind} for": max(value, 0.0), f"{kind} against": min(value, 0.0)}
    return found
