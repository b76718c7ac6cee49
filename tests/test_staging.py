"""Staged photographs: where a medium appears, what its pixels show, and that nothing else tells."""

from __future__ import annotations

import csv
import io
import os
import shutil
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from conftest import wait_until
from PIL import Image
from processes import Forked, below, parents
from typer.testing import CliRunner

from trueshot.cli import app
from trueshot.datasets import photos_in_manifest
from trueshot.errors import SimulationError
from trueshot.images import write_png
from trueshot.simulation.colour import blur, encode_srgb, to_bytes
from trueshot.simulation.display import Display, stripes
from trueshot.simulation.print import threshold_share
from trueshot.simulation.procedural import KINDS
from trueshot.simulation.scenes import procedural_scenes
from trueshot.simulation.staging import Staging, stage
from trueshot.simulation.staging.compose import Arrangement, Stage
from trueshot.simulation.staging.devices import draw_device, lit
from trueshot.simulation.staging.examples import MEDIA, Cast, draw_cast, draw_example
from trueshot.simulation.staging.geometry import (
    Box,
    Exact,
    Frame,
    aim,
    area,
    clip,
    corners,
    project,
    rotation,
)
from trueshot.simulation.staging.light import Room
from trueshot.simulation.staging.moire import Optics
from trueshot.simulation.staging.native import NativeStage, halftone_table
from trueshot.simulation.staging.pages import Page
from trueshot.simulation.staging.parts import Part, Thing
from trueshot.simulation.staging.phone import exposure_for_level, shoulder
from trueshot.simulation.staging.surfaces import Surface
from trueshot.simulation.staging.take import native_photograph, native_size, small_frame, small_size

FRAME = Frame(aspect=4 / 3)
BLACK = Surface(kind="plain", seed=0, level=0.0, colour=0.0, zoom=8.0)


@pytest.fixture(scope="module")
def cast() -> Cast:
    return draw_cast(procedural_scenes(20), 0, "train", phones=6, media=12)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    for number, kind in enumerate(("gradient", "objects", "texture") * 4):
        light = KINDS[kind](np.random.default_rng(number), 90, 120)
        write_png(folder / f"{number}.png", to_bytes(encode_srgb(light)))
    return folder


def white_panel(width: float, height: float, dots: float) -> Thing:
    """A display all of whose pixels are white, and nothing around it."""

    def paint(tall: int, wide: int) -> Image.Image:
        return Image.new("RGB", (wide, tall), "white")

    box: Box = (0.0, 0.0, width, height)
    part = Part(
        box=box,
        paint=paint,
        emits=1.0,
        finest=dots / width,
        display=Display(name="planted", layout=stripes(), unevenness=0.0),
        dots=dots,
    )
    return Thing(parts=(part,), whole=box, face=box, subject=box, medium="monitor", name="planted")


def before(thing: Thing, turn: Exact, share: float) -> Arrangement:
    """A thing in front of black."""
    pose = aim(FRAME, 0.6, turn, thing.face, share, np.zeros(2))
    return Arrangement(frame=FRAME, backdrop=BLACK, room=Room(haze=0.0), thing=thing, pose=pose)


def test_the_frame_shows_a_box_where_the_homography_takes_its_corners() -> None:
    plan = before(white_panel(400, 300, 400), rotation(25, -15, 10), 0.3)
    light = Stage(plan, 300, 400).light((0, 300))[..., 1]
    outline = plan.outline() * np.sqrt(300 * 400)
    assert light.sum() == pytest.approx(area(outline), rel=0.01)
    y, x = np.nonzero(light > 0.5)
    for corner in outline:
        assert np.hypot(x + 0.5 - corner[0], y + 0.5 - corner[1]).min() < 1.5


def test_aiming_gives_the_share_of_the_frame_that_was_asked_for() -> None:
    for share in (0.1, 0.4, 1.5):
        pose = aim(FRAME, 0.7, rotation(20, 10, 30), (0, 0, 70, 150), share, np.array([0.1, 0]))
        seen = project(pose.homography(), corners((0, 0, 70, 150)))
        assert area(seen) == pytest.approx(share, rel=1e-3)


