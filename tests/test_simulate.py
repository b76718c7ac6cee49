"""Simulated data sets: divided sources, no shortcut, the same bytes however they are made."""

from __future__ import annotations

import io
import json
import random
import shutil
import time
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import all_trees, wait_until
from PIL import Image
from processes import Forked, below, kill_at_moments, parents
from typer.testing import CliRunner

from trueshot.cli import app
from trueshot.datasets import Dataset, Photo, Settings, prepare
from trueshot.engines.engine import LocalEngine
from trueshot.engines.pool import WorkerError
from trueshot.errors import DatasetError, ImageFileError, LeakError, RunError, SimulationError
from trueshot.images import read_image, write_jpeg, write_png
from trueshot.simulate import Simulation, load, production_of, show, simulate, work_of
from trueshot.simulation.display import Display
from trueshot.simulation.pairs import PAPER, original, recaptured
from trueshot.simulation.print import Print
from trueshot.simulation.production import names, produce
from trueshot.simulation.recapture import look, see_display
from trueshot.simulation.scenes import embedded_scenes, photo_scenes
from trueshot.tasks import task_named
from trueshot.tasks.recapture import RECAPTURE

SMALL = Simulation(sides=(64,), per_class=20, procedural=0.9, seed=3)  # 2, 1 and 3 pairs


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """40 pairs."""
    out = tmp_path_factory.mktemp("simulated")
    with all_trees():
        return simulate(None, out / "set", replace(SMALL, per_class=160), workers=2)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """6 pairs."""
    return simulate(None, tmp_path_factory.mktemp("small") / "set", SMALL, workers=2)


def test_no_scene_camera_or_medium_is_in_two_parts(simulated: Dataset) -> None:
    parts: dict[tuple[str, str], set[str]] = defaultdict(set)
    for row in simulated.photos.to_pylist():
        for kind, name in json.loads(row["origins"]).items():
            parts[kind.replace("first_", ""), name].add(row["part"])
    assert {kind for kind, _ in parts} == {"scene", "camera", "medium"}
    assert all(len(found) == 1 for found in parts.values())
    assert {next(iter(found)) for found in parts.values()} == {"train", "validation", "test"}


def test_classes_hold_the_same_numbers_and_the_papers_shares(simulated: Dataset) -> None:
    assert simulated.card["split_by"] == "manifest"
    counts = simulated.card["sides"]["64"]["crops_per_class"]
    assert counts == {"train": 64, "validation": 16, "test": 80}


