"""Certificates: attacked by chance and by gradient, reached, and a false one found out."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import levels
from torch import Tensor, nn

from trueshot.attacks import PGD, perturb
from trueshot.attacks.apgd import APGD
from trueshot.bundle import load_bundle, read_bundle, save_bundle
from trueshot.card import Card, InputContract
from trueshot.certificates import (
    Bounds,
    certified_radius,
    is_certifiable,
    linf_constants,
    taper,
    worst_change,
)
from trueshot.datasets import Dataset, Part
from trueshot.detector import Detector
from trueshot.evaluation.evaluate import evaluate
from trueshot.evaluation.result import EvaluationResult
from trueshot.evaluation.sanity_checks.outcomes import beaten_certificates
from trueshot.inference.crop_model import CropModel
from trueshot.inference.crops import grid_corners
from trueshot.inference.proof import ROUNDING
from trueshot.networks import LCNN, LipschitzNetwork

SIDE = 32
FREQUENCIES = [(0, 5), (3, 5), (13, 2), (4, 4), (8, 3), (2, 7), (12, 7)]


class Highest(nn.Module):
    """The highest amplitude of luma in one window, each by its exact constant: levels."""

    def __init__(self, share: float = 1.0, side: int = 16) -> None:
        super().__init__()
        weights = taper("hann", side)
        self.window = torch.from_numpy(np.outer(weights, weights))
        self.constants = torch.from_numpy(linf_constants(weights)) * share

    def forward(self, images: Tensor) -> Tensor:
        side = len(self.window)
        luma = (images[:, :, :side, :side] - 127.5).mean(1)
        amplitudes = torch.fft.rfft2(luma * self.window).abs() / self.constants
        return amplitudes[:, 2:-2, 2:].flatten(1).amax(1)


def lattices(count: int, side: int = SIDE, seed: int = 0) -> Tensor:
    """Noise with waves of many strengths, whole levels: (count, 3, side, side), float64."""
    random = torch.Generator().manual_seed(seed)
    noise = 127.5 + 6 * torch.randn(count, 3, side, side, generator=random)
    down, across, phase = torch.rand(3, count, 1, 1, 1, generator=random)
    steps = torch.arange(side)
    turns = (0.1 + 0.25 * down) * steps[:, None] + (0.1 + 0.25 * across) * steps + phase
    strength = torch.linspace(0, 40, count)[:, None, None, None]
    return (noise + strength * (2 * math.pi * turns).cos()).round().clamp(0, 255).double()


def waves(count: int) -> Tensor:
    """Noise with an upright wave of 5 periods in 16 pixels: (count, 3, 16, 16), float64."""
    noise = torch.randn(count, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    strength = torch.linspace(5, 30, count)[:, None, None, None]
    wave = (2 * math.pi * 5 * torch.arange(16) / 16).cos()
    return (127.5 + noise + strength * wave).double()


def lipschitz(units: tuple[int, ...] = (16, 16), seed: int = 0, spread: float = 1.0) -> Detector:
    """With weights at random, and a threshold that half of the lattices are above."""
    torch.manual_seed(seed)
    network = LipschitzNetwork(16, 0.1, 3, 2, units).double()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(spread).add_(0.3 * torch.randn_like(parameter))
        network.threshold.zero_()
        score = network(lattices(24))[:, 1]
        network.threshold.copy_(score.median() + 1e-3)
    return Detector(network).eval()


def square_wave() -> Tensor:
    """The change by one level that one amplitude moves most by, shape (16, 16)."""
    return torch.from_numpy(worst_change(taper("hann", 16), 0, 5))


def aimed_at_a_wave() -> Detector:
    """Features weighed as those of a square wave: then almost all of the bound can be reached."""
    network = LipschitzNetwork(16, 0.1, 3, 2, ()).double()
    with torch.no_grad():
        image = (127.5 + 10 * square_wave()).expand(1, 3, 16, 16)
        network.weight.copy_(network.features(image)[0])
        network.threshold.fill_(12.0)
    return Detector(network).eval()


def moved(score: nn.Module, images: Tensor, radius: Tensor, norm: str, seed: int) -> Tensor:
    """Attack within a radius for each image, from a random start: the attacked images."""
    random = torch.Generator().manual_seed(seed)
    towards = -torch.sign(score(images).detach())
    radius = radius.reshape(-1, 1, 1, 1)
    start = torch.randn(images.shape, generator=random, dtype=images.dtype)
    change = _steepest(start, norm) * radius
    for step in range(10):
        change = change.detach().requires_grad_()
        (gradient,) = torch.autograd.grad((score(images + change) * towards).sum(), change)
        length = radius * (1.0 if step == 0 else 2.0 / (step + 1))
        change = change.detach() + length * _steepest(gradient, norm)
        change = _within(change, radius, norm)
    return images + change


def _steepest(gradient: Tensor, norm: str) -> Tensor:
    if norm == "linf":
        return gradient.sign()
    return gradient / gradient.flatten(1).norm(dim=1).clamp(min=1e-12)[:, None, None, None]


def _within(change: Tensor, radius: Tensor, norm: str) -> Tensor:
    if norm == "linf":
        return torch.maximum(torch.minimum(change, radius), -radius)
    length = change.flatten(1).norm(dim=1).clamp(min=1e-12)[:, None, None, None]
    return change * (radius / length).clamp(max=1)


def turned(score: nn.Module, images: Tensor, radius: Tensor, norm: str, tries: int = 3) -> int:
    """Verdicts that any of so many attacks on each image turns."""
    before = score(images) >= 0
    broken = torch.zeros_like(before)
    for seed in range(tries):
        attacked = moved(score, images, radius, norm, seed)
        broken |= (score(attacked) >= 0) != before
    return int(broken.sum())


class Score(nn.Module):
    """Of a detector, above 0 for recaptured."""

    def __init__(self, detector: nn.Module) -> None:
        super().__init__()
        self.detector = detector

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.detector(images)
        return logits[:, 1] - logits[:, 0]


class Above(nn.Module):
    """A statistic above a threshold."""

    def __init__(self, statistic: nn.Module, threshold: float) -> None:
        super().__init__()
        self.statistic, self.threshold = statistic, threshold

    def forward(self, images: Tensor) -> Tensor:
        above: Tensor = self.statistic(images) - self.threshold
        return above


@pytest.mark.parametrize("name", ["box", "hann", "sine"])
def test_constants_are_those_of_the_worst_phase(name: str) -> None:
    side, phases = 16, np.linspace(0, math.pi, 1441)
    weights = taper(name, side)
    window = np.outer(weights, weights)
    y, x = np.mgrid[:side, :side]
    for down, across in FREQUENCIES:
        angles = 2 * math.pi * (down * y + across * x) / side
        waves = window * np.cos(angles - phases[:, None, None])
        expected = np.abs(waves).sum((1, 2)).max()
        assert linf_constants(weights)[down, across] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("name", ["box", "hann", "sine"])
def test_a_change_of_one_level_reaches_the_constant_of_its_frequency(name: str) -> None:
    weights = taper(name, 16)
    window = np.outer(weights, weights)
    for down, across in FREQUENCIES:
        change = worst_change(weights, down, across)
        assert set(np.unique(change)) == {-1.0, 1.0}
        reached = abs(np.fft.rfft2(window * change)[down, across])
        assert reached == pytest.approx(linf_constants(weights)[down, across], rel=1e-12)


def test_the_constant_of_most_frequencies_is_that_of_a_square_wave() -> None:
    shares = linf_constants(taper("hann", 64)) / taper("hann", 64).sum() ** 2
    assert np.median(shares) == pytest.approx(2 / math.pi, rel=0.01)
    assert shares[0, 0] == pytest.approx(1)  # a constant has one phase


def test_bounds_hold_for_all_that_lies_between_them() -> None:
    torch.manual_seed(0)
    amplitudes, weights = 20 * torch.rand(30, dtype=torch.float64), torch.randn(8, 30).double()

    def head(values: Tensor) -> Tensor:
        hidden = ((values / 4).square().log1p() @ weights.T - 1).relu()
        return hidden.sort(-1).values[..., -3:].mean(-1)

    bounds = Bounds.around(amplitudes, 2.0, least=0.0)
    bounds = bounds.monotone(lambda a: (a / 4).square().log1p()).linear(weights, -1.0)
    bounds = bounds.monotone(lambda h: h.relu().sort(-1).values[..., -3:].mean(-1))
    inside = (amplitudes + 4 * torch.rand(5000, 30).double() - 2).clamp(min=0)
    ends = (amplitudes + 2 * torch.randn(5000, 30).double().sign()).clamp(min=0)
    for tried in (head(inside), head(ends)):
        assert bool((tried >= bounds.lower).all())
        assert bool((tried <= bounds.upper).all())
    with pytest.raises(ValueError, match="lower must not exceed upper"):
        Bounds(torch.ones(2), torch.zeros(2))


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("units", [(), (16,), (16, 16)])
def test_no_attack_within_the_certified_radius_turns_a_verdict(
    units: tuple[int, ...], norm: str
) -> None:
    detector, images = lipschitz(units), lattices(24)
    found = certified_radius(detector, images)
    assert 8 < int(found.recaptured.sum()) < 16
    radius = found.linf if norm == "linf" else found.l2
    assert turned(Score(detector), images, radius, norm) == 0
    random = torch.Generator().manual_seed(1)
    for _ in range(40):
        noise = torch.randn(images.shape, generator=random, dtype=torch.float64)
        change = _steepest(noise, norm) * radius[:, None, None, None]
        assert torch.equal(Score(detector)(images + change) >= 0, found.recaptured)


def test_nor_does_one_that_is_rounded_and_clipped() -> None:
    detector = lipschitz()
    images = lattices(24)
    images = (2 * (images - 127.5) + 127.5).round().clamp(0, 255)  # many levels at both ends
    found = certified_radius(detector, images)
    whole = found.linf.floor()
    assert float(whole.max()) > 3
    for seed in range(4):
        filed = moved(Score(detector), images, whole, "linf", seed).round().clamp(0, 255)
        assert bool(((filed - images).abs().flatten(1).amax(1) <= whole).all())
        assert torch.equal(Score(detector)(filed) >= 0, found.recaptured)


def test_an_exact_bound_holds_and_four_fifths_of_it_is_found_out() -> None:
    images = lattices(40, 16)
    for share, sound in ((1.0, True), (0.8, False)):
        statistic = Highest(share)
        threshold = float(statistic(images).median()) + 1e-6
        score = Above(statistic, threshold)
        radius = (score(images).abs() - ROUNDING).clamp(min=0)
        broken = turned(score, images, radius, "linf")
        assert (broken == 0) if sound else (broken > 8)


@pytest.mark.parametrize("recaptured", [False, True])
def test_a_square_wave_turns_a_verdict_within_a_tenth_above_its_radius(recaptured: bool) -> None:
    detector, wave = aimed_at_a_wave(), square_wave()
    image = (127.5 + (20.0 if recaptured else 5.0) * wave).expand(1, 3, 16, 16)
    found = certified_radius(detector, image)
    assert found.recaptured.item() is recaptured
    sign = -1.0 if recaptured else 1.0
    turning = sign * found.linf.item() / 0.9 * wave
    assert bool(certified_radius(detector, image + turning).recaptured) is not recaptured
    spared = sign * found.linf.item() * wave
    assert bool(certified_radius(detector, image + spared).recaptured) is recaptured


def test_a_false_radius_of_a_network_is_found_out() -> None:
    detector, images = aimed_at_a_wave(), waves(40)
    found = certified_radius(detector, images)
    assert turned(Score(detector), images, found.linf, "linf") == 0
    assert turned(Score(detector), images, found.linf / 0.8, "linf") > 10


@pytest.mark.parametrize("side", [16, 40, 57])
@pytest.mark.parametrize("spread", [0.1, 1.0, 30.0])
def test_a_score_moves_no_farther_than_the_image(side: int, spread: float) -> None:
    network = lipschitz(spread=spread).network
    assert isinstance(network, LipschitzNetwork)
    scale = network.amplitudes.l2_scale(side, side)
    first = levels(20, side).double()
    for share in (1e-3, 0.1, 1.0):
        change = share * (levels(20, side, 1).double() - 127.5)
        moved_by = (network(first + change) - network(first))[:, 1].abs()
        assert bool((moved_by <= change.abs().flatten(1).amax(1) + 1e-9).all())
        assert bool((moved_by <= change.flatten(1).norm(dim=1) / scale + 1e-9).all())


def test_single_precision_rounds_by_less_than_is_taken_off() -> None:
    detector = lipschitz()
    images = levels(20, SIDE)
    with torch.no_grad():
        exact = Score(detector)(images.double())
        single = Score(Detector(detector.network.float()))(images).double()
    assert float((exact - single).abs().max()) < ROUNDING / 5


def test_a_threshold_and_a_scale_are_counted() -> None:
    images = lattices(10)
    plain = certified_radius(lipschitz(), images)
    shifted = certified_radius(lipschitz(), images, threshold=0.5)
    torch.testing.assert_close(shifted.score, plain.score - 0.5)
    network = lipschitz().network
    scaled = certified_radius(Detector(network, scale=2.0), 2 * images.clamp(max=127))
    unscaled = certified_radius(Detector(network), images.clamp(max=127))
    torch.testing.assert_close(scaled.linf, 2 * unscaled.linf + ROUNDING, atol=ROUNDING, rtol=0)


def test_nothing_is_proven_of_other_networks() -> None:
    detector = Detector(LCNN())
    assert not is_certifiable(detector)
    assert is_certifiable(lipschitz())
    with pytest.raises(TypeError, match="LCNN: this network has no certified radii"):
        certified_radius(detector, levels(1, 64))


def test_the_strongest_attack_of_the_suite_leaves_what_is_proven() -> None:
    detector, images = Detector(lipschitz().network.float()).eval(), lattices(24).float()
    found = certified_radius(detector, images)
    labels = found.recaptured.long()
    for attack in (APGD(budget=found.linf, steps=20), PGD(budget=found.linf, steps=20)):
        attacked = perturb(attack, detector, images, labels)
        assert torch.equal(Score(detector)(attacked) >= 0, found.recaptured)
        assert float((attacked - images).abs().max()) > 1  # something was tried


def test_places_of_tiles_depend_on_the_size_alone_and_are_few() -> None:
    assert grid_corners(256, 256, 256, 64) == ((0, 0),)
    places = grid_corners(3000, 4000, 256, 64)
    assert 40 <= len(places) <= 64
    assert all(y % 8 == x % 8 == 0 for y, x in places)
    assert max(y for y, _ in places) > 3000 - 600
    assert grid_corners(255, 4000, 256, 64) == ()


def test_a_bundle_proves_what_the_detector_proves(tmp_path: Path) -> None:
    network = lipschitz().network.float()
    settings = {"name": "lipschitz", "window": 16, "rings": 3, "units": [16, 16]}
    card = Card(network=settings, contract=InputContract(side=SIDE, crops=4))
    save_bundle(tmp_path / "certified.safetensors", Detector(network).eval(), card)
    detector, _ = load_bundle(tmp_path / "certified.safetensors")
    found, wanted = (
        certified_radius(each, levels(8, SIDE)) for each in (detector, Detector(network))
    )
    assert torch.equal(found.linf, wanted.linf)
    pixels = levels(8, SIDE).permute(0, 2, 3, 1).numpy().astype(np.uint8)
    graph = CropModel.of(read_bundle(tmp_path / "certified.safetensors"), "certified")
    np.testing.assert_allclose(graph(pixels), wanted.score.numpy(), atol=ROUNDING / 5)


class Overrated(LipschitzNetwork):
    """Says a score that moves a hundred times as far as its proof takes for granted."""

    def forward(self, images: Tensor) -> Tensor:
        return 100 * super().forward(images)


def test_an_evaluation_tells_what_is_proven_and_doubts_what_is_not(dataset: Dataset) -> None:
    outcomes = []
    for kind in (LipschitzNetwork, Overrated):
        torch.manual_seed(0)
        detector = Detector(kind(16, 0.1, 3, 2, ())).eval()
        with torch.no_grad():
            part = dataset.part(dataset.only_side(), "test")
            images, labels = part.batch(slice(None))
            features = detector.network.features(images)
            first, other = (features[labels == label].mean(0) for label in (0, 1))
            detector.network.weight.copy_(other - first)
            direction = (other - first) / (other - first).norm()
            detector.network.threshold.copy_((first + other) @ direction / 2)
        attacks = {("apgd", budget): APGD(budget=budget, steps=10) for budget in (1.0, 8.0)}
        found = evaluate(detector, dataset, attacks)
        assert EvaluationResult.from_json(found.to_json()) == found
        outcomes.append(found)
    sound, false = outcomes
    clean, proven = sound.certified(0.0), sound.certified(1.0)
    assert clean is not None
    assert proven is not None
    assert clean.right == sound.worst_case("linf", 0.0).right
    assert max(sound.certified_radii) > 0.1
    assert sum(proven.right) <= sum(sound.worst_case("linf", 1.0).right)
    assert beaten_certificates(sound) == []
    assert [each.name for each in beaten_certificates(false)] == ["attack-beats-certificate"]


def test_the_radius_of_each_image_is_computed_on_the_device_of_the_run(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    detector = Detector(LipschitzNetwork(16, 0.1, 3, 2, ())).eval()
    images, labels = dataset.part(dataset.only_side(), "test").batch(slice(None))
    batch = Part.batch
    monkeypatch.setattr(Part, "batch", lambda part, places, device: batch(part, places, device))
    radii = torch.tensor(evaluate(detector, dataset, {}, batch=7).certified_radii)
    found = certified_radius(detector, images)
    right = found.recaptured == (labels == 1)
    assert 0 < int(right.sum()) < len(right)
    assert bool((radii[~right] == -1).all())
    assert torch.allclose(radii[right], found.linf[right].float() - 0.005, rtol=0, atol=0.0051)


@pytest.mark.parametrize(
    "wrong", [{"classes": 3}, {"window": 16, "rings": 20}, {"window": 16, "highest": 9}]
)
def test_a_network_that_cannot_be_built_is_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=r"classes must be 2|rings are too many"):
        LipschitzNetwork(**wrong)
