"""Suites: the worst case of each image, after the file, however often a run is stopped."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import SIDE, Linear
from processes import Forked
from torch import Tensor, nn
from typer.testing import CliRunner

from trueshot.attacks import FGSM, PGD, Attack, as_filed, perturb
from trueshot.bundle import save_bundle
from trueshot.card import Card
from trueshot.channels import Jpeg
from trueshot.cli import app
from trueshot.datasets import Dataset, Photo, Settings, prepare
from trueshot.detector import Detector
from trueshot.engines.engine import follow_here
from trueshot.errors import RunError, TrueshotError
from trueshot.evaluation.detector_source import (
    DetectorSource,
    load_detector,
    name_of,
    sources_of,
    training_cost,
)
from trueshot.evaluation.doubt import Doubt
from trueshot.evaluation.evaluate import evaluate_suite
from trueshot.evaluation.external import InputSpec
from trueshot.evaluation.plan import DetectorUnderTest, EvaluationSettings
from trueshot.evaluation.planned_attacks import (
    THOROUGH,
    AdversaryCapabilities,
    Effort,
    l2_per_level,
    planned,
)
from trueshot.evaluation.result import EvaluationResult, load_result, save_result
from trueshot.evaluation.runner import evaluate_detectors
from trueshot.evaluation.suites import (
    Suite,
    load_suite,
    strong_threats,
    suite_named,
    without_gradient,
)
from trueshot.evaluation.tally import CLEAN, UNBROKEN
from trueshot.evaluation.worst_case import Evaluator, Step, Threat, ThreatResult, attack_group, work
from trueshot.evaluation.worst_case import worst_cases as course_of_worst_cases
from trueshot.files import Journal
from trueshot.networks import LCNN


class Corner(nn.Module):
    """The lower of two linear functions of blocks of 4×4 levels, as one logit beside 0.

    To raise it one has to climb both: one step is not enough.
    """

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        random = torch.Generator().manual_seed(seed)
        one, other = torch.randn(2, 3, SIDE // 4, SIDE // 4, generator=random)
        coarse = torch.stack([one, other - one])  # a step up the one leads down the other
        weight = coarse.repeat_interleave(4, 2).repeat_interleave(4, 3)
        self.weight = nn.Parameter(weight.flatten(1) / (3 * SIDE * SIDE))
        self.bias = nn.Parameter(torch.zeros(2))
        self.register_buffer("middle", torch.zeros(2))

    def forward(self, images: Tensor) -> Tensor:
        lower = (images.flatten(1) @ self.weight.T - self.middle).amin(1) + self.bias[1]
        return torch.stack([torch.zeros_like(lower), lower], 1)


def corner(dataset: Dataset) -> Detector:
    """A detector that more steps and more levels break bit by bit."""
    network = Corner()
    images, _ = dataset.part(SIDE, "test").batch(slice(None))
    network.middle = (images.flatten(1) @ network.weight.detach().T).median(0).values
    return halved(Detector(network), dataset)


def linear(dataset: Dataset) -> Detector:
    return halved(Detector(Linear(side=SIDE, scale=0.001)), dataset)


def halved(detector: Detector, dataset: Dataset) -> Detector:
    """Its bias moved, so that half of the test crops are recaptures to it."""
    images, _ = dataset.part(SIDE, "test").batch(slice(None))
    with torch.no_grad():
        logits = detector(images)
        detector.network.bias[1] -= (logits[:, 1] - logits[:, 0]).median()
    return detector


def hearing_of(detector: Detector, dataset: Dataset, **settings: Any) -> Evaluator:
    return Evaluator(detector=detector, part=dataset.part(SIDE, "test"), **settings)


WEAK_STEP = Step(name="weak", make=lambda b: FGSM(budget=b - 1))
FGSM_STEP = Step(name="fgsm", make=lambda b: FGSM(budget=b))
PGD_STEP = Step(name="pgd", make=lambda b: PGD(budget=b, steps=8, relative_step=0.2))


def threat_of(*steps: Step, budgets: tuple[float, ...] = (1.0, 2.0, 4.0), **more: Any) -> Threat:
    return Threat(name="linf", steps=steps, budgets=budgets, **more)


def worst_cases(
    evaluator: Evaluator,
    threat: Threat,
    journal: Journal | None = None,
    advance: Callable[[int, str], None] = lambda steps, note: None,
) -> ThreatResult:
    course = course_of_worst_cases(evaluator, threat, journal or Journal(), advance)
    return follow_here(course, lambda request: attack_group(evaluator, threat, request.content))


def timeless(finding: ThreatResult) -> ThreatResult:
    return replace(finding, trials=tuple(replace(trial, seconds=0) for trial in finding.trials))


def test_the_worst_case_of_a_linear_detector_is_its_margin_against_the_norm_of_its_weights(
    dataset: Dataset,
) -> None:
    detector = linear(dataset)
    evaluator = hearing_of(detector, dataset)
    images, labels = evaluator.part.batch(slice(None))
    weight = detector.network.weight[1] - detector.network.weight[0]
    with torch.no_grad():
        logits = detector(images)
    towards = (weight * (1 - 2 * labels)[:, None]).reshape(images.shape).sign()
    finding = worst_cases(evaluator, threat_of(FGSM_STEP, PGD_STEP))
    assert len({sum(case.right) for case in finding.worst}) > 2
    for case in finding.worst:
        # Each level as far in its direction as the budget and 0 to 255 allow.
        room = torch.where(towards > 0, 255 - images, images).clamp(max=case.budget)
        loss = (room * weight.abs().reshape(images.shape[1:])).sum((1, 2, 3))
        unbroken = (logits[:, 1] - logits[:, 0]) * (2 * labels - 1) > loss
        expected = [int((unbroken & (labels == c)).sum()) for c in (0, 1)]
        assert list(case.right) == list(case.right_before_file) == expected
        assert [name == UNBROKEN for name in case.broken_by] == unbroken.tolist()


def test_the_cascade_breaks_what_its_attacks_break_one_by_one(dataset: Dataset) -> None:
    detector = corner(dataset)
    steps = [FGSM_STEP, PGD_STEP, Step(name="weak", make=lambda b: PGD(budget=b, steps=1))]
    finding = worst_cases(hearing_of(detector, dataset), threat_of(*steps))
    images, labels = dataset.part(SIDE, "test").batch(slice(None))
    unbroken = detector.probabilities(images).argmax(1) == labels
    assert [name == UNBROKEN for name in finding.worst[0].broken_by] == unbroken.tolist()
    for case in finding.worst[1:]:
        for step in steps:
            attack = step.make(case.budget)
            filed = as_filed(attack, images, perturb(attack, detector, images, labels))
            unbroken &= detector.probabilities(filed).argmax(1) == labels
        assert [name == UNBROKEN for name in case.broken_by] == unbroken.tolist()
        assert sum(case.right) == int(unbroken.sum())
    rights = [sum(case.right) for case in finding.worst]
    assert rights == sorted(rights, reverse=True)
    assert 0 < rights[-1] < rights[0] < len(labels)


def test_only_survivors_go_on_unless_an_attack_is_tried_on_all(dataset: Dataset) -> None:
    on_all = replace(FGSM_STEP, on="right")
    finding = worst_cases(hearing_of(corner(dataset), dataset), threat_of(on_all, PGD_STEP))
    clean, first, second, _ = finding.worst
    fgsm, pgd, fgsm_again, pgd_again = finding.trials[:4]
    assert fgsm.tried == fgsm_again.tried == clean.right
    assert sum(pgd.tried) == sum(clean.right) - sum(fgsm.broken)
    assert sum(first.right) == sum(pgd.tried) - sum(pgd.broken)
    assert sum(pgd_again.tried) - sum(pgd_again.broken) == sum(second.right)
    assert sum(pgd_again.tried) < sum(first.right)


def test_the_size_of_the_batch_does_not_change_a_worst_case(dataset: Dataset) -> None:
    threat = threat_of(FGSM_STEP, PGD_STEP)
    found = [
        timeless(worst_cases(hearing_of(corner(dataset), dataset, batch=batch), threat))
        for batch in (5, 64)
    ]
    assert found[0].worst == found[1].worst
    for one, other in zip(found[0].trials, found[1].trials, strict=True):
        assert (one.broken, one.tried, one.calls) == (other.broken, other.tried, other.calls)
        assert one.psnr == pytest.approx(other.psnr, abs=1e-3)


def test_each_image_keeps_the_name_of_the_first_attack_that_broke_it(dataset: Dataset) -> None:
    finding = worst_cases(hearing_of(corner(dataset), dataset), threat_of(WEAK_STEP, FGSM_STEP))
    before = finding.worst[0].broken_by
    assert set(before) == {UNBROKEN, CLEAN}
    for case in finding.worst[1:]:
        assert len(case.broken_by) == sum(case.total)
        for old, new in zip(before, case.broken_by, strict=True):
            assert new in ((old,) if old != UNBROKEN else (UNBROKEN, "weak", "fgsm"))
        before = case.broken_by
    assert {"weak", "fgsm"} <= set(before)


def test_half_a_level_breaks_in_memory_and_nothing_in_a_file(dataset: Dataset) -> None:
    threat = threat_of(FGSM_STEP, budgets=(0.75,))
    clean, attacked = worst_cases(hearing_of(linear(dataset), dataset), threat).worst
    assert attacked.right == clean.right
    assert sum(attacked.right_before_file) < sum(clean.right)


def calm(images: Tensor) -> Tensor:
    """A channel that takes small changes away: multiples of 32."""
    return (images / 32).round() * 32


def test_what_a_channel_takes_away_counts_for_nothing(dataset: Dataset) -> None:
    evaluator = hearing_of(corner(dataset), dataset)
    threat = Threat(name="calm", steps=(PGD_STEP,), budgets=(1.0, 4.0), channel=calm)
    finding = worst_cases(evaluator, threat)
    images, labels = evaluator.part.batch(slice(None))
    unbroken = evaluator.detector.probabilities(calm(images)).argmax(1) == labels
    assert finding.worst[0].right == evaluator.per_class(unbroken.numpy())
    in_memory = evaluator.detector.probabilities(images).argmax(1) == labels
    assert finding.worst[0].right_before_file == evaluator.per_class(in_memory.numpy())
    for case in finding.worst[1:]:
        attack = PGD_STEP.make(case.budget)
        arrived = calm(perturb(attack, evaluator.detector, images, labels))
        unbroken &= evaluator.detector.probabilities(arrived).argmax(1) == labels
        assert case.right == evaluator.per_class(unbroken.numpy())
        assert case.right_before_file != case.right


def test_the_curve_goes_on_until_little_is_left(dataset: Dataset) -> None:
    far = replace(FGSM_STEP, far=True)
    threat = threat_of(
        far, PGD_STEP, budgets=(1.0,), far_budgets=(4.0, 8.0, 16.0, 32.0, 64.0, 128.0)
    )
    advanced: list[int] = []
    evaluator = hearing_of(linear(dataset), dataset)
    finding = worst_cases(evaluator, threat, advance=lambda n, _: advanced.append(n))
    *before, last = finding.worst
    assert last.accuracy <= 0.05 < before[-1].accuracy
    assert 1.0 < last.budget < 128.0
    assert [trial.attack for trial in finding.trials if trial.budget > 1] == ["fgsm"] * (
        len(finding.worst) - 2
    )
    assert sum(advanced) == work(evaluator, threat)


@pytest.mark.parametrize("budgets", [(0.0, 1.0), (2.0, 1.0), (1.0, 1.0)])
def test_budgets_that_do_not_rise_are_refused(budgets: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="must be above 0 and increase"):
        threat_of(FGSM_STEP, budgets=budgets)


def stopping(after: int, calls: list[float]) -> Callable[[float], Attack]:
    """FGSM that is interrupted at its call of this number."""

    @dataclass(frozen=True, kw_only=True)
    class Stopped:
        budget: float

        def __call__(self, detector: Detector, images: Tensor, labels: Tensor) -> Tensor:
            calls.append(self.budget)
            if len(calls) == after:
                raise KeyboardInterrupt
            return FGSM(budget=self.budget)(detector, images, labels)

    return lambda budget: Stopped(budget=budget)


def test_an_interrupted_cascade_goes_on_and_ends_the_same(dataset: Dataset, tmp_path: Path) -> None:
    evaluator, calls = hearing_of(corner(dataset), dataset), []
    path = tmp_path / "journal.jsonl"
    threat = threat_of(Step(name="stop", make=stopping(2, calls)), PGD_STEP)
    with pytest.raises(KeyboardInterrupt):
        worst_cases(evaluator, threat, Journal(path=path, key=("a",)))
    path.write_bytes(path.read_bytes() + b'{"key": ["a"], "trial": {"thr')  # cut by a crash
    found = worst_cases(evaluator, threat, Journal(path=path, key=("a",)))
    assert calls == [1.0, 2.0, 2.0, 4.0]
    assert timeless(found) == timeless(worst_cases(evaluator, threat, Journal()))
    assert worst_cases(evaluator, threat, Journal(path=path, key=("a",))) == found
    assert len(calls) == 7
    worst_cases(evaluator, threat, Journal(path=path, key=("b",)))
    assert len(calls) == 10


def test_a_trial_on_other_survivors_is_not_taken_from_the_journal(
    dataset: Dataset, tmp_path: Path
) -> None:
    evaluator, path = hearing_of(corner(dataset), dataset), tmp_path / "journal.jsonl"
    worst_cases(evaluator, threat_of(PGD_STEP), Journal(path=path))
    found = worst_cases(evaluator, threat_of(FGSM_STEP, PGD_STEP), Journal(path=path))
    expected = worst_cases(evaluator, threat_of(FGSM_STEP, PGD_STEP))
    assert timeless(found) == timeless(expected)


def test_a_cascade_leaves_no_gradient_mode_or_random_number_behind(dataset: Dataset) -> None:
    detector = corner(dataset).train()
    before = {name: value.clone() for name, value in detector.state_dict().items()}
    state = torch.get_rng_state()
    worst_cases(hearing_of(detector, dataset), threat_of(FGSM_STEP, PGD_STEP))
    assert detector.training
    assert all(p.grad is None and p.requires_grad for p in detector.parameters())
    assert torch.equal(torch.get_rng_state(), state)
    for name, value in detector.state_dict().items():
        assert torch.equal(value, before[name])


class Nothing(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        return images.flatten(1)[:, :2] * float("nan")


def test_a_detector_that_says_no_numbers_is_refused(dataset: Dataset) -> None:
    with pytest.raises(RunError, match="logits that are not finite"):
        worst_cases(hearing_of(Detector(Nothing()), dataset), threat_of(FGSM_STEP))


LITTLE = Effort(
    noise=2, pgd=2, apgd=3, again=2, restarts=1, restarted=2, fab=2, fab_l2=2, square=8, rays=8,
    always_ask=True, through=2, boundary=40,
)  # fmt: skip


def lcnn(dataset: Dataset, seed: int = 2) -> Detector:
    """A small LCNN, with random weights that happen to judge nearly all crops rightly."""
    torch.manual_seed(seed)
    detector = Detector(LCNN(filters=(2, 2, 4, 4, 4))).eval()
    images, _ = dataset.part(SIDE, "test").batch(slice(None))
    with torch.no_grad():
        logits = detector(images)
        detector.network.classifier.bias[1] -= (logits[:, 1] - logits[:, 0]).median()
    return detector


def candidate_of(detector: Detector, **settings: Any) -> DetectorUnderTest:
    known: dict[str, Any] = {"name": "mine", "bundle_sha256": "abc", "recipe": {"name": "mine"}}
    return DetectorUnderTest(detector=detector, side=SIDE, **known, **settings)


def settings(suite: str | Suite = "strong", **settings: Any) -> EvaluationSettings:
    given = {"budgets": (1.0, 2.0), "crops": 8, "effort": LITTLE, "doubts": False, **settings}
    return EvaluationSettings(suite=suite, **given)


def without_time(result: EvaluationResult) -> EvaluationResult:
    return replace(result, trials=tuple(replace(t, seconds=0) for t in result.trials))


@pytest.mark.parametrize("suite", ["strong", "file", "everyday"])
def test_a_suite_comes_back_from_its_file_and_goes_on_from_its_journal(
    suite: str, dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    candidate = candidate_of(lcnn(dataset))
    result = evaluate_suite(candidate, dataset, settings(suite), tmp_path, "name")
    save_result(tmp_path / "name.json", result)
    assert load_result(tmp_path / "name.json") == result
    written = json.loads((tmp_path / "name.json").read_text("utf-8"))
    for item in (*written["worst"], *written["changes"]):
        assert item["accuracy"] == sum(item["right"]) / 16
        assert item["interval95"][0] <= item["accuracy"] <= item["interval95"][1]
    monkeypatch.setattr("trueshot.evaluation.worst_case.perturb", None)  # nothing is done again
    assert evaluate_suite(candidate, dataset, settings(suite), tmp_path, "name") == result


def test_the_strong_suite_is_in_the_order_of_cost_and_measures_in_both_norms(
    dataset: Dataset,
) -> None:
    result = evaluate_suite(candidate_of(corner(dataset)), dataset, settings())
    assert result.threats == ["linf", "l2"]
    linf = [trial.attack for trial in result.trials if (trial.threat, trial.budget) == ("linf", 1)]
    assert linf == [
        "noise", "fgsm", "llcm", "pgd", "apgd-margin", "apgd-ce", "pgd-restarts", "fab", "square",
        "rays",
    ]  # fmt: skip
    scale = (3 * SIDE * SIDE) ** 0.5 / 4
    assert [case.budget for case in result.curve("l2")] == pytest.approx([0, scale, 2 * scale])
    assert result.per_epsilon == {"linf": 1.0, "l2": pytest.approx(scale)}
    curve = result.curve("linf")
    assert [case.budget for case in curve][:4] == [0, 1, 2, 8]
    assert curve[-1].accuracy <= 0.05
    assert 0 < result.boundary["linf"] < result.boundary["l2"]  # type: ignore[operator]
    for trial in result.trials:
        asking = trial.attack in ("noise", "noise-l2", "square", "rays")
        assert (trial.calls[0] > 0, trial.calls[1] > 0) == (True, not asking)


def test_a_suite_of_the_same_seed_ends_the_same_and_of_another_draws_otherwise(
    dataset: Dataset,
) -> None:
    candidate = candidate_of(corner(dataset))
    first, again, other = (
        without_time(evaluate_suite(candidate, dataset, settings(seed=seed))) for seed in (3, 3, 4)
    )
    assert first == again
    noise = [[t.ssim for t in r.trials if t.attack == "noise"] for r in (first, other)]
    assert noise[0] != noise[1]


def test_the_everyday_suite_counts_at_the_frozen_threshold(dataset: Dataset) -> None:
    class Bright(nn.Module):
        """Takes what is brighter than 128 for a recapture."""

        def forward(self, images: Tensor) -> Tensor:
            above = images.mean((1, 2, 3)) - 128
            return torch.stack([-above, above], 1)

    result = evaluate_suite(
        candidate_of(Detector(Bright())), dataset, settings("everyday", crops=None)
    )
    images, labels = dataset.part(SIDE, "test").batch(slice(None))
    changes = {change.name: change for change in result.changes}
    brighter = next(
        c for c in result.changes if "Brightened" in c.settings and "-" not in c.settings
    )
    for change, more in ((changes["none"], 0), (brighter, 20)):
        verdicts = ((images + more).clamp(0, 255).mean((1, 2, 3)) > 128).long()
        expected = [int(((verdicts == c) & (labels == c)).sum()) for c in (0, 1)]
        assert list(change.right) == expected
        assert sum(change.total) == len(labels)
    assert result.auc == changes["none"].auc
    assert result.worst == ()


def test_the_file_suite_tells_the_directions_apart_and_judges_what_arrives(
    dataset: Dataset,
) -> None:
    result = evaluate_suite(candidate_of(lcnn(dataset)), dataset, settings("file"))
    assert result.threats[0] == "png"
    assert {"jpeg-75", "messenger"} <= set(result.threats)
    clean = result.worst_case("png", 0.0)
    changes = evaluate_suite(candidate_of(lcnn(dataset)), dataset, settings("everyday")).changes
    after = {change.name: change.right for change in changes}
    assert clean.right == after["none"]
    assert result.worst_case("jpeg-75", 0.0).right == after["jpeg-75"]
    assert clean.total == (8, 8)
    assert {t.attack for t in result.trials if t.threat == "jpeg-75"} >= {"fgsm", "pgd"}


def test_an_attack_without_a_gradient_is_left_out_and_the_result_says_so(dataset: Dataset) -> None:
    result = evaluate_suite(candidate_of(lcnn(dataset), differentiable=False), dataset, settings())
    assert {trial.attack for trial in result.trials} == {"noise", "square", "rays"}
    assert result.threats == ["linf"]
    (note,) = result.notes
    assert "left out: fgsm" in note
    assert "apgd-margin" in note
    assert result.boundary == {}
    assert without_gradient("strong", AdversaryCapabilities()) == []


class Restless(nn.Module):
    """Linear, with noise at the input."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = Linear(side=SIDE, scale=0.001)
        self.bias = self.inner.bias

    def forward(self, images: Tensor) -> Tensor:
        return self.inner(images + 20 * torch.randn_like(images))


