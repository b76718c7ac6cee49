"""Export to ONNX: a judgement in one file, and a gate that lets no other judgement through."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import numpy_helper

from trueshot import parity
from trueshot.bundle import bundle_sha256, load_bundle, read_card, save_bundle
from trueshot.calibration import Calibration, Decision
from trueshot.card import Card, InputContract, Likeliest
from trueshot.errors import ExportError
from trueshot.graph import read_graph, write_graph
from trueshot.inference import Predictor
from trueshot.onnx import export_onnx, photograph_graph
from trueshot.parity import IMAGES, photographs
from trueshot.pixels import to_levels
from trueshot.tasks.camera_model import camera_model
from trueshot.tasks.recapture import RECAPTURE
from trueshot.tasks.task import UNDECIDED

SIDE = 16
COUNTS: dict[str, Any] = {"originals": 50, "recaptured": 50, "sources": 20}
LOGISTIC = Calibration(
    method="logistic", slope=2.0, intercept=-0.3, lower=-0.5, upper=0.6, **COUNTS
)
ISOTONIC = Calibration(
    method="isotonic", knots=(-0.5, 0.0, 0.25, 1.0), values=(-2, -0.5, 0.5, 2), lower=-1.5,
    upper=1.5, **COUNTS,
)  # fmt: skip
ONE_KNOT = Calibration(
    method="isotonic", knots=(0.1,), values=(0.25,), lower=-1.0, upper=1.0, **COUNTS
)
TWO_KNOTS = Calibration(
    method="isotonic", knots=(-0.3, 0.4), values=(-1, 1), lower=-1.0, upper=1.0, **COUNTS
)
DECISION = Decision(original_to=-0.1, recaptured_from=0.2, apcer=0.05, bpcer=0.05)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of which the scores of different photographs differ, around the thresholds."""
    card = Card(
        network={"name": "lcnn", "filters": [4] * 5},
        contract=InputContract(side=SIDE, crops=5),
        calibration=LOGISTIC,
        decision=DECISION,
    )
    images = torch.cat([to_levels(each) for each in photographs(SIDE, 5)])
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(2)
        detector = card.new_detector().train()
        for _ in range(80):  # until the statistics are those of these images
            detector(images[::4])
        logits = detector.eval()(images)
        margins = logits[:, 1] - logits[:, 0]
        last: Any = detector.network.classifier
        last.weight /= margins.std()
        last.bias[:] = last.bias / margins.std()
        last.bias[0] += margins.median() / margins.std()
    path = tmp_path_factory.mktemp("bundle") / "detector.safetensors"
    save_bundle(path, detector, card)
    return path


def with_card(bundle: Path, folder: Path, how: str, **changes: Any) -> Path:
    """The same weights, inference otherwise."""
    detector, card = load_bundle(bundle)
    contract = InputContract.model_validate({"side": SIDE, "crops": 5, "aggregation": how})
    path = folder / "detector.safetensors"
    save_bundle(path, detector, card.model_copy(update={"contract": contract, **changes}))
    return path


def exported_from(bundle: Path, out: Path) -> tuple[str, float]:
    return export_onnx(*load_bundle(bundle), bundle_sha256(bundle), out)


