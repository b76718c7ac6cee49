"""trueshot: tells true shots from recaptures, and goes on telling them apart under attack.

Public names are imported on first use, so that `import trueshot` stays light.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_HOME = {
    "Attack": "attacks",
    "Dataset": "datasets",
    "Detector": "detector",
    "FGSM": "attacks",
    "LCNN": "networks",
    "LeastLikelyClass": "attacks",
    "PGD": "attacks",
    "Recipe": "training",
    "RobustnessResult": "evaluation",
    "TrueshotError": "errors",
    "evaluate": "evaluation",
    "load_bundle": "bundle",
    "perturb": "attacks",
    "prepare": "datasets",
    "read_image": "imagefiles",
    "reproduce": "reproduce",
    "save_bundle": "bundle",
    "train": "training",
}

__all__ = ["__version__", *sorted(_HOME)]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'trueshot' has no attribute {name!r}")
    return getattr(import_module(f"trueshot.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return __all__
