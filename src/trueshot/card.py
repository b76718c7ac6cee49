"""The card of a bundle: how to use its detector, what its scores mean, and how well it performs."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, model_validator

from trueshot.calibration import Calibration, Decision, Domain
from trueshot.calibration.intervals import Rate as Rate
from trueshot.calibration.linear_model import LinearModel
from trueshot.tasks import Task, Wording
from trueshot.tasks.recapture import RECAPTURE, words_for
from trueshot.tasks.task import DecisionRule, is_name

if TYPE_CHECKING:
    from trueshot.detector import Detector

FORMAT = 3
READABLE = (1, 2, 3)
"""Format 1 had no contract, calibration, decision, domain or measurements. Format 2 had no graph,
and no task but recapture.
"""

_TRIMMED = 0.2  # same value as in `CropAggregator`
MOST_RATIOS = 100  # per class, in a card


Share = Field(ge=0, le=1)


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class InputContract(_Part):
    """How a photograph becomes a score.

    Args:
        side: Height and width of a crop, at native resolution.
        crops: Maximum number of crops per photograph.
        aggregation: How the scores of the crops are combined, as in `CropAggregator`.
        places: `textured` places the crops where the photograph has texture; `grid` derives their
            places from the photograph's size alone and includes flat ones, so that no change to the
            pixels moves them.
    """

    side: int = Field(ge=16, le=1024)
    crops: int = Field(default=16, ge=1, le=256)
    aggregation: Literal["mean", "median", "trimmed", "max"] = "mean"
    places: Literal["textured", "grid"] = "textured"

    def aggregate(self, scores: NDArray[np.float64]) -> float:
        """Combine scores of crops, shape (n,), n ≥ 1, as `CropAggregator` does with logits."""
        ranked = np.sort(scores)
        count = len(ranked)
        if self.aggregation == "mean":
            return float(scores.mean())
        if self.aggregation == "max":
            return float(ranked[-1])
        left = (count - 1) // 2 if self.aggregation == "median" else int(count * _TRIMMED)
        return float(ranked[left : count - left].mean())


class Likeliest(_Part):
    """How the likeliest of several classes is chosen, or none of them.

    Args:
        temperature: Divisor of the logits before the softmax.
        least: Probability from which the likeliest class is named.
        rejected: Target share of photographs of these classes for which no class is named.
    """

    temperature: FiniteFloat = Field(gt=0)
    least: float = Share
    rejected: float = Share


class RatioSample(_Part):
    """Log10 likelihood ratios of both classes, ascending; at most a hundred quantiles each.

    Args:
        originals: Ratios of photographs of class 0.
        recaptured: Ratios of photographs of any other class.
    """

    originals: tuple[FiniteFloat, ...] = Field(min_length=1, max_length=MOST_RATIOS)
    recaptured: tuple[FiniteFloat, ...] = Field(min_length=1, max_length=MOST_RATIOS)

    @classmethod
    def of(cls, log10_lrs: NDArray[np.float64], labels: NDArray[np.int64]) -> RatioSample:
        """Build the sample from ratios and labels, both of shape (n,); labels are 0 or not 0."""
        sides = (log10_lrs[labels == 0], log10_lrs[labels != 0])
        originals, recaptured = (tuple(_thinned(side).round(3).tolist()) for side in sides)
        return cls(originals=originals, recaptured=recaptured)


def _thinned(values: NDArray[np.float64]) -> NDArray[np.float64]:
    if len(values) <= MOST_RATIOS:
        return np.sort(values)
    return np.quantile(values, (np.arange(MOST_RATIOS) + 0.5) / MOST_RATIOS)


class Measurement(_Part):
    """Results of a detector on one set of photographs.

    Error rates are named as in ISO/IEC 30107-3, with recaptures as the attack presentations.

    Args:
        kind: `clean`: photographs like those used for calibration; `attacked`: with adversarial
            noise; `everyday`: changed as messengers and editors do; `real`: photographs from the
            world, none of which were used for training or calibration.
        name: The photographs or the attack, such as "PGD, ε = 2" or "phone1".
        apcer: Recaptures called original, for the kind of recapture where this share is highest, as
            the standard requires; for all recaptures if their kinds are unknown.
        apcer_by_kind: The same per kind of recapture, such as screen and print; the 20 highest.
        bpcer: Originals called recaptured.
        undecided_originals: Originals that got no verdict.
        undecided_recaptures: Recaptures that got no verdict.
        equal_error_rate: Error rate at the threshold where both errors are equally frequent.
        right: For a task decided by the likeliest class: photographs whose class was named.
        of_none: For such a task: photographs for which no class was named.
        auc: Area under the ROC curve; `count` is the number of photographs of class 1, `total` that
            of all.
        cllr: Cost of the likelihood ratios in bits; 0 is perfect, 1 carries no information.
        cllr_min: The cost after an ideal calibration.
        ratios: The likelihood ratios, thinned out.
        photographs: Number of photographs.
        sources: Number of sources they come from.
        command: The command that measured it.
        note: Remarks that are needed to interpret it.
    """

    kind: Literal["clean", "attacked", "everyday", "real"]
    name: str = Field(max_length=200)
    apcer: Rate | None = None
    apcer_by_kind: dict[str, Rate] = Field(default={}, max_length=20)
    bpcer: Rate | None = None
    undecided_originals: Rate | None = None
    undecided_recaptures: Rate | None = None
    equal_error_rate: Rate | None = None
    auc: Rate | None = None
    right: Rate | None = None
    of_none: Rate | None = None
    cllr: FiniteFloat | None = None
    cllr_min: FiniteFloat | None = None
    ratios: RatioSample | None = None
    photographs: int = Field(ge=1)
    sources: int | None = Field(default=None, ge=1)
    command: str = Field(default="", max_length=1000)
    note: str = Field(default="", max_length=1000)


FEATURES = {
    "texture": ("region", "overall", "highest third", "highest"),
    "lattice": ("luma 1/1 height", "luma 1/2 height", "luma 1/4 height"),
    "context": ("logit",),
}
"""The kinds of evidence and their features; see `inference.evidence`."""

KINDS = tuple(FEATURES)


class EvidenceModel(_Part):
    """How several kinds of evidence about a photograph are combined into one score.

    Args:
        media: Classes of the context network: untouched first, then the kinds of media.
        heads: One linear model per kind of evidence (texture, lattice, context), from its features
            to a value on a common scale; empty until the kinds are joined.
        joint: Linear model from these values to the photograph's score; None until then.
        pieces: Heads that replace those in `heads` if the picture is only a piece of a photograph.
    """

    media: tuple[str, ...] = Field(min_length=2, max_length=100)
    heads: dict[str, LinearModel] = Field(default={}, max_length=10)
    joint: LinearModel | None = None
    pieces: dict[str, LinearModel] = Field(default={}, max_length=10)

    @model_validator(mode="after")
    def _whole(self) -> EvidenceModel:
        for name in self.media:
            if not is_name(name):
                raise ValueError(
                    f"medium {name!r} is not a valid name; use up to 80 letters, digits, spaces or "
                    "._-"
                )
        if (self.joint is None) == bool(self.heads):
            raise ValueError("heads and joint must be given together, or neither")
        if self.heads and set(self.heads) != set(KINDS):
            raise ValueError(f"heads must be {', '.join(KINDS)}, got {', '.join(self.heads)}")
        if not self.pieces.keys() <= self.heads.keys():
            raise ValueError(f"pieces may only have kinds that heads has, of {', '.join(KINDS)}")
        for kind, head in [*self.heads.items(), *self.pieces.items()]:
            if unknown := set(head.features) - set(FEATURES[kind]):
                raise ValueError(
                    f"{kind} has no feature {', '.join(sorted(unknown))}, only "
                    f"{', '.join(FEATURES[kind])}"
                )
        return self


class DataFacts(_Part):
    """A set of photographs.

    Args:
        name: A short description.
        fingerprint: Hash of the hashes of its files and their labels.
        originals: Number of photographs of class 0.
        recaptured: Number of photographs of class 1.
        sources: Number of sources they come from.
        note: Which photographs were left out, or lay outside the set.
    """

    name: str = Field(max_length=200)
    fingerprint: str = Field(max_length=100)
    originals: int = Field(ge=0)
    recaptured: int = Field(ge=0)
    sources: int = Field(ge=0)
    note: str = Field(default="", max_length=1000)


class Card(_Part):
    """The description of a detector in its bundle.

    Args:
        format: Version of this layout.
        network: Name and arguments of the network, as `build_network` takes them.
        offset: See `Detector`.
        scale: See `Detector`.
        classes: Names of the classes in the order of the logits.
        task_name: Name of the task that the detector was trained for.
        decision_rule: As in `Task`.
        wording: Words for verdicts; None derives them from the names of the classes.
        side: Height and width of the crops used in training.
        recipe: Settings of the training run.
        data: Fingerprint of the training data.
        start: Hash of the bundle whose weights training started from, if any.
        versions: Versions of the libraries used in training.
        title: The detector's name, for people.
        task: What the detector decides, in one sentence.
        licence: Licence of the weights.
        contract: How photographs are judged; None for a detector straight after training.
        evidence: How other kinds of evidence are joined with the crops' scores; None if they are
            not.
        calibration: From scores to likelihood ratios.
        decision: From scores to verdicts.
        likeliest: From logits to a class, for a task decided by the likeliest class.
        domain: What the calibration covers; photographs outside it are undecided.
        calibrated_on: The photographs used for calibration, decision and domain.
        measured: Error rates.
        limits: What the detector cannot do, one sentence each.
    """

    format: int = FORMAT
    network: dict[str, Any]
    offset: FiniteFloat = 0.0
    scale: FiniteFloat = Field(default=1.0, gt=0)
    classes: tuple[str, ...] = Field(default=RECAPTURE.classes, min_length=2, max_length=100)
    task_name: str = Field(default=RECAPTURE.name, max_length=100)
    decision_rule: DecisionRule = "against-class-0"
    wording: Wording | None = None
    side: int | None = Field(default=None, ge=16, le=4096)
    recipe: dict[str, Any] | None = None
    data: str | None = None
    start: str | None = None
    versions: dict[str, str] = {}
    title: str = Field(default="", max_length=200)
    task: str = Field(default="", max_length=1000)
    licence: str = Field(default="", max_length=1000)
    contract: InputContract | None = None
    evidence: EvidenceModel | None = None
    calibration: Calibration | None = None
    decision: Decision | None = None
    likeliest: Likeliest | None = None
    domain: Domain | None = None
    calibrated_on: DataFacts | None = None
    measured: tuple[Measurement, ...] = Field(default=(), max_length=200)
    limits: tuple[str, ...] = Field(default=(), max_length=50)

    @model_validator(mode="after")
    def _of_a_task(self) -> Card:
        _ = self.decides  # raises ValueError if the task is not valid
        return self

    @cached_property
    def decides(self) -> Task:
        """The task, without the function that makes its examples."""
        return Task(
            name=self.task_name,
            classes=self.classes,
            decision=self.decision_rule,
            wording=self.wording or words_for(self.classes),
        )

    @property
    def words(self) -> Wording:
        """The words for its verdicts."""
        return self.decides.words

    @classmethod
    def of_task(cls, task: Task, **more: Any) -> Card:
        """Return a card for detectors of a task."""
        return cls(
            classes=task.classes,
            task_name=task.name,
            decision_rule=task.decision,
            wording=task.wording,
            **more,
        )

    def new_detector(self) -> Detector:
        """Build a detector of this architecture with fresh weights.

        Raises:
            RecipeError: The network is not known here, or does not accept these arguments.
        """
        from trueshot.detector import Detector  # reading a card must not need torch
        from trueshot.networks import build_network

        network = build_network({**self.network, "classes": len(self.classes)})
        return Detector(network, offset=self.offset, scale=self.scale, classes=self.classes)

    def verdict(self, score: float) -> str:
        """Return the verdict on a score; without thresholds, its sign decides."""
        if self.decision is not None:
            return self.decision.verdict(score, self.words)
        return self.words.verdicts[score > 0]

    @property
    def thresholds(self) -> tuple[float, float]:
        """Highest score of class 0 and lowest of the others; 0 and 0 if none are calibrated."""
        decision = self.decision
        return (0.0, 0.0) if decision is None else (decision.original_to, decision.recaptured_from)

    @property
    def middle(self) -> float:
        """Score in the middle between the two thresholds."""
        return sum(self.thresholds) / 2

    def log10_lr(self, score: float) -> float | None:
        """Return the bounded log10 likelihood ratio of a score; None without calibration."""
        if self.calibration is None:
            return None
        return float(self.calibration.log10_lr(np.array([score]))[0])

    def log10_lr_interval(self, score: float) -> tuple[float, float] | None:
        """Return the 95 % interval of that ratio; None if the calibration has no intervals."""
        if self.calibration is None:
            return None
        ends = self.calibration.log10_interval(np.array([score]))
        return None if ends is None else (float(ends[0][0]), float(ends[1][0]))

    def input_contract(self) -> InputContract:
        """Return how photographs are judged: the card's contract, or a default for its crop size.

        Raises:
            ValueError: The card does not even give the crop size.
        """
        if self.contract is not None:
            return self.contract
        if self.side is None:
            raise ValueError("its card does not give the size of its crops")
        return InputContract(side=self.side)
