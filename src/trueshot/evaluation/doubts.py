"""Named reasons why a good robustness figure may be false; each has a page under docs/doubts.

A doubt proves nothing against a detector. It says that attacks did not behave as they do on an
honest detector, so the figure may measure their failure instead of the detector's strength.
Differences count only if chance does not explain them (`sanity_checks.significance`).
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from trueshot.attacks.base import check_labels
from trueshot.detector import Detector
from trueshot.evaluation.doubt import MEANINGS, Doubt
from trueshot.evaluation.result import EvaluationResult
from trueshot.evaluation.sanity_checks.behaviour import behaviour_of, reads
from trueshot.evaluation.sanity_checks.detector_rules import (
    noticed_in_behaviour,
    noticed_in_sizes,
    noticed_in_slopes,
)
from trueshot.evaluation.sanity_checks.gradients import gives_gradient, slopes_of
from trueshot.evaluation.sanity_checks.outcomes import (
    beaten_certificates,
    compared,
    noticed_in_figures,
    one_verdict,
    outcomes_of_panel,
    outcomes_of_result,
)
from trueshot.evaluation.sanity_checks.panel import Make, run_panel
from trueshot.evaluation.sanity_checks.random_numbers import random_numbers_from

FEWEST = 30
"""Minimum number of scenes or photographs with correctly classified images for a panel; with fewer,
losing even a third of them can be chance."""
_MOST_BUDGETS = 3


def investigate(
    detector: Detector,
    images: Tensor,
    labels: Tensor,
    *,
    budgets: Sequence[float] = (1.0, 2.0, 5.0),
    seed: int = 0,
    unusual: Sequence[Make] = (),
    groups: Sequence[int] = (),
) -> tuple[Doubt, ...]:
    """Probe a detector for signs that attacks fail on it for other reasons than its robustness.

    This takes about 400 gradients and 650 calls per image: under a minute for 100 crops of 64 px on
    one core.

    Args:
        detector: The detector; it predicts in evaluation mode and is left unchanged.
        images: Whole levels as read from files, shape (n, 3, h, w); about 50 to 200 images, which
            need not be classified correctly.
        labels: True classes, shape (n,).
        budgets: L∞ budgets in levels. Of more than three, the smallest, the middle and the largest
            are used.
        seed: Seed of all random numbers.
        unusual: Factories of further attacks that do not follow the detector's gradient, such as
            transfer from another detector; each takes a budget:
            `lambda budget: Transfer(attack=PGD(budget=budget), source=other, name="other")`.
        groups: Number of the scene or photograph of each image; by default each image has its own.

    Returns:
        Doubts in a fixed order; none for an honest detector.

    Raises:
        ValueError: There are no images or no budgets, a budget is not above 0, or a label is not a
            class of the detector.
    """
    if not len(images) or not budgets or min(budgets) <= 0:
        raise ValueError(
            f"at least one image and only budgets above 0 are needed, got {len(images)} images "
            f"and budgets {budgets}"
        )
    check_labels(detector, images, labels)
    tried = sorted({float(budget) for budget in budgets})
    if len(tried) > _MOST_BUDGETS:
        tried = [tried[0], tried[len(tried) // 2], tried[-1]]
    with random_numbers_from(seed, images.device):
        gradient = gives_gradient(detector, images)
        behaviour = behaviour_of(detector, images, labels, seed)
        slopes = slopes_of(detector, images, labels, seed) if gradient else None
        panel = run_panel(
            detector, images, labels, budgets=tried, seed=seed, gradient=gradient, unusual=unusual
        )
    ignored, read = 0.0, False
    if slopes is not None:
        ignored = float(slopes.ignored.double().mean())
        read = reads(detector, images, labels, slopes.ignored)
    found = [
        *([] if gradient else [_NO_GRADIENT]),
        *noticed_in_behaviour(behaviour),
        *(noticed_in_slopes(slopes) if slopes else []),
        *noticed_in_sizes(behaviour, ignored, read),
        *(compared(outcomes_of_panel(panel)) if gradient else []),
        *([one_verdict(len(images))] if behaviour.one_verdict else []),
    ]
    number = list(groups) or list(range(len(images)))
    right = {number[place] for place in (~panel.wrong).nonzero()[0].tolist()}
    if len(right) < FEWEST:
        found.append(_too_few(len(right)))
    return tuple(sorted(found, key=lambda doubt: list(MEANINGS).index(doubt.name)))


def doubts_of(result: EvaluationResult) -> tuple[Doubt, ...]:
    """Find the doubts that the figures of a result raise, without the detector.

    Args:
        result: Result of any suite.

    Returns:
        Doubts in a fixed order. Attacks are compared only if they were tried on the same images.
        Where only counts of broken images are known, the least significant case is assumed.
    """
    found = [*compared(outcomes_of_result(result)), *noticed_in_figures(result)]
    found += beaten_certificates(result)
    return tuple(sorted(found, key=lambda doubt: list(MEANINGS).index(doubt.name)))


_NO_GRADIENT = Doubt(
    name="no-gradients",
    finding="No gradient leads from the logits to the images; attacks along it were not tried.",
)


def _too_few(right: int) -> Doubt:
    return Doubt(
        name="too-few-images",
        finding=f"images of {right} scenes or photographs are judged rightly; with fewer than "
        f"{FEWEST} no attack could be told from another, and that other doubts are missing means "
        "nothing.",
        evidence={"right": float(right)},
    )
