"""FAB and FMN: closed forms, projections against SciPy's, strength against others."""

from __future__ import annotations

import copy
import dataclasses
import functools

import pytest
import torch
from conftest import levels, linear_detector
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog, minimize
from torch import Tensor, nn
from train_weights import stored, untrained_sides

from trueshot.attacks import Attack, Norm, as_filed, counted, distance, margin, perturb
from trueshot.attacks.fab import FAB, onto_boundary
from trueshot.attacks.minimal import FMN, NO_LIMIT, boundary_distance
from trueshot.detector import Detector
from trueshot.networks import LCNN

NORMS: list[Norm] = ["linf", "l2"]


def soft_images(count: int, seed: int, side: int = 16) -> tuple[Tensor, Tensor]:
    """Soft pictures with noise; those of class 1 are lighter at the sides, the others darker."""
    random = torch.Generator().manual_seed(seed)
    coarse = torch.rand((count, 3, 4, 4), generator=random) * 60 + 98
    images = nn.functional.interpolate(coarse, size=(side, side), mode="bicubic")
    images = images + 4 * torch.randn(images.shape, generator=random)
    labels = torch.arange(count) % 2
    strength = 24 * (torch.rand(count, generator=random) + 0.5) * (labels - 0.5)
    bend = torch.linspace(-1, 1, side).square() - 1 / 3
    return (images + strength[:, None, None, None] * bend).round().clamp(0, 255), labels


@functools.cache
def trained_detector() -> Detector:
    """A small network that tells these two classes apart."""
    return stored(untrained_sides(), "sides")


@pytest.fixture
def trained() -> Detector:
    return copy.deepcopy(trained_detector())


class InUnits(nn.Module):
    """A detector as other libraries want it: images in [0, 1]."""

    def __init__(self, detector: Detector) -> None:
        super().__init__()
        self.detector = detector

    def forward(self, images: Tensor) -> Tensor:
        return self.detector(255 * images)


def minimal_attack(name: str, norm: Norm) -> Attack:
    return FAB(budget=NO_LIMIT, norm=norm) if name == "fab" else FMN(norm=norm)


def middle_levels(count: int, side: int = 4, seed: int = 0) -> Tensor:
    return (100 + levels(count, side, seed) / 5).round()


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("name", ["fab", "fmn"])
def test_the_distance_of_a_linear_detector_is_its_margin_over_the_dual_norm(
    name: str, norm: Norm
) -> None:
    detector, images = linear_detector(), middle_levels(16)
    logits = detector(images).detach()
    labels = logits.argmax(1)
    weight = (detector.network.weight[1] - detector.network.weight[0]).detach()
    dual = weight.abs().sum() if norm == "linf" else weight.norm()
    nearest = -margin(logits, labels) / dual
    found = boundary_distance(detector, images, labels, minimal_attack(name, norm))
    torch.testing.assert_close(found, nearest, rtol=0.01, atol=0)
    assert (found >= nearest * (1 - 1e-5)).all()


@pytest.mark.parametrize("scale", [1e-21, 1e21])
@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("name", ["fab", "fmn"])
def test_the_distance_does_not_depend_on_the_unit_of_the_logits(
    name: str, norm: Norm, scale: float
) -> None:
    images, found = middle_levels(8), []
    for factor in (1.0, scale):
        detector = linear_detector()
        with torch.no_grad():
            for parameter in detector.parameters():
                parameter.mul_(factor)
        labels = detector(images).argmax(1)
        found.append(boundary_distance(detector, images, labels, minimal_attack(name, norm)))
    assert found[0].isfinite().all()
    torch.testing.assert_close(found[1], found[0], rtol=0.01, atol=0)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("name", ["fab", "fmn"])