@pytest.fixture(scope="module")
def paper_style(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """10 pairs by the few devices that all parts share."""
    out = tmp_path_factory.mktemp("paper")
    return simulate(None, out / "set", replace(SMALL, conditions=PAPER), workers=2)


def test_paper_style_data_share_a_few_devices_over_all_parts_and_no_scene(
    paper_style: Dataset,
) -> None:
    parts: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for row in paper_style.photos.to_pylist():
        for kind, name in json.loads(row["origins"]).items():
            parts[kind.replace("first_", "")][name].add(row["part"])
    assert all(len(found) == 1 for found in parts["scene"].values())
    for kind in ("camera", "medium"):
        assert len(parts[kind]) <= PAPER.shared_devices
        assert {"train", "test"} <= set().union(*parts[kind].values())
        assert max(len(found) for found in parts[kind].values()) > 1


def test_the_leak_of_shared_devices_is_told_and_of_other_data_there_is_none(
    paper_style: Dataset, small: Dataset
) -> None:
    assert "share cameras and media, on purpose" in paper_style.leak()
    assert Dataset.open(paper_style.folder).shared == ["camera", "medium"]
    assert small.leak() == ""
    assert "shared" not in small.card


def test_a_shared_device_is_refused_where_the_data_set_does_not_say_so(
    paper_style: Dataset, tmp_path: Path
) -> None:
    shutil.copytree(paper_style.folder, tmp_path, dirs_exist_ok=True)
    card = json.loads((tmp_path / "dataset.json").read_text())
    (tmp_path / "dataset.json").write_text(json.dumps({**card, "shared": ["medium"]}))
    with pytest.raises(LeakError, match="camera"):
        Dataset.open(tmp_path)


def test_a_scene_may_not_be_shared_with_the_devices(paper_style: Dataset, tmp_path: Path) -> None:
    photos = [
        Photo(
            name=row["path"],
            path=paper_style.folder / row["path"],
            label=row["label"],
            part=row["part"],
            origins={**json.loads(row["origins"]), "scene": "the same"},
        )
        for row in paper_style.photos.to_pylist()
    ]
    with pytest.raises(LeakError, match="scene"):
        prepare(photos, tmp_path / "set", Settings(sides=(64,), shared=("camera", "medium")))


def test_a_camera_stands_still_before_each_display_of_paper_style_data() -> None:
    production = production_of(None, replace(SMALL, conditions=PAPER))
    pairs = [production.pair(part, number) for part in ("train", "test") for number in range(40)]
    views = {(p.camera.name, p.medium.name, p.view.magnification, p.view.angle) for p in pairs}
    assert len(views) == len({(p.camera.name, p.medium.name) for p in pairs}) > 2
    assert len({p.view.phase for p in pairs}) == len(pairs)


def test_a_fainter_grid_leaves_so_much_less_of_a_wave_in_the_light() -> None:
    def contrast(grid: float) -> float:
        conditions = replace(PAPER, grid=grid, magnification=(6.0, 6.0))
        pair = production_of(None, replace(SMALL, conditions=conditions)).pair("test", 1)
        assert isinstance(pair.medium, Display)
        still = replace(pair.medium, sparkle=0.0, flicker=0.0, unevenness=0.0)
        places = look(pair.view, 64, 64)
        grey = np.full((places.height, places.width, 3), 128, np.uint8)
        dark = replace(pair.ambience, mirror=0.0)
        light = see_display(grey, still, places, pair.camera, pair.shot, dark)
        return float((light.std((0, 1)) / light.mean((0, 1))).max())

    assert contrast(1.0) > 0.02
    assert contrast(0.1) == pytest.approx(0.1 * contrast(1.0), rel=1e-3)
    assert contrast(0.0) < 1e-4


@pytest.mark.parametrize("wrong", [{"grid": -0.1}, {"grid": 2.0}, {"shared_devices": 1}])
def test_conditions_that_make_no_sense_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(SimulationError, match=r"(grid|shared_devices) must be .*, got"):
        replace(PAPER, **wrong)


def test_there_are_as_many_devices_as_wanted() -> None:
    for devices, few in ((100, 40), (20, 8)):
        casts = production_of(None, replace(SMALL, devices=devices)).casts
        assert len(casts["train"].cameras) == len(casts["train"].media) == few
        assert len({camera.name for cast in casts.values() for camera in cast.cameras}) == devices
    facts = replace(SMALL, devices=20).facts()
    assert Simulation.of_facts(json.loads(json.dumps(facts))).devices == 20


def test_a_simulation_of_before_devices_could_be_chosen_goes_on(small: Dataset) -> None:
    assert "devices" not in json.loads((small.folder / "simulation.json").read_text())["simulation"]


def test_too_few_devices_and_two_kinds_of_them_are_refused() -> None:
    with pytest.raises(SimulationError, match="devices must be at least 6, got 5"):
        replace(SMALL, devices=5)
    with pytest.raises(SimulationError, match="give only one of them"):
        replace(SMALL, conditions=PAPER, devices=200)


def test_the_command_takes_the_number_of_devices(tmp_path: Path) -> None:
    line = ["simulate", "--devices", "5", "--per-class", "4", "--out", str(tmp_path / "set")]
    found = CliRunner().invoke(app, line).exception
    assert isinstance(found, SimulationError)
    assert "got 5" in str(found)


def test_a_simulation_of_before_conditions_had_shared_devices_goes_on(small: Dataset) -> None:
    facts = json.loads((small.folder / "simulation.json").read_text())["simulation"]["conditions"]
    before = {"magnification", "print_magnification", "prints", "sharp", "kept", "sent"}
    assert set(facts) == before | {"quality", "grid", "processing"}
    assert facts["grid"] == True  # noqa: E712  what they wrote


def test_files_do_not_tell_the_classes_apart(simulated: Dataset) -> None:
    audit = simulated.card["shortcut_audit"]
    assert audit["photos"] == 80
    assert audit["auc"] < 0.55


def test_a_planted_shortcut_is_found(simulated: Dataset, tmp_path: Path) -> None:
    photos = []
    for row in simulated.photos.to_pylist():
        path = simulated.folder / row["path"]
        if row["label"] == "recaptured":
            path = tmp_path / row["path"]
            write_jpeg(path, read_image(simulated.folder / row["path"]).pixels, 71, "4:4:4")
        origins = json.loads(row["origins"])
        photos.append(
            Photo(
                name=row["path"], path=path, label=row["label"], part=row["part"], origins=origins
            )
        )
    with all_trees():
        audit = prepare(photos, tmp_path / "set", Settings(sides=(64,))).card["shortcut_audit"]
    assert audit["auc"] > 0.9
    assert audit["warning"]


def test_both_of_a_pair_have_the_same_camera_size_and_tables(simulated: Dataset) -> None:
    rows = {row["path"]: row for row in simulated.photos.to_pylist()}
    for path, row in rows.items():
        if row["label"] == "recaptured":
            other = rows[path.replace("recaptured", "original")]
            facts, others = json.loads(row["facts"]), json.loads(other["facts"])
            for fact in ("width", "height", "quantization", "subsampling", "format"):
                assert facts[fact] == others[fact]
            origin, another = json.loads(row["origins"]), json.loads(other["origins"])
            assert origin["camera"] == another["camera"]
            assert origin["scene"] == another["scene"]
            assert "medium" not in another


def test_the_same_seed_gives_the_same_bytes_on_one_process_and_on_two(
    small: Dataset, tmp_path: Path
) -> None:
    sets = [simulate(None, tmp_path / "one", SMALL, workers=1), small]
    files = [
        {
            path.relative_to(one.folder): path.read_bytes()
            for path in (one.folder / "photos").rglob("*.jpg")
        }
        for one in sets
    ]
    assert len(files[0]) == 12
    assert files[0] == files[1]
    assert sets[0].fingerprint(64) == sets[1].fingerprint(64)


def test_photographs_that_a_task_scales_down_hold_all_crops(tmp_path: Path) -> None:
    task = task_named("double-jpeg")
    settings = Simulation(
        sides=(128,), per_class=10, fractions=(0.5, 0.0, 0.5), procedural=1.0, task=task
    )
    made = simulate(None, tmp_path / "d", settings, workers=2)
    counts = {"train": 5, "validation": 0, "test": 5}
    assert made.card["sides"]["128"]["crops_per_class"] == counts
    assert made.card["scaled_down"] == len(made.photos)


def test_another_seed_gives_other_pictures(tmp_path: Path) -> None:
    first, second = (production_of(None, replace(SMALL, seed=seed)) for seed in (3, 4))
    for take in (original, recaptured):
        assert take(first.pair("test", 0), 64) != take(second.pair("test", 0), 64)


def test_a_pair_depends_on_its_number_alone_and_not_on_how_many_there_are() -> None:
    few, many = (production_of(None, replace(SMALL, per_class=count)) for count in (40, 400))
    assert original(few.pair("test", 2), 48) == original(many.pair("test", 2), 48)


def test_files_have_the_size_asked_for_at_every_reduction() -> None:
    production = production_of(None, SMALL)
    for number in range(8):
        pair = production.pair("train", number)
        for take in (original, recaptured):
            with Image.open(io.BytesIO(take(pair, 72))) as image:
                assert (image.format, image.mode, image.size) == ("JPEG", "RGB", (72, 72))


def test_every_kind_of_medium_is_drawn() -> None:
    production = production_of(None, SMALL)
    media = [production.pair("test", number).medium for number in range(100)]
    prints = sum(isinstance(medium, Print) for medium in media)
    assert 5 <= prints <= 30


def test_what_was_made_stays_and_what_is_missing_is_made_again(
    small: Dataset, tmp_path: Path
) -> None:
    shutil.copytree(small.folder, tmp_path, dirs_exist_ok=True)
    shots = sorted((tmp_path / "photos").rglob("*.jpg"))
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in shots}
    shots[3].unlink()
    (tmp_path / "dataset.json").unlink()
    again = simulate(None, tmp_path, SMALL, workers=1)
    assert again.fingerprint(64) == small.fingerprint(64)
    assert shots[3].read_bytes() == before[shots[3]][0]
    assert shots[9].stat().st_mtime_ns == before[shots[9]][1]


