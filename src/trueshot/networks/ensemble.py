"""An ensemble of LCNNs, meant to be trained on different photographs."""

from __future__ import annotations

from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from trueshot.networks.lcnn import LCNN, LCNNSettings
from trueshot.networks.registry import Explained, Network, NetworkSettings, register

MOST = 8


class EnsembleSettings(NetworkSettings):
    """An ensemble of LCNNs and its arguments."""

    name: Literal["lcnn-ensemble"] = "lcnn-ensemble"
    members: int = Field(default=2, ge=1, le=MOST, description="Number of LCNNs.")
    lcnn: LCNNSettings = Field(default=LCNNSettings(), description="Settings of each LCNN.")


@register("lcnn-ensemble")
class Ensemble(Network):
    """LCNNs of one architecture whose logits are averaged.

    Args:
        members: Number of LCNNs, 1 to 8.
        lcnn: Arguments of each LCNN, see `LCNN`.
        classes: Number of logits.

    Raises:
        ValueError: Fewer than 1 or more than 8 members, or arguments that an LCNN rejects.

    Source: Hansen and Salamon 1990, "Neural network ensembles".
    """

    Settings = EnsembleSettings

    def __init__(
        self, members: int = 2, lcnn: dict[str, Any] | None = None, classes: int = 2
    ) -> None:
        super().__init__()
        if not 1 <= members <= MOST:
            raise ValueError(f"members must be between 1 and {MOST}, got {members}")
        given = {key: value for key, value in (lcnn or {}).items() if key != "name"}
        self.members = nn.ModuleList(LCNN(**given, classes=classes) for _ in range(members))
        self.classes = classes
        self.picture = self.members[0].picture  # type: ignore[assignment]

    def forward(self, images: Tensor) -> Tensor:
        """Compute logits (n, classes) from levels (n, 3, h, w)."""
        return torch.stack([member(images) for member in self.members]).mean(0)

    def explained(self, images: Tensor) -> Explained:
        """Average logits and evidence over the members; take the first layer of the first one."""
        parts: list[Explained] = [member.explained(images) for member in self.members]  # type: ignore[operator]
        evidence = [part.evidence for part in parts if part.evidence is not None]
        return Explained(
            logits=torch.stack([part.logits for part in parts]).mean(0),
            evidence=torch.stack(evidence).mean(0),
            first_layer=parts[0].first_layer,
        )
