"""What is kept of why a photograph was judged as it was: pictures and figures, as bytes."""

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
_LENGTH = 4  # bytes that tell how long the part after them is
_MOST_HEADER = 2**20
_MOST_BLOB = 8 * 2**20
_MOST_SIDE = 10**6  # pixels of a photograph
_MOST_KINDS, _MOST_CORNERS = 10, 1000
_MOST_CLAIMS, _LONGEST_CLAIM = 20, 1000
_WORD = re.compile("[A-Za-z][A-Za-z -]{0,59}")
_BEGINNINGS = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF")


@dataclass(frozen=True, kw_only=True)
class CropScore:
    """A crop that the detector looked at, and what it said of it.

    Args:
        y: Of the upper left corner, in pixels of the photograph.
        x: Likewise.
        score: Logit of recaptured minus logit of original.
    """

    y: int
    x: int
    score: float


@dataclass(frozen=True, kw_only=True)
class KeyCrop:
    """The judged crop that weighs most for what the score of the photograph says.

    Args:
        spot: Where it lies, and its score.
        crop: The crop at native resolution: WebP, lossless.
        seen: What the first layer of the detector makes of it: WebP, lossless.
        kind: What `seen` is: `filtered`, the image after the first filter, mid grey where the
            filter gives 0; or `spectrum`, the logarithm of the power at each frequency, zero
            frequency in the middle, black where there is nothing above the detector's floor.
        gain: `filtered`: levels of grey per unit of the filter's output; `spectrum`: the value
            of log(1 + power / floor²) that is drawn white.
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
        y: Of the upper left corner of the window, in pixels of the photograph.
        x: Likewise.
        side: Of the window, in pixels of the photograph.
        window: What is seen there, at the size at which it was looked at: WebP, lossless.
        spectrum: Logarithm of the power at each frequency, zero frequency in the middle: WebP,
            lossless, as many pixels as `window`.
        peak: Row and column of the peak in `spectrum`; its mirror image through the middle is as
            high.
        period: Of the wave, in pixels of the photograph.
        prominence: Of the peak above frequencies like it, in nats.
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
    """What kinds of evidence say of a photograph, for detectors that join several.

    Args:
        contributions: What each kind (texture, lattice, context) adds to the score, by name;
            positive speaks for a recapture.
        looks_like: The kind of medium that the frame looks like most, such as "laptop"; whether
            there is one at all is for the contribution of context to say. Empty where no whole
            frame was seen.
        outline: Of the region that looks most like a recapture: corners (y, x) in pixels,
            clockwise; empty if nothing speaks for one.
        share: Of the photograph that it takes, in [0, 1].
        lattice: The clearest grid; None in photographs that are too small for one.
    """

    contributions: Mapping[str, float]
    looks_like: str
    outline: tuple[tuple[int, int], ...] = ()
    share: float = 0.0
    lattice: LatticeShown | None = None

    @property
    def decisive(self) -> str | None:
        """The kind that weighs most."""
        found = self.contributions
        return max(found, key=lambda kind: abs(found[kind])) if found else None


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """Why a photograph was judged as it was, for pages and reports.

    Args:
        width: Of the photograph in pixels, as stored.
        height: Likewise.
        thumbnail: JPEG of at most 480 px on the long side, upright as all of this.
        heat: The evidence over the whole photograph as PNG with alpha, to be laid over the
            thumbnail and stretched to it; blue speaks for an original, orange for a recapture,
            transparent where nothing was looked at. None if no crop was.
        neutral: Score that speaks for neither, and is drawn white.
        span: So far from `neutral`, and beyond, colours are full.
        side: Of the crops in pixels.
        judged: The crops that the score is made of.
        looked_at: All crops on the heat map, those judged among them.
        within_crops: Whether the heat map shows where in a crop the evidence lies; else a crop is
            of one colour, that of its score.
        key_crop: The crop that weighs most; None without crops, or if there is no first layer
            that could be shown.
        evidence: What else was looked at; None for detectors that judge crops alone.
        claims: What the file says of where it comes from, as pairs of name and text; none of it
            was checked, and none of it had a part in the judgement.
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
        """Figures as JSON, and the pictures behind them; equal explanations give equal bytes."""
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
        """Read what `to_bytes` wrote.

        Raises:
            ValueError: The bytes are damaged, or of another kind.
        """
        try:
            first, *pictures = _parts(data)
            header = json.loads(first)
            return cls._of(header, pictures)
        except (ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:
            raise ValueError(f"no explanation, or a damaged one: {error}") from error

    @classmethod
    def _of(cls, header: Mapping[str, Any], pictures: Sequence[bytes]) -> Self:
        # Ledgers of scans that were stopped before it had this name are gone on with.
        key_crop = header["key_crop"] if "key_crop" in header else header["telling"]
        evidence = header.get("evidence")
        thumbnail, heat, *others = pictures
        wanted = 2 * (bool(key_crop) + bool(evidence and evidence["lattice"]))
        if len(others) != wanted or not all(map(_is_picture, [thumbnail, *others])):
            raise ValueError("its pictures are not those it should have")
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
        raise ValueError("it does not begin as one")
    parts: list[bytes] = []
    place = len(_MAGIC)
    while place < len(data):
        length = int.from_bytes(data[place : place + _LENGTH], "big")
        place += _LENGTH + length
        if length > (_MOST_BLOB if parts else _MOST_HEADER) or place > len(data):
            raise ValueError("it is cut")
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
        raise ValueError("words that no evidence has")
    if len(kinds) > _MOST_KINDS or len(said["outline"]) > _MOST_CORNERS:
        raise ValueError("more evidence than there can be")
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
    """Texts of a stranger's file, shown to people: printable, and not without end."""
    if len(said) > _MOST_CLAIMS:
        raise ValueError("more claims than a file makes")
    return tuple((_claim(name), _claim(text)) for name, text in said)


def _claim(text: object) -> str:
    if not isinstance(text, str) or len(text) > _LONGEST_CLAIM:
        raise ValueError(f"a short text wanted, got {text!r:.100}")
    return sanitize(text)


def _numbers(spot: CropScore) -> list[float]:
    return [spot.y, spot.x, spot.score]


def _spot(y: object, x: object, score: object) -> CropScore:
    return CropScore(y=_whole(y, 0), x=_whole(x, 0), score=_finite(score))


def _whole(value: object, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= _MOST_SIDE:
        raise ValueError(f"a number of pixels wanted, got {value!r}")
    return value


def _finite(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"a finite number wanted, got {value!r}")
    return float(value)


def _is_picture(data: bytes) -> bool:
    return data.startswith(_BEGINNINGS)
