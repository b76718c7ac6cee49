"""Transfer: what was found against one detector is tried on another."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor, nn

from trueshot.attacks.base import Attack, Budget, Norm, classes_of, norm_of


@dataclass(frozen=True, kw_only=True)
class Transfer:
    """An attack on another detector, whose result is handed to the attacked one.

    It needs nothing of the attacked detector, neither gradients nor answers. The calls that it
    counts are calls of the source.

    Args:
        attack: What is done to the source; its budget and norm hold.
        source: The detector to attack instead; left as it was.
        name: Of the source, for tables.

    Source: Papernot et al. 2016, arXiv:1605.07277.
    """

    attack: Attack
    source: nn.Module = field(repr=False)
    name: str

    @property
    def budget(self) -> Budget:
        """Of the attack on the source."""
        return self.attack.budget

    @property
    def norm(self) -> Norm:
        """Of the attack on the source."""
        return norm_of(self.attack)

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
