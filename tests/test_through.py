"""Attacks through channels and on means: against the real channels, and for what they leave."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
from conftest import levels, linear_detector
from hypothesis import given, settings
from hypothesis import strategies as st
from test_attacks import assert_same, fingerprint, lcnn_detector
from test_channels import ODD, pictures
from torch import Tensor, nn

from trueshot.attacks import (
    FGSM,
    PGD,
    Attack,
    as_filed,
    counted,
    image_gradient,
    margin,
    norm_of,
    perturb,
)
from trueshot.attacks.differentiable import stand_in
from trueshot.attacks.expectation import Expectation
from trueshot.attacks.targeted import Targeted
from trueshot.attacks.through import Through, through_channel
from trueshot.channels import (
    EVERYDAY,
    SUBSAMPLINGS,
    Blurred,
    Brightened,
    Chain,
    Channel,
    Jpeg,
    Noisy,
    Png,
    Resized,
    messenger,
)
from trueshot.detector import Detector

SMOOTH = (
    Jpeg(50),
    Jpeg(75, subsampling="4:2:2"),
    Jpeg(90, subsampling="4:4:4"),
    Resized(0.6),
    Resized(1.7, resample="bilinear", back=False),
    Resized(0.4, resample="lanczos"),
    Blurred(1.2),
    Brightened(6.0, factor=0.9),
    messenger(),
)


@pytest.mark.parametrize("quality", [50, 60, 75, 85, 95])
@pytest.mark.parametrize("subsampling", SUBSAMPLINGS)
def test_the_stand_in_for_a_jpeg_is_within_a_level_of_it(quality: int, subsampling: str) -> None:
    images, channel = pictures(4), Jpeg(quality, subsampling=subsampling)
    real = channel(images)
    apart = (stand_in(channel)(images) - real).abs().mean((1, 2, 3))
    assert float(apart.max()) < 0.35
    assert float((images - real).abs().mean()) > 5 * float(apart.mean())


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 45), st.integers(1, 61), st.sampled_from(SUBSAMPLINGS), st.integers(50, 95))
def test_the_stand_in_for_a_jpeg_holds_for_pictures_of_any_size(
    height: int, width: int, subsampling: str, quality: int
) -> None:
    images, channel = pictures(2, height, width), Jpeg(quality, subsampling=subsampling)
    assert (stand_in(channel)(images) - channel(images)).abs().mean() < 1


@pytest.mark.parametrize(
    "channel",
    [each for each in (*EVERYDAY, *SMOOTH, ODD) if not isinstance(each, Noisy)],
    ids=lambda channel: channel.name,
)
@pytest.mark.parametrize("rounding", ["straight", "soft"])
def test_a_stand_in_says_what_its_channel_says(channel: Channel, rounding: str) -> None:
    images = pictures(4)
    arrived = stand_in(channel, rounding)(images + 0.2)  # type: ignore[arg-type]
    assert (arrived - channel(images)).abs().mean() < (
        0.35 if "jpeg" in repr(channel).lower() else 0.05
    )
    assert torch.equal(arrived, arrived.round().clamp(0, 255))


@pytest.mark.parametrize("channel", SMOOTH, ids=lambda channel: channel.name)
def test_the_gradient_of_a_stand_in_is_that_of_its_values_where_nothing_is_rounded(
    channel: Channel,
) -> None:
    random = torch.Generator().manual_seed(3)
    images = 60 + pictures(1).double() / 2
    stand = stand_in(channel, "none")
    leaves = images.clone().requires_grad_(True)
    arrived = stand(leaves)
    weights = torch.randn(arrived.shape, generator=random, dtype=torch.float64)
    (gradient,) = torch.autograd.grad(arrived, leaves, weights)
    for _ in range(3):
        towards = torch.randn(images.shape, generator=random, dtype=torch.float64)
        step = 1e-3 * towards
        slope = ((stand(images + step) - stand(images - step)) * weights).sum() / 2e-3
        torch.testing.assert_close((gradient * towards).sum(), slope, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("channel", SMOOTH, ids=lambda channel: channel.name)
def test_a_straight_gradient_is_the_one_of_what_is_not_rounded(channel: Channel) -> None:
    leaves = (60 + pictures(1).double() / 2).requires_grad_(True)
    shape = stand_in(channel)(leaves).shape
    weights = torch.randn(shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    straight, smooth, soft = (
        torch.autograd.grad(stand_in(channel, rounding)(leaves), leaves, weights)[0]
        for rounding in ("straight", "none", "soft")
    )
    torch.testing.assert_close(straight, smooth)
    assert (soft != 0).any()
    assert torch.equal(soft, straight) != ("Jpeg" in repr(channel))


def test_a_soft_gradient_is_a_tenth_where_coefficients_are_whole() -> None:
    leaves = torch.full((1, 3, 16, 16), 128.0, dtype=torch.float64, requires_grad=True)
    weights = levels(1, 16).double()
    straight, soft = (
        torch.autograd.grad(stand_in(Jpeg(75), rounding)(leaves), leaves, weights)[0]
        for rounding in ("straight", "soft")
    )
    torch.testing.assert_close(soft, straight / 10)


def test_what_has_no_stand_in_of_its_own_is_rounded_and_passes_the_gradient() -> None:
    leaves = (levels(1, 8) / 2 + 20.3).requires_grad_(True)
    for channel in (Png(), Noisy(3.0)):
        arrived = stand_in(channel)(leaves)
        assert torch.equal(arrived, leaves.round())
        (gradient,) = torch.autograd.grad(arrived.sum(), leaves)
        assert torch.equal(gradient, torch.ones_like(leaves))


def test_a_filter_that_pytorch_lacks_is_refused_before_the_attack(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    interpolate = nn.functional.interpolate

    def before_lanczos(images: Tensor, *, mode: str, **how: Any) -> Tensor:
        if mode == "lanczos":
            raise ValueError("Anti-alias option is restricted to bilinear and bicubic modes")
        return interpolate(images, mode=mode, **how)

    monkeypatch.setattr(nn.functional, "interpolate", before_lanczos)
    assert through_channel(Resized(0.5), FGSM(budget=1.0)).channels
    chain = Chain((Jpeg(75), Resized(0.5, resample="lanczos")))
    with pytest.raises(ValueError, match=r"resize-0\.5-lanczos: PyTorch .* choose another filter"):
        through_channel(chain, FGSM(budget=1.0))


class TwoScales(nn.Module):
    """Evidence in a grid of single pixels, which a file drops, and in stripes, which it keeps.

    The grid weighs more, so the steepest step in L∞ writes nothing but the grid.
    """

    def __init__(self) -> None:
        super().__init__()
        across = torch.arange(61.0)
        self.register_buffer("stripes", 2 * torch.sin(2 * torch.pi * across / 15).expand(45, 61))
        self.register_buffer("grid", 2 * (-1.0) ** (torch.arange(45.0)[:, None] + across))

    def forward(self, images: Tensor) -> Tensor:
        found = (images.mean(1) * (self.stripes + self.grid)).mean((1, 2)) - 1
        return torch.stack([-found, found], 1)


def two_scales() -> tuple[Detector, Tensor, Tensor]:
    """A detector, and soft ramps with noise, which it takes for originals as they are."""
    random = torch.Generator().manual_seed(0)
    ramp = 60 * torch.rand(20, 3, 1, 1, generator=random) * torch.linspace(0, 1, 45)[:, None]
    images = (90 + ramp + 3 * torch.randn(20, 3, 45, 61, generator=random)).round()
    return Detector(TwoScales()).eval(), images, torch.zeros(20).long()


def wrong_after(
    attack: Attack, channel: Channel, detector: Detector, images: Tensor, labels: Tensor
) -> int:
    """Of so many images the detector is wrong, once they are filed and sent."""
    filed = as_filed(attack, images, perturb(attack, detector, images, labels))
    with torch.no_grad():
        return int((margin(detector(channel(filed)), labels) > 0).sum())


@pytest.mark.parametrize(
    "channel", [Jpeg(75), Jpeg(50), ODD, Blurred(1.0), messenger()], ids=lambda c: c.name
)
def test_an_attack_through_a_channel_survives_the_real_one(channel: Channel) -> None:
    case = two_scales()
    plain = PGD(budget=2.0)
    assert wrong_after(plain, Png(), *case) == 20
    assert wrong_after(plain, channel, *case) <= 1
    assert wrong_after(through_channel(channel, plain), channel, *case) >= 19


def test_an_expectation_over_qualities_holds_at_a_quality_between_them() -> None:
    case = two_scales()
    plain = PGD(budget=2.0)
    several = Through(plain, (Jpeg(90), Jpeg(40)))
    for unknown in (Jpeg(60), Jpeg(80)):
        assert wrong_after(plain, unknown, *case) <= 1
        assert wrong_after(several, unknown, *case) >= 19


def test_through_channels_the_gradient_is_the_mean_of_theirs() -> None:
    detector, images = lcnn_detector().double(), pictures(2, 32, 32).double()
    labels, channels = torch.tensor([0, 1]), (Jpeg(60), Blurred(0.8), Jpeg(90))
    found = perturb(Through(FGSM(budget=1.0, loss="margin"), channels), detector, images, labels)
    total = torch.zeros_like(images)
    for channel in channels:
        leaves = images.clone().requires_grad_(True)
        logits = detector(stand_in(channel)(leaves))
        total += torch.autograd.grad(margin(logits, labels).sum(), leaves)[0]
    assert torch.equal(found, (images + total.sign()).clamp(0, 255))


def test_through_a_file_without_loss_an_attack_in_whole_levels_is_itself() -> None:
    detector, images, labels = lcnn_detector(), levels(6, 32), torch.arange(6) % 2
    plain = PGD(budget=4.0, relative_step=0.25, loss="margin")
    through = perturb(through_channel(Png(), plain), detector, images, labels)
    assert torch.equal(through, perturb(plain, detector, images, labels))


class NoisyWaves(nn.Module):
    """Noise, then a sine of each level, weighed: one gradient at a level is mostly the noise's."""

    def __init__(self, noise: float = 60.0) -> None:
        super().__init__()
        self.noise = noise
        random = torch.Generator().manual_seed(0)
        self.register_buffer("pattern", torch.randn(3, 8, 8, generator=random))

    def forward(self, images: Tensor) -> Tensor:
        seen = images + self.noise * torch.randn(images.shape).to(images)
        found = (self.pattern * torch.sin((seen - 128) / 40)).sum((1, 2, 3))
        return torch.stack([-found, found], 1)

    def on_average(self, images: Tensor) -> Tensor:
        """Mean of the second logit over the noise, in closed form."""
        held = torch.exp(torch.tensor(-0.5 * (self.noise / 40) ** 2))
        return held * (self.pattern * torch.sin((images - 128) / 40)).sum((1, 2, 3))


