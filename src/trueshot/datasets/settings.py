"""The settings of a data set."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from trueshot.errors import DatasetError
from trueshot.images import DEFAULT_PIXEL_LIMIT
from trueshot.tasks import Task
from trueshot.tasks.recapture import RECAPTURE

SMALLEST_SIDE, LARGEST_SIDE = 16, 4096


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings of a data set: all it depends on except its photographs.

    Args:
        sides: Sizes of the crops, in pixels, from 16 to 4096.
        per_class: Largest number of crops of each class, over all parts, at each size; by default
            as in the paper.
        fractions: Shares of train, validation and test, in crops; by default as in the paper. If
            the photographs have parts, each part gets at most its share of `per_class`.
        split_by: Unit that a split keeps in one part: the `source` of each photo, or only the
            `photo`. Without effect if the photographs have parts.
        seed: Seed of the split, the positions of crops, the examples and the audit.
        pixel_limit: Photographs with more pixels are refused.
        task: Task that defines the classes and, for photographs without labels, the examples.
        shared: Kinds of origins, such as `camera`, that parts may share. This is a deliberate
            leak, which is recorded in the card and reported with every result.

    Raises:
        DatasetError: A setting is out of range.
    """

    sides: tuple[int, ...]
    per_class: int = 10_000
    fractions: tuple[float, float, float] = (0.4, 0.1, 0.5)
    split_by: Literal["source", "photo"] = "source"
    seed: int = 0
    pixel_limit: int = DEFAULT_PIXEL_LIMIT
    task: Task = RECAPTURE
    shared: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.sides or not all(SMALLEST_SIDE <= s <= LARGEST_SIDE for s in self.sides):
            raise DatasetError(
                f"sides must be one or more sizes from 16 to 4096 px, got {list(self.sides)}"
            )
        if len(set(self.sides)) != len(self.sides):
            raise DatasetError(f"sides must not repeat a size, got {list(self.sides)}")
        if self.per_class < 1:
            raise DatasetError(f"per_class must be at least 1, got {self.per_class}")
        shares = self.fractions
        if not (len(shares) == 3 and min(shares) >= 0 and abs(sum(shares) - 1) <= 1e-6):
            raise DatasetError(
                f"fractions must be three shares from 0 that add up to 1, got {shares}"
            )
        if not 0 <= self.seed < 2**32:
            raise DatasetError(f"seed must be between 0 and 4294967295, got {self.seed}")
        if self.split_by not in ("source", "photo"):
            raise DatasetError(f"split_by must be source or photo, got {self.split_by!r}")

    def facts(self) -> dict[str, Any]:
        """Return the settings as JSON values; `shared` only if not empty."""
        facts = {**asdict(replace(self, task=RECAPTURE)), "task": self.task.facts()}
        if not self.shared:  # as in versions without this setting
            del facts["shared"]
        return facts
