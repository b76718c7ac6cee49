"""Attacks of other libraries, as second opinions on our own."""

from __future__ import annotations

import sys

import pytest
import torch
from conftest import levels, linear_detector

from trueshot.attacks import margin, perturb
from trueshot.attacks.second_opinions import FoolboxPGD, PyAutoAttackAPGD
from trueshot.errors import TrueshotError
from trueshot.evaluation.planned_attacks import AdversaryCapabilities
from trueshot.evaluation.suites import strong_threats

ATTACKS = [PyAutoAttackAPGD, FoolboxPGD]


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_second_opinion_breaks_what_is_nearer_than_the_budget_and_nothing_else(
    attack: type[PyAutoAttackAPGD | FoolboxPGD],
) -> None:
    detector, images = linear_detector(), 100 + levels(64, 4) / 5
    labels = detector(images).argmax(1)
    weight = detector.network.weight[1] - detector.network.weight[0]
    distances = (-margin(detector(images), labels) / weight.abs().sum()).detach()
    budget = float(distances.median())
    wrong = margin(detector(perturb(attack(budget=budget), detector, images, labels)), labels) > 0
    assert wrong[distances < 0.95 * budget].all()
    assert not wrong[distances > 1.05 * budget].any()


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_second_opinion_leaves_everything_as_it_was(
    attack: type[PyAutoAttackAPGD | FoolboxPGD],
) -> None:
    detector, images = linear_detector().train(), levels(4, 4)
    state, before = torch.random.get_rng_state(), detector.network.weight.detach().clone()
    perturb(attack(budget=3.0, steps=3), detector, images, torch.arange(4) % 2)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert torch.equal(detector.network.weight, before)
    assert detector.network.weight.grad is None
    assert detector.network.weight.requires_grad
    assert detector.training


@pytest.mark.parametrize(
    ("attack", "module"),
    [(PyAutoAttackAPGD, "pyautoattack.autopgd_base"), (FoolboxPGD, "foolbox.attacks")],
)
def test_a_library_that_is_missing_is_named_with_what_installs_it(
    attack: type[PyAutoAttackAPGD | FoolboxPGD], module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(TrueshotError, match=r"is not installed .*trueshot\[robustness\]"):
        perturb(attack(budget=1.0), linear_detector(), levels(2, 4), torch.tensor([0, 1]))


def test_second_opinions_stand_at_the_end_of_the_suite_if_they_are_asked_for() -> None:
    plain, asked = (
        strong_threats(AdversaryCapabilities(opinions=asked))[0] for asked in (False, True)
    )
    assert [step.name for step in asked.steps] == [
        *(step.name for step in plain.steps),
        "pyautoattack-apgd",
        "foolbox-pgd",
    ]


def test_an_empty_batch_stays_empty() -> None:
    for attack in ATTACKS:
        images = levels(2, 4)[:0]
        assert (
            perturb(attack(budget=1.0), linear_detector(), images, torch.zeros(0).long()).shape[0]
            == 0
        )
