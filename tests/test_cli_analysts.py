"""The commands for analysts, as they are typed: what they print, write, and exit with."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import Result
from typer.testing import CliRunner

from trueshot.bundle import bundle_sha256, read_card, save_bundle
from trueshot.calibration import Calibration, Decision
from trueshot.card import Card, InputContract
from trueshot.cli import app, main
from trueshot.errors import RunError
from trueshot.images import write_png
from trueshot.inference.predictor import UNCALIBRATED
from trueshot.networks import LCNN
from trueshot.scanning import runner

run: Callable[..., Result] = CliRunner().invoke

DECISION = Decision(original_to=-10.0, recaptured_from=20.0, apcer=0.05, bpcer=0.01)
LINE = Calibration(
    method="logistic",
    slope=0.1,
    intercept=0.0,
    lower=-1.5,
    upper=1.5,
    originals=50,
    recaptured=50,
    sources=10,
)


def photograph(path: Path, level: int, seed: int = 0) -> Path:
    random = np.random.default_rng([level, seed])
    write_png(path, random.integers(level - 15, level + 16, (64, 64, 3)).astype(np.uint8))
    return path


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A detector whose score is the brightness of green, less 128."""
    path = tmp_path_factory.mktemp("bundle") / "bright.safetensors"
    card = Card(
        network={"name": "lcnn", "filters": [1] * 5, "front": "none"},
        side=32,
        title="bright",
        contract=InputContract(side=32, crops=4),
        calibration=LINE,
        decision=DECISION,
    )
    detector = card.new_detector().eval()
    network = detector.network
    assert isinstance(network, LCNN)
    with torch.no_grad():
        for name, value in network.state_dict().items():
            if name.endswith("weight") and value.ndim == 4:
                value.zero_()
                value[0, 1 if value.shape[1] == 3 else 0, 1, 1] = 1.0
        network.state_dict()["units.0.1.bias"].fill_(10.0)  # so that no ReLU cuts
        network.classifier.weight[:] = torch.tensor([[0.0], [1.0]])
        network.classifier.bias[:] = 0.0
        dark, bright = (float(detector(torch.full((1, 3, 32, 32), v))[0, 1]) for v in (28.0, 228.0))
        gain = 200.0 / (bright - dark)
        network.classifier.weight[1] *= gain
        network.classifier.bias[1] = -gain * (dark + bright) / 2
    save_bundle(path, detector, card)
    return path


def scan(bundle: Path, *arguments: object) -> Result:
    return run(app, ["scan", *map(str, arguments), "--bundle", str(bundle), "--workers", "1"])


@pytest.mark.parametrize(
    ("level", "status", "verdict"),
    [(60, 0, "ORIGINAL"), (200, 1, "RECAPTURED"), (135, 0, "UNDECIDED")],
)
def test_one_photograph_gets_a_clear_answer(
    bundle: Path, tmp_path: Path, level: int, status: int, verdict: str
) -> None:
    answer = scan(bundle, photograph(tmp_path / "a.png", level))
    assert answer.exit_code == status, answer.output
    assert answer.stdout.splitlines()[1].strip() == verdict
    assert "likelihood ratio" in answer.stdout
    assert "rather than that the photograph" in " ".join(answer.stdout.split()) or level == 135


def test_a_folder_gets_a_line_a_file_and_a_sum(bundle: Path, tmp_path: Path) -> None:
    photograph(tmp_path / "a.png", 60)
    photograph(tmp_path / "b.png", 200)
    (tmp_path / "c.jpg").write_bytes(b"no photograph")
    answer = scan(bundle, tmp_path)
    assert answer.exit_code == 3
    lines = answer.stdout.splitlines()
    assert [each.split()[0] for each in lines] == ["original", "recaptured", "error"]
    assert "c.jpg" in lines[2]
    assert "is no image" in lines[2]
    assert "3 files: 1 original, 1 recaptured, 0 undecided, 1 error" in answer.stderr
    assert scan(bundle, tmp_path, "--exit-zero").exit_code == 0
    assert scan(bundle, tmp_path, "--fail-on", "error, undecided").exit_code == 2
    assert scan(bundle, tmp_path, "--fail-on", "undecided").exit_code == 0


