"""Tippett plots, empirical cross-entropy, and how sure a single likelihood ratio is."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError
from scipy.stats import entropy

from trueshot.calibration import (
    Calibration,
    cllr,
    cllr_min,
    cluster_bootstrap,
    empirical_cross_entropy,
    fit_logistic,
    tippett,
)
from trueshot.calibration.verbal_scale import between
from trueshot.card import Card, Measurement, RatioSample
from trueshot.reports.scan_charts import ratio_figures
from trueshot.reports.scan_report import scan_report

FACTS = {"lower": -1.0, "upper": 2.0, "originals": 9, "recaptured": 8, "sources": 7}
RATIOS = np.array([-1.0, -0.5, 0.3, 0.3, -0.2, 0.8, 1.5])
LABELS = np.array([0, 0, 0, 1, 1, 1, 1])


def sourced(sources: int, seed: int, spread: float = 0.7) -> tuple[np.ndarray, ...]:
    """Scores, labels, sources: six photographs of each source, which share a shift."""
    random = np.random.default_rng(seed)
    source = np.repeat(np.arange(sources), 6)
    labels = np.tile([0, 1], 3 * sources)
    shift = random.normal(0, spread, sources)[source]
    return random.normal(2.0 * labels - 1 + shift), labels, source


def test_a_tippett_plot_counts_the_photographs_whose_ratio_is_at_least_so_large() -> None:
    found = tippett(RATIOS, LABELS)
    assert found.log10_lrs.tolist() == [-1.0, -0.5, -0.2, 0.3, 0.8, 1.5]
    assert found.originals == pytest.approx([1, 2 / 3, 1 / 3, 1 / 3, 0, 0])
    assert found.recaptured == pytest.approx([1, 1, 1, 3 / 4, 2 / 4, 1 / 4])


def test_cross_entropy_at_even_odds_is_cllr_and_without_ratios_that_of_the_prior() -> None:
    odds = np.array([-1.5, 0.0, 0.7])
    found = empirical_cross_entropy(RATIOS, LABELS, odds)
    assert found.found[1] == pytest.approx(cllr(RATIOS, LABELS))
    assert found.calibrated[1] == pytest.approx(cllr_min(RATIOS, LABELS))
    shares = 10**odds / (1 + 10**odds)
    assert found.nothing == pytest.approx(entropy([shares, 1 - shares], base=2))
    neutral = empirical_cross_entropy(np.zeros(7), LABELS, odds)
    assert neutral.found == pytest.approx(neutral.nothing)


def test_no_calibration_that_rises_costs_less_than_the_pooled_one_at_any_prior() -> None:
    found = empirical_cross_entropy(RATIOS, LABELS)
    assert len(found.log10_odds) == 81
    for shift in (-0.4, 0.0, 0.4):
        other = empirical_cross_entropy(1.3 * RATIOS + shift, LABELS)
        assert (other.found >= found.calibrated - 1e-12).all()
    assert (found.calibrated <= found.nothing + 1e-12).all()


@pytest.mark.parametrize("spread", [0.0, 0.7])
def test_the_interval_of_a_ratio_is_that_of_drawing_other_sources(spread: float) -> None:
    scores, labels, source = sourced(120, 3, spread)
    line = fit_logistic(scores, labels, source.tolist())
    wide = line.model_copy(update={"lower": -50.0, "upper": 50.0})
    for at in (-1.5, 0.0, 2.0):
        low, high = wide.log10_interval(np.array([at]))  # type: ignore[misc]
        drawn = cluster_bootstrap(
            lambda chosen, at=at: float(fit_logistic(scores[chosen], labels[chosen]).unbounded(at)),
            source.tolist(),
            draws=200,
        )
        assert high[0] - low[0] == pytest.approx(drawn.high - drawn.low, rel=0.3)
        assert (low[0] + high[0]) / 2 == pytest.approx(float(wide.unbounded(at)))


def test_intervals_hold_the_true_ratio_as_often_as_they_say() -> None:
    held, at = 0, 1.0
    truth = 2 * at / np.log(10)  # of normal classes at -1 and 1
    for seed in range(120):
        scores, labels, source = sourced(30, seed, spread=0.0)
        line = fit_logistic(scores, labels, source.tolist())
        wide = line.model_copy(update={"lower": -50.0, "upper": 50.0})
        low, high = wide.log10_interval(np.array([at]))  # type: ignore[misc]
        held += bool(low[0] <= truth <= high[0])
    assert held / 120 >= 0.89  # 0.95, less three standard errors


def test_photographs_of_one_source_that_move_together_widen_the_interval() -> None:
    scores, labels, source = sourced(60, 1, spread=0.0)
    labels = source % 2  # each source of one class, and all of it shifted
    scores = np.random.default_rng(1).normal(size=60)[source] + 2.0 * labels - 1 + 0.1 * scores
    by_source = fit_logistic(scores, labels, source.tolist()).covariance
    apart = fit_logistic(scores, labels).covariance
    assert by_source is not None
    assert apart is not None
    assert by_source[2] > 1.5 * apart[2]


def test_an_interval_keeps_the_bounds_and_holds_for_the_same_scores_in_other_units() -> None:
    scores, labels, source = sourced(40, 2)
    line = fit_logistic(scores, labels, source.tolist())
    low, high = line.log10_interval(np.array([-np.inf, -0.3, 0.8, np.inf]))  # type: ignore[misc]
    assert (low >= line.lower).all()
    assert (high <= line.upper).all()
    other = fit_logistic(5 * scores + 3, labels, source.tolist())
    again = other.log10_interval(5 * np.array([-np.inf, -0.3, 0.8, np.inf]) + 3)
    assert again is not None
    assert again[0] == pytest.approx(low, abs=1e-6)
    assert again[1] == pytest.approx(high, abs=1e-6)


def test_what_knows_no_spread_gives_no_interval() -> None:
    bare = Calibration(method="logistic", slope=2.0, intercept=0.0, **FACTS)
    assert bare.log10_interval([0.0]) is None
    scores, labels, _ = sourced(5, 0)
    assert fit_logistic(scores, labels, ["one"] * len(scores)).covariance is None
    assert fit_logistic(-scores, labels).covariance is None  # no evidence, whatever the score
    assert between(None) == ""
    assert between((1.0, 2.0)) == " (95 %: 10 to 100)"


@pytest.mark.parametrize(
    "covariance", [(-1.0, 0.0, 1.0), (1.0, 2.0, 1.0), (1.0, float("nan"), 1.0)]
)
def test_a_covariance_that_is_none_is_refused(covariance: tuple[float, float, float]) -> None:
    with pytest.raises(ValidationError):
        Calibration(method="logistic", slope=2.0, intercept=0.0, covariance=covariance, **FACTS)


def measured(kind: str, name: str, originals: list[float], recaptured: list[float]) -> Measurement:
    sample = RatioSample(originals=tuple(originals), recaptured=tuple(recaptured))
    count = len(originals) + len(recaptured)
    return Measurement(kind=kind, name=name, photographs=count, ratios=sample)  # type: ignore[arg-type]


def test_a_card_holds_a_hundred_ratios_of_a_class_that_stand_for_all() -> None:
    random = np.random.default_rng(0)
    labels = np.repeat([0, 1], [30, 5000])
    ratios = np.where(labels, random.normal(1, 1, 5030), random.normal(-1, 1, 5030))
    sample = RatioSample.of(ratios, labels)
    assert list(sample.originals) == pytest.approx(np.sort(ratios[:30]), abs=1e-3)
    assert len(sample.recaptured) == 100
    thin = np.array(sample.recaptured)
    for share in (0.1, 0.5, 0.9):
        assert np.quantile(thin, share) == pytest.approx(np.quantile(ratios[30:], share), abs=0.05)


def test_the_report_draws_the_ratios_of_its_card_and_counts_those_that_mislead() -> None:
    card = Card(
        network={"name": "lcnn"},
        measured=(
            measured("clean", "test <b>", [-1.0, -0.5, 0.3, -0.2], [0.3, -0.2, 0.8, 1.5]),
            measured("real", "phone1", [-1.0] * 3, [1.0] * 3),
            measured("real", "phone2", [0.5] * 3, [1.0] * 3),
            Measurement(kind="real", name="before", photographs=3),
        ),
    )
    clean, real = ratio_figures(card)
    assert clean.misleading == (0.25, 0.25)
    assert real.misleading == (0.5, 0.0)
    assert real.name == "real photographs: phone1, phone2"
    originals = [tuple(map(float, p.split(","))) for p in clean.tippett.lines[0].points.split()]
    assert originals[0] == (clean.tippett.axes.left, clean.tippett.axes.top)  # all of them
    assert originals[-1][1] == clean.tippett.axes.bottom  # none of them
    page = scan_report([{"file": "a.jpg", "verdict": "original"}], card, bundle_sha256="0" * 64)
    assert page.html.count(b'class="trace') == 2 * (2 * 2 + 2 * 3)
    assert b"to 25 of 100 originals and to 25 of 100 recaptures" in page.html


def test_a_card_without_ratios_is_drawn_without_them() -> None:
    card = Card(
        network={"name": "lcnn"}, measured=(Measurement(kind="clean", name="x", photographs=3),)
    )
    assert ratio_figures(card) == ()
