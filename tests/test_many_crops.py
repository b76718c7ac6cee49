"""A photograph judged by many crops: the grid, what makes one verdict of many, and its gradient."""

from __future__ import annotations

import statistics

import pytest
import torch
from conftest import Linear, levels
from scipy.stats import trim_mean
from torch import Tensor, nn

from trueshot.attacks import FGSM, PGD, image_gradient, margin, perturb
from trueshot.detector import Detector
from trueshot.networks import LCNN
from trueshot.networks.crop_aggregation import Aggregation, CropAggregator

AGGREGATIONS: tuple[Aggregation, ...] = ("mean", "median", "trimmed", "max")
BY_HAND = {
    "mean": statistics.fmean,
    "median": statistics.median,
    "trimmed": lambda values: float(trim_mean(values, 0.2)),
    "max": max,
}


def small_lcnn(seed: int = 0) -> LCNN:
    torch.manual_seed(seed)
    return LCNN(filters=(4, 4, 4, 4, 4)).eval()


def crops_of(image: Tensor, side: int) -> list[Tensor]:
    """Row by row, an image (1, 3, h, w) each."""
    height, width = image.shape[2:]
    return [
        image[:, :, top : top + side, left : left + side]
        for top in range(0, height - side + 1, side)
        for left in range(0, width - side + 1, side)
    ]


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
@pytest.mark.parametrize(("height", "width"), [(10, 15), (9, 4), (11, 13), (9, 17), (4, 4)])
def test_a_photograph_has_the_margin_that_its_crops_margins_come_to(
    aggregation: Aggregation, height: int, width: int
) -> None:
    network = Linear()
    whole = CropAggregator(network, 4, aggregation=aggregation)
    images = levels(3, 17)[:, :, :height, :width]
    logits = whole(images)
    for image, (original, recaptured) in zip(images.split(1), logits.tolist(), strict=True):
        each = [network(crop)[0].tolist() for crop in crops_of(image, 4)]
        margins = [logit[1] - logit[0] for logit in each]
        assert recaptured - original == pytest.approx(BY_HAND[aggregation](margins), abs=1e-3)


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
def test_no_photographs_are_judged_and_attacked_to_none(aggregation: Aggregation) -> None:
    none, whole = levels(1, 10)[:0], CropAggregator(small_lcnn(), 4, aggregation=aggregation)
    assert whole(none).shape == (0, 2)
    attacked = perturb(FGSM(budget=1.0), Detector(whole), none, torch.zeros(0).long())
    assert attacked.shape == none.shape


def test_with_more_classes_a_crops_evidence_is_against_the_untouched_one() -> None:
    logits = torch.tensor([[5.0, 1.0, 2.0], [0.0, 3.0, -9.0], [4.0, -7.0, 8.0]])
    network = nn.Module()
    network.forward = lambda crops: logits  # type: ignore[method-assign]
    image = levels(1, 4)[:, :, :, :3].repeat(1, 1, 1, 4)[:, :, :4, :12]
    largest = CropAggregator(network, 4, aggregation="max")(image)
    middle = CropAggregator(network, 4, aggregation="median")(image)
    assert largest.tolist() == [[4.0, -7.0, 8.0]]  # 4 more than class 0, before 3
    assert middle.tolist() == [[0.0, 3.0, -9.0]]
    assert CropAggregator(network, 4)(image).tolist() == logits.mean(0, keepdim=True).tolist()


