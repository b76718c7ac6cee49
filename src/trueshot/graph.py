"""A detector's computation as an ONNX graph: parsed strictly, written anew, run by onnxruntime.

A graph may come from anyone. This module knows only the part of the format that a detector needs:
arithmetic on tensors stored in the file. Functions, branches, loops, operators of other domains,
and constants in other files (which could be any file on this machine) are unknown to it, so a file
that contains them is refused. onnxruntime does not get the original file, but one written from what
was parsed.
"""

from __future__ import annotations

import hashlib
import json
import math
import struct
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from trueshot.errors import BundleError

Message = dict[str, Any]
"""An ONNX message: fields by name; repeated fields are lists."""

INPUT = "crops"
OUTPUTS = {
    *("scores", "logits", "score", "log_odds", "log10_lr", "verdict"),
    *("evidence", "filtered", "spectrum"),
}

_MOST_STEPS = 1000
_MOST_DIMS = 32  # as in NumPy; the product of millions of large ones would take hours
_OPSETS = range(13, 22)
_MOST_IR = 10

# Field numbers, names and types of https://github.com/onnx/onnx/blob/main/onnx/onnx.proto; an
# asterisk marks a repeated field.
_KINDS: dict[str, dict[int, tuple[str, str]]] = {
    "model": {
        1: ("ir_version", "int"),
        2: ("producer_name", "text"),
        3: ("producer_version", "text"),
        7: ("graph", "graph"),
        8: ("opset_import", "opset*"),
        14: ("metadata_props", "entry*"),
    },
    "opset": {1: ("domain", "text"), 2: ("version", "int")},
    "entry": {1: ("key", "text"), 2: ("value", "text")},
    "graph": {
        1: ("node", "node*"),
        2: ("name", "text"),
        5: ("initializer", "tensor*"),
        11: ("input", "value*"),
        12: ("output", "value*"),
    },
    "node": {
        1: ("input", "text*"),
        2: ("output", "text*"),
        4: ("op_type", "text"),
        5: ("attribute", "attribute*"),
        7: ("domain", "text"),
    },
    "attribute": {
        1: ("name", "text"),
        2: ("f", "float"),
        3: ("i", "int"),
        4: ("s", "bytes"),
        5: ("t", "tensor"),
        8: ("ints", "int*"),
        20: ("type", "int"),
    },
    "tensor": {
        1: ("dims", "int*"),
        2: ("data_type", "int"),
        8: ("name", "text"),
        9: ("raw_data", "bytes"),
    },
    "value": {1: ("name", "text"), 2: ("type", "type")},
    "type": {1: ("tensor_type", "tensor type")},
    "tensor type": {1: ("elem_type", "int"), 2: ("shape", "shape")},
    "shape": {1: ("dim", "dimension*")},
    "dimension": {1: ("dim_value", "int"), 2: ("dim_param", "text")},
}
_NUMBER, _PART, _FLOAT = 0, 2, 5  # wire types of protocol buffers
_WRITTEN = {"int": _NUMBER, "float": _FLOAT}

_EMPTY: Message = {"name": "", "data_type": 2, "dims": [0]}
_TYPES: dict[int, np.dtype[Any]] = {
    1: np.dtype("<f4"),
    2: np.dtype("u1"),
    6: np.dtype("<i4"),
    7: np.dtype("<i8"),
    9: np.dtype("?"),
    10: np.dtype("<f2"),
    11: np.dtype("<f8"),
}

