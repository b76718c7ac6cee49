"""An evaluation on several processes ends as in one, and goes on where either was stopped."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from trueshot.bundle import save_bundle
from trueshot.card import Card
from trueshot.datasets import Dataset
from trueshot.detector import Detector
from trueshot.engines.engine import Course, Request, abreast, follow_here, gather
from trueshot.engines.pool import Answer, WorkerError
from trueshot.errors import RunError
from trueshot.evaluation.detector_source import DetectorSource
from trueshot.evaluation.distribution import _settings_of, work_of
from trueshot.evaluation.external import InputSpec
from trueshot.evaluation.plan import EvaluationSettings
from trueshot.evaluation.planned_attacks import Effort, PlannedAttack, planned
from trueshot.evaluation.result import EvaluationResult, load_result
from trueshot.evaluation.runner import evaluate_detectors
from trueshot.evaluation.suites import Suite
from trueshot.evaluation.tally import Trial
from trueshot.files import Journal
from trueshot.networks import LCNN

SIDE = 32
LITTLE = Effort(noise=1, pgd=2, apgd=2, again=1, fab_l2=1, square=2, rays=2, through=2, boundary=2)
OWN = """
from dataclasses import dataclass

@dataclass(frozen=True)
class Shift:
    budget: float

    def __call__(self, detector, images, labels):
        return (images + self.budget).clamp(0, 255)
