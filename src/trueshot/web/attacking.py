"""Attacks on a photograph through all that a judge uses: its crops, and other evidence."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from trueshot.adversary.photograph import PhotographDetector
from trueshot.attacks import FGSM, PGD, Attack, LeastLikelyClass, as_filed, perturb
from trueshot.card import Card
from trueshot.detector import Detector
from trueshot.images import ImageFile
from trueshot.inference import Prediction, Predictor
from trueshot.inference.crops import cut
from trueshot.networks.crop_aggregation import CropAggregator
from trueshot.pixels import linf, psnr, share_changed, to_bytes, to_levels
from trueshot.web.schemas import Method

Bytes = npt.NDArray[np.uint8]

PGD_STEPS = 10
MOST_PIXELS = 16_000_000  # of a photograph that is attacked in whole


@dataclass(frozen=True, kw_only=True, eq=False)
class AttackedPhotograph:
    """An attacked photograph, and the predictions of the same judge before and after.

    Args:
        away_from: The attacked verdict: the class that the detector's score was for.
        whole: Whether the whole photograph was attacked, or only the judged crops.
        before: Prediction for the original photograph.
        after: Prediction for the attacked photograph, rounded to bytes and judged from scratch.
        pixels: The attacked photograph, shape (h, w, 3).
        corner: Corner (y, x) of the crop that supported `away_from` most.
        decibels: Peak signal-to-noise ratio of the attacked part; None if nothing changed.
        largest_change: Largest change of a value, in levels.
        share_changed: Share of changed pixels in the attacked part.
    """

    away_from: str
    whole: bool
    before: Prediction
    after: Prediction
    pixels: Bytes
    corner: tuple[int, int]
    decibels: float | None
    largest_change: float
    share_changed: float


class AgainstFirst(nn.Module):
    """Reduces logits to two, of class 0 and of all others together; their difference is the score.

    Args:
        network: Maps levels (n, 3, h, w) to logits (n, classes).
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        """Map levels (n, 3, h, w) to logits (n, 2)."""
        logits: Tensor = self.network(images)
        if logits.shape[1] == 2:
            return logits
        return torch.stack([logits[:, 0], logits[:, 1:].logsumexp(1)], 1)


class Decided(nn.Module):
    """Subtracts the threshold, so that the larger of two logits is the decision of the card.

    Args:
        network: Maps levels (n, 3, h, w) to logits (n, 2).
        threshold: Score from which a photograph is decided to be not of class 0.
    """

    def __init__(self, network: nn.Module, threshold: float) -> None:
        super().__init__()
        self.network = network
        self.threshold = threshold

    def forward(self, images: Tensor) -> Tensor:
        """Map levels (n, 3, h, w) to logits (n, 2)."""
        logits: Tensor = self.network(images)
        return logits - logits.new_tensor([0.0, self.threshold])


def attackable(bundle: str, predictor: Predictor) -> nn.Module:
    """Return a differentiable module of all that a judge uses.

    It takes stacks of crops, or whole photographs if the judge joins several kinds of evidence.

    Args:
        bundle: Path of the judge's bundle.
        predictor: The judge.

    Raises:
        BundleError: Its evidence has no gradient, see `PhotographDetector`.
    """
    if predictor.card.evidence is not None:
        return PhotographDetector(bundle, predictor.card.middle)
    return stack_detector(predictor.detector, predictor.card)


def stack_detector(detector: Detector, card: Card) -> Detector:
    """Return a differentiable detector of stacks, which scores a photograph as its judge does.

    It has two classes: class 0 of the card, and all others together.

    A stack holds the crops of one photograph one below the other, shape (1, 3, n·side, side).
    Pixels outside of the crops do not affect the score, so an attack could not use them anyway.

    Args:
        detector: Detector of crops, in evaluation mode.
        card: Card that defines how crops are combined into a score, and the thresholds.
    """
    contract = card.input_contract()
    crops = AgainstFirst(detector)
    whole = CropAggregator(crops, contract.side, aggregation=contract.aggregation)
    return Detector(Decided(whole, card.middle), classes=card.words.verdicts).eval()


def attack_named(method: Method, budget: float) -> Attack:
    """Return the attack of this name, with a budget in levels."""
    if method == "pgd":
        return PGD(budget=budget, steps=PGD_STEPS)
    return FGSM(budget=budget) if method == "fgsm" else LeastLikelyClass(budget=budget)


def attack_photograph(
    predictor: Predictor, attacked: nn.Module, photograph: ImageFile | Bytes, attack: Attack
) -> AttackedPhotograph:
    """Attack a photograph, away from the class that its score is for, and judge it again.

    The judged crops are changed in place; for a detector that joins kinds of evidence, the whole
    photograph is. The result is rounded to bytes, as in a file, and judged like any photograph, so
    its crops are selected anew.

    Args:
        predictor: Judges photographs.
        attacked: Module of the same detector, see `attackable`.
        photograph: The image as read, or RGB bytes, shape (h, w, 3), upright.
        attack: The attack, with its budget in levels.

    Raises:
        ValueError: It has no crop to attack, or is too large for an attack.
    """
    before = predictor.predict(photograph)
    pixels = photograph if isinstance(photograph, np.ndarray) else photograph.pixels
    if not before.corners or before.score is None:
        raise ValueError("; ".join(before.reasons) or "it has no crop to attack")
    label = int(before.score > predictor.card.middle)
    if whole := isinstance(attacked, PhotographDetector):
        if pixels.shape[0] * pixels.shape[1] > MOST_PIXELS:
            raise ValueError(
                f"it has more than {MOST_PIXELS / 1e6:g} megapixels, which is too large"
            )
        levels = to_levels(pixels[None])
    else:
        levels = to_levels(cut(pixels, before.corners, before.side).reshape(-1, before.side, 3))
    labels = torch.tensor([label], dtype=torch.int64)
    filed = as_filed(attack, levels, perturb(attack, attacked, levels, labels))
    changed = to_bytes(filed)[0] if whole else _pasted(pixels, to_bytes(filed)[0], before)
    told = before.scores if label else -before.scores
    ratio = float(psnr(levels, filed)[0])
    return AttackedPhotograph(
        away_from=predictor.card.words.verdicts[label],
        whole=whole,
        before=before,
        after=predictor.predict(changed, orientation=before.orientation),
        pixels=changed,
        corner=before.corners[int(told.argmax())],
        decibels=ratio if np.isfinite(ratio) else None,
        largest_change=float(linf(levels, filed)[0]),
        share_changed=float(share_changed(levels, filed)[0]),
    )


def _pasted(pixels: Bytes, stack: Bytes, prediction: Prediction) -> Bytes:
    """Return the photograph with the crops of a stack pasted in their places."""
    side = prediction.side
    changed = pixels.copy()
    crops = stack.reshape(-1, side, side, 3)
    for (top, left), crop in zip(prediction.corners, crops, strict=True):
        changed[top : top + side, left : left + side] = crop
    return changed