def test_a_polygon_is_clipped_to_the_frame() -> None:
    square = corners((-1, -1, FRAME.width / 2, FRAME.height / 2))
    assert area(clip(square, FRAME)) == pytest.approx(0.25)
    assert len(clip(corners((5, 5, 6, 6)), FRAME)) == 0


@pytest.mark.parametrize(("magnification", "frequency"), [(3.3, 1 / 3.3), (1.4, 1 - 1 / 1.4)])
def test_the_period_of_a_display_appears_where_its_sampling_puts_it(
    magnification: float, frequency: float
) -> None:
    height, width = 240, 320
    dots = width * 1.3 / magnification
    plan = before(white_panel(400, 300, dots), np.eye(3), 1.3**2)
    sensor = NativeStage(plan, height, width, sigma=0.3, aperture=0.95, seed=(0,))
    green = sensor.on_sensor((0, height))[..., 1]
    line = green.mean(axis=0)
    spectrum = np.abs(np.fft.rfft((line - line.mean()) * np.hanning(width)))
    assert np.argmax(spectrum) / width == pytest.approx(frequency, abs=1.5 / width)


def test_the_coarse_waves_of_a_small_frame_are_those_that_photosites_make() -> None:
    """Display pixels of not quite two photosites, turned a little, under every second one, red."""
    dots = 320 * 1.3 / 1.96
    plan = before(white_panel(400, 300, dots), rotation(0, 0, 0.8), 1.3**2)
    optics = {"sigma": 0.4, "aperture": 0.9}
    sensor = NativeStage(plan, 240, 320, seed=(0,), **optics)
    red = sensor.on_sensor((0, 240))[::2, ::2, 0]
    sampled = red.reshape(60, 2, 80, 2).mean(axis=(1, 3))
    small = Stage(plan, 60, 80, Optics(photosites=4.0, **optics)).light((0, 60))[..., 0]
    assert sampled.std() > 0.05
    assert np.corrcoef(small.ravel(), sampled.ravel())[0, 1] > 0.97
    assert small.std() == pytest.approx(sampled.std(), rel=0.15)


def test_a_display_of_even_light_has_no_lattice_in_the_mean() -> None:
    plan = before(white_panel(400, 300, 160), np.eye(3), 1.5)
    sensor = NativeStage(plan, 120, 160, sigma=0.6, aperture=1.0, seed=(0,))
    assert sensor.on_sensor((0, 120)).mean(axis=(0, 1)) == pytest.approx(np.ones(3), abs=0.01)


def test_rows_are_the_same_whichever_band_they_are_in(cast: Cast) -> None:
    example = next(
        each
        for i in range(1, 40, 2)
        if (each := draw_example(cast, 3, i, "train")).medium == "laptop"
    )
    stages = NativeStage(example.arrangement, 200, 260, sigma=0.7, aperture=0.9, seed=example.seed)
    whole, band = stages.on_sensor((0, 200)), stages.on_sensor((60, 140))
    # A grid is seen at one scale within a block, and blocks begin where a band does.
    assert np.abs(band[10:-10] - whole[70:130]).mean() < 0.01 * whole.mean()


def test_halftone_dots_are_what_sampling_finely_drawn_ones_gives() -> None:
    """Dots of 5.3 camera pixels, drawn 16 times finer, under square photosites."""
    fine, period, level = 16, 5.3, 0.4
    place = (np.arange(64 * fine) + 0.5) / fine / period
    wave = np.cos(2 * np.pi * place)
    screen = (0.5 + 0.25 * (wave[:, None] + wave[None, :])).astype(np.float32)
    drawn = (level > threshold_share(screen)).astype(float)
    photosites = drawn.reshape(64, fine, 64, fine).mean(axis=(1, 3))
    table = halftone_table(np.array([[0, 1 / period], [1 / period, 0]]), 0.0, 1.0)
    phase = (((np.arange(64) + 0.5) / period % 1) * 64).astype(int)
    seen = level + table[round(level * 32)][phase[:, None], phase[None, :]]
    assert np.corrcoef(seen.ravel(), photosites.ravel())[0, 1] > 0.98
    assert np.abs(table.mean(axis=(1, 2))).max() < 1e-6


