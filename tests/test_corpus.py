"""All ways to a picture agree on every format: the same pixels, or the same reason why not."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from conftest import SIDE, Linear
from image_corpus import Variant, corpus
from web_service import real_service, small_bundle

from trueshot.attacks import FGSM
from trueshot.calibrating.photographs import photographs_of
from trueshot.calibrating.scores import PhotographScore, gather
from trueshot.datasets import Settings, photos_in_folders, prepare
from trueshot.detector import Detector
from trueshot.errors import ImageFileError
from trueshot.evaluation.attack_files import AttackedFile, attack_files
from trueshot.images import pixels_sha256, read_image, read_image_bytes
from trueshot.inference import Predictor
from trueshot.scanning import Settings as ScanSettings
from trueshot.scanning import Verdict, scan
from trueshot.tasks.recapture import RECAPTURE

VARIANTS = corpus()
IDS = [variant.name for variant in VARIANTS]


@dataclass(frozen=True)
class Ways:
    """What each way made of each file, by the number of the variant."""

    predictor: Predictor
    scanned: list[Verdict]
    prepared: list[dict[str, object]]
    gathered: list[PhotographScore]
    attacked: list[AttackedFile]
    answered: list[dict[str, object]]


@pytest.fixture(scope="module")
def ways(tmp_path_factory: pytest.TempPathFactory) -> Ways:
    top = tmp_path_factory.mktemp("corpus")
    folder = top / "in"
    for number, variant in enumerate(VARIANTS):
        path = folder / RECAPTURE.classes[number % 2] / f"{number:03}{variant.suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(variant.data)

    def place(name: object) -> int:
        return int(Path(str(name)).name[:3])

    bundle = small_bundle(top / "small.safetensors", 1)
    scanned = list(scan(bundle, [folder], settings=ScanSettings(workers=1)))
    gathered = gather(bundle, photographs_of(folder, "test"), top / "ledger", workers=1)
    photos = photos_in_folders({name: folder / name for name in RECAPTURE.classes})
    prepared = prepare(photos, top / "set", Settings(sides=(SIDE,), per_class=60), workers=1)
    detector = Detector(Linear(side=SIDE))
    attacked = attack_files(detector, SIDE, FGSM(budget=0.4), [folder], top / "out", name="a")
    with (
        real_service(top, workers=1, max_files=len(VARIANTS)) as service,
        service.client() as client,
    ):
        files = [("file", (f"{n:03}", variant.data)) for n, variant in enumerate(VARIANTS)]
        answered = client.post("/v1/verdicts", files=files).json()["verdicts"]
    found = (*gathered.findings, *gathered.unread)
    return Ways(
        predictor=Predictor.load(bundle),
        scanned=sorted(scanned, key=lambda each: place(each.file)),
        prepared=sorted(prepared.photos.to_pylist(), key=lambda each: place(each["path"])),
        gathered=sorted(found, key=lambda each: place(each.photograph.name)),
        attacked=sorted(attacked, key=lambda each: place(each.path)),
        answered=answered,
    )


def read(variant: Variant) -> tuple[npt.NDArray[np.uint8] | None, str]:
    try:
        return read_image_bytes(variant.data, "picture").pixels, ""
    except ImageFileError as error:
        return None, error.reason


def test_there_are_many_and_each_way_has_a_word_on_each(ways: Ways) -> None:
    assert len(VARIANTS) >= 80
    assert len(set(IDS)) == len(IDS)
    for way in (ways.scanned, ways.prepared, ways.gathered, ways.attacked, ways.answered):
        assert len(way) == len(VARIANTS)


@pytest.mark.parametrize("number", range(len(VARIANTS)), ids=IDS)
def test_pixels_are_those_of_another_library_or_the_reason_is_plain(number: int) -> None:
    variant = VARIANTS[number]
    pixels, reason = read(variant)
    assert variant.refusal in reason
    assert bool(variant.refusal) == (pixels is None) or variant.pixels is None
    if variant.pixels is not None:
        assert pixels is not None, reason
        assert np.array_equal(pixels, variant.pixels)


@pytest.mark.parametrize("number", range(len(VARIANTS)), ids=IDS)
def test_all_ways_agree(ways: Ways, number: int) -> None:
    pixels, reason = read(VARIANTS[number])
    scanned, prepared = ways.scanned[number], ways.prepared[number]
    gathered, attacked = ways.gathered[number], ways.attacked[number]
    answered = ways.answered[number]
    if pixels is None:
        said = [scanned.reason, prepared["error"], gathered.error, attacked.error]
        assert [*said, answered["reason"]] == [reason] * 5
        assert [scanned.verdict, answered["verdict"]] == ["error"] * 2
        return
    wanted = ways.predictor.predict(VARIANTS[number].data)
    scores = [scanned.score, gathered.score, answered["score"]]
    assert wanted.score is not None
    assert scores == pytest.approx([wanted.score] * 3, rel=1e-6)
    assert [scanned.verdict, answered["verdict"]] == [wanted.verdict] * 2
    assert (scanned.height, scanned.width) == pixels.shape[:2]
    assert (answered["height"], answered["width"]) == pixels.shape[:2]
    assert prepared["pixels_sha256"] == pixels_sha256(pixels)
    assert np.array_equal(read_image(str(attacked.out)).pixels, pixels)
