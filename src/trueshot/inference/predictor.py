"""Judges a photograph as the card of a bundle specifies: from pixels to a verdict."""

from __future__ import annotations

import functools
import math
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from trueshot.bundle import Bundle, BundlePath, load_bundle, read_bundle
from trueshot.card import Card, InputContract
from trueshot.errors import BundleError
from trueshot.images.orientation import lying, upright
from trueshot.inference.colours import colour_reasons
from trueshot.inference.crop_model import CropModel
from trueshot.inference.crops import CropSelection, cut, places_of, upright_corners
from trueshot.inference.evidence import Evidence, EvidenceJudge
from trueshot.inference.explanation import CropScore
from trueshot.inference.features import features_of
from trueshot.inference.pooling import Corners
from trueshot.inference.proof import is_provable, proven_radius
from trueshot.tasks.task import UNDECIDED

if TYPE_CHECKING:
    from trueshot.detector import Detector
    from trueshot.images import ImageFile

Bytes = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float64]

ScoreFunction = Callable[[Bytes], Floats]
"""Maps crops, RGB bytes (n, side, side, 3), to scores (n,) or logits (n, classes)."""

_OVERFLOWING = np.errstate(over="ignore", invalid="ignore")  # means of finite scores may overflow

CLASS_LOGIT = "logit of class "
"""Prefix of the names under which an uncalibrated detector reports a photograph's logits."""

UNCALIBRATED = "not calibrated: the sign of the score decides; error rates are not known"
LIKELIEST = "the likeliest class is named; error rates are not known"


@dataclass(frozen=True, kw_only=True, eq=False)
class Prediction:
    """The judgement of one photograph.

    Args:
        verdict: A word of the task, such as original or recaptured; or undecided.
        score: Log odds that the photograph is not of class 0; None without crops, or if it or a
            crop's score is not finite.
        log10_lr: Bounded log10 likelihood ratio of not class 0 against class 0; None without
            calibration or score. It is given for undecided photographs too, next to the reasons.
        log10_lr_interval: Ends of its 95 % interval over other calibration sources; None likewise,
            or if the calibration has no interval.
        side: Height and width of the crops, in pixels.
        corners: Upper left corners (y, x) of the crops, in the upright photograph.
        scores: Scores of the crops, shape (n,).
        maps: Scores of the crops by position, shape (n, rows, columns), with `scores` as means;
            None if the network has no scores by position.
        features: Properties of the crops, see `features_of`.
        reasons: Why the photograph is outside what was calibrated; if any, the verdict is
            undecided.
        notes: Reduced colours, if the detector has no thresholds or its verdicts can be certified;
            they do not affect the verdict.
        top_class: For more than two classes, the likeliest except class 0 or, for a task decided by
            the likeliest class, the likeliest of all; None without crops.
        evidence: The evidence behind the score if the detector combines several kinds, else None.
        orientation: EXIF orientation by which the photograph was turned upright.
        certified_radius: Levels up to which no change of the decoded picture changes the verdict,
            see `proof.proven_radius`; None if nothing is proven.
    """

    verdict: str
    score: float | None
    log10_lr: float | None
    side: int
    corners: tuple[tuple[int, int], ...] = field(repr=False)
    scores: Floats = field(repr=False)
    maps: Floats | None = field(default=None, repr=False)
    features: dict[str, float]
    reasons: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    top_class: str | None = None
    evidence: Evidence | None = field(default=None, repr=False)
    orientation: int = 1
    log10_lr_interval: tuple[float, float] | None = None
    certified_radius: float | None = None

    @property
    def likelihood_ratio(self) -> float | None:
        """How many times likelier the score is for other classes than for class 0."""
        return None if self.log10_lr is None else 10.0**self.log10_lr

    @property
    def regions(self) -> tuple[CropScore, ...]:
        """Judged crops with their scores: squares of `side` pixels."""
        pairs = zip(self.corners, self.scores, strict=True)
        return tuple(CropScore(y=y, x=x, score=float(score)) for (y, x), score in pairs)


