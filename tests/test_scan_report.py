"""The report of a scan: its figures are those of the records, and it needs nothing else."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import io
import json
import math
import re
import sys
import unicodedata
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from chromium import CHROMIUM, Page, chromium
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from trueshot.calibration import PROPOSITIONS, Calibration, Decision, support
from trueshot.calibration.verbal_scale import BETWEEN_THRESHOLDS, beside_verdict, in_figures
from trueshot.card import Card, DataFacts, InputContract, Measurement, Rate
from trueshot.errors import RunError
from trueshot.files import sanitize
from trueshot.images.writing import row_thumbnail
from trueshot.inference import Predictor
from trueshot.inference.explaining import explain
from trueshot.inference.explanation import EvidenceShown, Explanation, LatticeShown
from trueshot.reports.page import write_pdf
from trueshot.reports.scan_charts import BINS, Histogram, draw, histogram_for
from trueshot.reports.scan_report import ScanReport, write_scan_report
from trueshot.reports.scan_summary import WORDS, summarise
from trueshot.reports.scan_text import NBSP, ratio_text, share_text, worst_kinds
from trueshot.scanning.verdict import Verdict, long_text, one_line

TEMPLATES = Path(__file__).resolve().parent.parent / "src/trueshot/reports/templates"
MADE = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
HOSTILE = (
    "<script>alert('1')</script>\"><img src=http://evil.example/x onerror=\udcff>\u202egpj.exe\n"
)
DECISION = Decision(original_to=-2.0, recaptured_from=2.5, apcer=0.05, bpcer=0.01)
LINE = Calibration(
    method="logistic", slope=math.log(10) / 2, intercept=0.0, lower=-1.5, upper=2.0,
    originals=50, recaptured=50, sources=10,
)  # fmt: skip
CARD = Card(
    network={"name": "lcnn"},
    side=32,
    title="Field <b>",
    contract=InputContract(side=32, crops=4),
    calibration=LINE,
    decision=DECISION,
    calibrated_on=DataFacts(
        name="simulated recaptures", fingerprint="ab" * 32, originals=50, recaptured=50, sources=10
    ),
    measured=(
        Measurement(
            kind="real",
            name="phone7",
            apcer=Rate(value=0.25, low=0.1, high=0.5, count=5, total=20),
            apcer_by_kind={
                "print": Rate(value=0.0, low=0.0, high=0.2, count=0, total=12),
                "screen": Rate(value=0.25, low=0.1, high=0.5, count=5, total=20),
            },
            equal_error_rate=Rate(value=0.125, low=0.0625, high=0.375, count=5, total=40),
            auc=Rate(value=0.9375, low=0.84375, high=0.96875, count=20, total=40),
            photographs=40,
        ),
    ),
    limits=("It looks for recaptures alone.",),
)


def record(number: int, verdict: str | None = None, **said: Any) -> dict[str, Any]:
    """A record whose score goes up with its number; every seventh could not be read."""
    score = None if number % 7 == 6 else number / 5 - 4.0
    if verdict is None:
        verdict = "error" if score is None else DECISION.verdict(score)
    log10_lr = None if score is None else float(LINE.log10_lr(score))
    found = {
        "file": f"folder/photo-{number:03}.jpg",
        "sha256": hashlib.sha256(str(number).encode()).hexdigest(),
        "verdict": verdict,
        "likelihood_ratio": None if log10_lr is None else 10**log10_lr,
        "log10_lr": log10_lr,
        "log10_lr_low": None if log10_lr is None else log10_lr - 0.2,
        "log10_lr_high": None if log10_lr is None else log10_lr + 0.2,
        "score": score,
        "crops": None if score is None else 4,
        "notes": [],
        "reason": "is empty" if score is None else None,
        "width": 640,
        "height": 480,
        "format": "JPEG",
        "seconds": 0.5,
        "detector": "f" * 64,
    }
    return found | said


RECORDS = [record(number) for number in range(40)]


def mean_green(crops: np.ndarray) -> np.ndarray:
    return np.asarray((crops[..., 1].mean((1, 2)) - 128.0) / 10)


def explanation(seed: int) -> Explanation:
    random = np.random.default_rng(seed)
    pixels = random.integers(0, 256, (64, 96, 3), dtype=np.uint8)
    predictor = Predictor(CARD, mean_green)
    return explain(predictor, pixels, predictor.predict(pixels))


EXPLANATIONS = {each["sha256"]: explanation(n) for n, each in enumerate(RECORDS) if each["score"]}


def written(out: Path, records: Any = RECORDS, card: Card = CARD, **said: Any) -> ScanReport:
    settings: dict[str, Any] = {
        "bundle_sha256": "f" * 64, "explanations": EXPLANATIONS, "made": MADE,
        "versions": {"trueshot": "9.8.7", "torch": "2.0"}, "settings": {"workers": 3},
        "asked": ["folder"], "results": "results.jsonl", "exit_status": 2,
    }  # fmt: skip
    return write_scan_report(iter(records), card, out, **settings | said)


def page(folder: Path, *args: Any, **said: Any) -> str:
    return written(folder / "report.html", *args, **said).html.decode()


class Reader(HTMLParser):
    """Tags with attributes, rows of tables by id or caption, cards by id, and the text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.rows: list[list[str]] = []
        self.cards: dict[str, str] = {}
        self.text = ""
        self._cell = self._quiet = False
        self._card = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        self.tags.append((tag, found))
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
            self._cell = True
        if tag == "article":
            self._card = f"image-{found['data-number']}"
            self.cards[self._card] = ""
        self._quiet = tag in ("style", "script", "title") or (self._quiet and tag == "br")

    def handle_data(self, data: str) -> None:
        if self._quiet:
            return
        self.text += data
        if self._cell:
            self.rows[-1][-1] += data
        if self._card:
            self.cards[self._card] += data

    def handle_endtag(self, tag: str) -> None:
        self._cell = self._cell and tag not in ("td", "th")
        self._card = "" if tag == "article" else self._card
        self._quiet = False

    def of_files(self) -> list[list[str]]:
        return [row for row in self.rows if len(row) == 9 and row[0] != "file"]


