"""One suite on one detector: worst cases, changes, doubts, examples, all in one result."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from trueshot.attacks import BY_NAME, PGD, Attack, lost_in_file
from trueshot.attacks.minimal import FMN, boundary_distance
from trueshot.channels import EVERYDAY, Channel
from trueshot.datasets import Dataset, Part
from trueshot.detector import Detector
from trueshot.engines.engine import Answer, Course, Request, abreast, follow_here, gather
from trueshot.errors import RunError
from trueshot.evaluation.gallery import panels
from trueshot.evaluation.metrics import area_under_curve
from trueshot.evaluation.result import PAPER, Change, Doubt, EvaluationResult, ones_of
from trueshot.evaluation.suites import (
    BUDGETS,
    QUICK,
    SUITES,
    AdversaryCapabilities,
    Effort,
    PlannedAttack,
    Suite,
    l2_per_level,
    threats_of,
    transferred,
    without_gradient,
)
from trueshot.evaluation.worst_case import (
    Evaluator,
    Step,
    Threat,
    ThreatResult,
    attack_group,
    course_of_worst_cases,
    score,
    work,
)
from trueshot.files import Journal
from trueshot.progress import Advance, progress
from trueshot.versions import versions

PAPER_BUDGETS = BUDGETS
PAPER_ATTACKS = ("fgsm", "llcm")
UNCHANGED = "none"
_FEW = 50  # of each class: for the distance to the boundary, and for doubts


@dataclass(frozen=True, kw_only=True)
class DetectorUnderTest:
    """A detector to be judged, and what is known of it.

    Args:
        detector: In evaluation mode.
        name: For the result.
        side: Height and width of the images; None for the only size of the data set.
        bundle_sha256: Of its weights, and of whatever else its answers depend on.
        recipe: Settings of its training.
        crop_side: Of the crops by whose mean logits the detector judges an image, if it does; its
            network is then a `CropAggregator`.
        differentiable: Whether gradients lead through it.
        cost: Of its training, as of `EvaluationResult`.
    """

    detector: Detector
    name: str = "detector"
    side: int | None = None
    bundle_sha256: str = ""
    recipe: Mapping[str, Any] | None = None
    crop_side: int | None = None
    differentiable: bool = True
    cost: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class EvaluationSettings:
    """How a suite is to be run.

    Args:
        suite: `paper`, `strong`, `file` or `everyday`, or one that `load_suite` read.
        budgets: ε in levels, L∞, upwards.
        part: Part of the split.
        crops: At most so many of each class; all of them by default.
        seed: Of the attacks.
        effort: How long each attack goes on.
        attacks: Of the paper's suite in place of its own; of another one beside its own.
        threats: Names of the threat models to try; all of the suite's by default.
        doubts: Whether to look for reasons why the figures may be false.
        transfer: Another detector, from which attacks are transferred.
        opinions: Whether pyautoattack and foolbox are asked for second opinions.
        device: Where to compute.
        batch: Crops at a time; it does not change the result.
    """

    suite: str | Suite = "strong"
    budgets: tuple[float, ...] = BUDGETS
    part: str = "test"
    crops: int | None = None
    seed: int = 0
    effort: Effort = QUICK
    attacks: tuple[PlannedAttack, ...] = ()
    threats: tuple[str, ...] = ()
    doubts: bool = True
    transfer: DetectorUnderTest | None = None
    opinions: bool = False
    device: str | torch.device = "cpu"
    batch: int = 128

    @property
    def name(self) -> str:
        """Of the suite."""
        return self.suite if isinstance(self.suite, str) else self.suite.name


Follow = Callable[[Course[Any]], Any]
"""Goes through a course where its requests are answered: see `Plan.answer`."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is tried on a detector, and the images; the same wherever its requests are answered."""

    evaluator: Evaluator
    adversary: AdversaryCapabilities
    threats: tuple[Threat, ...]
    budgets: tuple[float, ...]
    groups: tuple[int, ...]  # of the few images that are looked at for doubts

    def answer(self, asked: Mapping[str, Any]) -> Answer:
        """What an attack, a change or a look at the detector finds.

        Args:
            asked: `threat` and what `attack_group` wants; `channel`, its number in `EVERYDAY` or
                None, and `places`; `boundary`, steps; or `doubts`.
        """
        if "threat" in asked:
            (threat,) = (each for each in self.threats if each.name == asked["threat"])
            return attack_group(self.evaluator, threat, asked)
        if "places" in asked:
            channel = None if asked["channel"] is None else EVERYDAY[asked["channel"]]
            return _answer_of_change(self.evaluator, channel, asked["places"])
        if "boundary" in asked:
            return Answer(_boundary(self.evaluator, asked["boundary"]), {})
        return Answer({"doubts": self._doubts()}, {})

    def _doubts(self) -> list[dict[str, Any]]:
        from trueshot.evaluation import doubts

        evaluator = self.evaluator
        images, labels = evaluator.part.drawn(_FEW).batch(slice(None), evaluator.device)
        found = doubts.investigate(
            evaluator.detector,
            images,
            labels,
            budgets=self.budgets,
            seed=evaluator.seed,
            unusual=[step.make for step in transferred(self.adversary)],
            groups=self.groups,
        )
        return [asdict(doubt) for doubt in found]


