"""A joint detector comes of staged photographs: patches for its crops, heads and joint model."""

from __future__ import annotations

import csv
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow
import pytest
import torch
from PIL import Image
from pyarrow import parquet
from test_evidence import KINDS, photograph

from trueshot.adversary.photograph import PhotographDetector
from trueshot.bundle import read_bundle, save_bundle
from trueshot.calibrating import CalibrationSettings, make_bundle, withstanding
from trueshot.calibrating.joining import JOINS, joined, main
from trueshot.calibrating.photographs import Photograph
from trueshot.calibrating.scores import PhotographScore, Scores
from trueshot.calibrating.withstanding import highest_written
from trueshot.card import Card
from trueshot.detector import Detector
from trueshot.errors import CalibrationError, DatasetError
from trueshot.graph import side_of
from trueshot.inference import Predictor
from trueshot.networks import ResNet, build_network
from trueshot.pixels import to_levels
from trueshot.training.context import new_context
from trueshot.training.context_file import save_context
from trueshot.training.frames import read_frames
from trueshot.training.patches import Patching, cut_patches
from trueshot.training.patches import main as patches

COLUMNS = ("path", "label", "part", "scene", "kind", "outline")


def written(folder: Path, rows: list[dict[str, str]]) -> Path:
    with (folder / "manifest.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
    return folder / "manifest.csv"


@pytest.fixture(scope="module")
def staged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Recaptures have a display with a grid of 3.1 px in them, over a good part of the width."""
    folder = tmp_path_factory.mktemp("staged")
    rows = []
    x = np.arange(800)
    inside = (x >= 200) & (x < 760)
    for number in range(44):
        pixels = photograph(number // 2).astype(float)
        if number % 2:
            pixels += (25 * np.cos(2 * np.pi * x / 3.1) * inside)[None, :, None]
        name = f"{number:02d}.png"
        Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(
            folder / name, compress_level=1
        )
        corners = [[200, 0], [760, 0], [760, 600], [200, 600]]
        rows.append(
            {
                "path": name,
                "label": ("original", "recaptured")[number % 2],
                "part": "train" if number < 4 else "validation" if number < 28 else "test",
                "scene": f"scene {number // 2}",
                "kind": "laptop" if number % 2 else "",
                "outline": json.dumps(corners) if number % 2 else "",
            }
        )
    return written(folder, rows)


def test_patches_of_recaptures_lie_inside_the_medium(staged: Path, tmp_path: Path) -> None:
    manifest = cut_patches([staged], tmp_path, Patching(side=64, per_photograph=4))
    frames = read_frames(manifest)
    assert {(each.label, each.kind) for each in frames} == {(0, ""), (1, "laptop")}
    assert len(frames) == 4 * 44
    for frame in frames:
        patch = np.asarray(Image.open(frame.path), float)
        assert patch.shape == (64, 64, 3)
        waves = np.abs(np.fft.rfft(patch.mean((0, 2)) * np.hanning(64)))
        assert (waves[20:22].max() > 5 * np.median(waves[24:])) == (frame.label == 1)
    again = cut_patches([staged], tmp_path / "again", Patching(side=64, per_photograph=4))
    assert again.read_bytes() == manifest.read_bytes()
    patching = Patching(side=64, per_photograph=4, with_photographs=True)
    both = read_frames(cut_patches([staged], tmp_path / "both", patching))
    assert sum(frame.path.resolve().parent == staged.parent for frame in both) == 44
    assert len(both) == 5 * 44


def test_patches_of_both_classes_are_processed_alike(staged: Path, tmp_path: Path) -> None:
    patching = Patching(side=64, per_photograph=4, processed=True)
    frames = read_frames(cut_patches([staged], tmp_path / "processed", patching))
    assert Counter(frame.label for frame in frames) == {0: 88, 1: 88}
    for frame in frames:
        with Image.open(frame.path) as image:
            assert image.size == (64, 64)
    again = read_frames(cut_patches([staged], tmp_path / "again", patching))
    assert [each.path.read_bytes() for each in frames] == [each.path.read_bytes() for each in again]


def test_a_medium_that_holds_no_patch_gives_none(staged: Path, tmp_path: Path) -> None:
    arguments = [str(staged), "--out", str(tmp_path), "--side", "580", "--per-photograph", "1"]
    manifest = patches_of(arguments, tmp_path)
    assert {frame.label for frame in read_frames(manifest)} == {0}
    with pytest.raises(DatasetError, match="outline"):
        cut_patches([manifest], tmp_path / "more", Patching())


def test_patches_of_a_simulated_data_set_fit_beside_one_another(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    rows = []
    for number, label in enumerate(("original", "recaptured")):
        name = f"photos/train/0-{label}.png"
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(photograph(number)[:150, :200]).save(folder / name)
        origins = json.dumps({"scene": "photo:a", "camera": "camera 1"})
        rows.append({"path": name, "label": label, "part": "train", "origins": origins})
    rows.append(rows[0] | {"part": "validation"})
    with pytest.raises(DatasetError, match="not a data set"):
        cut_patches([folder], tmp_path / "none", Patching())
    parquet.write_table(pyarrow.Table.from_pylist(rows), folder / "photos.parquet")
    frames = read_frames(cut_patches([folder], tmp_path / "out", Patching(side=64)))
    assert [frame.label for frame in frames] == [0] * 6 + [1] * 6  # two rows of three
    assert {frame.scene for frame in frames} == {"photo:a"}


def patches_of(arguments: list[str], out: Path) -> Path:
    assert patches(arguments) == 0
    return out / "manifest.csv"


def test_what_is_joined_is_calibrated_and_judges(staged: Path, tmp_path: Path) -> None:
    network = build_network({"name": "efficientnet-lite0", "blocks": 2, "features": 8})
    detector = Detector(network, offset=127, scale=128).eval()
    card = Card(
        network={"name": "efficientnet-lite0", "blocks": 2, "features": 8},
        offset=127,
        scale=128,
        side=32,
    )
    save_bundle(tmp_path / "crops", detector, card)
    save_context(tmp_path / "context", new_context(classes=KINDS), facts={})
    named = [str(tmp_path / name) for name in ("context", "crops")]
    out = tmp_path / "joint.safetensors"
    fitted = ["--spread", str(staged), "--out", str(out)]
    assert main([*named, *fitted, "--crops", "9", "--workers", "1"]) == 0
    first = out.read_bytes()
    assert main([*named, *fitted, "--crops", "9", "--workers", "1"]) == 0
    assert out.read_bytes() == first
    bundled = make_bundle(
        out,
        staged,
        tmp_path / "bundle.safetensors",
        test=staged,
        settings=CalibrationSettings(apcer=0.3, bpcer=0.3),
        workers=1,
    )
    assert bundled.card.contract is not None
    assert bundled.card.contract.crops == 9
    (measured,) = bundled.card.measured
    assert measured.photographs == 16
    predictor = Predictor.load(bundled.path)
    found = []  # networks that have learnt nothing add what they like; the grid is plain to see
    for number in range(28, 44):
        evidence = predictor.predict(staged.parent / f"{number:02d}.png").evidence
        assert evidence is not None
        found.append(evidence.contributions["lattice"])
    assert min(found[1::2]) > 1
    assert max(found[::2]) < 0.3


def test_a_robust_join_sees_smaller_frames_and_counts_strong_texture_alone(
    staged: Path, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    crops, frames = (Detector(ResNet(width=4), offset=127, scale=128).eval() for _ in range(2))
    for detector in (crops, frames):
        for tensor in detector.state_dict().values():  # no two of them alike, as in one that learnt
            if tensor.is_floating_point():
                tensor *= 1 + 0.3 * torch.rand_like(tensor)
                tensor += 0.001 * torch.rand_like(tensor)
    card = Card(network={"name": "resnet", "width": 4}, offset=127, scale=128, side=32)
    save_bundle(tmp_path / "crops", crops, card)
    facts = {"network": card.network, "side": 64}
    save_context(tmp_path / "context", frames, facts=facts)
    named = [str(tmp_path / name) for name in ("context", "crops")]
    out = tmp_path / "joint.safetensors"
    fitted = ["--as", "robust", "--spread", str(staged), "--out", str(out)]
    assert main([*named, *fitted, "--crops", "9", "--workers", "1"]) == 0
    read, predictor = read_bundle(out), Predictor.load(out)
    assert read.context is not None
    assert side_of(read.context) == 64
    judged = PhotographDetector(str(out))
    for number in (28, 29):
        path = staged.parent / f"{number:02d}.png"
        found = predictor.predict(path)
        assert found.evidence is not None
        assert set(found.evidence.contributions) >= {"texture", "context"}
        assert found.evidence.contributions["texture"] >= 0
        pixels = np.array(Image.open(path).convert("RGB"))
        with torch.no_grad():
            score = judged.score(to_levels(pixels[None])[0])
        assert float(score) == pytest.approx(found.score, abs=1e-3)


def test_kinds_of_evidence_have_one_spread_and_a_lattice_begins_above_originals() -> None:
    random = np.random.default_rng(0)
    rows = [
        {
            "texture: overall": random.normal(2 * (n % 2), 3),
            "texture: highest third": random.normal(n % 2, 5),
            "texture: highest": random.normal(n % 2, 2),
            "context: logit": random.normal(8 * (n % 2), 2),
            "lattice: luma 1/1 height": random.normal(4 + 6 * (n % 2), 1),
        }
        for n in range(4000)
    ]
    found = tuple(
        PhotographScore(
            photograph=Photograph(name=str(n), path=Path(str(n)), label=n % 2), features=row
        )
        for n, row in enumerate(rows)
    )
    scores = Scores(findings=found, unread=())
    model = joined(KINDS, scores, JOINS["accurate"], {})
    robust = joined(KINDS, scores, JOINS["robust"], {"texture": 1.25})
    for kind, head in robust.heads.items():
        values = [head.score({n: row[f"{kind}: {n}"] for n in head.features}) for row in rows]
        assert np.std(values) == pytest.approx(1, abs=0.02), kind
    assert robust.heads["texture"].features == ("highest",)
    assert robust.heads["texture"].score({"highest": 1.25}) == pytest.approx(0)
    assert robust.joint is not None
    assert robust.joint.score({"texture for": 1.0, "context": -2.0, "lattice for": 9.0}) == -1
    said = {
        kind: [head.score({name: row[f"{kind}: {name}"] for name in head.features}) for row in rows]
        for kind, head in model.heads.items()
    }
    for kind, values in said.items():
        assert np.std(values) == pytest.approx(1, abs=0.02), kind
    assert np.mean(said["texture"]) == pytest.approx(0, abs=1e-3)
    (piece,) = model.pieces.values()  # in which no region is looked for
    assert piece.features == ("overall",)
    of_pieces = [piece.score({"overall": row["texture: overall"]}) for row in rows]
    assert np.std(of_pieces) == pytest.approx(1, abs=0.02)
    heights = np.array([row["lattice: luma 1/1 height"] for row in rows])
    begins = np.interp(0, np.sort(said["lattice"]), np.sort(heights))
    assert begins == pytest.approx(5, abs=0.1)  # a deviation of one above a mean of four
    assert model.joint is not None
    assert model.joint.score({"texture": 1.0, "context": -2.0, "lattice for": 0.5}) == -0.5
    with pytest.raises(CalibrationError, match="a feature has the same value"):
        joined(KINDS, Scores(findings=found[:1] * 2, unread=()), JOINS["accurate"], {})


def test_what_cannot_be_joined_is_said(
    staged: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [str(tmp_path / "none"), str(tmp_path / "none"), "--spread", str(staged)]
    assert main([*arguments, "--out", str(tmp_path / "out")]) == 1
    assert "none: " in capsys.readouterr().err
    assert main([*arguments, "--out", str(tmp_path)]) == 1
    assert f"{tmp_path}: is a folder" in capsys.readouterr().err


class MeanOfLevels(torch.nn.Module):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        means = images.mean((1, 2, 3))
        return torch.stack([torch.zeros_like(means), means], 1)


def test_what_noise_makes_of_originals_is_found_where_a_crop_says_the_mean_of_its_levels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = Card(network={}, offset=0, scale=1, side=32)
    monkeypatch.setattr(withstanding, "load_bundle", lambda path: (MeanOfLevels(), card))
    photographs = []
    for number in range(20):
        pixels = np.full((64, 96, 3), 60 + number, np.uint8)
        pixels[:, ::2] += 40  # a crop that shows nothing is not judged
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
        photographs += [
            Photograph(name=str(number), path=tmp_path / f"{number}.png", label=label)
            for label in range(2)
        ]
    means = 80.0 + np.arange(20)
    for budget in (0.0, 3.0):
        found = highest_written(tmp_path, photographs, budget)
        assert found == pytest.approx(np.quantile(means + budget, 0.95), abs=1e-3)
    few = highest_written(tmp_path, photographs, 3.0, most=2)
    assert few == pytest.approx(np.quantile(means[::10] + 3, 0.95), abs=1e-3)
    with pytest.raises(CalibrationError, match="none of the photographs is an original"):
        highest_written(tmp_path, photographs[1::2], 3.0)
