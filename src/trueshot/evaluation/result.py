"""Results of an evaluation as frozen dataclasses that are read from and written to JSON.

The worst case counts each image once: an image is right only if it was classified correctly without
any attack and no attack of the suite within the budget has broken it. An image that is broken at a
budget counts as broken at every larger one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from trueshot.errors import RunError
from trueshot.evaluation.doubt import Doubt
from trueshot.evaluation.tally import (
    CLEAN,
    UNBROKEN,
    Change,
    Counts,
    Flags,
    GroupCounts,
    SingleAttack,
    Tally,
    Trial,
    WorstCase,
    read_ones,
)
from trueshot.files import read_text, write_json
from trueshot.proportion import Proportion

KIND = "trueshot-evaluation"
FORMAT = 2
PAPER = "paper"


@dataclass(frozen=True, kw_only=True)
class EvaluationResult:
    """All results of one suite for one detector on one part of a data set.

    Args:
        suite: `paper`, `strong`, `file`, `everyday`, or the name of a suite from a file.
        detector: Name of the detector.
        classes: Class names in the order of all counts; class 0 is the untouched image.
        bundle_sha256: SHA-256 of the evaluated weights; "" if unknown.
        side: Height and width of the images in pixels.
        part: Part of the split.
        data: Fingerprint of the data set at that size.
        split_by: Unit that the split kept together.
        auc: Area under the ROC curve of the score without attack, class 0 against the others.
        seed: Seed of the attacks.
        threshold: Score above which an image counts as not of class 0, the same for the whole
            suite. The score is the logsumexp of the other logits minus the logit of class 0.
        labels: True class of each image, in the order of flags and of `WorstCase.broken_by`.
        groups: Group of each image, numbered from 0 in order of appearance: its scene if known,
            otherwise its photograph. Verdicts are correlated within a group, so intervals resample
            groups. Empty in older results, whose intervals take images as independent.
        worst: Worst cases of each threat model in order of budget, the first at budget 0.
        trials: Results of all attacks, in the order in which they were run.
        changes: Results of the everyday suite.
        doubts: Reasons why these figures may be false.
        boundary: Median distance to the decision boundary in levels, by norm, over correctly
            classified images; None if the attack did not find the boundary for half of them.
        examples: Images to show: see docs/evaluation.md.
        recipe: Settings of the training run, if known.
        cost: Cost of training, if known: `seconds`, `iterations`, `images_per_second`.
        versions: Versions of the libraries used.
        per_epsilon: For each threat model, the budget that corresponds to an ε of one level in L∞:
            1 unless the threat has another norm.
        notes: How the figures were obtained: attacks left out, and why.
        crop_side: Side of the crops whose logits were combined to judge, and attack, whole
            images; None if the images were judged as they are.
        certified_radii: For each image the L∞ radius, in levels, within which the right verdict is
            proven to hold; below 0 if the verdict is wrong. Empty if nothing can be proven.
        files: The user's own files: under `suite` the suite's file, and under the name of each own
            attack its `file.py:NAME`.
    """

    suite: str
    detector: str
    classes: tuple[str, ...]
    bundle_sha256: str
    side: int
    part: str
    data: str
    split_by: str
    auc: float
    seed: int = 0
    threshold: float = 0.0
    labels: tuple[int, ...] = ()
    groups: tuple[int, ...] = ()
    worst: tuple[WorstCase, ...] = ()
    trials: tuple[Trial, ...] = ()
    changes: tuple[Change, ...] = ()
    doubts: tuple[Doubt, ...] = ()
    boundary: Mapping[str, float | None] = field(default_factory=dict)
    examples: tuple[Mapping[str, Any], ...] = ()
    recipe: Mapping[str, Any] | None = None
    cost: Mapping[str, float] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    per_epsilon: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    crop_side: int | None = None
    certified_radii: tuple[float, ...] = ()
    files: Mapping[str, str] = field(default_factory=dict)

    _PARTS: ClassVar[Mapping[str, type[Any]]] = {
        "worst": WorstCase,
        "trials": Trial,
        "changes": Change,
        "doubts": Doubt,
    }

    def __post_init__(self) -> None:
        if not self.groups:
            return
        if len(self.groups) != len(self.labels):
            raise ValueError(
                f"groups must have one entry per image, got {len(self.groups)} "
                f"for {len(self.labels)}"
            )
        if not set(self.labels) <= set(range(len(self.classes))):
            raise ValueError(f"labels must be indices of the {len(self.classes)} classes")
        worst = tuple(
            replace(
                case,
                by_group=self._by_group([name == UNBROKEN for name in case.broken_by]),
                before_file_by_group=self._by_group(read_ones(case.flags_before_file)),
            )
            for case in self.worst
        )
        changes = tuple(
            replace(change, by_group=self._by_group(read_ones(change.flags)))
            for change in self.changes
        )
        object.__setattr__(self, "worst", worst)
        object.__setattr__(self, "changes", changes)

    def _by_group(self, right: Sequence[bool] | Flags) -> GroupCounts:
        """Count images per group and class; empty if it is unknown which images were right."""
        if not self.groups or len(right) != len(self.groups):
            return ()
        number = np.unique(self.groups, return_inverse=True)[1].reshape(-1)
        classes = len(self.classes)
        place = number * classes + np.array(self.labels)
        size = (int(number.max()) + 1) * classes
        counts = (
            np.bincount(place, kept, size).astype(int).reshape(-1, classes).tolist()
            for kept in (np.asarray(right, float), np.ones(len(place)))
        )
        return tuple((tuple(r), tuple(t)) for r, t in zip(*counts, strict=True))

    @property
    def group_count(self) -> int | None:
        """Number of groups that intervals resample; None if they are unknown."""
        return len(set(self.groups)) or None

    @property
    def images_in_words(self) -> str:
        """The number of images judged, and of their groups, as text."""
        images = f"{sum(self.total):,} images"
        if self.group_count is None:
            return images
        return f"{images} of {self.group_count:,} scenes or photographs"

    @property
    def threats(self) -> list[str]:
        """Names of the threat models, in order."""
        return list(dict.fromkeys(case.threat for case in self.worst))

    @property
    def total(self) -> Counts:
        """Number of images per class; zeros if nothing was counted."""
        counted: list[Tally] = [*self.worst, *self.changes]
        return counted[0].total if counted else (0,) * len(self.classes)

    def curve(self, threat: str) -> list[WorstCase]:
        """Return the worst cases of a threat model in order of budget, the first at 0."""
        cases = [case for case in self.worst if case.threat == threat]
        return sorted(cases, key=lambda case: case.budget)

    def worst_case(self, threat: str, budget: float) -> WorstCase:
        """Return the worst case of a threat model at a budget.

        Raises:
            KeyError: The result does not contain it.
        """
        for case in self.worst:
            if case.threat == threat and case.budget == budget:
                return case
        raise KeyError(f"{self.detector} at {self.side} px: no result of {threat} at {budget:g}")

    def certified(self, budget: float) -> Tally | None:
        """Count the images proven right at an L∞ budget; None if nothing can be proven."""
        if not self.certified_radii:
            return None
        proven = np.array(self.certified_radii) >= budget
        labels, classes = np.array(self.labels), len(self.classes)
        return Tally(
            right=tuple(np.bincount(labels[proven], minlength=classes).tolist()),
            total=tuple(np.bincount(labels, minlength=classes).tolist()),
            by_group=self._by_group(proven),
        )

    def singles(self, threat: str = "linf") -> list[SingleAttack]:
        """Return the accuracy under each attack alone, the first without an attack.

        Only attacks that were tried on all images, or on all that were right without an attack, are
        included; in the latter case the remaining images count as wrong.
        """
        clean = next((case for case in self.curve(threat) if case.budget == 0), None)
        if clean is None:
            return []
        found = [_single(CLEAN, threat, 0.0, clean.right, clean.total, clean.by_group)]
        for trial in self.trials:
            # In the paper's suite all images were tried, even if fewer than in the clean counts.
            total = trial.tried if self.suite == PAPER else clean.total
            if trial.threat == threat and trial.tried in (total, clean.right):
                pairs = zip(trial.tried, trial.broken, strict=True)
                right = tuple(tried - broken for tried, broken in pairs)
                by_group = self._by_group(trial.was_tried & ~trial.was_broken)
                found.append(_single(trial.attack, threat, trial.budget, right, total, by_group))
        return found

    def single(self, attack: str, budget: float = 0.0, threat: str = "linf") -> SingleAttack:
        """Return the accuracy under one attack alone at a budget; `clean` means no attack.

        Raises:
            KeyError: The figure of the attack alone is not known.
        """
        for single in self.singles(threat):
            if (single.attack, single.budget) == (attack, budget):
                return single
        raise KeyError(f"{self.detector} at {self.side} px: no result of {attack} at {budget:g}")

    def trial(self, attack: str, budget: float, threat: str = "linf") -> Trial:
        """Return the trial of an attack at a budget.

        Raises:
            KeyError: The attack was not tried.
        """
        for trial in self.trials:
            if (trial.attack, trial.budget, trial.threat) == (attack, budget, threat):
                return trial
        raise KeyError(f"{self.detector} at {self.side} px: no trial of {attack} at {budget:g}")

    def called_target(self, trial: Trial) -> Proportion | None:
        """Return the share of images of other classes that were called the trial's target class.

        None if the trial has no target, or tried no image of another class.
        """
        others = trial.was_tried & (np.array(self.labels) != trial.target)
        if trial.target is None or not others.any():
            return None
        reached = others & trial.was_called_target
        numbers = np.array(self.groups or range(len(others)))
        sums = [np.bincount(numbers, each) for each in (reached, others)]
        pairs = ((int(count), int(of)) for count, of in zip(*sums, strict=True) if of)
        groups = tuple(pairs) if self.groups else ()
        return Proportion(int(reached.sum()), int(others.sum()), groups)

    def to_json(self) -> dict[str, Any]:
        """Return the result as JSON values, with rates and intervals added for readers."""
        content = {"kind": KIND, "format": FORMAT, **asdict(self)}
        content |= {"labels": _packed(self.labels), "groups": _packed(self.groups)}
        rated: list[Tally] = [*self.worst, *self.changes]
        for item, written in zip(rated, [*content["worst"], *content["changes"]], strict=True):
            written |= {"accuracy": item.accuracy, "interval95": item.interval}
            del written["by_group"]
        for case in content["worst"]:
            del case["before_file_by_group"]
            names = list(dict.fromkeys(case["broken_by"]))
            images = _packed([names.index(name) for name in case["broken_by"]])
            case["broken_by"] = {"names": names, "images": images}
        return content

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> EvaluationResult:
        """Build a result from the output of `to_json`.

        Raises:
            ValueError: The content is of another kind or format, or incomplete.
        """
        fields = dict(content)
        try:
            found = fields.pop("kind", None), fields.pop("format", None)
            if found != (KIND, FORMAT):
                raise ValueError(
                    f"kind and format are {found}; this version reads only {(KIND, FORMAT)}: "
                    "evaluate again"
                )
            # Some older files hold `sources` instead of `groups`.
            fields.setdefault("groups", fields.pop("sources", ""))
            for name in ("labels", "groups"):
                fields[name] = _unpacked(fields.get(name, ""))
            for name, kind in cls._PARTS.items():
                fields[name] = tuple(_read(kind, item) for item in fields[name])
            for name in ("classes", "examples", "notes", "certified_radii"):
                fields[name] = tuple(fields.get(name, ()))
            return cls(**fields)
        except (TypeError, KeyError, AttributeError, IndexError) as error:
            raise ValueError(f"incomplete result: {error}") from error


def _single(
    attack: str, threat: str, budget: float, right: Counts, total: Counts, by_group: GroupCounts
) -> SingleAttack:
    return SingleAttack(
        attack=attack, threat=threat, budget=budget, right=right, total=total, by_group=by_group
    )


def _read(kind: type[Any], content: Mapping[str, Any]) -> Any:
    fields = {k: v for k, v in content.items() if k not in ("accuracy", "interval95")}
    if isinstance(found := fields.get("broken_by"), Mapping):
        fields["broken_by"] = [found["names"][place] for place in _unpacked(found["images"])]
    return kind(**{k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()})


def _packed(numbers: Sequence[int]) -> str:
    """Join numbers in one string, because indented JSON puts each number of a list on a line."""
    return " ".join(map(str, numbers))


def _unpacked(text: str) -> tuple[int, ...]:
    return tuple(map(int, text.split()))


def save_result(path: Path, result: EvaluationResult) -> None:
    """Write a result atomically as JSON."""
    write_json(path, result.to_json())


def load_result(path: Path) -> EvaluationResult:
    """Read a result from a JSON file.

    Raises:
        RunError: The file is missing, damaged, or not a result.
    """
    try:
        return EvaluationResult.from_json(json.loads(read_text(path)))
    except (OSError, ValueError, RecursionError, AttributeError, TypeError) as error:
        raise RunError(f"{path}: cannot be read as a result: {error}") from error


def load_experiments(path: Path) -> tuple[list[EvaluationResult], dict[str, Any]]:
    """Read the results.json of `reproduce`: one result per size and recipe, and examples by size.

    Raises:
        RunError: The file is missing or damaged.
    """
    try:
        content = json.loads(read_text(path))
        results = [EvaluationResult.from_json(result) for result in content["results"]]
        return results, dict(content["examples"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(f"{path}: cannot be read as results: {error}") from error
