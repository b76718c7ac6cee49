"""A photograph with an EXIF orientation is upright everywhere, and judged by the same pixels."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from conftest import SIDE, Linear, photo_pixels
from PIL import Image, ImageCms, ImageOps
from web_service import small_bundle

from trueshot.attacks import FGSM
from trueshot.bundle import load_bundle
from trueshot.detector import Detector
from trueshot.evaluation.attack_files import attack_files
from trueshot.images import read_image, read_image_bytes
from trueshot.images.orientation import lying, upright
from trueshot.inference import Predictor
from trueshot.inference.crops import select_crops
from trueshot.inference.explaining import explain
from trueshot.inference.explanation import Explanation
from trueshot.scanning.worker import examiner
from trueshot.web.attacking import attack_photograph, stack_detector

TURNS = range(1, 9)
HEIGHT, WIDTH = 117, 171  # no multiple of 8: an upright grid begins somewhere else


def photograph(orientation: int | None, **how: object) -> bytes:
    pixels = photo_pixels(4, True, 176)[:HEIGHT, :WIDTH]
    exif = Image.Exif()
    if orientation is not None:
        exif[0x0112] = orientation
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=90, exif=exif, **how)
    return file.getvalue()


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_bundle(tmp_path_factory.mktemp("bundle") / "small.safetensors", 3)


@pytest.fixture(scope="module")
def predictor(bundle: Path) -> Predictor:
    return Predictor.load(bundle)


def shown(data: bytes) -> npt.NDArray[np.uint8]:
    with Image.open(io.BytesIO(data)) as picture:
        return np.array(ImageOps.exif_transpose(picture).convert("RGB"))


@pytest.mark.parametrize("orientation", TURNS)
def test_with_and_without_an_orientation_the_same_pixels_are_judged(
    predictor: Predictor, orientation: int
) -> None:
    seen = []

    def look(crops: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
        seen.append(crops)
        return crops.mean((1, 2, 3)) - 100  # says the same of a crop that is turned

    looking = Predictor(predictor.card, look)
    plain, turned = (looking.predict(photograph(each)) for each in (None, orientation))
    assert np.array_equal(turned.scores, plain.scores)
    assert np.array_equal(seen[1], upright(seen[0], orientation)), "and upright"
    pixels, side = shown(photograph(orientation)), looking.contract.side
    for crop, (y, x) in zip(seen[1], turned.corners, strict=True):
        assert np.array_equal(crop, pixels[y : y + side, x : x + side]), "where it is said to lie"
    if orientation < 5:  # steps from left to right are still that
        assert turned.features == pytest.approx(plain.features), "the grid of blocks is the same"


@pytest.mark.parametrize("orientation", TURNS)
def test_every_way_to_a_verdict_is_the_same(
    predictor: Predictor, bundle: Path, tmp_path: Path, orientation: int
) -> None:
    data = photograph(orientation)
    (tmp_path / "photo").write_bytes(data)
    wanted = predictor.predict(data)
    image = read_image_bytes(data, "photo")
    handle = examiner(predictor, "0" * 64)
    answer, attached = handle(
        {"name": "photo", "member": None, "explain": True, "path": str(tmp_path / "photo")}, {}
    )
    ways = [
        predictor.predict(tmp_path / "photo").score,
        predictor.predict(image).score,
        predictor.predict(image.pixels, orientation=orientation).score,
        answer["verdict"]["score"],
    ]
    assert ways == [wanted.score] * len(ways)
    by_torch = load_bundle(bundle)[0].eval()
    crops = by_hand(data, predictor)
    with torch.no_grad():
        logits = by_torch(torch.from_numpy(crops).permute(0, 3, 1, 2).float())
    margins = (logits[:, 1] - logits[:, 0]).double().numpy()
    assert margins == pytest.approx(wanted.scores, rel=1e-3, abs=1e-3)
    height, width = shown(data).shape[:2]
    assert (answer["verdict"]["height"], answer["verdict"]["width"]) == (height, width)
    explanation = Explanation.from_bytes(attached["explanation"])
    assert (explanation.height, explanation.width) == (height, width)
    with Image.open(io.BytesIO(explanation.thumbnail)) as thumbnail:
        assert np.abs(np.asarray(thumbnail).astype(int) - shown(data)).mean() < 6
    assert [(spot.y, spot.x) for spot in explanation.judged] == list(wanted.corners)
    assert {(s.y, s.x) for s in explanation.looked_at} >= set(wanted.corners)


def by_hand(data: bytes, predictor: Predictor) -> npt.NDArray[np.uint8]:
    """As docs/export.md tells others to do it."""
    with Image.open(io.BytesIO(data)) as picture:
        stored, orientation = np.array(picture), picture.getexif().get(0x0112, 1)
    side = predictor.contract.side
    corners = select_crops(stored, side, predictor.contract.crops).corners
    crops = []
    for y, x in corners:
        crop = Image.fromarray(stored[y : y + side, x : x + side])
        crop.getexif()[0x0112] = orientation
        crops.append(np.array(ImageOps.exif_transpose(crop)))
    return np.stack(crops)


def test_evidence_lies_where_it_is_in_the_upright_photograph(predictor: Predictor) -> None:
    """Of a photograph whose one corner is unlike the rest, the heat map has the same corner."""

    def look(crops: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
        return crops.mean((1, 2, 3)) - 128

    looking = Predictor(predictor.card, look)
    stored = np.random.default_rng(0).integers(0, 100, (96, 160, 3)).astype(np.uint8)
    stored[:32, :32] += 150
    for orientation in TURNS:
        pixels = np.ascontiguousarray(upright(stored, orientation))
        assert np.array_equal(lying(pixels, orientation), stored)
        prediction = looking.predict(pixels, orientation=orientation)
        explanation = explain(looking, pixels, prediction)
        assert explanation.heat is not None
        with Image.open(io.BytesIO(explanation.heat)) as heat:
            colours = np.asarray(heat.convert("RGBA")).astype(int)
        warm = np.argwhere(colours[..., 0] > colours[..., 2])
        centre = (warm.mean(0) + 0.5) / colours.shape[:2]
        bright = np.argwhere(pixels[..., 0] > 125).mean(0) / pixels.shape[:2]
        assert centre == pytest.approx(bright, abs=0.08), orientation


@pytest.mark.parametrize("orientation", [1, 6, 7])
def test_attacks_write_upright_pixels_keep_the_profile_and_say_what_is_lost(
    tmp_path: Path, orientation: int
) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    path = tmp_path / "photo.jpg"
    path.write_bytes(photograph(orientation, icc_profile=profile))
    detector = Detector(Linear(side=SIDE))
    (record,) = attack_files(
        detector, SIDE, FGSM(budget=0.5), [path], tmp_path / "out", name="fgsm"
    )
    assert record.error == ""
    image = read_image(str(record.out))
    assert np.array_equal(image.pixels, shown(path.read_bytes()))
    assert (image.facts.orientation, image.icc_profile) == (1, profile)
    said = (
        f"EXIF orientation {orientation} was applied: the pixels are upright, "
        "and the PNG has no orientation tag"
    )
    assert record.notes == (*([said] if orientation > 1 else []), "EXIF data was not copied")


def test_a_profile_that_is_not_of_rgb_is_said_to_be_lost(tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    picture = Image.fromarray(photo_pixels(1, False, 64)).convert("CMYK")
    picture.save(path, icc_profile=b"a profile of inks")
    (record,) = attack_files(
        Detector(Linear(side=SIDE)), SIDE, FGSM(budget=0.5), [path], tmp_path / "out", name="a"
    )
    assert record.notes == ("the colour profile was not copied: it is for CMYK, not RGB",)
    assert read_image(str(record.out)).icc_profile == b""


def test_an_attack_on_the_page_changes_the_crops_that_were_judged(predictor: Predictor) -> None:
    image = read_image_bytes(photograph(6), "photo")
    stacks = stack_detector(predictor.detector, predictor.card)
    found = attack_photograph(predictor, stacks, image, FGSM(budget=2.0))
    assert found.before.corners == found.after.corners
    assert found.before.score != found.after.score
    changed = np.abs(found.pixels.astype(int) - image.pixels).max(-1) > 0
    for y, x in found.before.corners:
        changed[y : y + SIDE, x : x + SIDE] = False
    assert not changed.any()
