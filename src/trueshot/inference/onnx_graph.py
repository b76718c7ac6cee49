"""A detector of photographs as an ONNX graph, from bytes of crops to the verdict; without torch."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import ModelProto, TensorProto, helper, numpy_helper

from trueshot.card import Card

Weights = Mapping[str, npt.NDArray[np.float32]]

KEY = "trueshot"
FORMAT = 1
INPUT = "crops"
VERDICTS = ("original", "recaptured", "undecided")  # as the graph numbers them

_OPSET, _IR = 17, 8  # known to every onnxruntime since 1.12
_FARTHEST = 1e100  # as in `Calibration`
_TRIMMED = 0.2  # as in `CropAggregator`


class Graph:
    """Nodes and constants of a graph that is being written; values are known by their names."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def constant(self, values: npt.ArrayLike, kind: npt.DTypeLike = np.float32) -> str:
        """Enter an array, by default as float32."""
        name = f"c{len(self.constants)}"
        array = np.ascontiguousarray(values, kind).reshape(np.shape(values))
        self.constants.append(numpy_helper.from_array(array, name))
        return name

    def add(self, operation: str, *inputs: str, gives: str = "", **settings: Any) -> str:
        """Enter a step.

        Args:
            operation: Its name in ONNX.
            inputs: Names of what it takes.
            gives: Name of what it gives; by default a new one.
            settings: Its attributes.

        Returns:
            The name of what it gives; of the last thing, if it gives several.
        """
        given = gives or f"v{len(self.nodes)}"
        outputs = [f"{given}_values", given] if operation == "TopK" else [given]
        self.nodes.append(helper.make_node(operation, inputs, outputs, **settings))
        return given

    def integers(self, values: Sequence[int]) -> str:
        """Enter integers, such as a shape, as int64."""
        return self.constant(values, np.int64)

    def double(self, number: float) -> str:
        """Enter a number as float64, in which scores are computed from logits on."""
        return self.constant(number, np.float64)


def graph_of(card: Card, weights: Weights, bundle: str) -> ModelProto:
    """Write a detector as a graph.

    The graph takes `crops`, bytes (n, side, side, 3), n ≥ 1, and gives `scores`, float64 (n,);
    `score`, float64 (), their aggregate; `log10_lr`, float64 (), if the card has a calibration;
    and `verdict`, int64 (), a place in `VERDICTS`. The verdict is that of the score: which crops
    to take of a photograph, and whether it is like those calibrated, is not in the graph.

    Args:
        card: Of the bundle.
        weights: Of the bundle, by name.
        bundle: SHA-256 of the bundle, which the graph's metadata name.

    Raises:
        BundleError: Weights and card do not fit each other, or a network that is not known here.
        ValueError: Not two classes, or the card does not say the size of a crop.
    """
    from trueshot.inference.onnx_networks import logits_of  # it writes with what is defined here

    if len(card.classes) != 2:
        raise ValueError(f"two classes wanted, got {card.classes}")
    contract, graph = card.input_contract(), Graph()
    logits = logits_of(graph, _levels(graph, card), card, weights)
    scores = _margins(graph, logits)
    score = _aggregated(graph, scores, contract.aggregation)
    outputs = [
        helper.make_tensor_value_info("scores", TensorProto.DOUBLE, ["n"]),
        helper.make_tensor_value_info("score", TensorProto.DOUBLE, []),
    ]
    if card.calibration is not None:
        _calibrated(graph, score, card)
        outputs.append(helper.make_tensor_value_info("log10_lr", TensorProto.DOUBLE, []))
    _decided(graph, score, card)
    outputs.append(helper.make_tensor_value_info("verdict", TensorProto.INT64, []))
    shape: list[str | int | None] = ["n", contract.side, contract.side, 3]
    crops = helper.make_tensor_value_info(INPUT, TensorProto.UINT8, shape)
    written = helper.make_graph(graph.nodes, KEY, [crops], outputs, graph.constants)
    opset = [helper.make_opsetid("", _OPSET)]
    model = helper.make_model(written, opset_imports=opset, ir_version=_IR, producer_name=KEY)
    text = card.model_dump(mode="json")
    digest = digest_of(model, text)
    facts = {"format": FORMAT, "bundle": bundle, "digest": digest, "card": text}
    helper.set_model_props(model, {KEY: json.dumps(facts)})
    return model


