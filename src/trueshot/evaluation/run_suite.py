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
from trueshot.evaluation.everyday import everyday_changes
from trueshot.evaluation.hearing import Hearing
from trueshot.evaluation.journal import Journal
from trueshot.evaluation.metrics import area_under_curve
from trueshot.evaluation.panels import panels
from trueshot.evaluation.robustness import Subject
from trueshot.evaluation.security import Doubt, SecurityResult
from trueshot.evaluation.suites import (
    BUDGETS,
    QUICK,
    Effort,
    Means,
    l2_per_level,
    left_out,
    threats_of,
    transferred,
)
from trueshot.evaluation.worst_case import Finding, Threat, work, worst_cases
from trueshot.progress import progress
from trueshot.versions import versions

_FEW = 50  # of each class: for the distance to the boundary, and for doubts


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A detector to be judged, and what is known of it.

    Args:
        subject: Name, hash of the weights, recipe.
        detector: In evaluation mode.
        side: Height and width of the images.
        crop_side: Of the crops by whose mean logits the detector judges an image, if it does; its
            network is then a `ManyCrops`.
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
class Terms:
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
    transfer: Candidate | None = None
    opinions: bool = False
    device: str | torch.device = "cpu"
    batch: int = 128


def run_suite(
    candidate: Candidate, dataset: Dataset, terms: Terms, root: Path | None = None, stem: str = ""
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
    subject, side = candidate.subject, candidate.side
    _check(candidate, terms, root)
    part = chosen_part(dataset, side, terms.part, terms.crops)
    hearing = Hearing(
        detector=candidate.detector.to(terms.device),
        part=part,
        device=terms.device,
        batch=terms.batch,
        seed=terms.seed,
    )
    transfer = terms.transfer and terms.transfer.subject.bundle_sha256
    key = (
        subject.bundle_sha256,
        candidate.crop_side,
        dataset.fingerprint(side),
        terms.part,
        len(part),
        terms.seed,
        transfer,
    )
    journal = Journal(path=root / f"{stem}.jsonl" if root else None, key=key)
    result = SecurityResult(
        suite=terms.suite,
        detector=subject.name,
        bundle_sha256=subject.bundle_sha256,
        side=side,
        part=terms.part,
        data=dataset.fingerprint(side),
        split_by=str(dataset.card["split_by"]),
        seed=terms.seed,
        auc=_auc(hearing),
        recipe=subject.recipe,
        cost=candidate.cost,
        crop_side=candidate.crop_side,
        versions=versions(),
    )
    if terms.suite == "everyday":
        result = replace(result, changes=_changes(hearing, subject.name))
    else:
        result = _attacked(result, hearing, candidate, terms, journal, root, stem)
    return _doubted(result, hearing, candidate, terms, journal) if terms.doubts else result


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


def _check(candidate: Candidate, terms: Terms, root: Path | None) -> None:
    name, classes = candidate.subject.name, candidate.detector.classes
    if terms.suite not in ("strong", "file", "everyday"):
        raise RunError(f"suite {terms.suite!r}: unknown; known: strong, file, everyday")
    if len(classes) != 2:
        raise RunError(f"{name}: has {len(classes)} classes; two are judged here")
    if root is not None and not candidate.subject.bundle_sha256:
        raise RunError("a journal goes with a subject whose bundle is known by its SHA-256")
    rising = sorted({0.0, *terms.budgets})
    if not terms.budgets or rising != [0.0, *terms.budgets] or rising[-1] > 255:
        raise RunError(f"budgets that rise from above 0 to 255 wanted, got {terms.budgets}")


def _attacked(
    result: SecurityResult,
    hearing: Hearing,
    candidate: Candidate,
    terms: Terms,
    journal: Journal,
    root: Path | None,
    stem: str,
) -> SecurityResult:
    means = _means(hearing, candidate, terms)
    threats = _chosen(threats_of(terms.suite, means), terms.threats)
    findings: dict[str, Finding] = {}
    total = sum(work(hearing, threat) for threat in threats)
    name = f"{terms.suite} {candidate.subject.name} {candidate.side} px"
    with progress(name, total) as advance:
        for threat in threats:
            findings[threat.name] = worst_cases(hearing, threat, journal, advance)
    strong = terms.suite == "strong"
    return replace(
        result,
        worst=tuple(case for finding in findings.values() for case in finding.worst),
        trials=tuple(trial for finding in findings.values() for trial in finding.trials),
        boundary=_boundary(hearing, means, journal) if strong and means.differentiable else {},
        examples=_examples(hearing, threats[0], findings, candidate, root, stem),
        per_epsilon={
            threat.name: l2_per_level(candidate.side) if threat.name == "l2" else 1.0
            for threat in threats
        },
        notes=_notes(terms.suite, means),
    )


def _means(hearing: Hearing, candidate: Candidate, terms: Terms) -> Means:
    other = terms.transfer
    return Means(
        budgets=terms.budgets,
        effort=terms.effort,
        seed=terms.seed,
        side=candidate.side,
        differentiable=candidate.differentiable,
        random=hearing.is_random(),
        opinions=terms.opinions,
        other=None if other is None else (other.subject.name, other.detector.to(terms.device)),
    )


def _notes(suite: str, means: Means) -> tuple[str, ...]:
    notes = []
    if missing := left_out(suite, means):
        notes.append(
            "No gradient leads through this detector, so only attacks that ask it were tried; "
            f"left out: {', '.join(missing)}. Its worst case is worse than these figures."
        )
    if means.random:
        notes.append(
            "This detector draws random numbers: every verdict is one draw, of one fixed seed, "
            "and an attack on the mean of many was added."
        )
    return tuple(notes)


def _auc(hearing: Hearing) -> float:
    import numpy as np

    scores = np.concatenate([hearing.scores(images) for images, _ in hearing.everything()])
    return area_under_curve(scores, hearing.part.labels)


def _changes(hearing: Hearing, name: str) -> Any:
    total = len(hearing.part) * (1 + len(EVERYDAY))
    with progress(f"everyday {name} {hearing.part.side} px", total) as advance:
        return everyday_changes(hearing, EVERYDAY, advance)


def _boundary(hearing: Hearing, means: Means, journal: Journal) -> dict[str, float | None]:
    """Median distance to the boundary of the first images that are judged rightly, by norm."""
    name = f"boundary of {means.effort.boundary} steps"
    found: dict[str, float | None] | None = journal.note(name)
    if found is not None:
        return found
    part = hearing.part.first(_FEW)
    images, labels = part.batch(slice(None), hearing.device)
    right = torch.from_numpy(~hearing.wrong(images, labels)).to(labels.device)
    if not bool(right.any()):
        return {}
    found = {}
    norms: tuple[Norm, ...] = ("linf", "l2")
    for norm in norms:
        attack = FMN(norm=norm, steps=means.effort.boundary)
        away = boundary_distance(hearing.detector, images[right], labels[right], attack)
        median = float(away.double().quantile(0.5))
        found[norm] = median if math.isfinite(median) else None
    journal.enter_note(name, found)
    return found


def _examples(
    hearing: Hearing,
    threat: Threat,
    findings: Mapping[str, Finding],
    candidate: Candidate,
    root: Path | None,
    stem: str,
) -> tuple[Mapping[str, Any], ...]:
    if root is None:
        return ()
    return panels(
        hearing,
        threat,
        findings[threat.name],
        candidate.subject.name,
        root,
        f"examples/{stem}",
    )


def _doubted(
    result: SecurityResult,
    hearing: Hearing,
    candidate: Candidate,
    terms: Terms,
    journal: Journal,
) -> SecurityResult:
    """The result with reasons why it may be false: of the detector itself, and of the figures."""
    from trueshot.evaluation.doubts import doubts_of, investigate

    found: list[Doubt] = []
    if terms.suite == "strong":
        name = f"doubts at {', '.join(f'{budget:g}' for budget in terms.budgets)}"
        lines = journal.note(name)
        if lines is None:
            images, labels = hearing.part.first(_FEW).batch(slice(None), hearing.device)
            lent = transferred(_means(hearing, candidate, terms))
            found = list(
                investigate(
                    hearing.detector,
                    images,
                    labels,
                    budgets=terms.budgets,
                    seed=terms.seed,
                    unusual=[step.make for step in lent],
                )
            )
            journal.enter_note(name, [asdict(doubt) for doubt in found])
        else:
            found = [Doubt(**line) for line in lines]
    known = {doubt.name for doubt in found}
    found += [doubt for doubt in doubts_of(result) if doubt.name not in known]
    return replace(result, doubts=tuple(found))
