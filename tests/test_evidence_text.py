"""What a report says of kinds of evidence: which decided, for which side, and of which region."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from trueshot.card import Card, Measurement, Rate
from trueshot.inference.explanation import EvidenceShown, LatticeShown
from trueshot.reports.evidence_text import EvidenceTold, decided, evidence_told, place
from trueshot.reports.scan_summary import Reasons
from trueshot.reports.scan_text import (
    FIRST,
    NBSP,
    OTHER,
    by_kind,
    common_folder,
    of_hundred,
    parts_of_hundred,
    pooled,
)
from trueshot.tasks.recapture import RECAPTURE
from trueshot.tasks.task import UNDECIDED

CARD = Card(network={"name": "lcnn"}, side=32)
OTHER_TASK = Card(network={"name": "lcnn"}, side=32, classes=("camera", "edited"), task_name="edit")
PERIOD = 4.0


def webp(shades: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(shades.astype(np.uint8)).save(file, "WEBP", lossless=True)
    return file.getvalue()


def lattice(side: int = 512) -> LatticeShown:
    """A window of a wave with a period of four pixels to the right, and its spectrum."""
    wave = 128 + 60 * np.sin(2 * np.pi * np.arange(side) / PERIOD)
    window = np.broadcast_to(wave[None, :, None], (side, side, 3))
    power = np.fft.fftshift(np.abs(np.fft.fft2(window[..., 1] - 128.0)))
    spectrum = 255 * power / power.max()
    row, column = np.unravel_index(int(np.argmax(spectrum[:, side // 2 :])), (side, side // 2))
    return LatticeShown(
        y=96,
        x=64,
        side=side,
        window=webp(window),
        spectrum=webp(spectrum),
        peak=(int(row), int(column) + side // 2),
        period=PERIOD,
        prominence=5.5,
    )


LATTICE = lattice()
OUTLINE = ((0, 0), (0, 600), (400, 600), (400, 0))


def shown(texture: float, grid: float, context: float, share: float = 0.25) -> EvidenceShown:
    return EvidenceShown(
        contributions={"texture": texture, "lattice": grid, "context": context},
        looks_like="laptop",
        outline=OUTLINE,
        share=share,
        lattice=LATTICE,
    )


def told(evidence: EvidenceShown, kind: str = OTHER) -> EvidenceTold:
    return evidence_told(evidence, kind, 2.5, CARD)


def said(sentence: str) -> str:
    return sentence.replace(NBSP, " ")


@pytest.mark.parametrize(
    ("evidence", "kind", "sentence"),
    [
        (shown(0.1, 3.0, 0.5), OTHER, "The grid of a display (period 4.0 px) decided the verdict."),
        (shown(0.1, 0.2, 2.0), OTHER, "The frame, which shows a laptop, decided the verdict."),
        (shown(2.0, 0.2, 0.1), OTHER, "The texture of the region decided the verdict."),
        (
            shown(2.0, 1.9, 0.1),
            OTHER,
            "The texture of the region and the grid of a display (period 4.0 px) decided the "
            "verdict.",
        ),
        (
            shown(1.7, 1.9, 1.8),
            OTHER,
            "The grid of a display (period 4.0 px), the frame, which shows a laptop, and the "
            "texture of the region decided the verdict.",
        ),
        (
            shown(0.1, -0.2, -2.0),
            FIRST,
            "The frame, which shows neither a device nor a print, decided the verdict.",
        ),
        (shown(0.1, -2.0, 0.0), FIRST, "The lack of a display’s grid decided the verdict."),
        (
            shown(-2.0, 0.0, 0.0),
            FIRST,
            "The texture, typical of originals, decided the verdict.",
        ),
        (
            shown(0.1, 3.0, 0.5),
            UNDECIDED,
            "The grid of a display (period 4.0 px) contributes most and supports a recapture, but "
            "does not decide the verdict.",
        ),
        (
            shown(-1.0, 1.5, -1.0),
            FIRST,
            "The grid of a display (period 4.0 px) contributes most and supports a recapture, but "
            "all other evidence together outweighs it.",
        ),
    ],
)
def test_the_sentence_names_what_weighs_most_and_its_side(
    evidence: EvidenceShown, kind: str, sentence: str
) -> None:
    assert said(decided(evidence, kind, CARD)) == sentence


def test_evidence_that_was_not_joined_says_nothing_of_a_decision() -> None:
    bare = replace(shown(0, 0, 0), contributions={})
    assert decided(bare, OTHER, CARD) == ""
    assert "No kind" in decided(shown(0, 0, 0), "undecided", CARD)


def test_of_a_piece_of_a_photograph_no_frame_is_told() -> None:
    piece = replace(shown(0.1, 3.0, 0.0), looks_like="")
    assert told(piece).context.startswith("not analysed")
    assert told(piece).decided == told(shown(0.1, 3.0, 0.0)).decided


def test_a_device_in_the_picture_is_told_from_the_picture_of_a_picture() -> None:
    whole = said(place(shown(2.0, 3.0, 1.0, share=0.93), OTHER, CARD))
    part = said(place(shown(2.0, 3.0, 1.0, share=0.12), OTHER, CARD))
    device = said(place(shown(-0.5, -0.5, 3.0, share=0.2), OTHER, CARD))
    assert whole == "The photograph is of a screen or a print: the region covers 93 % of the frame."
    assert part.startswith("Part of the photograph is of a screen or a print (12 % of the frame)")
    assert device.startswith(
        "A laptop is in the picture (20 % of the frame), but neither a grid nor"
    )


def test_where_no_recapture_was_found_the_region_is_not_called_one() -> None:
    for evidence in (shown(2, 3, 1, 0.9), shown(2, 3, 1, 0.1), shown(-1, -1, 3)):
        assert " may be " in place(evidence, "undecided", CARD)
        told = said(place(evidence, FIRST, CARD))
        assert told.startswith("What evidence there is for a recapture lies in the outlined")
    none = replace(shown(-1, -1, -1), outline=(), share=0.0)
    assert place(none, FIRST, CARD) == "No region supports a recapture."


def test_a_window_that_was_looked_at_reduced_is_said_to_be() -> None:
    figure = told(replace(shown(0, 3, 0), lattice=replace(LATTICE, side=2048))).figure
    assert figure is not None
    assert figure.size == "at 1/4 of its size, as analysed"


def test_other_tasks_are_told_of_in_their_own_words() -> None:
    evidence = replace(shown(0.1, 0.2, 3.0), looks_like="edited")
    for kind in (OTHER, "undecided", FIRST):
        told = evidence_told(evidence, kind, 1.0, OTHER_TASK)
        text = " ".join([told.decided, told.place, told.context])
        assert "edited" in text
        assert not {"recapture", "display", "laptop"} & set(text.split())
    assert RECAPTURE.words.verdicts[1] not in decided(shown(0, 2, 0), UNDECIDED, OTHER_TASK)


def test_a_frame_that_is_compared_with_classes_alone_looks_like_the_one_it_speaks_for() -> None:
    for value, said in ((2.4, "recaptured; adds 2.40"), (-0.6, "original; subtracts 0.60")):
        evidence = replace(shown(0.0, 0.0, value), looks_like="recaptured")
        assert told(evidence).context == said


def test_bars_reach_as_far_as_their_kinds_add_to_the_score() -> None:
    bars = {bar.kind: bar for bar in told(shown(-1.0, 2.0, 0.5)).bars}
    assert (bars["lattice"].across, bars["lattice"].width) == (100, 100)
    assert (bars["texture"].across, bars["texture"].width) == (50, 50)
    assert bars["context"].width == 25
    assert bars["texture"].tone == FIRST
    assert told(shown(-1.0, 2.0, 0.5)).start == pytest.approx(1.0)


def test_rings_lie_on_the_peak_and_its_mirror_image() -> None:
    figure = told(shown(0.1, 3.0, 0.5)).figure
    assert figure is not None
    spectrum = np.asarray(Image.open(io.BytesIO(figure.spectrum)).convert("L"), np.float64)
    scale = spectrum.shape[0] / figure.side
    for x, y in figure.rings:
        column, row = int(x * scale), int(y * scale)
        near = spectrum[max(0, row - 1) : row + 2, max(0, column - 1) : column + 2]
        assert near.max() > 0.8 * spectrum.max()
    (one, _), (other, _) = figure.rings
    assert one - 0.5 - 256 == pytest.approx(512 / PERIOD)
    assert other - 0.5 - 256 == pytest.approx(-512 / PERIOD)


def test_the_crop_beside_the_spectrum_is_of_the_photographs_own_pixels() -> None:
    figure = told(shown(0.1, 3.0, 0.5)).figure
    assert figure is not None
    small = np.asarray(Image.open(io.BytesIO(figure.window)).convert("RGB"))
    whole = np.asarray(Image.open(io.BytesIO(LATTICE.window)).convert("RGB"))
    top = (512 - small.shape[0]) // 2
    assert np.array_equal(small, whole[top : top + small.shape[0], top : top + small.shape[1]])


def test_damaged_pictures_leave_the_words() -> None:
    evidence = replace(shown(0.1, 3.0, 0.5), lattice=replace(LATTICE, spectrum=b"RIFF nothing"))
    found = told(evidence)
    assert found.figure is None
    assert "4.0" in found.decided
    assert "4.0" in found.grid


def rate(count: int, total: int) -> Rate:
    return Rate(value=count / total, low=0, high=1, count=count, total=total)


def test_of_hundred_counts_found_missed_and_undecided_on_both_sides() -> None:
    measured = Measurement(
        kind="real",
        name="phone7",
        apcer=rate(5, 20),
        apcer_by_kind={"screen": rate(5, 20), "print": rate(1, 80)},
        bpcer=rate(3, 100),
        undecided_recaptures=rate(20, 100),
        undecided_originals=rate(1, 100),
        photographs=200,
    )
    assert of_hundred(measured, RECAPTURE.words) == (
        "Of 100 recaptures, 74 are called recaptured, 6 original, and 20 get no verdict. "
        "Of 100 originals, 96 are called original, 3 recaptured, and 1 gets no verdict."
    )
    assert by_kind(measured, RECAPTURE.words) == (
        "Of 100 of each kind, called original: screen 25, print 1."
    )
    bare = Measurement(kind="real", name="phone8", apcer=rate(1, 4), photographs=4)
    assert of_hundred(bare, RECAPTURE.words) == (
        "Of 100 recaptures, 25 are called original, 75 are not."
    )
    assert by_kind(bare, RECAPTURE.words) == ""
    assert of_hundred(Measurement(kind="real", name="a", photographs=1), RECAPTURE.words) == ""


def test_of_several_phones_every_photograph_counts_alike() -> None:
    good = Measurement(kind="real", name="a", apcer=rate(0, 10), bpcer=rate(1, 20), photographs=30)
    kinds = {"screen": rate(6, 20), "print": rate(3, 10)}
    bad = good.model_copy(update={"apcer": rate(6, 20), "apcer_by_kind": kinds, "photographs": 50})
    both = pooled([good, bad])
    assert (both.name, both.photographs) == ("all 80 real photographs", 80)
    assert both.apcer is not None
    assert (both.apcer.count, both.apcer.total) == (9, 40)
    assert both.bpcer is not None
    assert (both.bpcer.count, both.bpcer.total) == (2, 40)
    assert both.undecided_originals is None


@pytest.mark.parametrize(
    "shares", [(1 / 3, 1 / 3, 1 / 3), (0.005, 0.005, 0.99), (0, 1), (0.125, 0.875)]
)
def test_parts_of_a_hundred_add_up_to_it(shares: tuple[float, ...]) -> None:
    counts = parts_of_hundred(shares)
    assert sum(counts) == 100
    assert all(abs(count - 100 * share) < 1 for count, share in zip(counts, shares, strict=True))


def test_reasons_that_differ_in_their_figures_are_one_with_a_count() -> None:
    reasons = Reasons(100)
    for figure in ("5.07", "4.94", "5.2"):
        reasons.add(f"unlike those calibrated (distance {figure}, accepted up to 4.5)")
    for reason in ("320×240 px: too small", "noise 1.2e+03: above", "noise 9: above", "", "empty"):
        reasons.add(reason)
    reasons.add("noise 9: above")
    assert reasons.ranked() == (
        ("unlike those calibrated (distance 4.94 to 5.2, accepted up to 4.5)", 3),
        ("noise 9 to 1.2e+03: above", 3),
        ("320×240 px: too small", 1),
        ("empty", 1),
    )


def test_figures_in_names_and_hashes_are_no_figures() -> None:
    reasons = Reasons(100)
    for reason in ("is cut at ab12", "is cut at ab13", "a JPEG2000", "a JPEG2001", "x-3y"):
        reasons.add(reason)
    assert len(reasons.ranked()) == 5
    few = Reasons(1)
    few.add("one")
    few.add("other")
    few.add("one")
    assert few.ranked() == (("one", 2),)


@pytest.mark.parametrize(
    ("names", "folder"),
    [
        (["/data/case/a.jpg", "/data/case/b/c.jpg"], "/data/case/"),
        (["/data/case-1/a.jpg", "/data/case-2/a.jpg"], "/data/"),
        (["C:\\photos\\a.jpg", "C:\\photos\\ab.jpg"], "C:\\photos\\"),
        (["/data/case/a.jpg"], ""),
        (["/a.jpg", "/b.jpg"], ""),
        (["/data/a/x.jpg", "x.jpg"], ""),
        (["photos/a.jpg", "photos/b.jpg"], ""),
        (["/data/a.jpg", "/data/a.jpg"], "/data/"),
        ([r"/data/case/\udce9t\udce91.jpg", r"/data/case/\udce9t\udce92.jpg"], "/data/case/"),
        ([r"/data/\\1.jpg", r"/data/\\2.jpg"], "/data/"),
        ([], ""),
    ],
)
def test_absolute_names_are_shown_below_the_folder_they_share(
    names: list[str], folder: str
) -> None:
    assert common_folder(names) == folder
