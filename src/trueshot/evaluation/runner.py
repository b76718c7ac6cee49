"""Evaluation of several detectors in sequence; an error in one does not stop the others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from trueshot.datasets import Dataset
from trueshot.evaluation.detector_source import (
    DetectorSource,
    load_detector,
    name_of,
    uniquely_named,
)
from trueshot.evaluation.distribution import engine_for
from trueshot.evaluation.evaluate import evaluate_suite
from trueshot.evaluation.plan import EvaluationSettings
from trueshot.evaluation.result import PAPER, EvaluationResult, save_result
from trueshot.evaluation.tally import Tally
from trueshot.files import claim, remove_leftovers, utf8_safe


@dataclass(frozen=True, kw_only=True)
class RunOutcome:
    """The outcome for one detector at one size.

    Args:
        name: Name of the detector.
        side: Side of the crops in pixels; None if the detector failed before it was known.
        path: The result file; None if there is no result.
        result: The result; None if the evaluation failed.
        error: Why there is no result; empty if there is one.
    """

    name: str
    side: int | None = None
    path: Path | None = None
    result: EvaluationResult | None = None
    error: str = ""

    def lines(self) -> list[str]:
        """Return the lines to print."""
        if self.result is None:
            return [f"{self.name}: {self.error}"]
        shown = [*_result_lines(self.result), f"clean AUC {self.result.auc:.4f}"]
        return [*shown, f"result: {self.path}"]


def evaluate_detectors(
    sources: Sequence[DetectorSource],
    dataset: Dataset,
    out: Path,
    settings: EvaluationSettings,
    *,
    sides: Sequence[int] = (),
    transfer: Path | None = None,
    engine: str = "local",
    workers: int | None = None,
    address: str | None = None,
) -> Iterator[RunOutcome]:
    """Evaluate detectors and write a result for each; one that fails does not stop the others.

    Args:
        sources: Where to load the detectors from.
        dataset: Data set made by `prepare`.
        out: Folder for the results, SUITE-NAME-SIDEpx.json.
        settings: The suite and how to run it.
        sides: Sizes of crops; by default each detector's own.
        transfer: Bundle of the detector from which attacks are transferred.
        engine: Where images are attacked, in batches of `settings.batch`: "local", or "ray" for
            the CPUs of a cluster. Apart from `seconds` the results are the same.
        workers: Number of worker processes on this machine; None means this process does it all.
        address: Address of the Ray cluster; see `RayEngine`.

    Yields:
        The outcome for each detector and size, in order.

    Raises:
        TrueshotError: The engine or the transfer detector cannot be loaded, or there is only one
            detector and one size, and its evaluation failed.
    """
    named = list(uniquely_named(sources))
    alone = len(named) == 1 and len(sides) < 2
    if engine != "local" or workers is not None:
        settings = replace(settings, device="cpu")
    opened = engine_for(
        engine, named, dataset, settings, transfer, workers=workers, address=address
    )
    with claim(out), opened as elsewhere:
        remove_leftovers(out)
        if transfer is not None:
            other = DetectorSource(path=str(transfer))
            found = load_detector(replace(other, name=name_of(other)), dataset, None)
            settings = replace(settings, transfer=found)
        for number, source in enumerate(named):
            for side in sides or (None,):
                try:
                    tested = load_detector(source, dataset, side)
                    path = out / f"{settings.name}-{tested.name}-{tested.side}px.json"
                    shared = {"detector": number, "side": tested.side}
                    follow = None if elsewhere is None else partial(elsewhere.follow, shared=shared)
                    result = evaluate_suite(tested, dataset, settings, out, path.stem, follow)
                    save_result(path, result)
                    yield RunOutcome(name=source.name, side=tested.side, path=path, result=result)
                except Exception as error:  # any error concerns this detector only
                    if alone:
                        raise
                    yield RunOutcome(name=source.name, side=side, error=_reason(error))


def _reason(error: Exception) -> str:
    text = utf8_safe(str(error)).strip() or type(error).__name__
    known = type(error).__module__.startswith("trueshot")
    return text if known else f"{type(error).__name__}: {text}"


def _rate(item: Tally) -> str:
    low, high = item.interval
    return f"{100 * item.accuracy:6.2f} % [{100 * low:.2f}, {100 * high:.2f}]"


def _target_lines(result: EvaluationResult) -> list[str]:
    """Return a line per targeted attack: how many images were called its target class."""
    found = [(trial, result.called_target(trial)) for trial in result.trials]
    return [
        f"{trial.threat:10} ε = {trial.budget / result.per_epsilon.get(trial.threat, 1.0):g}  "
        f"{trial.attack}: {share.count} of {share.total} called {result.classes[trial.target]}"
        for trial, share in found
        if share is not None and trial.target is not None
    ]


def _result_lines(result: EvaluationResult) -> list[str]:
    doubts = [f"doubt: {doubt.name}: {doubt.finding}" for doubt in result.doubts]
    judged = f"judged: {result.images_in_words}"
    if result.suite == PAPER:
        singles = result.singles()
        lines = [f"{s.attack:6} ε = {s.budget:g}  {_rate(s)}" for s in singles]
        return [*lines, judged, *(f"note: {note}" for note in result.notes), *doubts]
    lines = [f"{result.detector}, {result.side} px, {result.suite} suite", judged]
    for threat in result.threats:
        unit = result.per_epsilon.get(threat, 1.0)
        cases = result.curve(threat)
        lines += [f"{threat:10} ε = {case.budget / unit:g}  {_rate(case)}" for case in cases]
    lines += _target_lines(result)
    lines += [f"{change.name:16} {_rate(change)} AUC {change.auc:.4f}" for change in result.changes]
    for norm, distance in result.boundary.items():
        shown = "not found" if distance is None else f"{distance:.2f} levels"
        lines.append(f"median distance to the boundary, {norm}: {shown}")
    return [*lines, *(f"note: {note}" for note in result.notes), *doubts]
