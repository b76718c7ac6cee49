"""Planes of a photograph as the tasks take them: grey or green, before a filter or a JPEG."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trueshot.tasks.task import Pixels

if TYPE_CHECKING:
    import numpy as np

QUALITIES = (90, 70)


def grey(pixels: Pixels) -> Pixels:
    """The photograph in grey: Pillow's L, once for each colour."""
    import numpy as np
    from PIL import Image

    return repeated(np.asarray(Image.fromarray(pixels).convert("L")))


def green(pixels: Pixels) -> Pixels:
    """The green plane, once for each colour."""
    return repeated(pixels[..., 1])


def repeated(plane: Pixels) -> Pixels:
    """A plane (h, w) as a picture (h, w, 3)."""
    import numpy as np

    return np.ascontiguousarray(np.broadcast_to(plane[..., None], (*plane.shape, 3)))


def median_filtered(pixels: Pixels, window: int) -> Pixels:
    """The median over windows of each colour; beyond the edge the edge is repeated."""
    from scipy.ndimage import median_filter

    filtered: Pixels = median_filter(pixels, (window, window, 1), mode="nearest")
    return filtered


def compressed(pixels: Pixels, quality: int | None) -> Pixels:
    """Through a JPEG whose grid begins at the upper left; None: not compressed.

    Of a picture in grey this is the JPEG of its plane: what it says of colour is nothing, exactly.
    """
    from trueshot.channels import Jpeg

    return pixels if quality is None else Jpeg(quality).changed(pixels)


def drawn(random: np.random.Generator, options: tuple[int, ...]) -> int:
    """One of some numbers, each as likely."""
    return options[int(random.integers(len(options)))]
