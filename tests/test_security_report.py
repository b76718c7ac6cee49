"""The security report and the leaderboard: their figures are those of the results."""

from __future__ import annotations

import base64
import csv
import json
import math
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import replace
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import photo_pixels
from hypothesis import given
from hypothesis import strategies as st
from test_page import HOSTILE, Reader, hostile, luminance, ours
from test_page import result as paper_result
from typer.testing import CliRunner

from trueshot import cli, publish
from trueshot.errors import RunError
from trueshot.evaluation.doubt import MEANINGS, Doubt
from trueshot.evaluation.result import EvaluationResult, save_result
from trueshot.evaluation.tally import Change, Trial, WorstCase
from trueshot.files import utf8_safe
from trueshot.images import read_image, write_png
from trueshot.proportion import Proportion
from trueshot.reports.chart import AXES, Curve, line_chart
from trueshot.reports.comparison import Comparison, comparisons_of
from trueshot.reports.leaderboard import board, leaderboard
from trueshot.reports.narrative import verdict
from trueshot.reports.paper_tables import comparison_tables
from trueshot.reports.report import write_report
from trueshot.reports.results import DetectorResults, LoadedResult, find
from trueshot.reports.security_tables import command, price_table, strong_table
from trueshot.reports.table import (
    Number,
    Table,
    as_csv,
    as_latex,
    as_markdown,
    in_latex,
    text_of,
)

ROOT = Path(__file__).resolve().parent.parent
CSS = ROOT / "src" / "trueshot" / "reports" / "templates" / "page.css"
BUDGETS = (1.0, 2.0, 3.0, 4.0, 5.0)
FAR = (16.0, 64.0)
PER_CLASS = 400
NBSP = "\N{NO-BREAK SPACE}"


def worst_case(threat: str, budget: float, originals: int, recaptures: int) -> WorstCase:
    """So many of 400 images of each class that nothing has broken; three more before the file."""
    broken = ("pgd",) * (PER_CLASS - originals) + ("",) * originals
    return WorstCase(
        threat=threat,
        budget=budget,
        right=(originals, recaptures),
        right_before_file=(min(originals + 3, PER_CLASS), recaptures),
        total=(PER_CLASS, PER_CLASS),
        broken_by=(*broken, *("",) * PER_CLASS),
    )


def curve(threat: str, clean: int, last: int, budgets: tuple[float, ...]) -> list[WorstCase]:
    """Worst cases on a line from `clean` originals right to `last`, recaptures seven fewer."""
    steps = range(len(budgets) + 1)
    counts = [round(clean + (last - clean) * step / len(budgets)) for step in steps]
    return [
        worst_case(threat, budget, count, max(count - 7 * (budget > 0), 0))
        for budget, count in zip((0.0, *budgets), counts, strict=True)
    ]


def trial(attack: str, budget: float, tried: tuple[int, int], broken: tuple[int, int]) -> Trial:
    return Trial(
        attack=attack,
        threat="linf",
        budget=budget,
        settings=f"{attack.upper()}(budget={budget:g})",
        tried=tried,
        broken=broken,
        broken_before_file=broken,
        psnr=48.25,
        ssim=0.9876,
        calls=(11.0, 10.0),
        seconds=12.5,
    )


