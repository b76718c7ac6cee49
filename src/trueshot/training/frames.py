"""Whole frames, or crops of them, in files that a manifest lists."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from trueshot.datasets.listing import Outline, Row, manifest_rows, outline_in
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
    outline: Outline = ()

    @property
    def class_name(self) -> str:
        """Name of the frame's class: original, or the kind of medium (recaptured, if unknown)."""
        first, other = RECAPTURE.classes
        return (self.kind or other) if self.label else first


def read_frames(manifest: Path) -> list[Frame]:
    """Read a manifest with the columns path, label, part, scene, kind and outline.

    Paths are relative to the manifest's folder; the last two columns may be missing.

    Raises:
        DatasetError: The manifest cannot be read, lacks a column, or has an unknown label or an
            invalid outline.
        LeakError: A scene is in two parts.
    """
    frames = [_frame(manifest, row) for row in manifest_rows(manifest)]
    parts: dict[str, str] = {}
    for frame in frames:
        if parts.setdefault(frame.scene, frame.part) != frame.part:
            raise LeakError(
                f"{manifest}: scene {frame.scene} is in two parts; put all its frames into one part"
            )
    return frames


def _frame(manifest: Path, row: Row) -> Frame:
    if missing := [name for name in ("path", "label", "part", "scene") if not row.get(name)]:
        raise DatasetError(
            f"{manifest}: {row.get('path') or 'a row'}: lacks {' and '.join(missing)}; "
            "the columns must be path, label, part and scene"
        )
    if row["label"] not in RECAPTURE.classes:
        raise DatasetError(
            f"{manifest}: {row['path']}: label must be {' or '.join(RECAPTURE.classes)}, "
            f"got {row['label']!r}"
        )
    label = RECAPTURE.classes.index(row["label"])
    return Frame(
        path=manifest.parent / row["path"],
        label=label,
        part=row["part"],
        scene=row["scene"],
        kind=row.get("kind", "") if label else "",
        outline=outline_in(manifest, row),
    )


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
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DatasetError(f"{frame.path}: cannot be read: {error}") from error


def holds(outline: npt.NDArray[np.float64], box: Sequence[float]) -> bool:
    """Whether all corners of a box lie inside a convex outline.

    Args:
        outline: Corners (x, y), shape (n, 2), clockwise or anticlockwise.
        box: Left, upper, right and lower edge.
    """
    left, upper, right, lower = box
    corners = np.array([(left, upper), (right, upper), (left, lower), (right, lower)], float)
    edges = np.roll(outline, -1, 0) - outline
    ways = corners[:, None] - outline[None]
    turns = edges[None, :, 0] * ways[..., 1] - edges[None, :, 1] * ways[..., 0]
    return bool(((turns >= 0).all(1) | (turns <= 0).all(1)).all())
