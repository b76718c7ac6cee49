"""Photographs of examples: a small version of the whole frame, or one at native size."""

from __future__ import annotations

import numpy as np
from PIL import Image

from trueshot.simulation.camera import Lens, blur_of
from trueshot.simulation.colour import Linear, blur, channelwise
from trueshot.simulation.file_history import compress, file_of
from trueshot.simulation.staging.compose import Stage
from trueshot.simulation.staging.examples import Example
from trueshot.simulation.staging.geometry import Exact
from trueshot.simulation.staging.light import enlarged
from trueshot.simulation.staging.moire import Optics
from trueshot.simulation.staging.native import NativeStage
from trueshot.simulation.staging.phone import develop_native, develop_small, exposure_for_level

_PREVIEW = 256  # square root of the pixel count of the preview that sets the exposure
_BAND = 768  # rows developed at a time
_MARGIN = 64  # extra rows above and below each band, so that no step is affected by its ends
_FINER = 1.4  # pixels rendered per pixel of a small frame, along each side


def small_size(example: Example, side: int) -> tuple[int, int]:
    """Return height and width of a small frame, which has about side · side pixels."""
    return example.arrangement.frame.pixels(side * side)


def small_frame(example: Example, side: int) -> bytes:
    """Render the whole photograph at `small_size` and return it as a JPEG file."""
    height, width = small_size(example, side)
    random = np.random.default_rng([*example.seed, 37])
    camera = example.phone.camera
    optics = Optics(
        photosites=sensor_size(example)[0] / (_FINER * height),
        sigma=blur_of(camera, example.shot),
        aperture=camera.sensor.aperture,
    )
    stage = Stage(example.arrangement, round(_FINER * height), round(_FINER * width), optics)
    rows = (0, stage.height)
    light = stage.light(rows)
    haze = np.float32(example.arrangement.room.haze)
    light = (1 - haze) * light + haze * spread_of(light)
    blurred = example.shot.defocus * stage.scale / np.sqrt(1e6 * example.phone.megapixels)
    light = blur(light, float(np.hypot(0.5, 3 * blurred)))
    light = _vignetted(light, camera.lens, stage.height, rows)
    exposure = exposure_for_level(light[::5, ::5], example.level, example.phone.headroom)
    method = Image.Resampling[example.small_filter.upper()]
    picture = develop_small(
        light, example.phone, example.shot, exposure, random, size=(height, width), method=method
    )
    return compress(picture, example.small_file)


def spread_of(light: Linear) -> Linear:
    """Return the light that the lens scatters: a wide blur of `light` plus its mean; same shape."""
    height, width = light.shape[:2]
    scale = max(1, round(float(np.sqrt(height * width)) / 60))
    planes = [Image.fromarray(np.ascontiguousarray(light[..., c])).reduce(scale) for c in range(3)]
    small = np.stack([np.asarray(plane) for plane in planes], axis=-1)
    spread = np.float32(0.6) * blur(small, 4) + np.float32(0.4) * small.mean(axis=(0, 1))
    return enlarged(spread, height, width, (0, height))


def outline_in_pixels(example: Example, height: int, width: int) -> Exact:
    """Return the medium's outline in a photograph of this size: (x, y) in pixels, shape (n, 2)."""
    scale = np.array(
        [width / example.arrangement.frame.width, height / example.arrangement.frame.height]
    )
    return np.asarray(example.arrangement.outline() * scale, np.float64)


def native_size(example: Example) -> tuple[int, int]:
    """Return height and width of the final file, in pixels."""
    height, width = sensor_size(example)
    if not example.edge or example.edge >= max(height, width):
        return height, width
    share = example.edge / max(height, width)
    return round(height * share), round(width * share)


def sensor_size(example: Example) -> tuple[int, int]:
    """Return height and width of the image that the camera records, in pixels."""
    return example.arrangement.frame.pixels(1e6 * example.megapixels)


def native_photograph(example: Example) -> bytes:
    """Render the photograph at native size, with subpixels and dots; return a JPEG file."""
    height, width = sensor_size(example)
    camera, plan = example.phone.camera, example.arrangement
    exposure, spread = _metered(example)
    stage = NativeStage(
        plan,
        height,
        width,
        sigma=blur_of(camera, example.shot),
        aperture=camera.sensor.aperture,
        seed=example.seed,
    )
    picture = np.empty((height, width, 3), np.uint8)
    for start in range(0, height, _BAND):
        stop = min(start + _BAND, height)
        rows = max(0, start - _MARGIN), min(height, stop + _MARGIN)
        light = stage.on_sensor(rows)
        light *= np.float32(1 - plan.room.haze)
        light += enlarged(spread, height, width, rows)
        light = _vignetted(light, camera.lens, height, rows)
        random = np.random.default_rng([*example.seed, 41, start])
        made = develop_native(light, example.phone, example.shot, exposure, random)
        picture[start:stop] = made[start - rows[0] : stop - rows[0]]
    return file_of(picture, example.history, *native_size(example))


def _metered(example: Example) -> tuple[float, Linear]:
    """Return the exposure and the light scattered by the lens, both from a small preview.

    Phones set their exposure from a preview too.
    """
    plan = example.arrangement
    height, width = plan.frame.pixels(_PREVIEW**2)
    light = Stage(plan, height, width).light((0, height))
    haze = np.float32(plan.room.haze) * spread_of(light)
    seen = np.float32(1 - plan.room.haze) * light + haze
    seen = _vignetted(seen, example.phone.camera.lens, height, (0, height))
    return exposure_for_level(seen[::2, ::2], example.level, example.phone.headroom), haze


def _vignetted(light: Linear, lens: Lens, height: int, rows: tuple[int, int]) -> Linear:
    """Return what vignetting leaves of the light of these rows of a frame `height` high."""
    width = light.shape[1]
    y = (np.arange(*rows, dtype=np.float32) - (height - 1) / 2)[:, None]
    x = (np.arange(width, dtype=np.float32) - (width - 1) / 2)[None, :]
    radius = (y * y + x * x) * np.float32(4 / (height**2 + width**2))
    return channelwise(np.multiply, light, 1 - np.float32(lens.vignetting) * radius)
