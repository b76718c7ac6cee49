"""Export a detector to ONNX with PyTorch's exporter, and check that both give the same results.

The graph of a bundle takes crops and returns their scores and what explains them. The graph of an
exported file also computes the photograph's score, likelihood ratio and verdict.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import math
import os
import re
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from trueshot.card import Card
from trueshot.detector import Detector, scores_of
from trueshot.errors import ExportError
from trueshot.files import write_atomically
from trueshot.graph import (
    INPUT,
    Message,
    digest_of,
    first_line,
    read_graph,
    without_weights,
    write_graph,
)
from trueshot.networks.registry import Network
from trueshot.parity import EXPLAINING, LOG_ODDS, check_crop_graph, largest_difference

_AGAINST_CLASS_0 = 3  # number of verdicts; the graph numbers them: class 0, any other, undecided
KEY = "trueshot"
FILE_FORMAT = 2  # format 1 was written by hand and had neither evidence nor a first layer

_OPSET = 17  # supported by every onnxruntime since 1.12
_TRIMMED = 0.2  # same value as in `CropAggregator`
_FARTHEST = 1e100  # same value as in `Calibration`
_BY_CROP = ("scores", *EXPLAINING)
_DETECTOR = re.compile(r"^module\.(crops\.)?detector\.")


class Crops(nn.Module):
    """Module from crops, bytes (n, side, side, 3), to scores (n,) and what explains them.

    Args:
        detector: The detector, in evaluation mode.
    """

    def __init__(self, detector: Detector) -> None:
        super().__init__()
        self.detector = detector

    def forward(self, crops: Tensor) -> dict[str, Tensor]:
        """Return the values by the names of the graph's outputs."""
        found = self.detector.explained(crops.permute(0, 3, 1, 2).to(torch.float32))
        given = {"scores": scores_of(found.logits.double())}
        if found.logits.shape[1] > 2:
            given["logits"] = found.logits.double()
        if found.evidence is not None:
            given["evidence"] = evidence_of(found.logits.double(), found.evidence.double())
        if found.first_layer is not None:
            assert isinstance(self.detector.network, Network)
            assert self.detector.network.picture is not None
            given[self.detector.network.picture] = found.first_layer
        return given


def evidence_of(logits: Tensor, places: Tensor) -> Tensor:
    """Compute what each place contributes to its image's score; the mean over places is the score.

    A logsumexp equals the sum of its terms weighted by their softmax, plus the entropy of these
    weights. With fixed weights the score is linear in the logits, so it is the mean of values per
    place.

    Args:
        logits: Shape (n, classes), the means of `places`.
        places: Logits of each place, shape (n, classes, rows, columns).

    Returns:
        Shape (n, rows, columns).
    """
    if logits.shape[1] == 2:
        return scores_of(places)
    logs = logits[:, 1:].log_softmax(1)
    weights, entropy = logs.exp(), -(logs.exp() * logs).sum(1)
    others = (weights[:, :, None, None] * places[:, 1:]).sum(1)
    return others + entropy[:, None, None] - places[:, 0]


