"""What was done to a photograph after the camera: examples are made of any photographs.

Strengths are drawn for each photograph, so that a detector learns the kind and not one setting.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trueshot.tasks.task import Examples, Pixels, Task

if TYPE_CHECKING:
    import numpy as np

_QUALITY = (60, 95)
_WINDOWS = (3, 5)


def _median_filtered(pixels: Pixels, random: np.random.Generator) -> Pixels:
    from scipy.ndimage import median_filter

    window = int(random.choice(_WINDOWS))
    filtered: Pixels = median_filter(pixels, (window, window, 1), mode="nearest")
    return filtered


def _blurred(pixels: Pixels, random: np.random.Generator) -> Pixels:
    from trueshot.channels import Blurred

    return Blurred(float(random.uniform(0.7, 1.6))).changed(pixels)


def _noisy(pixels: Pixels, random: np.random.Generator) -> Pixels:
    from trueshot.channels import Noisy

    return Noisy(float(random.uniform(1.5, 4))).changed(pixels)


def _resampled(pixels: Pixels, random: np.random.Generator) -> Pixels:
    from trueshot.channels import Resized

    height, width = pixels.shape[:2]
    larger = Resized(float(random.uniform(1.1, 1.8)), back=False).changed(pixels)
    return larger[:height, :width]  # the size of a photograph must not give its class away


def _compressed(pixels: Pixels, random: np.random.Generator) -> Pixels:
    from trueshot.channels import Jpeg

    return Jpeg(int(random.integers(_QUALITY[0], _QUALITY[1] + 1))).changed(pixels)


_KINDS = {
    "median-filtered": _median_filtered,
    "blurred": _blurred,
    "noisy": _noisy,
    "resampled": _resampled,
    "compressed": _compressed,
}


def _examples(*kinds: str) -> Examples:
    def make(pixels: Pixels, label: int, random: np.random.Generator) -> Pixels:
        return pixels if label == 0 else _KINDS[kinds[label - 1]](pixels, random)

    return make


def _task(name: str, *kinds: str) -> Task:
    return Task(name=name, classes=("original", *kinds), examples=_examples(*kinds))


MEDIAN_FILTERING = _task("median-filtering", "median-filtered")
RECOMPRESSION = _task("recompression", "compressed")
# Source of the kinds: Bayar, Stamm 2016, doi:10.1145/2909827.2930786, table 1.
MANIPULATION = _task("manipulation", *_KINDS)
