"""A task of four classes in twenty lines goes all the way, without a touch to any other file."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from conftest import SIDE, photo_pixels
from PIL import Image
from typer.testing import CliRunner, Result

from trueshot.bundle import load_bundle, read_card
from trueshot.cli import app
from trueshot.datasets import Dataset
from trueshot.evaluation.result import EvaluationResult
from trueshot.plugins import load_plugin

TASK = '''
"""Which grid of a display lies over a photograph?"""

import numpy as np

from trueshot.tasks import Task


def on_a_grid(pixels, label, random):
    if label == 0:
        return pixels
    lines = (np.indices(pixels.shape[:2]).sum(0) + random.integers(9)) % (label + 1) == 0
    return np.clip(pixels + 25.0 * lines[..., None], 0, 255).astype(np.uint8)


GRIDS = Task(
    name="grids",
    classes=("none", "fine", "medium", "coarse"),
    examples=on_a_grid,
)
'''
RECIPE = """
name: tiny
network: {filters: [4, 4, 8, 8, 8]}
schedule: {iterations: 150, batch: 16, learning_rate: 0.01}
"""
CLASSES = ("none", "fine", "medium", "coarse")


def shown(page: Path) -> str:
    """What a reader of a page sees of it, in lower case."""
    text = re.sub(r"<(style|script)\b.*?</\1>", "", page.read_text(), flags=re.DOTALL)
    return re.sub(r"<[^>]+>", " ", text).lower()


def run(*words: object, status: int = 0) -> Result:
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert done.exit_code == status, (done.output, done.exception)
    return done


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the task, photographs, a data set, a run and a calibrated bundle."""
    place = tmp_path_factory.mktemp("own task")
    (place / "grids.py").write_text(TASK.lstrip())
    (place / "tiny.yaml").write_text(RECIPE)
    (place / "photos").mkdir()
    for number in range(24):
        pixels = photo_pixels(number, recaptured=False, side=2 * SIDE)
        Image.fromarray(pixels).save(place / "photos" / f"{number:02}.png")
    task = ("--task", f"{place / 'grids.py'}:GRIDS", "--fractions", "0.4", "0.4", "0.2")
    run("prepare", place / "photos", *task, "--size", SIDE, "--out", place / "data")
    run("train", place / "data", "--recipe", place / "tiny.yaml", "--out", place / "run")
    rates = ("--apcer", 0.2, "--bpcer", 0.2)
    calibrated = ("--calibrate", place / "data", "--out", place / "grids.safetensors")
    run("bundle", place / "run", *calibrated, *rates, "--workers", 1)
    return place


def test_the_task_has_twenty_lines() -> None:
    assert len(TASK.strip().splitlines()) <= 20


def test_it_is_prepared_and_trained(place: Path) -> None:
    made = Dataset.open(place / "data")
    assert made.task.classes == CLASSES
    detector, card = load_bundle(place / "run" / "detector.safetensors")
    assert (detector.classes, card.task_name) == (CLASSES, "grids")
    images, labels = made.part(SIDE, "test").batch(slice(None))
    assert float((detector.probabilities(images).argmax(1) == labels).double().mean()) > 0.8


def test_the_strong_suite_finds_its_worst_case_and_a_report_tells_of_it(
    place: Path, tmp_path: Path
) -> None:
    suite = ("--suite", "strong", "--threat", "linf", "--budget", 2, "--crops", 2, "--no-doubts")
    where = ("--dataset", place / "data", "--out", tmp_path)
    run("evaluate", place / "run" / "detector.safetensors", *where, *suite)
    (file,) = tmp_path.glob("*.json")
    result = EvaluationResult.from_json(json.loads(file.read_text()))
    assert result.classes == CLASSES
    worst = {case.budget: case for case in result.worst}
    assert worst[0.0].total == (2, 2, 2, 2)
    assert sum(worst[2.0].right) <= sum(worst[0.0].right)
    run("report", file, "--out", tmp_path / "page")
    text = shown(tmp_path / "page" / "report.html")
    assert "none images" in text
    assert "recapture" not in text


def test_it_is_calibrated_with_a_rate_for_each_class(place: Path) -> None:
    card = read_card(place / "grids.safetensors")
    assert card.decision is not None
    assert card.calibrated_on is not None
    assert card.calibrated_on.recaptured == 3 * card.calibrated_on.originals
    (measured,) = card.measured
    assert set(measured.apcer_by_kind) == set(CLASSES[1:])
    told = run("inspect", place / "grids.safetensors").stdout
    assert "grids: tells fine, medium, coarse from none." in told
    assert "not none" in told
    assert "recapture" not in told.lower()


def test_it_is_scanned_and_reported_in_its_own_words(place: Path, tmp_path: Path) -> None:
    task = load_plugin(f"{place / 'grids.py'}:GRIDS").value
    (tmp_path / "in").mkdir()
    for label, name in enumerate(CLASSES):
        for number in range(3):
            pixels = photo_pixels(100 + number, recaptured=False, side=2 * SIDE)
            random = np.random.default_rng(number)
            Image.fromarray(task.examples(pixels, label, random)).save(
                tmp_path / "in" / f"{name}-{number}.png"
            )
    bundle, out = place / "grids.safetensors", tmp_path / "r.jsonl"
    asked = ("--bundle", bundle, "--out", out, "--report", tmp_path / "r.html", "--workers", 1)
    run("scan", tmp_path / "in", *asked, "--exit-zero")
    found = [json.loads(line) for line in out.read_text().splitlines()]
    assert {each["verdict"] for each in found} <= {"none", "not none", "undecided"}
    other = [each for each in found if each["verdict"] == "not none"]
    assert len(other) >= 3
    right = sum(each["top_class"] == Path(each["file"]).name.split("-")[0] for each in other)
    assert right / len(other) > 0.6
    text = shown(tmp_path / "r.html")
    assert "classified as not none" in text
    assert "most likely " in text
    assert "recaptur" not in text
    alone = run("scan", tmp_path / "in" / "fine-0.png", "--bundle", bundle, "--exit-zero").stdout
    assert "class “none”" in alone
