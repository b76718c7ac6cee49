"""Kinds of evidence: pooled by region, outlined, joined, and said to the user."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from trueshot.bundle import Bundle, read_bundle, save_bundle, write_bundle
from trueshot.calibrating.describing import describe
from trueshot.calibrating.joining import with_context
from trueshot.calibration.linear_model import LinearModel
from trueshot.card import FEATURES, Card, EvidenceModel, InputContract
from trueshot.detector import Detector
from trueshot.errors import BundleError, ExportError
from trueshot.inference import Predictor
from trueshot.inference.context import ContextView
from trueshot.inference.crop_model import CropModel
from trueshot.inference.evidence import joint_features
from trueshot.inference.explaining import explain, without_border
from trueshot.inference.explanation import Explanation
from trueshot.inference.lattice import find_lattice
from trueshot.inference.pooling import most_convincing_region
from trueshot.inference.regions import KindOfEvidence, most_convincing_place
from trueshot.networks import build_network
from trueshot.onnx import export_onnx
from trueshot.training.context import new_context
from trueshot.training.context_file import save_context

KINDS = ("original", "laptop", "phone")


def line(*names: str, weight: float = 1.0) -> LinearModel:
    count = len(names)
    return LinearModel(
        features=names,
        means=(0.0,) * count,
        deviations=(1.0,) * count,
        weights=(weight,) * count,
        intercept=0.0,
    )


HEADS = {
    "texture": line("region"),
    "lattice": line("luma 1/1 height"),
    "context": line("logit"),
}
JOINT = line("texture for", "lattice for", "context for", "context against")


@pytest.fixture(scope="module")
def unfitted(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    folder = tmp_path_factory.mktemp("bundle")
    torch.manual_seed(0)
    network = build_network({"name": "efficientnet-lite0", "blocks": 2, "features": 8})
    card = Card(
        network={"name": "efficientnet-lite0", "blocks": 2, "features": 8},
        offset=127,
        scale=128,
        side=32,
    )
    save_bundle(folder / "crops", Detector(network, offset=127, scale=128).eval(), card)
    save_context(folder / "context", new_context(classes=KINDS), facts={})
    return with_context([folder / "crops"], folder / "context", crops=16)


@pytest.fixture(scope="module")
def fitted(unfitted: Bundle) -> Bundle:
    model = EvidenceModel(media=KINDS, heads=HEADS, joint=JOINT)
    return replace(unfitted, card=unfitted.card.model_copy(update={"evidence": model}))


@pytest.fixture(scope="module")
def path(fitted: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("joint") / "joint.safetensors"
    write_bundle(found, fitted)
    return found


def photograph(seed: int = 0, height: int = 600, width: int = 800) -> np.ndarray:
    random = np.random.default_rng(seed)
    coarse = Image.fromarray(random.integers(40, 200, (6, 8, 3)).astype(np.uint8))
    smooth = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC), float)
    return np.clip(smooth + random.normal(0, 6, smooth.shape), 0, 255).astype(np.uint8)


def test_a_region_is_found_where_neighbours_agree_and_not_where_one_crop_is_high() -> None:
    corners = tuple((y, x) for y in range(0, 640, 64) for x in range(0, 640, 64))
    scores = np.zeros(100)
    scores[5] = 6.0  # alone
    for y in (6, 7, 8):
        scores[10 * y + 5 : 10 * y + 8] = 2.0  # nine that agree
    found = most_convincing_region(corners, scores, 64)
    assert found.score == pytest.approx(2.0)
    assert found.overall == pytest.approx((6 + 9 * 2) / 100)
    assert found.highest_third == pytest.approx((6 + 9 * 2) / 33)
    assert found.highest == 6
    assert found.local.argmax() == 10 * 7 + 6, "the middle of the nine"


def test_one_crop_counts_for_itself_and_few_are_drawn_to_the_mean() -> None:
    one = most_convincing_region(((0, 0),), np.array([3.0]), 64)
    assert (one.score, one.overall) == (3.0, 3.0)
    far = most_convincing_region(((0, 0), (0, 64), (5000, 5000)), np.array([0.0, 0.0, 3.0]), 64)
    assert far.score == pytest.approx((3 + 2 * 1) / 3)  # alone: the mean stands for two others


def test_the_outline_holds_what_each_kind_saw_and_nothing_else() -> None:
    pixels = photograph(height=960, width=1280)
    y, x = np.mgrid[:960, :1280]
    grid = 30 * np.cos(2 * np.pi * x / 3.1) * ((y >= 448) & (x >= 640))
    shown = np.clip(pixels + grid[..., None], 0, 255).astype(np.uint8)
    lattice = find_lattice(shown)
    region = most_convincing_place((960, 1280), {"lattice": lattice}, {"lattice": 2.0})
    assert region is not None
    picture = Image.new("1", (1280, 960))
    ImageDraw.Draw(picture).polygon([(x, y) for y, x in region.outline], fill=1)
    inside = np.asarray(picture)
    assert inside[600:, 800:].mean() > 0.9
    assert inside[:300, :400].mean() < 0.05
    assert region.share == pytest.approx(inside.mean(), abs=0.06)
    places = np.zeros((8, 8))
    places[:3, :4] = 5.0
    context = ContextView(logit=1.0, looks_like="laptop", places=places)
    kinds: dict[str, KindOfEvidence] = {"lattice": lattice, "context": context}
    upper = most_convincing_place((960, 1280), kinds, {"lattice": 0.0, "context": 1.0})
    assert upper is not None
    assert max(y for y, _ in upper.outline) < 500
    assert max(x for _, x in upper.outline) < 800


def test_what_speaks_against_outlines_nothing() -> None:
    context = ContextView(logit=1.0, looks_like="laptop", places=np.ones((8, 8)))
    kinds: dict[str, KindOfEvidence] = {"context": context}
    assert most_convincing_place((300, 400), kinds, {"context": -1.0}) is None
    assert most_convincing_place((300, 400), kinds, {}) is None


def test_for_and_against_are_apart_and_what_is_missing_stays_so() -> None:
    found = joint_features({"texture": 2.0, "context": -3.0})
    assert (found["texture for"], found["texture against"]) == (2.0, 0.0)
    assert (found["context for"], found["context against"]) == (0.0, -3.0)
    assert "lattice for" not in found


def test_the_score_is_what_the_kinds_add_to_it(path: Path) -> None:
    prediction = Predictor.load(path).predict(photograph())
    evidence = prediction.evidence
    assert evidence is not None
    assert prediction.score == pytest.approx(sum(evidence.contributions.values()))
    assert evidence.values["texture"] == pytest.approx(evidence.features["texture"]["region"])
    assert evidence.looks_like in KINDS[1:]
    assert evidence.contributions.keys() == {"texture", "lattice", "context"}


def test_context_sees_the_frame_and_not_the_crops(path: Path) -> None:
    pixels = photograph()
    found = Predictor.load(path).predict(pixels).evidence
    assert found is not None
    turned = Predictor.load(path).predict(np.ascontiguousarray(pixels[::-1])).evidence
    assert turned is not None
    assert found.features["context"]["logit"] != turned.features["context"]["logit"]


def test_a_piece_is_judged_by_heads_of_its_own(fitted: Bundle, tmp_path: Path) -> None:
    pieces = {"texture": line("overall", weight=3.0)}
    model = EvidenceModel(media=KINDS, heads=HEADS, joint=JOINT, pieces=pieces)
    write_bundle(
        tmp_path / "b", replace(fitted, card=fitted.card.model_copy(update={"evidence": model}))
    )
    predictor = Predictor.load(tmp_path / "b")
    whole, piece = (predictor.predict(photograph(0)[:side, :side]).evidence for side in (700, 300))
    assert whole is not None
    assert piece is not None
    assert whole.values["texture"] == pytest.approx(whole.features["texture"]["region"])
    assert piece.values["texture"] == pytest.approx(3 * piece.features["texture"]["overall"])
    with pytest.raises(ValueError, match="pieces may only have kinds that heads has"):
        EvidenceModel(media=KINDS, pieces=pieces)


def test_a_piece_of_a_photograph_has_no_context(path: Path) -> None:
    whole = Predictor.load(path).predict(photograph()).evidence
    assert whole is not None
    assert {kind: tuple(given) for kind, given in whole.features.items()} == FEATURES
    found = Predictor.load(path).predict(photograph(height=300, width=400)).evidence
    assert found is not None
    assert "context" not in found.values
    assert found.contributions["context"] == 0
    assert found.looks_like == ""


def test_features_are_told_as_long_as_nothing_is_fitted(
    unfitted: Bundle, fitted: Bundle, tmp_path: Path
) -> None:
    write_bundle(tmp_path / "unfitted", unfitted)
    pixels = photograph()
    raw = Predictor.load(tmp_path / "unfitted").predict(pixels)
    assert raw.score == raw.features["texture: region"]
    write_bundle(tmp_path / "fitted", fitted)
    joined = Predictor.load(tmp_path / "fitted").predict(pixels)
    assert joined.evidence is not None
    for kind, head in HEADS.items():
        told = {name: raw.features[f"{kind}: {name}"] for name in head.features}
        assert joined.evidence.values[kind] == pytest.approx(head.score(told))
    assert JOINT.score(joint_features(joined.evidence.values)) == pytest.approx(joined.score)
    assert not any(": " in name for name in joined.features)


def test_a_bundle_keeps_its_context_in_half_precision_and_its_judgement(
    fitted: Bundle, path: Path, tmp_path: Path
) -> None:
    again = read_bundle(path)
    write_bundle(tmp_path / "again", again)
    assert (tmp_path / "again").read_bytes() == path.read_bytes()
    assert path.stat().st_size < 7.5e6
    pixels = photograph()
    scores = [Predictor.load(each).predict(pixels).score for each in (path, tmp_path / "again")]
    assert scores[0] == scores[1]


def test_crops_whose_mean_is_infinite_have_no_joint_score(fitted: Bundle) -> None:
    """Finite scores of crops, as a foreign graph may give them, add up to more than a double."""
    assert fitted.context is not None
    context = CropModel(fitted.context, "here")
    predictor = Predictor(fitted.card, lambda crops: np.full(len(crops), 1.5e308), None, context)
    assert predictor.predict(photograph()).score is not None  # heads limit what a kind adds
    unjoined = fitted.card.model_copy(update={"evidence": EvidenceModel(media=KINDS)})
    predictor = Predictor(unjoined, lambda crops: np.full(len(crops), 1.5e308), None, context)
    prediction = predictor.predict(photograph())
    assert (prediction.score, prediction.evidence) == (None, None)
    assert prediction.reasons == ("its score is no finite number",)


def test_a_card_and_networks_that_do_not_fit_are_refused(fitted: Bundle, tmp_path: Path) -> None:
    write_bundle(tmp_path / "without", replace(fitted, context=None))
    with pytest.raises(BundleError, match="networks do not match its card"):
        Predictor.load(tmp_path / "without")
    with pytest.raises(ValueError, match="heads and joint must be given together"):
        EvidenceModel(media=KINDS, heads=HEADS)
    with pytest.raises(ValueError, match="heads must be texture, lattice, context"):
        EvidenceModel(media=KINDS, heads={"texture": HEADS["texture"]}, joint=JOINT)
    with pytest.raises(ValueError, match="lattice has no feature luma 1/8 height, only luma 1/1"):
        EvidenceModel(media=KINDS, heads=HEADS | {"lattice": line("luma 1/8 height")}, joint=JOINT)
    other = EvidenceModel(media=(*KINDS, "wall"), heads=HEADS, joint=JOINT)
    card = fitted.card.model_copy(update={"evidence": other})
    write_bundle(tmp_path / "media", replace(fitted, card=card))
    with pytest.raises(BundleError, match=r"media: cannot judge .* one score and 4 logits"):
        Predictor.load(tmp_path / "media")
    swapped = replace(fitted, context=fitted.graph)
    write_bundle(tmp_path / "swapped", swapped)
    with pytest.raises(BundleError):
        Predictor.load(tmp_path / "swapped")


def test_what_is_explained_survives_as_bytes_and_names_the_period(path: Path) -> None:
    x = np.arange(800)[None]
    pixels = photograph(height=600, width=800) + 25 * np.cos(2 * np.pi * x / 3.1)[..., None]
    pixels = np.clip(pixels, 0, 255).astype(np.uint8)
    predictor = Predictor.load(path)
    explanation = explain(predictor, pixels, predictor.predict(pixels))
    assert Explanation.from_bytes(explanation.to_bytes()) == explanation
    assert explanation.evidence is not None
    lattice = explanation.evidence.lattice
    assert lattice is not None
    assert lattice.period == pytest.approx(3.1, rel=0.02)
    row, column = lattice.peak
    side = Image.open(io.BytesIO(lattice.spectrum)).width
    assert abs(row - side / 2) <= 1
    assert abs(abs(column - side / 2) * 3.1 / side - lattice.side / side) < 0.02
    with pytest.raises(ValueError, match="not an explanation, or damaged"):
        Explanation.from_bytes(explanation.to_bytes().replace(b'"laptop"', b'"<b>lap>"'))


def test_a_medium_may_have_any_name_that_a_class_may_have(path: Path) -> None:
    predictor, pixels = Predictor.load(path), photograph()
    explanation = explain(predictor, pixels, predictor.predict(pixels))
    assert explanation.evidence is not None
    shown = replace(explanation.evidence, looks_like="phone_2 (old)")
    with pytest.raises(ValueError, match="not a valid name of a medium"):
        Explanation.from_bytes(replace(explanation, evidence=shown).to_bytes())
    shown = replace(explanation.evidence, looks_like="phone_2.1")
    again = Explanation.from_bytes(replace(explanation, evidence=shown).to_bytes())
    assert again.evidence == shown
    assert EvidenceModel(media=("original", "phone_2.1")).media[1] == "phone_2.1"
    with pytest.raises(ValueError, match=r"medium 'écran' is not a valid name"):
        EvidenceModel(media=("original", "écran"))


def test_a_padded_border_is_no_evidence() -> None:
    maps = np.full((2, 8, 8), 0.5)
    maps[:, :, -1] = -1.6  # as zeros around a crop make it
    shown = without_border(maps)
    assert np.ptp(shown, axis=(1, 2)) == pytest.approx([0, 0])
    assert shown.mean((1, 2)) == pytest.approx(maps.mean((1, 2)))
    maps = np.random.default_rng(0).normal(size=(3, 8, 8))
    assert without_border(maps).mean((1, 2)) == pytest.approx(maps.mean((1, 2)))


def test_it_is_described_and_not_exported(path: Path, tmp_path: Path) -> None:
    card = read_bundle(path).card
    told = describe(card, "0" * 64)
    assert "laptop, phone" in " ".join(told.split())
    assert "context against" in " ".join(told.split())
    with pytest.raises(ExportError, match="several kinds"):
        export_onnx(Detector(torch.nn.Flatten()), card, "0" * 64, tmp_path / "x.onnx")


def test_a_contract_goes_with_the_joint_model(fitted: Bundle) -> None:
    assert fitted.card.contract == InputContract(side=32, crops=16)
