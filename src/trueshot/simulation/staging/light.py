"""Light of a room: illumination, reflections in glass, shadows, and the glow of displays.

All of it varies smoothly, so it is computed once for the whole frame at low resolution and enlarged
where it is used.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from trueshot.simulation.colour import Linear, Plane, Random, between, decode_srgb, smooth_field
from trueshot.simulation.staging.geometry import Exact, Frame
from trueshot.simulation.staging.geometry import clip as clipped

SIDE = 160  # square root of the number of grid points at which light is computed


@dataclass(frozen=True, kw_only=True)
class Room:
    """Light in a room, in units in which white paper reflects 1.

    Args:
        tint: Colour of the light: red, green, blue.
        slope: Difference in brightness between opposite sides of the frame, as a share.
        spot: Extra brightness near a lamp, as a share.
        lamps: Brightness of the lamps and windows reflected in glass; 0 means there are none.
        sharp: Sharpness of their reflections, from 0 (matte) to 1.
        haze: Share of all light that the lens scatters over the frame.
        shadow: Depth of shadows, as a share.
        seed: Seed of the positions and patterns of this light.
    """

    tint: tuple[float, float, float] = (1.0, 1.0, 1.0)
    slope: float = 0.3
    spot: float = 0.0
    lamps: float = 0.0
    sharp: float = 0.5
    haze: float = 0.01
    shadow: float = 0.5
    seed: int = 0


def draw_room(random: Random) -> Room:
    """Draw light from the range found in homes and offices by day and by night."""
    warm = float(random.normal(0.05, 0.12))
    return Room(
        tint=(1 + warm, 1.0, max(0.4, 1 - 1.2 * warm)),
        slope=float(random.uniform(0.0, 0.9)),
        spot=float(random.choice([0.0, random.uniform(0.3, 3.0)])),
        lamps=float(random.choice([0.0, between(random, 1, 30)], p=[0.45, 0.55])),
        sharp=float(random.random()),
        haze=between(random, 0.003, 0.05),
        shadow=float(random.uniform(0.2, 0.8)),
        seed=int(random.integers(2**31)),
    )


@dataclass(frozen=True, kw_only=True)
class Fields:
    """Light over the frame, on a grid of about SIDE · SIDE points; linear, shape (h, w, 3).

    Args:
        falls: Light that falls on things.
        mirrored: Light that a perfect mirror would reflect.
    """

    falls: Linear
    mirrored: Linear


def size_of(frame: Frame) -> tuple[int, int]:
    """Return height and width of the fields of a frame."""
    return frame.pixels(SIDE * SIDE)


def fields(room: Room, frame: Frame, glowing: list[tuple[Exact, Linear]]) -> Fields:
    """Compute the light over a frame.

    Args:
        room: Light of the room.
        frame: The frame.
        glowing: Outline in the frame and mean light, shape (3,), of each part that emits light.
    """
    random = np.random.default_rng(room.seed)
    height, width = size_of(frame)
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    x = np.linspace(-1, 1, width, dtype=np.float32)[None, :]
    angle = random.uniform(0, 2 * np.pi)
    level = 1 + np.float32(room.slope / 2) * (np.cos(angle) * x + np.sin(angle) * y)
    level = level + np.float32(0.12) * smooth_field(random, height, width, 3)
    place = random.uniform(-0.9, 0.9, 2)
    near = np.exp(
        -((y - place[0]) ** 2 + (x - place[1]) ** 2) / np.float32(2 * random.uniform(0.2, 0.6) ** 2)
    )
    level = np.maximum(level + np.float32(room.spot) * near, 0.05)
    falls = (level / level.mean())[..., None] * np.array(room.tint, np.float32)
    for outline, colour in glowing:
        falls = falls + 0.22 * soft(outline, frame, 0.09)[..., None] * colour
    return Fields(falls=falls.astype(np.float32), mirrored=_mirrored(room, random, height, width))


def soft(
    outline: Exact, frame: Frame, sigma: float, shift: tuple[float, float] = (0.0, 0.0)
) -> Plane:
    """Fill and blur an outline: coverage, shape (h, w); `sigma` and `shift` are in frame units."""
    height, width = size_of(frame)
    mask = Image.new("L", (width, height))
    visible = clipped(outline + np.array(shift), frame)
    if len(visible) > 2:
        points = [(float(x) * SIDE, float(y) * SIDE) for x, y in visible]
        ImageDraw.Draw(mask).polygon(points, 255)
    radius = max(0.3, sigma * SIDE)
    for _ in range(2):
        mask = mask.filter(ImageFilter.BoxBlur(radius * 1.22))
    return np.asarray(mask, np.float32) / np.float32(255)


def _mirrored(room: Room, random: Random, height: int, width: int) -> Linear:
    """Draw what glass reflects: a dim room, sometimes a person, lamps and windows."""
    dim = np.maximum(0.35 + 0.3 * smooth_field(random, height, width, 4), 0.02)
    tint = np.array(room.tint, np.float32)
    scene = dim[..., None] * tint
    image = Image.new("L", (width, height))
    pen = ImageDraw.Draw(image)
    if random.random() < 0.5:  # silhouette of the photographer
        x, y, size = (
            random.uniform(0.3, 0.7) * width,
            random.uniform(0.2, 0.6) * height,
            random.uniform(0.1, 0.3) * height,
        )
        pen.ellipse((x - 0.5 * size, y - 0.7 * size, x + 0.5 * size, y + 0.7 * size), 255)
        pen.ellipse((x - 1.4 * size, y + 0.7 * size, x + 1.4 * size, y + 5 * size), 255)
        image = image.filter(ImageFilter.BoxBlur(2 + 6 * (1 - room.sharp)))
        scene = scene * (1 - 0.8 * np.asarray(image, np.float32) / np.float32(255))[..., None]
    if not room.lamps:
        return np.asarray(scene, np.float32)
    image = Image.new("L", (width, height))
    pen = ImageDraw.Draw(image)
    for _ in range(int(random.integers(1, 4))):
        x, y, size = (
            random.random() * width,
            random.random() * height,
            random.uniform(0.02, 0.14) * height,
        )
        kind = random.random()
        if kind < 0.4:
            pen.circle((x, y), size, 255)
        elif kind < 0.7:  # a fluorescent tube
            lean = random.uniform(-0.4, 0.4)
            dx, dy = 3 * size * np.cos(lean), 3 * size * np.sin(lean)
            pen.line((x - dx, y - dy, x + dx, y + dy), 255, max(2, int(0.35 * size)))
        else:  # a window
            slant = random.uniform(-0.4, 0.4) * size
            pen.polygon(
                (
                    (x, y),
                    (x + 2 * size, y + slant),
                    (x + 2 * size, y + 2.6 * size + slant),
                    (x, y + 2.6 * size),
                ),
                160,
            )
    image = image.filter(ImageFilter.BoxBlur(0.5 + 14 * (1 - room.sharp) ** 2))
    light = decode_srgb(np.asarray(image))
    lamps = np.float32(room.lamps) * light[..., None] * (0.5 + 0.5 * tint)
    return np.asarray(scene + lamps, np.float32)


def enlarged(field: Linear, height: int, width: int, rows: tuple[int, int]) -> Linear:
    """Enlarge a field to (height, width) and return rows (start, stop): (rows, width, channels)."""
    tall, wide = field.shape[:2]
    box = (0.0, rows[0] * tall / height, float(wide), rows[1] * tall / height)
    planes = [
        np.asarray(
            Image.fromarray(np.ascontiguousarray(field[..., channel])).resize(
                (width, rows[1] - rows[0]), Image.Resampling.BILINEAR, box
            )
        )
        for channel in range(field.shape[2])
    ]
    return np.stack(planes, axis=-1)
