"""trueshot: tells original photographs from recaptures, and keeps doing so under attack.

    import trueshot

    prediction = trueshot.load("accurate").predict("photo.jpg")
    print(prediction.verdict, prediction.likelihood_ratio)

Public names are imported on first use, which keeps `import trueshot` fast. Training, attacks and
evaluation need the extra `train`.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_HOME = {
    "APGD": "attacks",
    "Attack": "attacks",
    "boundary_distance": "attacks",
    "Dataset": "datasets",
    "Detector": "detector",
    "evaluate": "evaluation",
    "EvaluationResult": "evaluation",
    "Expectation": "attacks",
    "FAB": "attacks",
    "FGSM": "attacks",
    "FMN": "attacks",
    "LCNN": "networks",
    "LeastLikelyClass": "attacks",
    "load": "inference",
    "load_bundle": "bundle",
    "make_bundle": "calibrating",
    "Network": "networks",
    "perturb": "attacks",
    "PGD": "attacks",
    "Prediction": "inference",
    "Predictor": "inference",
    "prepare": "datasets",
    "RayS": "attacks",
    "read_image": "images",
    "Recipe": "training",
    "reproduce": "reproduce",
    "save_bundle": "bundle",
    "scan": "scanning",
    "SpectralNetwork": "networks",
    "Square": "attacks",
    "Targeted": "attacks",
    "Task": "tasks",
    "Through": "attacks",
    "train": "training",
    "Transfer": "attacks",
    "TrueshotError": "errors",
    "UniformNoise": "attacks",
}

__all__ = ["__version__", *sorted(_HOME)]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'trueshot' has no attribute {name!r}")
    try:
        return getattr(import_module(f"trueshot.{_HOME[name]}"), name)
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("trueshot"):
            raise
        advice = f"trueshot.{name} needs {error.name}: pip install 'trueshot[train]'"
        raise ModuleNotFoundError(advice, name=error.name) from error


def __dir__() -> list[str]:
    return __all__
