"""Detectors from elsewhere: one logit or two, either order of classes, modules and ONNX files."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from conftest import Linear, levels
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from trueshot.attacks import FGSM, PGD, perturb
from trueshot.detector import Detector
from trueshot.evaluation import external
from trueshot.evaluation.external import (
    AdaptedNetwork,
    InputSpec,
    OnnxNetwork,
    OutsideDetectorError,
    fingerprint,
    load_outside,
    wrapped,
)

MODULE = """
import torch
from torch import nn

class Judge(nn.Module):
    def __init__(self, outputs=2, kind="right"):
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.Linear(3 * 16 * 16, outputs)
        self.kind = kind

    def forward(self, images):
        if self.kind == "raising":
            raise ZeroDivisionError("by nothing")
        if self.kind == "writing":
            images.sub_(100.0)
        logits = self.layer(images.flatten(1))
        if self.kind == "nan":
            return logits * float("nan")
        if self.kind == "number":
            return 3
        if self.kind == "shut":
            return logits.detach()
        return logits[0] if self.kind == "first" else logits

ready = Judge()
def one(): return Judge(1)
def three(): return Judge(3)
def nan(): return Judge(kind="nan")
def number(): return Judge(kind="number")
def first(): return Judge(kind="first")
def raising(): return Judge(kind="raising")
def writing(): return Judge(kind="writing")
def shut(): return Judge(kind="shut")
def broken(): raise OSError("weights are gone")
def nothing(): return None
value = 7
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The import path of a file of somebody else's, in the working folder."""
    (tmp_path / "somebodys.py").write_text(MODULE, "utf-8")
    (tmp_path / "faulty.py").write_text("import no_such_thing", "utf-8")
    monkeypatch.chdir(tmp_path)
    yield "somebodys"
    for name in ("somebodys", "faulty"):
        sys.modules.pop(name, None)


class OneLogit(nn.Module):
    """The second logit of a linear network less the first."""

    def __init__(self, flat: bool) -> None:
        super().__init__()
        self.two = Linear()
        self.flat = flat

    def forward(self, images: Tensor) -> Tensor:
        logits = self.two(images)
        difference = logits[:, 1:] - logits[:, :1]
        return difference.flatten() if self.flat else difference


@pytest.mark.parametrize("flat", [True, False])
def test_one_logit_gives_the_verdicts_and_attacks_of_two(flat: bool) -> None:
    images, labels = levels(9, 4), torch.arange(9) % 2
    one, two = wrapped(OneLogit(flat), InputSpec()), Detector(Linear())
    torch.testing.assert_close(one.probabilities(images), two.probabilities(images))
    for attack in (FGSM(budget=3.0), PGD(budget=3.0, steps=3)):
        found = [perturb(attack, each, images, labels) for each in (one, two)]
        assert torch.equal(*found)


def test_classes_in_the_other_order_are_turned_round() -> None:
    images, labels = levels(9, 4), torch.arange(9) % 2
    plain = Detector(Linear())
    for network in (Linear(), OneLogit(True)):
        turned = wrapped(network, InputSpec(positive_class=0))
        expected = plain.probabilities(images).flip(1)
        torch.testing.assert_close(turned.probabilities(images), expected)
        found = perturb(FGSM(budget=2.0), turned, images, labels)
        assert torch.equal(found, perturb(FGSM(budget=2.0), plain, images, 1 - labels))