def test_a_random_detector_is_noticed_attacked_on_the_mean_and_judged_alike_every_time(
    dataset: Dataset,
) -> None:
    judge = halved(Detector(Restless()), dataset)
    found = [
        without_time(evaluate_suite(candidate_of(judge), dataset, settings(budgets=(1.0,))))
        for _ in range(2)
    ]
    assert found[0] == found[1]
    assert "random" in found[0].notes[0]
    assert "mean of many" in found[0].notes[0]
    assert "pgd-mean" in {trial.attack for trial in found[0].trials}
    asked = settings("file", budgets=(1.0,), threats=("png",))
    assert evaluate_suite(candidate_of(judge), dataset, asked).notes == (
        "This detector draws random numbers: every verdict is one draw, of one fixed seed.",
    )


def test_a_trial_through_another_channel_is_not_taken_from_the_journal(
    dataset: Dataset, tmp_path: Path
) -> None:
    evaluator = hearing_of(corner(dataset), dataset)
    for quality in (95, 10, 95):
        threat = threat_of(replace(FGSM_STEP, on="all"), channel=Jpeg(quality=quality))
        found = worst_cases(evaluator, threat, Journal(tmp_path / "trials.jsonl", {}))
        assert timeless(found) == timeless(worst_cases(evaluator, threat))
    assert len((tmp_path / "trials.jsonl").read_text().splitlines()) == 1 + 2 * len(found.trials)