def plan_of(
    tested: DetectorUnderTest,
    dataset: Dataset,
    settings: EvaluationSettings,
    threats: tuple[Threat, ...] | None = None,
) -> Plan:
    """What a suite tries on a detector.

    Args:
        tested: The detector.
        dataset: As `prepare` made it.
        settings: Which suite, and how.
        threats: In place of those of the suite.

    Raises:
        RunError: As `evaluate_suite`.
    """
    evaluator = Evaluator(
        detector=tested.detector.to(settings.device),
        part=chosen_part(tested, dataset, settings.part, settings.crops),
        device=settings.device,
        batch=settings.batch,
        seed=settings.seed,
    )
    adversary = _adversary(evaluator, tested, settings)
    if threats is None and settings.name != "everyday":
        threats = _chosen(threats_of(settings.suite, adversary), settings.threats)
    return Plan(
        evaluator=evaluator,
        adversary=adversary,
        threats=threats or (),
        budgets=settings.budgets,
        groups=groups_of_crops(dataset, evaluator.part.drawn(_FEW)),
    )


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
    """Count the crops that a detector judges rightly, clean and under each attack by itself.

    Every attacked crop is rounded to the bytes that a file would hold, and judged again: those
    verdicts are the ones that count.

    Args:
        detector: Prediction in evaluation mode, and left as it was.
        dataset: As `prepare` made it.
        attacks: By short name and budget; by default the paper's.
        side: Which of the data set's sizes; may be left out if there is one.
        part: Part of the split.
        crops: At most so many of each class; all of them by default.
        journal: File of finished trials; with it an interrupted evaluation goes on.
        device: Where to compute.
        batch: Crops at a time; it does not change the result.

    Raises:
        RunError: That part holds no crop of one of the classes, the detector says no numbers, or
            a journal is wanted for weights without a hash.
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
    """A threat whose attacks are all tried on all images."""
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
        dataset: As `prepare` made it.
        settings: Which suite, and how.
        root: Folder for the journal and for examples; with it a run that was stopped goes on.
        stem: Begins the names of what is written there.
        follow: Goes through courses on other processes; by default this one does it all.

    Raises:
        RunError: No such suite or budgets, the part lacks a class, the detector has other classes
            or says no numbers, or a journal is wanted for weights without a hash.
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
        raise RunError("a journal goes with a detector whose weights are known by their SHA-256")
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
        # Without times it is the same again, byte by byte, however often it was stopped.
        timeless = tuple(replace(trial, seconds=0.0) for trial in result.trials)
        result = replace(result, trials=timeless, cost={})
    return _doubted(result, doubts, settings)


def _found(
    plan: Plan, settings: EvaluationSettings, journal: Journal, title: str, follow: Follow
) -> tuple[dict[str, ThreatResult], dict[str, float | None] | None, list[dict[str, Any]] | None]:
    """What attacks did by threat, the distances to the boundary, and doubts, where wanted."""
    evaluator, strong = plan.evaluator, settings.name == "strong"
    wanted = {"boundary": strong and plan.adversary.differentiable}
    wanted["doubts"] = settings.doubts and (strong or not isinstance(settings.suite, str))
    steps = plan.adversary.effort.boundary
    budgets = ", ".join(f"{budget:g}" for budget in settings.budgets)
    notes = {"boundary": f"boundary of {steps} steps", "doubts": f"doubts at {budgets} levels"}
    with progress(title, sum(work(evaluator, threat) for threat in plan.threats)) as advance:
        courses: list[Course[Any]] = [
            course_of_worst_cases(evaluator, threat, journal, advance) for threat in plan.threats
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
    """The answer to a request, from the journal if it is there."""
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
        raise RunError(f"suite {settings.suite!r}: unknown; known: {', '.join(SUITES)}")
    rising = sorted({0.0, *settings.budgets})
    if not settings.budgets or rising != [0.0, *settings.budgets] or rising[-1] > 255:
        raise RunError(f"budgets that rise from above 0 to 255 wanted, got {settings.budgets}")
    if settings.name == PAPER and not tested.differentiable:
        raise RunError("the paper's attacks follow a gradient, and none leads through it")


def chosen_part(tested: DetectorUnderTest, dataset: Dataset, name: str, crops: int | None) -> Part:
    """The crops that are judged.

    Raises:
        RunError: That part lacks a class of the detector, or holds one that it does not know.
    """
    side, classes = tested.side or dataset.only_side(), tested.detector.classes
    part = dataset.part(side, name)
    part = part if crops is None else part.drawn(crops)
    held = set(part.labels.tolist())
    missing = [each for label, each in enumerate(classes) if label not in held]
    if missing:
        raise RunError(
            f"{dataset.folder}: the {name} part at {side} px lacks a class of {tested.name}, which "
            f"has {len(classes)} classes: {', '.join(missing[:5])}"
        )
    if max(held) >= len(classes):
        raise RunError(f"{dataset.folder}: has more classes than {tested.name}: {len(classes)}")
    return part


def _key(
    tested: DetectorUnderTest, dataset: Dataset, settings: EvaluationSettings, images: int
) -> dict[str, Any]:
    """All that a trial depends on beside the attack and the images that it was tried on."""
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
    """As of `EvaluationResult`, rounded down to hundredths."""
    from trueshot.certificates import certified_accuracy, is_certifiable

    if not is_certifiable(evaluator.detector):
        return ()
    found = certified_accuracy(evaluator.detector, evaluator.part, (0.0,), evaluator.batch)
    return tuple((np.floor(found.radii * 100) / 100).tolist())


def _files(settings: EvaluationSettings) -> dict[str, str]:
    """What of a run lies in files of the user's, without their folders."""
    found = {each.name: Path(each.spec).name for each in settings.attacks if each.origin}
    if isinstance(settings.suite, Suite) and settings.suite.file is not None:
        found["suite"] = settings.suite.file.name
    return found