def test_counts_and_shares_are_those_of_the_records(tmp_path: Path) -> None:
    reader = Reader(page(tmp_path))
    judged = Counter(each["verdict"].capitalize() for each in RECORDS)
    counts = {name: judged[name] for name in ("Recaptured", "Undecided", "Original")}
    counts["Not judged"] = judged["Error"]
    found = {row[0]: row[1:3] for row in reader.rows if row[0] in counts}
    assert found.keys() == counts.keys()
    for name, (count, share) in found.items():
        assert int(count) == counts[name] > 0
        assert share == f"{100 * counts[name] / 40:.1f}{NBSP}%"
    assert f"{counts['Recaptured']} of 40 files were classified as recaptured" in reader.text
    assert "2: some files could not be judged" in reader.text
    assert f"{0.5 * 40:.1f} s, the sum over all files" in reader.text


def test_the_table_holds_every_record_with_its_figures(tmp_path: Path) -> None:
    rows = {row[0]: row[1:] for row in Reader(page(tmp_path)).of_files()}
    assert len(rows) == 40
    for each in RECORDS:
        verdict, ratio, score, crops, pixels, kind, sha256, reason = rows[each["file"]]
        assert verdict.lower().replace("not judged", "error") == each["verdict"]
        assert score == ("–" if each["score"] is None else f"{each['score']:.2f}".replace("-", "−"))
        assert ratio == ratio_text(each["log10_lr"])
        assert crops == str(each["crops"] or "–")
        assert (pixels, kind) == ("640 × 480", "JPEG")
        assert each["sha256"].startswith(sha256)
        assert reason == (each["reason"] or "")


def test_recaptures_come_first_and_the_strongest_evidence_before_the_weaker() -> None:
    rows = summarise(reversed(RECORDS), histogram_for(CARD), 100).rows
    order = [WORDS.index(row.kind) for row in rows]
    assert order == sorted(order)
    for word in WORDS:
        scores = [row.score for row in rows if row.kind == word and row.score is not None]
        assert scores == sorted(scores, reverse=True)


def test_of_many_records_the_most_telling_are_kept() -> None:
    everything = [row.number for row in summarise(RECORDS, histogram_for(CARD), 100).rows]
    for most in (1, 5, 17):
        summary = summarise(RECORDS, histogram_for(CARD), most)
        assert [row.number for row in summary.rows] == everything[:most]
        assert summary.total == 40
        assert summary.histogram.total == sum(each["score"] is not None for each in RECORDS)


def test_the_page_says_what_it_leaves_out_and_where_it_is(tmp_path: Path) -> None:
    made = written(tmp_path / "report.html", most_cards=3, most_rows=9)
    reader = Reader(made.html.decode())
    assert (made.files, made.rows, made.cards) == (40, 9, 3)
    assert (len(reader.of_files()), len(reader.cards)) == (9, 3)
    assert "9 of 40 files are listed" in reader.text
    judged = sum(each["verdict"] != "error" for each in RECORDS)
    assert f"3 of the {judged} judged images are shown" in reader.text
    assert reader.text.count("results.jsonl") == 3
    assert all("Classified as recaptured" in text for text in reader.cards.values())


@pytest.mark.parametrize("most", [150_000, 300_000])
def test_the_page_does_not_become_larger_than_wanted(tmp_path: Path, most: int) -> None:
    whole = written(tmp_path / "whole.html")
    small = written(tmp_path / "small.html", most_bytes=most)
    assert whole.html == (tmp_path / "whole.html").read_bytes()
    assert 0 < small.cards < whole.cards
    assert most / 2 < len(small.html) < most + 60_000  # the frame of the page itself


def test_each_card_states_ratio_score_and_both_propositions(tmp_path: Path) -> None:
    reader = Reader(page(tmp_path))
    assert len(reader.cards) == sum(each["score"] is not None for each in RECORDS)
    for number, each in enumerate(RECORDS, start=1):
        if each["score"] is None:
            continue
        text = " ".join(reader.cards[f"image-{number}"].split())
        assert each["sha256"] in text
        assert f"Likelihood ratio{ratio_text(each['log10_lr'])} (" in text
        assert all(proposition in text for proposition in PROPOSITIONS)
        times = ratio_text(abs(each["log10_lr"]))
        first, other = ("H1", "H2") if each["log10_lr"] >= 0 else ("H2", "H1")
        if times != "1":
            assert (
                f"about {times} times as probable if {first} is true as if {other} is true" in text
            )
        at_bound = each["log10_lr"] in (-1.5, 2.0)
        assert ("the most that the calibration supports" in text) == at_bound


def test_a_ratio_that_must_not_be_relied_on_says_so(tmp_path: Path) -> None:
    outside = record(35, "undecided", reason="noise 9: above the calibrated range, 1 to 2")
    weak = record(21, reason=BETWEEN_THRESHOLDS)
    both = record(21, reason="brightness 15.9: below the calibrated range, 20 to 200")
    silent = record(21, reason=None)
    assert {each["verdict"] for each in (weak, both, silent)} == {"undecided"}
    records = [outside, both, weak, silent]
    cards = list(Reader(page(tmp_path, records)).cards.items())
    assert len(cards) == 4
    for name, text in cards:
        reason = records[int(name.removeprefix("image-")) - 1]["reason"]
        unlike = reason in (outside["reason"], both["reason"])
        assert ("must not be relied on" in text) == unlike
        assert ("unlike those that the detector was calibrated on" in text) == unlike
        assert ("between the two thresholds" in text) != unlike
        assert ("It leans towards" in text) == (reason == BETWEEN_THRESHOLDS)
        assert reason is None or reason in text
    side = "recaptured" if weak["log10_lr"] > 0 else "original"
    told = long_text(Verdict.from_record(weak))
    assert f"It leans towards {side}. A sharper or closer photograph" in told
    assert "leans" not in long_text(Verdict.from_record(outside))