# Operators that networks use; none for control flow or random numbers.
_STEPS = {
    *("Abs", "Add", "And", "ArgMax", "ArgMin", "AveragePool", "BatchNormalization", "Cast", "Ceil"),
    *("Clip", "Concat", "ConstantOfShape", "Conv", "ConvTranspose", "Cos", "CumSum"),
    *("DepthToSpace", "Div", "Elu", "Equal", "Erf", "Exp", "Expand", "Flatten", "Floor", "Gather"),
    *("Gelu", "Gemm", "GlobalAveragePool", "GlobalMaxPool", "Greater", "GreaterOrEqual"),
    *("GroupNormalization", "HardSigmoid", "HardSwish", "Identity", "InstanceNormalization"),
    *("LayerNormalization", "LeakyRelu", "Less", "LessOrEqual", "Log", "LogSoftmax", "MatMul"),
    *("Max", "MaxPool", "Min", "Mish", "Mod", "Mul", "Neg", "Not", "Or", "PRelu", "Pad", "Pow"),
    *("Reciprocal", "ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMax"),
    *("ReduceMean", "ReduceMin", "ReduceProd", "ReduceSum", "ReduceSumSquare", "Relu", "Reshape"),
    *("Resize", "Round", "Selu", "Shape", "Sigmoid", "Sign", "Sin", "Slice", "Softmax"),
    *("Softplus", "Softsign", "SpaceToDepth", "Split", "Sqrt", "Squeeze", "Sub", "Sum", "Tanh"),
    *("TopK", "Transpose", "Unsqueeze", "Where", "Xor"),
}


def read_graph(data: bytes) -> Message:
    """Parse an ONNX model, if it contains nothing but what a detector needs.

    Args:
        data: The serialised model.

    Raises:
        ValueError: The model is damaged, or contains something that no detector needs.
    """
    model = _decoded(data, "model")
    for fault in _faults(model):
        raise ValueError(f"it has {fault}, which no trueshot detector has, so it is not run")
    return model


def write_graph(model: Message) -> bytes:
    """Serialise a model for `read_graph`; equal models give equal bytes."""
    return _encoded(model, "model")


def with_weights(model: Message, weights: Mapping[str, npt.NDArray[Any]]) -> Message:
    """Return the model with the weights that its nodes use added as constants."""
    graph = model["graph"]
    named = {name for node in graph["node"] for name in node.get("input", [])}
    named -= {each["name"] for each in graph.get("initializer", [])}
    constants = [tensor(name, weights[name]) for name in sorted(named & weights.keys())]
    constants = [*graph.get("initializer", []), *constants]
    return {**model, "graph": {**graph, "initializer": constants}}


def without_weights(model: Message, names: Sequence[str]) -> Message:
    """Return the model without the constants of these names."""
    graph = model["graph"]
    kept = [each for each in graph.get("initializer", []) if each["name"] not in names]
    return {**model, "graph": {**graph, "initializer": kept}}


def narrowed(model: Message) -> Message:
    """Return the model with its constants in half precision, to halve its size in a file."""
    return _converted(model, np.dtype("<f4"), np.dtype("<f2"))


def widened(model: Message) -> Message:
    """Return a model of `narrowed` with its constants in single precision, as it runs."""
    return _converted(model, np.dtype("<f2"), np.dtype("<f4"))


def _converted(model: Message, before: np.dtype[Any], after: np.dtype[Any]) -> Message:
    graph = model["graph"]
    constants = [
        tensor(each["name"], values_of(each).astype(after))
        if _TYPES[each["data_type"]] == before
        else each
        for each in graph.get("initializer", [])
    ]
    return {**model, "graph": {**graph, "initializer": constants}}


def values_of(constant: Message) -> npt.NDArray[Any]:
    """Return the array that a constant holds."""
    values = np.frombuffer(constant.get("raw_data", b""), _TYPES[constant["data_type"]])
    return values.reshape(constant.get("dims", []))


def tensor(name: str, values: npt.NDArray[Any]) -> Message:
    """Return an array as a constant.

    Raises:
        ValueError: The array's type is not supported.
    """
    kinds = [number for number, kind in _TYPES.items() if kind == values.dtype.newbyteorder("<")]
    if not kinds:
        raise ValueError(f"{name}: unsupported data type {values.dtype}")
    raw = np.ascontiguousarray(values, _TYPES[kinds[0]]).tobytes()
    dims = [int(size) for size in values.shape]
    return {"dims": dims, "data_type": kinds[0], "name": name, "raw_data": raw}


