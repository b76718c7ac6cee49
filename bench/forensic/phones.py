"""A manifest of the real phones that are there to measure with, one class a phone.

    python bench/forensic/phones.py RECAPTURE-DEV RECAPTURE-WHOLE OUT.csv

Originals and recaptures alike: whatever a phone took shows its own traces. Each photograph is a
scene of its own, for which of them are the same is not known. Nothing of it ships.
"""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Iterator
from pathlib import Path

from trueshot.files import write_atomically


def rows(folder: Path) -> Iterator[tuple[str, str]]:
    """Path and phone of each photograph."""
    with (folder / "manifest.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            yield str((folder / row["path"]).resolve()), row["source"]


def main() -> None:
    """Write the manifest."""
    *folders, out = map(Path, sys.argv[1:])
    text = io.StringIO()
    content = [("path", "label"), *(row for folder in folders for row in rows(folder))]
    csv.writer(text, lineterminator="\n").writerows(content)
    write_atomically(out, text.getvalue().encode())


if __name__ == "__main__":
    main()
