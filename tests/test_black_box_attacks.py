"""Square, RayS, Transfer and UniformNoise: what works without a gradient, and what has no aim."""

from __future__ import annotations

import copy
import dataclasses
import math

import pytest
import torch
from conftest import levels, linear_detector
from test_minimal_attacks import InUnits, fingerprint, middle_levels, soft_images, trained_detector
from torch import Tensor, nn

from trueshot.attacks import FGSM, PGD, Attack, as_filed, counted, distance, margin, perturb, square
from trueshot.attacks.control import UniformNoise
from trueshot.attacks.decision import RayS
from trueshot.attacks.minimal import FMN, boundary_distance
from trueshot.attacks.square import Square
from trueshot.attacks.transfer import Transfer
from trueshot.detector import Detector
from trueshot.networks import LCNN


@pytest.fixture
def trained() -> Detector:
    return copy.deepcopy(trained_detector())


class Verdicts(nn.Module):
    """A network seen through its verdicts: logits of 1 and -1, and no gradient."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        named = self.network(images).argmax(1)
        return 2.0 * nn.functional.one_hot(named, 2).to(images) - 1


class OutsideTorch(nn.Module):
    """A network that computes elsewhere: its logits have no graph."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        assert not torch.is_grad_enabled()
        return self.network(images).detach()


def within(network: type[nn.Module], detector: Detector) -> Detector:
    return Detector(network(detector.network), offset=detector.offset, scale=detector.scale)


def broken(detector: Detector, attacked: Tensor, labels: Tensor) -> int:
    return int((margin(detector(attacked), labels) > 0).sum())


BLACK_BOX = [
    Square(budget=3.0, queries=40),
    RayS(budget=60.0, queries=150),
    RayS(budget=60.5, queries=120, early_exit=False),
    UniformNoise(budget=3.0),
    UniformNoise(budget=3.0, signs=False, draws=3),
    UniformNoise(budget=60.0, norm="l2", draws=3),
]


def test_rays_finds_the_distance_of_a_linear_detector() -> None:
    detector, images = linear_detector(side=3), middle_levels(3, side=3)
    with torch.no_grad():  # few values, far from the boundary
        logits = detector(images)
        detector.network.bias[1] -= (logits[:, 1] - logits[:, 0]).mean()
    weight = (detector.network.weight[1] - detector.network.weight[0]).detach()
    labels = detector(images).argmax(1)
    nearest = -margin(detector(images).detach(), labels) / weight.abs().sum()
    attack = RayS(budget=255.0, queries=500)
    attacked = perturb(dataclasses.replace(attack, early_exit=False), detector, images, labels)
    found = boundary_distance(detector, images, labels, attack)
    assert torch.equal(found, distance("linf", images, attacked))
    # Rounded up to whole levels, as a file has them.
    assert torch.equal(found, (nearest * 1.001).ceil())
    images = images + 0.0
    budget = found - 0.01  # within which no whole level is left
    attack = RayS(budget=budget, queries=500, early_exit=False)
    exact = distance("linf", images, perturb(attack, detector, images, labels))
    torch.testing.assert_close(exact, nearest, rtol=0.05, atol=0)


def published_rays(
    detector: Detector, image: Tensor, label: int, queries: int, tolerance: float
) -> float:
    """Algorithms 2 and 3 of the paper, one image at a time, as they are written."""
    direction, radius = torch.ones(image.numel()), math.inf
    asked = 1  # the image itself

    def fooled(towards: Tensor, reach: float) -> bool:
        nonlocal asked
        asked += 1
        tried = (image + reach * towards.view_as(image)).clamp(0, 255)
        return int(detector(tried[None]).argmax()) != label

    stage, block = -1, 0
    while asked < queries - 1:
        size = math.ceil(image.numel() / 2 ** max(stage, 0))
        start, end = block * size, min(image.numel(), (block + 1) * size)
        turned = direction.clone()
        if stage >= 0:
            turned[start:end] *= -1
        if fooled(turned, min(radius, 255.0)):
            low, high = 0.0, min(radius, 255.0)
            while high - low > tolerance and asked < queries - 1:
                middle = (low + high) / 2
                low, high = (low, middle) if fooled(turned, middle) else (middle, high)
            if high < radius:
                direction, radius = turned, high
        block += 1
        if stage < 0 or end == image.numel():
            stage, block = min(stage + 1, math.ceil(math.log2(image.numel()))), 0
    return radius


