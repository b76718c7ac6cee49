"""Patches of simulated photographs at native size, for networks that look at texture.

    python -m trueshot.training.patches SOURCE… --out DIR

A source is the manifest of a staging, or a data set made by `trueshot simulate`. Only the training
part of a data set is used, because it is split differently from a staging. In a staged recapture,
patches lie inside the medium's outline; in any other photograph, anywhere. Flat patches are left
out, as in a scan.

A network that learns from files of a single pipeline mistakes the traces of this pipeline for
evidence. With `--processed`, patches of both classes are therefore scaled, smoothed, sharpened,
made noisy and compressed, at random and in the same way, as any photograph may have been.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter
from pyarrow import parquet

from trueshot.datasets.listing import Outline, Row, manifest_rows, outline_in
from trueshot.datasets.splits import PARTS
from trueshot.errors import DatasetError, TrueshotError
from trueshot.files import claim, write_atomically
from trueshot.images import read_image
from trueshot.inference.crops import BLOCK, FLAT_DEVIATION
from trueshot.pixels import Bytes
from trueshot.progress import progress
from trueshot.training.frames import holds

_PROCESSING = 1  # random number stream of the processing
_TRIES = 20  # positions tried for each patch
COLUMNS = ("path", "label", "part", "scene", "kind")
LEAST_SCALE = 0.5
MOST_NOISE = 4.0  # largest standard deviation, in levels
_KERNELS = tuple(
    getattr(Image.Resampling, name) for name in ("BILINEAR", "HAMMING", "BICUBIC", "LANCZOS")
)


@dataclass(frozen=True, kw_only=True)
class Patching:
    """Settings for cutting patches.

    Args:
        side: Side of a patch in pixels.
        per_photograph: Maximum number of patches per photograph, and never more than would fit
            beside one another.
        seed: Seed of the positions and the processing.
        processed: Whether patches are scaled, smoothed, sharpened, made noisy and compressed, each
            at random, because none of this is a sign of a recapture.
        with_photographs: Whether the manifest also lists the photographs, at their own paths.
    """

    side: int = 192
    per_photograph: int = 12
    seed: int = 0
    processed: bool = False
    with_photographs: bool = False


def cut_patches(sources: Sequence[Path], out: Path, patching: Patching) -> Path:
    """Cut patches out of simulated photographs, and write a manifest last.

    Args:
        sources: Manifests of `stage`, with outlines, and data sets of `simulate`.
        out: Folder for the patches, as PNG files.
        patching: Settings.

    Returns:
        Path of the manifest, which `training.frames.read_frames` reads.

    Raises:
        DatasetError: A source cannot be read.
        ImageFileError: A photograph cannot be read.
    """
    folders = [path if path.is_dir() else path.parent for path in sources]
    listed = [(number, row) for number, path in enumerate(sources) for row in _rows(path)]
    taken = [(at, *each) for at, each in enumerate(listed) if _is_wanted(sources[each[0]], each[1])]
    table = io.StringIO()
    writer = csv.DictWriter(table, COLUMNS, lineterminator="\n")
    writer.writeheader()
    with claim(out), progress("patches", len(taken)) as advance:
        for at, number, row in taken:
            photograph = folders[number] / row["path"]
            if patching.with_photographs:
                there = os.path.relpath(photograph, out)
                writer.writerow({"path": there} | {key: row[key] for key in COLUMNS[1:]})
            pixels = read_image(photograph).pixels
            random = np.random.default_rng([patching.seed, number, at])
            processing = np.random.default_rng([patching.seed, number, at, _PROCESSING])
            outline = outline_in(sources[number], row)
            for place, patch in enumerate(_patches(pixels, outline, patching, random)):
                if patching.processed:
                    patch = process(patch, patching.side, processing)
                name = f"{number}/{Path(row['path']).with_suffix('')}-{place:02d}.png"
                (out / name).parent.mkdir(parents=True, exist_ok=True)
                file = io.BytesIO()
                Image.fromarray(patch).save(file, "PNG", compress_level=1)
                write_atomically(out / name, file.getvalue())
                writer.writerow({"path": name} | {key: row[key] for key in COLUMNS[1:]})
            advance(1, "")
        write_atomically(out / "manifest.csv", table.getvalue())
    return out / "manifest.csv"


def _rows(source: Path) -> Sequence[Row]:
    return _of_data_set(source) if source.is_dir() else _of_manifest(source)


def _is_wanted(source: Path, row: Row) -> bool:
    """Whether to use a row: of a data set, only rows of the training part.

    Its other parts may show scenes that are in the training part of a staging.
    """
    return not source.is_dir() or row["part"] == PARTS[0]


def _of_data_set(folder: Path) -> list[dict[str, str]]:
    """Return rows for the photographs of a data set, which show only the scene or its recapture."""
    columns = ["path", "label", "part", "origins"]
    try:
        rows = parquet.read_table(folder / "photos.parquet", columns=columns).to_pylist()
        scenes = [json.loads(row["origins"])["scene"] for row in rows]
    except (OSError, ValueError, KeyError) as error:
        raise DatasetError(
            f"{folder}: not a data set made by `trueshot simulate`: {error}"
        ) from error
    found = zip(rows, scenes, strict=True)
    return [
        {name: row[name] for name in columns[:3]} | {"scene": scene, "kind": "", "outline": ""}
        for row, scene in found
    ]


def _of_manifest(manifest: Path) -> list[Row]:
    rows = manifest_rows(manifest)
    missing = {name for row in rows for name in (*COLUMNS, "outline") if name not in row}
    if missing:
        raise DatasetError(
            f"{manifest}: missing columns {', '.join(sorted(missing))}; "
            "use a manifest made by `trueshot stage`"
        )
    return rows


def _patches(
    pixels: Bytes, corners: Outline, patching: Patching, random: np.random.Generator
) -> Iterator[Bytes]:
    found = 0
    outline = np.array(corners, float) if corners else None
    height, width = pixels.shape[:2]
    most = min(patching.per_photograph, (height // patching.side) * (width // patching.side))
    for _ in range(most * _TRIES):
        scale = draw_scale(random) if patching.processed else 1.0
        side = round(patching.side / scale)
        low, high = _bounds((height, width), outline, side)
        if (low > high).any():
            continue
        y, x = (int(n) // BLOCK * BLOCK for n in random.integers(low, high + 1))
        patch = pixels[y : y + side, x : x + side]
        inside = outline is None or holds(outline, (x, y, x + side, y + side))
        if inside and patch.shape[:2] == (side, side) and patch[..., 1].std() >= FLAT_DEVIATION:
            yield patch
            found += 1
            if found == most:
                return


def _bounds(
    shape: tuple[int, int], outline: npt.NDArray[np.float64] | None, side: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return the first and last upper left corner (y, x) that a patch may have."""
    low, high = np.zeros(2), np.array(shape, float)
    if outline is not None:
        low = np.maximum(low, outline[:, ::-1].min(0))
        high = np.minimum(high, outline[:, ::-1].max(0))
    return np.ceil(low).astype(np.int64), np.floor(high).astype(np.int64) - side


