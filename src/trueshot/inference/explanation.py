"""Explanations of judgements: their pictures and figures, and their format as bytes."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

from trueshot.files import sanitize

Kind = Literal["filtered", "spectrum"]

_MAGIC = b"trueshot explanation 1\n"
_LENGTH = 4  # bytes that hold the length of the part after them
_MOST_HEADER = 2**20
_MOST_BLOB = 8 * 2**20
_MOST_SIDE = 10**6  # largest height or width of a photograph, in pixels
_MOST_KINDS, _MOST_CORNERS = 10, 1000
_MOST_CLAIMS, _LONGEST_CLAIM = 20, 1000
_WORD = re.compile("[A-Za-z][A-Za-z -]{0,59}")
_BEGINNINGS = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF")


@dataclass(frozen=True, kw_only=True)
class CropScore:
    """A crop and the score that the detector gave it.

    Args:
        y: Row of its upper left corner, in pixels of the photograph.
        x: Column of its upper left corner, likewise.
        score: Logit of recaptured minus logit of original.
    """

    y: int
    x: int
    score: float


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
    crop: bytes
    seen: bytes
    kind: Kind
    gain: float


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

    y: int
    x: int
    side: int
    window: bytes
    spectrum: bytes
    peak: tuple[int, int]
    period: float
    prominence: float


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

    contributions: Mapping[str, float]
    looks_like: str
    outline: tuple[tuple[int, int], ...] = ()
    share: float = 0.0
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

    width: int
    height: int
    thumbnail: bytes
    heat: bytes | None = None
    neutral: float = 0.0
    span: float = 1.0
    side: int
    judged: tuple[CropScore, ...] = ()
    looked_at: tuple[CropScore, ...] = ()
    within_crops: bool = False
    key_crop: KeyCrop | None = None
    evidence: EvidenceShown | None = None
    claims: tuple[tuple[str, str], ...] = ()

    def to_bytes(self) -> bytes:
        """Serialise: a JSON header, then the pictures; equal explanations give equal bytes."""
        key_crop = self.key_crop
        pictures = [self.thumbnail, self.heat or b""]
        pictures += [key_crop.crop, key_crop.seen] if key_crop else []
        lattice = self.evidence.lattice if self.evidence else None
        pictures += [lattice.window, lattice.spectrum] if lattice else []
        header = {
            "size": [self.width, self.height],
            "neutral": self.neutral,
            "span": self.span,
            "side": self.side,
            "judged": [_numbers(spot) for spot in self.judged],
            "looked_at": [_numbers(spot) for spot in self.looked_at],
            "within_crops": self.within_crops,
            "key_crop": key_crop and [*_numbers(key_crop.spot), key_crop.kind, key_crop.gain],
        }
        if self.evidence is not None:
            header["evidence"] = _said_of(self.evidence)
        if self.claims:
            header["claims"] = self.claims
        parts = [json.dumps(header, separators=(",", ":"), allow_nan=False).encode(), *pictures]
        return _MAGIC + b"".join(len(part).to_bytes(_LENGTH, "big") + part for part in parts)

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Read an explanation that `to_bytes` wrote.

        Raises:
            ValueError: The bytes are damaged, or no explanation.
        """
        try:
            first, *pictures = _parts(data)
            header = json.loads(first)
            return cls._of(header, pictures)
        except (ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:
            raise ValueError(f"not an explanation, or damaged: {error}") from error

    @classmethod
    def _of(cls, header: Mapping[str, Any], pictures: Sequence[bytes]) -> Self:
        key_crop, evidence = header["key_crop"], header.get("evidence")
        thumbnail, heat, *others = pictures
        wanted = 2 * (bool(key_crop) + bool(evidence and evidence["lattice"]))
        if len(others) != wanted or not all(map(_is_picture, [thumbnail, *others])):
            raise ValueError("wrong number or format of pictures")
        width, height = (_whole(size, 1) for size in header["size"])
        return cls(
            width=width,
            height=height,
            thumbnail=thumbnail,
            heat=heat if _is_picture(heat) else None,
            neutral=_finite(header["neutral"]),
            span=_finite(header["span"]),
            side=_whole(header["side"], 1),
            judged=tuple(_spot(*numbers) for numbers in header["judged"]),
            looked_at=tuple(_spot(*numbers) for numbers in header["looked_at"]),
            within_crops=header["within_crops"] is True,
            key_crop=_key_crop(key_crop, others[:2]) if key_crop else None,
            evidence=_evidence(evidence, others[-2:]) if evidence else None,
            claims=_claims(header.get("claims", ())),
        )


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


def _key_crop(said: Sequence[Any], pictures: Sequence[bytes]) -> KeyCrop:
    y, x, score, kind, gain = said
    if kind not in ("filtered", "spectrum"):
        raise ValueError(f"unknown kind of picture: {kind!r}")
    crop, seen = pictures
    return KeyCrop(spot=_spot(y, x, score), crop=crop, seen=seen, kind=kind, gain=_finite(gain))


def _said_of(evidence: EvidenceShown) -> dict[str, Any]:
    lattice = evidence.lattice
    return {
        "contributions": dict(evidence.contributions),
        "looks_like": evidence.looks_like,
        "outline": evidence.outline,
        "share": evidence.share,
        "lattice": lattice
        and [lattice.y, lattice.x, lattice.side, *lattice.peak, lattice.period, lattice.prominence],
    }


def _evidence(said: Mapping[str, Any], pictures: Sequence[bytes]) -> EvidenceShown:
    kinds, words = said["contributions"], said["looks_like"]
    if not isinstance(words, str) or not all(map(_WORD.fullmatch, [words or "none", *kinds])):
        raise ValueError("invalid name of a kind of evidence or medium")
    if len(kinds) > _MOST_KINDS or len(said["outline"]) > _MOST_CORNERS:
        raise ValueError("too many kinds of evidence, or corners of the outline")
    return EvidenceShown(
        contributions={kind: _finite(value) for kind, value in kinds.items()},
        looks_like=words,
        outline=tuple((_whole(y, 0), _whole(x, 0)) for y, x in said["outline"]),
        share=_finite(said["share"]),
        lattice=_lattice(said["lattice"], pictures) if said["lattice"] else None,
    )


def _lattice(said: Sequence[Any], pictures: Sequence[bytes]) -> LatticeShown:
    y, x, side, row, column, period, prominence = said
    window, spectrum = pictures
    return LatticeShown(
        y=_whole(y, 0),
        x=_whole(x, 0),
        side=_whole(side, 1),
        window=window,
        spectrum=spectrum,
        peak=(_whole(row, 0), _whole(column, 0)),
        period=_finite(period),
        prominence=_finite(prominence),
    )


def _claims(said: Sequence[Any]) -> tuple[tuple[str, str], ...]:
    """Return the claims of an untrusted file, limited in length and safe to display."""
    if len(said) > _MOST_CLAIMS:
        raise ValueError("too many claims")
    return tuple((_claim(name), _claim(text)) for name, text in said)


def _claim(text: object) -> str:
    if not isinstance(text, str) or len(text) > _LONGEST_CLAIM:
        raise ValueError(f"a claim must be a short text, got {text!r:.100}")
    return sanitize(text)


def _numbers(spot: CropScore) -> list[float]:
    return [spot.y, spot.x, spot.score]


def _spot(y: object, x: object, score: object) -> CropScore:
    return CropScore(y=_whole(y, 0), x=_whole(x, 0), score=_finite(score))


def _whole(value: object, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= _MOST_SIDE:
        raise ValueError(f"expected a number of pixels, got {value!r}")
    return value


def _finite(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"expected a finite number, got {value!r}")
    return float(value)


def _is_picture(data: bytes) -> bool:
    return data.startswith(_BEGINNINGS)
