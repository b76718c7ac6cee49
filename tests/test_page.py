"""The page of a reproduction: its figures are those of results.json, and it needs nothing else."""

from __future__ import annotations

import base64
import fnmatch
import json
import re
import tomllib
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from conftest import Cell, one_by_one, photo_pixels

from trueshot.errors import RunError
from trueshot.evaluation import CLEAN, EvaluationResult
from trueshot.evaluation.tally import Tally
from trueshot.images import write_png
from trueshot.reports import narrative, paper
from trueshot.reports.chart import AXES
from trueshot.reports.reproduction import sizes_of, write_page
from trueshot.reproduce import render

ROOT = Path(__file__).resolve().parent.parent
TEMPLATES = ROOT / "src" / "trueshot" / "reports" / "templates"
BUDGETS = (1.0, 2.0, 3.0, 4.0, 5.0)


def cell(attack: str, budget: float, share: float, total: int = 1000) -> Cell:
    """So many crops of each class, of which this share is judged rightly."""
    right = round(total * share)
    return attack, budget, (right, right), (total, total)


def result(
    name: str, clean: float = 0.9, side: int = 64, auc: float = 0.95, **attacks: float
) -> EvaluationResult:
    """A result with the same accuracy at each budget of an attack, but for thousandths."""
    cells = [cell(CLEAN, 0.0, clean)]
    for number, (attack, share) in enumerate(attacks.items(), start=1):
        cells += [cell(attack, b, share + (number * b) / 1000) for b in BUDGETS]
    return one_by_one(
        *cells,
        detector=name,
        side=side,
        auc=auc,
        recipe={"name": name, "seed": 7, "schedule": {"iterations": 1234, "batch": 64}},
        versions={"torch": "2.13.0"},
    )


PLAIN = result("yang", 0.912, fgsm=0.111, llcm=0.222, pgd=0.033)
SECURE = result("secure", 0.877, fgsm=0.844, llcm=0.755, pgd=0.166)


def panel(file: str, true: str = "original") -> dict[str, Any]:
    return {"file": file, "true": true, "predicted": "recaptured", "probability": 0.75}


def old_example(files: list[str]) -> dict[str, Any]:
    """Examples as they were before there was a page."""
    return {
        "figure_2": [
            {"detector": name, "budget": 1.0, "panels": [panel(file) for file in files[:2]]}
            for name in ("yang", "secure")
        ],
        "figure_5": [{"attack": "fgsm", "budget": 5.0, "file": file} for file in files[:2]],
    }


def example(files: list[str]) -> dict[str, Any]:
    """Examples with everything that the page can show."""
    clean, noise, attacked, more = files
    return old_example(files) | {
        "data": {
            "folder": "my photos",
            "simulated": True,
            "photos": {"original": 31, "recaptured": 32},
            "sources": 3,
            "passed_over": 1,
            "crops_per_class": {"train": 400, "validation": 100, "test": 2000},
            "split_by": "photo",
            "seed": 0,
            "shortcut_audit": {
                "auc": 0.734,
                "photos": 63,
                "strongest": ["width"],
                "warning": "yes",
            },
        },
        "gallery": [{"file": more, "true": "original"}],
        "triples": [
            {
                "detector": name,
                "attack": attack,
                "budget": 1.0,
                "true": "original",
                "clean": panel(clean),
                "noise": {"file": noise, "magnified": 100.0},
                "attacked": panel(attacked),
            }
            for name in ("yang", "secure")
            for attack in ("fgsm", "pgd")
        ],
    }


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A folder of experiments with images, but without results."""
    for number in range(4):
        write_png(tmp_path / "run" / f"{number}.png", photo_pixels(number, True, 64))
    return tmp_path / "run"


FILES = [f"{number}.png" for number in range(4)]


def page(
    run: Path, results: list[EvaluationResult] | None = None, examples: dict[str, Any] | None = None
) -> str:
    """Write results and render the page."""
    results = [PLAIN, SECURE] if results is None else results
    shown = {"64": example(FILES)} if examples is None else examples
    content = {"results": [r.to_json() for r in results], "examples": shown}
    run.mkdir(exist_ok=True)
    (run / "results.json").write_text(json.dumps(content))
    assert write_page(run) == run / "page.html"
    return (run / "page.html").read_text("utf-8")


class Reader(HTMLParser):
    """Tags with their attributes, the rows of tables by caption, and the text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.tables: dict[str, list[list[str]]] = {}
        self._rows: list[list[str]] = []
        self._into: list[str] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))
        if tag == "tr":
            self._rows.append([])
        if tag in ("td", "th", "caption"):
            self._into = [""]
            if tag != "caption":
                self._rows[-1].append("")
                self._into = self._rows[-1]
        if tag == "caption":
            self._rows = self.tables.setdefault(f"table {len(self.tables)}", [[""]])
            self._into = self._rows[0]

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1][0] not in ("style", "title"):
            self.text += data
        if self._into:
            self._into[-1] += f" {data.strip()}" if data.strip() else ""

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th", "caption"):
            self._into = []

    def table(self, word: str) -> list[list[str]]:
        """The rows of the only table whose caption has that word."""
        (rows,) = (rows for rows in self.tables.values() if word in rows[0][0])
        return [[text.strip() for text in row] for row in rows[1:]]


