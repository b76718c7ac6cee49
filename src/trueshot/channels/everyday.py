"""The channels that count as everyday, and those through which an attacked image is sent."""

from __future__ import annotations

from trueshot.channels.base import Chain, Channel
from trueshot.channels.disturbing import Blurred, Brightened, Noisy
from trueshot.channels.saving import Jpeg, Png, Resized


def messenger() -> Chain:
    """Return a stand-in for messengers: three quarters of the size and back, then JPEG 75, 4:2:0.

    Messengers do not document what they do to images; it differs between them and with the size of
    the image. Most shrink it below some number of pixels and save it at a quality of 70 to 85. Here
    the original size is restored before the JPEG, since detectors take crops of one size. So the
    detector sees the losses of resizing and saving, and blocks of 8 pixels as in a file.
    """
    return Chain((Resized(0.75), Jpeg(75)), title="messenger")


EVERYDAY: tuple[Channel, ...] = (
    Jpeg(95),
    Jpeg(85),
    Jpeg(75),
    Jpeg(50),
    Resized(0.75),
    Resized(0.5),
    Resized(1.5),
    Blurred(0.5),
    Blurred(1.0),
    Noisy(1.0),
    Noisy(3.0),
    Brightened(20.0),
    Brightened(-20.0),
    messenger(),
)
"""Changes that images undergo without bad intent."""

FILES: tuple[Channel, ...] = (Png(), Jpeg(95), Jpeg(85), Jpeg(75), Resized(0.75), messenger())
"""Channels through which an attacked image is sent; the attack knows which one."""
