"""A detector in one file: weights, a graph for onnxruntime, and a card. Data only, no code."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from trueshot.card import FORMAT, READABLE, Card
from trueshot.detectors import NAMES, located
from trueshot.errors import BundleError, PluginError, RecipeError, TrueshotError
from trueshot.files import parse_json, read_file, write_atomically
from trueshot.graph import (
    Message,
    digest_of,
    narrowed,
    read_graph,
    side_of,
    widened,
    write_graph,
)

if TYPE_CHECKING:
    from torch import Tensor

    from trueshot.detector import Detector

_KEY = "trueshot"
_GRAPH = "graph"  # name of the byte tensor that holds the network as an ONNX graph
_CONTEXT = "context"  # the same for the network that sees whole photographs
_MOST_HEADER = 16 * 2**20
_MOST_SIDE = 1024
_MOST_BYTES = 2**30
_SUFFIX = ".onnx"
_FILE_FORMATS = (1, 2)  # readable formats of exported ONNX files

BundlePath = str | os.PathLike[str]
"""A file, or the name of a shipped bundle."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Bundle:
    """The content of a bundle, or of an ONNX file that was exported from one.

    Args:
        card: Description of the detector.
        weights: The detector's state by name; empty for an ONNX file.
        graph: The network from crops to scores: without the weights for a bundle, with them for an
            ONNX file. None if the network cannot be written as a graph, or the bundle predates
            graphs.
        context: The context network with its weights, from downsized whole photographs to logits,
            if the card joins several kinds of evidence; else None.
        sha256: SHA-256 of the file it was read from; empty if it was not read from a file.
    """

    card: Card
    weights: Mapping[str, npt.NDArray[Any]]
    graph: Message | None
    context: Message | None = None
    sha256: str = ""


def save_bundle(path: BundlePath, detector: Detector, card: Card) -> None:
    """Write weights, graph and card to one file, atomically; equal content gives equal bytes.

    A network that cannot be written as a graph is saved without one; such a bundle cannot scan.
    """
    weights = {name: t.detach().cpu().numpy() for name, t in detector.state_dict().items()}
    try:
        graph = new_graph(card, weights)
    except (TrueshotError, ValueError):
        graph = None
    write_bundle(path, Bundle(card=card, weights=weights, graph=graph))


def new_graph(card: Card, weights: Mapping[str, npt.NDArray[Any]]) -> Message:
    """Return the graph of a card's network, as `Bundle` holds it.

    Raises:
        TrueshotError: The network cannot be written as a graph, or does not fit these weights.
        ValueError: The card does not give the crop size.
    """
    from trueshot.onnx import crop_graph

    return crop_graph(_detector(card, weights), card.input_contract().side)


def with_graph(bundle: Bundle, name: object) -> Bundle:
    """Return a bundle whose graph takes crops of the card's size, creating the graph if needed.

    A new graph can only be made where PyTorch is installed.

    Args:
        bundle: The bundle, as it was read.
        name: Name for error messages.

    Raises:
        BundleError: The bundle has no such graph, and none can be made.
        ValueError: The card does not give the crop size.
    """
    side = bundle.card.input_contract().side
    if bundle.graph is not None and side_of(bundle.graph) == side:
        return bundle
    if not bundle.weights:
        raise BundleError(
            f"{name}: its graph does not take crops of {side} px, the size on its card"
        )
    check_torch(f"{name}: its graph for crops of {side} px must be made first")
    try:
        return replace(bundle, graph=new_graph(bundle.card, bundle.weights))
    except (TrueshotError, ValueError, RuntimeError, TypeError, OverflowError) as error:
        raise BundleError(f"{name}: its network cannot judge photographs: {error}") from error


