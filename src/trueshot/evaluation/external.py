"""Detectors from elsewhere: a PyTorch module by its import path, or an ONNX file.

An import path runs the code that it names, as `python -m` would: give only code that you trust. An
ONNX file is data; it is run by onnxruntime, and has no gradient that an attack could follow.
"""

from __future__ import annotations

import hashlib
import importlib
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from trueshot.detector import Detector, evaluating
from trueshot.errors import PluginError, TrueshotError
from trueshot.files import utf8_safe
from trueshot.graph import run
from trueshot.plugins import is_plugin, load_plugin, split_spec
from trueshot.tasks.recapture import RECAPTURE

_SECONDS, _SECONDS_AN_IMAGE = 60.0, 10.0  # a network that takes longer does not end


class OutsideDetectorError(TrueshotError):
    """A detector from elsewhere that cannot be loaded, or does not keep the contract given."""


@dataclass(frozen=True, kw_only=True)
class InputSpec:
    """How a network from elsewhere wants its images and what its logits mean.

    It sees `((levels - offset) / scale - mean) / std`, in float32, channels red, green, blue. One
    logit z becomes the two logits 0 and z: the same verdict at the threshold 0, and the same
    gradients.

    Args:
        offset: Level that becomes 0.
        scale: Levels that become 1: 255 for a network that wants values from 0 to 1.
        mean: Per channel, taken away after that.
        std: Per channel, by which it is divided then.
        positive_class: Which of its classes is `recaptured`: 1, or 0 for the other order. Of one
            logit, 1 says that a positive one means recaptured.
        classes: Names of its classes, in the order of its logits; 0 is the untouched image. Of
            more than two the order is that of the data set.

    Raises:
        OutsideDetectorError: Numbers that make no contract.
    """

    offset: float = 0.0
    scale: float = 1.0
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)
    positive_class: int = 1
    classes: tuple[str, ...] = RECAPTURE.classes

    def __post_init__(self) -> None:
        if self.positive_class not in (0, 1):
            raise OutsideDetectorError(f"positive class {self.positive_class}: 0 or 1 wanted")
        if self.positive_class == 0 and len(self.classes) != 2:
            raise OutsideDetectorError(
                f"positive class 0: turns two classes round; of {len(self.classes)} the order is "
                "that of the data set"
            )
        if self.scale <= 0 or min(self.std) <= 0:
            raise OutsideDetectorError(f"scale {self.scale} and std {self.std}: above 0 wanted")


