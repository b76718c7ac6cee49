from .attacks import (
    APGD,
    FAB,
    FGSM,
    FMN,
    PGD,
    Attack,
    Expectation,
    LeastLikelyClass,
    RayS,
    Square,
    Targeted,
    Through,
    Transfer,
    UniformNoise,
    boundary_distance,
    perturb,
)
from .bundle import load_bundle, save_bundle
from .calibrating import make_bundle
from .datasets import Dataset, prepare
from .detector import Detector
from .errors import TrueshotError
from .evaluation import EvaluationResult, evaluate
from .images import read_image
from .inference import Prediction, Predictor, load
from .networks import LCNN, Network, SpectralNetwork
from .reproduce import reproduce
from .scanning import scan
from .tasks import Task
from .training import Recipe, train

__version__: str

__all__ = [
    "APGD",
    "FAB",
    "FGSM",
    "FMN",
    "LCNN",
    "PGD",
    "Attack",
    "Dataset",
    "Detector",
    "EvaluationResult",
    "Expectation",
    "LeastLikelyClass",
    "Network",
    "Prediction",
    "Predictor",
    "RayS",
    "Recipe",
    "SpectralNetwork",
    "Square",
    "Targeted",
    "Task",
    "Through",
    "Transfer",
    "TrueshotError",
    "UniformNoise",
    "__version__",
    "boundary_distance",
    "evaluate",
    "load",
    "load_bundle",
    "make_bundle",
    "perturb",
    "prepare",
    "read_image",
    "reproduce",
    "save_bundle",
    "scan",
    "train",
]
