"""Scores of photographs of known class: a scan of them, with labels."""

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
    """What the detector, without calibration, says of one photograph.

    Args:
        photograph: Which one.
        sha256: Of its file; empty if it could not be read.
        score: None if it was not read, or is too small or flat all over.
        crops: That the score rests on.
        features: As `inference.features_of` gives them.
        error: Why it could not be read, or has no part in a calibration; or nothing.
    """

    photograph: Photograph
    sha256: str = ""
    score: float | None = None
    crops: int = 0
    features: dict[str, float] = field(default_factory=dict, hash=False)
    error: str = ""


@dataclass(frozen=True, kw_only=True)
class Scores:
    """Findings of a set of photographs, without those that could not be read or have few colours.

    Args:
        findings: At least one of each class.
        unread: The others, with their errors.
        twins: How many were left out because the same bytes were there before.
    """

    findings: tuple[PhotographScore, ...]
    unread: tuple[PhotographScore, ...]
    twins: int = 0

    @property
    def labels(self) -> Labels:
        """Whether they are of class 0, shape (n,): 0 if so, 1 if of any other."""
        return np.array([each.photograph.label > 0 for each in self.findings], dtype=np.int64)

    @property
    def scores(self) -> Floats:
        """Scores, shape (n,); not a number where there is none."""
        given = [np.nan if each.score is None else each.score for each in self.findings]
        return np.array(given, dtype=np.float64)

    @property
    def sources(self) -> list[str]:
        """What they come from; one that is not known is a source of its own."""
        return [each.photograph.source or f"file {each.sha256}" for each in self.findings]

    @property
    def kinds(self) -> list[str]:
        """Kinds of recapture, or classes; empty for class 0 and where not known."""
        return [each.photograph.kind for each in self.findings]

    @property
    def fingerprint(self) -> str:
        """SHA-256 over the hashes of the files with their classes, in no order."""
        lines = sorted(f"{each.sha256} {each.photograph.label}" for each in self.findings)
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()

    def subset(self, chosen: Sequence[int] | Labels) -> Scores:
        """The findings of these numbers."""
        return Scores(findings=tuple(self.findings[int(at)] for at in chosen), unread=())

    def scored(self) -> Scores:
        """Those that have a score."""
        return self.subset(np.flatnonzero(~np.isnan(self.scores)))


def gather(
    bundle: Path, photographs: Sequence[Photograph], ledger: Path, workers: int | None = None
) -> Scores:
    """Score photographs in the guarded processes of a scan; what the ledger holds is not done anew.

    Args:
        bundle: Judges them: without calibration, decision and domain.
        photographs: Of known class.
        ledger: Of these scores; a run that was stopped goes on.
        workers: Processes; by default as many as there are processors.

    Raises:
        DatasetError: No photograph of a class could be read, or one is said to be of both.
        RunError: The ledger is damaged, or another run is at work with it.
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
    # What a scan leaves undecided whatever its score is: thresholds do not speak about it.
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
    """All that can be used, each content once."""
    read = [each for each in findings if not each.error]
    first: dict[str, PhotographScore] = {}
    for each in read:
        other = first.setdefault(each.sha256, each)
        if other.photograph.label != each.photograph.label:
            raise DatasetError(
                f"{each.photograph.name} and {other.photograph.name}: the same bytes, said to be "
                "of two classes; remove one"
            )
    if len({each.photograph.label > 0 for each in first.values()}) < 2:
        raise DatasetError(
            f"{len(read)} of {len(findings)} photographs could be used, and they are not of both "
            f"classes{_first_error(findings)}"
        )
    return Scores(
        findings=tuple(first.values()),
        unread=tuple(each for each in findings if each.error),
        twins=len(read) - len(first),
    )


def _first_error(findings: Sequence[PhotographScore]) -> str:
    """Why the first of those that cannot be used cannot."""
    faulty = (f": {each.photograph.name}: {each.error}" for each in findings if each.error)
    return next(faulty, "")


def group_folds(groups: Sequence[str], folds: int) -> Iterator[Labels]:
    """Numbers of the photographs of each fold; no group stands in two.

    The largest group first, each to the fold that has the fewest photographs.

    Args:
        groups: Group of each photograph.
        folds: At most so many; never more than there are groups.
    """
    names, place, sizes = np.unique(np.array(groups), return_inverse=True, return_counts=True)
    folds = min(folds, len(names))
    load, fold = np.zeros(folds), np.zeros(len(names), dtype=np.int64)
    for group in np.argsort(-sizes, kind="stable"):
        fold[group] = int(np.argmin(load))
        load[fold[group]] += sizes[group]
    for number in range(folds):
        yield np.flatnonzero(fold[place] == number)
