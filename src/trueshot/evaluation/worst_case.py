"""The worst case of each image over many attacks, in a cascade of cheap and strong attacks first.

An image that an attack has broken at a budget counts as broken at every larger one, because its
attacked version lies within that budget too. So budgets increase, and no image is broken twice.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from trueshot.attacks import Attack, Norm, as_filed, counted, perturb
from trueshot.datasets import Part
from trueshot.detector import Detector, evaluating
from trueshot.engines.engine import Course, Request, gather
from trueshot.engines.pool import Answer
from trueshot.errors import RunError
from trueshot.evaluation.sanity_checks.random_numbers import random_numbers_from
from trueshot.evaluation.tally import (
    CLEAN,
    UNBROKEN,
    Counts,
    Flags,
    Trial,
    WorstCase,
    flags_of,
    ones_of,
)
from trueshot.files import Journal
from trueshot.pixels import psnr, ssim
from trueshot.progress import Advance

LOW_ENOUGH = 0.05  # accuracy at which larger budgets are not tried any more
_MOST_PSNR = 100.0  # PSNR of an unchanged image, so that the mean is finite
_SSIM_IMAGES = 16  # images per trial, because SSIM is slower than many attacks

Channel = Callable[[Tensor], Tensor]
"""Maps the levels in a file to the levels that arrive; acts on each image by itself."""

On = Literal["survivors", "right", "all"]


@dataclass(frozen=True, kw_only=True)
class Step:
    """An attack of a suite.

    Args:
        name: Short name, for tables.
        make: Factory that returns the attack at a budget.
        wants_gradient: Whether the attack needs the gradient of the evaluated detector.
        on: Images to try: `survivors` (not broken by an earlier attack), `right` (right without an
            attack) or `all`. With the last two, the accuracy under this attack alone is known.
        far: Whether it is also tried at the far budgets, where only the curve is of interest.
        budgets: The only budgets at which it is tried; None means all of the threat model.
        origin: Where the code comes from, if it is the user's; `settings` includes it.
        target: Class that the attack aims for; images called so are counted.
    """

    name: str
    make: Callable[[float], Attack]
    wants_gradient: bool = True
    on: On = "survivors"
    far: bool = False
    budgets: tuple[float, ...] | None = None
    origin: str = ""
    target: int | None = None

    def settings(self, attack: Attack) -> str:
        """Return all settings of an attack of this step as text."""
        return f"{attack!r} of {self.origin}" if self.origin else repr(attack)


@dataclass(frozen=True, kw_only=True)
class Threat:
    """A threat model: the attacks, their budgets, and the channel that attacked images pass.

    Args:
        name: See `Trial.threat`.
        steps: The attacks, in the order in which they are tried.
        budgets: In levels of `norm`, increasing.
        far_budgets: Larger budgets, tried with the `far` steps only until accuracy is at most 5 %.
        channel: Channel that the saved image passes; None for a PNG, which changes nothing.
        norm: Norm of the budgets.

    Raises:
        ValueError: The budgets are not positive and increasing.
    """

    name: str
    steps: tuple[Step, ...]
    budgets: tuple[float, ...]
    far_budgets: tuple[float, ...] = ()
    channel: Channel | None = None
    norm: Norm = "linf"

    def __post_init__(self) -> None:
        budgets = (0.0, *self.budgets, *self.far_budgets)
        if any(low >= high for low, high in pairwise(budgets)):
            raise ValueError(f"{self.name}: budgets must be above 0 and increase, got {budgets}")

    @property
    def plan(self) -> list[tuple[float, tuple[Step, ...]]]:
        """Budgets in increasing order, each with its attacks."""
        far = tuple(step for step in self.steps if step.far)
        beyond = [(budget, far) for budget in self.far_budgets if far]
        near = [
            (b, tuple(s for s in self.steps if s.budgets is None or b in s.budgets))
            for b in self.budgets
        ]
        return [*near, *beyond]


@dataclass(frozen=True, kw_only=True)
class ThreatResult:
    """The result of one threat model: worst cases in order of budget, and all trials."""

    worst: tuple[WorstCase, ...]
    trials: tuple[Trial, ...]


@dataclass(frozen=True, kw_only=True)
class Evaluator:
    """A detector and the images that it is evaluated on.

    Args:
        detector: The detector; it predicts in evaluation mode, and its own mode is restored.
        part: The images.
        device: Device to compute on.
        batch: Number of images per batch; does not change the result, unless the detector draws
            random numbers: each batch is judged from the same seed.
        seed: Seed of the detector's own random numbers, if it draws any.
    """

    detector: Detector
    part: Part
    device: str | torch.device = "cpu"
    batch: int = 128
    seed: int = 0

    def batches(self, places: npt.NDArray[np.int64]) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield levels and labels of the images at the indices `places`, in batches."""
        for start in range(0, len(places), self.batch):
            yield self.part.batch(places[start : start + self.batch], self.device)

    def everything(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield levels and labels of all images, in batches."""
        return self.batches(np.arange(len(self.part)))

    @torch.no_grad()
    def logits(self, images: Tensor) -> Tensor:
        """Compute the logits of the detector, shape (n, classes).

        Raises:
            RunError: A logit is not finite.
        """
        with evaluating(self.detector), random_numbers_from(self.seed, images.device):
            logits: Tensor = self.detector(images)
        if not bool(torch.isfinite(logits).all()):
            raise RunError("the detector returned logits that are not finite")
        return logits

    def is_random(self) -> bool:
        """Whether repeated calls give different logits, with the same seed or with another one."""
        images, _ = self.part.batch(slice(0, 4), self.device)
        again = replace(self, seed=self.seed + 1)
        said = [self.logits(images), self.logits(images), again.logits(images)]
        return not all(torch.equal(said[0], other) for other in said[1:])

    def wrong(self, images: Tensor, labels: Tensor) -> Flags:
        """Return which images the detector misclassifies, shape (n,)."""
        found: Flags = (self.logits(images).argmax(1) != labels).cpu().numpy()
        return found

    def per_class(self, flags: Flags) -> Counts:
        """Count the flagged images of each class."""
        classes = len(self.detector.classes)
        return tuple(np.bincount(self.part.labels[flags], minlength=classes).tolist())

    @property
    def total(self) -> Counts:
        """Number of images of each class."""
        return self.per_class(np.ones(len(self.part), bool))


def score(logits: Tensor) -> Tensor:
    """Compute the log odds that an image is not of class 0 (untouched): float64, shape (n,)."""
    exact = logits.double()
    return exact[:, 1:].logsumexp(1) - exact[:, 0]


def area_under_curve(scores: npt.NDArray[np.float64], labels: npt.NDArray[np.int64]) -> float:
    """Compute the area under the ROC curve for class 0 against all other classes.

    This is the share of pairs, one image of class 0 and one of another class, that the scores rank
    correctly; ties count half.

    Args:
        scores: Scores, shape (n,); higher means more likely not class 0.
        labels: Classes, shape (n,); class 0 and another class must occur.
    """
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(labels > 0, scores))


def work(evaluator: Evaluator, threat: Threat) -> int:
    """Return the number of images that `worst_cases` reports to `advance` in total."""
    return len(evaluator.part) * (1 + sum(len(steps) for _, steps in threat.plan))


def worst_cases(
    evaluator: Evaluator, threat: Threat, journal: Journal, advance: Advance
) -> Course[ThreatResult]:
    """Try to break every image at every budget, in increasing order.

    Args:
        evaluator: Detector and images.
        threat: The threat model.
        journal: Journal of finished trials. A trial is reused if everything it depends on is the
            same: the journal's key, the threat model with its channel, the attack with its
            settings, the images.
        advance: Called with the number of images done; in total `work(evaluator, threat)`.

    Returns:
        A course, whose requests `attack_group` answers, in any process. It ends with the worst
        cases at budget 0 and at each budget, and the trials. Before the file, an image counts as
        broken if any attack tried on it broke it in memory. If the file is a plain PNG, a break in
        the file counts there too, because the same levels could be set in memory.
    """
    names, in_memory = _clean(evaluator, threat.channel)
    advance(len(evaluator.part), f"{threat.name} clean")
    right = names == UNBROKEN
    tried_on: dict[On, Callable[[], Flags]] = {
        "survivors": lambda: names == UNBROKEN,
        "right": lambda: right,
        "all": lambda: np.ones_like(right),
    }
    worst = [_worst_case(evaluator, threat.name, 0.0, names, in_memory)]
    trials: list[Trial] = []
    for budget, steps in threat.plan:
        if budget in threat.far_budgets and worst[-1].accuracy <= LOW_ENOUGH:
            advance(len(evaluator.part) * len(steps), "")
            continue
        for step in steps:
            tried = tried_on[step.on]()
            trial = yield from _trial(evaluator, threat, step, budget, tried, journal, advance)
            if trial is None:
                continue
            trials.append(trial)
            names[trial.was_broken & (names == UNBROKEN)] = step.name
            in_memory |= trial.was_broken_before_file
            if threat.channel is None:
                in_memory |= trial.was_broken
        worst.append(_worst_case(evaluator, threat.name, budget, names, in_memory))
    return ThreatResult(worst=tuple(worst), trials=tuple(trials))


def _clean(evaluator: Evaluator, channel: Channel | None) -> tuple[npt.NDArray[np.str_], Flags]:
    """Judge the clean images; return CLEAN or UNBROKEN for each, and which are wrong in memory."""
    in_memory, arrived = [], []
    for images, labels in evaluator.everything():
        in_memory.append(evaluator.wrong(images, labels))
        arrived.append(
            in_memory[-1] if channel is None else evaluator.wrong(channel(images), labels)
        )
    names = np.where(np.concatenate(arrived), CLEAN, UNBROKEN).astype("<U64")
    return names, np.concatenate(in_memory)


def _worst_case(
    evaluator: Evaluator,
    threat: str,
    budget: float,
    names: npt.NDArray[np.str_],
    in_memory: Flags,
) -> WorstCase:
    return WorstCase(
        threat=threat,
        budget=budget,
        right=evaluator.per_class(names == UNBROKEN),
        right_before_file=evaluator.per_class(~in_memory),
        total=evaluator.total,
        broken_by=tuple(names.tolist()),
        flags_before_file=ones_of(~in_memory),
    )


def _trial(
    evaluator: Evaluator,
    threat: Threat,
    step: Step,
    budget: float,
    tried: Flags,
    journal: Journal,
    advance: Advance,
) -> Course[Trial | None]:
    """Take a trial from the journal, or run it; None if there is no image to attack."""
    if not tried.any():
        advance(len(evaluator.part), "")
        return None
    attack = step.make(budget)
    names: dict[str, Any] = {"threat": threat.name, "attack": step.name}
    names["settings"] = step.settings(attack)
    names["channel"] = repr(threat.channel)
    if step.target is not None:
        names["target"] = step.target
    for record in journal.records:
        if names.items() <= record.items():
            found = _from_record(record)
            if np.array_equal(found.was_tried, tried):
                advance(len(evaluator.part), "")
                return found
    trial = yield from _attack(evaluator, threat, step, attack, budget, tried, advance)
    journal.append({**asdict(trial), "channel": names["channel"]})
    advance(len(evaluator.part) - int(tried.sum()), "")
    return trial


def _from_record(record: dict[str, Any]) -> Trial:
    fields: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in record.items()}
    del fields["channel"]
    return Trial(**fields)


def _attack(
    evaluator: Evaluator,
    threat: Threat,
    step: Step,
    attack: Attack,
    budget: float,
    tried: Flags,
    advance: Advance,
) -> Course[Trial]:
    """Attack images in batches, and combine the answers into a trial."""
    places = np.flatnonzero(tried)
    shared = {"threat": threat.name, "step": threat.steps.index(step), "budget": budget}
    requests = [
        Request({**shared, "first": first, "places": places[first:][: evaluator.batch].tolist()})
        for first in range(0, len(places), evaluator.batch)
    ]
    note = f"{threat.name} {step.name} {budget:g}"
    answers = yield from gather(
        requests, lambda request: advance(len(request.content["places"]), note)
    )
    broken, broken_before_file, reached = (np.zeros_like(tried) for _ in range(3))
    broken[places] = _joined(answers, "broken")
    broken_before_file[places] = _joined(answers, "broken_before_file")
    reached[places] = _joined(answers, "reached")
    calls = np.sum([answer.content["calls"] for answer in answers], 0) / len(places)
    return Trial(
        attack=step.name,
        threat=threat.name,
        budget=budget,
        settings=step.settings(attack),
        tried=evaluator.per_class(tried),
        broken=evaluator.per_class(broken),
        broken_before_file=evaluator.per_class(broken_before_file),
        psnr=float(np.mean(_joined(answers, "psnr"))),
        ssim=float(np.mean(_joined(answers, "ssim"))),
        calls=(float(calls[0]), float(calls[1])),
        seconds=round(sum(answer.content["seconds"] for answer in answers), 3),
        flags=flags_of(tried, broken, broken_before_file, reached),
        target=step.target,
    )


def _joined(answers: Sequence[Answer], name: str) -> list[Any]:
    return [each for answer in answers for each in answer.content[name]]


def attack_group(evaluator: Evaluator, threat: Threat, asked: Mapping[str, Any]) -> Answer:
    """Attack a batch of images, round them, send them through the channel and judge the result.

    Args:
        evaluator: Detector and images.
        threat: Threat model of the attack.
        asked: `step`, the index of the attack in the threat model; `budget`; `places`, the indices
            of the images; `first`, how many images of the trial precede this batch.

    Returns:
        Per image `broken`, `broken_before_file`, `reached` (whether it is called the attack's
        target class, if it has one) and `psnr`; `ssim` of the first images of the trial; the sums
        of `calls`, forward and backward; and `seconds`.
    """
    started = time.monotonic()
    step = threat.steps[asked["step"]]
    attack = step.make(asked["budget"])
    images, labels = evaluator.part.batch(np.array(asked["places"]), evaluator.device)
    with counted(len(images)) as calls:
        attacked = perturb(attack, evaluator.detector, images, labels)
    filed = as_filed(attack, images, attacked)
    arrived = filed if threat.channel is None else threat.channel(filed)
    called = evaluator.logits(arrived).argmax(1)
    broken = (called != labels).cpu().numpy()
    target = -1 if step.target is None else step.target
    same = arrived.shape == attacked.shape and torch.equal(arrived, attacked)
    seen = arrived if arrived.shape == images.shape else filed
    few = max(0, _SSIM_IMAGES - asked["first"])
    content = {
        "broken": broken.tolist(),
        "broken_before_file": (broken if same else evaluator.wrong(attacked, labels)).tolist(),
        "reached": (called == target).tolist(),
        "psnr": psnr(images, seen).clamp(max=_MOST_PSNR).tolist(),
        "ssim": ssim(images[:few], seen[:few]).tolist() if few else [],
        "calls": [int(calls.forward.sum()), int(calls.backward.sum())],
        "seconds": time.monotonic() - started,
    }
    return Answer(content, {})