def test_a_proof_stands_beside_its_verdict(tmp_path: Path) -> None:
    told = "proven: no change of up to {} can alter this verdict"
    for radius, levels in ((3.7, "3 levels"), (1.0, "1 level"), (0.6, ""), (None, "")):
        (text,) = Reader(page(tmp_path, [record(35, certified_radius=radius)])).cards.values()
        assert (told.format(levels) in text) == bool(levels)
        assert ("proven" in text) == bool(levels)


def test_what_could_not_be_scored_says_so(tmp_path: Path) -> None:
    flat = record(21, "undecided", score=None, log10_lr=None, crops=0, reason="flat all over")
    (text,) = Reader(page(tmp_path, [flat])).cards.values()
    assert "No verdict: there is no score." in text
    assert "flat all over" in text
    assert "thresholds." not in text


# Scores of 0 and below are ratios of 1 and below here, and their verdicts follow these thresholds.
LOOSE = CARD.model_copy(
    update={"decision": Decision(original_to=-3.0, recaptured_from=-1.0, apcer=0.05, bpcer=0.01)}
)


@pytest.mark.parametrize(
    ("score", "verdict", "said"),
    [
        (0.1, "recaptured", "these findings support neither proposition."),
        (-0.9, "recaptured", "these findings support the other proposition."),
        (1.0, "recaptured", None),
        (-1.5, "undecided", None),
        (-3.5, "original", None),
    ],
)
def test_a_verdict_beyond_the_words_of_its_ratio_is_explained(
    tmp_path: Path, score: float, verdict: str, said: str | None
) -> None:
    log10_lr = float(LINE.log10_lr(score))
    one = record(21, verdict, score=score, log10_lr=log10_lr, likelihood_ratio=10**log10_lr)
    (card,) = Reader(page(tmp_path, [one], card=LOOSE)).cards.values()
    for text in (card, long_text(Verdict.from_record(one))):
        assert ("follows a threshold chosen for its error rates" in text) == (said is not None)
        assert said is None or said in text
    bare = LOOSE.model_copy(update={"decision": None})
    assert "error rates; on" not in page(tmp_path, [one], card=bare)


@given(st.floats(-20, 20), st.sampled_from(["original", "recaptured"]))
def test_words_and_verdict_never_differ_without_a_word(log10_lr: float, verdict: str) -> None:
    agrees = support(log10_lr) is not None and (log10_lr > 0) == (verdict == "recaptured")
    assert (beside_verdict(verdict, log10_lr) == "") == agrees
    assert beside_verdict("undecided", log10_lr) == beside_verdict("error", log10_lr) == ""


def test_where_calibration_comes_from_is_said(tmp_path: Path) -> None:
    warning = "come from simulated photographs"
    assert warning in Reader(page(tmp_path)).text
    assert CARD.calibrated_on is not None
    real = CARD.calibrated_on.model_copy(update={"name": "photographs of seven phones"})
    for limit, simulated in (
        ("Trained on simulated photographs alone.", False),
        ("Calibrated on simulated photographs.", True),
    ):
        card = CARD.model_copy(update={"calibrated_on": real, "limits": (limit,)})
        assert (warning in Reader(page(tmp_path, card=card)).text) == simulated
    bare = CARD.model_copy(update={"calibration": None, "decision": None, "measured": ()})
    sanitize = [each | {"log10_lr": None, "likelihood_ratio": None} for each in RECORDS]
    text = Reader(page(tmp_path, sanitize, card=bare)).text
    assert "This detector is not calibrated" in text
    assert "states no error rates" in text
    assert "No likelihood ratio: the detector gives none" in text


def test_the_detectors_error_rates_stand_in_the_page(tmp_path: Path) -> None:
    text = Reader(page(tmp_path)).text.replace(NBSP, " ")
    for words in (
        "25.0 % (10.0–50.0; 5 of 20)", "phone7", "It looks for recaptures alone.", "ab" * 32,
        "5 % of recaptures are called original and 1 % of originals are called recaptured",
        "trueshot 9.8.7", "2026-01-02 03:04:05", "f" * 64, "not the probability",
        "APCER (worst kind)", "screen (worst): 25.0 %", "print: 0.0 %", "EER",
        "12.5 % (6.2–37.5)", "0.938 (0.844–0.969)",
    ):  # fmt: skip
        assert words in text


def test_results_of_another_detector_are_pointed_out(tmp_path: Path) -> None:
    assert "name other detectors" not in page(tmp_path)
    assert "name other detectors" in page(tmp_path, bundle_sha256="e" * 64)


def test_the_page_refers_to_nothing_outside_itself(tmp_path: Path) -> None:
    html = page(tmp_path)
    tags = Reader(html).tags
    sources = ("src", "srcset", "action", "data", "poster", "background", "xlink:href")
    loaded = [a[name] for _, a in tags for name in sources if name in a]
    assert len(loaded) > 60
    assert all(re.match(r"data:image/(png|jpeg|webp);base64,", each) for each in loaded)
    assert all(a["href"].startswith("#") for _, a in tags if "href" in a)
    assert not {"link", "iframe", "object", "base", "form"} & {tag for tag, _ in tags}
    assert not re.search(r"url\((?!#)|@import|https?:", html)
    assert not any(name.startswith("on") or name == "style" for _, a in tags for name in a)


