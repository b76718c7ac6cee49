"""Channels against Pillow by hand, against closed forms, and for what they promise of any batch."""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import levels, photo_pixels
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor

from trueshot.channels import (
    EVERYDAY,
    FILES,
    SUBSAMPLINGS,
    Blurred,
    Brightened,
    Chain,
    Channel,
    Jpeg,
    Noisy,
    Png,
    Resized,
    messenger,
)
from trueshot.images import read_image, write_jpeg
from trueshot.images.jpeg_tables import standard_tables
from trueshot.pixels import to_bytes, to_levels

ODD = Jpeg(tables=([9] * 32 + [70] * 32, [31] * 64), subsampling="4:2:2")  # type: ignore[arg-type]
ALL = tuple({each.name: each for each in (*EVERYDAY, *FILES, ODD, Brightened(factor=1.2))}.values())


def pictures(count: int = 3, height: int = 45, width: int = 61) -> Tensor:
    """Soft pictures with noise, every second one with a screen's grid; no side a multiple of 8."""
    stack = np.stack([photo_pixels(seed, seed % 2 == 1, 64) for seed in range(count)])
    return to_levels(np.ascontiguousarray(stack[:, :height, :width]))


def saved(pixels: np.ndarray, **how: object) -> Image.Image:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format="JPEG", **how)
    return Image.open(io.BytesIO(file.getvalue()))


@pytest.mark.parametrize("quality", [1, 30, 75, 95, 100])
@pytest.mark.parametrize("subsampling", SUBSAMPLINGS)
def test_a_jpeg_is_what_pillow_saves_and_reads_again(quality: int, subsampling: str) -> None:
    images = pictures()
    arrived = to_bytes(Jpeg(quality, subsampling=subsampling)(images))
    for before, after in zip(to_bytes(images), arrived, strict=True):
        expected = saved(before, quality=quality, subsampling=subsampling)
        np.testing.assert_array_equal(after, np.asarray(expected))


def test_a_jpeg_is_what_our_own_files_hold(tmp_path: Path) -> None:
    images = pictures(1)
    write_jpeg(tmp_path / "a.jpg", to_bytes(images)[0], 80)
    assert torch.equal(Jpeg(80)(images), to_levels(read_image(tmp_path / "a.jpg").pixels))


@pytest.mark.parametrize("quality", [1, 2, 10, 25, 49, 50, 51, 75, 90, 95, 99, 100])
def test_the_tables_of_a_quality_are_those_that_a_file_gets(quality: int) -> None:
    held = saved(photo_pixels(0, False, 32), quality=quality).quantization  # type: ignore[attr-defined]
    assert standard_tables(quality) == (tuple(held[0]), tuple(held[1]))


def test_tables_of_ones_own_are_those_that_the_file_holds_and_is_read_with() -> None:
    luma, chroma = (tuple(range(1, 65)), tuple(range(64, 0, -1)))
    (pixels,) = to_bytes(pictures(1))
    file = saved(pixels, qtables=[list(luma), list(chroma)], subsampling="4:4:4")
    assert tuple(file.quantization[0]) == luma  # type: ignore[attr-defined]
    (arrived,) = to_bytes(Jpeg(tables=(luma, chroma), subsampling="4:4:4")(pictures(1)))
    np.testing.assert_array_equal(arrived, np.asarray(file))
    assert torch.equal(Jpeg(tables=standard_tables(60))(pictures()), Jpeg(60)(pictures()))


@pytest.mark.parametrize("factor", [0.3, 0.75, 1.6])
@pytest.mark.parametrize("resample", ["bilinear", "bicubic", "lanczos"])
def test_resizing_is_pillows_and_goes_back_unless_it_is_told_not_to(
    factor: float, resample: str
) -> None:
    (pixels,) = to_bytes(pictures(1))
    method = Image.Resampling[resample.upper()]
    there = Image.fromarray(pixels).resize((round(61 * factor), round(45 * factor)), method)
    back = there.resize((61, 45), method)
    for expected, returns in ((there, False), (back, True)):
        channel = Resized(factor, resample=resample, back=returns)  # type: ignore[arg-type]
        np.testing.assert_array_equal(to_bytes(channel(pictures(1)))[0], np.asarray(expected))


