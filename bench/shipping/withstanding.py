"""What an adversary of whole photographs does to a detector that joins kinds of evidence."""

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

SHARE = 0.95  # of the recaptures, from which no more is taken
_AT_ONCE = 50


def score_taken(bundle: Path, photos: Sequence[Shown], budget: float) -> float:
    """How much of its score a recapture loses at most, in all but a twentieth of them.

    What the frame says is attacked, by PGD of 20 steps on it in small. Whatever else speaks for a
    recapture is no loss here: a photograph that has nothing but its frame is not helped by it.

    Args:
        bundle: Joins a frame with what speaks for a recapture alone.
        photos: Recaptures among them, whole, are taken.
        budget: In levels.
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
    """The photograph away from its class, as `--suite photograph` attacks it, in a file."""
    return _adversary(str(bundle)).changed(pixels, RECAPTURE.classes.index(label), budget)


@cache
def _adversary(bundle: str) -> PhotographAdversary:
    return PhotographAdversary(bundle, PhotographSettings(steps=STEPS, channels=()))
