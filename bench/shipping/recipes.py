"""Recipes of the networks that were trained, by name."""

from __future__ import annotations

import time
from collections.abc import Sequence

from shipping import RUNS
from trueshot.datasets import Dataset
from trueshot.networks.lcnn import DEFAULT_FILTERS
from trueshot.training import Recipe, load_recipe, train


def lcnn(
    name: str,
    iterations: int,
    filters: tuple[int, ...] = DEFAULT_FILTERS,
    rate: float = 7e-4,
    batch: int = 32,
) -> Recipe:
    """Return the recipe `field` with another schedule and other filters."""
    field = load_recipe("field")
    schedule = field.schedule.model_copy(
        update={
            "iterations": iterations,
            "decay_every": round(700 * iterations / 6000),
            "learning_rate": rate,
            "batch": batch,
        }
    )
    network = field.network.model_copy(update={"filters": filters})
    return field.model_copy(update={"name": name, "schedule": schedule, "network": network})


def continued(name: str, iterations: int) -> Recipe:
    """Return the recipe `field` shortened, to continue from weights of smaller crops."""
    return load_recipe("field").shortened(iterations).model_copy(update={"name": name})


def spectral(name: str, iterations: int, budget: tuple[float, float], floor: float = 5.0) -> Recipe:
    """Return the recipe `robust` with half its filters and another budget, floor and length."""
    robust = load_recipe("robust")
    fusion = robust.objective.fusion
    assert fusion is not None
    changes = {
        "name": name,
        "schedule": robust.schedule.model_copy(
            update={"iterations": iterations, "decay_every": round(220 * iterations / 1500)}
        ),
        "network": robust.network.model_copy(update={"floor": floor, "filters": (16, 32, 64)}),
        "objective": robust.objective.model_copy(
            update={"fusion": fusion.model_copy(update={"budget": budget})}
        ),
    }
    return robust.model_copy(update=changes)


WIDE = (8, 24, 48, 96, 192)

# Recipe, side of the crops, and the run whose weights it starts from.
RECIPES: dict[str, tuple[Recipe, int, str]] = {
    recipe.name: (recipe, side, start)
    for recipe, side, start in (
        (lcnn("lcnn-64", 12_000), 64, ""),
        (lcnn("lcnn-wide-64", 9_000, WIDE, rate=1.5e-3, batch=48), 64, ""),
        (continued("lcnn-128", 2000), 128, "lcnn-64"),
        (spectral("spectral-64", 2000, (3.0, 6.5)), 64, ""),
        (spectral("spectral-small-64", 2000, (0.5, 5.5)), 64, ""),
        (spectral("spectral-low-64", 2000, (0.5, 3.5), floor=2.0), 64, ""),
    )
}


def train_all(chosen: Sequence[str]) -> None:
    dataset = Dataset.open(RUNS / "data")
    for name in chosen:
        recipe, side, start = RECIPES[name]
        began = time.monotonic()
        bundle = RUNS / start / "detector.safetensors" if start else None
        history = train(
            recipe, dataset, RUNS / name, side=side, start=bundle, validation_crops=1000
        )
        last = history.records[-1]
        print(f"{name}: {last}, {time.monotonic() - began:.0f} s", flush=True)