def test_the_network_sees_what_its_contract_says() -> None:
    seen: list[Tensor] = []

    class Spy(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            seen.append(images)
            return images.flatten(1)[:, :2]

    contract = InputSpec(offset=5, scale=255, mean=(0.1, 0.2, 0.3), std=(0.5, 0.6, 0.7))
    images = levels(2, 4)
    wrapped(Spy(), contract).probabilities(images)
    shown = images.numpy()
    expected = ((shown - 5) / 255 - np.reshape([0.1, 0.2, 0.3], (3, 1, 1))) / np.reshape(
        [0.5, 0.6, 0.7], (3, 1, 1)
    )
    np.testing.assert_allclose(seen[0].numpy(), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "settings", [{"scale": 0.0}, {"std": (1.0, 0.0, 1.0)}, {"positive_class": 2}]
)
def test_a_contract_that_makes_no_sense_is_refused(settings: dict[str, object]) -> None:
    with pytest.raises(OutsideDetectorError):
        InputSpec(**settings)  # type: ignore[arg-type]


@pytest.mark.parametrize("attribute", ["ready", "Judge", "one"])
@pytest.mark.parametrize("suffix", ["", ".py"])
def test_a_module_is_found_by_its_import_path(module: str, attribute: str, suffix: str) -> None:
    path_before = list(sys.path)
    detector, differentiable = load_outside(f"{module}{suffix}:{attribute}", side=16)
    assert sys.path == path_before
    assert differentiable
    assert not detector.training
    assert detector.probabilities(levels(3, 16)).shape == (3, 2)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("somebodys", "must be module:attribute"),
        ("somebodys:", "must be module:attribute"),
        ("nowhere.at.all:ready", "cannot import nowhere.at.all: ModuleNotFoundError"),
        ("nowhere.py:ready", "No such file"),
        ("faulty:ready", "No module named 'no_such_thing'"),
        ("somebodys:missing", "has no attribute missing"),
        ("somebodys:value", "must be an nn.Module or a callable that returns one, got 7"),
        ("somebodys:nothing", "returned NoneType, not an nn.Module"),
        ("somebodys:broken", "OSError: weights are gone"),
        ("somebodys:three", r"got shape \(2, 3\) for 2 images"),
        ("somebodys:first", r"got shape \(2,\) for 1 images"),
        ("somebodys:number", "must return a float tensor of logits, got int"),
        ("somebodys:nan", "logits that are not finite"),
        ("missing.onnx", "no such file"),
        ("somebodys:raising", r"Judge fails on images of shape .*ZeroDivisionError: by nothing"),
        ("somebodys:writing", "Judge changes its input images in place"),
    ],
)
def test_what_is_no_detector_is_refused_by_name(module: str, source: str, message: str) -> None:
    with pytest.raises(OutsideDetectorError, match=message) as caught:
        load_outside(source, side=16)
    assert str(caught.value).startswith(source.split(":")[0])
    assert "\n" not in str(caught.value)


def test_a_network_that_fails_later_is_named_too(module: str) -> None:
    detector, _ = load_outside("somebodys:ready", side=16)
    network = detector.network.network
    for kind, said in (("raising", "Judge fails"), ("writing", "Judge changes its input")):
        network.kind = kind
        with pytest.raises(OutsideDetectorError, match=said):
            detector.probabilities(levels(2, 16))


def test_images_of_the_wrong_size_are_named(module: str) -> None:
    with pytest.raises(OutsideDetectorError, match=r"images of shape \(2, 3, 20, 20\)"):
        load_outside("somebodys:ready", side=20)


def test_a_module_through_which_no_gradient_leads_is_noticed(module: str) -> None:
    assert load_outside("somebodys:shut", side=16)[1] is False


def test_the_fingerprint_is_that_of_weights_and_contract(module: str) -> None:
    detector, _ = load_outside("somebodys:ready", side=16)
    first = fingerprint(detector, "somebodys:ready", InputSpec())
    assert fingerprint(detector, "somebodys:ready", InputSpec()) == first
    assert fingerprint(detector, "somebodys:ready", InputSpec(scale=255.0)) != first
    with torch.no_grad():
        detector.network.network.layer.bias[0] += 1e-3
    assert fingerprint(detector, "somebodys:ready", InputSpec()) != first


def test_the_fingerprint_of_a_file_changes_with_its_code(tmp_path: Path) -> None:
    found = []
    for factor in (1, 2):
        (tmp_path / "net.py").write_text(
            MODULE.replace("self.layer(images", f"{factor} * self.layer(images")
        )
        source = f"{tmp_path}/net.py:ready"
        found.append(fingerprint(load_outside(source, side=16)[0], source))
    assert found[0] != found[1]


