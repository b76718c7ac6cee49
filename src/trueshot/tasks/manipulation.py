"""Was this photograph left untouched after the camera, or manipulated in one of five ways?

Source: Bayar, Stamm 2018, "Constrained convolutional neural networks", IEEE TIFS 13(11). The
variant `manipulation-published` makes examples as their published files do: the green plane, one
strength per manipulation. The task itself keeps colours and draws the strengths, so that a detector
learns the kind of manipulation, not one setting.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from trueshot.tasks.planes import compressed, green, median_filtered
from trueshot.tasks.task import JPEG_BLOCK, Pixels, Task, Wording

if TYPE_CHECKING:
    import numpy as np

# Settings of the published variant
MEDIAN_WINDOW = 5
BLUR_SIGMA, BLUR_WINDOW = 1.1, 5
NOISE_DEVIATION = 2.0
RESAMPLING_FACTOR = 1.5
JPEG_QUALITY = 70

_Change = Callable[[Pixels, "np.random.Generator"], Pixels]


def _median_filtered(pixels: Pixels, random: np.random.Generator) -> Pixels:
    return median_filtered(pixels, int(random.choice((3, 5))))


def _blurred(pixels: Pixels, random: np.random.Generator) -> Pixels:
    from trueshot.channels import Blurred

    return Blurred(float(random.uniform(0.7, 1.6))).changed(pixels)


def _noisy(pixels: Pixels, random: np.random.Generator) -> Pixels:
    from trueshot.channels import Noisy

    return Noisy(float(random.uniform(1.5, 4))).changed(pixels)


def _resampled(pixels: Pixels, random: np.random.Generator) -> Pixels:
    from trueshot.channels import Resized

    factor = float(random.uniform(1.1, 1.8))
    return _middle(Resized(factor, back=False).changed(pixels), pixels)


def _compressed(pixels: Pixels, random: np.random.Generator) -> Pixels:
    return compressed(pixels, int(random.integers(60, 96)))


def _blurred_as_published(pixels: Pixels, random: np.random.Generator) -> Pixels:
    """Blur with a Gaussian of 5 × 5 values; edges are mirrored as in OpenCV."""
    import numpy as np
    from scipy.ndimage import correlate1d

    places = np.arange(BLUR_WINDOW) - BLUR_WINDOW // 2
    bell = np.exp(-0.5 * (places / BLUR_SIGMA) ** 2)
    blurred = pixels.astype(np.float64)
    for axis in (0, 1):
        blurred = correlate1d(blurred, bell / bell.sum(), axis, mode="mirror")
    return np.rint(blurred).astype(np.uint8)


def _noisy_as_published(pixels: Pixels, random: np.random.Generator) -> Pixels:
    """Add the same noise to all colours, clip, and truncate to bytes without rounding."""
    import numpy as np

    noise = random.normal(0.0, NOISE_DEVIATION, (*pixels.shape[:2], 1))
    return np.clip(pixels + noise, 0, 255).astype(np.uint8)


def _resampled_as_published(pixels: Pixels, random: np.random.Generator) -> Pixels:
    from trueshot.channels import Resized

    resized = Resized(RESAMPLING_FACTOR, resample="bilinear", back=False)
    return _middle(resized.changed(pixels), pixels)


def _middle(larger: Pixels, pixels: Pixels) -> Pixels:
    """Cut out the middle of a larger picture, so that the size does not reveal the class."""
    height, width = pixels.shape[:2]
    top, left = (larger.shape[0] - height) // 2, (larger.shape[1] - width) // 2
    return larger[top : top + height, left : left + width]


_DRAWN: dict[str, _Change] = {
    "median-filtered": _median_filtered,
    "blurred": _blurred,
    "noisy": _noisy,
    "resampled": _resampled,
    "compressed": _compressed,
}
_PUBLISHED: dict[str, _Change] = {
    "median-filtered": lambda pixels, random: median_filtered(pixels, MEDIAN_WINDOW),
    "blurred": _blurred_as_published,
    "noisy": _noisy_as_published,
    "resampled": _resampled_as_published,
    "compressed": lambda pixels, random: compressed(pixels, JPEG_QUALITY),
}

_UNTOUCHED = "the image is untouched"
_WORDS = Wording(
    propositions=(_UNTOUCHED, *(f"the image was {name.replace('-', ' ')}" for name in _DRAWN)),
    alternative="the image is not untouched",
    verdicts=("original", "not original"),
    plurals=("untouched images", "manipulated images"),
)


def _task(
    name: str, changes: dict[str, _Change], plane: Callable[[Pixels], Pixels] | None = None
) -> Task:
    def example(pixels: Pixels, label: int, random: np.random.Generator) -> Pixels:
        given = pixels if plane is None else plane(pixels)
        return given if label == 0 else tuple(changes.values())[label - 1](given, random)

    return Task(
        name=name,
        classes=("original", *changes),
        examples=example,
        wording=_WORDS,
        grid=JPEG_BLOCK,
    )


MANIPULATION = _task("manipulation", _DRAWN)
VARIANTS = (_task("manipulation-published", _PUBLISHED, green),)
