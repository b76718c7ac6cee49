"""Phones, tablets, laptops, monitors and televisions: switched on, off, or seen from behind."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from PIL import Image, ImageChops, ImageDraw

from trueshot.simulation.colour import Random
from trueshot.simulation.display import Display
from trueshot.simulation.procedural.text import Ink
from trueshot.simulation.staging.geometry import Box, Plane, parallel
from trueshot.simulation.staging.pages import Page
from trueshot.simulation.staging.parts import Part, Thing, flat, grown, rounded, shaded
from trueshot.simulation.staging.sheet import BLACK, Sheet

_GLASS: Ink = (16, 16, 18)  # colour of a screen that is off
_BODIES: tuple[Ink, ...] = (
    (30, 30, 32),
    (45, 46, 50),
    (70, 72, 76),
    (188, 190, 194),
    (214, 214, 210),
    (238, 238, 238),
    (40, 52, 74),
    (120, 96, 84),
    (208, 180, 160),
    (150, 60, 60),
    (60, 110, 96),
)


@dataclass(frozen=True, kw_only=True)
class Device:
    """The look of a device; lengths are in millimetres.

    Args:
        kind: Kind of device, one of `KINDS`.
        width, height: Size of the screen as the device is held.
        bezel: Width of the frame to the left, top, right and bottom of the screen.
        corner: Radius of the body's corners.
        round: Radius of the screen's corners.
        notch: `none`, `hole`, `drop` or `bar`.
        body: Colour of the body.
        rim: Width of a protective case around the body; 0 means there is no case.
        rim_colour: Colour of the case.
        open: Angle between screen and keyboard of a laptop, in degrees.
        resolution: Number of display pixels across the screen.
        seed: Seed of all other details.
    """

    kind: str
    width: float
    height: float
    bezel: Box
    resolution: int
    corner: float = 2.0
    round: float = 0.0
    notch: str = "none"
    body: Ink = (30, 30, 32)
    rim: float = 0.0
    rim_colour: Ink = (30, 30, 32)
    open: float = 110.0
    seed: int = 0

    @property
    def screen(self) -> Box:
        """Box of the screen."""
        return 0.0, 0.0, self.width, self.height

    @property
    def outside(self) -> Box:
        """Box of the body, without a case."""
        return grown(self.screen, *self.bezel)

    @property
    def whole(self) -> Box:
        """Box of the body with its case."""
        return grown(self.outside, *[self.rim] * 4)


def draw_device(random: Random, kind: str, *, upright: bool) -> Device:
    """Draw a device from the range that people own, with sizes that makers publish."""
    device = _LOOKS[kind][0](random)
    if kind in ("phone", "tablet") and not upright:
        left, top, right, bottom = device.bezel
        device = replace(
            device,
            width=device.height,
            height=device.width,
            bezel=(top, right, bottom, left),
            resolution=round(device.resolution * device.height / device.width),
        )
    dark = random.random() < (0.8 if kind != "laptop" else 0.5)
    return replace(
        device,
        body=_BODIES[int(random.integers(3 if dark else len(_BODIES)))],
        rim_colour=_BODIES[int(random.integers(len(_BODIES)))],
        seed=int(random.integers(2**31)),
    )


def _phone(random: Random) -> Device:
    width = float(random.uniform(62, 72))
    height = width * float(random.choice([1.78, 2.0, 2.11, 2.17, 2.22]))
    old = height / width < 1.8
    side = float(random.uniform(1.2, 3.5))
    ends = float(random.uniform(10, 18)) if old else float(random.uniform(1.5, 6))
    foot = ends if old else ends * float(random.uniform(0.8, 1.5))
    corner = float(random.uniform(6, 11))
    notches = ["none"] if old else ["hole", "drop", "bar", "none"]
    return Device(
        kind="phone",
        width=width,
        height=height,
        bezel=(side, ends, side, foot),
        corner=corner,
        round=0.0 if old else corner - side,
        notch=str(random.choice(notches, p=None if old else [0.4, 0.25, 0.15, 0.2])),
        rim=float(random.choice([0.0, random.uniform(1, 4)])),
        resolution=int(random.choice([720, 1080, 1080, 1179, 1440])),
    )


def _tablet(random: Random) -> Device:
    width = float(random.uniform(135, 170))
    height = width * float(random.choice([1.333, 1.43, 1.6]))
    side = float(random.uniform(6, 12))
    return Device(
        kind="tablet",
        width=width,
        height=height,
        bezel=(side, side, side, side),
        corner=float(random.uniform(5, 14)),
        round=float(random.choice([0, 4])),
        resolution=int(random.choice([1200, 1536, 1600, 1668])),
    )


def _laptop(random: Random) -> Device:
    width = float(random.uniform(290, 350))
    height = width / float(random.choice([1.778, 1.778, 1.6, 1.5]))
    side = float(random.uniform(4, 14))
    return Device(
        kind="laptop",
        width=width,
        height=height,
        bezel=(side, float(random.uniform(7, 18)), side, float(random.uniform(12, 30))),
        corner=float(random.uniform(2, 9)),
        open=float(random.uniform(95, 130)),
        resolution=int(random.choice([1366, 1920, 1920, 2560])),
    )


def _monitor(random: Random) -> Device:
    width = float(random.uniform(440, 620))
    height = width / float(random.choice([1.778, 1.778, 1.6, 1.25]))
    side = float(random.choice([random.uniform(2, 7), random.uniform(10, 20)]))
    return Device(
        kind="monitor",
        width=width,
        height=height,
        bezel=(side, side, side, side + float(random.uniform(4, 18))),
        resolution=int(random.choice([1920, 1920, 2560, 1680])),
    )


def _television(random: Random) -> Device:
    width = float(random.uniform(800, 1400))
    side = float(random.uniform(4, 22))
    return Device(
        kind="television",
        width=width,
        height=width / 1.778,
        bezel=(side, side, side, side + float(random.uniform(2, 18))),
        resolution=int(random.choice([1366, 1920, 3840])),
    )


_LOOKS: dict[str, tuple[Callable[[Random], Device], float]] = {
    "phone": (_phone, 0.4),
    "tablet": (_tablet, 0.08),
    "laptop": (_laptop, 0.25),
    "monitor": (_monitor, 0.2),
    "television": (_television, 0.07),
}
KINDS = tuple(_LOOKS)


def draw_kind(random: Random) -> str:
    """Draw a kind of device, each as often as people photograph it."""
    return str(random.choice(KINDS, p=[share for _, share in _LOOKS.values()]))


def lit(device: Device, display: Display, page: Page, brightness: float) -> Thing:
    """Return a device that shows a page.

    Args:
        device: Look of the device.
        display: Physical properties of the screen.
        page: Page to show.
        brightness: White of the screen, relative to white paper in the light of the room.
    """
    left, top, right, bottom = page.subject(device.width / device.height)
    subject = (
        left * device.width,
        top * device.height,
        right * device.width,
        bottom * device.height,
    )

    def paint(height: int, width: int) -> Image.Image:
        image = _as_seen(device, page.draw(height, width)).convert("RGBA")
        image.putalpha(_window(device, height, width))
        return image

    screen = Part(
        box=device.screen,
        paint=paint,
        emits=brightness,
        gloss=display.reflectance,
        finest=device.resolution / device.width,
        display=display,
        dots=float(device.resolution),
    )
    return Thing(
        parts=(*_body(device), screen),
        whole=device.whole,
        face=device.screen,
        subject=subject,
        medium=device.kind,
        name=display.name,
    )


def dark(device: Device) -> Thing:
    """Return a device that is switched off."""

    def paint(height: int, width: int) -> Image.Image:
        image = Image.new("RGBA", (width, height), (*_GLASS, 255))
        image.putalpha(_window(device, height, width))
        return image

    glass = Part(box=device.screen, paint=paint, gloss=0.05, finest=1.0)
    return Thing(
        parts=(*_body(device), glass),
        whole=device.whole,
        face=device.screen,
        subject=device.screen,
    )


def behind(device: Device) -> Thing:
    """Return a device seen from behind."""
    box = device.whole
    wide, tall = box[2] - box[0], box[3] - box[1]
    colour = device.rim_colour if device.rim else device.body

    def paint(height: int, width: int) -> Image.Image:
        random = np.random.default_rng(device.seed)
        image = rounded(height, width, (0, 0, wide, tall), colour, device.corner, wide=wide)
        pen, scale = ImageDraw.Draw(image), width / wide
        if device.kind in ("phone", "tablet"):
            side = min(wide, tall) * random.uniform(0.3, 0.45)
            x, y = 6 * scale, 6 * scale
            bump = tuple(int(0.8 * level) for level in colour)
            pen.rounded_rectangle((x, y, x + side * scale, y + side * scale * 1.1), 5 * scale, bump)
            for row in range(2):
                for column in range(2):
                    cx, cy = (
                        x + side * scale * (0.28 + 0.45 * column),
                        y + side * scale * (0.3 + 0.5 * row),
                    )
                    lens = side * scale * 0.18
                    pen.circle((cx, cy), lens, (15, 15, 18), (90, 90, 95))
        half = 0.06 * min(wide, tall) * scale
        cx, cy = width / 2, height * (0.5 if random.random() < 0.7 else 0.8)
        mark = tuple(int(np.clip(level + random.choice([-60, 70]), 0, 255)) for level in colour)
        pen.circle((cx, cy), half, mark)
        return shaded(image, device.seed, 0.03)

    part = Part(box=box, paint=paint, gloss=0.03, finest=4.0, rises=8.0)
    return flat(*([_base(device)] if device.kind == "laptop" else []), part)


def keyboard(random: Random) -> Thing:
    """Return a keyboard on its own."""
    width = float(random.uniform(280, 440))
    height = width * float(random.uniform(0.28, 0.36))
    colour, keys = _BODIES[int(random.integers(6))], _BODIES[int(random.integers(6))]
    seed = int(random.integers(2**31))
    box = (0.0, 0.0, width, height)

    def paint(tall: int, wide: int) -> Image.Image:
        sheet = Sheet(tall, wide, width, colour)
        _keys(sheet, np.random.default_rng(seed), (8, 8, width - 8, height - 8), keys)
        return sheet.image

    return flat(Part(box=box, paint=paint, gloss=0.01, finest=10.0, rises=12.0))


def _window(device: Device, height: int, width: int) -> Image.Image:
    """Return a mask, 0 to 255, of the lit screen without its rounded corners and notch."""
    mask = Image.new("L", (width, height), 255)
    scale = width / device.width
    if device.round * scale >= 1:
        mask = Image.new("L", (width, height), 0)
        ImageDraw.Draw(mask).rounded_rectangle(
            (0, 0, width - 1, height - 1), device.round * scale, 255
        )
    pen = ImageDraw.Draw(mask)
    upright = device.height > device.width
    middle, reach = (width / 2, 0.0) if upright else (0.0, height / 2)
    if device.notch in ("hole", "drop"):
        radius = 2.3 * scale
        off = 4.0 * scale if device.notch == "hole" else 1.0 * scale
        cx, cy = (middle, off) if upright else (off, reach)
        pen.circle((cx, cy), radius, 0)
    elif device.notch == "bar":
        long, deep = 15 * scale, 5 * scale
        box = (
            (middle - long, -deep, middle + long, deep)
            if upright
            else (-deep, reach - long, deep, reach + long)
        )
        pen.rounded_rectangle(box, 3 * scale, 0)
    return mask


def _as_seen(device: Device, image: Image.Image) -> Image.Image:
    """Return a page as a panel seen at an angle may show it: raised black level, uneven light.

    Liquid crystals leak bluish light when seen at an angle; phones seldom do. The strength is
    random, not computed from the pose.
    """
    random = np.random.default_rng([device.seed, 1])
    leaks = random.random() < (0.25 if device.kind == "phone" else 0.75)
    level = random.uniform(6, 46) * leaks
    tint = random.uniform(0.75, 1.0), random.uniform(0.8, 1.0), random.uniform(1.0, 1.5)
    ends = 255 * (1 - random.uniform(0, 0.3, 2) * (random.random(2) < 0.5) * leaks)
    if not leaks:
        return image
    colour: Ink = tuple(int(level * share) for share in tint)  # type: ignore[assignment]
    raised = ImageChops.screen(image, Image.new("RGB", image.size, colour))
    corner = Image.fromarray(np.array([[255, ends[0]], [ends[1], min(ends)]], np.uint8))
    shade = corner.rotate(90 * int(random.integers(4))).resize(
        image.size, Image.Resampling.BILINEAR
    )
    return ImageChops.multiply(raised, Image.merge("RGB", [shade] * 3))


def _body(device: Device) -> tuple[Part, ...]:
    """Return the parts around the screen: the body, and a stand or a laptop's base."""
    whole = device.whole
    wide = whole[2] - whole[0]
    left, top = -whole[0], -whole[1]
    front: Ink = BLACK if device.kind in ("phone", "tablet") else device.body
    if device.kind == "laptop":
        front = device.body if sum(device.body) < 300 else (18, 18, 20)

    def paint(height: int, width: int) -> Image.Image:
        scale = width / wide
        shell = device.rim_colour if device.rim else device.body
        full = (0.0, 0.0, wide, height / scale)
        image = rounded(height, width, full, shell, device.corner + device.rim, wide=wide)
        edge = device.rim if device.rim else 0.8
        inner = (edge, edge, wide - edge, height / scale - edge)
        pen = ImageDraw.Draw(image)
        pen.rounded_rectangle(
            [at * scale for at in inner], max(1.0, device.corner - 0.5) * scale, (*front, 255)
        )
        hole = (left, top, left + device.width, top + device.height)
        pen.rounded_rectangle([at * scale for at in hole], device.round * scale, (10, 10, 11, 255))
        if device.kind == "laptop":
            x, y = (left + device.width / 2) * scale, top / 2 * scale
            pen.circle((x, y), 1.6 * scale, (40, 40, 48, 255))
        if device.kind != "phone":
            x, y = (
                (left + device.width / 2) * scale,
                (top + device.height + device.bezel[3] / 2) * scale,
            )
            long, high = 0.02 * device.width * scale, 0.2 * device.bezel[3] * scale
            tone = 150 if sum(front) < 300 else 90
            pen.rectangle((x - long, y - high, x + long, y + high), (tone, tone, tone, 255))
        return image

    shell = Part(box=whole, paint=paint, gloss=0.02, finest=5.0, rises=8.0)
    if device.kind in ("phone", "tablet"):
        return (shell,)
    return _base(device) if device.kind == "laptop" else _stand(device), shell


