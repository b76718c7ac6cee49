"""Planted frauds are caught, each by the right doubt; honest detectors raise none."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import product
from pathlib import Path

import frauds
import numpy as np
import pytest
import torch
from frauds import fraud, honest, wave_images
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from trueshot.attacks import PGD
from trueshot.attacks.transfer import Transfer
from trueshot.detector import Detector
from trueshot.evaluation.doubt import MEANINGS, Doubt
from trueshot.evaluation.doubts import FEWEST, doubts_of, investigate
from trueshot.evaluation.result import EvaluationResult
from trueshot.evaluation.sanity_checks.behaviour import behaviour_of
from trueshot.evaluation.sanity_checks.gradients import gives_gradient, slopes_of
from trueshot.evaluation.sanity_checks.outcomes import compared, outcomes_of_panel
from trueshot.evaluation.sanity_checks.panel import GRADIENT, Broken, Panel
from trueshot.evaluation.sanity_checks.significance import LEVEL, Difference, at_least, more_than
from trueshot.evaluation.tally import Trial, WorstCase

PAGES = Path(__file__).resolve().parent.parent / "docs" / "doubts"
IMAGES = 32


def raised(doubts: tuple[Doubt, ...]) -> set[str]:
    return {doubt.name for doubt in doubts}


def names_for(trick: type[nn.Module], *arguments: object, **given: float) -> set[str]:
    """Doubts about a fraud, at one budget, on few images."""
    amplitude = given.get("amplitude", 1.5)
    images, labels = wave_images(IMAGES, amplitude, mistaken=given.get("mistaken", 0.0))
    detector = fraud(trick, *arguments, amplitude=amplitude)
    return raised(investigate(detector, images, labels, budgets=(given.get("budget", 5.0),)))


@pytest.mark.parametrize(
    ("trick", "names"),
    [
        (frauds.Quantised, {"zero-gradients", "flat-logits", "black-box-beats-white-box"}),
        (frauds.QuantisedBehindABack, {"zero-gradients", "flat-logits"}),
        (frauds.Saturated, {"zero-gradients"}),
        (frauds.ClampedProbabilities, {"zero-gradients", "flat-logits"}),
        (frauds.Probabilities, {"outputs-are-probabilities"}),
        (frauds.OfOneMind, {"one-verdict-for-all"}),
        (frauds.Shattered, {"gradient-turns-at-neighbours", "black-box-beats-white-box"}),
        (frauds.Staircase, {"zero-gradients", "large-budget-does-not-reach-chance"}),
        (frauds.Dithered, {"no-gradients"}),
        (frauds.Noisy, {"random-detector"}),
        (frauds.NoisyByItself, {"random-detector"}),
        (frauds.NoisyByPlace, {"train-mode-statistics"}),
        (frauds.NeverEvaluating, {"train-mode-statistics"}),
        (frauds.OfTheBatch, {"train-mode-statistics"}),
        (frauds.Remembering, {"train-mode-statistics"}),
        (frauds.Cropping, {"silent-resizing"}),
        (frauds.Plateau, {"zero-gradients", "flat-logits", "black-box-beats-white-box"}),
        (frauds.LeakyPlateau, {"black-box-beats-white-box"}),
        (frauds.Rippled, {"gradient-misleads", "large-budget-does-not-reach-chance"}),
        (frauds.NarrowGate, {"more-iterations-still-help"}),
        (frauds.OnlyWhenWatched, {"differs-under-gradient", "black-box-beats-white-box"}),
        (frauds.Detached, {"no-gradients"}),
        (frauds.NoNumbers, {"no-finite-numbers", "black-box-beats-white-box"}),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else "",
)
def test_a_fraud_is_caught_by_the_right_doubts(trick: type[nn.Module], names: set[str]) -> None:
    assert names <= names_for(trick)


def test_a_detector_without_numbers_is_not_called_random_or_of_its_batch() -> None:
    images, labels = wave_images(8, 5.0)
    images[:3, :, 0, 0] = 200
    images[3:, :, 0, 0] = 0
    seen = behaviour_of(fraud(frauds.NoLogits, amplitude=5.0), images, labels)
    assert (seen.random, seen.random_from_one_seed, seen.differs_under_gradient) == (0, 0, 0)
    assert seen.company == 0
    assert behaviour_of(fraud(frauds.Noisy, amplitude=5.0), images, labels).random == 1


def test_what_learned_to_read_the_label_from_one_step_is_caught() -> None:
    images, labels = wave_images(IMAGES, 12.0, mistaken=0.4)
    doubts = investigate(
        fraud(frauds.LabelLeak, amplitude=12.0), images, labels, budgets=(1.0, 2.0)
    )
    assert {"accuracy-rises-with-budget", "attacked-above-clean"} <= raised(doubts)


def test_an_attack_that_no_file_holds_is_caught_and_so_is_the_step_that_a_file_does_hold() -> None:
    names = names_for(frauds.BetweenLevels, budget=2.0)
    assert {"attack-lost-by-rounding", "one-step-beats-iterative"} <= names


def test_a_gradient_that_is_masked_at_the_images_themselves_is_caught() -> None:
    names = names_for(frauds.MaskedAtImages, amplitude=0.7, budget=1.0)
    assert {"random-start-helps", "one-step-beats-iterative"} <= names


@pytest.mark.parametrize(
    ("small", "mode"),
    [
        (8, "nearest"),
        (5, "nearest"),
        (8, "area"),
        (8, "bilinear"),
        (8, "antialias"),
        (6, "bicubic"),
        (20, "bilinear"),
    ],
)
def test_a_detector_that_resizes_silently_is_caught(small: int, mode: str) -> None:
    assert "silent-resizing" in names_for(frauds.Resizing, small, mode)


def test_one_size_only_does_not_hide_the_pixels_that_are_dropped() -> None:
    class OneSize(frauds.Resizing):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            if images.shape[-1] != frauds.SIDE:
                raise ValueError("one size only")
            return super().forward(images)

    assert "silent-resizing" in names_for(OneSize, 8, "nearest")


@pytest.mark.parametrize("amplitude", [12.0, 1.5, 0.4])
def test_an_honest_linear_detector_raises_no_doubt_be_it_robust_or_weak(amplitude: float) -> None:
    assert investigate(honest(amplitude), *wave_images(64, amplitude)) == ()


@settings(max_examples=5, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    side=st.integers(4, 24),
    amplitude=st.floats(0.3, 30),
    mistaken=st.sampled_from([0.0, 0.1]),
)
def test_honest_linear_detectors_of_any_size_and_strength_raise_no_doubt(
    seed: int, side: int, amplitude: float, mistaken: float
) -> None:
    images, labels = wave_images(FEWEST + 20, amplitude, side, seed, mistaken)
    assert investigate(honest(amplitude, side), images, labels, budgets=(2.0,), seed=seed) == ()


def test_crops_of_few_photographs_are_few_images() -> None:
    images, labels = wave_images(64, 12.0)
    groups = [number // 8 for number in range(64)]
    (doubt,) = investigate(honest(12.0), images, labels, groups=groups)
    assert doubt.name == "too-few-images"
    assert doubt.evidence == {"right": 8.0}


def test_an_honest_network_trained_for_a_moment_raises_no_doubt() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 4, 5, stride=2), nn.Softplus(), nn.Flatten(), nn.Linear(4 * 36, 2)
    )
    detector = Detector(network, offset=128.0, scale=32.0)
    images, labels = wave_images(128, 6.0)
    optimiser = torch.optim.Adam(detector.parameters(), 0.01)
    for _ in range(60):
        optimiser.zero_grad()
        nn.functional.cross_entropy(detector(images), labels).backward()
        optimiser.step()
    assert float((detector(images).argmax(1) == labels).float().mean()) > 0.95
    assert investigate(detector, *wave_images(40, 6.0, seed=9), budgets=(3.0,)) == ()


def test_what_is_found_depends_on_the_seed_alone_and_leaves_everything_as_it_was() -> None:
    images, labels = wave_images(IMAGES, 1.5)
    detector = fraud(frauds.Noisy, amplitude=1.5).train()
    torch.manual_seed(1)
    state, before = torch.get_rng_state(), detector.state_dict()
    kept = {name: value.clone() for name, value in before.items()}
    first = investigate(detector, images, labels, budgets=(2.0,), seed=3)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(kept[name], value) for name, value in detector.state_dict().items())
    assert all(module.training for module in detector.modules())
    assert all(p.requires_grad and p.grad is None for p in detector.parameters())
    torch.manual_seed(2)
    assert investigate(detector, images, labels, budgets=(2.0,), seed=3) == first


def test_transfer_from_an_honest_surrogate_shows_what_a_masked_gradient_hides() -> None:
    images, labels = wave_images(IMAGES, 1.5)

    def transfer(budget: float) -> Transfer:
        return Transfer(attack=PGD(budget=budget), source=honest(1.5), name="honest")

    detector = fraud(frauds.Plateau, amplitude=1.5)
    (doubt,) = (
        doubt
        for doubt in investigate(detector, images, labels, budgets=(2.0,), unusual=[transfer])
        if doubt.name == "black-box-beats-white-box"
    )
    assert "Transfer honest" in doubt.finding
    assert doubt.evidence["gained"] == IMAGES


def test_few_images_judged_rightly_are_a_doubt_of_their_own() -> None:
    images, labels = wave_images(FEWEST - 1, 12.0)
    doubts = investigate(honest(12.0), images, labels, budgets=(1.0,))
    assert raised(doubts) == {"too-few-images"}


@pytest.mark.parametrize(("count", "budgets"), [(0, (1.0,)), (4, ()), (4, (0.0,))])
def test_nothing_to_investigate_is_refused(count: int, budgets: tuple[float, ...]) -> None:
    images, labels = wave_images(count, 2.0)
    with pytest.raises(ValueError, match="only budgets above 0 are needed"):
        investigate(honest(2.0), images, labels, budgets=budgets)


def test_the_gradient_of_a_linear_detector_is_the_same_everywhere_and_rises() -> None:
    images, labels = wave_images(20, 5.0)
    slopes = slopes_of(honest(5.0), images, labels)
    torch.testing.assert_close(slopes.cosine, torch.ones(20).double(), atol=1e-5, rtol=0)
    for everywhere in (slopes.rises_near, slopes.rises_far, slopes.right):
        assert everywhere.all()
    for nowhere in (slopes.zero, slopes.zero_usual, slopes.flat, slopes.ignored):
        assert not nowhere.any()
    assert gives_gradient(honest(5.0), images)


def test_a_coin_decides_as_often_as_the_binomial_distribution_says() -> None:
    assert Difference(7, 0).chance == 0.5**7
    assert Difference(6, 1).chance == pytest.approx(8 / 2**7)
    assert Difference(0, 0).chance == Difference(0, 9).chance == 1.0
    assert at_least(1, 3, 0.5) == pytest.approx(7 / 8)
    assert not more_than(0.5, 6, 6)  # one in 64
    assert more_than(0.5, 7, 7)


def test_chance_alone_seldom_raises_a_doubt() -> None:
    random = np.random.default_rng(0)
    luck = 0
    for _ in range(2000):
        first, second = random.random((2, 80)) < 0.3
        luck += Difference.of(first, second).chance < LEVEL
    assert luck <= 2000 * LEVEL


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60))
def test_what_counts_alone_find_significant_is_so_for_any_images(
    verdicts: list[tuple[bool, bool]],
) -> None:
    first, second = np.array(verdicts).T
    paired = Difference.of(first, second)
    counts = Difference.at_most(int(first.sum()), int(second.sum()), len(verdicts))
    assert counts.gained - counts.lost == paired.gained - paired.lost
    if paired.gained > paired.lost:
        assert counts.chance >= paired.chance - 1e-12


def panel(**broken: dict[float, int]) -> Panel:
    """Of 100 images, so many of the first broken by each attack; by default 20 per level."""
    ours = dict(zip(("one", "iterative", "more", "elsewhere"), GRADIENT, strict=True))
    ours["square"] = "Square"
    counts = {ours[name]: found for name, found in broken.items()}
    outcomes = {}
    for name, budget in product([*GRADIENT, "Square"], (1.0, 2.0)):
        default = int(20 * budget) if name in GRADIENT else 0
        flags = np.arange(100) < counts.get(name, {}).get(budget, default)
        outcomes[name, budget] = Broken(flags, flags)
    return Panel(
        wrong=np.arange(100) < 10,
        budgets=(1.0, 2.0),
        outcomes=outcomes,
        blind=("Square",),
        far=np.arange(100) < 55,
        labels=np.arange(100) % 2,
    )


@pytest.mark.parametrize(
    ("broken", "names"),
    [
        ({}, set()),
        ({"one": {1.0: 27}}, set()),  # one image fewer than is needed: 0.5^7 > 1 % of two budgets
        ({"one": {1.0: 28}}, {"one-step-beats-iterative"}),
        ({"more": {1.0: 28}}, {"more-iterations-still-help"}),
        ({"square": {2.0: 47}}, set()),  # two budgets
        ({"square": {2.0: 48}}, {"black-box-beats-white-box"}),
        ({"one": {2.0: 10}}, {"accuracy-rises-with-budget"}),
        ({"one": {1.0: 0, 2.0: 0}}, {"attacked-above-clean"}),
    ],
)
def test_attacks_are_compared_on_the_same_images(
    broken: dict[str, dict[float, int]], names: set[str]
) -> None:
    assert {doubt.name for doubt in compared(outcomes_of_panel(panel(**broken)))} == names


def test_what_does_not_reach_chance_has_to_be_beyond_what_chance_leaves() -> None:
    few = {1.0: 20, 2.0: 30}
    found = panel(one=few, iterative=few, more=few, elsewhere=few)
    # Of 100, at least 62 are right with probability 0.0105, at least 63 with 0.006.
    lucky, stuck = (replace(found, far=np.arange(100) < count) for count in (38, 37))
    assert not list(compared(outcomes_of_panel(lucky)))
    assert [d.name for d in compared(outcomes_of_panel(stuck))] == [
        "large-budget-does-not-reach-chance"
    ]


def trial(settings: str, budget: float, tried: int, broken: int, **more: object) -> Trial:
    kind = settings.partition("(")[0]
    return Trial(
        attack=kind.lower(),
        threat="linf",
        budget=budget,
        settings=settings,
        tried=(tried // 2, tried - tried // 2),
        broken=(broken, 0),
        broken_before_file=(broken, 0),
        **more,  # type: ignore[arg-type]
    )


def case(budget: float, right: int, before: int | None = None, total: int = 1000) -> WorstCase:
    return WorstCase(
        threat="linf",
        budget=budget,
        right=(right, 0),
        right_before_file=(right if before is None else before, 0),
        total=(total // 2, total // 2),
    )


def result(worst: tuple[WorstCase, ...] = (), trials: tuple[Trial, ...] = ()) -> EvaluationResult:
    return EvaluationResult(
        suite="strong",
        detector="ours",
        classes=("original", "recaptured"),
        bundle_sha256="",
        side=64,
        part="test",
        data="",
        split_by="source",
        seed=0,
        auc=0.9,
        worst=worst,
        trials=trials,
    )


GOOD = (case(0, 480), case(1, 470), case(5, 450), case(128, 0))


@pytest.mark.parametrize(
    ("changed", "names"),
    [
        (result(GOOD, (trial("FGSM()", 1, 480, 200), trial("PGD()", 1, 480, 210))), set()),
        # As many tried are the same images, of which 80 more fell to one step.
        (
            result(GOOD, (trial("FGSM()", 1, 480, 250), trial("PGD()", 1, 480, 170))),
            {"one-step-beats-iterative"},
        ),
        # Survivors are others.
        (result(GOOD, (trial("FGSM()", 1, 480, 250), trial("PGD()", 1, 230, 20))), set()),
        (
            result(GOOD, (trial("PGD()", 1, 480, 250), trial("PGD()", 2, 480, 170))),
            {"accuracy-rises-with-budget"},
        ),
        (result((case(0, 480), case(1, 300), case(2, 470))), {"accuracy-rises-with-budget"}),
        (result((case(0, 480, total=500), case(128, 250, total=500))), set()),
        (
            result((case(0, 990), case(128, 560))),
            {"large-budget-does-not-reach-chance"},
        ),
        # A small budget may leave as many right as it likes.
        (result((case(0, 990), case(64, 990))), set()),
        (result((case(0, 900), case(1, 880, before=500))), {"attack-lost-by-rounding"}),
        (result((case(0, 900), case(1, 500, before=460))), set()),
        (result((case(0, 90, total=100),)), {"too-few-images"}),
        (result((case(0, 380, total=400),)), set()),
        (result((case(0, 500),)), {"one-verdict-for-all"}),
        (
            result(GOOD, (trial("PGD()", 1, 480, 10), trial("Square()", 1, 470, 60))),
            {"black-box-beats-white-box"},
        ),
        (result(GOOD, (trial("PGD()", 1, 480, 10), trial("Square()", 1, 470, 25))), set()),
        (
            result(GOOD, (trial("UniformNoise()", 1, 480, 90), trial("PGD()", 1, 480, 10))),
            {"black-box-beats-white-box"},
        ),
        (
            result(GOOD, (trial("Square()", 1, 480, 10), trial("RayS()", 1, 470, 9))),
            {"no-gradients"},
        ),
    ],
)
def test_doubts_are_read_from_the_figures_of_a_result(
    changed: EvaluationResult, names: set[str]
) -> None:
    assert raised(doubts_of(changed)) == names


def test_images_that_a_larger_budget_leaves_right_are_counted_one_by_one() -> None:
    low = replace(case(1, 900), broken_by=("fgsm",) * 100 + ("",) * 900)
    high = replace(case(2, 900), broken_by=("",) * 50 + ("fgsm",) * 100 + ("",) * 850)
    assert doubts_of(result((low, high))) == ()
    high = replace(case(2, 950), broken_by=("",) * 50 + ("fgsm",) * 50 + ("",) * 900)
    assert raised(doubts_of(result((low, high)))) == {"accuracy-rises-with-budget"}


def test_what_rounding_undoes_is_counted_image_by_image() -> None:
    kept, undone = ("pgd",) * 40 + ("",) * 360, "0" * 60 + "1" * 340
    counts = case(1, 360, before=340, total=400)  # of which images is not known: perhaps chance
    assert doubts_of(result((counts,))) == ()
    (doubt,) = doubts_of(result((replace(counts, broken_by=kept, flags_before_file=undone),)))
    assert doubt.name == "attack-lost-by-rounding"
    assert "60 images in memory; of these, 20 are right again" in doubt.finding
    (doubt,) = doubts_of(result((case(0, 990), case(1, 880, before=500))))
    assert "490 images in memory; of these, 380 are right again" in doubt.finding


def test_an_attack_of_the_user_with_a_name_of_the_panel_is_not_taken_for_it() -> None:
    own = replace(trial("Mine()", 1, 480, 3), attack="FGSM")
    assert doubts_of(result(GOOD, (own,))) == ()


@pytest.mark.parametrize("flag", ["2", "1"])
@pytest.mark.parametrize("threat", ["linf", "png", "jpeg-75", "l2", "mine"])
def test_a_proof_is_refuted_under_any_threat_in_linf(threat: str, flag: str) -> None:
    """Either in memory (2), or in a file (1) that no channel changed."""
    tried = replace(trial("PGD()", 2, 400, 1), threat=threat, flags=flag + "0" * 399)
    found = replace(result(GOOD, (tried,)), certified_radii=(2.0,) * 400)
    found = replace(found, per_epsilon={"linf": 1.0, "l2": 27.7, "mine": 27.7})
    refuted = threat in ("linf", "png") or (threat, flag) == ("jpeg-75", "2")
    assert raised(doubts_of(found)) == ({"attack-beats-certificate"} if refuted else set())


def test_one_image_that_was_proven_right_and_was_broken_is_a_doubt() -> None:
    flags = "".join("1" if number in (3, 5) else "0" for number in range(400))
    tried = replace(trial("PGD()", 2, 400, 2), flags=flags)
    radii = tuple(-1.0 if number == 3 else 1.99 for number in range(400))
    sound = replace(result(GOOD, (tried,)), certified_radii=radii)
    assert doubts_of(sound) == ()
    false = replace(sound, certified_radii=tuple(2.0 if n == 5 else r for n, r in enumerate(radii)))
    (doubt,) = doubts_of(false)
    assert doubt.name == "attack-beats-certificate"
    assert doubt.evidence == {"budget": 2.0, "beaten": 1.0}


def test_every_doubt_has_a_page_with_a_source_and_every_page_a_doubt() -> None:
    pages = {path.stem: path.read_text("utf-8") for path in PAGES.glob("*.md")}
    index = pages.pop("README")
    assert pages.keys() == MEANINGS.keys()
    assert re.findall(r"\]\(([\w-]+)\.md\)", index) == list(MEANINGS)
    for name, text in pages.items():
        assert text.startswith(f"# {name}\n")
        assert MEANINGS[name] in re.sub(r"\s+", " ", text)
        assert MEANINGS[name] in index
        for part in ("## What was seen", "## Why it makes a figure false", "## What to do"):
            assert part in text
        assert "arXiv:" in text or "Source:" in text


def test_every_doubt_can_be_raised() -> None:
    """Each name stands in a test of this file that fails if the doubt is not raised."""
    text = Path(__file__).read_text("utf-8")
    assert [name for name in MEANINGS if f'"{name}"' not in text] == []


def test_a_width_is_that_of_the_interval_over_groups() -> None:
    """A thousand crops of ten photographs, each of which is right or wrong as a whole."""
    broken = tuple("fgsm" if number // 100 in (0, 1) else "" for number in range(1000))
    worst = WorstCase(
        threat="linf", budget=1.0, right=(400, 400), total=(500, 500),
        right_before_file=(400, 400), broken_by=broken,
    )  # fmt: skip
    alone = replace(result((worst,)), labels=tuple(n % 2 for n in range(1000)))
    known = replace(alone, groups=tuple(number // 100 for number in range(1000)))
    assert doubts_of(alone) == ()
    (doubt,) = doubts_of(known)
    assert doubt.name == "too-few-images"
    assert doubt.evidence["groups"] == 10
    assert "1,000 images of 10 scenes or photographs" in doubt.finding
