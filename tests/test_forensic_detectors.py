"""Whole detectors: from photographs to a verdict, against class 0 or by the likeliest class."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest
from conftest import SIDE, photo_pixels
from PIL import Image
from scipy import ndimage
from typer.testing import CliRunner, Result

from trueshot.bundle import read_card, save_bundle
from trueshot.calibrating.likeliest import fit_likeliest, measure_likeliest
from trueshot.calibrating.photographs import Photograph
from trueshot.calibrating.scores import PhotographScore, Scores
from trueshot.calibration import Domain
from trueshot.card import Card, Likeliest
from trueshot.cli import app
from trueshot.datasets import Dataset
from trueshot.errors import BundleError, CalibrationError
from trueshot.inference import Predictor
from trueshot.inference.predictor import CLASS_LOGIT, probabilities
from trueshot.web.server import serve
from trueshot.web.settings import ServiceSettings

MEDIAN = Path(__file__).parent / "weights" / "median-tiny.safetensors"
"""A median-residual network of 6, 6, 8, 8 and 8 filters and `places: mean`, trained in 400 steps of
16 crops (Adam, 0.01 halved every 100) on `median-filtering-5x5-png` at 32 px, of 120 pictures of
`photo_pixels` that no test here draws (seeds 1000 to 1119)."""
LCNN = """
name: tiny
network: {filters: [4, 4, 8, 8, 8]}
schedule: {iterations: 250, batch: 16, learning_rate: 0.01}
"""
CAMERAS = ("alpha", "beta", "gamma")


def run(*words: object, status: int = 0) -> Result:
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert done.exit_code == status, (done.output, done.exception)
    return done


def photographs(folder: Path, count: int, first: int = 0) -> Path:
    folder.mkdir()
    for number in range(first, first + count):
        pixels = photo_pixels(number, recaptured=False, side=2 * SIDE)
        Image.fromarray(pixels).save(folder / f"{number:03}.png")
    return folder


def test_a_median_filter_is_found_in_whole_photographs_from_examples_to_report(
    tmp_path: Path,
) -> None:
    task = ("--task", "median-filtering-5x5-png")
    known, bundle = tmp_path / "known", tmp_path / "median.safetensors"
    run("examples", photographs(tmp_path / "photos", 30), *task, "--out", known)
    rates = ("--apcer", 0.2, "--bpcer", 0.2, "--workers", 1)
    run("bundle", MEDIAN, "--calibrate", known / "manifest.csv", "--out", bundle, *rates)
    card = read_card(bundle)
    assert card.calibration is not None
    assert (card.calibration.originals, card.calibration.sources) == (30, 30)
    run("examples", photographs(tmp_path / "new", 6, 200), *task, "--out", tmp_path / "examples")
    out, page = tmp_path / "r.jsonl", tmp_path / "r.html"
    filtered = tmp_path / "examples" / "median-filtered"
    run("scan", filtered, "--bundle", bundle, "--out", out, "--report", page, "--exit-zero")
    found = [json.loads(line) for line in out.read_text().splitlines()]
    called = [each for each in found if each["verdict"] == "median-filtered"]
    assert len(called) >= 3
    assert all(each["verdict"] != "original" for each in found)
    assert all(each["log10_lr"] > 0 for each in called)
    text = re.sub(r"<(style|script)\b.*?</\1>|<[^>]+>", " ", page.read_text(), flags=re.DOTALL)
    assert "classified as median-filtered" in text.lower()
    assert "the image was median filtered" in text
    assert "recaptur" not in text.lower()


def test_examples_are_made_whole_once_and_not_of_what_was_trained_on(tmp_path: Path) -> None:
    photos = photographs(tmp_path / "photos", 8)
    (photos / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    task = ("--task", "median-filtering-5x5-png")
    told = run("examples", photos, *task, "--out", tmp_path / "all", status=2)
    assert "broken.png" in told.stderr
    with (tmp_path / "all" / "manifest.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 16
    wanted = np.asarray(Image.open(photos / "003.png").convert("L"))
    for row in (row for row in rows if row["source"] == "003.png"):
        plane = ndimage.median_filter(wanted, 5, mode="nearest")
        found = np.asarray(Image.open(tmp_path / "all" / row["path"]))[..., 0]
        inner = (slice(2, -2), slice(2, -2))  # at the edge libraries differ
        assert (found[inner] == (wanted if row["label"] == "original" else plane)[inner]).all()
    (photos / "broken.png").unlink()
    (tmp_path / "all" / rows[0]["path"]).unlink()
    before = (tmp_path / "all" / rows[1]["path"]).stat().st_mtime_ns
    run("examples", photos, *task, "--out", tmp_path / "all")
    assert (tmp_path / "all" / rows[0]["path"]).exists()
    assert (tmp_path / "all" / rows[1]["path"]).stat().st_mtime_ns == before
    kept = (tmp_path / "all" / rows[2]["path"]).read_bytes()
    first = (photos / "000.png").read_bytes()
    (photos / "000.png").write_bytes((photos / "001.png").read_bytes())
    told = run("examples", photos, *task, "--out", tmp_path / "all", status=2)
    assert "001.png: the same picture as 000.png" in told.stderr
    made = {row["source"]: tmp_path / "all" / row["path"] for row in rows[::2]}
    assert made["000.png"].read_bytes() == made["001.png"].read_bytes()
    assert (tmp_path / "all" / rows[2]["path"]).read_bytes() == kept
    (photos / "000.png").write_bytes(first)
    again = ["examples", photos, *task, "--seed", 1, "--out", tmp_path / "all"]
    refused = CliRunner().invoke(app, [str(word) for word in again])
    assert "choose another folder" in str(refused.exception)

    data = tmp_path / "data"
    run("prepare", photos, *task, "--size", SIDE, "--fractions", 0.5, 0.25, 0.25, "--out", data)
    trained = {
        json.loads(row["origins"])["photograph"]
        for row in Dataset.open(data).photos.to_pylist()
        if row["part"] == "train"
    }
    told = run("examples", photos, *task, "--unseen-by", data, "--out", tmp_path / "unseen")
    assert f"used for training: {len(trained)}" in told.stderr
    with (tmp_path / "unseen" / "manifest.csv").open(newline="") as file:
        sources = {row["source"] for row in csv.DictReader(file)}
    assert sources == {f"{number:03}.png" for number in range(8)} - trained


def test_detectors_of_other_classes_are_not_served_side_by_side(tmp_path: Path) -> None:
    card = Card(network={"name": "lcnn", "filters": [4] * 5}, side=SIDE)
    other = tmp_path / "recapture.safetensors"
    save_bundle(other, card.new_detector().eval(), card)
    with pytest.raises(BundleError, match=r"median-filtered, but .* has original, recaptured:"):
        serve(MEDIAN, other, ServiceSettings(port=0))


def camera(pixels: np.ndarray, model: int) -> np.ndarray:
    """Pixels with a pattern of their camera."""
    lines = np.indices(pixels.shape[:2]).sum(0) % (model + 2) == 0
    return np.clip(pixels * 0.7 + 60.0 * lines[..., None], 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def cameras(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a bundle that tells cameras apart."""
    place = tmp_path_factory.mktemp("cameras")
    rows = []
    for number in range(60):
        pixels = photo_pixels(number, recaptured=False, side=2 * SIDE)
        Image.fromarray(camera(pixels, number % 3)).save(place / f"{number}.png")
        rows.append((f"{number}.png", CAMERAS[number % 3], f"scene {number // 3}"))
    with (place / "m.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("path", "label", "scene"), *rows])
    (place / "tiny.yaml").write_text(LCNN)
    asked = ("prepare", "--task", "camera-model", "--manifest", place / "m.csv", "--size", SIDE)
    run(*asked, "--fractions", 0.4, 0.4, 0.2, "--out", place / "data")
    run("train", place / "data", "--recipe", place / "tiny.yaml", "--out", place / "run")
    run("bundle", place / "run", "--calibrate", place / "data", "--bpcer", 0.1, "--workers", 1,
        "--out", place / "cameras.safetensors")  # fmt: skip
    return place


def test_a_bundle_of_the_likeliest_class_names_it_with_a_probability(
    cameras: Path, tmp_path: Path
) -> None:
    card = read_card(cameras / "cameras.safetensors")
    assert card.likeliest is not None
    assert card.decision is None
    (measured,) = card.measured
    assert measured.right is not None
    assert measured.of_none is not None
    wrong = 1 - measured.right.value - measured.of_none.value
    assert wrong < 0.3  # by chance it would be two in three
    told = run("inspect", cameras / "cameras.safetensors").stdout
    assert "right class named" in told
    assert "below a probability of" in told
    pixels = photo_pixels(300, recaptured=False, side=2 * SIDE)
    predictor = Predictor.load(cameras / "cameras.safetensors")
    assert predictor.notes == ()
    found = predictor.predict(camera(pixels, 1))
    assert found.top_class == "beta"
    assert 1 / 3 <= found.features["probability"] <= 1
    assert found.verdict in ("beta", "undecided")


def test_what_no_camera_is_likely_for_is_of_none_and_that_is_said(
    cameras: Path, tmp_path: Path
) -> None:
    stranger = Predictor.load(cameras / "cameras.safetensors")
    strict = Likeliest(temperature=1e6, least=0.9, rejected=0.1)
    card = stranger.card.model_copy(update={"likeliest": strict, "domain": None})
    found = Predictor(card, stranger.scores).predict(
        camera(photo_pixels(300, recaptured=False, side=2 * SIDE), 1)
    )
    assert found.verdict == "undecided"
    assert found.reasons[0].startswith("perhaps none of its classes: the likeliest, ")
    assert "0.33" in found.reasons[0]
    run("scan", cameras / "0.png", "--bundle", cameras / "cameras.safetensors", "--exit-zero")


def scores(count: int, temperature: float, seed: int = 0) -> Scores:
    """Photographs whose logits are true ones times a temperature."""
    random = np.random.default_rng(seed)
    found = []
    for number in range(count):
        logits = random.normal(0, 2, 3)
        label = int(random.choice(3, p=probabilities(logits)))
        found.append(
            PhotographScore(
                photograph=Photograph(name=str(number), path=Path("none"), label=label),
                sha256=f"{number:064}",
                score=0.0,
                crops=4,
                features={
                    "contrast": 20.0 + random.normal(),
                    **{f"{CLASS_LOGIT}{n:02}": temperature * logits[n] for n in range(3)},
                },
            )
        )
    return Scores(findings=tuple(found), unread=())


def test_the_temperature_is_found_that_logits_were_multiplied_by() -> None:
    fitted = fit_likeliest(scores(3000, 4.0), 0.05)
    assert fitted.temperature == pytest.approx(4.0, rel=0.15)


def test_the_wanted_share_of_new_photographs_is_of_no_class() -> None:
    fitted = fit_likeliest(scores(2000, 4.0), 0.1)
    everything = Domain(features={}, mean=(), precision=(), limit=0.0, fewest_crops=1, side=32)
    found = measure_likeliest(
        scores(2000, 4.0, seed=1), fitted, everything, kind="clean", name="new"
    )
    assert found.of_none is not None
    assert found.right is not None
    assert found.of_none.value == pytest.approx(0.1, abs=0.03)
    assert found.right.value > 0.6
    with pytest.raises(CalibrationError, match="needs at least 99 photographs"):
        fit_likeliest(scores(50, 1.0), 0.01)


def test_a_probability_at_the_threshold_names_the_class() -> None:
    logits = np.log(np.array([0.2, 0.5, 0.3]))
    how = Likeliest(temperature=1.0, least=0.5 - 1e-12, rejected=0.1)
    stricter = how.model_copy(update={"least": 0.51})
    pixels = photo_pixels(300, recaptured=False, side=2 * SIDE)
    card = Card(network={}, classes=CAMERAS, decision_rule="top-class", side=SIDE)
    found, none = (
        Predictor(
            card.model_copy(update={"likeliest": each}),
            lambda crops: np.tile(logits, (len(crops), 1)),
        ).predict(pixels)
        for each in (how, stricter)
    )
    assert (found.verdict, found.reasons) == ("beta", ())
    assert none.verdict == "undecided"
    assert "beta, has a probability of 0.50, and 0.51 is wanted" in none.reasons[0]
