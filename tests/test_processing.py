"""What may happen to any photograph before somebody looks at it."""

from __future__ import annotations

import numpy as np
import pytest

from trueshot.training.patches import LEAST_SCALE, draw_scale, process


def test_every_second_photograph_keeps_its_size_and_none_loses_more_than_half() -> None:
    random = np.random.default_rng(0)
    scales = np.array([draw_scale(random) for _ in range(2000)])
    assert 0.45 < (scales == 1).mean() < 0.55
    assert scales.min() >= LEAST_SCALE
    assert scales.min() < LEAST_SCALE + 0.02


@pytest.mark.parametrize("size", [64, 128])
def test_a_square_of_any_size_becomes_one_of_the_side_that_is_wanted(size: int) -> None:
    y, x = np.mgrid[:size, :size] / size
    pixels = np.stack([200 * x, 200 * y, 100 + 0 * x], -1).astype(np.uint8)
    for seed in range(40):
        made = process(pixels, 64, np.random.default_rng(seed))
        assert made.shape == (64, 64, 3)
        assert made.dtype == np.uint8
        # Whatever happens, it shows the same, and nothing is brighter on the whole.
        assert abs(made.astype(float).mean() - pixels.mean()) < 4
        np.testing.assert_array_equal(made, process(pixels, 64, np.random.default_rng(seed)))


def test_grain_is_taken_away_kept_and_added() -> None:
    noisy = np.random.default_rng(0).normal(128, 6, (64, 64, 3)).round().astype(np.uint8)
    grains = [float(process(noisy, 64, np.random.default_rng(n)).std()) for n in range(200)]
    assert min(grains) < 4
    assert max(grains) > 8
    untouched = np.isclose(grains, noisy.std())
    assert 0.05 < untouched.mean() < 0.3
