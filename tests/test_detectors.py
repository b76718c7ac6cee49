"""The detectors that come along: whole, small, and refused where their files have changed."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import numpy as np
import pytest

import trueshot.detectors
from trueshot.bundle import read_card
from trueshot.detectors import NAMES, SUMS, shipped
from trueshot.errors import BundleError
from trueshot.inference import Predictor
from trueshot.inference.proof import ROUNDING, is_provable


@pytest.fixture
def copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the folder, in the place of the real one."""
    folder = tmp_path / "detectors"
    shutil.copytree(Path(trueshot.detectors.__file__).parent, folder)
    monkeypatch.setattr(trueshot.detectors, "_FOLDER", folder)
    return folder


@pytest.mark.parametrize("name", NAMES)
def test_a_shipped_detector_is_small_and_has_the_sum_that_sha256sum_would_check(name: str) -> None:
    path = shipped(name)
    assert path.stat().st_size < (9_000_000 if name == "accurate" else 2_000_000)
    line = f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}"
    assert line in (path.parent / SUMS).read_text("utf-8").splitlines()


@pytest.mark.parametrize("name", NAMES)
def test_a_shipped_detector_says_all_that_judging_needs_and_what_it_cannot_do(name: str) -> None:
    card = read_card(shipped(name))
    wanted = ("contract", "calibration", "decision", "calibrated_on", "title", "task")
    assert all(getattr(card, name) for name in wanted)
    assert (card.domain is None) == is_provable(card)  # content may not decide what is proven
    assert "CC BY-SA 4.0" in card.licence
    assert any("without one real recapture" in limit for limit in card.limits)


@pytest.mark.parametrize("name", NAMES)
def test_a_card_tells_errors_clean_attacked_changed_and_in_the_world(name: str) -> None:
    measured = read_card(shipped(name)).measured
    assert {one.kind for one in measured} == {"clean", "attacked", "everyday", "real"}
    assert {f"phone{i}" for i in (1, 2, 3, 4)} <= {one.name for one in measured}
    assert all(one.command and one.apcer and one.bpcer for one in measured)


def test_the_accurate_detector_was_measured_on_whole_photographs_of_five_more_phones() -> None:
    card = read_card(shipped("accurate"))
    assert {f"phone{i}" for i in range(1, 10)} <= {one.name for one in card.measured}
    assert card.evidence is not None
    assert set(card.evidence.media[1:]) >= {"phone", "laptop", "monitor", "print"}


def test_the_robust_detector_withstands_what_breaks_that_of_the_paper() -> None:
    def errors(name: str) -> float:
        attacked = {
            one.name: one for one in read_card(shipped(name)).measured if one.kind == "attacked"
        }
        found = attacked["PGD, ε = 2"]
        kinds = found.apcer_by_kind.values()  # too few of each to be told apart
        assert found.bpcer is not None
        missed = sum(rate.count for rate in kinds) / sum(rate.total for rate in kinds)
        return missed + found.bpcer.value

    assert errors("robust") < errors("lcnn") / 2


def test_only_the_certified_detector_proves_its_verdicts() -> None:
    assert [name for name in NAMES if is_provable(read_card(shipped(name)))] == ["certified"]


def test_the_certified_detector_can_call_no_picture_original() -> None:
    predictor = Predictor.load(shipped("certified"))
    grey = predictor.predict(np.full((128, 128, 3), 128, np.uint8))
    # No picture is farther from grey than 128 levels, within which the score is proven to change by
    # at most as much, in units of the network's input.
    lowest = grey.score - (128 + ROUNDING) / predictor.card.scale
    assert lowest > predictor.card.thresholds[0]


def test_a_file_that_changed_by_one_bit_is_refused_by_name(copied: Path) -> None:
    path = copied / "accurate.safetensors"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(BundleError, match=r"accurate\.safetensors: differs from the shipped file"):
        shipped("accurate")
    assert shipped("robust").is_file()


@pytest.mark.parametrize("lost", ["robust.safetensors", SUMS])
def test_what_is_missing_is_told_with_what_to_do(copied: Path, lost: str) -> None:
    (copied / lost).unlink()
    with pytest.raises(BundleError, match="reinstall trueshot"):
        shipped("robust")


def test_an_unknown_name_is_refused_with_those_that_are_known() -> None:
    with pytest.raises(BundleError, match="accurate, robust, certified, lcnn"):
        shipped("../accurate")
