"""Pairs of a true shot and a recapture of one scene, as a data set may bring them, made to show."""

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
    """Copy the pairs that `pairs.json` in a data set's folder names, small enough to show.

    The file reads `{"pairs": [{"original": PATH, "recaptured": PATH, "note": TEXT}, …]}`; the paths
    are relative to it and may not lead out of its folder. A pair that cannot be shown is passed
    over by name, for a gallery is not worth a run.

    Args:
        source: Folder of the data set.
        root: Folder of the experiments; names of files are relative to it.
        folder: Where to write below `root`.
        side: Pixels of the detail that is shown beside each picture, as the detector would see it.

    Returns:
        `pairs`: per pair its note, and of each picture the `file`, and the `detail` if it is large
        enough to have one; `pairs_passed_over`: reasons. Nothing if there is no pairs.json.
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
    """A picture for people: no detector is ever shown a resized one."""
    picture = Image.fromarray(pixels)
    picture.thumbnail((_LONGEST, _LONGEST), Image.Resampling.LANCZOS)
    return np.asarray(picture)
