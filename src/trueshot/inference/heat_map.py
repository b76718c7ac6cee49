"""Heat maps of the evidence in a photograph: blue for an original, orange for a recapture."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image

from trueshot.inference.crops import BLOCK

Bytes = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float64]

# Distinguishable with every kind of colour blindness, and both clearly darker than white.
ORIGINAL = (33, 102, 172)
NEUTRAL = (247, 247, 247)
RECAPTURED = (213, 94, 0)
_ALPHA = (0.25, 0.75)  # at neutral and at full colour: the photograph stays visible
_STEPS = 127  # colour steps on either side of neutral
_LONGEST = 512  # most cells along the longer side of a photograph


def assemble(
    maps: Floats, corners: Sequence[tuple[int, int]], side: int, size: tuple[int, int]
) -> Floats:
    """Put the maps of crops where the crops lie.

    Args:
        maps: Scores by position, shape (n, rows, columns); each map covers its crop evenly.
        corners: Upper left corners (y, x) of the crops, on the grid of JPEG blocks or, in a rotated
            photograph, less than a block off it; later crops cover earlier ones.
        side: Height and width of the crops, in pixels.
        size: Height and width of the photograph.

    Returns:
        Mean scores of cells of 8 × 8 pixels, or a multiple of 8 if the photograph is large; NaN
        where there is no crop.
    """
    height, width = (-(-pixels // BLOCK) for pixels in size)
    found = np.full((height, width), np.nan)
    for values, (y, x) in zip(maps, corners, strict=True):
        rows = slice(y // BLOCK, (y + side) // BLOCK)
        columns = slice(x // BLOCK, (x + side) // BLOCK)
        found[rows, columns] = _spread(values, found[rows, columns].shape)
    return _joined(found, -(-max(height, width) // _LONGEST))


def paint(scores: Floats, neutral: float, span: float) -> Bytes:
    """Convert scores to colours.

    Args:
        scores: Shape (h, w); NaN where unknown.
        neutral: Score that becomes white.
        span: Distance from `neutral` at which colours reach full strength.

    Returns:
        RGBA bytes, shape (h, w, 4), transparent where the score is unknown.
    """
    known = np.isfinite(scores)
    strength = np.clip((np.where(known, scores, neutral) - neutral) / span, -1, 1)
    ends = np.where((strength < 0)[..., None], ORIGINAL, RECAPTURED)
    share = np.abs(strength)[..., None]
    colours = (1 - share) * NEUTRAL + share * ends
    low, high = _ALPHA
    alpha = np.where(known, low + (high - low) * share[..., 0], 0.0)
    painted = np.dstack([colours, 255 * alpha])
    painted[~known] = 0
    return np.asarray(np.rint(painted), dtype=np.uint8)


def heat_png(scores: Floats, neutral: float, span: float) -> bytes:
    """Draw the colours of `paint` in 255 steps as a PNG with a palette, the smallest file."""
    known = np.isfinite(scores)
    strength = np.clip((np.where(known, scores, neutral) - neutral) / span, -1, 1)
    steps = np.where(known, np.rint(strength * _STEPS) + _STEPS + 1, 0).astype(np.uint8)
    shades = np.concatenate([[np.nan], np.linspace(-1, 1, 2 * _STEPS + 1)])
    palette = paint(shades[None], 0.0, 1.0)[0]
    picture = Image.frombytes("P", steps.shape[::-1], steps.tobytes())
    picture.putpalette(palette[:, :3].tobytes())
    file = io.BytesIO()
    picture.save(file, "PNG", optimize=True, transparency=palette[:, 3].tobytes())
    return file.getvalue()


def _spread(values: Floats, shape: tuple[int, ...]) -> Floats:
    """Resize a map to `shape` by nearest neighbour."""
    rows, columns = (
        (np.arange(cells) * 2 + 1) * own // (2 * cells)
        for cells, own in zip(shape, values.shape, strict=True)
    )
    return values[np.ix_(rows, columns)]


def _joined(cells: Floats, factor: int) -> Floats:
    """Average blocks of `factor` × `factor` cells, ignoring unknown ones."""
    if factor == 1:
        return cells
    height, width = (-(-length // factor) for length in cells.shape)
    whole = np.full((height * factor, width * factor), np.nan)
    whole[: cells.shape[0], : cells.shape[1]] = cells
    blocks = whole.reshape(height, factor, width, factor)
    known = np.isfinite(blocks)
    counts = known.sum((1, 3))
    sums = np.where(known, blocks, 0.0).sum((1, 3))
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)
