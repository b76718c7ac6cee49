"""Runs the network of a detector in onnxruntime: from crops to scores and what explains them."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any, get_args

import numpy as np
import numpy.typing as npt

from trueshot.bundle import Bundle, with_graph
from trueshot.errors import BundleError
from trueshot.graph import (
    INPUT,
    Message,
    first_line,
    outputs_of,
    run,
    session,
    side_of,
    with_weights,
)
from trueshot.inference.explanation import Kind

Bytes = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float64]

_SECONDS_TO_TRY = 30.0  # for the trial run; a crop takes milliseconds, and scans have a limit
_MAPS = "evidence"
_VALUES_AT_ONCE = 3 * 128 * 128 * 16  # batches that fit a processor's cache are fastest


class CropModel:
    """A graph with its weights, run on one thread; calling it with crops returns their scores.

    Args:
        graph: The complete graph, from crops to scores and what explains them.
        name: Name of the detector in error messages.

    Raises:
        BundleError: onnxruntime does not accept the graph, or the graph fails on crops.
    """

    def __init__(self, graph: Message, name: object) -> None:
        self._graph, self._name = graph, name
        self.side = side_of(graph)
        has_logits = "logits" in outputs_of(graph)
        self._judged = {"logits": 2} if has_logits else {"scores": 1}  # name: dimensions
        self._mapped = {_MAPS: 3} if _MAPS in outputs_of(graph) else {}
        self._judging = session(graph, [*self._judged, *self._mapped], name)
        crops = np.zeros((2, self.side, self.side, 3), np.uint8)
        self._run(self._judging, self._judged | self._mapped, crops, _SECONDS_TO_TRY)

    @classmethod
    def of(cls, bundle: Bundle, name: object) -> CropModel:
        """Load the network of a bundle.

        Raises:
            BundleError: It has no usable graph and cannot get one, or its graph fails.
            ValueError: Its card does not give the size of a crop.
        """
        graph = with_graph(bundle, name).graph
        assert graph is not None
        return cls(with_weights(graph, bundle.weights), name)

    def __call__(self, crops: Bytes) -> Floats:
        """Compute scores (n,), or logits (n, classes) if over two, of crops (n, side, side, 3)."""
        return self.judged(crops)[0]

    def judged(self, crops: Bytes) -> tuple[Floats, Floats | None]:
        """Compute scores or logits, and maps of scores by position, shape (n, rows, columns).

        The maps cost nothing extra; the mean of a crop's map is its score. They are None without
        crops, and for a network without positions, such as one that first sums frequencies over
        the whole crop.
        """
        wanted = self._judged | self._mapped
        parts = [self._run(self._judging, wanted, part) for part in self._parts(crops)]
        if not parts:
            return np.zeros((0, 2)[: max(self._judged.values())]), None
        scores, *maps = (np.concatenate(each) for each in zip(*parts, strict=True))
        return scores, maps[0] if maps else None

    def outputs(self, crops: Bytes) -> dict[str, Floats]:
        """Compute all outputs of the graph for crops, by name."""
        names = outputs_of(self._graph)
        found = self._run(self._explaining, dict.fromkeys(names), crops)
        return dict(zip(names, found, strict=True))

    def first_layer(self, crop: Bytes) -> tuple[Kind, npt.NDArray[np.float32]] | None:
        """Return kind and output of the first layer for a crop, see `Explained`, or None."""
        for kind in get_args(Kind):
            if kind in outputs_of(self._graph):
                dimensions = {kind: 4 if kind == "filtered" else 3}
                (found,) = self._run(self._explaining, dimensions, crop[None])
                return kind, np.asarray(found[0], np.float32)
        return None

    @functools.cached_property
    def _explaining(self) -> Any:
        """Session with all outputs, created on first use because most scans explain nothing."""
        return session(self._graph, outputs_of(self._graph), self._name)

    def _parts(self, crops: Bytes) -> list[Bytes]:
        at_once = max(1, _VALUES_AT_ONCE // (3 * self.side**2))
        return [crops[at : at + at_once] for at in range(0, len(crops), at_once)]

    def _run(
        self,
        running: Any,
        wanted: Mapping[str, int | None],
        crops: Bytes,
        seconds: float | None = None,
    ) -> list[Floats]:
        """Run a session; check the number of dimensions of each output for which one is given."""
        try:
            found = run(running, list(wanted), {INPUT: crops}, seconds)
        except Exception as error:  # onnxruntime's exceptions have no common base class
            line = first_line(error)
            raise BundleError(f"{self._name}: fails on crops of {self.side} px: {line}") from error
        arrays = [np.asarray(each, np.float64) for each in found]
        for (name, dimensions), each in zip(wanted.items(), arrays, strict=True):
            if dimensions and (each.ndim != dimensions or len(each) != len(crops)):
                said = f"returns {name} of shape {each.shape} for {len(crops)} crops"
                raise BundleError(f"{self._name}: {said}")
        return arrays
