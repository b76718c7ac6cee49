"""Recapture: the light that a display or a print sends to a camera's sensor."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from trueshot.simulation.camera import FRAME, Camera, Shot, blur_of
from trueshot.simulation.colour import (
    Bytes,
    Linear,
    Plane,
    Random,
    blur,
    channelwise,
    mix,
    smooth_field,
)
from trueshot.simulation.display import (
    Display,
    grid_table,
    look_up,
    scan_flicker,
    shine,
    uneven_light,
)
from trueshot.simulation.print import DOTS, Print, reflect

MARGIN = 4  # extra pixels of the picture around the camera's view

_Exact = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class View:
    """Geometry of a camera in front of a flat picture.

    Args:
        magnification: Camera pixels per pixel of the picture, at the centre.
        angle: Rotation of the picture, in degrees.
        tilt: Perspective (y, x): relative change of magnification per camera pixel.
        phase: Position (y, x) of the centre within a pixel of the picture.
        distortion: Lens distortion: a point in the corner of the frame moves by this share of its
            distance from the lens's centre.
        place: Position (y, x) of the window in the frame, in camera pixels from the lens's centre.
    """

    magnification: float = 2.0
    angle: float = 0.0
    tilt: tuple[float, float] = (0.0, 0.0)
    phase: tuple[float, float] = (0.0, 0.0)
    distortion: float = 0.0
    place: tuple[float, float] = (0.0, 0.0)


@dataclass(frozen=True, kw_only=True)
class Ambience:
    """Ambient light, relative to the white of the picture.

    Args:
        veil: Uniform light reflected by the surface.
        mirror: Scale of the smooth reflections that are added to the veil.
        shading: Relative variation of the light that falls on a print: scale of a `smooth_field`.
        seed: Seed of the random fields and of a medium's random textures.
    """

    veil: float = 0.01
    mirror: float = 0.0
    shading: float = 0.05
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class Places:
    """The point of the picture that each camera pixel sees.

    Args:
        y, x: Coordinates in pixels of the picture, shape (h, w); 0 is the upper left corner of
            the first pixel.
        jacobian: Pixels of the picture (y, x) per camera pixel (y, x), at the centre; shape (2, 2).
        height, width: Size that the picture must have, in pixels, to fill the view and `MARGIN`.
    """

    y: Plane
    x: Plane
    jacobian: npt.NDArray[np.float64]
    height: int
    width: int


def look(view: View, height: int, width: int) -> Places:
    """Project a camera's pixels onto a flat picture.

    Args:
        view: Geometry of camera and picture.
        height: Number of camera pixels down.
        width: Number of camera pixels across.
    """

    def project(down: _Exact, across: _Exact) -> tuple[_Exact, _Exact]:
        far_y, far_x = down + view.place[0], across + view.place[1]
        bent = 1 + view.distortion * (far_y * far_y + far_x * far_x) / FRAME**2
        down, across = far_y * bent - view.place[0], far_x * bent - view.place[1]
        depth = view.magnification * (1 + view.tilt[0] * down + view.tilt[1] * across)
        turn = np.deg2rad(view.angle)
        cos, sin = np.cos(turn), np.sin(turn)
        return (cos * down - sin * across) / depth, (sin * down + cos * across) / depth

    down = (np.arange(height, dtype=float) - (height - 1) / 2)[:, None]
    across = (np.arange(width, dtype=float) - (width - 1) / 2)[None, :]
    exact_y, exact_x = project(down, across)
    ends = np.array([-0.5, 0.5]), np.zeros(2)
    jacobian = np.stack([np.diff(project(*ends)), np.diff(project(*ends[::-1]))], -1)[:, 0]
    corner_y = float(np.floor(exact_y.min())) - MARGIN - view.phase[0]
    corner_x = float(np.floor(exact_x.min())) - MARGIN - view.phase[1]
    y, x = (exact_y - corner_y).astype(np.float32), (exact_x - corner_x).astype(np.float32)
    far = int(y.max()) + 1 + MARGIN, int(x.max()) + 1 + MARGIN
    return Places(y=y, x=x, jacobian=jacobian, height=far[0], width=far[1])


def sample(light: Linear, y: Plane, x: Plane) -> Linear:
    """Interpolate a picture's light bilinearly; the centre of its first pixel is (0.5, 0.5)."""
    height, width = light.shape[:2]
    rows: Plane = np.clip(y - np.float32(0.5), 0, np.float32(height - 1.001))
    columns: Plane = np.clip(x - np.float32(0.5), 0, np.float32(width - 1.001))
    return mix(light, rows, columns)