def test_the_policy_lets_through_this_script_and_this_style_alone(tmp_path: Path) -> None:
    html = page(tmp_path)
    (policy,) = (a["content"] for _, a in Reader(html).tags if a.get("http-equiv"))
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    for tag in ("script", "style"):
        (text,) = re.findall(f"<{tag}>(.*?)</{tag}>", html, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert rules[f"{tag}-src"] == f"'sha256-{digest}'"
    assert rules["default-src"] == "'none'"
    assert rules["img-src"] == "data:"


def test_hostile_names_are_shown_as_text(tmp_path: Path) -> None:
    names = ("file", "reason", "format", "sha256", "detector")
    evil = [record(n, **dict.fromkeys(names, HOSTILE), notes=[HOSTILE]) for n in (3, 6, 20, 39)]
    card = CARD.model_copy(update={"title": HOSTILE, "task": HOSTILE, "limits": (HOSTILE,)})
    html = page(tmp_path, evil, card=card, asked=[HOSTILE], settings={HOSTILE: HOSTILE},
                versions={HOSTILE: HOSTILE}, results=HOSTILE)  # fmt: skip
    tags = Reader(html).tags
    assert [tag for tag, _ in tags].count("script") == 1
    assert not any(tag == "img" and not a["src"].startswith("data:") for tag, a in tags)
    assert not any(name.startswith("on") for _, a in tags for name in a)
    assert "\u202e" not in html
    assert "\\u202egpj.exe" in html
    assert Reader(html).text.count("<script>alert('1')</script>") > 15


def test_a_very_long_name_is_shortened_in_the_table(tmp_path: Path) -> None:
    (row,) = Reader(page(tmp_path, [record(21, file="a" * 5000 + ".jpg")])).of_files()
    assert len(row[0]) < 200
    assert row[0].endswith(".jpg")


@given(st.text(max_size=60))
def test_nothing_in_a_plain_text_hides_or_turns_other_text(text: str) -> None:
    shown = sanitize(text)
    for character in shown:
        kind = unicodedata.category(character)
        assert character in "\u200c\u200d" or kind not in ("Cc", "Cf", "Cs", "Zl", "Zp")
    assert sanitize(shown) == shown


def read(figure: str) -> float:
    """The decimal logarithm of a ratio in figures."""
    if figure.startswith("10^"):
        return float(figure[3:])
    sign, size = (-1, figure[2:]) if figure.startswith("1/") else (1, figure)
    return sign * math.log10(float(size.replace(",", "")))


STEPS = [math.log10(ratio) for ratio in (1, 2, 10, 100, 1000, 10_000, 1_000_000)]
NEAR_STEPS = st.builds(
    lambda step, sign, off: sign * (step + off),
    st.sampled_from(STEPS),
    st.sampled_from([-1, 1]),
    st.sampled_from([0, 1e-16, 1e-15, -1e-16, -1e-15, -1e-9, 1e-9]) | st.floats(-0.05, 0.05),
)


@given(st.floats(-12, 12) | NEAR_STEPS)
def test_a_ratio_in_figures_is_the_ratio_and_has_its_word(log10_lr: float) -> None:
    shown = read(in_figures(log10_lr))
    assert shown == pytest.approx(log10_lr, abs=math.log10(1.06) if abs(shown) < 4 else 0.1)
    assert support(shown) == support(log10_lr)
    assert shown * log10_lr >= 0


@pytest.mark.parametrize(
    ("ratio", "figure"),
    [
        (1, "1"),
        (33.4, "33"),
        (1 / 14, "1/14"),
        (1.96, "1.9"),
        (1 / 1.96, "1/1.9"),
        (2, "2"),
        (9.96, "9.9"),
        (10, "10"),
        (9960, "9,900"),
        (20_000, "10^4.3"),
        (999_999, "10^5.9"),
        (1e-6, "10^-6.0"),
    ],
)
def test_page_and_terminal_write_a_ratio_alike(ratio: float, figure: str) -> None:
    assert ratio_text(math.log10(ratio)) == figure
    one = Verdict(file="a.jpg", verdict="undecided", log10_lr=math.log10(ratio))
    assert one_line(one).split()[1:] == ["LR", figure, "a.jpg"]
    assert f"likelihood ratio {figure}. " in long_text(one)


def test_no_kind_is_the_worst_where_all_are_alike() -> None:
    def rate(count: int) -> Rate:
        return Rate(value=count / 10, low=0, high=1, count=count, total=10)

    assert worst_kinds({}) == worst_kinds({"print": rate(1)}) == set()
    assert worst_kinds({"print": rate(1), "screen": rate(1)}) == set()
    assert worst_kinds({"print": rate(1), "screen": rate(0), "film": rate(1)}) == {"print", "film"}


def test_the_settings_of_the_scan_stand_under_what_was_asked(tmp_path: Path) -> None:
    settings = {
        "time limit per file": 30.0, "memory limit per worker": "2,048 MiB",
        "pixel limit": 200_000_000, "engine": "local", "resumed": False, "cluster": None,
    }  # fmt: skip
    html = page(tmp_path, settings=settings)
    asked = html[html.index('id="request"') : html.index('id="summary"')]
    for name, value in (
        ("Time limit per file", "30"), ("Engine", "local"),
        ("Memory limit per worker", "2,048 MiB"), ("Pixel limit", "200,000,000"),
        ("Resumed", "no"), ("Cluster", "none"),
    ):  # fmt: skip
        assert f"<dt>{name}</dt><dd>{value}</dd>" in asked


@pytest.mark.parametrize(
    ("count", "total", "text"),
    [
        (0, 9, "0.0_%"),
        (1, 9999, "<_0.1_%"),
        (9998, 9999, ">_99.9_%"),
        (9, 9, "100.0_%"),
        (0, 0, "–"),
    ],
)
def test_a_share_is_never_nothing_or_everything_unless_it_is(
    count: int, total: int, text: str
) -> None:
    assert share_text(count, total) == text.replace("_", NBSP)


@given(st.lists(st.tuples(st.sampled_from(WORDS), st.floats(-5, 5))))
def test_every_value_is_counted_in_the_bin_that_holds_it(values: list[tuple[str, float]]) -> None:
    histogram = Histogram(low=-1.5, high=2.0, is_calibrated=True)
    for verdict, value in values:
        histogram.add(verdict, value)
        low, high = histogram.edges(histogram.bin_of(value))
        assert low - 1e-9 <= min(max(value, -1.5), 2.0) <= high + 1e-9
    assert histogram.total == sum(verdict != "error" for verdict, _ in values)


def test_columns_are_as_high_as_their_counts_and_thresholds_stand_at_their_ratios() -> None:
    histogram = histogram_for(CARD)
    for number, count in ((0, 4), (20, 2)):
        for _ in range(count):
            histogram.add("class-0", histogram.edges(number)[0] + 1e-6)
    histogram.add("other", 9.0)
    drawing = draw(histogram, CARD)
    heights = [bar.height for bar in drawing.bars]
    assert heights[0] == pytest.approx(2 * heights[1], abs=0.2)
    assert heights[0] == pytest.approx(drawing.axes.bottom - drawing.axes.top, abs=0.2)
    assert drawing.bars[-1].verdict == "other"
    assert drawing.bars[-1].across + drawing.bars[-1].width == pytest.approx(
        drawing.axes.right, abs=1
    )
    width = drawing.axes.right - drawing.axes.left
    places = [mark.across for mark in drawing.marks]
    assert places == pytest.approx(
        [drawing.axes.left + width * (ratio + 1.5) / 3.5 for ratio in (-1.0, 1.25)], abs=0.1
    )
    assert {text: place for place, text in drawing.across}["1"] == drawing.neutral
    assert len(drawing.rows) == 3
    histogram.add("other", sys.float_info.max)
    assert histogram.counts["other"][-1] == 2
    assert BINS > 20


@pytest.mark.parametrize("ratios", [(-1.4, -1.2), (-0.4, 0.2), (0.1, 0.2), (1.2, 1.4), (-1.5, 1.5)])
def test_no_line_of_a_threshold_crosses_the_label_of_the_other(
    ratios: tuple[float, float],
) -> None:
    low, high = (2 * ratio for ratio in ratios)
    decision = Decision(original_to=low, recaptured_from=high, apcer=0.05, bpcer=0.01)
    card = CARD.model_copy(update={"decision": decision})
    first, second = draw(histogram_for(card), card).marks
    assert {first.row, second.row} == {0, 1}
    for one, other in ((first, second), (second, first)):
        reach = (6 + 6 * len(one.words)) * (1 if one.anchor == "start" else -1)
        low, high = sorted((one.across, one.across + reach))
        assert low >= 0
        assert high <= 720
        assert not (low <= other.across <= high and other.row <= one.row)


def test_the_same_records_make_the_same_page(tmp_path: Path) -> None:
    assert page(tmp_path) == page(tmp_path)


@pytest.mark.parametrize("wrong", [{"verdict": "fine", "file": "a"}, {"verdict": "original"}])
def test_what_is_no_record_is_refused_by_number(tmp_path: Path, wrong: dict[str, str]) -> None:
    with pytest.raises(RunError, match="result 2"):
        page(tmp_path, [RECORDS[0], wrong])


def test_no_records_make_a_page_that_says_so(tmp_path: Path) -> None:
    assert "No files were scanned" in page(tmp_path, [])


def test_numbers_that_are_none_are_dashes(tmp_path: Path) -> None:
    odd = record(21, score=math.nan, log10_lr=math.inf, width=None, seconds="soon")
    (row,) = Reader(page(tmp_path, [odd])).of_files()
    assert row[2:5] == ["–", "–", "4"]


class Damaged(dict[str, Explanation]):
    def get(self, *_: Any) -> Any:
        raise ValueError("not an explanation, or damaged")


def test_findings_stand_without_the_pictures_that_are_gone(tmp_path: Path) -> None:
    html = page(tmp_path, explanations=Damaged())
    assert "<img" not in html
    assert html.count("No pictures of this image were kept") == len(Reader(html).cards) > 30


def bomb(width: int, height: int, kind: str) -> bytes:
    """A small file with this many pixels, as a worker could send it that a file has taken over."""
    file = io.BytesIO()
    Image.new("1" if kind == "PNG" else "L", (width, height)).save(file, kind)
    return file.getvalue()


def test_what_a_hostile_worker_sends_as_pictures_costs_no_report(tmp_path: Path) -> None:
    sha256 = RECORDS[39]["sha256"]
    large = bomb(20_000, 20_000, "PNG")
    for wrong in (b"no picture", b"", b"RIFF" + bytes(2**17)):
        html = page(tmp_path, RECORDS[39:], explanations={}, thumbnails={sha256: wrong})
        assert "<img" not in html
    for wrong in (large, bomb(200_000, 1, "PNG"), bomb(1, 200_000, "PNG"), b"RIFF nothing"):
        lattice = replace(LATTICE, window=wrong, spectrum=wrong)
        evidence = replace(SHOWN, lattice=lattice)
        found = replace(EXPLANATIONS[sha256], evidence=evidence)
        html = page(tmp_path, RECORDS[39:], explanations={sha256: found})
        assert "a period of 2.9" in html.replace(NBSP, " ")
        assert "Spectrum of that window" not in html
    for wrong in (bomb(30_000, 30_000, "JPEG"), b"\xff\xd8\xff nothing"):
        found = replace(EXPLANATIONS[sha256], thumbnail=wrong)
        html = page(tmp_path, RECORDS[39:], explanations={sha256: found})
        assert '<img class="thumb"' not in html


LATTICE = LatticeShown(
    y=0, x=0, side=64, period=2.9, prominence=4.2, peak=(32, 54),
    window=EXPLANATIONS[RECORDS[39]["sha256"]].thumbnail,
    spectrum=EXPLANATIONS[RECORDS[39]["sha256"]].thumbnail,
)  # fmt: skip
SHOWN = EvidenceShown(
    contributions={"texture": -0.5, "lattice": 3.0, "context": 1.0},
    looks_like="laptop",
    outline=((6, 8), (6, 90), (60, 90), (60, 8)),
    share=0.72,
    lattice=LATTICE,
)


def with_evidence() -> dict[str, Explanation]:
    claims = (("Camera", HOSTILE), ("C2PA manifest", "none found"))
    return {
        sha256: replace(each, evidence=SHOWN, claims=claims)
        for sha256, each in EXPLANATIONS.items()
    }


def test_kinds_of_evidence_are_outlined_drawn_and_told(tmp_path: Path) -> None:
    html = page(tmp_path, RECORDS[39:], explanations=with_evidence())
    reader = Reader(html)
    (card,) = reader.cards.values()
    text = card.replace(NBSP, " ")
    for words in (
        "The grid of a display (period 2.9 px) decided the verdict.",
        "the region covers 72 % of the frame",
        "laptop; adds 1.00", "+3.00", "−0.50", "the sum is the score", "a period of 2.9 px",
        "4.2 nats above the surroundings", "Camera", "none of it was checked or used",
    ):  # fmt: skip
        assert words in text
    polygons = [a["points"] for tag, a in reader.tags if tag == "polygon"]
    assert set(polygons) == {"8,6 90,6 90,60 8,60"}
    views = {a["viewbox"] for tag, a in reader.tags if a.get("class") == "region"}
    assert views == {"0 0 96 64"}, "in pixels of the photograph"
    rings = {(a["cx"], a["cy"]) for tag, a in reader.tags if tag == "circle"}
    assert rings == {("54.5", "32.5"), ("42.5", "32.5")}, "the peak and its mirror image"
    bars = [a for tag, a in reader.tags if tag == "rect" and a.get("height") == "10"]
    widths = [(a["class"], float(a["width"])) for a in bars if a.get("y") == "1"]
    assert widths == [("bar class-0", 16.7), ("bar other", 100), ("bar other", 33.3)]
    assert all(f".{name.split()[1]} {{ --tone:" in html for name, _ in widths), "colours are known"
    assert not any(name.startswith("on") or name == "style" for _, a in reader.tags for name in a)


def test_every_row_has_its_picture_whatever_its_verdict(tmp_path: Path) -> None:
    small = {each["sha256"]: row_thumbnail(np.zeros((9, 9, 3), np.uint8)) for each in RECORDS}
    html = page(tmp_path, explanations={}, thumbnails=small)
    rows = re.findall(r"<tr data-verdict=.*?</tr>", html, re.DOTALL)
    assert len(rows) == 40
    assert all('<img class="thumb" src="data:image/webp' in row for row in rows)
    made = page(tmp_path)  # of the pictures of cards, where no others are given
    rows = re.findall(r"<tr data-verdict=.*?</tr>", made, re.DOTALL)
    assert sum('<img class="thumb"' in row for row in rows) == len(EXPLANATIONS)


def test_names_are_relative_to_a_folder_that_is_told_once(tmp_path: Path) -> None:
    records = [record(n, file=f"/home/someone/case/{n % 2}/{n:03}.jpg") for n in range(12)]
    html = page(tmp_path, records)
    assert html.count("/home/someone/case/") == 1
    assert {row[0] for row in Reader(html).of_files()} == {f"{n % 2}/{n:03}.jpg" for n in range(12)}


def test_like_reasons_are_merged_and_rates_told_of_a_hundred(tmp_path: Path) -> None:
    records = [record(n, "undecided", reason=f"noise {n / 2:.3g}: above") for n in (3, 9, 20)]
    reader = Reader(page(tmp_path, records))
    assert "3 × noise 1.5 to 10: above" in reader.text
    assert "Of 100 recaptures, 16 are called original, 84 are not." in reader.text


def test_a_case_can_be_written_into_the_page(tmp_path: Path) -> None:
    html = page(tmp_path)
    fields = {a["name"] for tag, a in Reader(html).tags if a.get("class") == "kept"}
    assert {"case", "exhibit", "examiner", "notes", "note-40"} <= fields
    (of_this,) = re.findall(r'data-report="(\w+)"', html)
    (of_other,) = re.findall(r'data-report="(\w+)"', page(tmp_path, RECORDS[1:]))
    assert of_this != of_other


def test_every_picture_is_described_and_every_table_has_headers(tmp_path: Path) -> None:
    html = page(tmp_path)
    tags = Reader(html).tags
    pictures = [a for tag, a in tags if tag == "img"]
    assert all(a.get("alt") for a in pictures if a.get("class") != "thumb")
    assert {a["alt"] for a in pictures if a.get("class") == "thumb"} == {""}  # beside their names
    assert all(a.get("scope") for tag, a in tags if tag == "th")
    assert all(a.get("aria-label") or "aria-hidden" in a for tag, a in tags if tag == "svg")
    names = [tag for tag, _ in tags]
    assert names.count("caption") == names.count("table") == names.count("thead") == 4
    assert [names.count(name) for name in ("h1", "main", "html", "nav")] == [1, 1, 1, 1]
    identifiers = [a["id"] for _, a in tags if "id" in a]
    assert len(set(identifiers)) == len(identifiers)
    assert {a["href"][1:] for _, a in tags if "href" in a} <= set(identifiers)
    assert {a["for"] for tag, a in tags if tag == "label" and "for" in a} <= set(identifiers)


def luminance(colour: str) -> float:
    """Relative luminance of #rrggbb, as WCAG 2 defines it."""
    levels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in levels]
    return sum(w * v for w, v in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


@pytest.mark.parametrize("scheme", [0, 1, 2], ids=["light", "dark", "print"])
def test_text_stands_out_from_its_ground(scheme: int) -> None:
    css = (TEMPLATES / "page.css").read_text("utf-8")
    blocks = re.findall(r":root \{(.*?)\}", css, re.DOTALL)
    of = [dict(re.findall(r"--([a-z0-9-]+): (#[0-9a-fA-F]{3,6});", block)) for block in blocks]
    colours = of[0] | (of[scheme] if scheme else {})  # on paper all others are those of light
    for name, colour in colours.items():
        if len(colour) == 4:
            colours[name] = "#" + "".join(2 * digit for digit in colour[1:])
    grounds = {
        "paper": ["ink", "soft", "link", "other", "class-0", "undecided", "error"],
        "panel": ["ink", "soft"],
        "mixed": ["ink", "link"],
    }
    for ground, inks in grounds.items():
        for ink in inks:
            dark, light = sorted(luminance(colours[name]) for name in (ground, ink))
            assert (light + 0.05) / (dark + 0.05) >= 4.5, f"{ink} on {ground}"


def test_without_the_extra_the_error_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "plutoprint", None)
    with pytest.raises(RunError, match=r"trueshot\[pdf\]"):
        write_pdf(tmp_path / "report.html", tmp_path / "report.pdf")


