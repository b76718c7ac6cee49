"""The attacks against closed forms, against independent libraries, and for what they leave."""

from __future__ import annotations

import dataclasses
import warnings

import numpy as np
import pytest
import torch
from conftest import levels, linear_detector
from torch import Tensor, nn

from trueshot import attacks
from trueshot.attacks import (
    APGD,
    BY_NAME,
    FAB,
    FGSM,
    FMN,
    PGD,
    Attack,
    Expectation,
    LeastLikelyClass,
    RayS,
    Square,
    Targeted,
    Through,
    Transfer,
    UniformNoise,
    cotangent,
    counted,
    image_gradient,
    margin,
    perturb,
)
from trueshot.channels import Jpeg, Png
from trueshot.detector import Detector
from trueshot.errors import BrokenPromiseError
from trueshot.networks import LCNN

ATTACKS = list(BY_NAME.values())
AttackType = type[FGSM | LeastLikelyClass | PGD]


def lcnn_detector(seed: int = 0) -> Detector:
    """An LCNN whose batch normalisation has seen images, so that both its modes differ."""
    torch.manual_seed(seed)
    detector = Detector(LCNN(filters=(4, 4, 8, 8, 8)))
    detector.train()
    with torch.no_grad():
        for step in range(5):
            detector(levels(16, 32, seed=step))
    return detector.eval()


def undecided_detector(images: Tensor) -> Detector:
    """One that half of these images lie to either side of, near enough for an attack."""
    detector = lcnn_detector()
    with torch.no_grad():
        logits = detector(images)
        detector.network.classifier.bias[1] -= (logits[:, 1] - logits[:, 0]).median()
    return detector


def middle_levels(count: int, side: int = 4) -> Tensor:
    return 100 + levels(count, side) / 5


@pytest.mark.parametrize("budget", [0.5, 1.0, 4.0])
def test_fgsm_lowers_the_margin_of_a_linear_detector_by_what_no_attack_can_beat(
    budget: float,
) -> None:
    detector, images = linear_detector(), middle_levels(8)
    labels = torch.arange(8) % 2
    attacked = perturb(FGSM(budget=budget), detector, images, labels)
    weight = detector.network.weight[1] - detector.network.weight[0]
    best = budget * weight.abs().sum().expand(8)
    gained = margin(detector(attacked), labels) - margin(detector(images), labels)
    torch.testing.assert_close(gained, best, rtol=1e-4, atol=1e-4)


def test_fgsm_is_the_image_plus_the_budget_times_the_sign_of_the_gradient_clipped() -> None:
    detector, images = linear_detector(), levels(6, 4)
    labels = torch.arange(6) % 2
    weight = detector.network.weight.detach()
    towards = torch.where(labels[:, None] == 0, weight[1] - weight[0], weight[0] - weight[1])
    expected = (images + 3 * towards.sign().reshape(images.shape)).clamp(0, 255)
    assert torch.equal(perturb(FGSM(budget=3.0), detector, images, labels), expected)


def test_llcm_steps_towards_the_class_that_the_detector_finds_least_likely() -> None:
    detector, images = linear_detector(classes=4), middle_levels(8)
    target = detector(images).argmin(1)
    attacked = perturb(LeastLikelyClass(budget=2.0), detector, images, torch.zeros(8).long())
    leaves = images.clone().requires_grad_(True)
    nn.functional.cross_entropy(detector(leaves), target, reduction="sum").backward()
    assert leaves.grad is not None
    assert torch.equal(attacked, images - 2 * leaves.grad.sign())
    after = detector(attacked).log_softmax(1).gather(1, target[:, None])
    assert (after > detector(images).log_softmax(1).gather(1, target[:, None])).all()


def test_llcm_is_fgsm_with_the_predicted_label_when_there_are_two_classes() -> None:
    detector, images = lcnn_detector(), levels(16, 32)
    predicted = detector(images).argmax(1)
    llcm = perturb(LeastLikelyClass(budget=2.0), detector, images, 1 - predicted)
    assert torch.equal(llcm, perturb(FGSM(budget=2.0), detector, images, predicted))


def test_fgsm_gives_the_same_bits_as_foolbox() -> None:
    import foolbox

    detector, images = lcnn_detector(), levels(16, 32)
    labels = torch.arange(16) % 2
    model = foolbox.PyTorchModel(detector, bounds=(0, 255))
    _, (theirs,), _ = foolbox.attacks.FGSM(random_start=False)(model, images, labels, epsilons=[3])
    assert torch.equal(perturb(FGSM(budget=3.0), detector, images, labels), theirs)