def test_the_mean_of_many_draws_beats_plain_pgd_on_a_detector_with_noise_at_its_input() -> None:
    network = NoisyWaves()
    images, labels = 118 + levels(12, 8) / 12, torch.zeros(12).long()
    plain = PGD(budget=3.0, steps=5, loss="margin")

    def gained(attacked: Tensor) -> float:
        return float((network.on_average(attacked) - network.on_average(images)).mean())

    best = gained(images + 3 * network.pattern.sign())
    with torch.random.fork_rng():
        torch.manual_seed(0)
        single = gained(perturb(plain, Detector(network), images, labels))
    mean = gained(perturb(Expectation(plain, draws=32), Detector(network), images, labels))
    assert single < 0.7 * best
    assert mean > 0.9 * best


def test_draws_depend_on_the_image_and_the_seed_alone() -> None:
    noisy, images = Detector(NoisyWaves()).double(), levels(5, 8).double()
    labels = torch.zeros(5).long()

    def attacked(which: Tensor, seed: int) -> Tensor:
        attack = Expectation(PGD(budget=3.0, steps=3), draws=2, seed=seed)
        return perturb(attack, noisy, images[which], labels[which])

    everything = torch.arange(5)
    together = attacked(everything, 0)
    torch.manual_seed(77)
    assert torch.equal(attacked(everything, 0), together)
    assert torch.equal(attacked(everything.flip(0), 0).flip(0), together)
    assert torch.equal(torch.cat([attacked(one, 0) for one in everything.split(1)]), together)
    assert not torch.equal(attacked(everything, 1), together)


