"""The context network learns from whole frames, goes on where it stopped, and is chosen fairly."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from trueshot.detector import Detector
from trueshot.errors import BundleError, DatasetError, LeakError, RunError
from trueshot.inference import Predictor
from trueshot.inference.context import SIDE, context_frame
from trueshot.networks import EfficientNetLite0
from trueshot.training import context, frame_run
from trueshot.training.context import (
    new_context,
    scores_of_frames,
    train_context,
)
from trueshot.training.context_file import load_context, save_context
from trueshot.training.context_recipe import ContextRecipe
from trueshot.training.frame_augmentation import augmented
from trueshot.training.frames import Frame, holds, open_frame, read_frames

TINY = ContextRecipe(
    side=32, steps=6, head_steps=2, batch=8, frozen_blocks=13, validate_every=2, seed=3
)


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Originals are coarse noise, recaptures the same with a bright frame in a dark room."""
    folder = tmp_path_factory.mktemp("frames")
    random = np.random.default_rng(0)
    rows = []
    for number in range(96):
        label = ("original", "recaptured")[number % 2]
        picture = np.kron(random.integers(0, 256, (6, 8, 3)), np.ones((8, 8, 1)))
        if number % 2:
            dark = np.full((48, 64, 3), 10.0)
            dark[12:36, 16:48] = picture[12:36, 16:48] / 2 + 127
            picture = dark
        Image.fromarray(picture.astype(np.uint8)).save(folder / f"{number}.png")
        part = "validation" if number >= 72 else "train"
        kind = (("phone", "print")[number // 2 % 2]) if number % 2 else ""
        rows.append((f"{number}.png", label, part, f"scene {number // 2}", kind))
    path = folder / "manifest.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("path", "label", "part", "scene", "kind"), *rows])
    return path


@pytest.fixture(scope="module")
def frames(manifest: Path) -> list[Frame]:
    return read_frames(manifest)


def network_of(detector: Detector) -> EfficientNetLite0:
    assert isinstance(detector.network, EfficientNetLite0)
    return detector.network


def test_it_learns_what_tells_the_classes_apart(frames: list[Frame], tmp_path: Path) -> None:
    trained = train_context(frames, tmp_path, replace(TINY, steps=16))
    validation = [frame for frame in frames if frame.part == "validation"]
    scores = scores_of_frames(trained, validation, TINY)
    recaptured = torch.tensor([frame.label == 1 for frame in validation])
    assert scores[recaptured].median() > scores[~recaptured].max()


def test_a_run_that_was_interrupted_ends_as_one_that_was_not(
    frames: list[Frame], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train_context(frames, tmp_path / "whole", TINY)
    validate, calls = frame_run._validate, iter([False, True])

    def interrupted(*arguments: object) -> None:
        if next(calls):
            raise KeyboardInterrupt
        validate(*arguments)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(frame_run, "_validate", interrupted)
        with pytest.raises(KeyboardInterrupt):
            train_context(frames, tmp_path / "halves", TINY)
    train_context(frames, tmp_path / "halves", TINY)
    whole, halves = (
        (tmp_path / name / "context.safetensors").read_bytes() for name in ("whole", "halves")
    )
    assert whole == halves


def test_the_last_layer_learns_alone_at_first_and_the_first_blocks_never(
    frames: list[Frame], tmp_path: Path
) -> None:
    def changed(folder: str, recipe: ContextRecipe) -> set[str]:
        before = new_context(recipe).state_dict()
        after = train_context(frames, tmp_path / folder, recipe).state_dict()
        return {n for n in before if not torch.equal(before[n].half().float(), after[n].float())}

    alone = changed("head", replace(TINY, steps=2))
    assert alone == {"network.classifier.weight", "network.classifier.bias"}
    later = changed("later", replace(TINY, head_steps=0, steps=2))
    assert {name.split(".")[2] for name in later if ".blocks." in name} == {"13", "14", "15"}
    assert not [name for name in later if "running" in name or ".stem." in name]


def test_the_state_that_is_kept_did_best_on_validation(
    frames: list[Frame], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    areas = iter([0.6, 0.9, 0.7])
    monkeypatch.setattr(context, "roc_auc_score", lambda *_: next(areas))
    kept: list[object] = []
    save = frame_run.save_context

    def noted(path: Path, detector: Detector, *, facts: dict[str, object]) -> None:
        kept.append(facts["step"])
        save(path, detector, facts=facts)

    monkeypatch.setattr(frame_run, "save_context", noted)
    train_context(frames, tmp_path, TINY)
    assert kept == [2, 4]


def test_every_epoch_takes_every_frame_once(frames: list[Frame]) -> None:
    training = [frame for frame in frames if frame.part == "train"]
    steps = len(training) // TINY.batch
    for epoch in range(2):
        taken = [
            frame.path
            for step in range(epoch * steps, (epoch + 1) * steps)
            for frame in frame_run.drawn_frames(training, TINY.seed, TINY.batch, step)
        ]
        assert sorted(taken) == sorted(frame.path for frame in training)


def test_it_names_the_kinds_of_media_that_it_was_shown(frames: list[Frame], tmp_path: Path) -> None:
    trained = train_context(frames, tmp_path, replace(TINY, steps=2))
    assert trained.classes == ("original", "phone", "print")
    assert load_context(tmp_path / "context.safetensors").classes == trained.classes
    nameless = [replace(frame, kind="") for frame in frames]
    trained = train_context(nameless, tmp_path / "nameless", replace(TINY, steps=2))
    assert trained.classes == ("original", "recaptured")


def test_crops_are_seen_at_their_own_size(frames: list[Frame], tmp_path: Path) -> None:
    recipe = replace(TINY, view="crop", steps=2, blocks=4, features=16, frozen_blocks=1)
    trained = train_context(frames, tmp_path, recipe)
    assert trained.classes == ("original", "recaptured")
    judge = Predictor.load(tmp_path / "detector.safetensors")
    crops = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3)).astype(np.uint8)
    with torch.no_grad():
        logits = trained(torch.from_numpy(crops).permute(0, 3, 1, 2).float())
    np.testing.assert_allclose(
        judge.crop_scores(crops), (logits[:, 1] - logits[:, 0]).numpy(), atol=1e-3
    )
    stripes = Image.fromarray(np.tile(np.array([0, 255], np.uint8), (48, 32))).convert("RGB")
    seen = [np.asarray(augmented(stripes, recipe, np.random.default_rng(n))) for n in range(40)]
    contrasts = [np.ptp(each.astype(float), axis=(0, 1)).max() for each in seen]
    assert sum(contrast > 150 for contrast in contrasts) > 15  # what is scaled loses its stripes


def test_half_precision_costs_next_to_nothing(frames: list[Frame], tmp_path: Path) -> None:
    detector = new_context(ContextRecipe(seed=1))
    save_context(tmp_path / "half.safetensors", detector, facts={})
    again = load_context(tmp_path / "half.safetensors")
    before, after = (
        scores_of_frames(each, frames[:8], ContextRecipe(side=64)) for each in (detector, again)
    )
    torch.testing.assert_close(before, after, rtol=0.05, atol=0.05)
    assert (tmp_path / "half.safetensors").stat().st_size < 7e6


def test_a_run_with_other_settings_and_a_damaged_file_are_refused(
    frames: list[Frame], tmp_path: Path
) -> None:
    train_context(frames, tmp_path, replace(TINY, steps=2))
    with pytest.raises(RunError, match="other settings"):
        train_context(frames, tmp_path, TINY)
    first, *rest = frames
    for other in (replace(first, scene="another"), replace(first, path=Path("other.png"))):
        with pytest.raises(RunError, match="other settings or data"):
            train_context([other, *rest], tmp_path, replace(TINY, steps=2))
    with pytest.raises(BundleError, match="not a context network"):
        load_context(tmp_path / "checkpoint.safetensors")


def test_a_scene_in_two_parts_and_a_part_without_a_class_are_refused(
    manifest: Path, frames: list[Frame], tmp_path: Path
) -> None:
    text = manifest.read_text("utf-8")
    leaking = tmp_path / "manifest.csv"
    leaking.write_text(text.replace("train,scene 0", "validation,scene 0", 1), "utf-8")
    with pytest.raises(LeakError, match="scene 0"):
        read_frames(leaking)
    with pytest.raises(DatasetError, match="both classes"):
        train_context([frame for frame in frames if frame.label], tmp_path / "run", TINY)
    with pytest.raises(DatasetError, match=r"none\.csv: no such file"):
        read_frames(tmp_path / "none.csv")


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ("a.png", "a.png: lacks label and part and scene"),
        ("a.png,original,train", "a.png: lacks scene"),
        ("a.png,fake,train,1", "a.png: label must be original or recaptured, got 'fake'"),
        ("a.png,recaptured,train,1,,5", "a.png: invalid outline"),
        ('a.png,recaptured,train,1,,"[[1, NaN]]"', "a.png: invalid outline"),
        (f'a.png,recaptured,train,1,,"[[1, 1{400 * "0"}]]"', "a.png: invalid outline"),
        (f"a.png,recaptured,train,1,,{'1' * 200_000}", "cannot be read as a manifest"),
    ],
)
def test_a_row_that_is_no_frame_is_refused_by_name(tmp_path: Path, row: str, expected: str) -> None:
    manifest = tmp_path / "manifest.csv"
    manifest.write_text(f"path,label,part,scene,kind,outline\n{row}\n", "utf-8")
    with pytest.raises(DatasetError, match=expected):
        read_frames(manifest)


