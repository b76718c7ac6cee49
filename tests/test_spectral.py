"""Front ends and the network of local spectra, against closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from conftest import levels
from scipy import ndimage
from torch import Tensor

from trueshot.errors import RecipeError
from trueshot.networks import LCNN, SpectralNetwork, build_network
from trueshot.networks.front_ends import FRONT_ENDS, Constrained, Learned, Smoothed
from trueshot.networks.spectral import Spectra


def wave(amplitude: float, across: float, down: float, side: int = 64) -> Tensor:
    """Grey levels with one frequency, in waves per 32 pixels: shape (1, 3, side, side)."""
    steps = torch.arange(side).double()
    phase = 2 * math.pi * (down * steps[:, None] + across * steps) / 32
    return (128 + amplitude * phase.cos()).float().expand(1, 3, side, side)


@pytest.mark.parametrize(("amplitude", "floor"), [(8.0, 4.0), (1.0, 4.0), (40.0, 10.0)])
def test_a_wave_shows_at_its_frequency_with_the_logarithm_of_its_amplitude(
    amplitude: float, floor: float
) -> None:
    maps = Spectra(32, floor)(wave(amplitude, across=7, down=-5))
    assert maps.shape == (1, 3, 32, 17)
    luma = maps[0, 0]
    place = divmod(int(luma.argmax()), 17)
    assert place == (16 - 5, 7)
    assert luma.amax().item() == pytest.approx(math.log1p((amplitude / floor) ** 2), rel=1e-3)
    assert maps[0, 1:].amax() < 1e-4  # grey has no differences of colours


def test_spectra_are_those_of_a_fast_fourier_transform() -> None:
    images = levels(2, 32)
    luma = torch.einsum("c,nchw->nhw", torch.tensor([0.299, 0.587, 0.114]), images).numpy()
    hann = np.hanning(32)
    weights = np.outer(hann, hann) / hann.sum() ** 2
    for own, grey in zip(Spectra(32, 3.0)(images), luma, strict=True):
        power = np.abs(np.fft.rfft2((grey - grey.mean()) * weights)) ** 2
        expected = np.fft.fftshift(np.log1p(power * (2 / 3.0) ** 2), axes=0)
        np.testing.assert_allclose(own[0].numpy(), expected, atol=1e-4)


def test_the_powers_of_windows_that_overlap_by_half_are_averaged() -> None:
    images = levels(1, 48)
    tiles = [images[:, :, y : y + 32, x : x + 32] for y in (0, 16) for x in (0, 16)]
    each = torch.cat([Spectra(32, 3.0)(tile) for tile in tiles]).expm1().mean(0)
    torch.testing.assert_close(Spectra(32, 3.0)(images)[0], each.log1p(), rtol=1e-4, atol=1e-5)


def test_a_change_of_the_budget_moves_a_frequency_by_no_more_than_a_square_wave() -> None:
    spectra = Spectra(32, 5.0)
    flat = torch.full((1, 3, 32, 32), 128.0)
    best = spectra(flat + 5.0 * (wave(1.0, 8, 8, 32) - 128).sign())[0, 0].amax()
    noise = [spectra(flat + 5.0 * (levels(1, 32, seed) - 127.5).sign()) for seed in range(20)]
    assert max(float(each[0, 0].amax()) for each in noise) < best
    assert best <= math.log1p((4 / math.pi) ** 2) + 0.35  # corners of the grid add harmonics


def test_any_size_from_the_window_on_is_taken_and_smaller_ones_are_refused() -> None:
    network = SpectralNetwork(window=16, filters=(4, 8)).eval()
    assert network(levels(2, 16)).shape == (2, 2)
    assert network(levels(2, 57)).shape == (2, 2)
    with pytest.raises(ValueError, match="smaller than a window of 16"):
        network(levels(2, 15))


@pytest.mark.parametrize(
    "wrong",
    [
        {"window": 20},
        {"window": 4},
        {"window": 8192},
        {"filters": [1] * 20},
        {"filters": [2**20]},
        {"floor": 0.0},
        {"floor": math.inf},
        {"filters": ()},
        {"classes": 1},
    ],
)
def test_settings_of_a_spectral_network_that_make_no_sense_are_refused(
    wrong: dict[str, object],
) -> None:
    with pytest.raises(RecipeError):
        build_network({"name": "spectral", **wrong})


def test_gradients_at_the_images_are_those_of_finite_differences() -> None:
    torch.manual_seed(0)
    network = SpectralNetwork(window=16, filters=(4, 8)).double().eval()
    images = levels(1, 24).double().requires_grad_(True)
    network(images)[0, 1].backward()
    assert images.grad is not None
    change = torch.randn(
        images.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1)
    )
    up, down = (network(images.detach() + step * change)[0, 1] for step in (1e-5, -1e-5))
    slope = (images.grad * change).sum()
    torch.testing.assert_close(slope, (up - down).detach() / 2e-5, rtol=1e-4, atol=1e-8)


@pytest.mark.parametrize("front", FRONT_ENDS)
def test_every_front_end_stands_in_the_lcnn(front: str) -> None:
    network = LCNN(filters=(2, 2, 2, 2, 2), front=front).eval()
    assert network(levels(2, 32)).shape == (2, 2)


@pytest.mark.parametrize("front", ["laplacian", "smoothed", "learned", "constrained"])
def test_what_is_flat_gives_nothing_through_a_front_end_that_is_a_filter(front: str) -> None:
    flat = torch.full((1, 3, 16, 16), 77.0)
    torch.testing.assert_close(
        FRONT_ENDS[front]()(flat).abs().amax(), torch.tensor(0.0), atol=1e-3, rtol=0
    )


def test_a_learned_filter_begins_as_the_laplacian() -> None:
    images = levels(2, 16)
    begun = FRONT_ENDS["laplacian"]()(images)[:, :, 1:-1, 1:-1]
    torch.testing.assert_close(Learned()(images), begun)


def test_a_constrained_filter_stays_one_whatever_its_weights() -> None:
    front = Constrained()
    with torch.no_grad():
        front.weight.normal_()
    filters = front.filters()
    assert torch.equal(filters[:, 0, 2, 2], torch.full((3,), -1.0))
    torch.testing.assert_close(filters.sum((1, 2, 3)), torch.zeros(3), atol=1e-5, rtol=0)


def test_the_smoothed_laplacian_is_a_gaussian_and_then_the_laplacian() -> None:
    images = levels(1, 32)
    smooth = ndimage.gaussian_filter(images[0, 0].double().numpy(), 1.0, truncate=3.0)
    expected = -ndimage.laplace(smooth)[4:-4, 4:-4]
    np.testing.assert_allclose(Smoothed(1.0)(images)[0, 0].numpy(), expected, atol=1e-3)


def test_a_front_end_that_nobody_knows_is_refused() -> None:
    with pytest.raises(RecipeError, match=r"'lcnn': front: .*'laplacian'"):
        build_network({"name": "lcnn", "front": "wavelet"})
