"""What is tried on a detector: settings, and the plan by which every process answers requests."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch

from trueshot.attacks.minimal import FMN, boundary_distance
from trueshot.channels import EVERYDAY, Channel
from trueshot.datasets import Dataset, Part
from trueshot.detector import Detector
from trueshot.engines.pool import Answer
from trueshot.errors import RunError
from trueshot.evaluation.planned_attacks import (
    BUDGETS,
    QUICK,
    AdversaryCapabilities,
    Effort,
    PlannedAttack,
)
from trueshot.evaluation.result import PAPER
from trueshot.evaluation.suites import Suite, threats_of, transferred
from trueshot.evaluation.worst_case import Evaluator, Threat, attack_group

_FEW = 50  # images per class for the distance to the boundary and for doubts

# Settings that a suite does not use, with their options.
_OPINIONS = {"opinions": "--second-opinions"}
_OTHERS = {"transfer": "--transfer-from", **_OPINIONS}
_UNUSED: Mapping[str, Mapping[str, str]] = {
    "paper": _OTHERS,
    "file": _OTHERS,
    "everyday": {"attacks": "--attack", "threats": "--threat", **_OTHERS},
}


@dataclass(frozen=True, kw_only=True)
class DetectorUnderTest:
    """A detector to evaluate, with facts about it.

    Args:
        detector: The detector, in evaluation mode.
        name: Name for the result.
        side: Height and width of the images; None for the only size of the data set.
        bundle_sha256: SHA-256 of the weights and of everything else the outputs depend on.
        recipe: Settings of its training.
        crop_side: Side of the crops whose logits are combined to judge an image, if the network is
            a `CropAggregator`; otherwise None.
        differentiable: Whether the detector has gradients with respect to its images.
        cost: Cost of its training, see `EvaluationResult`.
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
    """Settings of a run of a suite.

    Args:
        suite: `paper`, `strong`, `file` or `everyday`, or a suite read by `load_suite`.
        budgets: L∞ budgets ε in levels, in increasing order.
        part: Part of the split.
        crops: Maximum number of crops per class; None means all.
        seed: Seed of the attacks.
        effort: Number of steps and queries of each attack.
        attacks: Further attacks; in the paper's suite they replace the suite's own.
        threats: Names of the threat models to try; empty means all of the suite.
        doubts: Whether to look for reasons why the figures may be false.
        transfer: Another detector, from which attacks are transferred.
        opinions: Whether to run attacks of pyautoattack and foolbox as second opinions.
        device: Device to compute on.
        batch: Number of crops per batch; does not change the result, unless the detector draws
            random numbers.

    Raises:
        RunError: A setting is given that the suite does not use.
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

    def __post_init__(self) -> None:
        unused = _UNUSED.get(self.name, {}) if isinstance(self.suite, str) else _OPINIONS
        if given := [option for name, option in unused.items() if getattr(self, name)]:
            raise RunError(f"the suite {self.name} does not use {', '.join(given)}")

    @property
    def name(self) -> str:
        """Name of the suite."""
        return self.suite if isinstance(self.suite, str) else self.suite.name


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The attacks on a detector and the images; the same in every process that answers requests."""

    evaluator: Evaluator
    adversary: AdversaryCapabilities
    threats: tuple[Threat, ...]
    budgets: tuple[float, ...]
    groups: tuple[int, ...]  # of the few images used to look for doubts

    def answer(self, asked: Mapping[str, Any]) -> Answer:
        """Answer a request: run an attack or a change, or examine the detector.

        Args:
            asked: One of these contents: `threat`, with the keys of `attack_group`; `channel`
                (index in `EVERYDAY`, or None) and `places`; `boundary`, a number of steps; or
                `doubts`.
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
    """Build the plan of a suite for a detector.

    Args:
        tested: The detector.
        dataset: Data set made by `prepare`.
        settings: The suite and how to run it.
        threats: Threat models that replace those of the suite.

    Raises:
        RunError: See `evaluate_suite`.
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
    _check_targets(tested, threats or ())
    return Plan(
        evaluator=evaluator,
        adversary=adversary,
        threats=threats or (),
        budgets=settings.budgets,
        groups=groups_of_crops(dataset, evaluator.part.drawn(_FEW)),
    )


def _check_targets(tested: DetectorUnderTest, threats: Sequence[Threat]) -> None:
    classes = tested.detector.classes
    for step in (step for threat in threats for step in threat.steps):
        if step.target is not None and not 0 <= step.target < len(classes):
            raise RunError(
                f"{step.name}: target {step.target} is no class of {tested.name}, which has "
                f"{len(classes)}, from 0: {', '.join(classes[:5])}"
            )


def chosen_part(tested: DetectorUnderTest, dataset: Dataset, name: str, crops: int | None) -> Part:
    """Return the crops to judge.

    Raises:
        RunError: The part lacks a class of the detector, or holds one that it does not know.
    """
    side, classes = tested.side or dataset.only_side(), tested.detector.classes
    part = dataset.part(side, name)
    part = part if crops is None else part.drawn(crops)
    held = set(part.labels.tolist())
    missing = [each for label, each in enumerate(classes) if label not in held]
    if missing:
        raise RunError(
            f"{dataset.folder}: the {name} part at {side} px has no images of some of the "
            f"{len(classes)} classes of {tested.name}: {', '.join(missing[:5])}"
        )
    if max(held) >= len(classes):
        raise RunError(
            f"{dataset.folder}: has more than the {len(classes)} classes of {tested.name}"
        )
    return part


def groups_of_crops(dataset: Dataset, part: Part) -> tuple[int, ...]:
    """Number the scene of each crop, or its photograph if unknown, in order of appearance."""
    photos = dataset.photos
    known = photos["origins"].to_pylist() if "origins" in photos.column_names else []
    group = {path: ("photograph", path) for path in photos["path"].to_pylist()}
    for path, origins in zip(group, map(json.loads, known), strict=False):
        for kind in ("photograph", "scene"):  # the last one that is known counts
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
        raise RunError(f"unknown threat {unknown[0]!r}; choose from {', '.join(known)}")
    return tuple(threat for threat in threats if not names or threat.name in names)


def _answer_of_change(evaluator: Evaluator, channel: Channel | None, places: list[int]) -> Answer:
    images, _ = evaluator.part.batch(np.array(places), evaluator.device)
    logits = evaluator.logits(images if channel is None else channel(images))
    return Answer({"logits": logits.double().tolist()}, {})


def _boundary(evaluator: Evaluator, steps: int) -> dict[str, float | None]:
    """Compute the median distance to the boundary by norm, over a few correct images."""
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