def test_a_damaged_frame_is_named(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (300, 300, 3)).astype(np.uint8)
    Image.fromarray(noise).save(tmp_path / "damaged.png")
    data = (tmp_path / "damaged.png").read_bytes()
    second = data.index(b"IDAT", data.index(b"IDAT") + 4)
    (tmp_path / "damaged.png").write_bytes(data[:second] + b"\xfa}\x8fu" + data[second + 4 :])
    with pytest.raises(DatasetError, match=r"damaged\.png: cannot be read: broken PNG"):
        open_frame(Frame(path=tmp_path / "damaged.png", label=0, part="train", scene="0"))


def test_settings_that_make_no_sense_are_refused() -> None:
    for settings in ({"view": "crops"}, {"side": 31}, {"batch": 0}, {"validate_every": 0}):
        with pytest.raises(ValueError, match=next(iter(settings))):
            replace(TINY, **settings)


def test_augmentation_repeats_with_its_seed_and_differs_without() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (48, 64, 3)).astype(np.uint8)
    image = Image.fromarray(picture)
    first, again, other = (
        augmented(image, TINY, np.random.default_rng(seed)) for seed in (5, 5, 6)
    )
    assert first.shape == (32, 32, 3)
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_the_frame_is_the_whole_photograph_squeezed() -> None:
    pixels = np.zeros((600, 900, 3), np.uint8)
    pixels[300:, 450:] = 200
    frame = context_frame(pixels)
    assert frame.shape == (SIDE, SIDE, 3)
    assert (frame[: SIDE // 2 - 2] == 0).all()
    assert (frame[SIDE // 2 + 2 :, SIDE // 2 + 2 :] == 200).all()


def test_a_medium_is_seen_from_so_close_that_it_fills_the_frame() -> None:
    outline = ((10.0, 4.0), (60.0, 8.0), (58.0, 44.0), (6.0, 40.0))
    x, y = np.arange(64), np.arange(48)[:, None]
    inside = (x > 12) & (x < 56) & (y > 10) & (y < 38)  # well within
    image = Image.fromarray(np.where(inside[..., None], 255, 0).astype(np.uint8).repeat(3, 2))
    near, far = (
        [
            float((augmented(image, recipe, np.random.default_rng(n), outline) > 60).mean())
            for n in range(60)
        ]
        for recipe in (replace(TINY, close=1.0), TINY)
    )
    assert np.mean(near) > np.mean(far) + 0.1
    parts = [
        augmented(image, replace(TINY, close=1.0), np.random.default_rng(n)) for n in range(60)
    ]
    assert np.std([part.mean() for part in parts]) > 0  # of an original some part, wherever


def test_colours_are_turned_up_and_down() -> None:
    image = Image.new("RGB", (64, 48), (150, 110, 90))
    recipe = replace(TINY, colours=1.0)
    spans = [
        float(np.ptp(augmented(image, each, np.random.default_rng(n)).mean((0, 1))))
        for each in (TINY, recipe)
        for n in range(60)
    ]
    assert np.std(spans[60:]) > 1.5 * np.std(spans[:60])


@pytest.mark.parametrize("way", [1, -1])
def test_a_box_lies_inside_of_an_outline_or_not(way: int) -> None:
    outline = np.array([(0.0, 0.0), (10.0, 2.0), (9.0, 12.0), (1.0, 10.0)])[::way]
    assert holds(outline, (2, 3, 8, 9))
    assert not holds(outline, (2, 0, 8, 9))  # the upper edge falls to the right
    assert not holds(outline, (-1, -1, 11, 13))
