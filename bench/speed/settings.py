"""What the command was asked for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Settings that all sections share.

    Args:
        sides: Heights and widths of the images.
        threads: That PyTorch may use.
        seconds: That the rounds of one table may take, the warm-up not counted.
        rounds: To make at least.
        detector: Bundle to attack; None: one that is trained here.
        dataset: Folder of the data set whose test part is attacked, with `detector`.
        torchattacks: Python of an environment that has it; None: left out.
    """

    sides: tuple[int, ...]
    threads: int
    seconds: float
    rounds: int
    detector: Path | None
    dataset: Path | None
    torchattacks: Path | None