def write_bundle(path: BundlePath, bundle: Bundle) -> None:
    """Write a bundle to one file, atomically; equal content gives equal bytes."""
    from safetensors.numpy import save

    tensors = {name: np.ascontiguousarray(value) for name, value in bundle.weights.items()}
    tensors = {name: value.reshape(bundle.weights[name].shape) for name, value in tensors.items()}
    if bundle.graph is not None:
        tensors[_GRAPH] = np.frombuffer(write_graph(bundle.graph), np.uint8)
    if bundle.context is not None:
        tensors[_CONTEXT] = np.frombuffer(write_graph(narrowed(bundle.context)), np.uint8)
    text = bundle.card.model_copy(update={"format": FORMAT}).model_dump_json()
    digest = _digest(text, save(tensors))
    # A single metadata entry, because the order of several would differ between writes.
    write_atomically(Path(path), save(tensors, metadata={_KEY: f"{digest} {text}"}))


def upgrade_bundle(path: BundlePath, out: str | os.PathLike[str]) -> None:
    """Convert a bundle of any format to the current one: add a graph and keep the rest.

    Raises:
        BundleError: The bundle cannot be read, is an ONNX file, or its network cannot be written
            as a graph.
    """
    if is_onnx(path):
        raise BundleError(
            f"{path}: an ONNX file has no weights of its own; use the bundle it was exported from"
        )
    try:
        write_bundle(out, with_graph(read_bundle(path), path))
    except ValueError as error:
        raise BundleError(f"{path}: cannot judge photographs: {error}") from error


def load_bundle(path: BundlePath) -> tuple[Detector, Card]:
    """Load a detector for training, attacks or inspection.

    Args:
        path: A bundle, or the name of a shipped one.

    Returns:
        The detector, in evaluation mode on the CPU, and its card.

    Raises:
        BundleError: The file is missing, truncated, damaged, modified after it was written, not a
            bundle, or of a later format; or PyTorch is not installed.
    """
    bundle = read_bundle(path)
    return detector_of(bundle, path), bundle.card


def detector_of(bundle: Bundle, path: BundlePath) -> Detector:
    """Build the detector of a bundle that was read from `path`; see `load_bundle`.

    Raises:
        BundleError: The bundle is an ONNX file, its weights do not match its card, or PyTorch is
            not installed.
    """
    if is_onnx(path):
        raise BundleError(
            f"{path}: an ONNX file has no gradients; use the bundle that it was exported from"
        )
    check_torch(path)
    try:
        return _detector(bundle.card, bundle.weights)
    except PluginError as error:
        raise BundleError(f"{path}: {error}") from error
    except (RecipeError, ValueError, RuntimeError, TypeError, OverflowError) as error:
        raise BundleError(f"{path}: its weights do not match its card: {error}") from error


def read_bundle(path: BundlePath) -> Bundle:
    """Read a bundle, or an ONNX file exported by trueshot; does not need torch.

    Args:
        path: The file, or the name of a shipped bundle.

    Raises:
        BundleError: The file is missing, truncated, damaged, modified after it was written, not a
            bundle, of a later format, or contains something that no detector needs.
    """
    data = _read(path)
    sha256 = hashlib.sha256(data).hexdigest()
    if is_onnx(path):
        card, whole = _onnx(path, data)
        return Bundle(card=card, weights={}, graph=whole, sha256=sha256)
    card = _checked_card(path, data)
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        weights = dict(load(data))
        graph, context = (_graph_in(weights, name) for name in (_GRAPH, _CONTEXT))
    except (SafetensorError, ValueError, KeyError, TypeError, NotImplementedError) as error:
        raise _damaged(path, error) from error
    if not all(np.isfinite(each).all() for each in weights.values()):
        raise BundleError(f"{path}: contains weights that are not finite; train it again")
    if (context is None) != (card.evidence is None):
        raise BundleError(f"{path}: its networks do not match its card")
    return Bundle(
        card=card,
        weights=weights,
        graph=graph,
        context=None if context is None else widened(context),
        sha256=sha256,
    )


def _graph_in(tensors: dict[str, npt.NDArray[Any]], name: str) -> Message | None:
    """Remove the graph `name` from a file's tensors and return it; None if there is none.

    Raises:
        ValueError: The tensor is not a graph, or contains something that no detector needs.
    """
    written = tensors.pop(name, None)
    if written is None:
        return None
    if written.dtype != np.uint8 or written.ndim != 1:
        raise ValueError(f"its tensor {name!r} must be a vector of bytes")
    return read_graph(written.tobytes())


