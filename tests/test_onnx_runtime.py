"""Judging with onnxruntime: scores as with torch, no torch loaded, hostile files refused."""

from __future__ import annotations

import contextlib
import json
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper

from trueshot.bundle import save_bundle
from trueshot.card import Card, InputContract
from trueshot.errors import BundleError
from trueshot.inference import Predictor, onnx_networks, onnx_reading
from trueshot.inference.backends import with_torch
from trueshot.inference.onnx_graph import digest_of
from trueshot.inference.onnx_reading import read_facts
from trueshot.inference.onnx_runtime import serialised, with_onnx
from trueshot.networks import _NETWORKS
from trueshot.networks.front_ends import FRONT_ENDS
from trueshot.pixels import to_levels

SIDE = 32
LCNN = {"name": "lcnn", "filters": [2, 3, 4, 5, 6]}
SPECTRAL = {"name": "spectral", "window": 16, "filters": [3, 4]}


def bundle_of(path: Path, network: dict[str, Any] = LCNN, **card: Any) -> Path:
    """A bundle with weights and statistics that are not those of a fresh network."""
    card = {"contract": InputContract(side=SIDE, crops=4), "offset": 3.5, "scale": 2.0, **card}
    made = Card(network=network, **card)
    with torch.random.fork_rng():
        torch.manual_seed(3)
        detector = made.new_detector().train()
        with torch.no_grad():
            for _ in range(30):  # until the statistics are those of what is judged
                detector(to_levels(crops()))
            for value in detector.parameters():
                value.mul_(1.0 + 0.5 * torch.rand_like(value))
    save_bundle(path, detector.eval(), made)
    return path


