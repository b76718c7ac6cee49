"""Tasks: classes of any number and name, examples made of photographs, code only where named."""

from __future__ import annotations

import errno
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
from conftest import SIDE, photo_pixels
from PIL import Image
from typer.testing import CliRunner

from trueshot.cli import app
from trueshot.datasets import Dataset, Settings, examples_of, photos_at, photos_in_manifest, prepare
from trueshot.datasets.example_files import write_examples
from trueshot.datasets.manifest import fingerprint, has_card
from trueshot.errors import DatasetError, PluginError, SimulationError, TaskError
from trueshot.evaluation.result import load_result
from trueshot.plugins import load_plugin
from trueshot.simulate import Simulation, simulate
from trueshot.tasks import TASKS, Pixels, Task, Wording, task_named
from trueshot.tasks.recapture import RECAPTURE

OWN = '''
"""Which way a photograph was turned."""

import numpy as np

from trueshot.tasks import Task


def turn(pixels, label, random):
    return np.rot90(pixels, label)


TURNED = Task(name="turned", classes=("upright", "left", "over", "right"), examples=turn)
'''


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photographs of which examples are made."""
    folder = tmp_path_factory.mktemp("photographs")
    for number in range(12):
        pixels = photo_pixels(number, recaptured=False)
        Image.fromarray(pixels).save(folder / f"{number:02}.png")
    return folder


def own_file(folder: Path, text: str = OWN) -> Path:
    path = folder / "own.py"
    path.write_text(text)
    return path


def prepared(task: Task, folder: Path, out: Path, **settings: object) -> Dataset:
    chosen = Settings(sides=(SIDE,), per_class=20, task=task, **settings)  # type: ignore[arg-type]
    return prepare(examples_of(photos_at([folder]), task), out, chosen)


def test_every_class_is_made_of_the_same_photographs_and_none_of_them_leaks(
    folder: Path, tmp_path: Path
) -> None:
    task = TASKS["manipulation"]
    made = prepared(task, folder, tmp_path / "d")
    held = defaultdict(set)
    for row in made.photos.to_pylist():
        held[row["path"].split("/", 1)[1]].add(row["part"])
    assert len(held) == 12
    assert all(len(parts) == 1 for parts in held.values())
    for part in ("train", "validation", "test"):
        labels = made.part(SIDE, part).labels
        assert len(set(np.bincount(labels, minlength=6))) == 1
        assert len(labels) == 6 * made.card["sides"][str(SIDE)]["crops_per_class"][part]


def test_a_picture_in_two_files_gives_examples_once_and_stands_in_one_part(tmp_path: Path) -> None:
    for number in range(12):
        image = Image.fromarray(photo_pixels(number, recaptured=False))
        for level in (0, 9):  # of compression: equal pixels, other bytes
            image.save(tmp_path / f"{number:02}-{level}.png", compress_level=level)
    made = prepared(task_named("median-filtering"), tmp_path, tmp_path / "d")
    assert {row["path"][-5:] for row in made.photos.to_pylist() if row["part"]} == {"0.png"}
    assert made.card["passed_over"]["median-filtered/03-9.png"].endswith("picture as 03-0.png")
    assert len(made.card["passed_over"]) == 24


def test_an_example_is_made_of_the_whole_photograph_before_it_is_cut(
    folder: Path, tmp_path: Path
) -> None:
    from scipy.ndimage import median_filter

    def filtered(pixels: Pixels, label: int, random: np.random.Generator) -> Pixels:
        return median_filter(pixels, (5, 5, 1)) if label else pixels

    task = Task(name="median", classes=("no", "yes"), examples=filtered)
    made = prepared(task, folder, tmp_path / "d")
    for part in ("train", "test"):
        rows = [row for row in made.crops[SIDE].to_pylist() if row["part"] == part]
        for row, crop in zip(rows, made.part(SIDE, part).crops(slice(None)), strict=True):
            label, name = row["path"].split("/")
            pixels = np.asarray(Image.open(folder / name))
            whole = median_filter(pixels, (5, 5, 1)) if label == "yes" else pixels
            y, x = row["y"], row["x"]
            assert (whole[y : y + SIDE, x : x + SIDE] == crop).all()


def test_examples_depend_on_seed_photograph_and_class_alone(folder: Path, tmp_path: Path) -> None:
    task = TASKS["manipulation"]
    pixels = photo_pixels(0, recaptured=False)
    one = task.example(pixels, 3, seed=0, sha256="a" * 64)
    assert (one == task.example(pixels, 3, seed=0, sha256="a" * 64)).all()
    for seed, sha256 in ((1, "a" * 64), (0, "b" * 64)):
        assert (one != task.example(pixels, 3, seed=seed, sha256=sha256)).any()
    assert (task.example(pixels, 0, seed=0, sha256="a" * 64) == pixels).all()
    names = [p.name for p in folder.iterdir()]
    whole = prepared(task, folder, tmp_path / "d")
    again = prepared(task, folder, tmp_path / "e")
    assert whole.fingerprint(SIDE) == again.fingerprint(SIDE)
    assert len(names) == 12


def test_other_examples_of_the_same_photographs_are_other_data(
    folder: Path, tmp_path: Path
) -> None:
    names = ("median-filtering-3x3-png", "median-filtering-5x5-png")  # the classes are the same
    made = [prepared(task_named(name), folder, tmp_path / name) for name in names]
    assert made[0].crops[SIDE].equals(made[1].crops[SIDE])
    assert made[0].fingerprint(SIDE) != made[1].fingerprint(SIDE)
    old = fingerprint(made[0].photos, made[0].crops[SIDE], examples=False)
    card = tmp_path / names[0] / "dataset.json"
    card.write_text(card.read_text().replace(made[0].fingerprint(SIDE), old))
    assert Dataset.open(tmp_path / names[0]).fingerprint(SIDE) == old


def test_a_task_of_sizes_is_a_shortcut_and_one_of_filters_is_none(
    folder: Path, tmp_path: Path
) -> None:
    def cropped(pixels: Pixels, label: int, random: np.random.Generator) -> Pixels:
        return pixels[: 128 - 16 * label]

    sizes = Task(name="sizes", classes=("whole", "cut", "cut more"), examples=cropped)
    audit = prepared(sizes, folder, tmp_path / "sizes").card["shortcut_audit"]
    assert audit["auc"] > 0.95
    assert "height" in audit["warning"]
    audit = prepared(TASKS["median-filtering"], folder, tmp_path / "f").card["shortcut_audit"]
    assert audit["auc"] == pytest.approx(0.5)
    assert not audit["warning"]


def test_a_detector_from_elsewhere_has_the_classes_of_the_data_set(
    folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "turned.py").write_text(OWN)
    task = task_named(f"{tmp_path / 'turned.py'}:TURNED")
    data = prepared(task, folder, tmp_path / "data")
    (tmp_path / "net.py").write_text(
        "import torch\n"
        "class Net(torch.nn.Module):\n"
        "    def forward(self, images):\n"
        "        one, other = (half.mean((1, 2, 3)) for half in images.tensor_split(2, 2))\n"
        "        return torch.stack([one, other, -one, -other], 1)\n"
    )
    asked = ["evaluate", "--detector", f"{tmp_path / 'net.py'}:Net", "--dataset", str(data.folder)]
    asked += ["--out", str(tmp_path / "out"), "--suite", "everyday"]
    done = CliRunner().invoke(app, asked)
    assert done.exit_code == 0, done.output
    (path,) = (tmp_path / "out").glob("everyday-*.json")
    assert load_result(path).classes == task.classes
    wrong = CliRunner().invoke(app, [*asked, "--positive-class", "0"])
    assert "two classes, not 4; give the classes in the order of the data set" in str(
        wrong.exception
    )


def test_examples_that_differ_from_one_time_to_the_next_are_refused(
    folder: Path, tmp_path: Path
) -> None:
    source = np.random.default_rng()

    def noisy(pixels: Pixels, label: int, random: np.random.Generator) -> Pixels:
        return source.integers(0, 255, pixels.shape).astype(np.uint8) if label else pixels

    task = Task(name="careless", classes=("no", "yes"), examples=noisy)
    with pytest.raises(DatasetError, match="take all randomness in examples from the generator"):
        prepared(task, folder, tmp_path / "d")
    assert not has_card(tmp_path / "d")


def test_examples_of_a_folder_above_lie_in_the_folders_of_their_classes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("above/below", "beside"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("above/1.png", "beside/2.png"):
        Image.fromarray(photo_pixels(len(name), recaptured=False)).save(tmp_path / name)
    monkeypatch.chdir(tmp_path / "above" / "below")
    photos = examples_of(photos_at([Path(".."), tmp_path / "beside"]), TASKS["recompression"])
    assert [each.name for each in photos] == [
        *("original/above/1.png", "original/beside/2.png"),
        *("compressed/above/1.png", "compressed/beside/2.png"),
    ]


def test_a_name_too_long_for_an_example_does_not_end_the_others(tmp_path: Path) -> None:
    long, short = "a" * 250 + ".png", "b.png"
    for number, name in enumerate((long, short)):
        Image.fromarray(photo_pixels(number, recaptured=False)).save(tmp_path / name)
    photos = photos_at([tmp_path / short, tmp_path / long])
    made = write_examples(photos, TASKS["recompression"], tmp_path / "out")
    assert made.photographs == 1
    assert "File name too long" in made.unread[long]
    assert (tmp_path / "out" / "original" / "b.png.png").is_file()


def test_examples_are_not_made_again_after_a_line_that_a_crash_cut_off(tmp_path: Path) -> None:
    for number in range(3):
        Image.fromarray(photo_pixels(number, False)).save(tmp_path / f"{number}.png")
    photos, out = photos_at([tmp_path]), tmp_path / "out"
    write_examples(photos[:1], TASKS["recompression"], out)
    with (out / "examples.jsonl").open("a") as journal:
        journal.write('{"path": "orig')
    write_examples(photos, TASKS["recompression"], out)
    before = {path: path.stat().st_ino for path in out.rglob("*.png")}
    assert len(before) == 6
    write_examples(photos, TASKS["recompression"], out)
    assert {path: path.stat().st_ino for path in out.rglob("*.png")} == before


def test_examples_beside_their_photographs_are_not_made_of_one_another(tmp_path: Path) -> None:
    Image.fromarray(photo_pixels(0, recaptured=False)).save(tmp_path / "a.png")
    for _ in range(2):
        made = write_examples(photos_at([tmp_path]), TASKS["recompression"], tmp_path / "out")
        assert made.photographs == 1
    assert len(list((tmp_path / "out").rglob("*.png"))) == 2


def test_of_two_files_of_one_picture_examples_are_made_once(tmp_path: Path) -> None:
    image = Image.fromarray(photo_pixels(0, recaptured=False))
    for name in ("a.png", "b.bmp"):
        image.save(tmp_path / name)
    for _ in range(2):
        made = write_examples(photos_at([tmp_path]), TASKS["recompression"], tmp_path / "out")
        assert made.photographs == 1
        assert made.unread == {"b.bmp": "the same picture as a.png"}


def test_where_no_photograph_gives_an_example_the_first_reason_is_told(tmp_path: Path) -> None:
    (tmp_path / "cut.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    with pytest.raises(DatasetError, match=r"1 could not be used \(cut\.png: .+\), and 0 were"):
        write_examples(photos_at([tmp_path]), TASKS["recompression"], tmp_path / "out")


def test_names_that_look_like_escapes_give_examples_of_their_own(tmp_path: Path) -> None:
    for number, name in enumerate(("a\nb.png", r"a\nb.png")):
        Image.fromarray(photo_pixels(number, recaptured=False)).save(tmp_path / name)
    made = write_examples(photos_at([tmp_path]), TASKS["recompression"], tmp_path / "out")
    assert made.photographs == 2
    assert len(list((tmp_path / "out").rglob("*.png"))) == 4


def test_a_full_disk_ends_the_examples_and_is_no_fault_of_a_photograph(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "out")

    monkeypatch.setattr("trueshot.datasets.example_files.write_png", full)
    with pytest.raises(OSError, match="No space left"):
        write_examples(photos_at([folder]), TASKS["recompression"], tmp_path / "out")


def test_a_photograph_of_which_no_example_can_be_made_is_passed_over_by_name(
    folder: Path, tmp_path: Path
) -> None:
    def picky(pixels: Pixels, label: int, random: np.random.Generator) -> Pixels:
        if label and pixels[0, 0, 0] % 5 == 0:
            raise ValueError("too dull")
        return pixels ^ np.uint8(label)

    task = Task(name="picky", classes=("no", "yes"), examples=picky)
    made = prepared(task, folder, tmp_path / "d")
    dull = {
        f"yes/{p.name}" for p in folder.iterdir() if np.asarray(Image.open(p))[0, 0, 0] % 5 == 0
    }
    assert dull
    assert made.card["passed_over"].keys() == dull
    assert all("too dull" in reason for reason in made.card["passed_over"].values())


def test_a_data_set_remembers_its_task_and_one_of_before_is_of_recapture(
    folder: Path, dataset: Dataset, tmp_path: Path
) -> None:
    task = TASKS["median-filtering"]
    assert prepared(task, folder, tmp_path / "d").task == Task.of_facts(task.facts())
    assert dataset.task == RECAPTURE
    old = Dataset(
        folder=dataset.folder,
        card={k: v for k, v in dataset.card.items() if k != "task"},
        photos=dataset.photos,
        crops=dataset.crops,
    )
    assert old.task == RECAPTURE


def test_a_task_out_of_a_file_is_prepared_from_the_command_line(
    folder: Path, tmp_path: Path
) -> None:
    spec = f"{own_file(tmp_path)}:TURNED"
    done = CliRunner().invoke(
        app,
        ["prepare", str(folder), "--task", spec, "--size", str(SIDE), "--per-class", "20",
         "--out", str(tmp_path / "d")],
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    made = Dataset.open(tmp_path / "d")
    assert made.task.classes == ("upright", "left", "over", "right")
    assert made.task.code == load_plugin(spec).sha256
    part = made.part(SIDE, "test")
    assert np.bincount(part.labels).tolist() == [len(part) // 4] * 4


def test_folders_of_classes_that_no_task_has_are_a_task_of_their_own(tmp_path: Path) -> None:
    for number, name in enumerate(("plain", "grid", "dark")):
        (tmp_path / name).mkdir()
        for seed in range(4):
            pixels = photo_pixels(seed + 10 * number, recaptured=name == "grid")
            Image.fromarray(pixels).save(tmp_path / name / f"{seed}.png")
    classes = [f"--class={name}={tmp_path / name}" for name in ("plain", "grid", "dark")]
    made = ["prepare", *classes, "--size", str(SIDE), "--per-class", "10", "--out"]
    done = CliRunner().invoke(app, [*made, str(tmp_path / "d")])
    assert done.exit_code == 0, done.output
    task = Dataset.open(tmp_path / "d").task
    assert task.classes == ("plain", "grid", "dark")
    assert task.words.verdicts == ("plain", "not plain")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--task", "none"], "choose one of recapture"),
        (["--task", "none.py:T", "."], "none.py"),
        (["--task", "median-filtering", "--original", ".", "--recaptured", "."], "makes its"),
        (["--class", "original"], "NAME=FOLDER"),
        (["--class", "original=.", "--original", "."], "each class once"),
        (["--original", "."], "a folder for each class"),
        (["--manifest", "m.csv", "photo.jpg"], "give exactly one of: a folder"),
        (["--task", "median-filtering", "none.jpg"], "none.jpg: no such file"),
    ],
)
def test_what_cannot_be_prepared_is_said(arguments: list[str], said: str, tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["prepare", *arguments, "--out", str(tmp_path / "d")])
    assert done.exit_code != 0
    assert said in done.output + str(done.exception)


def test_a_manifest_of_photographs_needs_no_labels_where_examples_are_made(
    folder: Path, tmp_path: Path
) -> None:
    task = TASKS["median-filtering"]
    rows = "".join(f"{p},phone {p.name[0]}\n" for p in sorted(folder.iterdir()))
    (tmp_path / "m.csv").write_text("path,source\n" + rows)
    found = photos_in_manifest(tmp_path / "m.csv", task)
    assert {photo.label for photo in found} == {""}
    assert found[0].source == "phone 0"
    with pytest.raises(DatasetError, match="label"):
        photos_in_manifest(tmp_path / "m.csv")


@pytest.mark.parametrize(
    "settings",
    [
        {"classes": ("one",)},
        {"classes": ("one", "one")},
        {"classes": ("one", "undecided")},
        {"classes": ("one", "a/b")},
        {"name": "", "classes": ("a", "b")},
        {"classes": ("a", "b"), "decision": "sometimes"},
        {"classes": ("a", "b", "c"), "wording": Wording.of(("a", "b"))},
    ],
)
def test_a_task_that_says_no_classes_is_refused(settings: dict[str, object]) -> None:
    with pytest.raises(TaskError):
        Task(**{"name": "task", **settings})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "name", "said"),
    [
        (OWN, "NONE", "does not define NONE"),
        ("raise ValueError('broken')", "TURNED", "ValueError: broken"),
        ("def f(:", "TURNED", "SyntaxError"),
        ("import sys\nsys.exit(0)", "TURNED", "SystemExit: 0"),
        ("TURNED = 1", "TURNED", "must be a Task, got int"),
        (OWN.replace('"turned"', '"recapture"'), "TURNED", "a built-in task is already called"),
    ],
)
def test_a_file_that_defines_no_task_is_named(
    text: str, name: str, said: str, tmp_path: Path
) -> None:
    with pytest.raises((PluginError, TaskError), match=said):
        task_named(f"{own_file(tmp_path, text)}:{name}")


def test_files_of_one_name_do_not_meet_and_a_changed_file_is_another(tmp_path: Path) -> None:
    for place in ("a", "b"):
        (tmp_path / place).mkdir()
        own_file(tmp_path / place, OWN.replace("upright", place))
    first, second = (task_named(f"{tmp_path / place / 'own.py'}:TURNED") for place in "ab")
    assert (first.classes[0], second.classes[0]) == ("a", "b")
    own_file(tmp_path / "a", OWN.replace("upright", "changed"))
    assert task_named(f"{tmp_path / 'a' / 'own.py'}:TURNED").classes[0] == "changed"


def test_a_simulation_makes_the_examples_of_a_task_of_true_shots(tmp_path: Path) -> None:
    task = TASKS["median-filtering"]
    settings = Simulation(sides=(64,), per_class=10, crops_per_photo=2, procedural=1.0, task=task)
    made = simulate(None, tmp_path / "d", settings, workers=1)
    assert made.task.classes == task.classes
    files = [p.name for p in (tmp_path / "d" / "photos").rglob("*.jpg")]
    assert files
    assert all("original" in name for name in files)
    for row in made.photos.to_pylist():
        assert row["part"] in row["path"]
    again = simulate(None, tmp_path / "d", settings, workers=1)
    assert again.fingerprint(64) == made.fingerprint(64)
    by_two = simulate(None, tmp_path / "two", settings, workers=2)
    assert by_two.fingerprint(64) == made.fingerprint(64)
    with pytest.raises(SimulationError, match="other settings"):
        simulate(None, tmp_path / "d", Simulation(sides=(64,), per_class=10, procedural=1.0))
    with pytest.raises(SimulationError, match="makes no examples"):
        Simulation(task=Task(name="labelled", classes=("a", "b")))


def test_help_names_the_tasks_that_come_along() -> None:
    text = CliRunner().invoke(app, ["prepare", "--help"], env={"COLUMNS": "200"}).output
    assert all(name in text for name in TASKS)
