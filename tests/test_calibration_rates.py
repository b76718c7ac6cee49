"""Error rates, their curves and their intervals."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from trueshot.calibration import (
    bpcer_at,
    clopper_pearson,
    cluster_bootstrap,
    det_curve,
    equal_error_rate,
    rate_with_interval,
    share_with_interval,
)
from trueshot.calibration.intervals import area_with_interval
from trueshot.calibration.samples import of_kinds
from trueshot.errors import CalibrationError

scored = st.lists(st.tuples(st.integers(-6, 6), st.integers(0, 1)), min_size=2, max_size=60).filter(
    lambda pairs: len({label for _, label in pairs}) == 2
)


def arrays(pairs: list[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray]:
    scores, labels = zip(*pairs, strict=True)
    return np.array(scores, dtype=float), np.array(labels)


def test_kinds_are_told_apart_and_must_be_as_many_as_photographs() -> None:
    found = of_kinds([0, 1, 1, 1], ["screen", "screen", "print", ""], "other")
    assert {kind: mask.tolist() for kind, mask in found.items()} == {
        "other": [False, False, False, True],
        "print": [False, False, True, False],
        "screen": [False, True, False, False],
    }
    with pytest.raises(
        CalibrationError, match="kinds must have one entry per photograph, got 2 for 3"
    ):
        of_kinds([0, 0, 1], ["a", "b"])


@given(scored)
@settings(max_examples=60, deadline=None)
def test_the_curve_is_what_counting_gives_at_every_threshold(pairs: list[tuple[int, int]]) -> None:
    scores, labels = arrays(pairs)
    curve = det_curve(scores, labels)
    for threshold, missed, false in zip(curve.thresholds, curve.apcer, curve.bpcer, strict=True):
        assert (scores[labels == 1] < threshold).mean() == pytest.approx(missed)
        assert (scores[labels == 0] >= threshold).mean() == pytest.approx(false)
    assert (curve.apcer[0], curve.bpcer[0], curve.apcer[-1], curve.bpcer[-1]) == (0, 1, 1, 0)


@given(scored)
@settings(max_examples=60, deadline=None)
def test_the_equal_error_rate_is_where_scikit_learns_curve_meets_the_diagonal(
    pairs: list[tuple[int, int]],
) -> None:
    from scipy.optimize import brentq
    from sklearn.metrics import roc_curve

    scores, labels = arrays(pairs)
    false, found, _ = roc_curve(labels, scores, drop_intermediate=False)
    along = np.linspace(0, 1, len(false))
    gap = lambda at: np.interp(at, along, false) - (1 - np.interp(at, along, found))  # noqa: E731
    rate, threshold = equal_error_rate(scores, labels)
    assert rate == pytest.approx(np.interp(brentq(gap, 0, 1), along, false), abs=1e-9)
    assert threshold in scores


def test_equal_errors_of_a_set_worked_out_by_hand() -> None:
    assert equal_error_rate([0, 1, 2, 3], [0, 0, 1, 1]) == (0.0, 2.0)
    assert equal_error_rate([0, 2, 1, 3], [0, 0, 1, 1])[0] == 0.5
    assert equal_error_rate([1, 1, 1], [0, 1, 1])[0] == 0.5


def test_an_infinite_score_is_one_more_threshold() -> None:
    endless, large = ([0.0, high, 1.0, high] for high in (np.inf, 9.0))
    labels = [0, 0, 1, 1]
    curve, same = det_curve(endless, labels), det_curve(large, labels)
    assert curve.thresholds.tolist() == [0, 1, np.inf, np.inf]
    assert curve.apcer.tolist() == same.apcer.tolist()
    assert curve.bpcer.tolist() == same.bpcer.tolist()
    assert equal_error_rate([np.inf, np.inf], [0, 1])[0] == 0.5
    assert bpcer_at([np.inf, 0.0], [0, 1], 1.0) == (0, np.inf)


def test_bpcer_at_a_fixed_apcer_keeps_the_worst_kind() -> None:
    scores = np.array([0.0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 1.5, 8.5])
    labels = np.array([0] * 6 + [1] * 6)
    kinds = [""] * 6 + ["screen"] * 4 + ["print"] * 2
    assert bpcer_at(scores, labels, 0.0) == (4 / 6, 1.5)
    assert bpcer_at(scores, labels, 1 / 6) == (0.0, 6.0)
    assert bpcer_at(scores, labels, 1 / 6, kinds) == (4 / 6, 1.5)  # one in two prints is missed
    assert bpcer_at(scores, labels, 1.0) == (0.0, np.inf)
    with pytest.raises(CalibrationError, match="apcer must be between 0 and 1, got 2"):
        bpcer_at(scores, labels, 2.0)


def test_two_normal_classes_make_a_straight_line_on_axes_of_normal_quantiles() -> None:
    normal = scipy.stats.norm
    places = normal.ppf((np.arange(2000) + 0.5) / 2000)
    scores = np.append(places - 1, places + 1)
    curve = det_curve(scores, np.repeat([0, 1], 2000))
    inner = (curve.apcer > 0.02) & (curve.apcer < 0.98) & (curve.bpcer > 0.02)
    sums = normal.ppf(curve.apcer[inner]) + normal.ppf(curve.bpcer[inner])
    assert sums == pytest.approx(-2, abs=0.02)
    rate, _ = equal_error_rate(scores, np.repeat([0, 1], 2000))
    assert rate == pytest.approx(normal.cdf(-1), abs=1e-3)


@given(st.integers(1, 300), st.data())
@settings(max_examples=50, deadline=None)
def test_the_exact_interval_is_scipys(total: int, data: st.DataObject) -> None:
    count = data.draw(st.integers(0, total))
    theirs = scipy.stats.binomtest(count, total).proportion_ci(0.95, method="exact")
    assert clopper_pearson(count, total) == pytest.approx((theirs.low, theirs.high), abs=1e-9)


def test_where_nothing_failed_the_interval_has_its_closed_form_in_sources() -> None:
    found = rate_with_interval([False] * 100, [number // 10 for number in range(100)])
    assert (found.value, found.low, found.count, found.total) == (0, 0, 0, 100)
    assert found.high == pytest.approx(1 - 0.025 ** (1 / 10))
    assert rate_with_interval([True] * 100).low == pytest.approx(0.025 ** (1 / 100))


def test_photographs_that_are_sources_of_their_own_get_the_exact_interval() -> None:
    found = rate_with_interval([True] * 3 + [False] * 37)
    assert (found.low, found.high) == clopper_pearson(3, 40)


def test_sources_that_fail_as_one_count_as_one() -> None:
    hits = np.repeat([True] + [False] * 9, 10)
    found = rate_with_interval(hits, np.repeat(np.arange(10), 10).tolist())
    low, high = clopper_pearson(1, 10)
    assert found.high >= high - 0.02
    assert found.low <= low + 0.02
    assert found.high > 2 * rate_with_interval(hits).high


def test_one_source_says_nothing_of_others() -> None:
    found = rate_with_interval([True, False, False], ["phone"] * 3)
    assert (found.low, found.high) == (0, 1)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 5)), min_size=1, max_size=50))
@settings(max_examples=60, deadline=None)
def test_a_rate_lies_in_its_interval_and_that_in_zero_to_one(
    pairs: list[tuple[bool, int]],
) -> None:
    hits, sources = zip(*pairs, strict=True)
    found = rate_with_interval(hits, sources)
    assert 0 <= found.low <= found.value == np.mean(hits) <= found.high <= 1


@pytest.mark.parametrize(("sources", "least"), [(5, 0.93), (20, 0.90), (60, 0.90)])
def test_intervals_cover_the_rate_of_sources_that_differ(sources: int, least: float) -> None:
    """Each source has a failure rate of its own, 0.1 on average. Photographs alone: about 0.6."""
    random = np.random.default_rng(7)
    covered = alone = 0
    for _ in range(150):
        rates = random.beta(0.1 * 4, 0.9 * 4, sources)
        hits = random.random((sources, 15)) < rates[:, None]
        names = np.repeat(np.arange(sources), 15)
        found = rate_with_interval(hits.ravel(), names.tolist())
        low, high = clopper_pearson(int(hits.sum()), hits.size)
        covered += found.low <= 0.1 <= found.high
        alone += low <= 0.1 <= high
    assert covered / 150 >= least
    assert alone / 150 < 0.8


def test_drawing_sources_gives_the_deviation_of_a_mean_of_sources() -> None:
    random = np.random.default_rng(3)
    of_source = random.normal(size=80)
    values, sources = np.repeat(of_source, 5), np.repeat(np.arange(80), 5).tolist()
    found = cluster_bootstrap(lambda chosen: float(values[chosen].mean()), sources)
    half = scipy.stats.t.isf(0.025, 79) * of_source.std(ddof=1) / np.sqrt(80)
    assert found.value == pytest.approx(of_source.mean())
    assert (found.high - found.low) / 2 == pytest.approx(half, rel=0.08)
    assert (found.sources, found.note) == (80, "")
    assert found == cluster_bootstrap(lambda chosen: float(values[chosen].mean()), sources)
    assert found != cluster_bootstrap(lambda at: float(values[at].mean()), sources, seed=1)


def test_draws_without_a_class_are_left_out_and_few_sources_are_told() -> None:
    labels = np.array([0, 1, 1])

    def share_of_recaptured(chosen: np.ndarray) -> float:
        return float("nan") if (labels[chosen] == 1).all() else float(labels[chosen].mean())

    found = cluster_bootstrap(share_of_recaptured, ["a", "b", "c"], draws=200)
    assert 0 <= found.low < 2 / 3 == pytest.approx(found.value)
    assert found.note == "only 3 sources: the interval is too narrow"


def test_an_error_that_was_seen_leaves_no_interval_that_begins_at_nought() -> None:
    """One of five sources failed, and half the draws of sources are without it."""
    hits = np.repeat([True, False, False, False, False], 20)
    sources = np.repeat(np.arange(5), 20).tolist()
    found = rate_with_interval(hits, sources)
    assert 0 < found.low < 0.02
    mirrored = rate_with_interval(~hits, sources)
    assert (mirrored.low, mirrored.high) == pytest.approx((1 - found.high, 1 - found.low))


def error_rate(scores: np.ndarray, labels: np.ndarray) -> Callable[[np.ndarray], float]:
    def rate(chosen: np.ndarray) -> float:
        both = 0 < labels[chosen].sum() < len(chosen)
        return equal_error_rate(scores[chosen], labels[chosen])[0] if both else float("nan")

    return rate


def test_classes_perfectly_apart_get_the_interval_of_as_many_trials_as_sources() -> None:
    labels = np.tile([0, 1], 40)
    sources = np.repeat(np.arange(10), 8).tolist()
    found = share_with_interval(error_rate(labels * 9.0, labels), sources, draws=100)
    assert (found.value, found.low) == (0, 0)
    assert found.high == pytest.approx(1 - 0.025 ** (1 / 10))
    fewer = share_with_interval(error_rate(labels * 9.0, labels), sources, trials=3, draws=100)
    assert fewer.high == pytest.approx(1 - 0.025 ** (1 / 3))


def test_an_equal_error_rate_of_one_source_says_nothing_of_others() -> None:
    scores, labels = np.array([0.0, 2, 1, 3]), np.array([0, 0, 1, 1])
    found = share_with_interval(error_rate(scores, labels), ["phone"] * 4, draws=50)
    assert (found.value, found.low, found.high) == (0.5, 0, 1)
    assert found.note == "only 1 source: it says nothing of others"


def test_a_class_of_one_source_says_nothing_of_others_however_many_the_other_has() -> None:
    scores = np.append(np.linspace(0, 2, 30), np.linspace(1, 3, 60))
    labels = np.repeat([0, 1], [30, 60])
    sources = ["mine"] * 30 + [f"found {number}" for number in range(60)]
    found = area_with_interval(scores, labels, sources, draws=50)
    assert (found.low, found.high) == (0, 1)
    assert found.note == "only 1 source: it says nothing of others"


@pytest.mark.parametrize(
    ("few", "note"), [(3, "only 3 sources in a class: the interval is too narrow"), (4, "")]
)
def test_few_sources_in_a_class_are_told_however_many_the_other_has(few: int, note: str) -> None:
    random = np.random.default_rng(0)
    labels = np.repeat([0, 1], [30, 60])
    sources = [f"{label} {number % (few if label else 30)}" for number, label in enumerate(labels)]
    found = area_with_interval(labels + random.normal(size=90), labels, sources, draws=50)
    assert 0 < found.low < found.high < 1
    assert found.note == note


def test_the_area_is_scikit_learns_and_its_interval_covers_what_sources_that_differ_have() -> None:
    random = np.random.default_rng(0)
    covered = 0
    for _ in range(40):
        sources = np.repeat(np.arange(60), 3)
        labels = sources % 2
        own = random.normal(labels[::3] * 1.0)  # photographs of a source are nearly alike
        scores = (own[sources] + 0.1 * random.normal(size=180)).round(1)  # with ties
        found = area_with_interval(scores, labels, sources.tolist(), draws=300)
        assert found.value == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)
        covered += found.low <= scipy.stats.norm.cdf(1 / np.sqrt(2)) <= found.high
    assert covered >= 34  # of a rate of 95 in 100 fewer come about once in a thousand times
    apart = area_with_interval(
        np.array([0.0, 0, 1, 1]), np.array([0, 0, 1, 1]), ["a", "b", "c", "d"]
    )
    assert apart.value == 1
    assert apart.low == pytest.approx(0.025 ** (1 / 2))


def test_sources_that_are_all_alike_do_not_make_an_interval_of_no_width() -> None:
    scores, labels = np.tile([0.0, 2, 1, 3], 6), np.tile([0, 0, 1, 1], 6)
    sources = np.repeat(np.arange(6), 4).tolist()
    found = share_with_interval(error_rate(scores, labels), sources, draws=100)
    assert (found.low, found.high) == clopper_pearson(3, 6)


def test_no_photographs_have_no_rate() -> None:
    with pytest.raises(CalibrationError, match="at least one photograph"):
        rate_with_interval([])
    with pytest.raises(CalibrationError, match="3 of 2 is not a valid share"):
        clopper_pearson(3, 2)
