"""PGD and Auto-PGD: closed forms, other libraries, budgets, batches, files and strength."""

from __future__ import annotations

import copy
import dataclasses
import math

import numpy as np
import pytest
import torch
from conftest import Linear, levels, linear_detector, photo_pixels
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional
from train_weights import stored, untrained_grid

from trueshot.attacks import (
    FGSM,
    PGD,
    Attack,
    as_filed,
    counted,
    distance,
    image_gradient,
    margin,
    perturb,
)
from trueshot.attacks.apgd import APGD, _Climbers, height, windows
from trueshot.attacks.losses import Loss
from trueshot.attacks.projection import Ball, steepest
from trueshot.attacks.restarts import Targets
from trueshot.detector import Detector
from trueshot.pixels import l2, linf, to_levels

SIDE = 16
NORMS = ["linf", "l2"]
LOSSES = ["cross_entropy", "margin"]
WHOLE = {"linf": 2.0, "l2": 30.0}  # budgets under which the trained detector gives way, in part


def crops(first: int, count: int) -> tuple[Tensor, Tensor]:
    """Crops of so many photographs and their recaptures."""
    found, labels = [], []
    for number in range(first, first + count):
        for label in (0, 1):
            pixels = photo_pixels(number, bool(label), 4 * SIDE)
            rows = pixels.reshape(4, SIDE, 4, SIDE, 3).swapaxes(1, 2).reshape(16, SIDE, SIDE, 3)
            found.append(rows)
            labels += [label] * len(rows)
    return to_levels(np.concatenate(found)).contiguous(), torch.tensor(labels)


@pytest.fixture(scope="session")
def trained() -> Detector:
    """A small detector that was trained on attacked crops: some of what it says holds."""
    return stored(untrained_grid(), "grid")


@pytest.fixture(scope="session")
def seen() -> tuple[Tensor, Tensor]:
    """Crops that the trained detector has not seen, and their classes."""
    return crops(100, 4)


def broken(detector: Detector, images: Tensor, labels: Tensor) -> Tensor:
    with torch.no_grad():
        return margin(detector(images), labels) > 0


def twin(detector: Detector) -> Detector:
    """The same detector once more, to be changed."""
    return copy.deepcopy(detector)


def middle_levels(count: int) -> Tensor:
    return 100 + levels(count, 4) / 5


def predicted(detector: Detector, images: Tensor) -> Tensor:
    with torch.no_grad():
        return detector(images).argmax(1)


def steepness(detector: Detector, norm: str) -> Tensor:
    """Margin that a linear detector loses for each level of budget, at most."""
    weight = (detector.network.weight[1] - detector.network.weight[0]).detach()
    return weight.abs().sum() if norm == "linf" else weight.square().sum().sqrt()


# --- closed forms


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize(
    "attack",
    [
        PGD(budget=1.0),
        PGD(budget=1.0, random_start=True, steps=40),
        PGD(budget=1.0, random_start=True, steps=40, restarts=3),
        APGD(budget=1.0, early_exit=False),
        APGD(budget=1.0, early_exit=False, loss="margin", random_start=False),
        APGD(budget=1.0, early_exit=False, restarts=2),
    ],
)
@pytest.mark.parametrize("budget", [0.5, 4.0])
def test_a_linear_detector_loses_the_margin_that_no_attack_can_beat(
    attack: PGD | APGD, norm: str, budget: float
) -> None:
    detector, images = linear_detector(), middle_levels(8)
    labels = torch.arange(8) % 2
    attack = dataclasses.replace(attack, budget=budget, norm=norm)
    attacked = perturb(attack, detector, images, labels)
    gained = margin(detector(attacked), labels) - margin(detector(images), labels)
    best = budget * steepness(detector, norm)
    near = 1e-4 if norm == "linf" else 0.01
    torch.testing.assert_close(gained, best.expand(8), rtol=near, atol=1e-5)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("attack", [PGD, APGD])
def test_a_budget_just_over_the_distance_to_the_boundary_breaks_and_one_under_it_does_not(
    attack: type[PGD | APGD], norm: str
) -> None:
    detector, images = linear_detector(scale=0.002), middle_levels(16)
    labels = predicted(detector, images)
    needed = (-margin(detector(images), labels) / steepness(detector, norm)).detach()
    assert (needed > 0).all()
    for share, expected in ((0.95, False), (1.05, True)):
        tried = attack(budget=needed * share, norm=norm, steps=50, early_exit=True)
        attacked = perturb(tried, detector, images, labels)
        assert (broken(detector, attacked, labels) == expected).all()


