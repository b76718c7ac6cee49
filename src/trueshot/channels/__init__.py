"""Channels: real changes of an image in transit, such as JPEG. Whole levels in and out."""

from trueshot.channels.base import Chain, Channel
from trueshot.channels.disturbing import Blurred, Brightened, Noisy
from trueshot.channels.everyday import EVERYDAY, FILES, messenger
from trueshot.channels.saving import SUBSAMPLINGS, Jpeg, Png, Resized

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
]
