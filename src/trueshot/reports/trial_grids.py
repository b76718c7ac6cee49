"""Which attack broke how many images, and at what price."""

from __future__ import annotations

from trueshot.evaluation.security import Trial
from trueshot.reports.comparison import Comparison
from trueshot.reports.detector_results import DetectorResults, threat_name
from trueshot.reports.grids import Cell, Figure, Grid
from trueshot.reports.security_grids import attack_name


def price_table(comparison: Comparison) -> Grid:
    """Which attack broke how many images, and at what price."""
    rows = [
        (one.name, threat_name(threat), attack_name(name), *_price(one, threat, name))
        for one in comparison.detectors
        for threat in one.threats
        for name in dict.fromkeys(t.attack for t in _trials(one, threat))
    ]
    return Grid(
        name=f"{comparison.slug}-attacks",
        title=f"Which attack broke how many, and at what price. {comparison.title}",
        note="All budgets together. Only images that are still right go on to the next attack, so "
        "a later one has the harder ones; calls are per image and budget.",
        header=(
            "detector", "threat", "attack", "tried", "broken", "of them recaptures",
            "broken first", "detector asked", "gradients", "seconds",
        ),
        rows=tuple(rows),
        stubs=3,
    )  # fmt: skip


def trial_table(comparison: Comparison, one: DetectorResults) -> Grid:
    """Every trial of a detector, in the order in which they were run."""
    rows = [_trial(trial) for result in one.security for trial in result.trials]
    return Grid(
        name=f"{comparison.slug}-trials-{one.number + 1}",
        title=f"Every trial of {one.name}. {comparison.title}",
        header=(
            "threat", "ε", "attack", "tried", "broken", "of them recaptures", "before the file",
            "PSNR, dB", "SSIM", "detector asked", "gradients", "seconds", "settings",
        ),
        rows=tuple(rows),
        stubs=3,
    )  # fmt: skip


def _trials(one: DetectorResults, threat: str) -> list[Trial]:
    results = (result for result in one.security if threat in result.threats)
    return [t for result in results for t in result.trials if t.threat == threat]


def _price(one: DetectorResults, threat: str, attack: str) -> tuple[Cell, ...]:
    trials = [t for t in _trials(one, threat) if t.attack == attack]
    tried = sum(sum(t.tried) for t in trials)
    calls = [sum(t.calls[i] * sum(t.tried) for t in trials) / max(tried, 1) for i in (0, 1)]
    largest = max(one.budgets(threat), default=0.0)
    return (
        _count(tried),
        _count(sum(sum(t.broken) for t in trials)),
        _count(sum(t.broken[1] for t in trials)),
        _count(one.broken_first_by(threat, largest).get(attack, 0)),
        *(Figure(value=value) for value in calls),
        Figure(value=sum(t.seconds for t in trials)),
    )


def _trial(trial: Trial) -> tuple[Cell, ...]:
    return (
        threat_name(trial.threat),
        f"{trial.budget:.4g}",
        attack_name(trial.attack),
        _count(sum(trial.tried)),
        _count(sum(trial.broken)),
        _count(trial.broken[1]),
        _count(sum(trial.broken_before_file)),
        None if trial.psnr is None else Figure(value=trial.psnr),
        None if trial.ssim is None else Figure(value=trial.ssim, digits=4),
        *(Figure(value=value) for value in trial.calls),
        Figure(value=trial.seconds),
        trial.settings,
    )


def _count(number: int) -> Figure:
    return Figure(value=number, digits=0)
