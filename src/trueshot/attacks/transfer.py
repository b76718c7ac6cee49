"""Transfer: an attack computed on one detector and tried on another."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor, nn

from trueshot.attacks.base import classes_of
from trueshot.attacks.wrapping import Wrapper


@dataclass(frozen=True, kw_only=True)
class Transfer(Wrapper):
    """An attack computed on another detector, the source.

    It uses neither gradients nor predictions of the attacked detector. The calls it counts are
    calls of the source.

    Args:
        attack: Attack to run on the source; its budget and norm apply.
        source: Detector to attack instead; left unchanged.
        name: Name of the source, for tables.

    Source: Papernot et al. 2016, arXiv:1605.07277.
    """

    source: nn.Module = field(repr=False)
    name: str

    def __call__(self, detector: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        """Attack the source instead of `detector`; return levels.

        Raises:
            ValueError: The source and the detector have different numbers of classes.
        """
        ours, theirs = (len(classes_of(each, images)) for each in (self.source, detector))
        if ours != theirs:
            raise ValueError(
                f"{self.name} has {ours} classes, but the attacked detector has {theirs}"
            )
        return self.attack(self.source, images, labels)
