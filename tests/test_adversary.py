"""The adversary of whole photographs: sees what the judge sees, and keeps within its budget."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from trueshot.adversary.outcomes import doubts_of, result_of
from trueshot.adversary.photograph import PhotographDetector, lattice_height, squares
from trueshot.adversary.suite import Outcome, PhotographAdversary, PhotographSettings, Target
from trueshot.adversary.targets import evaluate_photographs, targets_of
from trueshot.adversary.tricks import TRICKS, Denoised, Notched, Rephotographed
from trueshot.attacks.differentiable import stand_in
from trueshot.bundle import load_bundle, save_bundle
from trueshot.calibration import Decision
from trueshot.card import Card, InputContract
from trueshot.channels import Brightened, Channel, Resized
from trueshot.cli import app
from trueshot.detector import Detector
from trueshot.errors import BundleError, DatasetError, RunError
from trueshot.files import claim, read_file
from trueshot.images import read_image
from trueshot.inference import Predictor
from trueshot.inference.lattice import find_lattice
from trueshot.networks import LipschitzNetwork
from trueshot.pixels import ssim, to_levels
from trueshot.proportion import Proportion

Bytes = npt.NDArray[np.uint8]


def photograph(height: int = 640, width: int = 660, strength: float = 6.0, seed: int = 0) -> Bytes:
    """Soft shapes, noise, and a lattice over a part of them."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    shapes = 60 * np.sin(y / 70) * np.cos(x / 90) + 127
    lattice = strength * np.cos(2 * np.pi * (0.23 * y + 0.17 * x)) * (x > width // 3)
    pixels = (shapes + lattice)[..., None] + random.normal(0, 5, (height, width, 3))
    return np.clip(pixels.round(), 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def certified(tmp_path_factory: pytest.TempPathFactory) -> str:
    torch.manual_seed(1)
    network = LipschitzNetwork(16, 0.1, 3, 2, (16,))
    pixels = photograph(100, 140)
    card = Card(
        network={"name": "lipschitz", "window": 16, "rings": 3, "units": [16]},
        contract=InputContract(side=32, crops=9, aggregation="max", places="grid"),
        decision=Decision(original_to=-3.0, recaptured_from=-0.5, apcer=0.1, bpcer=0.1),
    )
    path = tmp_path_factory.mktemp("bundle") / "certified.safetensors"
    with torch.no_grad():
        network.threshold.zero_()
        save_bundle(path, Detector(network).eval(), card)
        network.threshold += Predictor.load(path).predict(pixels).score or 0.0
    save_bundle(path, Detector(network).eval(), card)
    return str(path)


def target(folder: Path, pixels: Bytes, label: int = 1, **more: Any) -> Target:
    folder.mkdir(exist_ok=True)
    Image.fromarray(pixels).save(folder / "photo.png")
    return Target(name="photo.png", path=folder / "photo.png", label=label, **more)


@pytest.mark.parametrize("bundle", ["accurate", "robust"])
@pytest.mark.parametrize("size", [(640, 660), (300, 330)])
def test_what_is_attacked_says_what_the_judge_says(bundle: str, size: tuple[int, int]) -> None:
    pixels = photograph(*size)
    with torch.no_grad():
        score = PhotographDetector(bundle).score(to_levels(pixels[None])[0])
    assert float(score) == pytest.approx(Predictor.load(bundle).predict(pixels).score, abs=1e-4)


@pytest.mark.parametrize("scale", [1, 2])
def test_the_height_of_a_lattice_is_that_of_the_spectra_and_has_its_slope(scale: int) -> None:
    pixels = photograph(560, 600)
    levels = to_levels(pixels[None])[0].requires_grad_()
    height = lattice_height(levels, scale)
    assert height is not None
    exact = find_lattice(pixels).features[f"luma 1/{scale} height"]
    assert float(height.detach()) == pytest.approx(exact, abs=1e-3)
    (gradient,) = torch.autograd.grad(height, levels)
    lower = lattice_height((levels - 2 * gradient.sign()).detach(), scale)
    assert lower is not None
    assert float(lower) < float(height.detach()) - 0.5
    assert lattice_height(torch.zeros(3, 200, 900)) is None


def test_a_level_of_change_moves_all_kinds_of_evidence_together(tmp_path: Path) -> None:
    pixels = photograph()
    adversary = PhotographAdversary(
        "accurate", PhotographSettings(budgets=(1.0,), steps=3, channels=())
    )
    before = adversary.predictor.predict(pixels)
    assert before.score is not None
    assert before.evidence is not None
    label = int(before.verdict != "original")
    found = adversary.attack(target(tmp_path, pixels, label), "linf", 1.0)
    assert found is not None
    moved = (found.scores["png"] or 0.0) - before.score
    assert moved * (1 - 2 * label) > 0.3
    assert found.modelled == pytest.approx(before.score, abs=1e-4)
    assert found.backward >= 1
    assert found.goal is not None
    assert (found.goal - before.score) * (1 - 2 * label) > 0


@pytest.mark.parametrize("threat", ["linf", "l2", "region", "patch"])
def test_a_change_lies_where_and_within_what_its_threat_allows(
    certified: str, tmp_path: Path, threat: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = photograph(100, 140)
    settings = PhotographSettings(budgets=(3.0,), threats=(threat,), steps=4, channels=())
    adversary = PhotographAdversary(certified, settings)
    judged: list[Bytes] = []
    monkeypatch.setattr(
        PhotographAdversary,
        "_judged",
        lambda self, given: judged.append(given) or {"png": self.predictor.predict(given)},
    )
    outline = ((40.0, 20.0), (120.0, 20.0), (120.0, 80.0), (40.0, 80.0))
    ((_, budget),) = settings.cases()
    adversary.attack(target(tmp_path, pixels, 0, outline=outline), threat, budget)
    change = np.abs(judged[0].astype(float) - pixels).max(2)
    assert change.max() > 0
    inside = {
        "region": np.s_[20:81, 40:121],
        "patch": np.s_[37:63, 57:83],
    }.get(threat, np.s_[:, :])
    outside = change.copy()
    outside[inside] = 0
    assert outside.max() == 0
    if threat == "l2":
        assert np.sqrt(((judged[0].astype(float) - pixels) ** 2).mean()) <= 3.0
    else:
        assert change.max() <= budget


@pytest.mark.parametrize("channel", [Brightened(20.0), Resized(0.5, back=False)])
def test_what_lies_outside_a_patch_passes_the_channel_too(
    certified: str, tmp_path: Path, channel: Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels, seen = photograph(100, 140), []
    forward = PhotographDetector.forward
    monkeypatch.setattr(
        PhotographDetector,
        "forward",
        lambda self, images: seen.append(images.detach()) or forward(self, images),
    )
    settings = PhotographSettings(steps=2, channels=(channel,), through=True)
    PhotographAdversary(certified, settings).attack(target(tmp_path, pixels, 0), "patch", 255.0)
    arrived = stand_in(channel)(to_levels(pixels[None]))
    counted, *attacked = seen  # the first call only counts the classes
    assert counted.shape[2:] == (100, 140)
    assert any((each != arrived).any() for each in attacked)
    for each in attacked:
        assert torch.equal(each[:, :, :15], arrived[:, :, :15])


def test_no_adversary_beats_a_certificate(certified: str, tmp_path: Path) -> None:
    settings = PhotographSettings(budgets=(1.0, 2.0, 3.0, 6.0), steps=6, channels=())
    adversary = PhotographAdversary(certified, settings)
    targets = [
        target(tmp_path / str(number), photograph(100, 140, strength, number), int(strength > 5))
        for number, strength in enumerate((0.0, 3.0, 8.0, 14.0))
    ]
    outcomes = adversary.run(targets)
    assert len(outcomes) == 16
    assert {each.verdicts["png"] != each.clean for each in outcomes} == {True, False}
    assert any((each.certified_radius or 0) >= each.budget for each in outcomes)
    assert "attack-beats-certificate" not in {each.name for each in doubts_of(outcomes)}


def test_a_run_that_was_stopped_goes_on(
    certified: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = PhotographSettings(budgets=(1.0, 2.0), steps=2, channels=())
    targets = [target(tmp_path, photograph(100, 140))]
    adversary = PhotographAdversary(certified, settings)
    first = adversary.run(targets, tmp_path / "journal.jsonl")

    def refuse(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(PhotographAdversary, "attack", refuse)
    assert (
        PhotographAdversary(certified, settings).run(targets, tmp_path / "journal.jsonl") == first
    )
    other = replace(settings, steps=3)
    with pytest.raises(AssertionError):
        PhotographAdversary(certified, other).run(targets, tmp_path / "journal.jsonl")


def test_a_run_that_goes_on_heeds_what_is_now_known_of_a_photograph(
    certified: str, tmp_path: Path
) -> None:
    settings = PhotographSettings(budgets=(2.0,), threats=("region",), steps=2, channels=())
    corners = ((40.0, 20.0), (120.0, 20.0), (120.0, 80.0), (40.0, 80.0))
    whole = target(tmp_path, photograph(100, 140))
    outlined = replace(whole, source="scene 1", outline=corners)
    adversary, journal = PhotographAdversary(certified, settings), tmp_path / "journal.jsonl"
    fresh = adversary.run([outlined])
    first = adversary.run([whole], journal)
    assert adversary.run([replace(whole, source="scene 1")], journal)[0].source == "scene 1"
    again = adversary.run([outlined], journal)
    assert [replace(each, seconds=0.0) for each in again] == [
        replace(each, seconds=0.0) for each in fresh
    ]
    assert again[0].psnr != first[0].psnr
    assert adversary.run([outlined], journal) == again


def test_two_runs_do_not_write_into_one_folder(certified: str, tmp_path: Path) -> None:
    settings = PhotographSettings(budgets=(1.0,), steps=1, channels=())
    given = (Path(certified), [target(tmp_path, photograph(100, 140))], settings, tmp_path / "out")
    with claim(tmp_path / "out"), pytest.raises(RunError, match="another process is using"):
        evaluate_photographs(*given, "it")
    assert evaluate_photographs(*given, "it").outcomes


def test_a_damaged_photograph_is_named_and_left_out(
    certified: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = PhotographSettings(budgets=(1.0, 2.0), steps=1, channels=())
    whole, out = target(tmp_path / "whole", photograph(100, 140)), tmp_path / "out"
    (tmp_path / "cut.png").write_bytes(whole.path.read_bytes()[:2000])
    cut = Target(name="cut\x1b.png", path=tmp_path / "cut.png", label=0)
    found = evaluate_photographs(Path(certified), [cut, whole], settings, out, "it")
    assert capsys.readouterr().err.count("skipped cut\\x1b.png: ") == 1
    assert [each.name for each in found.outcomes] == ["photo.png"] * 2
    assert json.loads((out / "photograph-it.json").read_text())["unread"] == ["cut\x1b.png"]
    assert found.table().endswith("could not be read: 1")
    whole.path.rename(cut.path)
    cut = replace(cut, name="photo.png", label=1)  # under its name in the journal: known by content
    assert evaluate_photographs(Path(certified), [cut], settings, out, "it").unread == ()
    cut.path.write_bytes(b"")
    with pytest.raises(DatasetError, match=r"none of the 1 photographs .*photo\.png: "):
        evaluate_photographs(Path(certified), [cut], settings, out, "it")


def test_a_photograph_without_a_score_is_told_and_counts_in_no_figure(
    certified: str, tmp_path: Path
) -> None:
    settings = PhotographSettings(budgets=(1.0,), steps=1, channels=())
    small = target(tmp_path / "small", photograph(20, 20), 0)
    small = replace(small, name="small.png")
    given = (Path(certified), [small], settings, tmp_path / "out")
    found = evaluate_photographs(*given, "it")
    assert found.unscored == ("small.png",)
    assert (found.outcomes, found.unread) == ((), ())
    large = target(tmp_path / "large", photograph(100, 140))
    found = evaluate_photographs(Path(certified), [small, large], *given[2:], "it")
    assert found.unscored == ("small.png",)
    assert [each.name for each in found.outcomes] == ["photo.png"]
    assert found.table().endswith("\n\nPhotographs without a score, which were not attacked: 1")
    written = json.loads((tmp_path / "out" / "photograph-it.json").read_text())
    assert written["unscored"] == ["small.png"]


def test_the_command_tells_that_a_photograph_was_left_out(certified: str, tmp_path: Path) -> None:
    target(tmp_path, photograph(100, 140))
    (tmp_path / "cut.png").write_bytes((tmp_path / "photo.png").read_bytes()[:2000])
    manifest = tmp_path / "manifest.csv"
    manifest.write_text("path,label,part\nphoto.png,recaptured,test\ncut.png,original,test\n")
    line = ["evaluate", certified, "--suite", "photograph", "--budget", "1", "--budget", "1.5"]
    line += ["--dataset", str(manifest), "--out", str(tmp_path / "out"), "--name", "it"]
    done = CliRunner().invoke(app, [*line, "--seed", "7"])
    assert done.exit_code == 2
    assert "note: Nothing here is random: another seed than 7 gives the same." in done.stderr
    assert "it: 1 photographs\n" in done.stdout
    assert done.stderr.count("of a budget of 1.5 levels no more than 1 is left in it") == 1
    assert "of a budget of 1 levels" not in done.stderr


def test_photographs_are_of_the_classes_that_the_detector_tells_apart(
    certified: str, tmp_path: Path
) -> None:
    detector, card = load_bundle(certified)
    card = card.model_copy(update={"classes": ("original", "blurred")})
    save_bundle(tmp_path / "blurred.safetensors", detector, card)
    for name in ("recaptured", "blurred"):
        for label in ("original", name):
            target(tmp_path / name, photograph(100, 140, 6.0 if label == name else 0.0))
            (tmp_path / name / label).mkdir()
            (tmp_path / name / "photo.png").rename(tmp_path / name / label / "photo.png")
    line = ["evaluate", str(tmp_path / "blurred.safetensors"), "--suite", "photograph"]
    line += ["--budget", "1", "--out", str(tmp_path / "out"), "--dataset"]
    refused = CliRunner().invoke(app, [*line, str(tmp_path / "recaptured")])
    assert isinstance(refused.exception, DatasetError)
    assert "subfolders original and blurred" in str(refused.exception)
    done = CliRunner().invoke(app, [*line, str(tmp_path / "blurred")])
    assert "blurred: 2 photographs" in done.stdout
    patch = CliRunner().invoke(app, [*line, str(tmp_path / "blurred"), "--threat", "patch"])
    assert "the threat patch has no budget" in patch.output
    both = CliRunner().invoke(app, [*line, str(tmp_path / "blurred"), certified])
    assert "different classes: original, blurred and original, recaptured" in str(both.exception)


def test_the_command_attacks_all_evidence_and_says_what_the_judge_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = target(tmp_path / "in", photograph(300, 330))
    line = ["attack", "accurate", str(made.path), "--budget", "1", "--out", str(tmp_path / "out")]
    assert "omit --size" in CliRunner().invoke(app, [*line, "--size", "64"]).output
    for size in ("0", "-5"):
        assert "Invalid value" in CliRunner().invoke(app, [*line, "--size", size]).output
    reads: list[object] = []

    def read(*given: Any) -> bytes:
        reads.append(given)
        return read_file(*given)

    monkeypatch.setattr("trueshot.bundle.read_file", read)
    assert CliRunner().invoke(app, line).exit_code == 0
    assert len(reads) == 1
    _, record = map(json.loads, (tmp_path / "out" / "attacks.jsonl").read_text().splitlines())
    judge = Predictor.load("accurate")
    scores = [judge.predict(read_image(record[name]).pixels).score for name in ("path", "out")]
    for name, score in zip(("before", "after_file"), scores, strict=True):
        assert score is not None
        odds = 1 / (1 + math.exp(judge.card.middle - score))
        assert record[name]["label"] == ("original", "recaptured")[odds > 0.5]
        assert record[name]["probability"] == pytest.approx(max(odds, 1 - odds), abs=1e-3)
    assert scores[0] != pytest.approx(scores[1], abs=0.1)


def outcome(number: int = 0, label: int = 1, said: str = "recaptured", **more: Any) -> Outcome:
    clean = ("original", "recaptured")[label]
    score = 1.0 if label else -1.0
    fields: dict[str, Any] = {
        "name": f"{number}.png", "label": label, "threat": "linf", "budget": 2.0, "clean": clean,
        "clean_score": score, "certified_radius": None, "modelled": score, "reached": -score,
        "verdicts": {"png": said}, "scores": {"png": -score}, "forward": 2, "backward": 1,
        "psnr": 40.0, "ssim": 0.9, "seconds": 1.0,
    }  # fmt: skip
    return Outcome(**fields | more)


MANY = [outcome(n, n % 2, ("original", "recaptured")[n % 2]) for n in range(80)]


def test_outcomes_are_counted_by_direction_with_undecided_apart() -> None:
    those = [
        outcome(0, 0, "recaptured"),
        outcome(1, 0, "undecided", certified_radius=1.0),
        outcome(2, 1, "recaptured", certified_radius=2.5),
        outcome(3, 1, "original"),
        outcome(4, 1, "original", verdicts={"png": "original", "jpeg-75": "recaptured"},
                scores={"png": -1.0, "jpeg-75": 1.0}),
    ]  # fmt: skip
    facts = {"detector": "d", "bundle_sha256": "", "data": "", "settings": ""}
    result = result_of(those, **facts)
    clean, png, jpeg = result.tallies
    assert (clean.right, clean.wrong, clean.proven) == ((2, 3), (0, 0), (1, 1))
    assert (png.right, png.undecided, png.wrong) == ((0, 1), (1, 0), (1, 2))
    assert png.proven == (0, 1)
    assert (png.auc, clean.auc, jpeg.auc) == (0.0, 1.0, None)
    low, high = png.auc_interval
    assert low == 0
    assert high == pytest.approx(1 - 0.025 ** (1 / 2))  # of the two originals: Clopper-Pearson
    assert jpeg.auc_interval is None
    assert jpeg.right == (0, 1)
    assert result.cost["seconds"] == 1.0
    assert result.table().count("\n") == 4


def test_shares_of_photographs_have_intervals_over_sources(tmp_path: Path) -> None:
    facts = {"detector": "d", "bundle_sha256": "", "data": "", "settings": ""}
    alone = [outcome(n, n % 2, "original") for n in range(40)]
    scenes = [replace(each, source=f"scene {n // 10}") for n, each in enumerate(alone)]
    spread, few = (result_of(those, **facts) for those in (alone, scenes))
    low, high = Proportion(20, 20).interval95
    assert f"| linf | 2 | png | 100 ({100 * low:.0f}–{100 * high:.0f}) |" in spread.table()
    low, high = Proportion(4, 4).interval95
    assert f"| linf | 2 | png | 100 ({100 * low:.0f}–{100 * high:.0f}) |" in few.table()
    few.save(tmp_path / "few.json")
    assert "by_source" not in (tmp_path / "few.json").read_text()


@pytest.mark.parametrize(
    ("changed", "doubt"),
    [
        ({"certified_radius": 2.0, "verdicts": {"png": "undecided"}}, "attack-beats-certificate"),
        ({"modelled": 1.5}, "differs-under-gradient"),
        ({"reached": 1.0, "scores": {"png": 1.0}}, "gradient-misleads"),
        ({"scores": {"png": 0.9}}, "attack-lost-by-rounding"),
    ],
)
def test_a_planted_fault_is_a_doubt(changed: dict[str, Any], doubt: str) -> None:
    assert list(doubts_of(MANY)) == []
    faulty = [replace(each, **changed) if each.label else each for each in MANY]
    assert [each.name for each in doubts_of(faulty)] == [doubt]
    assert [each.name for each in doubts_of(MANY[:10])] == ["too-few-images"]


def test_a_photograph_whose_score_is_at_the_goal_has_no_gradient_that_misleads() -> None:
    far = {"clean": "undecided", "verdicts": {"png": "undecided"}, "reached": -1.0}
    there = [replace(e, modelled=-1.0, clean_score=-1.0, **far) if e.label else e for e in MANY]
    found = [replace(each, goal=0.5 - each.label) for each in there]
    assert list(doubts_of(found)) == []
    stuck = [replace(each, goal=-2.0 if each.label else 0.5) for each in there]
    assert [each.name for each in doubts_of(stuck)] == ["gradient-misleads"]


def test_what_a_smaller_budget_turns_and_a_larger_does_not_is_a_doubt() -> None:
    smaller = [replace(each, budget=1.0, verdicts={"png": "original"}) for each in MANY]
    found = [each.name for each in doubts_of([*smaller, *MANY])]
    assert found == ["accuracy-rises-with-budget"]


def test_targets_come_from_a_manifest_with_their_outlines(tmp_path: Path) -> None:
    rows = ["path;label;part;outline"]
    for number in range(6):
        label = ("original", "recaptured")[number % 2]
        Image.fromarray(photograph(20, 30, seed=number)).save(tmp_path / f"{number}.png")
        outline = json.dumps([[1, 2], [3, 4], [5, 6]]) if number % 2 else ""
        rows.append(f"{number}.png;{label};{'test' if number else 'train'};{outline}")
    (tmp_path / "manifest.csv").write_text("\n".join(rows))
    found = targets_of(tmp_path / "manifest.csv")
    assert [each.label for each in found] == [0, 0, 1, 1, 1]
    assert found[-1].outline == ((1.0, 2.0), (3.0, 4.0), (5.0, 6.0))
    few = targets_of(tmp_path / "manifest.csv", most=2)
    assert [each.name for each in few] == ["2.png", "4.png", "1.png", "3.png"]
    (tmp_path / "manifest.csv").write_text("\n".join([*rows[:-1], f"5.png;{label};test;[[1]]"]))
    with pytest.raises(DatasetError, match=r"5\.png: invalid outline"):
        targets_of(tmp_path / "manifest.csv")


def test_a_detector_without_a_score_of_two_classes_is_refused(
    certified: str, tmp_path: Path
) -> None:
    detector, card = load_bundle(certified)
    other = card.model_copy(update={"decision_rule": "top-class"})
    save_bundle(tmp_path / "other.safetensors", detector, other)
    with pytest.raises(BundleError, match="two classes"):
        PhotographDetector(str(tmp_path / "other.safetensors"))
    assert asdict(outcome())["label"] == 1


def similarity(before: Bytes, after: Bytes) -> float:
    """The SSIM between a photograph and its changed version, resized back."""
    size = before.shape[1], before.shape[0]
    back = np.array(Image.fromarray(after).resize(size, Image.Resampling.BICUBIC))
    return float(ssim(to_levels(before[None]), to_levels(back[None]))[0])


def test_a_notch_takes_a_grid_away_and_leaves_the_rest() -> None:
    plain, grid = photograph(300, 420, 0.0), photograph(300, 420, 8.0)
    changed = Notched().changed(grid)
    heights = [find_lattice(each).features["luma 1/1 height"] for each in (plain, grid, changed)]
    assert heights[1] > heights[0] + 3
    assert heights[2] < heights[0] + 1.5
    assert similarity(plain, changed) > 0.9
    assert np.abs(Notched().changed(plain).astype(int) - plain).mean() < 1
    tiny = photograph(20, 30)
    assert Notched().changed(tiny).shape == tiny.shape


def test_a_picture_photographed_once_more_has_lost_its_grid_and_gained_none() -> None:
    pixels = photograph(300, 420, 8.0)
    changed = Rephotographed().changed(pixels)
    assert changed.shape == pixels.shape
    assert changed.dtype == np.uint8
    assert np.array_equal(changed, Rephotographed().changed(pixels))
    assert similarity(photograph(300, 420, 0.0), changed) > 0.6
    plain = photograph(300, 420, 0.0)
    heights = [
        find_lattice(each).features["luma 1/1 height"]
        for each in (plain, Rephotographed().changed(plain))
    ]
    assert heights[1] < heights[0] + 1  # of the second display nothing is left
    before, after = (
        np.abs(np.fft.fft2(each[:, 160:, 1] * np.outer(np.hanning(300), np.hanning(260))))
        for each in (pixels, changed)
    )
    written = np.s_[60:79, 35:53]  # around 0.23 × 300, 0.17 × 260
    assert after[written].max() < 0.25 * before[written].max()


def test_tricks_are_named_and_cost_what_ssim_says() -> None:
    pixels = photograph(120, 160)
    assert len({trick.name for trick in TRICKS}) == len(TRICKS)
    costs = [similarity(pixels, trick.changed(pixels)) for trick in TRICKS]
    assert all(0.1 < cost < 0.999 for cost in costs)
    assert Denoised(3).changed(pixels).std() < pixels.std()


def test_squares_of_an_image_have_the_gradient_of_slices() -> None:
    image = torch.rand(3, 20, 30, requires_grad=True)
    corners = ((0, 0), (3, 5), (12, 22), (3, 5))
    weights = torch.rand(4, 3, 8, 8)
    found = squares(image, corners, 8)
    slices = torch.stack([image[:, y : y + 8, x : x + 8] for y, x in corners])
    assert torch.equal(found, slices)
    (ours,) = torch.autograd.grad((found * weights).sum(), image)
    (theirs,) = torch.autograd.grad((slices * weights).sum(), image)
    torch.testing.assert_close(ours, theirs)
