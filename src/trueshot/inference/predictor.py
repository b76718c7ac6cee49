"""A photograph's pixels to a verdict, as the card of a bundle says."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from trueshot.bundle import load_bundle
from trueshot.card import Card, InputContract
from trueshot.errors import BundleError
from trueshot.inference.backends import Runtime, ScoreFunction, with_torch
from trueshot.inference.crops import CropSelection, cut, select_crops
from trueshot.inference.features import features_of
from trueshot.inference.onnx_reading import is_onnx
from trueshot.inference.onnx_runtime import with_onnx

if TYPE_CHECKING:
    from trueshot.detector import Detector

Answer = str
Bytes = npt.NDArray[np.uint8]

UNCALIBRATED = "not calibrated: the sign of the score decides; error rates are not known"

_TRIMMED = 0.2  # as in `CropAggregator`


@dataclass(frozen=True, kw_only=True, eq=False)
class Prediction:
    """What came of one photograph.

    Args:
        verdict: original, recaptured or undecided.
        score: Of the photograph, logit of recaptured minus logit of original; None without crops.
        log10_lr: Bounded likelihood ratio of recaptured against original; None without
            calibration or score. It stands, with its reasons beside it, on undecided
            photographs too.
        side: Of the crops, in pixels.
        corners: Of the crops (y, x).
        scores: Of the crops, shape (n,).
        features: See `features_of`.
        reasons: Why it is outside of what was calibrated; the verdict is undecided then.
    """

    verdict: Answer
    score: float | None
    log10_lr: float | None
    side: int
    corners: tuple[tuple[int, int], ...]
    scores: npt.NDArray[np.float64]
    features: dict[str, float]
    reasons: tuple[str, ...] = ()


class Predictor:
    """A detector that judges whole photographs.

    Args:
        card: What the bundle says of itself.
        margins: Scores of crops.
        detector: What computes them, for those who look into it; None where torch does not.

    Raises:
        ValueError: The card does not say the size of a crop.
    """

    def __init__(
        self, card: Card, margins: ScoreFunction, detector: Detector | None = None
    ) -> None:
        self.card = card
        self.contract: InputContract = card.input_contract()
        self.margins = margins
        self.detector = detector

    @classmethod
    def load(cls, bundle: str | os.PathLike[str], runtime: Runtime | None = None) -> Predictor:
        """Read a detector.

        Args:
            bundle: A bundle, or an ONNX file that `trueshot export` wrote.
            runtime: What computes; by default torch, which only bundles can be run with, and
                onnxruntime for an ONNX file. Judging by onnxruntime loads no torch.

        Raises:
            BundleError: It cannot be read, or does not judge photographs.
        """
        onnx = is_onnx(bundle)
        if onnx and runtime == "torch":
            raise BundleError(f"{bundle}: an ONNX file is not run by torch; give its bundle")
        try:
            if onnx or runtime == "onnx":
                return cls(*with_onnx(bundle))
            detector, card = load_bundle(bundle)
            return cls(card, with_torch(detector), detector.folded())
        except ValueError as error:
            raise BundleError(f"{bundle}: cannot judge photographs: {error}") from error

    def predict(self, pixels: Bytes) -> Prediction:
        """Judge a photograph; the same pixels always get the same answer.

        Args:
            pixels: RGB bytes, shape (h, w, 3), any size.
        """
        side = self.contract.side
        selection = select_crops(pixels, side, self.contract.crops)
        crops = cut(pixels, selection.corners, side)
        scores = self.margins(crops)
        features = features_of(crops, selection.flat)
        finite = len(scores) > 0 and bool(np.isfinite(scores).all())
        score = aggregate(scores, self.contract.aggregation) if finite else None
        reasons = self._reasons(pixels, selection, finite, features)
        return Prediction(
            verdict="undecided" if reasons or score is None else self._verdict(score),
            score=score,
            log10_lr=self._log10_lr(score),
            side=side,
            corners=selection.corners,
            scores=scores,
            features=features,
            reasons=tuple(reasons),
        )

    @property
    def notes(self) -> tuple[str, ...]:
        """What must be known of all its verdicts."""
        return () if self.card.decision is not None else (UNCALIBRATED,)

    def _verdict(self, score: float) -> Answer:
        if self.card.decision is not None:
            return self.card.decision.verdict(score)
        return "recaptured" if score > 0 else "original"

    def _log10_lr(self, score: float | None) -> float | None:
        if score is None or self.card.calibration is None:
            return None
        return float(self.card.calibration.log10_lr(np.array([score]))[0])

    def _reasons(
        self, pixels: Bytes, selection: CropSelection, finite: bool, features: dict[str, float]
    ) -> list[str]:
        height, width = pixels.shape[:2]
        side = self.contract.side
        if min(height, width) < side:
            return [f"{width}×{height} px: too small, {side}×{side} or more are needed"]
        if not selection.corners:
            return ["flat all over: no part of it shows enough to be judged"]
        if not finite:
            return ["its score is no finite number"]
        if self.card.domain is None:
            return []
        return self.card.domain.reasons(features, len(selection.corners))


def aggregate(scores: npt.NDArray[np.float64], how: str) -> float:
    """Scores of crops, shape (n,), n ≥ 1, made one, as `CropAggregator` does with logits."""
    ranked = np.sort(scores)
    count = len(ranked)
    if how == "mean":
        return float(scores.mean())
    if how == "max":
        return float(ranked[-1])
    left = (count - 1) // 2 if how == "median" else int(count * _TRIMMED)
    return float(ranked[left : count - left].mean())
