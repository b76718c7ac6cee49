"""Was this photograph compressed as JPEG, at any quality?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trueshot.tasks.planes import compressed
from trueshot.tasks.task import JPEG_BLOCK, Pixels, Task

if TYPE_CHECKING:
    import numpy as np

_QUALITY = (60, 95)


def _example(pixels: Pixels, label: int, random: np.random.Generator) -> Pixels:
    quality = int(random.integers(_QUALITY[0], _QUALITY[1] + 1))
    return compressed(pixels, quality if label else None)


RECOMPRESSION = Task(
    name="recompression",
    classes=("original", "compressed"),
    examples=_example,
    grid=JPEG_BLOCK,
)