def read_card(path: BundlePath) -> Card:
    """Return the card of a bundle or an ONNX file, after reading all of the file.

    Raises:
        BundleError: As for `read_bundle`.
    """
    return read_bundle(path).card


def is_onnx(path: BundlePath) -> bool:
    """Whether a detector's file is an ONNX file, judged by its suffix."""
    return Path(path).suffix.lower() == _SUFFIX


def check_torch(path: object) -> None:
    """Check that PyTorch is installed.

    Raises:
        BundleError: It is not; the message says what to install.
    """
    if not is_torch_there():
        raise BundleError(f"{path}: this needs PyTorch: pip install 'trueshot[train]'")


def is_torch_there() -> bool:
    """Whether PyTorch is installed; does not import it."""
    try:
        return importlib.util.find_spec("torch") is not None
    except ModuleNotFoundError:
        return False


def bundle_sha256(path: BundlePath) -> str:
    """Return the SHA-256 of the file in hexadecimal, which identifies a detector in results."""
    return hashlib.sha256(_read(path)).hexdigest()


def is_finite(detector: Detector) -> bool:
    """Whether all weights and batch statistics are finite."""
    import torch

    return all(bool(torch.isfinite(value).all()) for value in detector.state_dict().values())


def read_safetensors(
    path: BundlePath,
) -> tuple[dict[str, Tensor], Mapping[str, str]]:
    """Read the tensors and the metadata of a safetensors file.

    Raises:
        BundleError: The file is missing or damaged.
    """
    from safetensors import SafetensorError, safe_open

    if not Path(path).is_file():
        raise BundleError(f"{path}: no such file, or not a regular file")
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            return tensors, file.metadata() or {}
    except (
        SafetensorError,
        OSError,
        ValueError,
        KeyError,
        TypeError,
        NotImplementedError,
    ) as error:
        raise _damaged(path, error) from error


def _read(path: BundlePath) -> bytes:
    """Read a whole file, if it is a regular file no larger than a detector can be."""
    try:
        return read_file(located(path), _MOST_BYTES)
    except FileNotFoundError:
        # Without a folder or a suffix, the name may be a misspelt detector.
        known = "" if re.search(r"[./]", os.fspath(path)) else f"; detectors: {', '.join(NAMES)}"
        raise BundleError(f"{path}: no such file{known}") from None
    except IsADirectoryError:
        raise BundleError(
            f"{path}: is a folder; give the detector in it, such as detector.safetensors"
        ) from None
    except (OSError, ValueError) as error:  # ValueError: a null byte in the name
        reason = getattr(error, "strerror", None) or error
        raise BundleError(f"{path}: cannot be read: {reason}") from error


def _checked_card(path: BundlePath, data: bytes) -> Card:
    try:
        header = _header(data)
        metadata = dict(header.pop("__metadata__", None) or {})
        _check_places(header, data)
    except (LookupError, ValueError, TypeError, RecursionError) as error:
        raise _damaged(path, error) from error
    if _KEY not in metadata:
        raise BundleError(f"{path}: has weights but no trueshot card; it is not a trueshot bundle")
    digest, text = _divided(str(metadata[_KEY]))
    card = _card(path, text)
    if (digest or card.format > 1) and digest != _digest(text, data):
        raise BundleError(
            f"{path}: was changed after it was written (its digest does not match); get a new copy"
        )
    return card


def _onnx(path: BundlePath, data: bytes) -> tuple[Card, Message]:
    """Read the card and the graph of an ONNX file exported by trueshot."""
    try:
        graph = read_graph(data)
    except (ValueError, RecursionError) as error:
        raise BundleError(
            f"{path}: damaged, or not an ONNX file exported by trueshot: {error}"
        ) from error
    texts = [each.get("value", "") for each in graph.get("metadata_props", [])]
    if [each.get("key") for each in graph.get("metadata_props", [])] != [_KEY]:
        raise BundleError(
            f"{path}: has a network but no trueshot card; it was not exported by trueshot"
        )
    try:
        facts = parse_json(texts[0])
        said, digest, written = facts["card"], facts["digest"], facts["format"]
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise BundleError(f"{path}: its card is damaged: {error}") from error
    if written not in _FILE_FORMATS:
        raise BundleError(f"{path}: format {written!r} is not supported by this version")
    card = _card(path, json.dumps(said))
    if digest != digest_of(graph, said):
        raise BundleError(
            f"{path}: was changed after it was written (its digest does not match); export it again"
        )
    return card, graph