class Predictor:
    """A detector that judges whole photographs.

    Args:
        card: The card of the bundle.
        scores: Function that computes scores of crops or, for more than two classes, logits.
        bundle: The bundle that the detector comes from; `detector` needs it.
        context: Network for whole frames, for cards that combine kinds of evidence.

    Raises:
        ValueError: The card does not give the size of a crop.
    """

    def __init__(
        self,
        card: Card,
        scores: ScoreFunction,
        bundle: BundlePath | None = None,
        context: CropModel | None = None,
    ) -> None:
        self.card = card
        self.contract: InputContract = card.input_contract()
        self.scores = scores
        self._bundle = bundle
        self._evidence: EvidenceJudge | None = None
        if card.evidence is not None and context is not None:
            self._evidence = EvidenceJudge(card.evidence, context)

    @classmethod
    def load(cls, bundle: BundlePath) -> Predictor:
        """Read a detector; PyTorch is needed only for bundles without a suitable graph.

        Args:
            bundle: The name of a shipped detector, or the path of a bundle or of an ONNX file
                written by `trueshot export`.

        Raises:
            BundleError: It cannot be read, or cannot judge photographs.
        """
        return cls.of(read_bundle(bundle), bundle)

    @classmethod
    def of(cls, bundle: Bundle, path: BundlePath) -> Predictor:
        """Make a predictor from a bundle that was read from `path`; see `load`."""
        try:
            context = None if bundle.context is None else CropModel(bundle.context, path)
            return cls(bundle.card, CropModel.of(bundle, path), path, context)
        except ValueError as error:
            raise BundleError(f"{path}: cannot judge photographs: {error}") from error

    @functools.cached_property
    def detector(self) -> Detector:
        """The differentiable PyTorch detector in evaluation mode, for attacks or inspection.

        Raises:
            BundleError: PyTorch is not installed, or this predictor was not read from a bundle.
        """
        if self._bundle is None:
            raise BundleError("this predictor was made without a bundle; use Predictor.load")
        return load_bundle(self._bundle)[0]

    def predict(
        self,
        photograph: ImageFile | Bytes | bytes | bytearray | memoryview | str | os.PathLike[str],
        *,
        orientation: int = 1,
    ) -> Prediction:
        """Judge a photograph; the same pixels always give the same answer.

        Crops are chosen on the grid on which the file was compressed and then turned upright, so a
        photograph is judged by the same pixels with and without an EXIF orientation.

        Args:
            photograph: The path of its file, the bytes of its file, an image from `read_image`, or
                RGB levels, uint8, shape (h, w, 3), upright.
            orientation: For an array, the EXIF orientation by which it was turned upright.

        Raises:
            ImageFileError: The file cannot be read.
            TypeError: The photograph is none of these.
            ValueError: The array has another dtype or shape, or the orientation is not 1 to 8.
        """
        pixels, orientation, mode = _stored(photograph, orientation)
        card, side = self.card, self.contract.side
        selection = places_of(pixels, self.contract)
        crops = upright(cut(pixels, selection.corners, side), orientation)
        corners = upright_corners(selection.corners, side, pixels.shape, orientation)
        scores, logits, maps = self._judged(crops)
        score, evidence = self._score(pixels, orientation, corners, scores)
        features = features_of(crops, selection.flat)
        reasons = self._reasons(pixels, selection, score, features)
        colours = [] if reasons else colour_reasons(mode, crops)
        is_calibrated = card.decision is not None or card.likeliest is not None
        if is_calibrated and not is_provable(card):  # content must not affect a proven verdict
            reasons, colours = reasons + colours, []
        likeliest = None
        if score is not None:
            likeliest, more, none = self._likeliest(logits)
            features, reasons = features | more, reasons or none
        if evidence is not None and not evidence.values:  # to fit the card's linear models from
            for kind, found in evidence.features.items():
                features |= {f"{kind}: {name}": value for name, value in found.items()}
        verdict, radius = UNDECIDED, None
        if score is not None and not reasons:
            is_top = card.decision_rule == "top-class"
            verdict = likeliest if is_top and likeliest else card.verdict(score)
            radius = proven_radius(card, score)
        return Prediction(
            verdict=verdict,
            score=score,
            log10_lr=None if score is None else card.log10_lr(score),
            log10_lr_interval=None if score is None else card.log10_lr_interval(score),
            side=side,
            corners=corners,
            scores=scores,
            maps=maps,
            features=features,
            reasons=tuple(reasons),
            notes=tuple(colours),
            top_class=likeliest if len(card.classes) > 2 else None,
            evidence=evidence,
            orientation=orientation,
            certified_radius=radius,
        )

    def crop_scores(self, crops: Bytes) -> Floats:
        """Compute the scores of crops, shape (n,)."""
        return self._judged(crops)[0]

    @_OVERFLOWING
    def _score(
        self, pixels: Bytes, orientation: int, corners: Corners, scores: Floats
    ) -> tuple[float | None, Evidence | None]:
        """Compute the photograph's score and the evidence behind it; None if it is not finite."""
        if not len(scores) or not np.isfinite(scores).all():
            return None, None
        evidence = None
        if self._evidence is not None:
            shown = upright(pixels, orientation)
            evidence = self._evidence.gather(shown, corners, scores, self.contract.side)
        score = self.contract.aggregate(scores) if evidence is None else evidence.score
        return (score, evidence) if math.isfinite(score) else (None, None)

    def _judged(self, crops: Bytes) -> tuple[Floats, Floats, Floats | None]:
        """Compute scores (n,), logits (n, classes) and maps; of two classes, 0 and the score."""
        model, maps = self.scores, None
        if isinstance(model, CropModel):
            found, maps = model.judged(crops)
        else:
            found = model(crops)
        if found.ndim == 1:
            return found, np.stack([np.zeros_like(found), found], axis=1), maps
        classes = len(self.card.classes)
        if len(found) and found.shape[1] != classes:
            counted = f"returns {found.shape[1]} logits for {classes} classes"
            raise BundleError(f"{self._bundle or 'the detector'}: its network {counted}")
        return log_odds(found), found, maps

    @_OVERFLOWING
    def _likeliest(self, logits: Floats) -> tuple[str, dict[str, float], list[str]]:
        """Return the likeliest class over all crops, features, and reasons to name no class.

        Class 0 is left out, and there are no features or reasons, unless the task is decided by
        the likeliest class.
        """
        columns = (logits - logits[:, :1]).T
        odds = np.array([self.contract.aggregate(column) for column in columns])
        classes, how = self.card.classes, self.card.likeliest
        if self.card.decision_rule != "top-class":
            return classes[1 + int(odds[1:].argmax())], {}, []
        best = classes[int(odds.argmax())]
        if how is None:  # a calibration is fitted to these features
            return best, {f"{CLASS_LOGIT}{k:02}": odd for k, odd in enumerate(odds.tolist())}, []
        found = float(probabilities(odds, how.temperature).max())
        none = (
            f"perhaps none of its classes: the likeliest, {best}, has a probability of "
            f"{found:.2f}, and {how.least:.2f} is wanted"
        )
        return best, {"probability": found}, [none] * (found < how.least)

    @property
    def notes(self) -> tuple[str, ...]:
        """Remarks that apply to all verdicts of this detector."""
        if self.card.decision_rule == "top-class":
            return () if self.card.likeliest is not None else (LIKELIEST,)
        return () if self.card.decision is not None else (UNCALIBRATED,)

    def _reasons(
        self,
        pixels: Bytes,
        selection: CropSelection,
        score: float | None,
        features: dict[str, float],
    ) -> list[str]:
        height, width = pixels.shape[:2]
        side = self.contract.side
        if min(height, width) < side:
            return [f"{width}×{height} px: too small, {side}×{side} or more are needed"]
        if not selection.corners:
            return ["flat all over: no part of it shows enough to be judged"]
        if score is None:
            return ["its score is no finite number"]
        if self.card.domain is None:
            return []
        return self.card.domain.reasons(features, len(selection.corners))


