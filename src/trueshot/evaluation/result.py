"""What an evaluation has found out about a detector: frozen, JSON in and out.

The worst case counts each image once: it is right only if it was judged rightly without any attack
and no attack of the suite within the budget has broken it. An image that is broken at a budget is
broken at every larger one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from trueshot.errors import RunError
from trueshot.files import read_text, write_json
from trueshot.proportion import Groups, Proportion

KIND = "trueshot-evaluation"
FORMAT = 2  # 1 had a kind of its own for the paper's suite: see `conversion`
CLEAN = "clean"  # no attack; of an image, that it was wrong before any
UNBROKEN = ""
NOT_TRIED = "-"
PAPER = "paper"

Counts = tuple[int, ...]
"""Images of each class, in the order of the classes."""

GroupCounts = tuple[tuple[Counts, Counts], ...]
"""Images judged rightly, and all of them, per class, of each group of images."""

Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Tally:
    """Images judged rightly, and all of them, per class.

    Args:
        right: Judged rightly, per class.
        total: All, per class.
        by_group: The same of each group of images, which intervals draw as a whole; empty where
            the groups are not known. An `EvaluationResult` fills it in; files do not hold it.
    """

    right: Counts
    total: Counts
    by_group: GroupCounts = field(default=(), compare=False, repr=False)

    @property
    def proportion(self) -> Proportion:
        """All classes together."""
        return self._of(slice(None))

    @property
    def accuracy(self) -> float:
        """Share right, all classes together."""
        return self.proportion.share

    @property
    def interval(self) -> tuple[float, float]:
        """Interval of the accuracy at 95 %, over groups where they are known."""
        return self.proportion.interval()

    @property
    def others(self) -> Proportion | None:
        """All classes but 0 together; None if they have no image."""
        return self._of(slice(1, None)) if sum(self.total[1:]) else None

    def of_class(self, label: int) -> Proportion | None:
        """One class; None if it has no image."""
        return self._of(slice(label, label + 1)) if self.total[label] else None

    def _of(self, classes: slice) -> Proportion:
        counts = ((sum(r[classes]), sum(t[classes])) for r, t in self.by_group)
        groups: Groups = tuple((right, total) for right, total in counts if total)
        return Proportion(sum(self.right[classes]), sum(self.total[classes]), groups)


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One attack at one budget.

    Args:
        attack: Short name.
        threat: Threat model: `linf` and `l2` (levels rounded to a PNG's), or what the file goes
            through: `jpeg-75`, `messenger`, ….
        budget: Levels, in L∞ unless the threat is in another norm.
        settings: The attack in full, as its repr.
        tried: Images attacked, per class: all of them, those that were right without an attack, or
            those that were still right when its turn came; see `Step.on`.
        broken: Of those judged wrongly afterwards, from the file, per class.
        broken_before_file: Of those judged wrongly in memory, before rounding and saving.
        psnr: Mean over the images tried, in dB, between image and file; None if none was tried.
        ssim: The same, of the first 16 of them.
        calls: Times that the attack asked the detector, and its gradient, about an image: means;
            None in results of before they were counted.
        seconds: All of it took.
        flags: A character for each image of the part: "-" if it was not tried, else a number, of
            which bit 0 says that it was broken, bit 1 that it was so before it was filed, and bit
            2 that the file was called the target. Empty in results of format 1.
        target: Class that the attack wants its images to be called; None if any other will do.
    """

    attack: str
    threat: str
    budget: float
    settings: str = ""
    tried: Counts
    broken: Counts
    broken_before_file: Counts
    psnr: float | None = None
    ssim: float | None = None
    calls: tuple[float, float] | None = None
    seconds: float = 0.0
    flags: str = ""
    target: int | None = None

    @property
    def was_tried(self) -> Flags:
        """Which images were attacked, shape (n,)."""
        return np.array([flag != NOT_TRIED for flag in self.flags], bool)

    @property
    def was_broken(self) -> Flags:
        """Which were judged wrongly after their file, shape (n,)."""
        return self._those(1)

    @property
    def was_broken_before_file(self) -> Flags:
        """Which were judged wrongly in memory, shape (n,)."""
        return self._those(2)

    @property
    def was_called_target(self) -> Flags:
        """Which were called the target's class after their file, shape (n,)."""
        return self._those(4)

    def _those(self, bit: int) -> Flags:
        return np.array([flag != NOT_TRIED and bool(int(flag) & bit) for flag in self.flags], bool)


