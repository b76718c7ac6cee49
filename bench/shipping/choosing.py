"""Compare detectors on photographs of the validation part."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from shipping import RUNS
from shipping.changing import Change, Shown, attacked, pairs_of
from trueshot.bundle import load_bundle
from trueshot.card import InputContract
from trueshot.detector import Detector
from trueshot.evaluation.worst_case import area_under_curve
from trueshot.images import read_image
from trueshot.inference import Predictor
from trueshot.parity import logits_by_torch
from trueshot.tasks.recapture import RECAPTURE


def choose(chosen: Sequence[str], every: int, budgets: Sequence[float]) -> None:
    """Print a row per NAME@SIDE or NAME@SIDExCROPS: AUC of photographs, clean and attacked."""
    photos = validation_photos()
    few = pairs_of(photos, every)
    print(f"{len(photos)} photographs, {len(few)} of them attacked")
    print("| detector | crops | ms | clean |" + "".join(f" PGD {b:g} |" for b in budgets))
    print("|---|---|---|---|" + "---|" * len(budgets))
    for name in chosen:
        predictor, detector = judge_of(name)
        began = time.monotonic()
        clean = area(predictor, photos, lambda pixels, label: pixels)
        spent = 1000 * (time.monotonic() - began) / len(photos)
        cells = [f"{clean:.4f}"]
        for budget in budgets:
            change = partial(attacked, predictor, detector, budget)
            cells.append(f"{area(predictor, few, change):.4f}")
        contract = predictor.contract
        print(f"| {name} | {contract.crops} | {spent:.1f} | {' | '.join(cells)} |", flush=True)


def validation_photos() -> list[Shown]:
    """Return the photographs, in pairs, from which the validation part's crops were cut."""
    found = sorted((RUNS / "data/photos/validation").glob("*.jpg"))
    return [Shown(path, path.stem.split("-")[1]) for path in found]


def judge_of(name: str) -> tuple[Predictor, Detector]:
    """Return an uncalibrated predictor for a name as in `contract_of`, and its detector."""
    path, contract = contract_of(name)
    detector, card = load_bundle(path)
    return Predictor(
        card.model_copy(update={"contract": contract}), logits_by_torch(detector)
    ), detector


def contract_of(name: str) -> tuple[Path, InputContract]:
    """Parse NAME@SIDE or NAME@SIDExCROPS; by default, crops cover as much as 16 of 128 px."""
    run, _, size = name.rpartition("@")
    side, _, crops = size.partition("x")
    path = RUNS / run / "detector.safetensors"
    most = int(crops or 16 * 128**2 // int(side) ** 2)
    return path if path.is_file() else Path(run), InputContract(side=int(side), crops=most)


def area(predictor: Predictor, photos: Sequence[Shown], change: Change) -> float:
    scores, labels = [], []
    for photo in photos:
        prediction = predictor.predict(change(read_image(photo.path).pixels, photo.label))
        if prediction.score is not None:
            scores.append(prediction.score)
            labels.append(RECAPTURE.classes.index(photo.label))
    return area_under_curve(np.array(scores), np.array(labels))