def test_another_detector_lends_its_attacks(dataset: Dataset) -> None:
    victim, other = corner(dataset), lcnn(dataset)
    asked = settings(transfer=replace(candidate_of(other), name="other", bundle_sha256=""))
    trials = evaluate_suite(candidate_of(victim), dataset, asked).trials
    lent = [trial for trial in trials if trial.attack == "transfer"]
    assert lent
    assert all("other" in trial.settings for trial in lent)
    same = settings(transfer=candidate_of(victim))
    own = evaluate_suite(candidate_of(victim), dataset, same).trials
    assert sum(sum(t.broken) for t in own if t.attack == "transfer") > 0


def test_examples_are_files_whose_verdicts_are_those_told(dataset: Dataset, tmp_path: Path) -> None:
    detector = corner(dataset)
    result = evaluate_suite(candidate_of(detector), dataset, settings(crops=None), tmp_path, "name")
    from trueshot.images import read_image
    from trueshot.pixels import to_levels

    shown = [(one["true"], one["fate"]) for one in result.examples]
    assert set(shown) == {
        (t, f) for t in ("original", "recaptured") for f in ("broken", "survived")
    }
    for one in result.examples:
        clean, attacked = (
            to_levels(read_image(tmp_path / one[name]["file"]).pixels)
            for name in ("clean", "attacked")
        )
        assert 0 < (clean - attacked).abs().max() <= one["budget"]
        for name, image in (("clean", clean), ("attacked", attacked)):
            probabilities = detector.probabilities(image)[0]
            assert one[name]["probability"] == pytest.approx(float(probabilities.max()), abs=1e-5)
            predicted = ("original", "recaptured")[int(probabilities.argmax())]
            assert one[name]["predicted"] == predicted
        assert one["clean"]["predicted"] == one["true"]
        assert (one["attacked"]["predicted"] == one["true"]) == (one["fate"] == "survived")
        assert one["after"][0] == {
            "channel": "png",
            **{key: one["attacked"][key] for key in ("predicted", "probability")},
        }
        noise = to_levels(read_image(tmp_path / one["noise"]["file"]).pixels)
        shown = (128 + one["noise"]["magnified"] * (attacked - clean)).clamp(0, 255).round()
        assert torch.equal(noise, shown)
        assert (tmp_path / one["residual"]["file"]).is_file()


