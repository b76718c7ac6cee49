"""Evaluation of one detector with one suite: worst cases, changes, doubts and examples."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from trueshot.attacks import BY_NAME, PGD, Attack, lost_in_file
from trueshot.channels import EVERYDAY
from trueshot.datasets import Dataset
from trueshot.detector import Detector, evaluating
from trueshot.engines.engine import Course, Request, abreast, follow_here, gather
from trueshot.errors import RunError
from trueshot.evaluation.doubt import Doubt
from trueshot.evaluation.gallery import panels
from trueshot.evaluation.plan import (
    DetectorUnderTest,
    EvaluationSettings,
    Plan,
    groups_of_crops,
    plan_of,
)
from trueshot.evaluation.planned_attacks import BUDGETS, l2_per_level
from trueshot.evaluation.result import PAPER, EvaluationResult
from trueshot.evaluation.suites import AVERAGED, SUITES, Suite, without_gradient
from trueshot.evaluation.tally import Change, ones_of
from trueshot.evaluation.worst_case import (
    Evaluator,
    Step,
    Threat,
    ThreatResult,
    area_under_curve,
    score,
    work,
    worst_cases,
)
from trueshot.files import Journal
from trueshot.progress import Advance, progress
from trueshot.versions import versions

PAPER_BUDGETS = BUDGETS
PAPER_ATTACKS = ("fgsm", "llcm")
UNCHANGED = "none"
NOT_RANDOM = "Nothing here is random: another seed than {} gives the same."
Follow = Callable[[Course[Any]], Any]
"""Runs a course to its end by having its requests answered somewhere: see `Plan.answer`."""


def paper_attacks(
    names: tuple[str, ...] = PAPER_ATTACKS, budgets: tuple[float, ...] = PAPER_BUDGETS
) -> dict[tuple[str, float], Attack]:
    """Return the attacks of tables 2 and 3 of the paper, by short name and budget in levels.

    Raises:
        RunError: There is no attack of that name.
    """
    unknown = [name for name in names if name not in BY_NAME]
    if unknown:
        raise RunError(f"unknown attack {unknown[0]!r}; choose from {', '.join(BY_NAME)}")
    return {(name, budget): BY_NAME[name](budget=budget) for name in names for budget in budgets}


def evaluate(
    detector: Detector | DetectorUnderTest,
    dataset: Dataset,
    attacks: Mapping[tuple[str, float], Attack] | None = None,
    *,
    side: int | None = None,
    part: str = "test",
    crops: int | None = None,
    journal: Path | None = None,
    device: str | torch.device = "cpu",
    batch: int = 128,
) -> EvaluationResult:
    """Count the crops that a detector classifies correctly, clean and under each attack alone.

    Every attacked crop is rounded to the bytes that a file would hold and judged again; these
    verdicts count.

    Args:
        detector: The detector; it predicts in evaluation mode, and its own mode is restored.
        dataset: Data set made by `prepare`.
        attacks: Attacks by short name and budget; by default those of the paper.
        side: Size of the crops; may be omitted if the data set has only one.
        part: Part of the split.
        crops: Maximum number of crops per class; None means all.
        journal: File of finished trials; with it an interrupted evaluation can be resumed.
        device: Device to compute on.
        batch: Number of crops per batch; does not change the result, unless the detector draws
            random numbers.

    Raises:
        RunError: The part lacks a class, the detector returns logits that are not finite, or
            `journal` is given but the SHA-256 of the weights is unknown.
    """
    given = paper_attacks() if attacks is None else dict(attacks)
    tested = detector if isinstance(detector, DetectorUnderTest) else None
    tested = tested or DetectorUnderTest(detector=detector)  # type: ignore[arg-type]
    settings = EvaluationSettings(
        suite=PAPER, part=part, crops=crops, doubts=False, device=device, batch=batch
    )
    tested = replace(tested, side=side or tested.side)
    return _run(tested, dataset, settings, journal, (_one_by_one(given),))


def _one_by_one(attacks: Mapping[tuple[str, float], Attack]) -> Threat:
    """Build a threat model whose attacks are all tried on all images."""
    names = dict.fromkeys(name for name, _ in attacks)
    steps = [
        Step(
            name=name,
            make=lambda budget, name=name: attacks[name, budget],  # type: ignore[misc]
            on="all",
            budgets=tuple(budget for other, budget in attacks if other == name),
        )
        for name in names
    ]
    budgets = sorted({budget for _, budget in attacks})
    return Threat(name="linf", steps=tuple(steps), budgets=tuple(budgets))


def evaluate_suite(
    tested: DetectorUnderTest,
    dataset: Dataset,
    settings: EvaluationSettings,
    root: Path | None = None,
    stem: str = "",
    follow: Follow | None = None,
) -> EvaluationResult:
    """Run one suite on one detector.

    Args:
        tested: The detector.
        dataset: Data set made by `prepare`.
        settings: The suite and how to run it.
        root: Folder for the journal and the examples; with it an interrupted run can be resumed.
        stem: Prefix of the names of all files written there.
        follow: Runs courses on other processes; by default this process does all the work.

    Raises:
        RunError: The suite is unknown or needs a gradient that the detector lacks, the budgets are
            invalid, the part lacks a class, the detector has other classes or returns logits that
            are not finite, an attack aims for a class that it lacks, or `root` is given but the
            SHA-256 of the weights is unknown.
    """
    _check(tested, settings)
    journal = root / f"{stem}.jsonl" if root else None
    return _run(tested, dataset, settings, journal, None, root, stem, follow)


def _run(
    tested: DetectorUnderTest,
    dataset: Dataset,
    settings: EvaluationSettings,
    journal_file: Path | None,
    threats: tuple[Threat, ...] | None,
    root: Path | None = None,
    stem: str = "",
    follow: Follow | None = None,
) -> EvaluationResult:
    if journal_file is not None and not tested.bundle_sha256:
        raise RunError(
            "a journal needs the SHA-256 of the weights; set bundle_sha256 of the detector"
        )
    tested = replace(tested, side=tested.side or dataset.only_side())
    plan = plan_of(tested, dataset, settings, threats)
    evaluator, threats = plan.evaluator, plan.threats
    journal = Journal(journal_file, _key(tested, dataset, settings, len(evaluator.part)))
    follow = follow or (lambda course: follow_here(course, lambda r: plan.answer(r.content)))
    result = _blank(tested, dataset, settings, evaluator)
    if settings.name == "everyday":
        result = replace(result, notes=(*result.notes, *_note_on_seed(settings, plan)))
        return _doubted(_changed(result, evaluator, follow), None, settings)
    title = f"{settings.name} {tested.name} {evaluator.part.side} px"
    found, boundary, doubts = _found(plan, settings, journal, title, follow)
    result = replace(
        result,
        worst=tuple(case for each in found.values() for case in each.worst),
        trials=tuple(trial for each in found.values() for trial in each.trials),
        per_epsilon={t.name: _levels_per_epsilon(t, result.side) for t in threats},
        notes=(*result.notes, *_notes(settings, plan)),
        boundary=boundary or {},
    )
    if root is not None and settings.name != PAPER:
        first, folder = threats[0], f"examples/{stem}"
        shown = panels(evaluator, first, found[first.name], tested.name, root, folder)
        result = replace(result, examples=shown)
    if settings.name == PAPER:
        # Without times the result is the same byte for byte, however often the run was stopped.
        timeless = tuple(replace(trial, seconds=0.0) for trial in result.trials)
        result = replace(result, trials=timeless, cost={})
    return _doubted(result, doubts, settings)


def _found(
    plan: Plan, settings: EvaluationSettings, journal: Journal, title: str, follow: Follow
) -> tuple[dict[str, ThreatResult], dict[str, float | None] | None, list[dict[str, Any]] | None]:
    """Return results by threat model, and, where wanted, the boundary distances and doubts."""
    evaluator, strong = plan.evaluator, settings.name == "strong"
    wanted = {"boundary": strong and plan.adversary.differentiable}
    wanted["doubts"] = settings.doubts and (strong or not isinstance(settings.suite, str))
    steps = plan.adversary.effort.boundary
    budgets = ", ".join(f"{budget:g}" for budget in settings.budgets)
    notes = {"boundary": f"boundary of {steps} steps", "doubts": f"doubts at {budgets} levels"}
    with progress(title, sum(work(evaluator, threat) for threat in plan.threats)) as advance:
        courses: list[Course[Any]] = [
            worst_cases(evaluator, threat, journal, advance) for threat in plan.threats
        ]
        courses += [
            _noted(journal, notes[name], Request({name: steps})) for name in wanted if wanted[name]
        ]
        outcomes = follow(abreast(courses))
    found = dict(zip((threat.name for threat in plan.threats), outcomes, strict=False))
    looks = iter(outcomes[len(plan.threats) :])
    boundary = next(looks) if wanted["boundary"] else None
    doubts = next(looks)["doubts"] if wanted["doubts"] else None
    return found, boundary, doubts


def _noted(journal: Journal, note: str, request: Request) -> Course[dict[str, Any]]:
    """Get the answer to a request, from the journal if it is recorded there."""
    for record in journal.records:
        if record.get("note") == note:
            return dict(record["content"])
    (answer,) = yield from gather([request])
    journal.append({"note": note, "content": answer.content})
    return answer.content


def _levels_per_epsilon(threat: Threat, side: int) -> float:
    return l2_per_level(side) if threat.norm == "l2" else 1.0


def _check(tested: DetectorUnderTest, settings: EvaluationSettings) -> None:
    if isinstance(settings.suite, str) and settings.suite not in SUITES:
        raise RunError(f"unknown suite {settings.suite!r}; choose from {', '.join(SUITES)}")
    rising = sorted({0.0, *settings.budgets})
    if not settings.budgets or rising != [0.0, *settings.budgets] or rising[-1] > 255:
        raise RunError(
            f"budgets must increase, from above 0 to at most 255, got {settings.budgets}"
        )
    if settings.name == PAPER and not tested.differentiable:
        raise RunError(
            "the paper's attacks need gradients, which this detector lacks; use another suite"
        )


def _key(
    tested: DetectorUnderTest, dataset: Dataset, settings: EvaluationSettings, images: int
) -> dict[str, Any]:
    """Return all that a trial depends on, except the attack and the choice of images."""
    assert tested.side is not None
    return {
        "weights": tested.bundle_sha256,
        "crop_side": tested.crop_side,
        "data": dataset.fingerprint(tested.side),
        "part": settings.part,
        "images": images if settings.crops is None else f"{images} drawn",
        "seed": settings.seed,
        "transfer": settings.transfer and settings.transfer.bundle_sha256,
    }


def _blank(
    tested: DetectorUnderTest,
    dataset: Dataset,
    settings: EvaluationSettings,
    evaluator: Evaluator,
) -> EvaluationResult:
    part = evaluator.part
    scores = [score(evaluator.logits(images)).cpu().numpy() for images, _ in evaluator.everything()]
    return EvaluationResult(
        suite=settings.name,
        detector=tested.name,
        classes=tested.detector.classes,
        bundle_sha256=tested.bundle_sha256,
        side=part.side,
        part=settings.part,
        data=dataset.fingerprint(part.side),
        split_by=str(dataset.card["split_by"]),
        seed=settings.seed,
        auc=area_under_curve(np.concatenate(scores), part.labels),
        labels=tuple(part.labels.tolist()),
        groups=groups_of_crops(dataset, part),
        recipe=tested.recipe,
        cost=tested.cost,
        crop_side=tested.crop_side,
        certified_radii=_certified_radii(evaluator),
        versions=versions(),
        files=_files(settings),
        notes=(f"The data set: {leak}.",) if (leak := dataset.leak()) else (),
    )


def _certified_radii(evaluator: Evaluator) -> tuple[float, ...]:
    """Compute `EvaluationResult.certified_radii`, rounded down to hundredths."""
    from trueshot.certificates import certified_radius, is_certifiable

    if not is_certifiable(evaluator.detector):
        return ()
    radii: list[float] = []
    with evaluating(evaluator.detector):
        for images, labels in evaluator.everything():
            found = certified_radius(evaluator.detector, images)
            rounded = (found.linf * 100).floor() / 100
            radii += torch.where(found.recaptured == (labels == 1), rounded, -1.0).tolist()
    return tuple(radii)


def _files(settings: EvaluationSettings) -> dict[str, str]:
    """Return the names of the user's own files that a run uses, without folders."""
    found = {each.name: Path(each.spec).name for each in settings.attacks if each.origin}
    if isinstance(settings.suite, Suite) and settings.suite.file is not None:
        found["suite"] = settings.suite.file.name
    return found


