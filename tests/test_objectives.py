"""Defences as objectives: against closed forms, by hand, and against finite differences."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from conftest import levels, linear_detector
from pydantic import ValidationError
from torch import Tensor, nn

from trueshot.attacks import PGD, image_gradient, perturb
from trueshot.bundle import load_bundle
from trueshot.datasets import Dataset
from trueshot.detector import Detector
from trueshot.networks import LCNN, SpectralNetwork
from trueshot.networks.front_ends import FRONT_ENDS
from trueshot.networks.lcnn import LCNNSettings
from trueshot.networks.spectral import SpectralSettings
from trueshot.training import Recipe, steps, train
from trueshot.training.adversaries import fused, n_fgsm
from trueshot.training.checkpoints import Progress
from trueshot.training.distributed import Processes
from trueshot.training.losses import (
    boosted_cross_entropy,
    divergence,
    gradient_norms,
    input_gradient,
    misalignment,
    uniform,
)
from trueshot.training.objective_settings import (
    Alignment,
    Fusion,
    Objective,
    Penalty,
    WeightPerturbation,
)
from trueshot.training.objectives import differentiate, objective_value
from trueshot.training.recipe import Schedule
from trueshot.training.steps import State, begin, draw_budgets, gradients, keep

LABELS = torch.arange(6) % 2
ONES = torch.ones(3, dtype=torch.float64)
CPU = torch.device("cpu")


def doubles(count: int = 6, side: int = 4) -> Tensor:
    return 100 + levels(count, side).double() / 5


def small(objective: Objective, iterations: int = 6, averaging: float = 0.0) -> Recipe:
    return Recipe(
        name="small",
        network=LCNNSettings(filters=(2, 2, 4, 4, 4)),
        objective=objective,
        schedule=Schedule(iterations=iterations, batch=8, learning_rate=1e-2, averaging=averaging),
    )


def test_the_divergence_is_that_of_two_coins() -> None:
    clean, attacked = torch.tensor([[0.0, 1.0]]), torch.tensor([[2.0, -1.0]])
    p, q = clean.softmax(1), attacked.softmax(1)
    torch.testing.assert_close(divergence(clean, attacked), (p * (p / q).log()).sum(1))
    assert divergence(clean, clean).item() == 0


def test_with_two_classes_the_boosted_cross_entropy_is_twice_the_plain_one() -> None:
    logits = torch.randn(6, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    plain = nn.functional.cross_entropy(logits, LABELS, reduction="none")
    torch.testing.assert_close(boosted_cross_entropy(logits, LABELS), 2 * plain)


def test_the_boosted_cross_entropy_is_the_published_one_with_more_classes() -> None:
    logits = torch.randn(6, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    p = logits.softmax(1)
    others = p.scatter(1, LABELS[:, None], 0.0).amax(1)
    expected = -p.gather(1, LABELS[:, None]).squeeze(1).log() - (1 - others).log()
    torch.testing.assert_close(boosted_cross_entropy(logits, LABELS), expected)


def test_trades_adds_the_weighted_divergence_to_the_cross_entropy_of_all_clean_images() -> None:
    detector, images = linear_detector().double(), doubles()
    fusion = Fusion(adversarial=3, weight=4.0, attack="pgd", loss="trades")
    value = objective_value(Objective(fusion=fusion), detector, images, LABELS, ONES)
    predicted = detector(images[:3]).argmax(1)
    attack = PGD(budget=ONES, steps=3, relative_step=0.5)
    attacked = perturb(attack, detector, images[:3], predicted)
    clean = nn.functional.cross_entropy(detector(images), LABELS, reduction="none")
    apart = divergence(detector(images[:3]), detector(attacked))
    torch.testing.assert_close(value.loss, (clean.sum() + 4 * apart.sum()) / 6)
    torch.testing.assert_close(value.parts["regularisation"], apart.mean().detach())


def test_mart_weighs_the_divergence_by_what_is_misclassified_and_asks_no_more_of_the_twins() -> (
    None
):
    detector, images = linear_detector().double(), doubles()
    fusion = Fusion(adversarial=3, weight=5.0, attack="pgd", loss="mart")
    value = objective_value(Objective(fusion=fusion), detector, images, LABELS, ONES)
    attack = PGD(budget=ONES, steps=3, relative_step=0.5)
    attacked = detector(perturb(attack, detector, images[:3], LABELS[:3]))
    clean = detector(images)
    wrong = 1 - clean[:3].softmax(1).gather(1, LABELS[:3, None]).squeeze(1)
    mart = boosted_cross_entropy(attacked, LABELS[:3]) + 5 * divergence(clean[:3], attacked) * wrong
    rest = nn.functional.cross_entropy(clean[3:], LABELS[3:], reduction="none")
    torch.testing.assert_close(value.loss, (mart.sum() + rest.sum()) / 6)


@pytest.mark.parametrize("loss", ["trades", "mart"])
def test_shares_of_a_minibatch_with_twins_add_up_to_it(loss: str) -> None:
    fusion = Fusion(adversarial=2, attack="pgd", loss=loss)
    objective = Objective(fusion=fusion, penalty=Penalty(weight=2.0))
    detector, images = linear_detector().double(), doubles()
    budgets = torch.tensor([1.0, 2.0], dtype=torch.float64)
    whole = objective_value(objective, detector, images, LABELS, budgets)
    shares = [
        objective_value(objective, detector, images[rows], LABELS[rows], budgets[[i]], batch=6)
        for i, rows in enumerate(([0, 2, 3], [1, 4, 5]))
    ]
    torch.testing.assert_close(shares[0].loss + shares[1].loss, whole.loss)
    for name, part in whole.parts.items():
        torch.testing.assert_close(shares[0].parts[name] + shares[1].parts[name], part)


def test_the_penalty_in_the_1_norm_is_the_sum_of_absolute_slopes() -> None:
    detector, images = linear_detector().double(), doubles()
    leaves = images.clone().requires_grad_(True)
    losses = nn.functional.cross_entropy(detector(leaves), LABELS, reduction="none")
    wrong = detector(images).softmax(1).gather(1, 1 - LABELS[:, None]).squeeze(1)
    weight = detector.network.weight
    expected = wrong * (weight[1] - weight[0]).abs().sum()
    gradient = input_gradient(losses, leaves)
    torch.testing.assert_close(gradient_norms(gradient, norm="l1"), expected)
    torch.testing.assert_close(gradient_norms(gradient, norm="l1", squared=True), expected.square())


def test_the_difference_is_near_the_exact_gradient() -> None:
    found = {}
    for method in ("exact", "difference"):
        detector = linear_detector().double()
        penalty = Penalty(weight=3.0, method=method, step=1e-4, reference_side=None)
        differentiate(Objective(penalty=penalty), detector, doubles(), LABELS, None)
        found[method] = detector.network.weight.grad
    torch.testing.assert_close(found["difference"], found["exact"], rtol=1e-3, atol=1e-4)


def test_the_1_norm_has_one_lambda_at_every_size() -> None:
    penalty = Penalty(weight=2.0, norm="l1")
    assert penalty.weight_at(64) == penalty.weight_at(256) == 2.0


def test_lambda_of_the_square_grows_with_the_square_of_the_side() -> None:
    penalty = Penalty(weight=2.0, squared=True)
    assert [penalty.weight_at(side) for side in (32, 64, 256)] == [0.5, 2.0, 32.0]
    assert Penalty(weight=2.0, squared=True, reference_side=None).weight_at(256) == 2.0
    assert Penalty(weight=2.0, squared=True, norm="l1").weight_at(256) == 2.0


def test_n_fgsm_steps_from_noise_and_is_not_drawn_back_into_the_budget() -> None:
    detector, images = linear_detector().double(), doubles()
    budgets = torch.full((6,), 2.0, dtype=torch.float64)
    attacked = n_fgsm(detector, images, LABELS, budgets, seed=5)
    noisy = images + uniform(images, 2 * budgets, 5)
    step = image_gradient(detector, noisy, LABELS).sign()
    torch.testing.assert_close(attacked, noisy + 2 * step)
    far = (attacked - images).abs().amax((1, 2, 3))
    assert ((far > 4.0) & (far <= 6.0)).all()


def test_noise_is_that_of_the_image_and_of_the_step() -> None:
    images = doubles()
    noise = uniform(images, 3.0, seed=1)
    torch.testing.assert_close(uniform(images[2:4], 3.0, seed=1), noise[2:4])
    assert not torch.equal(uniform(images, 3.0, seed=2), noise)
    assert 2.5 < noise.abs().amax() <= 3.0


def test_gradients_of_a_linear_detector_are_aligned_everywhere() -> None:
    detector, images = linear_detector().double(), doubles()
    leaves = images.clone().requires_grad_(True)
    losses = nn.functional.cross_entropy(detector(leaves), LABELS, reduction="none")
    gradient = input_gradient(losses, leaves)
    off = misalignment(Alignment(), detector, images, LABELS, gradient, seed=0)
    torch.testing.assert_close(off, torch.zeros(6, dtype=torch.float64))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("sure", [10.0, 25.0])
def test_gradients_of_a_sure_linear_detector_are_aligned_too(
    sure: float, dtype: torch.dtype
) -> None:
    detector, images = linear_detector(scale=1e-4).to(dtype), doubles().to(dtype)
    labels = torch.zeros_like(LABELS)
    with torch.no_grad():
        detector.network.bias.copy_(torch.tensor([sure, -sure]))
    leaves = images.clone().requires_grad_(True)
    losses = nn.functional.cross_entropy(detector(leaves), labels, reduction="none")
    gradient = input_gradient(losses, leaves)
    assert (gradient.detach().flatten(1).norm(dim=1) < 1e-11).all()
    off = misalignment(Alignment(), detector, images, labels, gradient, seed=0)
    torch.testing.assert_close(off, torch.zeros(6, dtype=dtype), rtol=0, atol=1e-6)


def test_where_there_is_no_gradient_nothing_is_misaligned_and_no_weight_is_broken() -> None:
    detector, images = linear_detector(), doubles().float()
    labels = torch.zeros_like(LABELS)
    with torch.no_grad():
        detector.network.bias.copy_(torch.tensor([1e3, -1e3]))
    value = objective_value(Objective(alignment=Alignment()), detector, images, labels, None)
    assert value.parts["misalignment"] == 0
    value.loss.backward()
    assert torch.isfinite(detector.network.weight.grad).all()


def _aligned(kind: str) -> Detector:
    torch.manual_seed(0)
    if kind == "spectral":
        return Detector(SpectralNetwork(window=16, filters=(2, 2))).double().train()
    return Detector(LCNN(filters=(2, 2, 2, 2, 2), front=kind)).double().train()


@pytest.mark.parametrize("kind", [*FRONT_ENDS, "spectral"])
def test_alignment_is_one_minus_the_cosine_and_its_gradient_that_of_finite_differences(
    kind: str,
) -> None:
    detector, images = _aligned(kind), doubles(4, 16)
    labels = LABELS[:4]
    objective = Objective(alignment=Alignment(weight=3.0, budget=8.0))
    value = objective_value(objective, detector, images, labels, None, seed=1)
    value.loss.backward()
    weights = next(each for each in detector.parameters() if each.ndim == 4)
    assert weights.grad is not None
    assert 0.01 < value.parts["misalignment"] < 2
    step, shifted = 1e-5, []
    for sign in (1, -1):
        with torch.no_grad():
            weights[0, 0, 1, 1] += sign * step
        shifted.append(objective_value(objective, detector, images, labels, None, seed=1).loss)
        with torch.no_grad():
            weights[0, 0, 1, 1] -= sign * step
    slope = (shifted[0] - shifted[1]) / (2 * step)
    torch.testing.assert_close(weights.grad[0, 0, 1, 1], slope, rtol=1e-3, atol=1e-7)


@pytest.mark.parametrize("front", FRONT_ENDS)
def test_penalty_and_fusion_go_with_every_front_end_as_autograd_of_pytorch_has_it(
    front: str,
) -> None:
    torch.manual_seed(0)
    detector = Detector(LCNN(filters=(2, 2, 2, 2, 2), front=front)).double().train()
    images = doubles(6, 16)
    objective = Objective(fusion=Fusion(adversarial=3, weight=0.5), penalty=Penalty(weight=4.0))
    budgets = torch.full((3,), 1.0, dtype=torch.float64)
    attacked = fused(objective.fusion, detector, images, LABELS, budgets)
    differentiate(objective, detector, images, LABELS, budgets)
    for parameter in detector.parameters():
        if parameter.ndim == 4:
            at = tuple(0 for _ in parameter.shape)
            slopes = []
            for step in (1e-7, -1e-7):
                with torch.no_grad():
                    parameter[at] += step
                slopes.append(_by_hand(detector, attacked) / 2e-7)
                with torch.no_grad():
                    parameter[at] -= step
            torch.testing.assert_close(
                parameter.grad[at], slopes[0] - slopes[1], rtol=1e-4, atol=1e-8
            )


def _by_hand(detector: Detector, images: Tensor) -> Tensor:
    leaves = images.clone().requires_grad_(True)
    losses = nn.functional.cross_entropy(detector(leaves), LABELS, reduction="none")
    (gradient,) = torch.autograd.grad(losses[3:].sum(), leaves)
    norms = gradient[3:].flatten(1).norm(dim=1)
    weight = 4.0 * 16 / 64
    return (0.5 * losses[:3].sum() + (losses[3:] + weight * norms).sum()).detach() / 6


def test_the_gradients_that_are_aligned_have_the_same_dropout_masks() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(48, 2))
    detector = Detector(network, scale=255.0).double().train()
    objective = Objective(alignment=Alignment())
    parts = differentiate(objective, detector, doubles(), LABELS, None)
    assert parts["misalignment"] < 1e-6  # the gradients of a linear network are parallel


def test_so_have_they_where_attacked_images_are_judged_along() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(48, 2))
    detector = Detector(network, scale=255.0).double().train()
    objective = Objective(alignment=Alignment(), fusion=Fusion(adversarial=2))
    budgets = torch.full((2,), 1.0, dtype=torch.float64)
    parts = differentiate(objective, detector, doubles(), LABELS, budgets)
    assert parts["misalignment"] < 1e-6


def test_next_to_an_image_the_gradient_is_that_of_the_image_among_attacked_ones_too() -> None:
    objective = Objective(alignment=Alignment(budget=1e-6), fusion=Fusion(adversarial=2))
    budgets = torch.full((2,), 30.0, dtype=torch.float64)
    parts = differentiate(objective, _aligned("none"), doubles(6, 16), LABELS, budgets)
    assert parts["misalignment"] < 1e-6  # batch statistics are those of all images


def test_dropout_masks_are_those_of_the_step_the_seed_and_the_process() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(48, 2))
    detector = Detector(network).double().train()
    objective = Objective(weight_perturbation=WeightPerturbation())
    masks: list[Tensor] = []
    network[1].register_forward_hook(lambda _, before, after: masks.append(after != 0))
    for seed, rank, step in ((0, 0, 0), (0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)):
        recipe = small(objective).model_copy(update={"seed": seed})
        optimizer = torch.optim.Adam([{"params": detector.parameters(), "factor": 1.0}])
        state = State(detector=detector, optimizer=optimizer, at=Progress(step=step))
        gradients(recipe, state, (doubles(), LABELS, None), Processes(rank=rank))
    firsts, seconds = masks[::2], masks[1::2]  # at the weights, and at the perturbed ones
    assert all(torch.equal(*pair) for pair in zip(firsts, seconds, strict=True))
    assert [torch.equal(firsts[0], mask) for mask in firsts[1:]] == [True, False, False, False]


def test_perturbed_weights_are_put_back_and_lie_up_the_gradient_by_the_radius(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = small(Objective(weight_perturbation=WeightPerturbation(radius=0.1)))
    state = begin(recipe, CPU, Processes(), None)
    seen: list[dict[str, Tensor]] = []
    original = steps.accumulate

    def watch(objective: Objective, detector: Detector, mixture: object) -> dict[str, Tensor]:
        seen.append({n: p.detach().clone() for n, p in detector.named_parameters()})
        return original(objective, detector, mixture)  # type: ignore[arg-type]

    monkeypatch.setattr(steps, "accumulate", watch)
    part = dataset.part(32, "train")
    images, labels = part.batch(slice(0, 8))
    gradients(recipe, state, (images, labels, None), Processes())
    before, moved = seen
    for name, parameter in state.detector.named_parameters():
        assert torch.equal(parameter.detach(), before[name]), name
        far = (moved[name] - before[name]).norm()
        wanted = 0.1 * before[name].norm() if parameter.ndim > 1 else torch.zeros(())
        torch.testing.assert_close(far, wanted, rtol=1e-3, atol=1e-6)


def test_the_kept_detector_is_the_running_mean_of_the_steps() -> None:
    recipe = small(Objective(), averaging=0.9)
    state = begin(recipe, CPU, Processes(), None)
    weights = state.detector.network.classifier.bias
    expected = weights.detach().clone()
    assert state.average is not None
    for step in range(40):
        with torch.no_grad():
            weights += 1.0
        keep(state.average, state.detector, state.at.step, 0.9)
        share = min(0.9, (step + 1) / (step + 10))
        expected = share * expected + (1 - share) * weights.detach()
        state.at.step += 1
    torch.testing.assert_close(state.average.network.classifier.bias.detach(), expected)
    assert isinstance(state, State)
    assert state.kept is state.average
    assert isinstance(state.at, Progress)


def test_a_run_with_an_average_ends_with_it_and_goes_on_where_it_was(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    objective = Objective(
        fusion=Fusion(adversarial=4, attack="n-fgsm", loss="trades", weight=2.0, warm_up=0.5),
        weight_perturbation=WeightPerturbation(),
    )
    recipe = small(objective, averaging=0.8)
    whole = train(recipe, dataset, tmp_path / "whole")
    last = train(small(objective), dataset, tmp_path / "last")
    assert whole.bundle.read_bytes() != last.bundle.read_bytes()

    class Stop(Exception):
        pass

    def stop(average: Detector, detector: Detector, step: int, share: float) -> None:
        keep(average, detector, step, share)
        if step == 3:
            raise Stop

    monkeypatch.setattr("trueshot.training.loop.keep", stop)
    with pytest.raises(Stop):
        train(recipe, dataset, tmp_path / "stopped", checkpoint_seconds=0)
    monkeypatch.undo()
    train(recipe, dataset, tmp_path / "stopped")
    ours, theirs = (
        load_bundle(tmp_path / n / "detector.safetensors")[0] for n in ("stopped", "whole")
    )
    for name, value in ours.state_dict().items():
        assert torch.equal(value, theirs.state_dict()[name]), name


def test_budgets_grow_over_the_warm_up() -> None:
    fusion = Fusion(adversarial=64, budget=(2.0, 2.0), warm_up=0.5)
    recipe = Recipe(
        name="a", objective=Objective(fusion=fusion), schedule=Schedule(iterations=100, batch=64)
    )
    found = [float(draw_budgets(recipe, step).max()) for step in (0, 24, 49, 99)]  # type: ignore[union-attr]
    assert found == pytest.approx([0.04, 1.0, 2.0, 2.0])


@pytest.mark.parametrize(
    "settings",
    [
        {"penalty": {"weight": 1, "method": "difference"}, "fusion": {"loss": "trades"}},
        {"penalty": {"weight": 1, "method": "difference"}, "alignment": {}},
        {"penalty": {"weight": 1, "method": "difference", "norm": "l1"}},
        {"fusion": {"attack": "pgd", "batch_norm": "batch"}},
        {"weight_perturbation": {"radius": 0}},
    ],
)
def test_parts_that_do_not_go_together_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Objective.model_validate(settings)


def test_a_spectral_recipe_trains_and_its_bundle_is_read_back(
    dataset: Dataset, tmp_path: Path
) -> None:
    network = SpectralSettings(name="spectral", window=16, filters=(4, 8))
    recipe = small(Objective(fusion=Fusion(adversarial=4, attack="pgd"))).model_copy(
        update={"network": network}
    )
    history = train(recipe, dataset, tmp_path)
    detector, card = load_bundle(history.bundle)
    assert card.network == network.model_dump(mode="json")
    images, _ = dataset.part(32, "test").batch(slice(0, 4))
    assert detector(images).shape == (4, 2)