def ours(found: Tally) -> str:
    low, high = found.interval
    return f"{100 * found.accuracy:.1f} {100 * low:.1f}–{100 * high:.1f}"


def test_tables_2_and_3_hold_each_cell_of_the_results_beside_the_papers(run: Path) -> None:
    rows, attack = Reader(page(run)).table("Tables 2 and 3"), ""
    found = {}
    for row in rows[1:]:
        attack = row[0] if len(row) == 6 else attack
        found[attack, row[-5]] = row[-4:]
    assert len(found) == 10
    for short, name in (("fgsm", "FGSM"), ("llcm", "LLCM (TGSM)")):
        for number, budget in enumerate(BUDGETS):
            papers = [paper.ATTACKED[role][64, short][number] for role in ("plain", "secure")]
            assert found[name, f"{budget:g}"] == [
                ours(PLAIN.single(short, budget)), f"{papers[0]:.1f}",
                ours(SECURE.single(short, budget)), f"{papers[1]:.1f}",
            ]  # fmt: skip


def test_what_the_paper_did_not_try_stands_beside_fgsm(run: Path) -> None:
    rows = Reader(page(run)).table("Not in the paper")
    assert rows[0][1:3] == ["plain, FGSM", "plain, PGD"]
    for row, budget in zip(rows[1:], BUDGETS, strict=True):
        assert row[1:] == [
            ours(r.single(attack, budget)) for r in (PLAIN, SECURE) for attack in ("fgsm", "pgd")
        ]


def test_table_1_holds_clean_accuracy_and_auc_of_every_size(run: Path) -> None:
    results = [PLAIN, SECURE, replace(PLAIN, side=96, auc=0.71), replace(SECURE, side=96, auc=0.72)]
    rows = Reader(page(run, results)).table("Table 1")[1:]
    assert [row[0] for row in rows] == ["plain (yang)", "secure"] * 2
    assert [row[1:] for row in rows] == [
        ["64 × 64", ours(PLAIN.single(CLEAN)), "96.7", "0.950"],
        ["64 × 64", ours(SECURE.single(CLEAN)), "96.6", "0.950"],
        ["96 × 96", ours(PLAIN.single(CLEAN)), "–", "0.710"],
        ["96 × 96", ours(SECURE.single(CLEAN)), "–", "0.720"],
    ]


@pytest.mark.parametrize(
    ("secure", "kind", "words"),
    [
        (result("s", 0.88, fgsm=0.85, pgd=0.15), "bad", "mostly hides the gradient"),
        (result("s", 0.88, fgsm=0.85, pgd=0.70), "mixed", "Part of the defence only hides"),
        (result("s", 0.88, fgsm=0.80, pgd=0.78), "good", "holds under PGD"),
        (result("s", 0.88, fgsm=0.30, pgd=0.10), "bad", "The defence fails"),
        (result("s", 0.51, fgsm=0.90, pgd=0.10), "open", "cannot be assessed"),
        (result("s", 0.88, auc=0.55, fgsm=0.90, pgd=0.10), "open", "cannot be assessed"),
        (result("s", 0.88, fgsm=0.85), "open", "was not tested with PGD"),
    ],
)
def test_the_truth_depends_on_the_figures(
    run: Path, secure: EvaluationResult, kind: str, words: str
) -> None:
    told = narrative.truth(PLAIN, secure)
    assert (told.kind, words in told.headline) == (kind, True)
    assert ("--more-attack pgd" in " ".join(told.sentences)) == ("not tested" in words)
    reader = Reader(page(run, [PLAIN, secure], {}))
    assert told.headline in reader.text
    assert [a["class"] for tag, a in reader.tags if a.get("role") == "note"] == [
        f"wide truth {kind}"
    ]


def test_the_truth_names_what_fgsm_and_pgd_leave() -> None:
    found = narrative.truth(PLAIN, SECURE).sentences[0]
    assert "84.5 to 84.9\N{NO-BREAK SPACE}%" in found
    assert "16.9 to 18.1\N{NO-BREAK SPACE}%, below guessing" in found