def picture_scale(jacobian: _Exact) -> float:
    """Return the pixels of the picture per camera pixel, along a side."""
    return float(np.sqrt(abs(np.linalg.det(jacobian))))


def blur_of_optics(sigma: float, aperture: float) -> float:
    """Return the standard deviation of lens blur and photosite combined, in camera pixels."""
    return float(np.sqrt(sigma**2 + aperture**2 / 12))


def see_display(
    picture: Bytes,
    display: Display,
    places: Places,
    camera: Camera,
    shot: Shot,
    ambience: Ambience,
) -> Linear:
    """Return the light that reaches a camera's sensor from a display.

    The picture and the subpixel grid pass the optics separately, each exactly. Their product is
    exact where the picture changes slowly from one display pixel to the next.

    Args:
        picture: Bytes of each display pixel, shape (places.height, places.width, 3).
        display: The display.
        places: The points that the camera's pixels see, as returned by `look`.
        camera: The camera, for the blur of its lens and photosites.
        shot: The shot, for its defocus.
        ambience: Reflections, and the seed of the random fields.

    Returns:
        Linear light, shape (h, w, 3) for a camera window of (h, w) pixels.
    """
    random = np.random.default_rng(ambience.seed)
    sigma, aperture = blur_of(camera, shot), camera.sensor.aperture
    light = shine(picture, display)
    if display.sparkle:
        noise = random.standard_normal(light.shape, dtype=np.float32)
        light *= 1 + np.float32(display.sparkle) * noise
    light = blur(light, picture_scale(places.jacobian) * blur_of_optics(sigma, aperture))
    seen = sample(light, places.y, places.x)
    table = grid_table(display.layout, places.jacobian, sigma, aperture)
    grid = look_up(table, display.layout.cell, places.y, places.x)
    seen *= grid if display.contrast == 1 else 1 + np.float32(display.contrast) * (grid - 1)
    factors = uneven_light(display, random, *seen.shape[:2])
    if display.flicker:
        factors *= scan_flicker(random, display.flicker, len(seen))
    seen = channelwise(np.multiply, seen, factors)
    return channelwise(np.add, seen, mirrored(ambience, random, *seen.shape[:2]))


def see_print(
    picture: Bytes,
    medium: Print,
    places: Places,
    camera: Camera,
    shot: Shot,
    ambience: Ambience,
) -> Linear:
    """Return the light that reaches a camera's sensor from a print; see `see_display`."""
    random = np.random.default_rng(ambience.seed)
    light = reflect(picture, medium, random)
    dots = np.float32(DOTS)
    scale = picture_scale(places.jacobian) * DOTS
    sigma = scale * blur_of_optics(blur_of(camera, shot), camera.sensor.aperture)
    light = blur(light, float(np.hypot(sigma, medium.spread)))
    seen = sample(light, places.y * dots, places.x * dots)
    shade = smooth_field(random, seen.shape[0], seen.shape[1], 2)
    factors = np.maximum(1 + np.float32(ambience.shading) * shade, np.float32(0.2))
    seen = channelwise(np.multiply, seen, factors)
    return channelwise(np.add, seen, mirrored(ambience, random, *seen.shape[:2]))


def mirrored(ambience: Ambience, random: Random, height: int, width: int) -> Plane:
    """Return the light that a surface reflects: a veil plus smooth reflections, shape (h, w)."""
    field = np.maximum(smooth_field(random, height, width, 3), 0)
    return np.asarray(ambience.veil + ambience.mirror * field, np.float32)
