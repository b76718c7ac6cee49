"""Attacking a photograph as a judge sees it: through its crops, and whatever else is evidence."""

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
from trueshot.web.schemas import MOST_LEVELS, Method

Bytes = npt.NDArray[np.uint8]

PGD_STEPS = 10
MOST_PIXELS = 16_000_000  # of a photograph that is attacked as a whole


@dataclass(frozen=True, kw_only=True, eq=False)
class AttackedPhotograph:
    """What an attack made of a photograph, and what the same judge says of both.

    Args:
        away_from: The verdict that is attacked: what the detector itself took it for.
        whole: Whether all of the photograph was attacked, or the crops that are judged.
        before: Of the photograph as it is.
        after: Of the attacked one, rounded to bytes and judged from the beginning.
        pixels: The attacked photograph, shape (h, w, 3).
        corner: Of the crop (y, x) that spoke most for `away_from`.
        decibels: Peak signal to noise ratio of what was attacked; None where nothing was changed.
        largest_change: Of a level.
        share_changed: Of the pixels of what was attacked.
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
    """Logits of two: of class 0, and of all others together, whose difference is the score.

    Args:
        network: Levels (n, 3, h, w) to logits (n, classes).
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        """Levels (n, 3, h, w) to logits (n, 2)."""
        logits: Tensor = self.network(images)
        if logits.shape[1] == 2:
            return logits
        return torch.stack([logits[:, 0], logits[:, 1:].logsumexp(1)], 1)


class Decided(nn.Module):
    """Logits with the threshold taken off: the larger of the two is what the card decides.

    Args:
        network: Levels (n, 3, h, w) to logits (n, 2).
        threshold: Score from which a photograph counts as not of class 0.
    """

    def __init__(self, network: nn.Module, threshold: float) -> None:
        super().__init__()
        self.network = network
        self.threshold = threshold

    def forward(self, images: Tensor) -> Tensor:
        """Levels (n, 3, h, w) to logits (n, 2)."""
        logits: Tensor = self.network(images)
        return logits - logits.new_tensor([0.0, self.threshold])


def attackable(bundle: str, predictor: Predictor) -> nn.Module:
    """All that a judge goes by, with a gradient: of stacks of crops, or of whole photographs.

    Args:
        bundle: The judge's file.
        predictor: The judge.

    Raises:
        BundleError: Its evidence has no gradient, see `PhotographDetector`.
    """
    if predictor.card.evidence is not None:
        return PhotographDetector(bundle, threshold_of(predictor.card))
    return stack_detector(predictor.detector, predictor.card)


def stack_detector(detector: Detector, card: Card) -> Detector:
    """A detector of stacks: what the judge of a card says of a photograph, with a gradient.

    It has two classes: class 0 of the card's, and all others together.

    A stack holds the crops of one photograph, one under another, shape (1, 3, n·side, side). What
    lies outside of the crops has no part in the score, so an attack could not use it anyway.

    Args:
        detector: Of crops, in evaluation mode.
        card: How crops make a photograph's score, and what that score means.
    """
    contract = card.input_contract()
    crops = AgainstFirst(detector)
    whole = CropAggregator(crops, contract.side, aggregation=contract.aggregation)
    return Detector(Decided(whole, threshold_of(card)), classes=card.words.verdicts).eval()


def threshold_of(card: Card) -> float:
    """The score in the middle between the two verdicts of a card."""
    decision = card.decision
    return 0.0 if decision is None else (decision.original_to + decision.recaptured_from) / 2


def attack_named(method: Method, budget: float) -> Attack:
    """The attack of a method with a budget in levels.

    Raises:
        ValueError: The budget is negative or more than `MOST_LEVELS`.
    """
    if not 0 <= budget <= MOST_LEVELS:
        raise ValueError(f"a budget of 0 to {MOST_LEVELS} levels wanted, got {budget}")
    if method == "pgd":
        return PGD(budget=budget, steps=PGD_STEPS)
    return FGSM(budget=budget) if method == "fgsm" else LeastLikelyClass(budget=budget)


def attack_photograph(
    predictor: Predictor, attacked: nn.Module, photograph: ImageFile | Bytes, attack: Attack
) -> AttackedPhotograph:
    """Attack a photograph away from what the detector takes it for, and judge it again.

    The crops that were judged are changed where they lie, and of a detector that joins kinds of
    evidence the whole photograph; the result is rounded to the bytes of a file and judged like any
    photograph, so its crops are chosen anew.

    Args:
        predictor: Judges photographs.
        attacked: Of the same detector: see `attackable`.
        photograph: As it was read, or RGB bytes, shape (h, w, 3), upright.
        attack: Its budget is in levels.

    Raises:
        ValueError: There is no crop in it that could be attacked, or it is too large for that.
    """
    before = predictor.predict(photograph)
    pixels = photograph if isinstance(photograph, np.ndarray) else photograph.pixels
    if not before.corners or before.score is None:
        raise ValueError("; ".join(before.reasons) or "there is no crop to attack")
    label = int(before.score > threshold_of(predictor.card))
    if whole := isinstance(attacked, PhotographDetector):
        if pixels.shape[0] * pixels.shape[1] > MOST_PIXELS:
            raise ValueError(f"more than {MOST_PIXELS / 1e6:g} megapixels: too large to attack")
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
    """The photograph with the crops of a stack in their places."""
    side = prediction.side
    changed = pixels.copy()
    crops = stack.reshape(-1, side, side, 3)
    for (top, left), crop in zip(prediction.corners, crops, strict=True):
        changed[top : top + side, left : left + side] = crop
    return changed