def test_a_detector_that_is_not_random_is_attacked_as_ever() -> None:
    detector, images, labels = lcnn_detector().double(), levels(4, 32).double(), torch.arange(4) % 2
    plain = PGD(budget=2.0, steps=4, loss="margin")
    mean = perturb(Expectation(plain, draws=2), detector, images, labels)
    assert torch.equal(mean, perturb(plain, detector, images, labels))


WRAPPED = [
    Through(PGD(budget=2.0, steps=3), (Jpeg(75), Resized(0.5), messenger())),
    Through(FGSM(budget=2.0, batch_statistics=True), (Blurred(1.0),)),
    Expectation(PGD(budget=2.0, steps=3), draws=2),
    Expectation(Through(PGD(budget=2.0, steps=2), (Jpeg(60), Jpeg(90))), draws=2),
]


@pytest.mark.parametrize("attack", WRAPPED, ids=lambda attack: attack.name)
def test_a_wrapped_attack_leaves_all_that_it_touches_as_it_was(attack: Attack) -> None:
    detector, images, labels = lcnn_detector(), levels(4, 32), torch.arange(4) % 2
    detector.train()
    detector.network.units[1].eval()
    next(detector.parameters()).requires_grad_(False)
    nn.functional.cross_entropy(detector(images), labels).backward()
    kept, before = images.clone(), fingerprint(detector)
    attacked = perturb(attack, detector, images, labels)
    assert_same(before, fingerprint(detector))
    assert torch.equal(images, kept)
    assert (attacked != images).any()


