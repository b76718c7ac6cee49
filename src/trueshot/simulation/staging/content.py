"""Pictures for scenes, displays and prints: photographs from files, and procedural scenes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

from trueshot.simulation.colour import blur, box_mean, channelwise, encode_srgb, to_bytes
from trueshot.simulation.procedural import KINDS
from trueshot.simulation.scenes import REDUCING_GAP, Scene, decoded

_TILE = 384  # pixels along a tile of added detail
_SMALL = 640  # longer side, in pixels, of the reduced copies used for small frames


@dataclass(frozen=True, kw_only=True)
class Content:
    """A picture that fills any rectangle.

    Args:
        scene: Photograph, or procedural scene.
        seed: Seed of a procedural scene, used instead of the scene's own, or of the detail added
            to an enlarged photograph.
        place: Position (y, x), from 0 to 1, of the window that is shown of a photograph.
        part: Side of that window, as a share of the largest one that fits.
        mirrored: Whether left and right are swapped.
    """

    scene: Scene
    seed: int = 0
    place: tuple[float, float] = (0.5, 0.5)
    part: float = 1.0
    mirrored: bool = False

    def picture(self, height: int, width: int) -> Image.Image:
        """Return the picture at (height, width) pixels, RGB.

        Raises:
            ImageFileError: The photograph is missing or damaged.
        """
        if self.scene.path is None:
            image = _made(self.scene.kind, self.seed, height, width)
        else:
            image = self._window(height, width)
        return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if self.mirrored else image

    def world(self, height: int, width: int) -> Image.Image:
        """Return the picture as the real place would look: enlarged photographs gain fine detail.

        The added detail is noise at the scales that an enlarged photograph lacks. Locally it is
        about as strong as the photograph's own finest detail. Small frames get none.
        """
        image = self.picture(height, width)
        if self.scene.path is None or max(height, width) <= _SMALL:
            return image
        tall, wide = decoded(self.scene.path).shape[:2]
        enlarged = 1 / (self.part * min(tall / height, wide / width))
        if enlarged < 1.3:
            return image
        share = 1 / enlarged
        small = image.resize(
            (max(8, round(width * share)), max(8, round(height * share))), Image.Resampling.BOX
        )
        return _with_detail(image, small, enlarged, self.seed)

    def _window(self, height: int, width: int) -> Image.Image:
        assert self.scene.path is not None
        small = max(height, width) <= _SMALL
        pixels = decoded(self.scene.path, _SMALL if small else None)
        tall, wide = pixels.shape[:2]
        scale = self.part * min(tall / height, wide / width)
        high, broad = height * scale, width * scale
        top, left = self.place[0] * (tall - high), self.place[1] * (wide - broad)
        image = Image.fromarray(pixels)
        box = (max(0.0, left), max(0.0, top), min(left + broad, wide), min(top + high, tall))
        smooth = Image.Resampling.HAMMING if scale > 1 else Image.Resampling.BICUBIC
        return image.resize((width, height), smooth, box, REDUCING_GAP)


def _made(kind: str, seed: int, height: int, width: int) -> Image.Image:
    most = 2400  # pixels; procedural scenes are sharp at any size, but larger ones take too long
    share = min(1.0, most / max(height, width))
    tall, wide = max(16, round(share * height)), max(16, round(share * width))
    light = KINDS[kind](np.random.default_rng(seed), tall, wide)
    return Image.fromarray(to_bytes(encode_srgb(light))).resize((width, height))


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
    rest = [(0, max(0, length - _TILE)) for length in (image.height, image.width)]
    tile = np.pad(tile, rest, "symmetric")[: image.height, : image.width]
    detail = np.minimum(np.float32(1.5) * np.asarray(active), 12) * tile
    pixels = np.asarray(image).astype(np.float32)
    return Image.fromarray(np.clip(channelwise(np.add, pixels, detail), 0, 255).astype(np.uint8))
