"""Channels that save or resize an image: PNG, JPEG, resizing."""

from __future__ import annotations

import zlib
from dataclasses import KW_ONLY, dataclass
from typing import Literal, final

import numpy as np
from PIL import Image

from trueshot.channels.base import Channel, check_positive
from trueshot.channels.jpeg import (
    SUBSAMPLINGS,
    Tables,
    checked_quality,
    checked_tables,
    quantisation_tables,
    through_jpeg,
)
from trueshot.pixels import Bytes

Resample = Literal["bilinear", "bicubic", "lanczos"]

_RESAMPLES = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}


@final
@dataclass(frozen=True)
class Png(Channel):
    """A lossless file: levels are rounded, and nothing else changes."""

    @property
    def name(self) -> str:
        return "png"

    def changed(self, pixels: Bytes) -> Bytes:
        return pixels


@final
@dataclass(frozen=True)
class Jpeg(Channel):
    """Saved as a baseline JPEG and read back, with the codec used for image files.

    The blocks start at the upper left corner of the given image: a crop is saved as an image of its
    own. Give either `quality` or `tables`.

    Args:
        quality: 1 to 100, on libjpeg's scale.
        tables: Luminance and chrominance quantisation table, each 64 steps from 1 to 255, row by
            row.
        subsampling: Chroma subsampling: "4:4:4", "4:2:2" or "4:2:0".

    Raises:
        ValueError: An argument is invalid, or both or neither of `quality` and `tables` are given.
    """

    quality: int | None = None
    _: KW_ONLY
    tables: Tables | None = None
    subsampling: str = "4:2:0"

    def __post_init__(self) -> None:
        if (self.quality is None) == (self.tables is None):
            raise ValueError("exactly one of quality or tables must be given")
        if self.quality is not None:
            object.__setattr__(self, "quality", checked_quality(self.quality))
        if self.subsampling not in SUBSAMPLINGS:
            known = ", ".join(SUBSAMPLINGS)
            raise ValueError(f"subsampling must be one of {known}, got {self.subsampling!r}")
        if self.tables is not None:  # lists become tuples, which can be hashed
            object.__setattr__(self, "tables", checked_tables(self.tables))

    @property
    def steps(self) -> Tables:
        """The luminance and chrominance quantisation tables in use."""
        if self.tables is not None:
            return self.tables
        assert self.quality is not None
        return quantisation_tables(self.quality)

    @property
    def name(self) -> str:
        colour = "" if self.subsampling == "4:2:0" else f"-{self.subsampling.replace(':', '')}"
        if self.tables is None:
            return f"jpeg-{self.quality}{colour}"
        return f"jpeg-{zlib.crc32(repr(self.tables).encode()):08x}{colour}"

    def changed(self, pixels: Bytes) -> Bytes:
        how = self.quality if self.quality is not None else self.steps
        return through_jpeg(pixels, self.subsampling, how)


@final
@dataclass(frozen=True)
class Resized(Channel):
    """Resized by Pillow, and by default resized back to the original size.

    A detector takes crops of one size, and the traces it looks for have one scale. With `back` the
    size stays, and the only change is the detail lost by resizing. Without it the detector gets
    another number of pixels, as from an image that stays resized.

    Args:
        factor: Scale of both sides: below 1 shrinks, above 1 enlarges.
        resample: "bilinear", "bicubic" or "lanczos".
        back: Whether to resize back to the original size, with the same filter.

    Raises:
        ValueError: `factor` is not a positive number, or `resample` is unknown.
    """

    factor: float
    _: KW_ONLY
    resample: Resample = "bicubic"
    back: bool = True

    def __post_init__(self) -> None:
        check_positive("factor", self.factor)
        if self.resample not in _RESAMPLES:
            raise ValueError(
                f"resample must be one of {', '.join(_RESAMPLES)}, got {self.resample!r}"
            )

    @property
    def name(self) -> str:
        resample = "" if self.resample == "bicubic" else f"-{self.resample}"
        return f"resize-{self.factor:g}{resample}{'' if self.back else '-only'}"

    def size(self, height: int, width: int) -> tuple[int, int]:
        """Return height and width after the first resizing, each at least one pixel."""
        return max(1, round(height * self.factor)), max(1, round(width * self.factor))

    def changed(self, pixels: Bytes) -> Bytes:
        height, width = pixels.shape[:2]
        method = _RESAMPLES[self.resample]
        picture = Image.fromarray(pixels).resize(self.size(height, width)[::-1], method)
        if self.back:
            picture = picture.resize((width, height), method)
        return np.asarray(picture)
