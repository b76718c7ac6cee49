"""Why a photograph was judged as it was: maps, colours, what is seen, and its bytes."""

from __future__ import annotations

import io
import math
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy import ndimage

from trueshot.calibration import Calibration
from trueshot.card import Card, InputContract
from trueshot.detector import Detector
from trueshot.graph import with_weights
from trueshot.inference import Predictor
from trueshot.inference.crop_model import CropModel
from trueshot.inference.explaining import (
    MOST_CROPS,
    THUMBNAIL,
    explain,
    feature_image,
    scale_of,
)
from trueshot.inference.explanation import Explanation
from trueshot.inference.heat_map import ORIGINAL, RECAPTURED, assemble, heat_png, paint
from trueshot.inference.predictor import log_odds
from trueshot.networks import LCNN, SpectralNetwork
from trueshot.onnx import crop_graph
from trueshot.parity import logits_by_torch

Bytes = npt.NDArray[np.uint8]
FILTERS = (4, 4, 6, 6, 8)
LINE = Calibration(
    method="logistic",
    slope=math.log(10) / 2,
    intercept=math.log(10),
    lower=-1.5,
    upper=2.0,
    originals=50,
    recaptured=50,
    sources=10,
)


def noise(height: int, width: int, seed: int = 0) -> Bytes:
    random = np.random.default_rng(seed)
    return random.integers(0, 256, (height, width, 3), dtype=np.uint8)


def shaken(network: torch.nn.Module, **settings: float) -> Detector:
    """A detector whose weights, biases and batch statistics are nothing special."""
    random = torch.Generator().manual_seed(1)
    for name, value in network.state_dict().items():
        if value.is_floating_point() and "classifier" in name:
            value.copy_(torch.randn(value.shape, generator=random))
        elif name.endswith("running_mean"):
            value.copy_(torch.randn(value.shape, generator=random) * 3)
        elif name.endswith("running_var"):
            value.copy_(torch.rand(value.shape, generator=random) * 900 + 1)
        elif value.ndim > 1:
            value.copy_(torch.randn(value.shape, generator=random) / value[0].numel() ** 0.5)
    return Detector(network, **settings).eval()  # type: ignore[arg-type]


def lcnn(**settings: float) -> Detector:
    return shaken(LCNN(filters=FILTERS), **settings)


def card(side: int = 64, crops: int = 6, **said: object) -> Card:
    found = Card(
        network={"name": "lcnn"}, side=side, contract=InputContract(side=side, crops=crops)
    )
    return found.model_copy(update=said)


def model_of(detector: Detector, side: int = 64) -> CropModel:
    """The detector as onnxruntime runs it."""
    weights = {name: value.numpy() for name, value in detector.state_dict().items()}
    return CropModel(with_weights(crop_graph(detector, side), weights), "here")


def judge_with(detector: Detector, **said: object) -> Predictor:
    return Predictor(card(**said), model_of(detector))  # type: ignore[arg-type]


def seen_by(detector: Detector, crop: Bytes) -> tuple[str, Bytes, float] | None:
    """Kind, picture and gain of the first layer's output."""
    first = model_of(detector).first_layer(crop)
    return None if first is None else (first[0], *feature_image(*first))


def opened(picture: bytes) -> Bytes:
    return np.asarray(Image.open(io.BytesIO(picture)))


@pytest.mark.parametrize("side", [64, 72, 128])
@pytest.mark.parametrize("how", [{}, {"offset": 120.0, "scale": 60.0}], ids=["levels", "scaled"])
def test_the_mean_of_a_detectors_own_map_is_the_score_of_the_crop(
    side: int, how: dict[str, float]
) -> None:
    detector = lcnn(**how)
    crops = np.stack([noise(side, side, seed) for seed in range(5)])
    maps = model_of(detector, side).judged(crops)[1]
    assert maps is not None
    assert maps.shape[1] > 1
    assert maps.std((1, 2)).min() > 1e-6
    wanted = log_odds(logits_by_torch(detector)(crops))
    np.testing.assert_allclose(maps.mean((1, 2)), wanted, rtol=1e-4, atol=1e-4)


def test_a_network_without_places_has_no_map() -> None:
    spectral = shaken(SpectralNetwork(window=32, filters=(4, 4)))
    assert model_of(spectral).judged(noise(64, 64)[None])[1] is None


