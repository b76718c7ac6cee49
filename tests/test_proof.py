"""Verdicts on whole photographs that are proven: attacked, reached, told, and a false one found."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image

from trueshot.bundle import save_bundle
from trueshot.calibration import Decision, Domain
from trueshot.card import Card, InputContract
from trueshot.certificates import worst_change
from trueshot.certificates.amplitude import taper
from trueshot.detector import Detector
from trueshot.inference import Predictor
from trueshot.inference.crops import cut, grid_corners
from trueshot.inference.proof import is_provable, proven_radius
from trueshot.networks import LipschitzNetwork
from trueshot.pixels import to_levels
from trueshot.scanning.output import write_output
from trueshot.scanning.verdict import Verdict, long_text, one_line
from trueshot.scanning.worker import examiner

Bytes = npt.NDArray[np.uint8]
SIDE = 32
NETWORK = {"name": "lipschitz", "window": 16, "rings": 3, "units": [16, 16]}
DECISION = Decision(original_to=-2.0, recaptured_from=1.5, apcer=0.1, bpcer=0.1)


def card(**more: Any) -> Card:
    contract = InputContract(side=SIDE, crops=6, aggregation="max", places="grid")
    return Card(**{"network": NETWORK, "contract": contract, "decision": DECISION} | more)


def photograph(strength: float, seed: int = 0) -> Bytes:
    """Noise, and a lattice of that strength in one part of it."""
    random = np.random.default_rng(seed)
    pixels = 127.5 + random.normal(0, 4, (2 * SIDE + 5, 3 * SIDE + 3, 3))
    y, x = np.mgrid[: SIDE + 20, : SIDE + 30]
    wave = np.cos(2 * np.pi * (0.21 * y + 0.13 * x + random.random()))
    pixels[: SIDE + 20, : SIDE + 30] += strength * wave[..., None]
    return np.clip(pixels.round(), 0, 255).astype(np.uint8)


PHOTOGRAPHS = tuple(photograph(strength, seed) for seed, strength in enumerate((0, 9, 14, 24, 36)))


@pytest.fixture(scope="module")
def detector() -> Detector:
    """Weights at random, and a threshold in the midst of the photographs."""
    torch.manual_seed(1)
    network = LipschitzNetwork(16, 0.1, 3, 2, (16, 16))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
        network.weight.abs_()
        network.threshold.zero_()
        scores = [network(tiles(each))[:, 1].max() for each in PHOTOGRAPHS]
        network.threshold.copy_(torch.stack(scores).median())
    return Detector(network).eval()


def tiles(pixels: Bytes) -> torch.Tensor:
    return to_levels(cut(pixels, grid_corners(*pixels.shape[:2], SIDE, 6), SIDE))


def predictor_of(detector: Detector, given: Card, path: Path) -> Predictor:
    save_bundle(path / "certified.safetensors", detector, given)
    return Predictor.load(path / "certified.safetensors")


@pytest.fixture(scope="module")
def predictor(detector: Detector, tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    return predictor_of(detector, card(), tmp_path_factory.mktemp("bundle"))


def steepest(detector: Detector, pixels: Bytes, towards: float, levels: int) -> Bytes:
    """Steps along the gradient of the highest tile, within so many levels."""
    corners = grid_corners(*pixels.shape[:2], SIDE, 6)
    change = np.zeros(pixels.shape, np.float32)
    for step in range(8):
        changed = np.clip(pixels + change, 0, 255)
        crops = torch.stack(
            [torch.from_numpy(changed[y : y + SIDE, x : x + SIDE]) for y, x in corners]
        )
        crops = crops.permute(0, 3, 1, 2).requires_grad_()
        score = detector(crops)[:, 1]
        pooled = score.amax() if towards > 0 else torch.logsumexp(score, 0)
        (gradient,) = torch.autograd.grad(towards * pooled, crops)
        for (y, x), each in zip(corners, gradient.sign().permute(0, 2, 3, 1).numpy(), strict=True):
            place = (slice(y, y + SIDE), slice(x, x + SIDE))
            change[place] += each * (levels if step == 0 else 2 * levels / (step + 1))
        change = np.clip(change, -levels, levels)
    return np.clip((pixels + change).round(), 0, 255).astype(np.uint8)


def turned(
    predictor: Predictor, detector: Detector, radius: Callable[[float], int], draws: int
) -> int:
    """Verdicts of photographs that changes by up to so many levels of their proof turn."""
    random, found = np.random.default_rng(0), 0
    for pixels in PHOTOGRAPHS:
        before = predictor.predict(pixels)
        levels = radius(before.certified_radius or 0.0)
        tried = [steepest(detector, pixels, towards, levels) for towards in (-1.0, 1.0)]
        assert max(np.abs(each.astype(int) - pixels).max() for each in tried) <= levels
        verdicts = {predictor.predict(each).verdict for each in tried}
        # Noise by the crops alone: predicting each of so many photographs would take long.
        corners = grid_corners(*pixels.shape[:2], SIDE, 6)
        noise = random.choice((-levels, levels), (draws, *pixels.shape))
        changed = np.clip(pixels + noise, 0, 255).astype(np.uint8)
        crops = np.concatenate([cut(each, corners, SIDE) for each in changed])
        scores = predictor.crop_scores(crops).reshape(draws, len(corners))
        contract = predictor.contract
        verdicts |= {predictor.card.verdict(contract.aggregate(each)) for each in scores}
        found += verdicts != {before.verdict}
    return found


def test_verdicts_of_all_three_kinds_are_proven(predictor: Predictor) -> None:
    found = [predictor.predict(pixels) for pixels in PHOTOGRAPHS]
    assert {each.verdict for each in found} == {"original", "undecided", "recaptured"}
    for each in found:
        assert each.score is not None
        assert each.certified_radius is not None
        away = min(abs(each.score + 2.0), abs(each.score - 1.5))
        assert each.certified_radius == pytest.approx(away - 0.01, abs=1e-6)


def test_no_change_within_its_radius_turns_the_verdict_of_a_photograph(
    predictor: Predictor, detector: Detector
) -> None:
    assert turned(predictor, detector, int, draws=400) == 0


def test_a_false_radius_of_a_photograph_is_found_out(
    predictor: Predictor, detector: Detector
) -> None:
    assert turned(predictor, detector, lambda radius: int(6 * radius) + 1, draws=2) >= 2


def test_the_radius_of_a_photograph_is_reached_within_a_tenth(tmp_path: Path) -> None:
    wave = np.rint(worst_change(taper("hann", 16), 0, 5)).astype(np.int64)
    network = LipschitzNetwork(16, 0.1, 3, 2, ())
    with torch.no_grad():
        grid = torch.from_numpy(128.0 + 10 * wave).float().expand(1, 3, 16, 16)
        network.weight.copy_(network.features(grid)[0])
        network.threshold.zero_()
    contract = InputContract(side=16, crops=4, places="grid")
    aimed = predictor_of(
        Detector(network).eval(), card(network=NETWORK | {"units": []}, contract=contract), tmp_path
    )
    pixels = np.tile(128 + 25 * wave, (2, 2))[..., None].repeat(3, 2).astype(np.uint8)
    strong = aimed.predict(pixels)
    assert strong.verdict == "recaptured"
    assert strong.certified_radius is not None
    step = np.tile(wave, (2, 2))[..., None]
    within, beyond = int(strong.certified_radius), int(np.ceil(strong.certified_radius / 0.9))
    assert within > 10
    assert aimed.predict((pixels - within * step).astype(np.uint8)).verdict == "recaptured"
    assert aimed.predict((pixels - beyond * step).astype(np.uint8)).verdict == "undecided"


def test_nothing_is_proven_where_content_has_a_say(predictor: Predictor) -> None:
    assert is_provable(predictor.card)
    domain = Domain(features={}, mean=(), precision=(), limit=0.0, fewest_crops=1)
    textured = predictor.card.input_contract().model_copy(update={"places": "textured"})
    for other in (
        {"contract": textured},
        {"domain": domain},
        {"network": {"name": "lcnn"}},
        {"decision_rule": "top-class"},
    ):
        changed = predictor.card.model_copy(update=other)
        assert not is_provable(changed)
        assert proven_radius(changed, 30.0) is None
    assert proven_radius(predictor.card, 1.505) is None  # closer than scores are rounded by
    tiny = predictor.predict(np.zeros((8, 8, 3), np.uint8))
    assert (tiny.verdict, tiny.certified_radius) == ("undecided", None)


def test_without_thresholds_the_sign_is_proven_and_few_colours_are_a_note(
    detector: Detector, tmp_path: Path
) -> None:
    plain = predictor_of(detector, card(decision=None), tmp_path)
    found = plain.predict(PHOTOGRAPHS[-1])
    assert found.certified_radius == pytest.approx(abs(found.score or 0) - 0.01)
    flat = np.full((SIDE, 3 * SIDE, 3), 128, np.uint8)
    for each in (plain, predictor_of(detector, card(), tmp_path)):
        judged = each.predict(flat)
        assert judged.certified_radius is not None
        assert "different colours" in judged.notes[0]


def test_a_turned_file_has_the_radius_of_its_stored_pixels(
    predictor: Predictor, tmp_path: Path
) -> None:
    image = Image.fromarray(PHOTOGRAPHS[-1])
    exif = Image.Exif()
    exif[0x0112] = 6
    image.save(tmp_path / "turned.png", exif=exif)
    found = predictor.predict(tmp_path / "turned.png")
    attacked = predictor.predict(np.rot90(PHOTOGRAPHS[-1], -1), orientation=6)
    assert found.certified_radius == attacked.certified_radius is not None
    assert len(found.corners) == 6


def test_a_scan_tells_the_radius(predictor: Predictor, tmp_path: Path) -> None:
    handle = examiner(predictor, "0" * 64)
    verdicts = []
    for number in (0, 4):
        file = io.BytesIO()
        Image.fromarray(PHOTOGRAPHS[number]).save(file, "PNG")
        request = {"name": f"{number}.png", "path": "", "member": None}
        said, _ = handle(request, {"data": file.getvalue()})
        verdicts.append(Verdict.from_record(json.loads(json.dumps(said["verdict"]))))
    radii = [predictor.predict(PHOTOGRAPHS[number]).certified_radius for number in (0, 4)]
    assert [each.certified_radius for each in verdicts] == radii
    told = f"proven: no change of up to {int(radii[1] or 0)} levels can alter this verdict"
    assert told in one_line(verdicts[1])
    assert told in long_text(verdicts[1])
    write_output(tmp_path / "out.csv", verdicts)
    with (tmp_path / "out.csv").open(newline="") as table:
        assert [float(row["certified_radius"]) for row in csv.DictReader(table)] == radii


@pytest.mark.parametrize("wrong", [0.0, -1.0, 256.0, "3", True])
def test_a_worker_cannot_claim_a_radius_that_is_none(wrong: object) -> None:
    record = {"file": "a", "verdict": "original", "certified_radius": wrong}
    with pytest.raises(ValueError, match="certified_radius"):
        Verdict.from_record(record)