def test_rays_asks_what_the_published_algorithm_asks(trained: Detector) -> None:
    images, labels = soft_images(5, seed=8)
    trained, images = trained.double(), images.double()
    labels[0] = 1 - labels[0]
    queries = 240
    expected = [
        published_rays(trained, image, int(label), queries, 0.02)
        for image, label in zip(images[1:], labels[1:], strict=True)
    ]
    assert all(math.isfinite(radius) for radius in expected)
    # A budget that leaves no room for rounding up.
    budget = torch.tensor([1.0, *(radius + 1e-9 for radius in expected)], dtype=torch.float64)
    attack = RayS(budget=budget, queries=queries, early_exit=False)
    found = distance("linf", images, perturb(attack, trained, images, labels))
    torch.testing.assert_close(found, torch.tensor([0.0, *expected], dtype=torch.float64))


def test_rays_sees_verdicts_only(trained: Detector) -> None:
    images, labels = soft_images(12, seed=8)
    attack = RayS(budget=40.0, queries=300)
    seen = perturb(attack, trained, images, labels)
    assert torch.equal(seen, perturb(attack, within(Verdicts, trained), images, labels))
    assert broken(trained, seen, labels) > 6


def test_square_is_not_so_modest_and_needs_the_logits(trained: Detector) -> None:
    images, labels = soft_images(24, seed=8)
    attack = Square(budget=4.0, queries=150)
    seen = perturb(attack, trained, images, labels)
    blind = perturb(attack, within(Verdicts, trained), images, labels)
    assert not torch.equal(seen, blind)
    assert broken(trained, seen, labels) > broken(trained, blind, labels)


def test_rays_comes_near_what_the_gradient_shows(trained: Detector) -> None:
    images, labels = soft_images(10, seed=9)
    nearest = boundary_distance(trained, images, labels, FMN(steps=40)).median()
    few, many = (
        boundary_distance(trained, images, labels, RayS(budget=255.0, queries=queries)).median()
        for queries in (150, 900)
    )
    assert nearest <= many < few
    assert many < 5 * nearest


def test_with_early_exit_rays_stops_at_the_budget_and_spends_less(trained: Detector) -> None:
    images, labels = soft_images(12, seed=9)
    spent = []
    for early_exit in (False, True):
        with counted(12) as count:
            attack = RayS(budget=40.0, queries=200, early_exit=early_exit)
            attacked = perturb(attack, trained, images, labels)
        spent.append((int(count.forward.sum()), broken(trained, attacked, labels)))
        assert int(count.forward.max()) <= 200
    assert spent[0][1] == spent[1][1] > 4
    assert spent[1][0] < spent[0][0]


def test_rays_stops_early_at_a_budget_below_one_level_too() -> None:
    detector, images = linear_detector(side=3), middle_levels(3, side=3)
    with torch.no_grad():  # a boundary that every image is half a level from
        weight = detector.network.weight[1] - detector.network.weight[0]
        detector.network.weight -= detector.network.weight.mean(0)
        gap = detector(images)[:, 1] - detector(images)[:, 0]
        detector.network.bias[1] += 0.25 * weight.abs().sum() - gap[0]
    images = images[:1].expand(3, -1, -1, -1)
    labels = detector(images).argmax(1)
    with counted(3) as count:
        attacked = perturb(RayS(budget=0.9, queries=400), detector, images, labels)
    assert broken(detector, attacked, labels) == 3
    assert int(count.forward.max()) < 200


