"""Kinds of evidence, alone and joined with equal weights, on real photographs: AUC by phone.

    python bench/evidence.py ../shared/data/recapture-whole ../shared/data/recapture-dev

Measures only: nothing is fitted to these photographs. To join kinds, their scores are standardised
per phone over the photographs of both classes, without using labels, and added. Scores of
photographs are kept in --cache, by the content of each photograph and of the context network.
Delete it after a change to the code that computes them.
"""

from __future__ import annotations

import argparse
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from entry import enter
from kept import kept
from PIL import Image, ImageOps
from sklearn.metrics import roc_auc_score
from threadpoolctl import threadpool_limits

from trueshot.datasets.listing import manifest_rows
from trueshot.files import file_sha256
from trueshot.images import read_image

Scores = dict[str, float]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--cache", type=Path, default=Path("/tmp/trueshot-evidence"))
    parser.add_argument("--context", type=Path, action="append", default=[])
    parser.add_argument("--join", action="append", default=[], help="kinds to add, A+B")
    arguments = parser.parse_args()
    threadpool_limits(1)
    for folder in arguments.folders:
        rows = manifest_rows(folder / "manifest.csv")
        kinds = dict(KINDS)
        kinds |= {weights.stem: context_of(weights) for weights in arguments.context}
        weights_of = {weights.stem: file_sha256(weights) for weights in arguments.context}
        found = {}
        for name, kind in kinds.items():
            file, key = arguments.cache / "evidence.jsonl", [name, weights_of.get(name)]
            found |= measured(name, kind, folder, rows, file, key)
        for join in arguments.join:
            found[join] = joined([found[name] for name in join.split("+")], rows)
        print(table(folder.name, found, rows))


def measured(
    name: str,
    kind: Callable[[Path], Scores],
    folder: Path,
    rows: Sequence[Mapping[str, str]],
    file: Path,
    key: Any,
) -> dict[str, list[float]]:
    """Return scores by name, in the order of the rows; NaN where there is none."""
    paths = [folder / row["path"] for row in rows]
    scores: list[Scores] = kept(file, key, paths, partial(map, kind))
    return {
        f"{name}: {part}" if part else name: [each.get(part, math.nan) for each in scores]
        for part in sorted({part for each in scores for part in each})
    }


def joined(columns: Sequence[Sequence[float]], rows: Sequence[Mapping[str, str]]) -> list[float]:
    total = np.zeros(len(rows))
    sources = np.array([row["source"] for row in rows])
    for column in columns:
        values = np.array(column)
        for source in np.unique(sources):
            mine = sources == source
            spread = np.nanstd(values[mine]) or 1.0
            standard = (values[mine] - np.nanmean(values[mine])) / spread
            total[mine] += np.nan_to_num(standard)
    return list(total)


def table(
    title: str, found: Mapping[str, Iterable[float]], rows: Sequence[Mapping[str, str]]
) -> str:
    sources = sorted({row["source"] for row in rows})
    lines = [
        f"| {title} | {' | '.join(sources)} | mean | worst |",
        "|---" * (len(sources) + 3) + "|",
    ]
    for name, values in found.items():
        areas = [auc_of(values, rows, source) for source in sources]
        figures = [*areas, float(np.mean(areas)), min(areas)]
        lines.append(f"| {name} | {' | '.join(f'{area:.3f}' for area in figures)} |")
    return "\n".join(lines)


def auc_of(values: Iterable[float], rows: Sequence[Mapping[str, str]], source: str) -> float:
    both = defaultdict(list)
    for value, row in zip(values, rows, strict=True):
        if row["source"] == source and not math.isnan(value):
            both["labels"].append(row["label"] == "recaptured")
            both["values"].append(value)
    return float(roc_auc_score(both["labels"], both["values"]))


def lattice_of(path: Path) -> Scores:
    from trueshot.inference.lattice import find_lattice

    found = find_lattice(read_image(path).pixels)
    return {"": found.score, **found.features}


def crops_of(path: Path) -> Scores:
    """Score with the shipped `lcnn`: its mean of 16 crops, and other poolings, also of 40 crops."""
    from trueshot.inference.crops import cut, select_crops

    judge = shipped()
    side = judge.contract.side
    pixels = read_image(path).pixels
    few, many = (
        judge.scores(cut(pixels, select_crops(pixels, side, n).corners, side)) for n in (16, 40)
    )
    if not len(few):
        return {}
    tenth = np.sort(many)[-max(1, round(len(many) / 10)) :]
    return {
        "mean of 16": float(few.mean()),
        "max of 16": float(few.max()),
        "max of 40": float(many.max()),
        "best tenth of 40": float(tenth.mean()),
    }


def screens_of(path: Path) -> Scores:
    """Score the whole frame by ImageNet's classes for screens and their accessories, untrained."""
    import torch

    with torch.inference_mode():
        chances = imagenet()(frame_of(path)).softmax(1)[0, SCREENS].sum()
    return {"": math.log(float(chances) + 1e-4)}


def context_of(weights: Path) -> Callable[[Path], Scores]:
    import torch

    from trueshot.training.context_file import context_side, load_context

    detector, side = load_context(weights), context_side(weights)

    def score(path: Path) -> Scores:
        with torch.inference_mode():
            logits = detector(frame_of(path, side))[0]
        return {"": float(logits[1:].logsumexp(0) - logits[0])}

    return score


# cellular telephone, computer keyboard, desktop computer, hand-held computer, home theatre, iPod,
# laptop, monitor, mouse, notebook, screen, television, web site
SCREENS = [487, 508, 527, 590, 598, 605, 620, 664, 673, 681, 782, 851, 916]
KINDS: dict[str, Callable[[Path], Scores]] = {
    "lattice": lattice_of,
    "screens of ImageNet": screens_of,
    "crops of lcnn": crops_of,
}


@cache
def shipped():  # type: ignore[no-untyped-def]
    from trueshot.inference import Predictor

    return Predictor.load("lcnn")


@cache
def imagenet():  # type: ignore[no-untyped-def]
    from trueshot.detector import Detector
    from trueshot.networks.efficientnet_lite import OFFSET, SCALE, EfficientNetLite0, load_imagenet

    network = EfficientNetLite0(classes=1000)
    load_imagenet(network)
    return Detector(network, offset=OFFSET, scale=SCALE).eval().folded()


def frame_of(path: Path, side: int = 256):  # type: ignore[no-untyped-def]
    import torch

    image = Image.open(path)
    image.draft("RGB", (512, 512))
    upright = ImageOps.exif_transpose(image).convert("RGB")
    frame = upright.resize((side, side), Image.Resampling.BILINEAR, reducing_gap=3)
    return torch.from_numpy(np.asarray(frame, np.float32)).permute(2, 0, 1)[None]


if __name__ == "__main__":
    enter(main)