def test_files_of_one_name_are_not_mistaken_for_each_other(tmp_path: Path) -> None:
    """Nor are their helpers of one name, one of which has that of a standard module."""
    said = []
    for number in (1.0, 2.0):
        folder = tmp_path / f"{number:g}"
        folder.mkdir()
        (folder / "statistics.py").write_text("import layer\nBIAS = layer.BIAS")
        (folder / "layer.py").write_text(f"BIAS = {number}")
        (folder / "net.py").write_text(
            "import statistics\nfrom torch import nn\n"
            "class Net(nn.Module):\n"
            "    def forward(self, images):\n"
            "        return images.mean((1, 2, 3)) * 0 + statistics.BIAS\n"
        )
        detector, _ = load_outside(f"{folder}/net.py:Net", side=16)
        said.append(float(detector(levels(1, 16))[0, 1]))
    assert said == [1.0, 2.0]
    import statistics

    assert statistics.mean([1, 3]) == 2


def test_the_fingerprint_of_an_onnx_file_is_that_of_its_weights_beside_it(tmp_path: Path) -> None:
    found = []
    for seed in (0, 1):
        path = tmp_path / "net.onnx"
        write_onnx(path)
        model = onnx.load(path)
        onnx.save(model, path, save_as_external_data=True, location="net.data", size_threshold=0)
        data = bytearray((tmp_path / "net.data").read_bytes())
        data[0] ^= seed
        (tmp_path / "net.data").write_bytes(bytes(data))
        found.append(fingerprint(load_outside(str(path), side=4)[0], str(path)))
    assert found[0] != found[1]


def test_only_weights_in_its_folder_count_for_the_fingerprint_of_an_onnx_file(
    tmp_path: Path,
) -> None:
    path = tmp_path / "net.onnx"
    write_onnx(path)
    detector, _ = load_outside(str(path), side=4)
    alone = fingerprint(detector, str(path))
    (tmp_path / "weight").write_text("no weights, but called like a tensor of the file")
    assert fingerprint(detector, str(path)) == alone
    model = onnx.load(path)
    onnx.save(model, path, save_as_external_data=True, location="net.data", size_threshold=0)
    path.write_bytes(path.read_bytes().replace(b"net.data", b"../a.bin"))
    with pytest.raises(OutsideDetectorError, match=r"outside its folder: \.\./a\.bin"):
        fingerprint(detector, str(path))


def test_a_network_of_more_classes_keeps_them(module: str) -> None:
    spec = InputSpec(classes=("original", "blurred", "noisy"))
    detector, _ = load_outside("somebodys:three", spec, side=16)
    assert detector.classes == spec.classes
    assert detector(levels(2, 16)).shape == (2, 3)
    with pytest.raises(OutsideDetectorError, match="must return 3 logits per image"):
        load_outside("somebodys:one", spec, side=16)


def write_onnx(path: Path, batch: int | str = "n", outputs: int = 2, side: int = 4) -> Linear:
    """A linear network as an ONNX file, and as ours."""
    network = Linear(side=side, classes=outputs)
    tensors = [
        numpy_helper.from_array(network.weight.detach().numpy(), "weight"),
        numpy_helper.from_array(network.bias.detach().numpy(), "bias"),
    ]
    nodes = [
        helper.make_node("Flatten", ["images"], ["flat"], axis=1),
        helper.make_node("Gemm", ["flat", "weight", "bias"], ["logits"], transB=1),
    ]
    graph = helper.make_graph(
        nodes,
        "judge",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, [batch, 3, side, side])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [batch, outputs])],
        tensors,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, path)
    return network


@pytest.mark.parametrize("batch", ["n", 1, 4])
def test_an_onnx_file_says_what_the_network_says(tmp_path: Path, batch: int | str) -> None:
    network = write_onnx(tmp_path / "judge.onnx", batch)
    detector, differentiable = load_outside(str(tmp_path / "judge.onnx"), side=4)
    assert not differentiable
    images = levels(7, 4)
    torch.testing.assert_close(
        detector.probabilities(images), Detector(network).probabilities(images)
    )


@dataclass(frozen=True, kw_only=True)
class Guessing:
    """Asks the detector about random corners of the budget, and keeps what it likes least."""

    budget: float
    draws: int = 20

    def __call__(self, detector: Detector, images: Tensor, labels: Tensor) -> Tensor:
        random, best = torch.Generator().manual_seed(0), images
        with torch.no_grad():
            for _ in range(self.draws):
                signs = torch.randint(0, 2, images.shape[1:], generator=random) * 2 - 1
                found = (images + self.budget * signs).clamp(0, 255)
                scores = [detector(each).gather(1, labels[:, None]) for each in (found, best)]
                lower = (scores[0] < scores[1])[:, :, None, None]
                best = torch.where(lower, found, best)
        return best


