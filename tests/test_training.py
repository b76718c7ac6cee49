"""Training goes on where it was stopped and ends with the same bits."""

from __future__ import annotations

import hashlib
import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import SIDE
from processes import Forked, kill_at_moments

from trueshot.attacks import FGSM
from trueshot.bundle import load_bundle, read_safetensors
from trueshot.datasets import Batches, Dataset, Part
from trueshot.errors import DatasetError, RecipeError, RunError
from trueshot.files import claim, read_lines
from trueshot.networks.efficientnet_lite import EfficientNetLite0Settings
from trueshot.networks.lcnn import LCNNSettings
from trueshot.pixels import to_bytes, to_levels
from trueshot.training import (
    Recipe,
    load_recipe,
    parse_recipe,
    recipe_names,
    steps,
    train,
)
from trueshot.training.loop import validate_detector
from trueshot.training.objective_settings import Fusion, Objective, Penalty
from trueshot.training.objectives import Mixture
from trueshot.training.recipe import Schedule
from trueshot.training.steps import draw_budgets, new_detector, turn


def small(iterations: int = 12, **settings: object) -> Recipe:
    """The secure recipe, small enough for a test."""
    return Recipe(
        name="small",
        network=LCNNSettings(filters=(2, 2, 4, 4, 4)),
        objective=Objective(penalty=Penalty(weight=5.0), fusion=Fusion(adversarial=4)),
        schedule=Schedule(iterations=iterations, batch=8, learning_rate=1e-3, decay_every=3),
    ).model_copy(update=settings)


def test_a_run_is_determined_by_its_recipe_and_data(dataset: Dataset, tmp_path: Path) -> None:
    first, second = (train(small(), dataset, tmp_path / name) for name in "ab")
    assert first.bundle.read_bytes() == second.bundle.read_bytes()
    other = train(small(seed=1), dataset, tmp_path / "c")
    assert first.bundle.read_bytes() != other.bundle.read_bytes()


class _Stop(Exception):
    pass


