"""Attacks on whole photographs, against detectors that join several kinds of evidence."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
import torch

from shipping.changing import STEPS, Shown
from trueshot.adversary.photograph import context_of
from trueshot.adversary.suite import PhotographAdversary, PhotographSettings
from trueshot.attacks import PGD, perturb
from trueshot.bundle import read_bundle
from trueshot.graph import side_of
from trueshot.images import read_image
from trueshot.inference.context import context_frame
from trueshot.inference.evidence import WHOLE
from trueshot.pixels import Bytes, to_levels
from trueshot.tasks.recapture import RECAPTURE

SHARE = 0.95  # quantile of the recaptures' losses
_AT_ONCE = 50


def score_taken(bundle: Path, photos: Sequence[Shown], budget: float) -> float:
    """Compute how much score an attack on the frame takes from a recapture, as a 95 % quantile.

    The context network is attacked with PGD of 20 steps on the downsized frame. Other evidence is
    ignored: a photograph that has only its frame as evidence gets no help from it.

    Args:
        bundle: Bundle that joins the frame with evidence that speaks only for a recapture.
        photos: Photographs; the whole recaptures among them are used.
        budget: L∞ budget in levels.
    """
    read = read_bundle(bundle)
    evidence, graph = read.card.evidence, read.context
    assert evidence is not None
    assert graph is not None
    context, head = context_of(read, read.card), evidence.heads["context"]
    pictures = (read_image(each.path).pixels for each in photos if each.label == "recaptured")
    whole = (each for each in pictures if each.shape[0] * each.shape[1] >= WHOLE)
    levels = to_levels(np.stack([context_frame(each, side_of(graph)) for each in whole]))
    taken = []
    for some in levels.split(_AT_ONCE):
        labels = torch.ones(len(some), dtype=torch.long)
        changed = perturb(PGD(budget=budget, steps=20), context, some, labels)
        with torch.no_grad():
            before, after = (context(each) for each in (some, changed))
        for logits, others in zip(before.tolist(), after.tolist(), strict=True):
            first, second = (head.score({"logit": o - z}) for z, o in (logits, others))
            taken.append(first - second)
    return float(np.quantile(taken, SHARE))


def through_all_evidence(bundle: Path, budget: float, pixels: Bytes, label: str) -> Bytes:
    """Attack a photograph away from its class, as `--suite photograph` does, rounded to bytes."""
    return _adversary(str(bundle)).changed(pixels, RECAPTURE.classes.index(label), budget)


@cache
def _adversary(bundle: str) -> PhotographAdversary:
    return PhotographAdversary(bundle, PhotographSettings(steps=STEPS, channels=()))
