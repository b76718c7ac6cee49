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
from trueshot.inference.context import ContextView, context_frame
from trueshot.inference.crop_model import CropModel
from trueshot.inference.lattice import Lattice, find_lattice
from trueshot.inference.pooling import Corners, TextureRegion, most_convincing_region
from trueshot.inference.regions import KindOfEvidence, Region, most_convincing_place

Bytes = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float64]

WHOLE = 400_000  # pixels; a smaller picture is a piece of a photograph


@dataclass(frozen=True, kw_only=True, eq=False)
class Evidence:
    """The evidence for and against a recapture in one photograph.

    Args:
        texture: Region whose crops look most like a recapture.
        lattice: Result of the search for a display grid in the spectra; None if the photograph is
            too small for a window.
        context: What the whole frame shows; None for a piece.
        values: Output of each kind's linear model, on one scale; empty if the card has no models.
        contributions: What each kind adds to the score, positive for a recapture; empty if the
            card has no models.
        score: The joint score; without a joint model, that of the texture.
        region: Outline of the strongest evidence for a recapture; None if there is none.
    """

    texture: TextureRegion
    lattice: Lattice | None
    context: ContextView | None
    values: Mapping[str, float]
    contributions: Mapping[str, float]
    score: float
    region: Region | None

    @property
    def features(self) -> dict[str, Mapping[str, float]]:
        """Inputs of each kind's linear model; a kind without data is missing."""
        kinds = {kind: getattr(self, kind) for kind in KINDS}
        return {kind: found.features for kind, found in kinds.items() if found is not None}

    @property
    def looks_like(self) -> str:
        """Kind of medium that the frame looks most like; empty for a piece."""
        return "" if self.context is None else self.context.looks_like


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
            corners: Upper left corners (y, x) of the crops that were judged, at least one.
            scores: Scores of these crops, shape (n,).
            side: Height and width of these crops, in pixels.
        """
        found = find_lattice(pixels)
        is_whole = pixels.shape[0] * pixels.shape[1] >= WHOLE
        texture = most_convincing_region(corners, scores, side)
        lattice = found if found.region else None
        context = self._context(pixels) if is_whole else None
        every: tuple[KindOfEvidence | None, ...] = (texture, lattice, context)
        kinds = {name: kind for name, kind in zip(KINDS, every, strict=True) if kind is not None}
        heads = self.model.heads | ({} if is_whole else self.model.pieces)
        values = {name: heads[name].score(kind.features) for name, kind in kinds.items() if heads}
        joint, terms = self.model.joint, joint_features(values)
        contributions = {} if joint is None else _by_kind(joint.contributions(terms))
        return Evidence(
            texture=texture,
            lattice=lattice,
            context=context,
            values=values,
            contributions=contributions,
            score=texture.score if joint is None else joint.score(terms),
            region=most_convincing_place(pixels.shape[:2], kinds, contributions),
        )

    def _context(self, pixels: Bytes) -> ContextView:
        seen = self.context.outputs(context_frame(pixels, self.context.side)[None])
        media = self.model.media[1:]
        return ContextView(
            logit=float(seen["scores"][0]),
            looks_like=media[int(np.argmax(seen["logits"][0][1:])) if "logits" in seen else 0],
            places=seen["evidence"][0],
        )


def joint_features(values: Mapping[str, float]) -> dict[str, float]:
    """Return the inputs of a joint model: each kind's value, its positive and its negative part."""
    found: dict[str, float] = {}
    for kind, value in values.items():
        found |= {kind: value, f"{kind} for": max(value, 0.0), f"{kind} against": min(value, 0.0)}
    return found


def _by_kind(parts: Mapping[str, float]) -> dict[str, float]:
    """Sum the contributions of all terms of a kind in the joint model."""
    return {
        kind: sum(value for name, value in parts.items() if name.split()[0] == kind)
        for kind in KINDS
    }
