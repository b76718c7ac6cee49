"""Judge a detector on a data set, clean and under attack."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from trueshot.attacks import BY_NAME, Attack, as_filed, counted, perturb
from trueshot.datasets import Dataset, Part
from trueshot.detector import Detector, evaluating
from trueshot.errors import RunError
from trueshot.evaluation.metrics import area_under_curve
from trueshot.evaluation.results import CLEAN, Cell, RobustnessResult
from trueshot.files import append_line, read_lines, write_lines
from trueshot.pixels import psnr
from trueshot.progress import Advance, progress
from trueshot.versions import versions

PAPER_BUDGETS = (1.0, 2.0, 3.0, 4.0, 5.0)
PAPER_ATTACKS = ("fgsm", "llcm")
_MOST_PSNR = 100.0  # of an image that was not changed, so that a mean is a number


@dataclass(frozen=True, kw_only=True)
class Subject:
    """Whose result it is: what is known of the detector beside its weights."""

    name: str
    bundle_sha256: str = ""
    recipe: Mapping[str, Any] | None = None


def paper_attacks(
    names: tuple[str, ...] = PAPER_ATTACKS, budgets: tuple[float, ...] = PAPER_BUDGETS
) -> dict[tuple[str, float], Attack]:
    """The attacks of tables 2 and 3, by short name and budget in levels.

    Raises:
        RunError: No attack of that name.
    """
    unknown = [name for name in names if name not in BY_NAME]
    if unknown:
        raise RunError(f"attack {unknown[0]!r}: unknown; known: {', '.join(BY_NAME)}")
    return {(name, budget): BY_NAME[name](budget=budget) for name in names for budget in budgets}


def evaluate(
    detector: Detector,
    dataset: Dataset,
    attacks: Mapping[tuple[str, float], Attack],
    *,
    side: int | None = None,
    part: str = "test",
    crops: int | None = None,
    subject: Subject | None = None,
    journal: Path | None = None,
    device: str | torch.device = "cpu",
    batch: int = 128,
) -> RobustnessResult:
    """Count the crops that a detector judges rightly, clean and under each attack.

    Every attacked crop is rounded to the bytes that a file would hold, and judged again: those
    verdicts are the ones that count.

    Args:
        detector: Prediction in evaluation mode, and left as it was.
        dataset: As `prepare` made it.
        attacks: By short name and budget.
        side: Which of the data set's sizes; may be left out if there is one.
        part: Part of the split.
        crops: At most so many of each class; all of them by default.
        subject: Names the detector in the result.
        journal: File of finished cells; with it an interrupted evaluation goes on.
        device: Where to compute.
        batch: Crops at a time; it does not change the result.

    Raises:
        RunError: That part holds no crop of one of the classes.
    """
    side = dataset.only_side() if side is None else side
    subject = subject or Subject(name="detector")
    if journal is not None and not subject.bundle_sha256:
        raise RunError("a journal goes with a subject whose bundle is known by its SHA-256")
    if len(detector.classes) != 2:
        raise RunError(f"{subject.name}: has {len(detector.classes)} classes; two are judged here")
    chosen = dataset.part(side, part)
    chosen = chosen if crops is None else chosen.first(crops)
    if len(set(chosen.labels.tolist())) < 2:
        raise RunError(f"{dataset.folder}: the {part} part at {side} px lacks a class")
    key = [subject.bundle_sha256, dataset.fingerprint(side), part, len(chosen)]
    plan: dict[tuple[str, float], Attack | None] = {(CLEAN, 0.0): None, **attacks}
    with (
        evaluating(detector),
        progress(f"{subject.name} {side} px", len(plan) * len(chosen)) as advance,
    ):
        detector.to(device)
        cells = list(_cells(detector, chosen, plan, journal, key, device, batch, advance))
    return RobustnessResult(
        detector=subject.name,
        bundle_sha256=subject.bundle_sha256,
        side=side,
        part=part,
        data=dataset.fingerprint(side),
        split_by=str(dataset.card["split_by"]),
        auc=cells[0][1],
        cells=tuple(cell for cell, _ in cells),
        recipe=subject.recipe,
        versions=versions(),
    )


def _cells(
    detector: Detector,
    part: Part,
    plan: Mapping[tuple[str, float], Attack | None],
    journal: Path | None,
    key: list[Any],
    device: str | torch.device,
    batch: int,
    advance: Advance,
) -> Iterator[tuple[Cell, float]]:
    """Each cell of the plan with the AUC of its scores: from the journal, or judged now."""
    done = _finished(journal, key)
    for (name, budget), attack in plan.items():
        found = done.get((name, budget, repr(attack)))
        if found is not None:
            advance(len(part), "")
            yield found
            continue
        cell, auc = _judge(detector, part, name, budget, attack, device, batch, advance)
        if journal is not None:
            append_line(journal, {"key": key, **asdict(cell), "auc": auc})
        yield cell, auc


def _finished(
    journal: Path | None, key: list[Any]
) -> dict[tuple[str, float, str], tuple[Cell, float]]:
    if journal is None:
        return {}
    journal.parent.mkdir(parents=True, exist_ok=True)
    lines = read_lines(journal)
    write_lines(journal, lines)
    done = {}
    for line in lines:
        if line.pop("key", None) == key:
            auc = line.pop("auc")
            cell = Cell.from_json(line)
            done[cell.attack, cell.budget, cell.settings] = (cell, auc)
    return done


def _judge(
    detector: Detector,
    part: Part,
    name: str,
    budget: float,
    attack: Attack | None,
    device: str | torch.device,
    batch: int,
    advance: Advance,
) -> tuple[Cell, float]:
    right = np.zeros(2, np.int64)
    unrounded = np.zeros(2, np.int64)
    scores = np.zeros(len(part))
    quality = np.zeros(len(part))
    spent = np.zeros(2)
    for start in range(0, len(part), batch):
        images, labels = part.batch(slice(start, start + batch), device)
        with counted(len(images)) as calls:
            attacked = images if attack is None else perturb(attack, detector, images, labels)
        spent += int(calls.forward.sum()), int(calls.backward.sum())
        filed = images if attack is None else as_filed(attack, images, attacked)
        logits = _logits(detector, filed)
        scores[start : start + batch] = _recapture_score(logits).cpu().numpy()
        right += _right(logits, labels)
        same = attack is None or torch.equal(filed, attacked)
        unrounded += _right(logits if same else _logits(detector, attacked), labels)
        if attack is not None:
            quality[start : start + batch] = psnr(images, filed).clamp(max=_MOST_PSNR).cpu().numpy()
        advance(len(labels), name if attack is None else f"{name} {budget:g}")
    total = np.bincount(part.labels, minlength=2)
    cell = Cell(
        attack=name,
        budget=budget,
        settings=repr(attack),
        right=(int(right[0]), int(right[1])),
        total=(int(total[0]), int(total[1])),
        right_unrounded=(int(unrounded[0]), int(unrounded[1])),
        psnr=None if attack is None else float(quality.mean()),
        calls=(float(spent[0]) / len(part), float(spent[1]) / len(part)),
    )
    return cell, area_under_curve(scores, part.labels)


@torch.no_grad()
def _logits(detector: Detector, images: Tensor) -> Tensor:
    logits: Tensor = detector(images)
    return logits


def _recapture_score(logits: Tensor) -> Tensor:
    return (logits[:, 1] - logits[:, 0]).double()


def _right(logits: Tensor, labels: Tensor) -> Any:
    hits = labels[logits.argmax(1) == labels]
    return np.bincount(hits.cpu().numpy(), minlength=2)
