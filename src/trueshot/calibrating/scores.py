"""Scores of photographs of known class, kept in a journal so that a stopped run goes on."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from trueshot.calibrating.photographs import Photograph
from trueshot.calibration.samples import Floats, Labels
from trueshot.datasets.survey import in_threads
from trueshot.errors import DatasetError, ImageFileError
from trueshot.files import append_line, read_lines, write_lines
from trueshot.inference import Predictor
from trueshot.progress import progress


@dataclass(frozen=True, kw_only=True)
class PhotographScore:
    """What the detector, without calibration, says of one photograph.

    Args:
        photograph: Which one.
        sha256: Of its file; empty if it could not be read.
        score: None if it was not read, or is too small or flat all over.
        crops: That the score rests on.
        features: As `judging.features_of` gives them.
        error: Why it could not be read, or nothing.
    """

    photograph: Photograph
    sha256: str = ""
    score: float | None = None
    crops: int = 0
    features: dict[str, float] = field(default_factory=dict, hash=False)
    error: str = ""


@dataclass(frozen=True, kw_only=True)
class Scores:
    """Findings of a set of photographs, those that could not be read left out.

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
        """Classes, shape (n,)."""
        return np.array([each.photograph.label for each in self.findings], dtype=np.int64)

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
        """Kinds of recapture; empty for originals and where not known."""
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
    predictor: Predictor,
    photographs: Sequence[Photograph],
    journal: Path,
    key: dict[str, Any],
    workers: int | None = None,
) -> Scores:
    """Score photographs; what the journal holds already is not done again.

    Args:
        judge: Of the bundle, without calibration, decision and domain.
        photographs: Of known class.
        journal: JSONL file. One that was begun with another key is put aside under a name that
            ends in `.before`.
        key: What the scores depend on beside the photographs.
        workers: Threads; by default as many as there are processors.

    Raises:
        DatasetError: No photograph of a class could be read, or one is said to be of both.
    """
    _open(journal, key)
    known = {str(line["mark"]): line for line in read_lines(journal)[1:]}
    marks = [str(photograph.mark()) for photograph in photographs]
    left = [p for p, mark in zip(photographs, marks, strict=True) if mark not in known]
    done = len(photographs) - len(left)
    with (
        progress("judge", len(photographs), done) as advance,
        in_threads(_Look(predictor), left, workers or os.cpu_count() or 1) as found,
    ):
        for line in found:
            append_line(journal, line)
            known[str(line["mark"])] = line
            advance(1, "")
    return _collected(
        [_finding(p, known[mark]) for p, mark in zip(photographs, marks, strict=True)]
    )


@dataclass(frozen=True)
class _Look:
    predictor: Predictor

    def __call__(self, photograph: Photograph) -> dict[str, Any]:
        said: dict[str, Any] = {"mark": photograph.mark()}
        try:
            pixels, sha256 = photograph.read()
        except ImageFileError as error:
            return {**said, "error": error.reason}
        prediction = self.predictor.predict(pixels)
        finite = prediction.score is not None and np.isfinite(prediction.score)
        return {
            **said,
            "sha256": sha256,
            "score": prediction.score if finite else None,
            "crops": len(prediction.scores),
            "features": prediction.features,
        }


def _open(journal: Path, key: dict[str, Any]) -> None:
    """Make ready to append: whole lines only, and those of other settings out of the way."""
    lines = read_lines(journal)
    if lines and lines[0] != {"key": key}:
        journal.replace(journal.with_name(f"{journal.name}.before"))
        lines = []
    write_lines(journal, lines or [{"key": key}])


def _finding(photograph: Photograph, line: dict[str, Any]) -> PhotographScore:
    return PhotographScore(photograph=photograph, **{k: v for k, v in line.items() if k != "mark"})


def _collected(findings: Sequence[PhotographScore]) -> Scores:
    """All that were read, each content once."""
    read = [each for each in findings if not each.error]
    first: dict[str, PhotographScore] = {}
    for each in read:
        other = first.setdefault(each.sha256, each)
        if other.photograph.label != each.photograph.label:
            raise DatasetError(
                f"{each.photograph.name} and {other.photograph.name}: the same bytes, said to be "
                "of both classes; remove one"
            )
    if len({each.photograph.label for each in first.values()}) < 2:
        raise DatasetError(
            f"{len(read)} of {len(findings)} photographs could be read, and they are not of both "
            "classes"
        )
    return Scores(
        findings=tuple(first.values()),
        unread=tuple(each for each in findings if each.error),
        twins=len(read) - len(first),
    )


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
