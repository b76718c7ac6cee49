"""Explains a judgement: the evidence over the photograph, and what the detector sees in it."""

from __future__ import annotations

import functools
import io
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from PIL import Image

from trueshot.images.orientation import lying
from trueshot.inference.crop_model import CropModel
from trueshot.inference.crops import cut, select_crops, upright_corners
from trueshot.inference.evidence import Evidence
from trueshot.inference.explanation import (
    CropScore,
    EvidenceShown,
    Explanation,
    KeyCrop,
    Kind,
    LatticeShown,
)
from trueshot.inference.heat_map import assemble, heat_png
from trueshot.inference.lattice import LatticeRegion, spectrum_of
from trueshot.inference.pooling import Corners

if TYPE_CHECKING:
    from trueshot.calibration import Calibration
    from trueshot.card import Card
    from trueshot.inference.predictor import Prediction, Predictor

Bytes = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float64]

MOST_CROPS = 192  # extra crops on the heat map, spread over the photograph
THUMBNAIL = 480  # pixels along the long side
_MANY = 48  # judged crops that cover a photograph well enough
_SMALLEST_MAP = 4  # rows or columns; in smaller maps most would be border
_SPECTRUM_SHOWN = (0.02, 0.9999)  # quantiles that are drawn black and white
_GREY = 128
_GAINS = tuple(2.0**power for power in range(-4, 9))
_REACHED = 0.97  # share of values that the amplified picture shows unclipped
_SPAN = 4.0  # used if no calibration gives the range of scores
_SCORES = np.linspace(-200.0, 200.0, 80_001)


def explain(predictor: Predictor, pixels: Bytes, prediction: Prediction) -> Explanation:
    """Explain a prediction from the pixels it was made of.

    The heat map shows at most 192 crops, spread over the whole photograph without flat ones, and
    the judged crops on top of them; if 48 or more crops were judged, it shows only those. For a
    network that scores positions, such as the LCNN, each crop shows the map before global pooling,
    whose mean is the score of the crop.

    Args:
        predictor: The predictor that made the prediction.
        pixels: RGB bytes, shape (h, w, 3), upright.
        prediction: Its prediction for these pixels.

    Returns:
        The explanation; the same arguments give the same one. Without a finite score it is only a
        thumbnail.
    """
    neutral, span = scale_of(predictor.card)
    height, width = pixels.shape[:2]
    explanation = Explanation(
        width=width,
        height=height,
        thumbnail=thumbnail(pixels),
        neutral=neutral,
        span=span,
        side=prediction.side,
    )
    if prediction.evidence is not None:
        explanation = replace(explanation, evidence=_evidence_shown(prediction.evidence, pixels))
    if prediction.score is None:
        return explanation
    return _with_evidence(explanation, predictor, pixels, prediction)


def without_border(maps: Floats) -> Floats:
    """Remove the effect of the layers' padding from the edges of crop maps.

    The outermost positions take the values of their inner neighbours, and each map is shifted so
    that its mean stays the score of its crop. Maps with fewer than 4 rows or columns are unchanged.

    Args:
        maps: Scores by position, shape (n, rows, columns).
    """
    if min(maps.shape[1:]) < _SMALLEST_MAP:
        return maps
    inner = np.pad(maps[:, 1:-1, 1:-1], ((0, 0), (1, 1), (1, 1)), mode="edge")
    shift = (maps.mean((1, 2)) - inner.mean((1, 2)))[:, None, None]
    return np.asarray(inner + shift)


def _evidence_shown(evidence: Evidence, pixels: Bytes) -> EvidenceShown:
    place, lattice = evidence.region, evidence.lattice
    return EvidenceShown(
        contributions=evidence.contributions,
        looks_like=evidence.looks_like,
        outline=place.outline if place else (),
        share=place.share if place else 0.0,
        lattice=_lattice_shown(lattice.region, pixels) if lattice and lattice.region else None,
    )


def _lattice_shown(region: LatticeRegion, pixels: Bytes) -> LatticeShown:
    window = region.windows[0]
    power, peak = spectrum_of(region, pixels)
    low, high = np.quantile(power, _SPECTRUM_SHOWN)
    shades = np.clip((power - low) / max(float(high - low), 1e-6), 0, 1) * 255
    square = pixels[window.y : window.y + window.side, window.x : window.x + window.side]
    seen = Image.fromarray(square).reduce(region.scale)
    spectrum = Image.fromarray(shades.astype(np.uint8))
    return LatticeShown(
        y=window.y,
        x=window.x,
        side=window.side,
        window=_written(seen, "WEBP", lossless=True, method=0),
        spectrum=_written(spectrum, "WEBP", lossless=True, method=0),
        peak=peak,
        period=region.period,
        prominence=region.peak.prominence,
    )


def scale_of(card: Card) -> tuple[float, float]:
    """Return the colour scale of heat maps, the same for all photographs of one detector.

    Returns:
        The neutral score, at which the likelihood ratio is 1, and the distance to the farther of
        the two scores beyond which the ratio is as extreme as the calibration supports. Without
        calibration, 0 and 4. For a detector that combines kinds of evidence, whose crops are on
        another scale than its photographs: the mean and twice the standard deviation of the first
        texture feature over staged photographs.
    """
    if card.evidence is not None and card.evidence.heads:
        texture = card.evidence.heads["texture"]
        return texture.means[0], 2 * texture.deviations[0]
    return (0.0, _SPAN) if card.calibration is None else _scale(card.calibration)