def strong(name: str, clean: int = 368, last: int = 20, **more: Any) -> EvaluationResult:
    """A result of the strong suite, in L∞ to 64 levels and in L2."""
    worst = curve("linf", clean, last, BUDGETS)
    worst += [worst_case("linf", budget, last // 2, last // 4) for budget in FAR]
    worst += curve("l2", clean, last + 9, tuple(27.7128 * budget for budget in BUDGETS))
    right = (clean, clean)
    trials = [trial("fgsm", b, right, (int(30 * b), int(20 * b))) for b in BUDGETS]
    trials += [trial("fab", b, (200, 100), (4, 3)) for b in BUDGETS]
    given: dict[str, Any] = {
        "suite": "strong",
        "detector": name,
        "classes": ("original", "recaptured"),
        "bundle_sha256": name.encode().hex().ljust(64, "0")[:64],
        "side": 64,
        "part": "test",
        "data": "d" * 64,
        "split_by": "source",
        "seed": 3,
        "auc": 0.951,
        "worst": tuple(worst),
        "trials": tuple(trials),
        "boundary": {"linf": 1.25, "l2": None},
        "recipe": {"name": name, "seed": 7, "schedule": {"iterations": 1234, "batch": 64}},
        "cost": {"seconds": 5400.0, "iterations": 1234.0, "images_per_second": 321.0},
        "versions": {"torch": "2.13.0"},
        "per_epsilon": {"linf": 1.0, "l2": 27.7128},
    }
    return EvaluationResult(**given | more)


DOUBT = Doubt(
    name="one-step-beats-iterative",
    finding="FGSM leaves 12.5 % at ε = 1, PGD 40.0 %.",
    evidence={"fgsm": 0.125, "pgd": 0.4},
)
PLAIN = strong("plain", last=4)
FALSE = strong("false-friend", clean=372, last=330, doubts=(DOUBT,))
ROBUST = strong("robust", clean=360, last=320, notes=("Tried without: fab",))


def filed(result: EvaluationResult) -> EvaluationResult:
    """The same detector under the file suite."""
    worst = curve("png", 360, 250, BUDGETS) + curve("jpeg-75", 351, 300, BUDGETS)
    return replace(result, suite="file", worst=tuple(worst), trials=(), doubts=(), boundary={})


def everyday(result: EvaluationResult, blur: int = 300) -> EvaluationResult:
    """The same detector under the everyday suite."""
    total = (PER_CLASS, PER_CLASS)
    changes = tuple(
        Change(name=name, settings=name, right=(right, right), total=total, auc=0.875)
        for name, right in (("none", 368), ("jpeg-75", 340), ("blur-1", blur))
    )
    return replace(result, suite="everyday", worst=(), trials=(), changes=changes, doubts=())


def examples(name: str) -> tuple[dict[str, Any], ...]:
    """What a suite shows of an original and of a recapture."""
    return tuple(
        {
            "detector": name,
            "attack": "apgd-margin",
            "threat": "linf",
            "budget": 1.0,
            "true": true,
            "fate": "broken",
            "clean": {"file": "examples/0.png", "predicted": true, "probability": 0.97},
            "residual": {"file": "examples/1.png", "magnified": 4.0},
            "noise": {"file": "examples/2.png", "magnified": 100.0},
            "attacked": {"file": "examples/3.png", "predicted": other, "probability": 0.88},
            "after": [
                {"channel": "jpeg-75", "predicted": true, "probability": 0.77},
                {"channel": "messenger", "predicted": other, "probability": 0.66},
            ],
        }
        for true, other in (("original", "recaptured"), ("recaptured", "original"))
    )


def save(folder: Path, *results: EvaluationResult) -> Path:
    """Results as trueshot evaluate leaves them."""
    folder.mkdir(exist_ok=True, parents=True)
    for number, result in enumerate(results):
        save_result(folder / f"{result.suite}-{number}-{result.side}px.json", result)
    return folder


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with every suite of three detectors, and with pictures."""
    folder = tmp_path_factory.mktemp("kept") / "run"
    for number in range(4):
        write_png(folder / "examples" / f"{number}.png", photo_pixels(number, True, 64))
    plain = paper_result("yang", 0.912, fgsm=0.111, llcm=0.222, pgd=0.033)
    return save(
        folder,
        replace(PLAIN, examples=examples("plain")),
        FALSE,
        ROBUST,
        filed(ROBUST),
        everyday(PLAIN, blur=290),
        everyday(ROBUST, blur=310),
        replace(plain, bundle_sha256=PLAIN.bundle_sha256, split_by="source"),
    )


@pytest.fixture
def run(kept: Path, tmp_path: Path) -> Path:
    """The same, to be changed."""
    return Path(shutil.copytree(kept, tmp_path / "run"))


@pytest.fixture(scope="module")
def page(kept: Path) -> str:
    """The page of all that was kept."""
    return report(kept)


def found(*results: EvaluationResult) -> list[LoadedResult]:
    return [
        LoadedResult(
            path=Path("r.json"),
            result=result,
            role="plain" if result.detector == "yang" else "",
        )
        for result in results
    ]


def comparison(*results: EvaluationResult) -> Comparison:
    (one,) = comparisons_of(found(*results))
    return one


def report(run: Path) -> str:
    """The page; nothing may be passed over."""
    made = publish.report([run], run.parent / "out")
    assert made.faults == []
    return made.files[0].read_text("utf-8")


def of(right: int, total: int) -> str:
    """A share as the page writes it, computed apart."""
    low, high = Proportion(right, total).interval95
    return f"{100 * right / total:.1f} {100 * low:.1f}–{100 * high:.1f}"


def test_the_strong_table_holds_each_worst_case_and_each_direction_apart(page: str) -> None:
    rows = iter(Reader(page).table("Worst case, L∞")[1:])
    for result in (PLAIN, ROBUST, FALSE):  # in the order of the files
        cases = result.curve("linf")
        assert next(rows) == [
            result.detector, "both", *(of(sum(c.right), sum(c.total)) for c in cases)
        ]  # fmt: skip
        for label, name in enumerate(("originals", "recaptures")):
            assert next(rows) == [name, *(of(c.right[label], c.total[label]) for c in cases)]
    assert not list(rows)


def test_the_first_table_holds_single_attacks_and_the_worst_case(page: str) -> None:
    rows = Reader(page).table("Single attacks")
    assert rows[0][2:] == ["clean", *(f"ε = {b:g}" for b in BUDGETS)]
    assert [row[-7] for row in rows[1:]] == [
        "FGSM", "LLCM (TGSM)", "PGD", "worst case", "FGSM", "worst case", "FGSM", "worst case",
    ]  # fmt: skip
    by_paper = paper_result("yang", 0.912, fgsm=0.111, llcm=0.222, pgd=0.033)
    assert rows[3][-5:] == [ours(by_paper.single("pgd", b)) for b in BUDGETS]
    assert rows[4][-5:] == [
        of(sum(PLAIN.worst_case("linf", b).right), 2 * PER_CLASS) for b in BUDGETS
    ]
    assert rows[5][-5:] == [of(2 * 360 - int(50 * b), 2 * PER_CLASS) for b in BUDGETS]


def test_an_attack_that_met_survivors_only_has_no_figure_of_its_own() -> None:
    (one,) = comparison(ROBUST).detectors
    assert one.alone("fab", 1.0) is None
    assert one.alone("fgsm", 1.0) == Proportion(count=2 * 360 - 50, total=2 * PER_CLASS)
    assert one.attacks_alone() == ["fgsm"]


def test_files_stand_before_and_after_each_other(page: str) -> None:
    rows = Reader(page).table("Before and after the file. 64")
    table = {}
    for row in rows[1:]:
        table[tuple(row[-8:-6])] = row[-6:]
    cases = filed(ROBUST).curve("jpeg-75")
    before = [of(sum(c.right_before_file), sum(c.total)) for c in cases]
    assert table["jpeg-75", "before"] == before
    assert table["jpeg-75", "after"] == [of(sum(c.right), sum(c.total)) for c in cases]
    assert table["jpeg-75", "before"] != table["jpeg-75", "after"]


def test_everyday_changes_stand_beside_no_change(page: str) -> None:
    rows = Reader(page).table("Everyday changes")
    assert rows[0] == ["change", "plain", "AUC, plain", "robust", "AUC, robust"]
    assert rows[1][:3] == ["no change", of(736, 800), "0.875"]
    assert rows[3] == ["blur-1", of(580, 800), "0.875", of(620, 800), "0.875"]


def test_prices_count_what_was_tried_and_broken(page: str) -> None:
    rows = Reader(page).table("success and cost")
    fgsm = next(row for row in rows[1:] if row[0] == "plain")
    assert fgsm[2:] == ["FGSM", "3,680", "750", "300", "0", "11.0", "10.0", "62.5"]
    pgd = comparison(PLAIN).detectors[0].broken_first_by("linf", 5.0)
    assert pgd == {"pgd": PER_CLASS - 4}


def test_what_was_broken_first_counts_all_budgets() -> None:
    far = trial("pgd", FAR[-1], (20, 20), (5, 5))
    (row,) = price_table(comparison(replace(PLAIN, trials=(far,)))).rows
    assert row[6] == Number(value=PER_CLASS - 2, digits=0)


def test_the_papers_figures_stand_beside_ours(page: str) -> None:
    reader = Reader(page)
    plain = paper_result("yang", 0.912, fgsm=0.111, llcm=0.222, pgd=0.033)
    assert reader.table("Table 1")[1:] == [["plain", ours(plain.single("clean")), "96.7", "0.950"]]
    rows = reader.table("Table 2")[1:]
    assert rows[0][2:] == ["ours", *(ours(plain.single("fgsm", b)) for b in BUDGETS)]
    assert rows[1][-6:] == ["paper, %", "2.8", "0.9", "0.5", "0.6", "2.6"]
    assert not any("Table 3" in each[0][0] for each in reader.tables.values())


def test_the_papers_figures_stand_beside_attacks_that_were_tried() -> None:
    only_pgd = comparison(paper_result("yang", pgd=0.1))
    assert [table.title.split(".")[0] for table in comparison_tables(only_pgd)] == ["Table 1"]
    (either,) = comparisons_of(
        [LoadedResult(path=Path("r"), result=paper_result("mine", fgsm=0.4))]
    )
    assert comparison_tables(either)[0].rows[0][2] is None


def test_markdown_latex_csv_and_page_hold_the_same_tables(run: Path) -> None:
    out = run.parent / "out"
    html = report(run)
    titles = [rows[0][0] for rows in Reader(html).tables.values()]
    markdown, latex = ((out / f"report.{kind}").read_text("utf-8") for kind in ("md", "tex"))
    tables = sorted((out / "tables").glob("*.csv"))
    assert len(titles) == latex.count(r"\begin{table}") == len(tables) == 17
    for title in titles:
        assert title.split(". ")[0].strip() in markdown
    with (out / "tables" / "64px-worst-linf.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    last = next(r for r in rows if (r["detector"], r["images"]) == ("robust", "recaptures"))
    case = ROBUST.worst_case("linf", 5.0)
    assert float(last["ε = 5"]) == pytest.approx(case.right[1] / PER_CLASS)
    assert float(last["ε = 5 low"]) == pytest.approx(
        Proportion(case.right[1], 400).interval95[0], 1e-5
    )
    assert last["ε = 5 images"] == "400"


def test_a_doubt_is_told_with_its_finding_and_its_meaning(run: Path) -> None:
    out = run.parent / "out"
    write_report(find([run]), out)
    text = Reader((out / "report.html").read_text("utf-8")).text
    for told in (text, (out / "report.md").read_text("utf-8")):
        assert "FGSM leaves 12.5 % at ε = 1, PGD 40.0 %." in told
        assert MEANINGS[DOUBT.name] in " ".join(told.split())
    assert "fgsm 0.125; pgd 0.4" in text
    assert "No doubts are recorded about plain, robust." in " ".join(text.split())


def test_the_line_and_the_marks_of_chance_are_those_of_the_number_of_classes(
    tmp_path: Path,
) -> None:
    four = tuple(
        replace(case, right=(*case.right, 0, 0), total=(*case.total, 1, 1), broken_by=())
        for case in (worst_case("linf", budget, 300, 300) for budget in (0.0, 1.0))
    )
    four = tuple(replace(case, right_before_file=case.right) for case in four)
    save(
        tmp_path / "in",
        strong("cameras", classes=("a", "b", "c", "d"), worst=four, trials=()),
    )
    write_report(find([tmp_path / "in"]), tmp_path / "out")
    reader = Reader((tmp_path / "out" / "report.html").read_text("utf-8"))
    (line,) = (found for tag, found in reader.tags if found.get("class") == "chance")
    assert float(line["y1"]) == pytest.approx(AXES.bottom - (AXES.bottom - AXES.top) / 4, abs=0.1)
    marks = {found["style"] for _, found in reader.tags if "meter" in found.get("class", "")}
    assert marks == {"--chance: 25.0%"}


def test_a_doubt_of_another_version_has_no_page() -> None:
    assert replace(DOUBT, name="unheard-of").meaning == "This version has no page on this doubt."


def test_the_command_knows_what_each_doubt_means(page: str) -> None:
    assert "no page on this doubt" not in page
    assert MEANINGS[DOUBT.name] in " ".join(Reader(page).text.split())


def test_how_it_was_obtained_is_said(page: str) -> None:
    text = Reader(page).text
    for words in (
        "d" * 64,
        "torch 2.13.0",
        "1.5 h",
        "--suite strong --size 64 --crops 400 --seed 3 --out RESULT",
        "--suite paper --size 64 --crops 1000 --attack fgsm --attack llcm --attack pgd --out",
        "Tried without: fab",
        "iterations: 1234",
        "by source",
    ):
        assert words in text


def test_panels_show_what_is_on_disk_and_what_survives_a_file(run: Path) -> None:
    html = report(run)
    sources = [a["src"] for tag, a in Reader(html).tags if tag == "img"]
    shown = [base64.b64decode(source.partition(",")[2]) for source in sources]
    files = [(run / "examples" / f"{number}.png").read_bytes() for number in range(4)]
    assert shown == [*files, *files]
    text = " ".join(Reader(html).text.split())  # and so without spaces that do not break
    assert "✗ taken for recaptured 88.0 % confidence" in text
    assert "jpeg-75 ✓ original 77.0 %" in text
    assert "messenger ✗ recaptured 66.0 %" in text


def test_a_missing_picture_is_named_and_the_rest_is_shown(run: Path) -> None:
    (run / "examples" / "2.png").unlink()
    bad = [{"detector": "plain"}, *examples("plain")]
    save_result(run / "strong-0-64px.json", replace(PLAIN, examples=tuple(bad)))
    made = publish.report([run], run.parent / "out")
    assert len(made.faults) == 2
    assert "example 1 cannot be shown" in made.faults[0]
    assert made.faults[1].endswith("unreadable pictures: 1, the first examples/2.png")
    html = made.files[0].read_text("utf-8")
    assert html.count("<img") == 6
    assert "Skipped" in html


@pytest.mark.parametrize("file", ["../secret.png", "/{}/secret.png", "text.png"])
def test_no_file_but_an_image_of_the_run_comes_into_the_page(run: Path, file: str) -> None:
    write_png(run.parent / "secret.png", photo_pixels(9, False, 64))
    (run / "text.png").write_text("no image at all")
    (one, *_) = examples("plain")
    one["clean"]["file"] = file.format(run.parent)
    save_result(run / "strong-0-64px.json", replace(PLAIN, examples=(one,)))
    made = publish.report([run], run.parent / "out")
    assert len(made.faults) == 1
    assert made.files[0].read_text("utf-8").count("<img") == 3


def test_the_page_shows_a_few_examples_of_each_kind_and_counts_the_rest(run: Path) -> None:
    many = [
        dict(one, budget=float(budget), threat=threat)
        for budget in range(3)
        for threat in ("linf", "png", "jpeg-75")
        for one in examples("p")
    ]
    save_result(run / "strong-0-64px.json", replace(PLAIN, examples=tuple(many)))
    text = Reader(report(run)).text
    assert "8 further examples of plain" in text  # those of png are those of linf
    for threat in ("L∞, written as PNG", "jpeg-75"):
        for true in ("original", "recaptured"):
            assert text.count(f"{threat}, budget 0; true class {true}") == 1


def damaged() -> Mapping[str, str]:
    content = PLAIN.to_json()
    worst = content["worst"]
    return {
        "cut": json.dumps(content)[:-40],
        "empty": "",
        "deep": "[" * 100_000,
        "bytes": "\udcff",
        "no worst": json.dumps({k: v for k, v in content.items() if k != "worst"}),
        "format": json.dumps(content | {"format": 99}),
        "text for a number": json.dumps(content | {"auc": "<b>"}),
        "more right than there are": json.dumps(
            content | {"worst": [worst[0] | {"right": [500, 0]}]}
        ),
        "none": json.dumps(content | {"worst": [worst[0] | {"total": [0, 0], "right": [0, 0]}]}),
        "three classes": json.dumps(content | {"worst": [worst[0] | {"right": [1, 1, 1]}]}),
        "endless budget": json.dumps(content | {"worst": [worst[0] | {"budget": float("inf")}]}),
    }


@pytest.mark.parametrize("kind", damaged().keys())
def test_a_damaged_result_is_named_and_passed_over(run: Path, kind: str) -> None:
    (run / "bad.json").write_bytes(damaged()[kind].encode("utf-8", "surrogateescape"))
    findings = find([run])
    assert [fault.split(": ")[0] for fault in findings.faults] == [str(run / "bad.json")]
    assert len(findings.results) == 7


@pytest.mark.parametrize("command", ["report", "compare"])
def test_commands_name_what_they_passed_over_and_end_with_status_2(run: Path, command: str) -> None:
    (run / "bad.json").write_text("{")
    answer = CliRunner().invoke(cli.app, [command, str(run), "--out", str(run / "out")])
    assert answer.exit_code == 2
    assert "bad.json: skipped" in answer.output
    made = run / "out" / ("report.html" if command == "report" else "leaderboard.md")
    assert str(made) in answer.output
    if command == "report":
        assert "bad.json" in made.read_text("utf-8")


def test_what_is_no_result_is_passed_by_in_a_folder_and_named_if_it_was_asked_for(
    run: Path,
) -> None:
    other = run / "card.json"
    other.write_text('{"name": "a card"}')
    assert find([run]).faults == []
    assert "not a result of trueshot" in find([run, other]).faults[0]
    assert "gone.json" in find([run, run / "gone.json"]).faults[0]
    with pytest.raises(RunError, match="no result found"):
        find([other])


def test_a_result_that_is_found_twice_counts_once(run: Path) -> None:
    everything = find([run])
    shutil.copytree(run, run / "copy")
    again = find([run, *run.glob("*.json")])
    assert len(again.results) == len(everything.results) == 7
    assert again.faults == []


def test_the_experiments_of_reproduce_are_read_with_their_pictures(run: Path) -> None:
    panel = {"file": "0.png", "predicted": "original", "probability": 0.9}
    triple = {
        "detector": "mine",
        "attack": "fgsm",
        "budget": 1.0,
        "true": "original",
        "clean": panel,
        "noise": {"file": "0.png", "magnified": 100.0},
        "attacked": panel,
    }
    results = [paper_result("mine", fgsm=0.3, llcm=0.4), paper_result("s", fgsm=0.8, llcm=0.8)]
    folder = run.parent / "experiments"
    save(folder / "64px", *results)
    write_png(folder / "0.png", photo_pixels(1, True, 64))
    shown = {"results": [r.to_json() for r in results], "examples": {"64": {"triples": [triple]}}}
    (folder / "results.json").write_text(json.dumps(shown))
    findings = find([folder])
    assert [one.role for one in findings.results] == ["plain", "secure"]
    paths, faults = write_report(findings, run.parent / "out")
    reader = Reader(paths[0].read_text("utf-8"))
    assert faults == []
    assert [tag for tag, _ in reader.tags].count("img") == 3
    assert reader.table("Table 3")[2][-6:] == ["paper, %", "93.6", "94.5", "96.1", "96.3", "95.9"]


def test_hostile_names_are_shown_as_text(run: Path) -> None:
    kept = {"suite": "strong", "kind": "trueshot-evaluation", "threat": "linf"}
    for path in run.glob("*.json"):
        content = json.loads(path.read_text("utf-8"))
        bad = hostile(content) | {name: kept[name] for name in kept if name in content}
        for each in [*bad["worst"], *bad["trials"], *bad["examples"]]:
            each["threat"] = "linf"
        bad["boundary"] = {HOSTILE: 1.0}
        bad["doubts"] = [{"name": HOSTILE, "finding": HOSTILE, "evidence": {HOSTILE: 1.0}}]
        path.write_text(json.dumps(bad))
    made = publish.report([run], run.parent / "out")
    html = made.files[0].read_text("utf-8")
    reader = Reader(html)
    assert not {"script", "link", "iframe", "object", "base"} & {tag for tag, _ in reader.tags}
    assert all(a.keys().isdisjoint({"onerror", "onload"}) for _, a in reader.tags)
    assert all(a["src"].startswith("data:") for tag, a in reader.tags if tag == "img")
    assert reader.text.count("<script>alert('1')</script>") > 20
    markdown = (run.parent / "out" / "report.md").read_text("utf-8")
    assert "<script" not in markdown.replace("    trueshot", "").split("### How")[0]
    assert_latex((run.parent / "out" / "report.tex").read_text("utf-8"))
    board_of = publish.compare([run], run.parent / "out")
    assert all(path.stat().st_size for path in board_of.files)


def test_a_report_stays_in_its_folder_whatever_the_names_of_threats(tmp_path: Path) -> None:
    names = ("../../../outside", "..", "a/b", "a b", "\N{DESERET CAPITAL LETTER LONG I}" * 300)
    worst = [case for name in names for case in curve(name, 360, 250, BUDGETS)]
    run = save(tmp_path / "run", replace(PLAIN, worst=tuple(worst), trials=()))
    made = publish.report([run], tmp_path / "a" / "b" / "out")
    tables = tmp_path / "a" / "b" / "out" / "tables"
    assert {path.parent for path in made.files} == {tables, tables.parent}
    assert len([path for path in tables.iterdir() if "-worst-" in path.name]) == len(names)
    assert {path.name for path in tmp_path.iterdir()} == {"a", "run"}


def assert_latex(text: str) -> None:
    """Braces and environments close, each row has its columns, and nothing special is bare."""
    plain = re.sub(r"\\[\\%&_#${}]", lambda found: "\\\\" if found[0] == r"\\" else "", text)
    depth = 0
    for character in plain:
        depth += (character == "{") - (character == "}")
        assert depth >= 0
    assert depth == 0
    assert plain.count("$") % 2 == 0
    assert not re.search("[%#~^]", re.sub(r"\$[^$]*\$", "", plain))
    assert plain.isprintable() or set(filter(lambda c: not c.isprintable(), plain)) == {"\n"}
    assert text.count(r"\begin{table}") == text.count(r"\end{table}") > 0
    for columns, body in re.findall(
        r"\\begin\{tabular\}\{([lr]+)\}\n(.*?)\\end\{tabular\}", plain, re.DOTALL
    ):
        rows = [line for line in body.splitlines() if not line.endswith("rule")]
        assert rows
        assert {row.count("&") for row in rows} == {len(columns) - 1}
        assert all(row.endswith(r"\\") and row[0] not in "[*" for row in rows)


def test_the_latex_of_a_report_and_of_a_leaderboard_is_well_formed(run: Path) -> None:
    report(run)
    publish.compare([run], run.parent / "out")
    for name in ("report.tex", "leaderboard.tex"):
        assert_latex((run.parent / "out" / name).read_text("utf-8"))


@given(st.lists(st.text(), min_size=3, max_size=3))
def test_any_text_stays_one_cell_of_its_table(texts: list[str]) -> None:
    table = Table(name="g", title=texts[0], header=("a", "b", "c"), rows=(tuple(texts),))
    assert_latex(as_latex(table))
    rows = [line for line in as_markdown(table).splitlines() if line.startswith("|")]
    assert len(rows) == 3
    assert len(re.findall(r"(?<!\\)(?:\\\\)*\|", rows[2])) == 4
    (_, row) = csv.reader(as_csv(table).splitlines())
    kept = [" ".join("".join(c if c.isprintable() else " " for c in t).split()) for t in texts]
    assert [cell.removeprefix("'") for cell in row] == [t.removeprefix("'") for t in kept]
    assert not any(cell.startswith(("=", "+", "-", "@")) for cell in row)


def test_shares_keep_their_interval_in_each_form() -> None:
    rate = Proportion(count=81, total=100)
    low, high = Proportion(81, 100).interval95
    rows = ((rate, Number(value=float("nan"))), (None, Number(value=1234.5)))
    table = Table(name="g", title="t", header=("a", "b"), rows=rows, stubs=0)
    assert f"| 81.0 % \\[{100 * low:.1f}, {100 * high:.1f}] | – |" in as_markdown(table)
    assert in_latex(text_of(rate)) == f"81.0 \\% {{[}}{100 * low:.1f}, {100 * high:.1f}{{]}}"
    rows_read = list(csv.DictReader(as_csv(table).splitlines()))
    assert [float(rows_read[0][f"a{end}"]) for end in ("", " low", " high")] == pytest.approx(
        [0.81, low, high], abs=1e-6
    )
    assert rows_read[0]["b"] == rows_read[1]["a"] == ""
    assert rows_read[1]["b"] == "1234.5"
    assert [rows_read[0][f"a{end}"] for end in (" images", " groups")] == ["100", ""]


def test_the_number_of_groups_stands_beside_that_of_images() -> None:
    rate = Proportion(80, 100, ((40, 50), (40, 50)))
    table = Table(name="g", title="t", header=("a",), rows=((rate,),), stubs=0)
    (row,) = csv.DictReader(as_csv(table).splitlines())
    assert (row["a images"], row["a groups"]) == ("100", "2")


def test_a_table_whose_rows_do_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="as long as the header"):
        Table(name="g", title="t", header=("a", "b"), rows=(("only",),))


def names(table: Table) -> list[str]:
    column = table.header.index("detector")
    return [str(row[column]) for row in table.rows]


def test_the_leaderboard_is_sorted_by_the_worst_case_and_doubts_mark_without_hiding() -> None:
    table = leaderboard(board(comparison(PLAIN, ROBUST, FALSE)))
    assert names(table) == ["false-friend †", "robust", "plain"]
    assert [row[0] for row in table.rows] == ["1", "2", "3"]
    assert "ε = 5" in table.title
    rows = {str(row[1]): dict(zip(table.header, row, strict=True)) for row in table.rows}
    robust, last = rows["robust"], ROBUST.worst_case("linf", 5.0)
    assert robust["worst case, ε = 5"] == Proportion(count=sum(last.right), total=800)
    assert "worst case, ε = 64" not in table.header
    assert "worst case, ε = 64" in leaderboard(board(comparison(PLAIN), budget=64.0)).header
    assert robust["recaptures found at ε = 5"] == Proportion(count=last.right[1], total=400)
    assert robust["clean"] == Proportion(count=sum(ROBUST.worst[0].right_before_file), total=800)
    assert robust["cost of training"] == "1.5 h, 1,234 iterations"
    assert robust["doubts"] == "none recorded"
    assert rows["false-friend †"]["doubts"] == "1: one-step-beats-iterative"
    assert "There are doubts" in table.note
    assert "robust: Tried without: fab" in table.note


@given(st.lists(st.integers(8, 360), min_size=1, max_size=6), st.sampled_from(BUDGETS))
def test_the_order_is_that_of_worst_cases_at_the_budget_asked_for(
    lasts: list[int], budget: float
) -> None:
    results = [strong(f"d{number}", last=last) for number, last in enumerate(lasts)]
    made = board(comparison(*results), budget=budget)
    shares = [standing.worst.accuracy for standing in made.ranked]
    assert made.budget == budget
    assert shares == sorted((r.worst_case("linf", budget).accuracy for r in results), reverse=True)


def test_another_budget_may_be_another_order() -> None:
    early = replace(PLAIN, worst=tuple(curve("linf", 390, 10, (1.0, 5.0))))
    steady = replace(ROBUST, worst=tuple(curve("linf", 300, 100, (1.0, 5.0))))
    either = comparison(early, steady)
    late = [s.detector.name for s in board(either, budget=5.0).ranked]
    assert late == ["robust", "plain"]
    middle = replace(early, worst=(early.worst[0], worst_case("linf", 1.0, 380, 380)))
    assert [s.detector.name for s in board(comparison(middle, steady)).ranked] == [
        "plain", "robust",
    ]  # fmt: skip


def test_what_is_proven_stands_beside_the_worst_case() -> None:
    labels = (0, 1) * 400
    radii = tuple(n / 100 - 1 for n in range(800))
    proven = replace(ROBUST, labels=labels, certified_radii=radii)
    both = comparison(PLAIN, proven)
    table = leaderboard(board(both))
    rows = {str(row[1]): dict(zip(table.header, row, strict=True)) for row in table.rows}
    assert rows["robust"]["certified, ε = 5"] == Proportion(count=200, total=800)
    assert rows["plain"]["certified, ε = 5"] is None
    strong = strong_table(both, "linf")
    (certified,) = (row for row in strong.rows if row[1] == "certified")
    assert certified[2] == Proportion(count=700, total=800)
    assert "certified" not in "".join(leaderboard(board(comparison(PLAIN))).header)


def test_the_budget_is_the_largest_in_common_and_at_most_five() -> None:
    few = replace(ROBUST, worst=tuple(curve("linf", 360, 200, (1.0, 3.0))))
    assert comparison(PLAIN, few).budget("linf") == 3.0
    assert comparison(PLAIN, ROBUST).budget("linf") == 5.0
    assert comparison(PLAIN, ROBUST).budget("l2") == 5 * 27.7128
    assert comparison(PLAIN).budget("linf", 16.0) == 16.0
    assert comparison(PLAIN).budget("l2", 138.56) == 5 * 27.7128
    assert comparison(PLAIN).budget("linf", 2.5) is None
    far = replace(ROBUST, worst=tuple(curve("linf", 360, 200, (8.0,))))
    assert comparison(far).budget("linf") == 8.0
    made = board(comparison(PLAIN, few), budget=5.0)
    assert [one.name for one in made.unranked] == ["robust"]
    assert leaderboard(made).rows[-1][0] == "–"
    assert "not ranked: robust" in leaderboard(made).note


def test_everyday_robustness_counts_changes_that_all_went_through() -> None:
    more = everyday(PLAIN)
    extra = Change(name="resize", settings="", right=(0, 0), total=(400, 400), auc=0.5)
    more = replace(more, changes=(*more.changes, extra))
    table = leaderboard(board(comparison(PLAIN, more, ROBUST, everyday(ROBUST, blur=320))))
    rows = {str(row[1]): dict(zip(table.header, row, strict=True)) for row in table.rows}
    assert rows["plain"]["everyday, mean"] == "80.0 %"
    assert rows["plain"]["everyday, lowest"] == "75.0 % (blur-1)"
    assert rows["robust"]["everyday, mean"] == "82.5 %"


@pytest.mark.parametrize("other", [{"data": "e" * 64}, {"part": "validation"}, {"side": 128}])
def test_other_data_part_or_size_never_stand_in_one_table(
    tmp_path: Path, other: dict[str, Any]
) -> None:
    run = save(tmp_path / "run", PLAIN, ROBUST, replace(FALSE, **other))
    made = publish.compare([run], tmp_path / "out")
    tables = [path for path in made.files if path.suffix == ".csv"]
    listed = sorted(
        [row["detector"] for row in csv.DictReader(path.read_text("utf-8").splitlines())]
        for path in tables
    )
    assert listed == [["false-friend †"], ["robust", "plain"]]
    titles = re.findall(r"^\*\*Leaderboard.*", made.files[0].read_text("utf-8"), re.MULTILINE)
    assert len(set(titles)) == 2
    report_of = Reader(publish.report([run], tmp_path / "out").files[0].read_text("utf-8"))
    for rows in report_of.tables.values():
        text = " ".join(text for row in rows for text in row)
        assert not ("false-friend" in text and "robust" in text)


def test_many_crops_of_a_photograph_are_another_detector_than_one() -> None:
    whole = replace(PLAIN, crop_side=32)
    both = comparison(PLAIN, whole)
    assert [one.name for one in both.detectors] == ["plain", "plain by crops of 32"]
    named = replace(whole, detector="plain-mean-of-32px")  # as evaluate calls it
    assert "--crop-aggregation mean" in command(found(named)[0])
    assert "--crop-aggregation" not in command(found(PLAIN)[0])


def test_a_command_names_the_files_of_own_attacks_suites_and_networks() -> None:
    recipe = {"network": {"name": "own.py:Net", "sha256": "0" * 64}}
    files = {"Checker": "shift.py:Checker", "suite": "mine.yaml"}
    words = command(found(replace(PLAIN, files=files, recipe=recipe))[0])
    for each in ("--suite mine.yaml", "--attack shift.py:Checker", "--network own.py:Net"):
        assert f" {each} " in words
    assert not {"--attack", "--network"} & set(command(found(PLAIN)[0]).split())


def test_a_command_names_what_is_not_the_default() -> None:
    few = replace(PLAIN, part="validation", seed=0, worst=tuple(curve("linf", 9, 3, (1.0, 3.0))))
    assert command(found(few)[0]) == (
        "trueshot evaluate plain.safetensors --dataset DATASET --suite strong --size 64 "
        "--part validation --crops 400 --budget 1 --budget 3 --out RESULT"
    )
    assert "'a; b.safetensors'" in command(found(replace(PLAIN, detector="a; b"))[0])


def test_detectors_of_one_name_are_told_apart() -> None:
    twins = [replace(PLAIN, bundle_sha256=letter * 64) for letter in "ab"]
    assert [one.name for one in comparison(*twins).detectors] == [
        "plain (aaaaaa)", "plain (bbbbbb)",
    ]  # fmt: skip
    again = comparison(PLAIN, replace(PLAIN, seed=4), everyday(PLAIN))
    assert [one.name for one in again.detectors] == ["plain", "plain #2"]
    assert [list(one.suites) for one in again.detectors] == [["strong", "everyday"], ["strong"]]


def test_compare_prints_its_table_and_names_its_files(run: Path) -> None:
    out = run.parent / "out"
    answer = CliRunner().invoke(cli.app, ["compare", str(run), "--out", str(out), "--budget", "3"])
    assert answer.exit_code == 0, answer.output
    assert "Leaderboard by the worst case at ε = 3" in answer.output
    for name in (
        "leaderboard.md",
        "leaderboard.tex",
        "leaderboard-64px.csv",
        "leaderboard-64px.png",
    ):
        assert str(out / name) in answer.output
        assert (out / name).is_file()


@pytest.mark.parametrize(("threat", "budget"), [("jpeg-3", None), ("linf", 2.5)])
def test_a_comparison_by_what_was_not_tried_is_refused(
    run: Path, threat: str, budget: float | None
) -> None:
    with pytest.raises(RunError, match="jpeg-75, l2, linf, png"):
        publish.compare([run], run.parent / "out", threat, budget)


def test_results_without_a_worst_case_are_told_which_suites_have_one(tmp_path: Path) -> None:
    folder = save(tmp_path / "run", paper_result("yang", pgd=0.1))
    with pytest.raises(RunError, match=r"no worst case; .* evaluate with --suite strong"):
        publish.compare([folder], tmp_path / "out")


def test_the_plot_draws_each_detector_as_curve_and_as_point(tmp_path: Path) -> None:
    publish.compare([save(tmp_path / "run", ROBUST, PLAIN)], tmp_path)
    drawn = read_image(tmp_path / "leaderboard-64px.png").pixels.astype(int)
    half = drawn.shape[1] // 2
    for colour in ((0x1F, 0x77, 0xB4), (0xFF, 0x7F, 0x0E)):
        near = np.abs(drawn - colour).sum(-1) < 12
        assert near[:, : half - 200].sum() > 300
        assert near[:, half - 100 : half + 500].sum() > 50


def test_the_curves_stand_where_the_worst_cases_are() -> None:
    steps = [(b, Proportion(n, 400)) for b, n in ((0.0, 400), (1.0, 200), (64.0, 100))]
    robust = Curve(name="robust", tone="c1", points=tuple(steps), dash="9 5")
    other = Curve(name="other", tone="c1", points=((0.0, Proportion(8, 400)),))
    drawn = line_chart([other, robust])
    first, _ = drawn.lines
    assert [(line.name, line.tone, line.dash) for line in drawn.lines] == [
        ("robust", "c1", "9 5"),
        ("other", "c1", ""),
    ]
    assert first.dots[0] == (AXES.left, AXES.top)
    assert first.dots[-1][0] == AXES.right
    assert first.dots[-1][1] == pytest.approx(AXES.bottom - (AXES.bottom - AXES.top) / 4, abs=0.1)
    width = AXES.right - AXES.left
    assert first.dots[1][0] == pytest.approx(AXES.left + width / math.log2(65), abs=0.1)
    assert [text for _, text in drawn.across] == ["0", "1", "64"]
    assert drawn.is_logarithmic
    near = tuple((budget, Proportion(1, 4)) for budget in (0.0, 1.0, 4.0))
    even = line_chart([Curve(name="r", tone="c0", points=near)])
    assert even.lines[0].dots[1][0] == AXES.left + width / 4
    assert not even.is_logarithmic


@pytest.mark.parametrize(
    ("results", "kind", "words"),
    [
        ([strong("r", 360, 340)], "good", "r withstands ε = 5: 84.1"),
        ([strong("r", 360, 310)], "mixed", "r mostly withstands"),
        ([strong("r", 380, 260)], "mixed", "r partly withstands"),
        ([PLAIN, strong("r", 360, 190)], "bad", "No detector withstands"),
        ([strong("r", 360, 340, doubts=(DOUBT,))], "mixed", "r withstands ε = 5"),
        ([everyday(PLAIN)], "open", "is not known"),
    ],
)
def test_the_headline_claims_no_more_than_the_figures(
    results: list[EvaluationResult], kind: str, words: str
) -> None:
    told = verdict(comparison(*results))
    assert (told.kind, words in told.headline) == (kind, True)
    doubted = any(result.doubts for result in results)
    assert ("There are doubts" in " ".join(told.sentences)) == doubted


def test_one_level_is_no_levels() -> None:
    first, two = (replace(PLAIN, worst=PLAIN.worst[: 2 + more]) for more in (0, 1))
    assert "within 1 level." in verdict(comparison(first)).sentences[0]
    assert "within 2 levels." in verdict(comparison(two)).sentences[0]


def test_what_one_attack_flatters_is_said() -> None:
    told = " ".join(verdict(comparison(PLAIN)).sentences)
    case = PLAIN.worst_case("linf", 5.0)
    assert f"under FGSM plain seems to keep {100 * (736 - 250) / 800:.1f}{NBSP}% at ε = 5" in told
    assert f"all attacks together leave {100 * case.accuracy:.1f}{NBSP}%" in told
    noise = replace(PLAIN, trials=(trial("noise", 5.0, (368, 368), (0, 0)),))
    assert "misleads" not in " ".join(verdict(comparison(noise)).sentences)
    honest = replace(PLAIN, trials=tuple(trial("fgsm", b, (368, 368), (364, 368)) for b in BUDGETS))
    assert "misleads" not in " ".join(verdict(comparison(honest)).sentences)


def test_clean_accuracy_is_that_before_any_file() -> None:
    (one,) = comparison(filed(PLAIN)).detectors
    assert one.clean == Proportion(count=363 + 360, total=800)
    assert isinstance(one, DetectorResults)


def test_the_page_refers_to_nothing_outside_itself(page: str) -> None:
    html = page
    tags = Reader(html).tags
    sources = ("src", "href", "srcset", "action", "data", "poster", "background", "xlink:href")
    loaded = [a[name] for _, a in tags for name in sources if name in a]
    assert len(loaded) == 8
    assert all(each.startswith("data:image/png;base64,") for each in loaded)
    assert not {"script", "link", "iframe", "object", "base"} & {tag for tag, _ in tags}
    assert not re.search(r"url\(|@import|https?:", html)
    assert "default-src 'none'" in html


def test_every_picture_is_described_and_every_table_has_headers(page: str) -> None:
    html = page
    tags = Reader(html).tags
    assert all(a.get("alt") for tag, a in tags if tag == "img")
    assert all(a.get("scope") for tag, a in tags if tag == "th")
    assert all(a.get("aria-label") or "aria-hidden" in a for tag, a in tags if tag == "svg")
    listed = [tag for tag, _ in tags]
    assert listed.count("caption") == listed.count("table") == listed.count("thead") == 17
    assert [listed.count(name) for name in ("h1", "main", "html")] == [1, 1, 1]


def test_the_same_results_make_the_same_report(run: Path) -> None:
    first = {path.name: path.read_bytes() for path in publish.report([run], run / "a").files}
    again = {path.name: path.read_bytes() for path in publish.report([run], run / "b").files}
    assert first == again


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_names_in_a_detectors_colour_stand_out_from_the_ground(scheme: int) -> None:
    blocks = re.findall(r":root \{(.*?)\}", CSS.read_text("utf-8"), re.DOTALL)
    colours = dict(re.findall(r"--(c\d): (#[0-9a-f]{6});", blocks[scheme]))
    assert len(colours) == len(set(colours.values())) == 8
    ground = luminance(("#fdfdfb", "#14171a")[scheme])
    for name, colour in colours.items():
        dark, light = sorted((luminance(colour), ground))
        assert (light + 0.05) / (dark + 0.05) >= 4.5, name


CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
QUIET = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
FRAME = """<!doctype html><body><script>
const found = [];
function measured(frame, scheme, width) {
  const inside = frame.contentDocument, root = inside.documentElement;
  const right = [...inside.querySelectorAll("body *")].filter(
    each => !each.closest(".scroll") && each.getBoundingClientRect().right > width + 1);
  found.push([scheme, width, root.scrollWidth, right.length,
    getComputedStyle(inside.body).backgroundColor, root.scrollHeight]);
  if (found.length == 4) document.body.textContent = JSON.stringify(found);
}
for (const scheme of ["light", "dark"]) for (const width of [400, 1400]) {
  const frame = document.createElement("iframe");
  frame.style = `width:${width}px;height:900px;border:0;color-scheme:${scheme}`;
  frame.onload = () => measured(frame, scheme, width);
  frame.srcdoc = document.getElementById("page").content.textContent;
  document.body.append(frame);
}
</script>"""


def in_chromium(html: str, folder: Path) -> Iterator[list[Any]]:
    """Scheme, width, scroll width, overflowing parts, ground and height of the page in frames."""
    assert CHROMIUM is not None
    wrapper = FRAME.replace("<script>", f'<template id="page">{escape(html)}</template><script>', 1)
    (folder / "frames.html").write_text(wrapper, "utf-8")
    address = (folder / "frames.html").as_uri()
    profile = f"--user-data-dir={folder / 'profile'}"
    done = subprocess.run(
        [CHROMIUM, *QUIET, profile, "--virtual-time-budget=5000", "--dump-dom", address],
        capture_output=True,
        encoding="utf-8",
        check=True,
    )
    yield from json.loads(re.sub(r"<[^>]*>", "", done.stdout.partition("<body>")[2]))


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")
def test_the_page_fits_a_phone_and_a_desk_and_is_dark_where_that_is_wanted(run: Path) -> None:
    measured = list(in_chromium(report(run), run.parent))
    assert {(each[0], each[1]) for each in measured} == {
        (scheme, width) for scheme in ("light", "dark") for width in (400, 1400)
    }
    for scheme, width, across, over, ground, height in measured:
        assert across <= width
        assert over == 0
        assert height > 3000
        levels = [int(number) for number in re.findall(r"\d+", ground)[:3]]
        assert (sum(levels) > 600) == (scheme == "light")


def test_hostile_paths_are_printed(run: Path) -> None:
    name = utf8_safe("a\udcff") + "\x1b[31m"
    (run / f"{name}.json").write_text("{")
    made = publish.report([run], run.parent / "out")
    assert "\x1b" not in made.faults[0]


def test_the_command_names_the_aggregation_by_its_option() -> None:
    whole = replace(strong("secure-median-of-64px"), side=256, crop_side=64)
    words = command(found(whole)[0])
    assert "--crop-aggregation median" in words
    assert "--many-crops" not in words
    assert "--crop-aggregation" not in command(found(strong("secure-median-of-64px"))[0])
