from .batches import Batches as Batches, Part as Part
from .manifest import Dataset as Dataset
from .photos import (
    Photo as Photo,
    examples_of as examples_of,
    photos_at as photos_at,
    photos_in_folders as photos_in_folders,
    photos_in_manifest as photos_in_manifest,
)
from .preparation import prepare as prepare
from .settings import Settings as Settings
from .splits import PARTS as PARTS
