"""The command line, from photographs to tables, as a user runs it."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import typer
from conftest import SIDE, photo_pixels, wait_until, write_photos
from PIL import Image
from processes import Forked, kill_at_moments
from torch import Tensor
from typer.testing import CliRunner

from trueshot.attacks import FGSM
from trueshot.bundle import bundle_sha256, load_bundle
from trueshot.cli import app, options
from trueshot.datasets import Dataset, Photo, Settings, prepare
from trueshot.detector import Detector
from trueshot.evaluation.attack_files import attack_files
from trueshot.files import read_lines
from trueshot.images import read_image, write_png
from trueshot.networks.crop_aggregation import CropAggregator
from trueshot.networks.lcnn import LCNNSettings
from trueshot.pixels import to_levels
from trueshot.training import Recipe, train
from trueshot.training.objective_settings import Fusion, Objective, Penalty
from trueshot.training.recipe import Schedule, recipe_names

PLAIN = Recipe(
    name="plain",
    network=LCNNSettings(filters=(4, 4, 4, 4, 4)),
    schedule=Schedule(iterations=40, batch=16, learning_rate=1e-2),
)
SECURE = PLAIN.model_copy(
    update={
        "name": "safe",
        "objective": Objective(penalty=Penalty(weight=2.0), fusion=Fusion(adversarial=8)),
    }
)


def records_of(journal: Path) -> list[dict[str, Any]]:
    """Without the lines that say what the others belong to."""
    return [line for line in read_lines(journal) if line.keys() != {"key"}]


def run(*arguments: object, status: int = 0) -> Forked:
    done = Forked("trueshot", *arguments)
    assert done.wait() == status, done.stderr
    return done


@pytest.fixture(scope="module")
def bundle(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(PLAIN, dataset, tmp_path_factory.mktemp("plain")).bundle


@pytest.fixture
def recipes(tmp_path: Path) -> list[str]:
    arguments = []
    for option, recipe in (("--plain", PLAIN), ("--secure", SECURE)):
        path = tmp_path / f"{recipe.name}.yaml"
        path.write_text(recipe.to_yaml(), "utf-8")
        arguments += [option, str(path)]
    return arguments


def test_two_folders_become_tables_and_figures_that_keep_other_sizes_and_their_schedules(
    photos: list[Photo], recipes: list[str], tmp_path: Path
) -> None:
    folder = photos[0].path.parent.parent
    prepared = run(
        "prepare", "--original", folder / "original", "--recaptured", folder / "recaptured",
        "--out", tmp_path / "d", "--size", 32, "--size", 16, "--per-class", 20,
    )  # fmt: skip
    assert "32 px: crops per class: train 8, validation 2, test 10" in prepared.stdout
    assert "shortcut audit" in prepared.stdout
    for side, iterations in ((SIDE, 4), (16, 3)):
        how = ("--size", side, "--size", side, "--iterations", iterations)
        done = run("reproduce", tmp_path / "d", "--out", tmp_path / "r", *recipes, *how)
    results = json.loads((tmp_path / "r" / "results.json").read_text())["results"]
    found = [(r["side"], r["detector"], r["recipe"]["schedule"]["iterations"]) for r in results]
    assert found == [(16, "plain", 3), (16, "safe", 3), (32, "plain", 4), (32, "safe", 4)]
    assert "16 × 16 | 32 × 32" in (tmp_path / "r" / "tables.md").read_text("utf-8")
    for result in results:
        assert len(result["trials"]) == 10
        assert all(sum(trial["tried"]) == 20 for trial in result["trials"])
    for name in ("tables.md", "tables.tex", "figure-2-16px.png", "figure-5-32px.png"):
        assert str(tmp_path / "r" / name) in done.stdout
        assert (tmp_path / "r" / name).stat().st_size > 500
    assert "Table 3" in done.stdout
    others = (*recipes, "--secure", "yang")
    refused = run("reproduce", tmp_path / "d", "--out", tmp_path / "r", *others, status=2)
    assert "already holds experiments with the recipes plain and safe" in refused.stderr


def test_reproduce_refuses_two_recipes_of_one_name_before_it_trains(
    dataset: Dataset, recipes: list[str], tmp_path: Path
) -> None:
    text = Path(recipes[3]).read_text("utf-8")
    Path(recipes[3]).write_text(text.replace("name: safe", "name: plain"), "utf-8")
    done = run("reproduce", dataset.folder, "--out", tmp_path / "r", *recipes, status=2)
    assert "both recipes are named plain" in done.stderr
    assert not (tmp_path / "r").exists()


def test_reproduce_killed_at_random_moments_ends_as_one_that_was_not(
    dataset: Dataset, recipes: list[str], tmp_path: Path
) -> None:
    def start(out: Path) -> Forked:
        short = ("--iterations", 12, "--crops", 8)
        return Forked("trueshot", "reproduce", dataset.folder, "--out", out, *recipes, *short)

    assert start(tmp_path / "whole").wait() == 0
    moments, out = random.Random(2), tmp_path / "killed"
    kill_at_moments(
        lambda: start(out),
        out,
        lambda: lines(out, "*.jsonl"),
        lambda: moments.randint(5, 30),  # of 102
        lambda: 40 * len([*out.rglob("detector.safetensors")]) + lines(out, "result.jsonl"),
    )
    assert start(out).wait() == 0
    for name in ("results.json", "tables.md", "figure-2-32px.png", "figure-5-32px.png"):
        assert (out / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_reproduce_is_one_command_from_nothing_to_the_page_and_goes_on(
    recipes: list[str], tmp_path: Path
) -> None:
    small = ("--embedded", "--conditions", "paper", "--per-class", 16, "--iterations", 4)
    command = ("reproduce", *small, *recipes, "--out", tmp_path / "r")
    first = run(*command, "--size", 16)
    both = run(*command, "--size", 16, "--size", 32)
    results = json.loads((tmp_path / "r" / "results.json").read_text())["results"]
    assert [result["side"] for result in results] == [16, 16, 32, 32]
    assert len({result["data"] for result in results}) == 2
    assert "plain 16 px: 4/4" in first.stderr
    assert "plain 16 px: 1/4" not in both.stderr
    assert "share cameras and media" in (tmp_path / "r" / "page.html").read_text()


@pytest.mark.parametrize("given", [[], ["DATA", "--embedded"], ["--embedded", "--photos", "P"]])
def test_reproduce_wants_one_kind_of_data(given: list[str], tmp_path: Path) -> None:
    done = run("reproduce", *given, "--out", tmp_path, status=2)
    assert "give exactly one of DATASET, --embedded and --photos" in done.stderr


def lines(out: Path, name: str) -> int:
    """Steps of training and of evaluation that are told in files of this name."""
    return sum(len(read_lines(path)) for path in out.rglob(name))


def test_train_and_evaluate_are_the_parts_of_reproduce(
    dataset: Dataset, recipes: list[str], tmp_path: Path
) -> None:
    few = ("--iterations", 8)
    trained = run("train", dataset.folder, "--recipe", recipes[1], "--out", tmp_path / "run", *few)
    bundle = tmp_path / "run" / "detector.safetensors"
    assert f"detector: {bundle}" in trained.stdout
    run("reproduce", dataset.folder, "--out", tmp_path / "r", *recipes, *few)
    judged = run("evaluate", bundle, "--dataset", dataset.folder, "--out", tmp_path / "e")
    assert "clean AUC" in judged.stdout
    (written,) = (tmp_path / "e").glob("paper-run-*px.json")
    alone = json.loads(written.read_text())
    together = json.loads((tmp_path / "r" / "results.json").read_text())["results"][0]
    assert (alone.pop("detector"), together.pop("detector")) == ("run", "plain")
    assert alone | {"doubts": []} == together  # which evaluate looks for


def test_attack_writes_files_reads_them_back_and_reports(bundle: Path, tmp_path: Path) -> None:
    photos = write_photos(tmp_path / "in", 2)
    out = tmp_path / "out"
    done = run("attack", bundle, tmp_path / "in", "--attack", "fgsm", "--budget", 2, "--out", out)
    records = records_of(out / "attacks.jsonl")
    assert len(records) == len(done.stdout.splitlines()) == len(photos)
    detector, _ = load_bundle(bundle)
    detector.network = CropAggregator(detector.network, SIDE)
    for record in records:
        before, after = (to_levels(read_image(record[name]).pixels) for name in ("path", "out"))
        change = (after - before).abs()
        assert record["largest_change"] == change.max() == 2
        assert record["psnr"] == pytest.approx(
            10 * np.log10(255**2 / change.square().mean().item()), abs=1e-3
        )
        assert 0 < record["ssim"] < 1
        for name, image in (("before", before), ("after_file", after)):
            probability = detector.probabilities(image)[0]
            verdict = record[name]
            assert verdict["label"] == detector.classes[int(probability.argmax())]
            assert verdict["probability"] == pytest.approx(float(probability.max()), abs=1e-4)
        assert record["in_memory"] == record["after_file"]  # whole levels: rounding changes nothing


def test_attack_lowers_what_the_detector_says_of_the_true_class(
    bundle: Path, tmp_path: Path
) -> None:
    write_photos(tmp_path / "in", 2)
    run(
        "attack", bundle, tmp_path / "in" / "recaptured", "--attack", "llcm", "--budget", 1,
        "--label", "recaptured", "--out", tmp_path / "out",
    )  # fmt: skip
    for record in records_of(tmp_path / "out" / "attacks.jsonl"):
        before, after = record["before"], record["after_file"]
        assert after["label"] != before["label"] or after["probability"] < before["probability"]


def test_attack_reports_bad_files_and_goes_on(bundle: Path, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    write_photos(folder, 1)
    (folder / "original" / "cut.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    Image.fromarray(photo_pixels(1, False, 16)).save(folder / "original" / "small.png")
    arguments = ("attack", bundle, folder, tmp_path / "none.jpg", "--out", tmp_path / "out")
    done = run(*arguments, status=2)
    assert len(done.stdout.splitlines()) == 2
    errors = [line for line in done.stderr.splitlines() if str(tmp_path) in line]
    assert [Path(line.split(":")[0]).name for line in errors] == [
        "cut.png",
        "small.png",
        "none.jpg",
    ]
    assert "smaller than a crop of 32 px" in errors[1]


def test_an_attack_that_was_stopped_does_not_do_its_photos_again(
    bundle: Path, tmp_path: Path
) -> None:
    write_photos(tmp_path / "in", 2)
    arguments = ("attack", bundle, tmp_path / "in", "--out", tmp_path / "out")
    first = run(*arguments)
    journal = tmp_path / "out" / "attacks.jsonl"
    files = [Path(line["out"]) for line in records_of(journal)]
    times = [path.stat().st_mtime_ns for path in files]
    files[0].unlink()
    journal.write_bytes(journal.read_bytes()[:-20])
    assert run(*arguments).stdout == first.stdout
    assert [path.stat().st_mtime_ns for path in files[1:-1]] == times[1:-1]
    assert files[0].is_file()


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("train", "nowhere", "--out", "x"), "nowhere"),
        (("evaluate", "nothing", "--dataset", "nowhere", "--out", "x"), "nowhere"),
        (("attack", "nothing", "a.jpg", "--out", "x"), "nothing: no such file"),
        (("prepare", "--manifest", "none.csv", "--out", "x"), "none.csv"),
        (("recipe", "none"), "none"),
        (("train", "no\x1b[2J\nwhere", "--out", "x"), r"no\x1b[2J; where"),
    ],
)
def test_an_error_is_one_line_that_names_what_was_wrong(
    arguments: tuple[str, ...], named: str
) -> None:
    done = run(*arguments, status=2)
    assert named in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("names", "named"),
    [
        ((), "two detectors are named detector"),
        (("--name", "a", "--name", "a"), "two detectors are named a"),
        (("--name", "../a b", "--name", "a-b"), "two detectors are named a-b"),
        (("--name", "a", "--name", "b", "--name", "c"), "3 names for 2 detectors"),
    ],
)
def test_results_of_two_detectors_of_one_name_are_refused_before_the_first(
    names: tuple[str, ...], named: str
) -> None:
    bundles = ("run1/detector.safetensors", "run2/detector.safetensors")
    done = run(
        "evaluate", *bundles, "--dataset", "d", "--suite", "photograph", "--out", "x", *names,
        status=2,
    )  # fmt: skip
    assert named in done.stderr
    assert not Path("x").exists()


def test_a_wrong_call_is_refused_with_status_2() -> None:
    for arguments, named in (
        (("prepare",), "a --manifest, or photographs"),
        (("attack", "b", "p", "--budget", "-1"), "--budget"),
        (("train", "d", "--device", "abacus", "--recipe", "yang"), "abacus"),
        (("evaluate", "--dataset", "m.csv", "--suite", "photograph"), "give a bundle"),
        *(
            (("evaluate", "b", "--dataset", "d", "--suite", "photograph", *option), option[0])
            for option in (
                ("--size", "64"),
                ("--no-doubts",),
                ("--device", "cpu"),
                ("--engine", "local"),
                ("--input-mean", "1", "1", "1"),
            )
        ),
    ):
        done = run(*arguments, "--out", "x", status=2)
        assert named in done.stderr
        assert "Usage: " in done.stderr
        assert not done.stdout
    assert not Path("x").exists()


def test_a_device_without_float64_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def empty(*_: int, device: str, dtype: torch.dtype = torch.float32) -> None:
        if dtype == torch.float64:
            raise TypeError("the MPS framework doesn't support float64\nUse float32 instead")

    monkeypatch.setattr(torch, "empty", empty)
    with pytest.raises(typer.BadParameter, match=r"device 'mps': .* support float64$"):
        options._device("mps")


def test_ctrl_c_ends_a_run_with_a_line_and_the_usual_status(
    dataset: Dataset, tmp_path: Path
) -> None:
    recipe = tmp_path / "long.yaml"
    schedule = PLAIN.schedule.model_copy(update={"iterations": 40_000})
    recipe.write_text(PLAIN.model_copy(update={"schedule": schedule}).to_yaml(), "utf-8")
    arguments = ("--recipe", recipe, "--out", tmp_path / "run")
    process = Forked("trueshot", "train", dataset.folder, *arguments)
    log = tmp_path / "run" / "log.jsonl"
    wait_until(lambda: read_lines(log) or process.poll() is not None)
    process.send_signal(signal.SIGINT)
    assert process.wait() == 130
    errors = process.stderr
    assert errors.splitlines()[-1] == "interrupted; run the same command again to resume"
    assert "Traceback" not in errors


def test_recipes_are_printed_in_full() -> None:
    assert run("recipe").stdout.split() == recipe_names()
    assert "adversarial: 32" in run("recipe", "secure").stdout
    assert json.loads(run("recipe", "--schema").stdout) == Recipe.model_json_schema()
    assert "iterations: 500" in run("recipe", "yang", "--iterations", 500).stdout


def test_progress_in_a_pipe_is_plain_lines(photos: list[Photo], tmp_path: Path) -> None:
    folder = photos[0].path.parent.parent
    done = run(
        "prepare", "--original", folder / "original", "--recaptured", folder / "recaptured",
        "--out", tmp_path / "d", "--size", 32,
    )  # fmt: skip
    assert f"survey: {len(photos)}/{len(photos)}" in done.stderr.splitlines()
    assert "\r" not in done.stderr
    assert "\x1b" not in done.stderr


def test_the_public_names_are_there() -> None:
    import trueshot

    for name in trueshot.__all__:
        assert getattr(trueshot, name) is not None
    with pytest.raises(AttributeError, match="nonsense"):
        _ = trueshot.nonsense
    assert torch.is_tensor(trueshot.FGSM(budget=torch.ones(2)).budget)


def test_reproduce_begins_larger_sizes_with_the_weights_of_smaller_ones_and_says_so(
    photos: list[Photo], recipes: list[str], tmp_path: Path
) -> None:
    data = prepare(photos, tmp_path / "d", Settings(sides=(SIDE, 16), per_class=20))
    command = ("reproduce", data.folder, *recipes, "--iterations", 2, "--from-smaller")
    run(*command, "--out", tmp_path / "r")
    for recipe in (PLAIN, SECURE):
        first, second = (tmp_path / "r" / f"{side}px" / recipe.name for side in (16, SIDE))
        start = bundle_sha256(first / "detector.safetensors")
        assert load_bundle(first / "detector.safetensors")[1].start is None
        assert load_bundle(second / "detector.safetensors")[1].start == start
        for name in ("tables.md", "page.html"):
            assert start[:12] in (tmp_path / "r" / name).read_text("utf-8")
    shutil.copytree(tmp_path / "r" / "16px", tmp_path / "r" / "old 16px")
    again = run(*command, "--out", tmp_path / "r")
    assert "1/2" not in again.stderr


def test_reproduce_notices_before_training_that_there_is_nothing_to_judge(
    photos: list[Photo], recipes: list[str], tmp_path: Path
) -> None:
    settings = Settings(sides=(SIDE,), per_class=40, fractions=(0.5, 0.5, 0.0))
    data = prepare(photos, tmp_path / "d", settings)
    done = run("reproduce", data.folder, "--out", tmp_path / "r", *recipes, status=2)
    assert "test part" in done.stderr
    assert not (tmp_path / "r").exists()


def test_verdicts_of_another_crop_size_are_not_taken_for_these(
    bundle: Path, tmp_path: Path
) -> None:
    write_photos(tmp_path / "in", 1)
    arguments = ("attack", bundle, tmp_path / "in", "--out", tmp_path / "out")
    run(*arguments, "--size", 32)
    run(*arguments, "--size", 16)
    lines = records_of(tmp_path / "out" / "attacks.jsonl")
    assert len({line["out"] for line in lines}) == 4
    assert lines[0]["before"] != lines[2]["before"]


def test_attack_does_not_attack_what_it_has_written_itself(bundle: Path, tmp_path: Path) -> None:
    write_photos(tmp_path / "in", 1)
    arguments = ("attack", bundle, tmp_path / "in", "--out", tmp_path / "in" / "out")
    assert run(*arguments).stdout == run(*arguments).stdout
    assert len(records_of(tmp_path / "in" / "out" / "attacks.jsonl")) == 2


def test_attack_and_prepare_know_images_by_content_and_count_what_is_none(
    bundle: Path, tmp_path: Path
) -> None:
    photos = write_photos(tmp_path / "in", 3)
    for photo in photos[::2]:
        photo.path.rename(photo.path.with_suffix(""))
    (tmp_path / "in" / "original" / "notes.txt").write_text("no image")
    (tmp_path / "in" / "original" / "cut\x1b[2J.jpg").write_bytes(b"\xff\xd8\xff")
    done = run("attack", bundle, tmp_path / "in", "--out", tmp_path / "out", status=2)
    assert len(records_of(tmp_path / "out" / "attacks.jsonl")) == len(photos)
    assert r"original/cut\x1b[2J.jpg: " in done.stderr
    assert "files skipped because they are not images (1): " in done.stderr
    folders = ("--original", tmp_path / "in" / "original")
    folders += ("--recaptured", tmp_path / "in" / "recaptured")
    made = run("prepare", *folders, "--out", tmp_path / "d", "--size", 32)
    assert "files skipped because they are not images (1): " in made.stderr
    card = json.loads((tmp_path / "d" / "dataset.json").read_text())
    assert (card["photos"], card["no_image"]) == (len(photos) + 1, 1)
    assert r"skipped original/cut\x1b[2J.jpg: " in made.stderr


def test_the_verdict_after_the_file_is_that_of_the_file(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = np.full((128, 128, 3), 7, np.uint8)
    monkeypatch.setattr(
        "trueshot.evaluation.attack_files.write_png", lambda path, *_: write_png(path, other)
    )
    photos = write_photos(tmp_path / "in", 1)
    detector, _ = load_bundle(bundle)
    found = attack_files(
        detector, SIDE, FGSM(budget=1.0), [photos[0].path], tmp_path / "out", name="a"
    )
    (record,) = list(found)
    whole = np.asarray(Image.open(photos[0].path)).astype(int)
    assert record.largest_change == np.abs(whole - 7).max()
    assert record.after_file != record.in_memory


@dataclass(frozen=True)
class Excessive:
    """Five levels for a budget of one."""

    budget: float = 1.0

    def __call__(self, detector: Detector, images: Tensor, labels: Tensor) -> Tensor:
        return (images + 5).clamp(0, 255)


def test_an_attack_that_exceeds_its_budget_does_not_end_a_batch(
    bundle: Path, tmp_path: Path
) -> None:
    photos = [photo.path for photo in write_photos(tmp_path / "in", 1)]
    detector, _ = load_bundle(bundle)
    found = attack_files(detector, SIDE, Excessive(), photos, tmp_path / "out", name="a")
    assert [(record.path, "Excessive" in record.error) for record in found] == [
        (str(path), True) for path in photos
    ]


def test_an_attack_of_half_a_level_leaves_nothing_in_a_file(bundle: Path, tmp_path: Path) -> None:
    write_photos(tmp_path / "in", 1)
    run("attack", bundle, tmp_path / "in", "--budget", 0.5, "--out", tmp_path / "out")
    for record in records_of(tmp_path / "out" / "attacks.jsonl"):
        assert record["largest_change"] == 0
        assert record["after_file"] == record["before"]


def test_a_name_that_is_no_utf_8_does_not_end_a_batch(bundle: Path, tmp_path: Path) -> None:
    write_photos(tmp_path / "in", 1)
    odd = os.fsdecode(os.fsencode(tmp_path / "in" / "original") + b"/b\xe9d.png")
    try:
        Image.fromarray(photo_pixels(5, False)).save(odd)
    except OSError:
        pytest.skip("this file system takes no such name")
    arguments = ("attack", bundle, tmp_path / "in", "--out", tmp_path / "out")
    first = run(*arguments)
    assert len(first.stdout.splitlines()) == 3
    assert run(*arguments).stdout == first.stdout


def test_an_output_folder_that_is_a_file_is_an_error_of_one_line(
    bundle: Path, dataset: Dataset, tmp_path: Path
) -> None:
    out = tmp_path / "file"
    out.write_text("mine")
    write_photos(tmp_path / "in", 1)
    for arguments in (
        ("train", dataset.folder, "--recipe", "yang", "--out", out),
        ("attack", bundle, tmp_path / "in", "--out", out),
        ("evaluate", bundle, "--dataset", dataset.folder, "--out", out),
    ):
        errors = run(*arguments, status=2).stderr.splitlines()
        assert str(out) in errors[-1]
        assert not any("Traceback" in line for line in errors)
    assert out.read_text() == "mine"


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("prepare", "--size: Side of the crops in pixels; repeatable; by default 64."),
        ("simulate", "--size: Side of the crops in pixels; repeatable; by default 64."),
        ("train", "--size: Side of the crops in pixels; by default the only one of the data set."),
        ("evaluate", "by default each detector's own."),
        (
            "evaluate",
            "--crops: Maximum number of crops, or photographs, per class; by default all.",
        ),
        ("stage", "--workers: Number of worker processes; by default one per core."),
        ("bundle", "--workers: Number of worker processes; by default one per core."),
    ],
)
def test_the_help_of_a_command_tells_its_defaults(command: str, said: str) -> None:
    known = typer.main.get_command(app).commands[command]  # type: ignore[attr-defined]
    assert any(said in f"{option.opts[0]}: {option.help}" for option in known.params
               if hasattr(option, "help"))  # fmt: skip


@pytest.mark.parametrize(
    "command",
    ["scan x", "attack lcnn x --out y", "prepare x --out y", "examples x --task recapture --out y"],
)
def test_a_limit_below_one_pixel_is_refused(command: str) -> None:
    said = CliRunner().invoke(app, [*command.split(), "--pixel-limit", "0"])
    assert said.exit_code == 2
    assert "'--pixel-limit'" in said.output