def test_llcm_gives_the_same_bits_as_foolbox() -> None:
    import foolbox

    detector, images = lcnn_detector(), levels(16, 32)
    target = detector(images).argmin(1)
    model = foolbox.PyTorchModel(detector, bounds=(0, 255))
    attack = foolbox.attacks.LinfPGD(steps=1, abs_stepsize=3.0, random_start=False)
    criterion = foolbox.criteria.TargetedMisclassification(target)
    _, (theirs,), _ = attack(model, images, criterion, epsilons=[3.0])
    ours = perturb(LeastLikelyClass(budget=3.0), detector, images, 1 - target)
    assert torch.equal(ours, theirs)


@pytest.mark.parametrize("steps", [1, 10])
def test_pgd_gives_the_same_bits_as_foolbox(steps: int) -> None:
    import foolbox

    detector, images = lcnn_detector(), levels(16, 32)
    labels = torch.arange(16) % 2
    model = foolbox.PyTorchModel(detector, bounds=(0, 255))
    attack = foolbox.attacks.LinfPGD(steps=steps, abs_stepsize=0.5, random_start=False)
    _, (theirs,), _ = attack(model, images, labels, epsilons=[2.0])
    ours = PGD(budget=2.0, steps=steps, relative_step=0.25, loss="cross_entropy")
    assert torch.equal(perturb(ours, detector, images, labels), theirs)


def test_pgd_reaches_the_best_that_there_is_on_a_linear_detector() -> None:
    detector, images = linear_detector(), middle_levels(8)
    labels = torch.arange(8) % 2
    best = perturb(FGSM(budget=2.0), detector, images, labels)
    torch.testing.assert_close(perturb(PGD(budget=2.0), detector, images, labels), best)


def test_pgd_goes_on_climbing_where_one_step_stops() -> None:
    detector, images = lcnn_detector(), levels(16, 32)
    labels = detector(images).argmax(1)
    one = margin(detector(perturb(FGSM(budget=5.0), detector, images, labels)), labels)
    many = margin(detector(perturb(PGD(budget=5.0, steps=40), detector, images, labels)), labels)
    assert many.mean() > one.mean()


@pytest.mark.parametrize("wrong", [{"steps": 0}, {"relative_step": 0.0}])
def test_pgd_without_a_step_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="step"):
        PGD(budget=1.0, **wrong)  # type: ignore[arg-type]


def test_with_early_exit_an_image_is_left_where_the_detector_first_is_wrong() -> None:
    images = levels(24, 32)
    detector = undecided_detector(images)
    labels = detector(images).argmax(1)
    labels[:4] = 1 - labels[:4]  # judged wrongly from the start
    steps = 8
    found = perturb(PGD(budget=4.0, steps=steps, early_exit=True), detector, images, labels)
    assert torch.equal(found[:4], images[:4])
    # What PGD passes through, step by step; the first place where an image is fooled is its end.
    expected, fooled = images.clone(), margin(detector(images), labels) > 0
    low, high = (images - 4).clamp(min=0), (images + 4).clamp(max=255)
    attacked = images
    for _ in range(steps):
        gradient = image_gradient(detector.folded(), attacked, labels, "margin")
        attacked = (attacked + gradient.sign()).clamp(low, high)
        expected[~fooled] = attacked[~fooled]
        fooled |= margin(detector(attacked), labels) > 0
    assert torch.equal(found, expected)
    whole = perturb(PGD(budget=4.0, steps=steps), detector, images, labels)
    assert int((margin(detector(whole), labels) > 0).sum()) > 4
    assert not torch.equal(found, whole)


def test_early_exit_does_not_depend_on_the_size_of_the_batch() -> None:
    images, labels = levels(9, 32).double(), torch.arange(9) % 2
    detector = undecided_detector(images.float()).double()
    attack = PGD(budget=3.0, early_exit=True)
    together = perturb(attack, detector, images, labels)
    alone = [perturb(attack, detector, images[i : i + 1], labels[i : i + 1]) for i in range(9)]
    assert torch.equal(together, torch.cat(alone))


