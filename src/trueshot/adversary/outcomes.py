"""Results of attacks on photographs: verdicts counted separately for each class, with doubts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from trueshot.adversary.suite import PNG, Outcome
from trueshot.calibration.intervals import Interval, area_with_interval
from trueshot.evaluation.doubt import Doubt
from trueshot.files import write_json
from trueshot.proportion import Proportion
from trueshot.tasks import Wording
from trueshot.tasks.recapture import RECAPTURE
from trueshot.tasks.task import UNDECIDED
from trueshot.versions import versions

KIND = "trueshot-photographs"
FORMAT = 1
NO_ATTACK = "clean"
FEWEST = 30  # photographs per class, below which there is a doubt
_LOST = 0.1  # share of failing cases that `_lost` and `_rising` tolerate
_SAME = 0.02  # tolerated difference between attacked and judging score, as share of the largest

Counts = tuple[tuple[int, int], ...]
"""Pairs of originals and recaptures."""


@dataclass(frozen=True, kw_only=True)
class Tally:
    """Verdicts on photographs under one threat, at one budget, after one channel.

    All counts are pairs: originals, recaptures.

    Args:
        threat: `clean` for no attack, otherwise a threat of `PhotographSettings`.
        budget: In levels.
        channel: `png`, or another channel that the files passed.
        right: Photographs with the right verdict.
        undecided: Photographs without a verdict.
        wrong: Photographs with the verdict of the other class.
        proven: Photographs that are right without an attack and proven to stay so at this budget;
            counted for `clean`, `linf` and `region` only.
        auc: Area under the ROC curve of the scores; None if a class has no scores.
        auc_interval: Ends of its 95 % interval, resampled over sources; None likewise.
        by_source: The counts `right`, `undecided`, `wrong` and `proven` of each source; intervals
            resample whole sources. Not stored in files.
    """

    threat: str
    budget: float
    channel: str
    right: tuple[int, int]
    undecided: tuple[int, int]
    wrong: tuple[int, int]
    proven: tuple[int, int]
    auc: float | None
    auc_interval: tuple[float, float] | None
    by_source: tuple[Counts, ...] = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class PhotographResult:
    """Result of attacks on a set of photographs for one detector.

    Args:
        detector: Name of the detector.
        bundle_sha256: SHA-256 of the bundle file.
        data: Fingerprint of the photographs.
        settings: All settings of the attacks.
        tallies: One per threat, budget and channel; the first is without an attack.
        doubts: Reasons why these figures may be false.
        cost: Means over attacks: `forward` and `backward` calls, `seconds`, `ssim` of the files.
        outcomes: One per photograph, threat and budget.
        unread: Names of photographs that could not be read; no figure counts them.
        unscored: Names of photographs that the detector gives no score, so that there is nothing to
            attack; it leaves them undecided, and no figure counts them. Missing in older results.
    """

    detector: str
    bundle_sha256: str
    data: str
    settings: str
    tallies: tuple[Tally, ...]
    doubts: tuple[Doubt, ...]
    cost: Mapping[str, float]
    outcomes: tuple[Outcome, ...]
    unread: tuple[str, ...] = ()
    unscored: tuple[str, ...] = ()

    def save(self, path: Path) -> None:
        """Write the result atomically as JSON."""
        content = asdict(self)
        for tally in content["tallies"]:
            del tally["by_source"]
        write_json(path, {"kind": KIND, "format": FORMAT, "versions": versions(), **content})

    def table(self) -> str:
        """Return a Markdown table of shares in per cent with 95 % intervals, for each class.

        All intervals resample sources; a photograph of unknown source is its own.
        """
        head = (
            "| attack | budget | file | originals right | undecided | wrong "
            "| recaptures right | undecided | wrong | proven | AUC |\n" + "|---" * 11 + "|"
        )
        left_out = {
            "Photographs without a score, which were not attacked": self.unscored,
            "Photographs that could not be read": self.unread,
        }
        notes = [f"\n{why}: {len(names)}" for why, names in left_out.items() if names]
        return "\n".join([head, *map(_row, self.tallies), *notes])


def result_of(
    outcomes: Sequence[Outcome], wording: Wording = RECAPTURE.words, **facts: Any
) -> PhotographResult:
    """Summarise outcomes as a result.

    Args:
        outcomes: Outcomes of photographs that have a score.
        wording: Words of the verdicts.
        facts: The remaining fields of the result.
    """
    groups: dict[tuple[str, float, str], list[Outcome]] = {}
    for each in outcomes:
        for channel in each.verdicts:
            groups.setdefault((each.threat, each.budget, channel), []).append(each)
    first = {(each.name, each.label): each for each in reversed(outcomes)}.values()
    tallies = [_tally(NO_ATTACK, 0.0, PNG, list(reversed(list(first))), wording)]
    tallies += [_tally(*case, those, wording) for case, those in groups.items()]
    names = ("forward", "backward", "seconds", "ssim")
    cost = {name: float(np.mean([getattr(e, name) for e in outcomes] or [0])) for name in names}
    return PhotographResult(
        tallies=tuple(tallies),
        doubts=tuple(doubts_of(outcomes, wording)),
        cost=cost,
        outcomes=tuple(outcomes),
        **facts,
    )


def _tally(
    threat: str, budget: float, channel: str, outcomes: Sequence[Outcome], wording: Wording
) -> Tally:
    is_clean = threat == NO_ATTACK
    verdicts = [each.clean if is_clean else each.verdicts[channel] for each in outcomes]
    scores = [each.clean_score if is_clean else each.scores[channel] for each in outcomes]
    labels = np.array([each.label for each in outcomes], np.int64)
    truth = [wording.verdicts[label] for label in labels]
    right = np.array([said == true for said, true in zip(verdicts, truth, strict=True)], bool)
    undecided = np.array([said == UNDECIDED for said in verdicts], bool)
    bounded = threat in (NO_ATTACK, "linf", "region")
    proven = np.array(
        [
            bounded
            and each.clean == true
            and each.certified_radius is not None
            and each.certified_radius >= budget
            for each, true in zip(outcomes, truth, strict=True)
        ],
        bool,
    )
    sources = [each.source or each.name for each in outcomes]
    area = _area(scores, labels, sources)
    number = np.unique(sources, return_inverse=True)[1].reshape(-1)
    counted = (right, undecided, ~right & ~undecided, proven)
    return Tally(
        threat=threat,
        budget=budget,
        channel=channel,
        right=_by_class(right, labels),
        undecided=_by_class(undecided, labels),
        wrong=_by_class(~right & ~undecided, labels),
        proven=_by_class(proven, labels),
        auc=None if area is None else area.value,
        auc_interval=None if area is None else (area.low, area.high),
        by_source=tuple(
            tuple(_by_class(flags & (number == one), labels) for flags in counted)
            for one in range(number.max(initial=-1) + 1)
        ),
    )


def _by_class(flags: npt.NDArray[np.bool_], labels: npt.NDArray[np.int64]) -> tuple[int, int]:
    return int((flags & (labels == 0)).sum()), int((flags & (labels == 1)).sum())


def _area(
    scores: Sequence[float | None], labels: npt.NDArray[np.int64], sources: Sequence[str]
) -> Interval | None:
    known = [number for number, score in enumerate(scores) if score is not None]
    values = np.array([scores[number] for number in known], np.float64)
    if len(set(labels[known].tolist())) < 2:
        return None
    return area_with_interval(values, labels[known], [sources[number] for number in known])


def doubts_of(outcomes: Sequence[Outcome], wording: Wording = RECAPTURE.words) -> Iterator[Doubt]:
    """Yield the reasons why the figures may be false that show in the outcomes alone."""
    attacked = [e for e in outcomes if e.clean != wording.verdicts[1 - e.label]]
    yield from _beaten(attacked)
    yield from _misled(attacked, outcomes)
    yield from _lost(attacked, wording)
    yield from _rising(attacked, wording)
    counts = [len({e.name for e in outcomes if e.label == label}) for label in (0, 1)]
    if min(counts) < FEWEST:
        yield Doubt(
            name="too-few-images",
            finding=f"{counts[0]} originals and {counts[1]} recaptures: with fewer than {FEWEST} "
            "of a class intervals are too wide for most questions.",
            evidence={"originals": float(counts[0]), "recaptures": float(counts[1])},
        )


def _beaten(outcomes: Iterable[Outcome]) -> Iterator[Doubt]:
    beaten = [
        each
        for each in outcomes
        if each.threat in ("linf", "region")
        and (each.certified_radius or -1.0) >= each.budget
        and each.verdicts[PNG] != each.clean
    ]
    if beaten:
        yield Doubt(
            name="attack-beats-certificate",
            finding=f"{len(beaten)} verdicts turned within the radius that they were proven to "
            f"hold for: {beaten[0].name}, {beaten[0].budget:g} levels.",
            evidence={"beaten": float(len(beaten))},
        )


def _misled(attacked: Sequence[Outcome], outcomes: Sequence[Outcome]) -> Iterator[Doubt]:
    most = max((abs(each.clean_score) for each in outcomes), default=0.0)
    apart = [abs(each.modelled - each.clean_score) for each in outcomes]
    if apart and max(apart) > _SAME * most:
        yield Doubt(
            name="differs-under-gradient",
            finding=f"What was attacked says {max(apart):.3g} more or less than what judges.",
            evidence={"difference": max(apart)},
        )
    # A photograph outside the domain may be undecided although its score is at the goal already.
    begun = [e for e in attacked if e.goal is None or _towards(e, e.goal - e.modelled) > 0]
    still = [e for e in begun if _towards(e, e.reached - e.modelled) <= 0]
    if begun and len(still) > 0.2 * len(begun):
        yield Doubt(
            name="gradient-misleads",
            finding=f"Of {len(begun)} attacks {len(still)} did not move the score where they "
            "wanted it, in memory.",
            evidence={"attacks": float(len(begun)), "still": float(len(still))},
        )


def _towards(each: Outcome, change: float) -> float:
    """Return a change of the score, positive if it leads away from the photograph's class."""
    return change * (1 - 2 * each.label)


