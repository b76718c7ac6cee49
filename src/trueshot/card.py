"""What a bundle says of its detector: how to use it, what its scores mean, how well it does."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, model_validator

from trueshot.calibration import Calibration, Decision, Domain
from trueshot.calibration.linear_model import LinearModel
from trueshot.tasks import Task, Wording
from trueshot.tasks.recapture import RECAPTURE, words_for
from trueshot.tasks.task import DecisionRule

if TYPE_CHECKING:
    from trueshot.detector import Detector

FORMAT = 3
READABLE = (1, 2, 3)
"""1 had no contract, calibration, decision, domain and measurements; 2 had no graph,
and no task but recapture."""

_TRIMMED = 0.2  # as in `CropAggregator`
MOST_RATIOS = 100  # of a class, in a card


Share = Field(ge=0, le=1)


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class InputContract(_Part):
    """How a photograph becomes a score.

    Args:
        side: Height and width of a crop, at native resolution.
        crops: At most so many of a photograph.
        aggregation: How the scores of crops become the photograph's, as in `CropAggregator`.
        places: `textured`: crops lie where there is something to see; `grid`: at places that the
            size of the photograph decides, flat ones among them, so that no change moves them.
    """

    side: int = Field(ge=16, le=1024)
    crops: int = Field(default=16, ge=1, le=256)
    aggregation: Literal["mean", "median", "trimmed", "max"] = "mean"
    places: Literal["textured", "grid"] = "textured"

    def aggregate(self, scores: NDArray[np.float64]) -> float:
        """Scores of crops, shape (n,), n ≥ 1, made one, as `CropAggregator` does with logits."""
        ranked = np.sort(scores)
        count = len(ranked)
        if self.aggregation == "mean":
            return float(scores.mean())
        if self.aggregation == "max":
            return float(ranked[-1])
        left = (count - 1) // 2 if self.aggregation == "median" else int(count * _TRIMMED)
        return float(ranked[left : count - left].mean())


class Rate(_Part):
    """A share with its interval, both in [0, 1], and what it was counted on."""

    value: float = Share
    low: float = Share
    high: float = Share
    count: int = Field(ge=0)
    total: int = Field(ge=1)

    @model_validator(mode="after")
    def _in_order(self) -> Rate:
        if not self.low <= self.value <= self.high or self.count > self.total:
            raise ValueError(f"a rate inside its interval wanted, got {self!r}")
        return self


class Likeliest(_Part):
    """How the likeliest of several classes is named, or none of them.

    Args:
        temperature: By which logits are divided before a softmax makes them probabilities.
        least: Probability from which on the likeliest class is named.
        rejected: Share of photographs of these classes for which none was to be named.
    """

    temperature: FiniteFloat = Field(gt=0)
    least: float = Share
    rejected: float = Share


class RatioSample(_Part):
    """Log10 likelihood ratios of both classes, rising; of many photographs a hundred quantiles.

    Args:
        originals: Of class 0.
        recaptured: Of any other.
    """

    originals: tuple[FiniteFloat, ...] = Field(min_length=1, max_length=MOST_RATIOS)
    recaptured: tuple[FiniteFloat, ...] = Field(min_length=1, max_length=MOST_RATIOS)

    @classmethod
    def of(cls, log10_lrs: NDArray[np.float64], labels: NDArray[np.int64]) -> RatioSample:
        """Those of photographs, shape (n,), as a card holds them; labels are 0 or not."""
        sides = (log10_lrs[labels == 0], log10_lrs[labels != 0])
        originals, recaptured = (tuple(_thinned(side).round(3).tolist()) for side in sides)
        return cls(originals=originals, recaptured=recaptured)


def _thinned(values: NDArray[np.float64]) -> NDArray[np.float64]:
    if len(values) <= MOST_RATIOS:
        return np.sort(values)
    return np.quantile(values, (np.arange(MOST_RATIOS) + 0.5) / MOST_RATIOS)


class Measurement(_Part):
    """What a detector did on one set of photographs.

    Error rates are in the terms of ISO/IEC 30107-3, a recapture being the attack presentation.

    Args:
        kind: `clean`: photographs as those it was calibrated for; `attacked`: under adversarial
            noise; `everyday`: changed as messengers and editors do; `real`: photographs from
            the world, none of which it was trained or calibrated on.
        name: What was judged, such as "PGD, ε = 2" or "phone1".
        apcer: Recaptures called original, of the kind of which most are, as the standard has it;
            of all of them where kinds are not known.
        apcer_by_kind: The same per kind of recapture, such as screen and print; of the 20 worst.
        bpcer: Originals called recaptured.
        undecided_originals: Originals on which no verdict was given.
        undecided_recaptures: Recaptures on which no verdict was given.
        equal_error_rate: Where both errors are equally frequent, over all thresholds.
        right: Of a task that the likeliest class decides: photographs whose class was named.
        of_none: Likewise, photographs for which no class was named.
        auc: Area under the ROC curve; `count` and `total` are photographs of class 1 and of all.
        cllr: Cost of the likelihood ratios in bits; 0 is perfect, 1 is no information.
        cllr_min: The same, were they calibrated perfectly.
        ratios: The ratios themselves, thinned out.
        photographs: How many.
        sources: Of how many sources they come.
        command: What was run to measure it.
        note: What else must be known to read it.
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


