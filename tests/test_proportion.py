"""Proportions and their intervals."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest, bootstrap

from trueshot.proportion import Groups, Proportion


@settings(deadline=None)
@given(st.integers(1, 10_000), st.floats(0, 1))
def test_the_interval_without_groups_is_scipys_wilson_interval(total: int, part: float) -> None:
    found = Proportion(round(part * total), total)
    theirs = binomtest(found.count, total).proportion_ci(0.95, method="wilson")
    assert found.interval95 == pytest.approx((theirs.low, theirs.high), abs=1e-9)


@pytest.mark.parametrize(("count", "total"), [(0, 0), (-1, 3), (4, 3)])
def test_what_is_no_proportion_is_refused(count: int, total: int) -> None:
    with pytest.raises(ValueError, match=f"total at least 1, got {count} of {total}"):
        Proportion(count, total)


def pairs(right: npt.NDArray[np.int64], trials: npt.NDArray[np.int64]) -> Groups:
    return tuple(zip(right.tolist(), trials.tolist(), strict=True))


def of_groups(groups: Groups) -> Proportion:
    return Proportion(sum(r for r, _ in groups), sum(t for _, t in groups), groups)


def test_crops_of_a_photograph_that_are_all_alike_are_worth_as_much_as_the_photograph() -> None:
    photographs = np.random.default_rng(0).random(40) < 0.7
    crops = pairs(12 * photographs, np.full(40, 12))
    one = Proportion(int(photographs.sum()), 40)
    assert of_groups(crops).interval95 == one.interval95
    alone = Proportion(12 * one.count, 12 * 40).interval95
    low, high = one.interval95
    assert high - low > 3 * (alone[1] - alone[0])


@pytest.mark.parametrize("alike", [0.0, 0.3, 0.9])
def test_the_interval_over_groups_is_that_of_scipys_bootstrap(alike: float) -> None:
    random = np.random.default_rng(1)
    spread = 1 / max(alike, 1e-3) - 1
    trials = random.integers(1, 20, 300)
    right = random.binomial(trials, random.beta(0.8 * spread, 0.2 * spread, 300))
    found = of_groups(pairs(right, trials)).interval95
    theirs = bootstrap(
        (right, trials),
        lambda r, t, axis: r.sum(axis) / t.sum(axis),
        paired=True,
        method="percentile",
        n_resamples=4000,
        rng=np.random.default_rng(2),
    ).confidence_interval
    width = theirs.high - theirs.low
    assert found == pytest.approx((theirs.low, theirs.high), abs=0.1 * width)


def test_the_interval_over_groups_holds_the_rate_as_often_as_it_says() -> None:
    random, held, alone_held = np.random.default_rng(3), 0, 0
    for _ in range(400):
        rates = random.beta(0.9 * 1.5, 0.1 * 1.5, 25)
        groups = pairs(random.binomial(8, rates), np.full(25, 8))
        low, high = of_groups(groups).interval95
        held += low <= 0.9 <= high
        alone = of_groups(groups)
        low, high = Proportion(alone.count, alone.total).interval95
        alone_held += low <= 0.9 <= high
    assert 370 <= held <= 400
    assert alone_held < 320


def test_where_none_failed_groups_are_the_trials() -> None:
    assert of_groups(((3, 3), (9, 9))).interval95 == Proportion(2, 2).interval95


def test_one_group_says_nothing_of_others() -> None:
    assert of_groups(((3, 9),)).interval95 == (0.0, 1.0)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(1, 5)), min_size=1, max_size=30))
def test_the_share_lies_in_its_interval_over_groups(drawn: list[tuple[int, int]]) -> None:
    found = of_groups(tuple((min(right, total), total) for right, total in drawn))
    low, high = found.interval95
    assert 0 <= low <= found.share <= high <= 1


def test_groups_that_do_not_add_up_are_refused() -> None:
    with pytest.raises(ValueError, match=r"groups must add up to 3 of 5, got 3 of 4"):
        Proportion(3, 5, ((1, 2), (2, 2)))
