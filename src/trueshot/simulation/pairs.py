"""Pairs: one scene as a true shot and as a recapture, by the same camera, with the same history."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from trueshot.simulation.camera import (
    Camera,
    Shot,
    draw_camera,
    draw_shot,
    photograph,
    through_lens,
)
from trueshot.simulation.colour import Bytes, Linear, Random, between, encode_srgb, to_bytes
from trueshot.simulation.develop import Development
from trueshot.simulation.display import EVEN, Display, draw_display, fit_to_panel
from trueshot.simulation.file_history import (
    FILTERS,
    History,
    Jpeg,
    compress,
    decompress,
    draw_jpeg,
    file_of,
)
from trueshot.simulation.print import Print, draw_print
from trueshot.simulation.recapture import Ambience, Places, View, look, see_display, see_print
from trueshot.simulation.scenes import Scene

_BORDER = 8  # pixels of the sensor around the window: no stage sees the edge of the world
_PRINTS = 0.15
_LARGEST = 400  # pixels along a side of a picture shown: what is finer no camera sees there
_ZOOM = (0.4, 1.1)  # pixels of the file per pixel of a photograph: real scenes are finer than both
_SCALINGS = {"nearest": 0.05, "bilinear": 0.4, "bicubic": 0.35, "lanczos": 0.2}
_UNSHOT = ("interface", "text")  # what a display shows without a camera having seen it


@dataclass(frozen=True, kw_only=True)
class Conditions:
    """How people recapture, and what of the physics is at work.

    Args:
        magnification: Pixels of the file per pixel of a display, least and most.
        print_magnification: The same for prints.
        prints: Share of prints among the media.
        sharp: Share of shots in focus.
        kept: Share of files that are as the camera left them.
        sent: Share of files that were compressed again at their size; all others were resized.
        quality: Of the last compression, least and most.
        grid: Displays have subpixels; without, they shine evenly.
        processing: Cameras denoise, bend tones and sharpen.
    """

    magnification: tuple[float, float] = (0.4, 6.0)
    print_magnification: tuple[float, float] = (1.0, 4.0)
    prints: float = 0.15
    sharp: float = 0.75
    kept: float = 0.3
    sent: float = 0.15
    quality: tuple[int, int] = (65, 96)
    grid: bool = True
    processing: bool = True


EVERYDAY = Conditions()
CLOSE = Conditions(
    magnification=(3.0, 6.0), prints=0.05, sharp=1.0, kept=0.6, sent=0.2, quality=(85, 97)
)
CONDITIONS = {"everyday": EVERYDAY, "close": CLOSE}


@dataclass(frozen=True, kw_only=True)
class Cast:
    """All that may take part in the pairs of one part of a split, and in no other part.

    Args:
        scenes: What is photographed.
        cameras: Who photographs, first and last.
        media: Displays and prints.
        conditions: How they meet.
    """

    scenes: Sequence[Scene]
    cameras: Sequence[Camera]
    media: Sequence[Display | Print]
    conditions: Conditions = EVERYDAY


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Everything that decides a pair, but for the random numbers of its noise and textures.

    Args:
        seed: Of those.
        scene: In both photographs.
        zoom: Camera pixels per pixel of the scene in the true shot.
        camera: Takes both.
        shot: Of both.
        history: Of both files.
        first_camera: Took the picture that the display shows; None: it shows the scene itself.
        first_shot: Of that picture.
        first_file: What that picture was compressed with.
        shown: Pixels of the display per pixel of the picture it shows: pictures from the web are
            often smaller than the window that they fill.
        scaling: How it is scaled.
        medium: Display or print.
        view: How the camera looks at it; its magnification is in camera pixels.
        ambience: Light around it.
    """

    seed: tuple[int, ...]
    scene: Scene
    zoom: float
    camera: Camera
    shot: Shot
    history: History
    first_camera: Camera | None
    first_shot: Shot
    first_file: Jpeg
    shown: float
    scaling: str
    medium: Display | Print
    view: View
    ambience: Ambience


def draw_cast(
    scenes: Sequence[Scene],
    seed: int,
    part: int,
    cameras: int,
    media: int,
    conditions: Conditions = EVERYDAY,
) -> Cast:
    """Draw cameras and media for a part; those of different parts are different."""
    prints = max(1, round(_PRINTS * media))
    random = [np.random.default_rng([seed, 11, part, kind]) for kind in range(3)]
    made: list[Display | Print] = [
        draw_print(random[2], f"print {part}.{i}") for i in range(prints)
    ]
    made += [draw_display(random[1], f"display {part}.{i}") for i in range(media - prints)]
    drawn = [draw_camera(random[0], f"camera {part}.{i}") for i in range(cameras)]
    if not conditions.processing:
        drawn = [replace(one, development=_plain(one.development)) for one in drawn]
    if not conditions.grid:
        made = [replace(m, layout=EVEN) if isinstance(m, Display) else m for m in made]
    return Cast(scenes=scenes, cameras=drawn, media=made, conditions=conditions)


def _plain(development: Development) -> Development:
    return replace(
        development, denoiser="none", contrast=0.0, local_contrast=0.0, sharpen_amount=0.0
    )


