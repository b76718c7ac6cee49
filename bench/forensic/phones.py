"""Write a manifest of the real phones available for measurement, one class per phone.

    python bench/forensic/phones.py RECAPTURE-DEV RECAPTURE-WHOLE OUT.csv

It includes originals and recaptures, because any photograph shows the traces of the phone that took
it. Each photograph counts as its own scene, because it is not known which share one. None of these
photographs are shipped.
"""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Iterator
from pathlib import Path

from trueshot.datasets.listing import manifest_rows
from trueshot.files import write_atomically


def rows(folder: Path) -> Iterator[tuple[str, str]]:
    """Yield the path and phone of each photograph."""
    for row in manifest_rows(folder / "manifest.csv"):
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
