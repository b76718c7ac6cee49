"""The shipped `accurate` on scenes with a medium in them: it is found, and outlined where it is."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image, ImageDraw
from sklearn.metrics import roc_auc_score
from test_staging import photos  # noqa: F401

import trueshot
from trueshot.images import read_image
from trueshot.inference import Prediction, Predictor
from trueshot.simulation.staging import Staging, stage


@dataclass(frozen=True, kw_only=True)
class Judged:
    """A staged photograph, what is in it, and what was said of it."""

    row: dict[str, str]
    pixels: npt.NDArray[np.uint8]
    prediction: Prediction

    @property
    def is_recapture(self) -> bool:
        return self.row["label"] == "recaptured"


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    return trueshot.load("accurate")


@pytest.fixture(scope="module")
def judged(
    photos: Path,  # noqa: F811
    predictor: Predictor,
    tmp_path_factory: pytest.TempPathFactory,
) -> list[Judged]:
    folder = tmp_path_factory.mktemp("staged")
    settings = Staging(per_part=(0, 0, 10), side=720, seed=11, fractions=(0.4, 0.2, 0.4))
    manifest = stage([photos], folder, settings, workers=1)
    with manifest.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    found = []
    for row in rows:
        pixels = read_image(folder / row["path"]).pixels
        found.append(Judged(row=row, pixels=pixels, prediction=predictor.predict(pixels)))
    return found


def test_scenes_with_a_medium_score_above_those_without(judged: list[Judged]) -> None:
    labels = [each.is_recapture for each in judged]
    scores = [each.prediction.score for each in judged]
    assert roc_auc_score(labels, scores) > 0.85


def test_a_device_in_a_scene_is_outlined_where_it_is(judged: list[Judged]) -> None:
    shares = []
    for each in judged:
        evidence = each.prediction.evidence
        assert evidence is not None
        if not each.is_recapture or evidence.region is None or float(each.row["share"]) > 0.7:
            continue
        height, width = each.pixels.shape[:2]
        truth, outline = (Image.new("1", (width, height)) for _ in range(2))
        corners = [tuple(point) for point in json.loads(each.row["outline"])]
        ImageDraw.Draw(truth).polygon(corners, fill=1)
        ImageDraw.Draw(outline).polygon([(x, y) for y, x in evidence.region.outline], fill=1)
        inside = np.asarray(truth)[np.asarray(outline)]
        chance = float(np.asarray(truth).mean())
        shares.append((float(inside.mean()), chance))
    assert len(shares) >= 4
    hits, chances = np.mean(shares, axis=0)
    assert hits > chances + 0.2


def test_a_piece_from_inside_the_medium_agrees_with_its_photograph(
    judged: list[Judged], predictor: Predictor
) -> None:
    """A piece shows no frame: its texture and lattice speak alone, on the same scale."""
    for each in judged:
        height, width = each.pixels.shape[:2]
        piece = each.pixels[height // 4 : -(height // 4), width // 4 : -(width // 4)]
        found = predictor.predict(np.ascontiguousarray(piece)).evidence
        assert found is not None
        assert "context" not in found.values
        whole = each.prediction.evidence
        assert whole is not None
        if "texture" in found.values and "texture" in whole.values:
            assert abs(found.values["texture"] - whole.values["texture"]) < 2.5
