"""How high an adversary can push the scores of originals: only beyond that is evidence."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from trueshot.attacks import PGD, as_filed, perturb
from trueshot.bundle import load_bundle
from trueshot.calibrating.photographs import Photograph
from trueshot.errors import CalibrationError
from trueshot.images import read_image
from trueshot.inference.crops import cut, places_of
from trueshot.pixels import to_levels

SHARE = 0.95  # quantile over the originals
MOST = 60  # maximum number of originals to attack
_STEPS = 10
_AT_ONCE = 16  # crops per batch


def highest_written(
    bundle: Path, photographs: Sequence[Photograph], budget: float, most: int = MOST
) -> float:
    """Return the 95 % quantile, over originals, of the highest crop score under attack.

    Each crop is attacked separately, with ten steps of PGD on its network, and then rounded as in
    a file. The crops stay where they lie in the untouched photograph.

    Args:
        bundle: Detector that judges crops.
        photographs: Of these, up to `most` evenly spaced files of class 0 are attacked.
        budget: L∞ budget, in levels.
        most: Maximum number of photographs, at least 1.

    Raises:
        CalibrationError: None of them is an original with a crop.
    """
    detector, card = load_bundle(bundle)
    contract, attack = card.input_contract(), PGD(budget=budget, steps=_STEPS)
    files = [each for each in photographs if each.label == 0 and each.row is None]
    reached = []
    for photograph in files[:: -(-len(files) // most) or 1]:
        pixels = read_image(photograph.path).pixels
        corners = places_of(pixels, contract).corners
        if not corners:
            continue
        scores = []
        for crops in to_levels(cut(pixels, corners, contract.side)).split(_AT_ONCE):
            labels = torch.zeros(len(crops), dtype=torch.long)
            changed = as_filed(attack, crops, perturb(attack, detector, crops, labels))
            with torch.inference_mode():
                logits = detector(changed).double()
            scores.append(float((logits[:, 1] - logits[:, 0]).max()))
        reached.append(max(scores))
    if not reached:
        raise CalibrationError(
            f"{bundle}: none of the photographs is an original with a crop to attack"
        )
    return float(np.quantile(reached, SHARE))
