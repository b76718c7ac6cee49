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
from trueshot.evaluation.result import Doubt, EvaluationResult
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

NAMES = {
    "one-step-beats-iterative": "One step breaks more images than many: the gradient is bent, and "
    "the iterative attack got stuck.",
    "accuracy-rises-with-budget": "A larger budget includes every smaller one: an attack that "
    "breaks fewer images with more budget did not search it properly.",
    "large-budget-does-not-reach-chance": "With a budget large enough to make all images the same, "
    "a working attack leaves no more than chance accuracy.",
    "black-box-beats-white-box": "An attack without gradients breaks images that gradient attacks "
    "miss: the gradient is hidden.",
    "more-iterations-still-help": "Four times as many steps break more images: the figure comes "
    "from an attack that was stopped too early.",
    "random-start-helps": "From a random start the same attack breaks more images: the gradient is "
    "masked at the images themselves.",
    "zero-gradients": "Where the gradient is zero, gradient attacks do not move, however good or "
    "bad the detector is.",
    "flat-logits": "Noise of one level does not change the margin at all: attacks that only query "
    "the detector learn nothing.",
    "no-gradients": "No gradient reaches the image: only attacks without gradients were tried, "
    "and the true worst case is lower.",
    "no-finite-numbers": "Logits or gradients that are not finite numbers stop our attacks, but "
    "not an attacker.",
    "attacked-above-clean": "More images are classified correctly under attack than without: the "
    "noise tells the detector the label.",
    "gradient-turns-at-neighbours": "One level away, the gradient points in another "
    "direction: it is shattered, and steps along it lead nowhere.",
    "gradient-misleads": "The loss does not rise along its gradient: the gradient is not the "
    "slope.",
    "differs-under-gradient": "While a gradient is recorded, the detector gives other outputs: the "
    "detector that is attacked is not the one that judges.",
    "random-detector": "Two calls give different outputs: an attack on one draw misses the next, "
    "so an attack that averages over draws is needed.",
    "train-mode-statistics": "A verdict depends on other images or changes with use: the figures "
    "hold for these batches only.",
    "silent-resizing": "The detector does not look at the pixels that it is given: the figures at "
    "this size are those of another size.",
    "attack-lost-by-rounding": "The attack worked, but rounding to whole levels undid it: a "
    "stronger attack that allows for the rounding is needed.",
    "outputs-are-probabilities": "Outputs that never leave the range 0 to 1 are not logits: the "
    "verdict is taken at the wrong threshold, and gradients vanish where the detector is sure.",
    "one-verdict-for-all": "A detector that gives every image the same verdict is right for one "
    "class and cannot be attacked there: the figure is the share of that class.",
    "attack-beats-certificate": "A change within the certified radius made a verdict wrong: the "
    "proof, or its code, is wrong.",
    "too-few-images": "The interval is too wide to rely on the figure, or for other doubts to "
    "show.",
}
"""Meaning of each doubt in a sentence; the same text as on its page."""

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
    return tuple(sorted(found, key=lambda doubt: list(NAMES).index(doubt.name)))


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
    return tuple(sorted(found, key=lambda doubt: list(NAMES).index(doubt.name)))


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
