"""A detector and photographs of known class to a bundle that says what it is worth."""

from __future__ import annotations

import csv
import os
import struct
import zlib
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import photo_pixels
from PIL import Image
from sklearn.metrics import roc_auc_score

from trueshot.bundle import bundle_sha256, load_bundle, read_card, save_bundle
from trueshot.calibrating import CalibrationSettings, describe, make_bundle
from trueshot.calibrating.error_rates import Answers, cross_validate, fit_all, measure
from trueshot.calibrating.photographs import Photograph, has_test_part, photographs_of
from trueshot.calibrating.scores import PhotographScore, Scores, group_folds
from trueshot.calibrating.write import _thresholds
from trueshot.calibration import Calibration, cllr
from trueshot.card import Card, InputContract, Measurement, Rate
from trueshot.datasets import Settings, photos_in_manifest, prepare
from trueshot.detector import Detector
from trueshot.errors import (
    BundleError,
    CalibrationError,
    DatasetError,
    LeakError,
    RunError,
    TruncatedImageError,
)
from trueshot.images import read_image, read_image_bytes
from trueshot.inference import Predictor
from trueshot.networks import build_network
from trueshot.scanning.item import Item
from trueshot.scanning.ledger import Ledger
from trueshot.scanning.verdict import Verdict
from trueshot.scanning.worker import examiner