def test_auto_pgd_finds_a_summit_inside_the_budget_where_steps_of_one_length_step_over_it() -> None:
    images = middle_levels(3)
    summit = images + 0.7 * torch.sign(levels(3, 4, seed=1) - 127.5)

    class Hill(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            height = -(images - summit).square().sum((1, 2, 3))
            return torch.stack([torch.zeros_like(height), height], 1)

    labels = torch.zeros(3, dtype=torch.long)
    found = perturb(APGD(budget=2.0, steps=100), Detector(Hill()), images, labels)
    fixed = perturb(PGD(budget=2.0, steps=100), Detector(Hill()), images, labels)
    assert (linf(found, summit) < 0.1).all()
    assert (linf(fixed, summit) > 0.15).all()


def test_the_windows_between_checkpoints_are_those_of_the_paper() -> None:
    expected = {22: 22, 41: 19, 57: 16, 70: 13, 80: 10, 87: 7, 93: 6, 99: 6}
    assert windows(100) == expected
    assert list(windows(50)) == [11, 21, 29, 35, 40, 44, 47, 50]
    assert windows(1) == {1: 1}


def test_a_step_is_halved_on_either_condition_of_the_paper_and_the_best_point_is_gone_back_to() -> (
    None
):
    images, places = torch.full((4, 3, 2, 2), 100.0), torch.arange(4)
    targets = Targets(Ball.around(images, 1.0, "linf"), torch.zeros(4).long(), places)
    state = _Climbers.at(targets, images)
    state.best = images + 1
    state.rises = torch.tensor([5, 6, 6, 6])  # of 8: the first has climbed too seldom
    state.checked_height = torch.zeros(4).double()
    state.best_height = torch.tensor([1.0, 1.0, 0.0, 0.0]).double()  # the last two have not gained
    state.halved = torch.tensor([False, False, False, True])  # and the last was halved last time
    state.halve_where_stuck(8)
    assert state.step.flatten().tolist() == [1, 2, 1, 2]
    assert state.halved.tolist() == [True, False, True, False]
    assert (state.attacked - images).amax((1, 2, 3)).tolist() == [1, 0, 1, 0]


def test_the_height_of_cross_entropy_is_its_inverse_softplus_and_never_saturates() -> None:
    logits, labels = (
        torch.randn(20, 3, generator=torch.Generator().manual_seed(0)),
        torch.arange(20),
    )
    losses = functional.cross_entropy(logits.double(), labels % 3, reduction="none")
    heights = height(logits, labels % 3, "cross_entropy")
    torch.testing.assert_close(functional.softplus(heights), losses)
    sure = torch.tensor([[5e4, 0.0], [5e4, 1.0]])
    assert torch.equal(
        height(sure, torch.zeros(2).long(), "cross_entropy").diff(), torch.ones(1).double()
    )


# --- the ball


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 2**16),
    budget=st.floats(0, 300),
    far=st.floats(0.1, 600),
    edge=st.booleans(),
)
def test_the_projection_in_l2_is_inside_and_nearest(
    seed: int, budget: float, far: float, edge: bool
) -> None:
    random = torch.Generator().manual_seed(seed)
    images = levels(3, 4, seed)
    if edge:
        images = images.round(decimals=-2).clamp(max=255)  # many of them at an end
    points = images + far * torch.randn(images.shape, generator=random)
    ball = Ball.around(images.double(), budget, "l2")
    found = ball.project_(points.double())
    assert found.amin() >= 0
    assert found.amax() <= 255
    assert (l2(found, images.double()) <= budget + 1e-9).all()
    # Nearest: the clamped, scaled change whose length is the budget, found by halving.
    change, low, high = points.double() - images, torch.zeros(3, 1, 1, 1), torch.ones(3, 1, 1, 1)
    for _ in range(60):
        share = (low + high) / 2
        fits = l2((images + share * change).clamp(0, 255), images.double()) <= budget
        low = torch.where(fits[:, None, None, None], share, low)
        high = torch.where(fits[:, None, None, None], high, share)
    nearest = (images + high * change).clamp(0, 255)
    assert (l2(found, nearest) <= 1e-6 * budget + 1e-9).all()


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_a_step_in_l2_has_length_one_however_small_or_large_the_gradient(scale: float) -> None:
    gradient = scale * torch.randn(4, 3, 5, 5, generator=torch.Generator().manual_seed(0))
    gradient[3] = 0
    step = steepest(gradient, "l2")
    torch.testing.assert_close(l2(step, torch.zeros_like(step)), torch.tensor([1.0, 1, 1, 0]))
    torch.testing.assert_close(steepest(gradient / scale, "l2"), step)


