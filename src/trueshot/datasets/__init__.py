"""Data sets: photographs in, crops of known class and source out, split without a leak."""

from trueshot.datasets.batches import Batches, Part
from trueshot.datasets.manifest import Dataset
from trueshot.datasets.photos import (
    LABELS,
    ORIGINS,
    Photo,
    examples_of,
    photos_at,
    photos_in_folders,
    photos_in_manifest,
)
from trueshot.datasets.prepare import prepare
from trueshot.datasets.settings import PAPER_PER_CLASS, Settings
from trueshot.datasets.shortcuts import ShortcutAudit, audit_shortcuts
from trueshot.datasets.splits import PAPER_FRACTIONS, PARTS

__all__ = [
    "LABELS",
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