def test_among_many_classes_the_nearest_boundary_is_found(name: str, norm: Norm) -> None:
    detector, images = linear_detector(classes=4), middle_levels(12)
    logits = detector(images).detach()
    labels = logits.argmax(1)
    weight = detector.network.weight.detach()
    gap = logits.gather(1, labels[:, None]) - logits
    apart = weight[labels][:, None] - weight[None]
    dual = apart.abs().sum(2) if norm == "linf" else apart.norm(dim=2)
    away = torch.where(gap > 0, gap / dual, torch.inf)
    nearest = away.amin(1)
    if name == "fab":  # which goes for the second best class at the image
        second = logits.scatter(1, labels[:, None], float("-inf")).argmax(1)
        nearest = away.gather(1, second[:, None]).squeeze(1)
    found = boundary_distance(detector, images, labels, minimal_attack(name, norm))
    assert (found <= nearest * 1.01).all()
    assert (found >= away.amin(1) * (1 - 1e-5)).all()


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("name", ["fab", "fmn"])
def test_where_the_range_of_levels_is_in_the_way_the_distance_is_still_the_shortest(
    name: str, norm: Norm
) -> None:
    random = torch.Generator().manual_seed(4)
    black_and_white = 255 * torch.randint(0, 2, (8, 3, 4, 4), generator=random)
    images = (black_and_white + levels(8, 4) / 16 - 8).clamp(0, 255)
    detector = linear_detector()
    logits = detector(images).detach()
    labels = logits.argmax(1)
    weight = (detector.network.weight[1] - detector.network.weight[0]).detach()
    gaps, signs = margin(logits, labels), 1 - 2 * labels
    changes = torch.stack(
        [
            oracle(image.flatten(), sign * weight, gap, norm)
            for image, sign, gap in zip(images, signs, gaps, strict=True)
        ]
    )
    exact, dual = changes.abs().amax(1), weight.abs().sum()
    if norm == "l2":
        exact, dual = changes.norm(dim=1), weight.norm()
    assert (exact > -1.05 * gaps / dual).any()
    found = boundary_distance(detector, images, labels, minimal_attack(name, norm))
    torch.testing.assert_close(found, exact.float(), rtol=0.02, atol=0)