def test_the_shoulder_keeps_the_lower_half_and_reaches_white_at_its_headroom() -> None:
    light = np.linspace(0, 4, 401, dtype=np.float32)
    bent = shoulder(light, 4.0)
    assert np.array_equal(bent[:51], light[:51])
    assert bent[-1] == pytest.approx(1.0, abs=1e-4)
    assert (np.diff(bent) > 0).all()
    assert (bent[51] - bent[50]) == pytest.approx(0.01, rel=0.05)


def test_the_exposure_gives_the_level_that_was_asked_for() -> None:
    light = np.random.default_rng(0).gamma(0.5, 2, (40, 40, 3)).astype(np.float32)
    exposure = exposure_for_level(light, 0.37, 3.0)
    values = encode_srgb(shoulder(light * np.float32(exposure), 3.0))
    assert values.mean() == pytest.approx(0.37, abs=0.002)


def test_a_small_frame_is_the_native_photograph_made_small(cast: Cast) -> None:
    example = replace(draw_example(cast, 3, 5, "train"), megapixels=0.2, edge=0)
    small = _grey(small_frame(example, 96), small_size(example, 96))
    native = _grey(native_photograph(example), small_size(example, 96))
    assert np.corrcoef(small.ravel(), native.ravel())[0, 1] > 0.9
    with Image.open(_file(native_photograph(example))) as photograph:
        assert photograph.size[::-1] == native_size(example)


def test_a_pair_differs_in_nothing_but_what_stands_before_the_camera(cast: Cast) -> None:
    for index in range(0, 60, 2):
        original, recapture = (draw_example(cast, 1, at, "train") for at in (index, index + 1))
        assert (original.label, recapture.label) == ("original", "recaptured")
        for fact in ("content", "phone", "shot", "level", "history", "small_file", "edge"):
            assert getattr(original, fact) == getattr(recapture, fact)
        assert small_size(original, 64) == small_size(recapture, 64)
        assert native_size(original) == native_size(recapture)
        assert original.arrangement.room == recapture.arrangement.room


def test_originals_hold_no_medium_and_recaptures_show_theirs(cast: Cast) -> None:
    for index in range(120):
        example = draw_example(cast, 2, index, "train")
        thing = example.arrangement.thing
        parts = () if thing is None else thing.parts
        shown = [part for part in parts if part.display is not None or part.sheet is not None]
        assert len(shown) == index % 2
        if index % 2:
            assert example.medium
            assert example.arrangement.share() > 0.04
        else:
            assert not example.medium
            assert example.arrangement.share() == 0.0


def test_media_in_turn_are_equally_many_and_change_nothing_else(cast: Cast) -> None:
    usual = [draw_example(cast, 5, index, "train") for index in range(36)]
    even = [draw_example(cast, 5, index, "train", in_turn=True) for index in range(36)]
    assert Counter(each.medium for each in even) == {"": 18} | dict.fromkeys(MEDIA, 3)
    assert [each.staging for each in even[::2]] == [each.staging for each in usual[::2]]
    for one, other in zip(usual, even, strict=True):
        assert (one.content, one.phone, one.shot) == (other.content, other.phone, other.shot)


def test_a_page_shows_its_picture_where_it_says(cast: Cast) -> None:
    random = np.random.default_rng(0)
    device = draw_device(random, "laptop", upright=False)
    content = draw_example(cast, 1, 0, "train").content
    page = Page(
        kind="viewer", seed=1, contents=(content,), shape=1.0, dark=True, wide=1440, handheld=False
    )
    thing = lit(device, cast.displays[0], page, 1.0)
    left, top, right, bottom = thing.subject
    assert (right - left) == pytest.approx(bottom - top)
    drawn = page.draw(300, round(300 * device.width / device.height))
    scale = drawn.width / device.width
    box = [round(place * scale) for place in thing.subject]
    shown = np.asarray(drawn.crop((box[0] + 1, box[1] + 1, box[2] - 1, box[3] - 1)), float)
    wanted = content.picture(box[3] - box[1], box[2] - box[0])
    wanted = np.asarray(wanted.crop((1, 1, box[2] - box[0] - 1, box[3] - box[1] - 1)), float)
    assert np.abs(shown - wanted).mean() < 6


