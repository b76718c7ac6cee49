"""Rounding attacked images to the levels of a file, in either norm, and seeds of attacks."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from conftest import levels
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from trueshot.attacks import Norm, as_filed, distance
from trueshot.attacks.randomness import generators


@dataclass(frozen=True, kw_only=True)
class Given:
    budget: float
    norm: Norm = "linf"

    def __call__(self, detector: object, images: Tensor, labels: Tensor) -> Tensor:
        raise NotImplementedError


@given(
    norm=st.sampled_from(["linf", "l2"]),
    budget=st.floats(0.1, 40),
    seed=st.integers(0, 1000),
)
@settings(max_examples=60, deadline=None)
def test_what_is_filed_is_whole_within_the_levels_and_within_the_budget(
    norm: Norm, budget: float, seed: int
) -> None:
    images = levels(3, 8, seed)
    noise = torch.randn(images.shape, generator=torch.Generator().manual_seed(seed))
    size = budget / (noise.abs().max() if norm == "linf" else noise[0].norm() * 1.5)
    attacked = (images + size * noise).clamp(0, 255)
    filed = as_filed(Given(budget=budget, norm=norm), images, attacked)
    assert torch.equal(filed, filed.round())
    assert filed.amin() >= 0
    assert filed.amax() <= 255
    assert (distance(norm, images, filed) <= budget * (1 + 1e-6)).all()
    again = as_filed(Given(budget=budget, norm=norm), images, filed)
    assert torch.equal(again, filed)


def test_little_of_a_change_in_l2_is_lost_to_whole_levels() -> None:
    images = torch.full((4, 3, 16, 16), 128.0)
    noise = torch.randn(images.shape, generator=torch.Generator().manual_seed(0))
    attacked = images + 28.0 * noise / noise.flatten(1).norm(dim=1)[:, None, None, None]
    filed = as_filed(Given(budget=28.0, norm="l2"), images, attacked)
    assert (distance("l2", images, filed) > 0.97 * 28.0).all()
    kept = ((filed - images) * noise).sum((1, 2, 3)) / ((attacked - images) * noise).sum((1, 2, 3))
    assert (kept > 0.8).all()


@pytest.mark.parametrize("seeds", [(0, 1), (0, 2**31), (5, 6)])
def test_two_seeds_draw_differently_and_each_the_same_again(seeds: tuple[int, int]) -> None:
    images = levels(3, 8)
    one, other, again = (
        [torch.rand(4, generator=source) for source in generators(images, seed)]
        for seed in (*seeds, seeds[0])
    )
    for first, second, third in zip(one, other, again, strict=True):
        assert not torch.equal(first, second)
        assert torch.equal(first, third)
