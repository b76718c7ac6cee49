"""Results in words. The figures select every sentence, so the text always agrees with them.

`MUCH` and `SOME` are the thresholds for the wording: a difference of accuracy of at least 25
points counts as large, one of at least 10 points as moderate.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from trueshot.evaluation.result import EvaluationResult
from trueshot.evaluation.tally import CLEAN, SingleAttack, Tally, WorstCase
from trueshot.reports.comparison import Comparison, Standing, standings
from trueshot.reports.results import LINF, threat_name
from trueshot.reports.security_tables import NOISE, attack_name
from trueshot.tasks import Wording

MUCH, SOME = 0.25, 0.10
NBSP = "\N{NO-BREAK SPACE}"
_LEARNT_AUC = 0.6

Kind = Literal["good", "bad", "mixed", "open"]


@dataclass(frozen=True, kw_only=True)
class Statement:
    """A headline and the sentences under it.

    Args:
        kind: Determines the colour on the page; `open` if something was not measured or cannot be
            decided.
        headline: A sentence or a heading.
        sentences: The facts behind the headline.
    """

    kind: Kind
    headline: str
    sentences: tuple[str, ...] = ()


def percent(share: float) -> str:
    """Return a share as a percentage with a no-break space."""
    return f"{100 * share:.1f}{NBSP}%"


def works(plain: EvaluationResult) -> Statement:
    """Describe whether the plain detector has learnt the task; if not, attacks mean little."""
    clean = plain.single(CLEAN)
    found = (
        f"It classifies {percent(clean.accuracy)} of clean test crops correctly; guessing gives "
        f"{percent(_guessing(clean))}. Its AUC is {plain.auc:.3f}: the probability that it rates a "
        "recapture as more suspicious than an original."
    )
    if not _has_learnt(plain):
        return Statement(
            kind="open",
            headline="The detector has not learnt its task yet",
            sentences=(found, "Attacks on such a detector mean little; train it for longer."),
        )
    return Statement(kind="good", headline="The detector works", sentences=(found,))


def collapse(plain: EvaluationResult) -> Statement:
    """Describe the accuracy of the plain detector under FGSM at one level."""
    clean, attacked = plain.single(CLEAN), plain.single("fgsm", 1.0)
    original, recaptured = (
        percent(share.share) if share else "unknown"
        for share in (attacked.of_class(0), attacked.others)
    )
    left = f"{percent(attacked.accuracy)}{_below_guessing(attacked)}"
    found = (
        f"accuracy goes from {percent(clean.accuracy)} to {left} ({original} on originals, "
        f"{recaptured} on recaptures)."
    )
    loss = clean.accuracy - attacked.accuracy
    if loss >= MUCH:
        return Statement(kind="bad", headline="One grey level defeats it", sentences=(found,))
    if loss >= SOME:
        return Statement(kind="mixed", headline="One grey level weakens it", sentences=(found,))
    return Statement(kind="open", headline="One grey level has little effect", sentences=(found,))


def defence(plain: EvaluationResult, secure: EvaluationResult) -> Statement:
    """Describe what the paper's training gains under the paper's attacks, and its cost."""
    held = f"{_range(cells_of(secure, 'fgsm'))} of the crops under FGSM"
    if cells_of(secure, "llcm"):
        held += f" and {_range(cells_of(secure, 'llcm'))} under LLCM"
    before, after = plain.single(CLEAN).accuracy, secure.single(CLEAN).accuracy
    points = 100 * abs(before - after)
    change = f"{points:.1f} points {'less' if after < before else 'more'} than the plain detector"
    return Statement(
        kind="open",
        headline="The paper's defence",
        sentences=(
            f"Over the budgets tried, it classifies {held} correctly; the plain detector "
            f"classifies {_range(cells_of(plain, 'fgsm'))} correctly under FGSM.",
            f"On clean crops its accuracy is {percent(after)}, {change}.",
        ),
    )


def truth(plain: EvaluationResult, secure: EvaluationResult) -> Statement:
    """Describe how the paper's defence holds under PGD at the budgets used for FGSM."""
    budgets = [cell.budget for cell in cells_of(secure, "pgd")]
    shared = [cell for cell in cells_of(secure, "fgsm") if cell.budget in budgets]
    if not shared:
        return Statement(
            kind="open",
            headline="The defence was not tested with PGD",
            sentences=(
                "FGSM and LLCM take one step. PGD takes many small steps within the same budget, "
                "and shows whether the boundary has moved or only the gradient is hidden.",
                "These results do not include PGD. Run trueshot reproduce with --more-attack pgd; "
                "until then, do not rely on the figures above.",
            ),
        )
    pgd = [secure.single("pgd", cell.budget) for cell in shared]
    found = (
        f"Within the same budgets (ε = {_budgets(shared)}), the accuracy of the secure detector is "
        f"{_range(shared)} under FGSM, and under PGD {_range(pgd)}{_below_guessing(*pgd)}."
    )
    kind, headline, meaning = _verdict(secure, _mean(shared), _mean(pgd))
    sentences = (found, f"{meaning} {_beside(plain, budgets)}", leaking(secure))
    return Statement(kind=kind, headline=headline, sentences=tuple(filter(None, sentences)))