class AdaptedNetwork(nn.Module):
    """A network from elsewhere as one of ours: a logit for each class.

    Args:
        network: Takes images (n, 3, h, w); returns (n, classes); for two classes also (n, 1), (n,).
        contract: See `InputSpec`; `offset` and `scale` are left to `Detector`.

    Raises:
        OutsideDetectorError: In `forward`, if anything else comes back.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, contract: InputSpec) -> None:
        super().__init__()
        self.network = network
        self.classes = len(contract.classes)
        self.turned = contract.positive_class == 0
        self.plain = contract.mean == (0, 0, 0) and contract.std == (1, 1, 1)
        for name in ("mean", "std"):
            value = torch.tensor(getattr(contract, name)).reshape(1, 3, 1, 1)
            self.register_buffer(name, value, persistent=False)

    def _asked(self, seen: Tensor) -> Any:
        """What the network gives; foreign code, which may do anything."""
        version = None if seen.is_inference() else seen._version
        try:
            logits = self.network(seen)
        except OutsideDetectorError:
            raise
        except Exception as error:
            raise OutsideDetectorError(
                f"{type(self.network).__name__} fails on images of shape {tuple(seen.shape)}: "
                f"{type(error).__name__}: {_line(error)}"
            ) from error
        if version is not None and seen._version != version:
            raise OutsideDetectorError(
                f"{type(self.network).__name__} writes into the images that it is given; "
                "have it work on a copy"
            )
        return logits

    def forward(self, images: Tensor) -> Tensor:
        """Images (n, 3, h, w) to logits (n, classes)."""
        seen = images if self.plain else (images - self.mean) / self.std
        logits = self._asked(seen)
        if not isinstance(logits, Tensor) or not logits.is_floating_point():
            found = logits.dtype if isinstance(logits, Tensor) else type(logits).__name__
            raise OutsideDetectorError(f"a float tensor of logits wanted, got {found}")
        count = len(images)
        if self.classes == 2 and logits.shape in ((count,), (count, 1)):
            zs = logits.reshape(count, 1)
            logits = torch.cat([torch.zeros_like(zs), zs], 1)
        if logits.shape != (count, self.classes):
            single = ", or one, (n,) or (n, 1)," if self.classes == 2 else ""
            raise OutsideDetectorError(
                f"{self.classes} logits for each image{single} wanted; "
                f"got {tuple(logits.shape)} for {count} images"
            )
        return logits.flip(1) if self.turned else logits


class OnnxNetwork(nn.Module):
    """An ONNX file as a network on the CPU: its output can be asked for, its gradient cannot.

    Args:
        path: The file; one input (n, 3, h, w) of float32, the first output counts.

    Raises:
        OutsideDetectorError: onnxruntime is not installed, or the file is no such network; in
            `forward`, if it refuses the images, or takes longer than any network.
    """

    def __init__(self, path: str | Path) -> None:
        super().__init__()
        self.path = str(path)
        self.session = _session(Path(path))
        inputs = self.session.get_inputs()
        if len(inputs) != 1 or len(inputs[0].shape) != 4 or inputs[0].type != "tensor(float)":
            found = ", ".join(f"{each.name} {each.type} {each.shape}" for each in inputs)
            raise OutsideDetectorError(
                f"{path}: one input of float32, shape (n, 3, h, w), wanted; it has {found}"
            )
        self.input = inputs[0].name
        self.batch = inputs[0].shape[0]  # a number if it was fixed, else a name or None

    def forward(self, images: Tensor) -> Tensor:
        """Images (n, 3, h, w) to the file's first output; no gradient leads back."""
        values = images.detach().cpu().float().contiguous()
        size = self.batch if isinstance(self.batch, int) else max(1, len(values))
        try:
            outputs = [self._run(chunk, size) for chunk in values.split(size)]
        except Exception as error:  # onnxruntime's own exceptions have no common base of their own
            raise OutsideDetectorError(
                f"{self.path}: fails on images of shape {tuple(values.shape)}: {_line(error)}"
            ) from error
        return torch.cat(outputs).to(images.device)

    def _run(self, chunk: Tensor, size: int) -> Tensor:
        # A file made for batches of one size gets the last one filled up.
        filled = torch.cat([chunk, chunk.new_zeros(size - len(chunk), *chunk.shape[1:])])
        seconds = _SECONDS + _SECONDS_AN_IMAGE * size
        output = run(self.session, None, {self.input: filled.numpy()}, seconds)[0]
        return torch.from_numpy(output)[: len(chunk)]


def load_outside(
    source: str, contract: InputSpec | None = None, side: int = 64
) -> tuple[Detector, bool]:
    """Load a detector from elsewhere and try it once.

    Args:
        source: `module:attribute`, `path/to/file.py:attribute`, or a file that ends in `.onnx`.
            The attribute is an nn.Module, or something to be called without arguments that
            returns one; a `Detector` is taken with its own contract.
        contract: What it wants and says.
        side: Height and width of the images on which it is tried.

    Returns:
        The detector, in evaluation mode, and whether gradients lead through it.

    Raises:
        OutsideDetectorError: The path leads nowhere, what is there is no network, or it does not
            keep the contract: the message says which.
    """
    contract = contract or InputSpec()
    differentiable = not source.endswith(".onnx")
    network = _imported(source) if differentiable else OnnxNetwork(source)
    detector = network if isinstance(network, Detector) else wrapped(network, contract)
    detector.eval()
    try:
        _try(detector, side)
    except OutsideDetectorError as error:
        raise OutsideDetectorError(f"{source}: {error}") from error
    return detector, differentiable and _has_gradient(detector, side)


def wrapped(network: nn.Module, contract: InputSpec) -> Detector:
    """A network from elsewhere as a detector."""
    return Detector(
        AdaptedNetwork(network, contract),
        offset=contract.offset,
        scale=contract.scale,
        classes=contract.classes,
    )


def fingerprint(detector: Detector, source: str, contract: InputSpec | None = None) -> str:
    """SHA-256 of what is known of a detector from elsewhere: its weights, and its file.

    Of a file of code the file itself is hashed, of an ONNX file also those that it names, such as
    weights beside it. Of a module with an import path no code is hashed: whoever changes that
    without its weights takes another folder for the results.
    """
    found = hashlib.sha256(f"{source} {contract!r}".encode())
    for file in _files_of(source):
        found.update(hashlib.sha256(file.read_bytes()).digest())
    for name, value in sorted(detector.state_dict().items()):
        found.update(name.encode())
        found.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return found.hexdigest()


