"""Three kinds of evidence about one photograph, joined: texture, lattice, context.

Texture is what a network sees in crops at native size, lattice the grid of a display in long
spectra, context what the whole frame shows. Linear models of the card bring each to one scale and
add them. What is smaller than phones and messengers write is a piece of a photograph: the frame is
not there to be seen, so context is not asked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from trueshot.card import KINDS, EvidenceModel
from trueshot.errors import BundleError
from trueshot.inference.context import context_frame
from trueshot.inference.crop_model import CropModel
from trueshot.inference.lattice import LUMA, Lattice, find_lattice
from trueshot.inference.pooling import Corners, TextureRegion, most_convincing_region
from trueshot.inference.regions import Region, most_convincing_place

Bytes = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float64]

WHOLE = 400_000  # pixels, below which it is no whole photograph


@dataclass(frozen=True, kw_only=True, eq=False)
class Evidence:
    """What speaks for and against a recapture in one photograph.

    Args:
        features: Of each kind, by name: what its head adds up. A kind that has nothing to go by
            (no crop, no window, no whole frame) is missing.
        values: What each kind says, on one scale; empty as long as nothing was joined.
        contributions: What each kind adds to the score; positive speaks for a recapture. Empty as
            long as nothing was joined.
        looks_like: The kind of medium that the frame looks like most; empty of a piece.
        texture: Where crops look most like those of a recapture; None without crops.
        lattice: What the spectra hold.
        context_map: What each place of the frame adds to the context's log odds, shape (8, 8); 0
            of a piece.
        region: What speaks for a recapture most, outlined; None if nothing does.
    """

    features: Mapping[str, Mapping[str, float]]
    values: Mapping[str, float]
    contributions: Mapping[str, float]
    looks_like: str
    texture: TextureRegion | None
    lattice: Lattice
    context_map: Floats
    region: Region | None


class EvidenceJudge:
    """Gathers evidence and joins it.

    Args:
        model: How.
        context: The network that sees whole frames.

    Raises:
        BundleError: The network does not say of a frame what is needed.
    """

    def __init__(self, model: EvidenceModel, context: CropModel) -> None:
        self.model = model
        self.context = context
        given = context.outputs(np.zeros((1, context.side, context.side, 3), np.uint8))
        count = len(model.media)
        logits = given.get("logits", np.zeros((1, 2)))
        if logits.shape != (1, count) or given["scores"].shape != (1,):
            raise BundleError(f"a context network of {logits.shape[1:]} classes, {count} are named")
        if given.get("evidence", np.zeros(1)).ndim != 3:
            raise BundleError("a context network that does not say where it sees what")

    def gather(self, pixels: Bytes, corners: Corners, scores: Floats, side: int) -> Evidence:
        """Look at a photograph in all three ways.

        Args:
            pixels: RGB bytes, shape (h, w, 3).
            corners: Of the crops that were judged.
            scores: Of these crops, shape (n,).
            side: Of these crops.
        """
        texture = most_convincing_region(corners, scores, side) if len(scores) else None
        lattice = find_lattice(pixels, LUMA)
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
            context_map=seen["evidence"][0],
            region=most_convincing_place(
                pixels.shape[:2], contributions, texture, corners, lattice, seen["evidence"][0]
            ),
        )

    def _seen(self, pixels: Bytes) -> dict[str, Floats]:
        return self.context.outputs(context_frame(pixels, self.context.side)[None])

    def score(self, evidence: Evidence) -> float | None:
        """Of the photograph; without a joint model, of its texture."""
        joint = self.model.joint
        if joint is None:
            return None if evidence.texture is None else evidence.texture.score
        return joint.score(joint_features(evidence.values))

    def _contributions(self, values: Mapping[str, float]) -> dict[str, float]:
        """By kind; how often a kind is asked in one way or another is no matter here."""
        if self.model.joint is None:
            return {}
        parts = self.model.joint.contributions(joint_features(values))
        return {
            kind: sum(value for name, value in parts.items() if name.split()[0] == kind)
            for kind in KINDS
        }

    def _looks_like(self, seen: Mapping[str, Floats]) -> str:
        """The likeliest kind of medium, whether there is one or not."""
        if "logits" not in seen:
            return self.model.media[1]
        return self.model.media[1 + int(np.argmax(seen["logits"][0][1:]))]


def joint_features(values: Mapping[str, float]) -> dict[str, float]:
    """What a joint model may add up: what each kind says, and that for and against apart."""
    found: dict[str, float] = {}
    for kind, value in values.items():
        found |= {kind: value, f"{kind} for": max(value, 0.0), f"{kind} against": min(value, 0.0)}
    return found
