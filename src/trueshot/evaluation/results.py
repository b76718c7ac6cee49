"""Results: frozen, and JSON in and out. Tables and figures are made from them alone."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from trueshot.errors import RunError
from trueshot.evaluation.metrics import wilson_interval
from trueshot.files import write_json

FORMAT = 1
CLEAN = "clean"


@dataclass(frozen=True, kw_only=True)
class Cell:
    """How many crops a detector judged rightly under one attack at one budget.

    Args:
        attack: Short name, `clean` for none.
        budget: Levels.
        right: Crops judged rightly, per class, after rounding to the bytes that a file holds.
        total: Crops judged, per class.
        right_unrounded: The same before rounding.
        settings: The attack in full, as its repr.
        psnr: Mean over the crops, in dB; None where nothing was changed.
        calls: Times that the attack asked the detector, and its gradient, about a crop: means;
            None in results of before they were counted.
    """

    attack: str
    budget: float
    right: tuple[int, int]
    total: tuple[int, int]
    right_unrounded: tuple[int, int]
    settings: str = ""
    psnr: float | None = None
    calls: tuple[float, float] | None = None

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Cell:
        """Read back what a file holds of a cell; rates that were written out are passed over."""
        fields = {k: v for k, v in content.items() if k not in ("accuracy", "interval95")}
        for name in ("right", "total", "right_unrounded", "calls"):
            if fields.get(name) is not None:
                fields[name] = tuple(fields[name])
        return cls(**fields)

    @property
    def accuracy(self) -> float:
        """Share judged rightly, both classes together."""
        return sum(self.right) / sum(self.total)

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson interval of the accuracy at 95 %."""
        return wilson_interval(sum(self.right), sum(self.total))


@dataclass(frozen=True, kw_only=True)
class RobustnessResult:
    """All cells of one detector on one part of one data set.

    Args:
        detector: Name of the recipe, or of the bundle.
        bundle_sha256: Of the weights that were judged.
        side: Size of the crops.
        part: Part of the split.
        data: Fingerprint of the data set at that size.
        split_by: What the split kept whole.
        auc: Area under the ROC curve, clean.
        cells: In the order in which they were asked for.
        recipe: Settings of the training run, if known.
        versions: Of the libraries that computed.
    """

    detector: str
    bundle_sha256: str
    side: int
    part: str
    data: str
    split_by: str
    auc: float
    cells: tuple[Cell, ...]
    recipe: Mapping[str, Any] | None = None
    versions: Mapping[str, str] = field(default_factory=dict)

    def cell(self, attack: str, budget: float = 0.0) -> Cell:
        """The cell of an attack at a budget.

        Raises:
            KeyError: It was not asked for.
        """
        for cell in self.cells:
            if cell.attack == attack and cell.budget == budget:
                return cell
        raise KeyError(f"{self.detector} at {self.side} px: no result of {attack} at {budget:g}")

    def to_json(self) -> dict[str, Any]:
        """Everything, with rates and intervals written out for readers of the file."""
        content = asdict(self) | {"format": FORMAT}
        for cell, written in zip(self.cells, content["cells"], strict=True):
            written |= {"accuracy": cell.accuracy, "interval95": cell.interval}
        return content

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> RobustnessResult:
        """Read back what `to_json` wrote.

        Raises:
            ValueError: It is of another format, or incomplete.
        """
        fields = dict(content)
        found = fields.pop("format", None)
        if found != FORMAT:
            raise ValueError(f"result format {found!r}, this version reads {FORMAT}")
        try:
            cells = tuple(Cell.from_json(cell) for cell in fields.pop("cells"))
            return cls(cells=cells, **fields)
        except (TypeError, KeyError, AttributeError) as error:
            raise ValueError(f"incomplete result: {error}") from error


def save_result(path: Path, result: RobustnessResult) -> None:
    """Write a result, all or nothing."""
    write_json(path, result.to_json())


def load_result(path: Path) -> RobustnessResult:
    """Read a result.

    Raises:
        RunError: The file is missing, damaged, or no result.
    """
    try:
        return RobustnessResult.from_json(json.loads(path.read_text("utf-8")))
    except (OSError, ValueError) as error:
        raise RunError(f"{path}: no result that can be read: {error}") from error


def load_experiments(path: Path) -> tuple[list[RobustnessResult], dict[str, Any]]:
    """Read the results.json of `reproduce`: a result per size and recipe, and examples by size.

    Raises:
        RunError: The file is missing or damaged.
    """
    try:
        content = json.loads(path.read_text("utf-8"))
        results = [RobustnessResult.from_json(result) for result in content["results"]]
        return results, dict(content["examples"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(f"{path}: no results that can be read: {error}") from error
