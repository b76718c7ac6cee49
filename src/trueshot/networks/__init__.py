"""Networks: plain nn.Modules, one paper a file, and how to build one from its settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from trueshot.errors import RecipeError
from trueshot.networks.efficientnet_lite import EfficientNetLite0
from trueshot.networks.lcnn import DEFAULT_FILTERS, LCNN
from trueshot.networks.spectral import DEFAULT_SPECTRAL_FILTERS, SpectralNetwork

__all__ = [
    "DEFAULT_FILTERS",
    "DEFAULT_SPECTRAL_FILTERS",
    "LCNN",
    "EfficientNetLite0",
    "SpectralNetwork",
    "build_network",
]

_NETWORKS: dict[str, type[nn.Module]] = {
    "efficientnet-lite0": EfficientNetLite0,
    "lcnn": LCNN,
    "spectral": SpectralNetwork,
}


def build_network(settings: Mapping[str, Any]) -> nn.Module:
    """Build a network from `{"name": "lcnn", ...}`, the other keys being its arguments.

    Raises:
        RecipeError: No network of that name, or arguments that it does not take.
    """
    arguments = dict(settings)
    name = arguments.pop("name", None)
    if not isinstance(name, str) or name not in _NETWORKS:
        raise RecipeError(f"network {name!r}: unknown; known: {', '.join(sorted(_NETWORKS))}")
    try:
        return _NETWORKS[name](**arguments)
    except (TypeError, ValueError) as error:
        raise RecipeError(f"network {name!r}: {error}") from error