def _detector(card: Card, weights: Mapping[str, npt.NDArray[Any]]) -> Detector:
    """Build a detector with these weights, in evaluation mode.

    Raises:
        RecipeError: The network is not known.
        ValueError: The weights belong to another network.
    """
    import torch

    from trueshot.networks.sizes import sketch

    # Compare shapes first: the card may describe a network that does not fit into memory.
    wanted = {
        name: (t.shape, t.dtype)
        for name, t in sketch(card.new_detector, _tried_side(card)).state_dict().items()
    }
    given = {name: torch.tensor(value) for name, value in weights.items()}
    if wanted != {name: (t.shape, t.dtype) for name, t in given.items()}:
        raise ValueError("the names, shapes or types of the tensors differ")
    detector = card.new_detector()
    detector.load_state_dict(given)
    return detector.eval()


def _tried_side(card: Card) -> int | None:
    """Return the crop side for sketching the network; None for a network of the user's own."""
    if "sha256" in card.network:
        return None
    side = card.side if card.contract is None else card.contract.side
    return None if side is None else min(side, _MOST_SIDE)


def _damaged(path: BundlePath, error: Exception) -> BundleError:
    return BundleError(f"{path}: truncated, damaged, or not a safetensors file: {error}")


def _header(data: bytes) -> dict[str, Any]:
    size = int.from_bytes(data[:8], "little")
    if len(data) < 8 or not 2 <= size <= min(len(data) - 8, _MOST_HEADER):
        raise ValueError("its header is truncated")
    header = parse_json(data[8 : 8 + size])
    if not isinstance(header, dict):
        raise ValueError("its header is not a JSON object")
    return header


def _check_places(header: dict[str, Any], data: bytes) -> None:
    """Raise ValueError unless the tensors follow one another without gaps and fill the file."""
    place = 0
    for name, entry in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
        begin, end = entry["data_offsets"]
        if begin != place or end < begin:
            raise ValueError(f"tensor {name[:100]!r} overlaps another, or leaves a gap")
        place = end
    found = len(data) - 8 - int.from_bytes(data[:8], "little")
    if place != found:
        raise ValueError(f"it is truncated or has extra data: {found} bytes instead of {place}")


def _divided(text: str) -> tuple[str, str]:
    """Split the metadata entry into digest and card; format 1 has no digest."""
    return ("", text) if text.startswith("{") else (text[:64], text[65:])


def _digest(card: str, data: bytes) -> str:
    """Compute the SHA-256 of the card, the tensors' names, types and offsets, and their bytes.

    It detects damage and careless changes. Anyone who changes a bundle on purpose can write a new
    digest too; compare `bundle_sha256` with that of a trusted copy to detect this.
    """
    header = _header(data)
    header.pop("__metadata__", None)
    found = hashlib.sha256(card.encode("utf-8", "surrogatepass"))
    found.update(json.dumps(header, sort_keys=True).encode())
    found.update(data[8 + int.from_bytes(data[:8], "little") :])
    return found.hexdigest()


def _card(path: BundlePath, text: str) -> Card:
    try:
        content = parse_json(text)
        if isinstance(content, dict) and content.get("format", 0) not in READABLE:
            raise BundleError(
                f"{path}: bundle format {content.get('format')!r} is not supported; this version "
                f"reads {READABLE[0]} to {READABLE[-1]}"
            )
        card = Card.model_validate(content)
        card.model_dump_json()  # fails if it cannot be written again, such as deeply nested recipes
        return card
    except (ValueError, TypeError, RecursionError) as error:
        raise BundleError(f"{path}: its card is damaged: {error}") from error
