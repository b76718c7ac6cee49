"""Attacks where there are more than two classes: the least likely one, and "call it untouched"."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from conftest import SIDE, Linear, levels, linear_detector
from torch import nn
from typer.testing import CliRunner

from trueshot.attacks import APGD, FGSM, PGD, LeastLikelyClass, Targeted, perturb
from trueshot.bundle import save_bundle
from trueshot.card import Card
from trueshot.cli import app
from trueshot.datasets import Dataset
from trueshot.detector import Detector
from trueshot.evaluation.evaluate import evaluate_suite
from trueshot.evaluation.plan import DetectorUnderTest, EvaluationSettings
from trueshot.evaluation.result import load_result, save_result
from trueshot.evaluation.suites import load_suite
from trueshot.networks import build_network


def logits_of(detector: Detector, images: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return detector(images)


def test_llcm_of_six_classes_is_no_fgsm_of_any_label() -> None:
    detector = linear_detector(classes=6)
    images = levels(12, 4) * 0.6 + 50
    logits = logits_of(detector, images)
    least, most = logits.argmin(1), logits.argmax(1)
    llcm = perturb(LeastLikelyClass(budget=2.0), detector, images, most)
    for labels in (most, least):
        assert not torch.equal(llcm, perturb(FGSM(budget=2.0), detector, images, labels))
    # Its aim is the likelihood of one class, which it raises more than FGSM does.
    fgsm = perturb(FGSM(budget=2.0), detector, images, most)
    shares = [
        logits_of(detector, each).log_softmax(1).gather(1, least[:, None]) for each in (llcm, fgsm)
    ]
    assert (shares[0] > shares[1]).all()


def test_an_attack_towards_the_untouched_class_reaches_it_where_a_linear_detector_gives_way() -> (
    None
):
    detector = linear_detector(classes=3)
    weight = detector.network.weight.detach()
    images = levels(40, 4) * 0.5 + 60
    logits = logits_of(detector, images)
    labels = logits.argmax(1)
    # The margin of class 0 over a rival is gained at the 1-norm of the difference of weights.
    gains = torch.stack([(weight[0] - weight[k]).abs().sum() for k in (1, 2)])
    needed = ((logits[:, 1:] - logits[:, :1]) / gains).amax(1)
    budget = float(needed[labels > 0].median())
    for attack in (PGD(budget=budget, steps=40, relative_step=0.05), APGD(budget=budget, steps=40)):
        attacked = perturb(Targeted(attack, target=0), detector, images, labels)
        called = logits_of(detector, attacked).argmax(1)
        assert torch.equal(attacked[labels == 0], images[labels == 0])
        # No attack could do it below what the hardest single rival asks for.
        assert not (called[needed > 1.001 * budget] == 0).any()
        assert (called[(labels > 0) & (needed < 0.5 * budget)] == 0).all()


def test_the_soft_histograms_let_a_gradient_attack_where_hard_ones_stop_it() -> None:
    torch.manual_seed(0)
    given = {"name": "barni-histograms", "filters": 4, "units": 16}
    soft = build_network(given).eval()
    hard = build_network({**given, "soft_gamma": 1e6}).eval()
    hard.load_state_dict(soft.state_dict())
    images = (levels(16, 32) * 0.2 + 100).round()
    gains = []
    for network in (soft, hard):
        detector = Detector(network, classes=("once", "twice"))
        labels = logits_of(detector, images).argmax(1)
        attacked = perturb(PGD(budget=2.0, steps=10), detector, images, labels)
        before, after = (
            nn.functional.cross_entropy(logits_of(detector, each), labels, reduction="none")
            for each in (images, attacked)
        )
        gains.append(float((after - before).mean()))
    assert gains[0] > 2 * max(gains[1], 1e-6)


SUITE = """
threats:
  - budgets: [2]
    attacks: [{attack: pgd, images: all, target: 0}, {attack: fgsm, images: all}]
"""


def test_a_suite_counts_the_images_that_its_attack_made_of_the_class_it_wanted(
    dataset: Dataset, tmp_path: Path
) -> None:
    detector = Detector(Linear(side=SIDE, scale=0.01), classes=("original", "recaptured"))
    images, labels = dataset.part(SIDE, "test").batch(slice(None))
    margins = logits_of(detector, images)[:, 1] - logits_of(detector, images)[:, 0]
    with torch.no_grad():
        detector.network.bias[1] -= margins[labels == 1].median() - 1
    (tmp_path / "mine.yaml").write_text(SUITE)
    tested = DetectorUnderTest(detector=detector)
    settings = EvaluationSettings(suite=load_suite(tmp_path / "mine.yaml"), doubts=False)
    result = evaluate_suite(tested, dataset, settings)
    towards, anywhere = result.trials
    assert (towards.target, anywhere.target) == (0, None)
    assert result.called_target(anywhere) is None

    found = result.called_target(towards)
    assert found is not None
    attacked = perturb(Targeted(PGD(budget=2.0, steps=10), target=0), detector, images, labels)
    called = logits_of(detector, attacked.round()).argmax(1)
    assert found.count == int((called[labels == 1] == 0).sum())
    assert found.total == int((labels == 1).sum())
    assert 0 < found.count < found.total
    assert len(found.groups) == len({g for g, k in zip(result.groups, labels, strict=True) if k})
    save_result(tmp_path / "result.json", result)
    again = load_result(tmp_path / "result.json")
    assert again == result
    assert again.called_target(again.trials[0]) == found
    assert replace(towards, target=1).was_called_target.sum() == np.sum(called.numpy() == 0)


def test_the_command_tells_how_many_images_were_called_the_target(
    dataset: Dataset, tmp_path: Path
) -> None:
    card = Card(network={"name": "lcnn", "filters": [4] * 5}, side=SIDE)
    torch.manual_seed(0)
    save_bundle(tmp_path / "one.safetensors", card.new_detector().eval(), card)
    (tmp_path / "mine.yaml").write_text(SUITE)
    words = ["evaluate", tmp_path / "one.safetensors", "--dataset", dataset.folder, "--no-doubts"]
    words += ["--suite", tmp_path / "mine.yaml", "--out", tmp_path / "out", "--crops", 5]
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert done.exit_code == 0, done.output
    assert "of 5 called original" in done.stdout
    (path,) = (tmp_path / "out").glob("mine-*.json")
    report = CliRunner().invoke(app, ["report", str(path), "--out", str(tmp_path / "report")])
    assert report.exit_code == 0, report.output
    assert "called the target" in (tmp_path / "report" / "report.md").read_text()
