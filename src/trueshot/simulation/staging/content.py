"""Pictures for scenes, displays and prints: photographs from files, and procedural scenes."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from trueshot.images import read_image
from trueshot.simulation.colour import (
    Bytes,
    blur,
    box_mean,
    channelwise,
    encode_srgb,
    to_bytes,
)
from trueshot.simulation.procedural import KINDS

_CACHE_BYTES = 300 * 2**20  # per process
_TILE = 384  # pixels along a tile of added detail
_SMALL = 640  # longer side, in pixels, of the reduced copies used for small frames


@dataclass(frozen=True, kw_only=True)
class Content:
    """A picture that fills any rectangle.

    Args:
        name: Name of the scene, such as "photo:garden/17.webp" or "dead leaves:81".
        kind: "photo", or a kind of `procedural.KINDS`.
        path: File of a photograph; None for a procedural scene.
        seed: Seed of a procedural scene, or of the detail added to an enlarged photograph.
        place: Position (y, x), from 0 to 1, of the window that is shown of a photograph.
        part: Side of that window, as a share of the largest one that fits.
        mirrored: Whether left and right are swapped.
    """

    name: str
    kind: str
    path: Path | None = None
    seed: int = 0
    place: tuple[float, float] = (0.5, 0.5)
    part: float = 1.0
    mirrored: bool = False

    def picture(self, height: int, width: int) -> Image.Image:
        """Return the picture at (height, width) pixels, RGB.

        Raises:
            ImageFileError: The photograph is missing or damaged.
        """
        if self.path is None:
            image = _made(self.kind, self.seed, height, width)
        else:
            image = self._window(height, width)
        return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if self.mirrored else image

    def world(self, height: int, width: int) -> Image.Image:
        """Return the picture as the real place would look: enlarged photographs gain fine detail.

        The added detail is noise at the scales that an enlarged photograph lacks. Locally it is
        about as strong as the photograph's own finest detail. Small frames get none.
        """
        image = self.picture(height, width)
        if self.path is None:
            return image
        enlarged = 1 / self.finest(height, width)
        if enlarged < 1.3 or max(height, width) <= _SMALL:
            return image
        share = 1 / enlarged
        small = image.resize(
            (max(8, round(width * share)), max(8, round(height * share))), Image.Resampling.BOX
        )
        return _with_detail(image, small, enlarged, self.seed)

    def finest(self, height: int, width: int) -> float:
        """Return photograph pixels per pixel, along a side, at a size of (height, width)."""
        if self.path is None:
            return 1.0
        tall, wide = _photograph(self.path, small=False).shape[:2]
        return self.part * float(min(tall / height, wide / width))

    def _window(self, height: int, width: int) -> Image.Image:
        assert self.path is not None
        pixels = _photograph(self.path, small=max(height, width) <= _SMALL)
        tall, wide = pixels.shape[:2]
        scale = self.part * min(tall / height, wide / width)
        high, broad = height * scale, width * scale
        top, left = self.place[0] * (tall - high), self.place[1] * (wide - broad)
        image = Image.fromarray(pixels)
        box = (max(0.0, left), max(0.0, top), min(left + broad, wide), min(top + high, tall))
        smooth = Image.Resampling.HAMMING if scale > 1 else Image.Resampling.BICUBIC
        return image.resize((width, height), smooth, box, reducing_gap=3.0)


def _made(kind: str, seed: int, height: int, width: int) -> Image.Image:
    most = 2400  # pixels; procedural scenes are sharp at any size, but larger ones take too long
    share = min(1.0, most / max(height, width))
    tall, wide = max(16, round(share * height)), max(16, round(share * width))
    light = KINDS[kind](np.random.default_rng(seed), tall, wide)
    image = Image.fromarray(to_bytes(encode_srgb(light)))
    return image if share == 1 and image.size == (width, height) else image.resize((width, height))


def _with_detail(image: Image.Image, small: Image.Image, enlarged: float, seed: int) -> Image.Image:
    """Add noise at scales from one pixel to `enlarged` where `small` has fine detail."""
    grey = np.asarray(small.convert("L"), np.float32)
    own = grey - box_mean(grey, 1)
    active = Image.fromarray(box_mean(np.abs(own), 2)).resize(image.size, Image.Resampling.BILINEAR)
    random = np.random.default_rng(seed)
    tile = np.zeros((_TILE, _TILE), np.float32)
    sigma = 0.5
    while sigma < enlarged / 2:  # equally strong at every scale, like real detail
        noise = blur(random.standard_normal((_TILE, _TILE, 1), dtype=np.float32), sigma)[..., 0]
        tile += noise / noise.std()
        sigma *= 2
    tile /= np.float32(max(1e-6, float(tile.std())))
    tile = np.concatenate([tile, tile[::-1]])
    tile = np.concatenate([tile, tile[:, ::-1]], axis=1)
    rows = np.arange(image.height) % len(tile)
    columns = np.arange(image.width) % len(tile)
    detail = np.minimum(np.float32(1.5) * np.asarray(active), 12) * tile[rows][:, columns]
    pixels = np.asarray(image).astype(np.float32)
    return Image.fromarray(np.clip(channelwise(np.add, pixels, detail), 0, 255).astype(np.uint8))


_kept: OrderedDict[tuple[Path, bool], Bytes] = OrderedDict()


def _photograph(path: Path, *, small: bool) -> Bytes:
    """Return a photograph's pixels, whole or as a small copy, from a cache of the last used."""
    key = (path, small)
    if key in _kept:
        _kept.move_to_end(key)
        return _kept[key]
    pixels = read_image(path).pixels
    if small:
        image = Image.fromarray(pixels)
        image.thumbnail((_SMALL, _SMALL), Image.Resampling.HAMMING, reducing_gap=3.0)
        pixels = np.asarray(image)
    _kept[key] = pixels
    while sum(each.nbytes for each in _kept.values()) > _CACHE_BYTES and len(_kept) > 1:
        _kept.popitem(last=False)
    return pixels
