"""ONNX files of ours, read with suspicion: they may come from anybody.

What onnxruntime is given is a graph of the few kinds of steps that we write, whole in itself: none
that calls other libraries, none with branches, loops or functions, and nothing that lies in another
file, which could be any file of this machine.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

from trueshot.bundle import read_card
from trueshot.card import READABLE, Card
from trueshot.errors import BundleError

if TYPE_CHECKING:
    from onnx import ModelProto

SUFFIX = ".onnx"

_MOST_BYTES = 256 * 2**20
_MOST_STEPS = 1000
_STEPS = {
    *("Add", "AveragePool", "Cast", "Concat", "Conv", "Div", "Flatten", "Floor", "Gather", "Gemm"),
    *("GlobalAveragePool", "Greater", "GreaterOrEqual", "LessOrEqual", "Log", "MatMul", "Max"),
    *("MaxPool", "Min", "Mul", "ReduceMax", "ReduceMean", "ReduceSum", "Relu", "Reshape", "Shape"),
    *("Slice", "Sub", "TopK", "Transpose", "Where"),
}


class Facts(BaseModel):
    """What an ONNX file says of itself, in its metadata.

    Args:
        format: Version of this layout.
        bundle: SHA-256 of the bundle that it was made of.
        digest: Over graph and card.
        card: Of the bundle.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: int
    bundle: str = Field(pattern="^[0-9a-f]{64}$")
    digest: str = Field(pattern="^[0-9a-f]{64}$")
    card: Card


def read_facts(path: str | os.PathLike[str]) -> Facts:
    """What an ONNX file of ours says of itself, once it was found to be whole and harmless.

    Raises:
        BundleError: As `with_onnx`.
    """
    return facts_of(read_bytes(path), path)


def card_of(path: str | os.PathLike[str]) -> Card:
    """The card of a detector's file, whichever kind it is, once it was found to be whole.

    Args:
        path: A bundle, or an ONNX file that `trueshot export` wrote.

    Raises:
        BundleError: As `read_card`, or as `with_onnx`.
    """
    return read_facts(path).card if is_onnx(path) else read_card(path)


def is_onnx(path: str | os.PathLike[str]) -> bool:
    """Whether a detector's file is to be read as ONNX: by its suffix."""
    return Path(path).suffix.lower() == SUFFIX


def facts_of(data: bytes, path: object) -> Facts:
    """What the bytes of an ONNX file of ours say of themselves, if they are whole and harmless.

    Args:
        data: The file.
        path: What errors name.

    Raises:
        BundleError: As `with_onnx`.
    """
    check_installed(path)
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
    from onnx import ModelProto

    from trueshot.inference.onnx_graph import digest_of

    try:
        model = ModelProto.FromString(data)
    except (DecodeError, RecursionError) as error:
        raise BundleError(f"{path}: truncated, damaged, or no ONNX file") from error
    card, facts = _facts(path, model)
    for fault in _faults(model):
        raise BundleError(f"{path}: {fault}; a detector of ours has none, so it is not run")
    if facts.digest != digest_of(model, card):
        raise BundleError(
            f"{path}: was changed after it was written (its digest does not fit); export it again"
        )
    return facts


def read_bytes(path: str | os.PathLike[str]) -> bytes:
    """A file whole, if it is one and no larger than a detector of ours could be.

    Raises:
        BundleError: It is not, or cannot be read.
    """
    try:
        if not Path(path).is_file():
            raise BundleError(f"{path}: no such file")
        with Path(path).open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise BundleError(f"{path}: cannot be read: {error.strerror}") from error
    if len(data) > _MOST_BYTES:
        raise BundleError(f"{path}: more than {_MOST_BYTES >> 20} MB; no detector of ours")
    return data


def check_installed(path: object) -> None:
    """Say what to install, if onnx and onnxruntime are not there.

    Raises:
        BundleError: They are not.
    """
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
    except ImportError as error:
        raise BundleError(
            f"{path}: ONNX needs onnx and onnxruntime: pip install 'trueshot[onnx]', "
            "or judge with torch"
        ) from error


def _facts(path: object, model: ModelProto) -> tuple[dict[str, Any], Facts]:
    """The card as it is written, and all that is said, read."""
    texts = [each.value for each in model.metadata_props if each.key == "trueshot"]
    if len(texts) != 1:
        raise BundleError(f"{path}: a network without a trueshot card; not one that we exported")
    try:
        content = json.loads(texts[0])
        if not isinstance(content, dict) or not isinstance(content.get("card"), dict):
            raise ValueError("no card in it")
        formats = content.get("format"), content["card"].get("format")
        if formats[0] != 1 or formats[1] not in READABLE:
            raise ValueError(f"formats {formats} are not known to this version; update trueshot")
        return content["card"], Facts.model_validate(content)
    except (ValueError, TypeError, RecursionError) as error:
        raise BundleError(f"{path}: its card is damaged: {error}") from error


def _faults(model: ModelProto) -> Iterator[str]:
    """What a graph has in it that ours never have."""
    from onnx import AttributeProto, TensorProto

    graph = model.graph
    plain = {AttributeProto.INT, AttributeProto.INTS}
    if model.functions or model.training_info or any(each.domain for each in model.opset_import):
        yield "functions or operators of its own"
    if graph.sparse_initializer or graph.quantization_annotation:
        yield "sparse or quantised constants"
    if len(graph.node) > _MOST_STEPS:
        yield f"{len(graph.node)} steps"
    for node in graph.node:
        if node.domain or node.op_type not in _STEPS:
            yield f"a step {node.domain}:{node.op_type}"
        if any(each.type not in plain for each in node.attribute):
            yield f"a step {node.op_type} with something in it"
    for constant in graph.initializer:
        if constant.external_data or constant.data_location != TensorProto.DEFAULT:
            yield "a constant that lies in another file"
        if not constant.raw_data and 0 not in constant.dims:
            yield "a constant of another form"
