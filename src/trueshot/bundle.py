"""A detector as one file: safetensors, with a card in its header. A file is data, never code."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trueshot.card import FORMAT, READABLE, Card
from trueshot.errors import BundleError, RecipeError
from trueshot.files import write_atomically

if TYPE_CHECKING:
    from torch import Tensor

    from trueshot.detector import Detector

_KEY = "trueshot"
_MOST_HEADER = 16 * 2**20


def save_bundle(path: str | os.PathLike[str], detector: Detector, card: Card) -> None:
    """Write weights and card to one file, all or nothing; equal content gives equal bytes."""
    from safetensors.torch import save

    weights = {name: t.detach().cpu().contiguous() for name, t in detector.state_dict().items()}
    text = card.model_copy(update={"format": FORMAT}).model_dump_json()
    digest = _digest(text, save(weights))
    # One entry: the order of several would differ from one writing to the next.
    write_atomically(Path(path), save(weights, metadata={_KEY: f"{digest} {text}"}))


def load_bundle(path: str | os.PathLike[str]) -> tuple[Detector, Card]:
    """Read a bundle.

    Returns:
        The detector, in evaluation mode, on the CPU, and its card.

    Raises:
        BundleError: The file is missing, truncated, damaged, changed after it was written, no
            bundle, or of a later format.
    """
    import torch

    card = read_card(path)
    weights, _ = read_safetensors(path)
    try:
        with torch.device("meta"):  # shapes first: a card may claim more than the memory holds
            wanted = {name: t.shape for name, t in card.new_detector().state_dict().items()}
        if wanted != {name: t.shape for name, t in weights.items()}:
            raise ValueError("other names or shapes of tensors")
        detector = card.new_detector()
        detector.load_state_dict(weights)
    except (RecipeError, ValueError, RuntimeError, TypeError, OverflowError) as error:
        raise BundleError(f"{path}: weights and card do not fit each other: {error}") from error
    if not is_finite(detector):
        raise BundleError(f"{path}: holds weights that are no finite numbers; train it again")
    return detector.eval(), card


def read_card(path: str | os.PathLike[str]) -> Card:
    """The card of a bundle, once its digest was found to fit it and the weights; without torch.

    Raises:
        BundleError: As `load_bundle`, but for what is wrong with the weights.
    """
    try:
        data = Path(path).read_bytes()
        header = _header(data)
        metadata = dict(header.pop("__metadata__", None) or {})
        _refuse_cut(header, data)
    except FileNotFoundError:
        raise BundleError(f"{path}: no such file") from None
    except (OSError, LookupError, ValueError, TypeError, RecursionError) as error:
        raise _damaged(path, error) from error
    if _KEY not in metadata:
        raise BundleError(f"{path}: weights without a trueshot card; not one of our bundles")
    digest, text = _divided(str(metadata[_KEY]))
    card = _card(path, text)
    if (digest or card.format > 1) and digest != _digest(text, data):
        raise BundleError(
            f"{path}: was changed after it was written (its digest does not fit); get it again"
        )
    return card


def bundle_sha256(path: str | os.PathLike[str]) -> str:
    """SHA-256 of the file, 64 hexadecimal digits: what names a detector in results."""
    try:
        return hashlib.sha256(Path(path).read_bytes()).hexdigest()
    except OSError as error:
        raise BundleError(f"{path}: cannot be read: {error.strerror}") from error


def is_finite(detector: Detector) -> bool:
    """Whether all its weights and batch statistics are numbers."""
    import torch

    return all(bool(torch.isfinite(value).all()) for value in detector.state_dict().values())


def read_safetensors(
    path: str | os.PathLike[str],
) -> tuple[dict[str, Tensor], Mapping[str, str]]:
    """Tensors and header of a safetensors file.

    Raises:
        BundleError: The file is missing or damaged.
    """
    from safetensors import SafetensorError, safe_open

    if not Path(path).is_file():
        raise BundleError(f"{path}: no such file")
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


def _damaged(path: str | os.PathLike[str], error: Exception) -> BundleError:
    return BundleError(f"{path}: truncated, damaged, or no safetensors file: {error}")


def _header(data: bytes) -> dict[str, Any]:
    size = int.from_bytes(data[:8], "little")
    if len(data) < 8 or not 2 <= size <= min(len(data) - 8, _MOST_HEADER):
        raise ValueError("its header is cut")
    header = json.loads(data[8 : 8 + size])
    if not isinstance(header, dict):
        raise ValueError("its header is no table")
    return header


def _refuse_cut(header: dict[str, Any], data: bytes) -> None:
    """Raise ValueError where bytes are missing; what else is wrong the digest finds."""
    wanted = max((each["data_offsets"][1] for each in header.values()), default=0)
    if len(data) < 8 + int.from_bytes(data[:8], "little") + wanted:
        raise ValueError("it is cut")


def _divided(text: str) -> tuple[str, str]:
    """Digest and card; format 1 had no digest."""
    return ("", text) if text.startswith("{") else (text[:64], text[65:])


def _digest(card: str, data: bytes) -> str:
    """SHA-256 over the card, the names, kinds and places of the tensors, and their bytes.

    It finds damage and careless changes. Whoever changes a bundle on purpose can write a new
    digest too: `bundle_sha256` of a file that is known to be good tells them apart.
    """
    header = _header(data)
    header.pop("__metadata__", None)
    found = hashlib.sha256(card.encode("utf-8", "surrogatepass"))
    found.update(json.dumps(header, sort_keys=True).encode())
    found.update(data[8 + int.from_bytes(data[:8], "little") :])
    return found.hexdigest()


def _card(path: str | os.PathLike[str], text: str) -> Card:
    try:
        content = json.loads(text)
        if isinstance(content, dict) and content.get("format", 0) not in READABLE:
            raise BundleError(
                f"{path}: bundle format {content.get('format')!r}, this version reads "
                f"{' and '.join(map(str, READABLE))}"
            )
        return Card.model_validate(content)
    except (ValueError, TypeError, RecursionError) as error:
        raise BundleError(f"{path}: its card is damaged: {error}") from error
