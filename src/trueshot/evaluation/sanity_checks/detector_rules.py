"""Doubts raised by the behaviour and the gradients of a detector, without an attack."""

from __future__ import annotations

from collections.abc import Iterator

from trueshot.evaluation.doubt import Doubt
from trueshot.evaluation.sanity_checks.behaviour import Behaviour
from trueshot.evaluation.sanity_checks.gradients import FAR, NEAR, TURNED, Slopes
from trueshot.evaluation.sanity_checks.significance import more_than, percent
from trueshot.evaluation.tally import Flags

HARDLY_ANY = 0.01  # share of images, for findings that are rare on an honest detector
SOME = 0.1  # share of images, for findings that occur here and there on an honest detector
IGNORED = 0.2  # share of pixels; strides and crops of an honest detector ignore fewer at borders


def noticed_in_behaviour(behaviour: Behaviour) -> Iterator[Doubt]:
    """Yield doubts about outputs that vary between calls, batches or modes, or lie in [0, 1]."""
    if behaviour.random > 0:
        yield _random(behaviour)
    elif behaviour.differs_under_gradient > 0:
        yield Doubt(
            name="differs-under-gradient",
            finding=f"For {percent(behaviour.differs_under_gradient)} of the images the logits "
            "are others while a gradient is being recorded.",
            evidence={"share": behaviour.differs_under_gradient},
        )
    if behaviour.within_unit:
        yield Doubt(
            name="outputs-are-probabilities",
            finding="No output for any image, or for its negative, leaves 0 to 1.",
            evidence={"least": 0.0, "most": 1.0},
        )
    # A random detector gives other outputs in another batch anyway.
    company = behaviour.company if behaviour.random == 0 else 0.0
    if company or behaviour.stays_in_train_mode or behaviour.changing_statistics:
        yield Doubt(
            name="train-mode-statistics",
            finding="In evaluation mode " + "; ".join(_of_train_mode(behaviour, company)) + ".",
            evidence={
                "share_that_depends_on_company": company,
                "modules_in_train_mode": float(behaviour.stays_in_train_mode),
                "buffers_that_change": float(behaviour.changing_statistics),
            },
        )


def noticed_in_slopes(slopes: Slopes) -> Iterator[Doubt]:
    """Yield doubts about gradients, mostly over the images that are classified correctly."""
    right = slopes.right
    if _many(~slopes.finite, HARDLY_ANY):
        yield Doubt(
            name="no-finite-numbers",
            finding=f"Logits or gradients of {_share(~slopes.finite)} of the images are no finite "
            "numbers.",
            evidence={"share": float((~slopes.finite).mean())},
        )
    zero, usual = slopes.zero[right], slopes.zero_usual[right]
    if _many(zero | usual, HARDLY_ANY):
        yield Doubt(
            name="zero-gradients",
            finding=f"Of the images judged rightly, {_share(zero)} have a gradient of the margin "
            f"that is exactly zero or denormal, {_share(usual)} one of cross-entropy.",
            evidence={"margin": float(zero.mean()), "cross_entropy": float(usual.mean())},
        )
    if _many(slopes.flat[right], HARDLY_ANY):
        yield Doubt(
            name="flat-logits",
            finding=f"For {_share(slopes.flat[right])} of the images judged rightly, one level "
            "of noise does not change the margin by a single bit.",
            evidence={"share": float(slopes.flat[right].mean())},
        )
    yield from _noticed_along(slopes, right & ~slopes.zero)


def _noticed_along(slopes: Slopes, where: Flags) -> Iterator[Doubt]:
    """Yield doubts if gradients that are not zero say nothing about the loss."""
    turned = (slopes.cosine.numpy() < TURNED)[where]
    if _many(turned, SOME):
        yield Doubt(
            name="gradient-turns-at-neighbours",
            finding=f"For {_share(turned)} of the images judged rightly, the gradient has a "
            f"cosine below {TURNED:g} with that of neighbours a level away; the median is "
            f"{slopes.cosine[where].median():.2f}.",
            evidence={
                "share": float(turned.mean()),
                "median_cosine": float(slopes.cosine[where].median()),
            },
        )
    near, far = ~slopes.rises_near[where], ~slopes.rises_far[where]
    if _many(near, SOME) or _many(far, SOME):
        yield Doubt(
            name="gradient-misleads",
            finding=f"For {_share(near)} of the images judged rightly the loss is no higher "
            f"{NEAR:g} levels along its gradient than as far against it; for {_share(far)} at "
            f"{FAR:g} level.",
            evidence={"near": float(near.mean()), "far": float(far.mean())},
        )


def noticed_in_sizes(behaviour: Behaviour, ignored: float, read_after_all: bool) -> Iterator[Doubt]:
    """Yield a doubt if a detector resizes its images or ignores many of their pixels.

    Args:
        behaviour: Behaviour of the detector.
        ignored: Share of the pixels that have no gradient on any image.
        read_after_all: Whether changing only these pixels changes a margin.
    """
    unread = IGNORED <= ignored < 1 and not read_after_all
    if not (behaviour.resizes or unread):
        return
    parts = []
    if behaviour.resizes:
        parts.append("images enlarged to twice the size get the scores that they had before")
    if unread:
        parts.append(f"{percent(ignored)} of the pixels are never looked at")
    change = behaviour.same_at_twice_the_size
    evidence = {"ignored_pixels": ignored if unread else 0.0}
    yield Doubt(
        name="silent-resizing",
        finding="; ".join(parts).capitalize() + ".",
        evidence=evidence | ({} if change is None else {"change_at_twice_the_size": change}),
    )


def _random(behaviour: Behaviour) -> Doubt:
    fixed = behaviour.random_from_one_seed > 0
    source = "also from one seed: the random numbers are its own" if fixed else "not from one seed"
    return Doubt(
        name="random-detector",
        finding=f"Two calls give {percent(behaviour.random)} of the images other logits "
        f"({source}), {percent(behaviour.flips)} another verdict.",
        evidence={
            "share": behaviour.random,
            "share_from_one_seed": behaviour.random_from_one_seed,
            "verdicts_that_flip": behaviour.flips,
        },
    )


def _of_train_mode(behaviour: Behaviour, company: float) -> Iterator[str]:
    if company:
        yield f"{percent(company)} of the verdicts depend on the other images of the batch"
    if behaviour.stays_in_train_mode:
        yield f"modules that stay in train mode: {behaviour.stays_in_train_mode}"
    if behaviour.changing_statistics:
        yield f"buffers that inference changes: {behaviour.changing_statistics}"


def _many(flags: Flags, share: float) -> bool:
    return more_than(share, int(flags.sum()), len(flags))


def _share(flags: Flags) -> str:
    return percent(float(flags.mean())) if len(flags) else "none"
