from .attacks import (
    APGD as APGD,
    FAB as FAB,
    FGSM as FGSM,
    FMN as FMN,
    PGD as PGD,
    Attack as Attack,
    Expectation as Expectation,
    LeastLikelyClass as LeastLikelyClass,
    RayS as RayS,
    Square as Square,
    Targeted as Targeted,
    Through as Through,
    Transfer as Transfer,
    UniformNoise as UniformNoise,
    boundary_distance as boundary_distance,
    perturb as perturb,
)
from .bundle import load_bundle as load_bundle, save_bundle as save_bundle
from .calibrating import make_bundle as make_bundle
from .datasets import Dataset as Dataset, prepare as prepare
from .detector import Detector as Detector
from .errors import TrueshotError as TrueshotError
from .evaluation import EvaluationResult as EvaluationResult, evaluate as evaluate
from .images import read_image as read_image
from .inference import Prediction as Prediction, Predictor as Predictor, load as load
from .networks import LCNN as LCNN, Network as Network, SpectralNetwork as SpectralNetwork
from .reproduce import reproduce as reproduce
from .scanning import scan as scan
from .tasks import Task as Task
from .training import Recipe as Recipe, train as train

__version__: str