def test_doubts_are_looked_for_once_and_each_is_told_once(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[int, object]] = []

    def investigate(detector: Detector, images: Tensor, labels: Tensor, **more: Any) -> Any:
        asked.append((len(images), more["budgets"]))
        return (Doubt(name="a", finding="of the detector", evidence={"share": 0.5}),)

    def doubts_of(result: EvaluationResult) -> Any:
        assert result.worst
        return (Doubt(name="a", finding="of the figures"), Doubt(name="b", finding="more"))

    monkeypatch.setattr("trueshot.evaluation.doubts.investigate", investigate)
    monkeypatch.setattr("trueshot.evaluation.doubts.doubts_of", doubts_of)
    candidate = candidate_of(corner(dataset))
    for _ in range(2):
        result = evaluate_suite(candidate, dataset, settings(doubts=True), tmp_path, "name")
        found = [(doubt.name, doubt.finding) for doubt in result.doubts]
        assert found == [("a", "of the detector"), ("b", "more")]
    assert asked == [(16, (1.0, 2.0))]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"suite": "magic"}, "magic"),
        ({"budgets": (0.0, 1.0)}, "budgets"),
        ({"budgets": (2.0, 1.0)}, "budgets"),
        ({"budgets": ()}, "budgets"),
        ({"budgets": (300.0,)}, "budgets"),
    ],
)
def test_terms_that_make_no_sense_are_refused(
    changed: dict[str, Any], message: str, dataset: Dataset
) -> None:
    with pytest.raises(RunError, match=message):
        evaluate_suite(candidate_of(lcnn(dataset)), dataset, settings(**changed))