@pytest.mark.parametrize("budget", [3.0, 5.0])
def test_square_goes_the_way_of_that_of_autoattack_when_it_draws_the_same_numbers(
    trained: Detector, budget: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pyautoattack.square import SquareAttack

    images, labels = soft_images(64, seed=1)
    labels = trained(images).argmax(1)
    reference = SquareAttack(
        InUnits(trained).eval(), norm="Linf", n_queries=100, eps=budget / 255, seed=3, device="cpu"
    )
    with torch.random.fork_rng():
        theirs = 255 * reference.perturb(images / 255, labels)

    source = torch.Generator().manual_seed(3)
    attack = Square(budget=budget, queries=102)
    sides = torch.tensor([attack.side(query, 16, 16) for query in range(100)])

    def stripes(_: object, given: Tensor) -> Tensor:
        signs = 2 * torch.rand((len(given), 3, 1, 16), generator=source) - 1
        return signs.expand_as(given)

    def numbers(_: object, count: int, given: Tensor) -> Tensor:
        # All images share theirs, and the last row and column are never begun in.
        drawn = torch.stack([torch.rand(5, generator=source) for _ in range(count)])
        drawn[:, :2] *= ((16 - sides) / (17 - sides))[:, None]
        return drawn.expand(len(given), -1, -1)

    monkeypatch.setattr(square, "_stripes", stripes)
    monkeypatch.setattr(square, "_numbers", numbers)
    ours = perturb(attack, trained, images, labels)
    wrong = margin(trained(theirs), labels) > 0
    assert torch.equal(margin(trained(ours), labels) > 0, wrong)
    torch.testing.assert_close(ours[wrong], theirs[wrong], rtol=0, atol=1e-3)
    assert 5 < int(wrong.sum()) < 59


def test_square_reaches_the_best_of_a_linear_detector() -> None:
    detector, images = linear_detector(), middle_levels(6)
    with torch.no_grad():
        detector.network.bias[0] += 1e3
    labels = torch.zeros(6).long()
    start = margin(detector(images), labels)
    best = margin(detector(perturb(FGSM(budget=2.0), detector, images, labels)), labels) - start
    found = margin(
        detector(perturb(Square(budget=2.0, queries=1500), detector, images, labels)), labels
    )
    assert (found - start >= 0.9 * best).all()
    assert (found - start <= best * (1 + 1e-3)).all()


def test_the_squares_shrink_as_published_and_faster_with_fewer_queries() -> None:
    whole = Square(budget=1.0, queries=10_002)
    shares = {0: 0.8, 10: 0.8, 11: 0.4, 50: 0.4, 51: 0.2, 501: 0.05, 8001: 0.8 / 512}
    for query, share in shares.items():
        assert whole.side(query, 224, 224) == round((share * 224 * 224) ** 0.5)
    tenth = Square(budget=1.0, queries=1002)
    assert [tenth.side(query, 64, 64) for query in (1, 2, 801)] == [57, 40, 3]
    assert tenth.side(999, 8, 8) == 1
    assert tenth.side(0, 8, 64) == 8


@pytest.mark.parametrize("budget", [2.0, 2.5, torch.linspace(1.0, 3.7, 10)])
def test_what_square_asks_about_could_be_a_file(trained: Detector, budget: float | Tensor) -> None:
    images, labels = soft_images(10, seed=2)
    asked: list[Tensor] = []
    attack = Square(budget=budget, queries=60)
    hook = trained.network.register_forward_pre_hook(lambda _, given: asked.append(given[0]))
    attacked = perturb(attack, trained, images, labels)
    hook.remove()
    for each in asked:
        given = each * 32 + 128
        assert torch.equal(given, given.round())
    assert torch.equal(as_filed(attack, images, attacked), attacked)


def test_of_less_than_a_level_square_uses_all(trained: Detector) -> None:
    images, labels = soft_images(10, seed=2)
    attacked = perturb(Square(budget=0.5, queries=60), trained, images, labels)
    right = trained(images).argmax(1) == labels
    assert right.any()
    assert ((attacked - images).abs().amax((1, 2, 3))[right] == 0.5).all()


def test_square_covers_the_whole_image_up_to_its_edges() -> None:
    detector, images = Detector(nn.Sequential(nn.Flatten(), nn.Linear(48, 2))), middle_levels(1)
    asked: list[Tensor] = []
    detector.network.register_forward_pre_hook(lambda _, given: asked.append(given[0]))
    with torch.no_grad():  # nothing can break it, and only the first image is ever kept
        detector.network[1].weight.zero_()
        detector.network[1].bias.copy_(torch.tensor([1.0, 0.0]))
    perturb(Square(budget=2.0, queries=600), detector, images, torch.zeros(1).long())
    start = asked[1]
    single = [each != start for each in asked[-200:]]
    touched = torch.stack(single).any(0)
    assert touched.all()
    assert max(int(each.any(1).sum()) for each in single) == 1
    assert (start != images).all()
    stripes = start - images  # vertical ones
    assert torch.equal(stripes[:, :, :1].expand_as(stripes), stripes)


@pytest.mark.parametrize("attack", BLACK_BOX)
def test_a_detector_without_gradients_can_be_attacked(trained: Detector, attack: Attack) -> None:
    images, labels = soft_images(6, seed=3)
    outside = within(OutsideTorch, trained)
    assert torch.equal(
        perturb(attack, outside, images, labels), perturb(attack, trained, images, labels)
    )


@pytest.mark.parametrize("attack", BLACK_BOX)
def test_a_black_box_attack_leaves_all_that_it_touches_as_it_was(attack: Attack) -> None:
    torch.manual_seed(0)
    detector, images = Detector(LCNN(filters=(4, 4, 4, 4, 4))), levels(6, 32)
    with torch.no_grad():
        detector(images)
    detector.network.units[1].eval()  # a mixture of modes
    next(detector.parameters()).requires_grad_(False)
    labels = torch.arange(6) % 2
    nn.functional.cross_entropy(detector(images), labels).backward()
    before, kept = fingerprint(detector), images.clone()
    perturb(attack, detector, images, labels)
    after = fingerprint(detector)
    for name, value in before.items():
        torch.testing.assert_close(value, after[name], rtol=0, atol=0, msg=name)
    assert torch.equal(images, kept)


@pytest.mark.parametrize("attack", BLACK_BOX)
def test_the_size_of_the_batch_does_not_change_the_search(
    trained: Detector, attack: Attack
) -> None:
    images, labels = soft_images(7, seed=4)
    labels[2] = 1 - labels[2]
    detector, images = trained.double(), images.double()
    together = perturb(attack, detector, images, labels)
    alone = [perturb(attack, detector, images[[i]], labels[[i]]) for i in range(7)]
    torch.testing.assert_close(together, torch.cat(alone), rtol=0, atol=1e-9)
    turned = perturb(attack, detector, images.flip(0), labels.flip(0))
    torch.testing.assert_close(together, turned.flip(0), rtol=0, atol=1e-9)
    assert (together != images).any()


@pytest.mark.parametrize("attack", BLACK_BOX)
def test_a_budget_for_each_image_is_kept(trained: Detector, attack: Attack) -> None:
    images, labels = soft_images(8, seed=5)
    norm = getattr(attack, "norm", "linf")
    budget = torch.linspace(0, 1, 8) * attack.budget
    attacked = perturb(dataclasses.replace(attack, budget=budget), trained, images, labels)  # type: ignore[type-var]
    away = distance(norm, images, attacked)
    assert (away <= budget + 1e-4).all()
    assert away[0] == 0
    assert (away > 0).any()


@pytest.mark.parametrize("attack", BLACK_BOX)
def test_every_call_of_a_black_box_attack_is_counted(trained: Detector, attack: Attack) -> None:
    images, labels = soft_images(6, seed=6)
    labels[0] = 1 - labels[0]
    made: list[int] = []
    trained.network.register_forward_hook(lambda *of: made.append(len(of[2])))
    with counted(6) as count:
        perturb(attack, trained, images, labels)
    assert int(count.forward.sum()) == sum(made)
    assert int(count.backward.sum()) == 0
    limit = getattr(attack, "queries", getattr(attack, "draws", 1))
    assert int(count.forward.max()) <= limit


def test_an_image_that_is_wrong_is_let_be_after_one_query(trained: Detector) -> None:
    images, labels = soft_images(6, seed=7)
    labels = 1 - trained(images).argmax(1)
    for attack in (Square(budget=3.0), RayS(budget=3.0)):
        with counted(6) as count:
            assert torch.equal(perturb(attack, trained, images, labels), images)
        assert count.forward.tolist() == [1] * 6


@pytest.mark.parametrize(
    "attack",
    [
        Square(budget=3.0, queries=12),
        UniformNoise(budget=3.0),
        UniformNoise(budget=9.0, norm="l2"),
    ],
)
def test_another_seed_gives_another_path(trained: Detector, attack: Attack) -> None:
    images, labels = soft_images(4, seed=3)
    first = perturb(attack, trained, images, labels)
    assert torch.equal(first, perturb(attack, trained, images, labels))
    other = dataclasses.replace(attack, seed=1)  # type: ignore[type-var]
    assert not torch.equal(first, perturb(other, trained, images, labels))


def test_transfer_hands_on_what_broke_another_detector(trained: Detector) -> None:
    images, labels = soft_images(16, seed=3)
    other = copy.deepcopy(trained)
    with torch.no_grad():
        other.network[0].weight += 0.02
    attack = Transfer(attack=PGD(budget=3.0), source=other, name="twin")
    before = fingerprint(other)
    found = perturb(attack, within(OutsideTorch, trained), images, labels)
    assert torch.equal(found, perturb(attack.attack, other, images, labels))
    assert not torch.equal(found, perturb(attack.attack, trained, images, labels))
    assert broken(trained, found, labels) > 0
    for name, value in fingerprint(other).items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=0)


