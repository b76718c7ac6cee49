"""Minibatches of crops: the crops of step t depend on the seed and on t only."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from trueshot.errors import DatasetError
from trueshot.pixels import Bytes, to_levels

_DRAWN = 1  # seed of `Part.drawn`


@dataclass(frozen=True, kw_only=True)
class Part:
    """The crops of one part of a split, at one size.

    Args:
        pixels: All crops of that size, bytes of shape (n, side, side, 3), memory-mapped.
        rows: Indices of the crops in this part, shape (m,).
        labels: Class numbers of these crops, shape (m,).
    """

    pixels: Bytes
    rows: npt.NDArray[np.int64]
    labels: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def side(self) -> int:
        """Height and width of the crops, in pixels."""
        return int(self.pixels.shape[1])

    def crops(self, places: npt.NDArray[np.int64] | slice) -> Bytes:
        """Return the crops at `places`, counted within the part, as bytes (k, side, side, 3)."""
        rows = self.rows[places]
        order = np.argsort(rows, kind="stable")  # a memory map is read fastest in forward order
        pixels = np.empty((len(rows), *self.pixels.shape[1:]), np.uint8)
        pixels[order] = self.pixels[rows[order]]
        return pixels

    def batch(
        self, places: npt.NDArray[np.int64] | slice, device: torch.device | str = "cpu"
    ) -> tuple[Tensor, Tensor]:
        """Return levels (k, 3, side, side), channels last, and labels (k,) of crops at `places`."""
        labels = torch.from_numpy(self.labels[places].copy())
        return to_levels(self.crops(places), device=device), labels.to(device)

    def drawn(self, count: int) -> Part:
        """Return a part with `count` crops of each class, or all if there are fewer.

        They are chosen at random, because the first ones may come from few photographs and one
        camera. The choice is always the same.
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
        part: The crops to draw from.
        batch: Number of crops in a minibatch.
        seed: Determines, together with the number of a pass, the order of that pass.

    Raises:
        DatasetError: The part holds no crops.
    """

    part: Part
    batch: int
    seed: int
    _pass: int = field(default=-1, init=False)
    _order: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64), init=False)

    def __post_init__(self) -> None:
        if not len(self.part):
            raise DatasetError(
                "the training part has no crops; prepare the data set from more photographs"
            )

    def places(self, step: int) -> npt.NDArray[np.int64]:
        """Return the places in the part of step `step`'s crops, shape (batch,).

        They do not depend on earlier calls.
        """
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