def pages_of(data: bytes) -> int:
    """Pages of a PDF, whether their objects are packed or not."""
    found = len(re.findall(rb"/Type\s*/Page\b", data))
    for packed in re.findall(rb"stream\r?\n(.*?)endstream", data, re.DOTALL):
        with contextlib.suppress(zlib.error):
            found += len(re.findall(rb"/Type\s*/Page\b", zlib.decompress(packed)))
    return found


def test_the_pdf_has_as_many_pages_as_the_page_needs_and_asks_for_nothing(tmp_path: Path) -> None:
    pytest.importorskip("plutoprint")
    (tmp_path / "secret.png").write_bytes(EXPLANATIONS[RECORDS[0]["sha256"]].heat or b"")
    sizes = []
    for name, records in (("few", RECORDS[:3]), ("all", RECORDS)):
        written(tmp_path / f"{name}.html", records)
        data = write_pdf(tmp_path / f"{name}.html", tmp_path / f"{name}.pdf").read_bytes()
        assert data.startswith(b"%PDF-")
        sizes.append(pages_of(data))
    assert sizes[1] > sizes[0] + 10 / 3  # three cards stand on a page at most
    html = '<img src="secret.png"><img src="http://evil.invalid/"><p>text</p>'
    (tmp_path / "evil.html").write_text(html)
    data = write_pdf(tmp_path / "evil.html", tmp_path / "evil.pdf").read_bytes()
    assert b"/Image" not in data