def flags_of(tried: Flags, broken: Flags, broken_before_file: Flags, reached: Flags) -> str:
    """What became of each image, as `Trial.flags` has it."""
    bits = broken + 2 * broken_before_file + 4 * reached
    pairs = zip(tried.tolist(), bits.tolist(), strict=True)
    return "".join(str(bit) if one else NOT_TRIED for one, bit in pairs)


@dataclass(frozen=True, kw_only=True)
class SingleAttack(Tally):
    """Images judged rightly under one attack alone, or under none."""

    attack: str
    threat: str
    budget: float


@dataclass(frozen=True, kw_only=True)
class WorstCase(Tally):
    """Images that nothing in the suite has broken at a budget.

    Args:
        right: Right and unbroken, per class. Of class 0 those are false alarms avoided; the others
            are the direction that matters, such as a recapture made to look original.
        total: Images, per class.
        threat: As of `Trial`.
        budget: Levels; 0 for no attack.
        right_before_file: As `right`, judged in memory before rounding and saving.
        broken_by: Per image, in the order of the data set's part: name of the attack that broke
            it first, "" if none has, "clean" if it was wrong without one.
        flags_before_file: A character for each image: "1" if it is counted in
            `right_before_file`, else "0". Empty in results of before there were groups.
        before_file_by_group: As `by_group`, of `right_before_file`.
    """

    threat: str
    budget: float
    right_before_file: Counts
    broken_by: tuple[str, ...] = ()
    flags_before_file: str = ""
    before_file_by_group: GroupCounts = field(default=(), compare=False, repr=False)

    @property
    def before_file(self) -> Tally:
        """Judged rightly in memory, before rounding and saving."""
        by_group = self.before_file_by_group
        return Tally(right=self.right_before_file, total=self.total, by_group=by_group)


@dataclass(frozen=True, kw_only=True)
class Change(Tally):
    """What an everyday change, nobody's attack, does to verdicts at the frozen threshold.

    Args:
        right: Images judged rightly after it, per class.
        total: Images, per class.
        name: `jpeg-75`, `resize-0.5`, `blur-1`, `messenger`, …; `none` for no change.
        settings: In full.
        auc: Of the scores after it.
        flags: A character for each image: "1" if it was judged rightly, else "0". Empty in results
            of before there were groups.
    """

    name: str
    settings: str
    auc: float
    flags: str = ""


