"""Judge all photographs in a folder; does not need the extra `train`.

python examples/judge_folder.py PHOTOS [results.csv]
"""

from __future__ import annotations

import sys
from collections import Counter

import trueshot


def main(folder: str, results: str | None = None) -> None:
    """Print every verdict, then the count of each, including files that failed."""
    counts: Counter[str] = Counter()
    for verdict in trueshot.scan("accurate", [folder], results):
        counts[verdict.verdict] += 1
        ratio = "" if verdict.log10_lr is None else f"LR {10**verdict.log10_lr:.3g}"
        print(f"{verdict.verdict:10} {ratio:12} {verdict.file} {verdict.reason or ''}".rstrip())
    print(", ".join(f"{count} {word}" for word, count in sorted(counts.items())))


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3) or sys.argv[1] == "--help":
        sys.exit(__doc__)
    main(*sys.argv[1:])