def oracle(image: Tensor, weight: Tensor, value: Tensor, norm: Norm) -> Tensor:
    """The shortest change d with value + weight · d = 0 and image + d in [0, 255], by SciPy."""
    start, slope = image.double().numpy(), weight.double().numpy()
    count = len(start)
    if norm == "linf":
        # Variables: the change, and its largest component.
        bounds = [(-level, 255 - level) for level in start] + [(0, None)]
        ones, unit = torch.ones(count, 1).numpy(), torch.eye(count).numpy()
        found = linprog(
            [0.0] * count + [1.0],
            A_ub=torch.cat(
                [torch.cat([torch.tensor(s * unit), -torch.tensor(ones)], 1) for s in (1, -1)]
            ).numpy(),
            b_ub=[0.0] * (2 * count),
            A_eq=[[*slope, 0.0]],
            b_eq=[-float(value)],
            bounds=bounds,
        )
        assert found.success
        return torch.tensor(found.x[:-1])
    # In units in which all is of the order of 1, which its line search needs.
    start, goal = start / 255, -float(value) / 255
    length = float(weight.double().norm())
    found = minimize(
        lambda change: 0.5 * (change**2).sum(),
        torch.zeros(count).double().numpy(),
        jac=lambda change: change,
        bounds=[(-level, 1 - level) for level in start],
        constraints={
            "type": "eq",
            "fun": lambda change: (slope @ change - goal) / length,
            "jac": lambda change: slope / length,
        },
        method="SLSQP",
        options={"ftol": 1e-14, "maxiter": 500},
    )
    assert found.success, found.message
    return 255 * torch.tensor(found.x)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    share=st.floats(0.02, 0.9),
    norm=st.sampled_from(NORMS),
    sign=st.sampled_from([-1, 1]),
)
def test_the_projection_on_boundary_and_box_is_that_of_an_optimiser(
    seed: int, share: float, norm: Norm, sign: int
) -> None:
    random = torch.Generator().manual_seed(seed)
    image = (255 * torch.rand((1, 3, 2, 2), generator=random)).double()
    weight = torch.randn((1, 3, 2, 2), generator=random).double()
    weight[weight.abs() < 0.2] = 0
    # A share of the farthest that the function can go.
    room = torch.where(-sign * weight > 0, 255 - image, image)
    value = sign * share * (weight.abs() * room).sum((1, 2, 3))
    change = onto_boundary(image, weight, value, norm)
    expected = oracle(image.flatten(), weight.flatten(), value, norm)
    assert ((image + change >= -1e-9) & (image + change <= 255 + 1e-9)).all()
    torch.testing.assert_close((weight * change).sum() + value, value * 0, atol=1e-7, rtol=0)
    if norm == "linf":  # whose solution need not be the only one
        torch.testing.assert_close(change.abs().amax(), expected.abs().amax())
    else:
        torch.testing.assert_close(change.norm(), expected.norm(), rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(change.flatten(), expected, rtol=1e-3, atol=0.02)


@pytest.mark.parametrize("norm", NORMS)
def test_a_boundary_out_of_reach_is_approached_as_far_as_there_is_room(norm: Norm) -> None:
    images = levels(2, 2)
    weight = torch.tensor([1.0, -1.0, 0.0]).repeat(2, 4).reshape(2, 3, 2, 2)
    change = onto_boundary(images, weight, torch.tensor([-1e9, 1e9]), norm)
    towards = weight * torch.tensor([1.0, -1.0])[:, None, None, None]
    expected = torch.where(towards > 0, 255.0, torch.where(towards < 0, 0.0, images))
    assert torch.equal(images + change, expected)


def test_without_a_gradient_the_projection_stays_where_it_is() -> None:
    nothing = onto_boundary(levels(2, 2), torch.zeros(2, 3, 2, 2), torch.tensor([1.0, 0.0]), "l2")
    assert (nothing == 0).all()


def right_median(detector: Detector, images: Tensor, labels: Tensor, away: Tensor) -> float:
    return float(away[margin(detector(images), labels) <= 0].median())


def their_distance(
    detector: Detector, images: Tensor, labels: Tensor, theirs: Tensor, norm: Norm
) -> Tensor:
    wrong = margin(detector(theirs).detach(), labels) > 0
    return torch.where(wrong, distance(norm, images, theirs), torch.inf)


@pytest.mark.parametrize("norm", NORMS)
def test_fmn_comes_as_near_as_the_attacks_of_foolbox(trained: Detector, norm: Norm) -> None:
    import foolbox

    images, labels = soft_images(64, seed=1)
    model = foolbox.PyTorchModel(InUnits(trained).eval(), bounds=(0, 1))
    attacks = foolbox.attacks
    attack = attacks.LInfFMNAttack(steps=50) if norm == "linf" else attacks.DDNAttack(steps=50)
    _, (found,), _ = attack(model, images / 255, labels, epsilons=[None])
    theirs = their_distance(trained, images, labels, 255 * found, norm)
    ours = boundary_distance(trained, images, labels, FMN(norm=norm, steps=50))
    assert right_median(trained, images, labels, ours) <= 1.005 * right_median(
        trained, images, labels, theirs
    )
    assert (ours <= 1.05 * theirs).double().mean() >= 0.95


@pytest.mark.parametrize("norm", NORMS)
def test_fab_comes_as_near_as_that_of_autoattack(trained: Detector, norm: Norm) -> None:
    from pyautoattack.fab_pt import FABAttack_PT

    images, labels = soft_images(64, seed=1)
    attack = FABAttack_PT(
        InUnits(trained).eval(), norm=norm.capitalize(), n_iter=20, eps=1e4, device="cpu"
    )
    with torch.random.fork_rng():
        found = 255 * attack.perturb(images / 255, labels)
    theirs = their_distance(trained, images, labels, found, norm)
    ours = boundary_distance(trained, images, labels, FAB(budget=NO_LIMIT, norm=norm, steps=20))
    assert right_median(trained, images, labels, ours) <= 1.005 * right_median(
        trained, images, labels, theirs
    )
    for budget in theirs.quantile(torch.tensor([0.2, 0.4, 0.6, 0.8])).tolist():
        attack_at = FAB(budget=budget, norm=norm, steps=20, filed=False)
        attacked = perturb(attack_at, trained, images, labels)
        broken = (margin(trained(attacked), labels) > 0).sum()
        assert broken >= (theirs <= budget).sum() - 0.01 * len(images)


class Valley(nn.Module):
    """A network that is right, and flat, at one image, and wrong far enough to either side."""

    def __init__(self, image: Tensor) -> None:
        super().__init__()
        random = torch.Generator().manual_seed(0)
        self.bottom, self.weight = image, torch.randn(image.shape, generator=random)

    def forward(self, images: Tensor) -> Tensor:
        far = ((images - self.bottom) * self.weight).sum((1, 2, 3)).square()
        return torch.stack([far * 0, far - self.weight.abs().sum().square()], 1)


@pytest.mark.parametrize("norm", NORMS)
def test_restarts_of_fab_find_what_the_gradient_at_the_image_does_not_show(norm: Norm) -> None:
    image, label = middle_levels(1), torch.zeros(1).long()
    network = Valley(image[0])
    detector = Detector(network)
    budget = 2.0 if norm == "linf" else 20.0
    attack = FAB(budget=budget, norm=norm, restarts=1)
    assert boundary_distance(detector, image, label, attack).isinf().all()
    twice = dataclasses.replace(attack, restarts=2)
    weight = network.weight
    away = 1.0 if norm == "linf" else weight.abs().sum() / weight.norm()
    found = boundary_distance(detector, image, label, twice)
    # Its last per cent depends on where it begins, and that on the processor, by a rounding.
    torch.testing.assert_close(found, torch.tensor([float(away)]), rtol=0.03, atol=0)
    early = {
        float(
            boundary_distance(detector, image, label, dataclasses.replace(twice, steps=3, seed=s))
        )
        for s in range(4)
    }
    assert len(early) > 1  # each seed begins elsewhere


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("name", ["fab", "fmn"])
def test_beyond_its_budget_an_image_is_returned_as_it_was(
    trained: Detector, name: str, norm: Norm
) -> None:
    images, labels = soft_images(32, seed=3)
    labels[:3] = 1 - labels[:3]
    away = boundary_distance(trained, images, labels, minimal_attack(name, norm))
    assert (away[:3] == 0).all()
    budget = away.median().expand(32) * torch.linspace(0.5, 1.5, 32)
    settings_of = {"budget": budget, "norm": norm, "filed": False}
    attack = FAB(**settings_of) if name == "fab" else FMN(**settings_of)
    attacked = perturb(attack, trained, images, labels)
    changed = distance(norm, images, attacked) > 0
    assert torch.equal(changed, (away <= budget) & (away > 0))
    assert (margin(trained(attacked), labels)[changed] > 0).all()
    assert 3 < int(changed.sum()) < 29


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("name", ["fab", "fmn"])
def test_with_an_eye_to_the_file_more_images_stay_wrong_after_rounding(
    trained: Detector, name: str, norm: Norm
) -> None:
    images, labels = soft_images(32, seed=4)
    budget = 2.0 if norm == "linf" else 30.0
    broken = []
    for filed in (False, True):
        kind = FAB if name == "fab" else FMN
        attack = kind(budget=budget, norm=norm, steps=30, filed=filed)
        attacked = perturb(attack, trained, images, labels)
        rounded = as_filed(attack, images, attacked)
        assert (distance(norm, images, rounded) <= budget).all()
        broken.append(int((margin(trained(rounded), labels) > 0).sum()))
    assert broken[1] > broken[0]


def test_no_distance_is_claimed_that_the_detector_does_not_confirm() -> None:
    @dataclasses.dataclass(frozen=True)
    class Vain:
        """Changes what does not matter."""

        budget: float = 3.0

        def __call__(self, detector: Detector, images: Tensor, labels: Tensor) -> Tensor:
            return (images + 1).clamp(0, 255)

    detector, images = linear_detector(), middle_levels(6)
    with torch.no_grad():
        detector.network.weight -= detector.network.weight.mean(1, keepdim=True)
    labels = detector(images).argmax(1)
    labels[0] = 1 - labels[0]
    away = boundary_distance(detector, images, labels, Vain())
    assert away[0] == 0
    assert away[1:].isinf().all()


def test_a_flat_detector_is_infinitely_far_and_left_alone() -> None:
    network = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 2))
    nn.init.zeros_(network[2].weight)
    with torch.no_grad():
        network[2].bias.copy_(torch.tensor([1.0, 0.0]))
    detector, images, labels = Detector(network), levels(3, 8), torch.zeros(3).long()
    for attack in (FAB(budget=4.0), FMN(steps=9), FAB(budget=90.0, norm="l2"), FMN(norm="l2")):
        assert boundary_distance(detector, images, labels, attack).isinf().all()
        assert torch.equal(perturb(attack, detector, images, labels), images)


