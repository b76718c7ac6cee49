"""Scores of photographs of known class, from a scan."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from trueshot.calibrating.photographs import Photograph
from trueshot.calibration.samples import Floats, Labels
from trueshot.errors import DatasetError
from trueshot.inference.colours import is_colour_reason
from trueshot.progress import progress
from trueshot.scanning.ledger import Ledger
from trueshot.scanning.runner import Settings, judge_items, task_of
from trueshot.scanning.verdict import Verdict


@dataclass(frozen=True, kw_only=True)
class PhotographScore:
    """The result of the uncalibrated detector for one photograph.

    Args:
        photograph: The photograph.
        sha256: SHA-256 of its file; empty if it could not be read.
        score: None if it was not read, or is too small or flat everywhere.
        crops: Number of crops the score is based on.
        features: As returned by `inference.features_of`.
        error: Why it could not be read or is excluded from calibration; empty if it is used.
    """

    photograph: Photograph
    sha256: str = ""
    score: float | None = None
    crops: int = 0
    features: dict[str, float] = field(default_factory=dict, hash=False)
    error: str = ""


@dataclass(frozen=True, kw_only=True)
class Scores:
    """Results for a set of photographs, with the unreadable ones and those of few colours apart.

    Args:
        findings: Usable photographs; from `gather`, some of class 0 and some of other classes.
        unread: The others, with their errors.
        twins: Number of photographs left out because their bytes occurred before.
    """

    findings: tuple[PhotographScore, ...]
    unread: tuple[PhotographScore, ...]
    twins: int = 0

    @property
    def labels(self) -> Labels:
        """Labels, shape (n,): 0 for class 0, 1 for any other class."""
        return np.array([each.photograph.label > 0 for each in self.findings], dtype=np.int64)

    @property
    def scores(self) -> Floats:
        """Scores, shape (n,); NaN where there is none."""
        given = [np.nan if each.score is None else each.score for each in self.findings]
        return np.array(given, dtype=np.float64)

    @property
    def sources(self) -> list[str]:
        """Sources; a photograph of unknown source is its own source."""
        return [each.photograph.source or f"file {each.sha256}" for each in self.findings]

    @property
    def kinds(self) -> list[str]:
        """Kinds of recapture, or classes; empty for class 0 and if not known."""
        return [each.photograph.kind for each in self.findings]

    @property
    def fingerprint(self) -> str:
        """SHA-256 over the hashes of the files and their classes, independent of their order."""
        lines = sorted(f"{each.sha256} {each.photograph.label}" for each in self.findings)
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()

    def subset(self, chosen: Sequence[int] | Labels) -> Scores:
        """Return the findings at these indices."""
        return Scores(findings=tuple(self.findings[int(at)] for at in chosen), unread=())

    def scored(self) -> Scores:
        """Return the findings that have a score."""
        return self.subset(np.flatnonzero(~np.isnan(self.scores)))


def gather(
    bundle: Path, photographs: Sequence[Photograph], ledger: Path, workers: int | None = None
) -> Scores:
    """Score photographs in the worker processes of a scan; those in the ledger are not redone.

    Args:
        bundle: The detector: without calibration, decision and domain.
        photographs: Photographs of known class.
        ledger: Ledger of these scores; an interrupted run resumes from it.
        workers: Number of worker processes; by default the number of processors.

    Raises:
        DatasetError: The usable photographs are all of class 0, or none is, or the same bytes have
            two labels.
        RunError: The ledger is damaged, or another run is using it.
    """
    with (
        Settings(workers=workers).open(bundle) as engine,
        progress("judge", len(photographs)) as advance,
        Ledger(ledger, {"detector": str(engine.facts["detector"])}) as kept,
    ):
        found = []
        verdicts = judge_items(
            engine, (each.item() for each in photographs), kept, task=task_of(engine)
        )
        for photograph, verdict in zip(photographs, verdicts, strict=True):
            found.append(_score(photograph, verdict))
            advance(1, "")
    return _collected(found)


def _score(photograph: Photograph, verdict: Verdict) -> PhotographScore:
    is_read = verdict.verdict != "error"
    # A scan leaves these undecided whatever their score is, so thresholds do not apply to them.
    few_colours = next(filter(is_colour_reason, verdict.notes), "")
    return PhotographScore(
        photograph=photograph,
        sha256=verdict.sha256 or "",
        score=verdict.score,
        crops=verdict.crops or 0,
        features=dict(verdict.features),
        error=few_colours if is_read else verdict.reason or "could not be judged",
    )


def _collected(findings: Sequence[PhotographScore]) -> Scores:
    """Separate the usable photographs from the others, keeping each content once."""
    read = [each for each in findings if not each.error]
    first: dict[str, PhotographScore] = {}
    for each in read:
        other = first.setdefault(each.sha256, each)
        if other.photograph.label != each.photograph.label:
            raise DatasetError(
                f"{each.photograph.name} and {other.photograph.name}: identical files, but "
                "labelled as different classes; remove one"
            )
    if len({each.photograph.label > 0 for each in first.values()}) < 2:
        raise DatasetError(
            f"{len(read)} of {len(findings)} photographs can be used, and these are not of "
            f"both classes{_first_error(findings)}"
        )
    return Scores(
        findings=tuple(first.values()),
        unread=tuple(each for each in findings if each.error),
        twins=len(read) - len(first),
    )


def _first_error(findings: Sequence[PhotographScore]) -> str:
    """Return the name and error of the first photograph that cannot be used, or nothing."""
    faulty = (f": {each.photograph.name}: {each.error}" for each in findings if each.error)
    return next(faulty, "")


def group_folds(groups: Sequence[str], folds: int) -> Iterator[Labels]:
    """Yield the indices of the photographs in each fold; all of a group are in the same fold.

    Groups are assigned by size, the largest first, each to the fold with the fewest photographs.

    Args:
        groups: Group of each photograph.
        folds: Maximum number of folds; never more than there are groups.
    """
    names, place, sizes = np.unique(np.array(groups), return_inverse=True, return_counts=True)
    folds = min(folds, len(names))
    load, fold = np.zeros(folds), np.zeros(len(names), dtype=np.int64)
    for group in np.argsort(-sizes, kind="stable"):
        fold[group] = int(np.argmin(load))
        load[fold[group]] += sizes[group]
    for number in range(folds):
        yield np.flatnonzero(fold[place] == number)