def test_photographs_are_the_same_on_any_number_of_processes(photos: Path, tmp_path: Path) -> None:
    settings = Staging(per_class=10, side=48, seed=4, fractions=(0.6, 0.2, 0.2))
    one = stage([photos], tmp_path / "one", settings, workers=1)
    two = stage([photos], tmp_path / "two", settings, workers=2)
    assert one.read_bytes() == two.read_bytes()
    for name in _names(one):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_a_staging_that_was_stopped_goes_on(photos: Path, tmp_path: Path) -> None:
    settings = Staging(per_class=6, side=48, seed=4, fractions=(0.5, 0.25, 0.25))
    manifest = stage([photos], tmp_path, settings, workers=1)
    names = _names(manifest)
    kept, lost = tmp_path / names[0], tmp_path / names[1]
    before_it, table = lost.read_bytes(), manifest.read_bytes()
    kept.write_bytes(b"left as it is")
    lost.unlink()
    manifest.unlink()
    (lost.parent / ".000003.jpg.abc.part").write_bytes(b"half")
    stage([photos], tmp_path, settings, workers=1)
    assert (lost.read_bytes(), manifest.read_bytes()) == (before_it, table)
    assert kept.read_bytes() == b"left as it is"
    assert not list(lost.parent.glob(".*.part"))
    with pytest.raises(SimulationError, match="other settings"):
        stage([photos], tmp_path, replace(settings, seed=5), workers=1)


