"""Measure what a card reports, on photographs of the test part and on real ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from shipping import RUNS
from shipping.changing import STEPS, Change, Shown, attacked, changed_by, in_manifest, pairs_of
from trueshot.bundle import load_bundle, save_bundle
from trueshot.calibrating.error_rates import Answers, Kind
from trueshot.calibrating.error_rates import measure as rates_of
from trueshot.calibrating.photographs import Photograph
from trueshot.calibrating.scores import PhotographScore, Scores
from trueshot.card import Measurement, Rate
from trueshot.channels import EVERYDAY
from trueshot.images import read_image
from trueshot.inference import Prediction, Predictor
from trueshot.tasks.recapture import RECAPTURE

BUDGETS = (1.0, 2.0, 5.0)
ATTACKED_EVERY, CHANGED_EVERY = 20, 8  # one pair in this many is attacked, or changed
ATTACKED = f"{STEPS} steps in L∞ on the crops that are judged, rounded to whole levels."
REAL = (
    "Cut out of real photographs, 512 px. Each counts as a source of its own: the intervals are "
    "those of photographs from this phone, not of other phones."
)
HEAD = """| photographs | how many | AUC | APCER | BPCER | undecided recaptures | originals | Cllr |
|---|---|---|---|---|---|---|---|"""


def measure_all(chosen: Sequence[str], real: Path) -> None:
    for name in chosen:
        print(f"\n{name}\n\n{HEAD}")
        measure(name, real)


def measure(name: str, real: Path) -> None:
    """Measure a bundle that `bundle` made, and write the results to its card."""
    path = RUNS / f"{name}.safetensors"
    predictor, (detector, card) = Predictor.load(path), load_bundle(path)
    test, command = in_manifest(RUNS / "whole/test.csv"), f"python bench/shipped.py measure {name}"
    measured = [one for one in card.measured if one.kind == "clean"]
    print("\n".join(map(row_of, measured)), flush=True)
    few = pairs_of(test, ATTACKED_EVERY)
    measured += [
        measurement(predictor, few, "attacked", f"PGD, ε = {budget:g}", command, change, ATTACKED)
        for budget in BUDGETS
        for change in [partial(attacked, predictor, detector, budget)]
    ]
    few = pairs_of(test, CHANGED_EVERY)
    measured += [
        measurement(predictor, few, "everyday", name_of, command, changed_by(channel))
        for channel in (None, *EVERYDAY)
        for name_of in ["unchanged" if channel is None else channel.name]
    ]
    photos = in_manifest(real)
    for source in sorted({photo.source for photo in photos}):
        here = [replace(photo, source="") for photo in photos if photo.source == source]
        measured.append(
            measurement(predictor, here, "real", source, f"{command} --real {real.name}", note=REAL)
        )
    save_bundle(path, detector, card.model_copy(update={"measured": tuple(measured)}))


def measurement(
    predictor: Predictor,
    photos: Sequence[Shown],
    kind: Kind,
    name: str,
    command: str,
    change: Change = lambda pixels, label: pixels,
    note: str = "",
) -> Measurement:
    """Judge photographs and compute the rates; a photograph without a source is its own source."""
    found = [predictor.predict(change(read_image(one.path).pixels, one.label)) for one in photos]
    findings = [finding_of(*both) for both in zip(photos, found, strict=True)]
    ratios = [np.nan if one.log10_lr is None else one.log10_lr for one in found]
    result = rates_of(
        Scores(findings=tuple(findings), unread=()),
        Answers(verdicts=[one.verdict for one in found], log10_lrs=np.array(ratios)),
        kind=kind,
        name=name,
        command=command,
        note=note,
    )
    print(row_of(result), flush=True)
    return result


def finding_of(photo: Shown, prediction: Prediction) -> PhotographScore:
    known = Photograph(
        name=photo.path.name,
        path=photo.path,
        label=RECAPTURE.classes.index(photo.label),
        source=photo.source,
        kind=photo.kind,
    )
    return PhotographScore(
        photograph=known,
        sha256=str(photo.path),
        score=prediction.score,
        crops=len(prediction.corners),
        features=prediction.features,
    )


def row_of(one: Measurement) -> str:
    """Format a row of the tables in docs/detectors.md."""

    def cell(rate: Rate | None) -> str:
        if rate is None:
            return ""
        return f"{100 * rate.value:.1f} ({100 * rate.low:.0f} to {100 * rate.high:.0f})"

    auc = one.auc
    area = "" if auc is None else f"{auc.value:.3f} ({auc.low:.2f} to {auc.high:.2f})"
    rates = (one.apcer, one.bpcer, one.undecided_recaptures, one.undecided_originals)
    cells = " | ".join(cell(rate) for rate in rates)
    return f"| {one.name} | {one.photographs} | {area} | {cells} | {one.cllr:.2f} |"