@dataclass(frozen=True, kw_only=True)
class Doubt:
    """A reason why a good figure may be false.

    Args:
        name: Of the page docs/doubts/NAME.md.
        finding: One sentence with the figures that raise it.
        evidence: Those figures by name.
    """

    name: str
    finding: str
    evidence: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class EvaluationResult:
    """Everything that one suite has found out about one detector on one part of a data set.

    Args:
        suite: `paper`, `strong`, `file`, `everyday`, or the name of one from a file.
        detector: Its name.
        classes: Names in the order of all counts; 0 is the untouched image.
        bundle_sha256: Of the weights that were judged; "" if they are not known.
        side: Height and width of the images in pixels.
        part: Part of the split.
        data: Fingerprint of the data set at that size.
        split_by: What the split kept whole.
        auc: Area under the ROC curve of the score, class 0 against the others, clean.
        seed: Of the attacks.
        threshold: Score, logsumexp of the other logits minus that of class 0, above which an image
            counts as not of class 0: frozen for the whole suite.
        labels: True class of each image, in the order of flags and of `WorstCase.broken_by`.
        groups: Number of each image's group, from 0 in order of appearance: its scene, else its
            photograph. Images of one group are right or wrong together, so intervals draw groups.
            Empty in results of before they were known: their intervals take images as independent.
        worst: Worst cases: per threat model, in order of budget, the first at budget 0.
        trials: What each attack did, in the order in which they were run.
        changes: Of the everyday suite.
        doubts: Why these figures may be false.
        boundary: Median distance to the decision boundary in levels, by norm, over the images
            judged rightly; None where the attack did not find it for half of them.
        examples: Images to show: see docs/evaluation.md.
        recipe: Settings of the training run, if known.
        cost: Of training, if known: `seconds`, `iterations`, `images_per_second`.
        versions: Of the libraries that computed.
        per_epsilon: By threat model, the budget that goes with an ε of one level in L∞: 1 but for
            threats in another norm.
        notes: What a reader has to know of how this was obtained: attacks left out, and why.
        crop_side: Of the crops by whose mean logits each image was judged, and attacked, as a
            whole; None if the images were judged as they are.
        certified_radii: Of each image, levels in L∞ up to which no change makes its verdict wrong,
            proven; below 0 where it is wrong. Empty for detectors of which nothing is proven.
        files: Of the user's: the file of the `suite`, and by its name that of each own attack, as
            `file.py:NAME`.
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
            raise ValueError(f"{len(self.groups)} groups of {len(self.labels)} images")
        if not set(self.labels) <= set(range(len(self.classes))):
            raise ValueError(f"labels of other than {len(self.classes)} classes")
        worst = tuple(
            replace(
                case,
                by_group=self._by_group([name == UNBROKEN for name in case.broken_by]),
                before_file_by_group=self._by_group(_ones(case.flags_before_file)),
            )
            for case in self.worst
        )
        changes = tuple(
            replace(change, by_group=self._by_group(_ones(change.flags))) for change in self.changes
        )
        object.__setattr__(self, "worst", worst)
        object.__setattr__(self, "changes", changes)

    def _by_group(self, right: Sequence[bool] | Flags) -> GroupCounts:
        """Counts per group and class; none where it is not known which images were right."""
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
        """Groups that intervals draw; None if they are not known."""
        return len(set(self.groups)) or None

    @property
    def images_in_words(self) -> str:
        """How many images were judged, and in how many groups."""
        images = f"{sum(self.total):,} images"
        if self.group_count is None:
            return images
        return f"{images} of {self.group_count:,} scenes or photographs"

    @property
    def threats(self) -> list[str]:
        """Threat models, in order."""
        return list(dict.fromkeys(case.threat for case in self.worst))

    @property
    def total(self) -> Counts:
        """Images per class; of none if nothing was counted."""
        counted: list[Tally] = [*self.worst, *self.changes]
        return counted[0].total if counted else (0,) * len(self.classes)

    def curve(self, threat: str) -> list[WorstCase]:
        """Worst cases of a threat model in order of budget, the first at 0."""
        cases = [case for case in self.worst if case.threat == threat]
        return sorted(cases, key=lambda case: case.budget)

    def worst_case(self, threat: str, budget: float) -> WorstCase:
        """The worst case at a budget.

        Raises:
            KeyError: It was not asked for.
        """
        for case in self.worst:
            if case.threat == threat and case.budget == budget:
                return case
        raise KeyError(f"{self.detector} at {self.side} px: no result of {threat} at {budget:g}")

    def certified(self, budget: float) -> Tally | None:
        """Images that are proven right at a budget in L∞; None where nothing is proven."""
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
        """What each attack alone leaves, first none: of those whose own figure is known.

        That is so where an attack was tried on all images, or on all that were right without an
        attack: then the others count as wrong.
        """
        clean = next((case for case in self.curve(threat) if case.budget == 0), None)
        if clean is None:
            return []
        found = [_single(CLEAN, threat, 0.0, clean.right, clean.total, clean.by_group)]
        for trial in self.trials:
            # In the paper's suite all images were tried, were it fewer than without an attack.
            total = trial.tried if self.suite == PAPER else clean.total
            if trial.threat == threat and trial.tried in (total, clean.right):
                pairs = zip(trial.tried, trial.broken, strict=True)
                right = tuple(tried - broken for tried, broken in pairs)
                by_group = self._by_group(trial.was_tried & ~trial.was_broken)
                found.append(_single(trial.attack, threat, trial.budget, right, total, by_group))
        return found

    def single(self, attack: str, budget: float = 0.0, threat: str = "linf") -> SingleAttack:
        """What one attack alone leaves at a budget; `clean` for none.

        Raises:
            KeyError: It was not tried alone.
        """
        for single in self.singles(threat):
            if (single.attack, single.budget) == (attack, budget):
                return single
        raise KeyError(f"{self.detector} at {self.side} px: no result of {attack} at {budget:g}")

    def trial(self, attack: str, budget: float, threat: str = "linf") -> Trial:
        """What an attack did at a budget.

        Raises:
            KeyError: It was not tried.
        """
        for trial in self.trials:
            if (trial.attack, trial.budget, trial.threat) == (attack, budget, threat):
                return trial
        raise KeyError(f"{self.detector} at {self.side} px: no trial of {attack} at {budget:g}")

    def called_target(self, trial: Trial) -> Proportion | None:
        """Images of other classes that a trial made the target's, of all such that it tried.

        None if it has no target, or tried none of another class than that.
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
        """Everything, with rates and intervals written out for readers of the file."""
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
        """Read back what `to_json` wrote, or a result of format 1.

        Raises:
            ValueError: It is of another kind or format, or incomplete.
        """
        from trueshot.evaluation.conversion import converted

        fields = dict(content)
        try:
            if fields.get("format") == 1:
                fields = converted(fields)
            found = fields.pop("kind", None), fields.pop("format", None)
            if found != (KIND, FORMAT):
                raise ValueError(f"result {found}, this version reads {(KIND, FORMAT)} and 1")
            # For a time a file held the sources of its images in the place of groups.
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


