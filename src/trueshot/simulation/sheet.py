"""Contact sheets: pairs with their intermediate stages."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from trueshot.simulation.camera import exposure_for
from trueshot.simulation.colour import Bytes, Linear, encode_srgb, to_bytes
from trueshot.simulation.file_history import decompress
from trueshot.simulation.mosaic import mosaic, spread
from trueshot.simulation.pairs import Pair, original, recapture
from trueshot.simulation.print import Print

STAGES = ("true shot", "what is shown", "light on the sensor", "the mosaic, enlarged", "recapture")
_BAR = 22
_ENLARGED = 8


def stages(pair: Pair, side: int) -> list[Bytes]:
    """Return one picture per name in `STAGES`, each at most (side, side) pixels."""
    made = recapture(pair, side)
    return [
        decompress(original(pair, side)),
        _fit(made.picture, side),
        _fit(_visible(made.light), side),
        _mosaic(pair, made.light, side),
        decompress(made.file),
    ]


def draw_sheet(pairs: Sequence[Pair], side: int = 256) -> Bytes:
    """Draw a captioned row per pair and a titled column per stage; return bytes (h, w, 3)."""
    width = (side + 4) * len(STAGES)
    sheet = Image.new("RGB", (width, _BAR + (side + _BAR) * len(pairs)), "white")
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(13)
    for column, name in enumerate(STAGES):
        draw.text((column * (side + 4) + 4, 3), name, "black", font)
    for row, pair in enumerate(pairs):
        top = _BAR + row * (side + _BAR)
        for column, picture in enumerate(stages(pair, side)):
            sheet.paste(Image.fromarray(picture), (column * (side + 4), top))
        draw.text((4, top + side + 3), describe(pair), "black", font)
    return np.asarray(sheet)


def describe(pair: Pair) -> str:
    """Return a one-line description of a pair."""
    kind = "print" if isinstance(pair.medium, Print) else "display"
    size = pair.view.magnification / pair.history.reduction
    sent = f"{pair.history.reduction:.1f} times smaller, " if pair.history.reduction > 1 else ""
    return (
        f"{pair.scene.kind}; {kind}, {size:.1f} pixels of the file per pixel of the {kind}; "
        f"blur {np.hypot(pair.camera.lens.sigma, pair.shot.defocus):.1f} px; {sent}"
        f"JPEG {pair.history.last.quality}"
    )


def _fit(picture: Bytes, side: int) -> Bytes:
    image = Image.fromarray(picture)
    image.thumbnail((side, side))
    if max(image.size) < side:
        scale = side / max(image.size)
        size = (round(image.width * scale), round(image.height * scale))
        image = image.resize(size, Image.Resampling.NEAREST)
    return np.asarray(image)


def _visible(light: Linear) -> Bytes:
    return to_bytes(encode_srgb(light * np.float32(exposure_for(light, 0.2))))


def _mosaic(pair: Pair, light: Linear, side: int) -> Bytes:
    """Draw the middle of the raw mosaic, enlarged, each photosite in its filter's colour."""
    pattern = pair.camera.sensor.pattern
    size = side // _ENLARGED
    start = (len(light) // 2 - size // 2) // 2 * 2
    part = light[start : start + size, start : start + size]
    coloured = spread(mosaic(part, pattern), pattern)
    enlarged = np.repeat(np.repeat(_visible(coloured * 3), _ENLARGED, 0), _ENLARGED, 1)
    return enlarged[:side, :side]