def test_a_page_that_is_none_is_refused_by_name(tmp_path: Path) -> None:
    pytest.importorskip("plutoprint")
    with pytest.raises(RunError, match=r"gone\.html"):
        write_pdf(tmp_path / "gone.html", tmp_path / "gone.pdf")


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Page, str]]:
    if CHROMIUM is None:
        pytest.skip("no Chromium here")
    place = tmp_path_factory.mktemp("report") / "report.html"
    written(place, [*RECORDS[:39], LONG])
    with chromium() as new_page:
        yield new_page(), place.as_uri()


LONG = RECORDS[39] | {"reason": "word " * 60 + "MiddleWord" + " word" * 60}
SEEN = "[...document.querySelectorAll('#table tbody tr')].filter(r => r.offsetParent)"
CARDS = "[...document.querySelectorAll('.card')].filter(c => c.offsetParent).length"


def typed(words: str) -> str:
    field = "document.getElementById('find')"
    return f"{field}.value = {json.dumps(words)}; {field}.dispatchEvent(new Event('input'))"


def test_in_a_browser_nothing_is_asked_for_and_nothing_complains(shown: tuple[Page, str]) -> None:
    browser, address = shown
    browser.show(1280, 900)
    browser.open(address)
    loaded = "[...document.images].filter(i => i.loading != 'lazy')"
    assert browser.run(f"{loaded}.every(i => i.complete && i.naturalWidth)") is True
    assert [each for each in browser.asked if not each.startswith("data:")] == [address]
    assert browser.complaints == []


