"""Was this photograph median filtered, and then perhaps compressed?

Source: Chen, Kang, Liu, Wang 2015, "Median filtering forensics based on convolutional neural
networks", IEEE Signal Processing Letters 22(11): grey photographs, both classes compressed alike.
The paper trains one detector per window and quality, as the variants do. The task itself keeps
colours, as in scanned photographs, and draws window and quality. The whole photograph is filtered
and compressed before a crop is cut; the paper does not specify this.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trueshot.tasks.planes import QUALITIES, compressed, drawn, grey, median_filtered
from trueshot.tasks.task import JPEG_BLOCK, Pixels, Task, Wording

if TYPE_CHECKING:
    import numpy as np

WINDOWS = (3, 5)

_PROPOSITIONS = ("the image was not median filtered", "the image was median filtered")
_WORDS = Wording(
    propositions=_PROPOSITIONS,
    alternative=_PROPOSITIONS[1],
    verdicts=("original", "median-filtered"),
    plurals=("untouched images", "median-filtered images"),
)


def median_filtering(
    name: str,
    windows: tuple[int, ...] = WINDOWS,
    qualities: tuple[int | None, ...] = (None, *QUALITIES),
    *,
    in_grey: bool,
) -> Task:
    """Return the task for some windows and qualities; each example gets one of each.

    Args:
        name: Name of the task.
        windows: Sides of the median's windows, in pixels.
        qualities: JPEG qualities applied to both classes; None means no compression.
        in_grey: Whether photographs are converted to grey first.
    """

    def example(pixels: Pixels, label: int, random: np.random.Generator) -> Pixels:
        # Draw both for either class, so that the qualities of the classes have the same
        # distribution.
        window, quality = drawn(random, windows), drawn(random, qualities)
        plane = grey(pixels) if in_grey else pixels
        return compressed(median_filtered(plane, window) if label else plane, quality)

    return Task(
        name=name,
        classes=("original", "median-filtered"),
        examples=example,
        wording=_WORDS,
        grid=JPEG_BLOCK,
    )


MEDIAN_FILTERING = median_filtering("median-filtering", in_grey=False)
VARIANTS = tuple(
    median_filtering(
        f"median-filtering-{window}x{window}-{'png' if quality is None else f'jpeg{quality}'}",
        (window,),
        (quality,),
        in_grey=True,
    )
    for window in WINDOWS
    for quality in (*QUALITIES, None)
)
