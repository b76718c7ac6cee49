"""Random draws of examples: what is photographed, by which phone, and how the file is processed.

Examples come in pairs of an original and a recapture that share frame, camera, settings, room,
content, light level and file history, so that only the medium tells the classes apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from trueshot.images import inspect_image
from trueshot.simulation.camera import Shot
from trueshot.simulation.colour import Random, between
from trueshot.simulation.display import Display, draw_display
from trueshot.simulation.file_history import FILTERS, History, Jpeg, draw_jpeg
from trueshot.simulation.print import Print, draw_print
from trueshot.simulation.scenes import Scene
from trueshot.simulation.staging import devices, props
from trueshot.simulation.staging.compose import Arrangement
from trueshot.simulation.staging.content import Content
from trueshot.simulation.staging.devices import Device, draw_device
from trueshot.simulation.staging.geometry import (
    Exact,
    Frame,
    Pose,
    aim,
    parallel,
    rotation,
    seen_box,
)
from trueshot.simulation.staging.hands import hold
from trueshot.simulation.staging.light import Room, draw_room
from trueshot.simulation.staging.pages import draw_page
from trueshot.simulation.staging.parts import Part, Thing
from trueshot.simulation.staging.phone import Phone, draw_phone, white_balance
from trueshot.simulation.staging.surfaces import Surface, draw_surface

_LARGE = 1_300_000  # smallest pixel count of a large photograph
_PRINTS = 0.16
PRINT = "print"
MEDIA = (PRINT, *devices.KINDS)
_ASPECTS = {4 / 3: 0.6, 16 / 9: 0.25, 3 / 2: 0.05, 20 / 9: 0.05, 1.0: 0.05}
_COVERED = Surface(kind="plain", seed=0, level=0.3, colour=0.0, zoom=8.0)  # hidden by the floor
PARTS = ("train", "validation", "test")


@dataclass(frozen=True, kw_only=True)
class Cast:
    """Scenes, phones and media for the examples of one part of a split, used in no other part.

    Args:
        scenes: Scenes that are photographed or shown on a medium.
        phones: Phones that take the photographs.
        displays: Display panels, used by devices of all kinds.
        prints: Printers with their paper.
        large: Scenes that fill a camera's own file without much enlargement; all if there are none.
    """

    scenes: Sequence[Scene]
    phones: Sequence[Phone]
    displays: Sequence[Display]
    prints: Sequence[Print]
    large: Sequence[Scene]


@dataclass(frozen=True, kw_only=True)
class Example:
    """Everything that determines a photograph except its size.

    Args:
        seed: Seed of all randomness in taking it: seed of the staging, part number and index.
        index: Number of the example; even for an original, the next odd one for its recapture.
        arrangement: What is photographed.
        content: Picture that the scene or the medium shows.
        phone: Phone that takes the photograph.
        shot: Settings of the shot.
        level: Mean encoded value, from 0 to 1, that the exposure aims at.
        history: Compression and resizing of the file at native size.
        small_file: JPEG settings of a small frame.
        small_filter: Resampling filter that reduces a small frame.
        edge: Longer edge of a file sent by a messenger, in pixels; 0 for the camera's own file.
        megapixels: Megapixels that the camera records; messengers often use fewer than it has.
        staging: Short description of the set-up, such as "print held".
    """

    seed: tuple[int, int, int]
    index: int
    arrangement: Arrangement
    content: Content
    phone: Phone
    shot: Shot
    level: float
    history: History
    small_file: Jpeg
    small_filter: str
    edge: int
    megapixels: float
    staging: str

    @property
    def label(self) -> str:
        """The class: `original` or `recaptured`."""
        return "recaptured" if self.index % 2 else "original"

    @property
    def medium(self) -> str:
        """Kind of the photographed display or print; empty if there is none."""
        thing = self.arrangement.thing
        return "" if thing is None else thing.medium

    @property
    def medium_name(self) -> str:
        """Name of the photographed display or print; empty if there is none."""
        thing = self.arrangement.thing
        return thing.name if thing is not None and thing.medium else ""


def draw_cast(scenes: Sequence[Scene], seed: int, part: str, phones: int, media: int) -> Cast:
    """Draw phones, displays and prints for a part; other parts get different ones."""
    number = PARTS.index(part)
    random = [np.random.default_rng([seed, 23, number, kind]) for kind in range(3)]
    return Cast(
        scenes=scenes,
        large=[scene for scene in scenes if _is_large(scene)] or scenes,
        phones=[draw_phone(random[0], f"phone {part} {i}") for i in range(phones)],
        displays=[draw_display(random[1], f"display {part} {i}") for i in range(media)],
        prints=[draw_print(random[2], f"print {part} {i}") for i in range(max(2, media // 3))],
    )


def _is_large(scene: Scene) -> bool:
    if scene.path is None:
        return True
    facts = inspect_image(scene.path)
    return facts.width * facts.height >= _LARGE


def draw_example(cast: Cast, seed: int, index: int, part: str, *, in_turn: bool = False) -> Example:
    """Draw an example; it depends only on the arguments.

    Args:
        cast: Scenes, phones, displays and prints to choose from.
        seed: Seed of the staging.
        index: Number of the example.
        part: Part of the split.
        in_turn: Whether recaptures go through the kinds of media in turn; otherwise each kind is
            drawn as often as people photograph it.
    """
    pair = np.random.default_rng([seed, 29, PARTS.index(part), index // 2])
    frame = _frame(pair)
    contents = tuple(_content(pair, cast.scenes) for _ in range(4))
    phone = cast.phones[int(pair.integers(len(cast.phones)))]
    room = draw_room(pair)
    level = float(np.clip(pair.normal(0.4, 0.13), 0.1, 0.7))
    shot = _shot(pair, room)
    history, edge, megapixels = _history(pair, phone)
    contents = (_content(pair, cast.large if not edge else cast.scenes), *contents[1:])
    own = np.random.default_rng([seed, 31, PARTS.index(part), index])
    place = _Place(
        frame=frame,
        phone=phone,
        room=room,
        level=level,
        contents=contents,
        surfaces=(draw_surface(pair, hanging=False), draw_surface(pair, hanging=True)),
    )
    if index % 2:
        medium = MEDIA[index // 2 % len(MEDIA)] if in_turn else _medium(own)
        staging, arrangement = _recapture(own, place, cast, medium)
    else:
        staging, arrangement = _original(own, place)
    return Example(
        seed=(seed, PARTS.index(part), index),
        index=index,
        arrangement=arrangement,
        content=contents[0],
        phone=phone,
        shot=shot,
        level=level,
        history=history,
        small_file=Jpeg(quality=int(pair.integers(88, 98)), subsampling="4:4:4"),
        small_filter=str(pair.choice(["bilinear", "bicubic", "box", "hamming"])),
        edge=edge,
        megapixels=megapixels,
        staging=staging,
    )


@dataclass(frozen=True, kw_only=True)
class _Place:
    """Properties shared by both examples of a pair."""

    frame: Frame
    phone: Phone
    room: Room
    level: float
    contents: tuple[Content, ...]
    surfaces: tuple[Surface, Surface]  # table, bed or floor; wall


def _frame(random: Random) -> Frame:
    aspect = float(random.choice(list(_ASPECTS), p=list(_ASPECTS.values())))
    return Frame(aspect=1 / aspect if random.random() < 0.62 else aspect)


def _content(random: Random, scenes: Sequence[Scene]) -> Content:
    scene = scenes[int(random.integers(len(scenes)))]
    return Content(
        scene=scene,
        seed=int(random.integers(2**31)),
        place=(float(random.random()), float(random.random())),
        part=float(random.choice([1.0, random.uniform(0.55, 1.0)])),
        mirrored=bool(random.random() < 0.5) and scene.kind not in ("text", "interface"),
    )


def _shot(random: Random, room: Room) -> Shot:
    red, blue = white_balance(room.tint, float(random.uniform(0.2, 1.0)))
    soft = random.random()
    return Shot(
        gain=between(random, 1, 8),
        defocus=float(random.uniform(0, 0.5)) if soft < 0.8 else between(random, 0.5, 2.5),
        cast=(
            red * float(np.exp(random.normal(0, 0.04))),
            blue * float(np.exp(random.normal(0, 0.04))),
        ),
    )


def _history(random: Random, phone: Phone) -> tuple[History, int, float]:
    """Draw the history of a camera's own file or a messenger's, its edge, and the megapixels."""
    if random.random() < 0.3:
        return History(last=phone.camera.jpeg), 0, phone.megapixels
    edge = int(random.choice([1280, 1600, 1600, 2048]))
    method = str(random.choice(FILTERS))
    history = History(first=phone.camera.jpeg, method=method, last=draw_jpeg(random, 60, 92))
    whole = random.random() < 0.25
    return history, edge, phone.megapixels if whole else between(random, 2.5, 6.0)


def _medium(random: Random) -> str:
    """Draw a kind of medium, each as often as people photograph it."""
    if random.random() < _PRINTS:
        return PRINT
    return devices.draw_kind(random)


def _recapture(random: Random, place: _Place, cast: Cast, kind: str) -> tuple[str, Arrangement]:
    if kind == PRINT:
        medium = cast.prints[int(random.integers(len(cast.prints)))]
        thing = props.photo_print(
            random, medium, place.contents[0], landscape=_along(random, place.frame)
        )
        how = str(random.choice(["lying", "held", "hanging"], p=[0.5, 0.3, 0.2]))
        share = _share(random, 0.12)
        return f"print {how}", _staged(
            random, place, thing, thing.subject if share > 0.8 else thing.face, share, how
        )
    upright = not _along(random, place.frame)
    device = draw_device(random, kind, upright=upright)
    display = cast.displays[int(random.integers(len(cast.displays)))]
    page = draw_page(random, kind, place.contents, upright=device.height > device.width)
    share = _share(random, 0.08 if kind != "television" else 0.15)
    thing = devices.lit(device, display, page, _brightness(random, place.level, share))
    target = thing.face
    if share > 0.55 and random.random() < 0.75:
        target = thing.subject
    how = _how(random, device)
    return f"{kind} {page.kind} {how}", _staged(random, place, thing, target, share, how, device)


def _share(random: Random, least: float) -> float:
    """Draw the target's area per area of the frame: large, medium or small equally often."""
    kind = random.random()
    if kind < 0.36:
        return float(random.uniform(0.75, 1.6))
    return float(random.uniform(0.35, 0.8)) if kind < 0.66 else between(random, least, 0.4)


