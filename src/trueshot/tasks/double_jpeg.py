"""Was this photograph compressed once as JPEG, or twice?

Source: Barni et al. 2017, "Aligned and non-aligned double JPEG detection using convolutional neural
networks", arXiv:1708.00930. The variants follow the paper: grey photographs, one last quality per
detector, the first quality drawn at random. The qualities come from our notes on the paper, not
from its full text. The task itself keeps colours and draws both qualities and whether the grids are
aligned.

Both classes are cut from the same photograph at the same offsets, so their size and the grid of the
last compression are equal: they differ only in the first compression. Photographs that are already
JPEG would be compressed twice in class 0, so those from lossy files are scaled down first; see
`Task.uncompressed`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trueshot.tasks.planes import compressed, drawn, grey
from trueshot.tasks.task import JPEG_BLOCK, Pixels, Task, Wording

if TYPE_CHECKING:
    import numpy as np

FIRST = {95: (60, 70, 75, 80, 85, 90, 98), 75: (60, 65, 70, 80, 85, 90)}
"""First qualities by last quality."""

_PROPOSITIONS = (
    "the image was compressed as JPEG once",
    "the image was compressed as JPEG twice",
)
_WORDS = Wording(
    propositions=_PROPOSITIONS,
    alternative=_PROPOSITIONS[1],
    verdicts=("compressed once", "compressed twice"),
    plurals=("images compressed once", "images compressed twice"),
)


def double_jpeg(
    name: str,
    qualities: dict[int, tuple[int, ...]],
    alignments: tuple[bool, ...] = (True, False),
    *,
    in_grey: bool,
) -> Task:
    """Return the task for some qualities.

    Args:
        name: Name of the task.
        qualities: First qualities by the last one; both classes have the last quality.
        alignments: Whether the grids of both compressions coincide; with two values, each is
            equally likely.
        in_grey: Whether photographs are converted to grey first.
    """

    def example(pixels: Pixels, label: int, random: np.random.Generator) -> Pixels:
        last = drawn(random, tuple(qualities))
        first = drawn(random, qualities[last])
        place = int(random.integers(1, JPEG_BLOCK**2))
        down, across = (0, 0) if drawn(random, alignments) else divmod(place, JPEG_BLOCK)
        plane = grey(pixels) if in_grey else pixels
        before = compressed(plane, first) if label else plane
        height, width = (size - JPEG_BLOCK for size in plane.shape[:2])
        return compressed(before[down : down + height, across : across + width], last)

    return Task(
        name=name,
        classes=("compressed once", "compressed twice"),
        examples=example,
        wording=_WORDS,
        grid=JPEG_BLOCK,
        uncompressed=True,
    )


def _qualities(last: int, below: bool) -> dict[int, tuple[int, ...]]:
    return {last: tuple(first for first in FIRST[last] if (first < last) == below)}


DOUBLE_JPEG = double_jpeg("double-jpeg", FIRST, in_grey=False)
VARIANTS = tuple(
    double_jpeg(
        f"double-jpeg-{'aligned' if aligned else 'shifted'}-{'below' if below else 'above'}{last}",
        _qualities(last, below),
        (aligned,),
        in_grey=True,
    )
    for last in FIRST
    for below in (True, False)
    for aligned in (True, False)
)
