"""Scenes in front of a camera, as linear light: photographs and procedural scenes."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import sys
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from trueshot.errors import DatasetError, ImageFileError
from trueshot.files import sanitize, utf8_safe
from trueshot.images import find_images, pixels_sha256, read_image
from trueshot.progress import in_threads, progress
from trueshot.simulation.colour import Bytes, Linear, Random, decode_srgb
from trueshot.simulation.procedural import KINDS, MIXTURE

PHOTO = "photo"

_CACHE_BYTES = 300 * 2**20  # per process: eight photographs of 12 megapixels, 400 of 512 by 512
REDUCING_GAP = 3.0  # from 6 times smaller, average whole pixels first (far faster)

# Photographs inside packages that the project needs anyway: one of the two of the motorcycle,
# which show one scene; no drawings, no medical pictures, none smaller than 300 pixels.
_EMBEDDED = {
    "skimage": (
        "data",
        "astronaut.png chelsea.png coffee.png motorcycle_left.png rocket.jpg "
        "brick.png camera.png coins.png grass.png gravel.png moon.png",
    ),
    "sklearn": ("datasets/images", "china.jpg flower.jpg"),
}


@dataclass(frozen=True, kw_only=True)
class Scene:
    """A scene to photograph, with a name by which a split keeps it in one part.

    Args:
        name: Unique and stable name, such as "photo:garden/17.webp", "skimage:coffee", "text:4".
        kind: "photo", or a kind of `procedural.KINDS`.
        path: File of a photograph; None for a procedural scene.
        seed: Seed that distinguishes procedural scenes of one kind.
    """

    name: str
    kind: str
    path: Path | None = None
    seed: int = 0

    def light(self, random: Random, height: int, width: int, magnification: float = 1.0) -> Linear:
        """Return a random window of the scene; the same random numbers give the same bytes.

        Args:
            random: Chooses a photograph's window and whether it is mirrored; generates, together
                with `seed`, a procedural scene.
            height: Height of the window, in pixels.
            width: Width of the window, in pixels.
            magnification: Window pixels per photograph pixel. At 1 the photograph's own pixels are
                used. If the photograph is too small for the window, the smallest magnification
                that fits is used instead. Procedural scenes ignore it: they have no pixels.

        Returns:
            Linear light, 0 black, 1 diffuse white, highlights of procedural scenes up to 2;
            shape (height, width, 3).

        Raises:
            ImageFileError: The photograph is missing or damaged.
        """
        if self.path is None:
            state = np.random.default_rng([self.seed, int(random.integers(2**63))])
            return np.ascontiguousarray(KINDS[self.kind](state, height, width))
        light = _window(random, decoded(self.path), height, width, magnification)
        return np.ascontiguousarray(light[:, :: random.choice([-1, 1])])


def photo_scenes(folder: str | os.PathLike[str]) -> list[Scene]:
    """Return a scene for each photograph below a folder; files are read only when needed.

    Raises:
        DatasetError: There is no photograph.
        ImageFileError: The folder is missing or cannot be listed.
    """
    root = Path(folder)
    paths = find_images(root)
    if not paths:
        raise DatasetError(f"{root}: contains no images; give a folder of photographs")
    return [
        Scene(name=f"photo:{utf8_safe(path.relative_to(root).as_posix())}", kind=PHOTO, path=path)
        for path in paths
    ]


def embedded_scenes() -> list[Scene]:
    """Return the photographs that ship with scikit-image and scikit-learn.

    There are seven in colour and six in grey. Nothing is downloaded, and neither package is
    imported.

    Raises:
        DatasetError: The installed versions of the packages hold none.
    """
    scenes = []
    for package, (folder, names) in _EMBEDDED.items():
        found = importlib.util.find_spec(package)
        if found is None or found.origin is None:
            continue
        paths = [Path(found.origin).parent / folder / name for name in names.split()]
        scenes += [
            Scene(name=f"{package}:{path.stem}", kind=PHOTO, path=path)
            for path in paths
            if path.is_file()
        ]
    if not scenes:
        raise DatasetError(
            "the installed scikit-image and scikit-learn contain no photographs; "
            "give a folder of photographs"
        )
    return scenes


def procedural_scenes(count: int, seed: int = 0) -> list[Scene]:
    """Return procedural scenes.

    Of ten, three are textures, two dead leaves, two objects, and one each interface, text and
    gradient.

    Args:
        count: Number of scenes, below a million. A longer list begins with the same scenes.
        seed: Seed; lists with different seeds share no scene.
    """
    first = 1_000_000 * seed
    kinds = [MIXTURE[number % len(MIXTURE)] for number in range(count)]
    return [
        Scene(name=f"{kind}:{first + number}", kind=kind, seed=first + number)
        for number, kind in enumerate(kinds)
    ]


def readable_scenes(scenes: Sequence[Scene]) -> tuple[list[Scene], dict[str, str]]:
    """Return the scenes whose photographs can be read, without duplicates, and the files' hashes.

    Photographs with equal pixels are duplicates, even if their files differ. Each scene that is
    left out is reported on stderr.
    """
    kept: dict[str, Scene] = {}
    hashes: dict[str, str] = {}
    with (
        progress("scenes", len(scenes)) as advance,
        in_threads(_fingerprint, scenes, os.cpu_count() or 1) as found,
    ):
        for scene, (sha256, picture, error) in zip(scenes, found, strict=True):
            note = error or (f"the same picture as {kept[picture].name}" if picture in kept else "")
            if not note:
                kept[picture], hashes[scene.name] = scene, sha256
            else:
                print(sanitize(f"skipped {scene.name}: {note}"), file=sys.stderr)
            advance(1, "")
    return list(kept.values()), hashes


def _fingerprint(scene: Scene) -> tuple[str, str, str]:
    """Return the hash of a scene's file, that of its pixels, and why it cannot be read."""
    if scene.path is None:
        sha256 = hashlib.sha256(scene.name.encode()).hexdigest()
        return sha256, sha256, ""
    try:
        image = read_image(scene.path)
    except ImageFileError as error:
        return "", "", error.reason
    return image.facts.sha256, pixels_sha256(image.pixels), ""