def test_the_far_budgets_begin_beyond_those_asked_for() -> None:
    linf, l2 = strong_threats(AdversaryCapabilities(budgets=(1.0, 16.0)))
    assert linf.far_budgets == (32.0, 64.0, 128.0)
    assert l2.budgets == (l2_per_level(64), 16 * l2_per_level(64))


def write_bundle(folder: Path, dataset: Dataset, seed: int = 2, side: int = SIDE) -> Path:
    folder.mkdir(parents=True)
    card = Card(network={"name": "lcnn", "filters": [2, 2, 4, 4, 4]}, side=side)
    save_bundle(folder / "detector.safetensors", lcnn(dataset, seed), card)
    return folder / "detector.safetensors"


def test_a_bundle_that_fails_does_not_end_the_others(dataset: Dataset, tmp_path: Path) -> None:
    bundles = [write_bundle(tmp_path / name, dataset) for name in ("a", "c")]
    (tmp_path / "b").mkdir()
    damaged = tmp_path / "b" / "detector.safetensors"
    damaged.write_bytes(bundles[0].read_bytes()[:-9])
    sources = [DetectorSource(path=str(path)) for path in (bundles[0], damaged, bundles[1])]
    asked = settings("everyday", crops=3)
    first, second, third = evaluate_detectors(sources, dataset, tmp_path / "out", asked)
    assert (first.error, third.error) == ("", "")
    assert "damaged" in second.error
    assert [first.path.name, third.path.name] == [  # type: ignore[union-attr]
        f"everyday-{name}-{SIDE}px.json" for name in "ac"
    ]
    assert load_result(third.path).detector == "c"  # type: ignore[arg-type]
    assert second.lines() == [f"b: {second.error}"]
    with pytest.raises(TrueshotError, match="damaged"):
        list(evaluate_detectors(sources[1:2], dataset, tmp_path / "out", asked))


def test_names_are_unlike_each_other_and_fit_for_files(dataset: Dataset, tmp_path: Path) -> None:
    bundles = [write_bundle(tmp_path / way, dataset) for way in ("64px/secure", "128px/secure")]
    asked = settings("paper", crops=2)
    sources = sources_of(bundles, [], [], InputSpec())
    found = [one.path.name for one in evaluate_detectors(sources, dataset, tmp_path / "out", asked)]  # type: ignore[union-attr]
    assert found == [f"paper-{way}-secure-{SIDE}px.json" for way in ("64px", "128px")]
    assert name_of(DetectorSource(path="accurate")) == "accurate"
    sources = sources_of(bundles, [], ["a b/c", "a b/c"], InputSpec())
    found = [one.path.name for one in evaluate_detectors(sources, dataset, tmp_path / "out", asked)]  # type: ignore[union-attr]
    assert found == [f"paper-a-b-c-{SIDE}px.json", f"paper-a-b-c-2-{SIDE}px.json"]
    with pytest.raises(RunError, match="3 names for 2"):
        sources_of(bundles, [], ["a", "b", "c"], InputSpec())
    with pytest.raises(RunError, match="--detector"):
        sources_of([], [], [], InputSpec())


def test_the_cost_of_training_is_read_from_the_log_beside_the_bundle(tmp_path: Path) -> None:
    log = [{"step": 100, "images_per_second": 50.0}, {"step": 300, "images_per_second": 200.0}]
    lines = "".join(json.dumps(line) + "\n" for line in log)
    (tmp_path / "log.jsonl").write_text(lines + '{"st')
    recipe = {"schedule": {"batch": 10}}
    assert training_cost(tmp_path / "detector.safetensors", recipe) == {
        "iterations": 300.0,
        "seconds": 15.0,  # 3,000 images; a rate is that of all steps so far
        "images_per_second": 200.0,
    }
    assert training_cost(tmp_path / "detector.safetensors", None) == {}
    assert training_cost(tmp_path / "elsewhere" / "detector.safetensors", recipe) == {}


def test_a_log_in_the_current_folder_is_not_that_of_a_shipped_detector(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "log.jsonl").write_text('{"step": 100, "images_per_second": 50.0}\n')
    monkeypatch.chdir(tmp_path)
    shipped = load_detector(DetectorSource(path="lcnn", name="lcnn"), dataset, None)
    assert shipped.recipe is not None
    assert shipped.cost == {}


def test_a_detector_of_other_classes_is_refused_though_they_are_as_many(
    dataset: Dataset, tmp_path: Path
) -> None:
    network = {"name": "lcnn", "filters": [2, 2, 4, 4, 4]}
    card = Card(network=network, classes=("original", "median-filtered"), side=SIDE)
    save_bundle(tmp_path / "median.safetensors", card.new_detector().eval(), card)
    line = ["evaluate", str(tmp_path / "median.safetensors"), "--dataset", str(dataset.folder)]
    done = CliRunner().invoke(app, [*line, "--out", str(tmp_path / "out")])
    assert isinstance(done.exception, TrueshotError)
    assert "has the classes original, median-filtered, but" in str(done.exception)
    assert str(done.exception).endswith(" has original, recaptured")


