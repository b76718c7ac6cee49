"""Example images of a suite: clean, residual, noise, attacked, and verdicts after each channel."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from trueshot.attacks import as_filed, perturb
from trueshot.channels import FILES, Channel
from trueshot.evaluation.tally import CLEAN, UNBROKEN, WorstCase
from trueshot.evaluation.worst_case import Evaluator, Step, Threat, ThreatResult
from trueshot.images import read_image, write_png
from trueshot.pixels import to_bytes, to_levels

BROKEN, SURVIVED = "broken", "survived"
BROKEN_SHOWN = 2  # of each class
RESIDUAL_MAGNIFIED = 4.0
_MOST_NOISE = 100.0  # the largest noise of an image is shown this many levels from mid-grey


def panels(
    evaluator: Evaluator,
    threat: Threat,
    finding: ThreatResult,
    detector_name: str,
    root: Path,
    folder: str,
    channels: Sequence[Channel] = FILES,
) -> tuple[dict[str, Any], ...]:
    """Write a few images, clean and attacked, and judge the files.

    For each class: up to two crops that were right and that the suite broke, at the smallest budget
    at which it broke any, with the attack that broke them; and one crop that it never broke, under
    the attack that broke most. Crops with high contrast are preferred.

    Args:
        evaluator: Detector and images.
        threat: Threat model that was tried.
        finding: Result of the threat model.
        detector_name: Name used in the records.
        root: Folder of the result; file names are relative to it.
        folder: Folder below `root` to write to.
        channels: Channels to send the attacked image through.

    Returns:
        Per image: `detector`, `threat`, `attack`, `budget`, `true`, `fate` (`broken` or
        `survived`); `clean` and `attacked`, each with `file`, `predicted`, `probability`;
        `residual` and `noise`, each with `file` and `magnified`; `after`, a list of `channel`,
        `predicted`, `probability`.
    """
    steps = {step.name: step for step in threat.steps}
    classes = evaluator.detector.classes
    found = []
    for label, true in enumerate(classes):
        for fate, place, budget, name in _chosen(evaluator, threat, finding, label):
            step = steps[name]
            shown = _panel(evaluator, step, budget, place, root, f"{folder}/{place}", channels)
            found.append(
                {
                    "detector": detector_name,
                    "threat": threat.name,
                    "attack": name,
                    "budget": budget,
                    "true": true,
                    "fate": fate,
                    **shown,
                }
            )
    return tuple(found)


def _chosen(
    evaluator: Evaluator, threat: Threat, finding: ThreatResult, label: int
) -> list[tuple[str, int, float, str]]:
    """Choose the images of a class to show; return fate, index, budget and attack of each."""
    mine = evaluator.part.labels == label
    cases = [case for case in finding.worst if case.budget in (0.0, *threat.budgets)]
    chosen = []
    for case in cases[1:]:
        names = np.array(case.broken_by)
        broken = np.flatnonzero(mine & (names != UNBROKEN) & (names != CLEAN))
        if len(broken):
            shown = _most_to_see(evaluator, broken, BROKEN_SHOWN)
            chosen += [(BROKEN, place, case.budget, str(names[place])) for place in shown]
            break
    survivors = np.flatnonzero(mine & (np.array(cases[-1].broken_by) == UNBROKEN))
    strongest = _strongest(finding, cases[-1])
    if len(survivors) and strongest:
        place = _most_to_see(evaluator, survivors, 1)[0]
        chosen.append((SURVIVED, place, cases[-1].budget, strongest))
    return chosen


def _strongest(finding: ThreatResult, last: WorstCase) -> str:
    """Return the attack that broke most images at the last budget; of equals, the last one tried.

    Empty if no attack was tried there.
    """
    tried = [trial for trial in finding.trials if trial.budget == last.budget]
    ranked = sorted(tried, key=lambda trial: sum(trial.broken))  # stable
    return ranked[-1].attack if ranked else ""


def _most_to_see(evaluator: Evaluator, places: Any, count: int) -> list[int]:
    """Return the `count` images with the highest contrast among the first 32, in index order."""
    few = places[:32]
    images, _ = evaluator.part.batch(few)
    contrast = images.mean(1).flatten(1).std(1).numpy()
    return sorted(int(place) for place in few[np.argsort(-contrast, kind="stable")[:count]])


def _panel(
    evaluator: Evaluator,
    step: Step,
    budget: float,
    place: int,
    root: Path,
    stem: str,
    channels: Sequence[Channel],
) -> dict[str, Any]:
    image, label = evaluator.part.batch(np.array([place]), evaluator.device)
    attack = step.make(budget)
    filed = as_filed(attack, image, perturb(attack, evaluator.detector, image, label))
    noise = filed - image
    magnified = _MOST_NOISE / max(1.0, float(noise.abs().max()))
    stem = f"{stem}-{step.name}-{budget:g}"
    return {
        "clean": _judged(evaluator, root, f"{stem}-clean.png", image),
        "residual": {
            "file": _write(root, f"{stem}-residual.png", RESIDUAL_MAGNIFIED * residual(image)),
            "magnified": RESIDUAL_MAGNIFIED,
        },
        "noise": {
            "file": _write(root, f"{stem}-noise.png", 128 + magnified * noise),
            "magnified": magnified,
        },
        "attacked": _judged(evaluator, root, f"{stem}-attacked.png", filed),
        "after": [
            {"channel": channel.name, **_verdict(evaluator, channel(filed))} for channel in channels
        ],
    }


def residual(images: Tensor) -> Tensor:
    """Compute the absolute Laplacian, the input of a Laplacian detector: levels, same shape."""
    edge = torch.nn.functional.pad(images, (1, 1, 1, 1), mode="replicate")
    across = edge[:, :, 1:-1, :-2] + edge[:, :, 1:-1, 2:]
    down = edge[:, :, :-2, 1:-1] + edge[:, :, 2:, 1:-1]
    return (4 * images - across - down).abs()


def _judged(evaluator: Evaluator, root: Path, name: str, image: Tensor) -> dict[str, Any]:
    """Write an image to a file, and judge the file."""
    file = _write(root, name, image)
    held = to_levels(read_image(root / file).pixels).to(evaluator.device)
    return {"file": file, **_verdict(evaluator, held)}


def _verdict(evaluator: Evaluator, image: Tensor) -> dict[str, Any]:
    probabilities = evaluator.logits(image).double().softmax(1)[0]
    index = int(probabilities.argmax())
    return {
        "predicted": evaluator.detector.classes[index],
        "probability": float(probabilities[index]),
    }


def _write(root: Path, name: str, image: Tensor) -> str:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    write_png(root / name, to_bytes(image)[0])
    return name