def draw_pair(cast: Cast, seed: Sequence[int]) -> Pair:
    """Draw a pair from a cast; it depends on the cast and the seed alone."""
    random = np.random.default_rng([*seed, 0])
    scene = cast.scenes[int(random.integers(len(cast.scenes)))]
    first, last = (cast.cameras[i] for i in random.integers(len(cast.cameras), size=2))
    prints = [medium for medium in cast.media if isinstance(medium, Print)]
    displays = [medium for medium in cast.media if isinstance(medium, Display)]
    conditions = cast.conditions
    media = prints if random.random() < conditions.prints else displays
    medium = media[int(random.integers(len(media)))]
    history = draw_history(random, last, conditions)
    unshot = scene.kind in _UNSHOT and isinstance(medium, Display)
    return Pair(
        seed=tuple(seed),
        scene=scene,
        zoom=between(random, *_ZOOM) * history.reduction,
        camera=last,
        shot=draw_shot(random, conditions.sharp),
        history=history,
        first_camera=None if unshot else first,
        first_shot=draw_shot(random),
        first_file=draw_jpeg(random, 60, 97),
        shown=1.0 if random.random() < 0.3 else between(random, 0.5, 4.0),
        scaling=str(random.choice(list(_SCALINGS), p=list(_SCALINGS.values()))),
        medium=medium,
        view=draw_view(random, last, medium, history.reduction, conditions),
        ambience=draw_ambience(random, medium),
    )


def draw_history(random: Random, camera: Camera, conditions: Conditions) -> History:
    """What becomes of a shot: kept as it is, made smaller, sent by a messenger."""
    draw = random.random()
    if draw < conditions.kept:
        return History(last=camera.jpeg)
    sent = draw < conditions.kept + conditions.sent
    reduction = 1.0 if sent else between(random, 1.1, 2.4)
    return History(
        first=camera.jpeg,
        reduction=reduction,
        method=str(random.choice(FILTERS)),
        last=draw_jpeg(random, *conditions.quality),
    )


def draw_view(
    random: Random,
    camera: Camera,
    medium: Display | Print,
    reduction: float,
    conditions: Conditions,
) -> View:
    """A hand-held camera before a flat picture: often nearly straight, never quite."""
    display = isinstance(medium, Display)
    low, high = conditions.magnification if display else conditions.print_magnification
    right = 90.0 * (random.random() < 0.3)  # the camera or the display held upright
    turn = random.normal(0, 3) if random.random() < 0.7 else random.uniform(-45, 45)
    tilt = random.normal(0, 0.12, 2) / 2500
    return View(
        magnification=between(random, low, high) * reduction,
        angle=float(right + turn),
        tilt=(float(tilt[0]), float(tilt[1])),
        phase=(float(random.random()), float(random.random())),
        distortion=camera.lens.distortion,
        place=(float(random.uniform(-1500, 1500)), float(random.uniform(-1500, 1500))),
    )


def draw_ambience(random: Random, medium: Display | Print) -> Ambience:
    """A room from dark to bright: 0.03 to 1 times the white of the display."""
    room = between(random, 0.03, 1.0)
    shine = medium.reflectance if isinstance(medium, Display) else 0.02
    return Ambience(
        veil=room * shine,
        mirror=float(room * shine * random.choice([0.0, 1.0, 4.0])),
        shading=float(random.uniform(0.0, 0.15)),
        seed=int(random.integers(2**32)),
    )


def original(pair: Pair, side: int) -> bytes:
    """The true shot of a pair: a JPEG file of (side, side) pixels."""
    random = np.random.default_rng([*pair.seed, 1])
    size = _sensor_side(pair, side)
    light = pair.scene.light(_window(pair), size, size, pair.zoom)
    return _file(pair, through_lens(light, pair.camera, pair.shot), side, random)


def recaptured(pair: Pair, side: int) -> bytes:
    """The recapture of a pair: a JPEG file of (side, side) pixels."""
    return recapture(pair, side).file


@dataclass(frozen=True, kw_only=True)
class Recapture:
    """A recapture and what came before it.

    Args:
        picture: What the medium holds where the camera looks, bytes (h, w, 3).
        light: On the sensor, linear, (h, w, 3).
        file: What came of it.
    """

    picture: Bytes
    light: Linear
    file: bytes


def recapture(pair: Pair, side: int) -> Recapture:
    """The recapture of a pair, with the stages before it; the file has (side, side) pixels."""
    random = np.random.default_rng([*pair.seed, 2])
    size = _sensor_side(pair, side)
    places = look(pair.view, size, size)
    picture = _shown(pair, places, random)
    light = _seen(pair, picture, places)
    return Recapture(picture=picture, light=light, file=_file(pair, light, side, random))


def _window(pair: Pair) -> Random:
    """The same for both of a pair: they show the same place of the scene, as far as it fits."""
    return np.random.default_rng([*pair.seed, 3])


def _shown(pair: Pair, places: Places, random: Random) -> Bytes:
    shown = max(pair.shown, max(places.height, places.width) / _LARGEST)
    height, width = (max(16, round(n / shown)) for n in (places.height, places.width))
    light = pair.scene.light(_window(pair), height, width, 1.0)
    if pair.first_camera is None:
        picture = to_bytes(encode_srgb(light))
    else:
        lit = through_lens(light, pair.first_camera, pair.first_shot)
        taken = photograph(lit, pair.first_camera, pair.first_shot, random)
        picture = decompress(compress(taken, pair.first_file))
    return fit_to_panel(picture, places.height, places.width, pair.scaling)


def _seen(pair: Pair, picture: Bytes, places: Places) -> Linear:
    if isinstance(pair.medium, Display):
        return see_display(picture, pair.medium, places, pair.camera, pair.shot, pair.ambience)
    return see_print(picture, pair.medium, places, pair.camera, pair.shot, pair.ambience)


def _sensor_side(pair: Pair, side: int) -> int:
    return int(np.ceil(pair.history.reduction * side)) + 2 * _BORDER


def _file(pair: Pair, light: Linear, side: int, random: Random) -> bytes:
    picture = photograph(light, pair.camera, pair.shot, random)
    return file_of(picture[_BORDER:-_BORDER, _BORDER:-_BORDER], pair.history, side, side)