def test_many_crops_judge_an_image_together(
    photos: list[Photo], dataset: Dataset, tmp_path: Path
) -> None:
    data = prepare(photos, tmp_path / "d", Settings(sides=(64,), per_class=20))
    bundle = write_bundle(tmp_path / "mine", dataset)
    sources = sources_of([bundle], [], [], InputSpec(), crop_aggregation="median")
    asked = settings("everyday", crops=4)
    (one,) = evaluate_detectors(sources, data, tmp_path / "out", asked, sides=[64])
    assert one.path.name == "everyday-mine-median-of-32px-64px.json"  # type: ignore[union-attr]
    images, labels = data.part(64, "test").drawn(4).batch(slice(None))
    tiles = [images[:, :, y : y + 32, x : x + 32] for y in (0, 32) for x in (0, 32)]
    with torch.no_grad():
        logits = torch.stack([lcnn(dataset)(tile) for tile in tiles])
    middle = (logits[:, :, 1] - logits[:, :, 0]).sort(0).values[1:3].mean(0)
    right = [int((((middle > 0) == c) & (labels == c)).sum()) for c in (0, 1)]
    assert isinstance(one.result, EvaluationResult)
    assert list(one.result.changes[0].right) == right
    assert one.result.crop_side == 32
    with pytest.raises(RunError, match="--size"):
        list(evaluate_detectors(sources, data, tmp_path / "out", asked))


def test_the_command_line_judges_bundles_and_outside_detectors_and_tells_what_failed(
    dataset: Dataset, tmp_path: Path
) -> None:
    bundle = write_bundle(tmp_path / "mine", dataset)
    (tmp_path / "theirs.py").write_text(
        "import torch\nfrom torch import nn\n"
        "class Predictor(nn.Module):\n"
        "    def forward(self, images):\n"
        "        return images.mean((1, 2, 3)) - 0.5\n"
    )
    out = tmp_path / "out"
    arguments = [
        "evaluate", bundle, tmp_path / "none.safetensors", "--dataset", dataset.folder,
        "--suite", "everyday", "--crops", 4, "--out", out, "--no-doubts",
        "--detector", f"{tmp_path}/theirs.py:Predictor", "--input-scale", 255, "--name", "mine",
        "--name", "none", "--name", "theirs",
    ]  # fmt: skip
    done = Forked("trueshot", *arguments)
    assert done.wait() == 2, done.stderr
    assert f"result: {out}/everyday-mine-{SIDE}px.json" in done.stdout
    assert f"result: {out}/everyday-theirs-{SIDE}px.json" in done.stdout
    assert any(
        line.startswith("none: ") and "no such file" in line for line in done.stderr.splitlines()
    )
    assert "Traceback" not in done.stderr
    theirs = load_result(out / f"everyday-theirs-{SIDE}px.json")
    images, labels = dataset.part(SIDE, "test").drawn(4).batch(slice(None))
    verdicts = (images.mean((1, 2, 3)) > 127.5).long()
    expected = [int(((verdicts == c) & (labels == c)).sum()) for c in (0, 1)]
    assert list(theirs.changes[0].right) == expected


def test_what_broke_next_to_nothing_is_left_to_the_thorough_suite() -> None:
    quick, _ = strong_threats(AdversaryCapabilities())
    thorough, _ = strong_threats(AdversaryCapabilities(effort=THOROUGH))
    added = {step.name for step in thorough.steps} - {step.name for step in quick.steps}
    assert added == {"pgd-restarts", "fab", "square", "rays"}
    assert [step.name for step in quick.steps][-2:] == ["apgd-margin", "apgd-ce"]
    (blind,) = strong_threats(AdversaryCapabilities(differentiable=False))
    assert [step.name for step in blind.steps] == ["noise", "square", "rays"]


def test_every_suite_goes_on_to_its_budgets_and_a_file_names_one(tmp_path: Path) -> None:
    assert suite_named("strong") == "strong"
    with pytest.raises(RunError, match="photograph, or give a YAML file"):
        suite_named("magic")
    (tmp_path / "mine.yaml").write_text("threats: [{attacks: [fgsm]}]")
    suite = suite_named(str(tmp_path / "mine.yaml"))
    assert not isinstance(suite, str)
    assert suite.name == "mine"


def test_a_threat_may_be_chosen_and_its_figures_are_those_of_the_whole_suite(
    dataset: Dataset,
) -> None:
    candidate = candidate_of(corner(dataset))
    whole = evaluate_suite(candidate, dataset, settings())
    alone = evaluate_suite(candidate, dataset, settings(threats=("l2",)))
    assert alone.threats == ["l2"]
    assert alone.worst == tuple(case for case in whole.worst if case.threat == "l2")
    with pytest.raises(RunError, match=r"unknown threat 'jpeg-3'; choose from linf, l2"):
        evaluate_suite(candidate, dataset, settings(threats=("jpeg-3",)))


SUITE = """
name: mine
threats:
  - norm: linf
    budgets: [1, 4]
    attacks:
      - {attack: fgsm, images: right}
      - {attack: pgd, name: long, settings: {steps: 12, seed: 3, random_start: true}}
      - {attack: shift.py:Shift, images: all, settings: {share: 1.0}}
  - norm: l2
    attacks: [pgd]
  - channel: jpeg-75
    budgets: [2]
    attacks: [{attack: pgd, through: true, settings: {steps: 2}}]
"""
SHIFT = """
from dataclasses import dataclass
import helper

@dataclass(frozen=True, kw_only=True)
class Shift:
    budget: float
    share: float = 0.5

    def __call__(self, detector, images, labels):
        return (images + helper.SIGN * self.share * self.budget).clamp(0, 255)
"""


def shifting(folder: Path, sign: int) -> Path:
    folder.mkdir()
    (folder / "shift.py").write_text(SHIFT)
    (folder / "helper.py").write_text(f"SIGN = {sign}")
    return folder / "shift.py"


