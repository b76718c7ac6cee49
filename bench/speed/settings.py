"""Settings of the benchmark run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Settings that all sections share.

    Args:
        sides: Heights and widths of the images.
        threads: Number of threads for PyTorch.
        seconds: Time limit for the rounds of one table, without the warm-up.
        rounds: Minimum number of rounds.
        detector: Bundle to attack; None trains a detector first.
        dataset: Folder of the data set whose test part is attacked, with `detector`.
        torchattacks: Python of an environment with torchattacks; None leaves it out.
    """

    sides: tuple[int, ...]
    threads: int
    seconds: float
    rounds: int
    detector: Path | None
    dataset: Path | None
    torchattacks: Path | None
