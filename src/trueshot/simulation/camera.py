"""A camera: lens, sensor and development, from light on the sensor to a picture in bytes."""

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
)
from trueshot.simulation.develop import (
    Development,
    correct_colour,
    crosstalk_matrix,
    denoise,
    finish,
)
from trueshot.simulation.file_history import Jpeg, draw_jpeg
from trueshot.simulation.mosaic import IDEAL, METHODS, PATTERNS, demosaic, mosaic

FRAME = 2500.0  # half the diagonal of every frame, in pixels


@dataclass(frozen=True, kw_only=True)
class Lens:
    """Properties of a lens.

    Args:
        sigma: Blur in focus: standard deviation of a Gaussian, in pixels.
        vignetting: Share of the light lost in the corners of the frame.
        distortion: Radial distortion: in the corners of the frame, a point moves by this share of
            its radius.
    """

    sigma: float = 0.6
    vignetting: float = 0.3
    distortion: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Sensor:
    """Properties of a sensor.

    Args:
        pattern: Pattern of the colour filter array; one of `mosaic.PATTERNS`.
        demosaicing: Demosaicing method; one of `mosaic.METHODS`.
        aperture: Side of a photosite's light-sensitive square, in pixels.
        full_well: Number of electrons at saturation (white), at the lowest gain.
        read_noise: Standard deviation of the read noise at the lowest gain, in electrons.
    """

    pattern: str = "RGGB"
    demosaicing: str = "malvar"
    aperture: float = 0.95
    full_well: float = 6000.0
    read_noise: float = 3.0


@dataclass(frozen=True, kw_only=True)
class Camera:
    """A camera model in one mode: the settings that stay the same from shot to shot."""

    name: str
    lens: Lens = field(default_factory=Lens)
    sensor: Sensor = field(default_factory=Sensor)
    development: Development = field(default_factory=Development)
    jpeg: Jpeg = field(default_factory=Jpeg)


@dataclass(frozen=True, kw_only=True)
class Shot:
    """The settings that change from shot to shot.

    Args:
        brightness: Mean lightness that the exposure aims at, in linear light.
        gain: Sensor gain (ISO over the base ISO); white has 1 / `gain` times as many electrons.
        defocus: Blur added to that of the lens: standard deviation in pixels.
        cast: Factors on red and blue that the white balance leaves uncorrected.
        place: Centre of the window in the frame: (y, x) in [-1, 1], corners at (±1, ±1).
    """

    brightness: float = 0.18
    gain: float = 2.0
    defocus: float = 0.0
    cast: tuple[float, float] = (1.0, 1.0)
    place: tuple[float, float] = (0.0, 0.0)


def blur_of(camera: Camera, shot: Shot) -> float:
    """Return the standard deviation of lens blur and defocus combined, in pixels."""
    return float(np.hypot(camera.lens.sigma, shot.defocus))


def vignette(lens: Lens, shot: Shot, height: int, width: int) -> Plane:
    """Return the share of light that reaches each pixel, shape (h, w).

    It is 1 − v r², where v is the lens's vignetting and r = 1 in the corners of the frame.
    """
    y = (np.arange(height, dtype=np.float32) - (height - 1) / 2)[:, None]
    x = (np.arange(width, dtype=np.float32) - (width - 1) / 2)[None, :]
    centre_y, centre_x = (np.float32(p * FRAME / np.sqrt(2)) for p in shot.place)
    radius = ((y + centre_y) ** 2 + (x + centre_x) ** 2) / np.float32(FRAME**2)
    return np.asarray(1 - np.float32(lens.vignetting) * np.minimum(radius, 1), np.float32)


def exposure_for(light: Linear, brightness: float) -> float:
    """Return the factor that brings the mean lightness to `brightness`.

    It is limited so that at most a tenth of the pixels clip.
    """
    mean = float(lightness(light).mean()) + 1e-6  # all pixels: a subset would alias with a display
    brightest = np.maximum(np.maximum(light[..., 0], light[..., 1]), light[..., 2])
    bright = float(np.quantile(brightest, 0.9)) + 1e-6
    return min(brightness / mean, 1.0 / bright)