def draw_scale(random: np.random.Generator) -> float:
    """Draw the scale to which a photograph was reduced: 1 in half of the cases, else 0.5 to 1."""
    return 1.0 if random.random() < 0.5 else LEAST_SCALE ** random.uniform(0, 1)


def process(pixels: Bytes, side: int, random: np.random.Generator) -> Bytes:
    """Scale a square to `side`, then smooth, sharpen, add noise and compress, each at random.

    Args:
        pixels: RGB bytes of a square, shape (n, n, 3).
        side: Side of the result in pixels.
        random: Random generator of the processing.

    Returns:
        RGB bytes, shape (side, side, 3).
    """
    image = Image.fromarray(pixels)
    if image.size != (side, side):
        image = image.resize((side, side), _KERNELS[random.integers(len(_KERNELS))])
    if random.random() < 0.2:
        image = Image.blend(
            image, image.filter(ImageFilter.MedianFilter(3)), random.uniform(0.3, 1)
        )
    if random.random() < 0.1:
        image = image.filter(ImageFilter.GaussianBlur(random.uniform(0.2, 0.8)))
    if random.random() < 0.3:
        radius, percent = random.uniform(0.5, 1.5), int(random.integers(30, 151))
        image = image.filter(ImageFilter.UnsharpMask(radius, percent, int(random.integers(4))))
    if random.random() < 0.4:
        levels = np.asarray(image) + random.normal(
            0, random.uniform(0, MOST_NOISE), (side, side, 3)
        )
        image = Image.fromarray(np.clip(np.rint(levels), 0, 255).astype(np.uint8))
    if random.random() < 0.5:
        image = _compressed(image, random)
    return np.asarray(image)


def _compressed(image: Image.Image, random: np.random.Generator) -> Image.Image:
    file = io.BytesIO()
    quality, subsampling = int(random.integers(55, 97)), int(random.choice((0, 2)))
    image.save(file, "JPEG", quality=quality, subsampling=subsampling)
    return Image.open(file).convert("RGB")


def main(arguments: Sequence[str] | None = None) -> int:
    """Cut patches as the arguments say; return the exit status, 0 for success."""
    parser = argparse.ArgumentParser(
        prog="python -m trueshot.training.patches",
        description=(__doc__ or "").splitlines()[0],
    )
    parser.add_argument("sources", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--side", type=int, default=192)
    parser.add_argument("--per-photograph", type=int, default=12)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--processed",
        action="store_true",
        help="scale, smooth, sharpen, add noise and compress at random",
    )
    parser.add_argument(
        "--with-photographs",
        action="store_true",
        help="also list the photographs in the manifest",
    )
    given = parser.parse_args(arguments)
    settings = vars(given)
    sources, out = settings.pop("sources"), settings.pop("out")
    try:
        print(cut_patches(sources, out, Patching(**settings)))
    except TrueshotError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
