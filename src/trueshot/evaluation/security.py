"""What a suite of attacks has found out about a detector: frozen, JSON in and out.

The worst case counts each image once: it is right only if it was judged rightly without any attack
and no attack of the suite within the budget has broken it. An image that is broken at a budget is
broken at every larger one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from trueshot.errors import RunError
from trueshot.evaluation.metrics import wilson_interval
from trueshot.files import write_json

KIND = "trueshot-security"
FORMAT = 1
WRONG_CLEAN = "clean"  # an image that was wrong before any attack
UNBROKEN = ""

PerClass = tuple[int, int]
"""Counts of originals and of recaptures."""


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One attack at one budget, on the images that were still right when its turn came.

    Some cheap ones are tried at each budget on all images that were right without an attack, so
    that their own figures are known: then `tried` is what was right at budget 0.

    Args:
        attack: Short name.
        threat: Threat model: `linf` and `l2` (levels rounded to a PNG's), or what the file goes
            through: `jpeg-75`, `messenger`, ….
        budget: Levels, in L∞ unless the threat is `l2`.
        settings: The attack in full, as its repr.
        tried: Images attacked, per class.
        broken: Of those judged wrongly afterwards, from the file, per class.
        broken_before_file: Of those judged wrongly in memory, before rounding and saving.
        psnr: Mean over the images tried, in dB, between image and file; None if none was tried.
        ssim: The same, of the first 16 of them.
        calls: Times that the attack asked the detector, and its gradient, about an image: means.
        seconds: All of it took.
    """

    attack: str
    threat: str
    budget: float
    settings: str
    tried: PerClass
    broken: PerClass
    broken_before_file: PerClass
    psnr: float | None = None
    ssim: float | None = None
    calls: tuple[float, float] = (0.0, 0.0)
    seconds: float = 0.0


@dataclass(frozen=True, kw_only=True)
class WorstCase:
    """Images that nothing in the suite has broken at a budget.

    Args:
        threat: As of `Trial`.
        budget: Levels; 0 for no attack.
        right: Right and unbroken, per class: originals, recaptures. The second is the direction
            that matters, a recapture made to look original.
        right_before_file: The same, judged in memory before rounding and saving.
        total: Images, per class.
        broken_by: Per image, in the order of the data set's part: name of the attack that broke
            it first, "" if none has, "clean" if it was wrong without one.
    """

    threat: str
    budget: float
    right: PerClass
    right_before_file: PerClass
    total: PerClass
    broken_by: tuple[str, ...] = ()

    @property
    def accuracy(self) -> float:
        """Share right, both classes together."""
        return sum(self.right) / sum(self.total)

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson interval of the accuracy at 95 %."""
        return wilson_interval(sum(self.right), sum(self.total))


@dataclass(frozen=True, kw_only=True)
class Change:
    """What an everyday change, nobody's attack, does to verdicts at the frozen threshold.

    Args:
        name: `jpeg-75`, `resize-0.5`, `blur-1`, `messenger`, …; `none` for no change.
        settings: In full.
        right: Images judged rightly after it, per class.
        total: Images, per class.
        auc: Of the scores after it.
    """

    name: str
    settings: str
    right: PerClass
    total: PerClass
    auc: float

    @property
    def accuracy(self) -> float:
        """Share right, both classes together."""
        return sum(self.right) / sum(self.total)

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson interval of the accuracy at 95 %."""
        return wilson_interval(sum(self.right), sum(self.total))


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
class SecurityResult:
    """Everything that one suite has found out about one detector on one part of a data set.

    Args:
        suite: `strong`, `file` or `everyday`.
        detector: Its name.
        bundle_sha256: Of the weights that were judged; "" for a detector from elsewhere.
        side: Height and width of the images in pixels.
        part: Part of the split.
        data: Fingerprint of the data set at that size.
        split_by: What the split kept whole.
        seed: Of the attacks.
        auc: Area under the ROC curve, clean.
        threshold: Recapture score, logit of recaptured minus logit of original, above which an
            image counts as recaptured: frozen for the whole suite.
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
    """

    suite: str
    detector: str
    bundle_sha256: str
    side: int
    part: str
    data: str
    split_by: str
    seed: int
    auc: float
    threshold: float = 0.0
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

    @property
    def threats(self) -> list[str]:
        """Threat models, in order."""
        return list(dict.fromkeys(case.threat for case in self.worst))

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

    def to_json(self) -> dict[str, Any]:
        """Everything, with rates and intervals written out for readers of the file."""
        content = {"kind": KIND, "format": FORMAT, **asdict(self)}
        rated: list[WorstCase | Change] = [*self.worst, *self.changes]
        for item, written in zip(rated, [*content["worst"], *content["changes"]], strict=True):
            written |= {"accuracy": item.accuracy, "interval95": item.interval}
        return content

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> SecurityResult:
        """Read back what `to_json` wrote.

        Raises:
            ValueError: It is of another kind or format, or incomplete.
        """
        fields = dict(content)
        found = fields.pop("kind", None), fields.pop("format", None)
        if found != (KIND, FORMAT):
            raise ValueError(f"result {found}, this version reads {(KIND, FORMAT)}")
        kinds: dict[str, type[Any]] = {
            "worst": WorstCase,
            "trials": Trial,
            "changes": Change,
            "doubts": Doubt,
        }
        try:
            for name, kind in kinds.items():
                fields[name] = tuple(_read(kind, item) for item in fields[name])
            fields["examples"] = tuple(fields["examples"])
            fields["notes"] = tuple(fields.get("notes", ()))
            return cls(**fields)
        except (TypeError, KeyError, AttributeError) as error:
            raise ValueError(f"incomplete result: {error}") from error


def _read(kind: type[Any], content: Mapping[str, Any]) -> Any:
    fields = {k: v for k, v in content.items() if k not in ("accuracy", "interval95")}
    return kind(**{k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()})


def save_security_result(path: Path, result: SecurityResult) -> None:
    """Write a result, all or nothing."""
    write_json(path, result.to_json())


def load_security_result(path: Path) -> SecurityResult:
    """Read a result.

    Raises:
        RunError: The file is missing, damaged, or no such result.
    """
    try:
        return SecurityResult.from_json(json.loads(path.read_text("utf-8")))
    except (OSError, ValueError, RecursionError) as error:
        raise RunError(f"{path}: no result that can be read: {error}") from error
