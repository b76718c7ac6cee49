"""Attacks on the verdict after a channel: about the file, not about the levels in memory."""

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
    """An attack on a detector behind channels, which are applied after the attack's change.

    The inner attack sees a detector whose logits are the mean over the channels, each replaced by
    its differentiable stand-in (`stand_in`): expectation over transformations. Several JPEG
    qualities together give an image that survives the qualities between them. The result is the
    image before the channel, within the inner attack's budget; the caller rounds it, sends it
    through the real channel and judges it.

    Args:
        attack: Inner attack, of any kind; its budget, before the channel, and its norm apply.
        channels: One or more channels.
        name: Name of the attack; by default that of the inner attack with those of the channels.
        rounding: How gradients pass rounding, see `stand_in`.

    Raises:
        ValueError: There are no channels, or `stand_in` refuses one of them or `rounding`.

    Source: Athalye et al. 2018, arXiv:1707.07397 (the expectation) and arXiv:1802.00420, section 4
    (gradients through functions that have none).
    """

    channels: Sequence[Channel]
    _: KW_ONLY
    name: str = ""
    rounding: Rounding = "soft"

    def __post_init__(self) -> None:
        if not self.channels:
            raise ValueError("channels must not be empty")
        object.__setattr__(self, "channels", tuple(self.channels))
        for channel in self.channels:
            stand_in(channel, self.rounding)
        self._name_after_attack(f"through-{'+'.join(channel.name for channel in self.channels)}")

    def __call__(self, detector: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        """Attack levels; return levels before the channel, not rounded to whole ones."""
        stand_ins = [stand_in(channel, self.rounding) for channel in self.channels]
        network = _Arriving(detector, stand_ins)
        return attack_network(self.attack, network, len(stand_ins), detector, images, labels)


def through_channel(channel: Channel, attack: Attack) -> Through:
    """Return an attack on a detector behind this one channel."""
    return Through(attack, (channel,))


class _Arriving(nn.Module):
    """Mean of a detector's logits over the stand-ins of several channels."""

    def __init__(self, detector: nn.Module, stand_ins: Sequence[StandIn]) -> None:
        super().__init__()
        self.detector = detector
        self.stand_ins = tuple(stand_ins)

    def forward(self, images: Tensor) -> Tensor:
        logits = [self.detector(arrive(images)) for arrive in self.stand_ins]
        return torch.stack(logits).mean(0)