@pytest.mark.parametrize(
    ("attack", "calls"),
    [
        (FGSM(budget=2.0), 1),
        (FGSM(budget=2.0, batch_statistics=True), 1),
        (LeastLikelyClass(budget=2.0), 1),
        (PGD(budget=2.0, steps=7), 7),
    ],
)
def test_the_calls_that_an_attack_counts_are_those_that_it_makes(
    attack: Attack, calls: int
) -> None:
    detector, images, labels = lcnn_detector(), levels(5, 32), torch.arange(5) % 2
    made: list[int] = []
    detector.network.classifier.register_forward_hook(lambda *_: made.append(len(_[2])))
    with counted(5) as count:
        perturb(attack, detector, images, labels)
    assert count.forward.tolist() == count.backward.tolist() == [calls] * 5
    assert made == [5] * calls
    with counted(5) as again:
        pass
    assert again.forward.sum() == 0


def test_with_early_exit_calls_are_counted_for_each_image_by_itself() -> None:
    images = levels(24, 32)
    detector = undecided_detector(images)
    labels = detector(images).argmax(1)
    labels[:4] = 1 - labels[:4]
    made: list[int] = []
    detector.network.classifier.register_forward_hook(lambda *_: made.append(len(_[2])))
    with counted(24) as count:
        perturb(PGD(budget=4.0, steps=8, early_exit=True), detector, images, labels)
    assert count.forward[:4].tolist() == [1] * 4
    assert int(count.forward.sum()) == sum(made) < 24 * 8
    assert torch.equal(count.forward, count.backward)


@pytest.mark.parametrize("targeted", [False, True])
def test_both_attacks_give_the_same_bits_as_art(targeted: bool) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from art.attacks.evasion import FastGradientMethod
        from art.estimators.classification import PyTorchClassifier
    detector, images = lcnn_detector(), levels(16, 32)
    labels = torch.arange(16) % 2
    classifier = PyTorchClassifier(
        detector,
        loss=nn.CrossEntropyLoss(),
        input_shape=(3, 32, 32),
        nb_classes=2,
        clip_values=(0, 255),
        device_type="cpu",
    )
    attack = FastGradientMethod(classifier, eps=2.0, targeted=targeted, batch_size=16)
    classes = detector(images).argmin(1) if targeted else labels
    theirs = attack.generate(images.numpy(), y=classes.numpy())
    ours = (LeastLikelyClass if targeted else FGSM)(budget=2.0)
    detector.eval()
    np.testing.assert_array_equal(perturb(ours, detector, images, labels).numpy(), theirs)


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("loss", ["cross_entropy", "margin"])
def test_a_budget_for_each_image_is_kept_for_each_image(attack: AttackType, loss: str) -> None:
    detector, images = linear_detector(), middle_levels(5)
    budgets = torch.tensor([0.0, 0.5, 1.0, 2.5, 5.0])
    labels = torch.arange(5) % 2
    together = perturb(attack(budget=budgets, loss=loss), detector, images, labels)
    torch.testing.assert_close((together - images).abs().amax((1, 2, 3)), budgets)
    for i, budget in enumerate(budgets.tolist()):
        alone = perturb(
            attack(budget=budget, loss=loss), detector, images[i : i + 1], labels[i : i + 1]
        )
        assert torch.equal(alone, together[i : i + 1])


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("sure", [1e2, 1e4, 1e6])
def test_a_saturated_detector_is_attacked_as_well_as_any_other(
    attack: AttackType, sure: float
) -> None:
    images = middle_levels(6)
    plain, saturated = linear_detector(), linear_detector()
    with torch.no_grad():
        # The same boundary, with logits so far apart that cross-entropy is 0 in float32.
        offset = saturated.network.weight @ images.flatten(1).mean(0) + saturated.network.bias
        plain.network.bias -= offset
        saturated.network.bias -= offset
        saturated.network.weight *= sure
        saturated.network.bias *= sure
    labels = plain(images).argmax(1)
    losses = nn.functional.cross_entropy(saturated(images), labels, reduction="none")
    if sure >= 1e4:
        assert (losses == 0).any()
    assert torch.equal(
        perturb(attack(budget=1.0), saturated, images, labels),
        perturb(attack(budget=1.0), plain, images, labels),
    )


