"""Recognises reduced colours, because thresholds are known to hold for 24-bit colour only."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]

MOST_OF_PALETTE = 256
_MOST_GREYS = 32
_MOST_LEVELS, _SPREAD = 64, 192  # at most 64 levels that span at least 192: six bits or fewer
_SPARSE_ROWS, _SPARSE = 16, 4

_MODES = {
    "1": "black and white alone",
    "P": "of a palette",
    "PA": "of a palette",
    "CMYK": "of inks (CMYK), converted without their profile",
}
_WANTED = "what was calibrated is photographs of 24-bit colour"


def colour_reasons(mode: str, crops: Bytes) -> list[str]:
    """Return why a photograph's colours are outside what any calibration covers.

    Reducing the number of colours adds noise and dot patterns, which a detector takes for a
    display. Reduced colours are recognised by the mode of the file and, if the file was saved again
    in 24 bits, by the number of different colours.

    Args:
        mode: Pillow's mode of the file's pixels; empty if there is no file.
        crops: The crops that are judged, RGB bytes, shape (n, side, side, 3).

    Returns:
        A list of one sentence, or an empty list.
    """
    if mode in _MODES:
        return [f"its colours are {_MODES[mode]}: {_WANTED}"]
    if crops[..., 0].size <= MOST_OF_PALETTE:  # so few pixels always fit a palette
        return []
    sparse = np.ascontiguousarray(crops[:, ::_SPARSE_ROWS, ::_SPARSE])
    # In most photographs a few pixels already show many colours; else all pixels are counted.
    if _fewest_colours(sparse) <= MOST_OF_PALETTE and (few := _few_colours(crops)):
        return [f"only {few} different colours, as of a palette: {_WANTED}"]
    for number, name in enumerate(("red", "green", "blue")):
        if _few_levels(sparse[..., number]) and (few := _few_levels(crops[..., number])):
            return [f"only {few} different levels of {name}, as of fewer bits: {_WANTED}"]
    return []


def is_colour_reason(sentence: str) -> bool:
    """Whether a sentence is one that `colour_reasons` returns."""
    return sentence.endswith(_WANTED)


def _fewest_colours(crops: Bytes) -> int:
    """Return a lower bound on the number of different colours: that of their 16-bit hashes."""
    wide = crops.astype(np.uint16)
    seen = np.zeros(2**16, dtype=np.bool_)
    seen[wide[..., 0] * np.uint16(31321) + wide[..., 1] * np.uint16(6029) + wide[..., 2]] = True
    return int(np.count_nonzero(seen))


def _few_colours(crops: Bytes) -> int:
    """Return the number of different colours if it is at most 256 (32 if all are grey), else 0."""
    if _fewest_colours(crops) > MOST_OF_PALETTE:
        return 0
    wide = crops.astype(np.uint32)
    found = np.unique(wide[..., 0] << 16 | wide[..., 1] << 8 | wide[..., 2])
    is_grey = bool((found % 0x010101 == 0).all())
    return len(found) if len(found) <= (_MOST_GREYS if is_grey else MOST_OF_PALETTE) else 0


def _few_levels(channel: Bytes) -> int:
    """Return the number of different levels if few levels span a wide range, else 0."""
    used = np.flatnonzero(np.bincount(channel.ravel(), minlength=256))
    return len(used) if len(used) <= _MOST_LEVELS and used[-1] - used[0] >= _SPREAD else 0
