"""Accuracy on attacked crops of a fresh data set, without the scenes that were learnt.

    python bench/fresh.py FRESH LEARNT RESULT.json…

FRESH is the data set of the results; the same crops of its test part are drawn again. Crops of
scenes in the train or validation part of LEARNT are left out.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

from certificates import scene_name, scenes_learnt
from entry import enter

from trueshot.datasets import Dataset
from trueshot.evaluation import EvaluationResult, load_result


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("fresh", type=Path)
    parser.add_argument("learnt", type=Path)
    parser.add_argument("results", type=Path, nargs="+")
    given = parser.parse_args()
    fresh, learnt = Dataset.open(given.fresh), scenes_learnt(Dataset.open(given.learnt))
    print("| size | detector | threat, ε | crops | of other scenes | clean | worst case |")
    print("|---" * 7 + "|")
    for path in given.results:
        for cells in counted(load_result(path), fresh, learnt):
            print(f"| {' | '.join(cells)} |")


def counted(result: EvaluationResult, fresh: Dataset, learnt: set[str]) -> Iterator[list[str]]:
    """Yield the cells of each threat and budget."""
    part = fresh.part(result.side, result.part).drawn(max(result.single("clean").total))
    if part.labels.tolist() != list(result.labels):
        raise SystemExit(f"{result.detector}, {result.side} px: of other crops than this set's")
    origins = {each["path"]: json.loads(each["origins"]) for each in fresh.photos.to_pylist()}
    paths = fresh.crops[result.side]["path"].to_pylist()
    scenes = [scene_name(origins[paths[row]]["scene"]) for row in part.rows.tolist()]
    for case in result.worst:
        if not case.budget:
            continue
        pairs = zip(case.broken_by, scenes, strict=True)
        by = [attack for attack, scene in pairs if scene not in learnt]
        clean, right = len(by) - by.count("clean"), by.count("")
        yield [
            str(result.side),
            result.detector,
            f"{case.threat}, {case.budget:g}",
            str(len(scenes)),
            str(len(by)),
            f"{100 * clean / len(by):.1f}",
            f"{100 * right / len(by):.1f}",
        ]


if __name__ == "__main__":
    enter(main)
