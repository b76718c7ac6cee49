"""Scores of crops by onnxruntime, from an ONNX file of ours or from a bundle; without torch."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from trueshot.bundle import bundle_sha256, read_card
from trueshot.card import Card
from trueshot.errors import BundleError
from trueshot.inference.backends import ScoreFunction
from trueshot.inference.onnx_reading import check_installed, facts_of, is_onnx, read_bytes

if TYPE_CHECKING:
    from trueshot.inference.onnx_graph import Weights

_VALUES_AT_ONCE = 3 * 128 * 128 * 16  # see `runtime`


def with_onnx(path: str | os.PathLike[str]) -> tuple[Card, ScoreFunction]:
    """A detector run by onnxruntime, on one thread.

    Args:
        path: An ONNX file that `trueshot export` wrote; or a bundle, of which the same graph is
            made in memory.

    Returns:
        The card, and what computes the scores of crops.

    Raises:
        BundleError: onnxruntime is not installed; or the file is missing, damaged, no detector of
            ours, changed after it was written, or has in it what no detector needs.
        ValueError: It has another number of classes, or does not say the size of a crop.
    """
    check_installed(path)
    if is_onnx(path):
        data = read_bytes(path)
        card = facts_of(data, path).card
    else:
        card = read_card(path)
        data = serialised(path, card)
    return card, margins_of(data, path, card.input_contract().side)


def serialised(bundle: str | os.PathLike[str], card: Card) -> bytes:
    """A bundle as the bytes of an ONNX file.

    Raises:
        BundleError: Weights and card do not fit each other, or the network is not known to ONNX.
        ValueError: It has another number of classes, or does not say the size of a crop.
    """
    check_installed(bundle)
    from trueshot.inference.onnx_graph import graph_of

    try:
        graph = graph_of(card, _weights(bundle), bundle_sha256(bundle))
    except BundleError as error:
        raise BundleError(f"{bundle}: {error}") from error
    return bytes(graph.SerializeToString(deterministic=True))


def margins_of(data: bytes, path: object, side: int) -> ScoreFunction:
    """What computes scores with a graph.

    Args:
        data: A graph of ours, serialised, that was found harmless.
        path: What errors name.
        side: Of its crops.

    Raises:
        BundleError: onnxruntime does not take it.
    """
    session = session_of(data, path)
    at_once = max(1, _VALUES_AT_ONCE // (3 * side * side))

    def run(crops: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
        try:
            scores = np.asarray(session.run(["scores"], {"crops": crops})[0], np.float64)
        except Exception as error:  # as in `session_of`
            raise BundleError(f"{path}: fails on crops of {side} px: {_line(error)}") from error
        if scores.shape != (len(crops),):
            raise BundleError(f"{path}: gives {scores.shape} scores for {len(crops)} crops")
        return scores

    def margins(crops: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
        parts = range(0, len(crops), at_once)
        return np.concatenate([np.zeros(0), *(run(crops[at : at + at_once]) for at in parts)])

    run(np.zeros((2, side, side, 3), np.uint8))  # what does not fit is found at once
    return margins


def session_of(data: bytes, path: object) -> Any:
    """A session of onnxruntime on one thread of the CPU, that prints nothing.

    Raises:
        BundleError: onnxruntime does not take the graph.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1  # one worker, one core
    options.log_severity_level = 4
    try:
        return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's exceptions have no common base of their own
        raise BundleError(f"{path}: onnxruntime refuses it: {_line(error)}") from error


def _weights(bundle: str | os.PathLike[str]) -> Weights:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(bundle, framework="np") as file:
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError, TypeError) as error:
        raise BundleError(f"{bundle}: truncated, damaged, or no bundle: {error}") from error
    if not all(np.isfinite(each).all() for each in weights.values()):
        raise BundleError(f"{bundle}: holds weights that are no finite numbers; train it again")
    return {name: each.astype(np.float32) for name, each in weights.items()}


def _line(error: Exception) -> str:
    """The first line of a foreign message."""
    return (str(error).strip().splitlines() or [""])[0][:300]
