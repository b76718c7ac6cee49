"""Results read from disk and checked, and gathered by detector."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from trueshot.errors import RunError
from trueshot.evaluation.doubt import Doubt
from trueshot.evaluation.result import KIND, PAPER, EvaluationResult, load_experiments
from trueshot.evaluation.tally import CLEAN, UNBROKEN, Change, SingleAttack, WorstCase
from trueshot.files import read_text
from trueshot.proportion import Proportion
from trueshot.reports.table import one_line
from trueshot.tasks import Wording
from trueshot.tasks.recapture import words_for

LINF, L2 = "linf", "l2"
NO_CHANGE = "none"
LARGEST = 5.0  # levels in L∞: the largest budget in the paper's tables
ROUNDING = 1e-3  # relative tolerance, because budgets in L2 are not round numbers
_THREATS = {LINF: "L∞, written as PNG", L2: "L2, written as PNG"}
_SUITES = ("strong", "file", "everyday")
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
    # results.json comes before the result.json files it was gathered from: it contains more about
    # each result, and of equal results the first one is kept.
    for file in sorted(path.rglob("*.json"), key=lambda file: (file.name != "results.json", file)):
        if file.is_file() and not any(p.startswith(".") for p in file.relative_to(path).parts):
            _read(file, findings, asked_for=False)
    if (len(findings.results), len(findings.faults)) == before:
        findings.faults.append(f"{one_line(str(path))}: holds no result that is not already loaded")


def _read(path: Path, findings: Findings, asked_for: bool) -> None:
    known = [found.result for found in findings.results]
    try:
        content = json.loads(read_text(path))
        new = list(_results(path, content))
        if asked_for and not new:
            raise ValueError("not a result of trueshot evaluate or reproduce")
    except (OSError, ValueError, RecursionError, RunError) as error:
        reason = one_line(str(error)).removeprefix(f"{one_line(str(path))}: ")[:_LONGEST]
        findings.faults.append(f"{one_line(str(path))}: skipped: {reason}")
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
        shown = examples.get(str(checked.side))
        triples = shown.get("triples") if isinstance(shown, dict) else None
        mine = [
            each
            for each in (triples if isinstance(triples, list) else [])
            if isinstance(each, dict) and each.get("detector") == checked.detector
        ]
        yield LoadedResult(path=path, result=checked, role=role, examples=tuple(mine))


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


@dataclass(frozen=True, kw_only=True)
class DetectorResults:
    """Results of one detector on one part of one data set at one size.

    Args:
        name: Name, unique within the comparison.
        number: Number of the detector within the report, which determines its colour.
        suites: Result of each suite, by the suite's name.
    """

    name: str
    number: int = 0
    suites: Mapping[str, LoadedResult] = field(default_factory=dict)

    @property
    def words(self) -> Wording:
        """Words for the classes that it distinguishes."""
        return words_for(self.classes)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes that it distinguishes; 0 is the untouched image."""
        return next(found.result.classes for found in self.suites.values())

    @property
    def auc(self) -> float:
        """AUC without an attack."""
        return next(result.auc for result in (*self.security, self.paper) if result)

    @property
    def security(self) -> list[EvaluationResult]:
        """Results of all suites except the paper's, with the strong suite first."""
        ordered = sorted(self.suites, key=lambda s: _SUITES.index(s) if s in _SUITES else 9)
        return [self.suites[suite].result for suite in ordered if suite != PAPER]

    @property
    def paper(self) -> EvaluationResult | None:
        """Result of the paper suite, if there is one."""
        return self.suites[PAPER].result if PAPER in self.suites else None

    @property
    def role(self) -> str:
        """`plain` or `secure` if it is one of the paper's two detectors, else ""."""
        return self.suites[PAPER].role if PAPER in self.suites else ""

    @property
    def threats(self) -> list[str]:
        """Threat models for which its worst case is known."""
        return list(dict.fromkeys(t for result in self.security for t in result.threats))

    def curve(self, threat: str) -> list[WorstCase]:
        """Return the worst cases in order of budget; empty if the threat was not tried."""
        return next((r.curve(threat) for r in self.security if threat in r.threats), [])

    def case(self, threat: str, budget: float) -> WorstCase | None:
        """Return the worst case at a budget, or None if it is not known."""
        return next((c for c in self.curve(threat) if c.budget == budget), None)

    def certified(self, budget: float) -> Proportion | None:
        """Return the certified accuracy at a budget in L∞; None without certificates."""
        tallies = (result.certified(budget) for result in self.security)
        return next((tally.proportion for tally in tallies if tally), None)

    @property
    def clean(self) -> Proportion | None:
        """Accuracy without an attack, before the image is saved as a file, if known."""
        for threat in [LINF, *self.threats]:
            if case := self.case(threat, 0.0):
                return case.before_file.proportion
        found = accuracy(self.paper, CLEAN, 0.0) if self.paper else None
        unchanged = self.changes.get(NO_CHANGE)
        return found or (unchanged.proportion if unchanged else None)

    @property
    def changes(self) -> dict[str, Change]:
        """Its results after everyday changes, by the name of the change."""
        return {change.name: change for result in self.security for change in result.changes}

    @property
    def groups(self) -> int | None:
        """Number of scenes or photographs its images come from, if known."""
        known = [f.result.group_count for f in self.suites.values() if f.result.group_count]
        return max(known, default=None)

    @property
    def was_attacked(self) -> bool:
        """Whether a suite looked for its worst case, and therefore for doubts."""
        return any(result.trials or result.worst for result in self.security)

    @property
    def doubts(self) -> dict[str, Doubt]:
        """Doubts about its results, by name."""
        return {d.name: d for r in reversed(self.security) for d in reversed(r.doubts)}

    @property
    def recipe(self) -> Mapping[str, Any] | None:
        """Training recipe, if any result contains it."""
        return next((f.result.recipe for f in self.suites.values() if f.result.recipe), None)

    @property
    def cost(self) -> Mapping[str, float]:
        """Cost of its training, if any result contains it."""
        return next((result.cost for result in self.security if result.cost), {})

    def alone(self, attack: str, budget: float) -> Proportion | None:
        """Return the accuracy under one attack alone, from the paper suite or else from a trial."""
        results = filter(None, (self.paper, *self.security))
        found = (accuracy(result, attack, budget) for result in results)
        return next(filter(None, found), None)

    def attacks_alone(self) -> list[str]:
        """Return the attacks whose accuracy alone is known for at least half of the budgets."""
        names = [t.attack for r in self.security for t in r.trials if t.threat == LINF]
        names += [c.attack for c in self.paper.singles() if c.attack != CLEAN] if self.paper else []
        budgets = self.budgets(LINF)
        known = {n: sum(self.alone(n, b) is not None for b in budgets) for n in names}
        return [name for name, count in known.items() if 2 * count >= len(budgets)]

    def budgets(self, threat: str) -> list[float]:
        """Return the budgets above 0 of a threat, up to the equivalent of 5 levels in L∞.

        Larger budgets, which only extend the curve, are returned if there are no others. For L∞
        the budgets of the paper suite are included.
        """
        found = {case.budget for case in self.curve(threat)}
        if threat == LINF and self.paper:
            found |= {cell.budget for cell in self.paper.singles()}
        most = LARGEST * self.per_epsilon(threat) * (1 + ROUNDING)
        return sorted({b for b in found if b <= most} - {0.0}) or sorted(found - {0.0})

    def per_epsilon(self, threat: str) -> float:
        """Return the budget of a threat that corresponds to an ε of one level in L∞."""
        return next((r.per_epsilon[threat] for r in self.security if threat in r.per_epsilon), 1.0)

    @property
    def notes(self) -> list[str]:
        """Notes on how its results were obtained."""
        return list(dict.fromkeys(note for result in self.security for note in result.notes))

    def broken_first_by(self, threat: str, budget: float) -> dict[str, int]:
        """Return how many images each attack was the first to break, up to a budget."""
        case = self.case(threat, budget)
        names = [n for n in (case.broken_by if case else ()) if n not in (UNBROKEN, CLEAN)]
        return {name: names.count(name) for name in dict.fromkeys(names)}


def single_of(result: EvaluationResult, attack: str, budget: float) -> SingleAttack | None:
    """Return the outcome of one attack alone, or None if it was not measured."""
    cells = (cell for cell in result.singles() if (cell.attack, cell.budget) == (attack, budget))
    return next(cells, None)


def accuracy(result: EvaluationResult, attack: str, budget: float) -> Proportion | None:
    """Return the accuracy under one attack alone, or None if it was not measured."""
    single = single_of(result, attack, budget)
    return None if single is None else single.proportion


def threat_name(threat: str) -> str:
    """Return a threat model in words."""
    return _THREATS.get(threat, threat)
