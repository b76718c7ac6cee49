"""Photographs to judge, and changes made to them first: an attack or an everyday change."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from trueshot.attacks import PGD, as_filed, perturb
from trueshot.channels.base import Channel
from trueshot.datasets.listing import manifest_rows
from trueshot.detector import Detector
from trueshot.inference import Predictor
from trueshot.inference.crops import cut, places_of
from trueshot.pixels import Bytes, to_bytes, to_levels
from trueshot.tasks.recapture import RECAPTURE

STEPS = 10  # of PGD
Change = Callable[[Bytes, str], Bytes]  # from a photograph's pixels and its label to changed pixels


@dataclass(frozen=True)
class Shown:
    """A photograph to judge."""

    path: Path
    label: str
    source: str = ""
    kind: str = ""


def in_manifest(path: Path, part: str = "") -> list[Shown]:
    """Return the photographs of a manifest, or those of one part."""
    return [
        Shown(
            path=path.parent / row["path"],
            label=row["label"],
            source=row.get("source") or row.get("scene", ""),
            kind=(row.get("kind") or row.get("medium", ""))
            if row["label"] == RECAPTURE.classes[1]
            else "",
        )
        for row in manifest_rows(path)
        if part in ("", row.get("part", ""))
    ]


def pairs_of(photos: Sequence[Shown], every: int) -> list[Shown]:
    """Return one pair in `every`, with both its photographs."""
    return [photo for number, photo in enumerate(photos) if number // 2 % every == 0]


def changed_by(channel: Channel | None) -> Change:
    return lambda pixels, label: pixels if channel is None else channel.changed(pixels)


def attacked(
    predictor: Predictor, detector: Detector, budget: float, pixels: Bytes, label: str
) -> Bytes:
    """Attack the crops that are judged with PGD, away from the class, and round as a file does.

    Crops do not overlap and their scores are averaged, so each can be attacked separately. An
    attack may move the crops' places; crops at new places are then attacked too, in at most three
    rounds.
    """
    side, done = predictor.contract.side, set[tuple[int, int]]()
    changed = pixels.copy()
    for _ in range(3):
        new = tuple(c for c in places_of(changed, predictor.contract).corners if c not in done)
        if not new:
            break
        images = to_levels(cut(pixels, new, side))
        attack = PGD(budget=budget, steps=STEPS)
        labels = torch.full((len(images),), RECAPTURE.classes.index(label))
        found = to_bytes(as_filed(attack, images, perturb(attack, detector, images, labels)))
        for (y, x), crop in zip(new, found, strict=True):
            changed[y : y + side, x : x + side] = crop
        done.update(new)
    return changed