ALL = [
    FAB(budget=4.0, steps=4, restarts=2),
    FAB(budget=90.0, norm="l2", steps=4, restarts=2),
    FMN(steps=5, budget=30.0, filed=True),
    FMN(steps=5, norm="l2", filed=True),
]


@pytest.mark.parametrize("attack", ALL)
def test_a_minimal_attack_leaves_all_that_it_touches_as_it_was(attack: Attack) -> None:
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
    assert before.keys() == after.keys()
    for name, value in before.items():
        torch.testing.assert_close(value, after[name], rtol=0, atol=0, msg=name)
    assert torch.equal(images, kept)
    assert not images.requires_grad


def fingerprint(detector: Detector) -> dict[str, object]:
    return {
        "modes": [module.training for module in detector.modules()],
        "state": {name: value.clone() for name, value in detector.state_dict().items()},
        "gradients": [torch.zeros(0) if p.grad is None else p.grad for p in detector.parameters()],
        "wanted": [p.requires_grad for p in detector.parameters()],
        "random": torch.get_rng_state(),
    }


@pytest.mark.parametrize("attack", ALL)
def test_the_size_of_the_batch_does_not_change_what_is_found(
    trained: Detector, attack: Attack
) -> None:
    images, labels = soft_images(7, seed=5)
    labels[0] = 1 - labels[0]
    detector, images = copy.deepcopy(trained).double(), images.double()
    together = perturb(attack, detector, images, labels)
    alone = [perturb(attack, detector, images[[i]], labels[[i]]) for i in range(7)]
    torch.testing.assert_close(together, torch.cat(alone), rtol=0, atol=1e-6)
    assert (together != images).any()