def crops(count: int = 40, side: int = SIDE) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Noise, from none to all that bytes can hold."""
    random = np.random.default_rng(5)
    noise = random.uniform(-127, 127, (count, side, side, 3))
    strength = np.linspace(0, 1, count)[:, None, None, None]
    return np.round(128 + noise * strength).astype(np.uint8)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bundle_of(tmp_path_factory.mktemp("bundle") / "detector.safetensors")


@pytest.fixture
def exported(bundle: Path, tmp_path: Path) -> Path:
    path = tmp_path / "detector.onnx"
    path.write_bytes(serialised(bundle, Predictor.load(bundle).card))
    return path


@pytest.mark.parametrize("side", [32, 40, 50])
@pytest.mark.parametrize(
    "network", [*({**LCNN, "front": front} for front in FRONT_ENDS), SPECTRAL], ids=str
)
def test_scores_are_those_of_torch(tmp_path: Path, network: dict[str, Any], side: int) -> None:
    contract = InputContract(side=side)
    path = bundle_of(tmp_path / "detector.safetensors", network, contract=contract)
    wanted = with_torch(torch_detector(path))(crops(side=side))
    _, margins = with_onnx(path)
    assert np.std(wanted) > 0.02  # there is something to be wrong about
    np.testing.assert_allclose(margins(crops(side=side)), wanted, rtol=0, atol=1e-5)


def torch_detector(path: Path) -> Any:
    from trueshot.bundle import load_bundle

    return load_bundle(path)[0]


def test_every_network_and_front_end_is_known_to_onnx() -> None:
    assert onnx_networks._NETWORKS.keys() == _NETWORKS.keys()
    assert onnx_networks._FRONT_ENDS.keys() == FRONT_ENDS.keys()


def test_a_photograph_is_judged_as_with_torch(bundle: Path, exported: Path) -> None:
    photograph = np.random.default_rng(1).integers(0, 256, (150, 200, 3), np.uint8)
    wanted = Predictor.load(bundle).predict(photograph)
    for predictor in (
        Predictor.load(bundle, "onnx"),
        Predictor.load(exported),
        Predictor.load(exported, "onnx"),
    ):
        found = predictor.predict(photograph)
        assert found.corners == wanted.corners
        assert found.verdict == wanted.verdict
        assert found.score == pytest.approx(wanted.score, abs=1e-5)


def test_a_crop_is_scored_the_same_in_any_company(bundle: Path) -> None:
    _, margins = with_onnx(bundle)
    many = crops(800)  # more than are computed at once
    whole = margins(many)
    assert whole.shape == (800,)
    np.testing.assert_allclose(margins(many[300:301]), whole[300:301], rtol=0, atol=1e-6)
    assert margins(many[:0]).shape == (0,)


def test_an_onnx_file_is_not_run_by_torch(exported: Path) -> None:
    with pytest.raises(BundleError, match=r"detector\.onnx: .* give its bundle"):
        Predictor.load(exported, "torch")


def test_neither_a_bundle_nor_an_onnx_file_needs_torch(bundle: Path, exported: Path) -> None:
    script = (
        "import sys, numpy\n"
        "from trueshot.inference import Predictor\n"
        "pixels = numpy.random.default_rng(0).integers(0, 256, (99, 99, 3), 'uint8')\n"
        f"for path in ({str(bundle)!r}, {str(exported)!r}):\n"
        "    assert Predictor.load(path, 'onnx').predict(pixels).score is not None\n"
        "assert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_a_worker_forked_from_a_prepared_server_judges(bundle: Path, exported: Path) -> None:
    """What is loaded before the fork must not keep what comes after from computing."""
    script = (
        "import multiprocessing, numpy, sys\n"
        "from trueshot.inference import Predictor\n"
        f"def score(path): return Predictor.load(path, 'onnx').predict(PIXELS).score\n"
        "PIXELS = numpy.random.default_rng(0).integers(0, 256, (99, 99, 3), 'uint8')\n"
        "if __name__ == '__main__':\n"
        f"    paths = [{str(bundle)!r}, {str(exported)!r}]\n"
        "    here = score(paths[0])\n"
        "    with multiprocessing.get_context('fork').Pool(2) as pool:\n"
        "        assert pool.map_async(score, paths).get(30) == [here, here]\n"
    )
    file = exported.with_name("forks.py")
    file.write_text(script, "utf-8")
    subprocess.run([sys.executable, str(file)], check=True)


def test_a_session_computes_on_one_thread(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    session = onnxruntime.InferenceSession

    def watched(data: bytes, options: Any, **rest: Any) -> Any:
        asked.append((options.intra_op_num_threads, options.inter_op_num_threads))
        return session(data, options, **rest)

    monkeypatch.setattr(onnxruntime, "InferenceSession", watched)
    with_onnx(bundle)
    assert asked == [(1, 1)]


def test_what_to_install_is_said(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(BundleError, match=r"detector\.safetensors: .*trueshot\[onnx\]"):
        Predictor.load(bundle, "onnx")


def external(model: onnx.ModelProto) -> None:
    weight = model.graph.initializer[-1]
    weight.ClearField("raw_data")
    weight.data_location = onnx.TensorProto.EXTERNAL
    weight.external_data.add(key="location", value="../../../../etc/passwd")


def external_beside_its_data(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].external_data.add(key="location", value="/etc/passwd")


def inside_a_setting(model: onnx.ModelProto) -> None:
    """A constant within a step, which could lie in another file unseen."""
    constant = onnx.numpy_helper.from_array(np.zeros(3, np.float32))
    model.graph.node.append(helper.make_node("Constant", [], ["more"], value=constant))


def in_a_known_step(model: onnx.ModelProto) -> None:
    tensor = onnx.numpy_helper.from_array(np.zeros(3, np.float32))
    model.graph.node[0].attribute.append(helper.make_attribute("value", tensor))


def branch(model: onnx.ModelProto) -> None:
    inner = helper.make_graph([], "inner", [], [])
    node = helper.make_node("If", ["verdict"], ["more"], then_branch=inner, else_branch=inner)
    model.graph.node.append(node)


def foreign(model: onnx.ModelProto) -> None:
    model.graph.node.append(helper.make_node("Relu", ["score"], ["more"], domain="evil.example"))


def library(model: onnx.ModelProto) -> None:
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))


def function(model: onnx.ModelProto) -> None:
    opset = [helper.make_opsetid("", 17)]
    model.functions.append(helper.make_function("", "Relu", ["a"], ["b"], [], opset))


def sparse(model: onnx.ModelProto) -> None:
    model.graph.sparse_initializer.add()


def endless(model: onnx.ModelProto) -> None:
    model.graph.node.extend([helper.make_node("Relu", ["v0"], [f"more{k}"]) for k in range(1000)])


def otherwise_written(model: onnx.ModelProto) -> None:
    weight = model.graph.initializer[0]
    weight.ClearField("raw_data")
    weight.float_data.extend([0.0] * 1)


def larger_weight(model: onnx.ModelProto) -> None:
    weight = model.graph.initializer[-1]
    weight.raw_data = weight.raw_data[:-8] + np.float64(1e9).tobytes()


def other_step(model: onnx.ModelProto) -> None:
    next(node for node in model.graph.node if node.op_type == "Relu").op_type = "Floor"


def other_setting(model: onnx.ModelProto) -> None:
    pool = next(node for node in model.graph.node if node.op_type == "AveragePool")
    setting = next(each for each in pool.attribute if each.name == "count_include_pad")
    setting.i = 0


def other_threshold(model: onnx.ModelProto) -> None:
    facts = json.loads(model.metadata_props[0].value)
    facts["card"]["offset"] = 0.0
    model.metadata_props[0].value = json.dumps(facts)


def no_card(model: onnx.ModelProto) -> None:
    del model.metadata_props[:]


def two_cards(model: onnx.ModelProto) -> None:
    model.metadata_props.append(model.metadata_props[0])


def card_of_tomorrow(model: onnx.ModelProto) -> None:
    facts = json.loads(model.metadata_props[0].value) | {"format": 2}
    model.metadata_props[0].value = json.dumps(facts)


def card_with_more(model: onnx.ModelProto) -> None:
    facts = json.loads(model.metadata_props[0].value)
    facts["card"]["run"] = "__import__('os').abort()"
    model.metadata_props[0].value = json.dumps(facts)


def deep_card(model: onnx.ModelProto) -> None:
    model.metadata_props[0].value = "[" * 100_000


def no_scores(model: onnx.ModelProto) -> None:
    kept = [output for output in model.graph.output if output.name != "scores"]
    del model.graph.output[:]
    model.graph.output.extend(kept)


def torn_name(model: onnx.ModelProto) -> bytes:
    """A name that is no UTF-8, which protobuf gives as bytes."""
    whole: bytes = model.SerializeToString()
    return whole.replace(b"kernel_shape", b"kernel\xffshape", 1)


def more_inputs(model: onnx.ModelProto) -> None:
    model.graph.input.append(helper.make_tensor_value_info("more", 1, [1]))


HOSTILE: list[tuple[Callable[[onnx.ModelProto], bytes | None], str]] = [
    (external, "another file"),
    (external_beside_its_data, "another file"),
    (inside_a_setting, "a step :Constant"),
    (in_a_known_step, "with something in it"),
    (branch, "a step :If"),
    (foreign, r"a step evil\.example:Relu"),
    (library, "operators of its own"),
    (function, "functions"),
    (sparse, "sparse"),
    (endless, r"1\d\d\d steps"),
    (otherwise_written, "another form"),
    (larger_weight, "changed after it was written"),
    (other_step, "changed after it was written"),
    (other_setting, "changed after it was written"),
    (other_threshold, "changed after it was written"),
    (no_card, "without a trueshot card"),
    (two_cards, "without a trueshot card"),
    (card_of_tomorrow, "update trueshot"),
    (card_with_more, "card is damaged"),
    (deep_card, "card is damaged"),
    (no_scores, "fails on crops"),
    (torn_name, "changed after it was written"),
    (more_inputs, "fails on crops"),
]


@pytest.mark.parametrize(
    ("change", "reason"), HOSTILE, ids=lambda each: getattr(each, "__name__", "")
)
def test_a_hostile_file_is_refused_with_its_name_and_the_reason(
    exported: Path, change: Callable[[onnx.ModelProto], bytes | None], reason: str
) -> None:
    model = onnx.ModelProto.FromString(exported.read_bytes())
    changed = change(model)
    exported.write_bytes(changed or model.SerializeToString())
    with pytest.raises(BundleError, match=rf"detector\.onnx: .*{reason}"):
        Predictor.load(exported)


def test_whoever_writes_a_fitting_digest_still_gets_no_file_opened(exported: Path) -> None:
    model = onnx.ModelProto.FromString(exported.read_bytes())
    external(model)
    facts = json.loads(model.metadata_props[0].value)
    facts["digest"] = digest_of(model, facts["card"])
    model.metadata_props[0].value = json.dumps(facts)
    exported.write_bytes(model.SerializeToString())
    with pytest.raises(BundleError, match="another file"):
        Predictor.load(exported)


def test_crops_of_another_size_than_the_card_says_are_found_at_once(exported: Path) -> None:
    model = onnx.ModelProto.FromString(exported.read_bytes())
    facts = json.loads(model.metadata_props[0].value)
    facts["card"]["contract"]["side"] = 2 * SIDE
    facts["digest"] = digest_of(model, facts["card"])
    model.metadata_props[0].value = json.dumps(facts)
    exported.write_bytes(model.SerializeToString())
    with pytest.raises(BundleError, match="fails on crops of 64 px"):
        Predictor.load(exported)


CONTENTS = [
    ("empty", b""),
    ("text", b"this is no network"),
    ("zeros", bytes(1000)),
    ("pickle", pickle.dumps({"a": 1})),
    ("deep", b"\x3a\x7f" * 4000),
]


@pytest.mark.parametrize(("name", "content"), CONTENTS)
def test_what_is_no_onnx_file_of_ours_is_refused(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / f"{name}.onnx"
    path.write_bytes(content)
    with pytest.raises(BundleError, match=rf"{name}\.onnx: "):
        Predictor.load(path)


def test_a_missing_file_a_folder_and_a_huge_file_are_refused(
    exported: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = exported.with_name("folder.onnx")
    folder.mkdir()
    for path in (exported.with_name("none.onnx"), folder):
        with pytest.raises(BundleError, match=r"\.onnx: no such file"):
            Predictor.load(path)
    monkeypatch.setattr(onnx_reading, "_MOST_BYTES", 1000)
    with pytest.raises(BundleError, match="no detector of ours"):
        Predictor.load(exported)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_damaged_file_is_refused_or_judges_the_same(
    tmp_path_factory: pytest.TempPathFactory, bundle: Path, data: st.DataObject
) -> None:
    whole = serialised(bundle, Predictor.load(bundle, "onnx").card)
    place = data.draw(st.integers(0, len(whole) - 1))
    kept = whole[:place]
    if data.draw(st.booleans()):  # one byte changed, and not the rest cut off
        kept += bytes([whole[place] ^ data.draw(st.integers(1, 255))]) + whole[place + 1 :]
    path = tmp_path_factory.mktemp("damaged") / "detector.onnx"
    path.write_bytes(kept)
    with contextlib.suppress(BundleError):
        found = with_onnx(path)[1](crops(4))
        np.testing.assert_array_equal(found, with_onnx(bundle)[1](crops(4)))


def test_a_file_says_which_bundle_it_was_made_of(bundle: Path, exported: Path) -> None:
    from trueshot.bundle import bundle_sha256

    facts = read_facts(exported)
    assert facts.bundle == bundle_sha256(bundle)
    assert facts.card == Predictor.load(bundle).card


@pytest.mark.parametrize(
    ("network", "reason"),
    [
        ({"name": "resnet"}, "network 'resnet': not known to ONNX"),
        ({**LCNN, "front": "none_such"}, "do not fit each other"),
        ({**LCNN, "depth": 3}, "do not fit each other"),
        ({"name": "spectral", "window": 2**30, "filters": [3, 4]}, "do not fit each other"),
        ({"name": "spectral", "window": 16, "filters": [3, 4, 5]}, "do not fit each other"),
        ({"name": "spectral", "window": 16, "filters": 3}, "do not fit each other"),
        (
            {"name": "spectral", "window": 16, "filters": [3, 4], "floor": 0},
            "do not fit each other",
        ),
    ],
    ids=str,
)
def test_weights_that_are_of_another_network_are_refused(
    tmp_path: Path, network: dict[str, Any], reason: str
) -> None:
    made = LCNN if network["name"] == "lcnn" else SPECTRAL
    path = bundle_of(tmp_path / "detector.safetensors", made)
    card = Predictor.load(path).card.model_copy(update={"network": network})
    with pytest.raises(BundleError, match=rf"detector\.safetensors: .*{reason}"):
        serialised(path, card)


def test_weights_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    path = bundle_of(tmp_path / "detector.safetensors")
    detector, card = torch_detector(path), Predictor.load(path).card
    detector.network.classifier.bias.data[0] = torch.nan
    save_bundle(path, detector, card)
    with pytest.raises(BundleError, match="no finite numbers"):
        Predictor.load(path, "onnx")


def test_a_detector_of_three_classes_or_without_a_size_judges_no_photographs(
    tmp_path: Path,
) -> None:
    three = bundle_of(tmp_path / "three.safetensors", classes=("a", "b", "c"))
    sizeless = bundle_of(tmp_path / "sizeless.safetensors", contract=None)
    for path in (three, sizeless):
        with pytest.raises(BundleError, match=rf"{path.name}: cannot judge photographs"):
            Predictor.load(path, "onnx")
