"""Optimisers and the constraint of the forensic networks, as they are published."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from conftest import photo_pixels
from PIL import Image

from trueshot.bundle import load_bundle
from trueshot.datasets import Dataset, Settings, examples_of, photos_at, prepare
from trueshot.errors import RecipeError
from trueshot.networks.mislnet import MISLnet
from trueshot.tasks import TASKS
from trueshot.training import Recipe, load_recipe, parse_recipe, steps, train
from trueshot.training.distributed import Processes
from trueshot.training.recipe import Optimizer, Schedule

MISL = """
name: misl
network: {name: mislnet, side: 64, filters: [4, 4, 4, 4], units: 8}
schedule:
  iterations: 8
  batch: 8
  learning_rate: 0.01
  optimizer: {name: sgd, momentum: 0.95, weight_decay: 5.0e-4, offset_rate: 2}
"""


@pytest.fixture(scope="module")
def blocks(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Crops of 64 px of the six manipulations."""
    folder = tmp_path_factory.mktemp("blocks")
    (folder / "photos").mkdir()
    for number in range(8):
        pixels = photo_pixels(number, recaptured=False, side=128)
        Image.fromarray(pixels).save(folder / "photos" / f"{number}.png")
    task = TASKS["manipulation"]
    settings = Settings(sides=(64,), per_class=16, task=task, fractions=(0.5, 0.25, 0.25))
    return prepare(examples_of(photos_at([folder / "photos"]), task), folder / "data", settings)


def assert_constrained(network: torch.nn.Module) -> None:
    assert isinstance(network, MISLnet)
    weight = network.constrained.weight.detach()
    assert torch.allclose(weight.sum((1, 2, 3)), torch.zeros(3), atol=1e-3)
    assert (weight[:, 0, 2, 2] == -1).all()


class _Stop(Exception):
    pass


@pytest.mark.parametrize("stop_at", [1, 5])
def test_the_constraint_holds_before_every_step_also_after_a_stop(
    blocks: Dataset, tmp_path: Path, stop_at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = parse_recipe(MISL, "misl")
    original, seen = steps.gradients, []

    def watched(recipe: Recipe, state: steps.State, *more: object) -> object:
        assert_constrained(state.detector.network)
        seen.append(state.at.step)
        if len(seen) == stop_at + 1:
            raise _Stop
        return original(recipe, state, *more)  # type: ignore[arg-type]

    monkeypatch.setattr("trueshot.training.loop.gradients", watched)
    with pytest.raises(_Stop):
        train(recipe, blocks, tmp_path / "cut", checkpoint_seconds=0)
    cut = train(recipe, blocks, tmp_path / "cut", checkpoint_seconds=0)
    assert seen == [*range(stop_at + 1), *range(stop_at, 8)]
    whole = train(recipe, blocks, tmp_path / "whole")
    assert cut.bundle.read_bytes() == whole.bundle.read_bytes()
    assert_constrained(load_bundle(whole.bundle)[0].network)


def test_weights_decay_and_offsets_move_twice_as_fast_and_do_not() -> None:
    recipe = parse_recipe(MISL, "misl")
    state = steps.begin(recipe, torch.device("cpu"), Processes(), None, TASKS["manipulation"])
    layer = state.detector.network.classifier[-1]  # type: ignore[union-attr,index]
    weight, bias = layer.weight.detach().clone(), layer.bias.detach().clone()
    images = torch.rand(8, 3, 64, 64) * 255
    steps.gradients(recipe, state, (images, torch.arange(8) % 6, None), Processes())
    of_weight, of_bias = layer.weight.grad.clone(), layer.bias.grad.clone()
    state.optimizer.step()
    assert torch.allclose(layer.weight, weight - 0.01 * (of_weight + 5e-4 * weight), atol=1e-7)
    assert torch.allclose(layer.bias, bias - 0.02 * of_bias, atol=1e-7)


def test_the_learning_rate_of_caffe_falls_steadily_and_shortening_keeps_its_end() -> None:
    schedule = load_recipe("median-residual").schedule
    assert schedule.learning_rate_at(0) == 1e-4
    assert schedule.learning_rate_at(30_000) == pytest.approx(1e-4 * 4**-0.75)
    short = schedule.shortened(1000)
    last = [s.learning_rate_at(s.iterations) / s.learning_rate for s in (schedule, short)]
    assert last[0] == pytest.approx(last[1])


def test_the_plain_optimiser_is_adam_as_it_was() -> None:
    recipe = Recipe(name="plain", schedule=Schedule(optimizer=Optimizer()))
    state = steps.begin(recipe, torch.device("cpu"), Processes(), None)
    assert isinstance(state.optimizer, torch.optim.Adam)
    assert len(state.optimizer.param_groups) == 1


def test_crops_of_another_size_than_the_network_takes_are_refused_before_training(
    blocks: Dataset, tmp_path: Path
) -> None:
    with pytest.raises(RecipeError, match="takes images of 256 px, but the crops are 64 px"):
        train(load_recipe("mislnet"), blocks, tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", ["median-residual-short-secure", "barni-noise-short"])
def test_secure_training_takes_a_step_of_each_kind_of_network(name: str) -> None:
    recipe = load_recipe(name)
    secure = load_recipe("median-residual-short-secure").objective
    recipe = recipe.model_copy(update={"objective": secure})
    state = steps.begin(recipe, torch.device("cpu"), Processes(), None)
    images = (torch.rand(32, 3, 64, 64) * 255).round()
    parts = steps.gradients(
        recipe, state, (images, torch.arange(32) % 2, torch.full((16,), 2.0)), Processes()
    )
    assert bool(torch.isfinite(parts["loss"]))
    assert float(parts["gradient_norm"]) > 0
    gradients = [p.grad for p in state.detector.parameters() if p.grad is not None]
    assert gradients
    assert all(bool(torch.isfinite(each).all()) for each in gradients)