def probabilities(logits: Floats, temperature: float = 1.0) -> Floats:
    """Compute the softmax of one photograph's logits, (classes,), divided by a temperature."""
    scaled = logits / temperature
    return np.asarray(np.exp(scaled - np.logaddexp.reduce(scaled)), np.float64)


def log_odds(logits: Floats) -> Floats:
    """Convert logits (n, classes) to scores (n,): log odds that a crop is not of class 0."""
    if not len(logits):
        return np.zeros(0)
    others = np.logaddexp.reduce(logits[:, 1:], axis=1)
    return np.asarray(others - logits[:, 0], np.float64)


def load(bundle: BundlePath = "accurate") -> Predictor:
    """Read a detector that judges photographs.

    Args:
        bundle: The name of a shipped detector (`accurate`, `robust`, `certified` or `lcnn`), or the
            path of a bundle or of an ONNX file written by `trueshot export`.

    Raises:
        BundleError: It cannot be read, or cannot judge photographs.
    """
    return Predictor.load(bundle)


def _stored(
    photograph: ImageFile | Bytes | bytes | bytearray | memoryview | str | os.PathLike[str],
    orientation: int,
) -> tuple[Bytes, int, str]:
    """Return the pixels on the stored grid, the EXIF orientation, and Pillow's mode of the file."""
    if isinstance(photograph, np.ndarray):
        if photograph.dtype != np.uint8 or photograph.ndim != 3 or photograph.shape[2] != 3:
            kind = f"{photograph.dtype} {photograph.shape}"
            raise ValueError(f"photograph must be RGB levels, uint8, shape (h, w, 3), got {kind}")
        if orientation not in range(1, 9):
            raise ValueError(f"orientation must be 1 to 8, as in EXIF, got {orientation}")
        return lying(photograph, orientation), orientation, ""
    from trueshot.images import ImageFile, read_image, read_image_bytes

    if isinstance(photograph, bytes | bytearray | memoryview):
        photograph = read_image_bytes(bytes(photograph), "the photograph")
    elif isinstance(photograph, str | os.PathLike):
        photograph = read_image(photograph)
    elif not isinstance(photograph, ImageFile):
        raise TypeError(
            "photograph must be a path, the bytes of a file, an image from read_image, or an "
            f"array of RGB levels, uint8, shape (h, w, 3), got {type(photograph).__name__}"
        )
    return photograph.stored, photograph.facts.orientation, photograph.facts.mode
