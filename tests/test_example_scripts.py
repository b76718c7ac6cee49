"""The scripts under examples/ do what they say."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from conftest import SIDE
from processes import Forked
from typer.testing import CliRunner

from trueshot.bundle import load_bundle, read_card
from trueshot.cli import app
from trueshot.datasets import Dataset, Photo
from trueshot.networks import own

EXAMPLES = Path(__file__).parents[1] / "examples"


PYTHON = """
import runpy, sys
del sys.argv[0]
sys.path.insert(0, sys.argv[0].rpartition("/")[0])
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def run(script: str, *arguments: object) -> str:
    done = Forked(PYTHON, EXAMPLES / script, *arguments)
    assert done.wait() == 0, done.stderr
    return done.stdout


def test_a_folder_is_judged(photos: list[Photo], tmp_path: Path) -> None:
    folder = photos[0].path.parent
    (folder / "none.jpg").write_bytes(b"")
    said = run("judge_folder.py", folder, tmp_path / "results.csv").splitlines()
    (folder / "none.jpg").unlink()
    files = (tmp_path / "results.csv").read_text("utf-8").splitlines()[1:]
    assert len(said) == len(files) + 1
    assert "1 error" in said[-1]


@pytest.mark.parametrize("script", sorted(path.name for path in EXAMPLES.glob("*.py")))
def test_a_script_without_its_arguments_says_how_to_call_it(script: str) -> None:
    done = Forked(PYTHON, EXAMPLES / script, "--help")
    assert done.wait() == 1
    assert f"python examples/{script}" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_detector_is_attacked_and_secured(dataset: Dataset, tmp_path: Path) -> None:
    plain, secure = run("attack_and_secure.py", dataset.folder, tmp_path, 2).splitlines()
    for line, name in ((plain, "yang"), (secure, "secure")):
        assert re.fullmatch(rf"{name} +clean \d+%  FGSM \d+%  PGD \d+%", line)
        assert read_card(tmp_path / name / "detector.safetensors").recipe["name"] == name


def test_a_task_of_ones_own_is_prepared_and_trained(photos: list[Photo], tmp_path: Path) -> None:
    said = run("own_task.py", photos[0].path.parent, tmp_path, 2)
    assert "of three classes" in said
    made = Dataset.open(tmp_path / "dataset")
    assert made.task.classes == ("original", "sharpened finely", "sharpened coarsely")
    card = read_card(tmp_path / "run" / "detector.safetensors")
    assert (card.task_name, card.classes) == ("sharpening", made.task.classes)


def test_the_same_task_is_prepared_by_the_command_that_the_example_names(
    photos: list[Photo], tmp_path: Path
) -> None:
    spec = f"{EXAMPLES / 'own_task.py'}:SHARPENING"
    folder, out = str(photos[0].path.parent), str(tmp_path / "d")
    made = ["prepare", folder, "--task", spec, "--size", str(SIDE), "--per-class", "20"]
    done = CliRunner().invoke(app, [*made, "--out", out])
    assert done.exit_code == 0, done.output
    assert Dataset.open(out).task.name == "sharpening"


def test_a_network_of_ones_own_is_trained_and_attacked(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = run("own_network.py", dataset.folder, tmp_path / "run", 2)
    assert "PGD at 2 levels" in said
    monkeypatch.setattr(own, "_GIVEN", {})
    own.give(f"{EXAMPLES / 'own_network.py'}:Residual")
    detector, card = load_bundle(tmp_path / "run" / "detector.safetensors")
    assert card.network["name"] == "own_network.py:Residual"
    assert detector.network.first.out_channels == 8


def blocks_of(page: Path, names: tuple[str, ...]) -> dict[str, str]:
    """Blocks of Python on a page, by the file that a comment in them names."""
    blocks = re.findall(r"```python\n(.*?)```", page.read_text("utf-8"), flags=re.DOTALL)
    return {name: block for block in blocks for name in names if f"# {name}\n" in block}


def test_what_contributing_shows_works(photos: list[Photo], tmp_path: Path) -> None:
    page = EXAMPLES.parent / "CONTRIBUTING.md"
    blocks = blocks_of(page, ("mirrored.py", "tiny.py", "brighter.py"))
    assert len(blocks) == 3
    for name, text in blocks.items():
        assert sum(bool(line) for line in text.splitlines()) <= 10
        (tmp_path / name).write_text(text)
    (tmp_path / "tiny.yaml").write_text('{name: tiny, network: "tiny.py:Tiny"}')
    task, folder, data = tmp_path / "mirrored.py", photos[0].path.parent, tmp_path / "d"
    made = ["prepare", folder, "--task", f"{task}:MIRRORED", "--out", data, "--size", SIDE]
    trained = ["train", data, "--recipe", tmp_path / "tiny.yaml", "--out", tmp_path / "run"]
    for command in ([*made, "--per-class", 40], [*trained, "--iterations", 2]):
        done = CliRunner().invoke(app, [str(word) for word in command])
        assert done.exit_code == 0, (done.output, done.exception)
    made = tmp_path / "run" / "detector.safetensors"
    judged = ["evaluate", made, "--dataset", data, "--out", tmp_path / "result", "--crops", 4]
    attack = ["--attack", f"{tmp_path / 'brighter.py'}:Brighter", "--budget", 2]
    done = CliRunner().invoke(app, [str(word) for word in (*judged, *attack)])
    assert done.exit_code == 0, (done.output, done.exception)
    assert "Brighter" in done.output
    detector, card = load_bundle(made)
    assert detector.classes == ("original", "mirrored")
    assert card.network["name"] == "tiny.py:Tiny"
