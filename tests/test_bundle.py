"""A detector as one file: whole or refused, and never code."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from conftest import levels
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from trueshot.bundle import bundle_sha256, load_bundle, read_card, save_bundle
from trueshot.calibration import Calibration, Decision
from trueshot.card import Card, InputContract, Measurement, Rate
from trueshot.detector import Detector
from trueshot.errors import BundleError

CARD = Card(network={"name": "lcnn", "filters": [2, 2, 2, 2, 2]}, offset=1.0, scale=2.0, side=64)


@pytest.fixture
def saved(tmp_path: Path) -> tuple[Path, Detector]:
    torch.manual_seed(0)
    detector = CARD.new_detector()
    detector(levels(4, 32))  # moves the batch statistics
    save_bundle(tmp_path / "detector.safetensors", detector, CARD)
    return tmp_path / "detector.safetensors", detector


def test_a_bundle_comes_back_with_the_same_verdicts(saved: tuple[Path, Detector]) -> None:
    path, detector = saved
    loaded, card = load_bundle(path)
    assert card == CARD
    assert not loaded.training
    assert torch.equal(loaded(levels(5, 32)), detector.eval()(levels(5, 32)))


def test_equal_content_gives_equal_bytes(saved: tuple[Path, Detector], tmp_path: Path) -> None:
    loaded, card = load_bundle(saved[0])
    save_bundle(tmp_path / "again", loaded, card)
    assert (tmp_path / "again").read_bytes() == saved[0].read_bytes()


@given(st.floats(0, 0.999))
@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_a_truncated_bundle_is_refused_by_name(saved: tuple[Path, Detector], share: float) -> None:
    whole = saved[0].read_bytes()
    cut = saved[0].with_name("cut")
    cut.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(BundleError, match="cut: truncated"):
        load_bundle(cut)


def test_a_pickle_is_refused_and_not_run(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return Path.touch, (tmp_path / "exploded",)  # type: ignore[return-value]

    (tmp_path / "bad").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(BundleError):
        load_bundle(tmp_path / "bad")
    torch.save({"a": torch.zeros(1)}, tmp_path / "bad.pt")
    with pytest.raises(BundleError):
        load_bundle(tmp_path / "bad.pt")
    assert not (tmp_path / "exploded").exists()


def with_card(path: Path, card: object) -> Path:
    weights = {name: value.contiguous() for name, value in CARD.new_detector().state_dict().items()}
    save_file(weights, path, metadata={"trueshot": json.dumps(card)})
    return path


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"format": 99}, "format 99"),
        ({"network": {"name": "unknown"}}, "unknown"),
        ({"network": {"name": "lcnn", "filters": [4, 2, 2, 2, 2]}}, "weights do not match"),
        ({"classes": ["a", "b", "c"]}, "weights do not match"),
        ({"scale": 0}, "card is damaged"),
        ({"side": "large"}, "card is damaged"),
        ({"surprise": 1}, "card is damaged"),
        ({"side": 0}, "card is damaged"),
        ({"scale": float("nan")}, "card is damaged"),
        ({"offset": float("inf")}, "card is damaged"),
        ({"network": {"name": []}}, "unknown"),
        ({"recipe": json.loads('{"a":' * 400 + "0" + "}" * 400)}, "card is damaged"),
        ({"recipe": {"name": "\ud800"}}, "card is damaged"),
        ({"network": {"name": "lcnn", "filters": [10**30] * 5}}, "weights do not match"),
        ({"network": {"name": "lcnn", "filters": [10**6] * 5}}, "weights do not match"),
    ],
)
def test_a_card_that_does_not_fit_is_refused(
    tmp_path: Path, change: dict[str, object], reason: str
) -> None:
    # Format 1 had no digest, so that what is behind it is reached.
    path = with_card(tmp_path / "b", CARD.model_dump(mode="json") | {"format": 1} | change)
    with pytest.raises(BundleError, match=reason):
        load_bundle(path)


@pytest.mark.parametrize("card", [[], 3, None, "text"])
def test_a_card_that_is_no_mapping_is_refused(tmp_path: Path, card: object) -> None:
    with pytest.raises(BundleError):
        load_bundle(with_card(tmp_path / "b", card))


def test_weights_of_somebody_else_are_refused(tmp_path: Path) -> None:
    save_file({"a": torch.zeros(2)}, tmp_path / "theirs.safetensors")
    with pytest.raises(BundleError, match="has weights but no trueshot card"):
        load_bundle(tmp_path / "theirs.safetensors")


def test_weights_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    detector = CARD.new_detector()
    with torch.no_grad():
        detector.network.classifier.bias[0] = float("nan")
    save_bundle(tmp_path / "b", detector, CARD)
    with pytest.raises(BundleError, match="contains weights that are not finite"):
        load_bundle(tmp_path / "b")


def test_a_missing_bundle_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="none: no such file"):
        load_bundle(tmp_path / "none")


def test_a_card_that_is_nested_without_end_is_refused(tmp_path: Path) -> None:
    weights = {"a": torch.zeros(1)}
    save_file(weights, tmp_path / "b", metadata={"trueshot": "[" * 100_000})
    with pytest.raises(BundleError, match="card is damaged"):
        load_bundle(tmp_path / "b")


def test_any_changed_byte_is_refused(saved: tuple[Path, Detector]) -> None:
    whole = saved[0].read_bytes()
    changed = saved[0].with_name("changed")
    for place in [0, 8, 40, 200, len(whole) // 2, len(whole) - 1]:
        damaged = bytearray(whole)
        damaged[place] ^= 1
        changed.write_bytes(damaged)
        with pytest.raises(BundleError, match="changed"):
            load_bundle(changed)


def test_a_threshold_changed_by_hand_is_refused(tmp_path: Path) -> None:
    decision = Decision(original_to=-1.0, recaptured_from=1.5, apcer=0.05, bpcer=0.01)
    card = CARD.model_copy(update={"decision": decision})
    save_bundle(tmp_path / "b", card.new_detector(), card)
    text = (tmp_path / "b").read_bytes()
    assert b"1.5" in text
    (tmp_path / "b").write_bytes(text.replace(b"1.5", b"0.5"))
    with pytest.raises(BundleError, match="changed after it was written"):
        read_card(tmp_path / "b")


def test_a_bundle_of_format_1_is_still_read(tmp_path: Path) -> None:
    path = with_card(tmp_path / "b", CARD.model_dump(mode="json") | {"format": 1})
    assert load_bundle(path)[1].side == CARD.side


def test_a_whole_card_comes_back(tmp_path: Path) -> None:
    rate = Rate(value=0.1, low=0.05, high=0.2, count=10, total=100)
    card = CARD.model_copy(
        update={
            "contract": InputContract(side=64, crops=9, aggregation="median"),
            "calibration": Calibration(
                method="logistic",
                slope=1.0,
                intercept=0.5,
                lower=-2.0,
                upper=2.0,
                originals=100,
                recaptured=100,
                sources=20,
            ),
            "measured": (
                Measurement(
                    kind="real", name="a phone", apcer=rate, apcer_by_kind={"print": rate},
                    photographs=100,
                ),
            ),
            "limits": ("It has none.",),
        }
    )  # fmt: skip
    save_bundle(tmp_path / "b", card.new_detector(), card)
    assert read_card(tmp_path / "b") == card
    assert len(bundle_sha256(tmp_path / "b")) == 64


def test_a_card_is_read_without_torch(saved: tuple[Path, Detector]) -> None:
    code = (
        "import sys; from trueshot.bundle import read_card; "
        f"read_card({str(saved[0])!r}); assert 'torch' not in sys.modules"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