@pytest.mark.parametrize(("stop_at", "method"), [(1, "exact"), (5, "difference"), (11, "exact")])
def test_a_run_that_is_stopped_at_a_step_ends_with_the_same_bits(
    dataset: Dataset, tmp_path: Path, stop_at: int, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    penalty = Penalty(weight=5.0, method=method)
    recipe = small(objective=Objective(penalty=penalty, fusion=Fusion(adversarial=4)))
    whole = train(recipe, dataset, tmp_path / "whole", checkpoint_seconds=0)
    original, calls = torch.optim.Adam.step, []

    def step(self: torch.optim.Adam, *arguments: object) -> object:
        calls.append(1)
        if len(calls) > stop_at:
            raise _Stop
        return original(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(torch.optim.Adam, "step", step)
        with pytest.raises(_Stop):
            train(recipe, dataset, tmp_path / "cut", checkpoint_seconds=0)
    again = train(recipe, dataset, tmp_path / "cut", checkpoint_seconds=0)
    assert again.bundle.read_bytes() == whole.bundle.read_bytes()
    assert without_speed(again.records) == without_speed(whole.records)


@pytest.mark.parametrize("batch_norm", ["running", "batch"])
def test_a_run_with_dropout_ends_with_the_same_bits_whatever_the_random_state(
    dataset: Dataset, tmp_path: Path, batch_norm: str
) -> None:
    network = EfficientNetLite0Settings(blocks=1, features=8, dropout=0.5)
    objective = Objective(fusion=Fusion(adversarial=4, batch_norm=batch_norm))
    recipe = small(4, network=network, objective=objective)
    bundles = []
    for seed in range(2):  # as in another process
        torch.manual_seed(seed)
        bundles.append(train(recipe, dataset, tmp_path / str(seed)).bundle.read_bytes())
    assert bundles[0] == bundles[1]


def without_speed(records: list[dict[str, object]]) -> list[dict[str, object]]:
    return [{k: v for k, v in r.items() if k != "images_per_second"} for r in records]


def test_a_run_that_is_killed_at_random_moments_ends_with_the_same_bits(
    dataset: Dataset, tmp_path: Path
) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(small(iterations=60).to_yaml(), "utf-8")
    script = (
        "import sys, torch\n"
        "from trueshot.datasets import Dataset\n"
        "from trueshot.training import load_recipe, train\n"
        "torch.set_num_threads(1)\n"
        "train(load_recipe(sys.argv[1]), Dataset.open(sys.argv[2]), sys.argv[3],"
        " checkpoint_seconds=0)\n"
    )

    def start(out: Path) -> Forked:
        return Forked(script, recipe, dataset.folder, out)

    assert start(tmp_path / "whole").wait() == 0
    moments, out = random.Random(0), tmp_path / "killed"
    kill_at_moments(
        lambda: start(out),
        out,
        lambda: len(read_lines(out / "log.jsonl")),
        lambda: moments.randint(2, 10),  # of 60
        times=2,
    )
    assert start(tmp_path / "killed").wait() == 0
    killed, whole = (tmp_path / name / "detector.safetensors" for name in ("killed", "whole"))
    assert killed.read_bytes() == whole.read_bytes()
    logs = [read_lines(tmp_path / name / "log.jsonl") for name in ("killed", "whole")]
    assert without_speed(logs[0]) == without_speed(logs[1])
    assert not list((tmp_path / "killed").glob(".*.part"))


def test_training_lowers_the_loss_and_learns_what_there_is_to_learn(
    dataset: Dataset, tmp_path: Path
) -> None:
    recipe = small(60, objective=Objective()).model_copy(
        update={"schedule": Schedule(iterations=60, batch=16, learning_rate=1e-2, decay_every=20)}
    )
    records = train(recipe, dataset, tmp_path / "run").records
    assert records[-1]["loss"] < 0.6 * records[0]["loss"]
    assert records[-1]["validation_clean"] > 0.9


def test_the_log_tells_every_part_of_the_loss(dataset: Dataset, tmp_path: Path) -> None:
    records = train(small(), dataset, tmp_path / "run").records
    assert [r["step"] for r in records] == list(range(1, 13))
    wanted = {
        "loss",
        "cross_entropy_clean",
        "cross_entropy_adversarial",
        "gradient_norm",
        "learning_rate",
        "images_per_second",
        "validation_clean",
        "validation_fgsm",
    }
    assert wanted <= set(records[-1])
    assert records[-1]["learning_rate"] == pytest.approx(1e-3 * 0.9**3)


def test_another_recipe_or_other_data_in_the_same_folder_is_refused(
    dataset: Dataset, tmp_path: Path
) -> None:
    train(small(2), dataset, tmp_path / "run")
    with pytest.raises(RunError, match="another recipe"):
        train(small(3), dataset, tmp_path / "run")
    with pytest.raises(RunError, match="already holds a run;"):
        train(small(2), dataset, tmp_path / "run", resume=False)
    claim = tmp_path / "run" / "recipe.yaml"
    claim.write_text(claim.read_text().replace("# data: ", "# data: 0"))
    with pytest.raises(RunError, match="other data"):
        train(small(2), dataset, tmp_path / "run")


def test_a_damaged_checkpoint_is_refused_by_name(dataset: Dataset, tmp_path: Path) -> None:
    out = tmp_path / "run"
    train(small(2), dataset, out)
    (out / "detector.safetensors").unlink()
    checkpoint = out / "checkpoint.safetensors"
    checkpoint.write_bytes(checkpoint.read_bytes()[:-10])
    with pytest.raises(RunError, match=r"checkpoint\.safetensors"):
        train(small(2), dataset, out)


def test_a_loss_that_is_no_number_stops_the_run_and_says_so(
    dataset: Dataset, tmp_path: Path
) -> None:
    recipe = small().model_copy(
        update={"objective": Objective(penalty=Penalty(weight=1e38, reference_side=1))}
    )
    with pytest.raises(RunError, match="the loss is not finite"):
        train(recipe, dataset, tmp_path / "run")


def test_no_file_of_a_run_is_a_pickle(dataset: Dataset, tmp_path: Path) -> None:
    train(small(2), dataset, tmp_path / "run")
    for path in (tmp_path / "run").iterdir():
        if path.suffix == ".safetensors":
            assert read_safetensors(path)[0]
        else:
            path.read_text("utf-8")


def test_the_bundle_carries_its_recipe_and_its_data(dataset: Dataset, tmp_path: Path) -> None:
    _, card = load_bundle(train(small(2), dataset, tmp_path / "run").bundle)
    assert Recipe.model_validate(card.recipe) == small(2)
    assert card.data == dataset.fingerprint(SIDE)
    assert card.side == SIDE


def test_every_shipped_recipe_bears_its_name_and_is_another_defence() -> None:
    recipes = [load_recipe(name) for name in recipe_names()]
    assert [recipe.name for recipe in recipes] == recipe_names()
    assert {"yang", "secure", "field", "trades", "mart", "pgd", "robust"} <= set(recipe_names())
    settings = [
        (recipe.network, recipe.objective, recipe.augmentation, recipe.schedule)
        for recipe in recipes
    ]
    assert all(settings.count(each) == 1 for each in settings)


def test_the_papers_recipes_have_its_settings() -> None:
    yang, secure = load_recipe("yang"), load_recipe("secure")
    assert yang.objective == Objective()
    assert yang.schedule == secure.schedule == Schedule()
    assert (yang.schedule.iterations, yang.schedule.batch) == (100_000, 64)
    assert [yang.schedule.learning_rate_at(s) for s in (0, 9_999, 10_000, 99_999)] == (
        pytest.approx([1e-4, 1e-4, 0.9e-4, 1e-4 * 0.9**9])
    )
    fusion, penalty = secure.objective.fusion, secure.objective.penalty
    assert fusion is not None
    assert (fusion.adversarial, fusion.weight, fusion.budget) == (32, 0.2, (1.0, 5.0))
    assert penalty is not None
    assert (penalty.squared, penalty.images) == (False, "clean")


def test_a_recipe_comes_back_from_its_yaml() -> None:
    for name in recipe_names():
        recipe = load_recipe(name)
        assert parse_recipe(recipe.to_yaml(), "copy") == recipe


def test_a_shortened_schedule_keeps_its_shape() -> None:
    short = Schedule().shortened(1000)
    assert (short.iterations, short.decay_every) == (1000, 100)
    assert short.learning_rate == pytest.approx(1e-3)
    assert Schedule().shortened(25_000).learning_rate == pytest.approx(2e-4)
    assert Schedule().shortened(100_000) == Schedule()


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("name: a\nlambda: 3", "lambda"),
        ("name: a\nobjective: {penalty: {weight: -1}}", "objective.penalty.weight"),
        ("name: a\nobjective: {fusion: {budget: [5, 1]}}", "objective.fusion"),
        ("name: a\nobjective: {fusion: {adversarial: 65}}", "adversarial is 65"),
        ("name: a\nobjective: {fusion: {adversarial: 64}, alignment: {}}", "no clean"),
        ("name: a\nobjective: {fusion: {adversarial: 64}, penalty: {weight: 1}}", "no clean"),
        ("name: a\nobjective: {penalty: {weight: .inf}}", "objective.penalty.weight"),
        ("name: a\nobjective: {fusion: {weight: .inf}}", "objective.fusion.weight"),
        ("name: a\nobjective: {alignment: {weight: .inf}}", "objective.alignment.weight"),
        ("name: a\nschedule: {learning_rate: .inf}", "schedule.learning_rate"),
        ("name: a\ninput: {offset: .nan}", "input.offset"),
        ("name: a\nnetwork: {name: spectral, floor: .inf}", "network.spectral.floor"),
        ("name: a\nnetwork: {filters: [8, 8]}", "network.lcnn.filters"),
        ("name: a\nnetwork: {filters: [8, 8, 0, 8, 8]}", "network.lcnn.filters.2"),
        ("name: a\nnetwork: {filters: [8, 8, 9999, 8, 8]}", "network.lcnn.filters.2"),
        ("name: a\nnetwork: {name: spectral, filters: []}", "network.spectral.filters"),
        ("name: a\nnetwork: {name: spectral, window: 8192}", "network.spectral.window"),
        ("name: a\nnetwork: {name: unknown}", "network: unknown network; choose one of lcnn"),
        ("name: a\nnetwork: none.py:Net", "network.own.sha256"),
        ("- a list", "mapping"),
        ("name: [", "not YAML"),
        ("!!python/object/apply:os.system ['true']", "not YAML"),
        ("{}", "name"),
        ("name: ../../elsewhere", "name"),
        ("name: a/b", "name"),
        ("name: ''", "name"),
        ("name: 2001-99-99", "not YAML"),
        ("[" * 99_999, "not YAML: nested too deeply"),
        ("- " * 49_999, "not YAML: nested too deeply"),
        ("name: a\nseed: 99999999999999999999", "seed"),
        ("name: a\nschedule: {inverse: [-0.001, 0.75]}", "schedule.inverse.0"),
        ("name: a\nschedule: {inverse: [0.001, -500]}", "schedule.inverse.1"),
        (f"name: a\nschedule: {{iterations: 1{'0' * 400}}}", "schedule.iterations"),
        (f"name: a\nschedule: {{decay_every: 1{'0' * 400}}}", "schedule.decay_every"),
        (f"name: a\nschedule: {{batch: 1{'0' * 400}}}", "schedule.batch"),
        (
            f"name: a\nobjective: {{penalty: {{weight: 1, reference_side: 1{'0' * 400}}}}}",
            "objective.penalty.reference_side",
        ),
        ("name: a\nschedule: {batch: 8}\nschedule: {iterations: 9}", "'schedule' is given twice"),
        ("name: a\nschedule: {batch: 8, batch: 9}", "not YAML: the key 'batch' is given twice"),
        ("name: a\nschedule: {batch: !!int ''}", "not YAML: has a value that is not what its tag"),
        ("name: !!bool ja", "not YAML: has a value that is not what its tag"),
        ("name: !!timestamp now", "not YAML: has a value that is not what its tag"),
    ],
)
def test_a_wrong_recipe_is_refused_by_the_setting(text: str, named: str) -> None:
    with pytest.raises(RecipeError, match=r"mine\.yaml") as caught:
        parse_recipe(text, "mine.yaml")
    assert named in str(caught.value)