def test_a_suite_in_a_file_runs_its_attacks_and_those_of_ones_own(
    dataset: Dataset, tmp_path: Path
) -> None:
    folder = shifting(tmp_path / "suite", 1).parent
    (folder / "mine.yaml").write_text(SUITE)
    tested = candidate_of(corner(dataset))
    suite = load_suite(folder / "mine.yaml")
    result = evaluate_suite(tested, dataset, settings(suite, crops=None, seed=4))
    assert result.suite == "mine"
    assert result.threats == ["linf", "l2", "jpeg-75"]
    linf = [t for t in result.trials if t.threat == "linf"]
    assert [(t.attack, t.budget) for t in linf] == [
        (name, budget) for budget in (1, 4) for name in ("fgsm", "long", "Shift")
    ]
    assert "steps=12" in linf[1].settings
    assert "seed=7" in linf[1].settings
    scale = l2_per_level(SIDE)
    assert [c.budget for c in result.curve("l2")] == pytest.approx([0, scale, 2 * scale])
    images, labels = dataset.part(SIDE, "test").batch(slice(None))
    with torch.no_grad():
        wrong = tested.detector((images + 4).clamp(0, 255)).argmax(1) != labels
    assert result.trial("Shift", 4.0).was_broken.tolist() == wrong.tolist()
    assert result.single("Shift", 4.0).right == tuple(
        int((~wrong & (labels == c)).sum()) for c in (0, 1)
    )
    assert "shift.py" in result.trial("Shift", 4.0).settings
    assert result.files == {"suite": "mine.yaml"}


@pytest.mark.parametrize(
    "wrapped", [{"target": 1}, {"through": True}, {"target": 1, "through": True}], ids=repr
)
def test_the_seed_of_a_run_reaches_attacks_that_a_suite_wraps(wrapped: dict[str, Any]) -> None:
    entry = {"attack": "apgd", "settings": {"seed": 3}, **wrapped}
    threat = {"channel": "jpeg-75", "attacks": [entry]}
    suite = Suite.model_validate({"name": "mine", "threats": [threat]})
    ((step,),) = (each.steps for each in suite.built(AdversaryCapabilities(seed=4)))
    assert "seed=7" in repr(step.make(1.0))


def test_two_files_of_one_name_with_helpers_of_one_name_are_two_attacks(tmp_path: Path) -> None:
    images = torch.full((1, 3, 4, 4), 100.0)
    for folder, sign in (("a", 1), ("b", -1)):
        attack = planned(f"{shifting(tmp_path / folder, sign)}:Shift").step().make(2.0)
        moved = attack(None, images, None) - images  # type: ignore[arg-type]
        assert float(moved.mean()) == sign
    assert "shift" not in sys.modules
    assert "helper" not in sys.modules


def test_an_attack_whose_code_changed_is_tried_again(dataset: Dataset, tmp_path: Path) -> None:
    path = shifting(tmp_path / "mine", 1)
    tested = candidate_of(corner(dataset))
    journal, found = tmp_path / "out", []
    for code in (SHIFT, SHIFT.replace("+ helper", "- helper")):
        path.write_text(code)
        asked = settings("paper", attacks=(planned(f"{path}:Shift"),))
        found.append(evaluate_suite(tested, dataset, asked, journal, "name").trials)
    assert [t.settings for t in found[0]] != [t.settings for t in found[1]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- 1", "mapping"),
        ("threats: [{attacks: [magic]}]", "unknown attack 'magic'; choose from noise, fgsm"),
        (
            "threats: [{attacks: [fgsm], channel: pigeon}]",
            "unknown channel 'pigeon'; choose from png",
        ),
        ("threats: [{attacks: [{attack: pgd, settings: {stps: 3}}]}]", "stps"),
        ("threats: [{attacks: [{attack: pgd, settings: {budget: 3}}]}]", "budget"),
        ("threats: [{attacks: [fgsm], budgets: [2, 1]}]", "must be above 0 and increase"),
        ("threats: [{attack: fgsm}]", r"threats\.0\.attacks: Field required"),
        ("threats: [{attacks: ['none.py:A']}]", "none.py"),
        ("name: paper\nthreats: [{attacks: [fgsm]}]", "paper is a built-in suite"),
        ("threats: [{attacks: [fgsm]}, {attacks: [pgd]}]", "two threats are called 'linf'"),
        ("threats: [{norm: l2, attacks: [square]}]", "square: Square is implemented for linf only"),
        ("threats: [{name: a/b, attacks: [fgsm]}]", r"threats\.0\.name"),
        ("threats: [{attacks: [{attack: pgd, name: ../b}]}]", r"AttackEntry\.name"),
        ("a: &a [x, x]\nb: [*a, *a]", "alias"),
        ("x: " + "[" * 99_990, "nested too deeply"),
        ("x" * 200_000, "at most 100,000"),
    ],
)
def test_a_suite_that_says_nothing_sensible_is_refused_in_a_line(
    text: str, message: str, tmp_path: Path
) -> None:
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(TrueshotError, match=message) as error:
        load_suite(tmp_path / "mine.yaml")
    assert str(error.value).startswith(f"{tmp_path}")
    assert len(str(error.value)) < 1500


def test_a_suite_that_is_unknown_is_told_all_that_there_are() -> None:
    with pytest.raises(RunError, match="paper, strong, file, everyday, photograph, or give"):
        suite_named("strange")


