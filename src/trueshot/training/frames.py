"""Whole frames, or crops of them, in files that a manifest lists."""

from __future__ import annotations

import csv
import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from pathlib import Path

from PIL import Image

from trueshot.errors import DatasetError, LeakError
from trueshot.tasks.recapture import RECAPTURE


@dataclass(frozen=True, kw_only=True)
class Frame:
    """A whole frame, or a crop of one, in a file.

    Args:
        path: Path of the file.
        label: 0 original, 1 recaptured.
        part: train, validation or test.
        scene: The scene it shows; no scene is in two parts.
        kind: Kind of the medium in it; empty if unknown, and for an original.
        outline: Outline of the medium in it, corners (x, y) in pixels; empty if unknown.
    """

    path: Path
    label: int
    part: str
    scene: str
    kind: str = ""
    outline: tuple[tuple[float, float], ...] = ()

    @property
    def class_name(self) -> str:
        """Name of the frame's class: original, or the kind of medium (recaptured, if unknown)."""
        first, other = RECAPTURE.classes
        return (self.kind or other) if self.label else first


def read_frames(manifest: Path) -> list[Frame]:
    """Read a manifest with the columns path, label, part, scene, kind and outline.

    Paths are relative to the manifest's folder; the last two columns may be missing.

    Raises:
        DatasetError: The manifest cannot be read, lacks a column, or has an unknown label.
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
        raise DatasetError(
            f"{manifest}: cannot be read as a manifest with the columns path, label, part and "
            f"scene: {error}"
        ) from error
    parts: dict[str, str] = {}
    for frame in frames:
        if parts.setdefault(frame.scene, frame.part) != frame.part:
            raise LeakError(
                f"{manifest}: scene {frame.scene} is in two parts; put all its frames into one part"
            )
    return frames


def classes_of(frames: Sequence[Frame]) -> tuple[str, ...]:
    """Return the class names: original, then the kinds of media in alphabetical order."""
    return (RECAPTURE.classes[0], *sorted({each.class_name for each in frames if each.label}))


def fingerprint(frames: Sequence[Frame]) -> str:
    """Return the SHA-256 of all that is known of frames, in their order; files are not read.

    Paths count relative to the deepest folder that holds all frames, so the data may be moved.
    """
    paths = [each.path.resolve() for each in frames]
    root = os.path.commonpath(paths)
    listed = [
        (path.relative_to(root).as_posix(), *astuple(each)[1:])
        for path, each in zip(paths, frames, strict=True)
    ]
    return hashlib.sha256(json.dumps(listed).encode()).hexdigest()


def open_frame(frame: Frame) -> Image.Image:
    """Open the image of a frame, as RGB.

    Raises:
        DatasetError: The file cannot be read.
    """
    try:
        with Image.open(frame.path) as image:
            return image.convert("RGB")
    except OSError as error:
        raise DatasetError(f"{frame.path}: cannot be read: {error}") from error