def test_photographs_that_cannot_be_read_are_skipped_and_named(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(photos, tmp_path / "in")
    cut_off = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    Image.fromarray(noise).save(cut_off, "jpeg")
    (tmp_path / "in" / "cut.jpg").write_bytes(cut_off.getvalue()[:2000])
    shutil.copy(photos / "0.png", tmp_path / "in" / "twin.png")
    settings = Staging(per_class=6, side=48, procedural=0.0, fractions=(0.5, 0.25, 0.25))
    listed = photos_in_manifest(stage([tmp_path / "in"], tmp_path / "out", settings, workers=1))
    known = {f"photo:in/{number}.png" for number in range(12)}
    assert {photo.origins["scene"] for photo in listed} <= known
    told = capsys.readouterr().err
    assert "skipped photo:in/cut.jpg: " in told
    assert "skipped photo:in/twin.png: the same picture as photo:in/0.png" in told


def test_a_folder_inside_one_of_the_photographs_is_refused(photos: Path, tmp_path: Path) -> None:
    shutil.copytree(photos, tmp_path / "in")
    with pytest.raises(SimulationError, match="is inside"):
        stage([photos, tmp_path / "in"], tmp_path / "in" / "out", Staging(), workers=1)
    assert not (tmp_path / "in" / "out").exists()


def test_a_staging_does_not_go_on_with_a_photograph_that_has_changed(
    photos: Path, tmp_path: Path
) -> None:
    shutil.copytree(photos, tmp_path / "in")
    settings = Staging(per_class=6, side=48, fractions=(0.5, 0.25, 0.25))
    stage([tmp_path / "in"], tmp_path / "out", settings, workers=1)
    write_png(tmp_path / "in" / "0.png", np.zeros((90, 120, 3), np.uint8))
    with pytest.raises(SimulationError, match="other photographs"):
        stage([tmp_path / "in"], tmp_path / "out", settings, workers=1)


def test_scenes_of_folders_with_one_name_have_different_names(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = [tmp_path / path for path in ("jan/DCIM", "feb/DCIM", "DCIM-2", "mar/DCIM")]
    names = ["0.png", "0.png", "0.png", os.fsdecode(b"\xe9.png")]
    for number, (folder, name) in enumerate(zip(folders, names, strict=True)):
        folder.mkdir(parents=True)
        shutil.copy(photos / f"{number}.png", folder / name)
    settings = Staging(per_class=24, side=32, procedural=0.0, fractions=(0.5, 0.25, 0.25))
    monkeypatch.chdir(folders.pop())
    given = [*folders, Path()]  # which has a name, too
    listed = photos_in_manifest(stage(given, tmp_path / "out", settings, workers=1))
    known = {
        "photo:DCIM/0.png",
        "photo:DCIM-3/0.png",
        "photo:DCIM-2/0.png",
        r"photo:DCIM-4/\udce9.png",
    }
    assert {photo.origins["scene"] for photo in listed} == known


def test_the_manifest_is_one_that_prepare_reads(photos: Path, tmp_path: Path) -> None:
    settings = Staging(per_class=12, side=48, seed=1, fractions=(0.5, 0.25, 0.25))
    manifest = stage([photos], tmp_path, settings, workers=1)
    listed = photos_in_manifest(manifest)  # which refuses scenes, cameras, media in two parts
    assert Counter(photo.label for photo in listed) == {"original": 12, "recaptured": 12}
    assert Counter(photo.part for photo in listed) == {"train": 12, "validation": 6, "test": 6}
    scenes = [
        Counter(photo.origins["scene"] for photo in listed if photo.label == label)
        for label in ("original", "recaptured")
    ]
    assert scenes[0] == scenes[1]


def test_parts_may_be_larger_than_their_share_of_the_scenes(photos: Path, tmp_path: Path) -> None:
    settings = Staging(per_part=(2, 5, 0), side=48, seed=1, fractions=(0.5, 0.25, 0.25))
    listed = photos_in_manifest(stage([photos], tmp_path, settings, workers=1))
    assert Counter(photo.part for photo in listed) == {"train": 4, "validation": 10}
    shared = Staging(per_class=12, side=48, seed=1, fractions=(0.5, 0.25, 0.25))
    stage([photos], tmp_path / "shared", shared, workers=1)
    same = "validation/000001.jpg"  # which scenes a part has is not for their number to say
    assert (tmp_path / same).read_bytes() == (tmp_path / "shared" / same).read_bytes()


def test_a_staging_made_by_rule_alone_shows_no_photograph(photos: Path, tmp_path: Path) -> None:
    settings = Staging(per_class=6, side=48, seed=1, fractions=(0.5, 0.25, 0.25), procedural=1)
    listed = photos_in_manifest(stage([photos], tmp_path, settings, workers=1))
    assert listed
    assert not [p for p in listed if p.origins["scene"].startswith("photo:")]


def test_the_side_of_small_frames_is_refused_for_native_photographs(tmp_path: Path) -> None:
    words = ["stage", "--photos", str(tmp_path), "--out", str(tmp_path / "out"), "--side", "96"]
    said = CliRunner().invoke(app, [*words, "--native"])
    assert said.exit_code == 2
    assert "--side is the size of small" in said.output
    assert not (tmp_path / "out").exists()


def test_settings_that_make_no_sense_are_refused() -> None:
    for wrong in (
        {"per_class": 0},
        {"side": 4},
        {"megapixels": 0.0},
        {"fractions": (0.5, 0.1, 0.1)},
        {"per_part": (0, 0, 0)},
        {"per_part": (5, -1, 0)},
        {"per_part": (5, 1, 1), "fractions": (0.9, 0.1, 0.0)},
        {"fractions": (np.nan, 0.5, 0.5)},
        {"seed": -1},
    ):
        with pytest.raises(SimulationError, match=f"^{next(iter(wrong))} must "):
            Staging(**wrong)  # type: ignore[arg-type]


def _names(manifest: Path) -> list[str]:
    with manifest.open(newline="") as file:
        return [row["path"] for row in csv.DictReader(file)]


def _file(content: bytes) -> io.BytesIO:
    return io.BytesIO(content)


def _grey(content: bytes, size: tuple[int, int]) -> npt.NDArray[np.float32]:
    with Image.open(_file(content)) as image:
        small = image.convert("L").resize(size[::-1], Image.Resampling.BOX)
    return blur(np.asarray(small, np.float32)[..., None], 1.0)[..., 0]


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
def test_processes_end_with_a_parent_that_is_killed(photos: Path, tmp_path: Path) -> None:
    few = ("--per-class", 20, "--workers", 2)
    process = Forked("trueshot", "stage", *few, "--photos", photos, "--out", tmp_path / "out")
    assert process.pid is not None
    while len(family := below(process.pid)) < 3 and process.poll() is None:
        time.sleep(0.02)
    assert len(family) >= 3  # it had not ended by itself: a fork server and two workers
    process.kill()
    wait_until(lambda: not family & parents().keys())
