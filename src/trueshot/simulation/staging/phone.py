"""Cameras of current phones: merged exposures, strong edge-preserving denoising, sharpening.

Their processing after demosaicing turns fine grain into watercolour-like patches and a faint
lattice into maze patterns.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

from trueshot.simulation.camera import Camera, Shot, draw_camera, record
from trueshot.simulation.colour import (
    Bytes,
    Linear,
    Random,
    between,
    blur,
    channelwise,
    encode_srgb,
    lightness,
    to_bytes,
)
from trueshot.simulation.develop import (
    add_local_contrast,
    correct_colour,
    crosstalk_matrix,
    denoise,
    finish,
    s_curve,
    sharpen,
)
from trueshot.simulation.mosaic import demosaic


@dataclass(frozen=True, kw_only=True)
class Phone:
    """A phone's camera.

    Args:
        camera: Lens, sensor and development settings.
        exposures: Number of exposures merged into one photograph, which reduces noise.
        headroom: Brightest light that merging keeps, relative to white; 1 clips at white.
        coring: Threshold below which lightness detail is removed, in encoded values (0 to 1).
        boost: Share by which the remaining detail is amplified.
        passes: Number of passes of the denoiser.
        megapixels: Megapixels of a photograph.
        focal: Focal length, as a share of the frame's diagonal.
    """

    camera: Camera
    exposures: int = 1
    headroom: float = 1.0
    coring: float = 0.0
    boost: float = 0.0
    passes: int = 1
    megapixels: float = 12.0
    focal: float = 0.6

    @property
    def name(self) -> str:
        """Name of the camera."""
        return self.camera.name


def draw_phone(random: Random, name: str) -> Phone:
    """Draw a phone; two in three process strongly.

    Source of the ranges: Delbracio et al. 2021, "Mobile computational photography: a tour": bursts
    of 2 to 15 frames, tone mapping over 2 to 3 stops; sensors of 12 megapixels or binned to them.
    """
    camera = draw_camera(random, name)
    strong = random.random() < 0.66
    settings = camera.development
    if strong:
        settings = replace(
            settings,
            denoiser="guided",
            denoise_radius=int(random.integers(1, 5)),
            denoise_strength=between(random, 0.012, 0.07),
            local_contrast=float(random.uniform(0.1, 0.5)),
            sharpen_amount=float(random.uniform(0.6, 2.6)),
            sharpen_radius=float(random.uniform(0.8, 2.0)),
        )
    return Phone(
        camera=replace(camera, development=settings),
        exposures=int(random.integers(3, 12)) if strong else 1,
        headroom=float(random.uniform(1.5, 5)) if strong else float(random.uniform(1.0, 1.6)),
        coring=between(random, 0.001, 0.012) if strong else 0.0,
        boost=float(random.uniform(0.0, 0.6)) if strong else 0.0,
        passes=int(random.choice([1, 2], p=[0.65, 0.35])) if strong else 1,
        megapixels=float(random.choice([8.0, 12.0, 12.2, 12.5])),
        focal=float(
            random.choice([random.uniform(0.55, 0.68), random.uniform(0.9, 1.4)], p=[0.8, 0.2])
        ),
    )


def shoulder(light: Linear, headroom: float) -> Linear:
    """Compress light from 0 to `headroom` into 0 to 1 with a smooth shoulder; keep the lower half.

    The curve leaves the line y = x at one half with slope 1 and reaches 1 at `headroom`.
    """
    if headroom <= 1.001:
        return light
    over = np.maximum(light - np.float32(0.5), np.float32(0))
    reach = headroom - 0.5
    # y = t / (1 + bend · t) has slope 1 at 0; this `bend` makes y one half at t = `reach`.
    bend = np.float32(2 - 1 / reach) if reach > 0.5 else np.float32(0)
    raised = np.minimum(over / (1 + bend * over), np.float32(0.5))
    return np.asarray(np.minimum(light, np.float32(0.5)) + raised, np.float32)


def exposure_for_level(light: Linear, level: float, headroom: float) -> float:
    """Return the factor on `light` that brings its mean encoded value to `level`."""
    low, high = 1e-3, 1e3
    for _ in range(22):
        middle = float(np.sqrt(low * high))
        mean = float(encode_srgb(shoulder(light * np.float32(middle), headroom)).mean())
        low, high = (middle, high) if mean < level else (low, middle)
    return float(np.sqrt(low * high))


def develop_small(
    light: Linear,
    phone: Phone,
    shot: Shot,
    exposure: float,
    random: Random,
    *,
    size: tuple[int, int],
    method: Image.Resampling,
) -> Bytes:
    """Develop a photograph as it looks after reduction: without mosaic, with hardly any noise.

    Args:
        light: Light on the sensor, shape (h, w, 3).
        phone: Phone whose colours, tones and sharpening are applied.
        shot: Settings of the shot.
        exposure: Factor on the light.
        random: Source of the noise.
        size: Height and width of the reduced photograph.
        method: Resampling filter of the reduction.
    """
    settings = phone.camera.development
    light = correct_colour(light * np.float32(exposure), 0.0, settings.saturation, shot.cast)
    picture = Image.fromarray(to_bytes(encode_srgb(shoulder(light, phone.headroom))))
    values = np.asarray(picture.resize(size[::-1], method), np.float32) / np.float32(255)
    values = s_curve(values, settings.contrast)
    values = add_local_contrast(values, 0.5 * settings.local_contrast)
    values = sharpen(values, 0.4 * settings.sharpen_amount, 0.7, settings.halo)
    noise = np.float32(0.004 * np.sqrt(shot.gain / phone.exposures))
    values += noise * random.standard_normal(values.shape, dtype=np.float32)
    return to_bytes(values)


def white_balance(tint: tuple[float, float, float], share: float) -> tuple[float, float]:
    """Return the factors on red and blue that undo a share of a room's tint."""
    return float(tint[1] / tint[0]) ** share, float(tint[1] / tint[2]) ** share


