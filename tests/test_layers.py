"""Our layers are PyTorch's, up to their second derivatives, and do nothing that nobody wants."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from conftest import levels
from torch import Tensor, nn
from torch.nn import functional

from trueshot.detector import Detector
from trueshot.networks import LCNN, convolution
from trueshot.networks.convolution import AveragePool, Conv2d, fixed_filter
from trueshot.networks.folding import folded
from trueshot.networks.normalisation import BatchNorm2d

FILTERS = (2, 3, 4, 4, 4)
LABELS = torch.arange(6) % 2


class Usual(nn.Module):
    """The LCNN of PyTorch's own layers, with the names of ours."""

    def __init__(self) -> None:
        super().__init__()
        channels = (3, *FILTERS)
        pools = [nn.AvgPool2d(5, stride=2, padding=2) for _ in range(4)]
        self.units = nn.Sequential(
            *(
                nn.Sequential(
                    nn.Conv2d(channels[i], channels[i + 1], 3, padding=1, bias=False),
                    nn.BatchNorm2d(channels[i + 1]),
                    nn.ReLU(),
                    pools[i] if i < 4 else nn.AdaptiveAvgPool2d(1),
                )
                for i in range(5)
            )
        )
        self.classifier = nn.Linear(FILTERS[-1], 2)

    def forward(self, images: Tensor) -> Tensor:
        kernel = torch.tensor([[0.0, -1, 0], [-1, 4, -1], [0, -1, 0]]).to(images)
        residuals = functional.conv2d(images, kernel.expand(3, 1, 3, 3), groups=3)
        return self.classifier(self.units(residuals).flatten(1))


def pair() -> tuple[Detector, Detector]:
    """One detector of our layers, one of PyTorch's, with the same weights, in float64."""
    torch.manual_seed(0)
    ours = Detector(LCNN(filters=FILTERS)).double()
    with torch.no_grad():
        for parameter in ours.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    theirs = Detector(Usual()).double()
    theirs.load_state_dict(ours.state_dict())
    return ours.train(), theirs.train()


def images(memory_format: torch.memory_format = torch.channels_last) -> Tensor:
    return levels(6, 34)[:, :, :33].double().contiguous(memory_format=memory_format)


def gradients(detector: Detector, inputs: Tensor) -> tuple[Tensor, ...]:
    """Of mean cross-entropy plus the norm of its gradient at half of the images."""
    leaves = inputs.clone().requires_grad_(True)
    losses = functional.cross_entropy(detector(leaves), LABELS, reduction="none")
    (first,) = torch.autograd.grad(losses[3:].sum(), leaves, create_graph=True)
    penalty = first[3:].square().sum((1, 2, 3)).sqrt().sum()
    return torch.autograd.grad(losses.mean() + 10 * penalty, list(detector.parameters()))


@pytest.mark.parametrize("memory_format", [torch.channels_last, torch.contiguous_format])
def test_second_derivatives_of_the_network_are_those_of_pytorchs_layers(
    memory_format: torch.memory_format,
) -> None:
    ours, theirs = pair()
    ours.to(memory_format=memory_format)  # type: ignore[call-overload]
    found, expected = (gradients(each, images(memory_format)) for each in (ours, theirs))
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)
    for name, buffer in theirs.state_dict().items():
        torch.testing.assert_close(ours.state_dict()[name], buffer)


def test_images_in_another_layout_than_the_rest_change_nothing() -> None:
    ours, _ = pair()
    other = copy.deepcopy(ours)
    ours.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    found = gradients(ours, images(torch.contiguous_format))
    torch.testing.assert_close(found, gradients(other, images()), rtol=1e-9, atol=1e-12)


def test_in_float32_second_derivatives_lose_no_more_than_pytorchs_do() -> None:
    ours, theirs = pair()
    expected = gradients(theirs, images())
    single = [gradients(copy.deepcopy(each).float(), images().float()) for each in (ours, theirs)]
    ours_off, theirs_off = (
        max(float((a - b).norm() / b.norm()) for a, b in zip(each, expected, strict=True))
        for each in single
    )
    assert ours_off < max(3 * theirs_off, 1e-5)


