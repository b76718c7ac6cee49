"""Detectors from outside trueshot: a PyTorch module by its import path, or an ONNX file.

Loading an import path runs its code, as `python -m` would: use only code that you trust. An ONNX
file is data; onnxruntime runs it, and it has no gradient that an attack could follow.
"""

from __future__ import annotations

import hashlib
import importlib
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from trueshot.detector import Detector, evaluating
from trueshot.errors import PluginError, TrueshotError
from trueshot.evaluation.sanity_checks.gradients import gives_gradient
from trueshot.files import utf8_safe
from trueshot.graph import first_line, run
from trueshot.plugins import is_plugin, load_plugin, split_spec
from trueshot.tasks.recapture import RECAPTURE

_SECONDS, _SECONDS_AN_IMAGE = 60.0, 10.0  # time limit of an ONNX run: fixed, and per image


class OutsideDetectorError(TrueshotError):
    """An outside detector that cannot be loaded, or violates its contract."""


@dataclass(frozen=True, kw_only=True)
class InputSpec:
    """The contract of an outside network: how it expects images, and what its logits mean.

    The network gets `((levels - offset) / scale - mean) / std` in float32, channels red, green,
    blue. A single logit z is replaced by the two logits 0 and z, which give the same verdict at
    threshold 0 and the same gradients.

    Args:
        offset: Level that is mapped to 0.
        scale: Divisor after that: 255 for a network that expects values from 0 to 1.
        mean: Per channel, subtracted after scaling.
        std: Per channel, divisor after that.
        positive_class: Index of the network's class `recaptured`: 1, or 0 for the reverse order.
            For a single logit, 1 means that a positive logit says recaptured.
        classes: Class names in the order of the logits; class 0 is the untouched image. With more
            than two classes the order must be that of the data set.

    Raises:
        OutsideDetectorError: A value is invalid.
    """

    offset: float = 0.0
    scale: float = 1.0
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)
    positive_class: int = 1
    classes: tuple[str, ...] = RECAPTURE.classes

    def __post_init__(self) -> None:
        if self.positive_class not in (0, 1):
            raise OutsideDetectorError(f"positive_class must be 0 or 1, got {self.positive_class}")
        if self.positive_class == 0 and len(self.classes) != 2:
            raise OutsideDetectorError(
                f"positive_class 0 reverses two classes, not {len(self.classes)}; give the "
                "classes in the order of the data set"
            )
        if self.scale <= 0 or min(self.std) <= 0:
            raise OutsideDetectorError(
                f"scale and std must be above 0, got {self.scale} and {self.std}"
            )


class AdaptedNetwork(nn.Module):
    """Adapts an outside network to return one logit per class.

    Args:
        network: Takes images (n, 3, h, w); returns (n, classes); for two classes also (n, 1), (n,).
        contract: See `InputSpec`; `offset` and `scale` are applied by `Detector`, not here.

    Raises:
        OutsideDetectorError: In `forward`, if the network fails, changes its input in place, or
            returns anything else.
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
        """Call the network, guarding against whatever foreign code may do."""
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
                f"{type(self.network).__name__} changes its input images in place; "
                "make it work on a copy"
            )
        return logits

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (n, classes) for images (n, 3, h, w)."""
        seen = images if self.plain else (images - self.mean) / self.std
        logits = self._asked(seen)
        if not isinstance(logits, Tensor) or not logits.is_floating_point():
            found = logits.dtype if isinstance(logits, Tensor) else type(logits).__name__
            raise OutsideDetectorError(
                f"the network must return a float tensor of logits, got {found}"
            )
        count = len(images)
        if self.classes == 2 and logits.shape in ((count,), (count, 1)):
            zs = logits.reshape(count, 1)
            logits = torch.cat([torch.zeros_like(zs), zs], 1)
        if logits.shape != (count, self.classes):
            single = ", or one of shape (n,) or (n, 1)" if self.classes == 2 else ""
            raise OutsideDetectorError(
                f"the network must return {self.classes} logits per image{single}; "
                f"got shape {tuple(logits.shape)} for {count} images"
            )
        return logits.flip(1) if self.turned else logits