class Photograph(nn.Module):
    """Module from the crops of one photograph to its score, likelihood ratio and verdict.

    Args:
        detector: The detector, in evaluation mode.
        card: How the crops' scores are combined, and what the photograph's score means.
    """

    def __init__(self, detector: Detector, card: Card) -> None:
        super().__init__()
        self.crops = Crops(detector)
        self.card = card

    def forward(self, crops: Tensor) -> dict[str, Tensor]:
        """Return the values by the names of the graph's outputs."""
        given = self.crops(crops)
        score = self._score(given["scores"])
        more = {"score": score}
        if self.card.calibration is not None:
            more["log10_lr"] = self._log10_lr(score)
        top_class = self.card.decision_rule == "top-class"
        if top_class or "logits" in given:
            more[LOG_ODDS] = self._log_odds(given)
        more["verdict"] = self._likeliest(more[LOG_ODDS]) if top_class else self._verdict(score)
        return {**given, **{name: value.squeeze(0) for name, value in more.items()}}

    def _log_odds(self, given: dict[str, Tensor]) -> Tensor:
        """Combine each class's log odds against class 0 over the crops; shape (1, classes)."""
        if "logits" not in given:
            score = self._score(given["scores"])
            return torch.stack([torch.zeros_like(score), score], 1)
        columns = (given["logits"] - given["logits"][:, :1]).unbind(1)
        return torch.stack([self._score(column) for column in columns], 1)

    def _likeliest(self, log_odds: Tensor) -> Tensor:
        """Return the number of the likeliest class, or the number of classes if undecided."""
        best = log_odds.argmax(1)
        how = self.card.likeliest
        if how is None:
            return best
        found = (log_odds / _double(how.temperature)).softmax(1).amax(1)
        none = torch.full_like(best, len(self.card.classes))
        return torch.where(found >= _double(how.least), best, none)

    def _score(self, scores: Tensor) -> Tensor:
        """Combine scores as `InputContract.aggregate` does, for any number of crops."""
        how = self.card.input_contract().aggregation
        if how == "mean":
            return scores.mean(0, keepdim=True)
        if how == "max":
            return scores.amax(0, keepdim=True)
        ones = torch.ones_like(scores)
        count, rank = ones.sum(0, keepdim=True), ones.cumsum(0) - 1
        left = ((count - 1) / 2 if how == "median" else count * _TRIMMED).floor()
        chosen = (rank >= left) & (rank < count - left)
        ranked = scores.sort().values
        return torch.where(chosen, ranked, torch.zeros_like(ranked)).sum(0, keepdim=True) / (
            chosen.double().sum(0, keepdim=True)
        )

    def _log10_lr(self, score: Tensor) -> Tensor:
        calibration = self.card.calibration
        assert calibration is not None
        if calibration.slope is not None and calibration.intercept is not None:
            value = _clamped(score, -_FARTHEST, _FARTHEST) * _double(calibration.slope)
            value = (value + _double(calibration.intercept)) / _double(math.log(10))
        else:
            value = _interpolated(score, calibration.knots, calibration.values)
        return _clamped(value, calibration.lower, calibration.upper)

    def _verdict(self, score: Tensor) -> Tensor:
        decision = self.card.decision
        original, recaptured, undecided = (torch.tensor([k]) for k in range(_AGAINST_CLASS_0))
        if decision is None:
            return torch.where(score > _double(0.0), recaptured, original)
        below = torch.where(score <= _double(decision.original_to), original, undecided)
        return torch.where(score >= _double(decision.recaptured_from), recaptured, below)


def _interpolated(score: Tensor, knots: tuple[float, ...], values: tuple[float, ...]) -> Tensor:
    """Interpolate as `numpy.interp` does: linear between knots, constant outside them."""
    if len(knots) == 1:
        return torch.zeros_like(score) + _double(values[0])
    inside = _clamped(score, knots[0], knots[-1])
    # Index of the segment: the number of inner knots that are not above the score.
    piece = (inside >= torch.tensor(knots[1:-1], dtype=torch.float64)).long().sum(0, keepdim=True)
    slopes = np.diff(values) / np.diff(knots)
    start, value, slope = (
        torch.tensor(np.asarray(each, np.float64))[piece]
        for each in (knots[:-1], values[:-1], slopes)
    )
    return (inside - start) * slope + value


def _double(number: float) -> Tensor:
    """Return a number as a float64 tensor, which the exporter does not turn into float32."""
    return torch.tensor([number], dtype=torch.float64)


def _clamped(value: Tensor, low: float, high: float) -> Tensor:
    return torch.minimum(torch.maximum(value, _double(low)), _double(high))


def crop_graph(detector: Detector, side: int) -> Message:
    """Return the graph of a bundle without the weights, which the bundle stores beside it.

    Args:
        detector: The detector, in evaluation mode on the CPU.
        side: Height and width of the crops.

    Raises:
        ExportError: The network cannot be written as a graph, or the graph gives other results.
    """
    return without_weights(whole_graph(detector, side), list(detector.state_dict()))


def whole_graph(detector: Detector, side: int) -> Message:
    """Return the graph of a bundle with the weights.

    Args:
        detector: The detector, in evaluation mode on the CPU.
        side: Height and width of the crops.

    Raises:
        ExportError: The network cannot be written as a graph, or the graph gives other results.
    """
    module = Crops(detector).eval()
    model = _exported(module, side)
    check_crop_graph(module, model, side)
    return model


def photograph_graph(detector: Detector, card: Card) -> Message:
    """Return the graph of an exported file, with the weights.

    Args:
        detector: The detector, in evaluation mode on the CPU.
        card: How photographs are judged.

    Raises:
        ExportError: The network cannot be written as a graph.
        ValueError: The card does not give the crop size.
    """
    return _exported(Photograph(detector, card).eval(), card.input_contract().side)


