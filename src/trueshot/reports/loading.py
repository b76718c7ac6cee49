"""Results on disk: found in files and folders, checked, and what cannot be read is named."""

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

KINDS = (KIND, "trueshot-security")  # the second in format 1
_ROLES = ("plain", "secure")
_LONGEST = 200  # characters of a reason


@dataclass(frozen=True, kw_only=True)
class LoadedResult:
    """One result, and where it was.

    Args:
        path: The file.
        result: What it holds, checked.
        role: `plain` or `secure`, as the paper has them; "" for any other detector.
        examples: Images to show, unchecked; their files are relative to the file's folder.
    """

    path: Path
    result: EvaluationResult
    role: str = ""
    examples: tuple[Mapping[str, Any], ...] = ()

    @property
    def suite(self) -> str:
        """Of attacks: `paper`, `strong`, `file`, `everyday`."""
        return self.result.suite


@dataclass(frozen=True, kw_only=True)
class Findings:
    """All results, and one sentence for each file that was passed over."""

    results: list[LoadedResult] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


def find(paths: Sequence[Path]) -> Findings:
    """Read every result in files, and in folders and all below them.

    Args:
        paths: Files that hold results, results.json of `reproduce` among them, and folders.

    Raises:
        RunError: There is no result at all.
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
        findings.faults.append(f"{_shown(path)}: holds no result that is not here already")


def _experiments_first(path: Path) -> tuple[bool, Path]:
    """results.json says more of a result than the result.json that it was gathered from."""
    return path.name != "results.json", path


def _read(path: Path, findings: Findings, asked_for: bool) -> None:
    known = [found.result for found in findings.results]
    try:
        content = json.loads(read_text(path))
        new = list(_results(path, content))
        if asked_for and not new:
            raise ValueError("is no result of trueshot evaluate or reproduce")
    except (OSError, ValueError, RecursionError, RunError) as error:
        reason = one_line(str(error)).removeprefix(f"{one_line(str(path))}: ")[:_LONGEST]
        findings.faults.append(f"{_shown(path)}: passed over: {reason}")
        return
    findings.results.extend(found for found in new if found.result not in known)


def _results(path: Path, content: Any) -> Iterator[LoadedResult]:
    """Those that a JSON file holds; none if it is about something else."""
    if not isinstance(content, dict):
        return
    if {"results", "examples"} <= content.keys():
        yield from _experiments(path)
    elif content.get("kind") in KINDS or {"cells", "detector"} <= content.keys():
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
    """Only detectors of the paper's two recipes stand beside the paper's figures."""
    if result.suite != PAPER:
        return ""
    name = (result.recipe or {}).get("name", result.detector)
    return {"yang": "plain", "secure": "secure"}.get(str(name), "")


def _checked(result: EvaluationResult) -> EvaluationResult:
    """The same result, after a look at every field: a file is data, and may be anything.

    Raises:
        ValueError: A field is of another type, or a count cannot be one.
    """
    sound = TypeAdapter(EvaluationResult).validate_python(asdict(result))
    rated = [(w.budget, w.right, w.total) for w in sound.worst]
    rated += [(w.budget, w.right_before_file, w.total) for w in sound.worst]
    rated += [(0.0, c.right, c.total) for c in sound.changes]
    rated += [(t.budget, t.broken, t.tried) for t in sound.trials if sum(t.tried)]
    if not all(0 < each < math.inf for each in sound.per_epsilon.values()):
        raise ValueError(f"per_epsilon {dict(sound.per_epsilon)}")
    for budget, right, total in rated:
        if not (math.isfinite(budget) and budget >= 0):
            raise ValueError(f"a budget of {budget} levels")
        if len(total) != len(sound.classes) or len(right) != len(total):
            raise ValueError(f"{right} of {total} images of {len(sound.classes)} classes")
        if sum(total) < 1 or not all(0 <= r <= t for r, t in zip(right, total, strict=True)):
            raise ValueError(f"{right} of {total} images is no count")
    for tally in (*sound.worst, *sound.changes, *(case.before_file for case in sound.worst)):
        _ = tally.proportion  # which says if its groups do not add up
    for single in (one for threat in sound.threats for one in sound.singles(threat)):
        _ = single.proportion
    for trial in sound.trials:
        _ = sound.called_target(trial)
    return sound


def _shown(path: Path) -> str:
    return one_line(utf8_safe(str(path)))
