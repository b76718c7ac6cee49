"""How well detectors trained on simulated photographs rank real ones, per source.

    python bench/sim_to_real.py MANIFEST.csv RUN/detector.safetensors [more bundles] --out sim.json
    python bench/sim_to_real.py MANIFEST.csv RUN/detector.safetensors --budget 2 --every 6

MANIFEST.csv lists real photographs (columns path, label, source), none of them used in training.
Each photograph is covered by a grid of crops at native resolution; its score is the mean of their
logit margins. One row per detector and source: area under the ROC curve of whole photographs, with
a 95 % bootstrap interval over photographs, and of single crops. Photographs smaller than a crop are
left out and counted. With `--budget`, each whole photograph is attacked under that mean, by ten
steps of PGD away from its true class, rounded to whole levels, and judged again.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from entry import enter

from trueshot.attacks import PGD, as_filed, margin, perturb
from trueshot.bundle import load_bundle
from trueshot.datasets import Photo, photos_in_manifest
from trueshot.detector import Detector
from trueshot.evaluation.worst_case import area_under_curve
from trueshot.images import read_image
from trueshot.networks.crop_aggregation import CropAggregator
from trueshot.pixels import Bytes, to_bytes, to_levels
from trueshot.progress import progress
from trueshot.tasks.recapture import RECAPTURE

BOOTSTRAPS = 1000
BATCH = 64


@dataclass(frozen=True)
class Prediction:
    """A photograph and the scores of its crops."""

    photo: Photo
    scores: npt.NDArray[np.float64]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("manifest", type=Path)
    parser.add_argument("bundles", type=Path, nargs="+")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--size", type=int, nargs="*", help="default: that of the training")
    parser.add_argument("--budget", type=float, default=0.0, help="attack with so many levels")
    parser.add_argument("--every", type=int, default=1, help="only each so manieth photograph")
    parser.add_argument("--scores", action="store_true", help="keep the score of each photograph")
    arguments = parser.parse_args()
    photos = photos_in_manifest(arguments.manifest)[:: arguments.every]
    print("| detector | judged at | source | image AUC | 95 % | crop AUC | photos | too small |")
    print("|---|---|---|---|---|---|---|---|")
    rows = [
        row
        for bundle in arguments.bundles
        for side in arguments.size or [None]
        for row in evaluate_detectors(bundle, photos, side, arguments.budget)
    ]
    if not arguments.scores:
        rows = [{key: value for key, value in row.items() if key != "scores"} for row in rows]
    if arguments.out:
        arguments.out.write_text(json.dumps(rows, indent=2) + "\n", "utf-8")


def evaluate_detectors(
    bundle: Path, photos: list[Photo], side: int | None, budget: float
) -> list[dict[str, Any]]:
    detector, card = load_bundle(bundle)
    side = side or card.side
    if side is None:
        raise SystemExit(f"{bundle}: does not say the size of its crops")
    judged: dict[str, list[Prediction]] = defaultdict(list)
    with progress(f"{side} px", len(photos)) as advance:
        for photo in photos:
            judged[photo.source].append(Prediction(photo, scores_of(detector, photo, side, budget)))
            advance(1, "")
    name = bundle.parent.name if bundle.stem == "detector" else bundle.stem
    rows = [
        row_of(name, side, budget, source, found)
        for source, found in sorted(judged.items())
        if any(len(one.scores) for one in found)
    ]
    if not rows:
        raise SystemExit(f"{bundle}: all photographs are smaller than crops of {side} px")
    mean = float(np.mean([row["image_auc"] for row in rows]))
    worst = min(row["image_auc"] for row in rows)
    for row in rows:
        low, high = row["interval"]
        print(
            f"| {name} | {side} | {row['source']} | {row['image_auc']:.3f} "
            f"| {low:.2f} to {high:.2f} | {row['crop_auc']:.3f} "
            f"| {row['photos']} | {row['too_small']} |"
        )
    print(f"| {name} | {side} | mean, worst | {mean:.3f}, {worst:.3f} | | | | |", flush=True)
    return rows


def scores_of(
    detector: Detector, photo: Photo, side: int, budget: float
) -> npt.NDArray[np.float64]:
    pixels = read_image(photo.path).pixels
    if budget and min(pixels.shape[:2]) >= side:
        pixels = attacked(detector, photo, pixels, side, budget)
    rows, columns = pixels.shape[0] // side, pixels.shape[1] // side
    crops = [
        pixels[y * side : (y + 1) * side, x * side : (x + 1) * side]
        for y in range(rows)
        for x in range(columns)
    ]
    scores = []
    for start in range(0, len(crops), BATCH):
        images = to_levels(np.stack(crops[start : start + BATCH]))
        with torch.no_grad():
            logits = detector(images)
        true = torch.zeros(len(images), dtype=torch.long)  # the margin is then that of recaptured
        scores.append(margin(logits, true).double().numpy())
    return np.concatenate(scores) if scores else np.zeros(0)


def attacked(detector: Detector, photo: Photo, pixels: Bytes, side: int, budget: float) -> Bytes:
    """Attack the whole photograph under the mean of its crops, and round it as a file does."""
    whole = Detector(
        CropAggregator(detector.network, side), offset=detector.offset, scale=detector.scale
    ).eval()
    images = to_levels(pixels)
    attack = PGD(budget=budget, steps=10)
    found = perturb(attack, whole, images, torch.tensor([RECAPTURE.classes.index(photo.label)]))
    return to_bytes(as_filed(attack, images, found))[0]


def row_of(
    name: str, side: int, budget: float, source: str, judged: list[Prediction]
) -> dict[str, Any]:
    held = [one for one in judged if len(one.scores)]
    labels = np.array([RECAPTURE.classes.index(one.photo.label) for one in held])
    means = np.array([one.scores.mean() for one in held])
    crops = np.concatenate([one.scores for one in held])
    return {
        "detector": name,
        "side": side,
        "budget": budget,
        "source": source,
        "image_auc": area_under_curve(means, labels),
        "interval": bootstrap(means, labels),
        "crop_auc": area_under_curve(crops, np.repeat(labels, [len(one.scores) for one in held])),
        "photos": len(held),
        "too_small": len(judged) - len(held),
        "scores": {one.photo.name: round(float(one.scores.mean()), 4) for one in held},
    }


def bootstrap(
    scores: npt.NDArray[np.float64], labels: npt.NDArray[np.int64]
) -> tuple[float, float]:
    """Compute the 95 % percentile interval of the AUC; photographs are resampled within classes."""
    random = np.random.default_rng(0)
    groups = [np.flatnonzero(labels == label) for label in (0, 1)]
    areas = []
    for _ in range(BOOTSTRAPS):
        drawn = np.concatenate([random.choice(group, len(group)) for group in groups])
        areas.append(area_under_curve(scores[drawn], labels[drawn]))
    low, high = np.quantile(areas, [0.025, 0.975])
    return float(low), float(high)


if __name__ == "__main__":
    enter(main)
