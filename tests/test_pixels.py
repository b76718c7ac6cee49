"""Levels, bytes and distances."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from conftest import levels
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from trueshot.pixels import l2, linf, psnr, rounded, share_changed, ssim, to_bytes, to_levels


def test_bytes_become_levels_and_come_back() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (2, 5, 7, 3)).astype(np.uint8)
    images = to_levels(pixels)
    assert images.shape == (2, 3, 5, 7)
    assert images[1, 2, 3, 4] == pixels[1, 3, 4, 2]
    assert (to_bytes(images) == pixels).all()
    assert (to_bytes(to_levels(pixels[0])) == pixels[:1]).all()


@pytest.mark.parametrize("wrong", [np.zeros((2, 4, 4, 3)), np.zeros((4, 4), np.uint8)])
def test_what_is_not_bytes_of_a_colour_image_is_refused(wrong: np.ndarray) -> None:
    with pytest.raises(ValueError, match="pixels must be uint8 of shape"):
        to_levels(wrong)


def test_rounding_in_memory_is_rounding_to_the_file() -> None:
    images = levels(2, 6) + torch.rand(2, 3, 6, 6) - 0.5
    images[0, 0, 0, 0], images[0, 0, 0, 1] = -3.0, 300.0
    assert torch.equal(rounded(images), to_levels(to_bytes(images)))


def test_distances_are_in_levels_and_per_image() -> None:
    first = torch.zeros(2, 3, 2, 2)
    second = first.clone()
    second[0, 1, 0, 0], second[1, :, 0, 0] = 3.0, -4.0
    assert linf(first, second).tolist() == [3, 4]
    assert l2(first, second).tolist() == pytest.approx([3, 48**0.5])
    assert share_changed(first, second).tolist() == [0.25, 0.25]


def test_psnr_and_ssim_are_scikit_images() -> None:
    first, second = levels(2, 16), levels(2, 16, seed=1)
    for i in range(2):
        a, b = first[i].double().numpy(), second[i].double().numpy()
        assert float(psnr(first, second)[i]) == pytest.approx(
            peak_signal_noise_ratio(a, b, data_range=255)
        )
        expected = structural_similarity(a, b, channel_axis=0, data_range=255)
        assert float(ssim(first, second)[i]) == pytest.approx(expected)
    assert psnr(first, first).tolist() == [float("inf")] * 2


def test_ssim_of_a_large_image_is_computed_in_strips_and_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first, second = levels(1, 40), levels(1, 40, seed=1)
    whole = ssim(first, second)
    for pixels in (1, 40 * 5, 40 * 33):
        monkeypatch.setattr("trueshot.pixels._SSIM_PIXELS", pixels)
        torch.testing.assert_close(ssim(first, second), whole)


def test_ssim_of_an_image_smaller_than_its_window_is_refused() -> None:
    with pytest.raises(ValueError, match="7×7"):
        ssim(levels(1, 6), levels(1, 6))
