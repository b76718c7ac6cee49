"""A task of your own: was a photograph sharpened, and how?

    trueshot prepare PHOTOS --task examples/own_task.py:SHARPENING --out DATASET
    trueshot train DATASET --out RUN --recipe yang --iterations 2000

Or do it all from Python: python examples/own_task.py PHOTOS OUT [ITERATIONS]
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

from trueshot.tasks import Pixels, Task


def sharpen(pixels: Pixels, label: int, random: np.random.Generator) -> Pixels:
    """Return the photograph unchanged for class 0; else sharpen it with the class's mask radius."""
    if label == 0:
        return pixels
    mask = ImageFilter.UnsharpMask(
        radius=(0.8, 3.0)[label - 1], percent=int(random.uniform(80, 200))
    )
    return np.asarray(Image.fromarray(pixels).filter(mask))


SHARPENING = Task(
    name="sharpening",
    classes=("original", "sharpened finely", "sharpened coarsely"),
    examples=sharpen,
)


def main(photos: Path, out: Path, iterations: int = 2000) -> None:
    """Prepare a data set for the task, and train a detector on it."""
    from trueshot.datasets import Settings, examples_of, photos_at, prepare
    from trueshot.training import load_recipe, train

    settings = Settings(sides=(32,), per_class=500, task=SHARPENING)
    dataset = prepare(examples_of(photos_at([photos]), SHARPENING), out / "dataset", settings)
    history = train(load_recipe("yang").shortened(iterations), dataset, out / "run")
    print(f"right on validation: {history.records[-1]['validation_clean']:.2f} of three classes")
    print(f"detector: {history.bundle}")


if __name__ == "__main__":
    if len(sys.argv) not in (3, 4):
        sys.exit(__doc__)
    main(Path(sys.argv[1]), Path(sys.argv[2]), *(int(number) for number in sys.argv[3:]))
