"""EfficientNet-Lite0 is the published one: an independent implementation gives the same logits."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from conftest import levels
from efficientnet_lite_pytorch import EfficientNet
from torch import nn

from trueshot.detector import Detector
from trueshot.errors import RunError
from trueshot.networks import EfficientNetLite0, build_network
from trueshot.networks.efficientnet_lite import (
    OFFSET,
    SCALE,
    SamePadding,
    imagenet_weights_path,
    load_imagenet,
    renamed,
)


@pytest.fixture(scope="module")
def imagenet() -> Detector:
    network = EfficientNetLite0(classes=1000)
    load_imagenet(network)
    return Detector(
        network, offset=OFFSET, scale=SCALE, classes=tuple(str(number) for number in range(1000))
    ).eval()


def test_an_independent_implementation_gives_the_same_logits(imagenet: Detector) -> None:
    theirs = EfficientNet.from_name("efficientnet-lite0").eval()
    theirs.load_state_dict(torch.load(imagenet_weights_path(), weights_only=True))
    images = levels(2, 256)
    with torch.no_grad():
        expected = theirs((images - 127) / 128)
        torch.testing.assert_close(imagenet(images), expected, rtol=0, atol=1e-4)


def test_every_weight_of_theirs_has_a_place_here() -> None:
    theirs = renamed(EfficientNet.from_name("efficientnet-lite0").state_dict())
    ours = EfficientNetLite0(classes=1000).state_dict()
    assert {n: t.shape for n, t in theirs.items()} == {n: t.shape for n, t in ours.items()}


def test_it_has_as_many_parameters_as_published() -> None:
    parameters = sum(each.numel() for each in EfficientNetLite0(classes=1000).parameters())
    assert parameters == 4_652_008  # "4.7M" in the authors' table


@pytest.mark.parametrize("size", [31, 32, 33])
@pytest.mark.parametrize(("side", "stride"), [(3, 1), (3, 2), (5, 1), (5, 2)])
def test_padding_leaves_as_many_places_as_strides_begin(side: int, stride: int, size: int) -> None:
    layers = nn.Sequential(SamePadding(side, stride), nn.Conv2d(1, 1, side, stride))
    assert layers(torch.zeros(1, 1, size, size)).shape[2:] == (-(-size // stride),) * 2


def test_two_classes_keep_what_imagenet_taught_and_begin_with_a_layer_of_their_own(
    imagenet: Detector,
) -> None:
    network = build_network({"name": "efficientnet-lite0", "classes": 2}).eval()
    assert isinstance(network, EfficientNetLite0)
    before = network.classifier.weight.clone()
    load_imagenet(network)
    torch.testing.assert_close(network.classifier.weight, before)
    images = (levels(1, 64) - OFFSET) / SCALE
    assert isinstance(imagenet.network, EfficientNetLite0)
    torch.testing.assert_close(network.features(images), imagenet.network.features(images))


def test_weights_that_are_not_the_known_ones_are_refused(tmp_path: Path) -> None:
    other = tmp_path / "other.pth"
    torch.save(EfficientNetLite0().state_dict(), other)
    with pytest.raises(RunError, match="not the known ImageNet weights"):
        load_imagenet(EfficientNetLite0(), other)
    with pytest.raises(RunError, match="cannot be read"):
        load_imagenet(EfficientNetLite0(), tmp_path / "none.pth")


def test_folding_changes_no_logit(imagenet: Detector) -> None:
    images = levels(1, 96)
    with torch.no_grad():
        torch.testing.assert_close(
            imagenet.folded()(images), imagenet(images), rtol=1e-4, atol=1e-4
        )
    norms = [m for m in imagenet.folded().modules() if isinstance(m, nn.BatchNorm2d)]
    assert not norms


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::torch.jit.TracerWarning")
def test_what_each_place_says_adds_up_to_the_logits(imagenet: Detector) -> None:
    images = levels(2, 96)
    with torch.no_grad():
        found = imagenet.network.explained((images - imagenet.offset) / imagenet.scale)
        assert found.evidence.shape == (2, imagenet.network.classes, 3, 3)
        torch.testing.assert_close(found.logits, imagenet(images))
        torch.testing.assert_close(found.evidence.mean((2, 3)), found.logits, rtol=1e-3, atol=1e-3)


def test_the_first_blocks_alone_are_those_of_imagenet(imagenet: Detector) -> None:
    few = EfficientNetLite0(blocks=5, features=64)
    head = few.head[1].weight.clone()
    load_imagenet(few)
    whole = imagenet.network.state_dict()
    for name, tensor in few.state_dict().items():
        if name.startswith(("stem", "blocks")):
            torch.testing.assert_close(tensor, whole[name])
    torch.testing.assert_close(few.head[1].weight, head)  # which sees other channels
    with pytest.raises(ValueError, match="blocks"):
        EfficientNetLite0(blocks=17)


def test_onnxruntime_gives_the_same_logits(imagenet: Detector, tmp_path: Path) -> None:
    path = tmp_path / "context.onnx"
    images = levels(2, 128)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the older exporter; padding is of one size
        torch.onnx.export(
            imagenet,
            (images[:1],),
            path,
            input_names=["images"],
            opset_version=17,
            dynamo=False,
            dynamic_axes={"images": {0: "n"}},
        )
    session = onnxruntime.InferenceSession(path)
    (logits,) = session.run(None, {"images": images.numpy()})
    with torch.no_grad():
        np.testing.assert_allclose(logits, imagenet(images).numpy(), rtol=0, atol=1e-3)
