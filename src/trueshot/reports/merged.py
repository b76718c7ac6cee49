"""Count sentences, merging those that differ only in their numbers."""

from __future__ import annotations

import re
from dataclasses import dataclass

# A number that stands alone, not one that is part of a name or a hash.
_FIGURE = re.compile(r"(?<![\w.+])-?\d+(?:,\d{3})*(?:\.\d+)?(?:e[+-]?\d+)?(?!\.?\w)")


@dataclass
class _Group:
    count: int
    lowest: list[str]
    highest: list[str]

    def add(self, figures: list[str]) -> None:
        self.count += 1
        self.lowest = [min(pair, key=_size) for pair in zip(self.lowest, figures, strict=True)]
        self.highest = [max(pair, key=_size) for pair in zip(self.highest, figures, strict=True)]


class Reasons:
    """Counter of reasons that merges "distance 4.94" and "distance 5.2" to "distance 4.94 to 5.2".

    Args:
        most: Maximum number of different reasons; further ones are ignored.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._groups: dict[tuple[str, ...], _Group] = {}

    def add(self, reason: str) -> None:
        """Count a reason; an empty text is ignored."""
        if not reason:
            return
        words, figures = tuple(_FIGURE.split(reason)), _FIGURE.findall(reason)
        if words in self._groups:
            self._groups[words].add(figures)
        elif len(self._groups) < self._most:
            self._groups[words] = _Group(1, figures, figures)

    def ranked(self) -> tuple[tuple[str, int], ...]:
        """Return texts and counts, most frequent first; ties keep the order of appearance."""
        found = [(_text(words, group), group.count) for words, group in self._groups.items()]
        return tuple(sorted(found, key=lambda pair: -pair[1]))


def _text(words: tuple[str, ...], group: _Group) -> str:
    ranges = [
        low if low == high else f"{low} to {high}"
        for low, high in zip(group.lowest, group.highest, strict=True)
    ]
    return "".join(part + figure for part, figure in zip(words, [*ranges, ""], strict=True))


def _size(figure: str) -> float:
    return float(figure.replace(",", ""))