def test_in_a_browser_columns_are_sorted_with_the_keyboard(shown: tuple[Page, str]) -> None:
    browser, address = shown
    browser.open(address)
    scores = f"{SEEN}.map(r => r.cells[3].dataset.value)"
    known = sorted(each["score"] for each in RECORDS if each["score"] is not None)
    header = "document.querySelectorAll('#table thead button')[3]"
    browser.run(f"{header}.focus()")
    for expected, how in ((known, "ascending"), (known[::-1], "descending")):
        browser.run(f"{header}.click()")
        found = browser.run(scores)
        assert [float(value) for value in found[: len(known)]] == expected
        assert set(found[len(known) :]) == {""}  # what has no score stays last
        assert browser.run("document.querySelector('[aria-sort]').ariaSort") == how
    browser.run("document.querySelectorAll('#table thead button')[0].click()")
    names = browser.run(f"{SEEN}.map(r => r.cells[0].textContent)")
    assert names == sorted(each["file"] for each in RECORDS)
    browser.press("Tab")
    assert (
        browser.run("document.activeElement.textContent") == "crops"
    )  # the one after that which has the focus


def test_in_a_browser_the_filter_leaves_what_was_asked_for(shown: tuple[Page, str]) -> None:
    browser, address = shown
    browser.open(address)
    everything = browser.run(CARDS)
    browser.run(typed("PHOTO-01"))
    names = browser.run(f"{SEEN}.map(r => r.cells[0].textContent)")
    assert sorted(names) == [each["file"] for each in RECORDS[10:20]]
    assert browser.run(CARDS) == sum(each["score"] is not None for each in RECORDS[10:20])
    assert browser.run("document.getElementById('shown').textContent") == "10 of 40 rows"
    for words in (RECORDS[12]["sha256"], f" {RECORDS[12]['sha256'].upper()} "):
        browser.run(typed(words))
        assert browser.run(f"{SEEN}.map(r => r.cells[0].textContent)") == [RECORDS[12]["file"]]
        assert browser.run(CARDS) == 1
    browser.run(typed("middleword"))
    assert browser.run(f"{SEEN}.map(r => r.cells[0].textContent)") == [LONG["file"]]
    browser.run(typed(""))
    browser.run("document.querySelector('[value=other]').click()")
    verdicts = browser.run(f"{SEEN}.map(r => r.dataset.verdict)")
    assert set(verdicts) == {"class-0", "undecided", "error"}
    assert browser.run(CARDS) < everything
    browser.command("Emulation.setEmulatedMedia", media="print")
    assert browser.run(CARDS) == everything  # paper has them all
    browser.command("Emulation.setEmulatedMedia", media="")