class OnnxNetwork(nn.Module):
    """An ONNX file as a network on the CPU, without gradients.

    Args:
        path: The file; it has one float32 input (n, 3, h, w), and its first output is used.

    Raises:
        OutsideDetectorError: onnxruntime is not installed, or the file is not such a network; in
            `forward`, if it fails on the images or exceeds the time limit.
    """

    def __init__(self, path: str | Path) -> None:
        super().__init__()
        self.path = str(path)
        self.session = _session(Path(path))
        inputs = self.session.get_inputs()
        if len(inputs) != 1 or len(inputs[0].shape) != 4 or inputs[0].type != "tensor(float)":
            found = ", ".join(f"{each.name} {each.type} {each.shape}" for each in inputs)
            raise OutsideDetectorError(
                f"{path}: must have one float32 input of shape (n, 3, h, w), but has {found}"
            )
        self.input = inputs[0].name
        self.batch = inputs[0].shape[0]  # a number if the file fixes it, else a name or None

    def forward(self, images: Tensor) -> Tensor:
        """Return the first output for images (n, 3, h, w), without a gradient."""
        values = images.detach().cpu().float().contiguous()
        size = self.batch if isinstance(self.batch, int) else max(1, len(values))
        try:
            outputs = [self._run(chunk, size) for chunk in values.split(size)]
        except Exception as error:  # onnxruntime's exceptions have no common base class
            raise OutsideDetectorError(
                f"{self.path}: fails on images of shape {tuple(values.shape)}: {_line(error)}"
            ) from error
        return torch.cat(outputs).to(images.device)

    def _run(self, chunk: Tensor, size: int) -> Tensor:
        # If the file fixes the batch size, pad the last batch with zeros.
        filled = torch.cat([chunk, chunk.new_zeros(size - len(chunk), *chunk.shape[1:])])
        seconds = _SECONDS + _SECONDS_AN_IMAGE * size
        output = run(self.session, None, {self.input: filled.numpy()}, seconds)[0]
        return torch.from_numpy(output)[: len(chunk)]