def hinge(device: Device) -> tuple[float, Plane]:
    """Return the depth of a laptop's base in mm, and its plane from the hinge to the user."""
    fall = np.deg2rad(180 - device.open)
    y = device.outside[3] + 2
    down = (0.0, float(np.cos(fall)), float(-np.sin(fall)))
    return 0.68 * device.width, ((0.0, y, 0.0), (1.0, 0.0, 0.0), down)


def _base(device: Device) -> Part:
    """Return a laptop's base with keyboard and touchpad."""
    depth, plane = hinge(device)
    left, _, right, _ = device.outside
    box = (left, 0.0, right, depth)
    wide = right - left
    colour = device.body
    keys: Ink = (25, 25, 27) if sum(colour) > 250 or device.seed % 3 else (60, 60, 64)

    def paint(height: int, width: int) -> Image.Image:
        sheet = Sheet(height, width, wide, colour)
        random = np.random.default_rng(device.seed)
        _keys(sheet, random, (0.06 * wide, 0.08 * depth, 0.94 * wide, 0.56 * depth), keys)
        pad: Ink = tuple(min(255, int(level * 1.12 + 6)) for level in colour)  # type: ignore[assignment]
        centre = wide * (0.5 if device.seed % 2 else 0.44)
        sheet.box((centre - 0.17 * wide, 0.63 * depth, centre + 0.17 * wide, 0.95 * depth), pad, 3)
        return shaded(sheet.image, device.seed, 0.02)

    return Part(box=box, paint=paint, plane=plane, gloss=0.015, finest=8.0, rises=6.0)