def add_noise(electrons: Plane, read_noise: float, random: Random) -> Plane:
    """Add photon noise and read noise: variance = electrons + read_noise², in electrons².

    The Poisson distribution is approximated by a normal distribution of the same variance; the
    two are close above ten electrons.
    Source: EMVA Standard 1288, release 4.0, equation 8.
    """
    deviation: Plane = np.sqrt(np.maximum(electrons, 0) + np.float32(read_noise**2))
    noise = random.standard_normal(electrons.shape, dtype=np.float32)
    return np.asarray(electrons + deviation * noise, np.float32)


def record(
    light: Linear, sensor: Sensor, gain: float, random: Random, filters: npt.ArrayLike = IDEAL
) -> Plane:
    """Return the raw values, shape (h, w), that a sensor records; 1 is saturation.

    Args:
        light: Linear light, 1 is white; shape (h, w, 3).
        sensor: The sensor.
        gain: ISO over the base ISO.
        random: Generator for the noise.
        filters: Colour filters, as for `mosaic`.
    """
    well = sensor.full_well / gain
    electrons = mosaic(light, sensor.pattern, filters) * np.float32(well)
    noisy = add_noise(electrons, sensor.read_noise / np.sqrt(gain), random)
    raw: Plane = np.clip(noisy / np.float32(well), -0.02, 1.0)
    return raw


def develop(raw: Plane, camera: Camera, cast: tuple[float, float]) -> Bytes:
    """Develop raw values to bytes: demosaicing, colour, denoising, tone and sharpening."""
    settings = camera.development
    light = demosaic(raw, camera.sensor.pattern, camera.sensor.demosaicing)
    light = correct_colour(light, settings.crosstalk, settings.saturation, cast)
    values = encode_srgb(light)
    values = denoise(values, settings.denoiser, settings.denoise_radius, settings.denoise_strength)
    return finish(values, settings)


def photograph(light: Linear, camera: Camera, shot: Shot, random: Random) -> Bytes:
    """Take a picture of light that has already passed through the lens.

    Args:
        light: Linear light on the sensor, shape (h, w, 3), in any unit: the exposure adapts to it.
        camera: The camera.
        shot: Settings of this shot.
        random: Generator for the noise.

    Returns:
        Bytes, shape (h, w, 3).
    """
    fallen = channelwise(np.multiply, light, vignette(camera.lens, shot, *light.shape[:2]))
    exposure = np.float32(exposure_for(fallen, shot.brightness))
    filters = exposure * crosstalk_matrix(camera.development.crosstalk)
    raw = record(fallen, camera.sensor, shot.gain, random, filters)
    return develop(raw, camera, shot.cast)


def through_lens(light: Linear, camera: Camera, shot: Shot) -> Linear:
    """Blur a scene, given in sensor pixels, as the lens and defocus do."""
    return blur(light, blur_of(camera, shot))


def draw_camera(random: Random, name: str) -> Camera:
    """Draw a random camera from the range of phones and compact cameras.

    Source of the ranges: full wells of 4,000 to 16,000 electrons and read noise of 1.5 to 4
    electrons, as makers publish them for pixels of 1 to 2.4 µm, binned or not; blur from
    diffraction at f/1.6 to f/2.4 on such pixels; development stages as listed by Karaimer and
    Brown 2016 and Delbracio et al. 2021 ("Mobile computational photography: a tour").
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
    """Draw a random hand-held shot; it is in focus with probability `sharp`."""
    in_focus = random.random() < sharp
    defocus = random.uniform(0, 0.4) if in_focus else between(random, 0.4, 2.0)
    return Shot(
        brightness=between(random, 0.08, 0.4),
        gain=between(random, 1, 8),
        defocus=float(defocus),
        cast=(float(np.exp(random.normal(0, 0.06))), float(np.exp(random.normal(0, 0.06)))),
        place=(float(random.uniform(-0.9, 0.9)), float(random.uniform(-0.9, 0.9))),
    )
