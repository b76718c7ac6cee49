"""An attack on what a detector says after a channel: of the file, not of the levels in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass

import torch
from torch import Tensor, nn

from trueshot.attacks.base import Attack, Budget, Norm, classes_of, norm_of
from trueshot.attacks.calls import counted, spend
from trueshot.attacks.differentiable import Rounding, StandIn, stand_in
from trueshot.channels import Channel
from trueshot.detector import Detector


@dataclass(frozen=True)
class Through:
    """An attack that looks at the detector through channels, which come after its own change.

    The attack inside meets a detector whose logits are the mean over the channels, of which each
    is replaced by its stand-in (`stand_in`): expectation over transformations. Several qualities
    of JPEG together make an image that survives the qualities between them. What comes out is the
    image before the channel, inside the budget of the attack inside; the caller rounds it, sends
    it through the real channel, and judges.

    Args:
        attack: Any; its budget and norm are this one's.
        channels: One or more.
        name: By default of the attack and of the channels.
        rounding: How a gradient passes what is rounded; see `stand_in`.

    Raises:
        ValueError: No channel, or an unknown `rounding`.

    Source: Athalye et al. 2018, arXiv:1707.07397 (the expectation) and arXiv:1802.00420, section 4
    (gradients through what has none).
    """

    attack: Attack
    channels: Sequence[Channel]
    _: KW_ONLY
    name: str = ""
    rounding: Rounding = "soft"

    def __post_init__(self) -> None:
        if not self.channels:
            raise ValueError("channels: one or more wanted")
        object.__setattr__(self, "channels", tuple(self.channels))
        for channel in self.channels:
            stand_in(channel, self.rounding)
        if not self.name:
            names = "+".join(channel.name for channel in self.channels)
            object.__setattr__(self, "name", f"{name_of(self.attack)}-through-{names}")

    @property
    def budget(self) -> Budget:
        """Of the attack inside: levels, before the channel."""
        return self.attack.budget

    @property
    def norm(self) -> Norm:
        """Of the attack inside."""
        return norm_of(self.attack)

    def __call__(self, detector: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        """Attack; levels in, levels out, before the channel and not rounded to whole ones."""
        stand_ins = [stand_in(channel, self.rounding) for channel in self.channels]
        network = _Arriving(detector, stand_ins)
        return attack_network(self.attack, network, len(stand_ins), detector, images, labels)


def through_channel(channel: Channel, attack: Attack) -> Through:
    """The attack on what a detector says after this one channel."""
    return Through(attack, (channel,))


def name_of(attack: Attack) -> str:
    """An attack's field `name`, or its class's in small letters."""
    return str(getattr(attack, "name", "")) or type(attack).__name__.lower()


def attack_network(
    attack: Attack,
    network: nn.Module,
    times: int,
    detector: nn.Module,
    images: Tensor,
    labels: Tensor,
) -> Tensor:
    """Run an attack against a network, of levels, that asks the detector `times` at each call.

    What the attack counts as one call of its detector is entered as so many of this one.
    """
    target = Detector(network, classes=classes_of(detector, images))
    with counted(len(images)) as calls:
        attacked = attack(target, images, labels)
    for place in range(len(images)):
        forward, backward = int(calls.forward[place]), int(calls.backward[place])
        spend(forward=times * forward, backward=times * backward, places=torch.tensor([place]))
    return attacked


class _Arriving(nn.Module):
    """Mean logits of what arrives through each of some channels."""

    def __init__(self, detector: nn.Module, stand_ins: Sequence[StandIn]) -> None:
        super().__init__()
        self.detector = detector
        self.stand_ins = tuple(stand_ins)

    def forward(self, images: Tensor) -> Tensor:
        logits = [self.detector(arrive(images)) for arrive in self.stand_ins]
        return torch.stack(logits).mean(0)