def export_onnx(
    detector: Detector, card: Card, bundle: str, out: str | os.PathLike[str]
) -> tuple[str, float]:
    """Write a detector as one ONNX file, from the bytes of crops to the verdict on a photograph.

    The graph is first compared with the detector on 200 generated photographs. All scores must
    agree within 1e-4 (2e-6 of the score if it is above 50), and all verdicts must be the same.

    Args:
        detector: The detector, in evaluation mode on the CPU.
        card: The card of its bundle.
        bundle: SHA-256 of the bundle, recorded in the file.
        out: The file to write; an existing one is replaced.

    Returns:
        SHA-256 of the file, and the largest difference of a score.

    Raises:
        ExportError: The results differ, `out` does not end in .onnx, the detector uses more
            evidence than crops, or the card gives no crop size at which photographs can be judged.
    """
    if Path(out).suffix.lower() != ".onnx":
        raise ExportError(f"{out}: the name of an ONNX file must end in .onnx")
    if card.evidence is not None:
        raise ExportError(
            "it joins several kinds of evidence, which do not fit into one graph; only a detector "
            "of crops, such as lcnn, can be exported"
        )
    try:
        model = photograph_graph(detector, card)
    except ValueError as error:
        raise ExportError(f"it cannot judge photographs: {error}") from error
    difference = largest_difference(detector, card, model, out)
    text = card.model_dump(mode="json")
    facts = {
        "format": FILE_FORMAT,
        "bundle": bundle,
        "digest": digest_of(model, text),
        "card": text,
    }
    data = write_graph({**model, "metadata_props": [{"key": KEY, "value": json.dumps(facts)}]})
    write_atomically(Path(out), data)
    return hashlib.sha256(data).hexdigest(), difference


class _Values(nn.Module):
    """Module that returns a mapping's values as a tuple, because the exporter takes no mappings."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, crops: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.module(crops).values())


def _exported(module: nn.Module, side: int) -> Message:
    """Export a module of crops as a graph whose weights have the names they have in the detector.

    Raises:
        ExportError: The module cannot be exported.
    """
    crops = torch.zeros((2, side, side, 3), dtype=torch.uint8)
    file = io.BytesIO()
    try:
        with torch.no_grad(), warnings.catch_warnings(), _silenced():
            warnings.simplefilter("ignore")  # the exporter warns of its age and of tracing
            names = list(module(crops))
            torch.onnx.export(
                _Values(module).eval(),
                (crops,),
                file,  # type: ignore[arg-type]
                dynamo=False,  # the newer exporter needs two more packages and gives larger graphs
                opset_version=_OPSET,
                input_names=[INPUT],
                output_names=names,
                dynamic_axes={INPUT: {0: "n"}, **{n: {0: "n"} for n in names if n in _BY_CROP}},
                do_constant_folding=False,
                training=torch.onnx.TrainingMode.PRESERVE,  # keeps the weights as in the bundle
            )
        return read_graph(_cleaned(file.getvalue()))
    except Exception as error:  # a foreign network may fail in any way
        raise ExportError(f"cannot be written as ONNX: {first_line(error)}") from error


@contextlib.contextmanager
def _silenced() -> Iterator[None]:
    """Discard standard output, where the exporter prints the whole graph if it fails."""
    with contextlib.redirect_stdout(io.StringIO()):
        yield


def _cleaned(data: bytes) -> bytes:
    """Remove names, paths and constant nodes from an exported model."""
    import onnx

    model = onnx.ModelProto.FromString(data)
    graph = onnx.GraphProto(name=KEY, input=model.graph.input, output=model.graph.output)
    names = {each.name: each.name for each in (*graph.input, *graph.output)} | {"": ""}
    constants = {each.name: each for each in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "Constant":
            constants[node.output[0]] = node.attribute[0].t
            continue
        for name in node.input:
            if name in constants and name not in names:
                names[name] = (
                    _DETECTOR.sub("", name) if name.startswith("module.") else f"c{len(names)}"
                )
                array = onnx.numpy_helper.to_array(constants[name])
                graph.initializer.append(onnx.numpy_helper.from_array(array, names[name]))
        for name in node.output:
            names.setdefault(name, f"v{len(names)}")
        kept = onnx.NodeProto(op_type=node.op_type, attribute=node.attribute)
        if node.domain:
            kept.domain = node.domain
        kept.input.extend(names[name] for name in node.input)
        kept.output.extend(names[name] for name in node.output)
        graph.node.append(kept)
    kept_model = onnx.ModelProto(
        ir_version=model.ir_version,
        producer_name=KEY,
        graph=graph,
        opset_import=model.opset_import,
    )
    return bytes(kept_model.SerializeToString(deterministic=True))