@pytest.mark.parametrize(
    "attack",
    [each for each in WRAPPED if not getattr(each.attack, "batch_statistics", False)],
    ids=lambda attack: attack.name,
)
def test_the_size_of_the_batch_does_not_change_a_wrapped_attack(attack: Attack) -> None:
    detector = lcnn_detector().double()
    images, labels = pictures(5, 33, 37).double(), torch.arange(5) % 2
    together = perturb(attack, detector, images, labels)
    alone = [perturb(attack, detector, images[i : i + 1], labels[i : i + 1]) for i in range(5)]
    assert torch.equal(together, torch.cat(alone))


@pytest.mark.parametrize(
    ("attack", "calls"),
    [
        (Through(PGD(budget=2.0, steps=3), (Jpeg(75), Resized(0.5))), 6),
        (Expectation(PGD(budget=2.0, steps=3), draws=5), 15),
        (Expectation(Through(FGSM(budget=2.0), (Jpeg(60), Jpeg(90))), draws=3), 6),
        (Through(Expectation(FGSM(budget=2.0), draws=3), (Jpeg(60), Jpeg(90))), 6),
    ],
)
def test_every_call_of_the_detector_itself_is_counted(attack: Attack, calls: int) -> None:
    detector, images, labels = lcnn_detector(), levels(4, 32), torch.arange(4) % 2
    made: list[int] = []
    detector.network.classifier.register_forward_hook(lambda *_: made.append(len(_[2])))
    with counted(4) as count:
        perturb(attack, detector, images, labels)
    assert count.forward.tolist() == count.backward.tolist() == [calls] * 4
    assert sum(made) == 4 * calls