@pytest.mark.parametrize("attack", ALL)
def test_every_call_of_a_minimal_attack_is_counted(trained: Detector, attack: Attack) -> None:
    images, labels = soft_images(6, seed=6)
    labels[:2] = 1 - labels[:2]
    made: list[int] = []
    hook = trained.network.register_forward_hook(lambda *of: made.append(len(of[2])))
    with counted(6) as count:
        perturb(attack, trained, images, labels)
    hook.remove()
    assert int(count.forward.sum()) == sum(made)
    assert count.forward[:2].tolist() == [1, 1]
    assert count.backward[:2].tolist() == [0, 0]
    runs = attack.steps * getattr(attack, "restarts", 1)  # type: ignore[attr-defined]
    assert count.backward[2:].tolist() == [runs] * 4


@pytest.mark.parametrize(
    ("kind", "wrong"),
    [
        (FAB, {"budget": 1.0, "steps": 0}),
        (FAB, {"budget": 1.0, "restarts": 0}),
        (FAB, {"budget": 1.0, "norm": "l1"}),
        (FMN, {"steps": 0}),
        (FMN, {"norm": "l0"}),
    ],
)
def test_settings_that_make_no_sense_are_refused(kind: type, wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"must be at least 1, got|norm must be one of"):
        kind(**wrong)


@pytest.mark.parametrize("norm", NORMS)
def test_fmn_reaches_a_boundary_that_is_far_away_in_few_steps(norm: Norm) -> None:
    detector, images = linear_detector(), middle_levels(8)
    weight = (detector.network.weight[1] - detector.network.weight[0]).detach()
    dual = weight.abs().sum() if norm == "linf" else weight.norm()
    far = 64.0 if norm == "linf" else 64.0 * images[0].numel() ** 0.5 / 2
    with torch.no_grad():  # each image is so far on the side of class 0
        gap = detector(images)[:, 1] - detector(images)[:, 0]
        detector.network.bias[1] -= gap.amin() + far * dual
    labels = detector(images).argmax(1)
    nearest = -margin(detector(images).detach(), labels) / dual
    found = boundary_distance(detector, images, labels, FMN(norm=norm, steps=10))
    assert found.isfinite().any()
    assert found[nearest.argmin()] <= 1.2 * nearest.amin()


class Lenient(nn.Module):
    """A detector that finds class 1 a little likelier than another does."""

    def __init__(self, detector: nn.Module, by: float) -> None:
        super().__init__()
        self.detector, self.by = detector, by

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.detector(images)
        return logits + self.by * torch.tensor([0.0, 1.0])


@pytest.mark.parametrize(("by", "left"), [(1e-4, 0), (1e3, 6)])
@pytest.mark.parametrize("attack", [FAB(budget=NO_LIMIT, filed=False), FMN()])
def test_what_only_the_folded_detector_is_wrong_about_does_not_count(
    attack: Attack, by: float, left: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    detector, images = linear_detector(), middle_levels(6)
    with torch.no_grad():
        gap = detector(images)[:, 1] - detector(images)[:, 0]
        detector.network.bias[1] -= gap.amax() + max(1.0, 2 * by)
    labels = torch.zeros(6, dtype=torch.long)
    monkeypatch.setattr(Detector, "folded", lambda self: Lenient(self, by))
    attacked = perturb(attack, detector, images, labels)
    changed = (attacked != images).flatten(1).any(1)
    assert (detector(attacked[changed]).argmax(1) == 1).all()
    assert int((~changed).sum()) == left