def watercolour(values: Linear, coring: float, boost: float) -> Linear:
    """Remove faint lightness detail (soft threshold) and amplify the rest.

    Args:
        values: Encoded values, shape (h, w, 3).
        coring: Detail up to this is removed; larger detail is reduced by the same amount.
        boost: Share by which the remaining detail is then amplified.
    """
    if coring <= 0 and boost <= 0:
        return values
    light = lightness(values)
    detail = light - blur(light, 1.6)
    kept = np.sign(detail) * np.maximum(np.abs(detail) - np.float32(coring), 0)
    change = np.float32(1 + boost) * kept - detail
    return channelwise(np.add, values, change.astype(np.float32))


def develop_native(
    light: Linear,
    phone: Phone,
    shot: Shot,
    exposure: float,
    random: Random,
) -> Bytes:
    """Record and develop light: mosaic, noise, merging, denoising, tone, sharpening.

    Args:
        light: Light on the sensor, shape (h, w, 3); its first row is an even row of the sensor.
        phone: Phone that takes the photograph.
        shot: Settings of the shot.
        exposure: Factor on the light.
        random: Source of the noise.
    """
    settings, sensor = phone.camera.development, phone.camera.sensor
    merged = replace(
        sensor,
        full_well=sensor.full_well * phone.exposures,
        read_noise=sensor.read_noise * float(np.sqrt(phone.exposures)),
    )
    scale = np.float32(exposure / phone.headroom)
    filters = scale * crosstalk_matrix(settings.crosstalk)
    raw = record(light, merged, shot.gain, random, filters)
    linear = demosaic(raw, sensor.pattern, sensor.demosaicing) * np.float32(phone.headroom)
    linear = correct_colour(linear, settings.crosstalk, settings.saturation, shot.cast)
    values = encode_srgb(shoulder(linear, phone.headroom))
    for _ in range(phone.passes):
        values = denoise(
            values, settings.denoiser, settings.denoise_radius, settings.denoise_strength
        )
    return finish(watercolour(values, phone.coring, phone.boost), settings)
