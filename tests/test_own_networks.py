"""Networks of one's own: a file and a recipe; their bundles run no code that nobody gave."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import SIDE, photo_pixels
from PIL import Image
from typer.testing import CliRunner

from trueshot.attacks import PGD, perturb
from trueshot.bundle import load_bundle, read_bundle, read_card
from trueshot.cli import app
from trueshot.datasets import Dataset, Settings, examples_of, photos_at, prepare
from trueshot.errors import BundleError, PluginError, RecipeError, RunError
from trueshot.networks import own
from trueshot.pixels import linf
from trueshot.tasks import TASKS, Pixels, Task
from trueshot.training import Recipe, load_recipe, parse_recipe, train

NETWORK = """
from pathlib import Path

import torch
from torch import nn

Path(__file__).with_name("was run").touch()


class Residual(nn.Module):
    def __init__(self, classes, width=4):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU(),
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, classes),
        )

    def forward(self, images):
        return self.layers(images)


class Fixed(nn.Module):
    def __init__(self):
        super().__init__()


half = 0.5
"""

FORWARD = "def forward(self, images):\n"
INIT = "def __init__(self, classes, width=4):\n"

RECIPE = """
name: own
network: {network}
schedule: {{iterations: 2, batch: 8}}
objective: {{penalty: {{weight: 1.0}}, fusion: {{adversarial: 4}}}}
"""


@pytest.fixture(autouse=True)
def _nothing_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own, "_GIVEN", {})


def written(folder: Path, network: str = "net.py:Residual", text: str = NETWORK) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "net.py").write_text(text)
    (folder / "own.yaml").write_text(RECIPE.format(network=network))
    return folder / "own.yaml"


def trained(dataset: Dataset, folder: Path) -> Path:
    recipe = load_recipe(written(folder, "{name: 'net.py:Residual', width: 6}"))
    return train(recipe, dataset, folder / "run").bundle


def test_a_recipe_with_a_network_of_ones_own_trains_and_is_attacked(
    dataset: Dataset, tmp_path: Path
) -> None:
    detector, card = load_bundle(trained(dataset, tmp_path))
    assert card.network["name"] == "net.py:Residual"
    assert card.network["width"] == detector.network.layers[0].out_channels == 6
    images, labels = dataset.part(SIDE, "test").batch(slice(0, 4))
    attacked = perturb(PGD(budget=2.0, steps=2), detector, images, labels)
    assert 0 < float(linf(attacked, images).max()) <= 2.0


@pytest.mark.parametrize(
    ("begun", "line", "said"),
    [
        (FORWARD, "raise ZeroDivisionError('by nothing')", r"net\.py:Residual: fails on"),
        (FORWARD, "images.clamp_(0.0, 1.0)", r"net\.py:Residual: modifies its input images"),
        (INIT, "{}['width']", r"network 'net\.py:Residual': KeyError: 'width'"),
    ],
)
def test_a_network_that_raises_or_writes_into_its_input_is_named_before_the_training(
    dataset: Dataset, tmp_path: Path, begun: str, line: str, said: str
) -> None:
    assert begun in NETWORK
    text = NETWORK.replace(begun, f"{begun}        {line}\n")
    recipe = load_recipe(written(tmp_path, text=text))
    with pytest.raises(RecipeError, match=said):
        train(recipe, dataset, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_network_with_lazy_layers_is_refused_before_anything_is_written(
    dataset: Dataset, tmp_path: Path
) -> None:
    text = NETWORK.replace("nn.Linear(width, classes)", "nn.LazyLinear(classes)")
    recipe = load_recipe(written(tmp_path, text=text))
    with pytest.raises(RecipeError, match=r"net\.py:Residual: has lazy layers"):
        train(recipe, dataset, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_layers_with_two_names_are_trained_kept_and_averaged_as_with_one(
    dataset: Dataset, tmp_path: Path
) -> None:
    named = NETWORK.replace(
        "    def forward", "        self.head = self.layers[-1]\n\n    def forward"
    )
    weights = []
    for folder, text in (("one", NETWORK), ("two", named)):
        recipe = load_recipe(written(tmp_path / folder, text=text))
        averaged = recipe.schedule.model_copy(update={"averaging": 0.5})
        recipe = recipe.model_copy(update={"schedule": averaged})
        run = train(recipe, dataset, tmp_path / folder / "run", checkpoint_seconds=0.0)
        weights.append(load_bundle(run.bundle)[0].network.layers.state_dict())
    assert all(torch.equal(value, weights[1][name]) for name, value in weights[0].items())


def test_a_network_whose_graph_fails_on_more_crops_is_kept_without_one(
    dataset: Dataset, tmp_path: Path
) -> None:
    text = (
        NETWORK.replace("nn.Flatten()", "Rows()")
        + """