def _keys(sheet: Sheet, random: Random, box: Box, keys: Ink) -> None:
    """Draw rows of keys with letters on them."""
    left, top, right, bottom = box
    rows = 6
    high = (bottom - top) / rows
    ink: Ink = (215, 215, 215) if sum(keys) < 380 else (40, 40, 40)
    for row in range(rows):
        count = 14 if row < 5 else 8
        weights = np.ones(count)
        if row < 5:
            weights[0 if row % 2 else -1] = random.uniform(1.2, 1.9)
        else:
            weights[3] = 5.0
        edges = left + (right - left) * np.concatenate([[0], np.cumsum(weights)]) / weights.sum()
        tall = high * (0.6 if row == 0 else 1.0)
        y = top + row * high + (high - tall)
        for start, end in pairwise(edges):
            gap = 0.07 * high
            sheet.box((start + gap, y + gap, end - gap, y + tall - gap), keys, 0.1 * high)
            letter = chr(int(random.integers(65, 91)))
            if sheet.unit * 0.3 * high >= 3:
                sheet.say([letter], start + 0.2 * (end - start), y + 0.2 * tall, 0.36 * high, ink)


def _stand(device: Device) -> Part:
    """Return a monitor's neck and foot, or a television's feet, behind and below the body."""
    left, _, right, bottom = device.outside
    wide = right - left
    tall = (0.28 if device.kind == "monitor" else 0.06) * device.height + 40
    box = (left, bottom - 30, right, bottom + tall)
    tone: Ink = tuple(int(0.85 * level) for level in device.body)  # type: ignore[assignment]

    def paint(height: int, width: int) -> Image.Image:
        image = Image.new("RGBA", (width, height), (*tone, 0))
        pen, scale = ImageDraw.Draw(image), width / wide
        random = np.random.default_rng(device.seed)
        if device.kind == "monitor":
            neck, foot = random.uniform(0.05, 0.12) * width, random.uniform(0.15, 0.3) * width
            pen.rectangle(
                (width / 2 - neck / 2, 0, width / 2 + neck / 2, height - 10 * scale), (*tone, 255)
            )
            pen.ellipse(
                (width / 2 - foot, height - 40 * scale, width / 2 + foot, height - 1), (*tone, 255)
            )
        else:
            for share in (0.15, 0.85):
                x = share * width
                pen.polygon(
                    (
                        (x - 8 * scale, 0),
                        (x + 8 * scale, 0),
                        (x + 60 * scale, height),
                        (x - 60 * scale, height),
                    ),
                    (*tone, 255),
                )
        return image

    return Part(box=box, paint=paint, plane=parallel(30.0), gloss=0.02, finest=2.0, rises=20.0)
