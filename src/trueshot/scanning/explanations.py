"""The explanations that a ledger holds, read one by one as they are asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from trueshot.scanning.ledger import Ledger
from trueshot.scanning.verdict import EXPLANATION

if TYPE_CHECKING:
    from trueshot.inference.explanation import Explanation


class Explanations(Mapping[str, "Explanation"]):
    """Explanations by the SHA-256 of the image file; a report shows few of many.

    Args:
        ledger: Of the scan, open for as long as they are asked for.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._numbers = ledger.numbers()

    def __getitem__(self, sha256: str) -> Explanation:
        from trueshot.inference.explanation import Explanation

        return Explanation.from_bytes(self._ledger.pictures(self._numbers[sha256])[EXPLANATION])

    def __iter__(self) -> Iterator[str]:
        return iter(self._numbers)

    def __len__(self) -> int:
        return len(self._numbers)
