"""A photograph to a verdict: where crops lie, what is measured on them, what is undecided."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import trueshot
from trueshot.bundle import save_bundle
from trueshot.calibration import Calibration, Decision, Domain
from trueshot.card import Card, InputContract
from trueshot.detector import Detector, scores_of
from trueshot.errors import BundleError, ImageFileError
from trueshot.inference import Predictor
from trueshot.inference.crops import BLOCK, FLAT_DEVIATION, cut, select_crops
from trueshot.inference.features import features_of
from trueshot.inference.predictor import LIKELIEST
from trueshot.networks.crop_aggregation import CropAggregator
from trueshot.pixels import to_levels
from trueshot.tasks import Task

Bytes = npt.NDArray[np.uint8]


def noise(height: int, width: int, seed: int = 0, low: int = 0, high: int = 256) -> Bytes:
    random = np.random.default_rng(seed)
    return random.integers(low, high, (height, width, 3), dtype=np.uint8)


def mean_green(crops: Bytes) -> npt.NDArray[np.float64]:
    """A detector whose score is how far green lies above 128 levels."""
    return crops[..., 1].mean((1, 2)) - 128.0


def judge_of(**said: object) -> Predictor:
    card = Card(network={"name": "lcnn"}, side=32, contract=InputContract(side=32, crops=9))
    return Predictor(card.model_copy(update=said), mean_green)


DECISION = Decision(original_to=-10.0, recaptured_from=20.0, apcer=0.05, bpcer=0.01)
LINE = Calibration(
    method="logistic",
    slope=math.log(10) / 10,
    intercept=0.0,
    lower=-1.5,
    upper=1.5,
    originals=50,
    recaptured=50,
    sources=10,
)


@given(st.integers(1, 400), st.integers(1, 400), st.sampled_from([16, 32, 64]), st.integers(1, 20))
@settings(max_examples=150, deadline=None)
def test_crops_lie_inside_apart_and_on_the_grid_of_blocks(
    height: int, width: int, side: int, most: int
) -> None:
    corners = select_crops(noise(height, width), side, most).corners
    assert len(corners) <= most
    assert bool(corners) == (min(height, width) >= side)
    taken = np.zeros((height, width), int)
    for y, x in corners:
        assert y % BLOCK == x % BLOCK == 0
        assert 0 <= y <= height - side
        assert 0 <= x <= width - side
        taken[y : y + side, x : x + side] += 1
    assert taken.max(initial=0) <= 1


def test_a_photograph_of_few_crops_is_judged_by_all_of_them() -> None:
    assert select_crops(noise(512, 512), 128, 16).corners == tuple(
        (y, x) for y in range(0, 512, 128) for x in range(0, 512, 128)
    )


def test_a_large_photograph_is_judged_all_over() -> None:
    corners = np.array(select_crops(noise(1500, 2000), 64, 16).corners)
    assert len(corners) >= 15
    for axis, size in enumerate((1500, 2000)):
        for third in range(3):
            inside = (corners[:, axis] >= size * third / 3) & (
                corners[:, axis] < size * (third + 1) / 3
            )
            assert inside.any()


def test_flat_parts_are_left_out_and_counted() -> None:
    pixels = np.full((128, 256, 3), 90, np.uint8)
    pixels[:, 128:] = noise(128, 128)
    selection = select_crops(pixels, 64, 8)
    assert sorted(selection.corners) == [(0, 128), (0, 192), (64, 128), (64, 192)]
    assert selection.flat == 0.5


def test_of_a_cell_the_crop_that_shows_the_most_is_taken() -> None:
    pixels = np.full((96, 96, 3), 90, np.uint8)
    pixels[64:, 64:] = noise(32, 32)
    assert select_crops(pixels, 32, 1).corners == ((64, 64),)


def pattern(kind: str, period: int, shift: int, size: int = 64) -> Bytes:
    """A grid of two levels, as displays and printing screens leave them."""
    ys, xs = np.indices((size, size)) + shift
    half = period // 2
    bright = {
        "chequerboard": (ys // half + xs // half) % 2 == 0,
        "rows": ys % period < half,
        "columns": xs % period < half,
        "thin lines": (ys % period == 0) | (xs % period == 0),
    }[kind]
    return np.where(bright, 160, 100).astype(np.uint8)[..., None].repeat(3, 2)


@pytest.mark.parametrize("kind", ["chequerboard", "rows", "columns", "thin lines"])
@pytest.mark.parametrize("period", [2, 4, 8, 16])
def test_no_grid_is_flat_whatever_its_period_and_wherever_it_begins(kind: str, period: int) -> None:
    for shift in range(period):
        selection = select_crops(pattern(kind, period, shift), 32, 4)
        assert (len(selection.corners), selection.flat) == (4, 0.0), shift


def test_of_a_cell_a_fine_grid_is_taken_before_a_little_grain() -> None:
    pixels = noise(96, 96, low=90, high=103)
    pixels[64:, 64:] = pattern("chequerboard", 2, 0, 32)
    assert select_crops(pixels, 32, 1).corners == ((64, 64),)


@given(st.integers(0, 40), st.integers(1, 12), st.integers(0, 2**31))
@settings(max_examples=50, deadline=None)
def test_what_is_called_flat_is_flat_on_all_its_pixels(low: int, spread: int, seed: int) -> None:
    pixels = noise(32, 32, seed, low, low + spread)
    pixels[::4, ::4] = low  # no spread where it is sampled
    is_flat = float(pixels[..., 1].std()) < FLAT_DEVIATION
    assert select_crops(pixels, 32, 1).flat == float(is_flat)


def test_features_of_known_pictures() -> None:
    grey = features_of(np.full((2, 32, 32, 3), 100, np.uint8), 0.25)
    assert grey == {
        "brightness": 100.0,
        "contrast": 0.0,
        "sharpness": 0.0,
        "noise": 0.0,
        "saturation": 0.0,
        "clipped share": 0.0,
        "flat share": 0.25,
        "blockiness": 1.0,
    }
    random = np.random.default_rng(0)
    grain = np.clip(random.normal(128, 5, (4, 128, 128, 1)).round(), 0, 255).astype(np.uint8)
    found = features_of(np.repeat(grain, 3, 3), 0.0)
    assert found["noise"] == pytest.approx(5, rel=0.05)  # Immerkær's estimate of its deviation
    assert found["contrast"] == pytest.approx(5, rel=0.05)
    assert found["sharpness"] == pytest.approx(5 * 2 / math.sqrt(math.pi), rel=0.05)
    assert features_of(np.full((1, 32, 32, 3), 255, np.uint8), 0.0)["clipped share"] == 1.0


def test_a_jpeg_grid_is_seen_as_blockiness() -> None:
    blocks = np.repeat(np.repeat(noise(16, 16, high=30), BLOCK, 0), BLOCK, 1)[None]
    smooth = np.tile(np.arange(128, dtype=np.uint8)[:, None], (1, 128, 3)).reshape(128, 128, 3)
    assert features_of(blocks + noise(128, 128, 1, 0, 3)[None], 0.0)["blockiness"] > 5
    assert features_of(smooth[None], 0.0)["blockiness"] == pytest.approx(1.0, abs=0.1)


def test_no_crop_has_no_features() -> None:
    assert features_of(np.zeros((0, 32, 32, 3), np.uint8), 1.0) == {}


@pytest.mark.parametrize("how", ["mean", "median", "trimmed", "max"])
@pytest.mark.parametrize("count", [1, 2, 5, 10])
def test_scores_become_one_as_in_many_crops(how: str, count: int) -> None:
    scores = np.random.default_rng(count).normal(size=count)
    logits = torch.tensor(np.stack([np.zeros(count), scores], 1))[None]
    whole = CropAggregator(torch.nn.Identity(), 8, aggregation=how)  # type: ignore[arg-type]
    expected = whole._aggregated(logits)[0]
    contract = InputContract(side=32, aggregation=how)  # type: ignore[arg-type]
    assert contract.aggregate(scores) == pytest.approx(float(expected[1] - expected[0]))


@pytest.mark.parametrize(
    ("level", "verdict"), [(90, "original"), (140, "undecided"), (180, "recaptured")]
)
def test_verdicts_follow_the_thresholds(level: int, verdict: str) -> None:
    pixels = noise(96, 96, low=level - 15, high=level + 16)
    prediction = judge_of(decision=DECISION, calibration=LINE).predict(pixels)
    assert prediction.verdict == verdict
    assert prediction.score == pytest.approx(level - 128, abs=1)
    assert prediction.log10_lr == pytest.approx(np.clip((prediction.score or 0) / 10, -1.5, 1.5))
    assert prediction.reasons == ()


def test_without_calibration_the_score_decides_and_there_is_no_likelihood_ratio() -> None:
    prediction = judge_of().predict(noise(96, 96, low=120, high=160))
    assert (prediction.verdict, prediction.log10_lr) == ("recaptured", None)


@pytest.mark.parametrize(
    ("pixels", "reason"),
    [
        (noise(31, 500), "500×31 px: too small, 32×32 or more"),
        (np.full((96, 96, 3), 200, np.uint8), "flat all over"),
    ],
)
def test_what_cannot_be_judged_is_undecided_and_says_why(pixels: Bytes, reason: str) -> None:
    prediction = judge_of(decision=DECISION, calibration=LINE).predict(pixels)
    assert prediction.verdict == "undecided"
    assert prediction.score is prediction.log10_lr is None
    assert reason in prediction.reasons[0]


def test_what_was_not_calibrated_is_undecided_however_clear_its_score() -> None:
    domain = Domain(
        features={"brightness": (20.0, 150.0)},
        mean=(0.0,),
        precision=((1e-6,),),
        limit=1e6,
        fewest_crops=4,
    )
    predictor = judge_of(decision=DECISION, domain=domain)
    bright = predictor.predict(noise(96, 96, low=180, high=220))
    assert bright.verdict == "undecided"
    assert "brightness" in bright.reasons[0]
    assert (bright.score or 0) > DECISION.recaptured_from
    assert predictor.predict(noise(96, 96, low=60, high=90)).verdict == "original"
    assert "3 crops" in predictor.predict(noise(32, 96, low=60, high=90)).reasons[0]


@pytest.mark.parametrize("score", [np.nan, np.inf, 1.5e308], ids=["nan", "inf", "infinite mean"])
def test_a_detector_that_gives_no_number_decides_nothing(score: float) -> None:
    card = Card(network={"name": "lcnn"}, side=32, calibration=LINE, decision=DECISION)
    prediction = Predictor(card, lambda crops: np.full(len(crops), score)).predict(noise(64, 64))
    assert prediction.verdict == "undecided"
    assert prediction.score is prediction.log10_lr is None
    assert "no finite number" in prediction.reasons[0]


def test_a_bundle_judges_as_its_detector_does(tmp_path: Path) -> None:
    torch.manual_seed(0)
    card = Card(network={"name": "lcnn", "filters": [4, 4, 4, 4, 4]}, side=32)
    detector = card.new_detector()
    detector(to_levels(noise(32, 32)[None]))
    save_bundle(tmp_path / "b", detector.eval(), card)
    pixels = noise(128, 128)
    prediction = Predictor.load(tmp_path / "b").predict(pixels)
    whole = Detector(CropAggregator(detector.network, 32)).eval()
    with torch.no_grad():
        logits = whole(to_levels(pixels))[0]
    assert len(prediction.corners) == 16
    assert prediction.score == pytest.approx(float(logits[1] - logits[0]), abs=1e-5)
    assert np.array_equal(cut(pixels, prediction.corners, 32)[5], pixels[32:64, 32:64])


def test_a_bundle_that_cannot_judge_photographs_is_refused(tmp_path: Path) -> None:
    card = Card(network={"name": "lcnn", "filters": [2, 2, 2, 2, 2]})
    save_bundle(tmp_path / "b", card.new_detector(), card)
    with pytest.raises(BundleError, match="cannot judge photographs"):
        Predictor.load(tmp_path / "b")


def test_a_photograph_is_judged_alike_from_its_file_its_bytes_and_its_pixels(
    tmp_path: Path,
) -> None:
    path = tmp_path / "photo.png"
    pixels = noise(300, 200)
    Image.fromarray(pixels).save(path)
    predictor = trueshot.load("accurate")
    wanted = predictor.predict(pixels)
    data = path.read_bytes()
    for photograph in (path, str(path), data, bytearray(data), memoryview(data)):
        found = predictor.predict(photograph)
        assert (found.verdict, found.score) == (wanted.verdict, wanted.score)
    assert [(each.y, each.x) for each in wanted.regions] == list(wanted.corners)
    assert [each.score for each in wanted.regions] == wanted.scores.tolist()
    assert wanted.log10_lr is not None
    assert wanted.likelihood_ratio == pytest.approx(10**wanted.log10_lr)
    for other in (pixels[..., 0], pixels.astype(np.float32), pixels.transpose(2, 0, 1)):
        with pytest.raises(ValueError, match="must be RGB levels, uint8, shape"):
            predictor.predict(other)
    with pytest.raises(ValueError, match="orientation must be 1 to 8, as in EXIF, got 9"):
        predictor.predict(pixels, orientation=9)
    with Image.open(path) as opened, pytest.raises(TypeError, match=r"RGB.*PngImageFile"):
        predictor.predict(opened)  # type: ignore[arg-type]
    assert len(repr(wanted)) < 1500, "a notebook shows the verdict, not every score of a map"
    with pytest.raises(ImageFileError, match=r"none\.png"):
        predictor.predict(tmp_path / "none.png")


def test_the_detector_of_a_predictor_says_what_the_predictor_says() -> None:
    predictor = trueshot.load("accurate")
    side = predictor.contract.side
    pixels = noise(side, side)
    logits = predictor.detector(to_levels(pixels[None]))
    (score,) = scores_of(logits.double()).tolist()
    assert predictor.predict(pixels).scores.tolist() == pytest.approx([score], abs=1e-4)


def test_the_public_names_are_these() -> None:
    """What users need: names are added to this list on purpose, and never by accident."""
    assert trueshot.__all__ == [
        *("__version__", "APGD", "Attack", "Dataset", "Detector", "EvaluationResult"),
        *("Expectation", "FAB", "FGSM", "FMN", "LCNN", "LeastLikelyClass", "Network"),
        *("PGD", "Prediction", "Predictor", "RayS", "Recipe", "SpectralNetwork", "Square"),
        *("Targeted", "Task", "Through", "Transfer", "TrueshotError", "UniformNoise"),
        *("boundary_distance", "evaluate", "load", "load_bundle", "make_bundle", "perturb"),
        *("prepare", "read_image", "reproduce", "save_bundle", "scan", "train"),
    ]


def test_a_task_of_the_likeliest_class_is_answered_by_it(tmp_path: Path) -> None:
    task = Task(name="cameras", classes=("one", "two", "three"), decision="top-class")
    card = Card.of_task(task, network={"name": "lcnn", "filters": [2, 2, 2, 2, 2]}, side=32)
    votes = np.array([[0.0, 2.0, 1.0], [3.0, 0.0, 2.5]])

    def logits(crops: np.ndarray) -> np.ndarray:
        return np.resize(votes, (len(crops), 3))

    pixels = np.random.default_rng(0).integers(0, 255, (64, 96, 3)).astype(np.uint8)
    found = Predictor(card, logits).predict(pixels)
    assert (found.verdict, found.top_class) == ("three", "three")  # means: 1.5, 1, 1.75
    assert found.score is not None
    assert found.score > 0
    assert Predictor(card, logits).notes == (LIKELIEST,)
    against = card.model_copy(update={"decision_rule": "against-class-0"})
    again = Predictor(Card.model_validate(against.model_dump()), logits).predict(pixels)
    assert (again.verdict, again.top_class, again.score) == ("not one", "three", found.score)