@pytest.mark.parametrize(
    ("layer", "size"),
    [
        (Conv2d(2, 4, 3, stride=2, padding=1, bias=False), 7),
        (Conv2d(3, 4, 1, stride=2, bias=False), 7),
        (Conv2d(4, 4, 3, padding=2, dilation=2, groups=2, bias=False), 6),
        (BatchNorm2d(3), 4),
        (AveragePool(5, stride=2, padding=2), 7),
    ],
)
def test_a_layer_agrees_with_finite_differences_twice(layer: nn.Module, size: int) -> None:
    torch.manual_seed(0)
    layer = copy.deepcopy(layer).double()
    channels = getattr(layer, "in_channels", getattr(layer, "num_features", 2))
    inputs = torch.randn(2, channels, size, size, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(layer, inputs)
    assert torch.autograd.gradgradcheck(layer, inputs)


@pytest.mark.parametrize("channels", [2, 3, 4, 6, 8])
def test_strided_1x1_convolutions_give_exact_weight_gradients_on_any_processor(
    channels: int,
) -> None:
    # With PyTorch's own gradient the process is killed here, on processors without AVX-512.
    layer = Conv2d(channels, 8, 1, stride=2, bias=False).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    exact = copy.deepcopy(layer).double()
    for seed in range(50):
        images = torch.randn(8, channels, 8, 8, generator=torch.Generator().manual_seed(seed))
        images = images.contiguous(memory_format=torch.channels_last).requires_grad_()
        (found,) = torch.autograd.grad(layer(images).square().sum(), layer.weight)
        (wanted,) = torch.autograd.grad(exact(images.double()).square().sum(), exact.weight)
        torch.testing.assert_close(found.double(), wanted, rtol=1e-4, atol=1e-4)


def test_a_fixed_filter_is_a_convolution_of_each_channel() -> None:
    kernel = torch.arange(9.0).reshape(1, 1, 3, 3)
    found = fixed_filter(levels(2, 9), kernel, stride=2, padding=1)
    expected = functional.conv2d(
        levels(2, 9), kernel.expand(3, 1, 3, 3), stride=2, padding=1, groups=3
    )
    torch.testing.assert_close(found, expected)


def test_what_our_layers_cannot_differentiate_is_refused_and_not_wrong() -> None:
    for layer in (Conv2d(3, 2, 3, bias=False), BatchNorm2d(3)):
        losses = layer(levels(4, 8)).square().sum()
        weight = next(layer.parameters())
        (gradient,) = torch.autograd.grad(losses, weight, create_graph=True)
        with pytest.raises(NotImplementedError, match="only gradients of images"):
            gradient.square().sum().backward()


def test_batch_normalisation_of_one_value_is_refused() -> None:
    with pytest.raises(ValueError, match="more than one value per channel"):
        BatchNorm2d(3)(torch.zeros(1, 3, 1, 1))


def test_no_gradient_is_computed_that_a_pass_does_not_lead_to(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    original, computed = convolution._gradients, []

    def watch(*arguments: Any, images: bool = False, weights: bool = False) -> Any:
        learned = arguments[2].shape[1] > 1
        computed.append((learned, images, weights))
        return original(*arguments, images=images, weights=weights)

    monkeypatch.setattr(convolution, "_gradients", watch)
    detector, _ = pair()
    leaves = images().requires_grad_(True)
    losses = functional.cross_entropy(detector(leaves), LABELS, reduction="none")
    (gradient,) = torch.autograd.grad(losses.sum(), leaves, create_graph=True)
    assert [at for learned, *at in computed if learned] == [[True, False]] * 5
    computed.clear()
    loss = losses.sum() + gradient.square().sum()
    torch.autograd.backward(loss, inputs=list(detector.parameters()))
    learned = [at for learned, *at in computed if learned]
    assert learned == [[False, True]] * 5 + [[True, True]] * 4 + [[False, True]]


def test_where_only_some_images_gradients_are_wanted_those_are_the_same() -> None:
    detector, _ = pair()
    found = []
    for first in (0, 3):
        with convolution.gradient_wanted_from(first):
            leaves = images().requires_grad_(True)
            losses = functional.cross_entropy(detector(leaves), LABELS, reduction="none")
        (gradient,) = torch.autograd.grad(losses.sum(), leaves, create_graph=True)
        loss = losses.mean() + gradient[3:].square().sum((1, 2, 3)).sqrt().sum()
        at_weights = torch.autograd.grad(loss, list(detector.parameters()))
        found.append((gradient[3:], *at_weights))
    torch.testing.assert_close(*found, rtol=1e-9, atol=1e-12)
    # The Laplacian of zeros: nothing was led back to the others.
    assert (gradient[:3] == 0).all()


def test_folding_gives_the_same_logits_with_fewer_layers_and_leaves_the_detector_alone() -> None:
    detector, _ = pair()
    detector(images())
    before = {name: value.clone() for name, value in detector.state_dict().items()}
    expected = detector.eval()(images())
    twin = detector.folded()
    torch.testing.assert_close(twin(images()), expected)
    kinds = [type(module) for module in twin.modules()]
    assert BatchNorm2d not in kinds
    assert kinds.count(nn.Conv2d) == 5
    assert [type(module) for module in detector.modules()].count(BatchNorm2d) == 5
    torch.testing.assert_close(detector.state_dict(), before, rtol=0, atol=0)


def test_only_what_may_be_folded_is() -> None:
    def chain(*more: nn.Module) -> nn.Sequential:
        return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), *more).eval()

    def is_folded(whole: nn.Sequential) -> bool:
        return not any(isinstance(module, nn.BatchNorm2d) for module in folded(whole))

    class Doubled(nn.Conv2d):
        def forward(self, images: Tensor) -> Tensor:
            return 2 * super().forward(images)

    assert is_folded(chain(nn.ReLU()))
    assert isinstance(folded(chain(nn.ReLU()))[2], nn.ReLU)  # at its own place
    assert not is_folded(chain().train())
    hooked = chain()
    hooked[0].register_forward_hook(lambda *_: None)
    assert not is_folded(hooked)
    assert not is_folded(nn.Sequential(Doubled(3, 4, 3), nn.BatchNorm2d(4)).eval())
    assert not is_folded(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.BatchNorm2d(4)).eval())
    without = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, track_running_stats=False)).eval()
    assert not is_folded(without)


def test_one_layer_that_stands_in_two_places_is_folded_in_both() -> None:
    torch.manual_seed(0)
    shared = nn.Conv2d(3, 3, 3, padding=1)
    twice = nn.Sequential(shared, nn.BatchNorm2d(3), shared, nn.BatchNorm2d(3))
    twice(levels(4, 8))
    twice.eval()
    torch.testing.assert_close(folded(twice)(levels(4, 8)), twice(levels(4, 8)))