def test_calls_are_counted_for_each_image_by_itself() -> None:
    detector, images = lcnn_detector(), levels(12, 32)
    labels = detector(images).argmax(1)
    labels[:3] = 1 - labels[:3]  # wrong from the start, through the file too
    attack = Through(PGD(budget=2.0, steps=4, early_exit=True), (Png(), Png()))
    with counted(12) as count:
        perturb(attack, detector, images, labels)
    assert count.forward[:3].tolist() == [2, 2, 2]
    assert count.forward.max() > 2


@dataclasses.dataclass(frozen=True, kw_only=True)
class L2Step:
    """One step along the gradient, as long as the budget in L2."""

    budget: float
    norm: str = "l2"

    def __call__(self, detector: Detector, images: Tensor, labels: Tensor) -> Tensor:
        gradient = image_gradient(detector, images, labels, "margin")
        step = gradient / gradient.flatten(1).norm(dim=1).reshape(-1, 1, 1, 1)
        return (images + self.budget * step).clamp(0, 255).detach()


@pytest.mark.parametrize(
    "wrapped",
    [
        lambda inside: through_channel(Brightened(5.0), inside),
        lambda inside: Expectation(inside, draws=1),
    ],
)
def test_budget_and_norm_are_those_of_the_attack_inside(wrapped: type) -> None:
    detector, images = linear_detector(), 100 + levels(3, 4) / 5
    attack = wrapped(L2Step(budget=30.0))
    assert norm_of(attack) == "l2"
    attacked = perturb(attack, detector, images, torch.zeros(3).long())
    torch.testing.assert_close((attacked - images).flatten(1).norm(dim=1), torch.full((3,), 30.0))
    budgets = torch.tensor([0.0, 1.0, 2.5])
    each = perturb(wrapped(PGD(budget=budgets)), detector, images, torch.zeros(3).long())
    torch.testing.assert_close((each - images).abs().amax((1, 2, 3)), budgets)


def test_a_wrapped_attack_says_what_it_is() -> None:
    attack = Through(PGD(budget=2.0), (Jpeg(60), messenger()))
    assert attack.name == "pgd-through-jpeg-60+messenger"
    assert Expectation(attack, draws=8).name == "pgd-through-jpeg-60+messenger-mean-of-8"
    assert Through(PGD(budget=2.0), (Jpeg(60),), name="one").name == "one"
    assert eval(repr(attack)) == attack


def test_settings_that_are_none_are_refused_by_name() -> None:
    plain = PGD(budget=1.0)
    with pytest.raises(ValueError, match="channels"):
        Through(plain, ())
    with pytest.raises(ValueError, match="rounding"):
        Through(plain, (Jpeg(75),), rounding="hard")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="rounding"):
        stand_in(Chain((Jpeg(75),)), "hard")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="draws"):
        Expectation(plain, draws=0)
    with pytest.raises(ValueError, match="seed"):
        Expectation(plain, seed=-1)


@pytest.mark.parametrize("target", [0, 1, 2, 3])
def test_a_targeted_attack_ends_where_the_target_is_furthest_ahead(target: int) -> None:
    detector, images = linear_detector(4, scale=0.02), levels(40, 4)
    with torch.no_grad():
        labels = detector(images).argmax(1)
    attack = Targeted(PGD(budget=128.0, steps=20, relative_step=0.1), target=target)
    attacked = perturb(attack, detector, images, labels)
    there = labels == target
    assert torch.equal(attacked[there], images[there])
    with torch.no_grad():
        goal = torch.full_like(labels, target)
        before, after = (margin(detector(some), goal) for some in (images, attacked))
    assert (after[~there] < before[~there]).all()
    reached = (after < 0) & ~there
    for place in reached.nonzero().flatten().tolist()[:3]:
        assert int(detector(attacked[place : place + 1]).argmax(1)) == target
    assert reached.float().mean() > 0.5 * (~there).float().mean()


def test_a_target_that_the_detector_does_not_have_is_refused() -> None:
    with pytest.raises(ValueError, match="target 4 is not one of the detector's 4 classes"):
        Targeted(FGSM(budget=1.0), target=4)(
            linear_detector(4), levels(2, 4), torch.zeros(2).long()
        )
