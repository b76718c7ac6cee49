"""Channels that save or resize an image: PNG, JPEG, resizing."""

from __future__ import annotations

import io
import operator
import zlib
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any, Literal, SupportsIndex, final

import numpy as np
import simplejpeg
from PIL import Image

from trueshot.channels.base import Channel, check_positive
from trueshot.images.jpeg_tables import Table, standard_tables
from trueshot.pixels import Bytes

Tables = tuple[Table, Table]
Resample = Literal["bilinear", "bicubic", "lanczos"]

SUBSAMPLINGS = ("4:4:4", "4:2:2", "4:2:0")
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

    Pillow encodes it, as in `images.write_jpeg`. The fast decoder of `images.read_image` decodes
    it, to the same bytes as Pillow would. The blocks start at the upper left corner of the given
    image: a crop is saved as an image of its own. Give either `quality` or `tables`.

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
            object.__setattr__(self, "quality", _checked_quality(self.quality))
        if self.subsampling not in SUBSAMPLINGS:
            known = ", ".join(SUBSAMPLINGS)
            raise ValueError(f"subsampling must be one of {known}, got {self.subsampling!r}")
        if self.tables is not None:  # lists become tuples, which can be hashed
            object.__setattr__(self, "tables", _checked_tables(self.tables))

    @property
    def steps(self) -> Tables:
        """The luminance and chrominance quantisation tables in use."""
        if self.tables is not None:
            return self.tables
        assert self.quality is not None
        return standard_tables(self.quality)

    @property
    def name(self) -> str:
        colour = "" if self.subsampling == "4:2:0" else f"-{self.subsampling.replace(':', '')}"
        if self.tables is None:
            return f"jpeg-{self.quality}{colour}"
        return f"jpeg-{zlib.crc32(repr(self.tables).encode()):08x}{colour}"

    def changed(self, pixels: Bytes) -> Bytes:
        settings: dict[str, Any] = {"quality": self.quality}
        if self.tables is not None:
            settings = {"qtables": [list(table) for table in self.tables]}
        file = io.BytesIO()
        picture = Image.fromarray(pixels)
        picture.save(file, format="JPEG", subsampling=self.subsampling, **settings)
        decoded: Bytes = simplejpeg.decode_jpeg(file.getvalue(), colorspace="RGB", strict=True)
        return np.ascontiguousarray(decoded)


def _checked_quality(quality: SupportsIndex) -> int:
    """Return a JPEG quality as an `int`.

    Raises:
        ValueError: `quality` is not a whole number from 1 to 100.
    """
    try:
        whole = int(operator.index(quality))
    except TypeError:
        whole = 0
    if not 1 <= whole <= 100:
        raise ValueError(f"quality must be a whole number from 1 to 100, got {quality!r}")
    return whole


def _checked_tables(tables: Sequence[Sequence[int]]) -> Tables:
    """Return the two quantisation tables of a baseline JPEG as tuples of `int`.

    Raises:
        ValueError: `tables` are not two tables of 64 whole steps from 1 to 255.
    """
    try:
        found = tuple(tuple(int(operator.index(step)) for step in table) for table in tables)
    except TypeError as error:
        raise ValueError(f"tables must contain whole numbers: {error}") from error
    if [len(table) for table in found] != [64, 64]:
        raise ValueError(
            f"tables must be two tables of 64 steps, got lengths {[len(table) for table in found]}"
        )
    if not all(1 <= step <= 255 for table in found for step in table):
        raise ValueError("tables must contain steps from 1 to 255 only")
    return found[0], found[1]


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
