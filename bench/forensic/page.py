"""Write docs/security-of-forensics.md from results: tables of all detectors, and conclusions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Template

import numpy as np
import numpy.typing as npt

from forensic.plan import PGD, PLAIN, SECURE, SUBJECTS, Subject, Trained
from trueshot.evaluation.result import EvaluationResult, load_result
from trueshot.proportion import Proportion

NOT_YET = "not yet"

_TEXT = Path(__file__).with_name("page.md")


@dataclass(frozen=True, kw_only=True)
class Measured:
    """The results of one detector; those that are not there yet are None."""

    subject: Subject
    trained: Trained
    singles: EvaluationResult | None
    more: EvaluationResult | None
    strong: EvaluationResult | None

    def __post_init__(self) -> None:
        bundles = {one.bundle_sha256 for one in (self.singles, self.more, self.strong) if one}
        if len(bundles) > 1:
            raise ValueError(f"{self.subject.run_of(self.trained)}: results of two detectors")

    @property
    def clean(self) -> Proportion | None:
        """Share right without an attack."""
        return self.alone("clean", 0.0)

    def alone(self, attack: str, budget: float, threat: str = "linf") -> Proportion | None:
        """Return the share right under one attack, or None if it was not measured."""
        for result in filter(None, (self.singles, self.more)):
            for single in result.singles(threat):
                if (single.attack, single.budget) == (attack, budget):
                    return single.proportion
        return None

    @property
    def in_memory(self) -> Proportion | None:
        """Share right under PGD at one level before rounding to whole levels."""
        if self.singles is None:
            return None
        trial = self.singles.trial("pgd", 1.0)
        return _of_groups(trial.was_tried & ~trial.was_broken_before_file, self.singles.groups)

    @property
    def called_untouched(self) -> Proportion | None:
        """Share of other classes called class 0 under an attack that targets class 0."""
        if self.singles is None:
            return None
        found = [t for t in self.singles.trials if t.threat == "untouched" and t.target == 0]
        return self.singles.called_target(found[0]) if found else None

    @property
    def worst(self) -> Proportion | None:
        """Share right under every attack of the strong suite."""
        return None if self.strong is None else self.strong.worst_case("linf", 1.0).proportion


COLUMNS: tuple[tuple[str, Callable[[Measured], Proportion | None]], ...] = (
    ("no attack", lambda one: one.clean),
    ("FGSM, ε = 1", lambda one: one.alone("fgsm", 1.0)),
    ("LLCM, 1", lambda one: one.alone("llcm", 1.0)),
    ("PGD, 1", lambda one: one.alone("pgd", 1.0)),
    ("PGD, 1, before the file", lambda one: one.in_memory),
    ("FGSM, 2", lambda one: one.alone("fgsm", 2.0)),
    ("PGD, 2", lambda one: one.alone("pgd", 2.0)),
    ("worst case, 1", lambda one: one.worst),
    ("called class 0, 1", lambda one: one.called_untouched),
    ("JPEG 75", lambda one: one.alone("clean", 0.0, "jpeg-75")),
    ("PGD, 1, JPEG 75", lambda one: one.alone("pgd", 1.0, "jpeg-75")),
)


def loaded(results: Path) -> list[Measured]:
    """Load every detector of the plan with its results."""
    return [
        Measured(
            subject=subject,
            trained=trained,
            singles=_read(results, subject.result(trained, "forensics")),
            more=_read(results, subject.result(trained, "more")),
            strong=_read(results, subject.result(trained, "strong")),
        )
        for subject in SUBJECTS
        for trained in subject.detectors
    ]


def page(results: Path) -> str:
    """Return the page in Markdown.

    Args:
        results: Folder of results, as `trueshot evaluate` wrote them.
    """
    measured = loaded(results)
    parts = {
        "table": _table(measured),
        "conclusions": _conclusions(measured),
        "aims": _aims(measured),
        "transfers": _transfers(results),
        "commands": _commands(),
    }
    text = Template(_TEXT.read_text("utf-8"))
    return text.substitute({name: "\n".join(lines) for name, lines in parts.items()})


def _read(results: Path, path: str) -> EvaluationResult | None:
    file = results / Path(path).name
    return load_result(file) if file.exists() else None


def _of_groups(right: npt.NDArray[np.bool_], groups: Sequence[int]) -> Proportion:
    counts, totals = np.bincount(groups, right), np.bincount(groups)
    pairs = tuple((int(count), int(total)) for count, total in zip(counts, totals, strict=True))
    return Proportion(int(right.sum()), len(right), pairs)


def _cell(share: Proportion | None) -> str:
    if share is None:
        return NOT_YET
    low, high = share.interval95
    return f"{100 * share.share:.1f} ({100 * low:.0f}–{100 * high:.0f})"


def _rows(header: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(header)} |"
    yield "|" + "---|" * len(header)
    for row in rows:
        yield f"| {' | '.join(row)} |"


def _table(measured: Sequence[Measured]) -> Iterator[str]:
    rows, missing = [], []
    for one in measured:
        found = one.singles
        name = one.trained.recipe.removesuffix("-secure").removesuffix("-pgd")
        stub = (one.subject.title, f"`{name}`", one.trained.kind)
        if found is None:
            missing.append(f"{stub[0]}: {stub[1]}, {stub[2]}")
            continue
        crops = f"{sum(found.total)} of {found.group_count}"
        rows.append((*stub, crops, *(_cell(share(one)) for _, share in COLUMNS)))
    names = [name for name, _ in COLUMNS]
    yield from _rows(("task", "network", "training", "crops, of photographs", *names), rows)
    if missing:
        yield f"\nIn the plan, and {NOT_YET} measured at all: {'; '.join(missing)}."


def _span(shares: Sequence[Proportion]) -> str:
    values = sorted(100 * share.share for share in shares)
    low, high = f"{values[0]:.1f}", f"{values[-1]:.1f} %"
    return high if len(values) == 1 else f"{low} to {high}"


def _known(
    measured: Sequence[Measured], kind: str, share: Callable[[Measured], Proportion | None]
) -> list[Proportion]:
    found = (share(one) for one in measured if one.trained.kind == kind)
    return [each for each in found if each is not None]


def _conclusions(measured: Sequence[Measured]) -> Iterator[str]:
    """Yield sentences that summarise the available results and say how many there are."""
    for kind in (PLAIN, SECURE, PGD):
        yield from _of_kind(measured, kind)
    yield from _costs(measured)


def _of_kind(measured: Sequence[Measured], kind: str) -> Iterator[str]:
    clean = _known(measured, kind, lambda one: one.clean)
    if not clean:
        yield f"- {kind}: nothing measured yet, and nothing concluded."
        return
    columns = {name: _known(measured, kind, share) for name, share in COLUMNS}
    fgsm, pgd = columns["FGSM, ε = 1"], columns["PGD, 1"]
    count = f"{len(clean)} detector{'s' * (len(clean) > 1)}"
    text = f"- {kind}, {count}: right {_span(clean)} without an attack"
    if fgsm and pgd:
        text += f"; FGSM of one level leaves {_span(fgsm)}, PGD of one level {_span(pgd)}"
    if worst := columns["worst case, 1"]:
        text += f" (worst case of the strong suite, on fewer crops: {_span(worst)})"
    if wanted := columns["called class 0, 1"]:
        text += f"; PGD that targets class 0 gets {_span(wanted)} of the others called class 0"
    yield f"{text}."


def _costs(measured: Sequence[Measured]) -> Iterator[str]:
    """Yield what each training gains and costs compared with the plain detector it started from."""
    plain = {
        (one.subject.key, one.trained.recipe): one
        for one in measured
        if one.trained.kind == PLAIN and one.singles is not None
    }
    for one in measured:
        before = plain.get((one.subject.key, one.trained.start))
        if before is None or one.singles is None:
            continue
        gained = [_gained(share(before), share(one)) for share in (_clean, _fgsm, _pgd)]
        clean, fgsm, pgd = gained
        yield (
            f"- {one.subject.title}, {one.trained.kind}, {one.trained.iterations} steps more than "
            f"plain: {clean} points without an attack, {fgsm} under FGSM of one level, {pgd} under "
            "PGD."
        )


def _clean(one: Measured) -> Proportion | None:
    return one.clean


def _fgsm(one: Measured) -> Proportion | None:
    return one.alone("fgsm", 1.0)


def _pgd(one: Measured) -> Proportion | None:
    return one.alone("pgd", 1.0)


def _gained(before: Proportion | None, now: Proportion | None) -> str:
    if before is None or now is None:
        return NOT_YET
    return f"{100 * (now.share - before.share):+.1f}"


def _aims(measured: Sequence[Measured]) -> Iterator[str]:
    rows = []
    for subject in SUBJECTS:
        found = [
            one.clean
            for one in measured
            if one.subject == subject and one.trained.kind == PLAIN and one.clean is not None
        ]
        best = max(found, key=lambda share: share.share, default=None)
        aim = "none" if subject.aim is None else f"{subject.aim:.0f} %"
        reached = NOT_YET if best is None else _reached(best, subject.aim)
        published = "; ".join(filter(None, (subject.published, subject.note)))
        rows.append((subject.title, published, aim, _cell(best), reached))
    yield from _rows(("task", "published", "aimed at", "best plain", "reached"), rows)


def _reached(best: Proportion, aim: float | None) -> str:
    if aim is None:
        return "measured only"
    return "yes" if 100 * best.share >= aim else "no"


def _transfers(results: Path) -> Iterator[str]:
    rows = []
    for subject in SUBJECTS:
        for judge, source in subject.transfers():
            found = _read(results, subject.lent(judge, source))
            left = None
            if found is not None:
                left = found.single("transfer", 1.0).proportion
            rows.append((subject.title, f"`{source.recipe}`", f"`{judge.recipe}`", _cell(left)))
    yield from _rows(("task", "attacked on", "judged by", "right"), rows)


def _commands() -> Iterator[str]:
    """Yield the commands that make data and detectors, and one evaluation command of each kind."""
    shown = set()
    for subject in SUBJECTS:
        for step in subject.steps():
            if step.words[0] == "evaluate" and step.stage in shown:
                continue
            shown.add(step.stage)
            yield step.line.replace(str(Path(__file__).parents[1]), "bench")
