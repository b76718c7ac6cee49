"""The penalty and the objective of equations 5 to 7 against closed forms in float64."""

from __future__ import annotations

import pytest
import torch
from conftest import levels, linear_detector
from torch import Tensor, nn

from trueshot.attacks import FGSM, perturb
from trueshot.detector import Detector
from trueshot.networks import LCNN
from trueshot.training.adversaries import fused
from trueshot.training.losses import gradient_norms, input_gradient
from trueshot.training.objective_settings import Fusion, Objective, Penalty
from trueshot.training.objectives import differentiate, objective_value

LABELS = torch.arange(6) % 2


def doubles(count: int = 6, side: int = 4) -> Tensor:
    return levels(count, side).double()


def closed_form(detector: Detector, images: Tensor) -> Tensor:
    """‖∇J‖ of a linear two-class detector: probability of the wrong class times ‖w₁ - w₀‖."""
    wrong = detector(images).softmax(1).gather(1, 1 - LABELS[: len(images), None]).squeeze(1)
    weight = detector.network.weight
    return wrong * (weight[1] - weight[0]).norm()


def norms(detector: Detector, images: Tensor, squared: bool = False) -> Tensor:
    leaves = images.clone().requires_grad_(True)
    losses = nn.functional.cross_entropy(detector(leaves), LABELS[: len(images)], reduction="none")
    return gradient_norms(input_gradient(losses, leaves), squared=squared)


@pytest.mark.parametrize("squared", [False, True])
def test_the_gradient_norm_of_a_linear_detector_is_its_closed_form(squared: bool) -> None:
    detector = linear_detector().double()
    expected = closed_form(detector, doubles())
    torch.testing.assert_close(
        norms(detector, doubles(), squared), expected**2 if squared else expected
    )


def test_the_weights_gradient_of_the_penalty_is_that_of_the_closed_form() -> None:
    detector = linear_detector().double()
    parameters = list(detector.parameters())
    ours = torch.autograd.grad(norms(detector, doubles()).sum(), parameters)
    theirs = torch.autograd.grad(closed_form(detector, doubles()).sum(), parameters)
    torch.testing.assert_close(ours, theirs)


def test_the_penalty_of_an_lcnn_agrees_with_finite_differences() -> None:
    torch.manual_seed(0)
    detector = Detector(LCNN(filters=(2, 2, 2, 2, 2))).double().eval()
    images = doubles(2, 16)
    value = norms(detector, images)
    step = 1e-4
    shifted = []
    for index in torch.cartesian_prod(torch.arange(3), torch.arange(16), torch.arange(16)):
        change = torch.zeros_like(images)
        change[:, index[0], index[1], index[2]] = step
        up, down = (
            nn.functional.cross_entropy(detector(images + s * change), LABELS[:2], reduction="none")
            for s in (1, -1)
        )
        shifted.append((up - down) / (2 * step))
    torch.testing.assert_close(value, torch.stack(shifted).norm(dim=0), rtol=1e-5, atol=1e-10)


def test_a_gradient_of_zero_has_the_norm_zero_and_breaks_no_weight() -> None:
    weight = torch.zeros(4, dtype=torch.float64, requires_grad=True)
    value = gradient_norms((weight * 1.0).reshape(1, 1, 2, 2))
    value.sum().backward()
    assert value.item() == 0
    assert torch.equal(weight.grad, torch.zeros(4, dtype=torch.float64))


def value_of(objective: Objective, detector: Detector, budgets: Tensor | None = None) -> Tensor:
    return objective_value(objective, detector, doubles(), LABELS, budgets).loss


def test_without_a_defence_the_objective_is_mean_cross_entropy() -> None:
    detector = linear_detector().double()
    expected = nn.functional.cross_entropy(detector(doubles()), LABELS)
    torch.testing.assert_close(value_of(Objective(), detector), expected)


@pytest.mark.parametrize("squared", [False, True])
def test_equation_5_adds_lambda_times_the_norm_to_each_loss(squared: bool) -> None:
    detector = linear_detector().double()
    penalty = Penalty(weight=7.0, reference_side=None, squared=squared)
    extra = closed_form(detector, doubles()) ** (2 if squared else 1)
    expected = nn.functional.cross_entropy(detector(doubles()), LABELS) + 7 * extra.mean()
    torch.testing.assert_close(value_of(Objective(penalty=penalty), detector), expected)


def test_lambda_grows_with_the_side_of_the_images() -> None:
    assert Penalty(weight=2.0).weight_at(64) == 2.0
    assert Penalty(weight=2.0).weight_at(256) == 8.0
    assert Penalty(weight=2.0, reference_side=None).weight_at(256) == 2.0