def _along(random: Random, frame: Frame) -> bool:
    """Draw whether a thing is in landscape format; in 85 % of cases it matches the frame."""
    return bool((frame.aspect > 1) != (random.random() < 0.15))


def _brightness(random: Random, level: float, share: float) -> float:
    """Draw the white of a display per white paper in the room, to suit the frame's mean level.

    The display is taken to have a mean encoded value of 0.5; the room accounts for the rest of
    the mean.
    """
    share = min(share, 0.9)
    around = float(np.clip((level - 0.5 * share) / (1 - share), 0.03, 0.75))
    return float(np.clip(0.25 / around**2.2 * random.uniform(0.5, 1.8), 0.6, 150))


def _how(random: Random, device: Device) -> str:
    if device.kind == "phone":
        return str(random.choice(["lying", "held"], p=[0.5, 0.5]))
    if device.kind == "tablet":
        return str(random.choice(["lying", "held"], p=[0.7, 0.3]))
    return "hanging" if device.kind == "television" and random.random() < 0.5 else "standing"


def _original(random: Random, place: _Place) -> tuple[str, Arrangement]:
    kind = random.random()
    content = place.contents[0]
    if kind < 0.4:
        content = replace(content, part=1.0)  # largest window: real places have more detail
        flat = bool(random.random() < 0.6)  # otherwise the room's light falls on it too
        return "scene", Arrangement(frame=place.frame, backdrop=content, room=place.room, flat=flat)
    if kind < 0.48:
        surface = place.surfaces[int(random.integers(2))]
        return f"surface {surface.kind}", Arrangement(
            frame=place.frame, backdrop=surface, room=place.room
        )
    if kind < 0.68:
        return _idle(random, place)
    names = list(props.PROPS)
    name = str(random.choice(names, p=[props.PROPS[one][1] for one in names]))
    make, _, usual = props.PROPS[name]
    how = "held" if usual == "lying" and random.random() < 0.35 else usual
    thing = make(random, content)
    share = between(random, 0.03, 0.25) if name == "framed" else _share(random, 0.06)
    return f"{name} {how}", _staged(random, place, thing, thing.face, share, how)


