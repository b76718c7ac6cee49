"""The table of docs/security-of-forensics.md: its plan, who follows it, and the page made of it."""

from __future__ import annotations

import csv
import importlib
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import photo_pixels
from PIL import Image

from trueshot.evaluation.result import EvaluationResult, save_result
from trueshot.evaluation.tally import Trial, WorstCase, flags_of
from trueshot.tasks import task_named
from trueshot.training import recipe_names

BENCH = Path(__file__).resolve().parents[1] / "bench"


@pytest.fixture
def forensic(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The parts of the bench."""
    monkeypatch.syspath_prepend(str(BENCH))
    for part in ("page", "plan", "running"):
        importlib.import_module(f"forensic.{part}")
    yield sys.modules["forensic"]
    for name in [name for name in sys.modules if name.split(".")[0] == "forensic"]:
        del sys.modules[name]


def test_the_page_is_what_its_results_make(forensic: Any) -> None:
    docs = BENCH.parent / "docs"
    made = forensic.page.page(docs / "results" / "forensics")
    assert (docs / "security-of-forensics.md").read_text("utf-8") == made, (
        "python bench/forensics.py page"
    )


def test_every_command_of_the_plan_names_what_is_there(forensic: Any) -> None:
    made: set[str] = set()
    for subject in forensic.plan.SUBJECTS:
        assert subject.crops * subject.classes >= 400
        for step in subject.steps():
            assert set(step.needs) <= made, step.line
            assert step.makes not in made
            assert step.stage in forensic.plan.STAGES
            made.add(step.makes)
            words = step.words
            if words[0] == "train":
                assert words[words.index("--recipe") + 1] in recipe_names()
            elif "--task" in words and "--manifest" not in words:
                assert len(task_named(words[words.index("--task") + 1]).classes) == subject.classes
            elif "--suite" in words and words[words.index("--suite") + 1] != "strong":
                assert Path(words[words.index("--suite") + 1]).exists()


def test_a_plan_is_followed_once_and_goes_on_where_it_was_stopped(
    forensic: Any, tmp_path: Path
) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import sys, time, pathlib\n"
        "made = pathlib.Path(sys.argv[1])\n"
        "made.write_text(made.read_text() + 'x' if made.exists() else 'x')\n"
        "time.sleep(float(sys.argv[2]))\n"
    )

    def step(name: str, *needs: str, seconds: float = 0.0) -> Any:
        return forensic.plan.Step(
            words=(str(script), name, str(seconds)), makes=name, needs=tuple(needs)
        )

    steps = [step("a"), step("b", "missing"), step("c", "a")]
    left = forensic.running.follow(steps, tmp_path, {}, 1e9)
    assert [each.makes for each in left] == ["b"]
    assert forensic.running.follow(steps, tmp_path, {}, 1e9) == left
    assert (tmp_path / "a").read_text() == "x"
    never = replace(step("d", seconds=1e4), makes="never")
    assert forensic.running.follow([never, step("e")], tmp_path, {}, 3.0) == [never, step("e")]
    assert not (tmp_path / "e").exists()


def test_simulated_cameras_photograph_the_same_scenes_each_in_its_own_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(BENCH))
    from simulated_cameras import make

    scenes = tmp_path / "scenes"
    scenes.mkdir()
    for number in range(2):
        pixels = photo_pixels(number, recaptured=False, side=256)
        Image.fromarray(pixels).save(scenes / f"{number}.png")
    with make(scenes, tmp_path / "out", 2, 3, 96, seed=0).open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["label"] for row in rows] == ["camera 0", "camera 1"] * 3
    assert [row["scene"] for row in rows[::2]] == [row["scene"] for row in rows[1::2]]
    assert len({row["scene"] for row in rows}) == 2
    taken = [(tmp_path / "out" / row["path"]).read_bytes() for row in rows]
    assert len(set(taken)) == 6
    with Image.open(tmp_path / "out" / rows[0]["path"]) as one:
        assert one.size == (96, 96)
    again = make(scenes, tmp_path / "again", 2, 3, 96, seed=0).parent
    assert [(again / row["path"]).read_bytes() for row in rows] == taken


def test_a_cell_is_what_its_result_counts_and_others_are_not_yet(
    forensic: Any, tmp_path: Path
) -> None:
    subject = forensic.plan.SUBJECTS[0]
    plain = subject.detectors[0]
    save_result(tmp_path / Path(subject.result(plain, "forensics")).name, counted())
    text = forensic.page.page(tmp_path)
    row = next(line for line in text.splitlines() if line.startswith(f"| {subject.title} | `"))
    cells = [cell.strip().split(" ")[0] for cell in row.strip("|").split("|")[-11:]]
    assert cells[:1] == ["75.0"]
    assert cells[3:5] == ["25.0", "50.0"]  # PGD of one level, in the file and before it
    assert cells[8] == "50.0"  # called class 0
    assert cells.count("not") == 11 - 4
    assert "right 75.0 % without an attack" in text
    assert "secure (Zhao et al.): nothing measured yet" in text


def test_results_of_two_detectors_make_no_row(forensic: Any, tmp_path: Path) -> None:
    subject = forensic.plan.SUBJECTS[0]
    plain = subject.detectors[0]
    for suite in ("forensics", "more"):
        result = replace(counted(), bundle_sha256=suite)
        save_result(tmp_path / Path(subject.result(plain, suite)).name, result)
    with pytest.raises(ValueError, match=f"{subject.run_of(plain)}: results of two detectors"):
        forensic.page.page(tmp_path)


def counted() -> EvaluationResult:
    """Eight crops of four photographs: six right, two of them so under PGD, four in memory."""
    labels = np.array([0, 1] * 4)
    right = np.array([True] * 6 + [False] * 2)
    broken, before = np.array([True] * 4 + [False] * 4), np.array([True] * 2 + [False] * 6)
    none = np.zeros(8, bool)

    def counts(flags: Any) -> tuple[int, ...]:
        return tuple(int((flags & (labels == label)).sum()) for label in (0, 1))

    every = ~none
    clean = WorstCase(
        threat="linf", budget=0.0, right=counts(right), total=counts(every),
        right_before_file=counts(right), broken_by=("",) * 6 + ("clean",) * 2,
    )  # fmt: skip
    pgd = Trial(
        attack="pgd", threat="linf", budget=1.0, tried=counts(right), broken=counts(broken & right),
        broken_before_file=counts(before), flags=flags_of(right, broken, before, none),
    )  # fmt: skip
    reached = right & broken & (labels > 0)
    wanted = replace(
        pgd, threat="untouched", target=0, tried=counts(every), broken=counts(none),
        broken_before_file=counts(none), flags=flags_of(every, none, none, reached),
    )  # fmt: skip
    return EvaluationResult(
        suite="forensics", detector="d", classes=("original", "median-filtered"), bundle_sha256="",
        side=64, part="test", data="", split_by="photo", auc=0.9, labels=tuple(labels.tolist()),
        groups=(0, 0, 1, 1, 2, 2, 3, 3), worst=(clean,), trials=(pgd, wanted),
    )  # fmt: skip
