"""Tables and figures from results alone, with the paper's figures beside ours."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import Cell, one_by_one, photo_pixels

from trueshot.errors import RunError
from trueshot.evaluation import EvaluationResult
from trueshot.images import read_image, write_png
from trueshot.proportion import Proportion
from trueshot.reports import paper
from trueshot.reports.figures import draw_curves, draw_figure_2, draw_figure_5
from trueshot.reports.paper_tables import reproduction_tables, write_tables
from trueshot.reports.table import Number, as_latex, as_markdown
from trueshot.reproduce import render

BUDGETS = (1.0, 2.0, 3.0, 4.0, 5.0)


def result(name: str, side: int, first: int) -> EvaluationResult:
    """A result whose cells count up from `first` of 100 crops."""
    attacks = [("clean", 0.0), *((a, b) for a in ("fgsm", "llcm") for b in BUDGETS)]
    cells: list[Cell] = [
        (attack, budget, (first + i, 0), (50, 50)) for i, (attack, budget) in enumerate(attacks)
    ]
    return one_by_one(*cells, detector=name, side=side)


RESULTS = [
    result("yang", 64, 30),
    result("secure", 64, 10),
    result("yang", 96, 31),
    result("secure", 96, 11),
]


def test_table_1_holds_clean_accuracy_by_size_beside_the_papers() -> None:
    table = reproduction_tables(RESULTS)[0]
    assert table.header == ("image size", "64 × 64", "96 × 96")
    assert [row[0] for row in table.rows] == [
        "yang, ours",
        "Yang, paper, %",
        "secure, ours",
        "Prop, paper, %",
    ]
    assert table.rows[0][1] == Proportion(30, 100)
    assert table.rows[1][1:] == (Number(value=96.7), None)
    assert table.rows[2][2] == Proportion(11, 100)


@pytest.mark.parametrize(("number", "first", "printed"), [(1, 30, 2.8), (2, 10, 93.6)])
def test_tables_2_and_3_hold_each_attack_at_each_budget(
    number: int, first: int, printed: float
) -> None:
    table = reproduction_tables(RESULTS)[number]
    assert table.header[3:] == tuple(f"ε = {b:g}" for b in BUDGETS)
    rows = {row[:3]: row[3:] for row in table.rows}
    ours = rows["64 × 64", "FGSM", "ours"]
    assert ours == tuple(Proportion(first + 1 + i, 100) for i in range(5))
    llcm = rows["64 × 64", "LLCM (TGSM)", "ours"]
    assert llcm == tuple(Proportion(first + 6 + i, 100) for i in range(5))
    assert rows["64 × 64", "FGSM", "paper, %"][0] == Number(value=printed)
    assert rows["96 × 96", "FGSM", "paper, %"] == (None,) * 5


def test_attacks_that_the_paper_did_not_try_stand_in_a_table_of_their_own() -> None:
    assert len(reproduction_tables(RESULTS)) == 4
    more = [
        replace(
            r,
            trials=(*r.trials, *(replace(t, attack="pgd") for t in r.trials if t.attack == "llcm")),
        )
        for r in RESULTS
    ]
    table = reproduction_tables(more)[3]
    assert [row[1] for row in table.rows] == ["yang, PGD", "secure, PGD"] * 2
    assert table.rows[0][2] == Proportion(36, 100)


def test_the_classes_stand_apart_in_the_last_table_and_add_up_to_the_first() -> None:
    tables = reproduction_tables(RESULTS)
    rows = {row[:3]: row[3:] for row in tables[-1].rows}
    assert tables[-1].header[3:] == tuple(f"ε = {b:g}" for b in (0.0, *BUDGETS))
    for result in RESULTS:
        stub = (f"{result.side} × {result.side}", f"{result.detector}, FGSM")
        apart = [rows[*stub, name] for name in result.classes]
        for i, budget in enumerate(BUDGETS):
            cells = [row[1 + i] for row in apart]
            assert all(isinstance(one, Proportion) for one in cells)
            right = sum(one.count for one in cells if isinstance(one, Proportion))
            assert right == sum(result.single("fgsm", budget).right)


def test_the_curves_begin_at_the_clean_accuracy_and_have_a_panel_for_each_size(
    tmp_path: Path,
) -> None:
    drawn = read_image(draw_curves(RESULTS, tmp_path / "curves.png")).pixels
    narrow = read_image(draw_curves(RESULTS[:2], tmp_path / "narrow.png")).pixels
    assert drawn.shape[1] - narrow.shape[1] == 690  # a panel of 4.6 inches at 150 dpi
    for colour in ((0xB4, 0x23, 0x18), (0x17, 0x5C, 0xD3)):
        assert (np.abs(narrow.astype(int) - colour).sum(-1) < 12).sum() > 100


def test_every_detector_is_drawn_however_many_they_are(tmp_path: Path) -> None:
    five = [replace(RESULTS[0], detector=f"number {n}") for n in range(5)]
    four = read_image(draw_curves(five[:4], tmp_path / "four.png")).pixels
    drawn = read_image(draw_curves(five, tmp_path / "five.png")).pixels
    assert drawn.shape != four.shape or (drawn != four).any()


PAPER = Path(__file__).parent / "paper_tables.txt"


def test_the_papers_figures_are_those_that_it_prints() -> None:
    numbers = [float(n) for n in re.findall(r"([\d.]+)%", PAPER.read_text("utf-8"))]
    ours = [paper.CLEAN[role][side] for role in ("plain", "secure") for side in paper.SIDES]
    for role in ("plain", "secure"):
        for side in paper.SIDES:
            for attack in ("fgsm", "llcm"):
                ours += paper.ATTACKED[role][side, attack]
    assert ours == numbers
    assert len(ours) == 8 + 80


def test_results_that_are_no_pairs_are_refused() -> None:
    for wrong in ([], RESULTS[:1], [RESULTS[0], RESULTS[3]]):
        with pytest.raises(ValueError, match="results"):
            reproduction_tables(wrong)


def test_markdown_and_latex_have_every_cell_in_its_column() -> None:
    for table in reproduction_tables(RESULTS):
        lines = as_markdown(table).splitlines()
        assert {line.count("|") for line in lines[2:]} == {len(table.header) + 1}
        body = [line for line in as_latex(table).splitlines() if "&" in line]
        assert {line.count("&") for line in body} == {len(table.header) - 1}
        assert not re.search(r"(?<!\\)%", as_latex(table))


def test_the_tables_say_where_their_figures_come_from(tmp_path: Path) -> None:
    paths = write_tables(tmp_path, RESULTS)
    text = paths[0].read_text("utf-8")
    for word in ("Wilson", "split by photo", "dddddddddddd", "ffffffffffff", "100 test crops"):
        assert word in text
    assert paths[1].read_text("utf-8").count(r"\begin{table}") == 4


def pictures(folder: Path, count: int) -> list[str]:
    for number in range(count):
        write_png(folder / f"{number}.png", photo_pixels(number, True, 64))
    return [f"{number}.png" for number in range(count)]


def test_figure_2_shows_every_panel_and_figure_5_every_budget(tmp_path: Path) -> None:
    files = pictures(tmp_path, 8)
    panels = [
        {"file": f, "true": "original", "predicted": "recaptured", "probability": 0.99}
        for f in files
    ]
    rows = [
        {"detector": name, "budget": 1.0, "panels": panels[i * 4 : i * 4 + 4]}
        for i, name in enumerate(("yang", "secure"))
    ]
    second = read_image(draw_figure_2(tmp_path, rows, tmp_path / "f2.png")).pixels
    shown = [
        {"attack": a, "budget": b, "file": files[i]}
        for i, (a, b) in enumerate((a, b) for a in ("fgsm", "llcm") for b in (0, 5, 10, 15))
    ]
    fifth = read_image(draw_figure_5(tmp_path, shown, tmp_path / "f5.png")).pixels
    for drawn in (second, fifth):
        height, width = drawn.shape[:2]
        assert width > 1.4 * height
        # A picture in each place of the grid: none is white.
        for y in (0.22, 0.7):
            for x in (0.2, 0.43, 0.65, 0.88):
                spot = drawn[int(y * height) :, int(x * width) :][:20, :20]
                assert np.ptp(spot.astype(int)) > 5


def test_what_latex_and_markdown_take_for_commands_is_escaped() -> None:
    results = [replace(r, detector="a_b|c%&#{\\") for r in RESULTS]
    table = reproduction_tables(results)[0]
    assert r"a\_b$|$c\%\&\#\{\textbackslash{}, ours" in as_latex(table)
    assert r"a_b\|c%&amp;#{\\, ours" in as_markdown(table)


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", '{"results": []}', '{"results": 3, "examples": {}}']
)
def test_results_that_cannot_be_drawn_are_refused_by_name(tmp_path: Path, text: str) -> None:
    (tmp_path / "results.json").write_text(text)
    with pytest.raises(RunError, match=r"results\.json"):
        render(tmp_path)
