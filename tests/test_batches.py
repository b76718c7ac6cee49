"""Crops of a part, and those few that stand for all of it."""

from __future__ import annotations

import numpy as np

from trueshot.datasets.batches import Part


def part(per_class: int) -> Part:
    labels = np.repeat([0, 1], per_class)
    pixels = np.zeros((2 * per_class, 4, 4, 3), np.uint8)
    return Part(pixels=pixels, rows=np.arange(2 * per_class), labels=labels)


def test_crops_are_drawn_from_the_whole_part_and_always_the_same() -> None:
    whole = part(1000)
    drawn = whole.drawn(200)
    assert np.bincount(drawn.labels).tolist() == [200, 200]
    assert np.unique(drawn.rows).size == 400
    # 200 of 1000 in ten stretches: 20 each, with a standard deviation of 3.8.
    for label in (0, 1):
        places = drawn.rows[drawn.labels == label] - 1000 * label
        assert np.histogram(places, bins=10, range=(0, 1000))[0].min() > 4
    np.testing.assert_array_equal(drawn.rows, whole.drawn(200).rows)


def test_where_there_are_not_so_many_all_are_drawn() -> None:
    whole = part(3)
    np.testing.assert_array_equal(whole.drawn(5).rows, whole.rows)
