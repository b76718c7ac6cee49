"""Kinds of evidence in words and as bars: which kind decided, and what the region shows."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from PIL import Image

from trueshot.card import Card
from trueshot.errors import ImageFileError
from trueshot.images import read_image_bytes
from trueshot.inference.explanation import EvidenceShown, LatticeShown
from trueshot.reports.scan_text import FIRST, NBSP, OTHER, begun, number_text
from trueshot.tasks.recapture import RECAPTURE

NOISE = 2.5
"""Prominence, in nats, that the highest peak reaches in a window of pure noise."""

_ALIKE = 0.7  # share of the strongest contribution from which another kind also decides
_INSIDE = 0.1  # share of the strongest contribution from which a kind counts for the region
_MOST_OF_IT = 0.5  # share of the frame from which the region is called the whole picture
_NATIVE, _SPECTRUM = 192, 256  # pixels across: largest window, target of the spectrum
_LONGEST = 2048  # largest side of a window or a spectrum
_BAR = 100  # half the width of the bar drawing
_VOWELS = "aeiou"


@dataclass(frozen=True, kw_only=True)
class EvidenceBar:
    """Contribution of one kind of evidence to the score, and its bar in units of the drawing."""

    kind: str
    value: float
    across: float
    width: float
    tone: str


@dataclass(frozen=True, kw_only=True)
class LatticeFigure:
    """The centre of a window as it was analysed, and its spectrum with rings around the peaks.

    Args:
        size: Scale of the window relative to the photograph, in words.
    """

    lattice: LatticeShown
    size: str
    window: bytes
    spectrum: bytes
    side: int
    rings: tuple[tuple[float, float], ...]


@dataclass(frozen=True, kw_only=True)
class EvidenceTold:
    """The evidence of one photograph as text and drawings for a report.

    Args:
        shown: The evidence as stored in the explanation.
        decided: Sentence on which kind of evidence decided.
        place: Sentence on what the outlined region shows.
        context: What the frame looks like, and its contribution to the score.
        grid: Period and prominence of the clearest grid; empty without one.
        bars: One bar for each kind of evidence.
        start: Score before any evidence is added; None if there is no score.
        figure: Figure of the grid; None without one, or if its pictures are damaged.
        points: Corners of the region as the `points` of an SVG polygon; empty without a region.
    """

    shown: EvidenceShown
    decided: str
    place: str
    context: str
    grid: str
    bars: tuple[EvidenceBar, ...]
    start: float | None
    figure: LatticeFigure | None
    points: str


def evidence_told(shown: EvidenceShown, kind: str, score: float | None, card: Card) -> EvidenceTold:
    """Describe the evidence of one photograph in words.

    Args:
        shown: Evidence of the photograph.
        kind: Kind of its verdict, one of `scan_summary.WORDS`.
        score: Score of the photograph.
        card: Card of the detector, which provides the words.
    """
    return EvidenceTold(
        shown=shown,
        decided=decided(shown, kind, card),
        place=place(shown, kind, card),
        context=_context(shown, card),
        grid=_grid(shown.lattice),
        bars=_bars(shown),
        start=None if score is None else score - sum(shown.contributions.values()),
        figure=_figure(shown.lattice),
        points=" ".join(f"{x},{y}" for y, x in shown.outline),
    )


def decided(shown: EvidenceShown, kind: str, card: Card) -> str:
    """Return a sentence on which kind of evidence decided, and which side it supports."""
    found = shown.contributions
    strongest = shown.decisive
    if strongest is None or not found[strongest]:
        return "" if not found else "No kind of evidence supports either side."
    towards = found[strongest] > 0
    most = abs(found[strongest])
    alike = [k for k, value in found.items() if abs(value) >= _ALIKE * most]
    alike = [k for k in alike if (found[k] > 0) == towards]
    ranked = sorted(alike, key=lambda k: -abs(found[k]))
    subject = begun(_joined([_noun(k, shown, card) for k in ranked]))
    if kind == (OTHER if towards else FIRST):
        return f"{subject} decided the verdict."
    many = len(ranked) > 1
    said = "contribute most and support" if many else "contributes most and supports"
    side = _sides(card)[towards]
    if kind in (FIRST, OTHER):
        return (
            f"{subject} {said} {side}, but all other evidence together outweighs "
            f"{'them' if many else 'it'}."
        )
    return f"{subject} {said} {side}, but {'do' if many else 'does'} not decide the verdict."


def place(shown: EvidenceShown, kind: str, card: Card) -> str:
    """Return a sentence on what the outlined region is, such as a device or a recaptured part."""
    if not shown.outline:
        return f"No region supports {_sides(card)[1]}."
    share = share_of_frame(shown.share)
    if kind == FIRST:
        return (
            f"What evidence there is for {_sides(card)[1]} lies in the outlined region ({share})."
        )
    if card.classes != RECAPTURE.classes:
        return f"The outlined region ({share}) supports {_sides(card)[1]} most."
    strongest = max(shown.contributions.values(), default=0.0)
    inside = any(
        shown.contributions.get(name, 0.0) > _INSIDE * strongest for name in ("lattice", "texture")
    )
    be = "is" if kind == OTHER else "may be"
    if not inside:
        what = _medium(shown, card) or "a device or a print"
        return (
            f"{begun(what)} {be} in the picture ({share}), but neither a grid nor the texture "
            "there indicates a recapture."
        )
    if shown.share >= _MOST_OF_IT:
        return f"The photograph {be} of a screen or a print: the region covers {share}."
    return (
        f"Part of the photograph {be} of a screen or a print ({share}); the evidence does not "
        "extend to the rest."
    )


def share_of_frame(share: float) -> str:
    """Return a region's share of the frame, in [0, 1], as text."""
    return f"{100 * share:.0f}{NBSP}% of the frame" if share >= 0.01 else "under 1 % of the frame"