def test_evidence_stands_over_the_pixels_that_it_is_about() -> None:
    """A detector whose filters answer to a grid alone: orange over the half that has one."""
    pixels = np.full((256, 384, 3), 120, np.uint8) + (noise(256, 384) // 16)
    pixels[:, 192:] += (40 * (np.indices((256, 192)).sum(0) % 2))[..., None].astype(np.uint8)
    network = LCNN(filters=FILTERS)
    for value in network.parameters():
        value.data.zero_()
    for number in range(5):
        weight = network.units[number][0].weight.data
        weight[0, 0, 1, 1] = 1.0  # each unit passes on what is positive in the first channel
    network.classifier.weight.data[1, 0] = 1.0
    network.classifier.bias.data[0] = 20.0
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.weight.data.fill_(1.0)
    detector = Detector(network).eval()
    predictor = judge_with(detector, crops=24)
    found = explain(predictor, pixels, predictor.predict(pixels))
    assert found.within_crops
    assert found.heat is not None
    heat = np.asarray(Image.open(io.BytesIO(found.heat)).convert("RGBA")).astype(int)
    assert heat.shape == (256 // 8, 384 // 8, 4)
    redder = heat[..., 0] - heat[..., 2]
    assert (redder[:, :22] < 0).all()
    assert (redder[:, 26:] > 0).mean() > 0.9  # less at the edges of crops, which are padded
    assert found.key_crop is not None
    assert found.key_crop.spot.x >= 192 - 64


def test_maps_are_laid_where_their_crops_lie_the_later_over_the_earlier() -> None:
    maps = np.array([[[1.0, 2.0], [3.0, 4.0]], [[5.0, 5.0], [5.0, 5.0]]])
    cells = assemble(maps, [(0, 8), (16, 24)], 32, (60, 80))
    assert cells.shape == (8, 10)
    nothing = math.nan
    np.testing.assert_array_equal(cells[0], [nothing, 1, 1, 2, 2, *[nothing] * 5])
    np.testing.assert_array_equal(cells[3], [nothing, 3, 3, 5, 5, 5, 5, *[nothing] * 3])
    assert np.isnan(cells[6:]).all()


def test_cells_of_a_large_photograph_are_means_of_what_is_known() -> None:
    cells = assemble(np.array([[[2.0, 6.0]]]), [(0, 8)], 16, (16, 8 * 1024))
    assert cells.shape == (1, 512)
    assert cells[0, :2].tolist() == [2.0, 6.0]
    assert np.isnan(cells[0, 2:]).all()


def test_colours_say_which_way_and_how_far() -> None:
    scores = np.array([[-9.0, -2.0, 0.5, 1.0, 4.0, math.nan]])
    colours = paint(scores, neutral=1.0, span=3.0)[0].astype(int)
    assert tuple(colours[0][:3]) == tuple(colours[1][:3]) == ORIGINAL
    assert tuple(colours[4][:3]) == RECAPTURED
    assert len(set(colours[3][:3])) == 1
    assert colours[2][2] > colours[2][0]
    assert colours[5].tolist() == [0, 0, 0, 0]
    assert colours[4][3] == colours[0][3] > colours[2][3] > colours[3][3] > 0


@given(st.lists(st.floats(-20, 20), min_size=1, max_size=40), st.floats(-3, 3), st.floats(0.1, 9))
@settings(max_examples=50, deadline=None)
def test_the_png_shows_what_was_painted(values: list[float], neutral: float, span: float) -> None:
    scores = np.array([[*values, math.nan]])
    picture = Image.open(io.BytesIO(heat_png(scores, neutral, span)))
    shown = np.asarray(picture.convert("RGBA")).astype(int)
    painted = paint(scores, neutral, span).astype(int)
    assert np.abs(shown - painted).max() <= 2
    assert shown[0, -1, 3] == 0


def test_colours_are_full_where_the_calibration_ends() -> None:
    # log10 of the ratio is score / 2 + 1: neutral at -2, the bounds -1.5 and 2 at -5 and 2.
    assert scale_of(card(calibration=LINE)) == pytest.approx((-2.0, 4.0), abs=0.01)
    stairs = Calibration(
        method="isotonic", knots=(-3.0, -1.0, 1.0, 2.0), values=(-1.0, 0.0, 0.0, 0.8),
        lower=-2.0, upper=0.6, originals=9, recaptured=9, sources=4,
    )  # fmt: skip
    assert scale_of(card(calibration=stairs)) == pytest.approx((0.0, 3.0), abs=0.01)
    assert scale_of(card()) == (0.0, 4.0)
    flat = LINE.model_copy(update={"slope": 0.0, "intercept": 0.0})
    assert scale_of(card(calibration=flat)) == (0.0, 4.0)


def test_an_explanation_holds_the_judged_crops_and_the_most_telling_one() -> None:
    pixels = noise(320, 500)
    predictor = judge_with(lcnn(), crops=5, calibration=LINE)
    prediction = predictor.predict(pixels)
    found = explain(predictor, pixels, prediction)
    assert [(s.y, s.x) for s in found.judged] == list(prediction.corners)
    assert [s.score for s in found.judged] == prediction.scores.tolist()
    places = [(s.y, s.x) for s in found.looked_at]
    assert len(set(places)) == len(places) > len(prediction.corners)
    assert places[-len(prediction.corners) :] == list(prediction.corners)
    assert (found.width, found.height, found.side) == (500, 320, 64)
    assert found.key_crop is not None
    neutral, _ = scale_of(predictor.card)
    loudest = max if (prediction.score or 0) >= neutral else min
    assert found.key_crop.spot == loudest(found.judged, key=lambda spot: spot.score)
    y, x = found.key_crop.spot.y, found.key_crop.spot.x
    np.testing.assert_array_equal(opened(found.key_crop.crop), pixels[y : y + 64, x : x + 64])


def test_at_most_so_many_crops_are_looked_at_besides_the_judged() -> None:
    pixels = noise(16 * 64, 32 * 64)
    predictor = judge_with(lcnn(), crops=3)
    found = explain(predictor, pixels, predictor.predict(pixels))
    assert MOST_CROPS / 2 < len(found.looked_at) <= MOST_CROPS + 3


def test_the_residual_is_that_of_the_laplacian() -> None:
    crop = (noise(64, 64) // 8) + 100
    seen = seen_by(lcnn(), crop)
    assert seen is not None
    kind, pixels, gain = seen
    kernel = np.array([[0, -1, 0], [-1, 4, -1], [0, -1, 0]])
    filtered = np.stack(
        [ndimage.convolve(crop[..., c].astype(int), kernel)[1:-1, 1:-1] for c in range(3)], -1
    )
    expected = np.clip(np.rint(filtered * gain + 128), 0, 255)
    assert (kind, pixels.shape) == ("filtered", (62, 62, 3))
    assert np.abs(pixels.astype(int) - expected).max() <= 1
    assert (np.abs(filtered * gain) <= 127).mean() > 0.95
    flat = seen_by(lcnn(), np.full((64, 64, 3), 77, np.uint8))
    assert flat is not None
    assert (flat[1] == 128).all()


def test_a_grid_is_a_pair_of_peaks_in_the_spectrum() -> None:
    across = np.arange(64)
    wave = 128 + 60 * np.cos(2 * np.pi * (8 * across[None] + 4 * across[:, None]) / 64)
    crop = np.repeat(wave[..., None], 3, 2).astype(np.uint8)
    seen = seen_by(shaken(SpectralNetwork(window=64, filters=(4, 4))), crop)
    assert seen is not None
    kind, pixels, _ = seen
    assert kind == "spectrum"
    size = pixels.shape[0] // 65
    plane = pixels[::size, ::size, 0]
    brightest = {tuple(int(i) - 32 for i in place) for place in np.argwhere(plane == plane.max())}
    assert brightest == {(4, 8), (-4, -8)}
    np.testing.assert_array_equal(plane, plane[::-1, ::-1])


def test_no_first_filter_no_residual() -> None:
    detector = shaken(LCNN(filters=FILTERS, front="none"))
    assert seen_by(detector, noise(64, 64)) is None
    predictor = judge_with(detector)
    pixels = noise(200, 200)
    found = explain(predictor, pixels, predictor.predict(pixels))
    assert found.key_crop is None
    assert found.within_crops


def test_without_a_network_at_hand_each_crop_is_of_one_colour() -> None:
    def mean_green(crops: Bytes) -> npt.NDArray[np.float64]:
        return crops[..., 1].mean((1, 2)) - 128.0

    predictor = Predictor(card(side=32, crops=4), mean_green)
    pixels = noise(64, 64) // 4
    pixels[:, 32:] += 180
    found = explain(predictor, pixels, predictor.predict(pixels))
    assert found.heat is not None
    heat = np.asarray(Image.open(io.BytesIO(found.heat)).convert("RGBA"))
    assert {tuple(colour[:3]) for colour in heat[:, :4].reshape(-1, 4)} == {ORIGINAL}
    assert {tuple(colour[:3]) for colour in heat[:, 4:].reshape(-1, 4)} == {RECAPTURED}
    assert not found.within_crops
    assert found.key_crop is None


def test_the_thumbnail_is_the_photograph_reduced_and_not_turned() -> None:
    pixels = np.zeros((1200, 800, 3), np.uint8)
    pixels[:300, :200] = (250, 20, 20)
    predictor = judge_with(lcnn())
    shown = opened(explain(predictor, pixels, predictor.predict(pixels)).thumbnail).astype(int)
    assert shown.shape == (THUMBNAIL, 320, 3)
    assert np.abs(shown[:100, :70] - (250, 20, 20)).mean() < 8
    assert shown[140:].mean() < 4


@pytest.mark.parametrize("size", [(300, 200), (20, 30), (1, 1)])
def test_where_nothing_is_judged_there_is_a_thumbnail_alone(size: tuple[int, int]) -> None:
    pixels = np.full((*size, 3), 90, np.uint8)
    predictor = judge_with(lcnn())
    found = explain(predictor, pixels, predictor.predict(pixels))
    assert (found.heat, found.key_crop, found.judged, found.looked_at) == (None, None, (), ())
    assert opened(found.thumbnail).shape == (*size, 3)
    assert Explanation.from_bytes(found.to_bytes()) == found


@pytest.mark.parametrize("score", [np.inf, np.nan])
def test_scores_that_are_no_numbers_are_explained_by_a_thumbnail_alone(score: float) -> None:
    predictor = Predictor(card(), lambda crops: np.full(len(crops), score))
    found = explain(predictor, noise(150, 210), predictor.predict(noise(150, 210)))
    assert (found.heat, found.judged) == (None, ())
    assert Explanation.from_bytes(found.to_bytes()) == found


def some() -> Explanation:
    predictor = judge_with(lcnn(), calibration=LINE)
    pixels = noise(150, 210)
    return explain(predictor, pixels, predictor.predict(pixels))


def test_an_explanation_comes_back_from_its_bytes_and_is_the_same_each_time() -> None:
    found = some()
    assert Explanation.from_bytes(found.to_bytes()) == found
    assert some().to_bytes() == found.to_bytes()
    alone = replace(found, key_crop=None)
    assert Explanation.from_bytes(alone.to_bytes()) == alone


def test_a_heat_map_of_no_crops_is_refused() -> None:
    found = some()
    object.__setattr__(found, "looked_at", ())
    with pytest.raises(ValueError, match="a heat map without crops"):
        Explanation.from_bytes(found.to_bytes())


def test_what_a_file_claims_comes_back_printable_and_not_without_end() -> None:
    claimed = replace(some(), claims=(("Camera", "One\u202e"), ("Software", "é" * 500)))
    found = Explanation.from_bytes(claimed.to_bytes())
    assert found.claims == (("Camera", r"One\u202e"), ("Software", "é" * 500))
    for claims in ((("Camera", "a" * 2000),), (("Camera", "a"),) * 99):
        with pytest.raises(ValueError, match="not an explanation, or damaged"):
            Explanation.from_bytes(replace(some(), claims=claims).to_bytes())


WHOLE = some().to_bytes()


@given(st.integers(0, len(WHOLE) - 1))
@settings(max_examples=80, deadline=None)
def test_a_cut_explanation_is_refused(length: int) -> None:
    with pytest.raises(ValueError, match="not an explanation, or damaged"):
        Explanation.from_bytes(WHOLE[:length])


@given(st.integers(0, 700), st.binary(min_size=1, max_size=8))
@settings(max_examples=300, deadline=None)
def test_a_damaged_explanation_is_refused_or_still_one(place: int, other: bytes) -> None:
    damaged = WHOLE[:place] + other + WHOLE[place + len(other) :]
    try:
        found = Explanation.from_bytes(damaged)
    except ValueError:  # and no other error
        return
    assert found.width > 0
    assert found.height > 0
    assert all(math.isfinite(spot.score) for spot in (*found.judged, *found.looked_at))
