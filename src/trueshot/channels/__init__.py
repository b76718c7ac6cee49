"""Channels: real changes of an image in transit, such as JPEG. Whole levels in and out."""

from trueshot.channels.base import Chain, Channel
from trueshot.channels.disturbing import Blurred, Brightened, Noisy
from trueshot.channels.everyday import EVERYDAY, FILES, messenger
from trueshot.channels.jpeg import SUBSAMPLINGS, quantisation_tables
from trueshot.channels.saving import Jpeg, Png, Resized

__all__ = [
    "EVERYDAY",
    "FILES",
    "SUBSAMPLINGS",
    "Blurred",
    "Brightened",
    "Chain",
    "Channel",
    "Jpeg",
    "Noisy",
    "Png",
    "Resized",
    "messenger",
    "quantisation_tables",
]
