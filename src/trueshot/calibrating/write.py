"""`trueshot bundle`: make a calibrated bundle from a detector and photographs of known class."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from trueshot.bundle import bundle_sha256, is_onnx, read_bundle, with_graph, write_bundle
from trueshot.calibrating.error_rates import (
    FOLDS,
    FittedCalibration,
    Kind,
    cross_validate,
    fit_all,
    measure,
    predict_all,
)
from trueshot.calibrating.likeliest import domain_of, fit_likeliest, measure_likeliest
from trueshot.calibrating.photographs import has_test_part, photographs_of
from trueshot.calibrating.scores import Scores, gather
from trueshot.calibrating.summary import facts_of, limits_of, note_on, refuse_leak, updated
from trueshot.calibration import needed
from trueshot.card import Card, Measurement
from trueshot.detectors import located
from trueshot.errors import BundleError, CalibrationError
from trueshot.files import check_destinations, utf8_safe
from trueshot.inference import Predictor
from trueshot.inference.proof import is_provable
from trueshot.tasks import Task
from trueshot.tasks.recapture import RECAPTURE

_DETECTOR = "detector.safetensors"  # name of the detector in the folder of a training run
# Entries of the contract that settings may change, and their options on the command line.
_CROP_OPTIONS = {
    "side": "--size",
    "crops": "--crops",
    "aggregation": "--aggregation",
    "places": "--grid",
}
# Settings without effect where the likeliest class decides, by the names they are given by.
_OF_THRESHOLDS = {
    "apcer": "--apcer",
    "method": "--method",
    "by_kind": "by_kind",
    "margin": "margin",
}


@dataclass(frozen=True, kw_only=True)
class CalibrationSettings:
    """Settings of a bundle and its calibration.

    Args:
        apcer: Target share of recaptures called original, in (0, 1).
        bpcer: Target share of originals called recaptured, in (0, 1).
        by_kind: Whether `apcer` has to hold for each kind of recapture, which requires as many
            photographs of each kind as otherwise of all, instead of for all together.
        method: Method of calibration: `logistic` or `isotonic`.
        crops: Maximum number of crops per photograph; by default as the detector has it, else 16.
        aggregation: How the scores of crops are combined, as in `CropAggregator`; by default as the
            detector has it, else `mean`.
        places: How crops are placed, see `InputContract`; by default as the detector has it, else
            `textured`.
        margin: How much an adversary may lower the score of a recapture, see `fit_all`.
        side: Height and width of the crops; by default as the detector has it. A detector that
            joins kinds of evidence keeps its crops: for it, these four must be None.
        title: Name of the detector, for people.
        task: What it decides, in a sentence; by default derived from its classes.
        licence: Licence of the weights.
        limits: What it cannot do, a sentence each.
        test_kind: Kind of photographs in the test set, see `Measurement`.
    """

    apcer: float = 0.05
    bpcer: float = 0.01
    by_kind: bool = True
    method: str = "logistic"
    crops: int | None = None
    aggregation: str | None = None
    places: str | None = None
    margin: float = 0.0
    side: int | None = None
    title: str = ""
    task: str = ""
    licence: str = ""
    limits: tuple[str, ...] = ()
    test_kind: Kind = "clean"


@dataclass(frozen=True, kw_only=True)
class Bundled:
    """The result of `make_bundle`.

    Args:
        path: The bundle.
        sha256: SHA-256 of its file.
        card: Its card.
        unread: Why photographs could not be read or were excluded, by name.
        passed_over: Files in the folders that hold no image.
    """

    path: Path
    sha256: str
    card: Card
    unread: Mapping[str, str]
    passed_over: tuple[Path, ...] = ()


def make_bundle(
    run: str | os.PathLike[str],
    calibrate: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    test: str | os.PathLike[str] | None = None,
    settings: CalibrationSettings | None = None,
    workers: int | None = None,
    command: str = "",
) -> Bundled:
    """Calibrate a detector, measure it, and write it as one file.

    Rates are never measured on photographs used for calibration, but on the test set. Without one,
    they are measured on the test part of a data set that has parts; without that, by
    cross-validation: sources are left out in turn, and judged by a calibration on the others.

    Photographs are judged in worker processes, as in a scan. Their scores are kept in a ledger
    beside the bundle until it is written, so an interrupted run can be resumed, and one that failed
    for lack of data costs little to repeat with other settings.

    Args:
        run: Folder of a training run, or a bundle.
        calibrate: Photographs of known class; see `photographs_of`.
        out: The bundle to write.
        test: Other photographs to measure on.
        settings: Target rates, crops and texts.
        workers: Number of worker processes; by default the number of processors.
        command: The command that was run, for the card.

    Raises:
        BundleError: The run has no detector, something does not fit in a card, crops are set for a
            detector that joins kinds of evidence, or something that has no effect is set for one
            that names the likeliest class.
        DatasetError: Photographs cannot be used.
        LeakError: A photograph or a source is both in the test set and in the calibration.
        CalibrationError: There are too few photographs for the target rates, or one is not in
            (0, 1).
        RunError: `out` cannot be written.
    """
    settings, out, bundle = settings or CalibrationSettings(), Path(out), detector_in(Path(run))
    for rate in (settings.apcer, settings.bpcer):
        needed(rate)  # refuse a wrong rate before the long work
    read = read_bundle(bundle)
    card = _with_contract(read.card, settings, bundle)
    if card.decision_rule == "top-class":
        _refuse_unused(settings, bundle)
    task = card.decides
    read = with_graph(replace(read, card=card), bundle)
    Predictor.of(read, bundle)  # so that one that cannot judge fails before the long work
    check_destinations(out)
    with tempfile.TemporaryDirectory(prefix="trueshot-") as folder:
        bare = Path(folder) / _DETECTOR  # without texts, because scores do not depend on them
        wordless = updated(card, {"title": "", "task": "", "licence": ""}, bundle)
        write_bundle(bare, replace(read, card=wordless))
        ledger = out.with_name(f"{out.name}.{bundle_sha256(bare)[:12]}.ledger")
        score = partial(gather, bare, ledger=ledger, workers=workers)
        beside: tuple[list[Path], list[Path]] = [], []
        known = score(photographs_of(Path(calibrate), "validation", task, beside[0]))
        if test is None and has_test_part(Path(calibrate), task):
            test = calibrate
        new = None if test is None else score(photographs_of(Path(test), "test", task, beside[1]))
    if new is not None:
        refuse_leak(known, new)
    settled = _likeliest if card.decision_rule == "top-class" else _thresholds
    about: dict[str, Any] = {"kind": settings.test_kind, "command": command}
    if test is not None:
        about["name"] = f"test photographs: {utf8_safe(Path(test).resolve().name)}"[:200]
    said = settled(card, known, new, settings, about)
    said |= {
        "calibrated_on": facts_of(known, Path(calibrate), len(beside[0])),
        "limits": (*settings.limits, *said["limits"]),
    }
    card = updated(card, said, bundle)
    write_bundle(out, replace(read, card=card))
    ledger.unlink()
    unread = (*known.unread, *(new.unread if new else ()))
    return Bundled(
        path=out,
        sha256=bundle_sha256(out),
        card=card,
        unread={each.photograph.name: each.error for each in unread},
        passed_over=(*beside[0], *beside[1]),
    )


def _thresholds(
    card: Card,
    known: Scores,
    new: Scores | None,
    settings: CalibrationSettings,
    about: Mapping[str, Any],
) -> dict[str, Any]:
    """Return the card's entries for a calibration of class 0 against all others.

    `about` has the kind, name and command of the measurement on `new`.
    """
    calibrated = partial(
        fit_all,
        side=card.input_contract().side,
        method=settings.method,
        apcer=settings.apcer,
        bpcer=settings.bpcer,
        by_kind=settings.by_kind,
        with_domain=not is_provable(card),
        margin=settings.margin,
        wording=card.words,
    )
    fitted = calibrated(known)
    measured: tuple[Measurement, ...] = ()
    limits = limits_of(fitted, known)
    if new is not None:
        measured = (measure(new, predict_all(fitted, new), note=note_on(new), **about),)
    else:
        try:
            measured = (_cross_validated(calibrated, fitted, known, about["command"]),)
        except CalibrationError as error:
            limits.insert(0, f"Its error rates were not measured: {error}.")
    return {
        "calibration": fitted.calibration,
        "decision": fitted.decision,
        "domain": fitted.domain,
        "measured": measured,
        "limits": tuple(limits),
    }


def _cross_validated(
    calibrated: Callable[..., FittedCalibration],
    fitted: FittedCalibration,
    known: Scores,
    command: str,
) -> Measurement:
    """Return error rates on the calibration photographs, each judged without its source.

    Raises:
        CalibrationError: There is only one source, or too little data without a fold.
    """
    answers = cross_validate(known, partial(calibrated, of_new_sources=fitted.of_new_sources))
    folds = min(FOLDS, len(set(known.sources)))
    note = (
        f"The calibration photographs themselves, their sources left out in turn ({folds} folds): "
        f"those left out are judged by a calibration on the others. {note_on(known)}"
    ).strip()
    name = "cross-validation over sources"
    return measure(known, answers, kind="clean", name=name, command=command, note=note)


def _likeliest(
    card: Card,
    known: Scores,
    new: Scores | None,
    settings: CalibrationSettings,
    about: Mapping[str, Any],
) -> dict[str, Any]:
    """Return the card's entries for a calibration where the likeliest class decides.

    `bpcer` is the share of photographs of known classes for which no class is named; for `about`,
    see `_thresholds`.
    """
    fitted = fit_likeliest(known, settings.bpcer)
    domain = domain_of(known, card.input_contract().side)
    measured: tuple[Measurement, ...] = ()
    limits = [
        "Probabilities hold for photographs like those calibrated. Of classes that it does not "
        "know, how many are said to be of none was not measured."
    ]
    if new is None:
        limits.append("Its error rates were not measured: no test photographs were named.")
    else:
        measured = (measure_likeliest(new, fitted, domain, note=note_on(new), **about),)
    return {"likeliest": fitted, "domain": domain, "measured": measured, "limits": tuple(limits)}


def detector_in(run: Path) -> Path:
    """Return the bundle in the folder of a training run, or the bundle itself.

    Raises:
        BundleError: `run` is an ONNX file.
    """
    if is_onnx(run):
        raise BundleError(f"{run}: an exported detector cannot be recalibrated; give its bundle")
    run = located(run)
    return run / _DETECTOR if run.is_dir() else run


def _with_contract(card: Card, settings: CalibrationSettings, bundle: Path) -> Card:
    """Return the card before calibration, without the entries of an earlier one."""
    wanted = {name: getattr(settings, name) for name in _CROP_OPTIONS}
    wanted = {name: value for name, value in wanted.items() if value is not None}
    if card.evidence is not None and wanted:
        options = ", ".join(_CROP_OPTIONS[name] for name in wanted)
        raise BundleError(f"{bundle}: keeps the crops it was joined with; leave out {options}")
    known = card.contract.model_dump() if card.contract else {"side": card.side}
    contract = {**known, **wanted}
    if contract["side"] is None:
        raise BundleError(f"{bundle}: its card does not state the crop size; give --size")
    said = {
        "contract": contract,
        "title": settings.title or card.title,
        "task": settings.task or card.task or _sentence(card.decides),
        "licence": settings.licence or card.licence,
        "calibration": None,
        "decision": None,
        "likeliest": None,
        "domain": None,
        "calibrated_on": None,
        "measured": (),
        "limits": (),
    }
    return updated(card, said, bundle)


def _refuse_unused(settings: CalibrationSettings, bundle: Path) -> None:
    """Raise a BundleError if settings of thresholds are not the defaults."""
    usual = CalibrationSettings()
    options = [
        option
        for name, option in _OF_THRESHOLDS.items()
        if getattr(settings, name) != getattr(usual, name)
    ]
    if options:
        raise BundleError(
            f"{bundle}: names the likeliest class; leave out {', '.join(options)}, which would "
            "have no effect"
        )


def _sentence(task: Task) -> str:
    """Return a sentence, for people, on what a detector of this task decides."""
    if task.classes == RECAPTURE.classes:
        return (
            "Tells originals, photographs straight from a camera, from recaptures: photos of a "
            "screen or of a print."
        )
    return f"{task.name}: tells {', '.join(task.classes[1:])} from {task.classes[0]}."