KINDS = ("texture", "lattice", "context")
"""Of evidence, see `inference.evidence`."""


class EvidenceModel(_Part):
    """How kinds of evidence about a photograph are made one score.

    Args:
        media: Classes of the context network: untouched first, then kinds of media.
        heads: From the features of a kind of evidence (texture, lattice, context) to what it says,
            on one scale for all; none as long as nothing is joined.
        joint: From what all kinds say to the score of the photograph; None likewise.
        pieces: Heads that take the place of others where a picture is a piece of a photograph.
    """

    media: tuple[str, ...] = Field(min_length=2, max_length=100)
    heads: dict[str, LinearModel] = Field(default={}, max_length=10)
    joint: LinearModel | None = None
    pieces: dict[str, LinearModel] = Field(default={}, max_length=10)

    @model_validator(mode="after")
    def _whole(self) -> EvidenceModel:
        if (self.joint is None) == bool(self.heads):
            raise ValueError("heads of the kinds of evidence and a joint model, or neither, wanted")
        if self.heads and set(self.heads) != set(KINDS):
            raise ValueError(f"heads of {', '.join(KINDS)} wanted, got {', '.join(self.heads)}")
        if not self.pieces.keys() <= self.heads.keys():
            raise ValueError(f"heads of pieces are of {', '.join(KINDS)}, where there are others")
        return self


class DataFacts(_Part):
    """A set of photographs.

    Args:
        name: What it is, in a few words.
        fingerprint: Hash over the hashes of its files and their labels.
        originals: Photographs of class 0.
        recaptured: Photographs of class 1.
        sources: Of how many sources they come.
        note: What was left out, and what lay beside them.
    """

    name: str = Field(max_length=200)
    fingerprint: str = Field(max_length=100)
    originals: int = Field(ge=0)
    recaptured: int = Field(ge=0)
    sources: int = Field(ge=0)
    note: str = Field(default="", max_length=1000)


class Card(_Part):
    """What a bundle says of itself.

    Args:
        format: Version of this layout.
        network: Name and arguments of the network, as `build_network` takes them.
        offset: See `Detector`.
        scale: See `Detector`.
        classes: Names of the classes in the order of the logits.
        task_name: Name of the task that it was trained for.
        decision_rule: As of `Task`.
        wording: Words of its verdicts, if they are not those made of the names of its classes.
        side: Height and width of the crops that it was trained on.
        recipe: The settings of the training run.
        data: Fingerprint of the data set that it was trained on.
        start: Hash of the bundle whose weights the training began with, if it was one.
        versions: Libraries that it was trained with.
        title: The detector's name, for people.
        task: What it decides, in a sentence.
        licence: Of the weights.
        contract: How photographs are judged; None for a detector as training leaves it.
        evidence: What else a photograph is judged by, beside the scores of its crops.
        calibration: From scores to likelihood ratios.
        decision: From scores to verdicts.
        likeliest: From logits to a class, for a task that the likeliest decides.
        domain: What was calibrated for; whatever lies outside is undecided.
        calibrated_on: The photographs of calibration, decision and domain.
        measured: Error rates.
        limits: What it cannot do, a sentence each.
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
        _ = self.decides  # a ValueError where there is no such task
        return self

    @cached_property
    def decides(self) -> Task:
        """The task, without what makes its examples."""
        return Task(
            name=self.task_name,
            classes=self.classes,
            decision=self.decision_rule,
            wording=self.wording or words_for(self.classes),
        )

    @property
    def words(self) -> Wording:
        """The words of its verdicts."""
        return self.decides.words

    @classmethod
    def of_task(cls, task: Task, **more: Any) -> Card:
        """A card for detectors of a task."""
        return cls(
            classes=task.classes,
            task_name=task.name,
            decision_rule=task.decision,
            wording=task.wording,
            **more,
        )

    def new_detector(self) -> Detector:
        """A detector of this architecture with fresh weights.

        Raises:
            RecipeError: The network is not known here, or does not take these arguments.
        """
        from trueshot.detector import Detector  # a card is read without torch
        from trueshot.networks import build_network

        network = build_network({**self.network, "classes": len(self.classes)})
        return Detector(network, offset=self.offset, scale=self.scale, classes=self.classes)

    def verdict(self, score: float) -> str:
        """What a score means; without thresholds its sign decides."""
        if self.decision is not None:
            return self.decision.verdict(score, self.words)
        return self.words.verdicts[score > 0]

    def log10_lr(self, score: float) -> float | None:
        """The bounded log10 likelihood ratio of a score; None without calibration."""
        if self.calibration is None:
            return None
        return float(self.calibration.log10_lr(np.array([score]))[0])

    def log10_lr_interval(self, score: float) -> tuple[float, float] | None:
        """Ends of the 95 % interval of that ratio; None where the calibration knows none."""
        if self.calibration is None:
            return None
        ends = self.calibration.log10_interval(np.array([score]))
        return None if ends is None else (float(ends[0][0]), float(ends[1][0]))

    def input_contract(self) -> InputContract:
        """How photographs are judged: as the card says, else all that follows from its crops.

        Raises:
            ValueError: The card does not even say the size of a crop.
        """
        if self.contract is not None:
            return self.contract
        if self.side is None:
            raise ValueError("it does not say the size of its crops")
        return InputContract(side=self.side)
