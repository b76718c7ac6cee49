"""Proportions and their intervals."""

from __future__ import annotations

from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from trueshot.proportion import Proportion


@settings(deadline=None)
@given(st.integers(1, 10_000), st.floats(0, 1), st.sampled_from(["wilson", "exact"]))
def test_the_intervals_are_scipys(
    total: int, part: float, method: Literal["wilson", "exact"]
) -> None:
    found = Proportion(round(part * total), total)
    theirs = binomtest(found.count, total).proportion_ci(0.9, method=method)
    assert found.interval(0.9, method) == pytest.approx((theirs.low, theirs.high), abs=1e-9)
    assert found.interval95 == found.interval(0.95, "wilson")


@pytest.mark.parametrize(("count", "total"), [(0, 0), (-1, 3), (4, 3)])
def test_what_is_no_proportion_is_refused(count: int, total: int) -> None:
    with pytest.raises(ValueError, match=f"{count} of {total} is no proportion"):
        Proportion(count, total)