def digest_of(model: Message, card: Mapping[str, Any]) -> str:
    """Compute the SHA-256 of a graph's nodes and constants and of the card as it is written.

    Like the digest of a bundle, it detects damage and careless changes, not deliberate ones.
    """
    found = hashlib.sha256(json.dumps(card, sort_keys=True).encode())
    found.update(write_graph({**model, "metadata_props": []}))
    return found.hexdigest()


def outputs_of(model: Message) -> tuple[str, ...]:
    """Return the names of a model's outputs; an output without a name has an empty one."""
    return tuple(each.get("name", "") for each in model["graph"].get("output", []))


def side_of(model: Message) -> int:
    """Return the height and width of the crops that a model takes.

    Raises:
        ValueError: The model does not take crops.
    """
    try:
        (given,) = model["graph"]["input"]
        kind = given["type"]["tensor_type"]
        _, height, width, colours = kind["shape"]["dim"]
        side = int(height["dim_value"])
        wanted = (INPUT, 2, side, 3)
        found = (given["name"], kind["elem_type"], width["dim_value"], colours["dim_value"])
    except (KeyError, ValueError, TypeError):
        raise ValueError("an input that is not crops") from None
    if found != wanted or not 16 <= side <= 1024:
        raise ValueError(f"the input {found}")
    return side


def session(model: Message, outputs: Sequence[str], name: object) -> Any:
    """Create a silent onnxruntime session on one CPU thread.

    Args:
        model: The whole model, with its weights.
        outputs: Names of the outputs; nodes that only other outputs need are not computed.
        name: Name for error messages.

    Raises:
        BundleError: onnxruntime rejects the graph.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1  # one core per worker process
    options.log_severity_level = 4
    given = [each for each in model["graph"]["output"] if each["name"] in outputs]
    data = write_graph({**model, "graph": {**model["graph"], "output": given}})
    try:
        return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's exceptions have no base class of their own
        raise BundleError(f"{name}: onnxruntime cannot load it: {first_line(error)}") from error


def run(
    running: Any,
    outputs: Sequence[str] | None,
    given: Mapping[str, npt.NDArray[Any]],
    seconds: float | None = None,
) -> list[npt.NDArray[Any]]:
    """Run an onnxruntime session, with an optional time limit.

    Args:
        running: The session.
        outputs: Names of the outputs; None for all.
        given: Inputs by name.
        seconds: Time limit; onnxruntime checks it between two nodes only.

    Raises:
        TimeoutError: The run took longer.
        Exception: Whatever onnxruntime raises.
    """
    if seconds is None:
        return list(running.run(outputs, given))
    import onnxruntime

    options = onnxruntime.RunOptions()
    timer = threading.Timer(seconds, setattr, (options, "terminate", True))
    timer.daemon = True
    timer.start()
    try:
        return list(running.run(outputs, given, options))
    except Exception as error:
        if options.terminate:
            raise TimeoutError(f"takes longer than {seconds:g} s") from error
        raise
    finally:
        timer.cancel()
        timer.join()  # no thread may be alive when a process forks


def first_line(error: Exception) -> str:
    """Return the first line of a foreign exception's message."""
    return (str(error).strip().splitlines() or [""])[0][:300]


def _faults(model: Message) -> Iterator[str]:
    """Yield each thing in a model that a trueshot detector never has."""
    graph = model.get("graph", {})
    opsets = [
        (each.get("domain", ""), each.get("version")) for each in model.get("opset_import", [])
    ]
    if len(opsets) != 1 or opsets[0][0] or opsets[0][1] not in _OPSETS:
        yield f"the operator sets {opsets}"
    if not 3 <= model.get("ir_version", 0) <= _MOST_IR:
        yield f"the ONNX IR version {model.get('ir_version')}"
    nodes = graph.get("node", [])
    if not 0 < len(nodes) <= _MOST_STEPS:
        yield f"{len(nodes)} nodes"
    if not graph.get("output"):
        yield "no outputs"
    for node in nodes:
        if node.get("domain") or node.get("op_type") not in _STEPS:
            yield f"the operator {node.get('domain', '')}:{node.get('op_type', '')}"
        for attribute in node.get("attribute", []):
            yield from _faults_of({"name": "", **attribute["t"]} if "t" in attribute else _EMPTY)
    for constant in graph.get("initializer", []):
        yield from _faults_of(constant)
    try:
        side_of(model)
    except ValueError as error:
        yield str(error)
    outputs = [each.get("name", "") for each in graph.get("output", [])]
    if set(outputs) - OUTPUTS or len(set(outputs)) < len(outputs):
        yield f"the outputs {tuple(outputs)}"