def test_crops_are_told_in_their_places() -> None:
    network, image = small_lcnn(), levels(1, 80)[:, :, :70]
    found = CropAggregator(network, 32).judge_crops(image)
    each = torch.cat([network(crop) for crop in crops_of(image, 32)])
    assert found.shape[1:3] == (2, 2)
    torch.testing.assert_close(found.flatten(0, 2), each)


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
def test_the_gradient_of_the_whole_is_the_plain_one_however_it_is_cut_up(
    aggregation: Aggregation, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = small_lcnn().double()
    images, labels = levels(2, 70)[:, :, :65].double(), torch.tensor([1, 0])
    crops = CropAggregator(network, 32, aggregation=aggregation, spread=0.0)
    whole = Detector(crops).eval()
    leaves = images.clone().requires_grad_(True)
    logits = torch.stack(
        [torch.cat([network(c) for c in crops_of(each, 32)]) for each in leaves.split(1)]
    )
    margins = logits[..., 1] - logits[..., 0]
    ranked = margins.sort(1).values
    count = ranked.shape[1]
    share = {
        "mean": ranked,
        "median": ranked[:, (count - 1) // 2 : count // 2 + 1],
        "trimmed": ranked[:, count // 5 : count - count // 5],
        "max": ranked[:, -1:],
    }[aggregation].mean(1)
    (expected,) = torch.autograd.grad((share * torch.tensor([-1, 1])).sum() / 2, leaves)
    for values in (1 << 30, 3 * 32 * 32 * 2, 1):
        monkeypatch.setattr("trueshot.networks.crop_aggregation._VALUES_AT_ONCE", values)
        found = image_gradient(whole, images, labels, "margin")
        torch.testing.assert_close(found, expected)


def test_no_more_crops_are_judged_at_once_than_memory_is_meant_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    network, judged = small_lcnn(), []
    network.register_forward_pre_hook(lambda _, crops: judged.append(len(crops[0])))
    monkeypatch.setattr("trueshot.networks.crop_aggregation._VALUES_AT_ONCE", 3 * 32 * 32 * 4)
    whole = Detector(CropAggregator(network, 32)).eval()
    image_gradient(whole, levels(2, 96), torch.tensor([0, 1]))
    assert max(judged) <= 4
    assert sum(judged) == 2 * 2 * 9  # once forward, once again on the way back


def test_the_logits_of_a_photograph_do_not_depend_on_the_others() -> None:
    network, images = small_lcnn().double(), levels(3, 70).double()
    for aggregation in AGGREGATIONS:
        whole = CropAggregator(network, 32, aggregation=aggregation)
        alone = torch.cat([whole(image) for image in images.split(1)])
        assert torch.equal(whole(images), alone)


def planted(aggregation: Aggregation) -> Detector:
    """Crops judged by a linear network that is blind to their mean."""
    network = Linear(side=8)
    with torch.no_grad():
        network.weight -= network.weight.mean(1, keepdim=True)
        network.bias[:] = 0.0
    return Detector(CropAggregator(network, 8, aggregation=aggregation)).eval()


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
@pytest.mark.parametrize("label", [0, 1])
def test_with_crops_side_by_side_the_whole_is_attacked_as_well_as_can_be(
    aggregation: Aggregation, label: int
) -> None:
    """In L∞ no crop's change is at another's cost, so the best is the best for every crop."""
    detector = planted(aggregation)
    images, labels = 100 + levels(4, 40) / 5, torch.full((4,), label)
    weight = detector.network.network.weight
    towards = ((weight[1] - weight[0]) * (1 - 2 * label)).sign().reshape(1, 3, 8, 8)
    best = detector(images + 2 * towards.repeat(1, 1, 5, 5))
    found = perturb(PGD(budget=2.0, steps=10), detector, images, labels)
    torch.testing.assert_close(margin(detector(found), labels), margin(best, labels))


def test_the_exact_gradient_of_the_largest_leaves_most_crops_alone() -> None:
    """What `spread` is for: without it, PGD of few steps finds far less than there is."""
    detector, images = planted("max"), 120 + levels(3, 40) / 20
    attack, labels = PGD(budget=2.0, steps=10), torch.ones(3).long()
    spread = perturb(attack, detector, images, labels)
    values = detector(images)
    detector.network.spread = 0.0
    exact = perturb(attack, detector, images, labels)
    assert torch.equal(detector(images), values)
    gained = [margin(detector(attacked) - values, labels).mean() for attacked in (exact, spread)]
    assert gained[1] > 2 * gained[0] > 0


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"aggregation": "mode"}, "aggregation"),
        ({"spread": -0.1}, "spread"),
    ],
)
def test_a_setting_that_is_none_is_refused_by_name(settings: dict[str, object], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        CropAggregator(Linear(), 4, **settings)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="side"):
        CropAggregator(Linear(), 0)


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
def test_a_photograph_smaller_than_a_crop_is_refused(aggregation: Aggregation) -> None:
    with pytest.raises(ValueError, match="20×31 px: smaller than a crop of 32 px"):
        CropAggregator(LCNN(), 32, aggregation=aggregation)(levels(1, 31)[..., :20])
