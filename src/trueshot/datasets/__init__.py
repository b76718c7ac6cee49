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
        ORIGINS,
        Photo,
        examples_of,
        photos_at,
        photos_in_folders,
        photos_in_manifest,
    )
    from trueshot.datasets.preparation import prepare
    from trueshot.datasets.settings import PAPER_PER_CLASS, Settings
    from trueshot.datasets.shortcuts import ShortcutAudit, audit_shortcuts
    from trueshot.datasets.splits import PAPER_FRACTIONS, PARTS

_HOME = {
    "ORIGINS": "photos",
    "PAPER_FRACTIONS": "splits",
    "PAPER_PER_CLASS": "settings",
    "PARTS": "splits",
    "Batches": "batches",
    "Dataset": "manifest",
    "Part": "batches",
    "Photo": "photos",
    "Settings": "settings",
    "ShortcutAudit": "shortcuts",
    "audit_shortcuts": "shortcuts",
    "examples_of": "photos",
    "photos_at": "photos",
    "photos_in_folders": "photos",
    "photos_in_manifest": "photos",
    "prepare": "preparation",
}

__all__ = [
    "ORIGINS",
    "PAPER_FRACTIONS",
    "PAPER_PER_CLASS",
    "PARTS",
    "Batches",
    "Dataset",
    "Part",
    "Photo",
    "Settings",
    "ShortcutAudit",
    "audit_shortcuts",
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
