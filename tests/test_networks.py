"""The LCNN is the one of the paper; a photograph's verdict is the mean of its crops'."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.ndimage
import torch
from conftest import levels
from torch import nn

from trueshot.attacks import image_gradient
from trueshot.detector import Detector
from trueshot.errors import RecipeError
from trueshot.networks import LCNN, build_network
from trueshot.networks.crop_aggregation import CropAggregator
from trueshot.networks.front_ends import Laplacian


def test_the_enhancement_layer_is_scipys_laplacian_of_each_colour_with_the_sign_of_equation_1() -> (
    None
):
    images = levels(2, 9)
    expected = -scipy.ndimage.laplace(images.numpy(), axes=(2, 3))[:, :, 1:-1, 1:-1]
    np.testing.assert_array_equal(Laplacian()(images).numpy(), expected)


def test_the_laplacian_is_fixed_and_takes_no_place_among_the_weights() -> None:
    assert not list(Laplacian().parameters())
    assert not [name for name in LCNN().state_dict() if "kernel" in name]


def test_a_constant_added_to_an_image_changes_nothing() -> None:
    network = LCNN().eval()
    torch.testing.assert_close(network(levels(2, 32)), network(levels(2, 32) + 7))


def test_the_five_units_are_those_of_the_paper() -> None:
    network = LCNN()
    assert len(network.units) == 5
    for number, unit in enumerate(network.units):
        convolution, normalisation, rectifier, pooling = unit
        assert (convolution.kernel_size, convolution.stride) == ((3, 3), (1, 1))
        assert isinstance(normalisation, nn.BatchNorm2d)
        assert isinstance(rectifier, nn.ReLU)
        if number < 4:
            features = torch.rand(2, 3, 13, 16)
            torch.testing.assert_close(pooling(features), nn.AvgPool2d(5, 2, 2)(features))
        else:
            assert pooling(torch.ones(1, 1, 7, 9)).shape == (1, 1, 1, 1)
    assert isinstance(network.classifier, nn.Linear)


@pytest.mark.parametrize("side", [64, 128, 256, 512])
def test_all_four_sizes_of_the_paper_go_through(side: int) -> None:
    network = LCNN(filters=(2, 2, 2, 2, 2)).eval()
    sizes = []
    for unit in network.units[:4]:
        unit.register_forward_hook(lambda *arguments: sizes.append(arguments[2].shape[-1]))
    assert network(levels(1, side)).shape == (1, 2)
    expected, width = [], side - 2
    for _ in range(4):
        width = (width + 2 * 2 - 5) // 2 + 1
        expected.append(width)
    assert sizes == expected


@pytest.mark.parametrize(
    "settings",
    [
        {"name": "none"},
        {"name": "lcnn", "filters": [8, 8]},
        {"name": "lcnn", "filters": [8, 8, 0, 8, 8]},
        {"name": "lcnn", "filters": [8, 8, 2**20, 8, 8]},
        {"name": "efficientnet-lite0", "features": 2**30},
        {"name": "lcnn", "classes": 1},
        {"name": "lcnn", "depth": 3},
        {},
    ],
)
def test_a_network_that_cannot_be_built_is_refused(settings: dict[str, object]) -> None:
    with pytest.raises(RecipeError, match="network"):
        build_network(settings)


def test_normalisation_is_inside_the_detector() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(48, 2))
    plain, normalised = Detector(network), Detector(network, offset=127.5, scale=255.0)
    images = levels(3, 4)
    torch.testing.assert_close(normalised(images), plain((images - 127.5) / 255))


@pytest.mark.parametrize(
    "images", [torch.zeros(3, 8, 8), torch.zeros(1, 1, 8, 8), torch.zeros(1, 3, 8, 8).byte()]
)
def test_a_detector_refuses_what_is_not_levels(images: torch.Tensor) -> None:
    with pytest.raises(ValueError, match=r"\(n, 3, h, w\)"):
        Detector(LCNN())(images)


def test_probabilities_are_those_of_evaluation_mode_and_the_mode_is_restored() -> None:
    detector = Detector(LCNN()).eval()
    images = levels(4, 32)
    expected = detector(images).double().softmax(1)
    detector.train()
    torch.testing.assert_close(detector.probabilities(images), expected)
    assert all(module.training for module in detector.modules())


def test_a_photograph_is_judged_by_the_mean_logits_of_its_crops() -> None:
    network = LCNN(filters=(4, 4, 4, 4, 4)).eval()
    images = levels(2, 75)[:, :, :70]
    whole = CropAggregator(network, 32).eval()(images)
    crops = [images[:, :, y : y + 32, x : x + 32] for y in (0, 32) for x in (0, 32)]
    expected = torch.stack([network(crop) for crop in crops]).mean(0)
    torch.testing.assert_close(whole, expected)


def test_the_gradient_of_a_photograph_does_not_depend_on_how_its_crops_are_chunked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    torch.manual_seed(0)
    detector = Detector(CropAggregator(LCNN(filters=(4, 4, 4, 4, 4)), 32)).double().eval()
    images, labels = levels(1, 96).double(), torch.tensor([1])
    expected = image_gradient(detector, images, labels)
    monkeypatch.setattr("trueshot.networks.crop_aggregation._VALUES_AT_ONCE", 3 * 32 * 32 * 2)
    torch.testing.assert_close(image_gradient(detector, images, labels), expected)
    assert (expected != 0).any()


def test_a_photograph_smaller_than_a_crop_is_refused() -> None:
    with pytest.raises(ValueError, match="smaller than a crop"):
        CropAggregator(LCNN(), 64)(levels(1, 63))
