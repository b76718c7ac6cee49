"""Counts, intervals and results; what is judged is what a file would hold."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import scipy.stats
import torch
from conftest import SIDE
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from trueshot.attacks import FGSM, PGD, as_filed
from trueshot.datasets import Dataset
from trueshot.detector import Detector
from trueshot.errors import RunError
from trueshot.evaluation import (
    CLEAN,
    RobustnessResult,
    Subject,
    evaluate,
    load_result,
    paper_attacks,
    save_result,
    wilson_interval,
)
from trueshot.networks import LCNN


@given(st.integers(1, 500), st.data())
@settings(max_examples=50, deadline=None)
def test_the_wilson_interval_is_scipys(total: int, data: st.DataObject) -> None:
    right = data.draw(st.integers(0, total))
    theirs = scipy.stats.binomtest(right, total).proportion_ci(0.95, method="wilson")
    assert wilson_interval(right, total) == pytest.approx((theirs.low, theirs.high), abs=1e-9)


@pytest.mark.parametrize(("right", "total"), [(0, 0), (3, 2), (-1, 5)])
def test_an_interval_of_no_proportion_is_refused(right: int, total: int) -> None:
    with pytest.raises(ValueError, match="no proportion"):
        wilson_interval(right, total)


MINE = Subject(name="mine", bundle_sha256="mine")


def detector(dataset: Dataset) -> Detector:
    """An LCNN that takes half of the crops for recaptures, so that there is something to count."""
    torch.manual_seed(0)
    judge = Detector(LCNN(filters=(2, 2, 4, 4, 4))).eval()
    images, _ = dataset.part(SIDE, "test").batch(slice(None))
    with torch.no_grad():
        logits = judge(images)
        judge.network.classifier.bias[1] -= (logits[:, 1] - logits[:, 0]).median()
    return judge


def result_of(judge: Detector, dataset: Dataset, **settings: object) -> RobustnessResult:
    return evaluate(judge, dataset, paper_attacks(budgets=(1.0, 3.0)), **settings)  # type: ignore[arg-type]


def test_a_cell_says_what_its_attack_asked_of_the_detector(dataset: Dataset) -> None:
    judge = detector(dataset)
    attacks = {
        ("pgd", 4.0): PGD(budget=4.0, steps=5),
        ("early", 4.0): PGD(budget=4.0, steps=5, early_exit=True),
    }
    clean, whole, early = evaluate(judge, dataset, attacks, batch=7).cells
    assert clean.calls == (0, 0)
    assert whole.calls == (5, 5)
    assert 1 < early.calls[0] < 5
    assert sum(early.right_unrounded) <= sum(whole.right_unrounded)


def test_the_counts_are_those_of_judging_each_crop_by_hand(dataset: Dataset) -> None:
    judge = detector(dataset)
    result = result_of(judge, dataset, batch=7)
    part = dataset.part(SIDE, "test")
    images, labels = part.batch(slice(None))
    attacked = FGSM(budget=3.0)(judge, images, labels)
    assert 0 < sum(result.cell(CLEAN).right) < sum(result.cell(CLEAN).total)
    for images_judged, cell in ((images, result.cell(CLEAN)), (attacked, result.cell("fgsm", 3.0))):
        with torch.no_grad():
            predicted = judge(images_judged.round()).argmax(1)
        right = [int(((predicted == c) & (labels == c)).sum()) for c in (0, 1)]
        assert list(cell.right) == right
        assert list(cell.total) == np.bincount(labels).tolist()
        assert cell.accuracy == pytest.approx(sum(right) / len(part))


def test_with_two_classes_both_attacks_differ_by_at_most_the_clean_error(dataset: Dataset) -> None:
    result = evaluate(detector(dataset), dataset, paper_attacks(budgets=(0.5, 1.0, 2.0, 4.0)))
    clean = result.cell(CLEAN)
    wrong = sum(clean.total) - sum(clean.right)
    gaps = [
        sum(result.cell("llcm", b).right_unrounded) - sum(result.cell("fgsm", b).right_unrounded)
        for b in (0.5, 1.0, 2.0, 4.0)
    ]
    assert all(abs(gap) <= wrong for gap in gaps)
    assert any(gap != 0 for gap in gaps)


def test_the_size_of_the_batch_does_not_change_a_result(dataset: Dataset) -> None:
    assert result_of(detector(dataset), dataset, batch=5) == result_of(
        detector(dataset), dataset, batch=64
    )


def test_a_detector_is_judged_in_evaluation_mode_and_left_as_it_was(dataset: Dataset) -> None:
    judge = detector(dataset)
    expected = result_of(judge, dataset)
    judge.train()
    judge.network.units[0].eval()
    modes = [module.training for module in judge.modules()]
    assert result_of(judge, dataset) == expected
    assert [module.training for module in judge.modules()] == modes


@dataclass(frozen=True, kw_only=True)
class Whisper:
    """An attack of 0.4 levels: it is gone when the image is a file."""

    budget: float = 0.4

    def __call__(self, judged: Detector, images: Tensor, labels: Tensor) -> Tensor:
        return (images + 0.4).clamp(0, 255)


class Pedant(nn.Module):
    """Takes every level that is no whole number for a recapture, and all else for original."""

    def forward(self, images: Tensor) -> Tensor:
        odd = (images != images.round()).flatten(1).any(1).float()
        return torch.stack([0.5 - odd, odd - 0.5], 1)


def test_an_attack_that_rounding_undoes_counts_for_nothing(dataset: Dataset) -> None:
    result = evaluate(Detector(Pedant()), dataset, {("whisper", 0.4): Whisper()})
    cell = result.cell("whisper", 0.4)
    half = cell.total[0]
    assert (cell.right, cell.right_unrounded) == ((half, 0), (0, half))


def test_an_interrupted_evaluation_goes_on_and_ends_the_same(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = result_of(detector(dataset), dataset, subject=MINE)
    original, calls = FGSM.__call__, []

    def counted(self: FGSM, *arguments: Tensor) -> Tensor:
        calls.append(self.budget)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return original(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(FGSM, "__call__", counted)
    journal = tmp_path / "cells.jsonl"
    with pytest.raises(KeyboardInterrupt):
        result_of(detector(dataset), dataset, journal=journal, subject=MINE)
    journal.write_bytes(journal.read_bytes() + b'{"key": [')  # a line cut by a crash
    assert result_of(detector(dataset), dataset, journal=journal, subject=MINE) == expected
    assert calls == [1.0, 3.0, 3.0]
    assert result_of(detector(dataset), dataset, journal=journal, subject=MINE) == expected
    assert len(calls) == 3


def test_a_journal_of_another_detector_is_not_taken_for_this_ones(
    dataset: Dataset, tmp_path: Path
) -> None:
    journal = tmp_path / "cells.jsonl"
    first = result_of(
        detector(dataset), dataset, journal=journal, subject=Subject(name="a", bundle_sha256="a")
    )
    other = Detector(Pedant())
    subject = Subject(name="b", bundle_sha256="b")
    second = evaluate(other, dataset, {}, journal=journal, subject=subject)
    assert second.cell(CLEAN) != first.cell(CLEAN)


def test_a_result_comes_back_from_its_file(dataset: Dataset, tmp_path: Path) -> None:
    subject = Subject(name="mine", bundle_sha256="abc", recipe={"name": "mine"})
    result = result_of(detector(dataset), dataset, subject=subject)
    save_result(tmp_path / "result.json", result)
    assert load_result(tmp_path / "result.json") == result
    written = json.loads((tmp_path / "result.json").read_text())
    assert written["cells"][0]["interval95"] == list(result.cells[0].interval)
    assert written["data"] == dataset.fingerprint(SIDE)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": 99}', '{"format": 1}'])
def test_a_damaged_result_is_refused_by_name(tmp_path: Path, text: str) -> None:
    (tmp_path / "result.json").write_text(text)
    with pytest.raises(RunError, match=r"result\.json"):
        load_result(tmp_path / "result.json")


def test_a_limit_on_crops_keeps_the_classes_equal(dataset: Dataset) -> None:
    result = result_of(detector(dataset), dataset, crops=5)
    assert result.cell(CLEAN).total == (5, 5)


def test_an_unknown_attack_is_refused_and_the_known_ones_are_named() -> None:
    with pytest.raises(RunError, match="fgsm, llcm"):
        paper_attacks(names=("magic",))


def test_a_cell_that_was_not_asked_for_is_an_error(dataset: Dataset) -> None:
    with pytest.raises(KeyError, match="fgsm at 9"):
        result_of(detector(dataset), dataset, crops=2).cell("fgsm", 9.0)


def test_a_journal_does_not_mix_attacks_of_other_settings(dataset: Dataset, tmp_path: Path) -> None:
    journal, judge = tmp_path / "cells.jsonl", detector(dataset)
    weak, strong = (PGD(budget=2.0, steps=s, relative_step=r) for s, r in ((1, 0.01), (20, 0.25)))
    results = [
        evaluate(judge, dataset, {("pgd", 2.0): attack}, journal=journal, subject=MINE)
        for attack in (weak, strong)
    ]
    assert results[0].cell("pgd", 2.0).settings == repr(weak)
    assert results[1] == evaluate(judge, dataset, {("pgd", 2.0): strong}, subject=MINE)
    assert results[1].cell("pgd", 2.0).psnr != results[0].cell("pgd", 2.0).psnr


def test_a_journal_without_a_known_bundle_is_refused(dataset: Dataset, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="SHA-256"):
        evaluate(detector(dataset), dataset, {}, journal=tmp_path / "cells.jsonl")


def test_a_detector_of_three_classes_is_refused(dataset: Dataset) -> None:
    judge = Detector(LCNN(filters=(2,) * 5, classes=3), classes=("a", "b", "c"))
    with pytest.raises(RunError, match="3 classes"):
        evaluate(judge, dataset, {})


@pytest.mark.parametrize(("budget", "kept"), [(0.5, 0), (1.5, 1), (2.0, 2), (2.7, 2)])
def test_rounding_to_a_file_does_not_leave_the_budget(budget: float, kept: int) -> None:
    images = torch.tensor([0.0, 1.0, 100.0, 254.0, 255.0]).expand(1, 3, 1, 5).clone()
    for sign in (1, -1):
        attacked = (images + sign * budget).clamp(0, 255)
        filed = as_filed(FGSM(budget=budget), images, attacked)
        assert torch.equal(filed, filed.round())
        assert torch.equal(filed, (images + sign * kept).clamp(0, 255))