OPENED = "document.querySelectorAll('.card details').forEach(d => (d.open = true))"


def test_in_a_browser_the_evidence_is_switched_on_and_off(shown: tuple[Page, str]) -> None:
    browser, address = shown
    browser.open(address)
    count = "[...document.querySelectorAll('.over')].filter(e => e.checkVisibility()).length"
    assert browser.run(count) == 0, "cards are opened on demand"
    browser.run(OPENED)
    everything = browser.run(count)
    assert everything == len(EXPLANATIONS)
    browser.click(".toggle")
    assert browser.run(count) == everything - 1
    browser.click("#all-heat")
    assert browser.run(count) == 0
    browser.click("#all-heat")
    assert browser.run(count) == everything
    box = "document.querySelector('.frame {}').getBoundingClientRect().toJSON()"
    photo, heat = (browser.run(box.format(part)) for part in ("img", ".heat"))
    assert photo == pytest.approx(heat)


def slid(selector: str, to: int) -> str:
    field = f"document.querySelector('{selector}')"
    return f"{field}.value = {to}; {field}.dispatchEvent(new Event('input'))"


def test_in_a_browser_scores_are_shown_as_strongly_as_wanted(shown: tuple[Page, str]) -> None:
    browser, address = shown
    browser.open(address)
    browser.run(OPENED)
    opacities = "[...document.querySelectorAll('.heat')].map(e => getComputedStyle(e).opacity)"
    assert set(browser.run(opacities)) == {"1"}
    assert browser.run("document.querySelector('.card .opacity').checkVisibility()") is True
    browser.run(slid(".card .opacity", 40))
    assert browser.run(opacities)[:2] == ["0.4", "1"]
    browser.run(slid("#all-opacity", 20))
    assert set(browser.run(opacities)) == {"0.2"}


def test_in_a_browser_a_link_opens_the_image_that_it_leads_to(shown: tuple[Page, str]) -> None:
    browser, address = shown
    browser.open(address)
    opened = "[...document.querySelectorAll('.card details[open]')].length"
    assert browser.run(opened) == 0
    browser.run(f"{SEEN}[0].querySelector('a').click()")
    browser.wait(f"{opened} == 1")
    (first,) = browser.run(f"{SEEN}.slice(0, 1).map(r => r.querySelector('a').hash)")
    at = f"document.querySelector('{first}').getBoundingClientRect().top"
    assert 0 <= browser.run(at) < 900


def test_in_a_browser_notes_are_there_again_and_of_this_report_alone(
    shown: tuple[Page, str], tmp_path: Path
) -> None:
    browser, address = shown
    browser.open(address)
    for name in ("case", "notes", "note-1"):
        field = f"document.querySelector('[name={name}]')"
        written_there = f"{field}.value = 'of {name}'; {field}.dispatchEvent(new Event('input'))"
        browser.run(written_there)
    values = "['case', 'notes', 'note-1'].map(n => document.querySelector(`[name=${n}]`).value)"
    written(tmp_path / "other.html", RECORDS[:39])
    browser.open((tmp_path / "other.html").as_uri())
    assert browser.run(values) == ["", "", ""]
    browser.open(address)
    assert browser.run(values) == ["of case", "of notes", "of note-1"]


def test_in_a_browser_many_files_come_in_pages(shown: tuple[Page, str], tmp_path: Path) -> None:
    browser, _ = shown
    many = [record(number % 40, file=f"{number:05}.jpg") for number in range(1500)]
    written(tmp_path / "many.html", many, explanations={})
    browser.open((tmp_path / "many.html").as_uri())
    assert browser.run(f"{SEEN}.length") == 100
    assert browser.run("document.documentElement.scrollHeight") < 30_000
    told = "document.querySelector('.pager span').textContent"
    assert browser.run(told) == "Rows 1 to 100 of 1,500"
    first = browser.run(f"{SEEN}[0].cells[0].textContent")
    browser.run("document.querySelectorAll('.pager button')[1].click()")
    assert browser.run(told) == "Rows 101 to 200 of 1,500"
    assert browser.run(f"{SEEN}[0].cells[0].textContent") != first
    browser.run(typed("999.jpg"))
    assert browser.run(f"{SEEN}.length") == 1
    assert browser.run("document.querySelector('.pager').hidden") is True
    browser.command("Emulation.setEmulatedMedia", media="print")
    assert browser.run(f"{SEEN}.length") == 1500  # paper has them all
    browser.command("Emulation.setEmulatedMedia", media="")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_the_page_fits_a_phone_and_a_desk(shown: tuple[Page, str], width: int, scheme: str) -> None:
    browser, address = shown
    browser.show(width, 900, scheme)
    browser.open(address)
    browser.run(OPENED)
    assert browser.run("document.documentElement.scrollWidth") <= width
    parts = "[...document.querySelectorAll('body *')]"
    inside = "e.closest('.scroll, .hidden, .skip, svg')"
    beyond = f"e.getBoundingClientRect().right > {width} + 1"
    over = f"{parts}.filter(e => !{inside} && {beyond}).length"
    assert browser.run(over) == 0
    ground = browser.run("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", ground)[:3])) > 600) == (scheme == "light")
