"""Which changes are everyday, and which files an attacked image is sent as."""

from __future__ import annotations

from trueshot.channels.base import Chain, Channel
from trueshot.channels.disturbing import Blurred, Brightened, Noisy
from trueshot.channels.saving import Jpeg, Png, Resized


def messenger() -> Chain:
    """A stand-in for what messengers do: smaller by a quarter, and JPEG 75 with 4:2:0.

    No messenger says what it does, each does something else, and it depends on the size of the
    picture: most shrink it below some number of pixels and save it at a quality of 70 to 85. Here
    the size comes back before the JPEG, since detectors take crops of one size; so the detector
    sees what is lost by resizing and by saving, and blocks of 8 pixels as a file has them.
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
"""What happens to pictures without anybody's bad intent."""

FILES: tuple[Channel, ...] = (Png(), Jpeg(95), Jpeg(85), Jpeg(75), Resized(0.75), messenger())
"""What an attacked image is sent as; the attack is told."""
