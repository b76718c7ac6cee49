"""What is no photograph of 24-bit colour, for which alone thresholds are known to hold."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]

MOST_OF_PALETTE = 256
_MOST_GREYS = 32
_MOST_LEVELS, _SPREAD = 64, 192  # levels of a channel, and how far they reach: six bits or fewer
_SPARSE_ROWS, _SPARSE = 16, 4

_MODES = {
    "1": "black and white alone",
    "P": "of a palette",
    "PA": "of a palette",
    "CMYK": "of inks (CMYK), converted without their profile",
}
_WANTED = "what was calibrated is photographs of 24-bit colour"


def colour_reasons(mode: str, crops: Bytes) -> list[str]:
    """Why the colours of a photograph are none that a calibration speaks about.

    Reducing colours to a few adds noise and patterns of dots, in which a detector sees a display.
    They are known by the file and, where it was saved again in 24 bits, by their number.

    Args:
        mode: Pillow's name for the pixels of the file; empty if there is no file.
        crops: That are judged, RGB bytes, shape (n, side, side, 3).

    Returns:
        One sentence, or none.
    """
    if mode in _MODES:
        return [f"its colours are {_MODES[mode]}: {_WANTED}"]
    if crops[..., 0].size <= MOST_OF_PALETTE:  # a palette holds the colours of any so few pixels
        return []
    sparse = np.ascontiguousarray(crops[:, ::_SPARSE_ROWS, ::_SPARSE])
    # A few pixels show of most photographs that there are many; only then are all looked at.
    if _fewest_colours(sparse) <= MOST_OF_PALETTE and (few := _few_colours(crops)):
        return [f"only {few} different colours, as of a palette: {_WANTED}"]
    for number, name in enumerate(("red", "green", "blue")):
        if _few_levels(sparse[..., number]) and (few := _few_levels(crops[..., number])):
            return [f"only {few} different levels of {name}, as of fewer bits: {_WANTED}"]
    return []


def is_colour_reason(sentence: str) -> bool:
    """Whether it is one of `colour_reasons`."""
    return sentence.endswith(_WANTED)


def _fewest_colours(crops: Bytes) -> int:
    """No more than the number of different colours: that of their hashes of 16 bits."""
    wide = crops.astype(np.uint16)
    seen = np.zeros(2**16, dtype=np.bool_)
    seen[wide[..., 0] * np.uint16(31321) + wide[..., 1] * np.uint16(6029) + wide[..., 2]] = True
    return int(np.count_nonzero(seen))


def _few_colours(crops: Bytes) -> int:
    """Number of different colours, if they are so few that a palette holds them, or 0."""
    if _fewest_colours(crops) > MOST_OF_PALETTE:
        return 0
    wide = crops.astype(np.uint32)
    found = np.unique(wide[..., 0] << 16 | wide[..., 1] << 8 | wide[..., 2])
    is_grey = bool((found % 0x010101 == 0).all())
    return len(found) if len(found) <= (_MOST_GREYS if is_grey else MOST_OF_PALETTE) else 0


def _few_levels(channel: Bytes) -> int:
    """Number of different levels, if there are few of many, or 0."""
    used = np.flatnonzero(np.bincount(channel.ravel(), minlength=256))
    return len(used) if len(used) <= _MOST_LEVELS and used[-1] - used[0] >= _SPREAD else 0