@pytest.mark.parametrize("name", ["simulation.json", "pairs.json"])
def test_one_that_is_killed_while_it_writes_a_list_goes_on(
    small: Dataset, tmp_path: Path, name: str
) -> None:
    shutil.copytree(small.folder / "photos", tmp_path / "photos")
    shutil.copy(small.folder / "simulation.json", tmp_path)
    (tmp_path / f".{name}.abc.part").write_text("{")
    assert simulate(None, tmp_path, SMALL, workers=1).fingerprint(64) == small.fingerprint(64)


def test_killed_at_random_moments_it_ends_as_one_that_was_not(
    small: Dataset, tmp_path: Path
) -> None:
    moments, out = random.Random(1), tmp_path / "killed"
    arguments = ["--per-class", "20", "--procedural", "0.9", "--seed", "3", "--workers", "2"]
    line = ["trueshot", "simulate", "--embedded", *arguments, "--out", out]
    kill_at_moments(
        lambda: Forked(*line),
        out,
        lambda: len([*out.rglob("*.jpg")]),
        lambda: moments.randint(1, 4),  # of 12
        times=2,
    )
    assert Forked(*line).wait() == 0
    assert Dataset.open(out).fingerprint(64) == small.fingerprint(64)
    assert not list(out.rglob("*.part"))


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
@pytest.mark.parametrize("moment", ["at start", "at work"])
def test_processes_end_with_a_parent_that_is_killed(tmp_path: Path, moment: str) -> None:
    process = Forked("trueshot", "simulate", "--out", tmp_path, "--workers", 2)
    assert process.pid is not None

    def is_time(family: set[int]) -> bool:
        return bool(family) and (moment == "at start" or any(tmp_path.rglob("*.jpg")))

    while not is_time(family := below(process.pid)) and process.poll() is None:
        time.sleep(0.02)
    process.kill()
    assert family
    wait_until(lambda: not family & parents().keys())


