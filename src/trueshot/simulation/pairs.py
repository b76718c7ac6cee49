"""Pairs: a scene as a true shot and as a recapture, by the same camera, with the same history."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from trueshot.errors import SimulationError
from trueshot.simulation.camera import (
    FRAME,
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

_BORDER = 8  # extra sensor pixels around the window, so that no filter reaches the image border
_PRINTS = 0.15
_LARGEST = 400  # largest side of the picture shown, in pixels; the camera resolves no more
_ZOOM = (0.4, 1.1)  # file pixels per photograph pixel; real scenes have finer detail than either
_SCALINGS = {"nearest": 0.05, "bilinear": 0.4, "bicubic": 0.35, "lanczos": 0.2}
_UNSHOT = ("interface", "text")  # kinds that a display shows directly, without a first camera


@dataclass(frozen=True, kw_only=True)
class Conditions:
    """How recaptures are made, and which physical effects are simulated.

    Args:
        magnification: File pixels per display pixel: lower and upper limit.
        print_magnification: The same for prints.
        prints: Share of recaptures that show a print rather than a display.
        sharp: Share of shots in focus.
        kept: Share of files left as the camera wrote them.
        sent: Share of files recompressed at the same size; the rest are resized as well.
        quality: Quality of the last JPEG compression: lower and upper limit.
        grid: Contrast of the subpixel grid: 1 as it is, 0 for displays without a grid.
        processing: Whether cameras denoise, apply a tone curve and local contrast, and sharpen.
        shared_devices: Number of cameras, and of media (displays and prints together), shared by
            all parts of a split; 0: each part has its own.
        fixed_views: Whether each camera sees each medium at one magnification, angle and tilt, as
            if on a stand.
    """

    magnification: tuple[float, float] = (0.4, 6.0)
    print_magnification: tuple[float, float] = (1.0, 4.0)
    prints: float = 0.15
    sharp: float = 0.75
    kept: float = 0.3
    sent: float = 0.15
    quality: tuple[int, int] = (65, 96)
    grid: float = 1.0
    processing: bool = True
    shared_devices: int = 0
    fixed_views: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.grid <= 1:
            raise SimulationError(f"grid must be between 0 and 1, got {self.grid}")
        if self.shared_devices < 0 or self.shared_devices == 1:
            raise SimulationError(
                f"shared_devices must be 0 or at least 2, got {self.shared_devices}"
            )

    def facts(self) -> dict[str, Any]:
        """Return the settings as JSON values; `shared_devices` and `fixed_views` only if set."""
        optional = ("shared_devices", "fixed_views")
        return {name: v for name, v in asdict(self).items() if v or name not in optional}


EVERYDAY = Conditions()
CLOSE = Conditions(
    magnification=(3.0, 6.0), prints=0.05, sharp=1.0, kept=0.6, sent=0.2, quality=(85, 97)
)
# Like the data sets of papers: few devices, shared by all parts of the split; faint traces.
PAPER = Conditions(
    magnification=(3.0, 6.0),
    prints=0.0,
    sharp=1.0,
    kept=1.0,
    grid=0.1,
    shared_devices=3,
    fixed_views=True,
)
CONDITIONS = {"everyday": EVERYDAY, "close": CLOSE, "paper": PAPER}


@dataclass(frozen=True, kw_only=True)
class Cast:
    """The scenes and devices from which the pairs of one part of a split are drawn.

    Args:
        scenes: Scenes to photograph.
        cameras: Cameras, for both the picture shown and the final photographs.
        media: Displays and prints.
        conditions: How recaptures are made.
        views: Fixed views by (camera name, medium name); empty without `fixed_views`.
    """

    scenes: Sequence[Scene]
    cameras: Sequence[Camera]
    media: Sequence[Display | Print]
    conditions: Conditions = EVERYDAY
    views: Mapping[tuple[str, str], View] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Pair:
    """All settings of a pair; its window, noise and textures follow from `seed`.

    Args:
        seed: Seed of the pair's random numbers.
        scene: The scene in both photographs.
        zoom: Camera pixels per pixel of the scene in the true shot.
        camera: Camera of both photographs.
        shot: Settings of both photographs.
        history: Processing of both files.
        first_camera: Camera of the picture that the medium shows; None: it shows the scene itself.
        first_shot: Shot settings of that picture.
        first_file: JPEG settings of that picture.
        shown: Pixels of the medium per pixel of the picture it shows: pictures from the web are
            often smaller than the window they fill.
        scaling: Interpolation for that enlargement, as in `fit_to_panel`.
        medium: The display or print.
        view: Geometry of camera and medium; its magnification counts camera pixels.
        ambience: Ambient light.
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
    """Draw the cameras and media of a part; different parts get different ones."""
    prints = max(1, round(_PRINTS * media))
    random = [np.random.default_rng([seed, 11, part, kind]) for kind in range(3)]
    made: list[Display | Print] = [
        draw_print(random[2], f"print {part}.{i}") for i in range(prints)
    ]
    made += [draw_display(random[1], f"display {part}.{i}") for i in range(media - prints)]
    drawn = [draw_camera(random[0], f"camera {part}.{i}") for i in range(cameras)]
    if not conditions.processing:
        drawn = [replace(one, development=_plain(one.development)) for one in drawn]
    made = [_with_grid(m, conditions.grid) if isinstance(m, Display) else m for m in made]
    standing = np.random.default_rng([seed, 11, part, 3])
    views = {
        (camera.name, medium.name): draw_view(standing, camera, medium, 1.0, conditions)
        for camera in drawn
        for medium in made
        if conditions.fixed_views
    }
    return Cast(scenes=scenes, cameras=drawn, media=made, conditions=conditions, views=views)