def _verdict(secure: EvaluationResult, fgsm: float, pgd: float) -> tuple[Kind, str, str]:
    if not _has_learnt(secure):
        return (
            "open",
            "The defence cannot be assessed yet",
            "The secure detector has not learnt to classify clean crops; train it for longer.",
        )
    if secure.single(CLEAN).accuracy - fgsm >= MUCH:
        return (
            "bad",
            "The defence fails",
            "The secure detector already fails under FGSM; no stronger attack is needed.",
        )
    if fgsm - pgd >= MUCH:
        return (
            "bad",
            "The defence mostly hides the gradient",
            "One large step along the gradient is misled; many small steps succeed. The accuracy "
            "under PGD is the most that can be relied on.",
        )
    if fgsm - pgd >= SOME:
        return (
            "mixed",
            "Part of the defence only hides the gradient",
            "The accuracy under PGD is what counts; stronger attacks may lower it further.",
        )
    return (
        "good",
        "The defence also holds under PGD",
        "Many small steps achieve hardly more than one large step, as expected of a defence that "
        "does not hide the gradient. Stronger attacks than this PGD may still succeed.",
    )


def leaking(secure: EvaluationResult) -> str:
    """Return a sentence on label leaking, or "" if there is none.

    There is label leaking if accuracy under FGSM rises with the budget by more than chance: the
    intervals of the two budgets do not overlap.
    """
    cells = [secure.single(CLEAN), *cells_of(secure, "fgsm")]
    rises = [
        (more.accuracy - less.accuracy, less, more)
        for number, less in enumerate(cells)
        for more in cells[number + 1 :]
        if more.interval[0] > less.interval[1]
    ]
    if not rises:
        return ""
    _, less, more = max(rises, key=lambda rise: rise[0])
    before = "on clean crops" if less.attack == CLEAN else f"at ε = {less.budget:g}"
    return (
        "Under FGSM the accuracy of the secure detector rises with the noise: "
        f"{percent(less.accuracy)} {before}, {percent(more.accuracy)} at ε = {more.budget:g}. This "
        "indicates label leaking: the noise is computed from the true label, and the detector has "
        "learnt to read the label from the noise."
    )


def cells_of(result: EvaluationResult, attack: str) -> list[SingleAttack]:
    """Return the results of one attack at budgets above 0, in ascending order."""
    cells = [cell for cell in result.singles() if cell.attack == attack and cell.budget > 0]
    return sorted(cells, key=lambda cell: cell.budget)


def _beside(plain: EvaluationResult, budgets: Sequence[float]) -> str:
    cells = [cell for cell in cells_of(plain, "pgd") if cell.budget in budgets]
    return f"The plain detector keeps {_range(cells)} under PGD." if cells else ""


def _has_learnt(result: EvaluationResult) -> bool:
    clean = result.single(CLEAN)
    return clean.interval[0] > _guessing(clean) and result.auc >= _LEARNT_AUC


def _guessing(cell: Tally) -> float:
    """Accuracy of always predicting the larger class."""
    return max(cell.total) / sum(cell.total)


def _below_guessing(*cells: SingleAttack) -> str:
    if all(cell.interval[1] < _guessing(cell) for cell in cells):
        return ", below guessing"
    return ""


def _mean(cells: Sequence[SingleAttack]) -> float:
    return sum(cell.accuracy for cell in cells) / len(cells)