def test_transfer_is_named_without_addresses_and_has_budget_and_norm_of_its_attack() -> None:
    attack = Transfer(attack=FMN(budget=9.0, norm="l2"), source=linear_detector(), name="plain")
    again = dataclasses.replace(attack, source=linear_detector())
    assert repr(attack) == repr(again) == f"Transfer(attack={attack.attack!r}, name='plain')"
    assert (attack.budget, attack.norm) == (9.0, "l2")
    assert Transfer(attack=FGSM(budget=2.0), source=linear_detector(), name="p").norm == "linf"


def test_transfer_between_different_classes_is_refused() -> None:
    attack = Transfer(attack=FGSM(budget=1.0), source=linear_detector(classes=3), name="three")
    with pytest.raises(ValueError, match="three has 3 classes, but the attacked detector has 2"):
        perturb(attack, linear_detector(), levels(2, 4), torch.zeros(2).long())


def test_noise_without_aim_hardly_hurts_what_a_gradient_breaks() -> None:
    """Over d values noise moves a linear margin by √d budgets, and a gradient by d of them."""
    detector, images = linear_detector(side=24), middle_levels(40, side=24)
    weight = (detector.network.weight[1] - detector.network.weight[0]).detach()
    with torch.no_grad():  # a margin of half of what the budget can do
        logits = detector(images)
        detector.network.bias[1] -= (logits[:, 1] - logits[:, 0]).median()
    far = 0.5 * 3 * weight.abs().sum()
    images = (
        images
        - weight.view(3, 24, 24)
        * ((detector(images)[:, 1] - detector(images)[:, 0]).detach() + far)[:, None, None, None]
        / weight.square().sum()
    )
    labels = torch.zeros(40).long()
    torch.testing.assert_close(-margin(detector(images), labels), far.expand(40), rtol=1e-3, atol=0)
    assert broken(detector, perturb(PGD(budget=3.0), detector, images, labels), labels) == 40
    for attack in (
        UniformNoise(budget=3.0),
        UniformNoise(budget=3.0, draws=10),
        UniformNoise(budget=3.0, signs=False),
        UniformNoise(budget=3.0 * (3 * 24 * 24) ** 0.5, norm="l2"),
    ):
        noisy = perturb(attack, detector, images, labels)
        assert broken(detector, noisy, labels) == 0
        moved = margin(detector(noisy), labels) - margin(detector(images), labels)
        assert moved.abs().amax() < 0.2 * far
        assert moved.abs().amax() > 0.005 * far