def test_a_picture_is_never_resized_to_nothing() -> None:
    assert Resized(0.01, back=False)(levels(1, 9)).shape == (1, 3, 1, 1)
    assert Resized(0.01)(levels(1, 9)).shape == (1, 3, 9, 9)


def test_a_blurred_point_is_the_gaussian() -> None:
    point = torch.zeros(1, 3, 21, 21)
    point[:, :, 10, 10] = 255
    away = torch.arange(21.0) - 10
    row = torch.exp(-(away**2) / (2 * 1.5**2))
    expected = 255 * row[:, None] * row / row.sum() ** 2
    assert (Blurred(1.5)(point)[0] - expected).abs().max() <= 0.51
    flat = torch.full((1, 3, 7, 9), 93.0)
    assert torch.equal(Blurred(3.0)(flat), flat)


def test_noise_has_the_deviation_asked_for_and_no_mean() -> None:
    flat = torch.full((1, 3, 128, 128), 127.0)
    added = Noisy(3.0)(flat) - flat
    assert abs(float(added.mean())) < 0.06
    assert float(added.std()) == pytest.approx(math.hypot(3, 12**-0.5), rel=0.02)
    assert not torch.equal(Noisy(3.0, seed=1)(flat), Noisy(3.0)(flat))
    rows = added.flatten(1).double()
    assert abs(float((rows[:, 1:] * rows[:, :-1]).mean())) < 0.2  # of 9


@pytest.mark.parametrize(
    ("channel", "expected"),
    [
        (Brightened(20.0), lambda old: (old + 20).clamp(max=255)),
        (Brightened(-20.0), lambda old: (old - 20).clamp(min=0)),
        (Brightened(5.0, factor=1.5), lambda old: (1.5 * old + 5).round().clamp(max=255)),
    ],
)
def test_brightening_is_a_factor_and_an_offset_cut_off_at_black_and_white(
    channel: Channel, expected: Callable[[Tensor], Tensor]
) -> None:
    ramp = torch.arange(256.0).reshape(1, 1, 16, 16).expand(2, 3, 16, 16)
    assert torch.equal(channel(ramp), expected(ramp))


def test_a_chain_is_its_steps_one_after_the_other() -> None:
    images = pictures()
    chain = Chain([Brightened(9.0), Jpeg(60), Blurred(0.7)])
    assert torch.equal(chain(images), Blurred(0.7)(Jpeg(60)(Brightened(9.0)(images))))
    assert chain.name == "bright-+9+jpeg-60+blur-0.7"
    (pixels,) = to_bytes(images[:1])
    there = Image.fromarray(pixels).resize((46, 34), Image.Resampling.BICUBIC)
    back = np.asarray(there.resize((61, 45), Image.Resampling.BICUBIC))
    sent = np.asarray(saved(back, quality=75, subsampling="4:2:0"))
    np.testing.assert_array_equal(to_bytes(messenger()(images[:1]))[0], sent)


def test_png_only_rounds() -> None:
    images = torch.tensor([0.2, 0.5, 1.5, 254.6]).reshape(1, 1, 2, 2).expand(1, 3, 2, 2)
    assert Png()(images)[0, 0].flatten().tolist() == [0, 0, 2, 255]


