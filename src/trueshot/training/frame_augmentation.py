"""Augmentation of frames: as another photographer, camera or messenger might have made them."""

from __future__ import annotations

import io
import math

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter

from trueshot.datasets.listing import Outline
from trueshot.inference.context import squeezed
from trueshot.pixels import Bytes
from trueshot.training.context_recipe import ContextRecipe
from trueshot.training.frames import holds

Random = np.random.Generator

_LEAST_CLOSE = 0.1  # smallest share of a frame's area: less has too few pixels
_TRIES = 10  # boxes tried inside an outline


def seen(image: Image.Image, recipe: ContextRecipe) -> Bytes:
    """Return an image without augmentation: the whole frame resized, or a crop of its centre."""
    if recipe.view == "frame":
        return squeezed(image, recipe.side)
    left, upper = ((size - recipe.side) // 2 for size in image.size)
    return np.asarray(image.crop((left, upper, left + recipe.side, upper + recipe.side)))


def augmented(
    image: Image.Image,
    recipe: ContextRecipe,
    random: Random,
    outline: Outline = (),
) -> Bytes:
    """Return an image as another photographer, camera or messenger might have made it.

    A frame is cropped to 0.7 to 1 of its area or, as a close-up, to a smaller part inside the
    medium. A crop is a square, at native size or, two times in five, scaled by 0.6 to 1.25. Then
    the image may be mirrored, turned by 90° as by a phone that misjudged its orientation, blurred,
    and changed in saturation and contrast. Brightness, white balance and gamma always change, and
    finally the image may be compressed.
    """
    is_frame, side = recipe.view == "frame", recipe.side
    if is_frame and random.random() < recipe.close:
        box = close_by(image, outline, random)
    else:
        box = _box(image, random) if is_frame else _square(image, side, random)
    image = image.resize((side, side), Image.Resampling.BILINEAR, box=box)
    if random.random() < 0.5:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if random.random() < (0.1 if is_frame else 0.5):
        turns = (Image.Transpose.ROTATE_90, Image.Transpose.ROTATE_270)
        image = image.transpose(turns[random.integers(2)])
    if random.random() < (0.3 if is_frame else 0.1):
        image = image.filter(ImageFilter.GaussianBlur(random.uniform(0.3, 1.5)))
    if recipe.colours:
        for enhancer in (ImageEnhance.Color, ImageEnhance.Contrast):
            image = enhancer(image).enhance(2 ** random.uniform(-recipe.colours, recipe.colours))
    gains = 2 ** (random.uniform(-0.6, 0.6) + random.normal(0, 0.06, 3))
    bend = 2 ** random.uniform(-0.3, 0.3)
    levels = np.arange(256) / 255
    tables = [np.clip(levels**bend * gain, 0, 1) * 255 for gain in gains**0.45]
    image = image.point(np.concatenate(tables).round().astype(int).tolist())
    if random.random() < 0.5:
        file = io.BytesIO()
        image.save(file, "JPEG", quality=int(random.integers(35, 95)))
        image = Image.open(file).convert("RGB")
    return np.asarray(image)


def close_by(
    image: Image.Image, outline: Outline, random: Random
) -> tuple[float, float, float, float]:
    """Draw a box for a close-up that the medium fills.

    Args:
        image: A frame.
        outline: Convex outline of the medium, corners (x, y) in pixels; empty if there is none.
        random: Random generator of the box.

    Returns:
        A box (left, upper, right, lower) inside the outline. Without an outline, a box of 0.2 to
        0.7 of the frame's area; if no box inside the outline is found, one of 0.7 to 1.
    """
    if outline:
        corners = np.array(outline)
        low, high = np.maximum(corners.min(0), 0), np.minimum(corners.max(0), image.size)
        for _ in range(_TRIES):
            size = (high - low) * random.uniform(0.5, 1, 2)
            left, upper = low + (high - low - size) * random.random(2)
            box = (float(left), float(upper), float(left + size[0]), float(upper + size[1]))
            if size.prod() > _LEAST_CLOSE * image.width * image.height and holds(corners, box):
                return box
        return _box(image, random)
    return _box(image, random, (2 * _LEAST_CLOSE, 0.7))


def _box(
    image: Image.Image, random: Random, areas: tuple[float, float] = (0.7, 1.0)
) -> tuple[float, float, float, float]:
    area, stretch = random.uniform(*areas), math.exp(random.uniform(-0.1, 0.1))
    width = min(1.0, math.sqrt(area) * stretch) * image.width
    height = min(1.0, math.sqrt(area) / stretch) * image.height
    left = random.uniform(0, image.width - width)
    upper = random.uniform(0, image.height - height)
    return left, upper, left + width, upper + height


def _square(image: Image.Image, side: int, random: Random) -> tuple[float, float, float, float]:
    """Draw the box of a crop: at whole pixels, unless it is scaled."""
    scale = random.uniform(0.6, 1.25) if random.random() < 0.4 else 1.0
    cut = min(side / scale, *image.size)
    left, upper = (random.uniform(0, size - cut) for size in image.size)
    if scale == 1:
        left, upper = int(left), int(upper)
    return left, upper, left + cut, upper + cut