def ones_of(flags: Flags) -> str:
    """A character for each image: "1" where a flag is set, else "0"."""
    return "".join("1" if flag else "0" for flag in flags.tolist())


def _ones(flags: str) -> list[bool]:
    return [flag == "1" for flag in flags]


def _read(kind: type[Any], content: Mapping[str, Any]) -> Any:
    fields = {k: v for k, v in content.items() if k not in ("accuracy", "interval95")}
    if isinstance(found := fields.get("broken_by"), Mapping):
        fields["broken_by"] = [found["names"][place] for place in _unpacked(found["images"])]
    return kind(**{k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()})


def _packed(numbers: Sequence[int]) -> str:
    """Small numbers as one short text, for a list of them would be a page."""
    return " ".join(map(str, numbers))


def _unpacked(text: str) -> tuple[int, ...]:
    return tuple(map(int, text.split()))


def save_result(path: Path, result: EvaluationResult) -> None:
    """Write a result, all or nothing."""
    write_json(path, result.to_json())


def load_result(path: Path) -> EvaluationResult:
    """Read a result.

    Raises:
        RunError: The file is missing, damaged, or no result.
    """
    try:
        return EvaluationResult.from_json(json.loads(read_text(path)))
    except (OSError, ValueError, RecursionError, AttributeError, TypeError) as error:
        raise RunError(f"{path}: no result that can be read: {error}") from error


def load_experiments(path: Path) -> tuple[list[EvaluationResult], dict[str, Any]]:
    """Read the results.json of `reproduce`: a result per size and recipe, and examples by size.

    Raises:
        RunError: The file is missing or damaged.
    """
    try:
        content = json.loads(read_text(path))
        results = [EvaluationResult.from_json(result) for result in content["results"]]
        return results, dict(content["examples"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(f"{path}: no results that can be read: {error}") from error
