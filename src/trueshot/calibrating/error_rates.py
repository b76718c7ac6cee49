"""Error rates of verdicts and likelihood ratios, on photographs not used for calibration."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from trueshot.calibrating.scores import Scores, group_folds
from trueshot.calibration import (
    Calibration,
    Decision,
    Domain,
    choose_thresholds,
    cllr,
    cllr_min,
    equal_error_rate,
    fit,
    fit_domain,
    needed,
    rate_with_interval,
    share_with_interval,
)
from trueshot.calibration.intervals import Interval, area_with_interval, sources_of_class
from trueshot.calibration.samples import Floats, Labels, of_kinds
from trueshot.card import Measurement, Rate, RatioSample
from trueshot.errors import CalibrationError
from trueshot.tasks import Wording
from trueshot.tasks.recapture import RECAPTURE
from trueshot.tasks.task import UNDECIDED

FOLDS = 10
_MOST_KINDS, _LONGEST = 20, 1000  # what a card holds: kinds, and characters of a note or command
_DRAWS = 1000

Flags = NDArray[np.bool_]
Kind = Literal["clean", "attacked", "everyday", "real"]


@dataclass(frozen=True, kw_only=True)
class FittedCalibration:
    """Everything that calibration fits.

    Args:
        calibration: From scores to likelihood ratios.
        decision: From scores to verdicts.
        domain: The photographs it is valid for; None for a detector that judges any photograph.
        of_new_sources: Whether the thresholds hold for photographs from unseen sources.
        wording: Words of the verdicts.
    """

    calibration: Calibration
    decision: Decision
    domain: Domain | None
    of_new_sources: bool
    wording: Wording = RECAPTURE.words


@dataclass(frozen=True, kw_only=True, eq=False)
class Answers:
    """Verdicts and likelihood ratios of photographs, in the order of their scores.

    Args:
        verdicts: Words of the task, or "undecided".
        log10_lrs: NaN where there is no score.
        wording: Words of the verdicts.
    """

    verdicts: list[str]
    log10_lrs: Floats
    wording: Wording = RECAPTURE.words


def fit_all(
    evidence: Scores,
    side: int,
    method: str,
    *,
    apcer: float,
    bpcer: float,
    of_new_sources: bool | None = None,
    by_kind: bool = True,
    with_domain: bool = True,
    margin: float = 0.0,
    wording: Wording = RECAPTURE.words,
) -> FittedCalibration:
    """Fit calibration, thresholds and domain to photographs with scores.

    Args:
        evidence: The photographs.
        side: Height and width of their crops, in pixels.
        method: `logistic` or `isotonic`.
        apcer: Target rate, see `choose_thresholds`.
        bpcer: Target rate, see `choose_thresholds`.
        of_new_sources: Whether the rates have to hold for unseen sources; by default if there are
            enough sources for it.
        by_kind: Whether the rate of recaptures has to hold for each of their kinds, instead of
            for all together.
        with_domain: Whether photographs unlike the calibrated ones are undecided.
        margin: How much an adversary may lower the score of a recapture; the threshold up to
            which a photograph is of class 0 is lowered by it.
        wording: Names of classes and rates in error messages.

    Raises:
        CalibrationError: There are too few photographs for these rates.
    """
    scored = evidence.scored()
    scores, labels, sources = scored.scores, scored.labels, scored.sources
    if len(set(labels.tolist())) < 2:
        raise CalibrationError(
            f"only {len(scores)} of {len(evidence.findings)} photographs have a crop of {side} px "
            "with texture, and these are not of both classes; add photographs"
        )
    if of_new_sources is None:
        wanted = (needed(bpcer), needed(apcer))
        of_new_sources = all(
            sources_of_class(sources, labels, label) >= count for label, count in enumerate(wanted)
        )
    decision = choose_thresholds(
        scores,
        labels,
        sources if of_new_sources else None,
        scored.kinds if by_kind else None,
        apcer=apcer,
        bpcer=bpcer,
        wording=wording,
    )
    return FittedCalibration(
        calibration=fit(method, scores, labels, sources),
        decision=decision.model_copy(update={"original_to": decision.original_to - margin}),
        domain=_domain(scored, side) if with_domain else None,
        of_new_sources=of_new_sources,
        wording=wording,
    )


def _domain(scored: Scores, side: int) -> Domain:
    findings = scored.findings
    return fit_domain(
        [each.features for each in findings], [each.crops for each in findings], side=side
    )


def predict_all(fitted: FittedCalibration, evidence: Scores) -> Answers:
    """Return the answers of a bundle with this calibration, as `Predictor` would give them."""
    verdicts: list[str] = []
    ratios: list[float] = []
    for each in evidence.findings:
        domain = fitted.domain
        unlike = domain is not None and domain.reasons(each.features, each.crops)
        inside = each.score is not None and not unlike
        said = fitted.decision.verdict(each.score or 0.0, fitted.wording) if inside else UNDECIDED
        verdicts.append(said)
        ratio = np.nan if each.score is None else fitted.calibration.log10_lr(each.score).item()
        ratios.append(ratio)
    ratios_found = np.array(ratios, dtype=np.float64)
    return Answers(verdicts=verdicts, log10_lrs=ratios_found, wording=fitted.wording)


def cross_validate(
    evidence: Scores, calibrate: Callable[[Scores], FittedCalibration], folds: int = FOLDS
) -> Answers:
    """Judge each photograph by a calibration fitted to other sources.

    Raises:
        CalibrationError: There is only one source, or too little data remains without a fold.
    """
    if len(set(evidence.sources)) < 2:
        raise CalibrationError(
            "all photographs are of one source, so rates for others are unknown; give a test set"
        )
    verdicts = np.full(len(evidence.findings), UNDECIDED, dtype=object)
    ratios = np.full(len(evidence.findings), np.nan)
    for fold in group_folds(evidence.sources, folds):
        rest = np.setdiff1d(np.arange(len(verdicts)), fold)
        fitted = calibrate(evidence.subset(rest))
        answers = predict_all(fitted, evidence.subset(fold))
        verdicts[fold], ratios[fold] = answers.verdicts, answers.log10_lrs
    return Answers(verdicts=verdicts.tolist(), log10_lrs=ratios, wording=answers.wording)


def measure(
    evidence: Scores,
    answers: Answers,
    *,
    kind: Kind,
    name: str,
    command: str = "",
    note: str = "",
) -> Measurement:
    """Compute all error rates, with intervals that resample sources.

    What compares scores of both classes (EER, AUC, Cllr, ratios) is None if a class has none.
    `command` and `note` are shortened to what a card holds.
    """
    verdicts, labels = np.array(answers.verdicts), evidence.labels
    sources = np.array(evidence.sources, dtype=object)

    def rate(what: str, among: Flags) -> Rate:
        return rate_with_interval(verdicts[among] == what, sources[among].tolist())

    first, other = answers.wording.verdicts
    kinds = of_kinds(labels, evidence.kinds, other)
    by_kind = {name: rate(first, of) for name, of in kinds.items()}
    worst = sorted(by_kind, key=lambda k: (by_kind[k].value, by_kind[k].high))[-_MOST_KINDS:]
    compared, few = _compared(evidence.scored(), answers.log10_lrs[~np.isnan(answers.log10_lrs)])
    notes = (note, few, _note_on_kinds(len(by_kind), answers.wording))
    return Measurement(
        kind=kind,
        name=name,
        apcer=by_kind[worst[-1]],
        apcer_by_kind={k: by_kind[k] for k in sorted(worst)} if len(by_kind) > 1 else {},
        bpcer=rate(other, labels == 0),
        undecided_originals=rate(UNDECIDED, labels == 0),
        undecided_recaptures=rate(UNDECIDED, labels == 1),
        **compared,
        photographs=len(labels),
        sources=len(set(evidence.sources)),
        command=cut(command),
        note=cut(" ".join(filter(None, notes))),
    )


def _compared(scored: Scores, log10_lrs: Floats) -> tuple[dict[str, Any], str]:
    """Return what compares the scores or ratios of both classes, and any caveat about it."""
    scores, labels, sources = scored.scores, scored.labels, scored.sources
    if len(set(labels.tolist())) < 2:
        return {}, "EER, AUC and Cllr were not measured: they need scores of both classes."

    def equal(chosen: Labels) -> float:
        is_both = 0 < int(labels[chosen].sum()) < len(chosen)
        return equal_error_rate(scores[chosen], labels[chosen])[0] if is_both else np.nan

    trials = min(sources_of_class(sources, labels, label) for label in (0, 1))
    equal_error = share_with_interval(equal, sources, trials=trials, draws=_DRAWS)
    area_under = area_with_interval(scores, labels, sources, draws=_DRAWS)
    _, threshold = equal_error_rate(scores, labels)
    wrong = int(((scores >= threshold) != (labels == 1)).sum())
    note = equal_error.note or area_under.note
    return {
        "equal_error_rate": _as_rate(equal_error, wrong, len(labels)),
        "auc": _as_rate(area_under, int(labels.sum()), len(labels)),
        "cllr": cllr(log10_lrs, labels),
        "cllr_min": cllr_min(scores, labels),
        "ratios": RatioSample.of(log10_lrs, labels),
    }, f"Equal error rate and area under the curve: {note}." if note else ""


def _as_rate(found: Interval, count: int, total: int) -> Rate:
    return Rate(value=found.value, low=found.low, high=found.high, count=count, total=total)


def _note_on_kinds(count: int, wording: Wording) -> str:
    if count <= _MOST_KINDS:
        return ""
    missed = wording.errors[1]
    return f"Of {count} kinds the {_MOST_KINDS} with the highest {missed} are named."


def cut(text: str) -> str:
    """Shorten a note or command to what a card holds."""
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