def test_photographs_become_scenes_and_bad_ones_are_passed_over_by_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (6, 90, 120, 3), np.uint8)
    for number, pixels in enumerate(noise):
        write_png(tmp_path / "in" / f"{number}.png", pixels)
    write_png(tmp_path / "in" / "twin.png", noise[0])
    Image.fromarray(noise[1]).save(tmp_path / "in" / "twin.bmp")  # equal pixels, another file
    (tmp_path / "in" / "bad\x1b[2J.jpg").write_bytes(b"\xff\xd8 no image")
    made = simulate(tmp_path / "in", tmp_path / "out", replace(SMALL, procedural=0.0), workers=1)
    scenes = {json.loads(row["origins"])["scene"] for row in made.photos.to_pylist()}
    assert scenes <= {f"photo:{number}.png" for number in range(6)}
    told = capsys.readouterr().err
    assert r"skipped photo:bad\x1b[2J.jpg: " in told
    assert "twin.png: the same picture" in told
    assert "twin.bmp: the same picture as photo:1.png" in told


def test_a_machine_that_lacks_a_photograph_names_it(tmp_path: Path) -> None:
    write_png(tmp_path / "one.png", np.zeros((90, 120, 3), np.uint8))
    scenes = photo_scenes(tmp_path)
    work = work_of(tmp_path, [*scenes, replace(scenes[0], name="photo:two.png")], SMALL)
    with pytest.raises(SimulationError, match=r"photo:two\.png is missing"):
        load(work.settings)


def test_too_few_scenes_are_an_error(tmp_path: Path) -> None:
    write_png(tmp_path / "in" / "one.png", np.zeros((90, 120, 3), np.uint8))
    with pytest.raises(SimulationError, match="too few scenes"):
        simulate(tmp_path / "in", tmp_path / "out", replace(SMALL, procedural=0.0), workers=1)
    with pytest.raises(ImageFileError, match=str(tmp_path / "none")):
        simulate(tmp_path / "none", tmp_path / "out", SMALL)