def _notes(settings: EvaluationSettings, plan: Plan) -> tuple[str, ...]:
    adversary = plan.adversary
    notes = [*_notes_on_budgets(plan.threats), *_note_on_seed(settings, plan)]
    if missing := without_gradient(settings.suite, adversary):
        notes.append(
            "No gradient leads through this detector, so only attacks that ask it were tried; "
            f"left out: {', '.join(missing)}. Its worst case is worse than these figures."
        )
    if adversary.random:
        averaged = any(step.name == AVERAGED for t in plan.threats for step in t.steps)
        added = ", and an attack on the mean of many was added" if averaged else ""
        notes.append(
            "This detector draws random numbers: every verdict is one draw, of one fixed "
            f"seed{added}."
        )
    return tuple(notes)


def _notes_on_budgets(threats: Sequence[Threat]) -> Iterator[str]:
    """Yield a note for each fractional budget, because a file holds whole levels only."""
    found = {budget for threat in threats if threat.norm == "linf" for budget in threat.budgets}
    for budget in sorted(found):
        if note := lost_in_file(budget):
            yield note


def _note_on_seed(settings: EvaluationSettings, plan: Plan) -> Iterator[str]:
    attacks = [
        step.make(budget) for t in plan.threats for budget, steps in t.plan for step in steps
    ]
    if settings.seed and not any(map(draws, attacks)) and not plan.evaluator.is_random():
        yield NOT_RANDOM.format(settings.seed)


