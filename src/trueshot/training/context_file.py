"""Files of context networks: the weights in half precision, and facts about the network."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from safetensors.torch import save

from trueshot.bundle import read_safetensors
from trueshot.detector import Detector
from trueshot.errors import BundleError, RecipeError
from trueshot.files import write_atomically
from trueshot.inference.context import SIDE
from trueshot.networks import build_network
from trueshot.networks.efficientnet_lite import BLOCKS, FEATURES, OFFSET, SCALE
from trueshot.tasks.recapture import RECAPTURE

_KEY = "trueshot-context"


def save_context(path: Path, detector: Detector, *, facts: dict[str, object]) -> None:
    """Write weights and facts, such as `network` (for `build_network`) and `side` of the frames."""
    state = {
        name: tensor.detach().half().contiguous() if tensor.is_floating_point() else tensor
        for name, tensor in detector.network.state_dict().items()
    }
    facts = {**facts, "classes": list(detector.classes)}
    write_atomically(path, save(state, metadata={_KEY: json.dumps(facts)}))


def load_context(path: Path) -> Detector:
    """Read a file of `save_context` as a detector in evaluation mode.

    Raises:
        BundleError: The file is damaged, or of another kind.
    """
    tensors, facts = _read(path)
    classes = tuple(facts.get("classes") or RECAPTURE.classes)
    settings = facts.get("network") or {
        "name": "efficientnet-lite0",
        "features": facts.get("features", FEATURES),
        "blocks": facts.get("blocks", BLOCKS),
    }
    try:
        network = build_network({**settings, "classes": len(classes)})
        network.load_state_dict(tensors)
    except (RecipeError, RuntimeError) as error:
        raise BundleError(f"{path}: not a context network: {error}") from error
    return Detector(network, offset=OFFSET, scale=SCALE, classes=classes).eval()


def context_side(path: Path) -> int:
    """Read the side, in pixels, of the frames that a context network takes.

    Raises:
        BundleError: The file is damaged, or of another kind.
    """
    return int(_read(path)[1].get("side", SIDE))


def _read(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    tensors, header = read_safetensors(path)
    if _KEY not in header:
        raise BundleError(f"{path}: not a context network")
    return tensors, json.loads(header[_KEY])