def _idle(random: Random, place: _Place) -> tuple[str, Arrangement]:
    """Draw an arrangement of a device that is off or seen from behind, or of a keyboard alone."""
    kind = devices.draw_kind(random)
    device = draw_device(random, kind, upright=not _along(random, place.frame))
    draw, how = random.random(), _how(random, device)
    share = _share(random, 0.08)
    if draw < 0.2:
        thing, how, what = devices.keyboard(random), "lying", "keyboard"
    elif draw < 0.45:
        thing, what = devices.behind(device), f"{kind} from behind"
    else:
        thing, what = devices.dark(device), f"{kind} off"
    hinged = device if what != "keyboard" else None
    return f"{what} {how}", _staged(random, place, thing, thing.face, min(share, 0.8), how, hinged)


def _staged(
    random: Random,
    place: _Place,
    thing: Thing,
    target: tuple[float, float, float, float],
    share: float,
    how: str,
    device: Device | None = None,
) -> Arrangement:
    """Arrange a thing as `how` says (held, lying, standing, hanging) and aim at `target`."""
    frame = place.frame
    turn = _turn(random, how, share)
    room_left = max(0.03, 0.8 * (1 - np.sqrt(min(share, 1.0))))
    centre = random.uniform(-0.5, 0.5, 2) * room_left * np.array([frame.width, frame.height])
    pose = aim(frame, place.phone.focal, turn, target, share, centre)
    backdrop: Content | Surface = place.surfaces[1]
    far_blur, light = 0.0, 1.0
    if how == "held":
        thing = _in_hand(random, thing)
        if random.random() < 0.45:
            backdrop, light = place.contents[2], between(random, 0.3, 3)
        else:
            backdrop = place.surfaces[int(random.integers(2))]
        far_blur = between(random, 0.002, 0.035)
    elif how == "lying":
        backdrop = _COVERED
        thing = thing.before(_floor(place.surfaces[0], pose, thing))
    elif how == "standing":
        thing = thing.before(_desk(random, place.surfaces[0], thing, device))
        far_blur = between(random, 0.001, 0.012)
        if random.random() < 0.3:
            backdrop, light = place.contents[2], between(random, 0.3, 2)
    else:
        far_blur = float(random.choice([0.0, random.uniform(0.0005, 0.004)]))
    return Arrangement(
        frame=frame,
        backdrop=backdrop,
        thing=thing,
        pose=pose,
        room=place.room,
        backdrop_light=light,
        far_blur=far_blur,
    )