SIDE = 32
CLASSES = ("original", "recaptured")
WISHES = CalibrationSettings(
    apcer=0.1, bpcer=0.1, crops=4, title="small", licence="Apache-2.0", limits=("a",)
)
NETWORK = {"name": "lcnn", "filters": [2, 2, 4, 4, 4]}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder whose detector takes the grid of a screen for a recapture, and not always."""
    folder = tmp_path_factory.mktemp("run")
    torch.manual_seed(1)
    detector = Detector(build_network({**NETWORK, "classes": 2})).eval()
    pixels = np.stack([photo_pixels(n, n % 2 == 1, SIDE) for n in range(16)])
    with torch.no_grad():
        logits = detector(torch.from_numpy(pixels).permute(0, 3, 1, 2).float())
        margins = logits[:, 1] - logits[:, 0]
        if margins[1::2].mean() < margins[::2].mean():
            detector.network.classifier.weight.neg_()
            detector.network.classifier.bias.neg_()
    save_bundle(folder / "detector.safetensors", detector, Card(network=NETWORK, side=SIDE))
    return folder


def write(folder: Path, numbers: range, **columns: Callable[[int], str]) -> Path:
    """Pairs of photographs, each pair a scene, in a manifest."""
    folder.mkdir(exist_ok=True)
    rows = []
    for number in numbers:
        for label in ("original", "recaptured"):
            path = folder / f"{label}-{number}.png"
            grid = label == "recaptured"
            pixels = photo_pixels(number, grid, 2 * SIDE).astype(float)
            noise = np.random.default_rng(number).normal(0, number % 7, pixels.shape)
            Image.fromarray(np.clip(pixels + noise, 0, 255).astype(np.uint8)).save(path)
            row = {"path": path.name, "label": label, "source": f"scene {number}"}
            rows.append(row | {name: value(number) for name, value in columns.items()})
    manifest = folder / "manifest.csv"
    with manifest.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return manifest


def kind(number: int) -> str:
    return "print" if number % 4 == 0 else "screen"


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("known"), range(40), kind=kind)


@pytest.fixture(scope="module")
def new(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("new"), range(100, 125), medium=kind)


@pytest.fixture(scope="module")
def bundle(run: Path, known: Path, new: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("out") / "small.safetensors"
    return make_bundle(run, known, out, test=new, settings=WISHES, command="trueshot bundle").path


def test_the_rates_on_the_card_are_what_the_written_bundle_does(bundle: Path, new: Path) -> None:
    predictor = Predictor.load(bundle)
    (found,) = predictor.card.measured
    photos = photos_in_manifest(new)
    prediction = [predictor.predict(read_image(photo.path).pixels) for photo in photos]
    kinds = [kind(int(photo.name.split("-")[1].split(".")[0])) for photo in photos]
    counts: dict[tuple[str, str], int] = {}
    for photo, each in zip(photos, prediction, strict=True):
        counts[photo.label, each.verdict] = counts.get((photo.label, each.verdict), 0) + 1
    assert found.apcer is not None
    assert found.bpcer is not None
    assert found.undecided_originals is not None
    assert found.undecided_recaptures is not None
    missed = dict.fromkeys(kinds, (0, 0))
    for photo, name, each in zip(photos, kinds, prediction, strict=True):
        if photo.label == "recaptured":
            missed[name] = (missed[name][0] + (each.verdict == "original"), missed[name][1] + 1)
    rates = found.apcer_by_kind
    assert {name: (rate.count, rate.total) for name, rate in rates.items()} == missed
    assert found.apcer.value == max(wrong / total for wrong, total in missed.values())
    assert counts.get(("original", "recaptured"), 0) == found.bpcer.count
    assert counts.get(("original", "undecided"), 0) == found.undecided_originals.count
    assert counts.get(("recaptured", "undecided"), 0) == found.undecided_recaptures.count
    assert (found.bpcer.total, found.photographs, found.sources) == (25, 50, 25)
    assert {name: rate.total for name, rate in found.apcer_by_kind.items()} == {
        "print": 7,
        "screen": 18,
    }
    area = roc_auc_score(
        [photo.label == "recaptured" for photo in photos], [each.score for each in prediction]
    )
    assert found.auc is not None
    assert found.auc.value == pytest.approx(area)
    assert 0.5 < found.auc.low <= area <= found.auc.high <= 1
    ratios = [each.log10_lr for each in prediction]
    assert found.cllr == pytest.approx(
        cllr(ratios, [int(photo.label == "recaptured") for photo in photos])
    )


def test_the_card_says_what_it_was_calibrated_on_and_for(bundle: Path, run: Path) -> None:
    card = read_card(bundle)
    assert card.contract == InputContract(side=SIDE, crops=4)
    assert card.calibrated_on is not None
    assert card.calibration is not None
    facts = card.calibrated_on
    assert (facts.originals, facts.recaptured, facts.sources) == (40, 40, 40)
    assert (card.calibration.originals, card.calibration.sources) == (40, 40)
    assert card.decision is not None
    assert card.decision.apcer == 0.1
    assert card.domain is not None
    assert card.domain.side == SIDE
    assert card.limits[0] == "a"
    assert (card.title, card.licence) == ("small", "Apache-2.0")
    before, _ = load_bundle(run / "detector.safetensors")
    after, _ = load_bundle(bundle)
    for name, value in before.state_dict().items():
        assert torch.equal(value, after.state_dict()[name])


def test_a_margin_lowers_the_threshold_of_originals_alone(
    bundle: Path, run: Path, known: Path, tmp_path: Path
) -> None:
    wary = make_bundle(run, known, tmp_path / "wary", settings=replace(WISHES, margin=0.7)).card
    plain = read_card(bundle)
    assert wary.decision is not None
    assert plain.decision is not None
    assert wary.decision.original_to == pytest.approx(plain.decision.original_to - 0.7)
    assert wary.decision.recaptured_from == plain.decision.recaptured_from
    assert wary.calibration == plain.calibration


def test_likelihood_ratios_are_of_the_calibration_photographs_alone(
    run: Path, known: Path, bundle: Path, tmp_path: Path
) -> None:
    other = write(tmp_path / "other", range(300, 310))
    again = make_bundle(run, known, tmp_path / "b", test=other, settings=WISHES).card
    card = read_card(bundle)
    for part in ("calibration", "decision", "domain", "calibrated_on"):
        assert getattr(again, part) == getattr(card, part)
    assert again.measured != card.measured


def test_without_a_test_set_each_source_is_judged_by_the_others(
    run: Path, known: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[set[str], set[str]]] = []
    from trueshot.calibrating import error_rates

    fit_all, predict_all = error_rates.fit_all, error_rates.predict_all

    def fitted(given: Any, *args: Any, **more: Any) -> Any:
        seen.append((set(given.sources), set()))
        return fit_all(given, *args, **more)

    def answered(fitted: Any, given: Any) -> Any:
        seen[-1][1].update(given.sources)
        return predict_all(fitted, given)

    monkeypatch.setattr("trueshot.calibrating.write.fit_all", fitted)
    monkeypatch.setattr("trueshot.calibrating.error_rates.predict_all", answered)
    (found,) = make_bundle(run, known, tmp_path / "b", settings=WISHES).card.measured
    assert found.name == "cross-validation over sources"
    assert "left out in turn (10 folds)" in found.note
    assert found.photographs == 80
    folds = [pair for pair in seen if pair[1]]
    assert len(folds) == 10
    assert not any(calibrated & prediction for calibrated, prediction in folds)
    assert sum(len(prediction) for _, prediction in folds) == 40


def test_a_run_that_was_stopped_goes_on_and_ends_the_same(
    run: Path, known: Path, new: Path, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep, kept = Ledger.keep, []

    def stopping(self: Ledger, item: Item, *rest: Any, **more: Any) -> None:
        keep(self, item, *rest, **more)
        kept.append(item.name)
        if len(kept) == 30:
            raise KeyboardInterrupt

    monkeypatch.setattr(Ledger, "keep", stopping)
    out = tmp_path / "small.safetensors"
    ask = {"test": new, "settings": WISHES, "workers": 1, "command": "trueshot bundle"}
    with pytest.raises(KeyboardInterrupt):
        make_bundle(run, known, out, **ask)  # type: ignore[arg-type]
    assert not out.exists()
    assert list(tmp_path.glob("small.safetensors.*.ledger"))
    make_bundle(run, known, out, **ask)  # type: ignore[arg-type]
    assert len(kept) == len(set(kept)) == 80 + 50
    assert out.read_bytes() == bundle.read_bytes()
    assert list(tmp_path.iterdir()) == [out]


def test_scores_of_other_crops_are_others_and_those_of_other_rates_are_kept(
    run: Path, known: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep, kept = Ledger.keep, []

    def counting(self: Ledger, item: Item, *rest: Any, **more: Any) -> None:
        kept.append(item.name)
        keep(self, item, *rest, **more)

    monkeypatch.setattr(Ledger, "keep", counting)
    too_much = CalibrationSettings(apcer=0.02, bpcer=0.01, crops=4)
    both = (
        r"^APCER 0\.02 needs at least 49 recaptured photographs, but there are 40; "
        r"BPCER 0\.01 needs at least 99 original photographs, but there are 40; "
        r"add some, or use --apcer 0\.0244 --bpcer 0\.0244$"
    )
    with pytest.raises(CalibrationError, match=both):
        make_bundle(run, known, tmp_path / "b", settings=too_much)
    assert len(kept) == 80
    with pytest.raises(CalibrationError):
        make_bundle(run, known, tmp_path / "b", settings=replace(too_much, title="Another"))
    assert len(kept) == 80
    with pytest.raises(CalibrationError):
        make_bundle(run, known, tmp_path / "b", settings=CalibrationSettings(crops=2))
    assert len(kept) == 160


def test_hostile_photographs_of_a_calibration_meet_the_walls_of_a_scan(
    run: Path, known: Path, tmp_path: Path
) -> None:
    """What hangs, or takes all memory, is passed over like what is damaged."""
    manifest = tmp_path / "manifest.csv"
    rows = list(csv.DictReader(known.read_text("utf-8").splitlines()))
    for row in rows:
        row["path"] = str(known.parent / row["path"])
    os.mkfifo(tmp_path / "pipe.png")
    large = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    head = b"IHDR" + large
    (tmp_path / "bomb.png").write_bytes(
        b"\x89PNG\r\n\x1a\n\0\0\0\r" + head + struct.pack(">I", zlib.crc32(head)) + bytes(99)
    )
    for name in ("pipe.png", "bomb.png"):
        rows.append({**rows[0], "path": str(tmp_path / name)})
    with manifest.open("w", newline="") as file:
        table = csv.DictWriter(file, rows[0].keys())
        table.writeheader()
        table.writerows(rows)
    made = make_bundle(run, manifest, tmp_path / "b", settings=WISHES)
    reasons = [made.unread[name] for name in made.unread]
    assert sorted(Path(name).name for name in made.unread) == ["bomb.png", "pipe.png"]
    assert all(reasons)


def test_unreadable_photographs_are_reported_and_counted(
    run: Path, known: Path, tmp_path: Path
) -> None:
    manifest = write(tmp_path / "photos", range(200, 224))
    folder = manifest.parent
    (folder / "original-200.png").write_bytes(b"")
    whole = (folder / "recaptured-201.png").read_bytes()
    (folder / "recaptured-201.png").write_bytes(whole[:900])
    Image.new("RGB", (SIDE - 1, SIDE - 1)).save(folder / "original-202.png")
    made = make_bundle(run, manifest, tmp_path / "b", settings=WISHES)
    assert set(made.unread) == {"original-200.png", "recaptured-201.png"}
    assert all(made.unread.values())
    (found,) = made.card.measured
    assert "2 photographs could not be read." in found.note
    assert "1 photographs are too small or flat" in found.note
    assert found.photographs == 46
    assert made.sha256 == bundle_sha256(made.path)
    with pytest.raises(TruncatedImageError):
        read_image(folder / "recaptured-201.png")


def test_pictures_of_a_palette_have_no_part_in_a_calibration_and_are_counted(
    run: Path, tmp_path: Path
) -> None:
    """Each as a scan calls undecided: by the file, or by its colours where it was saved again."""
    manifest = write(tmp_path / "photos", range(300, 324))
    folder = manifest.parent
    without = [tmp_path / "photos" / f"{label}-{n}.png" for n in (300, 301) for label in CLASSES]
    for path in without[:3]:  # a palette by suffix, in a GIF under another, and in 24 bits
        few = Image.open(path).quantize(64)
        saved = few.convert("RGB") if path is without[2] else few
        saved.save(path, "GIF" if path is without[1] else "PNG")
    made = make_bundle(run, manifest, tmp_path / "b", settings=WISHES)
    assert set(made.unread) == {path.name for path in without[:3]}
    assert all("of a palette: what was calibrated" in reason for reason in made.unread.values())
    facts = made.card.calibrated_on
    assert facts is not None
    assert (facts.originals, facts.recaptured) == (22, 23)
    assert facts.note == (
        "3 photographs are of a palette or of few colours, of which no calibration speaks."
    )
    assert facts.note in made.card.measured[0].note
    rows = manifest.read_text().splitlines()
    named = [row for row in rows if row.split(",")[0] not in made.unread]
    (folder / "rest.csv").write_text("\n".join(named))
    rest = make_bundle(run, folder / "rest.csv", tmp_path / "c", settings=WISHES).card
    assert (rest.calibration, rest.decision) == (made.card.calibration, made.card.decision)


def test_files_of_a_folder_that_hold_no_image_are_told_and_counted(
    run: Path, tmp_path: Path
) -> None:
    photos = write(tmp_path / "all", range(400, 424)).parent
    for part in ("first", "second"):
        for label in CLASSES:
            (tmp_path / part / label).mkdir(parents=True)
            for path in sorted(photos.glob(f"{label}-*"))[:: 1 if part == "first" else -1][:12]:
                path.rename(tmp_path / part / label / path.name)
        (tmp_path / part / "original" / "notes.txt").write_text("of that day")
    (tmp_path / "first" / "recaptured" / "list.pdf").write_bytes(b"%PDF-1.7")
    settings = replace(WISHES, apcer=0.2, bpcer=0.2)
    made = make_bundle(
        run, tmp_path / "first", tmp_path / "b", test=tmp_path / "second", settings=settings
    )
    assert [path.name for path in made.passed_over] == ["notes.txt", "list.pdf", "notes.txt"]
    assert made.card.calibrated_on is not None
    assert made.card.calibrated_on.note == "2 files beside them hold no image."


def test_a_photograph_or_a_source_on_both_sides_is_refused(
    run: Path, known: Path, tmp_path: Path
) -> None:
    with pytest.raises(LeakError, match="used both for calibration and for testing"):
        make_bundle(run, known, tmp_path / "b", test=known, settings=WISHES)
    other = write(tmp_path / "other", range(400, 402), source=lambda _: "scene 7")
    with pytest.raises(LeakError, match="source scene 7"):
        make_bundle(run, known, tmp_path / "b", test=other, settings=WISHES)


def test_the_same_bytes_count_once_and_never_as_both_classes(run: Path, tmp_path: Path) -> None:
    manifest = write(tmp_path / "photos", range(200, 224))
    folder = manifest.parent
    (folder / "original-201.png").write_bytes((folder / "original-200.png").read_bytes())
    made = make_bundle(run, manifest, tmp_path / "b", settings=WISHES)
    assert made.card.calibrated_on is not None
    assert made.card.calibrated_on.originals == 23
    (folder / "recaptured-201.png").write_bytes((folder / "original-200.png").read_bytes())
    with pytest.raises(DatasetError, match="identical files, but labelled as different classes"):
        make_bundle(run, manifest, tmp_path / "b", settings=WISHES)


def test_few_sources_are_told_among_the_limits(run: Path, tmp_path: Path) -> None:
    manifest = write(tmp_path / "photos", range(30), source=lambda number: f"phone {number % 3}")
    made = make_bundle(run, manifest, tmp_path / "b", settings=WISHES)
    assert any("The 3 sources of the calibration are too few" in each for each in made.card.limits)
    single = write(tmp_path / "single", range(30), source=lambda _: "phone")
    card = make_bundle(run, single, tmp_path / "b", settings=WISHES).card
    assert card.measured == ()
    assert any("were not measured: all photographs are of one source" in t for t in card.limits)


def test_two_folders_are_taken_whole_and_each_photograph_for_a_source(
    run: Path, known: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = write(tmp_path / "photos", range(100, 125))
    for label in ("original", "recaptured"):
        (tmp_path / "two" / label).mkdir(parents=True)
        for path in manifest.parent.glob(f"{label}-*.png"):
            path.rename(tmp_path / "two" / label / path.name)
    card = make_bundle(run, tmp_path / "two", tmp_path / "b", settings=WISHES).card
    assert card.calibrated_on is not None
    assert (card.calibrated_on.name, card.calibrated_on.sources) == ("two", 50)
    monkeypatch.chdir(tmp_path / "two")
    card = make_bundle(run, known, tmp_path / "b", test=".", settings=WISHES).card
    assert card.measured[0].name == "test photographs: two"
    with pytest.raises(DatasetError, match="neither a data set"):
        photographs_of(tmp_path, "validation")


def test_parts_divide_a_manifest_and_a_prepared_data_set(tmp_path: Path) -> None:
    def part(number: int) -> str:
        return ("train", "validation", "test")[number % 3]

    def medium(number: int) -> str:
        return f"display {part(number)}.{number}"

    manifest = write(tmp_path / "photos", range(12), part=part, medium=medium)
    found = photographs_of(manifest, "validation")
    assert [each.source for each in found] == [f"scene {n}" for n in (1, 1, 4, 4, 7, 7, 10, 10)]
    assert {each.kind for each in found} == {"", "display"}
    assert all(bool(each.kind) == bool(each.label) for each in found)
    assert has_test_part(manifest)
    dataset = prepare(
        photos_in_manifest(manifest),
        tmp_path / "prepared",
        Settings(sides=(16, SIDE), per_class=40),
    )
    crops = photographs_of(dataset.folder, "validation")
    part_of_it = dataset.part(SIDE, "validation")
    assert has_test_part(dataset.folder)
    assert [each.label for each in crops] == part_of_it.labels.tolist()
    assert {each.source for each in crops} <= {f"scene {n}" for n in (1, 4, 7, 10)}
    data = crops[3].item().data or b""
    pixels = read_image_bytes(data, "crop").pixels
    assert np.array_equal(pixels, part_of_it.crops(np.array([3]))[0])
    for path in manifest.parent.glob("*.png"):
        path.rename(dataset.folder / path.name)  # as in simulated data sets: photographs beside
    whole = photographs_of(dataset.folder, "test")
    assert all(each.row is None for each in whole)
    assert all(read_image(each.item().path).pixels.shape == (64, 64, 3) for each in whole)
    assert {each.name for each in whole} == {
        f"{label}-{n}.png" for label in ("original", "recaptured") for n in (2, 5, 8, 11)
    }


def test_the_test_part_of_a_divided_set_measures_what_the_validation_part_calibrated(
    run: Path, tmp_path: Path
) -> None:
    manifest = write(
        tmp_path / "photos", range(48), part=lambda n: "test" if n % 2 else "validation"
    )
    card = make_bundle(run, manifest, tmp_path / "b", settings=WISHES).card
    assert card.calibrated_on is not None
    assert (card.calibrated_on.originals, card.measured[0].photographs) == (24, 48)
    assert card.measured[0].name == "test photographs: manifest.csv"


def test_what_holds_no_detector_or_fits_in_no_card_is_refused(
    run: Path, known: Path, tmp_path: Path
) -> None:
    with pytest.raises(BundleError, match="no such file"):
        make_bundle(tmp_path, known, tmp_path / "b")
    with pytest.raises(BundleError, match=r"invalid contract\.crops for its card"):
        make_bundle(run, known, tmp_path / "b", settings=CalibrationSettings(crops=1000))
    detector, card = load_bundle(run / "detector.safetensors")
    save_bundle(tmp_path / "a", detector, card.model_copy(update={"side": None}))
    with pytest.raises(BundleError, match="does not state the crop size; give --size"):
        make_bundle(tmp_path / "a", known, tmp_path / "b")
    others = CalibrationSettings(side=64, crops=4, aggregation="mean", places="grid")
    with pytest.raises(BundleError, match="leave out --size, --crops, --aggregation, --grid"):
        make_bundle("accurate", known, tmp_path / "b", settings=others)
    with pytest.raises(CalibrationError, match="0 of 80 photographs have a crop of 128 px"):
        make_bundle(run, known, tmp_path / "b", settings=CalibrationSettings(side=128))


def test_a_folder_in_the_place_of_the_bundle_is_refused_before_photographs_are_read(
    run: Path, tmp_path: Path
) -> None:
    for out in (tmp_path, Path()):
        with pytest.raises(RunError, match="is a folder"):
            make_bundle(run, tmp_path / "none.csv", out)


@pytest.mark.parametrize("rates", [{"apcer": 0.0}, {"bpcer": 2.0}])
def test_a_rate_that_is_none_is_refused_before_photographs_are_read(
    run: Path, tmp_path: Path, rates: dict[str, float]
) -> None:
    with pytest.raises(CalibrationError, match="above 0 and below 1"):
        make_bundle(
            run, tmp_path / "none.csv", tmp_path / "b", settings=CalibrationSettings(**rates)
        )


def test_a_bundle_made_again_of_a_bundle_keeps_its_crops_and_nothing_of_the_first_calibration(
    bundle: Path, run: Path, new: Path, tmp_path: Path
) -> None:
    again = make_bundle(bundle, new, tmp_path / "b", settings=replace(WISHES, crops=None)).card
    first = make_bundle(run, new, tmp_path / "c", settings=WISHES).card
    assert again == first


def test_settings_of_thresholds_are_refused_where_the_likeliest_class_decides(
    tmp_path: Path,
) -> None:
    network = {"name": "lcnn", "filters": [2, 2, 4, 4, 4]}
    card = Card(network=network, classes=("a", "b", "c"), decision_rule="top-class", side=32)
    run = tmp_path / "cameras.safetensors"
    save_bundle(run, card.new_detector().eval(), card)
    wanted = CalibrationSettings(apcer=0.2, bpcer=0.2, method="isotonic")
    with pytest.raises(BundleError, match="leave out --apcer, --method, which"):
        make_bundle(run, tmp_path / "none.csv", tmp_path / "b", settings=wanted)


def test_folds_are_even_and_divide_no_source() -> None:
    groups = ["a"] * 9 + ["b"] * 5 + ["c"] * 4 + list("defghi")
    folds = list(group_folds(groups, 3))
    assert sorted(np.concatenate(folds).tolist()) == list(range(24))
    assert [len(fold) for fold in folds] == [9, 8, 7]
    held = [{groups[at] for at in fold} for fold in folds]
    assert sum(map(len, held)) == len(set(groups))
    assert len(list(group_folds(["a", "b"], 10))) == 2


def test_scores_that_are_no_finite_numbers_are_no_scores(known: Path) -> None:
    predictor = Predictor(
        Card(network=NETWORK, side=SIDE), lambda crops: np.full(len(crops), np.inf)
    )
    handle = examiner(predictor, "0" * 64)
    photograph = photographs_of(known, "validation")[0]
    answer, _ = handle(photograph.item().request(), {})
    verdict = Verdict.from_record(answer["verdict"])
    assert (verdict.score, verdict.verdict) == (None, "undecided")
    assert verdict.reason == "its score is no finite number"


RATE = Rate(value=0.05, low=0.01, high=0.125, count=5, total=100)


def test_the_account_of_a_bundle_says_rates_kinds_bounds_and_limits() -> None:
    card = Card(
        network={"name": "lcnn"},
        title="Small",
        contract=InputContract(side=128, crops=16),
        calibration=Calibration(
            method="logistic",
            slope=1,
            intercept=0,
            lower=-1,
            upper=2,
            originals=1,
            recaptured=1,
            sources=1,
        ),
        measured=(
            Measurement(
                kind="real",
                name="phone1",
                apcer=RATE.model_copy(update={"value": 0.1}),
                apcer_by_kind={"print": RATE, "screen": RATE.model_copy(update={"value": 0.1})},
                equal_error_rate=RATE,
                auc=RATE,
                cllr=0.5,
                cllr_min=0.4,
                photographs=100,
                sources=10,
            ),
        ),
        limits=("Not for scans.",),
    )
    text = describe(card, "ab" * 32)
    for line in (
        "Small",
        f"  SHA-256 of the file     {'ab' * 32}",
        "  crops                   up to 16 crops of 128 px, scores combined by mean",
        "  likelihood ratio        logistic; the data supports 0.1 to 100",
        "Error rates: phone1 (real photographs, none of them used for training or calibration)",
        "  photographs             100 of 10 sources",
        "  APCER, worst kind (screen)     10 %   95 %: 1 % to 12.5 %   (5 of 100)",
        "  APCER, print                    5 %   95 %: 1 % to 12.5 %   (5 of 100)",
        "  equal error rate                5 %   95 %: 1 % to 12.5 %",
        "  area under the curve            5 %   95 %: 1 % to 12.5 %",
        "  Cllr                    0.500 bits (minimum 0.400)",
        "  - Not for scans.",
    ):
        assert line in text.splitlines()
    bare = describe(Card(network={"name": "lcnn"}), "0")
    assert "no input contract. Make a bundle" in bare
    assert "not measured" in bare


def test_a_rate_of_all_recaptures_is_not_called_that_of_the_worst_kind() -> None:
    found = Measurement(
        kind="clean",
        name="a",
        apcer=RATE,
        apcer_by_kind={"print": RATE, "screen": RATE.model_copy(update={"value": 0.1})},
        photographs=100,
    )
    text = describe(Card(network={"name": "lcnn"}, measured=(found,)), "0")
    assert "  APCER                        5 %" in text
    assert "APCER, print" in text
    assert "APCER, screen" in text
    assert "worst" not in text


def evidence_of(
    scores: list[float], labels: list[int], sources: list[str], kinds: list[str]
) -> Scores:
    rows = enumerate(zip(scores, labels, sources, kinds, strict=True))
    return Scores(
        findings=tuple(
            PhotographScore(
                photograph=Photograph(
                    name=str(n), path=Path(str(n)), label=label, source=source, kind=kind
                ),
                sha256=str(n),
                score=score,
                crops=4,
                features={"brightness": 100.0 + score + n % 5},
            )
            for n, (score, label, source, kind) in rows
        ),
        unread=(),
    )


def test_the_apcer_of_a_measurement_is_that_of_the_worst_kind() -> None:
    labels = [0] * 10 + [1] * 20
    kinds = [""] * 10 + ["print"] * 5 + ["screen"] * 15
    verdicts = ["original"] * 12 + ["recaptured"] * 18  # 2 of 5 prints, none of 15 screens
    given = evidence_of([float(n) for n in range(30)], labels, [str(n) for n in range(30)], kinds)
    ratios = np.arange(30.0) - 10
    found = measure(given, Answers(verdicts=verdicts, log10_lrs=ratios), kind="clean", name="a")
    assert found.apcer == found.apcer_by_kind["print"]
    assert (found.apcer.count, found.apcer.total) == (2, 5)
    alone = evidence_of([float(n) for n in range(30)], labels, given.sources, [""] * 30)
    found = measure(alone, Answers(verdicts=verdicts, log10_lrs=ratios), kind="clean", name="a")
    assert found.apcer is not None
    assert (found.apcer.count, found.apcer.total, found.apcer_by_kind) == (2, 20, {})


def test_a_rate_is_kept_for_each_kind_of_recapture_or_for_all_together() -> None:
    random = np.random.default_rng(0)
    scores = [*random.normal(-2, 1, 300), *random.normal(3, 1, 270), *random.normal(0, 1, 30)]
    labels = [0] * 300 + [1] * 300
    kinds = [""] * 300 + ["screen"] * 270 + ["print"] * 30
    given = evidence_of(list(map(float, scores)), labels, [str(n) for n in range(600)], kinds)
    fit = partial(fit_all, given, 64, "logistic", apcer=0.1, bpcer=0.1)
    each, together = fit(by_kind=True).decision, fit(by_kind=False).decision
    prints, recaptures = np.array(scores[570:]), np.array(scores[300:])
    assert (prints <= each.original_to).mean() <= 0.1
    assert (prints <= together.original_to).mean() > 0.1
    assert (recaptures <= together.original_to).mean() <= 0.1


def test_of_very_many_kinds_the_worst_are_named_and_long_texts_are_cut() -> None:
    kinds = [""] * 4 + [f"display {n:02}" for n in range(25)]
    verdicts = ["original"] * 4 + ["recaptured"] * 20 + ["original"] * 5
    given = evidence_of(
        [float(n) for n in range(29)], [0] * 4 + [1] * 25, [f"s{n}" for n in range(29)], kinds
    )
    answers = Answers(verdicts=verdicts, log10_lrs=np.arange(29.0) - 4)
    found = measure(given, answers, kind="clean", name="a", command="b" * 5000, note="c")
    assert len(found.apcer_by_kind) == 20
    assert {f"display {n}" for n in range(20, 25)} <= set(found.apcer_by_kind)
    assert found.note == "c Of 25 kinds the 20 with the highest APCER are named."
    assert found.command == "b" * 999 + "…"
    found = measure(given, answers, kind="clean", name="a", note="c" * 2000)
    assert len(found.note) == 1000


def test_perfect_scores_of_few_sources_are_not_sure_and_the_note_says_why() -> None:
    scores, labels = [0.0] * 8 + [9.0] * 8, [0] * 8 + [1] * 8
    answers = Answers(
        verdicts=["original"] * 8 + ["recaptured"] * 8, log10_lrs=np.array(scores) - 4
    )
    four = [f"phone {n % 4}" for n in range(16)]
    found = measure(evidence_of(scores, labels, four, [""] * 16), answers, kind="real", name="a")
    assert found.equal_error_rate is not None
    assert found.auc is not None
    assert found.equal_error_rate.high == pytest.approx(1 - 0.025 ** (1 / 4))
    assert found.auc.low == pytest.approx(0.025 ** (1 / 4))
    mixed = [float(n % 2) for n in range(16)]
    for count, note in ((3, "only 3 sources: the interval is too narrow"), (1, "only 1 source")):
        sources = [f"phone {n % count}" for n in range(16)]
        found = measure(
            evidence_of(mixed, labels, sources, [""] * 16), answers, kind="real", name="a"
        )
        assert f"Equal error rate and area under the curve: {note}" in found.note
    assert found.equal_error_rate is not None
    assert (found.equal_error_rate.low, found.equal_error_rate.high) == (0, 1)


@pytest.mark.parametrize("scored", [0, 4])  # none, or originals alone
def test_rates_are_measured_where_a_class_has_no_scores(scored: int) -> None:
    given = evidence_of([0.0] * 8, [0] * 4 + [1] * 4, [str(n) for n in range(8)], [""] * 8)
    findings = [replace(each, score=None) for each in given.findings]
    given = replace(given, findings=(*given.findings[:scored], *findings[scored:]))
    answers = Answers(
        verdicts=["recaptured"] * scored + ["undecided"] * (8 - scored),
        log10_lrs=np.array([0.0] * scored + [np.nan] * (8 - scored)),
    )
    found = measure(given, answers, kind="clean", name="a")
    rates = (found.apcer, found.bpcer, found.undecided_originals, found.undecided_recaptures)
    assert [rate and rate.count for rate in rates] == [0, scored, 4 - scored, 4]
    assert {found.equal_error_rate, found.auc, found.cllr, found.cllr_min, found.ratios} == {None}
    assert "EER, AUC and Cllr were not measured" in found.note


def test_folds_decide_as_the_bundle_does_or_nothing_is_measured() -> None:
    """Nine sources keep one in ten for new ones; a fold leaves eight, and 72 photographs."""
    random = np.random.default_rng(0)
    labels = [n % 2 for n in range(180)]
    scores = (random.normal(size=180) + 2 * np.array(labels)).tolist()
    given = evidence_of(scores, labels, [f"scene {n % 9}" for n in range(180)], [""] * 180)
    calibrated = partial(fit_all, side=32, method="logistic", apcer=0.1, bpcer=0.1)
    whole = calibrated(given)
    assert whole.of_new_sources
    with pytest.raises(CalibrationError, match="needs at least 9 original sources"):
        cross_validate(given, partial(calibrated, of_new_sources=True))
    wanted = CalibrationSettings(apcer=0.1, bpcer=0.1)
    said = _thresholds(Card(network={}, side=32), given, None, wanted, {"command": ""})
    assert said["decision"] == whole.decision
    assert said["measured"] == ()
    told = "Its error rates were not measured: APCER 0.1 needs at least 9 recaptured sources"
    assert told in said["limits"][0]
    assert "BPCER 0.1 needs at least 9 original sources" in said["limits"][0]


def test_no_sign_on_a_card_steers_a_terminal() -> None:
    card = Card(
        network={"name": "lcnn\n\x1b[2J"}, title="\x1b]0;owned\x07 title\r", limits=("a\nb",)
    )
    text = describe(card, "0")
    assert not set(text) & set("\x1b\x07\r")
    assert "  - a b" in text.splitlines()


def test_long_lines_are_folded_below_their_text() -> None:
    limits = ("word " * 40, "Short.")
    lines = describe(
        Card(network={"name": "lcnn"}, task="t " * 90, limits=limits), "0"
    ).splitlines()
    assert max(map(len, lines)) <= 100
    at = next(number for number, line in enumerate(lines) if line.startswith("  - word"))
    assert lines[at + 1].startswith("    word")
    assert lines[-1] == "  - Short."


def test_every_bundle_that_is_made_can_be_told(bundle: Path) -> None:
    text = describe(read_card(bundle), bundle_sha256(bundle))
    for part in (
        "small",
        "target rates",
        "APCER at most 10 %, BPCER at most 10 %",
        "40 originals",
        "Cllr",
    ):
        assert part in text


def test_an_exported_detector_is_not_calibrated_anew(tmp_path: Path) -> None:
    with pytest.raises(
        BundleError, match=r"mine\.onnx: an exported detector cannot be recalibrated"
    ):
        make_bundle(tmp_path / "mine.onnx", tmp_path, tmp_path / "out.safetensors")