def _lost(attacked: Sequence[Outcome], wording: Wording) -> Iterator[Doubt]:
    """Yield a doubt if rounding undid most of the score change in over a tenth of the attacks."""
    moved = [e for e in attacked if abs(e.reached - e.modelled) > 0 and e.scores[PNG] is not None]
    lost = [
        e
        for e in moved
        if abs((e.scores[PNG] or 0.0) - e.clean_score) < abs(e.reached - e.modelled) / 2
        and e.verdicts[PNG] != wording.verdicts[1 - e.label]
    ]
    if moved and len(lost) > _LOST * len(moved):
        yield Doubt(
            name="attack-lost-by-rounding",
            finding=f"Of {len(moved)} attacks that moved a score, whole levels undid {len(lost)}.",
            evidence={"moved": float(len(moved)), "lost": float(len(lost))},
        )


def _rising(attacked: Sequence[Outcome], wording: Wording) -> Iterator[Doubt]:
    """Yield a doubt if over a tenth of photographs turn at a budget but not at a larger one."""
    turned = {
        (e.threat, e.name, e.budget): e.verdicts[PNG] == wording.verdicts[1 - e.label]
        for e in attacked
    }
    rising = {
        (threat, name)
        for (threat, name, budget), is_turned in turned.items()
        for (other, same, larger), also in turned.items()
        if (threat, name) == (other, same) and budget < larger and is_turned and not also
    }
    names = {(threat, name) for threat, name, _ in turned}
    if names and len(rising) > _LOST * len(names):
        yield Doubt(
            name="accuracy-rises-with-budget",
            finding=f"{len(rising)} of {len(names)} photographs turn at a budget and not at a "
            "larger one.",
            evidence={"photographs": float(len(names)), "rising": float(len(rising))},
        )


def _row(each: Tally) -> str:
    cells = [each.threat, f"{each.budget:g}", each.channel]
    for label in (0, 1):
        cells += [_share(each, count, (label,)) for count in range(3)]
    cells.append(_share(each, 3, (0, 1)))
    if each.auc is None or each.auc_interval is None:
        cells.append("")
    else:
        cells.append(f"{each.auc:.3f} ({each.auc_interval[0]:.2f}–{each.auc_interval[1]:.2f})")
    return "| " + " | ".join(cells) + " |"


def _share(tally: Tally, count: int, labels: Sequence[int]) -> str:
    """Return the share of a count, by its place in `by_source`, among photographs of classes."""
    groups = tuple(
        (sum(each[count][label] for label in labels), total)
        for each in tally.by_source
        if (total := sum(verdicts[label] for verdicts in each[:3] for label in labels))
    )
    if not groups:
        return ""
    found = Proportion(sum(hits for hits, _ in groups), sum(total for _, total in groups), groups)
    low, high = found.interval95
    return f"{100 * found.share:.0f} ({100 * low:.0f}–{100 * high:.0f})"