def test_noise_is_spread_as_it_says() -> None:
    images, labels = torch.full((4, 3, 16, 16), 128.0), torch.zeros(4).long()
    detector = linear_detector(side=16)

    def change(**settings: object) -> Tensor:
        attack = UniformNoise(budget=4.0, **settings)  # type: ignore[arg-type]
        return perturb(
            attack, detector, images + torch.arange(4.0)[:, None, None, None], labels
        ) - (images + torch.arange(4.0)[:, None, None, None])

    signs = change()
    assert set(signs.unique().tolist()) == {-4.0, 4.0}
    assert abs(float(signs.mean())) < 0.4
    spread = change(signs=False)
    assert (spread.abs() <= 4).all()
    assert abs(float(spread.std()) - 4 / 3**0.5) < 0.15
    sphere = change(norm="l2")
    torch.testing.assert_close(sphere.square().sum((1, 2, 3)).sqrt(), torch.full((4,), 4.0))
    assert not torch.equal(signs[0], signs[1])


def test_of_several_draws_the_worst_is_kept(trained: Detector) -> None:
    images, labels = soft_images(12, seed=4)
    first, best = (
        margin(trained(perturb(UniformNoise(budget=6.0, draws=n), trained, images, labels)), labels)
        for n in (1, 8)
    )
    assert (best >= first).all()
    assert (best > first).sum() > 6


@pytest.mark.parametrize(
    ("kind", "wrong", "message"),
    [
        (Square, {"queries": 1}, "queries must be at least 2"),
        (Square, {"first_share": 0.0}, "first_share in"),
        (Square, {"norm": "l2"}, "linf only"),
        (RayS, {"queries": 2}, "queries must be at least 3"),
        (RayS, {"tolerance": 0.0}, "tolerance above 0"),
        (UniformNoise, {"draws": 0}, "draws must be at least 1"),
        (UniformNoise, {"norm": "l1"}, "norm must be one of"),
    ],
)
def test_settings_that_make_no_sense_are_refused(
    kind: type, wrong: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        kind(budget=1.0, **wrong)