def _turn(random: Random, how: str, share: float) -> Exact:
    calm = 0.5 if share > 0.7 else 1.0
    yaw, pitch = random.normal(0, 13 * calm), random.normal(0, 11 * calm)
    roll = random.normal(0, 4)
    if how in ("lying", "held"):
        if how == "lying" and random.random() < 0.35:
            roll = random.normal(0, 35 * calm)
        pitch -= abs(random.normal(0, 12 * calm)) * (how == "lying")
    elif random.random() < 0.12:
        roll = random.normal(0, 20)
    return rotation(float(np.clip(yaw, -45, 45)), float(np.clip(pitch, -45, 30)), float(roll))


def _in_hand(random: Random, thing: Thing) -> Thing:
    if random.random() < 0.12:
        return thing  # the hand is outside the frame, or a stand holds the thing
    behind, before = hold(random, thing.whole)
    return thing.before(behind).after(before)


def _floor(surface: Surface, pose: Pose, thing: Thing) -> Part:
    """Return the surface that a thing lies on: the part of its plane that the frame shows."""
    plane = parallel(8.0)
    size = max(thing.whole[2] - thing.whole[0], thing.whole[3] - thing.whole[1])
    box = seen_box(pose.homography(plane), pose.frame, 12 * size)
    return Part(box=box, paint=surface.paint, plane=plane)


def _desk(random: Random, surface: Surface, thing: Thing, device: Device | None) -> Part:
    """Return the table under a standing thing; its rear edge is at the wall."""
    left, _, right, _ = thing.whole
    wide = right - left
    if device is not None and device.kind == "laptop":
        _, plane = devices.hinge(device)
        origin, across, down = plane
        plane = ((origin[0], origin[1] + 9.0, origin[2] + 3.0), across, down)
        box = (left - 1.2 * wide, -0.5 * wide, right + 1.2 * wide, 1.6 * wide)
    else:
        foot = max(part.box[3] for part in thing.parts)
        plane = ((0.0, foot, 60.0), (1.0, 0.0, 0.0), (0.0, 0.1, -1.0))
        box = (left - 1.2 * wide, -0.5 * wide, right + 1.2 * wide, 1.2 * wide)
    return Part(box=box, paint=surface.paint, plane=plane)