def opened(path: Path) -> Callable[[np.ndarray[Any, Any]], dict[str, Any]]:
    """What anybody gets of crops who knows nothing of us."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    names = [each.name for each in session.get_outputs()]
    return lambda crops: dict(zip(names, session.run(None, {"crops": crops}), strict=True))


def test_the_file_alone_judges_as_the_bundle(bundle: Path, tmp_path: Path) -> None:
    path = tmp_path / "far" / "detector.onnx"
    sha256, difference = exported_from(bundle, path)
    assert [each.name for each in path.parent.iterdir()] == ["detector.onnx"]
    assert IMAGES == 200
    assert 0 < difference <= 1e-4
    assert sha256 == bundle_sha256(path)
    assert bundle_sha256(bundle) in onnx.load(path).metadata_props[0].value
    assert read_card(path) == read_card(bundle)
    photograph = np.random.default_rng(4).integers(0, 256, (90, 70, 3), np.uint8)
    wanted, found = (
        Predictor.load(bundle).predict(photograph),
        Predictor.load(path).predict(photograph),
    )
    assert found.score == pytest.approx(wanted.score, abs=1e-6)
    assert (found.verdict, found.corners) == (wanted.verdict, wanted.corners)


def test_the_file_is_a_valid_onnx_network(bundle: Path, tmp_path: Path) -> None:
    path = tmp_path / "detector.onnx"
    exported_from(bundle, path)
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    del model.graph.node[0]
    with pytest.raises(onnx.checker.ValidationError):
        onnx.checker.check_model(model, full_check=True)


def test_equal_bundles_give_equal_files(bundle: Path, tmp_path: Path) -> None:
    first, second = (exported_from(bundle, tmp_path / f"{number}.onnx") for number in range(2))
    assert first == second


@pytest.mark.parametrize("how", ["mean", "median", "trimmed", "max"])
@pytest.mark.parametrize(
    ("calibration", "decision"),
    [
        (LOGISTIC, DECISION),
        (ISOTONIC, DECISION),
        (ONE_KNOT, None),
        (TWO_KNOTS, DECISION),
        (None, None),
    ],
)
def test_the_graph_gives_all_that_the_judge_gives(
    bundle: Path,
    tmp_path: Path,
    how: str,
    calibration: Calibration | None,
    decision: Decision | None,
) -> None:
    """The oracle is a judge whose scores are those that the graph itself gives."""
    path = with_card(bundle, tmp_path, how, calibration=calibration, decision=decision)
    (detector, card), verdicts = load_bundle(path), set()
    exported = tmp_path / "detector.onnx"
    exported.write_bytes(write_graph(photograph_graph(detector, card)))
    run = opened(exported)
    for crops in itertools.islice(photographs(SIDE, 23, seed=1), 60):
        found = run(crops)
        prediction = judged_of(card, found["scores"])
        assert found["score"] == pytest.approx(prediction.score, abs=1e-12)
        words = (*RECAPTURE.words.verdicts, UNDECIDED)
        assert words[found["verdict"]] == prediction.verdict
        assert ("log10_lr" in found) == (calibration is not None)
        if calibration is not None:
            assert found["log10_lr"] == pytest.approx(prediction.log10_lr, abs=1e-12)
        verdicts.add(prediction.verdict)
    assert verdicts >= {"original", "recaptured"}


@pytest.mark.parametrize("how", ["mean", "trimmed"])
@pytest.mark.parametrize("likeliest", [None, Likeliest(temperature=0.05, least=0.6, rejected=0.1)])
@pytest.mark.parametrize("classes", [("alpha", "beta"), ("alpha", "beta", "gamma")])
def test_where_the_likeliest_class_decides_the_graph_names_it_or_none(
    tmp_path: Path, how: Any, likeliest: Likeliest | None, classes: tuple[str, ...]
) -> None:
    """The oracle is a judge whose logits are those that the graph itself gives."""
    card = Card.of_task(
        camera_model(classes),
        network={"name": "lcnn", "filters": [4] * 5},
        contract=InputContract(side=SIDE, crops=5, aggregation=how),
        likeliest=likeliest,
    )
    with torch.random.fork_rng():
        torch.manual_seed(3)
        detector = told_apart(card.new_detector())
    exported = tmp_path / "cameras.onnx"
    export_onnx(detector, card, "0" * 64, exported)
    run = opened(exported)
    words, verdicts = (*classes, UNDECIDED), set()
    for crops in itertools.islice(photographs(SIDE, 23, seed=1), 60):
        found = run(crops)
        prediction = judged_of(card, found.get("logits", found["scores"]))
        assert found["log_odds"].shape == (len(classes),)
        assert found["log_odds"][0] == 0
        assert words[found["verdict"]] == prediction.verdict
        verdicts.add(prediction.verdict)
    assert verdicts >= {"alpha", "beta"}
    assert (UNDECIDED in verdicts) == (likeliest is not None)


def told_apart(detector: Any) -> Any:
    """A detector whose classes are each the likeliest of some generated photographs."""
    images = torch.cat([to_levels(each) for each in photographs(SIDE, 5)])
    with torch.no_grad():
        detector.train()
        for _ in range(40):  # until the statistics are those of these images
            detector(images[::4])
        logits = detector.eval()(images)
        last = detector.network.classifier
        last.weight /= logits.std(0)[:, None]
        last.bias[:] = (last.bias - logits.mean(0)) / logits.std(0)
    return detector


def judged_of(card: Card, scores: np.ndarray[Any, Any]) -> Any:
    """What a judge says of a photograph with these scores."""
    side = SIDE
    count = len(scores)
    card = card.model_copy(
        update={"contract": card.input_contract().model_copy(update={"crops": count})}
    )
    noise = np.random.default_rng(0).integers(0, 256, (side, side * count, 3), np.uint8)
    prediction = Predictor(card, lambda _: scores).predict(noise)
    assert len(prediction.corners) == count
    return prediction


def weight(model: onnx.ModelProto, factor: float) -> None:
    """One weight of the last layer, changed a little."""
    last = next(node for node in model.graph.node if node.op_type == "Gemm").input[1]
    change(model, last, lambda values: values * np.float32(factor))


def change(model: onnx.ModelProto, name: str, how: Callable[[Any], Any]) -> None:
    constant = next(each for each in model.graph.initializer if each.name == name)
    values = np.asarray(how(numpy_helper.to_array(constant)))
    constant.CopyFrom(numpy_helper.from_array(values, name))


def giving(model: onnx.ModelProto, name: str) -> onnx.NodeProto:
    return next(node for node in model.graph.node if node.output[0] == name)


def another_weight(model: onnx.ModelProto) -> None:
    weight(model, 1.001)


def another_threshold(model: onnx.ModelProto) -> None:
    step = next(node for node in model.graph.node if node.op_type == "GreaterOrEqual")
    change(model, step.input[1], lambda value: value - 0.1)


def another_aggregation(model: onnx.ModelProto) -> None:
    giving(model, giving(model, "score").input[0]).op_type = "ReduceMax"


def another_bound(model: onnx.ModelProto) -> None:
    step = giving(model, giving(model, "log10_lr").input[0])
    change(model, step.input[1], lambda value: value + 0.01)


def no_number(model: onnx.ModelProto) -> None:
    weight(model, float("nan"))


def less_said(model: onnx.ModelProto) -> None:
    del model.graph.output[-1]


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (another_weight, r"image \d+: scores differs by \d[\d.e-]+ .* nothing was written"),
        (another_threshold, r"image \d+: verdict \d instead of \d .*nothing was written"),
        (another_aggregation, r"image 0: score differs by"),
        (another_bound, r"image \d+: log10_lr differs by 0\.01"),
        (no_number, r"image 0: scores differs by nan"),
        (less_said, r"image 0: expected .*'verdict'\], got \['log10_lr', 'score', 'scores'\]"),
    ],
)
def test_a_planted_fault_is_found_and_nothing_is_written(
    bundle: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    fault: Callable[[onnx.ModelProto], None],
    reason: str,
) -> None:
    detector, card = load_bundle(bundle)
    model = onnx.ModelProto.FromString(write_graph(photograph_graph(detector, card)))
    fault(model)
    faulty = read_graph(model.SerializeToString())
    monkeypatch.setattr("trueshot.onnx.photograph_graph", lambda *_: faulty)
    out = tmp_path / "detector.onnx"
    out.write_bytes(b"as it was")
    with pytest.raises(ExportError, match=reason):
        exported_from(bundle, out)
    assert out.read_bytes() == b"as it was"
    assert [each.name for each in tmp_path.iterdir()] == ["detector.onnx"]


def test_a_difference_just_within_the_tolerance_passes_and_just_beyond_does_not() -> None:
    wanted = {"scores": np.array([1.0, 400.0]), "score": 1.0, "verdict": 1}
    near = {**wanted, "scores": np.array([1.0 + 0.9e-4, 400.0 + 7e-4])}
    assert parity._compared(wanted, near, "here") == pytest.approx(7e-4)
    for far in ([1.0 + 1.1e-4, 400.0], [1.0, 400.0 + 9e-4]):
        with pytest.raises(ExportError, match="here: scores differs"):
            parity._compared(wanted, {**wanted, "scores": np.array(far)}, "here")


def test_the_gates_photographs_are_many_and_varied() -> None:
    made = list(photographs(SIDE, 7))
    assert len(made) == 200
    assert {len(each) for each in made} >= {1, 2, 3, 4, 5, 6, 7}
    assert all(each.shape[1:] == (SIDE, SIDE, 3) and each.dtype == np.uint8 for each in made)
    assert len({each.tobytes() for each in made}) > 180
    flat = {int(each.min()) for each in made if each.min() == each.max()}
    assert flat >= {0, 255}
    deviations = [float(each.std()) for each in made]
    assert max(deviations) > 120
    assert sum(deviation > 5 for deviation in deviations) > 150
    again = list(photographs(SIDE, 7))
    assert all(np.array_equal(one, other) for one, other in zip(made, again, strict=True))


def test_a_name_by_which_it_would_not_be_known_again_is_refused(
    bundle: Path, tmp_path: Path
) -> None:
    with pytest.raises(ExportError, match=r"detector\.bin: .*must end in \.onnx"):
        exported_from(bundle, tmp_path / "detector.bin")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("side", "reason"), [(None, "the size of its crops"), (2048, "1024")])
def test_a_detector_without_crops_of_a_size_that_can_be_judged_is_refused(
    tmp_path: Path, side: int | None, reason: str
) -> None:
    card = Card(network={"name": "lcnn", "filters": [4] * 5}, side=side)
    with pytest.raises(ExportError, match=f"(?s)it cannot judge photographs: .*{reason}"):
        export_onnx(card.new_detector().eval(), card, "", tmp_path / "detector.onnx")
    assert list(tmp_path.iterdir()) == []
