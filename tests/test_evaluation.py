"""Counts, intervals and results; what is judged is what a file would hold."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from conftest import SIDE
from torch import Tensor, nn

from trueshot.attacks import FGSM, PGD, as_filed
from trueshot.datasets import Dataset
from trueshot.detector import Detector
from trueshot.errors import RunError
from trueshot.evaluation import (
    CLEAN,
    DetectorUnderTest,
    EvaluationResult,
    evaluate,
    load_result,
    paper_attacks,
    save_result,
)
from trueshot.files import Journal, read_lines
from trueshot.networks import LCNN
from trueshot.proportion import Proportion, interval_over_groups
from trueshot.reports.results import find

MINE = {"name": "mine", "bundle_sha256": "mine"}


def detector(dataset: Dataset) -> Detector:
    """An LCNN that takes half of the crops for recaptures, so that there is something to count."""
    torch.manual_seed(0)
    judge = Detector(LCNN(filters=(2, 2, 4, 4, 4))).eval()
    images, _ = dataset.part(SIDE, "test").batch(slice(None))
    with torch.no_grad():
        logits = judge(images)
        judge.network.classifier.bias[1] -= (logits[:, 1] - logits[:, 0]).median()
    return judge


def result_of(
    judge: Detector, dataset: Dataset, known: dict[str, str] | None = None, **settings: object
) -> EvaluationResult:
    tested = DetectorUnderTest(detector=judge, **known or {})  # type: ignore[arg-type]
    result = evaluate(tested, dataset, paper_attacks(budgets=(1.0, 3.0)), **settings)  # type: ignore[arg-type]
    return timeless(result)


def timeless(result: EvaluationResult) -> EvaluationResult:
    return replace(result, trials=tuple(replace(trial, seconds=0) for trial in result.trials))


def test_a_cell_says_what_its_attack_asked_of_the_detector(dataset: Dataset) -> None:
    judge = detector(dataset)
    attacks = {
        ("pgd", 4.0): PGD(budget=4.0, steps=5),
        ("early", 4.0): PGD(budget=4.0, steps=5, early_exit=True),
    }
    whole, early = evaluate(judge, dataset, attacks, batch=7).trials
    assert whole.calls == (5, 5)
    assert early.calls is not None
    assert 1 < early.calls[0] < 5
    assert sum(early.broken_before_file) >= sum(whole.broken_before_file)


def test_the_counts_are_those_of_judging_each_crop_by_hand(dataset: Dataset) -> None:
    judge = detector(dataset)
    result = result_of(judge, dataset, batch=7)
    part = dataset.part(SIDE, "test")
    images, labels = part.batch(slice(None))
    attacked = FGSM(budget=3.0)(judge, images, labels)
    assert 0 < sum(result.single(CLEAN).right) < sum(result.single(CLEAN).total)
    for images_judged, cell in (
        (images, result.single(CLEAN)),
        (attacked, result.single("fgsm", 3.0)),
    ):
        with torch.no_grad():
            predicted = judge(images_judged.round()).argmax(1)
        right = [int(((predicted == c) & (labels == c)).sum()) for c in (0, 1)]
        assert list(cell.right) == right
        assert list(cell.total) == np.bincount(labels).tolist()
        assert cell.accuracy == pytest.approx(sum(right) / len(part))


def test_with_two_classes_both_attacks_differ_by_at_most_the_clean_error(dataset: Dataset) -> None:
    result = evaluate(detector(dataset), dataset, paper_attacks(budgets=(0.5, 1.0, 2.0, 4.0)))
    clean = result.single(CLEAN)
    wrong = sum(clean.total) - sum(clean.right)
    gaps = [
        sum(result.trial("llcm", b).broken_before_file)
        - sum(result.trial("fgsm", b).broken_before_file)
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
    cell = result.single("whisper", 0.4)
    half = cell.total[0]
    assert cell.right == (half, 0)
    assert result.trial("whisper", 0.4).broken_before_file == (half, 0)


def test_an_interrupted_evaluation_goes_on_and_ends_the_same(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = result_of(detector(dataset), dataset, known=MINE)
    original, calls = FGSM.__call__, []

    def counted(self: FGSM, *arguments: Tensor) -> Tensor:
        calls.append(self.budget)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return original(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(FGSM, "__call__", counted)
    journal = tmp_path / "cells.jsonl"
    with pytest.raises(KeyboardInterrupt):
        result_of(detector(dataset), dataset, journal=journal, known=MINE)
    journal.write_bytes(journal.read_bytes() + b'{"key": [')  # a line cut by a crash
    assert result_of(detector(dataset), dataset, journal=journal, known=MINE) == expected
    assert calls == [1.0, 3.0, 3.0]
    assert result_of(detector(dataset), dataset, journal=journal, known=MINE) == expected
    assert len(calls) == 3


def test_a_journal_of_another_detector_is_not_taken_for_this_ones(
    dataset: Dataset, tmp_path: Path
) -> None:
    journal = tmp_path / "cells.jsonl"
    first = result_of(detector(dataset), dataset, {"bundle_sha256": "a"}, journal=journal)
    other = Detector(Pedant())
    tested = DetectorUnderTest(detector=other, bundle_sha256="b")
    second = evaluate(tested, dataset, {}, journal=journal)
    assert second.single(CLEAN) != first.single(CLEAN)


def test_a_result_comes_back_from_its_file(dataset: Dataset, tmp_path: Path) -> None:
    result = result_of(detector(dataset), dataset, MINE)
    save_result(tmp_path / "result.json", result)
    assert load_result(tmp_path / "result.json") == result
    written = json.loads((tmp_path / "result.json").read_text())
    assert written["worst"][0]["interval95"] == list(result.worst[0].interval)
    assert written["data"] == dataset.fingerprint(SIDE)
    assert written["classes"] == ["original", "recaptured"]


def test_a_result_of_format_1_is_refused_with_the_reason(dataset: Dataset, tmp_path: Path) -> None:
    result = result_of(detector(dataset), dataset, crops=2)
    save_result(tmp_path / "new.json", result)
    old = {**result.to_json(), "kind": "trueshot-security", "format": 1}
    (tmp_path / "old.json").write_text(json.dumps(old))
    reason = r"format are \('trueshot-security', 1\); this version reads only .*: evaluate again"
    with pytest.raises(RunError, match=reason):
        load_result(tmp_path / "old.json")
    (fault,) = find([tmp_path]).faults
    assert re.search(rf"old\.json: skipped: kind and {reason}", fault)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": 99}', '{"format": 1}'])
def test_a_damaged_result_is_refused_by_name(tmp_path: Path, text: str) -> None:
    (tmp_path / "result.json").write_text(text)
    with pytest.raises(RunError, match=r"result\.json"):
        load_result(tmp_path / "result.json")


def test_a_limit_on_crops_keeps_the_classes_equal(dataset: Dataset) -> None:
    result = result_of(detector(dataset), dataset, crops=5)
    assert result.single(CLEAN).total == (5, 5)


def test_an_unknown_attack_is_refused_and_the_known_ones_are_named() -> None:
    with pytest.raises(RunError, match="fgsm, llcm"):
        paper_attacks(names=("magic",))


def test_a_cell_that_was_not_asked_for_is_an_error(dataset: Dataset) -> None:
    with pytest.raises(KeyError, match="fgsm at 9"):
        result_of(detector(dataset), dataset, crops=2).single("fgsm", 9.0)


def test_a_journal_does_not_mix_attacks_of_other_settings(dataset: Dataset, tmp_path: Path) -> None:
    tested = DetectorUnderTest(detector=detector(dataset), bundle_sha256="mine")
    weak, strong = (PGD(budget=2.0, steps=s, relative_step=r) for s, r in ((1, 0.01), (20, 0.25)))
    first, second = (
        timeless(evaluate(tested, dataset, {("pgd", 2.0): attack}, journal=tmp_path / "a.jsonl"))
        for attack in (weak, strong)
    )
    assert first.trial("pgd", 2.0).settings == repr(weak)
    assert second == timeless(evaluate(tested, dataset, {("pgd", 2.0): strong}))
    assert second.trial("pgd", 2.0).psnr != first.trial("pgd", 2.0).psnr


def test_a_journal_gives_back_what_was_added_under_its_key_alone(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    for key, number in (({"a": (1,)}, 1), ("b", 2), ({"a": [1]}, 3), ({"a": [1]}, 4)):
        Journal(path, key).append({"number": number})
    path.write_bytes(path.read_bytes() + b'{"number": 5')  # cut by a crash
    journal = Journal(path, {"a": (1,)})
    assert [record["number"] for record in journal.records] == [1, 3, 4]
    journal.append({"number": 6})
    assert [line.get("number") for line in read_lines(path)] == [None, 1, None, 2, None, 3, 4, 6]
    assert Journal(path, "c").records == Journal().records == []


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


def test_a_result_on_data_whose_parts_share_devices_says_so(dataset: Dataset) -> None:
    judge = detector(dataset)
    leaking = replace(dataset, card={**dataset.card, "shared": ["camera", "medium"]})
    told, silent = (result_of(judge, one).notes for one in (leaking, dataset))
    assert len(told) == 1
    assert "share cameras and media, on purpose" in told[0]
    assert silent == ()


def one_photograph_each(dataset: Dataset, photographs: int) -> Dataset:
    """The same crops, said to be of so many photographs, and these of half as many scenes."""
    table = dataset.crops[SIDE]
    paths = [f"{row % photographs}.png" for row in range(len(table))]
    crops = table.set_column(table.schema.get_field_index("path"), "path", [paths])
    names = list(dict.fromkeys(paths))
    origins = [json.dumps({"scene": str(number // 2)}) for number in range(len(names))]
    photos = pa.table({"path": names, "origins": origins})
    return replace(dataset, photos=photos, crops={SIDE: crops})


def test_intervals_are_over_scenes_and_else_over_photographs(dataset: Dataset) -> None:
    judge, of_scenes = detector(dataset), one_photograph_each(dataset, 8)
    paths = of_scenes.photos["path"].to_pylist()
    of_photos = replace(of_scenes, photos=pa.table({"path": paths}))
    result = result_of(judge, of_scenes)
    assert (result.group_count, result_of(judge, of_photos).group_count) == (4, 8)
    clean = result.single(CLEAN)
    right = np.array([name == "" for name in result.worst[0].broken_by])
    groups = np.array(result.groups)
    pairs = tuple((int(right[groups == g].sum()), int((groups == g).sum())) for g in range(4))
    assert clean.proportion.groups == pairs
    assert clean.interval == interval_over_groups(pairs)
    recaptures = result.single("fgsm", 3.0).of_class(1)
    assert recaptures is not None
    assert sum(total for _, total in recaptures.groups) == recaptures.total < clean.proportion.total


def test_a_result_of_before_groups_is_read_with_the_intervals_of_then(
    dataset: Dataset, tmp_path: Path
) -> None:
    result = result_of(detector(dataset), one_photograph_each(dataset, 8))
    content = result.to_json()
    assert "by_group" not in json.dumps(content)
    before = content | {"groups": ""}
    before["worst"] = [
        {k: v for k, v in case.items() if k != "flags_before_file"} for case in before["worst"]
    ]
    (tmp_path / "before.json").write_text(json.dumps(before))
    read = load_result(tmp_path / "before.json")
    assert read.group_count is None
    single = read.single("fgsm", 3.0)
    assert single.interval == Proportion(sum(single.right), sum(single.total)).interval95
    (tmp_path / "now.json").write_text(json.dumps(content))
    assert load_result(tmp_path / "now.json") == result
    assert (
        load_result(tmp_path / "now.json").single(CLEAN).interval == result.single(CLEAN).interval
    )


def test_the_line_of_an_evaluation_says_of_how_many_scenes_its_images_are(
    dataset: Dataset,
) -> None:
    result = result_of(detector(dataset), one_photograph_each(dataset, 8))
    assert result.images_in_words == f"{sum(result.total)} images of 4 scenes or photographs"