def _sides(card: Card) -> tuple[str, str]:
    """Return the names of the sides that negative and positive evidence supports."""
    if card.classes == RECAPTURE.classes:
        return "an original", "a recapture"
    first, other = card.words.verdicts
    return f"“{first}”", f"“{other}”"


def _noun(kind: str, shown: EvidenceShown, card: Card) -> str:
    """Return a noun phrase for a kind of evidence that reflects what it says."""
    speaks = shown.contributions[kind] > 0
    recapture = card.classes == RECAPTURE.classes
    if kind == "lattice":
        grid = "grid of a display" if recapture else "grid"
        if not speaks:
            return f"the lack of {'a display’s grid' if recapture else 'a grid'}"
        if shown.lattice is None:
            return f"the {grid}"
        return f"the {grid} (period {_period(shown.lattice)})"
    if kind == "context":
        return f"the frame, which {_frame(shown, card)},"
    if kind == "texture":
        if speaks:
            return "the texture of the region" if shown.outline else "the texture"
        return f"the texture, typical of {card.words.plurals[0]},"
    return f"the {kind} evidence"


def _frame(shown: EvidenceShown, card: Card) -> str:
    medium = _medium(shown, card)
    if shown.contributions["context"] > 0:
        return f"shows {medium}" if medium else f"looks like those of {card.words.plurals[1]}"
    if card.classes == RECAPTURE.classes:
        return "shows neither a device nor a print"
    return f"looks like those of {card.words.plurals[0]}"


def _medium(shown: EvidenceShown, card: Card) -> str:
    """Return the kind of medium with its article; "" if only classes are distinguished."""
    if shown.looks_like in card.classes:
        return ""
    return f"{'an' if shown.looks_like[:1].lower() in _VOWELS else 'a'} {shown.looks_like}"


