"""The networks of other forensic tasks, against what is published of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import fft, ndimage
from torch import Tensor, nn

from trueshot.bundle import load_bundle, read_bundle, save_bundle
from trueshot.card import Card
from trueshot.detector import Detector
from trueshot.errors import RecipeError
from trueshot.networks import NETWORKS, Network, build_network
from trueshot.networks.barni import CoefficientHistograms
from trueshot.networks.median_residual import LocalResponse, MedianResidual
from trueshot.networks.mislnet import ConstrainedConvolution, MISLnet
from trueshot.networks.wavelets import NoiseResidual
from trueshot.networks.yang_fusion import ResidualBlock
from trueshot.onnx import export_onnx
from trueshot.parity import logits_by_torch
from trueshot.training import load_recipe, recipe_names

# Small ones, that two classes and a second are enough for.
SMALL: dict[str, tuple[dict[str, object], int]] = {
    "median-residual": (
        {"side": 32, "filters": (4, 4, 4, 4, 4), "units": (8, 8), "normalisation": "batch"},
        32,
    ),
    "mfnet": ({"filters": (4, 4, 4, 4, 8)}, 32),
    "mislnet": ({"side": 64, "filters": (4, 4, 4, 4), "units": 8}, 64),
    "barni-pixels": ({"side": 64, "filters": 4, "units": 8}, 64),
    "barni-noise": ({"side": 64, "filters": 4, "units": 8}, 64),
    "barni-histograms": ({"filters": 2, "units": 8}, 32),
    "bondi": ({}, 64),
    "tuama": ({"side": 64, "units": (8, 8)}, 64),
    "yang-fusion": ({"filters": (4, 4, 8)}, 32),
}


def built(name: str, **more: object) -> nn.Module:
    torch.manual_seed(0)
    return build_network({"name": name, **SMALL[name][0], **more})


def pictures(side: int, count: int = 2, seed: int = 0) -> Tensor:
    """Smooth pictures of whole levels, in colour."""
    noise = np.random.default_rng(seed).normal(size=(count, 3, side, side))
    smooth = ndimage.gaussian_filter(noise, (0, 0, 2, 2)) * 150 + 128
    return torch.from_numpy(np.clip(smooth, 0, 255).round()).float()


def sizes(network: nn.Module) -> dict[str, int]:
    """Parameters of each convolution and connected layer, by their place."""
    kinds = (nn.Conv2d, nn.Linear)
    found = [m for m in network.modules() if isinstance(m, kinds)]
    return {str(n): sum(p.numel() for p in m.parameters()) for n, m in enumerate(found)}


@pytest.mark.parametrize(
    ("name", "arguments", "counts"),
    [
        # Filters times window times channels, and an offset each, of the published layers.
        (
            "median-residual",
            {"units": (4096, 4096), "classes": 2},
            [3328, 295_168, 885_120, 1_327_488, 884_992, 67_112_960, 16_781_312, 8194],
        ),
        ("bondi", {"classes": 18}, [1568, 38_448, 76_864, 204_928, 16_512, 2322]),
        (
            "mislnet",  # 14,208, 153,664, 102,464 and 8,320 less the offsets
            {"classes": 6},
            [14_112, 153_600, 102_400, 8192, 1_254_600, 40_200, 1206],
        ),
        ("barni-pixels", {}, [780, 22_530, 22_530, 375_500, 1002]),
        ("tuama", {"classes": 12}, [640, 36_928, 18_464, 1_843_456, 1_052_672, 49_164]),
    ],
)
def test_layers_have_the_parameters_that_are_published(
    name: str, arguments: dict[str, object], counts: list[int]
) -> None:
    with torch.device("meta"):
        network = NETWORKS[name](**arguments) if name != "mislnet" else None
    network = MISLnet() if network is None else network
    assert list(sizes(network).values()) == counts


def test_mislnet_has_the_maps_of_the_published_layer_file() -> None:
    network = MISLnet()
    found: list[tuple[int, ...]] = []
    for layer in (network.constrained, *network.units):
        layer.register_forward_hook(lambda *args: found.append(tuple(args[2].shape[1:])))
    network.eval()(pictures(256, 1))
    kinds = (nn.MaxPool2d, nn.AvgPool2d)
    pooled = [
        shape
        for layer, shape in zip((network.constrained, *network.units), found, strict=True)
        if isinstance(layer, kinds)
    ]
    assert found[0] == (3, 252, 252)
    assert found[1] == (96, 126, 126)
    assert pooled == [(96, 63, 63), (64, 31, 31), (64, 15, 15), (128, 7, 7)]


def test_the_median_residual_is_the_median_of_scipy_less_the_pixel() -> None:
    planes = pictures(33)[:, :1]
    for plane, found in zip(planes[:, 0], MedianResidual()(planes)[:, 0], strict=True):
        median = ndimage.median_filter(plane.numpy(), 3, mode="nearest")
        assert (found.numpy() == median - plane.numpy()).all()


def test_means_over_places_forget_the_places_and_go_through_a_bundle(tmp_path: Path) -> None:
    network = built("median-residual", places="mean").eval()
    features = network.units(network.filtered(pictures(32)))
    turned = network.classifier(features.flip(2))
    assert torch.allclose(network.classifier(features), turned, atol=1e-6)
    assert sum(p.numel() for p in network.classifier.parameters()) == 2 * (4 + 1)
    arguments = {**SMALL["median-residual"][0], "places": "mean"}
    card = Card(network={"name": "median-residual", **arguments}, side=32)
    save_bundle(tmp_path / "d.safetensors", Detector(network, classes=card.classes), card)
    assert read_bundle(tmp_path / "d.safetensors").graph is not None
    with pytest.raises(RecipeError, match="places"):
        built("median-residual", places="sum")


def test_local_response_divides_by_what_its_neighbourhood_holds() -> None:
    features = torch.zeros(1, 1, 9, 9)
    features[0, 0, 4, 4] = 1000.0
    found = LocalResponse()(features)[0, 0, 4, 4]
    assert float(found) == pytest.approx(1000 / (1 + 1e-4 * 1e6 / 25) ** 0.75, rel=1e-5)


def test_the_constraint_is_a_division_and_stays_when_projected_twice() -> None:
    layer = ConstrainedConvolution()
    with torch.no_grad():
        layer.weight.copy_(torch.rand_like(layer.weight) + 0.1)
    before = layer.weight.detach().clone()
    layer.project()
    others = before.clone()
    others[:, :, 2, 2] = 0
    wanted = others / others.sum((2, 3), keepdim=True)
    wanted[:, :, 2, 2] = -1
    assert torch.allclose(layer.weight, wanted)
    layer.project()
    assert torch.allclose(layer.weight, wanted)
    assert torch.allclose(layer(torch.full((1, 1, 8, 8), 77.0)), torch.zeros(1), atol=1e-3)


def test_histograms_are_those_of_numpy_and_a_gradient_passes_them() -> None:
    planes = pictures(48)[:, :1].requires_grad_(True)
    layer = CoefficientHistograms(1e6, 4.0)
    found = layer(planes)
    assert found.shape == (2, 1, 63, 101)
    for plane, histogram in zip(planes.detach().numpy()[:, 0], found[:, 0], strict=True):
        blocks = (plane - 128).astype(np.float64).reshape(6, 8, 6, 8).transpose(0, 2, 1, 3)
        coefficients = fft.dctn(blocks, axes=(2, 3), norm="ortho").reshape(36, 64)[:, 1:]
        for k in (0, 1, 9, 62):
            wanted, _ = np.histogram(coefficients[:, k], np.arange(-50, 52) - 0.5)
            assert np.abs(histogram[k].detach().numpy() * 36 - wanted).max() < 1.01
            assert np.abs(histogram[k].detach().numpy() * 36 - wanted).sum() < 2.01
    (soft,) = torch.autograd.grad(found[..., 40].sum(), planes)
    assert float(soft.abs().max()) > 0
    with torch.no_grad():
        assert torch.allclose(layer(planes), found)
    hard = CoefficientHistograms(1e6, 1e6)(planes)
    (none,) = torch.autograd.grad(hard[..., 40].sum(), planes)
    assert float((none != 0).double().mean()) < 0.5


def test_a_noise_residual_of_no_noise_is_nothing_and_one_of_noise_alone_is_that_noise() -> None:
    torch.manual_seed(0)
    noise = 5 * torch.randn(2, 1, 64, 64)
    residual = NoiseResidual(64)
    flat = torch.full((1, 1, 64, 64), 90.0)
    assert float(residual(flat).abs().max()) < 1e-2
    found = residual(flat + noise)
    kept = float((found * noise).sum() / noise.square().sum())
    assert 0.8 < kept < 1.0
    edge = flat.clone()
    edge[..., 20:44, 20:44] = 200.0
    assert float(residual(edge).square().mean()) < 0.02 * float(edge.var())
    for level in range(residual.levels):
        matrix = getattr(residual, f"transform{level}")
        assert torch.allclose(matrix @ matrix.T, torch.eye(len(matrix)), atol=1e-5)


@pytest.mark.parametrize("name", SMALL)
def test_a_gradient_reaches_the_images_once_and_twice(name: str) -> None:
    network, side = built(name).eval(), SMALL[name][1]
    images = pictures(side).requires_grad_(True)
    logits = network(images)
    assert logits.shape[1] == network.classes
    (gradient,) = torch.autograd.grad(logits[:, 1].sum(), images, create_graph=True)
    assert float(gradient.detach().abs().amax((1, 2, 3)).min()) > 0
    assert bool(torch.isfinite(gradient).all())
    loss = gradient.square().sum() + logits.square().sum()
    weights = [p for p in network.parameters() if p.requires_grad]
    found = torch.autograd.grad(loss, weights, allow_unused=True)
    assert all(bool(torch.isfinite(each).all()) for each in found if each is not None)


@pytest.mark.parametrize("name", SMALL)
def test_a_detector_goes_through_file_folding_and_onnx_unchanged(name: str, tmp_path: Path) -> None:
    arguments, side = SMALL[name]
    network = built(name, classes=3).train()
    with torch.no_grad():  # statistics that are not those of the beginning
        for seed in range(3):
            network(pictures(side, 4, seed))
    classes = ("original", "one", "other")
    given = {"offset": 128.0, "scale": 80.0} if name == "bondi" else {}  # as its recipe has it
    detector = Detector(network, classes=classes, **given).eval()
    card = Card(network={"name": name, **arguments}, classes=classes, side=side, **given)
    save_bundle(tmp_path / "d.safetensors", detector, card)
    assert read_bundle(tmp_path / "d.safetensors").graph is not None
    again, said = load_bundle(tmp_path / "d.safetensors")
    images = pictures(side, 3, 7)
    with torch.no_grad():
        wanted = detector(images)
        assert torch.equal(again(images), wanted)
        assert torch.allclose(detector.folded()(images), wanted, atol=1e-4, rtol=1e-4)
        assert torch.allclose(detector.explained(images).logits, wanted, atol=1e-5)
    crops = images.permute(0, 2, 3, 1).numpy().astype(np.uint8)
    assert np.isfinite(logits_by_torch(again)(crops)).all()
    if name in ("mfnet", "barni-histograms"):
        _, difference = export_onnx(again, said, "0" * 64, tmp_path / "d.onnx")
        assert difference < 1e-4


def test_what_yangs_blocks_bring_over_is_a_convolution_at_a_stride() -> None:
    torch.manual_seed(0)
    block = ResidualBlock(8, 8)
    (brought,) = (m for m in block.brought if isinstance(m, nn.Conv2d))
    images = torch.randn(32, 8, 64, 64).to(memory_format=torch.channels_last).requires_grad_()
    taken = images[:, :, ::2, ::2]
    upstream = torch.randn(32, 8, 32, 32)
    found = torch.autograd.grad(brought(taken), (images, brought.weight), upstream)
    exact, weight = (each.detach().double().requires_grad_() for each in (images, brought.weight))
    strided = nn.functional.conv2d(exact, weight, stride=2)
    wanted = torch.autograd.grad(strided, (exact, weight), upstream.double())
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one.double(), other, rtol=1e-3, atol=1e-2)
    block(images).sum().backward()  # of these shapes, oneDNN cannot do it at a stride
    assert images.grad is not None
    assert torch.isfinite(images.grad).all()


@pytest.mark.parametrize("name", SMALL)
def test_images_of_a_size_that_it_does_not_take_are_refused_with_both_sizes(name: str) -> None:
    side = SMALL[name][1]
    free = name in ("mfnet", "barni-histograms", "yang-fusion")
    wrong = 8 if free else side + 8
    with pytest.raises(ValueError, match=f"{wrong}×{wrong} px: .*{16 if free else side}×"):
        built(name)(pictures(wrong))
    with pytest.raises(RecipeError, match="classes"):
        build_network({"name": name, **SMALL[name][0], "classes": 1})


def test_each_network_has_a_recipe_and_each_recipe_reads_back(tmp_path: Path) -> None:
    named = set()
    for name in recipe_names():
        recipe = load_recipe(name)
        (tmp_path / "r.yaml").write_text(recipe.to_yaml())
        assert load_recipe(tmp_path / "r.yaml") == recipe
        named.add(recipe.network.name)
    assert set(SMALL) <= named
    assert all(issubclass(NETWORKS[name], Network) for name in SMALL)


def test_a_card_of_a_few_bytes_builds_no_network_without_bounds() -> None:
    for name, arguments in (("median-residual", {"units": (8, 10**9)}), ("tuama", {"side": 10**6})):
        with pytest.raises(RecipeError, match=r"units|side"):
            build_network({"name": name, **arguments})
