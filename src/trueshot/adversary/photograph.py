"""A detector of whole photographs as one differentiable function of their pixels.

The forward pass computes the score of `Predictor` step by step: it selects crops, analyses spectra
and the downscaled frame, and combines the results. The backward pass approximates steps that have
no gradient (BPDA, Athalye et al. 2018, arXiv:1802.00420): the selected crops and peaks count as
fixed, the downscaled and rounded frame gets the gradient of downscaling alone, and maxima (over
crops, peaks, windows and window sizes) get the gradient of smooth maxima: an attack that lowers
only the highest value meets the next highest a step later.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from trueshot.bundle import Bundle, detector_of, read_bundle
from trueshot.calibration.linear_model import FARTHEST, LinearModel
from trueshot.card import Card
from trueshot.detector import Detector, scores_of
from trueshot.errors import BundleError
from trueshot.graph import Message, side_of, values_of
from trueshot.images.jpeg_tables import LUMA_WEIGHTS
from trueshot.inference.context import context_frame
from trueshot.inference.crops import places_of
from trueshot.inference.evidence import WHOLE
from trueshot.inference.lattice import (
    EULER,
    NOISE,
    ROUNDING,
    SIDES,
    Frequencies,
    frequencies_of,
    window_corners,
)
from trueshot.inference.pooling import Corners, most_convincing_region
from trueshot.networks.crop_aggregation import ranks_that_count
from trueshot.networks.efficientnet_lite import OFFSET, SCALE, EfficientNetLite0
from trueshot.networks.resnet import ResNet
from trueshot.pixels import Bytes, to_bytes

_AT_ONCE = 16  # crops per batch; activations are kept for one batch at a time
_LEAK = 0.1  # gradient where a feature is clamped to zero
_SPREAD = 0.01  # share of the mean's gradient that is added, so that every crop gets some
_COUNTED = 3  # highest windows, whose mean is the lattice height of a photograph
_SMOOTH = 0.5  # temperature of the smooth maxima, in nats


class PhotographDetector(nn.Module):
    """Maps levels of photographs (n, 3, h, w) to logits (n, 2): 0, and the score minus a threshold.

    Args:
        bundle: Bundle file, or name of an included detector, that judges whole photographs.
        threshold: Score that is subtracted.
        read: Content of that file, if it has been read already.

    Raises:
        BundleError: The bundle cannot be read, has more than two classes, or combines features
            that have no gradient.
    """

    def __init__(self, bundle: str, threshold: float = 0.0, read: Bundle | None = None) -> None:
        super().__init__()
        read = read or read_bundle(bundle)
        self.crops, self.card = detector_of(read, bundle), read.card
        if self.card.decision_rule != "against-class-0" or len(self.card.classes) != 2:
            raise BundleError(f"{bundle}: must decide between exactly two classes by a score")
        self.contract = self.card.input_contract()
        self.threshold = threshold
        self.context: Detector | None = None
        self.context_side = 0
        if self.card.evidence is not None:
            self.context = context_of(read, self.card)
            assert read.context is not None
            self.context_side = side_of(read.context)
            if self.card.evidence.joint is None:
                raise BundleError(f"{bundle}: its kinds of evidence are not joined yet")

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (n, 2) for levels (n, 3, h, w)."""
        scores = torch.stack([self.score(image) for image in images])
        margins = (scores - self.threshold).to(images.dtype)
        return torch.stack([torch.zeros_like(margins), margins], 1)

    def score(self, photograph: Tensor) -> Tensor:
        """Compute the score of one photograph from its levels (3, h, w).

        Raises:
            ValueError: No crop can be selected in the photograph.
        """
        side, pixels = self.contract.side, _bytes(photograph)
        corners = places_of(pixels, self.contract).corners
        if not corners:
            raise ValueError(f"no crop of {side} px can be selected")
        scores = self._scores(squares(photograph, corners, side))
        if self.card.evidence is None:
            return self._aggregated(scores)
        return self._joined(photograph, pixels, corners, scores)

    def _scores(self, crops: Tensor) -> Tensor:
        """Score crops; the backward pass recomputes activations, because crops are many."""
        parts = crops.split(_AT_ONCE)
        if not crops.requires_grad:
            logits = [self.crops(part) for part in parts]
        else:
            logits = [checkpoint(self.crops, part, use_reentrant=False) for part in parts]
        return scores_of(torch.cat(logits).double())

    def _aggregated(self, scores: Tensor) -> Tensor:
        how = self.contract.aggregation
        if how == "mean":
            return scores.mean()
        if how == "max":
            pooled = smooth_maximum(scores)
        else:
            pooled = scores.sort().values[ranks_that_count(how, len(scores))].mean()
        spread = _SPREAD * scores.mean()
        return pooled + spread - spread.detach()

    def _joined(
        self,
        photograph: Tensor,
        pixels: Bytes,
        corners: Corners,
        scores: Tensor,
    ) -> Tensor:
        evidence = self.card.evidence
        assert evidence is not None
        assert evidence.joint is not None
        is_whole = pixels.shape[0] * pixels.shape[1] >= WHOLE
        heads = evidence.heads | ({} if is_whole else evidence.pieces)
        local = most_convincing_region(corners, scores.detach().numpy(), self.contract.side)
        highest = scores.topk(max(1, len(scores) // 3)).values.mean()
        given: dict[str, dict[str, Tensor]] = {
            "texture": {
                "overall": scores.mean(),
                "highest third": highest,
                "highest": smooth_maximum(scores),
                # Its gradient is that of the highest third: no better target is known in advance.
                "region": highest + (local.score - highest).detach(),
            }
        }
        if is_whole and self.context is not None:
            given["context"] = {"logit": self._context(photograph, pixels)}
        joins_lattice = any(name.startswith("lattice") for name in evidence.joint.features)
        heights = {
            name: lattice_height(photograph, int(name.split()[1].removeprefix("1/")))
            for name in (heads["lattice"].features if joins_lattice else ())
        }
        known = {name: height for name, height in heights.items() if height is not None}
        if known:
            given["lattice"] = known
        values = {kind: _linear(heads[kind], found) for kind, found in given.items()}
        return _linear(evidence.joint, _for_and_against(values))

    def _context(self, photograph: Tensor, pixels: Bytes) -> Tensor:
        assert self.context is not None
        frame = context_frame(pixels, self.context_side)
        seen = torch.from_numpy(frame.copy()).permute(2, 0, 1).float()[None]
        small = functional.interpolate(
            photograph[None], seen.shape[2:], mode="bilinear", antialias=True, align_corners=False
        )
        return scores_of(self.context(small + (seen - small).detach()).double())[0]


def context_of(bundle: Bundle, card: Card) -> Detector:
    """Rebuild the context network of a bundle from its ONNX graph.

    Raises:
        BundleError: The bundle has no context network, or one of an unknown architecture.
    """
    evidence, graph = card.evidence, bundle.context
    if evidence is None or graph is None:
        raise BundleError("the bundle has no context network")
    weights = _weights_in(graph)
    try:
        network = _network_of(weights, len(evidence.media))
        missing, unknown = network.load_state_dict(weights, strict=False)
    except (KeyError, ValueError, RuntimeError) as error:
        raise BundleError(
            f"no gradient for its context network, of unknown architecture: {error}"
        ) from error
    if unknown or any("num_batches_tracked" not in name for name in missing):
        raise BundleError("no gradient for its context network, of unknown architecture")
    return Detector(network, offset=OFFSET, scale=SCALE, classes=evidence.media).eval()


def _weights_in(graph: Message) -> dict[str, Tensor]:
    """Return all weights by name, including those that the exporter stored once for two layers."""
    kept = {
        each["name"]: torch.from_numpy(np.array(values_of(each)))
        for each in graph["graph"]["initializer"]
    }
    for node in graph["graph"]["node"]:
        if node["op_type"] == "Identity" and node["input"][0] in kept:
            kept[node["output"][0]] = kept[node["input"][0]]
    found = {name: tensor for name, tensor in kept.items() if name.startswith("network.")}
    for node in graph["graph"]["node"]:
        if node["op_type"] == "BatchNormalization":
            layer = node["input"][4].removesuffix("running_var")
            for name, tensor in zip(("weight", "bias"), node["input"][1:3], strict=True):
                found[layer + name] = kept[tensor]
    return {name.removeprefix("network."): tensor for name, tensor in found.items()}


def _network_of(weights: Mapping[str, Tensor], classes: int) -> nn.Module:
    if any(name.startswith("stages.") for name in weights):
        return ResNet(classes, width=len(weights["stem.0.weight"]))
    blocks = {name.split(".")[1] for name in weights if name.startswith("blocks.")}
    return EfficientNetLite0(classes, weights["classifier.weight"].shape[1], blocks=len(blocks))


def _for_and_against(values: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Compute `inference.evidence.joint_features`, with a gradient where they are clamped to 0."""
    found = dict(values)
    for kind, value in values.items():
        for word, sign in (("for", 1.0), ("against", -1.0)):
            above = (sign * value).clamp(min=0)
            leaky = torch.where(sign * value > 0, sign * value, _LEAK * sign * value)
            found[f"{kind} {word}"] = sign * (leaky + (above - leaky).detach())
    return found


def _linear(model: LinearModel, values: Mapping[str, Tensor]) -> Tensor:
    """Compute `LinearModel.score`, with a gradient where it clips; missing features add nothing."""
    total: Any = model.intercept
    terms = zip(model.features, model.means, model.deviations, model.weights, strict=True)
    for name, mean, deviation, weight in terms:
        if name in values:
            standard = (values[name] - mean) / deviation
            clipped = standard.clamp(-FARTHEST, FARTHEST)
            total = total + weight * (standard + (clipped - standard).detach())
    return torch.as_tensor(total, dtype=torch.float64)


def _bytes(photograph: Tensor) -> Bytes:
    """Return the bytes that a file would hold, shape (h, w, 3)."""
    return np.asarray(to_bytes(photograph.detach()[None])[0])


def lattice_height(photograph: Tensor, scale: int = 1) -> Tensor | None:
    """Compute the feature `luma 1/SCALE height` of a photograph, in nats.

    The value is that of `inference.lattice`, from the same windows and peaks.

    Args:
        photograph: Levels, float, shape (3, h, w).
        scale: 1, 2 or 4, for full, half or quarter size.

    Returns:
        A scalar; None if no window fits into the photograph at full size.
    """
    if min(photograph.shape[1:]) < min(SIDES):
        return None
    plane = photograph
    for _ in range(scale.bit_length() - 1):
        plane = functional.avg_pool2d(plane[None], 2)[0]
    luma = torch.tensordot(plane.new_tensor(LUMA_WEIGHTS), plane, dims=1)
    heights = [_height(luma, side, scale) for side in SIDES if side <= min(luma.shape)]
    if not heights:
        return photograph.new_tensor(NOISE)
    return smooth_maximum(torch.stack(heights))


def _height(luma: Tensor, side: int, scale: int) -> Tensor:
    """Compute the mean prominence of the three most prominent windows."""
    ys, xs = window_corners(luma.shape[0], luma.shape[1], side)
    frequencies = frequencies_of(side, scale)
    tiles = squares(luma[None], tuple(product(ys, xs)), side)[:, 0]
    windows = torch.stack([_prominence(tile, frequencies) for tile in tiles])
    exact = windows.topk(min(_COUNTED, len(windows))).values.mean()
    share = torch.softmax(windows.detach() / _SMOOTH, 0)
    return _with_gradient_of(exact, (share * windows).sum())


def _prominence(tile: Tensor, frequencies: Frequencies) -> Tensor:
    """Compute the prominence of the most prominent peak of a window."""
    side = frequencies.side
    hann = torch.from_numpy(frequencies.hann).to(tile)
    spectrum = torch.fft.rfft2((tile - tile.mean()) * hann)
    power = spectrum.real.square() + spectrum.imag.square() + ROUNDING * frequencies.energy
    logarithms = power.log().flatten()
    values = logarithms.detach().cpu().numpy().reshape(side, -1)
    found = []
    for peak in frequencies.peaks(np.ascontiguousarray(values, np.float32), 1):
        ky, kx = round(peak.fy * side), round(peak.fx * side)
        here = int(frequencies.index(ky, kx))
        like = logarithms[torch.from_numpy(_like(frequencies, here))].mean() + EULER
        around = frequencies.index(ky + frequencies.annulus[0], kx + frequencies.annulus[1])
        beside = logarithms[torch.from_numpy(around)].mean() + EULER
        found.append(logarithms[here] - torch.maximum(like, beside))
    return smooth_maximum(torch.stack(found))


def _like(frequencies: Frequencies, here: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Return the indices of all frequencies as far from zero as `here`, in the same direction."""
    group = int(np.searchsorted(frequencies.starts, frequencies.place[here], "right")) - 1
    first = int(frequencies.starts[group])
    return np.asarray(frequencies.order[first : first + int(frequencies.counts[group])])


def smooth_maximum(values: Tensor) -> Tensor:
    """Return the maximum of `values`, shape (n,), with the gradient of log-sum-exp."""
    return _with_gradient_of(values.amax(), _SMOOTH * torch.logsumexp(values / _SMOOTH, 0))


def _with_gradient_of(value: Tensor, smooth: Tensor) -> Tensor:
    return smooth + (value - smooth).detach()


def squares(image: Tensor, corners: Corners, side: int) -> Tensor:
    """Cut squares out of an image of shape (c, h, w) at `corners` (top, left).

    In PyTorch the gradient of a slice is as large as the whole image, so many slices of a large
    image would need as many images to add up. Here all slices share one gradient.

    Returns:
        The squares, shape (n, c, side, side).
    """
    found: Tensor = _Squares.apply(image, corners, side)  # type: ignore[no-untyped-call]
    return found


class _Squares(Function):
    @staticmethod
    def forward(ctx: Any, image: Tensor, corners: Corners, side: int) -> Tensor:
        ctx.corners, ctx.side, ctx.shape = corners, side, image.shape
        return torch.stack([image[:, y : y + side, x : x + side] for y, x in corners])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        whole = gradient.new_zeros(ctx.shape)
        for (y, x), square in zip(ctx.corners, gradient, strict=True):
            whole[:, y : y + ctx.side, x : x + ctx.side] += square
        return whole, None, None
