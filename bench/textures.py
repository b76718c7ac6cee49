"""AUC of crop networks on photographs, alone and averaged, with several ways of pooling.

    python bench/textures.py lcnn runs/texture --folder ../shared/data/recapture-whole \\
        --folder ../shared/data/recapture-dev

Measures only. Each folder has a manifest.csv (path, label, source; for staged photographs also a
part, which `--part` selects). Columns are AUCs by source. Rows are each bundle, and the average of
all, under each pooling of the scores of at most 64 crops.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from entry import enter
from sklearn.metrics import roc_auc_score
from threadpoolctl import threadpool_limits

from trueshot.bundle import read_bundle
from trueshot.datasets.listing import manifest_rows
from trueshot.images import read_image
from trueshot.inference.crop_model import CropModel
from trueshot.inference.crops import cut, select_crops
from trueshot.inference.pooling import most_convincing_region

Floats = npt.NDArray[np.float64]
Corners = tuple[tuple[int, int], ...]

CROPS = 64


def highest(scores: Floats, share: float) -> float:
    return float(np.sort(scores)[-max(1, int(len(scores) * share)) :].mean())


POOLINGS: dict[str, Callable[[Floats, Corners, int], float]] = {
    "mean": lambda scores, *_: float(scores.mean()),
    "highest third": lambda scores, *_: highest(scores, 1 / 3),
    "mean and highest third": lambda scores, *_: float(scores.mean()) + highest(scores, 1 / 3),
    "highest": lambda scores, *_: float(scores.max()),
    "region": lambda scores, corners, side: most_convincing_region(corners, scores, side).score,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("bundles", nargs="+", help="of crops of one size, or folders of runs")
    parser.add_argument("--folder", type=Path, action="append", required=True)
    parser.add_argument("--part", default="", help="of a staged manifest; all by default")
    given = parser.parse_args()
    threadpool_limits(1)
    rows = [
        (folder / row["path"], row["label"] == "recaptured", row.get("source") or folder.name)
        for folder in given.folder
        for row in manifest_rows(folder / "manifest.csv")
        if not given.part or row.get("part", "") in ("", given.part)
    ]
    if given.part:
        rows = [(path, label, "staged") for path, label, _ in rows]
    models = [opened(name) for name in given.bundles]
    names = [*given.bundles, *(["averaged"] if len(models) > 1 else [])]
    pooled = [[*judged(path, models)] for path, _, _ in rows]
    known = [at for at, found in enumerate(pooled) if found]
    labels, sources = (np.array([rows[at][i] for at in known]) for i in (1, 2))
    values = np.array([pooled[at] for at in known])  # photographs × networks × poolings
    order = sorted(set(sources.tolist()))
    print(f"| network | pooling | {' | '.join(order)} | mean |")
    print("|---" * (len(order) + 3) + "|")
    for one, name in enumerate(names):
        for at, pooling in enumerate(POOLINGS):
            areas = [
                float(roc_auc_score(labels[mine], values[mine, one, at]))
                for source in order
                for mine in [sources == source]
            ]
            cells = " | ".join(f"{area:.3f}" for area in areas)
            print(f"| {name} | {pooling} | {cells} | {np.mean(areas):.3f} |")


def opened(name: str) -> CropModel:
    path = Path(name, "detector.safetensors") if Path(name).is_dir() else name
    return CropModel.of(read_bundle(path), path)


def judged(path: Path, models: Sequence[CropModel]) -> Iterator[list[float]]:
    """Yield the score by pooling, per network and for their average; nothing without crops."""
    pixels, side = read_image(path).pixels, models[0].side
    corners = select_crops(pixels, side, CROPS).corners
    if corners:
        scores = [model(cut(pixels, corners, side)) for model in models]
        for each in [*scores, *([np.mean(scores, 0)] if len(scores) > 1 else [])]:
            yield [pool(each, corners, side) for pool in POOLINGS.values()]


if __name__ == "__main__":
    enter(main)
