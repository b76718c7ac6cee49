"""Find, read and check results on disk, and record the files that cannot be read."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from trueshot.errors import RunError
from trueshot.evaluation.result import KIND, PAPER, EvaluationResult, load_experiments
from trueshot.files import read_text, utf8_safe
from trueshot.reports.table import one_line

_ROLES = ("plain", "secure")
_LONGEST = 200  # maximum length of a reason in characters


@dataclass(frozen=True, kw_only=True)
class LoadedResult:
    """One result and the file it was read from.

    Args:
        path: File of the result.
        result: The checked result.
        role: `plain` or `secure` for the paper's two detectors; "" for any other detector.
        examples: Unchecked descriptions of example images; their file names are relative to the
            folder of `path`.
    """

    path: Path
    result: EvaluationResult
    role: str = ""
    examples: tuple[Mapping[str, Any], ...] = ()

    @property
    def suite(self) -> str:
        """Suite of attacks: `paper`, `strong`, `file`, `everyday`, or one of the user's own."""
        return self.result.suite


@dataclass(frozen=True, kw_only=True)
class Findings:
    """All results that were found, and one sentence for each file that was skipped."""

    results: list[LoadedResult] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


def find(paths: Sequence[Path]) -> Findings:
    """Read all results in files, and in folders and their subfolders.

    Args:
        paths: Result files, including results.json of `reproduce`, and folders.

    Raises:
        RunError: No result was found.
    """
    findings = Findings()
    for path in paths:
        _search(path, findings)
    if not findings.results:
        raise RunError("\n".join(["no result found", *findings.faults]))
    return findings


def _search(path: Path, findings: Findings) -> None:
    if not path.is_dir():
        _read(path, findings, asked_for=True)
        return
    before = len(findings.results), len(findings.faults)
    for file in sorted(path.rglob("*.json"), key=_experiments_first):
        if file.is_file() and not any(p.startswith(".") for p in file.relative_to(path).parts):
            _read(file, findings, asked_for=False)
    if (len(findings.results), len(findings.faults)) == before:
        findings.faults.append(f"{_shown(path)}: holds no result that is not already loaded")


def _experiments_first(path: Path) -> tuple[bool, Path]:
    """Sort key that puts results.json before the result.json files it was gathered from.

    It contains more about each result, and of equal results the first one is kept.
    """
    return path.name != "results.json", path


def _read(path: Path, findings: Findings, asked_for: bool) -> None:
    known = [found.result for found in findings.results]
    try:
        content = json.loads(read_text(path))
        new = list(_results(path, content))
        if asked_for and not new:
            raise ValueError("not a result of trueshot evaluate or reproduce")
    except (OSError, ValueError, RecursionError, RunError) as error:
        reason = one_line(str(error)).removeprefix(f"{one_line(str(path))}: ")[:_LONGEST]
        findings.faults.append(f"{_shown(path)}: skipped: {reason}")
        return
    findings.results.extend(found for found in new if found.result not in known)


def _results(path: Path, content: Any) -> Iterator[LoadedResult]:
    """Yield the results in the content of a JSON file; none if it is of another kind."""
    if not isinstance(content, dict):
        return
    if {"results", "examples"} <= content.keys():
        yield from _experiments(path)
    elif content.get("kind") == KIND or {"bundle_sha256", "split_by"} <= content.keys():
        result = _checked(EvaluationResult.from_json(content))
        yield LoadedResult(path=path, result=result, role=_role(result), examples=result.examples)


def _experiments(path: Path) -> Iterator[LoadedResult]:
    results, examples = load_experiments(path)
    for number, result in enumerate(results):
        checked = _checked(result)
        role = _ROLES[number % 2] if len(results) % 2 == 0 else _role(checked)
        shown = _of(examples.get(str(checked.side)), "triples")
        mine = [t for t in shown if isinstance(t, dict) and t.get("detector") == checked.detector]
        yield LoadedResult(path=path, result=checked, role=role, examples=tuple(mine))


def _of(content: Any, name: str) -> Iterable[Any]:
    found = content.get(name) if isinstance(content, dict) else None
    return found if isinstance(found, list) else []


def _role(result: EvaluationResult) -> str:
    """Return `plain` or `secure` for the paper's two recipes, else "".

    Only those two are compared with the paper's figures.
    """
    if result.suite != PAPER:
        return ""
    name = (result.recipe or {}).get("name", result.detector)
    return {"yang": "plain", "secure": "secure"}.get(str(name), "")


def _checked(result: EvaluationResult) -> EvaluationResult:
    """Check every field of a result read from a file, and return the result.

    Raises:
        ValueError: A field has the wrong type, or a count or a budget is impossible.
    """
    sound = TypeAdapter(EvaluationResult).validate_python(asdict(result))
    rated = [(w.budget, w.right, w.total) for w in sound.worst]
    rated += [(w.budget, w.right_before_file, w.total) for w in sound.worst]
    rated += [(0.0, c.right, c.total) for c in sound.changes]
    rated += [(t.budget, t.broken, t.tried) for t in sound.trials if sum(t.tried)]
    if not all(0 < each < math.inf for each in sound.per_epsilon.values()):
        raise ValueError(f"per_epsilon must be finite and above 0, got {dict(sound.per_epsilon)}")
    for budget, right, total in rated:
        if not (math.isfinite(budget) and budget >= 0):
            raise ValueError(f"budgets must be finite and at least 0, got {budget}")
        if len(total) != len(sound.classes) or len(right) != len(total):
            raise ValueError(
                f"{right} of {total} images: {len(sound.classes)} counts each are needed"
            )
        if sum(total) < 1 or not all(0 <= r <= t for r, t in zip(right, total, strict=True)):
            raise ValueError(f"{right} of {total} images: not possible counts")
    for tally in (*sound.worst, *sound.changes, *(case.before_file for case in sound.worst)):
        _ = tally.proportion  # raises if the groups do not add up
    for single in (one for threat in sound.threats for one in sound.singles(threat)):
        _ = single.proportion
    for trial in sound.trials:
        _ = sound.called_target(trial)
    return sound


def _shown(path: Path) -> str:
    return one_line(utf8_safe(str(path)))