def test_an_accuracy_that_rises_with_the_budget_is_called_label_leaking() -> None:
    cells = [cell(CLEAN, 0.0, 0.80), cell("fgsm", 1.0, 0.70), cell("fgsm", 5.0, 0.78)]
    rising = one_by_one(*cells, detector="secure")
    assert "70.0\N{NO-BREAK SPACE}% at ε = 1, 78.0\N{NO-BREAK SPACE}% at ε = 5" in (
        narrative.leaking(rising)
    )
    above = one_by_one(*cells[:2], cell("fgsm", 5.0, 0.99), detector="secure")
    assert "at ε = 1, 99.0\N{NO-BREAK SPACE}% at ε = 5" in narrative.leaking(above)
    chance = [cell(CLEAN, 0.0, 0.80, 50), cell("fgsm", 1.0, 0.70, 50), cell("fgsm", 5.0, 0.78, 50)]
    for steady in (chance, [*cells[:2], cell("fgsm", 5.0, 0.60)]):
        assert narrative.leaking(one_by_one(*steady, detector="secure")) == ""


@pytest.mark.parametrize(
    ("plain", "works", "collapse"),
    [
        (PLAIN, "The detector works", "One grey level defeats it"),
        (result("y", 0.9, fgsm=0.75), "The detector works", "One grey level weakens it"),
        (result("y", 0.9, fgsm=0.85), "The detector works", "One grey level has little effect"),
        (result("y", 0.51, fgsm=0.5), "has not learnt its task", "One grey level has little"),
    ],
)
def test_headings_claim_no_more_than_the_figures(
    run: Path, plain: EvaluationResult, works: str, collapse: str
) -> None:
    text = Reader(page(run, [plain, SECURE], {})).text
    assert works in text
    assert collapse in text
    assert ("The detector works" in text) == (works == "The detector works")


def test_the_page_refers_to_nothing_outside_itself(run: Path) -> None:
    html = page(run)
    sources = ("src", "href", "srcset", "action", "data", "poster", "background", "xlink:href")
    loaded = [a[name] for _, a in Reader(html).tags for name in sources if name in a]
    assert len(loaded) > 10
    assert all(each.startswith("data:image/png;base64,") for each in loaded)
    assert not {"script", "link", "iframe", "object", "base"} & {t for t, _ in Reader(html).tags}
    assert not re.search(r"url\(|@import|https?:", html)
    assert "default-src 'none'" in html


def test_the_pictures_are_the_files_of_the_run(run: Path) -> None:
    sources = [a["src"] for tag, a in Reader(page(run)).tags if tag == "img"]
    shown = {base64.b64decode(source.partition(",")[2]) for source in sources}
    assert shown == {(run / file).read_bytes() for file in FILES}


def test_a_file_outside_the_run_or_of_another_kind_is_not_taken_in(run: Path) -> None:
    write_png(run.parent / "secret.png", photo_pixels(9, False, 64))
    (run / "text.png").write_text("no image at all")
    outside = str(run.parent / "secret.png")
    html = page(run, examples={"64": example(["../secret.png", outside, "text.png", "gone.png"])})
    assert "<img" not in html
    assert "../secret.png cannot be shown" in html


HOSTILE = "<script>alert('1')</script>\"><img src=http://evil.example/x onerror=\udcff>"


def hostile(content: Any) -> Any:
    """The same content with every text replaced, as far as the page can be told at all."""
    kept = {"attack", "file", "format", "true", "kind", "labels", "groups", "images", "suite"}
    if isinstance(content, dict):
        return {k: v if k in kept else hostile(v) for k, v in content.items()}
    if isinstance(content, list):
        return [hostile(each) for each in content]
    return HOSTILE if isinstance(content, str) else content


def test_hostile_names_are_shown_as_text(run: Path) -> None:
    pair = {"original": {"file": "0.png"}, "recaptured": {"file": "1.png"}, "note": "n"}
    shown = hostile(example(FILES)) | {"pairs": [hostile(pair)], "pairs_passed_over": [HOSTILE]}
    results = [hostile(r.to_json()) for r in (PLAIN, SECURE)]
    (run / "results.json").write_text(json.dumps({"results": results, "examples": {"64": shown}}))
    html = write_page(run).read_text("utf-8")
    reader = Reader(html)
    assert "script" not in {tag for tag, _ in reader.tags}
    assert all(a.keys().isdisjoint({"onerror", "onload"}) for _, a in reader.tags)
    assert all(a["src"].startswith("data:") for tag, a in reader.tags if tag == "img")
    assert reader.text.count("<script>alert('1')</script>") > 8