def test_an_archive_gets_a_line_a_member_and_a_sum(bundle: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for name, level in (("a.png", 60), ("b.png", 200)):
            archive.writestr(name, photograph(tmp_path / name, level).read_bytes())
        archive.writestr("notes.txt", b"no photograph")
    answer = scan(bundle, tmp_path / "a.zip")
    assert answer.exit_code == 3
    lines = answer.stdout.splitlines()
    assert [each.split()[0] for each in lines] == ["original", "recaptured", "error"]
    summary = "3 files: 1 original, 1 recaptured, 0 undecided, 1 error; 1 skipped"
    assert summary in answer.stderr


def test_records_come_as_lines_of_json_and_the_status_is_the_same(
    bundle: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "in"
    photograph(folder / "a.png", 60)
    photograph(folder / "ü.png", 200)
    out = tmp_path / "out.jsonl"
    answer = scan(bundle, folder, "--json", "--out", out, "--fail-on", "original,recaptured")
    assert answer.exit_code == 1, answer.output
    printed = [json.loads(line) for line in answer.stdout.splitlines()]
    assert printed == [json.loads(line) for line in out.read_text("utf-8").splitlines()]
    assert [each["verdict"] for each in printed] == ["original", "recaptured"]
    assert answer.stdout.isascii()  # whatever the terminal can show


def test_a_report_says_for_which_verdicts_the_scan_fails(bundle: Path, tmp_path: Path) -> None:
    photo = photograph(tmp_path / "a.png", 60)
    page = tmp_path / "r.html"
    answer = scan(bundle, photo, "--report", page, "--fail-on", "undecided,original")
    assert answer.exit_code == 1, answer.output
    text = " ".join(page.read_text().split())
    assert "<dd>undecided, original</dd>" in text
    assert "1: some files got a verdict that fails the scan" in text


def test_results_and_report_agree_and_a_second_scan_judges_nothing_again(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As if the archive were old: members of one that was changed just now are judged again.
    monkeypatch.setattr("trueshot.files._TICK_NS", -(10**12))
    folder = tmp_path / "in"
    photograph(folder / "a.png", 60)
    with zipfile.ZipFile(folder / "b.zip", "w") as archive:
        archive.writestr("inner.png", photograph(tmp_path / "inner.png", 200).read_bytes())
    out, report = tmp_path / "out.jsonl", tmp_path / "report.html"
    answer = scan(bundle, folder, "--out", out, "--report", report)
    assert answer.exit_code == 1, answer.output
    assert answer.stdout == ""
    records = [json.loads(line) for line in out.read_text().splitlines()]
    assert [each["verdict"] for each in records] == ["original", "recaptured"]
    assert {each["detector"] for each in records} == {bundle_sha256(bundle)}
    page = report.read_text()
    for record in records:
        assert record["sha256"] in page
        assert record["file"].rpartition("/")[2] in page
    assert page.count("data:image/") >= 4  # a picture and its evidence of each
    assert "4,096 MiB" in page  # the settings
    first = out.read_bytes()
    assert scan(bundle, folder, "--out", out, "--report", report).exit_code == 1
    assert out.read_bytes() == first  # the times too: nothing was judged again
    assert report.read_text().count("data:image/") == page.count("data:image/"), "but explained"


def test_a_report_without_results_is_made_too(bundle: Path, tmp_path: Path) -> None:
    photo = photograph(tmp_path / "a.png", 60)
    answer = scan(bundle, photo, "--report", tmp_path / "r.html")
    assert answer.exit_code == 0, answer.output
    assert "a.png" in (tmp_path / "r.html").read_text()


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--bundle", "/none.safetensors"], "/none.safetensors: no such file"),
        (["--out", "results.txt"], "results.txt"),
        (["--report", "report.doc"], "report.doc: the name of a report must end in"),
        (
            ["--bundle", "robusto"],
            "robusto: no such file; detectors: accurate, robust,",
        ),
        (
            ["--fail-on", "recaptured,undecidde"],
            "--fail-on undecidde: unknown verdict; choose from original,",
        ),
        (["--timeout", "inf"], "per file must be at most 1,000,000 s, got inf"),
        (["--timeout", "1e300"], "per file must be at most 1,000,000 s, got 1e+300"),
        (["--out", "/proc/none/r.csv"], "/proc/none/r.csv: cannot be written"),
        (["--report", "/proc/none/r.html"], "/proc/none/r.html: cannot be written"),
        (
            ["--report", "r.html", "--ledger", "./r.html"],
            "r.html: is given for two different outputs",
        ),
    ],
)
def test_a_scan_that_cannot_begin_never_looks_like_a_verdict(
    bundle: Path, tmp_path: Path, arguments: list[str], reason: str
) -> None:
    photo = str(photograph(tmp_path / "a.png", 60))
    base = [] if "--bundle" in arguments else ["--bundle", str(bundle)]
    answer = run(app, ["scan", photo, *base, *arguments])
    assert answer.exit_code == 2
    assert reason in answer.stderr
    assert len(answer.stderr.splitlines()) == 1


def test_a_fault_of_ours_never_looks_like_a_verdict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **__: Any) -> Iterator[Any]:
        raise ZeroDivisionError("by\nnothing\x1b[2J")

    monkeypatch.setattr(runner, "scan", broken)
    for name in ("a.png", "x" * 300):  # of such a name, the system says more than that it is none
        answer = run(app, ["scan", str(tmp_path / name)])
        assert answer.exit_code == 2
        assert answer.stderr == "error: ZeroDivisionError: by; nothing\\x1b[2J\n"


