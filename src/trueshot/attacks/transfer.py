"""Transfer: what was found against one detector is tried on another."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor, nn

from trueshot.attacks.base import classes_of
from trueshot.attacks.wrapping import Wrapper


@dataclass(frozen=True, kw_only=True)
class Transfer(Wrapper):
    """An attack on another detector, whose result is handed to the attacked one.

    It needs nothing of the attacked detector, neither gradients nor answers. The calls that it
    counts are calls of the source.

    Args:
        attack: What is done to the source; its budget and norm hold.
        source: The detector to attack instead; left as it was.
        name: Of the source, for tables.

    Source: Papernot et al. 2016, arXiv:1605.07277.
    """

    source: nn.Module = field(repr=False)
    name: str

    def __call__(self, detector: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        """What the attack does to the source; levels in, levels out.

        Raises:
            ValueError: The source tells another number of classes apart than the detector.
        """
        ours, theirs = (len(classes_of(each, images)) for each in (self.source, detector))
        if ours != theirs:
            raise ValueError(
                f"{self.name} tells {ours} classes apart and the attacked detector {theirs}"
            )
        return self.attack(self.source, images, labels)