def test_results_from_before_the_page_are_told_without_the_pictures_they_lack(run: Path) -> None:
    text = Reader(page(run, examples={"64": old_example(FILES)})).text
    assert "did not keep clean crops" in text
    assert "four test crops under FGSM" not in Reader(page(run)).text
    for examples in ({}, {"64": old_example(["gone.png"] * 4)}):
        html = page(run, examples=examples)
        assert f"{100 * SECURE.single('fgsm', 5.0).accuracy:.1f}" in html


def test_render_writes_the_page_again_the_same(run: Path) -> None:
    expected = page(run)
    (run / "page.html").unlink()
    made = render(run)
    assert made.page == run / "page.html"
    assert made.page.read_text("utf-8") == expected


@pytest.mark.parametrize("results", [[], [PLAIN], [PLAIN, replace(SECURE, side=96)]])
def test_results_that_are_no_pairs_are_refused(run: Path, results: list[EvaluationResult]) -> None:
    with pytest.raises(RunError, match=r"results\.json"):
        page(run, results)


def test_examples_that_are_none_are_refused_by_name(run: Path) -> None:
    with pytest.raises(RunError, match=r"results\.json"):
        page(run, examples={"64": {"triples": [{"detector": "yang"}]}})


def test_the_page_says_how_to_make_it_again_and_where_it_ends(run: Path) -> None:
    text = Reader(page(run)).text
    for words in (
        "trueshot reproduce 'my photos' --out OUT --size 64 --iterations 1234 --crops 1000 "
        "--more-attack pgd",
        "31 originals and 32 recaptures, simulated",
        "The data are simulated.",
        "1,234 iterations instead of the paper's 100,000",
        "AUC 0.73 from file properties alone",
        "torch 2.13.0",
        "d" * 64,
        "f" * 12,
    ):
        assert words in text
    (size,) = sizes_of([replace(PLAIN, recipe=None, detector="mine"), SECURE], {})
    assert size["command"] == (
        "trueshot reproduce DATASET --out OUT --size 64 --plain mine.yaml --more-attack pgd"
    )
    assert not any("simulated" in limit for limit in size["limits"])


def test_the_curves_stand_where_the_accuracies_are() -> None:
    (size,) = sizes_of([PLAIN, result("s", 0.5, fgsm=0.25)], {})
    drawn = size["paper_chart"]
    (line,) = (line for line in drawn.lines if line.name == "secure, FGSM")
    height = AXES.bottom - AXES.top
    assert line.dots[0] == (AXES.left, AXES.top + height / 2)
    assert line.dots[-1][0] == AXES.right
    assert line.dots[-1][1] == pytest.approx(AXES.top + height * (1 - 0.255), abs=0.1)
    assert [line.tone for line in drawn.lines] == ["secure", "plain", "plain"]


def test_every_picture_is_described_and_every_table_has_headers(run: Path) -> None:
    html = page(run)
    tags = Reader(html).tags
    assert all(a.get("alt") for tag, a in tags if tag == "img")
    assert all(a.get("scope") for tag, a in tags if tag == "th")
    assert all(a.get("aria-label") or "aria-hidden" in a for tag, a in tags if tag == "svg")
    names = [tag for tag, _ in tags]
    assert names.count("caption") == names.count("table") == names.count("thead") == 5
    assert [names.count(name) for name in ("h1", "main", "html")] == [1, 1, 1]


def luminance(colour: str) -> float:
    """Relative luminance of #rrggbb, as WCAG 2 defines it."""
    levels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in levels]
    return sum(w * v for w, v in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_text_stands_out_from_its_ground_in_light_and_dark(scheme: int) -> None:
    css = (TEMPLATES / "page.css").read_text("utf-8")
    blocks = re.findall(r":root \{(.*?)\}", css, re.DOTALL)
    colours = dict(re.findall(r"--([a-z]+): (#[0-9a-fA-F]{6});", blocks[scheme]))
    grounds = {"paper": ["soft", "plain", "secure", "right", "wrong"], "panel": ["soft"]}
    grounds |= {kind: [] for kind in ("bad", "mixed", "good", "open")}
    for ground, inks in grounds.items():
        for ink in ("ink", *inks):
            dark, light = sorted(luminance(colours[name]) for name in (ground, ink))
            assert (light + 0.05) / (dark + 0.05) >= 4.5, f"{ink} on {ground}"


def test_the_templates_are_part_of_the_package() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    globs = project["tool"]["setuptools"]["package-data"]["trueshot"]
    assert len(list(TEMPLATES.iterdir())) >= 3
    for path in TEMPLATES.iterdir():
        name = path.relative_to(ROOT / "src" / "trueshot").as_posix()
        assert any(fnmatch.fnmatch(name, glob) for glob in globs), name
