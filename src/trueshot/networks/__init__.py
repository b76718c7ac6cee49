"""Neural networks, one per file, registered by name: see `register`."""

from trueshot.networks.barni import BarniHistograms, BarniNoise, BarniPixels
from trueshot.networks.bondi import Bondi
from trueshot.networks.efficientnet_lite import EfficientNetLite0
from trueshot.networks.ensemble import Ensemble
from trueshot.networks.lcnn import LCNN
from trueshot.networks.lipschitz import LipschitzNetwork
from trueshot.networks.median_residual import MedianResidualCNN
from trueshot.networks.mfnet import MFNet
from trueshot.networks.mislnet import MISLnet
from trueshot.networks.registry import (
    NETWORKS,
    Explained,
    Network,
    NetworkSettings,
    build_network,
    register,
)
from trueshot.networks.resnet import ResNet
from trueshot.networks.spectral import SpectralNetwork
from trueshot.networks.tuama import Tuama
from trueshot.networks.yang_fusion import YangFusion

__all__ = [
    "LCNN",
    "NETWORKS",
    "BarniHistograms",
    "BarniNoise",
    "BarniPixels",
    "Bondi",
    "EfficientNetLite0",
    "Ensemble",
    "Explained",
    "LipschitzNetwork",
    "MFNet",
    "MISLnet",
    "MedianResidualCNN",
    "Network",
    "NetworkSettings",
    "ResNet",
    "SpectralNetwork",
    "Tuama",
    "YangFusion",
    "build_network",
    "register",
]
