"""Conversion of results of format 1, which had a separate layout for the paper's suite.

`python -m trueshot.evaluation.conversion RESULT…` converts files, and all files in folders, in
place.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from trueshot.evaluation.result import CLEAN, FORMAT, KIND, PAPER, EvaluationResult
from trueshot.files import read_text, write_atomically
from trueshot.tasks.recapture import RECAPTURE

_OLD_KIND = "trueshot-security"
_WRITTEN_OUT = ("accuracy", "interval95")


def converted(content: Mapping[str, Any]) -> dict[str, Any]:
    """Convert the content of a file of format 1 to the current format.

    Facts that format 1 does not record stay unknown: all attacks that broke an image except the
    first, and the source of each image.

    Raises:
        ValueError: The content is not a result of format 1.
    """
    head = {
        "kind": KIND,
        "format": FORMAT,
        "classes": list(RECAPTURE.classes),
        "labels": "",
        "groups": "",
    }
    if content.get("kind") == _OLD_KIND:
        return {**content, **head}
    if "cells" not in content:
        raise ValueError("not an evaluation result: it has neither cells nor a kind")
    fields = {name: value for name, value in content.items() if name != "cells"}
    clean, *attacked = content["cells"]
    if clean["attack"] != CLEAN:
        raise ValueError(f"its first cell is {clean['attack']!r}, not {CLEAN!r}")
    worst = {
        "threat": "linf",
        "budget": 0.0,
        "right": clean["right"],
        "right_before_file": clean["right_unrounded"],
        "total": clean["total"],
    }
    return {
        **fields,
        **head,
        "suite": PAPER,
        "worst": [worst],
        "trials": [_trial(cell) for cell in attacked],
        "changes": [],
        "doubts": [],
        "per_epsilon": {"linf": 1.0},
    }


def _trial(cell: Mapping[str, Any]) -> dict[str, Any]:
    """Convert a cell to a trial; a cell counted images classified correctly, and all were tried."""
    fields = {
        name: value
        for name, value in cell.items()
        if name not in (*_WRITTEN_OUT, "right", "right_unrounded", "total")
    }
    rights = {"broken": "right", "broken_before_file": "right_unrounded"}
    broken = {
        name: [all_ - right for all_, right in zip(cell["total"], cell[of], strict=True)]
        for name, of in rights.items()
    }
    return {**fields, **broken, "threat": "linf", "tried": cell["total"]}


def convert_file(path: Path) -> bool:
    """Rewrite a file in place if it holds results of format 1; return whether it did."""
    text = read_text(path)
    try:
        content = json.loads(text)
    except ValueError:
        return False
    if not isinstance(content, dict):
        return False
    if isinstance(results := content.get("results"), list) and "examples" in content:
        old = any(result.get("format") == 1 for result in results)
        new: Any = content | {"results": [_rewritten(result) for result in results]}
    else:
        old = content.get("format") == 1 and ("cells" in content or "kind" in content)
        new = _rewritten(content) if old else content
    if old:
        layout: Any = {"indent": 2} if text.startswith("{\n") else {"separators": (",", ":")}
        write_atomically(path, json.dumps(new, **layout) + "\n")
    return old


def _rewritten(content: Mapping[str, Any]) -> dict[str, Any]:
    return EvaluationResult.from_json(content).to_json()


def main(paths: Sequence[str]) -> None:
    """Convert files, and all JSON files in folders; print the names of the converted ones."""
    for path in map(Path, paths):
        for file in sorted(path.rglob("*.json")) if path.is_dir() else [path]:
            if convert_file(file):
                print(file)


if __name__ == "__main__":
    main(sys.argv[1:])
