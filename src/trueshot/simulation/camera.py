"""A camera: lens, sensor, development. From light on the sensor to a picture in bytes."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from trueshot.simulation.colour import (
    Bytes,
    Linear,
    Plane,
    Random,
    between,
    blur,
    channelwise,
    encode_srgb,
    lightness,
    to_bytes,
)
from trueshot.simulation.develop import (
    Development,
    add_local_contrast,
    correct_colour,
    crosstalk_matrix,
    denoise,
    s_curve,
    sharpen,
)
from trueshot.simulation.file_history import Jpeg, draw_jpeg
from trueshot.simulation.mosaic import IDEAL, METHODS, PATTERNS, demosaic, mosaic


@dataclass(frozen=True, kw_only=True)
class Lens:
    """A lens.

    Args:
        sigma: Its blur where it is sharp: standard deviation of a Gaussian, in pixels.
        vignetting: Light lost in the corners of the frame, as a share.
        distortion: Radial: places move by this share of their radius at the corners.
    """

    sigma: float = 0.6
    vignetting: float = 0.3
    distortion: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Sensor:
    """A sensor.

    Args:
        pattern: Of its colour filter array.
        demosaicing: How the camera fills it in.
        aperture: Side of the square that gathers light, in pixels.
        full_well: Electrons of white at the lowest gain.
        read_noise: Standard deviation, in electrons, at the lowest gain.
    """

    pattern: str = "RGGB"
    demosaicing: str = "malvar"
    aperture: float = 0.95
    full_well: float = 6000.0
    read_noise: float = 3.0


@dataclass(frozen=True, kw_only=True)
class Camera:
    """A camera, as one model in one mode: what does not change from shot to shot."""

    name: str
    lens: Lens = field(default_factory=Lens)
    sensor: Sensor = field(default_factory=Sensor)
    development: Development = field(default_factory=Development)
    jpeg: Jpeg = field(default_factory=Jpeg)


@dataclass(frozen=True, kw_only=True)
class Shot:
    """What changes from shot to shot.

    Args:
        brightness: Mean lightness that the exposure is set for, in linear light.
        gain: Of the sensor (ISO over its base): so much less light was there to count.
        defocus: Blur added to the lens's, standard deviation in pixels.
        cast: Factors on red and blue that the white balance leaves.
        place: Centre of the window in the frame: (y, x) in [-1, 1], corners at (±1, ±1).
        frame: Half the frame's diagonal, in pixels.
    """

    brightness: float = 0.18
    gain: float = 2.0
    defocus: float = 0.0
    cast: tuple[float, float] = (1.0, 1.0)
    place: tuple[float, float] = (0.0, 0.0)
    frame: float = 2500.0


def blur_of(camera: Camera, shot: Shot) -> float:
    """Standard deviation of the blur of the lens and of defocus together, in pixels."""
    return float(np.hypot(camera.lens.sigma, shot.defocus))


def vignette(lens: Lens, shot: Shot, height: int, width: int) -> Plane:
    """Share of light that reaches each pixel, shape (h, w): 1 − v r², r = 1 in the corners."""
    y = (np.arange(height, dtype=np.float32) - (height - 1) / 2)[:, None]
    x = (np.arange(width, dtype=np.float32) - (width - 1) / 2)[None, :]
    centre_y, centre_x = (np.float32(p * shot.frame / np.sqrt(2)) for p in shot.place)
    radius = ((y + centre_y) ** 2 + (x + centre_x) ** 2) / np.float32(shot.frame**2)
    return np.asarray(1 - np.float32(lens.vignetting) * np.minimum(radius, 1), np.float32)


def exposure_for(light: Linear, brightness: float) -> float:
    """Factor that brings the mean lightness to `brightness`, clipping a tenth of it at most."""
    mean = float(lightness(light).mean()) + 1e-6  # all: sparse samples beat with a display
    brightest = np.maximum(np.maximum(light[..., 0], light[..., 1]), light[..., 2])
    bright = float(np.quantile(brightest, 0.9)) + 1e-6
    return min(brightness / mean, 1.0 / bright)


def add_noise(electrons: Plane, read_noise: float, random: Random) -> Plane:
    """Photon noise and read noise: variance = electrons + read_noise², in electrons².

    Poisson's law by a normal one of the same variance, which it nears beyond ten electrons.
    Source: EMVA Standard 1288, release 4.0, equation 8.
    """
    deviation: Plane = np.sqrt(np.maximum(electrons, 0) + np.float32(read_noise**2))
    noise = random.standard_normal(electrons.shape, dtype=np.float32)
    return np.asarray(electrons + deviation * noise, np.float32)


def record(
    light: Linear, sensor: Sensor, gain: float, random: Random, filters: npt.ArrayLike = IDEAL
) -> Plane:
    """What a sensor gives out for light in which 1 is white: its raw values, 1 is saturation.

    Args:
        light: Shape (h, w, 3).
        sensor: The sensor.
        gain: ISO over its base.
        random: Noise.
        filters: As for `mosaic`.
    """
    well = sensor.full_well / gain
    electrons = mosaic(light, sensor.pattern, filters) * np.float32(well)
    noisy = add_noise(electrons, sensor.read_noise / np.sqrt(gain), random)
    raw: Plane = np.clip(noisy / np.float32(well), -0.02, 1.0)
    return raw


def develop(raw: Plane, camera: Camera, cast: tuple[float, float]) -> Bytes:
    """Raw values to a picture: demosaicing, colour, denoising, tone, sharpening, bytes."""
    settings = camera.development
    light = demosaic(raw, camera.sensor.pattern, camera.sensor.demosaicing)
    light = correct_colour(light, settings.crosstalk, settings.saturation, cast)
    values = encode_srgb(light)
    values = denoise(values, settings.denoiser, settings.denoise_radius, settings.denoise_strength)
    values = s_curve(np.clip(values, 0, 1), settings.contrast)
    values = add_local_contrast(values, settings.local_contrast)
    values = sharpen(values, settings.sharpen_amount, settings.sharpen_radius, settings.halo)
    return to_bytes(values)


def photograph(light: Linear, camera: Camera, shot: Shot, random: Random) -> Bytes:
    """Take a picture of light that has passed the lens.

    Args:
        light: On the sensor, linear, shape (h, w, 3), in any unit: the exposure is set for it.
        camera: The camera.
        shot: What is special about this shot.
        random: Noise.

    Returns:
        Bytes, shape (h, w, 3).
    """
    fallen = channelwise(np.multiply, light, vignette(camera.lens, shot, *light.shape[:2]))
    exposure = np.float32(exposure_for(fallen, shot.brightness))
    filters = exposure * crosstalk_matrix(camera.development.crosstalk)
    raw = record(fallen, camera.sensor, shot.gain, random, filters)
    return develop(raw, camera, shot.cast)


def through_lens(light: Linear, camera: Camera, shot: Shot) -> Linear:
    """A scene in pixels of the sensor, as the lens lays it there."""
    return blur(light, blur_of(camera, shot))


def draw_camera(random: Random, name: str) -> Camera:
    """A camera from the range of phones and compact cameras.

    Source of the ranges: full wells of 4 to 16 thousand electrons and read noise of 1.5 to 4 of
    pixels from 1 to 2.4 µm, binned or not, as makers publish them; blur from the diffraction at
    f/1.6 to f/2.4 of such pixels; development after the stages that Karaimer and Brown 2016 and
    Delbracio et al. 2021 ("Mobile computational photography: a tour") name.
    """
    denoiser = str(random.choice(["none", "chroma", "guided", "median"], p=[0.05, 0.15, 0.7, 0.1]))
    return Camera(
        name=name,
        lens=Lens(
            sigma=float(random.uniform(0.4, 0.9)),
            vignetting=float(random.uniform(0.05, 0.5)),
            distortion=float(random.uniform(-0.03, 0.03)),
        ),
        sensor=Sensor(
            pattern=str(random.choice(PATTERNS)),
            demosaicing=str(random.choice(list(METHODS), p=[0.2, 0.4, 0.4])),
            aperture=float(random.uniform(0.85, 1.0)),
            full_well=between(random, 4000, 16000),
            read_noise=float(random.uniform(1.5, 4)),
        ),
        development=Development(
            crosstalk=float(random.uniform(0.05, 0.25)),
            saturation=float(random.uniform(0.9, 1.3)),
            denoiser=denoiser,
            denoise_radius=int(random.integers(1, 4)),
            denoise_strength=between(random, 0.006, 0.06),
            contrast=float(random.uniform(0.0, 0.6)),
            local_contrast=float(random.choice([0.0, random.uniform(0.05, 0.4)])),
            sharpen_amount=float(random.choice([random.uniform(0, 0.6), random.uniform(0.6, 2)])),
            sharpen_radius=float(random.uniform(0.6, 2.0)),
            halo=float(random.uniform(0.04, 0.2)),
        ),
        jpeg=draw_jpeg(random, 82, 98),
    )


def draw_shot(random: Random, sharp: float = 0.75) -> Shot:
    """A shot from the range of those that people take by hand, a share of them in focus."""
    in_focus = random.random() < sharp
    defocus = random.uniform(0, 0.4) if in_focus else between(random, 0.4, 2.0)
    return Shot(
        brightness=between(random, 0.08, 0.4),
        gain=between(random, 1, 8),
        defocus=float(defocus),
        cast=(float(np.exp(random.normal(0, 0.06))), float(np.exp(random.normal(0, 0.06)))),
        place=(float(random.uniform(-0.9, 0.9)), float(random.uniform(-0.9, 0.9))),
    )