def _window(random: Random, pixels: Bytes, height: int, width: int, magnification: float) -> Linear:
    """Cut a random window from a photograph, resampled in linear light if necessary."""
    tall, wide = pixels.shape[:2]
    magnification = max(magnification, height / tall, width / wide)
    high, broad = min(tall, height / magnification), min(wide, width / magnification)
    top, left = (int(random.integers(int(room) + 1)) for room in (tall - high, wide - broad))
    if magnification == 1:
        return decode_srgb(pixels[top : top + height, left : left + width])
    return _resampled(pixels, (left, top, left + broad, top + high), height, width)


def _resampled(
    pixels: Bytes, box: tuple[float, float, float, float], height: int, width: int
) -> Linear:
    """Resample the box (left, top, right, bottom) of a photograph to (height, width).

    A Hamming filter reduces, because it hardly aliases and does not ring; a cubic one enlarges.
    Only the box and the filter's reach around it are converted to linear light.
    """
    scale = max((box[2] - box[0]) / width, (box[3] - box[1]) / height)
    kernel = Image.Resampling.HAMMING if scale > 1 else Image.Resampling.BICUBIC
    reach = int(2 * max(1.0, scale)) + 2
    left, top = (max(0, int(place) - reach) for place in box[:2])
    part = pixels[top : int(box[3]) + reach + 1, left : int(box[2]) + reach + 1]
    inside = (box[0] - left, box[1] - top, box[2] - left, box[3] - top)
    light = np.empty((height, width, 3), np.float32)
    for channel in range(3):
        plane = Image.fromarray(decode_srgb(part[..., channel]))
        light[..., channel] = np.asarray(
            plane.resize((width, height), kernel, inside, REDUCING_GAP)
        )
    return np.maximum(light, 0, out=light)


class _Cache:
    """Cache of the most recently used decoded photographs, limited in bytes."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.kept: OrderedDict[tuple[Path, int | None, int, int], Bytes] = OrderedDict()
        self.lock = threading.Lock()

    def pixels(self, path: Path, longest: int | None = None) -> Bytes:
        """Return a file's RGB bytes, shape (h, w, 3); a file that has changed is read again.

        Args:
            path: File of the photograph.
            longest: Largest height or width; larger photographs are reduced. None reduces none.
        """
        try:
            status = path.stat()
        except OSError:
            return read_image(path).pixels  # raises an error that names the cause
        key = (path, longest, status.st_mtime_ns, status.st_size)
        with self.lock:
            if key in self.kept:
                self.kept.move_to_end(key)
                return self.kept[key]
        pixels = read_image(path).pixels
        if longest is not None:
            image = Image.fromarray(pixels)
            image.thumbnail((longest, longest), Image.Resampling.HAMMING, REDUCING_GAP)
            pixels = np.asarray(image)
        if pixels.nbytes > self.limit // 2:
            return pixels
        with self.lock:
            self.kept[key] = pixels
            while sum(each.nbytes for each in self.kept.values()) > self.limit:
                self.kept.popitem(last=False)
        return pixels


decoded = _Cache(_CACHE_BYTES).pixels