"""


@pytest.fixture
def bundles(tmp_path: Path) -> list[DetectorSource]:
    """Two small detectors of random weights."""
    card = Card(network={"name": "lcnn", "filters": [2, 2, 4, 4, 4]}, side=SIDE)
    sources = []
    for number, name in enumerate(("one", "other")):
        torch.manual_seed(number)
        path = tmp_path / name / "detector.safetensors"
        path.parent.mkdir()
        save_bundle(path, Detector(LCNN(filters=(2, 2, 4, 4, 4))).eval(), card)
        sources.append(DetectorSource(path=str(path)))
    return sources


def asked(suite: str | Suite = "strong", **more: Any) -> EvaluationSettings:
    given: dict[str, Any] = {
        "budgets": (4.0,),
        "crops": 3,
        "effort": LITTLE,
        "batch": 2,
        "doubts": False,
    }
    return EvaluationSettings(suite=suite, **{**given, **more})


def results(
    sources: list[DetectorSource], dataset: Dataset, out: Path, how: EvaluationSettings, **more: Any
) -> list[EvaluationResult]:
    found = [one.result for one in evaluate_detectors(sources, dataset, out, how, **more)]
    return [
        replace(each, trials=tuple(replace(trial, seconds=0.0) for trial in each.trials))
        for each in found
        if each is not None
    ]


def test_two_processes_find_what_one_finds(
    bundles: list[DetectorSource], dataset: Dataset, tmp_path: Path
) -> None:
    (tmp_path / "own.py").write_text(OWN, "utf-8")
    attacks = (planned(f"{tmp_path / 'own.py'}:Shift"),)
    transfer = Path(bundles[1].path)
    for sources, how, more in (
        (bundles[:1], asked(attacks=attacks, doubts=True), {"transfer": transfer}),
        (bundles, asked("file", threats=("png", "jpeg-75")), {}),
        (bundles, asked("everyday"), {}),
    ):
        here = results(sources, dataset, tmp_path / "here", how, **more)
        there = results(sources, dataset, tmp_path / "there", how, workers=2, **more)
        assert here == there
        assert len(here) == len(sources)
    assert any(trial.attack == "Shift" for trial in results_of(tmp_path / "there"))
    pictures = [
        {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*.png")}
        for folder in (tmp_path / "here", tmp_path / "there")
    ]
    assert pictures[0] == pictures[1] != {}


def test_other_processes_plan_the_same_attacks(dataset: Dataset) -> None:
    more: dict[str, Any] = {"name": "long", "on": "right", "far": True, "target": 1}
    how = asked(attacks=(planned("pgd", settings={"steps": 7}, **more), planned("fgsm")))
    sent = json.loads(json.dumps(work_of([], dataset, how, None).settings))
    assert _settings_of(sent) == how


def results_of(folder: Path) -> Iterator[Trial]:
    for path in folder.glob("strong-*.json"):
        yield from load_result(path).trials


@pytest.mark.parametrize("engine", [{}, {"workers": 2}], ids=["here", "two processes"])
def test_what_was_stopped_goes_on_with_either_engine(
    engine: dict[str, Any],
    bundles: list[DetectorSource],
    dataset: Dataset,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    how = asked(budgets=(1.0, 4.0), threats=("linf",))
    whole = results(bundles[:1], dataset, tmp_path / "whole", how)
    append, left = Journal.append, 4

    def stopped(journal: Journal, record: dict[str, Any]) -> None:
        nonlocal left
        append(journal, record)
        left -= 1
        if not left:
            raise KeyboardInterrupt

    monkeypatch.setattr(Journal, "append", stopped)
    with pytest.raises(KeyboardInterrupt):
        results(bundles[:1], dataset, tmp_path / "cut", how, workers=2)
    (file,) = (tmp_path / "cut").glob("*.jsonl")
    before = file.read_text("utf-8").splitlines()
    assert len(before) == 5  # a key, and four trials
    monkeypatch.undo()
    assert results(bundles[:1], dataset, tmp_path / "cut", how, **engine) == whole
    after = file.read_text("utf-8").splitlines()
    assert after[:5] == before
    (complete,) = (tmp_path / "whole").glob("*.jsonl")
    assert len(after) == len(complete.read_text("utf-8").splitlines())


def test_what_other_processes_cannot_read_is_refused(
    bundles: list[DetectorSource], dataset: Dataset, tmp_path: Path
) -> None:
    entry = {"name": "mine", "threats": [{"attacks": ["fgsm"]}]}
    with pytest.raises(
        RunError, match="suite mine: worker processes need a suite from a YAML file"
    ):
        results(bundles, dataset, tmp_path, asked(Suite.model_validate(entry)), workers=2)
    nameless = PlannedAttack(name="mine", kind=planned("fgsm").kind)
    with pytest.raises(RunError, match=r"attack mine: .*planned"):
        results(bundles, dataset, tmp_path, asked(attacks=(nameless,)), workers=2)
    with pytest.raises(RunError, match="only used with the engine ray"):
        results(bundles, dataset, tmp_path, asked("everyday"), address="there:6379")


def test_a_detector_that_fails_elsewhere_does_not_end_the_others(
    bundles: list[DetectorSource], dataset: Dataset, tmp_path: Path
) -> None:
    broken = tmp_path / "own.py"
    broken.write_text(
        "import os, torch\n"
        "class Network(torch.nn.Module):\n"
        "    def forward(self, images):\n"
        f"        if os.getpid() != {os.getpid()}:\n"
        "            raise ValueError('not here')\n"
        "        return images.mean((1, 2, 3))\n",
        "utf-8",
    )
    sources = [DetectorSource(path=f"{broken}:Network", contract=InputSpec()), bundles[0]]
    first, second = evaluate_detectors(
        sources, dataset, tmp_path / "out", asked("everyday"), workers=2
    )
    assert "not here" in first.error
    assert second.error == ""


def counting(name: str, steps: int) -> Course[list[str]]:
    """Asks so many times, two at once, what comes next."""
    found = []
    for number in range(steps):
        answers = yield from gather([Request({"say": f"{name}{number}{k}"}) for k in "ab"])
        found += [str(answer.content["said"]) for answer in answers]
    return found


def test_courses_go_abreast_and_keep_their_order() -> None:
    order = []

    def answer(request: Request) -> Answer:
        order.append(str(request.content["say"]))
        return Answer({"said": request.content["say"]}, {})

    courses = [counting("x", 2), counting("y", 0), counting("z", 1)]
    found = follow_here(abreast(courses), answer)
    assert found == [["x0a", "x0b", "x1a", "x1b"], [], ["z0a", "z0b"]]
    assert order == ["x0a", "x0b", "x1a", "x1b", "z0a", "z0b"]  # one is ended before the next


def test_a_request_without_an_answer_ends_its_course_with_the_reason() -> None:
    course = gather([Request({})])
    (request,) = next(course)
    with pytest.raises(RunError, match="it died"):
        course.send((request, WorkerError("it died")))
