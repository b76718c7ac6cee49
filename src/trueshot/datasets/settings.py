"""All that a data set depends on beside its photographs."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from trueshot.datasets.splits import PAPER_FRACTIONS
from trueshot.errors import DatasetError
from trueshot.images import DEFAULT_PIXEL_LIMIT
from trueshot.tasks import Task
from trueshot.tasks.recapture import RECAPTURE

PAPER_PER_CLASS = 10_000
SMALLEST_SIDE, LARGEST_SIDE = 16, 4096


@dataclass(frozen=True, kw_only=True)
class Settings:
    """All that a data set depends on beside its photographs.

    Args:
        sides: Sizes of the crops, in pixels.
        per_class: At most so many crops of each class, over all parts, at each size.
        fractions: Shares of train, validation and test, in crops; where the photographs have
            parts, shares of `per_class` that bound these.
        split_by: What a split keeps whole: the `source` of each photo, or the `photo` alone. Of no
            effect where the photographs have parts.
        seed: Of the split and of the places of the crops.
        pixel_limit: Photographs of more pixels are refused.
        task: Which classes there are, and how examples are made where photographs have none.
        shared: Kinds of origins, such as `camera`, that parts may share: a leak that is wanted,
            and told wherever the data set is.
    """

    sides: tuple[int, ...]
    per_class: int = PAPER_PER_CLASS
    fractions: tuple[float, float, float] = PAPER_FRACTIONS
    split_by: Literal["source", "photo"] = "source"
    seed: int = 0
    pixel_limit: int = DEFAULT_PIXEL_LIMIT
    task: Task = RECAPTURE
    shared: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.sides or not all(SMALLEST_SIDE <= s <= LARGEST_SIDE for s in self.sides):
            raise DatasetError(f"sizes from 16 to 4096 px wanted, got {list(self.sides)}")
        if len(set(self.sides)) != len(self.sides):
            raise DatasetError(f"a size is named twice: {list(self.sides)}")
        if self.per_class < 1:
            raise DatasetError(f"one crop per class or more wanted, got {self.per_class}")
        if not (min(self.fractions) >= 0 and abs(sum(self.fractions) - 1) <= 1e-6):
            raise DatasetError(f"three shares that add up to 1 wanted, got {self.fractions}")
        if not 0 <= self.seed < 2**32:
            raise DatasetError(f"a seed from 0 to 4294967295 wanted, got {self.seed}")
        if self.split_by not in ("source", "photo"):
            raise DatasetError(f"split by {self.split_by!r}: known: source, photo")

    def facts(self) -> dict[str, Any]:
        """The settings as JSON has them."""
        facts = {**asdict(replace(self, task=RECAPTURE)), "task": self.task.facts()}
        if not self.shared:  # as before there was such a setting
            del facts["shared"]
        return facts
