"""Networks, one a file, known by their names: see `register`."""

from trueshot.networks.efficientnet_lite import EfficientNetLite0
from trueshot.networks.ensemble import Ensemble
from trueshot.networks.lcnn import LCNN
from trueshot.networks.lipschitz import LipschitzNetwork
from trueshot.networks.registry import (
    NETWORKS,
    Explained,
    Network,
    NetworkSettings,
    build_network,
    load,
    register,
)
from trueshot.networks.spectral import SpectralNetwork

__all__ = [
    "LCNN",
    "NETWORKS",
    "EfficientNetLite0",
    "Ensemble",
    "Explained",
    "LipschitzNetwork",
    "Network",
    "NetworkSettings",
    "SpectralNetwork",
    "build_network",
    "load",
    "register",
]
