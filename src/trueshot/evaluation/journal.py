"""What became of each image in each trial, kept in a file so that a stopped suite goes on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from trueshot.evaluation.security import Trial
from trueshot.files import append_line, read_lines, write_lines

NOT_TRIED = "-"
_BROKEN, _BROKEN_BEFORE_FILE = 1, 2

Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """A trial with what became of each image.

    Args:
        trial: The counts.
        fates: A character per image of the part: "-" if it was not tried, else a number, of which
            bit 0 says that it was broken, and bit 1 that it was so before it was filed.
    """

    trial: Trial
    outcome_flags: str

    @property
    def tried(self) -> Flags:
        """Which images were attacked, shape (n,)."""
        return np.array([fate != NOT_TRIED for fate in self.outcome_flags], bool)

    @property
    def broken(self) -> Flags:
        """Which were judged wrongly after their file, shape (n,)."""
        return self._those(_BROKEN)

    @property
    def broken_before_file(self) -> Flags:
        """Which were judged wrongly in memory, shape (n,)."""
        return self._those(_BROKEN_BEFORE_FILE)

    def _those(self, bit: int) -> Flags:
        return np.array(
            [fate != NOT_TRIED and bool(int(fate) & bit) for fate in self.outcome_flags], bool
        )


def outcome_flags(tried: Flags, broken: Flags, broken_before_file: Flags) -> str:
    """What became of each image, as `Outcome` wants it."""
    bits = _BROKEN * broken + _BROKEN_BEFORE_FILE * broken_before_file
    pairs = zip(tried.tolist(), bits.tolist(), strict=True)
    return "".join(str(bit) if one else NOT_TRIED for one, bit in pairs)


@dataclass(kw_only=True)
class Journal:
    """Finished trials in a file.

    A trial is taken from it if everything that it depends on is the same: the key, the threat, the
    attack with all its settings, and the images that were still right.

    Args:
        path: The file; None keeps nothing.
        key: What names detector, data and images.
    """

    path: Path | None = None
    key: tuple[Any, ...] = ()
    _lines: list[dict[str, Any]] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        if self.path is not None and self.path.is_file():
            lines = read_lines(self.path)
            write_lines(self.path, lines)
            self._lines = [line for line in lines if line.get("key") == list(self.key)]

    def outcome(self, threat: str, attack: str, settings: str, tried: Flags) -> Outcome | None:
        """The finished trial, if there is one."""
        for line in self._lines:
            fields = line.get("trial", {})
            names = (fields.get("threat"), fields.get("attack"), fields.get("settings"))
            if names == (threat, attack, settings):
                found = Outcome(trial=_trial(fields), outcome_flags=line["fates"])
                if np.array_equal(found.tried, tried):
                    return found
        return None

    def enter_outcome(self, outcome: Outcome) -> None:
        """Add a finished trial."""
        self._enter({"trial": asdict(outcome.trial), "fates": outcome.outcome_flags})

    def note(self, name: str) -> Any:
        """What was entered under a name, or None."""
        found = [line["content"] for line in self._lines if line.get("note") == name]
        return found[-1] if found else None

    def enter_note(self, name: str, content: Any) -> None:
        """Add anything that JSON can hold."""
        self._enter({"note": name, "content": content})

    def _enter(self, record: Mapping[str, Any]) -> None:
        if self.path is not None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            append_line(self.path, {"key": list(self.key), **record})


def _trial(fields: Mapping[str, Any]) -> Trial:
    read: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()}
    return Trial(**read)
