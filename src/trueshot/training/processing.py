"""Processing that any photograph, original or recaptured, may have undergone before it is judged.

A network that learns from files of a single pipeline mistakes the traces of this pipeline for
evidence. Here crops of both classes are scaled, smoothed, sharpened, made noisy and compressed, at
random and in the same way, so that none of this distinguishes the classes.
"""

from __future__ import annotations

import io

import numpy as np
from PIL import Image, ImageFilter

from trueshot.pixels import Bytes

LEAST_SCALE = 0.5
MOST_NOISE = 4.0  # largest standard deviation, in levels
_KERNELS = tuple(
    getattr(Image.Resampling, name) for name in ("BILINEAR", "HAMMING", "BICUBIC", "LANCZOS")
)


def draw_scale(random: np.random.Generator) -> float:
    """Draw the scale to which a photograph was reduced: 1 in half of the cases, else 0.5 to 1."""
    return 1.0 if random.random() < 0.5 else LEAST_SCALE ** random.uniform(0, 1)


def process(pixels: Bytes, side: int, random: np.random.Generator) -> Bytes:
    """Scale a square to `side`, then smooth, sharpen, add noise and compress, each at random.

    Args:
        pixels: RGB bytes of a square, shape (n, n, 3).
        side: Side of the result in pixels.
        random: Random generator of the processing.

    Returns:
        RGB bytes, shape (side, side, 3).
    """
    image = Image.fromarray(pixels)
    if image.size != (side, side):
        image = image.resize((side, side), _KERNELS[random.integers(len(_KERNELS))])
    if random.random() < 0.2:
        image = Image.blend(
            image, image.filter(ImageFilter.MedianFilter(3)), random.uniform(0.3, 1)
        )
    if random.random() < 0.1:
        image = image.filter(ImageFilter.GaussianBlur(random.uniform(0.2, 0.8)))
    if random.random() < 0.3:
        radius, percent = random.uniform(0.5, 1.5), int(random.integers(30, 151))
        image = image.filter(ImageFilter.UnsharpMask(radius, percent, int(random.integers(4))))
    if random.random() < 0.4:
        levels = np.asarray(image) + random.normal(
            0, random.uniform(0, MOST_NOISE), (side, side, 3)
        )
        image = Image.fromarray(np.clip(np.rint(levels), 0, 255).astype(np.uint8))
    if random.random() < 0.5:
        image = _compressed(image, random)
    return np.asarray(image)


def _compressed(image: Image.Image, random: np.random.Generator) -> Image.Image:
    file = io.BytesIO()
    quality, subsampling = int(random.integers(55, 97)), int(random.choice((0, 2)))
    image.save(file, "JPEG", quality=quality, subsampling=subsampling)
    return Image.open(file).convert("RGB")