def _faults_of(constant: Message) -> Iterator[str]:
    kind, dims = _TYPES.get(constant.get("data_type", 0)), constant.get("dims", [])
    if len(dims) > _MOST_DIMS:
        yield f"a constant of {len(dims)} dimensions"
    elif kind is None or "name" not in constant or any(size < 0 for size in dims):
        yield "a constant of an unsupported type or shape"
    elif math.prod(dims) * kind.itemsize != len(constant.get("raw_data", b"")):
        yield f"a constant of shape {dims} in {len(constant.get('raw_data', b''))} bytes"


def _decoded(data: bytes, kind: str) -> Message:
    """Parse a protocol buffer message; nesting is bounded by `_KINDS`, so it always ends."""
    fields, found, place = _KINDS[kind], Message(), 0
    while place < len(data):
        key, place = _varint(data, place)
        number, written = key >> 3, key & 7
        if number not in fields:
            raise ValueError(
                f"it has the field {number} of {kind!r}, which no trueshot detector has"
            )
        name, wanted = fields[number]
        value: Any
        if written == _NUMBER:
            value, place = _varint(data, place)
        else:
            size, place = (4, place) if written == _FLOAT else _varint(data, place)
            value, place = data[place : place + size], place + size
            if written not in (_PART, _FLOAT) or place > len(data):
                raise ValueError("it is truncated or damaged")
        values = _values(value, written, wanted.rstrip("*"))
        if wanted.endswith("*"):
            found.setdefault(name, []).extend(values)
        elif name in found or len(values) != 1:
            raise ValueError(f"the field {name!r} of {kind!r} must have exactly one value")
        else:
            found[name] = values[0]
    return found


def _values(value: Any, written: int, kind: str) -> list[Any]:
    """Decode one field: a single value, or several packed numbers."""
    if kind == "int" and written == _PART:
        numbers, place = [], 0
        while place < len(value):
            number, place = _varint(value, place)
            numbers.append(_signed(number))
        return numbers
    if written != _WRITTEN.get(kind, _PART):
        raise ValueError("it is damaged")
    if kind == "int":
        return [_signed(value)]
    if kind == "float":
        return [struct.unpack("<f", value)[0]]
    if kind == "text":
        return [value.decode("utf-8")]
    return [value if kind == "bytes" else _decoded(value, kind)]


def _varint(data: bytes, place: int) -> tuple[int, int]:
    value = 0
    for at in range(10):
        if place + at >= len(data):
            raise ValueError("it is truncated")
        value |= (data[place + at] & 0x7F) << (7 * at)
        if data[place + at] < 0x80:
            return value, place + at + 1
    raise ValueError("it is damaged")


def _signed(value: int) -> int:
    value &= 2**64 - 1
    return value - 2**64 if value >= 2**63 else value


def _encoded(message: Message, kind: str) -> bytes:
    parts = []
    for number, (name, wanted) in _KINDS[kind].items():
        given = message.get(name, [])
        values = given if wanted.endswith("*") else [given] if name in message else []
        wanted = wanted.rstrip("*")
        for value in values:
            written = _WRITTEN.get(wanted, _PART)
            parts.append(_varint_of(number << 3 | written))
            if wanted == "int":
                parts.append(_varint_of(value % 2**64))
            elif wanted == "float":
                parts.append(struct.pack("<f", value))
            else:
                part = value if isinstance(value, bytes) else b""
                if wanted != "bytes":
                    part = value.encode() if wanted == "text" else _encoded(value, wanted)
                parts += [_varint_of(len(part)), part]
    return b"".join(parts)


def _varint_of(value: int) -> bytes:
    found = bytearray()
    while value >= 0x80:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    found.append(value)
    return bytes(found)