def test_the_cotangent_of_cross_entropy_is_its_gradient_up_to_a_power_of_two() -> None:
    logits = torch.tensor([[0.3, -0.2, 0.1], [2.0, -1.0, 0.5], [-3.0, 4.0, 0.0]])
    labels = torch.tensor([0, 0, 1])
    leaves = logits.clone().requires_grad_(True)
    nn.functional.cross_entropy(leaves, labels, reduction="sum").backward()
    assert leaves.grad is not None
    ratio = cotangent(logits, labels) / leaves.grad
    assert torch.equal(ratio, ratio[:, :1].expand_as(ratio))
    assert torch.equal(torch.frexp(ratio)[0], torch.full_like(ratio, 0.5))


def test_the_margin_is_the_best_wrong_logit_minus_the_true_one() -> None:
    logits = torch.tensor([[1.0, 3.0, 2.0], [5.0, 0.0, 4.0]])
    assert margin(logits, torch.tensor([2, 0])).tolist() == [1.0, -1.0]


def test_an_unknown_loss_is_refused() -> None:
    with pytest.raises(ValueError, match="hinge"):
        image_gradient(linear_detector(), levels(1, 4), torch.tensor([0]), "hinge")  # type: ignore[arg-type]


def fingerprint(detector: Detector) -> dict[str, object]:
    return {
        "modes": [module.training for module in detector.modules()],
        "state": {name: value.clone() for name, value in detector.state_dict().items()},
        "gradients": [None if p.grad is None else p.grad.clone() for p in detector.parameters()],
        "wanted": [p.requires_grad for p in detector.parameters()],
        "random": torch.get_rng_state(),
    }


def assert_same(first: dict[str, object], second: dict[str, object]) -> None:
    assert first["modes"] == second["modes"]
    assert first["wanted"] == second["wanted"]
    torch.testing.assert_close(first["state"], second["state"], rtol=0, atol=0)
    for before, after in zip(first["gradients"], second["gradients"], strict=True):  # type: ignore[call-overload]
        assert (before is None) == (after is None)
        assert before is None or torch.equal(before, after)
    assert torch.equal(first["random"], second["random"])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "attack",
    [
        FGSM(budget=2.0),
        FGSM(budget=2.0, batch_statistics=True),
        LeastLikelyClass(budget=2.0),
        LeastLikelyClass(budget=2.0, batch_statistics=True),
        PGD(budget=2.0, steps=3),
        PGD(budget=2.0, steps=3, early_exit=True),
    ],
)
def test_an_attack_leaves_all_that_it_touches_as_it_was(attack: Attack) -> None:
    detector, images, labels = lcnn_detector(), levels(8, 32), torch.arange(8) % 2
    detector.train()
    detector.network.units[1].eval()  # a mixture of modes
    next(detector.parameters()).requires_grad_(False)
    nn.functional.cross_entropy(detector(images), labels).backward()
    kept = images.clone()
    before = fingerprint(detector)
    perturb(attack, detector, images, labels)
    assert_same(before, fingerprint(detector))
    assert torch.equal(images, kept)
    assert not images.requires_grad
    assert images.grad is None


