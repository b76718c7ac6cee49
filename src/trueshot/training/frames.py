"""Whole frames, or crops of them, as files that a manifest names."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from trueshot.errors import DatasetError, LeakError
from trueshot.tasks.recapture import RECAPTURE


@dataclass(frozen=True, kw_only=True)
class Frame:
    """A whole frame in a file.

    Args:
        path: Of the file.
        label: 0 original, 1 recaptured.
        part: train, validation or test.
        scene: What it shows; no scene is in two parts.
        kind: Of the medium in it, if that is known; empty for an original.
        outline: Of the medium in it, corners (x, y) in pixels; empty if that is not known.
    """

    path: Path
    label: int
    part: str
    scene: str
    kind: str = ""
    outline: tuple[tuple[float, float], ...] = ()

    @property
    def class_name(self) -> str:
        """What the network is to call it: original, or the kind of medium."""
        first, other = RECAPTURE.classes
        return (self.kind or other) if self.label else first


def read_frames(manifest: Path) -> list[Frame]:
    """Read a manifest of path (from its folder on), label, part, scene, kind and outline.

    The last two may be missing.

    Raises:
        DatasetError: It cannot be read, a column is missing, or a label is unknown.
        LeakError: A scene is in two parts.
    """
    try:
        with manifest.open(encoding="utf-8", newline="") as file:
            frames = [
                Frame(
                    path=manifest.parent / row["path"],
                    label=RECAPTURE.classes.index(row["label"]),
                    part=row["part"],
                    scene=row["scene"],
                    kind=(row.get("kind") or "") if row["label"] != RECAPTURE.classes[0] else "",
                    outline=tuple((x, y) for x, y in json.loads(row.get("outline") or "[]")),
                )
                for row in csv.DictReader(file)
            ]
    except (OSError, KeyError, ValueError) as error:
        raise DatasetError(f"{manifest}: no manifest of whole frames: {error}") from error
    parts: dict[str, str] = {}
    for frame in frames:
        if parts.setdefault(frame.scene, frame.part) != frame.part:
            raise LeakError(f"{manifest}: scene {frame.scene} is in two parts")
    return frames


def classes_of(frames: Sequence[Frame]) -> tuple[str, ...]:
    """Original, then the kinds of media by name."""
    return (RECAPTURE.classes[0], *sorted({each.class_name for each in frames if each.label}))


def open_frame(frame: Frame) -> Image.Image:
    """Its pixels, RGB.

    Raises:
        DatasetError: The file cannot be read.
    """
    try:
        with Image.open(frame.path) as image:
            return image.convert("RGB")
    except OSError as error:
        raise DatasetError(f"{frame.path}: cannot be read: {error}") from error