@pytest.mark.parametrize("channel", ALL, ids=lambda channel: channel.name)
def test_a_channel_takes_any_batch_and_gives_whole_levels(channel: Channel) -> None:
    images = pictures(4).double() + 0.25
    kept = images.clone()
    before = torch.get_rng_state()
    arrived = channel(images)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(images, kept)
    assert arrived.shape == images.shape
    assert arrived.dtype == torch.float64
    assert torch.equal(arrived, arrived.round().clamp(0, 255))
    assert torch.equal(arrived, torch.cat([channel(image) for image in images.split(1)]))
    assert torch.equal(arrived, channel(images.round()))
    assert channel(images[:0]).shape == (0, 3, 45, 61)
    if channel != Png():
        assert (arrived != images.round()).any()


@pytest.mark.parametrize("channel", ALL, ids=lambda channel: channel.name)
def test_a_channel_is_known_by_its_repr_and_can_be_compared(channel: Channel) -> None:
    again = eval(repr(channel))
    assert again == channel
    assert hash(again) == hash(channel)


def test_the_names_in_tables_are_short_and_differ() -> None:
    assert [each.name for each in EVERYDAY] == [
        *("jpeg-95", "jpeg-85", "jpeg-75", "jpeg-50", "resize-0.75", "resize-0.5", "resize-1.5"),
        *("blur-0.5", "blur-1", "noise-1", "noise-3", "bright-+20", "bright--20", "messenger"),
    ]
    others = [
        Jpeg(75, subsampling="4:4:4"),
        Resized(0.5, resample="bilinear"),
        Resized(0.5, back=False),
        ODD,
        Jpeg(tables=standard_tables(75)),
        Brightened(1.0, factor=1.2),
    ]
    names = [each.name for each in (*EVERYDAY, *others)]
    assert len(set(names)) == len(names)
    assert {each.name for each in FILES} >= {"png", "jpeg-75", "messenger"}


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 100))
def test_pictures_of_any_size_are_saved(height: int, width: int, quality: int) -> None:
    image = levels(1, 40)[:, :, :height, :width]
    for channel in (Jpeg(quality), messenger(), Blurred(2.0)):
        assert channel(image).shape == image.shape


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: Jpeg(), "quality or tables"),
        (lambda: Jpeg(75, tables=standard_tables(75)), "quality or tables"),
        (lambda: Jpeg(0), "quality"),
        (lambda: Jpeg(101), "quality"),
        (lambda: Jpeg(75.0), "quality"),  # type: ignore[arg-type]
        (lambda: Jpeg("75"), "quality"),  # type: ignore[arg-type]
        (lambda: Jpeg(75, subsampling="4:1:1"), "subsampling"),
        (lambda: Jpeg(tables=([1] * 64,)), "tables"),  # type: ignore[arg-type]
        (lambda: Jpeg(tables=([1] * 64, [1] * 63)), "tables"),  # type: ignore[arg-type]
        (lambda: Jpeg(tables=([1] * 64, [256] * 64)), "tables"),  # type: ignore[arg-type]
        (lambda: Jpeg(tables=([1] * 64, [2.5] * 64)), "tables"),  # type: ignore[arg-type]
        (lambda: Resized(0.0), "factor"),
        (lambda: Resized(math.nan), "factor"),
        (lambda: Resized(0.5, resample="box"), "resample"),  # type: ignore[arg-type]
        (lambda: Blurred(0.0), "sigma"),
        (lambda: Noisy(-1.0), "sigma"),
        (lambda: Noisy(1.0, seed=-1), "seed"),
        (lambda: Brightened(), "levels"),
        (lambda: Brightened(math.inf), "levels"),
        (lambda: Brightened(factor=0.0), "factor"),
        (lambda: Chain(()), "steps"),
    ],
)
def test_a_setting_that_is_none_is_refused_by_name(make: Callable[[], Channel], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        make()


def test_any_whole_number_is_a_quality_and_is_kept_as_one() -> None:
    channel = Jpeg(np.int64(75))  # type: ignore[arg-type]
    assert channel == Jpeg(75)
    assert repr(channel) == repr(Jpeg(75))
    assert torch.equal(channel(pictures(1)), Jpeg(75)(pictures(1)))
