"""The attack of a whole photograph: its score, its promise, and who is attacked away from what."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch
from conftest import Linear, photo_pixels
from web_service import CALIBRATION, SIDE, small_bundle

from trueshot.adversary.photograph import PhotographDetector
from trueshot.attacks import FGSM
from trueshot.bundle import load_bundle
from trueshot.calibration import Decision
from trueshot.card import Card, InputContract
from trueshot.detector import Detector
from trueshot.errors import BundleError
from trueshot.inference import Predictor
from trueshot.inference.crops import cut
from trueshot.parity import logits_by_torch
from trueshot.pixels import to_levels
from trueshot.web import attacking, worker
from trueshot.web.attacking import (
    attack_named,
    attack_photograph,
    attackable,
    stack_detector,
)
from trueshot.web.schemas import Method

METHODS = get_args(Method)
DECISION = Decision(original_to=-1.0, recaptured_from=4.0, apcer=0.05, bpcer=0.05)


def loaded(folder: Path, **said: object) -> tuple[Predictor, Detector]:
    detector, card = load_bundle(small_bundle(folder / "small.safetensors", 3, **said))
    return Predictor(card, logits_by_torch(detector)), stack_detector(detector, card)


def linear(decision: Decision | None = None) -> tuple[Predictor, Detector, Linear]:
    """A judge whose score is linear in the levels of its crops."""
    network = Linear(side=16, scale=0.001)
    detector = Detector(network).eval()
    contract = InputContract(side=16, crops=9)
    card = Card(network={"name": "lcnn"}, contract=contract, decision=decision)
    return Predictor(card, logits_by_torch(detector)), stack_detector(detector, card), network


def grey(seed: int, side: int = 64) -> np.ndarray:
    """Far from black and white, so that nothing is cut off."""
    return np.random.default_rng(seed).integers(60, 190, (side, side, 3), dtype=np.uint8)


@pytest.mark.parametrize("how", ["mean", "median", "trimmed", "max"])
def test_a_sheet_has_the_score_that_the_judge_gives_the_photograph(
    tmp_path: Path, how: str
) -> None:
    contract = InputContract(side=SIDE, crops=9, aggregation=how)  # type: ignore[arg-type]
    predictor, stacks = loaded(tmp_path, contract=contract, decision=DECISION)
    pixels = photo_pixels(5, True, 150)
    prediction = predictor.predict(pixels)
    assert prediction.score is not None
    stack = to_levels(cut(pixels, prediction.corners, SIDE).reshape(-1, SIDE, 3))
    with torch.no_grad():
        logits = stacks(stack)[0]
    assert predictor.card.middle == 1.5
    assert float(logits[1] - logits[0]) == pytest.approx(prediction.score - 1.5, abs=1e-5)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("seed", [1, 2])
def test_a_linear_detector_loses_what_the_closed_form_says(method: Method, seed: int) -> None:
    predictor, stacks, network = linear()
    pixels = grey(seed, 48)  # nine crops and no room for others: the same are judged again
    found = attack_photograph(predictor, stacks, pixels, attack_named(method, 3.0))
    slope = (network.weight[1] - network.weight[0]).detach().abs().sum()
    assert found.before.score is not None
    assert found.after.score is not None
    towards = -1 if found.away_from == "recaptured" else 1
    assert found.away_from == ("recaptured" if found.before.score > 0 else "original")
    change = found.after.score - found.before.score
    assert change == pytest.approx(towards * 3.0 * float(slope), rel=1e-3)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("budget", [0.0, 0.5, 1.0, 4.0, 15.0])
def test_only_judged_crops_change_and_by_no_more_than_the_budget(
    tmp_path: Path, method: Method, budget: float
) -> None:
    predictor, stacks = loaded(tmp_path)
    pixels = photo_pixels(7, True, 300)
    found = attack_photograph(predictor, stacks, pixels, attack_named(method, budget))
    change = np.abs(found.pixels.astype(int) - pixels)
    assert found.pixels.dtype == np.uint8
    assert change.max() == found.largest_change <= budget
    assert (change.max() == 0) == (budget < 1) == (found.decibels is None)
    for y, x in found.before.corners:
        change[y : y + SIDE, x : x + SIDE] = 0
    assert change.max() == 0
    assert found.after.score == predictor.predict(found.pixels).score
    assert found.corner in found.before.corners


def test_with_two_classes_llcm_is_fgsm_away_from_the_detectors_own_verdict(tmp_path: Path) -> None:
    predictor, stacks = loaded(tmp_path)
    pixels = photo_pixels(8, False, 200)
    fgsm, llcm = (
        attack_photograph(predictor, stacks, pixels, attack_named(name, 2.0)).pixels
        for name in ("fgsm", "llcm")
    )
    assert (fgsm == llcm).all()


@pytest.mark.parametrize("method", METHODS)
def test_the_verdict_that_is_attacked_is_that_of_the_card_and_not_of_the_sign(
    method: Method,
) -> None:
    predictor, stacks, _ = linear()
    pixels = grey(3, 48)
    score = predictor.predict(pixels).score
    assert score is not None
    for above in (-1.0, 1.0):
        decision = Decision(
            original_to=score + above, recaptured_from=score + above, apcer=0.1, bpcer=0.1
        )
        predictor, stacks, _ = linear(decision)
        found = attack_photograph(predictor, stacks, pixels, attack_named(method, 2.0))
        assert found.away_from == found.before.verdict
        assert (found.after.score > score) == (above > 0)  # type: ignore[operator]


@pytest.mark.parametrize("pixels", [np.zeros((64, 64, 3), np.uint8), grey(1, 8)])
def test_a_photograph_without_crops_is_refused_with_the_reason(pixels: np.ndarray) -> None:
    predictor, stacks, _ = linear()
    with pytest.raises(ValueError, match=r"flat all over|too small"):
        attack_photograph(predictor, stacks, pixels, FGSM(budget=1.0))


def test_a_calibration_takes_no_part_in_the_attack(tmp_path: Path) -> None:
    predictor, stacks = loaded(tmp_path, calibration=CALIBRATION)
    other, others = loaded(tmp_path, calibration=None)
    pixels = photo_pixels(9, True, 100)
    attack = attack_named("pgd", 2.0)
    first = attack_photograph(predictor, stacks, pixels, attack)
    second = attack_photograph(other, others, pixels, attack)
    assert (first.pixels == second.pixels).all()
    assert second.after.log10_lr is None


def test_of_joined_evidence_the_whole_photograph_is_attacked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    predictor = Predictor.load("accurate")
    attacked = attackable("accurate", predictor)
    assert isinstance(attacked, PhotographDetector)
    pixels = photo_pixels(5, True, 700)
    found = attack_photograph(predictor, attacked, pixels, FGSM(budget=2.0))
    before, after = found.before.evidence, found.after.evidence
    assert before is not None
    assert after is not None
    sign = 1 if found.away_from == "original" else -1
    for kind in ("texture", "context"):
        assert sign * (after.contributions[kind] - before.contributions[kind]) > 0, kind
    assert found.share_changed > 0.9
    assert found.largest_change == 2.0
    monkeypatch.setattr(attacking, "MOST_PIXELS", 400_000)
    with pytest.raises(ValueError, match=r"more than 0\.4 megapixels"):
        attack_photograph(predictor, attacked, pixels, FGSM(budget=2.0))


def test_evidence_without_a_gradient_is_refused_when_it_is_to_be_attacked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: object) -> None:
        raise BundleError("none that has a gradient")

    monkeypatch.setattr(attacking, "attackable", refuse)
    said = worker._attackable("accurate", Predictor.load("accurate"))
    assert said == "this detector cannot be attacked: none that has a gradient"