def digest_of(model: ModelProto, card: Mapping[str, Any]) -> str:
    """SHA-256 over the steps and constants of a graph and the card as it is written.

    As that of a bundle it finds damage and careless changes, and none that are made on purpose.
    """
    found = hashlib.sha256(json.dumps(card, sort_keys=True).encode())
    for node in model.graph.node:
        settings = [f"{each.name}={helper.get_attribute_value(each)}" for each in node.attribute]
        line = [node.op_type, *node.input, "→", *node.output, *sorted(settings)]
        found.update(repr(line).encode())
    for constant in model.graph.initializer:
        found.update(repr([constant.name, constant.data_type, *constant.dims]).encode())
        found.update(constant.raw_data)
    return found.hexdigest()


def _levels(graph: Graph, card: Card) -> str:
    """Bytes (n, side, side, 3) as what the network takes, float32 (n, 3, side, side)."""
    levels = graph.add("Cast", INPUT, to=TensorProto.FLOAT)
    levels = graph.add("Transpose", levels, perm=[0, 3, 1, 2])
    if card.offset != 0.0 or card.scale != 1.0:
        levels = graph.add("Sub", levels, graph.constant(card.offset))
        levels = graph.add("Div", levels, graph.constant(card.scale))
    return levels


def _margins(graph: Graph, logits: str) -> str:
    exact = graph.add("Cast", logits, to=TensorProto.DOUBLE)
    both = [graph.add("Gather", exact, graph.constant(k, np.int64), axis=1) for k in (1, 0)]
    return graph.add("Sub", *both, gives="scores")


def _aggregated(graph: Graph, scores: str, how: str) -> str:
    if how == "mean":
        return graph.add("ReduceMean", scores, gives="score", keepdims=0)
    if how == "max":
        return graph.add("ReduceMax", scores, gives="score", keepdims=0)
    count = graph.add("Shape", scores)
    if how == "median":
        one, two = graph.constant([1], np.int64), graph.constant([2], np.int64)
        left = graph.add("Div", graph.add("Sub", count, one), two)
    else:
        exact = graph.add("Cast", count, to=TensorProto.DOUBLE)
        left = graph.add("Floor", graph.add("Mul", exact, graph.double(_TRIMMED)))
        left = graph.add("Cast", left, to=TensorProto.INT64)
    order = graph.add("TopK", scores, count, largest=0)
    ranked = graph.add("Gather", scores, order)
    chosen = graph.add("Slice", ranked, left, graph.add("Sub", count, left))
    return graph.add("ReduceMean", chosen, gives="score", keepdims=0)


def _calibrated(graph: Graph, score: str, card: Card) -> str:
    calibration = card.calibration
    assert calibration is not None
    if calibration.slope is not None and calibration.intercept is not None:
        far = graph.double(-_FARTHEST), graph.double(_FARTHEST)
        value = graph.add("Min", graph.add("Max", score, far[0]), far[1])
        value = graph.add("Mul", value, graph.double(calibration.slope))
        value = graph.add("Add", value, graph.double(calibration.intercept))
        value = graph.add("Div", value, graph.double(math.log(10)))
    else:
        value = _interpolated(graph, score, calibration.knots, calibration.values)
    value = graph.add("Max", value, graph.double(calibration.lower))
    return graph.add("Min", value, graph.double(calibration.upper), gives="log10_lr")


def _interpolated(
    graph: Graph, score: str, knots: tuple[float, ...], values: tuple[float, ...]
) -> str:
    """As `numpy.interp`: a straight line between knots, the nearest value outside them."""
    if len(knots) == 1:
        return graph.double(values[0])
    inside = graph.add("Min", score, graph.double(knots[-1]))
    inside = graph.add("Max", inside, graph.double(knots[0]))
    # The piece that it lies on: how many of the knots but the first and last are not above it.
    reached = graph.add("GreaterOrEqual", inside, graph.constant(knots[1:-1], np.float64))
    numbers = graph.add("Cast", reached, to=TensorProto.INT64)
    piece = graph.add("ReduceSum", numbers, keepdims=0)
    slopes = np.diff(values) / np.diff(knots)
    start, value, slope = (
        graph.add("Gather", graph.constant(each, np.float64), piece)
        for each in (knots[:-1], values[:-1], slopes)
    )
    return graph.add("Add", graph.add("Mul", graph.add("Sub", inside, start), slope), value)


def _decided(graph: Graph, score: str, card: Card) -> str:
    original, recaptured, undecided = (
        graph.constant(number, np.int64) for number in range(len(VERDICTS))
    )
    if card.decision is None:
        low = high = graph.double(0.0)
        is_recaptured = graph.add("Greater", score, high)
    else:
        low = graph.double(card.decision.original_to)
        high = graph.double(card.decision.recaptured_from)
        is_recaptured = graph.add("GreaterOrEqual", score, high)
    is_original = graph.add("LessOrEqual", score, low)
    below = graph.add("Where", is_original, original, undecided)
    return graph.add("Where", is_recaptured, recaptured, below, gives="verdict")