@pytest.mark.parametrize("norm", NORMS)
def test_random_starts_fill_the_ball_and_stay_in_it(norm: str) -> None:
    images = torch.full((2000, 3, 1, 1), 100.0)
    sources = [torch.Generator().manual_seed(seed) for seed in range(2000)]
    start = Ball.around(images, 8.0, norm).random_start(sources)  # type: ignore[arg-type]
    reach = distance(norm, images, start) / 8  # type: ignore[arg-type]
    assert reach.max() <= 1 + 1e-5
    # Uniform in a ball of three dimensions: half of the points lie within this share of its radius.
    assert abs(float((reach <= 0.5 ** (1 / 3)).double().mean()) - 0.5) < 0.05
    assert abs(float((start - images).mean())) < 0.2


class Rough(nn.Module):
    """Random features, steep and flat by turns: attacks leave no corner of the ball out."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        random = torch.Generator().manual_seed(seed)
        self.first = nn.Parameter(torch.randn(48, 16, generator=random) / 50)
        self.last = nn.Parameter(torch.randn(16, 2, generator=random))

    def forward(self, images: Tensor) -> Tensor:
        return (images.flatten(1) @ self.first).sin() @ self.last


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 2**16),
    budget=st.sampled_from([0.0, 0.3, 1.0, 2.5, 7.0, 40.0, 300.0]),
    norm=st.sampled_from(NORMS),
    loss=st.sampled_from(LOSSES),
    kind=st.sampled_from([PGD, APGD]),
    random_start=st.booleans(),
    early_exit=st.booleans(),
    restarts=st.integers(1, 2),
)
def test_neither_the_budget_nor_the_levels_are_left(
    seed: int,
    budget: float,
    norm: str,
    loss: Loss,
    kind: type[PGD | APGD],
    random_start: bool,
    early_exit: bool,
    restarts: int,
) -> None:
    images = ((levels(6, 4, seed) - 127.5) * 2 + 127.5).clamp(0, 255).round()  # a half at the ends
    attack = kind(
        budget=budget, norm=norm, loss=loss, steps=7, random_start=random_start,
        early_exit=early_exit, restarts=restarts, seed=seed,
    )  # fmt: skip
    attacked = perturb(attack, Detector(Rough(seed)), images, torch.arange(6) % 2)
    assert (distance(norm, images, attacked) <= budget * (1 + 1e-5) + 1e-4).all()  # type: ignore[arg-type]
    filed = as_filed(attack, images, attacked)
    assert (distance(norm, images, filed) <= budget).all()  # type: ignore[arg-type]
    assert filed.amin() >= 0
    assert filed.amax() <= 255


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("kind", [PGD, APGD])
def test_each_image_has_its_own_budget(kind: type[PGD | APGD], norm: str) -> None:
    detector, images = linear_detector(), middle_levels(5)
    budgets, labels = torch.tensor([0.0, 0.5, 1.0, 2.5, 5.0]), torch.arange(5) % 2
    attack = kind(budget=budgets, norm=norm, random_start=True, steps=40, early_exit=False)
    together = perturb(attack, detector, images, labels)
    torch.testing.assert_close(distance(norm, images, together), budgets, rtol=1e-3, atol=1e-4)  # type: ignore[arg-type]


# --- batches and randomness


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize(
    "attack",
    [
        PGD(budget=1.0, random_start=True),
        PGD(budget=1.0, early_exit=True, restarts=2),
        APGD(budget=1.0, steps=15),
        APGD(budget=1.0, steps=15, restarts=2, early_exit=False),
    ],
)
def test_an_image_is_attacked_the_same_alone_and_in_any_batch_in_any_order(
    attack: PGD | APGD, norm: str, trained: Detector, seen: tuple[Tensor, Tensor]
) -> None:
    images, labels = seen[0][::12].double(), seen[1][::12]
    detector = twin(trained).double()
    attack = dataclasses.replace(attack, norm=norm, budget=WHOLE[norm])
    together = perturb(attack, detector, images, labels)
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
    shuffled = perturb(attack, detector, images[order], labels[order])
    alone = [
        perturb(attack, detector, images[i : i + 1], labels[i : i + 1]) for i in range(len(images))
    ]
    assert broken(detector, together, labels).float().mean() > 0.1
    torch.testing.assert_close(shuffled, together[order], rtol=0, atol=1e-6)
    torch.testing.assert_close(torch.cat(alone), together, rtol=0, atol=1e-6)


@pytest.mark.parametrize("norm", NORMS)
def test_a_random_start_is_another_one_and_the_global_random_state_has_no_part_in_it(
    norm: str, trained: Detector, seen: tuple[Tensor, Tensor]
) -> None:
    images, labels = seen[0][:8], seen[1][:8]
    still = PGD(budget=2.0, norm=norm, steps=1, relative_step=0.01)
    random = dataclasses.replace(still, random_start=True)
    torch.manual_seed(1)
    first = perturb(random, trained, images, labels)
    torch.manual_seed(2)
    assert torch.equal(perturb(random, trained, images, labels), first)
    assert not torch.equal(perturb(still, trained, images, labels), first)


@pytest.mark.parametrize(
    "attack",
    [
        PGD(budget=20.0, norm="l2", steps=3),
        PGD(budget=2.0, steps=3, random_start=True, restarts=2, early_exit=True),
        APGD(budget=2.0, steps=4),
        APGD(budget=20.0, steps=4, norm="l2", restarts=2),
        APGD(budget=2.0, steps=4, early_exit=False, loss="margin"),
    ],
)
def test_the_detector_and_the_random_state_are_left_as_they_were(
    attack: Attack, trained: Detector, seen: tuple[Tensor, Tensor]
) -> None:
    from test_attacks import assert_same, fingerprint

    detector = twin(trained)
    images, labels = seen[0][:12].clone(), seen[1][:12]
    detector.train()
    detector.network[1].eval()  # a mixture of modes
    next(detector.parameters()).requires_grad_(False)
    functional.cross_entropy(detector(images), labels).backward()
    kept, before = images.clone(), fingerprint(detector)
    perturb(attack, detector, images, labels)
    assert_same(before, fingerprint(detector))
    assert torch.equal(images, kept)
    assert not images.requires_grad


# --- early exit, files and calls


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize(
    "attack", [PGD(budget=1.0, steps=20, early_exit=True), APGD(budget=1.0, steps=20)]
)
def test_an_image_leaves_early_only_if_its_file_is_wrong_too(
    attack: PGD | APGD, norm: str, trained: Detector, seen: tuple[Tensor, Tensor]
) -> None:
    images, labels = seen
    attack = dataclasses.replace(attack, norm=norm, budget=WHOLE[norm] + 0.5)
    with counted(len(images)) as calls:
        attacked = perturb(attack, trained, images, labels)
    left = calls.backward < attack.steps
    assert 10 < int(left.sum()) < len(images) - 10
    assert broken(trained, attacked[left], labels[left]).all()
    assert broken(trained, as_filed(attack, images, attacked)[left], labels[left]).all()


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize(
    "attack",
    [
        PGD(budget=1.0, steps=6, random_start=True, early_exit=True),
        PGD(budget=1.0, steps=6, early_exit=True, restarts=3),
        PGD(budget=1.0, steps=6, restarts=2),
        APGD(budget=1.0, steps=6),
        APGD(budget=1.0, steps=6, restarts=3, random_start=False),
        APGD(budget=1.0, steps=6, early_exit=False),
    ],
)
def test_all_calls_are_counted_image_by_image(
    attack: PGD | APGD, norm: str, trained: Detector, seen: tuple[Tensor, Tensor]
) -> None:
    images, labels = seen
    labels = torch.where(torch.arange(len(labels)) % 8 == 0, 1 - labels, labels)
    attack = dataclasses.replace(attack, norm=norm, budget=WHOLE[norm])
    made: list[tuple[int, bool]] = []
    hook = trained.network[-1].register_forward_hook(
        lambda _, given, logits: made.append((len(logits), logits.requires_grad))
    )
    with counted(len(images)) as calls:
        perturb(attack, trained, images, labels)
    hook.remove()
    assert int(calls.forward.sum()) == sum(count for count, _ in made)
    slopes = sum(count for count, slope in made if slope)
    assert 0 < int(calls.backward.sum()) <= slopes
    if attack.early_exit:
        wrong = broken(trained, images, labels)
        # Of several starts each result is judged at the end, too.
        again = attack.restarts > 1 and not attack.random_start
        assert (calls.forward[wrong] == 1 + again).all()
        assert (calls.backward[wrong] == (not attack.random_start)).all()


@pytest.mark.parametrize(
    "attack",
    [
        PGD(budget=4.0, early_exit=True, norm="l2"),
        PGD(budget=4.0, early_exit=True, norm="l2", restarts=2, steps=3),
        APGD(budget=4.0, norm="l2", steps=20),
    ],
)
def test_a_small_budget_in_l2_is_not_lost_to_rounding(attack: PGD | APGD) -> None:
    # Spread over 768 values it is half a level at hardly any, and a file keeps nothing of it. At
    # sixteen values whole levels are as long, and go a third as far.
    detector, images = linear_detector(side=16), (100 + levels(1, 16) / 5).round()
    reach = 4.0 * steepness(detector, "l2")
    for label in (0, 1):
        with torch.no_grad():
            gap = margin(detector(images), torch.tensor([label]))
            detector.network.bias[label] += (gap + 0.2 * reach).item()
        labels = torch.tensor([label])
        whole = dataclasses.replace(attack, early_exit=False)
        lost = as_filed(whole, images, perturb(whole, detector, images, labels))
        assert not broken(detector, lost, labels).any()
        with counted(1) as calls:
            attacked = perturb(attack, detector, images, labels)
        filed = as_filed(attack, images, attacked)
        assert broken(detector, filed, labels).all()
        assert 3.8 < float(l2(images, filed)) <= 4.0
        assert torch.equal(attacked, filed)
        assert int(calls.forward) > attack.steps + 1


def test_images_that_are_wrong_already_are_let_be(
    trained: Detector, seen: tuple[Tensor, Tensor]
) -> None:
    images, labels = seen[0], 1 - predicted(trained, seen[0])
    for attack in (APGD(budget=2.0), PGD(budget=2.0, early_exit=True, random_start=True)):
        assert torch.equal(perturb(attack, trained, images, labels), images)
    with_margin = APGD(budget=2.0, steps=5, early_exit=False)
    assert not torch.equal(perturb(with_margin, trained, images, labels), images)


@pytest.mark.parametrize(
    "attack", [PGD(budget=1.0, random_start=True, restarts=2), APGD(budget=1.0)]
)
def test_no_images_are_attacked_to_no_images(attack: Attack) -> None:
    nothing = torch.zeros(0, 3, 4, 4)
    assert perturb(attack, linear_detector(), nothing, torch.zeros(0).long()).shape == nothing.shape


@pytest.mark.parametrize(
    ("kind", "wrong"),
    [
        (PGD, {"restarts": 0}),
        (PGD, {"norm": "l1"}),
        (APGD, {"restarts": 0}),
        (APGD, {"steps": 0}),
        (APGD, {"norm": "l1"}),
    ],
)
def test_settings_that_are_none_are_refused(kind: type, wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"must be at least 1, got|norm must be one of"):
        kind(budget=1.0, **wrong)


# --- other libraries


@pytest.mark.parametrize("norm", NORMS)
def test_pgd_goes_the_way_of_foolbox(
    norm: str, trained: Detector, seen: tuple[Tensor, Tensor]
) -> None:
    import foolbox

    images, labels, budget = seen[0].double(), seen[1], WHOLE[norm]
    detector = twin(trained).double()
    kind = {"linf": foolbox.attacks.LinfPGD, "l2": foolbox.attacks.L2PGD}[norm]
    attack = kind(steps=10, abs_stepsize=0.25 * budget, random_start=False)
    model = foolbox.PyTorchModel(detector, bounds=(0, 255))
    _, (theirs,), _ = attack(model, images, labels, epsilons=[budget])
    ours = perturb(PGD(budget=budget, norm=norm, loss="cross_entropy"), detector, images, labels)
    assert broken(detector, ours, labels).float().mean() > 0.1
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-6)


def reference(
    detector: Detector, norm: str, budget: float, steps: int, restarts: int = 1
) -> object:
    """The apgd-ce of pyautoattack, whose images are in [0, 1]."""
    from pyautoattack.autopgd_base import APGDAttack

    attack = APGDAttack(
        lambda images: detector(images * 255),
        n_iter=steps,
        norm={"linf": "Linf", "l2": "L2"}[norm],
        n_restarts=restarts,
        eps=budget / 255,
        seed=0,
        loss="ce",
        device="cpu",
    )
    attack.init_hyperparam(torch.zeros(1, 3, SIDE, SIDE))
    return attack


@pytest.mark.parametrize("norm", NORMS)
def test_auto_pgd_goes_the_way_of_pyautoattack_past_its_first_checkpoint(
    norm: str, trained: Detector, seen: tuple[Tensor, Tensor]
) -> None:
    images, labels = seen[0][::4].double(), seen[1][::4]
    detector, visited = twin(trained).double(), []
    detector.network[0].register_forward_pre_hook(
        lambda _, given: visited.append(given[0].detach() * detector.scale)
    )
    attack = APGD(budget=WHOLE[norm], norm=norm, steps=100, random_start=False, early_exit=False)
    perturb(attack, detector, images, labels)
    ours = torch.stack(visited)
    visited.clear()
    # Its own checkpoints are the paper's if there are a hundred steps.
    single = reference(detector, norm, WHOLE[norm], steps=100).attack_single_run  # type: ignore[attr-defined]
    single(images / 255, labels, x_init=images / 255)
    theirs = torch.stack(visited)
    assert len(ours) == len(theirs) == 101
    apart = (ours - theirs).abs().amax((2, 3, 4))[:40]
    assert (apart.amax(0) < 1e-3).double().mean() > 0.9
    assert apart[:22].amax() < 1e-3


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize(("loss", "restarts"), [("margin", 1), ("cross_entropy", 2)])
def test_auto_pgd_is_never_weaker_than_pyautoattack(
    norm: str, loss: Loss, restarts: int, trained: Detector, seen: tuple[Tensor, Tensor]
) -> None:
    images, labels = seen
    theirs, ours = [], []
    for budget in (0.8 * WHOLE[norm], WHOLE[norm]):
        with torch.random.fork_rng():
            perturbed = reference(trained, norm, budget, 20, restarts).perturb  # type: ignore[attr-defined]
            theirs.append(broken(trained, perturbed(images / 255, labels) * 255, labels))
        attack = APGD(budget=budget, norm=norm, loss=loss, steps=20, restarts=restarts)  # type: ignore[arg-type]
        ours.append(broken(trained, perturb(attack, trained, images, labels), labels))
    # Together, so that luck with one start or another weighs less than a point.
    success = torch.stack(theirs).double().mean()
    assert 0.2 < success < 0.9
    assert torch.stack(ours).double().mean() >= success - 0.01


# --- strength


def test_the_trained_detector_is_right_and_holds_under_fgsm_but_not_under_auto_pgd(
    trained: Detector, seen: tuple[Tensor, Tensor]
) -> None:
    images, labels = seen
    assert broken(trained, images, labels).double().mean() < 0.05
    one, many = (
        broken(trained, perturb(attack, trained, images, labels), labels).double().mean()
        for attack in (FGSM(budget=2.0), APGD(budget=2.0))
    )
    assert one < 0.6
    assert many > one + 0.2


@pytest.mark.parametrize("norm", NORMS)
def test_more_steps_break_no_fewer_images(
    norm: str, trained: Detector, seen: tuple[Tensor, Tensor]
) -> None:
    images, labels = seen
    found = [
        broken(trained, perturb(attack, trained, images, labels), labels)
        for attack in (
            APGD(budget=WHOLE[norm], norm=norm, steps=5),
            APGD(budget=WHOLE[norm], norm=norm, steps=20),
            APGD(budget=WHOLE[norm], norm=norm, steps=60),
        )
    ]
    counts = [int(each.sum()) for each in found]
    assert counts == sorted(counts)
    assert counts[0] < counts[-1]


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("attack", [PGD(budget=1.0, early_exit=True), APGD(budget=1.0, steps=15)])
def test_more_restarts_keep_what_is_broken_and_break_more(
    attack: PGD | APGD, norm: str, trained: Detector, seen: tuple[Tensor, Tensor]
) -> None:
    images, labels = seen
    # With less in L2, what is broken is broken from the first start.
    budget, found = {"linf": WHOLE["linf"], "l2": 40.0}[norm], []
    for restarts in (1, 2, 5):
        tried = dataclasses.replace(attack, budget=budget, norm=norm, restarts=restarts)
        attacked = perturb(tried, trained, images, labels)
        found.append(broken(trained, as_filed(tried, images, attacked), labels))
    for fewer, more in ((found[0], found[1]), (found[1], found[2])):
        assert (more | ~fewer).all()
    assert found[2].sum() > found[0].sum()


def test_of_several_restarts_the_one_with_the_largest_margin_in_its_file_is_kept(
    trained: Detector, seen: tuple[Tensor, Tensor]
) -> None:
    images, labels = seen[0][:48], seen[1][:48]
    attack = PGD(budget=2.0, steps=2)  # too weak to break many: all starts are tried
    margins = []
    for restarts in (1, 2, 4):
        tried = dataclasses.replace(attack, restarts=restarts)
        filed = as_filed(tried, images, perturb(tried, trained, images, labels))
        margins.append(margin(trained(filed), labels).detach())
    assert (margins[2] <= 0).any()
    assert (margins[1] >= margins[0]).all()
    assert (margins[2] >= margins[1]).all()
    assert (margins[2] > margins[0] + 1e-3).any()


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("kind", [PGD, APGD])
def test_a_saturated_softmax_does_not_stop_an_attack(
    kind: type[PGD | APGD],
    loss: Loss,
    norm: str,
    trained: Detector,
    seen: tuple[Tensor, Tensor],
) -> None:
    images, labels = seen[0][::2], seen[1][::2]
    sure = twin(trained)
    with torch.no_grad():
        sure.network[-1].weight *= 1e4
        sure.network[-1].bias *= 1e4
        losses = functional.cross_entropy(sure(images), labels, reduction="none")
    assert (losses == 0).double().mean() > 0.5
    attack = kind(budget=WHOLE[norm], norm=norm, loss=loss, steps=15, early_exit=True)
    found = [
        broken(detector, perturb(attack, detector, images, labels), labels).double().mean()
        for detector in (trained, sure)
    ]
    assert found[0] > 0.3
    assert abs(found[0] - found[1]) <= 0.03


def test_with_two_classes_both_losses_are_one_attack_and_with_four_they_are_two() -> None:
    images, labels = middle_levels(8), torch.arange(8) % 2
    for classes, same in ((2, True), (4, False)):
        torch.manual_seed(0)
        network = nn.Sequential(nn.Flatten(), nn.Linear(48, 32), nn.Tanh(), nn.Linear(32, classes))
        detector = Detector(network, scale=100.0, classes=tuple("abcd"[:classes])).double()
        first, second = (
            perturb(
                APGD(budget=30.0, loss=loss, early_exit=False, norm="l2"),  # type: ignore[arg-type]
                detector,
                images.double(),
                labels,
            )
            for loss in LOSSES
        )
        assert bool((linf(first, second) < 1e-5).all()) == same


def test_a_detector_that_is_flat_is_attacked_to_no_avail_and_without_error() -> None:
    flat = Linear()
    with torch.no_grad():
        flat.weight.zero_()
    detector, images = Detector(flat), levels(4, 4)
    labels = predicted(detector, images)
    assert (image_gradient(detector, images, labels) == 0).all()
    for norm in NORMS:
        for attack in (PGD(budget=3.0, norm=norm), APGD(budget=3.0, norm=norm)):  # type: ignore[arg-type]
            attacked = perturb(attack, detector, images, labels)
            assert math.isfinite(float(attacked.sum()))
