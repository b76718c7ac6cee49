"""What a file, or what it is sent by, does to a picture: PNG, JPEG, resizing."""

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
    """A file without loss: levels are rounded, and nothing else happens."""

    @property
    def name(self) -> str:
        return "png"

    def changed(self, pixels: Bytes) -> Bytes:
        return pixels


@final
@dataclass(frozen=True)
class Jpeg(Channel):
    """Saved as a baseline JPEG and read again, by the codec that writes and reads files here.

    Blocks begin at the upper left of what is judged: a crop is saved as a picture of its own.

    Args:
        quality: 1 to 100, as libjpeg counts it; or else
        tables: Two of 64 steps from 1 to 255, row by row, of brightness and of colour.
        subsampling: Of colour: "4:4:4", "4:2:2" or "4:2:0".

    Raises:
        ValueError: An argument is none of the above, or both or neither of the first two.
    """

    quality: int | None = None
    _: KW_ONLY
    tables: Tables | None = None
    subsampling: str = "4:2:0"

    def __post_init__(self) -> None:
        if (self.quality is None) == (self.tables is None):
            raise ValueError("quality or tables: one of them wanted")
        if self.quality is not None:
            object.__setattr__(self, "quality", checked_quality(self.quality))
        if self.subsampling not in SUBSAMPLINGS:
            known = " or ".join(SUBSAMPLINGS)
            raise ValueError(f"subsampling: {known} wanted, got {self.subsampling!r}")
        if self.tables is not None:  # lists become tuples, which can be hashed
            object.__setattr__(self, "tables", checked_tables(self.tables))

    @property
    def steps(self) -> Tables:
        """The tables in use, of brightness and of colour."""
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
    """Resized by Pillow, and by default back again to where it was.

    A detector takes crops of one size and its evidence is of one scale. `back` keeps the size, so
    that what is lost on the way is all that changes; without it the detector is given another
    number of pixels, as from a picture that stays resized.

    Args:
        factor: Of both sides: below 1 for smaller, above for larger.
        resample: "bilinear", "bicubic" or "lanczos".
        back: Resize to the original size afterwards, in the same way.

    Raises:
        ValueError: A factor that is not positive, or an unknown `resample`.
    """

    factor: float
    _: KW_ONLY
    resample: Resample = "bicubic"
    back: bool = True

    def __post_init__(self) -> None:
        check_positive("factor", self.factor)
        if self.resample not in _RESAMPLES:
            raise ValueError(f"resample: {', '.join(_RESAMPLES)} known, got {self.resample!r}")

    @property
    def name(self) -> str:
        resample = "" if self.resample == "bicubic" else f"-{self.resample}"
        return f"resize-{self.factor:g}{resample}{'' if self.back else '-only'}"

    def size(self, height: int, width: int) -> tuple[int, int]:
        """Height and width on the way; each is one pixel at least."""
        return max(1, round(height * self.factor)), max(1, round(width * self.factor))

    def changed(self, pixels: Bytes) -> Bytes:
        height, width = pixels.shape[:2]
        method = _RESAMPLES[self.resample]
        picture = Image.fromarray(pixels).resize(self.size(height, width)[::-1], method)
        if self.back:
            picture = picture.resize((width, height), method)
        return np.asarray(picture)
