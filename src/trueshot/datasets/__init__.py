"""Data sets: crops of known class and source, cut from photographs and split without leaks.

Names are imported on first use, so that reading lists of photographs does not load the
dependencies of prepared data sets.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trueshot.datasets.batches import Batches, Part
    from trueshot.datasets.manifest import Dataset
    from trueshot.datasets.photos import (
        Photo,
        examples_of,
        photos_at,
        photos_in_folders,
        photos_in_manifest,
    )
    from trueshot.datasets.preparation import prepare
    from trueshot.datasets.settings import Settings
    from trueshot.datasets.splits import PARTS

_HOME = {
    "PARTS": "splits",
    "Batches": "batches",
    "Dataset": "manifest",
    "Part": "batches",
    "Photo": "photos",
    "Settings": "settings",
    "examples_of": "photos",
    "photos_at": "photos",
    "photos_in_folders": "photos",
    "photos_in_manifest": "photos",
    "prepare": "preparation",
}

__all__ = [
    "PARTS",
    "Batches",
    "Dataset",
    "Part",
    "Photo",
    "Settings",
    "examples_of",
    "photos_at",
    "photos_in_folders",
    "photos_in_manifest",
    "prepare",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(import_module(f"trueshot.datasets.{_HOME[name]}"), name)
    globals()[name] = found  # so that this function is not called for it again
    return found