def test_an_attack_that_only_asks_does_to_an_onnx_file_what_it_does_to_the_network(
    tmp_path: Path,
) -> None:
    network = write_onnx(tmp_path / "judge.onnx")
    detector, _ = load_outside(str(tmp_path / "judge.onnx"), side=4)
    images, labels = levels(6, 4), torch.arange(6) % 2
    attack = Guessing(budget=4.0)
    theirs = perturb(attack, detector, images, labels)
    assert torch.equal(theirs, perturb(attack, Detector(network), images, labels))
    assert not torch.equal(theirs, images)


def test_an_onnx_file_that_is_none_or_of_other_shapes_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.onnx").write_text("no network")
    with pytest.raises(
        OutsideDetectorError, match=r"text\.onnx: cannot be loaded as an ONNX network"
    ):
        load_outside(str(tmp_path / "text.onnx"), side=4)
    write_onnx(tmp_path / "three.onnx", outputs=3)
    with pytest.raises(
        OutsideDetectorError, match=r"three\.onnx: .* return 2 logits per image, or one"
    ):
        load_outside(str(tmp_path / "three.onnx"), side=4)
    write_onnx(tmp_path / "small.onnx", side=4)
    with pytest.raises(OutsideDetectorError, match=r"small\.onnx.*fails on images of shape"):
        load_outside(str(tmp_path / "small.onnx"), side=8)


def write_endless(path: Path) -> None:
    """An ONNX file that adds 1 to its logits for ever."""
    logits = helper.make_tensor_value_info("before", TensorProto.FLOAT, [None, 2])
    body = helper.make_graph(
        [
            helper.make_node("Add", ["before", "one"], ["after"]),
            helper.make_node("Identity", ["go"], ["on"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("step", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            logits,
        ],
        [
            helper.make_tensor_value_info("on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("after", TensorProto.FLOAT, [None, 2]),
        ],
    )
    constants = [
        numpy_helper.from_array(np.float32(1), "one"),
        numpy_helper.from_array(np.array(True), "true"),
        numpy_helper.from_array(np.array([0, 1]), "first two"),
        numpy_helper.from_array(np.array([2, 3]), "down and across"),
    ]
    nodes = [
        helper.make_node("ReduceMean", ["images", "down and across"], ["means"], keepdims=0),
        helper.make_node("Gather", ["means", "first two"], ["begun"], axis=1),
        helper.make_node("Loop", ["", "true", "begun"], ["logits"], body=body),
    ]
    graph = helper.make_graph(
        nodes,
        "endless",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["n", 3, 4, 4])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [None, 2])],
        constants,
    )
    opsets = [helper.make_opsetid("", 18)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), path)


def test_an_onnx_file_that_does_not_end_is_left_and_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_endless(tmp_path / "endless.onnx")
    monkeypatch.setattr(external, "_SECONDS", 0.5)
    monkeypatch.setattr(external, "_SECONDS_AN_IMAGE", 0.0)
    with pytest.raises(OutsideDetectorError, match=r"endless\.onnx: .*takes longer than 0\.5 s"):
        load_outside(str(tmp_path / "endless.onnx"), side=4)


def test_without_onnxruntime_the_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_onnx(tmp_path / "judge.onnx")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(OutsideDetectorError, match="pip install onnxruntime"):
        OnnxNetwork(tmp_path / "judge.onnx")


def test_a_detector_of_ours_keeps_its_own_contract(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ours.py").write_text(
        "from conftest import Linear\nfrom trueshot.detector import Detector\n"
        "def make(): return Detector(Linear(), scale=7.0)\n"
    )
    detector, differentiable = load_outside(f"{tmp_path}/ours.py:make", InputSpec(scale=3.0), 4)
    assert differentiable
    assert detector.scale == 7.0
    assert not isinstance(detector.network, AdaptedNetwork)