class Counting(nn.Module):
    """A network that counts in buffers what it judged, and whose gradient is one number spread."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("judged", torch.zeros(()))
        self.register_buffer("calls", torch.zeros(()))
        self.register_buffer("largest", None)
        self.weight = nn.Parameter(torch.tensor([[1.0, -1.0], [0.5, 2.0], [0.0, 1.0]]))

    def forward(self, images: Tensor) -> Tensor:
        self.judged += len(images)
        self.calls = self.calls + 1
        self.largest = images.detach().amax()
        return images.sum((2, 3)) @ self.weight


@pytest.mark.parametrize("attack", ATTACKS)
def test_any_network_is_attacked_and_its_buffers_are_as_they_were(attack: AttackType) -> None:
    detector, images = Detector(Counting()), middle_levels(4)
    attacked = perturb(attack(budget=2.0), detector, images, torch.arange(4) % 2)
    assert (attacked != images).any()
    assert detector.network.judged == 0
    assert detector.network.calls == 0
    assert detector.network.largest is None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Failing:
    """An attack that draws a random number, clears the gradients, and fails."""

    budget: float = 1.0

    def __call__(self, detector: Detector, images: Tensor, labels: Tensor) -> Tensor:
        from trueshot.attacks import undisturbed

        with undisturbed(detector, training=True):
            detector(images + torch.randn_like(images))
            detector.zero_grad()
            raise RuntimeError("on purpose")


def test_an_attack_that_fails_leaves_all_as_it_was_too() -> None:
    detector, images = lcnn_detector(), levels(4, 32)
    detector(images).sum().backward()
    before = fingerprint(detector)
    with pytest.raises(RuntimeError, match="on purpose"):
        perturb(Failing(), detector, images, torch.zeros(4).long())
    assert_same(before, fingerprint(detector))


def test_the_mode_of_batch_normalisation_matters_and_is_the_one_asked_for() -> None:
    detector, images, labels = lcnn_detector(), levels(8, 32), torch.arange(8) % 2
    running = perturb(FGSM(budget=1.0), detector.train(), images, labels)
    assert torch.equal(running, perturb(FGSM(budget=1.0), detector.eval(), images, labels))
    batch = perturb(FGSM(budget=1.0, batch_statistics=True), detector, images, labels)
    assert not torch.equal(running, batch)


@pytest.mark.parametrize("attack", ATTACKS)
def test_the_size_of_the_batch_does_not_change_the_attack(
    attack: AttackType,
) -> None:
    detector, images, labels = lcnn_detector().double(), levels(7, 32).double(), torch.arange(7) % 2
    together = perturb(attack(budget=2.0), detector, images, labels)
    alone = [
        perturb(attack(budget=2.0), detector, images[i : i + 1], labels[i : i + 1])
        for i in range(7)
    ]
    assert torch.equal(together, torch.cat(alone))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cheating:
    """An attack that breaks its promise by adding what it is told to."""

    amount: float
    budget: float = 2.0

    def __call__(self, detector: Detector, images: Tensor, labels: Tensor) -> Tensor:
        return images + self.amount


@pytest.mark.parametrize("amount", [2.01, -2.01, float("nan"), float("inf")])
def test_an_attack_that_leaves_its_budget_is_found_out(amount: float) -> None:
    images = torch.full((2, 3, 4, 4), 100.0)
    with pytest.raises(BrokenPromiseError):
        perturb(Cheating(amount=amount), linear_detector(), images, torch.tensor([0, 1]))


def test_an_attack_that_leaves_the_levels_is_found_out() -> None:
    with pytest.raises(BrokenPromiseError, match="0 to 255"):
        perturb(
            Cheating(amount=1.0),
            linear_detector(),
            torch.full((1, 3, 4, 4), 255.0),
            torch.zeros(1).long(),
        )


def test_images_outside_the_levels_are_refused_before_the_attack() -> None:
    with pytest.raises(ValueError, match="0 to 255"):
        perturb(FGSM(budget=1.0), linear_detector(), -levels(1, 4) - 1, torch.tensor([0]))


@pytest.mark.parametrize("budget", [-1.0, float("nan"), torch.ones(3), torch.ones(2, 2)])
def test_a_budget_that_is_none_is_refused(budget: float | Tensor) -> None:
    with pytest.raises(ValueError, match="budget"):
        perturb(FGSM(budget=budget), linear_detector(), levels(2, 4), torch.tensor([0, 1]))


EVERY: list[Attack] = [
    FGSM(budget=1.0),
    LeastLikelyClass(budget=1.0),
    Targeted(FGSM(budget=1.0), target=1),
    *(
        kind(budget=1.0, norm=norm, **settings)
        for norm in ("linf", "l2")
        for kind, settings in (
            (PGD, {}),
            (PGD, {"early_exit": True, "random_start": True, "restarts": 2}),
            (APGD, {}),
            (APGD, {"restarts": 2, "early_exit": False}),
            (FAB, {"restarts": 2}),
            (FMN, {"filed": True}),
            (UniformNoise, {}),
            (UniformNoise, {"draws": 2}),
        )
    ),
    RayS(budget=1.0),
    Square(budget=1.0),
    Through(PGD(budget=1.0), (Jpeg(75), Png())),
    Transfer(attack=APGD(budget=1.0), source=linear_detector(), name="another"),
    Expectation(APGD(budget=1.0)),
    Expectation(UniformNoise(budget=1.0, draws=2)),
]


@pytest.mark.parametrize("attack", EVERY, ids=repr)
def test_no_images_are_attacked_to_no_images(attack: Attack) -> None:
    some = levels(3, 4)
    for budget_of_each in (False, True):
        if budget_of_each and "budget" in {each.name for each in dataclasses.fields(attack)}:  # type: ignore[arg-type]
            attack = dataclasses.replace(attack, budget=torch.zeros(0))  # type: ignore[type-var]
        attacked = perturb(attack, linear_detector(), some[:0], torch.zeros(0).long())
        assert attacked.shape == some[:0].shape
        assert attacked.dtype == some.dtype


@pytest.mark.parametrize("attack", EVERY, ids=repr)
def test_labels_of_any_integer_type_and_a_caller_without_gradients_change_nothing(
    attack: Attack,
) -> None:
    some, labels = levels(3, 4), torch.tensor([0, 1, 1])
    expected = perturb(attack, linear_detector(), some, labels)
    with torch.no_grad():
        for kind in (torch.int32, torch.uint8):
            found = perturb(attack, linear_detector(), some, labels.to(kind))
            assert torch.equal(found, expected)
    detector = linear_detector()
    with torch.inference_mode():
        assert torch.equal(perturb(attack, detector, some.clone(), labels.clone()), expected)


def test_every_attack_is_among_those_that_are_given_no_images() -> None:
    kinds = {each for each in vars(attacks).values() if isinstance(each, type)}
    found = {each for each in kinds if dataclasses.is_dataclass(each) and "__call__" in vars(each)}
    assert {type(attack) for attack in EVERY} == found


def test_the_settings_of_an_attack_are_its_name_and_cannot_be_changed() -> None:
    attack = FGSM(budget=2.0)
    assert repr(attack) == "FGSM(budget=2.0, loss='cross_entropy', batch_statistics=False)"
    assert isinstance(attack, Attack)
    with pytest.raises(dataclasses.FrozenInstanceError):
        attack.budget = 3.0  # type: ignore[misc]


class Plain(nn.Module):
    """Somebody's network, in train mode: levels to logits of three classes, and nothing else."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.first = nn.Sequential(nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU())
        self.last = nn.Linear(6, 3)

    def forward(self, images: Tensor) -> Tensor:
        return self.last(self.first(images / 255).mean((2, 3)))