def test_a_scan_needs_no_standard_input(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(runner, "scan", lambda *_, stdin, **__: asked.append(stdin) or [])
    monkeypatch.setattr(sys, "argv", ["trueshot", "scan", "a.png"])
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2, "for there is nothing"
    assert asked == [None]
    assert capsys.readouterr().err.startswith("0 files")


def test_a_scan_without_streams_says_what_it_can_and_exits_as_ever(
    bundle: Path, tmp_path: Path
) -> None:
    photograph(tmp_path / "日本.png", 60)
    photograph(tmp_path / "b.png", 60)
    command = f"{sys.executable} -m trueshot scan . --workers 1 --bundle {bundle}"
    known = os.environ | {"PYTHONIOENCODING": "latin-1"}
    closed = subprocess.run(
        ["sh", "-c", f"{command} <&- 2>&-"], cwd=tmp_path, env=known, stdout=subprocess.PIPE
    )
    lines = closed.stdout.decode("latin-1").splitlines()
    assert [line.split()[-1] for line in lines] == ["./b.png", r"./\u65e5\u672c.png"]
    assert closed.returncode == 0


@pytest.mark.parametrize("command", ["scan b.png --json --workers 1", "recipe --schema"])
def test_a_reader_that_has_enough_ends_a_command_without_a_word(
    bundle: Path, tmp_path: Path, command: str
) -> None:
    photograph(tmp_path / "b.png", 60)
    words = [*command.split(), *(["--bundle", str(bundle)] if "scan" in command else [])]
    reader, writer = os.pipe()
    os.close(reader)
    ended = subprocess.run(
        [sys.executable, "-m", "trueshot", *words],
        cwd=tmp_path, stdout=writer, stderr=subprocess.PIPE, text=True, check=False,
    )  # fmt: skip
    os.close(writer)
    assert (ended.returncode, ended.stderr) == (2, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="as Linux has it")
def test_a_scan_whose_verdicts_cannot_be_printed_never_looks_like_a_verdict(
    bundle: Path, tmp_path: Path
) -> None:
    photo = photograph(tmp_path / "b.png", 60)
    command = f"{sys.executable} -m trueshot scan {photo} --workers 1 --bundle {bundle}"
    full = subprocess.run(["sh", "-c", f"{command} >/dev/full"], capture_output=True, text=True)
    assert full.returncode == 2
    assert full.stderr == "error: [Errno 28] No space left on device\n"


@pytest.mark.parametrize("out", [(), ("--out", "results.jsonl")])
def test_a_mark_for_excel_is_refused_where_there_is_no_csv(
    bundle: Path, tmp_path: Path, out: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    photo = photograph(tmp_path / "b.png", 60)
    said = run(app, ["scan", str(photo), "--bundle", str(bundle), "--excel", *out])
    assert said.exit_code == 2
    assert "--excel only changes a .csv" in said.output


def test_modules_among_the_photographs_are_not_imported(tmp_path: Path) -> None:
    for name in ("typer", "rich", "numpy", "trueshot_evil"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('run by a file')")
    command = [sys.executable, "-m", "trueshot", "--version"]
    known = {name: value for name, value in os.environ.items() if name != "PYTHONSAFEPATH"}
    said = subprocess.run(command, cwd=tmp_path, env=known, capture_output=True, text=True)
    assert (said.returncode, said.stderr) == (0, "")
    assert said.stdout.startswith("trueshot ")


def test_a_pdf_takes_the_place_of_no_page(bundle: Path, tmp_path: Path) -> None:
    pytest.importorskip("plutoprint")
    photo = photograph(tmp_path / "in" / "a.png", 60)
    (tmp_path / "notes.html").write_text("of somebody else")
    answer = scan(bundle, photo, "--report", tmp_path / "notes.pdf")
    assert answer.exit_code == 0, answer.output
    assert (tmp_path / "notes.pdf").read_bytes().startswith(b"%PDF")
    assert (tmp_path / "notes.html").read_text() == "of somebody else"
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"in", "notes.html", "notes.pdf", "notes.pdf.ledger"}
    assert answer.stderr.splitlines()[-2:] == [
        f"report: {tmp_path / 'notes.pdf'}",
        "1 file: 1 original, 0 recaptured, 0 undecided, 0 error",
    ]


def test_inspect_tells_what_the_card_says(bundle: Path) -> None:
    told = run(app, ["inspect", str(bundle)])
    assert told.exit_code == 0
    assert told.stdout.startswith("bright")
    assert bundle_sha256(bundle) in told.stdout
    card = run(app, ["inspect", str(bundle), "--json"]).stdout
    assert Card.model_validate_json(card) == read_card(bundle)


def test_bundle_makes_a_detector_that_scans(bundle: Path, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for number in range(40):
        for label, middle in (("original", 100), ("recaptured", 160)):
            level = int(np.clip(random.normal(middle, 20), 20, 235))
            photograph(tmp_path / "photos" / label / f"{number:02}.png", level, number + 1)
    (tmp_path / "photos" / "original" / "readme.txt").write_text("forty of each")
    (tmp_path / "photos" / "original" / "cut\x1b[2J.jpg").write_bytes(b"\xff\xd8\xff")
    made = tmp_path / "mine.safetensors"
    answer = run(
        app,
        [
            *("bundle", str(bundle), "--calibrate", str(tmp_path / "photos"), "--out", str(made)),
            *("--apcer", "0.1", "--bpcer", "0.1", "--title", "mine", "--limit", "It knows green."),
        ],
    )
    assert answer.exit_code == 0, answer.output
    card = read_card(made)
    assert (card.title, card.limits[0]) == ("mine", "It knows green.")
    assert card.calibrated_on is not None
    assert card.calibrated_on.originals == card.calibrated_on.recaptured == 40
    beside = tmp_path / "photos" / "original" / "readme.txt"
    assert f"files skipped because they are not images (1): {beside}\n" in answer.stderr
    assert r"skipped original/cut\x1b[2J.jpg: " in answer.stderr
    assert "1 files beside them hold no image." in card.calibrated_on.note
    assert f"left out  {card.calibrated_on.note}" in "  ".join(re.split(" {2,}", answer.stdout))
    assert scan(made, photograph(tmp_path / "bright.png", 190)).exit_code == 1


def test_an_exported_detector_scans_as_its_bundle_does(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    bundle, exported = tmp_path / "plain.safetensors", tmp_path / "plain.onnx"
    card = Card(network={"name": "lcnn", "filters": [4] * 5}, side=32, title="as it began")
    torch.manual_seed(0)
    save_bundle(bundle, card.new_detector(), card)
    answer = run(app, ["export", str(bundle), "--out", str(exported)])
    assert answer.exit_code == 0, answer.output
    assert "200 photographs judged alike" in answer.stdout
    photo = photograph(tmp_path / "a.png", 200)
    told, wanted = (scan(each, photo).stdout.splitlines() for each in (exported, bundle))
    assert told == wanted
    assert f"  note: {UNCALIBRATED}" in told
    assert scan(exported, photo, "--report", tmp_path / "r.html").exit_code in (0, 1)
    assert "as it began" in (tmp_path / "r.html").read_text()
    assert UNCALIBRATED in (tmp_path / "r.html").read_text()
    shown = run(app, ["inspect", str(exported)])
    assert shown.exit_code == 0, shown.output
    assert shown.stdout.startswith("as it began")
    assert bundle_sha256(exported) in shown.stdout
    served = run(app, ["serve", "--port", "0", "--bundle", str(exported)])
    assert "an ONNX file has no gradient" in str(served.exception)
    assert "give the bundle" in str(served.exception)


@pytest.mark.parametrize("wrong", [["--timeout", "nan"], ["--max-upload-mb", "inf"]])
def test_wrong_limits_of_the_service_are_told_without_a_traceback(wrong: list[str]) -> None:
    pytest.importorskip("fastapi")
    made = run(app, ["serve", "--port", "0", *wrong])
    assert isinstance(made.exception, RunError) or wrong[0] in made.output
