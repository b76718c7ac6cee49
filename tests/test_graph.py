"""Judging with onnxruntime: scores as with torch, no torch loaded, hostile files refused."""

from __future__ import annotations

import contextlib
import hashlib
import json
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from conftest import HANGS
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper

from trueshot import bundle as bundles
from trueshot.bundle import (
    bundle_sha256,
    load_bundle,
    read_bundle,
    read_card,
    save_bundle,
    upgrade_bundle,
    write_bundle,
)
from trueshot.card import Card, InputContract
from trueshot.errors import BundleError
from trueshot.graph import digest_of, read_graph, write_graph
from trueshot.inference import Predictor
from trueshot.inference.crop_model import CropModel
from trueshot.inference.predictor import log_odds
from trueshot.networks import NETWORKS
from trueshot.networks.front_ends import FRONT_ENDS
from trueshot.onnx import export_onnx
from trueshot.parity import logits_by_torch
from trueshot.pixels import to_levels

SIDE = 32
LCNN = {"name": "lcnn", "filters": [2, 3, 4, 5, 6]}
SPECTRAL = {"name": "spectral", "window": 16, "filters": [3, 4]}
LIPSCHITZ = {"name": "lipschitz", "window": 16, "rings": 3, "units": [4]}


def bundle_of(path: Path, network: dict[str, Any] = LCNN, **card: Any) -> Path:
    """A bundle with weights and statistics that are not those of a fresh network."""
    card = {"contract": InputContract(side=SIDE, crops=4), "offset": 3.5, "scale": 2.0, **card}
    made = Card(network=network, **card)
    with torch.random.fork_rng():
        torch.manual_seed(3)
        detector = made.new_detector().train()
        for layer in detector.modules():
            if isinstance(layer, torch.nn.BatchNorm2d):
                layer.momentum = 0.95  # at once, almost, its statistics are those of what is judged
        with torch.no_grad():
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


@pytest.fixture(scope="module")
def whole_file(bundle: Path) -> Path:
    path = bundle.with_name("detector.onnx")
    export_onnx(*load_bundle(bundle), bundle_sha256(bundle), path)
    return path


@pytest.fixture
def exported(whole_file: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(whole_file, tmp_path))


@pytest.mark.parametrize("side", [32, 40, 50])
@pytest.mark.parametrize(
    "network", [*({**LCNN, "front": front} for front in FRONT_ENDS), SPECTRAL], ids=str
)
def test_scores_are_those_of_torch(tmp_path: Path, network: dict[str, Any], side: int) -> None:
    contract = InputContract(side=side)
    path = bundle_of(tmp_path / "detector.safetensors", network, contract=contract)
    wanted = log_odds(logits_by_torch(load_bundle(path)[0])(crops(side=side)))
    assert np.std(wanted) > 0.02  # there is something to be wrong about
    np.testing.assert_allclose(model_of(path)(crops(side=side)), wanted, rtol=0, atol=1e-5)


def model_of(path: Path) -> CropModel:
    return CropModel.of(read_bundle(path), path)


@pytest.mark.parametrize(
    "network", [LCNN, SPECTRAL, LIPSCHITZ], ids=["lcnn", "spectral", "lipschitz"]
)
def test_the_weights_lie_in_a_bundle_once(tmp_path: Path, network: dict[str, Any]) -> None:
    bundle = read_bundle(bundle_of(tmp_path / "detector.safetensors", network))
    assert bundle.graph is not None
    learned = {name for name in bundle.weights if "num_batches" not in name}
    within = {each["name"] for each in bundle.graph["graph"]["initializer"]}
    named = {name for node in bundle.graph["graph"]["node"] for name in node["input"]}
    assert named >= learned
    assert not within & learned


def test_equal_detectors_give_equal_bundles_and_a_bundle_comes_back_whole(
    bundle: Path, tmp_path: Path
) -> None:
    detector, card = load_bundle(bundle)
    again = tmp_path / "again.safetensors"
    save_bundle(again, detector, card)
    assert again.read_bytes() == bundle.read_bytes()
    write_bundle(again, read_bundle(bundle))
    assert again.read_bytes() == bundle.read_bytes()


