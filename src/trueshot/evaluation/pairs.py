"""Pairs of an original and a recapture of one scene, copied from a data set for display."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from trueshot.errors import ImageFileError
from trueshot.files import read_text, utf8_safe
from trueshot.images import read_image, write_jpeg, write_png
from trueshot.pixels import Bytes

MOST_PAIRS = 8
_LONGEST = 640  # pixels of the longer edge, as shown
_KINDS = ("original", "recaptured")


def copy_pairs(source: Path, root: Path, folder: str, side: int) -> dict[str, Any]:
    """Copy the pairs listed in the `pairs.json` of a data set, reduced for display.

    The file reads `{"pairs": [{"original": PATH, "recaptured": PATH, "note": TEXT}, …]}`; the paths
    are relative to it and must stay inside its folder. At most eight pairs are copied. A pair that
    cannot be shown is skipped and reported, because a gallery should not stop a run.

    Args:
        source: Folder of the data set.
        root: Folder of the experiments; file names are relative to it.
        folder: Folder below `root` to write to.
        side: Side in pixels of the full-resolution detail shown beside each picture.

    Returns:
        `pairs`: for each pair its `note` and, for each picture, its `file` and, if it is large
        enough, its `detail`. `pairs_passed_over`: reasons. Empty if there is no pairs.json.
    """
    listing = source / "pairs.json"
    if not listing.is_file():
        return {}
    pairs: list[dict[str, Any]] = []
    reasons: list[str] = []
    try:
        entries = list(json.loads(read_text(listing))["pairs"])[:MOST_PAIRS]
    except (OSError, ValueError, KeyError, TypeError) as error:
        return {"pairs": [], "pairs_passed_over": [utf8_safe(f"pairs.json: {error}")]}
    for number, entry in enumerate(entries):
        try:
            pairs.append(_pair(source, entry, root, f"{folder}/pair-{number}", side))
        except (ImageFileError, KeyError, TypeError, ValueError) as error:
            reasons.append(utf8_safe(f"pair {number + 1}: {error}"))
    return {"pairs": pairs, "pairs_passed_over": reasons}


def _pair(
    source: Path, entry: Mapping[str, Any], root: Path, stem: str, side: int
) -> dict[str, Any]:
    pixels = {kind: read_image(_inside(source, entry[kind])).pixels for kind in _KINDS}
    shown = {kind: _show(pixels[kind], root, f"{stem}-{kind}", side) for kind in _KINDS}
    return {**shown, "note": str(entry.get("note", ""))}


def _inside(source: Path, name: str) -> Path:
    path = source / name
    if not path.resolve().is_relative_to(source.resolve()):
        raise ValueError(f"{name}: leads out of the folder of the data set")
    return path


def _show(pixels: Bytes, root: Path, stem: str, side: int) -> dict[str, str]:
    files = {"file": f"{stem}.jpg"}
    write_jpeg(root / files["file"], _reduced(pixels), quality=88, subsampling="4:4:4")
    height, width = pixels.shape[:2]
    if min(height, width) >= side:
        y, x = (height - side) // 2, (width - side) // 2
        files["detail"] = f"{stem}-detail.png"
        write_png(root / files["detail"], pixels[y : y + side, x : x + side])
    return files


def _reduced(pixels: Bytes) -> Bytes:
    """Return a reduced picture for display only; detectors never see it."""
    picture = Image.fromarray(pixels)
    picture.thumbnail((_LONGEST, _LONGEST), Image.Resampling.LANCZOS)
    return np.asarray(picture)
