"""Image operations shared by tasks: grey, green plane, median filter, JPEG."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from trueshot.tasks.task import Pixels

if TYPE_CHECKING:
    import numpy as np

QUALITIES = (90, 70)
Option = TypeVar("Option")


def grey(pixels: Pixels) -> Pixels:
    """Convert the photograph to grey (Pillow's mode L), repeated for each colour."""
    import numpy as np
    from PIL import Image

    return repeated(np.asarray(Image.fromarray(pixels).convert("L")))


def green(pixels: Pixels) -> Pixels:
    """Return the green plane, repeated for each colour."""
    return repeated(pixels[..., 1])


def repeated(plane: Pixels) -> Pixels:
    """Repeat a plane (h, w) as a picture (h, w, 3)."""
    import numpy as np

    return np.ascontiguousarray(np.broadcast_to(plane[..., None], (*plane.shape, 3)))


def median_filtered(pixels: Pixels, window: int) -> Pixels:
    """Apply a median filter to each colour; edge pixels are repeated beyond the edge."""
    from scipy.ndimage import median_filter

    filtered: Pixels = median_filter(pixels, (window, window, 1), mode="nearest")
    return filtered


def compressed(pixels: Pixels, quality: int | None) -> Pixels:
    """Compress as JPEG, with the grid starting at the upper left; None leaves the pixels unchanged.

    For a grey picture the result is exactly the JPEG of its plane: its chroma stays zero.
    """
    from trueshot.channels import Jpeg

    return pixels if quality is None else Jpeg(quality).changed(pixels)


def drawn(random: np.random.Generator, options: tuple[Option, ...]) -> Option:
    """Draw one of several options, each equally likely."""
    return options[int(random.integers(len(options)))]