class Rows(nn.Module):
    def forward(self, images):
        return images.reshape(len(images), -1)  # which tracing takes for a constant
"""
    )
    recipe = load_recipe(written(tmp_path, text=text))
    bundle = train(recipe, dataset, tmp_path / "run").bundle
    assert load_bundle(bundle)[0].network is not None
    assert read_bundle(bundle).graph is None


def test_a_bundle_never_runs_code_that_the_user_did_not_give(
    dataset: Dataset, tmp_path: Path
) -> None:
    bundle = trained(dataset, tmp_path)
    own._GIVEN.clear()
    (tmp_path / "was run").unlink()
    script = (
        "import sys; from trueshot.bundle import load_bundle, read_card\n"
        "read_card(sys.argv[1]); load_bundle(sys.argv[1])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(bundle)], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "net.py (SHA-256" in done.stderr
    assert "--network path/to/net.py:Residual" in done.stderr
    assert not (tmp_path / "was run").exists()
    assert read_card(bundle).classes == ("original", "recaptured")


def test_a_bundle_is_read_where_the_same_file_is_given_and_not_with_another(
    dataset: Dataset, tmp_path: Path
) -> None:
    bundle = trained(dataset, tmp_path)
    own._GIVEN.clear()
    written(tmp_path / "elsewhere", text=NETWORK + "# changed\n")
    own.give(f"{tmp_path / 'elsewhere' / 'net.py'}:Residual")
    with pytest.raises(BundleError, match="a different file was given"):
        load_bundle(bundle)
    written(tmp_path / "elsewhere")
    own.give(f"{tmp_path / 'elsewhere' / 'net.py'}:Residual")
    assert load_bundle(bundle)[0].network.layers[0].out_channels == 6


def test_a_run_goes_on_with_its_file_and_not_with_a_changed_one(
    dataset: Dataset, tmp_path: Path
) -> None:
    recipe = written(tmp_path)
    first = train(load_recipe(recipe), dataset, tmp_path / "run").bundle.read_bytes()
    assert train(load_recipe(recipe), dataset, tmp_path / "run").bundle.read_bytes() == first
    written(tmp_path, text=NETWORK + "# changed\n")
    with pytest.raises(RunError, match="another recipe"):
        train(load_recipe(recipe), dataset, tmp_path / "run")
    with pytest.raises(RecipeError, match="does not have the SHA-256"):
        load_recipe(written(tmp_path, f"{{name: 'net.py:Residual', sha256: {'0' * 64}}}"))


@pytest.mark.parametrize("window", ["hann", "128"])
def test_arguments_of_ones_own_network_mean_what_it_makes_of_them(
    window: str, dataset: Dataset, tmp_path: Path
) -> None:
    text = NETWORK.replace("width=4", "width=4, window=None")
    network = f"{{name: 'net.py:Residual', window: {window}}}"
    recipe = load_recipe(written(tmp_path, network, text))
    assert train(recipe, dataset, tmp_path / "run").bundle.is_file()


def test_a_network_has_the_same_name_whether_its_file_was_given_before_or_not(
    tmp_path: Path,
) -> None:
    (tmp_path / "nets").mkdir()
    sha256 = load_recipe(written(tmp_path / "nets")).network.model_dump()["sha256"]
    own._GIVEN.clear()
    recipe = tmp_path / "own.yaml"
    recipe.write_text(RECIPE.format(network=f"{{name: 'nets/net.py:Residual', sha256: {sha256}}}"))
    assert load_recipe(recipe) == load_recipe(recipe)  # the first gives the file


def test_a_recipe_is_data_until_its_file_is_given(tmp_path: Path) -> None:
    found = load_recipe(written(tmp_path))
    (tmp_path / "was run").unlink()
    assert parse_recipe(found.to_yaml(), "copy") == found
    assert Recipe.model_validate(found.model_dump(mode="json")) == found
    assert not (tmp_path / "was run").exists()


@pytest.mark.parametrize(
    ("network", "error", "said"),
    [
        ("none.py:Residual", PluginError, "none.py"),
        ("net.py:None_", PluginError, "does not define None_"),
        ("net.py:half", PluginError, "must be a subclass of nn.Module"),
        ("{name: 'net.py:Residual', depth: 3}", RecipeError, "depth"),
        ("net.py:Fixed", RecipeError, "classes"),
    ],
)
def test_what_is_no_network_is_refused_before_anything_is_written(
    network: str, error: type[Exception], said: str, dataset: Dataset, tmp_path: Path
) -> None:
    with pytest.raises(error, match=said):
        train(load_recipe(written(tmp_path, network)), dataset, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def four_classes(folder: Path) -> Dataset:
    def on_a_grid(pixels: Pixels, label: int, random: np.random.Generator) -> Pixels:
        lines = np.indices(pixels.shape[:2]).sum(0) % (label + 1) == 0
        return np.clip(pixels + (10 * lines * (label > 0))[..., None], 0, 255).astype(np.uint8)

    task = Task(name="grids", classes=("none", "fine", "medium", "coarse"), examples=on_a_grid)
    for number in range(8):
        Image.fromarray(photo_pixels(number, recaptured=False)).save(folder / f"{number}.png")
    settings = Settings(sides=(SIDE,), per_class=60, task=task)
    return prepare(examples_of(photos_at([folder]), task), folder / "d", settings)


@pytest.mark.parametrize(
    "objective",
    [
        "{}",
        "{penalty: {weight: 1.0, method: difference}, fusion: {adversarial: 4}}",
        "{fusion: {adversarial: 4, loss: trades, attack: pgd}}",
        "{fusion: {adversarial: 4, loss: mart, attack: n-fgsm}, alignment: {}}",
        "{weight_perturbation: {radius: 0.01}}",
    ],
)
def test_every_objective_trains_on_four_classes(objective: str, tmp_path: Path) -> None:
    recipe = parse_recipe(
        f"name: four\nnetwork: {{filters: [2, 2, 4, 4, 4]}}\nobjective: {objective}\n"
        "schedule: {iterations: 2, batch: 8}",
        "four",
    )
    made = four_classes(tmp_path)
    history = train(recipe, made, tmp_path / "run")
    detector, card = load_bundle(history.bundle)
    assert card.classes == detector.classes == ("none", "fine", "medium", "coarse")
    assert (card.task_name, card.words.verdicts) == ("grids", ("none", "not none"))
    assert np.isfinite(history.records[-1]["loss"])
    images, _ = made.part(SIDE, "test").batch(slice(0, 3))
    with torch.no_grad():
        assert detector(images).shape == (3, 4)


def test_four_classes_are_learnt(tmp_path: Path) -> None:
    text = (
        "name: learnt\nnetwork: {filters: [4, 4, 8, 8, 8]}\n"
        "schedule: {iterations: 200, batch: 16, learning_rate: 0.01}"
    )
    made = four_classes(tmp_path)
    history = train(parse_recipe(text, "learnt"), made, tmp_path / "run")
    assert history.records[-1]["validation_clean"] > 0.8


def test_a_run_does_not_begin_with_weights_that_tell_other_classes(
    dataset: Dataset, tmp_path: Path
) -> None:
    text = "name: a\nnetwork: {filters: [2, 2, 4, 4, 4]}\nschedule: {iterations: 1, batch: 8}"
    recipe = parse_recipe(text, "a")
    two = train(recipe, dataset, tmp_path / "two").bundle
    with pytest.raises(RunError, match="original, recaptured, but the data set has none, fine"):
        train(recipe, four_classes(tmp_path), tmp_path / "four", start=two)
    settings = Settings(sides=(SIDE,), per_class=20, task=TASKS["median-filtering"])
    other = prepare(
        examples_of(photos_at([tmp_path / "0.png", *sorted(tmp_path.glob("[1-7].png"))]),
                    settings.task),
        tmp_path / "median",
        settings,
    )  # fmt: skip
    assert train(recipe, other, tmp_path / "m").bundle.is_file()


def test_a_bundle_is_scanned_without_the_file_and_attacked_only_with_it(
    dataset: Dataset, tmp_path: Path
) -> None:
    bundle = trained(dataset, tmp_path)
    own._GIVEN.clear()
    photograph, out = tmp_path / "photo.png", tmp_path / "r.jsonl"
    Image.fromarray(photo_pixels(50, recaptured=True)).save(photograph)
    said = ["scan", photograph, "--bundle", bundle, "--out", out, "--exit-zero", "--workers", 1]
    done = CliRunner().invoke(app, [str(word) for word in said])
    assert done.exit_code == 0, done.output
    assert json.loads(out.read_text())["verdict"] in ("original", "recaptured")
    attack = ["attack", bundle, photograph, "--out", tmp_path / "attacked"]
    done = CliRunner().invoke(app, [str(word) for word in attack])
    assert isinstance(done.exception, BundleError)
    assert "--network path/to/net.py:Residual" in str(done.exception)
    given = ["--network", f"{tmp_path / 'net.py'}:Residual"]
    done = CliRunner().invoke(app, [str(word) for word in [*attack, *given]])
    assert done.exit_code == 0, (done.output, done.exception)
    assert len(list((tmp_path / "attacked").glob("*.png"))) == 1
    told = CliRunner().invoke(app, ["inspect", str(bundle)]).output
    assert "custom code, in a file with SHA-256" in told
