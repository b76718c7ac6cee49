"""Transfer: what was found against one detector is tried on another."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor

from trueshot.attacks.wrapping import Wrapper
from trueshot.detector import Detector


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

    source: Detector = field(repr=False)
    name: str

    def __call__(self, detector: Detector, images: Tensor, labels: Tensor) -> Tensor:
        """What the attack does to the source; levels in, levels out.

        Raises:
            ValueError: The source tells another number of classes apart than the detector.
        """
        ours, theirs = len(self.source.classes), len(detector.classes)
        if ours != theirs:
            raise ValueError(
                f"{self.name} tells {ours} classes apart and the attacked detector {theirs}"
            )
        return self.attack(self.source, images, labels)