def groups_of_crops(dataset: Dataset, part: Part) -> tuple[int, ...]:
    """The number of each crop's scene, else of its photograph, in order of appearance."""
    photos = dataset.photos
    known = photos["origins"].to_pylist() if "origins" in photos.column_names else []
    group = {path: ("photograph", path) for path in photos["path"].to_pylist()}
    for path, origins in zip(group, map(json.loads, known), strict=False):
        for kind in ("photograph", "scene"):  # the last that is known counts
            group[path] = (kind, origins[kind]) if origins.get(kind) else group[path]
    paths = dataset.crops[part.side]["path"].to_pylist()
    names = [group[paths[row]] for row in part.rows.tolist()]
    numbers = {name: number for number, name in enumerate(dict.fromkeys(names))}
    return tuple(numbers[name] for name in names)


def _adversary(
    evaluator: Evaluator, tested: DetectorUnderTest, settings: EvaluationSettings
) -> AdversaryCapabilities:
    other = settings.transfer
    return AdversaryCapabilities(
        budgets=settings.budgets,
        effort=settings.effort,
        seed=settings.seed,
        side=evaluator.part.side,
        differentiable=tested.differentiable,
        random=settings.name != PAPER and evaluator.is_random(),
        opinions=settings.opinions,
        attacks=settings.attacks,
        other=None if other is None else (other.name, other.detector.to(settings.device)),
    )