@pytest.mark.parametrize(
    "attack",
    [
        *(each(budget=2.0) for each in ATTACKS),
        APGD(budget=2.0, steps=5),
        FAB(budget=2.0, steps=5),
        FMN(budget=2.0, steps=5),
        Square(budget=2.0, queries=10),
        RayS(budget=2.0, queries=10),
        UniformNoise(budget=2.0),
        Targeted(PGD(budget=2.0, steps=3), target=2),
        Through(PGD(budget=2.0, steps=3), (Jpeg(quality=75),)),
        Expectation(PGD(budget=2.0, steps=3), draws=2),
        Transfer(attack=FGSM(budget=2.0), source=Plain(), name="own"),
    ],
    ids=lambda attack: type(attack).__name__,
)
def test_any_module_from_levels_to_logits_is_attacked_as_a_detector_of_it_is(
    attack: Attack,
) -> None:
    images, labels = levels(4, 16).round(), torch.tensor([0, 1, 2, 0])
    plain, wrapped = Plain(), Detector(Plain(), classes=("a", "b", "c"))
    found = perturb(attack, plain, images, labels)
    # Folded batch normalisation is the same function up to rounding.
    torch.testing.assert_close(found, perturb(attack, wrapped, images, labels), rtol=0, atol=0.05)
    assert plain.training
    assert all(p.requires_grad and p.grad is None for p in plain.parameters())


def test_a_target_that_a_module_does_not_tell_apart_is_refused() -> None:
    with pytest.raises(ValueError, match="target 3 is not one of the detector's 3 classes"):
        Targeted(FGSM(budget=1.0), target=3)(Plain(), levels(1, 16), torch.tensor([0]))


@pytest.mark.parametrize(
    ("labels", "found"),
    [
        (torch.tensor([0, 2, 1]), "labels must be between 0 and 1, got 2"),
        (torch.tensor([0, -1, 1]), "labels must be between 0 and 1, got -1"),
        (torch.tensor([0.0, 1.0, 1.0]), "integer class numbers, got torch.float32"),
    ],
)
def test_labels_that_are_no_classes_are_a_sentence(labels: Tensor, found: str) -> None:
    detector, images = linear_detector(), levels(3, 4)
    for target in (detector, detector.network):  # one says its classes, the other is asked
        with pytest.raises(ValueError, match=found):
            perturb(FGSM(budget=1.0), target, images, labels)