def test_a_target_beyond_the_classes_is_refused(dataset: Dataset, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("threats: [{attacks: [{attack: pgd, target: 2}]}]")
    asked = settings(load_suite(tmp_path / "mine.yaml"))
    with pytest.raises(RunError, match="pgd-to-2: target 2 is no class of mine"):
        evaluate_suite(candidate_of(corner(dataset)), dataset, asked)


@pytest.mark.parametrize(
    ("suite", "given", "option"),
    [
        ("paper", {"opinions": True}, "--second-opinions"),
        ("file", {"transfer": DetectorUnderTest(detector=Detector(Corner()))}, "--transfer-from"),
        ("everyday", {"attacks": (planned("pgd"),)}, "--attack"),
        ("everyday", {"threats": ("l3",)}, "--threat"),
        (Suite.model_validate({"name": "own", "threats": [{"attacks": ["fgsm"]}]}),
         {"opinions": True}, "--second-opinions"),
    ],
)  # fmt: skip
def test_a_setting_that_a_suite_does_not_use_is_refused(
    suite: str | Suite, given: dict[str, Any], option: str
) -> None:
    assert settings(**given).name == "strong"
    with pytest.raises(RunError, match=f"the suite .* does not use {option}$"):
        settings(suite, **given)


@pytest.mark.parametrize(
    ("suite", "given"),
    [
        ("paper", ["--thorough"]),
        ("everyday", ["--budget", "2"]),
        ("everyday", ["--thorough"]),
        ("mine.yaml", ["--thorough"]),
        ("photograph", ["--no-doubts"]),
    ],
)
def test_an_option_that_a_suite_does_not_use_is_refused(
    suite: str, given: list[str], dataset: Dataset, tmp_path: Path
) -> None:
    arguments = ["evaluate", "b", "--dataset", dataset.folder, "--out", tmp_path, "--suite", suite]
    ran = CliRunner().invoke(app, [*map(str, arguments), *given], env={"COLUMNS": "200"})
    assert ran.exit_code == 2
    assert f"the suite {suite} does not use" in ran.output
    assert given[0].removeprefix("--no-") in ran.output


@pytest.mark.parametrize("given", ["--input-scale 255", "--positive-class 0"])
def test_an_option_for_detectors_from_elsewhere_is_refused_without_one(
    given: str, dataset: Dataset, tmp_path: Path
) -> None:
    arguments = ["evaluate", "b", "--dataset", dataset.folder, "--out", tmp_path, *given.split()]
    ran = CliRunner().invoke(app, [*map(str, arguments)], env={"COLUMNS": "200"})
    assert ran.exit_code == 2
    assert f"without --detector, {given.split()[0]}" in ran.output


def test_an_attack_in_a_norm_that_no_threat_has_is_refused(dataset: Dataset) -> None:
    attack = planned("pgd", name="mine", settings={"norm": "l2", "steps": 2})
    candidate = candidate_of(corner(dataset))
    with pytest.raises(RunError, match="mine: no threat of this suite has its norm, l2"):
        evaluate_suite(candidate, dataset, settings("file", attacks=(attack,)))
    tried = evaluate_suite(candidate, dataset, settings("paper", attacks=(attack,))).trials
    assert {trial.attack for trial in tried} == {"mine"}


FOUR = ("original", "blurred", "noisy", "resampled")


def four_classes(dataset: Dataset, tmp_path: Path) -> tuple[Detector, Dataset]:
    """A linear detector of four classes, and the test crops labelled as it sees most of them."""
    detector = Detector(Linear(side=SIDE, classes=4, scale=0.002), classes=FOUR)
    part = dataset.part(SIDE, "test")
    images, _ = part.batch(slice(None))
    with torch.no_grad():
        logits = detector(images)
        detector.network.bias -= logits.median(0).values
        labels = detector(images).argmax(1).numpy()
    labels[::7] = (labels[::7] + 1) % 4

    class Labelled(Dataset):
        def part(self, side: int, name: str) -> Any:
            return replace(part, labels=labels)

    return detector, Labelled(
        **{each.name: getattr(dataset, each.name) for each in fields(dataset)}
    )


@pytest.mark.parametrize("suite", ["paper", "strong", "file", "everyday"])
def test_four_classes_are_judged_by_every_suite(
    suite: str, dataset: Dataset, tmp_path: Path
) -> None:
    detector, data = four_classes(dataset, tmp_path)
    images, labels = data.part(SIDE, "test").batch(slice(None))
    tested = candidate_of(detector)
    result = evaluate_suite(tested, data, settings(suite, crops=None), tmp_path, "name")
    save_result(tmp_path / "name.json", result)
    assert load_result(tmp_path / "name.json") == result
    assert result.classes == FOUR
    assert result.labels == tuple(labels.tolist())
    with torch.no_grad():
        logits = detector(images).double()
    clean = tuple(int(((logits.argmax(1) == labels) & (labels == c)).sum()) for c in range(4))
    assert (result.changes or result.worst)[0].right == clean
    score = logits[:, 1:].exp().sum(1).log() - logits[:, 0]
    pairs = score[labels > 0][:, None] - score[labels == 0]
    auc = ((pairs > 0).double() + (pairs == 0).double() / 2).mean()
    assert result.auc == pytest.approx(float(auc))
    if suite == "strong":
        assert sum(result.curve("linf")[-1].right) < sum(clean)
        assert {one["true"] for one in result.examples} <= set(FOUR)
        assert result.trial("llcm", 2.0).broken != result.trial("fgsm", 2.0).broken


def test_each_image_keeps_its_group_and_what_became_of_it(dataset: Dataset) -> None:
    result = evaluate_suite(candidate_of(corner(dataset)), dataset, settings(crops=None))
    part = dataset.part(SIDE, "test")
    paths = [dataset.crops[SIDE]["path"].to_pylist()[row] for row in part.rows]
    pairs = set(zip(paths, result.groups, strict=True))
    assert len(pairs) == len(set(paths)) == result.group_count
    for trial in result.trials:
        assert len(trial.flags) == len(part)
        for counts, flags in (
            (trial.tried, trial.was_tried),
            (trial.broken, trial.was_broken),
            (trial.broken_before_file, trial.was_broken_before_file),
        ):
            assert counts == tuple(int((flags & (part.labels == c)).sum()) for c in (0, 1))


def test_a_budget_that_a_file_cannot_hold_is_told(dataset: Dataset) -> None:
    half, whole = (
        evaluate_suite(
            candidate_of(linear(dataset)), dataset, settings("paper", budgets=budgets)
        ).notes
        for budgets in ((0.5, 2.5), (1.0, 2.0))
    )
    assert [note.partition(": ")[2] for note in half] == [
        "of a budget of 0.5 levels nothing is left in it.",
        "of a budget of 2.5 levels no more than 2 is left in it.",
    ]
    assert whole == ()


@pytest.mark.parametrize("suite", ["paper", "everyday"])
def test_a_seed_where_nothing_is_random_says_so(suite: str, dataset: Dataset) -> None:
    known, other = (
        evaluate_suite(candidate_of(linear(dataset)), dataset, settings(suite, seed=seed))
        for seed in (0, 5)
    )
    assert known.notes == ()
    assert other.notes == ("Nothing here is random: another seed than 5 gives the same.",)
    assert [trial.flags for trial in other.trials] == [trial.flags for trial in known.trials]


def test_a_seed_that_counts_says_nothing(dataset: Dataset) -> None:
    started = planned("pgd", settings={"random_start": True, "steps": 2})
    how = settings("paper", seed=5, attacks=(started,))
    assert evaluate_suite(candidate_of(linear(dataset)), dataset, how).notes == ()
