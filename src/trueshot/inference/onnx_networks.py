"""The networks as steps of an ONNX graph, built from their settings and weights without torch.

They are told a second time here, so that inference need not load torch. Whoever adds a network to
`trueshot.networks` and wants it exported adds it to `_NETWORKS`; `trueshot export` and the tests
compare both tellings.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from trueshot.card import Card
from trueshot.errors import BundleError
from trueshot.inference.onnx_graph import Graph, Weights

Floats = npt.NDArray[np.float64]

_EPSILON = 1e-5  # of batch normalisation
_UNITS = 5  # of the LCNN
_LAPLACIAN = np.array([[0, -1, 0], [-1, 4, -1], [0, -1, 0]], np.float64)
_COLOURS = ((0.299, 0.587, 0.114), (0.5, -0.5, 0.0), (-0.25, -0.25, 0.5))


def logits_of(graph: Graph, images: str, card: Card, weights: Weights) -> str:
    """Enter a network.

    Args:
        graph: What is being written.
        images: Name of its images, float32 (n, 3, side, side).
        card: Network, with its arguments, and the size of the crops.
        weights: By name, as in the bundle.

    Returns:
        The name of its logits, float32 (n, 2).

    Raises:
        BundleError: The network is not known here, or is not what these weights are of.
    """
    settings = dict(card.network)
    name = settings.pop("name", None)
    write = _NETWORKS.get(str(name))
    if write is None:
        raise BundleError(f"network {name!r}: not known to ONNX here; judge with torch instead")
    here = {key.removeprefix("network."): value for key, value in weights.items()}
    side = card.input_contract().side
    try:
        return write(graph, images, here, side, **settings)
    except (KeyError, TypeError, ValueError, IndexError, ArithmeticError) as error:
        raise BundleError(f"weights and card do not fit each other: {error}") from error


def _lcnn(
    graph: Graph,
    images: str,
    weights: Weights,
    side: int,
    *,
    front: str = "laplacian",
    filters: object = None,  # the weights tell them
    classes: int = 2,
) -> str:
    del side, filters, classes
    features = _FRONT_ENDS[front](graph, images, weights)
    for number in range(_UNITS):
        features = _convolution(graph, features, weights, f"units.{number}", 0)
        if number < _UNITS - 1:
            features = graph.add(
                "AveragePool",
                features,
                kernel_shape=[5, 5],
                strides=[2, 2],
                pads=[2, 2, 2, 2],
                count_include_pad=1,
            )
    return _classified(graph, graph.add("GlobalAveragePool", features), weights)


def _spectral(
    graph: Graph,
    images: str,
    weights: Weights,
    side: int,
    *,
    window: int = 64,
    floor: float = 5.0,
    filters: object = (16, 32, 64),
    classes: int = 2,
) -> str:
    del classes
    count = len(list(filters))  # type: ignore[call-overload]
    halvings = 2 ** (count - 1)
    maps = (window // halvings) * ((window // 2 + 1) // halvings)
    wanted = weights[f"units.{4 * count - 4}.weight"].shape[0] * maps
    if weights["classifier.weight"].shape[1] != wanted or window % 2 or not 2 <= window <= side:
        raise ValueError(f"a window of {window} px on crops of {side} px")
    features = _spectra(graph, images, side, window, floor)
    for number in range(count):
        if number:
            features = graph.add("MaxPool", features, kernel_shape=[2, 2], strides=[2, 2])
        features = _convolution(graph, features, weights, "units", 4 * number)
    return _classified(graph, features, weights)


def _convolution(graph: Graph, features: str, weights: Weights, place: str, first: int) -> str:
    """A 3×3 convolution with the batch normalisation after it folded in, and ReLU."""
    kernel = weights[f"{place}.{first}.weight"]
    scale, shift, mean, variance = (
        weights[f"{place}.{first + 1}.{name}"]
        for name in ("weight", "bias", "running_mean", "running_var")
    )
    factor = scale / np.sqrt(variance + np.float32(_EPSILON))
    weight = graph.constant(kernel * factor[:, None, None, None])
    bias = graph.constant(shift - mean * factor)
    convolved = graph.add("Conv", features, weight, bias, kernel_shape=[3, 3], pads=[1, 1, 1, 1])
    return graph.add("Relu", convolved)


def _classified(graph: Graph, features: str, weights: Weights) -> str:
    weight, bias = weights["classifier.weight"], weights["classifier.bias"]
    if weight.shape[0] != 2 or bias.shape != (2,):
        raise ValueError(f"two logits wanted, got {weight.shape[0]}")
    flat = graph.add("Flatten", features)
    return graph.add("Gemm", flat, graph.constant(weight), graph.constant(bias), transB=1)


def _by_channel(graph: Graph, images: str, kernel: npt.NDArray[Any]) -> str:
    """Each colour filtered by itself, not padded; kernel (side, side) or (3, 1, side, side)."""
    side = kernel.shape[-1]
    filters = graph.constant(np.broadcast_to(kernel, (3, 1, side, side)))
    return graph.add("Conv", images, filters, kernel_shape=[side, side], group=3)


def _laplacian(graph: Graph, images: str, weights: Weights) -> str:
    return _by_channel(graph, images, _LAPLACIAN)


def _smoothed(graph: Graph, images: str, weights: Weights) -> str:
    steps = np.arange(-3.0, 4.0)
    bell = np.exp(-0.5 * steps**2)
    gaussian = np.pad(np.outer(bell, bell) / bell.sum() ** 2, 2)
    windows = np.lib.stride_tricks.sliding_window_view(gaussian, _LAPLACIAN.shape)
    return _by_channel(graph, images, (windows * _LAPLACIAN).sum((2, 3)))


def _levels(graph: Graph, images: str, weights: Weights) -> str:
    centred = graph.add("Sub", images, graph.constant(128.0))
    return graph.add("Div", centred, graph.constant(64.0))


def _learned(graph: Graph, images: str, weights: Weights) -> str:
    return _by_channel(graph, images, weights["enhancement.weight"])


def _constrained(graph: Graph, images: str, weights: Weights) -> str:
    weight = weights["enhancement.weight"]
    own = np.zeros(weight.shape[2:], np.float32)
    own[2, 2] = 1
    others = 1 - own
    excess = (weight * others).sum((2, 3), keepdims=True) - 1
    return _by_channel(graph, images, (weight - excess / 24) * others - own)


def _spectra(graph: Graph, images: str, side: int, window: int, floor: float) -> str:
    """See `Spectra`: logarithms of local power spectra, averaged over windows."""
    windows = _windows(graph, images, side, window)
    windows = graph.add("Sub", windows, graph.add("ReduceMean", windows, axes=[3, 4]))
    power = graph.add("ReduceMean", _power(graph, windows, window), axes=[1], keepdims=0)
    scaled = graph.add("Mul", power, graph.constant((2 / floor) ** 2))
    return graph.add("Log", graph.add("Add", scaled, graph.constant(1.0)))


def _windows(graph: Graph, images: str, side: int, window: int) -> str:
    """Shape (n, windows, 3, window, window), in two of their colours' differences and luma.

    They overlap by half, and are put together of blocks of half a window: gathered by index,
    onnxruntime would copy them number by number.
    """
    half = window // 2
    blocks = side // half
    images = _part(graph, images, [2, 3], 0, blocks * half)
    flat = graph.add("Reshape", images, graph.integers([0, 3, -1]))
    colours = graph.add("MatMul", graph.constant(_COLOURS), flat)
    cells = graph.add("Reshape", colours, graph.integers([0, 3, blocks, half, blocks, half]))
    cells = graph.add("Transpose", cells, perm=[0, 2, 4, 1, 3, 5])
    for block, within in ((2, 5), (1, 4)):  # two neighbours across, then two of these down
        pair = [_part(graph, cells, [block], first, blocks - 1 + first) for first in (0, 1)]
        cells = graph.add("Concat", *pair, axis=within)
    return graph.add("Reshape", cells, graph.integers([0, -1, 3, window, window]))


def _part(graph: Graph, values: str, axes: list[int], first: int, last: int) -> str:
    """From number `first` on to the one before `last`, along these axes."""
    ends = (graph.integers([place] * len(axes)) for place in (first, last))
    return graph.add("Slice", values, *ends, graph.integers(axes))


def _power(graph: Graph, windows: str, window: int) -> str:
    columns = [graph.constant(each) for each in _transform(window, np.arange(window // 2 + 1))]
    rows = _transform(window, np.arange(-window // 2, window // 2))
    cosines, sines = (graph.constant(each.T) for each in rows)
    real, imaginary = (graph.add("MatMul", windows, each) for each in columns)
    in_phase = graph.add(
        "Sub", graph.add("MatMul", cosines, real), graph.add("MatMul", sines, imaginary)
    )
    out_of_phase = graph.add(
        "Add", graph.add("MatMul", cosines, imaginary), graph.add("MatMul", sines, real)
    )
    squares = [graph.add("Mul", each, each) for each in (in_phase, out_of_phase)]
    return graph.add("Add", *squares)


def _transform(window: int, frequencies: npt.NDArray[np.int64]) -> Floats:
    """Cosines and sines weighed by a Hann window of sum 1, shape (2, window, frequencies)."""
    places = np.arange(window)
    hann = 0.5 - 0.5 * np.cos(2 * math.pi * places / (window - 1))
    angles = -2 * math.pi * places[:, None] * frequencies / window
    waves: Floats = np.stack([np.cos(angles), np.sin(angles)]) * (hann / hann.sum())[:, None]
    return waves


_FrontEnd = Callable[[Graph, str, Weights], str]

_FRONT_ENDS: Mapping[str, _FrontEnd] = {
    "laplacian": _laplacian,
    "smoothed": _smoothed,
    "none": _levels,
    "learned": _learned,
    "constrained": _constrained,
}
_NETWORKS: Mapping[str, Callable[..., str]] = {"lcnn": _lcnn, "spectral": _spectral}