def load_outside(
    source: str, contract: InputSpec | None = None, side: int = 64
) -> tuple[Detector, bool]:
    """Load an outside detector and try it on two images.

    Args:
        source: `module:attribute`, `path/to/file.py:attribute`, or a file that ends in `.onnx`.
            The attribute is an nn.Module, or a callable without arguments that returns one; a
            `Detector` is used as it is, without the contract.
        contract: Contract of the network; by default `InputSpec()`.
        side: Height and width of the images used to try the detector.

    Returns:
        The detector, in evaluation mode, and whether it has gradients.

    Raises:
        OutsideDetectorError: The source does not exist or is not a network, or the network
            violates the contract; the message says which.
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
    grey = torch.full((1, 3, side, side), 128.0)
    return detector, differentiable and gives_gradient(detector, grey)


def wrapped(network: nn.Module, contract: InputSpec) -> Detector:
    """Wrap an outside network as a detector."""
    return Detector(
        AdaptedNetwork(network, contract),
        offset=contract.offset,
        scale=contract.scale,
        classes=contract.classes,
    )


def fingerprint(detector: Detector, source: str, contract: InputSpec | None = None) -> str:
    """Compute a SHA-256 over the source, contract, weights and files of an outside detector.

    For `path/to/file.py:attribute` the Python file is hashed; for an ONNX file also the files it
    refers to, such as external weights. For `module:attribute` no code is hashed: if the code
    changes but the weights do not, use another folder for the results.

    Raises:
        OutsideDetectorError: External weights of an ONNX file lie outside its folder.
    """
    found = hashlib.sha256(f"{source} {contract!r}".encode())
    for file in _files_of(source):
        found.update(hashlib.sha256(file.read_bytes()).digest())
    for name, value in sorted(detector.state_dict().items()):
        found.update(name.encode())
        found.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return found.hexdigest()


def _files_of(source: str) -> list[Path]:
    """Return the files that define a detector, as far as they can be found."""
    if source.endswith(".onnx"):
        return [Path(source), *_weights_beside(Path(source))]
    return [split_spec(source)[0]] if is_plugin(source) else []


def _weights_beside(path: Path) -> list[Path]:
    """Return the files that hold external weights of an ONNX file."""
    import onnx

    names = set(_locations(onnx.load(path, load_external_data=False)))
    if outside := [name for name in names if Path(name).is_absolute() or ".." in Path(name).parts]:
        raise OutsideDetectorError(f"{path}: its weights lie outside its folder: {outside[0]}")
    return sorted(path.parent / name for name in names)


def _locations(message: Any) -> Iterator[str]:
    """Yield the file names of external weights anywhere in a protobuf message of ONNX."""
    for field, value in message.ListFields():
        if field.name == "external_data":
            yield from (entry.value for entry in value if entry.key == "location")
        elif field.message_type is not None:
            for each in [value] if hasattr(value, "ListFields") else value:
                yield from _locations(each)


def _imported(source: str) -> nn.Module:
    place, _, attribute = source.rpartition(":")
    if not place or not attribute:
        raise OutsideDetectorError(
            f"{source}: must be module:attribute, path/to/file.py:attribute, or a .onnx file"
        )
    found = _attribute(source, place, attribute)
    if isinstance(found, nn.Module):
        return found
    if callable(found):
        return _called(found, source)
    raise OutsideDetectorError(
        f"{source}: must be an nn.Module or a callable that returns one, got {found!r}"
    )


def _attribute(source: str, place: str, attribute: str) -> Any:
    """Load an attribute by name from a Python file or a module."""
    if place.endswith(".py"):
        try:
            return load_plugin(source).value
        except PluginError as error:
            raise OutsideDetectorError(str(error)) from error
    try:
        with _found_in(Path.cwd()):
            found: Any = importlib.import_module(place)
    except Exception as error:  # foreign code may raise anything
        raise OutsideDetectorError(
            f"{source}: cannot import {place}: {type(error).__name__}: {_line(error)}"
        ) from error
    try:
        for name in attribute.split("."):
            found = getattr(found, name)
    except AttributeError as error:
        raise OutsideDetectorError(f"{source}: {place} has no attribute {attribute}") from error
    return found


def _called(found: Callable[[], Any], source: str) -> nn.Module:
    try:
        made = found()
    except Exception as error:  # foreign code, as above
        raise OutsideDetectorError(
            f"{source}: calling it without arguments failed: {type(error).__name__}: {_line(error)}"
        ) from error
    if not isinstance(made, nn.Module):
        raise OutsideDetectorError(f"{source}: returned {type(made).__name__}, not an nn.Module")
    return made


def _session(path: Path) -> Any:
    if not path.is_file():
        raise OutsideDetectorError(f"{path}: no such file")
    try:
        onnxruntime = importlib.import_module("onnxruntime")
    except ImportError as error:
        raise OutsideDetectorError(
            f"{path}: ONNX files need onnxruntime: pip install onnxruntime"
        ) from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # as in `OnnxNetwork.forward`
        raise OutsideDetectorError(
            f"{path}: cannot be loaded as an ONNX network: {_line(error)}"
        ) from error


@torch.no_grad()
def _try(detector: Detector, side: int) -> None:
    """Try the detector on two images and on one, to notice outputs of the wrong shape."""
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
            f"returns shape {tuple(both.shape)} for 2 images; must be (2, {classes})"
        )
    if not bool(torch.isfinite(both).all()):
        raise OutsideDetectorError("returns logits that are not finite")


@contextmanager
def _found_in(folder: Path) -> Iterator[None]:
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))


def _line(error: Exception) -> str:
    return utf8_safe(first_line(error))
