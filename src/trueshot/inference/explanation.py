"""Explanations of judgements: their pictures and figures, and their format as bytes."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
)

from trueshot.files import sanitize
from trueshot.tasks.task import is_name

Kind = Literal["filtered", "spectrum"]

_MAGIC = b"trueshot explanation 2\n"
_LENGTH = 4  # bytes that hold the length of the part after them
_MOST_HEADER = 2**20
_MOST_BLOB = 8 * 2**20
_MOST_SIDE = 10**6  # largest height or width of a photograph, in pixels
_BEGINNINGS = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF")


def _picture(number: object, info: ValidationInfo) -> bytes:
    """Return the picture with this number in the header."""
    pictures: list[bytes] = info.context  # type: ignore[assignment]
    if type(number) is not int or not 0 <= number < len(pictures):
        raise ValueError("a picture is missing")
    if not pictures[number].startswith(_BEGINNINGS):
        raise ValueError("a picture is neither JPEG, PNG nor WebP")
    return pictures[number]


def _name(text: str) -> str:
    """Return the name of a medium or kind of evidence, if a card could have it."""
    if not is_name(text):
        raise ValueError("not a valid name of a medium or kind of evidence")
    return text


# Limits on what `Explanation.from_bytes` reads.
_Place = Annotated[int, Field(strict=True, ge=0, le=_MOST_SIDE)]
_Size = Annotated[int, Field(strict=True, ge=1, le=_MOST_SIDE)]
_Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
_Name = Annotated[str, AfterValidator(_name)]
_Claim = Annotated[str, Field(max_length=1000), AfterValidator(sanitize)]
_Picture = Annotated[bytes, BeforeValidator(_picture)]


@dataclass(frozen=True, kw_only=True)
class CropScore:
    """A crop and the score that the detector gave it.

    Args:
        y: Row of its upper left corner, in pixels of the photograph.
        x: Column of its upper left corner, likewise.
        score: Logit of recaptured minus logit of original.
    """

    y: _Place
    x: _Place
    score: _Number


@dataclass(frozen=True, kw_only=True)
class KeyCrop:
    """The judged crop that supports most strongly the side of the photograph's score.

    Args:
        spot: Its position and score.
        crop: The crop at native resolution: WebP, lossless.
        seen: The output of the detector's first layer for the crop: WebP, lossless.
        kind: Kind of `seen`: `filtered`, the image after the first filter, mid grey where the
            filter gives 0; or `spectrum`, the logarithm of the power at each frequency, zero
            frequency in the middle, black where there is nothing above the detector's floor.
        gain: `filtered`: grey levels per unit of the filter's output; `spectrum`: the value of
            log(1 + power / floor²) that is drawn white.
    """

    spot: CropScore
    crop: _Picture
    seen: _Picture
    kind: Kind
    gain: _Number


@dataclass(frozen=True, kw_only=True)
class LatticeShown:
    """The window in which the grid of a display stands out most, and its spectrum.

    Args:
        y: Row of the window's upper left corner, in pixels of the photograph.
        x: Column of the window's upper left corner, likewise.
        side: Height and width of the window, in pixels of the photograph.
        window: The picture in the window, at the scale of the analysis: WebP, lossless.
        spectrum: Logarithm of the power at each frequency, zero frequency in the middle: WebP,
            lossless, as many pixels as `window`.
        peak: Row and column of the peak in `spectrum`; its mirror image about the middle is as
            high.
        period: Period of the wave, in pixels of the photograph.
        prominence: Prominence of the peak in nats, see `Peak.prominence`.
    """

    y: _Place
    x: _Place
    side: _Size
    window: _Picture
    spectrum: _Picture
    peak: tuple[_Place, _Place]
    period: _Number
    prominence: _Number


@dataclass(frozen=True, kw_only=True)
class EvidenceShown:
    """The evidence about a photograph by kind, for detectors that combine several kinds.

    Args:
        contributions: What each kind (texture, lattice, context) adds to the score, by name;
            positive values support a recapture.
        looks_like: Kind of medium that the frame looks most like, such as "laptop"; whether there
            is a medium at all is told by the contribution of context. Empty if there was no whole
            frame.
        outline: Outline of the region that looks most like a recapture: corners (y, x) in pixels,
            clockwise; empty if no evidence supports a recapture.
        share: Share of the photograph that the region covers, in [0, 1].
        lattice: The clearest grid; None if the photograph is too small for a window.
    """

    contributions: Annotated[Mapping[_Name, _Number], Field(max_length=10)]
    looks_like: _Name | Literal[""]
    outline: Annotated[tuple[tuple[_Place, _Place], ...], Field(max_length=1000)] = ()
    share: _Number = 0.0
    lattice: LatticeShown | None = None

    @property
    def decisive(self) -> str | None:
        """Kind with the largest absolute contribution; None without contributions."""
        found = self.contributions
        return max(found, key=lambda kind: abs(found[kind])) if found else None


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """Why a photograph was judged as it was, for pages and reports.

    Args:
        width: Width of the upright photograph, in pixels.
        height: Height of the upright photograph, in pixels.
        thumbnail: JPEG of at most 480 px on the long side, upright.
        heat: Heat map of the whole photograph as a PNG with alpha, to be stretched over the
            thumbnail: blue supports an original, orange a recapture; transparent where there is no
            crop. None without crops.
        neutral: Score that supports neither side; it is drawn white.
        span: Distance from `neutral` at which colours reach full strength.
        side: Height and width of the crops, in pixels.
        judged: The crops on which the score is based.
        looked_at: All crops on the heat map, including the judged ones.
        within_crops: Whether the heat map shows where in a crop the evidence lies; otherwise a crop
            has a single colour, that of its score.
        key_crop: See `KeyCrop`; None without crops, or if the first layer cannot be shown.
        evidence: The evidence by kind; None for detectors that judge only crops.
        claims: What the file says about its origin, as pairs of name and text; none of it was
            checked or used in the judgement.
    """

    width: _Size
    height: _Size
    thumbnail: _Picture
    heat: _Picture | None = None
    neutral: _Number = 0.0
    span: _Number = 1.0
    side: _Size
    judged: tuple[CropScore, ...] = ()
    looked_at: tuple[CropScore, ...] = ()
    within_crops: bool = False
    key_crop: KeyCrop | None = None
    evidence: EvidenceShown | None = None
    claims: Annotated[tuple[tuple[_Claim, _Claim], ...], Field(max_length=20)] = ()

    def __post_init__(self) -> None:
        if self.heat is not None and not self.looked_at:
            raise ValueError("a heat map without crops")

    def to_bytes(self) -> bytes:
        """Serialise: a JSON header with the numbers of pictures, then the pictures.

        Equal explanations give equal bytes.
        """
        pictures: list[bytes] = []

        def numbered(picture: bytes) -> int:
            pictures.append(picture)
            return len(pictures) - 1

        header = json.dumps(
            asdict(self), default=numbered, separators=(",", ":"), allow_nan=False
        ).encode()
        parts = (len(part).to_bytes(_LENGTH, "big") + part for part in (header, *pictures))
        return _MAGIC + b"".join(parts)

    @classmethod
    def from_bytes(cls, data: bytes) -> Explanation:
        """Read an explanation that `to_bytes` wrote.

        Raises:
            ValueError: The bytes are damaged, or no explanation.
        """
        try:
            header, *pictures = _parts(data)
            return _format().validate_json(header, context=pictures)
        except ValueError as error:
            fault = error.errors()[0]["msg"] if isinstance(error, ValidationError) else error
            raise ValueError(f"not an explanation, or damaged: {fault}") from error


@functools.cache  # building it takes longer than reading an explanation
def _format() -> TypeAdapter[Explanation]:
    return TypeAdapter(Explanation)


def _parts(data: bytes) -> list[bytes]:
    if not data.startswith(_MAGIC):
        raise ValueError("wrong first line")
    parts: list[bytes] = []
    place = len(_MAGIC)
    while place < len(data):
        length = int.from_bytes(data[place : place + _LENGTH], "big")
        place += _LENGTH + length
        if length > (_MOST_BLOB if parts else _MOST_HEADER) or place > len(data):
            raise ValueError("it is cut off, or a part is too long")
        parts.append(data[place - length : place])
    return parts
