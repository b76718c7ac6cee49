"""Error rates of verdicts and likelihood ratios, on photographs that did not calibrate them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from trueshot.bundling.evidence import Evidence, numbered
from trueshot.calibration import (
    Calibration,
    Decision,
    Domain,
    choose_thresholds,
    cllr,
    cllr_min,
    cluster_bootstrap,
    equal_error_rate,
    fit,
    fit_domain,
    needed,
    rate_with_interval,
)
from trueshot.calibration.rates import of_kinds
from trueshot.calibration.samples import Floats, Labels
from trueshot.card import Measurement, Rate
from trueshot.errors import CalibrationError

FOLDS = 10
_MOST_KINDS = 20  # as many as a card holds
_DRAWS = 1000

Flags = NDArray[np.bool_]
Kind = Literal["clean", "attacked", "everyday", "real"]


@dataclass(frozen=True, kw_only=True)
class Settled:
    """All that calibration settles.

    Args:
        calibration: From scores to likelihood ratios.
        decision: From scores to verdicts.
        domain: What was calibrated for.
        of_new_sources: Whether the thresholds hold for photographs of sources that were not seen.
    """

    calibration: Calibration
    decision: Decision
    domain: Domain
    of_new_sources: bool


@dataclass(frozen=True, kw_only=True, eq=False)
class Answers:
    """What was said of photographs, in the order of their evidence.

    Args:
        verdicts: "original", "recaptured" or "undecided".
        log10_lrs: Not a number where there is no score.
    """

    verdicts: list[str]
    log10_lrs: Floats


def settle(evidence: Evidence, side: int, method: str, *, apcer: float, bpcer: float) -> Settled:
    """Calibrate on photographs that have scores.

    Raises:
        CalibrationError: There are too few for these rates.
    """
    scored = evidence.scored()
    scores, labels, sources = scored.scores, scored.labels, scored.sources
    if len(set(labels.tolist())) < 2:
        raise CalibrationError(
            f"only {len(scores)} of {len(evidence.findings)} photographs have a crop of {side} px "
            "with texture, and not of both classes"
        )
    enough = _sources_of(sources, labels, 0) >= needed(bpcer)
    enough = enough and _sources_of(sources, labels, 1) >= needed(apcer)
    return Settled(
        calibration=fit(method, scores, labels, sources),
        decision=choose_thresholds(
            scores,
            labels,
            sources if enough else None,
            scored.kinds,
            apcer=apcer,
            bpcer=bpcer,
        ),
        domain=fit_domain(
            [each.features for each in scored.findings],
            [each.crops for each in scored.findings],
            side=side,
        ),
        of_new_sources=enough,
    )


def answer(settled: Settled, evidence: Evidence) -> Answers:
    """What a bundle calibrated like that says of photographs, as `Judge` does."""
    verdicts: list[str] = []
    ratios: list[float] = []
    for each in evidence.findings:
        inside = each.score is not None and not settled.domain.reasons(each.features, each.crops)
        verdicts.append(settled.decision.verdict(each.score or 0.0) if inside else "undecided")
        ratio = np.nan if each.score is None else settled.calibration.log10_lr(each.score).item()
        ratios.append(ratio)
    return Answers(verdicts=verdicts, log10_lrs=np.array(ratios, dtype=np.float64))


def answer_crosswise(
    evidence: Evidence, calibrate: Callable[[Evidence], Settled], folds: int = FOLDS
) -> Answers:
    """Answers on each photograph by a calibration on other sources than its own.

    Raises:
        CalibrationError: There is one source only, or without a fold there is too little left.
    """
    if len(set(evidence.sources)) < 2:
        raise CalibrationError(
            "all photographs are of one source: nothing can be measured on others; name a test set"
        )
    verdicts = np.full(len(evidence.findings), "undecided", dtype=object)
    ratios = np.full(len(evidence.findings), np.nan)
    for fold in numbered(evidence.sources, folds):
        rest = np.setdiff1d(np.arange(len(verdicts)), fold)
        answers = answer(calibrate(evidence.those(rest)), evidence.those(fold))
        verdicts[fold], ratios[fold] = answers.verdicts, answers.log10_lrs
    return Answers(verdicts=verdicts.tolist(), log10_lrs=ratios)


def measure(
    evidence: Evidence,
    answers: Answers,
    *,
    kind: Kind,
    name: str,
    command: str = "",
    note: str = "",
) -> Measurement:
    """All error rates, with intervals that draw sources."""
    verdicts, labels = np.array(answers.verdicts), evidence.labels
    sources = np.array(evidence.sources, dtype=object)

    def rate(what: str, among: Flags) -> Rate:
        return _rate(verdicts[among] == what, sources[among].tolist())

    kinds = of_kinds(labels, evidence.kinds)
    scored = evidence.scored()
    has_ratio = ~np.isnan(answers.log10_lrs)
    return Measurement(
        kind=kind,
        name=name,
        apcer=rate("original", labels == 1),
        apcer_by_kind={k: rate("original", of) for k, of in kinds.items()}
        if 1 < len(kinds) <= _MOST_KINDS
        else {},
        bpcer=rate("recaptured", labels == 0),
        undecided_originals=rate("undecided", labels == 0),
        undecided_recaptures=rate("undecided", labels == 1),
        **_over_all_thresholds(scored),
        cllr=cllr(answers.log10_lrs[has_ratio], labels[has_ratio]),
        cllr_min=cllr_min(scored.scores, scored.labels),
        photographs=len(labels),
        sources=len(set(evidence.sources)),
        command=command,
        note=note,
    )


def _over_all_thresholds(scored: Evidence) -> dict[str, Rate]:
    """Equal error rate and area under the curve, with cluster bootstraps."""
    from scipy.stats import rankdata

    scores, labels = scored.scores, scored.labels

    def both(chosen: Labels) -> bool:
        return 0 < int(labels[chosen].sum()) < len(chosen)

    def equal(chosen: Labels) -> float:
        return equal_error_rate(scores[chosen], labels[chosen])[0] if both(chosen) else np.nan

    def area(chosen: Labels) -> float:
        recaptured = labels[chosen] == 1
        ones = int(recaptured.sum())
        below = rankdata(scores[chosen])[recaptured].sum() - ones * (ones + 1) / 2
        return float(below) / (ones * (len(chosen) - ones)) if both(chosen) else np.nan

    _, threshold = equal_error_rate(scores, labels)
    wrong = int(((scores >= threshold) != (labels == 1)).sum())
    return {
        "equal_error_rate": _drawn(equal, scored.sources, wrong, len(labels)),
        "auc": _drawn(area, scored.sources, int(labels.sum()), len(labels)),
    }


def _drawn(
    statistic: Callable[[Labels], float], sources: Sequence[str], count: int, total: int
) -> Rate:
    found = cluster_bootstrap(statistic, sources, draws=_DRAWS)
    low, high = max(0.0, found.low), min(1.0, found.high)
    return Rate(value=found.value, low=low, high=high, count=count, total=total)


def _rate(hits: Flags, sources: Sequence[str]) -> Rate:
    found = rate_with_interval(hits, sources)
    return Rate(
        value=found.value, low=found.low, high=found.high, count=found.count, total=found.total
    )


def _sources_of(sources: Sequence[str], labels: Labels, label: int) -> int:
    return len({source for source, own in zip(sources, labels, strict=True) if own == label})