@functools.lru_cache(maxsize=8)  # computed once per detector, not per photograph
def _scale(calibration: Calibration) -> tuple[float, float]:
    ratios = calibration.log10_lr(_SCORES)
    neutral = _middle(ratios)
    moving = _SCORES[(ratios > ratios[0]) & (ratios < ratios[-1])]
    span = float(np.abs(moving - neutral).max()) if len(moving) else 0.0
    return neutral, span if 0 < span < _SCORES[-1] / 2 else _SPAN


def thumbnail(pixels: Bytes) -> bytes:
    """Return a JPEG of at most 480 px on the long side."""
    picture = Image.fromarray(pixels)
    picture.thumbnail((THUMBNAIL, THUMBNAIL), Image.Resampling.LANCZOS, reducing_gap=1.5)
    return _written(picture, "JPEG", quality=78)


def _with_evidence(
    explanation: Explanation, predictor: Predictor, pixels: Bytes, prediction: Prediction
) -> Explanation:
    others = _others(pixels, prediction)
    corners = (*others, *prediction.corners)  # judged crops are painted over the others
    maps, within = _maps(predictor, cut(pixels, others, prediction.side), prediction)
    cells = assemble(maps, corners, prediction.side, pixels.shape[:2])
    return replace(
        explanation,
        heat=heat_png(cells, explanation.neutral, explanation.span),
        judged=prediction.regions,
        looked_at=tuple(
            CropScore(y=y, x=x, score=float(score))
            for (y, x), score in zip(corners, maps.mean((1, 2)), strict=True)
        ),
        within_crops=within,
        key_crop=_key_crop(
            predictor, pixels, prediction, 0.0 if prediction.evidence else explanation.neutral
        ),
    )


def _maps(predictor: Predictor, others: Bytes, prediction: Prediction) -> tuple[Floats, bool]:
    """Return scores by position of other and judged crops, and whether they have positions."""
    if prediction.maps is None or not isinstance(predictor.scores, CropModel):
        scores = np.concatenate([predictor.crop_scores(others), prediction.scores])
        return scores[:, None, None], False
    known = prediction.maps
    seen = predictor.scores.judged(others)[1] if len(others) else None
    return without_border(known if seen is None else np.concatenate([seen, known])), True


def _others(pixels: Bytes, prediction: Prediction) -> Corners:
    """Return crops to show that were not judged; none if enough crops were judged."""
    if len(prediction.corners) >= _MANY:
        return ()
    side, orientation = prediction.side, prediction.orientation
    stored = lying(pixels, orientation)
    chosen = select_crops(stored, side, MOST_CROPS).corners
    found = set(upright_corners(chosen, side, stored.shape, orientation))
    return tuple(sorted(found - set(prediction.corners)))


def _key_crop(
    predictor: Predictor, pixels: Bytes, prediction: Prediction, neutral: float
) -> KeyCrop | None:
    """Return the crop that supports most strongly the side of the photograph's score."""
    model = predictor.scores
    if not isinstance(model, CropModel) or prediction.score is None:
        return None
    number = int((prediction.scores * (1 if prediction.score >= neutral else -1)).argmax())
    spot = prediction.regions[number]
    crop = pixels[spot.y : spot.y + prediction.side, spot.x : spot.x + prediction.side]
    first = model.first_layer(crop)
    if first is None:
        return None
    seen, gain = feature_image(*first)
    return KeyCrop(
        spot=spot,
        crop=_written(Image.fromarray(crop), "WEBP", lossless=True),
        seen=_written(Image.fromarray(seen), "WEBP", lossless=True),
        kind=first[0],
        gain=gain,
    )


def feature_image(kind: Kind, values: npt.NDArray[np.float32]) -> tuple[Bytes, float]:
    """Draw the output of a first layer.

    Args:
        kind: `filtered` or `spectrum`.
        values: A filtered crop, shape (3, h, w); or half a spectrum of luma, shape (window,
            window / 2 + 1), with zero frequency in the middle of the first axis.

    Returns:
        RGB bytes, shape (h, w, 3), and `KeyCrop.gain`. A filtered crop shows 0 as mid grey,
        amplified by a power of two so that few values are clipped; of a spectrum both halves are
        drawn, which are mirror images, with zero frequency in the middle.
    """
    if kind == "filtered":
        reached = float(np.quantile(np.abs(values), _REACHED))
        fitting = [gain for gain in _GAINS if gain * reached <= _GREY - 1]
        gain = max(fitting, default=_GAINS[0])
        grey = np.clip(np.rint(values * gain + _GREY), 0, 255).astype(np.uint8)
        return np.ascontiguousarray(grey.transpose(1, 2, 0)), gain
    window = len(values)
    rows = np.concatenate([values, values[:1]])  # -window/2 … window/2
    plane = np.concatenate([rows[::-1, ::-1][:, :-1], rows], 1)
    highest = max(float(plane.max()), 1e-6)
    grey = np.rint(plane / np.float32(highest) * 255).astype(np.uint8)
    enlarged = np.kron(grey, np.ones((max(1, 256 // window),) * 2, np.uint8))
    return np.stack([enlarged] * 3, -1), highest


def _middle(ratios: Floats) -> float:
    """Return the score at which the log10 ratio crosses 0, or the middle of a range at 0."""
    if not ratios[0] < 0 < ratios[-1]:
        return 0.0  # it never crosses
    before = int(np.searchsorted(ratios, 0.0, side="left")) - 1
    after = int(np.searchsorted(ratios, 0.0, side="right"))
    if after - before > 1:
        return float((_SCORES[before + 1] + _SCORES[after - 1]) / 2)
    share = ratios[before] / (ratios[before] - ratios[after])
    return float(_SCORES[before] + share * (_SCORES[after] - _SCORES[before]))


def _written(picture: Image.Image, kind: str, **how: object) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, **how)
    return file.getvalue()
