"""Examples: files of a few crops, and what the detectors say of those files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import SIDE, photo_pixels
from torch import Tensor

from trueshot.attacks import PGD
from trueshot.datasets import Dataset
from trueshot.detector import Detector
from trueshot.evaluation import make_examples, paper_attacks
from trueshot.evaluation.examples import copy_pairs
from trueshot.images import read_image, write_png
from trueshot.networks import LCNN
from trueshot.pixels import linf, share_changed, to_levels
from trueshot.tasks.recapture import RECAPTURE


def detector(dataset: Dataset, seed: int) -> Detector:
    """An LCNN that takes half of the crops for recaptures."""
    torch.manual_seed(seed)
    judge = Detector(LCNN(filters=(2, 2, 4, 4, 4))).eval()
    images, _ = dataset.part(SIDE, "test").batch(slice(None))
    with torch.no_grad():
        logits = judge(images)
        judge.network.classifier.bias[1] -= (logits[:, 1] - logits[:, 0]).median()
    return judge


@pytest.fixture(scope="module")
def judges(dataset: Dataset) -> dict[str, Detector]:
    return {"plain": detector(dataset, 6), "secure": detector(dataset, 7)}


ATTACKS = paper_attacks() | {("pgd", 1.0): PGD(budget=1.0, steps=3), ("pgd", 2.0): PGD(budget=2.0)}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("run")


@pytest.fixture(scope="module")
def examples(dataset: Dataset, judges: dict[str, Detector], root: Path) -> dict[str, Any]:
    return make_examples(dataset, SIDE, judges, ATTACKS, root)


def levels(root: Path, file: str) -> Tensor:
    return to_levels(read_image(root / file).pixels)


def test_verdicts_are_those_on_the_files(
    examples: dict[str, Any], judges: dict[str, Detector], root: Path
) -> None:
    judged = [
        (triple["detector"], triple[state])
        for triple in examples["triples"]
        for state in ("clean", "attacked")
    ]
    judged += [(row["detector"], panel) for row in examples["figure_2"] for panel in row["panels"]]
    assert len(judged) == 2 * 2 * 2 * 2 + 2 * 4
    for name, verdict in judged:
        probability = judges[name].probabilities(levels(root, verdict["file"]))[0]
        assert verdict["predicted"] == RECAPTURE.classes[int(probability.argmax())]
        assert verdict["probability"] == pytest.approx(float(probability.max()), abs=1e-6)


def test_clean_and_noise_make_the_attacked_crop_within_the_budget(
    examples: dict[str, Any], root: Path
) -> None:
    for triple in examples["triples"]:
        clean, noise, attacked = (
            levels(root, triple[kind]["file"]) for kind in ("clean", "noise", "attacked")
        )
        assert linf(clean, attacked) == triple["budget"] == 1
        assert share_changed(clean, attacked) > 0.5
        assert torch.equal(clean + (noise - 128) / triple["noise"]["magnified"], attacked)


def test_each_detector_is_attacked_with_fgsm_and_with_what_the_paper_did_not_try(
    examples: dict[str, Any], dataset: Dataset, judges: dict[str, Detector], tmp_path: Path
) -> None:
    found = [(t["detector"], t["attack"], t["true"]) for t in examples["triples"]]
    assert found == [(d, a, c) for d in judges for a in ("fgsm", "pgd") for c in RECAPTURE.classes]
    papers = make_examples(dataset, SIDE, judges, paper_attacks(), tmp_path)["triples"]
    assert {triple["attack"] for triple in papers} == {"fgsm"}


def test_crops_that_all_judge_rightly_come_first(
    examples: dict[str, Any], judges: dict[str, Detector], dataset: Dataset
) -> None:
    images, labels = dataset.part(SIDE, "test").batch(slice(None))
    hits = [judge.probabilities(images).argmax(1) == labels for judge in judges.values()]
    both = torch.stack(hits).all(0)
    for label, name in enumerate(RECAPTURE.classes):
        assert bool((both & (labels == label)).any())  # or this would be no test
        clean = [t["clean"] for t in examples["triples"] if t["true"] == name]
        assert {verdict["predicted"] for verdict in clean} == {name}


def test_the_gallery_shows_test_crops_of_both_classes_from_all_over(
    examples: dict[str, Any], dataset: Dataset, root: Path
) -> None:
    images, labels = dataset.part(SIDE, "test").batch(slice(None))
    places = []
    for crop in examples["gallery"]:
        (place,) = (images == levels(root, crop["file"])).flatten(1).all(1).nonzero().flatten()
        assert RECAPTURE.classes[int(labels[place])] == crop["true"]
        places.append(int(place))
    assert [crop["true"] for crop in examples["gallery"]] == ["original"] * 4 + ["recaptured"] * 4
    of_originals = np.flatnonzero(labels.numpy() == 0)
    assert [places[0], places[3]] == [of_originals[0], of_originals[-1]]


def test_the_facts_are_those_of_the_card(
    examples: dict[str, Any], dataset: Dataset, tmp_path: Path
) -> None:
    facts = json.loads(json.dumps(examples["data"]))
    assert facts["photos"] == {"original": 12, "recaptured": 12}
    assert facts["crops_per_class"]["test"] == len(dataset.part(SIDE, "test")) // 2
    assert facts["shortcut_audit"]["auc"] == dataset.card["shortcut_audit"]["auc"]
    assert facts["folder"] == str(dataset.folder)
    assert facts["simulated"] is False
    assert "pairs" not in examples


def write_pairs(folder: Path, entries: Any) -> None:
    for name, recaptured in (("a", False), ("b", True)):
        write_png(folder / "photos" / f"{name}.png", photo_pixels(0, recaptured, 800))
    (folder / "pairs.json").write_text(json.dumps({"pairs": entries}))


PAIR = {"original": "photos/a.png", "recaptured": "photos/b.png", "note": "a garden"}


def test_pairs_of_the_data_set_are_copied_smaller_with_a_detail_that_is_not(tmp_path: Path) -> None:
    write_pairs(tmp_path / "data", [PAIR] * 9)
    found = copy_pairs(tmp_path / "data", tmp_path / "run", "64px/examples", 64)
    assert (len(found["pairs"]), found["pairs_passed_over"]) == (8, [])
    for kind, name in (("original", "a"), ("recaptured", "b")):
        shown = found["pairs"][7][kind]
        assert read_image(tmp_path / "run" / shown["file"]).pixels.shape == (640, 640, 3)
        detail = read_image(tmp_path / "run" / shown["detail"]).pixels
        photo = read_image(tmp_path / "data" / "photos" / f"{name}.png").pixels
        assert np.array_equal(detail, photo[368:432, 368:432])
    assert found["pairs"][7]["note"] == "a garden"


@pytest.mark.parametrize(
    "wrong",
    [
        {"original": "photos/gone.png"},
        {"original": "../secret.png"},
        {"original": 3},
        {"recaptured": "pairs.json"},
    ],
)
def test_a_pair_that_cannot_be_shown_is_passed_over_by_number(
    tmp_path: Path, wrong: dict[str, Any]
) -> None:
    write_png(tmp_path / "secret.png", photo_pixels(0, False, 64))
    write_pairs(tmp_path / "data", [PAIR | wrong, PAIR])
    found = copy_pairs(tmp_path / "data", tmp_path / "run", "e", 64)
    assert [pair["note"] for pair in found["pairs"]] == ["a garden"]
    (reason,) = found["pairs_passed_over"]
    assert reason.startswith("pair 1: ")


@pytest.mark.parametrize("text", ["", "[]", '{"pairs": 3}', '{"pairs": [7]}', "\x00"])
def test_damaged_pairs_end_no_run(tmp_path: Path, text: str) -> None:
    (tmp_path / "pairs.json").write_text(text)
    found = copy_pairs(tmp_path, tmp_path / "run", "e", 64)
    assert found["pairs"] == []
    assert len(found["pairs_passed_over"]) == 1