def draws(attack: Attack) -> bool:
    """Whether the result of an attack depends on a seed."""
    if isinstance(attack, PGD):
        return attack.random_start or attack.restarts > 1
    inner = getattr(attack, "attack", None)
    return hasattr(attack, "seed") or (inner is not None and draws(inner))


def _changed(result: EvaluationResult, evaluator: Evaluator, follow: Follow) -> EvaluationResult:
    total = len(evaluator.part) * (1 + len(EVERYDAY))
    with progress(f"everyday {result.detector} {result.side} px", total) as advance:
        changes = follow(_course_of_changes(evaluator, advance))
    return replace(result, changes=changes)


def _course_of_changes(evaluator: Evaluator, advance: Advance) -> Course[tuple[Change, ...]]:
    numbers = (None, *range(len(EVERYDAY)))
    groups = np.split(
        np.arange(n := len(evaluator.part)), range(evaluator.batch, n, evaluator.batch)
    )
    requests = [
        Request({"channel": number, "places": places.tolist()})
        for number in numbers
        for places in groups
    ]

    def done(request: Request) -> None:
        advance(len(request.content["places"]), "")

    answers = yield from gather(requests, done)
    logits = [torch.tensor(answer.content["logits"], dtype=torch.float64) for answer in answers]
    return tuple(
        _change(evaluator, number, torch.cat(logits[k * len(groups) :][: len(groups)]))
        for k, number in enumerate(numbers)
    )


def _change(evaluator: Evaluator, number: int | None, logits: Tensor) -> Change:
    labels, channel = evaluator.part.labels, None if number is None else EVERYDAY[number]
    right = logits.argmax(1).numpy() == labels
    return Change(
        name=UNCHANGED if channel is None else channel.name,
        settings=repr(channel),
        right=evaluator.per_class(right),
        total=evaluator.total,
        flags=ones_of(right),
        auc=area_under_curve(score(logits).numpy(), labels),
    )


def _doubted(
    result: EvaluationResult,
    of_detector: list[dict[str, Any]] | None,
    settings: EvaluationSettings,
) -> EvaluationResult:
    """Add the doubts about the detector and the doubts about the figures to the result."""
    from trueshot.evaluation import doubts

    if not settings.doubts:
        return result
    found = [Doubt(**each) for each in of_detector or ()]
    known = {doubt.name for doubt in found}
    found += [doubt for doubt in doubts.doubts_of(result) if doubt.name not in known]
    return replace(result, doubts=tuple(found))
