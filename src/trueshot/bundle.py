"""A detector as one file: safetensors, with a card in its header. A file is data, never code."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, Field
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from trueshot.detector import CLASSES, Detector
from trueshot.errors import BundleError, RecipeError
from trueshot.files import write_atomically
from trueshot.networks import build_network

FORMAT = 1
_KEY = "trueshot"


class Card(BaseModel):
    """What a bundle says of itself.

    Args:
        format: Version of this layout.
        network: Name and arguments of the network, as `build_network` takes them.
        offset: See `Detector`.
        scale: See `Detector`.
        classes: Names of the classes in the order of the logits.
        side: Height and width of the crops that it was trained on.
        recipe: The settings of the training run.
        data: Fingerprint of the data set that it was trained on.
        start: Hash of the bundle whose weights the training began with, if it was one.
        versions: Libraries that it was trained with.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: int = FORMAT
    network: dict[str, Any]
    offset: float = Field(default=0.0, allow_inf_nan=False)
    scale: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    classes: tuple[str, ...] = Field(default=CLASSES, min_length=2, max_length=100)
    side: int | None = Field(default=None, ge=16, le=4096)
    recipe: dict[str, Any] | None = None
    data: str | None = None
    start: str | None = None
    versions: dict[str, str] = {}

    def new_detector(self) -> Detector:
        """A detector of this architecture with fresh weights.

        Raises:
            RecipeError: The network is not known here, or does not take these arguments.
        """
        network = build_network({**self.network, "classes": len(self.classes)})
        return Detector(network, offset=self.offset, scale=self.scale, classes=self.classes)


def save_bundle(path: str | os.PathLike[str], detector: Detector, card: Card) -> None:
    """Write weights and card to one file, all or nothing; equal content gives equal bytes."""
    weights = {name: t.detach().cpu().contiguous() for name, t in detector.state_dict().items()}
    header = {_KEY: card.model_dump_json()}
    write_atomically(Path(path), save(weights, metadata=header))


def load_bundle(path: str | os.PathLike[str]) -> tuple[Detector, Card]:
    """Read a bundle.

    Returns:
        The detector, in evaluation mode, on the CPU, and its card.

    Raises:
        BundleError: The file is missing, truncated, damaged, no bundle, or of a later format.
    """
    weights, header = read_safetensors(path)
    card = _card(path, header)
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


def is_finite(detector: Detector) -> bool:
    """Whether all its weights and batch statistics are numbers."""
    return all(bool(torch.isfinite(value).all()) for value in detector.state_dict().values())


def read_safetensors(
    path: str | os.PathLike[str],
) -> tuple[dict[str, Tensor], Mapping[str, str]]:
    """Tensors and header of a safetensors file.

    Raises:
        BundleError: The file is missing or damaged.
    """
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
        raise BundleError(f"{path}: truncated, damaged, or no safetensors file: {error}") from error


def _card(path: str | os.PathLike[str], header: Mapping[str, str]) -> Card:
    if _KEY not in header:
        raise BundleError(f"{path}: weights without a trueshot card; not one of our bundles")
    try:
        content = json.loads(header[_KEY])
        if isinstance(content, dict) and content.get("format", 0) != FORMAT:
            raise BundleError(
                f"{path}: bundle format {content.get('format')!r}, this version reads {FORMAT}"
            )
        return Card.model_validate(content)
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{path}: its card is damaged: {error}") from error
