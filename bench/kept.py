"""Results of slow measurements of photographs, kept in a file by the content of each photograph."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from trueshot.files import Journal, file_sha256


def kept(
    file: Path,
    key: Any,
    photographs: Sequence[Path],
    measure: Callable[[list[Path]], Iterable[Any]],
) -> list[Any]:
    """Return what `measure` yields for each photograph, measuring only those not yet in `file`.

    Args:
        file: Journal of earlier results; an interrupted run continues from it.
        key: Everything that a result depends on besides the photograph, as JSON values.
        photographs: Image files.
        measure: Yields a result, as JSON values, for each of the files that it is given.
    """
    journal = Journal(file, key)
    known = {record["sha256"]: record["found"] for record in journal.records}
    hashes = [file_sha256(path) for path in photographs]
    left = {sha256: p for sha256, p in zip(hashes, photographs, strict=True) if sha256 not in known}
    for sha256, found in zip(left, measure(list(left.values())), strict=True):
        known[sha256] = found
        journal.append({"sha256": sha256, "found": found})
    return [known[sha256] for sha256 in hashes]