def _with_grid(display: Display, contrast: float) -> Display:
    if not contrast:
        return replace(display, layout=EVEN)
    return display if contrast == 1 else replace(display, contrast=contrast)


def _plain(development: Development) -> Development:
    return replace(
        development, denoiser="none", contrast=0.0, local_contrast=0.0, sharpen_amount=0.0
    )


def draw_pair(cast: Cast, seed: Sequence[int]) -> Pair:
    """Draw a random pair from a cast; it depends on the cast and the seed only."""
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
        view=_view(random, cast, last, medium, history.reduction),
        ambience=draw_ambience(random, medium),
    )


def draw_history(random: Random, camera: Camera, conditions: Conditions) -> History:
    """Draw the processing of a shot: kept as it is, recompressed, or resized and recompressed."""
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


def _view(
    random: Random, cast: Cast, camera: Camera, medium: Display | Print, reduction: float
) -> View:
    """Draw a view; where camera and medium have a fixed view, vary only its place and phase."""
    drawn = draw_view(random, camera, medium, reduction, cast.conditions)
    standing = cast.views.get((camera.name, medium.name))
    if standing is None:
        return drawn
    magnification = standing.magnification * reduction
    return replace(standing, magnification=magnification, phase=drawn.phase, place=drawn.place)


def draw_view(
    random: Random,
    camera: Camera,
    medium: Display | Print,
    reduction: float,
    conditions: Conditions,
) -> View:
    """Draw the view of a hand-held camera: often nearly straight on, never exactly."""
    display = isinstance(medium, Display)
    low, high = conditions.magnification if display else conditions.print_magnification
    right = 90.0 * (random.random() < 0.3)  # the camera or the display turned to portrait
    turn = random.normal(0, 3) if random.random() < 0.7 else random.uniform(-45, 45)
    tilt = random.normal(0, 0.12, 2) / FRAME
    return View(
        magnification=between(random, low, high) * reduction,
        angle=float(right + turn),
        tilt=(float(tilt[0]), float(tilt[1])),
        phase=(float(random.random()), float(random.random())),
        distortion=camera.lens.distortion,
        place=(float(random.uniform(-1500, 1500)), float(random.uniform(-1500, 1500))),
    )


def draw_ambience(random: Random, medium: Display | Print) -> Ambience:
    """Draw the ambient light of a room, from 0.03 to 1 times the white of the picture."""
    room = between(random, 0.03, 1.0)
    shine = medium.reflectance if isinstance(medium, Display) else 0.02
    return Ambience(
        veil=room * shine,
        mirror=float(room * shine * random.choice([0.0, 1.0, 4.0])),
        shading=float(random.uniform(0.0, 0.15)),
        seed=int(random.integers(2**32)),
    )


def original(pair: Pair, side: int) -> bytes:
    """Return the true shot of a pair as a JPEG file of (side, side) pixels."""
    random = np.random.default_rng([*pair.seed, 1])
    size = _sensor_side(pair, side)
    light = pair.scene.light(_window(pair), size, size, pair.zoom)
    return _file(pair, through_lens(light, pair.camera, pair.shot), side, random)


def recaptured(pair: Pair, side: int) -> bytes:
    """Return the recapture of a pair as a JPEG file of (side, side) pixels."""
    return recapture(pair, side).file


@dataclass(frozen=True, kw_only=True)
class Recapture:
    """A recapture with its intermediate stages.

    Args:
        picture: The part of the medium's picture that the camera sees, bytes (h, w, 3).
        light: Linear light on the sensor, (h, w, 3).
        file: The final JPEG file.
    """

    picture: Bytes
    light: Linear
    file: bytes


def recapture(pair: Pair, side: int) -> Recapture:
    """Make the recapture of a pair and keep its stages; the file has (side, side) pixels."""
    random = np.random.default_rng([*pair.seed, 2])
    size = _sensor_side(pair, side)
    places = look(pair.view, size, size)
    picture = _shown(pair, places, random)
    if isinstance(pair.medium, Display):
        light = see_display(picture, pair.medium, places, pair.camera, pair.shot, pair.ambience)
    else:
        light = see_print(picture, pair.medium, places, pair.camera, pair.shot, pair.ambience)
    return Recapture(picture=picture, light=light, file=_file(pair, light, side, random))


def _window(pair: Pair) -> Random:
    """Return the generator that places the window in the scene.

    It is the same for both photographs of a pair, so they show the same place as far as it fits.
    """
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


def _sensor_side(pair: Pair, side: int) -> int:
    return int(np.ceil(pair.history.reduction * side)) + 2 * _BORDER


def _file(pair: Pair, light: Linear, side: int, random: Random) -> bytes:
    picture = photograph(light, pair.camera, pair.shot, random)
    return file_of(picture[_BORDER:-_BORDER, _BORDER:-_BORDER], pair.history, side, side)