def _context(shown: EvidenceShown, card: Card) -> str:
    if not shown.looks_like:
        return "not analysed: so small a picture counts as a piece of a photograph"
    value = shown.contributions.get("context")
    if value is None:
        return shown.looks_like
    adds = f"{'adds' if value >= 0 else 'subtracts'} {number_text(abs(value))}"
    if shown.looks_like in card.classes:  # kinds of media are not distinguished
        return f"{card.classes[value >= 0]}; {adds}"
    if value >= 0:
        return f"{shown.looks_like}; {adds}"
    return f"no medium; the closest is {_medium(shown, card)}; {adds}"


def _grid(lattice: LatticeShown | None) -> str:
    if lattice is None:
        return ""
    clear = f"{number_text(lattice.prominence, 1)} nats above the surroundings"
    beside = f"noise alone reaches {NOISE:.1f}"
    return f"the clearest has a period of {_period(lattice)} and lies {clear} ({beside})"


def _period(lattice: LatticeShown) -> str:
    return f"{lattice.period:.1f}{NBSP}px"


def _bars(shown: EvidenceShown) -> tuple[EvidenceBar, ...]:
    most = max(map(abs, shown.contributions.values()), default=0.0) or 1.0
    return tuple(
        EvidenceBar(
            kind=kind,
            value=value,
            across=round(_BAR + min(value, 0) / most * _BAR, 1),
            width=round(abs(value) / most * _BAR, 1),
            tone=OTHER if value > 0 else FIRST,
        )
        for kind, value in shown.contributions.items()
    )


def _figure(lattice: LatticeShown | None) -> LatticeFigure | None:
    """Return the unscaled centre of the window and a reduced spectrum, or None if damaged."""
    if lattice is None:
        return None
    try:
        window, spectrum = map(_opened, (lattice.window, lattice.spectrum))
    except ImageFileError:  # the text does not need the figure
        return None
    if window.size != spectrum.size or max(window.size) > _LONGEST:
        return None
    left, top = (max(0, (size - _NATIVE) // 2) for size in window.size)
    middle = window.crop(
        (left, top, min(left + _NATIVE, window.width), min(top + _NATIVE, window.height))
    )
    height, width = spectrum.height, spectrum.width
    y, x = lattice.peak
    mirror = 2 * (height // 2) - y, 2 * (width // 2) - x
    factor = max(1, round(lattice.side / window.width))
    return LatticeFigure(
        lattice=lattice,
        size="at full size" if factor == 1 else f"at 1/{factor} of its size, as analysed",
        window=_webp(middle, lossless=True, quality=20),
        spectrum=_webp(_fewer(spectrum), quality=70),
        side=width,
        rings=tuple((column + 0.5, row + 0.5) for row, column in ((y, x), mirror)),
    )


def _opened(picture: bytes) -> Image.Image:
    """Open a picture as carefully as a photograph, because a worker that made it may be hostile."""
    return Image.fromarray(read_image_bytes(picture, "", pixel_limit=_LONGEST**2).pixels)


def _fewer(spectrum: Image.Image) -> Image.Image:
    """Reduce a spectrum by taking the maximum of each block, which keeps sharp peaks."""
    shades = np.asarray(spectrum.convert("L"))
    factor = max(1, min(shades.shape) // _SPECTRUM)
    rows, columns = (size // factor for size in shades.shape)
    blocks = shades[: rows * factor, : columns * factor].reshape(rows, factor, columns, factor)
    return Image.fromarray(blocks.max((1, 3)))


def _webp(picture: Image.Image, **how: object) -> bytes:
    file = io.BytesIO()
    picture.save(file, "WEBP", method=2, **how)
    return file.getvalue()


def _joined(parts: list[str]) -> str:
    """Join the parts of a subject with commas and "and"; some already end in a comma."""
    *others, last = parts
    if not others:
        return last
    between = "," if len(parts) > 2 else ""
    before = [part if part.endswith(",") else part + between for part in others]
    return f"{' '.join(before)} and {last}"
