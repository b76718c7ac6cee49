"""Small thumbnails of photographs, for long lists."""

from __future__ import annotations

import io

import numpy as np
import numpy.typing as npt
from PIL import Image

ROW = 88  # pixels along the long side


def row_thumbnail(picture: npt.NDArray[np.uint8] | bytes) -> bytes:
    """Return a thumbnail for a row of a table: a WebP of at most 88 px, about 1.3 kB.

    Args:
        picture: RGB levels, uint8, shape (h, w, 3), or the bytes of a larger JPEG thumbnail.

    Raises:
        ValueError: The bytes are not a JPEG, or a damaged one.
    """
    try:
        opened = (
            Image.open(io.BytesIO(picture), formats=("JPEG",))
            if isinstance(picture, bytes)
            else Image.fromarray(picture)
        )
        opened.thumbnail((ROW, ROW), Image.Resampling.BOX, reducing_gap=2.0)
    except (OSError, SyntaxError) as error:
        raise ValueError(f"not a JPEG thumbnail, or damaged: {error}") from error
    file = io.BytesIO()
    opened.convert("RGB").save(file, "WEBP", quality=55, method=2)
    return file.getvalue()