@pytest.mark.parametrize(
    "objective",
    [
        "{fusion: {adversarial: 64}}",
        "{fusion: {adversarial: 64}, penalty: {weight: 1, images: all}}",
        "{fusion: {adversarial: 64, loss: trades}, alignment: {}, penalty: {weight: 1}}",
    ],
)
def test_the_whole_minibatch_may_be_attacked_where_no_clean_image_is_missed(objective: str) -> None:
    recipe = parse_recipe(f"name: a\nobjective: {objective}", "mine.yaml")
    assert recipe.objective.fusion is not None
    assert recipe.objective.fusion.adversarial == recipe.schedule.batch


@pytest.mark.parametrize(
    ("network", "named"),
    [
        ("{name: spectral, window: 20}", "positive multiple of"),
        ("{name: spectral, window: 64}", "window is 64 px"),
    ],
)
def test_a_recipe_that_cannot_be_built_is_refused_before_anything_is_written(
    network: str, named: str, dataset: Dataset, tmp_path: Path
) -> None:
    recipe = parse_recipe(f"name: a\nnetwork: {network}\nschedule: {{iterations: 1}}", "mine.yaml")
    with pytest.raises(RecipeError, match=named):
        train(recipe, dataset, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_networks_are_offered_that_a_recipe_can_name() -> None:
    with pytest.raises(RecipeError) as refused:
        parse_recipe("name: a\nnetwork: none", "a")
    offered = str(refused.value).split("choose one of ")[1].split(", ")[:-1]
    for name in offered:
        assert parse_recipe(f"name: a\nnetwork: {name}", "a").network.name == name


def test_a_recipe_that_is_nowhere_is_refused_and_the_known_ones_are_named(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="robust, secure, spectral, trades, tuama, yang"):
        load_recipe(tmp_path / "none.yaml")


def test_the_written_schema_of_recipes_is_the_one_in_force() -> None:
    written = Path(__file__).parent.parent / "docs" / "recipe.schema.json"
    assert json.loads(written.read_text("utf-8")) == Recipe.model_json_schema()


def test_budgets_are_uniform_over_their_range_and_differ_from_step_to_step() -> None:
    recipe = Recipe(name="a", objective=Objective(fusion=Fusion(adversarial=64)))
    steps = [draw_budgets(recipe, step) for step in range(200)]
    values = torch.stack([s for s in steps if s is not None]).flatten().double()
    assert len(values.unique()) > 12_000
    assert (values.min(), values.max()) == (pytest.approx(1, abs=0.01), pytest.approx(5, abs=0.01))
    assert values.mean() == pytest.approx(3, abs=0.05)
    assert values.var() == pytest.approx(16 / 12, abs=0.05)
    again = draw_budgets(recipe, 7)
    assert again is not None
    assert steps[7] is not None
    assert torch.equal(again, steps[7])


def test_a_run_may_start_from_the_weights_of_another(dataset: Dataset, tmp_path: Path) -> None:
    first = train(small(), dataset, tmp_path / "first").bundle
    still = small(2).model_copy(update={"schedule": Schedule(iterations=2, learning_rate=1e-30)})
    runs = [
        train(still, dataset, tmp_path / name, start=start).bundle
        for name, start in (("warm", first), ("warm", first), ("cold", None))
    ]
    before, warm, _, cold = (
        dict(load_bundle(path)[0].named_parameters()) for path in (first, *runs)
    )
    assert all(torch.equal(warm[name], before[name]) for name in before)
    assert not all(torch.equal(cold[name], before[name]) for name in before)
    assert load_bundle(runs[0])[1].start == hashlib.sha256(first.read_bytes()).hexdigest()
    with pytest.raises(RunError, match="other initial weights"):
        train(still, dataset, tmp_path / "warm", start=runs[2])
    other = still.model_copy(update={"network": LCNNSettings(filters=(2, 2, 4, 4, 8))})
    with pytest.raises(RunError, match="its network or input normalisation differs"):
        train(other, dataset, tmp_path / "other", start=first)


def test_the_eight_symmetries_of_a_square_are_all_there_and_differ() -> None:
    image = np.arange(3 * 3 * 2, dtype=np.uint8).reshape(3, 3, 2)
    found = turn(np.stack([image] * 8), np.arange(8))
    expected = [
        np.rot90(side, quarters) for side in (image, image[:, ::-1]) for quarters in range(4)
    ]
    np.testing.assert_array_equal(found, np.stack(expected))
    assert len(np.unique(found.reshape(8, -1), axis=0)) == 8


def test_with_symmetries_a_step_sees_its_crops_turned_the_same_way_again(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[torch.Tensor] = []
    original = steps.mixed

    def watch(*arguments: Any) -> Mixture:
        seen.append(arguments[2].clone())
        return original(*arguments)

    monkeypatch.setattr(steps, "mixed", watch)
    plain = Objective()
    for name, way in (("a", "none"), ("b", "symmetries"), ("c", "symmetries")):
        train(small(4, objective=plain, augmentation=way), dataset, tmp_path / name)
    none, once, again = torch.cat(seen).split(4 * 8)
    assert torch.equal(once, again)
    ways = [
        {way for way, turned in enumerate(turns(a)) if torch.equal(turned, b)}
        for a, b in zip(none, once, strict=True)
    ]
    assert all(ways)
    assert len(set.union(*ways)) >= 6  # of eight, in 32 draws


def turns(image: torch.Tensor) -> torch.Tensor:
    return to_levels(turn(to_bytes(image.expand(8, -1, -1, -1)), np.arange(8)))


def part_of(count: int) -> Part:
    pixels = np.arange(count, dtype=np.uint8)[:, None, None, None] + np.zeros(
        (1, 4, 4, 3), np.uint8
    )
    return Part(pixels=pixels, rows=np.arange(count), labels=np.arange(count) % 2)


def test_each_pass_takes_every_crop_once_in_another_order() -> None:
    batches = Batches(part=part_of(10), batch=4, seed=3)
    taken = np.concatenate([batches.places(step) for step in range(10)])
    passes = taken.reshape(4, 10)
    assert (np.sort(passes, 1) == np.arange(10)).all()
    assert len({tuple(p) for p in passes.tolist()}) == 4


def test_the_crops_of_a_step_do_not_depend_on_the_steps_before() -> None:
    forward, alone = (Batches(part=part_of(10), batch=4, seed=3) for _ in range(2))
    several = [forward.places(step) for step in range(8)]
    assert (alone.places(6) == several[6]).all()
    assert (alone.places(1) == several[1]).all()


def test_a_batch_holds_the_crops_and_labels_that_were_asked_for() -> None:
    images, labels = part_of(10).batch(np.array([7, 2, 2, 5]))
    assert images.mean((1, 2, 3)).tolist() == [7, 2, 2, 5]
    assert labels.tolist() == [1, 0, 0, 1]
    assert images.is_contiguous(memory_format=torch.channels_last)


def test_a_training_part_without_crops_is_refused() -> None:
    with pytest.raises(DatasetError, match="the training part has no crops"):
        Batches(part=part_of(0), batch=4, seed=0)


def test_each_step_is_taken_at_the_learning_rate_of_the_schedule(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original, rates = torch.optim.Adam.step, []

    def step(self: torch.optim.Adam, *arguments: object) -> object:
        rates.append(self.param_groups[0]["lr"])
        return original(self, *arguments)

    monkeypatch.setattr(torch.optim.Adam, "step", step)
    train(small(7), dataset, tmp_path / "run")
    assert rates == pytest.approx([1e-3 * 0.9 ** (step // 3) for step in range(7)])


def test_validation_counts_clean_and_attacked_crops_in_evaluation_mode(dataset: Dataset) -> None:
    detector = new_detector(small())
    part = dataset.part(SIDE, "validation")
    images, labels = part.batch(slice(None))
    with torch.no_grad():
        logits = detector.eval()(images)
        detector.network.classifier.bias[1] -= (logits[:, 1] - logits[:, 0]).median()
        attacked = FGSM(budget=2.0)(detector, images, labels)
        expected = [
            float((detector(shown).argmax(1) == labels).float().mean())
            for shown in (images, attacked)
        ]
    assert expected[0] != expected[1]
    found = validate_detector(detector.train(), part, torch.device("cpu"), batch=3)
    assert [found["validation_clean"], found["validation_fgsm"]] == pytest.approx(expected)
    assert detector.training


def test_weights_that_are_no_numbers_are_not_made_a_bundle(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = torch.optim.Adam.step

    def step(self: torch.optim.Adam, *arguments: object) -> object:
        done = original(self, *arguments)
        with torch.no_grad():
            self.param_groups[0]["params"][-1].fill_(float("nan"))
        return done

    monkeypatch.setattr(torch.optim.Adam, "step", step)
    with pytest.raises(RunError, match="the weights are not finite"):
        train(small(1), dataset, tmp_path / "run")
    assert not (tmp_path / "run" / "detector.safetensors").exists()


def test_a_second_run_in_the_same_folder_is_refused(dataset: Dataset, tmp_path: Path) -> None:
    with claim(tmp_path / "run"), pytest.raises(RunError, match="another process is using"):
        train(small(1), dataset, tmp_path / "run")
    assert not (tmp_path / "run" / "recipe.yaml").exists()
