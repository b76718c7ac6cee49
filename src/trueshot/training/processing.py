"""What may have happened to any photograph, true or recaptured, before somebody looks at it.

A network that learns from files of one making takes what this making left for a sign. Here crops of
both classes are scaled, smoothed, sharpened, made noisy and compressed at random and alike, so that
none of it tells the classes apart.
"""

from __future__ import annotations

import io

import numpy as np
from PIL import Image, ImageFilter

from trueshot.pixels import Bytes

LEAST_SCALE = 0.5
MOST_NOISE = 4.0  # deviation, in levels
_KERNELS = tuple(
    getattr(Image.Resampling, name) for name in ("BILINEAR", "HAMMING", "BICUBIC", "LANCZOS")
)


def draw_scale(random: np.random.Generator) -> float:
    """How much smaller a photograph became on its way: not at all, or by up to a half."""
    return 1.0 if random.random() < 0.5 else LEAST_SCALE ** random.uniform(0, 1)


def process(pixels: Bytes, side: int, random: np.random.Generator) -> Bytes:
    """Scale a square to a side, then smooth, sharpen, add noise and compress; each or none of it.

    Args:
        pixels: RGB bytes of a square, shape (n, n, 3).
        side: Of what comes out.
        random: Draws what happens.

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