def _budgets(cells: Sequence[SingleAttack]) -> str:
    return ", ".join(f"{cell.budget:g}" for cell in cells)


def _range(cells: Sequence[SingleAttack]) -> str:
    low, high = (percent(f(cell.accuracy for cell in cells)) for f in (min, max))
    return low if low == high else f"{low.split(NBSP)[0]} to {high}"


def verdict(comparison: Comparison) -> Statement:
    """Describe the worst case of the best detector at the default budget of the comparison."""
    threat = LINF if LINF in comparison.threats else next(iter(comparison.threats), LINF)
    budget = comparison.budget(threat)
    ranked = standings(comparison, threat, budget)
    if not ranked or budget is None:
        return Statement(
            kind="open",
            headline="The worst case is not known",
            sentences=(
                "No suite of strong attacks was run, and a single attack proves nothing. Run "
                "trueshot evaluate with --suite strong.",
            ),
        )
    best = ranked[0]
    kind, headline = _headline(best, budget)
    if best.detector.doubts and kind == "good":
        kind = "mixed"
    where = f" ({threat_name(threat)})" if threat != LINF else ""
    sentences = (
        f"{best.detector.name} classifies {percent(best.clean.share)} of its test images correctly "
        f"without an attack, and {percent(best.worst.accuracy)} under every attack of the suite "
        f"within {budget:g} {'level' if budget == 1 else 'levels'}{where}.",
        _direction(best.worst, best.detector.words),
        _others(ranked[1:]),
        _misled(ranked, budget) if threat == LINF else "",
        _doubted(ranked),
    )
    return Statement(kind=kind, headline=headline, sentences=tuple(filter(None, sentences)))


def _headline(best: Standing, budget: float) -> tuple[Kind, str]:
    name, left = best.detector.name, percent(best.worst.accuracy)
    loss = best.clean.share - best.worst.accuracy
    if best.worst.interval[0] <= _guessing(best.worst):
        return "bad", f"No detector withstands ε = {budget:g}: {name}, the best, keeps {left}"
    if loss >= MUCH:
        return "mixed", f"{name} partly withstands ε = {budget:g}: {left} in the worst case"
    if loss >= SOME:
        return "mixed", f"{name} mostly withstands ε = {budget:g}: {left} in the worst case"
    return "good", f"{name} withstands ε = {budget:g}: {left} in the worst case"


def _direction(case: WorstCase, words: Wording) -> str:
    """Describe each class separately, because an attacker wants a recapture to pass."""
    if not all(case.total):
        return ""
    untouched, others = case.of_class(0), case.others
    assert untouched is not None
    assert others is not None
    first, other = words.plurals
    return (
        f"In the direction that matters ({other} made to look {words.verdicts[0]}) it still "
        f"detects {percent(others.share)} of the {other}; it keeps {percent(untouched.share)} of "
        f"the {first}."
    )


def _others(others: Sequence[Standing]) -> str:
    if not others:
        return ""
    named = "; ".join(f"{s.detector.name} {percent(s.worst.accuracy)}" for s in others[:5])
    more = f", and {len(others) - 5} more" if len(others) > 5 else ""
    return f"The others keep: {named}{more}."


def _misled(ranked: Sequence[Standing], budget: float) -> str:
    """Describe the largest gap between one attack alone and the worst case, from 25 points up."""
    found = [
        (alone.share - s.worst.accuracy, s, name, alone)
        for s in ranked
        for name in s.detector.attacks_alone()
        if name != NOISE and (alone := s.detector.alone(name, budget))
    ]
    if not found:
        return ""
    gap, standing, name, alone = max(found, key=lambda each: each[0])
    if gap < MUCH:
        return ""
    return (
        f"A single attack misleads: under {attack_name(name)} {standing.detector.name} seems to "
        f"keep {percent(alone.share)} at ε = {budget:g}, but all attacks together leave "
        f"{percent(standing.worst.accuracy)}."
    )


def _doubted(ranked: Sequence[Standing]) -> str:
    names = [s.detector.name for s in ranked if s.detector.doubts]
    if not names:
        return ""
    which = "its" if len(names) == 1 else "their"
    return f"There are doubts about {', '.join(names)}: {which} true worst case may be lower."
