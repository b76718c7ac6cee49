"""One suite on one detector: worst cases, changes, doubts, examples, all in one result."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from trueshot.attacks import Norm
from trueshot.attacks.minimal import FMN, boundary_distance
from trueshot.channels import EVERYDAY
from trueshot.datasets import Dataset, Part
from trueshot.detector import Detector
from trueshot.errors import RunError
from trueshot.evaluation.evaluator import Evaluator
from trueshot.evaluation.everyday import everyday_changes
from trueshot.evaluation.gallery import panels
from trueshot.evaluation.journal import Journal
from trueshot.evaluation.metrics import area_under_curve
from trueshot.evaluation.robustness import Subject
from trueshot.evaluation.security import Doubt, SecurityResult
from trueshot.evaluation.suites import (
    BUDGETS,
    QUICK,
    AdversaryCapabilities,
    Effort,
    l2_per_level,
    left_out,
    threats_of,
    transferred,
)
from trueshot.evaluation.worst_case import Threat, ThreatResult, work, worst_cases
from trueshot.progress import progress
from trueshot.versions import versions

_FEW = 50  # of each class: for the distance to the boundary, and for doubts


@dataclass(frozen=True, kw_only=True)
class DetectorUnderTest:
    """A detector to be judged, and what is known of it.

    Args:
        subject: Name, hash of the weights, recipe.
        detector: In evaluation mode.
        side: Height and width of the images.
        crop_side: Of the crops by whose mean logits the detector judges an image, if it does; its
            network is then a `CropAggregator`.
        differentiable: Whether gradients lead through it.
        cost: Of its training, as of `SecurityResult`.
    """

    subject: Subject
    detector: Detector
    side: int
    crop_side: int | None = None
    differentiable: bool = True
    cost: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class EvaluationSettings:
    """How a suite is to be run.

    Args:
        suite: `strong`, `file` or `everyday`.
        budgets: ε in levels, L∞, upwards.
        part: Part of the split.
        crops: At most so many of each class; all of them by default.
        seed: Of the attacks.
        effort: How long each attack goes on.
        threats: Names of the threat models to try; all of the suite's by default.
        doubts: Whether to look for reasons why the figures may be false.
        transfer: Another detector, from which attacks are transferred.
        opinions: Whether pyautoattack and foolbox are asked for second opinions.
        device: Where to compute.
        batch: Crops at a time; it does not change the result.
    """

    suite: str = "strong"
    budgets: tuple[float, ...] = BUDGETS
    part: str = "test"
    crops: int | None = None
    seed: int = 0
    effort: Effort = QUICK
    threats: tuple[str, ...] = ()
    doubts: bool = True
    transfer: DetectorUnderTest | None = None
    opinions: bool = False
    device: str | torch.device = "cpu"
    batch: int = 128


def run_suite(
    tested: DetectorUnderTest,
    dataset: Dataset,
    settings: EvaluationSettings,
    root: Path | None = None,
    stem: str = "",
) -> SecurityResult:
    """Run one suite on one detector.

    Args:
        candidate: The detector.
        dataset: As `prepare` made it.
        terms: Which suite, and how.
        root: Folder for the journal and for examples; with it a run that was stopped goes on.
        stem: Begins the names of what is written there.

    Raises:
        RunError: No such suite or budgets, the part lacks a class, the detector has not two
            classes or says no numbers, or a journal is wanted for weights without a hash.
    """
    subject, side = tested.subject, tested.side
    _check(tested, settings, root)
    part = chosen_part(dataset, side, settings.part, settings.crops)
    evaluator = Evaluator(
        detector=tested.detector.to(settings.device),
        part=part,
        device=settings.device,
        batch=settings.batch,
        seed=settings.seed,
    )
    transfer = settings.transfer and settings.transfer.subject.bundle_sha256
    key = (
        subject.bundle_sha256,
        tested.crop_side,
        dataset.fingerprint(side),
        settings.part,
        len(part),
        settings.seed,
        transfer,
    )
    journal = Journal(path=root / f"{stem}.jsonl" if root else None, key=key)
    result = SecurityResult(
        suite=settings.suite,
        detector=subject.name,
        bundle_sha256=subject.bundle_sha256,
        side=side,
        part=settings.part,
        data=dataset.fingerprint(side),
        split_by=str(dataset.card["split_by"]),
        seed=settings.seed,
        auc=_auc(evaluator),
        recipe=subject.recipe,
        cost=tested.cost,
        crop_side=tested.crop_side,
        versions=versions(),
    )
    if settings.suite == "everyday":
        result = replace(result, changes=_changes(evaluator, subject.name))
    else:
        result = _attacked(result, evaluator, tested, settings, journal, root, stem)
    return _doubted(result, evaluator, tested, settings, journal) if settings.doubts else result


def _chosen(threats: Sequence[Threat], names: Sequence[str]) -> tuple[Threat, ...]:
    known = [threat.name for threat in threats]
    unknown = [name for name in names if name not in known]
    if unknown:
        raise RunError(f"threat {unknown[0]!r}: unknown here; known: {', '.join(known)}")
    return tuple(threat for threat in threats if not names or threat.name in names)


def chosen_part(dataset: Dataset, side: int, name: str, crops: int | None) -> Part:
    """The crops that are judged.

    Raises:
        RunError: That part lacks a class.
    """
    part = dataset.part(side, name)
    part = part if crops is None else part.first(crops)
    if len(set(part.labels.tolist())) < 2:
        raise RunError(f"{dataset.folder}: the {name} part at {side} px lacks a class")
    return part


def _check(tested: DetectorUnderTest, settings: EvaluationSettings, root: Path | None) -> None:
    name, classes = tested.subject.name, tested.detector.classes
    if settings.suite not in ("strong", "file", "everyday"):
        raise RunError(f"suite {settings.suite!r}: unknown; known: strong, file, everyday")
    if len(classes) != 2:
        raise RunError(f"{name}: has {len(classes)} classes; two are judged here")
    if root is not None and not tested.subject.bundle_sha256:
        raise RunError("a journal goes with a subject whose bundle is known by its SHA-256")
    rising = sorted({0.0, *settings.budgets})
    if not settings.budgets or rising != [0.0, *settings.budgets] or rising[-1] > 255:
        raise RunError(f"budgets that rise from above 0 to 255 wanted, got {settings.budgets}")


def _attacked(
    result: SecurityResult,
    evaluator: Evaluator,
    tested: DetectorUnderTest,
    settings: EvaluationSettings,
    journal: Journal,
    root: Path | None,
    stem: str,
) -> SecurityResult:
    adversary = _means(evaluator, tested, settings)
    threats = _chosen(threats_of(settings.suite, adversary), settings.threats)
    findings: dict[str, ThreatResult] = {}
    total = sum(work(evaluator, threat) for threat in threats)
    name = f"{settings.suite} {tested.subject.name} {tested.side} px"
    with progress(name, total) as advance:
        for threat in threats:
            findings[threat.name] = worst_cases(evaluator, threat, journal, advance)
    strong = settings.suite == "strong"
    return replace(
        result,
        worst=tuple(case for finding in findings.values() for case in finding.worst),
        trials=tuple(trial for finding in findings.values() for trial in finding.trials),
        boundary=_boundary(evaluator, adversary, journal)
        if strong and adversary.differentiable
        else {},
        examples=_examples(evaluator, threats[0], findings, tested, root, stem),
        per_epsilon={
            threat.name: l2_per_level(tested.side) if threat.name == "l2" else 1.0
            for threat in threats
        },
        notes=_notes(settings.suite, adversary),
    )


def _means(
    evaluator: Evaluator, tested: DetectorUnderTest, settings: EvaluationSettings
) -> AdversaryCapabilities:
    other = settings.transfer
    return AdversaryCapabilities(
        budgets=settings.budgets,
        effort=settings.effort,
        seed=settings.seed,
        side=tested.side,
        differentiable=tested.differentiable,
        random=evaluator.is_random(),
        opinions=settings.opinions,
        other=None if other is None else (other.subject.name, other.detector.to(settings.device)),
    )


def _notes(suite: str, adversary: AdversaryCapabilities) -> tuple[str, ...]:
    notes = []
    if missing := left_out(suite, adversary):
        notes.append(
            "No gradient leads through this detector, so only attacks that ask it were tried; "
            f"left out: {', '.join(missing)}. Its worst case is worse than these figures."
        )
    if adversary.random:
        notes.append(
            "This detector draws random numbers: every verdict is one draw, of one fixed seed, "
            "and an attack on the mean of many was added."
        )
    return tuple(notes)


def _auc(evaluator: Evaluator) -> float:
    import numpy as np

    scores = np.concatenate([evaluator.scores(images) for images, _ in evaluator.everything()])
    return area_under_curve(scores, evaluator.part.labels)


def _changes(evaluator: Evaluator, name: str) -> Any:
    total = len(evaluator.part) * (1 + len(EVERYDAY))
    with progress(f"everyday {name} {evaluator.part.side} px", total) as advance:
        return everyday_changes(evaluator, EVERYDAY, advance)


def _boundary(
    evaluator: Evaluator, adversary: AdversaryCapabilities, journal: Journal
) -> dict[str, float | None]:
    """Median distance to the boundary of the first images that are judged rightly, by norm."""
    name = f"boundary of {adversary.effort.boundary} steps"
    found: dict[str, float | None] | None = journal.note(name)
    if found is not None:
        return found
    part = evaluator.part.first(_FEW)
    images, labels = part.batch(slice(None), evaluator.device)
    right = torch.from_numpy(~evaluator.wrong(images, labels)).to(labels.device)
    if not bool(right.any()):
        return {}
    found = {}
    norms: tuple[Norm, ...] = ("linf", "l2")
    for norm in norms:
        attack = FMN(norm=norm, steps=adversary.effort.boundary)
        away = boundary_distance(evaluator.detector, images[right], labels[right], attack)
        median = float(away.double().quantile(0.5))
        found[norm] = median if math.isfinite(median) else None
    journal.enter_note(name, found)
    return found


def _examples(
    evaluator: Evaluator,
    threat: Threat,
    findings: Mapping[str, ThreatResult],
    tested: DetectorUnderTest,
    root: Path | None,
    stem: str,
) -> tuple[Mapping[str, Any], ...]:
    if root is None:
        return ()
    return panels(
        evaluator,
        threat,
        findings[threat.name],
        tested.subject.name,
        root,
        f"examples/{stem}",
    )


def _doubted(
    result: SecurityResult,
    evaluator: Evaluator,
    tested: DetectorUnderTest,
    settings: EvaluationSettings,
    journal: Journal,
) -> SecurityResult:
    """The result with reasons why it may be false: of the detector itself, and of the figures."""
    from trueshot.evaluation.doubts import doubts_of, investigate

    found: list[Doubt] = []
    if settings.suite == "strong":
        name = f"doubts at {', '.join(f'{budget:g}' for budget in settings.budgets)}"
        lines = journal.note(name)
        if lines is None:
            images, labels = evaluator.part.first(_FEW).batch(slice(None), evaluator.device)
            lent = transferred(_means(evaluator, tested, settings))
            found = list(
                investigate(
                    evaluator.detector,
                    images,
                    labels,
                    budgets=settings.budgets,
                    seed=settings.seed,
                    unusual=[step.make for step in lent],
                )
            )
            journal.enter_note(name, [asdict(doubt) for doubt in found])
        else:
            found = [Doubt(**line) for line in lines]
    known = {doubt.name for doubt in found}
    found += [doubt for doubt in doubts_of(result) if doubt.name not in known]
    return replace(result, doubts=tuple(found))
