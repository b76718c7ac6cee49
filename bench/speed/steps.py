"""Cost of a training step: ours, the usual one, and a library's."""

from __future__ import annotations

from collections.abc import Iterator

from speed import examples, usual
from speed.agreement import cosine_of_penalties, difference_of_secure_gradients
from speed.equality import for_check, require_equal
from speed.rows import (
    EXACT,
    FUSED,
    PLAIN,
    USUAL_PLAIN,
    USUAL_SECURE,
    Minibatch,
    minibatch,
    objectives,
    step_calls,
)
from speed.timing import Settings, Times, in_turns, table
from trueshot.training.adversaries import fused

BATCH = 64
_HEAD = ("step", "ms", "× our plain", "× usual plain", "times as fast as usual secure")


def steps(settings: Settings) -> Iterator[str]:
    """Yield a table per size, after checking that the gradients are the same."""
    worst = difference_of_secure_gradients(objectives(BATCH)[EXACT])
    yield (
        f"## Training steps\n\nBatch {BATCH}: gradients of all weights, and a step of Adam. "
        "*Usual*: plain PyTorch, contiguous in memory unless said, with FGSM through the whole "
        "batch. *Fused only*: half of the batch attacked with FGSM, no penalty. Exact and usual "
        "secure gradients, in float64, differ by "
        f"{worst:.0e} of the largest value of a weight."
    )
    for side in settings.sides:
        data = minibatch(side, BATCH)
        same, alike = _share_of_same_levels(data), _cosine(data)
        times = in_turns(step_calls(side, BATCH), settings.seconds, settings.rounds)
        lines = [_line(name, times) for name in times.seconds]
        yield (
            f"### Steps at {side} px\n\n{times.rounds} rounds. Levels that the usual FGSM sets as "
            f"ours does: {100 * same:.2f} %. Cosine of the penalty's gradient by difference with "
            f"the exact one: {alike:.3f}.\n\n{table(_HEAD, lines)}"
        )


def _line(name: str, times: Times) -> list[str]:
    ratios = [times.ratio(name, PLAIN), times.ratio(name, USUAL_PLAIN)]
    faster = times.ratio(USUAL_SECURE, name)
    return [name, f"{times.milliseconds(name):.0f}", *map(str, ratios), str(faster)]


def _cosine(data: Minibatch) -> float:
    penalty = objectives(len(data.images))[EXACT].penalty
    assert penalty is not None
    return cosine_of_penalties(penalty, data.images, data.labels)


def _share_of_same_levels(data: Minibatch) -> float:
    """Return the share of levels that the usual FGSM sets as ours does.

    Raises:
        DisagreementError: The share is below 99 %.
    """
    detector, k = for_check(examples.plainly_trained()), len(data.budgets)
    fusion = objectives(len(data.images))[FUSED].fusion
    assert fusion is not None
    ours = fused(fusion, detector, data.images, data.labels, data.budgets)
    theirs = usual.fused(usual.twin(detector), data.images, data.labels, data.budgets)
    return require_equal("the usual FGSM", ours[:k], theirs[:k])
