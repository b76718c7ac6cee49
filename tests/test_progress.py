"""Estimates of the time left are made of work like the work that is left."""

from __future__ import annotations

import re

import pytest

from trueshot import progress


class Clock:
    """A clock that is turned by hand."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(progress, "time", made)
    monkeypatch.setattr(progress, "_SECONDS_BETWEEN_LINES", 0.0)
    return made


def estimates(
    clock: Clock, seconds: list[float], total: int, steps: int, capsys: pytest.CaptureFixture[str]
) -> list[int | None]:
    """What is said to be left after each report of so many steps."""
    with progress.progress("work", total) as advance:
        for each in seconds:
            clock.now += each
            advance(steps, "")
    found = [re.search(r"(\d+) s left", line) for line in capsys.readouterr().err.splitlines()]
    return [None if one is None else int(one[1]) for one in found]


def test_a_first_item_that_waits_for_much_is_not_extrapolated(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    said = estimates(clock, [600.0, *[1.0] * 7], total=100, steps=1, capsys=capsys)
    assert said == [None] * 4 + [95, 94, 93, 92]


def test_one_report_of_many_items_is_no_ground_for_an_estimate(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    said = estimates(clock, [40.0, 1.0, 1.0, 1.0, 1.0], total=12_800, steps=128, capsys=capsys)
    assert said == [None] * 4 + [95]


def test_work_that_becomes_slower_shows_in_the_estimate(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    quick, slow = [0.01] * 200, [10.0] * 60
    said = estimates(clock, quick + slow, total=300, steps=1, capsys=capsys)
    assert said[199] == 1
    assert said[-1] == 400


def test_what_went_by_without_work_is_no_speed(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    assert estimates(clock, [1.0] * 6, total=10, steps=0, capsys=capsys) == [None] * 6
