"""Crops to minibatches: which crops step number t takes depends on the seed and t alone."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from trueshot.errors import DatasetError
from trueshot.pixels import Bytes, to_levels

_DRAWN = 1  # seed by which some crops stand for all


@dataclass(frozen=True, kw_only=True)
class Part:
    """The crops of one part of a split, at one size.

    Args:
        pixels: All crops of that size, bytes of shape (n, side, side, 3), memory-mapped.
        rows: Which of them are in this part, shape (m,).
        labels: Their classes, shape (m,).
    """

    pixels: Bytes
    rows: npt.NDArray[np.int64]
    labels: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def side(self) -> int:
        """Height and width of the crops."""
        return int(self.pixels.shape[1])

    def crops(self, places: npt.NDArray[np.int64] | slice) -> Bytes:
        """The crops at `places` as they are stored, shape (k, side, side, 3)."""
        rows = self.rows[places]
        order = np.argsort(rows, kind="stable")  # a memory map likes to be read forwards
        pixels = np.empty((len(rows), *self.pixels.shape[1:]), np.uint8)
        pixels[order] = self.pixels[rows[order]]
        return pixels

    def batch(
        self, places: npt.NDArray[np.int64] | slice, device: torch.device | str = "cpu"
    ) -> tuple[Tensor, Tensor]:
        """Levels (k, 3, side, side), channels last, and labels (k,) of the crops at `places`."""
        labels = torch.from_numpy(self.labels[places].copy())
        return to_levels(self.crops(places), device=device), labels.to(device)

    def drawn(self, count: int) -> Part:
        """`count` crops of each class, or fewer if there are not so many: always the same ones.

        They are drawn, as the first ones would be those of few photographs and one camera.
        """
        random = np.random.default_rng(_DRAWN)
        places = [
            random.permutation(np.flatnonzero(self.labels == label))[:count]
            for label in np.unique(self.labels)
        ]
        chosen = np.sort(np.concatenate(places)) if places else np.zeros(0, np.int64)
        return Part(pixels=self.pixels, rows=self.rows[chosen], labels=self.labels[chosen])


@dataclass(kw_only=True)
class Batches:
    """Shuffled passes over a part, cut into minibatches of equal size.

    Args:
        part: Where crops come from.
        batch: Crops in a minibatch.
        seed: Together with the number of a pass it gives the order of that pass.

    Raises:
        DatasetError: The part holds no crop.
    """

    part: Part
    batch: int
    seed: int
    _pass: int = field(default=-1, init=False)
    _order: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64), init=False)

    def __post_init__(self) -> None:
        if not len(self.part):
            raise DatasetError("a training part without crops: prepare it from more photographs")

    def places(self, step: int) -> npt.NDArray[np.int64]:
        """Places in the part that step number `step` takes, shape (batch,); no state matters."""
        positions = np.arange(step * self.batch, (step + 1) * self.batch)
        passes, offsets = np.divmod(positions, len(self.part))
        return np.concatenate(
            [self._pass_order(p)[offsets[passes == p]] for p in np.unique(passes)]
        )

    def _pass_order(self, number: int) -> npt.NDArray[np.int64]:
        if number != self._pass:
            self._order = np.random.default_rng([self.seed, number]).permutation(len(self.part))
            self._pass = int(number)
        return self._order