@pytest.mark.parametrize("penalised", ["clean", "all"])
def test_equation_7_weighs_the_attacked_images_by_alpha(penalised: str) -> None:
    detector, images = linear_detector().double(), doubles()
    budgets = torch.tensor([1.0, 4.0])
    fused = torch.cat([perturb(FGSM(budget=budgets), detector, images[:2], LABELS[:2]), images[2:]])
    losses = nn.functional.cross_entropy(detector(fused), LABELS, reduction="none")
    extra = 3.0 * closed_form(detector, fused)
    if penalised == "clean":
        extra = torch.cat([torch.zeros(2, dtype=torch.float64), extra[2:]])
    weights = torch.tensor([0.2, 0.2, 1, 1, 1, 1], dtype=torch.float64)
    expected = (weights * (losses + extra)).sum() / 6
    objective = Objective(
        penalty=Penalty(weight=3.0, reference_side=None, images=penalised),
        fusion=Fusion(adversarial=2, weight=0.2),
    )
    torch.testing.assert_close(value_of(objective, detector, budgets), expected)


def test_the_attacked_images_are_constants_of_the_objective() -> None:
    detector = linear_detector().double()
    objective = Objective(fusion=Fusion(adversarial=6, weight=1.0))
    budgets = torch.full((6,), 2.0)
    value_of(objective, detector, budgets).backward()
    ours = detector.network.weight.grad.clone()
    attacked = perturb(FGSM(budget=2.0), detector, doubles(), LABELS)
    detector.zero_grad()
    nn.functional.cross_entropy(detector(attacked), LABELS).backward()
    torch.testing.assert_close(ours, detector.network.weight.grad)


def test_the_parts_are_means_over_the_images_that_they_name() -> None:
    detector = linear_detector().double()
    objective = Objective(
        penalty=Penalty(weight=1.0, reference_side=None), fusion=Fusion(adversarial=2)
    )
    parts = objective_value(objective, detector, doubles(), LABELS, torch.tensor([1.0, 1.0])).parts
    clean = nn.functional.cross_entropy(detector(doubles()[2:]), LABELS[2:])
    torch.testing.assert_close(parts["cross_entropy_clean"], clean.detach())
    torch.testing.assert_close(
        parts["gradient_norm"], closed_form(detector, doubles())[2:].mean().detach()
    )
    assert parts["cross_entropy_adversarial"] > 0


def test_the_parts_are_those_of_the_images_that_were_attacked_however_many() -> None:
    detector = linear_detector().double()
    objective = Objective(fusion=Fusion(adversarial=4))
    parts = objective_value(objective, detector, doubles(), LABELS, torch.tensor([1.0, 1.0])).parts
    clean = nn.functional.cross_entropy(detector(doubles()[2:]), LABELS[2:])
    torch.testing.assert_close(parts["cross_entropy_clean"], clean.detach())


def test_an_objective_where_all_images_are_attacked_has_no_clean_part() -> None:
    objective = Objective(penalty=Penalty(weight=1.0), fusion=Fusion(adversarial=6))
    value = objective_value(objective, linear_detector().double(), doubles(), LABELS, torch.ones(6))
    assert torch.isfinite(value.loss)
    assert "cross_entropy_clean" not in value.parts


def test_fusion_without_budgets_is_refused() -> None:
    with pytest.raises(ValueError, match="budgets"):
        value_of(Objective(fusion=Fusion(adversarial=2)), linear_detector().double())


def test_lambda_is_that_of_the_images_at_hand() -> None:
    detector = linear_detector().double()  # images of 4×4
    penalty = Penalty(weight=7.0, reference_side=8)
    extra = 7 * (4 / 8) * closed_form(detector, doubles()).mean()
    expected = nn.functional.cross_entropy(detector(doubles()), LABELS) + extra
    torch.testing.assert_close(value_of(Objective(penalty=penalty), detector), expected)


def test_the_batch_statistics_of_the_attack_are_those_asked_for() -> None:
    torch.manual_seed(0)
    detector = Detector(LCNN(filters=(2, 2, 2, 2, 2)))
    images = levels(6, 32)
    detector(images)
    budgets = torch.full((6,), 2.0)
    made = {}
    for batch_norm in ("running", "batch"):
        fusion = Fusion(adversarial=6, batch_norm=batch_norm)
        made[batch_norm] = fused(fusion, detector, images, LABELS, budgets)
        attack = FGSM(budget=2.0, batch_statistics=batch_norm == "batch")
        assert torch.equal(made[batch_norm], perturb(attack, detector, images, LABELS))
    assert not torch.equal(made["running"], made["batch"])


class Smooth(nn.Module):
    """A network without kinks, with batch normalisation: differences converge on it."""

    def __init__(self, dropout: float = 0.0) -> None:
        super().__init__()
        self.first = nn.Linear(48, 6)
        self.normalisation = nn.BatchNorm1d(6)
        self.dropout = nn.Dropout(dropout)
        self.second = nn.Linear(6, 2)

    def forward(self, images: Tensor) -> Tensor:
        features: Tensor = self.first(images.flatten(1) / 255)
        return self.second(self.dropout(self.normalisation(features).tanh()))


def smooth_detector(dropout: float = 0.0) -> Detector:
    torch.manual_seed(0)
    return Detector(Smooth(dropout)).double().train()