def _chosen(threats: Sequence[Threat], names: Sequence[str]) -> tuple[Threat, ...]:
    known = [threat.name for threat in threats]
    unknown = [name for name in names if name not in known]
    if unknown:
        raise RunError(f"threat {unknown[0]!r}: unknown here; known: {', '.join(known)}")
    return tuple(threat for threat in threats if not names or threat.name in names)


def _notes(settings: EvaluationSettings, plan: Plan) -> tuple[str, ...]:
    adversary = plan.adversary
    notes = [*_notes_on_budgets(plan.threats), *_note_on_seed(settings, plan)]
    if missing := without_gradient(settings.suite, adversary):
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


def _notes_on_budgets(threats: Sequence[Threat]) -> Iterator[str]:
    """A file holds whole levels: what a fraction of one adds is lost in it."""
    found = {budget for threat in threats if threat.norm == "linf" for budget in threat.budgets}
    for budget in sorted(found):
        if note := lost_in_file(budget):
            yield note


def _note_on_seed(settings: EvaluationSettings, plan: Plan) -> Iterator[str]:
    attacks = [
        step.make(budget) for t in plan.threats for budget, steps in t.plan for step in steps
    ]
    if settings.seed and not any(map(draws, attacks)) and not plan.evaluator.is_random():
        yield f"Nothing here is random: another seed than {settings.seed} gives the same."


def draws(attack: Attack) -> bool:
    """Whether what an attack does depends on a seed."""
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


def _answer_of_change(evaluator: Evaluator, channel: Channel | None, places: list[int]) -> Answer:
    images, _ = evaluator.part.batch(np.array(places), evaluator.device)
    logits = evaluator.logits(images if channel is None else channel(images))
    return Answer({"logits": logits.double().tolist()}, {})


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


def _boundary(evaluator: Evaluator, steps: int) -> dict[str, float | None]:
    """Median distance to the boundary of the first images that are judged rightly, by norm."""
    images, labels = evaluator.part.drawn(_FEW).batch(slice(None), evaluator.device)
    right = torch.from_numpy(~evaluator.wrong(images, labels)).to(labels.device)
    if not bool(right.any()):
        return {}
    found: dict[str, float | None] = {}
    for attack in (FMN(norm="linf", steps=steps), FMN(norm="l2", steps=steps)):
        away = boundary_distance(evaluator.detector, images[right], labels[right], attack)
        median = float(away.double().quantile(0.5))
        found[attack.norm] = median if math.isfinite(median) else None
    return found


def _doubted(
    result: EvaluationResult,
    of_detector: list[dict[str, Any]] | None,
    settings: EvaluationSettings,
) -> EvaluationResult:
    """The result with reasons why it may be false: of the detector itself, and of the figures."""
    from trueshot.evaluation import doubts

    if not settings.doubts:
        return result
    found = [Doubt(**each) for each in of_detector or ()]
    known = {doubt.name for doubt in found}
    found += [doubt for doubt in doubts.doubts_of(result) if doubt.name not in known]
    return replace(result, doubts=tuple(found))
