"""What is no photograph of 24-bit colour is undecided, whatever its score is, and says why."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from conftest import photo_pixels
from PIL import Image
from web_service import small_bundle

from trueshot.inference import Predictor
from trueshot.inference.colours import colour_reasons

PIXELS = photo_pixels(2, True, 128)
PICTURE = Image.fromarray(PIXELS)


@pytest.fixture(scope="module")
def predictor(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    return Predictor.load(small_bundle(tmp_path_factory.mktemp("b") / "small.safetensors", 3))


def encoded(format: str, picture: Image.Image = PICTURE, **how: object) -> bytes:
    file = io.BytesIO()
    picture.copy().save(file, format, **how)
    return file.getvalue()


def web_palette() -> Image.Image:
    return PICTURE.convert("P")


REDUCED = {
    "PNG, web palette": (encoded("PNG", web_palette()), "of a palette"),
    "PNG, own palette": (encoded("PNG", PICTURE.quantize(256)), "of a palette"),
    "PNG, 16 colours": (encoded("PNG", PICTURE.quantize(16), bits=4), "of a palette"),
    "PNG, black and white": (encoded("PNG", PICTURE.convert("1")), "black and white alone"),
    "TIFF, palette": (encoded("TIFF", web_palette()), "of a palette"),
    "BMP, palette": (encoded("BMP", web_palette()), "of a palette"),
    "GIF": (encoded("GIF", PICTURE.quantize(200)), "of a palette"),
    "GIF, animated": (
        encoded("GIF", web_palette(), save_all=True, append_images=[Image.new("P", (128, 128))]),
        "of a palette",
    ),
    "JPEG, inks": (encoded("JPEG", PICTURE.convert("CMYK")), "of inks (CMYK)"),
    "TIFF, inks": (encoded("TIFF", PICTURE.convert("CMYK")), "of inks (CMYK)"),
    "PNG, palette saved in 24 bits": (
        encoded("PNG", web_palette().convert("RGB")),
        "different colours, as of a palette",
    ),
    "WebP, palette saved in 24 bits": (
        encoded("WEBP", PICTURE.quantize(64).convert("RGB"), lossless=True),
        "only 64 different colours, as of a palette",
    ),
    "PNG, grey of 4 bits": (
        encoded("PNG", Image.fromarray(PIXELS[..., 1] // 16 * 17)),
        "different colours, as of a palette",
    ),
}


def sixteen_bit_colour() -> npt.NDArray[np.uint8]:
    """Of the whole range, in 5, 6 and 5 bits."""
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (128, 128, 3)).astype(np.uint8)
    return pixels & np.array([0xF8, 0xFC, 0xF8], np.uint8)


@pytest.mark.parametrize("name", REDUCED)
def test_few_colours_are_undecided_with_a_reason(predictor: Predictor, name: str) -> None:
    data, words = REDUCED[name]
    found = predictor.predict(data)
    assert found.verdict == "undecided"
    assert found.score is not None, "it stands, with the reason beside it"
    (reason,) = found.reasons
    assert words in reason
    assert "24-bit colour" in reason


@pytest.mark.parametrize(
    "data",
    [encoded("PNG"), encoded("JPEG", quality=30), encoded("BMP")],
)
def test_photographs_of_24_bits_are_decided_as_before(predictor: Predictor, data: bytes) -> None:
    assert predictor.predict(data).reasons == ()


def test_colours_of_fewer_bits_are_known_by_their_levels(predictor: Predictor) -> None:
    (reason,) = predictor.predict(sixteen_bit_colour()).reasons
    assert "only 32 different levels of red, as of fewer bits" in reason
    assert (
        colour_reasons("RGB", np.random.default_rng(0).integers(0, 256, (4, 64, 64, 3), np.uint8))
        == []
    )


def test_one_colour_more_than_a_palette_holds_is_no_palette() -> None:
    colours = np.arange(2 * 32 * 32) % 257
    crops = np.stack([colours % 256, colours // 256, np.full_like(colours, 9)], -1)
    crops = crops.reshape(2, 32, 32, 3).astype(np.uint8)
    assert colour_reasons("RGB", crops) == []
    crops[crops[..., 1] == 1] = crops[0, 0, 0]
    (reason,) = colour_reasons("RGB", crops)
    assert "only 256 different colours" in reason


def test_a_detector_that_was_not_calibrated_claims_nothing_and_decides(tmp_path: Path) -> None:
    path = small_bundle(tmp_path / "b.safetensors", 3, calibration=None, decision=None)
    assert Predictor.load(path).predict(REDUCED["GIF"][0]).reasons == ()


def test_a_crop_of_no_more_pixels_than_a_palette_has_colours_is_no_palette() -> None:
    crops = np.random.default_rng(0).integers(0, 256, (2, 16, 16, 3), np.uint8)
    assert colour_reasons("RGB", crops[:1]) == colour_reasons("RGB", crops) == []
    assert colour_reasons("P", crops[:1]), "but the file may say that it is one"
