"""What everyday changes, nobody's attack, do to verdicts at the frozen threshold."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from torch import Tensor

from trueshot.channels import EVERYDAY, Channel
from trueshot.evaluation.evaluator import Evaluator
from trueshot.evaluation.metrics import area_under_curve
from trueshot.evaluation.security import Change
from trueshot.progress import Advance

NONE = "none"


def everyday_changes(
    evaluator: Evaluator,
    channels: Sequence[Channel] = EVERYDAY,
    advance: Advance = lambda steps, note: None,
) -> tuple[Change, ...]:
    """Judge all images after each change.

    Args:
        hearing: Detector and images.
        channels: The changes.
        advance: Told of images that are done: those of the part, once for each change and once
            for none.

    Returns:
        First `none`, the images as they are; then the changes in order. The threshold is that of
        the detector, a recapture score of 0, and is not fitted to any of them.
    """
    found = [_change(evaluator, NONE, "None", lambda images: images, advance)]
    found += [_change(evaluator, each.name, repr(each), each, advance) for each in channels]
    return tuple(found)


def _change(
    evaluator: Evaluator,
    name: str,
    settings: str,
    channel: Callable[[Tensor], Tensor],
    advance: Advance,
) -> Change:
    scores = []
    for images, _ in evaluator.everything():
        scores.append(evaluator.scores(channel(images)))
        advance(len(images), name)
    every = np.concatenate(scores)
    labels = evaluator.part.labels
    return Change(
        name=name,
        settings=settings,
        right=evaluator.per_class((every > 0) == (labels == 1)),
        total=evaluator.total,
        auc=area_under_curve(every, labels),
    )