def _files_of(source: str) -> list[Path]:
    """The files that say what a detector does, as far as that can be told."""
    if source.endswith(".onnx"):
        path = Path(source)
        content = path.read_bytes()
        beside = sorted(file for file in path.parent.rglob("*") if file.is_file() and file != path)
        names = ((file, file.relative_to(path.parent).as_posix()) for file in beside)
        return [path, *(file for file, name in names if name.encode("utf-8", "ignore") in content)]
    return [split_spec(source)[0]] if is_plugin(source) else []


def _imported(source: str) -> nn.Module:
    place, _, attribute = source.rpartition(":")
    if not place or not attribute:
        raise OutsideDetectorError(
            f"{source}: module:attribute wanted, path/to/file.py:attribute, or a .onnx file"
        )
    found = _attribute(source, place, attribute)
    if isinstance(found, nn.Module):
        return found
    if callable(found):
        return _called(found, source)
    raise OutsideDetectorError(
        f"{source}: an nn.Module, or what returns one, wanted; got {found!r}"
    )


def _attribute(source: str, place: str, attribute: str) -> Any:
    """What a file, or a module, calls by that name."""
    if place.endswith(".py"):
        try:
            return load_plugin(source).value
        except PluginError as error:
            raise OutsideDetectorError(str(error)) from error
    try:
        with _found_in(Path.cwd()):
            found: Any = importlib.import_module(place)
    except Exception as error:  # the module's code is foreign: whatever it raises is its fault
        raise OutsideDetectorError(
            f"{source}: cannot import {place}: {type(error).__name__}: {_line(error)}"
        ) from error
    try:
        for name in attribute.split("."):
            found = getattr(found, name)
    except AttributeError as error:
        raise OutsideDetectorError(f"{source}: {place} has no {attribute}") from error
    return found


def _called(found: Callable[[], Any], source: str) -> nn.Module:
    try:
        made = found()
    except Exception as error:  # foreign code, as above
        raise OutsideDetectorError(
            f"{source}: calling it without arguments failed: {type(error).__name__}: {_line(error)}"
        ) from error
    if not isinstance(made, nn.Module):
        raise OutsideDetectorError(f"{source}: returned {type(made).__name__}, no nn.Module")
    return made


def _session(path: Path) -> Any:
    if not path.is_file():
        raise OutsideDetectorError(f"{path}: no such file")
    try:
        onnxruntime = importlib.import_module("onnxruntime")
    except ImportError as error:
        raise OutsideDetectorError(
            f"{path}: ONNX files want onnxruntime: pip install onnxruntime"
        ) from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # as in `OnnxNetwork.forward`
        raise OutsideDetectorError(f"{path}: no ONNX network: {_line(error)}") from error


@torch.no_grad()
def _try(detector: Detector, side: int) -> None:
    """Two images, so that a network that mixes up images and classes is noticed."""
    images = torch.stack([torch.full((3, side, side), 64.0), torch.full((3, side, side), 192.0)])
    try:
        with evaluating(detector):
            both, one = detector(images), detector(images[:1])
    except OutsideDetectorError:
        raise
    except Exception as error:  # foreign code, as above
        raise OutsideDetectorError(
            f"fails on images of shape (2, 3, {side}, {side}): "
            f"{type(error).__name__}: {_line(error)}"
        ) from error
    classes = len(detector.classes)
    if both.shape != (2, classes) or one.shape != (1, classes):
        raise OutsideDetectorError(
            f"returns {tuple(both.shape)} for 2 images; (2, {classes}) wanted"
        )
    if not bool(torch.isfinite(both).all()):
        raise OutsideDetectorError("returns logits that are no finite numbers")


def _has_gradient(detector: Detector, side: int) -> bool:
    """Whether a gradient leads from the logits to the images, be it zero."""
    images = torch.full((1, 3, side, side), 128.0, requires_grad=True)
    with torch.enable_grad(), evaluating(detector):
        logits: Tensor = detector(images)
        if not logits.requires_grad:
            return False
        (found,) = torch.autograd.grad(logits.sum(), images, allow_unused=True)
    return found is not None


@contextmanager
def _found_in(folder: Path) -> Iterator[None]:
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))


def _line(error: BaseException) -> str:
    """The first line of a foreign message."""
    lines: Sequence[str] = str(error).strip().splitlines() or [""]
    return utf8_safe(lines[0][:300])