def test_a_folder_inside_that_of_the_photographs_is_refused(tmp_path: Path) -> None:
    write_png(tmp_path / "one.png", np.zeros((90, 120, 3), np.uint8))
    with pytest.raises(SimulationError, match="is inside"):
        simulate(tmp_path, tmp_path / "deep" / "out", SMALL, workers=1)
    assert not (tmp_path / "deep").exists()


def test_an_address_without_ray_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="only used with the engine ray"):
        simulate(None, tmp_path, SMALL, workers=1, address="there:6379")


def test_another_simulation_and_a_folder_of_other_things_are_refused(tmp_path: Path) -> None:
    simulate(None, tmp_path / "set", replace(SMALL, per_class=10), workers=1)
    with pytest.raises(SimulationError, match="choose another folder"):
        simulate(None, tmp_path / "set", replace(SMALL, per_class=10, seed=9), workers=1)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter.txt").write_text("mine")
    with pytest.raises(SimulationError, match="choose another folder"):
        simulate(None, tmp_path / "full", SMALL, workers=1)
    assert (tmp_path / "full" / "letter.txt").read_text() == "mine"


@pytest.mark.parametrize(
    "wrong",
    [{"sides": (8,)}, {"per_class": 0}, {"crops_per_photo": 0}, {"procedural": 1.5}, {"seed": -1}],
)
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises((SimulationError, DatasetError)):
        replace(SMALL, **wrong)


def test_pairs_to_look_at_are_named_and_there(simulated: Dataset) -> None:
    pairs = json.loads((simulated.folder / "pairs.json").read_text())["pairs"]
    assert len(pairs) == 8
    for pair in pairs:
        for label in RECAPTURE.classes:
            assert (simulated.folder / pair[label]).is_file()
        assert "pixels of the file per pixel" in pair["note"]


@pytest.mark.parametrize(
    ("fractions", "part"), [(SMALL.fractions, "test"), ((0.8, 0.2, 0.0), "train")]
)
def test_the_sheet_shows_a_row_per_pair_and_ends_in_the_files_themselves(
    tmp_path: Path, fractions: tuple[float, float, float], part: str
) -> None:
    simulation = replace(SMALL, fractions=fractions)
    show(None, tmp_path / "sheet.png", simulation, pairs=2)
    sheet = read_image(tmp_path / "sheet.png").pixels
    assert sheet.shape == (22 + 2 * (256 + 22), 5 * 260, 3)
    pair = production_of(None, simulation).pair(part, 1)
    with Image.open(io.BytesIO(recaptured(pair, 256))) as image:
        last = np.asarray(image.convert("RGB"))
    np.testing.assert_array_equal(sheet[22 + 278 : 22 + 278 + 256, 4 * 260 : 4 * 260 + 256], last)


def test_a_worker_that_fails_is_an_error_and_what_it_left_goes_on(tmp_path: Path) -> None:
    production = production_of(None, SMALL)
    first = production.places()[0]

    class Failing(LocalEngine):
        def collect(self, *, wait: bool) -> Any:
            reply = super().collect(wait=wait)
            fails = reply is not None and reply[0] == 1
            return (1, WorkerError("its worker process died")) if fails else reply

    work = work_of(None, embedded_scenes(), SMALL)
    with (
        Failing(work, workers=2) as engine,
        pytest.raises(SimulationError, match="worker process died"),
    ):
        produce(production, tmp_path / "out", engine)
    produce(production, tmp_path / "out")
    assert all((tmp_path / "out" / n).is_file() for p in production.places() for n in names(*p))
    assert (tmp_path / "out" / names(*first)[0]).read_bytes() == original(
        production.pair(*first), production.side
    )


def test_a_photograph_that_is_gone_is_named(tmp_path: Path) -> None:
    production = production_of(None, SMALL)
    gone = replace(production.casts["train"].scenes[0], kind="photo", path=tmp_path / "gone.png")
    casts = {**production.casts, "train": replace(production.casts["train"], scenes=[gone])}
    with pytest.raises(ImageFileError, match=r"gone\.png"):
        produce(replace(production, casts=casts), tmp_path / "out")
