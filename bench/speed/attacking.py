"""Cost of attacks: ours and other libraries', on one detector and one batch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from speed import examples, libraries
from speed.elsewhere import measure_elsewhere
from speed.equality import for_check, require_equal, success
from speed.timing import Settings, Times, in_turns, table
from trueshot.attacks import FGSM, PGD, Attack, Loss, perturb
from trueshot.bundle import load_bundle
from trueshot.datasets import Dataset
from trueshot.detector import Detector

BUDGET, STEPS, BATCH = 2.0, 10, 128
LARGEST = 128  # px
EXIT = "with early exit"
_HEAD = ("attack", "ms", "× trueshot", "success %", "same levels %")


def attacks(settings: Settings) -> Iterator[str]:
    """Yield a table per size, after checking that all attacks give the same result."""
    detector = _detector(settings)
    yield (
        f"## Attacks\n\nε = {BUDGET:g} levels: FGSM, and PGD in {STEPS} steps of ε/4, without "
        f"random start. The detector, in evaluation mode, {_origin(settings)} Success: share of "
        "images judged wrongly afterwards. Same levels: share of the levels that are set as by "
        "trueshot, on a copy of the detector that is not folded and not saturated. torchattacks, "
        "if it is there, is timed in a process of its own, beside trueshot in that process."
    )
    for side in _sides(settings):
        yield _section(settings, side, detector)


def _section(settings: Settings, side: int, detector: Detector) -> str:
    images, labels = _images(side, settings)
    same = _require_same(for_check(detector), images, labels)
    elsewhere = _elsewhere(settings, detector, images, labels)
    calls = _ours(detector, images, labels) | _theirs(detector, images, labels)
    results = {name: call() for name, call in calls.items()}
    times = in_turns(calls, settings.seconds, settings.rounds)
    lines = [
        _line(name, times, success(detector, attacked, labels), same.get(name))
        for name, attacked in results.items()
    ]
    lines = sorted(lines + elsewhere, key=_order)
    before = 100 * success(detector, images, labels)
    return (
        f"### Attacks on {len(images)} images of {side} px\n\n{times.rounds} rounds. Judged "
        f"wrongly before: {before:.1f} %.\n\n{table(_HEAD, lines)}"
    )


def _order(line: list[str]) -> tuple[str, bool]:
    """Sort key: by attack, ours first."""
    attack, _, library = line[0].partition(", ")
    return attack, library != "trueshot"


def _ours(
    detector: Detector, images: Tensor, labels: Tensor, loss: Loss = "margin"
) -> dict[str, libraries.Attacking]:
    pgd = PGD(budget=BUDGET, steps=STEPS, loss=loss)
    attacks: dict[str, Attack] = {
        "FGSM": FGSM(budget=BUDGET),
        "PGD": pgd,
        f"PGD {EXIT}": replace(pgd, early_exit=True),
    }
    return {
        f"{name}, trueshot": partial(perturb, attack, detector, images, labels)
        for name, attack in attacks.items()
    }


def _theirs(detector: Detector, images: Tensor, labels: Tensor) -> dict[str, libraries.Attacking]:
    return {
        **libraries.foolbox_attacks(detector, images, labels, BUDGET, STEPS),
        **libraries.art_attacks(detector, images, labels, BUDGET, STEPS),
    }


def _reference(name: str) -> str:
    """Return the name of the row that this one is compared with."""
    return "FGSM, trueshot" if name.startswith("FGSM") else "PGD, trueshot"


def _require_same(detector: Detector, images: Tensor, labels: Tensor) -> dict[str, float]:
    """Return the share of levels that each foreign attack sets as ours does with the same loss.

    Raises:
        DisagreementError: The share is below 99 %.
    """
    ours = _ours(detector, images, labels, loss="cross_entropy")
    results = {name: ours[name]() for name in ("FGSM, trueshot", "PGD, trueshot")}
    return {
        name: require_equal(name, results[_reference(name)], call())
        for name, call in _theirs(detector, images, labels).items()
    }


def _line(name: str, times: Times, successes: float, same: float | None) -> list[str]:
    return [
        name,
        f"{times.milliseconds(name):.0f}",
        str(times.ratio(name, _reference(name))),
        f"{100 * successes:.1f}",
        "" if same is None else f"{100 * same:.2f}",
    ]


def _elsewhere(
    settings: Settings, detector: Detector, images: Tensor, labels: Tensor
) -> list[list[str]]:
    """Return the rows of torchattacks, with ratios to our times in the same process."""
    if settings.torchattacks is None:
        return []
    found = measure_elsewhere(settings, detector, images, labels, BUDGET, STEPS)
    times = Times(found["seconds"])
    return [_line(name, times, *scores) for name, scores in found["scores"].items()]


def _detector(settings: Settings) -> Detector:
    if settings.detector is None:
        return examples.plainly_trained()
    detector, _ = load_bundle(settings.detector)
    detector.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return detector


def _origin(settings: Settings) -> str:
    if settings.detector is None:
        return (
            f"is an LCNN after {examples.STEPS} plain steps on images made by rule, of "
            f"{examples.SIDE} px: soft pictures, the second class with a faint grid of pixels."
        )
    return f"is {settings.detector.name}, on the test part of {settings.dataset}."


def _sides(settings: Settings) -> list[int]:
    sides = [side for side in settings.sides if side <= LARGEST]
    if settings.dataset is None:
        return sides
    return [side for side in sides if side in Dataset.open(settings.dataset).sides]


def _images(side: int, settings: Settings) -> tuple[Tensor, Tensor]:
    if settings.dataset is None:
        return examples.levels(BATCH, side, seed=4)
    return Dataset.open(settings.dataset).part(side, "test").drawn(BATCH // 2).batch(slice(None))
