"""An attack on what a detector says after a channel: of the file, not of the levels in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass

import torch
from torch import Tensor, nn

from trueshot.attacks.base import Attack
from trueshot.attacks.differentiable import Rounding, StandIn, stand_in
from trueshot.attacks.wrapping import Wrapper, attack_network
from trueshot.channels import Channel


@dataclass(frozen=True)
class Through(Wrapper):
    """An attack that looks at the detector through channels, which come after its own change.

    The attack inside meets a detector whose logits are the mean over the channels, of which each
    is replaced by its stand-in (`stand_in`): expectation over transformations. Several qualities
    of JPEG together make an image that survives the qualities between them. What comes out is the
    image before the channel, inside the budget of the attack inside; the caller rounds it, sends
    it through the real channel, and judges.

    Args:
        attack: Any; its budget, before the channel, and norm are this one's.
        channels: One or more.
        name: By default of the attack and of the channels.
        rounding: How a gradient passes what is rounded; see `stand_in`.

    Raises:
        ValueError: No channel, or an unknown `rounding`.

    Source: Athalye et al. 2018, arXiv:1707.07397 (the expectation) and arXiv:1802.00420, section 4
    (gradients through what has none).
    """

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
        self._name_after_attack(f"through-{'+'.join(channel.name for channel in self.channels)}")

    def __call__(self, detector: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        """Attack; levels in, levels out, before the channel and not rounded to whole ones."""
        stand_ins = [stand_in(channel, self.rounding) for channel in self.channels]
        network = _Arriving(detector, stand_ins)
        return attack_network(self.attack, network, len(stand_ins), detector, images, labels)


def through_channel(channel: Channel, attack: Attack) -> Through:
    """The attack on what a detector says after this one channel."""
    return Through(attack, (channel,))


class _Arriving(nn.Module):
    """Mean logits of what arrives through each of some channels."""

    def __init__(self, detector: nn.Module, stand_ins: Sequence[StandIn]) -> None:
        super().__init__()
        self.detector = detector
        self.stand_ins = tuple(stand_ins)

    def forward(self, images: Tensor) -> Tensor:
        logits = [self.detector(arrive(images)) for arrive in self.stand_ins]
        return torch.stack(logits).mean(0)