@pytest.mark.parametrize("format", [1, 2])
def test_bundles_of_older_formats_get_their_graph_when_it_is_wanted(
    bundle: Path, tmp_path: Path, format: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = tmp_path / "old.safetensors"
    monkeypatch.setattr("trueshot.bundle.FORMAT", format)
    write_bundle(old, replace(read_bundle(bundle), graph=None))
    assert read_card(old).format == format
    np.testing.assert_array_equal(model_of(old)(crops()), model_of(bundle)(crops()))
    monkeypatch.setattr("trueshot.bundle.importlib.util.find_spec", lambda _: None)
    with pytest.raises(BundleError, match=r"old\.safetensors: .* pip install 'trueshot\[train\]'"):
        model_of(old)


class Foreign(torch.nn.Module):
    """A network that has no graph: what it does depends on what it is given."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(3, classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.layer(images.mean((2, 3)))
        return found + torch.linalg.svdvals(images[:, 0]).amax()


def test_a_network_that_cannot_be_exported_is_kept_without_a_graph(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(NETWORKS, "foreign", Foreign)
    card = Card(network={"name": "foreign"}, side=SIDE)
    path = tmp_path / "foreign.safetensors"
    save_bundle(path, card.new_detector().eval(), card)
    assert read_bundle(path).graph is None
    assert load_bundle(path)[1].network == card.network
    with pytest.raises(BundleError, match=r"foreign\.safetensors: .* cannot be written as ONNX"):
        Predictor.load(path)


def test_a_network_of_anybodys_is_judged_by_its_logits_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def mean(classes: int) -> torch.nn.Module:
        layers = torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(3, classes)
        return torch.nn.Sequential(*layers)

    monkeypatch.setitem(NETWORKS, "mean", mean)
    path = bundle_of(tmp_path / "mean.safetensors", {"name": "mean"})
    wanted = log_odds(logits_by_torch(load_bundle(path)[0])(crops()))
    model = model_of(path)
    np.testing.assert_allclose(model(crops()), wanted, rtol=0, atol=1e-4)
    assert model.judged(crops())[1] is None
    assert model.first_layer(crops()[0]) is None


def test_a_photograph_is_judged_alike_from_either_file(bundle: Path, exported: Path) -> None:
    photograph = np.random.default_rng(1).integers(0, 256, (150, 200, 3), np.uint8)
    wanted, found = (Predictor.load(path).predict(photograph) for path in (bundle, exported))
    assert found.corners == wanted.corners
    assert found.verdict == wanted.verdict
    assert found.score == pytest.approx(wanted.score, abs=1e-5)


def test_a_crop_is_scored_the_same_in_any_company(bundle: Path) -> None:
    model = model_of(bundle)
    many = crops(800)  # more than are computed at once
    whole = model(many)
    assert whole.shape == (800,)
    np.testing.assert_allclose(model(many[300:301]), whole[300:301], rtol=0, atol=1e-6)
    assert model(many[:0]).shape == (0,)


def test_an_onnx_file_is_not_run_by_torch(exported: Path) -> None:
    with pytest.raises(BundleError, match=r"detector\.onnx: .* use the bundle that it was"):
        _ = Predictor.load(exported).detector


def test_an_onnx_file_does_not_become_a_bundle(exported: Path) -> None:
    out = exported.with_name("hollow.safetensors")
    with pytest.raises(BundleError, match=r"detector\.onnx: an ONNX file has no weights"):
        upgrade_bundle(exported, out)
    assert not out.exists()


def test_neither_a_bundle_nor_an_onnx_file_needs_torch(bundle: Path, exported: Path) -> None:
    script = (
        "import sys, numpy\n"
        "from trueshot.inference import Predictor\n"
        "pixels = numpy.random.default_rng(0).integers(0, 256, (99, 99, 3), 'uint8')\n"
        f"for path in ({str(bundle)!r}, {str(exported)!r}):\n"
        "    print(Predictor.load(path).predict(pixels).score)\n"
        "print({'torch', 'onnx'} & sys.modules.keys())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True
    )
    *scores, heavy = done.stdout.splitlines()
    assert heavy == "set()"
    assert float(scores[0]) == pytest.approx(float(scores[1]), abs=1e-5)


def test_a_worker_forked_from_a_prepared_server_judges(bundle: Path, exported: Path) -> None:
    """What is loaded before the fork must not keep what comes after from computing."""
    script = (
        "import multiprocessing, numpy, sys\n"
        "from trueshot.inference import Predictor\n"
        f"def score(path): return Predictor.load(path).predict(PIXELS).score\n"
        "PIXELS = numpy.random.default_rng(0).integers(0, 256, (99, 99, 3), 'uint8')\n"
        "if __name__ == '__main__':\n"
        f"    paths = [{str(bundle)!r}, {str(exported)!r}]\n"
        "    here = [score(path) for path in paths]\n"
        "    with multiprocessing.get_context('fork').Pool(2) as pool:\n"
        f"        print(pool.map_async(score, paths).get({HANGS}) == here)\n"
    )
    file = exported.with_name("forks.py")
    file.write_text(script, "utf-8")
    done = subprocess.run([sys.executable, str(file)], check=True, capture_output=True, text=True)
    assert done.stdout == "True\n"


def test_a_session_computes_on_one_thread(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    session = onnxruntime.InferenceSession

    def watched(data: bytes, options: Any, **rest: Any) -> Any:
        asked.append((options.intra_op_num_threads, options.inter_op_num_threads))
        return session(data, options, **rest)

    monkeypatch.setattr(onnxruntime, "InferenceSession", watched)
    model = model_of(bundle)
    assert asked == [(1, 1)]
    model.first_layer(crops(4)[0])  # what explains is loaded when it is asked for
    assert asked == [(1, 1), (1, 1)]


def test_what_is_read_is_written_again_to_the_byte(exported: Path) -> None:
    whole = exported.read_bytes()
    assert write_graph(read_graph(whole)) == whole
    onnx.checker.check_model(onnx.ModelProto.FromString(whole), full_check=True)


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
    facts = json.loads(model.metadata_props[0].value) | {"format": 99}
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


def nameless_output(model: onnx.ModelProto) -> None:
    model.graph.output[0].ClearField("name")


def torn_name(model: onnx.ModelProto) -> bytes:
    """A name that is no UTF-8, which protobuf gives as bytes."""
    whole: bytes = model.SerializeToString()
    return whole.replace(b"kernel_shape", b"kernel\xffshape", 1)


def more_inputs(model: onnx.ModelProto) -> None:
    model.graph.input.append(helper.make_tensor_value_info("more", 1, [1]))


def without_nodes(model: onnx.ModelProto) -> None:
    del model.graph.node[:]


def without_outputs(model: onnx.ModelProto) -> None:
    del model.graph.output[:]


def of_a_million_dimensions(model: onnx.ModelProto) -> None:
    """Their product alone would take hours."""
    model.graph.initializer[0].dims.extend([2**62] * 1_000_000)


CHANGED = "changed after it was written"

HOSTILE: list[tuple[Callable[[onnx.ModelProto], bytes | None], str]] = [
    (external, "field 13 of 'tensor'"),
    (external_beside_its_data, "field 13 of 'tensor'"),
    (inside_a_setting, "the operator :Constant"),
    (in_a_known_step, CHANGED),
    (branch, "field 6 of 'attribute'"),
    (foreign, r"the operator evil\.example:Relu"),
    (library, "operator sets .*com.microsoft"),
    (function, "field 25 of 'model'"),
    (sparse, "field 15 of 'graph'"),
    (endless, r"1\d\d\d nodes"),
    (otherwise_written, "field 4 of 'tensor'"),
    (larger_weight, CHANGED),
    (other_step, CHANGED),
    (other_setting, CHANGED),
    (other_threshold, CHANGED),
    (no_card, "a network but no trueshot card"),
    (two_cards, "a network but no trueshot card"),
    (card_of_tomorrow, "format 99"),
    (card_with_more, "card is damaged"),
    (deep_card, "card is damaged"),
    (no_scores, CHANGED),
    (nameless_output, r"the outputs \(''"),
    (torn_name, "not an ONNX file exported by trueshot"),
    (more_inputs, "an input that is not crops"),
    (without_nodes, "0 nodes"),
    (without_outputs, "no outputs"),
    (of_a_million_dimensions, r"a constant of 1\d* dimensions"),
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
    facts = json.loads(model.metadata_props[0].value)
    external(model)
    digest = hashlib.sha256(json.dumps(facts["card"], sort_keys=True).encode())
    digest.update(model.SerializeToString())
    facts["digest"] = digest.hexdigest()
    model.metadata_props[0].value = json.dumps(facts)
    exported.write_bytes(model.SerializeToString())
    with pytest.raises(BundleError, match="field 13 of 'tensor'"):
        Predictor.load(exported)


def test_crops_of_another_size_than_the_card_says_are_found_at_once(exported: Path) -> None:
    model = onnx.ModelProto.FromString(exported.read_bytes())
    facts = json.loads(model.metadata_props[0].value)
    facts["card"]["contract"]["side"] = 2 * SIDE
    facts["digest"] = digest_of(read_graph(exported.read_bytes()), facts["card"])
    model.metadata_props[0].value = json.dumps(facts)
    exported.write_bytes(model.SerializeToString())
    with pytest.raises(BundleError, match="its graph does not take crops of 64 px"):
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
    with pytest.raises(BundleError, match=r"none\.onnx: no such file"):
        Predictor.load(exported.with_name("none.onnx"))
    with pytest.raises(BundleError, match=r"folder\.onnx: is a folder; give the detector in it"):
        Predictor.load(folder)
    monkeypatch.setattr(bundles, "_MOST_BYTES", 1000)
    with pytest.raises(BundleError, match="is larger than the limit of 1,000 bytes"):
        Predictor.load(exported)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_damaged_file_is_refused_or_judges_the_same(
    tmp_path_factory: pytest.TempPathFactory, whole_file: Path, data: st.DataObject
) -> None:
    whole = whole_file.read_bytes()
    place = data.draw(st.integers(0, len(whole) - 1))
    kept = whole[:place]
    if data.draw(st.booleans()):  # one byte changed, and not the rest cut off
        kept += bytes([whole[place] ^ data.draw(st.integers(1, 255))]) + whole[place + 1 :]
    path = tmp_path_factory.mktemp("damaged") / "detector.onnx"
    path.write_bytes(kept)
    with contextlib.suppress(BundleError):
        np.testing.assert_array_equal(model_of(path)(crops(4)), model_of(whole_file)(crops(4)))


HOSTILE_GRAPHS = [
    change
    for change, reason in HOSTILE
    if reason != CHANGED and "card" not in reason and "format" not in reason
]


@pytest.mark.parametrize("change", HOSTILE_GRAPHS, ids=lambda each: each.__name__)
def test_a_hostile_graph_in_a_bundle_with_a_fitting_digest_is_refused(
    bundle: Path, tmp_path: Path, change: Callable[[onnx.ModelProto], bytes | None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    read = read_bundle(bundle)
    assert read.graph is not None
    model = onnx.ModelProto.FromString(write_graph(read.graph))
    data = change(model) or model.SerializeToString()
    monkeypatch.setattr(bundles, "write_graph", lambda _: data)
    path = tmp_path / "hostile.safetensors"
    write_bundle(path, read)
    with pytest.raises(BundleError, match=r"hostile\.safetensors: "):
        Predictor.load(path)


@pytest.mark.parametrize(
    ("network", "reason"),
    [
        ({"name": "alexnet"}, "network 'alexnet': unknown"),
        ({**LCNN, "front": "none_such"}, "its weights do not match"),
        ({**LCNN, "depth": 3}, "its weights do not match"),
        ({"name": "spectral", "window": 2**30, "filters": [3, 4]}, "its weights do not match"),
        ({"name": "spectral", "window": 16, "filters": [3, 4, 5]}, "its weights do not match"),
        ({"name": "spectral", "window": 16, "filters": 3}, "its weights do not match"),
        (
            {"name": "spectral", "window": 16, "filters": [3, 4], "floor": 0},
            "its weights do not match",
        ),
    ],
    ids=str,
)
def test_weights_that_are_of_another_network_are_refused(
    tmp_path: Path, network: dict[str, Any], reason: str
) -> None:
    made = LCNN if network["name"] == "lcnn" else SPECTRAL
    path = bundle_of(tmp_path / "detector.safetensors", made)
    read = read_bundle(path)
    write_bundle(path, replace(read, card=read.card.model_copy(update={"network": network})))
    with pytest.raises(BundleError, match=rf"detector\.safetensors: .*{reason}"):
        load_bundle(path)


def test_weights_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    path = bundle_of(tmp_path / "detector.safetensors")
    detector, card = load_bundle(path)
    detector.network.classifier.bias.data[0] = torch.nan
    save_bundle(path, detector, card)
    with pytest.raises(BundleError, match="contains weights that are not finite"):
        Predictor.load(path)


def test_a_detector_without_a_size_judges_no_photographs(tmp_path: Path) -> None:
    sizeless = bundle_of(tmp_path / "sizeless.safetensors", contract=None)
    with pytest.raises(BundleError, match=r"sizeless.safetensors: cannot judge photographs"):
        Predictor.load(sizeless)


def test_a_detector_of_three_classes_gives_logits_and_names_the_likeliest(tmp_path: Path) -> None:
    three = bundle_of(tmp_path / "three.safetensors", classes=("a", "b", "c"))
    predictor, detector = Predictor.load(three), load_bundle(three)[0]
    given = crops()
    with torch.no_grad():
        wanted = detector(to_levels(given)).double()
    np.testing.assert_allclose(predictor.scores(given), wanted.numpy(), atol=1e-4)
    odds = wanted[:, 1:].logsumexp(1) - wanted[:, 0]
    np.testing.assert_allclose(predictor.crop_scores(given), odds.numpy(), atol=1e-4)
    model = predictor.scores
    assert isinstance(model, CropModel)
    maps = model.judged(given)[1]
    assert maps is not None
    np.testing.assert_allclose(maps.mean((1, 2)), odds.numpy(), atol=1e-3)
    found = predictor.predict(given[-1])
    assert found.verdict == ("not a" if odds[-1] > 0 else "a")
    assert found.top_class == ("b", "c")[int(wanted[-1, 1:].argmax())]
