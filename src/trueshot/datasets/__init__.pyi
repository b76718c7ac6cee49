from .batches import Batches, Part
from .manifest import Dataset
from .photos import Photo, examples_of, photos_at, photos_in_folders, photos_in_manifest
from .preparation import prepare
from .settings import Settings
from .splits import PARTS

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
