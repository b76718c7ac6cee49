"""trueshot: tells original photographs from recaptures, and keeps doing so under attack.

    import trueshot

    prediction = trueshot.load("accurate").predict("photo.jpg")
    print(prediction.verdict, prediction.likelihood_ratio)

Public names (`__init__.pyi`) are imported on first use, which keeps `import trueshot` fast.
Training, attacks and evaluation need the extra `train`.
"""

from typing import Any

import lazy_loader

__version__ = "0.1.0"

_import, _, _names = lazy_loader.attach_stub(__name__, __file__)
__all__ = ["__version__", *_names]


def __getattr__(name: str) -> Any:
    try:
        return _import(name)
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("trueshot"):
            raise
        advice = f"trueshot.{name} needs {error.name}: pip install 'trueshot[train]'"
        raise ModuleNotFoundError(advice, name=error.name) from error


def __dir__() -> list[str]:
    return __all__
