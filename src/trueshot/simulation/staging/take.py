"""Taking the photograph of an example: a small whole frame."""

from __future__ import annotations

import numpy as np
from PIL import Image

from trueshot.simulation.camera import Shot, vignette
from trueshot.simulation.history import Jpeg, compress
from trueshot.simulation.light import Linear, blur, channelwise
from trueshot.simulation.staging.compose import Stage
from trueshot.simulation.staging.examples import Example
from trueshot.simulation.staging.geometry import Exact
from trueshot.simulation.staging.light import enlarged
from trueshot.simulation.staging.phone import develop_small, exposure_for_level

_FINER = 1.4  # pixels rendered per pixel of a small frame, along a side


def small_size(example: Example, side: int) -> tuple[int, int]:
    """Height and width of a small frame: as many pixels as a square of this side, about."""
    return example.arrangement.frame.pixels(side * side)


def small_frame(example: Example, side: int) -> bytes:
    """The whole photograph, made small: a JPEG file of `small_size`."""
    height, width = small_size(example, side)
    random = np.random.default_rng([example.index, 37])
    stage = Stage(example.arrangement, round(_FINER * height), round(_FINER * width))
    light = stage.light((0, stage.height))
    light = hazy(light, example.arrangement.room.haze)
    blurred = example.shot.defocus * stage.scale / np.sqrt(1e6 * example.phone.megapixels)
    light = blur(light, float(np.hypot(0.5, 3 * blurred)))
    lens = example.phone.camera.lens
    shot = Shot(frame=float(np.hypot(stage.height, stage.width)) / 2)
    light = channelwise(np.multiply, light, vignette(lens, shot, stage.height, stage.width))
    exposure = exposure_for_level(light[::5, ::5], example.level, example.phone.headroom)
    method = Image.Resampling(int(random.choice([2, 3, 4, 5])))  # bilinear, bicubic, box, hamming
    picture = develop_small(
        light, example.phone, example.shot, exposure, random, size=(height, width), method=method
    )
    return compress(picture, Jpeg(quality=int(random.integers(88, 98)), subsampling="4:4:4"))


def hazy(light: Linear, share: float) -> Linear:
    """Light of which the lens spreads a share over the frame, most of it near where it is."""
    height, width = light.shape[:2]
    scale = max(1, round(np.sqrt(height * width) / 60))
    planes = [Image.fromarray(np.ascontiguousarray(light[..., c])).reduce(scale) for c in range(3)]
    small = np.stack([np.asarray(plane) for plane in planes], axis=-1)
    spread = enlarged(
        0.6 * blur(small, 4) + 0.4 * small.mean(axis=(0, 1)), height, width, (0, height)
    )
    return (np.float32(1 - share) * light + np.float32(share) * spread).astype(np.float32)


def outline_in_pixels(example: Example, height: int, width: int) -> Exact:
    """The medium's outline in a photograph of this size: (x, y) in pixels, shape (n, 2)."""
    scale = np.array(
        [width / example.arrangement.frame.width, height / example.arrangement.frame.height]
    )
    return np.asarray(example.arrangement.outline() * scale, np.float64)


def native_size(example: Example) -> tuple[int, int]:
    """Height and width of the photograph's file, in pixels."""
    return example.arrangement.frame.pixels(1e6)


def native_photograph(example: Example) -> bytes:
    """The photograph at its own size, with everything that its pixels show: a JPEG file."""
    raise NotImplementedError
