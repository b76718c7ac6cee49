"""Networks: plain nn.Modules, one paper a file, and how to build one from its settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from trueshot.errors import RecipeError
from trueshot.networks.lcnn import DEFAULT_FILTERS, LCNN
from trueshot.networks.own import own_network
from trueshot.networks.spectral import DEFAULT_SPECTRAL_FILTERS, SpectralNetwork

__all__ = [
    "DEFAULT_FILTERS",
    "DEFAULT_SPECTRAL_FILTERS",
    "LCNN",
    "SpectralNetwork",
    "build_network",
]

_NETWORKS: dict[str, type[nn.Module]] = {"lcnn": LCNN, "spectral": SpectralNetwork}


def build_network(settings: Mapping[str, Any]) -> nn.Module:
    """Build a network from `{"name": "lcnn", ...}`, the other keys being its arguments.

    With a `sha256` the name is `file.py:Name`: of a file that the user gave, see `own`.

    Raises:
        RecipeError: No network of that name, or arguments that it does not take.
    """
    arguments = dict(settings)
    name = arguments.pop("name", None)
    if isinstance(name, str) and "sha256" in arguments:
        return _built(name, own_network(name, str(arguments.pop("sha256"))), arguments)
    if not isinstance(name, str) or name not in _NETWORKS:
        raise RecipeError(f"network {name!r}: unknown; known: {', '.join(sorted(_NETWORKS))}")
    return _built(name, _NETWORKS[name], arguments)


def _built(name: str, network: type[nn.Module], arguments: Mapping[str, Any]) -> nn.Module:
    try:
        return network(**arguments)
    except (TypeError, ValueError) as error:
        raise RecipeError(f"network {name!r}: {error}") from error