def gradient_of(objective: Objective, detector: Detector, budgets: Tensor | None) -> Tensor:
    detector.zero_grad(set_to_none=True)
    differentiate(objective, detector, doubles(), LABELS, budgets)
    return torch.cat([p.grad.flatten() for p in detector.parameters() if p.grad is not None])


def objective_with(
    images: str = "clean", fusion: Fusion | None = None, **settings: object
) -> Objective:
    penalty = Penalty(weight=3.0, reference_side=None, images=images, **settings)
    return Objective(penalty=penalty, fusion=fusion)


@pytest.mark.parametrize("dropout", [0.0, 0.3])
@pytest.mark.parametrize("images", ["clean", "all"])
def test_the_difference_approaches_the_exact_gradient_as_fast_as_its_step_shrinks(
    images: str, dropout: float
) -> None:
    # Without fusion, for batch normalisation gives attacked images a part in the direction.
    detector = smooth_detector(dropout)
    exact = gradient_of(objective_with(images), detector, None)
    plain = gradient_of(Objective(), detector, None)
    errors = []
    for step in (1.0, 0.5, 0.25):
        found = gradient_of(objective_with(images, method="difference", step=step), detector, None)
        errors.append(float((found - exact).norm() / (exact - plain).norm()))
    assert errors[0] < 0.1
    assert errors[1] / errors[0] == pytest.approx(0.5, abs=0.05)
    assert errors[2] / errors[1] == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize("images", ["clean", "all"])
def test_with_fusion_the_difference_penalises_the_images_that_it_should(images: str) -> None:
    fusion, budgets = Fusion(adversarial=2, weight=0.2), torch.tensor([1.0, 4.0])
    detector = linear_detector().double()
    exact = gradient_of(objective_with(images, fusion), detector, budgets)
    settings = {"method": "difference", "step": 1e-4}
    found = gradient_of(objective_with(images, fusion, **settings), detector, budgets)
    torch.testing.assert_close(found, exact, rtol=1e-5, atol=1e-7)
    other = gradient_of(objective_with("all", fusion), detector, budgets)
    if images == "clean":
        assert not torch.allclose(found, other, rtol=1e-3)


def test_the_difference_logs_the_parts_that_the_exact_penalty_has() -> None:
    fusion, budgets = Fusion(adversarial=2), torch.tensor([1.0, 4.0])
    detector = linear_detector().double()
    exact, found = (
        differentiate(
            objective_with(fusion=fusion, method=method), detector, doubles(), LABELS, budgets
        )
        for method in ("exact", "difference")
    )
    assert exact.keys() == found.keys()
    for name, value in exact.items():
        torch.testing.assert_close(found[name], value)


def test_batch_statistics_are_moved_once_by_either_method() -> None:
    moved = []
    for method in ("exact", "difference"):
        torch.manual_seed(0)
        detector = Detector(LCNN(filters=(2, 2, 2, 2, 2))).double().train()
        images = levels(6, 32).double()
        differentiate(objective_with(method=method), detector, images, LABELS, None)
        moved.append({name: buffer.clone() for name, buffer in detector.named_buffers()})
        assert int(moved[-1]["network.units.0.1.num_batches_tracked"]) == 1
    torch.testing.assert_close(*moved)


def test_gradients_are_added_to_those_that_are_there() -> None:
    for method in ("exact", "difference"):
        detector = smooth_detector()
        once = gradient_of(objective_with(method=method), detector, None)
        differentiate(objective_with(method=method), detector, doubles(), LABELS, None)
        twice = torch.cat([p.grad.flatten() for p in detector.parameters() if p.grad is not None])
        torch.testing.assert_close(twice, 2 * once)


def test_the_square_of_the_norm_is_not_to_be_had_by_a_difference() -> None:
    with pytest.raises(ValueError, match="squared"):
        Penalty(weight=1.0, squared=True, method="difference")


@pytest.mark.parametrize("method", ["exact", "difference"])
@pytest.mark.parametrize("penalised", ["clean", "all"])
def test_shares_of_a_minibatch_add_up_to_it(method: str, penalised: str) -> None:
    objective = objective_with(penalised, Fusion(adversarial=2), method=method)
    detector, budgets = linear_detector().double(), torch.tensor([1.0, 4.0])
    detector.zero_grad(set_to_none=True)
    whole = differentiate(objective, detector, doubles(), LABELS, budgets)
    expected = detector.network.weight.grad.clone()
    detector.zero_grad(set_to_none=True)
    parts = []
    for rows, own in (([0, 2], budgets[:1]), ([1, 3, 4, 5], budgets[1:])):
        parts.append(
            differentiate(objective, detector, doubles()[rows], LABELS[rows], own, batch=6)
        )
    torch.testing.assert_close(detector.network.weight.grad, expected)
    for name, value in whole.items():
        torch.testing.assert_close(sum(part[name] for part in parts), value)
