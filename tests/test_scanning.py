"""Scans: killed and gone on with, interrupted, of bad files, to every kind of output."""

from __future__ import annotations

import contextlib
import csv
import hashlib
import io
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import zipfile
from collections.abc import Generator, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from conftest import wait_until
from PIL import Image
from pyarrow import parquet

from trueshot import progress
from trueshot.engines.engine import LocalEngine, Reply, Request
from trueshot.engines.pool import Answer
from trueshot.errors import RunError
from trueshot.files import FileState
from trueshot.scanning import Settings, Summary, Verdict, exit_status, scan
from trueshot.scanning.item import Item
from trueshot.scanning.ledger import EXPLAINED, Ledger, Pictures
from trueshot.scanning.output import write_output
from trueshot.scanning.runner import explain_shown, judge_items
from trueshot.scanning.sources import items
from trueshot.scanning.verdict import COLUMNS, EXPLANATION, THUMBNAIL, words_of
from trueshot.scanning.worker import examiner
from trueshot.tasks import Task
from trueshot.tasks.recapture import RECAPTURE

HERE = Path(__file__).parent
FAKE = Settings(loader="scanning_workers:load", workers=2, seconds=600)
WORK = FAKE.work("quick")

# A scan in a process of its own, that says each verdict as it comes.
PROGRAM = """
import sys
from trueshot.scanning import Settings, scan
settings = Settings(loader="scanning_workers:load", workers=2, seconds=600)
try:
    for verdict in scan(sys.argv[3], [sys.argv[1]], sys.argv[2], settings):
        print(verdict.file, verdict.verdict, flush=True)
except KeyboardInterrupt:
    sys.exit(130)
"""

WORDS = words_of(RECAPTURE)


@pytest.fixture(autouse=True)
def _known_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(HERE))


@pytest.fixture(scope="module")
def judges() -> Iterator[LocalEngine]:
    """Workers for all tests: bright is recaptured, dark is original, grey is undecided."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(HERE))
        with LocalEngine(WORK, workers=2) as engine:
            yield engine


def picture(level: int, kind: str = "PNG", side: int = 16) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.full((side, side, 3), level, np.uint8)).save(file, kind)
    return file.getvalue()


def photographs(folder: Path, count: int) -> Path:
    folder.mkdir()
    for number in range(count):
        (folder / f"{number:03}.png").write_bytes(picture(number * 255 // count))
    return folder


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def timeless(path: Path) -> list[dict[str, Any]]:
    return [record | {"seconds": None} for record in lines(path)]


def verdict_of(number: int, **fields: Any) -> Verdict:
    word = WORDS[number % 4]
    return Verdict(file=f"{number}.jpg", verdict=word, **fields)


def test_one_path_may_be_given_without_a_list(tmp_path: Path, judges: LocalEngine) -> None:
    photograph = tmp_path / "a.png"
    photograph.write_bytes(picture(0))
    for path in (photograph, str(photograph)):
        (found,) = scan("quick", path, settings=FAKE, engine=judges)
        assert (found.file, found.verdict) == (str(photograph), "original")


def test_a_course_that_stops_asking_without_an_outcome_is_an_error(judges: LocalEngine) -> None:
    def course() -> Generator[list[Request], tuple[Request, Reply], None]:
        yield []

    with pytest.raises(RunError, match="did not return an outcome"):
        judges.follow(course(), {})


def test_verdicts_say_what_the_judge_said_and_of_which_bytes(
    judges: LocalEngine, tmp_path: Path
) -> None:
    for name, level in (("a", 10), ("b", 250), ("c", 127)):
        (tmp_path / f"{name}.png").write_bytes(picture(level, side=24))
    (tmp_path / "d.png").write_bytes(picture(10)[:-20])
    dark, bright, grey, cut = scan("quick", [tmp_path], settings=FAKE, engine=judges)
    assert [v.verdict for v in (dark, bright, grey, cut)] == [*WORDS[:3], "error"]
    assert bright.score == pytest.approx(12.25)
    assert bright.likelihood_ratio == pytest.approx(10**2.45)
    assert (dark.width, dark.height, dark.format, dark.crops) == (24, 24, "PNG", 1)
    assert grey.reason == "its score lies between the thresholds"
    assert "damaged or cut PNG" in str(cut.reason)
    assert len({v.sha256 for v in (dark, bright, grey, cut)} - {None}) == 4
    assert {v.detector for v in (dark, bright, grey, cut)} == {judges.facts["detector"]}


def test_verdicts_come_in_the_order_of_items_whatever_the_timing(
    judges: LocalEngine, tmp_path: Path
) -> None:
    folder = photographs(tmp_path / "in", 60)
    (folder / "000.png").write_bytes(picture(0, side=3000))  # the slowest comes first
    names = [verdict.file for verdict in scan("quick", [folder], settings=FAKE, engine=judges)]
    assert names == [item.name for item in items([folder])]


def test_a_scan_killed_ten_times_ends_as_one_that_was_not(tmp_path: Path) -> None:
    folder = photographs(tmp_path / "in", 70)
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (folder / "gone.png").symlink_to("nothing")
    numbers = random.Random(6)
    killed = tmp_path / "killed.jsonl"
    for _ in range(10):
        with run(folder, killed) as process:
            assert process.stdout is not None
            for _ in range(numbers.randint(1, 7)):
                if not process.stdout.readline():
                    break
            process.kill()
        assert not killed.exists() or len(lines(killed)) == 72, "there is never half a file"
    with run(folder, killed) as process:
        process.communicate()
    assert process.returncode == 0
    with run(folder, tmp_path / "whole.jsonl") as process:
        process.communicate()
    assert len(timeless(killed)) == 72
    assert timeless(killed) == timeless(tmp_path / "whole.jsonl")


def run(folder: Path, out: Path, bundle: str = "slow") -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", PROGRAM, str(folder), str(out), bundle]
    return subprocess.Popen(command, stdout=subprocess.PIPE)


def test_a_killed_scan_leaves_what_it_had_and_no_result(tmp_path: Path) -> None:
    folder = photographs(tmp_path / "in", 90)
    (folder / "045.png").write_bytes(picture(66, side=66))
    with run(folder, tmp_path / "out.jsonl", "hangs on 66") as process:
        assert process.stdout is not None
        told = [process.stdout.readline() for _ in range(30)]
        process.kill()
    assert len(told) == 30
    assert not (tmp_path / "out.jsonl").exists()
    with connected(tmp_path / "out.jsonl.ledger") as database:
        (kept,) = database.execute("SELECT count(*) FROM items").fetchone()
    assert 30 <= kept < 90


def connected(path: Path) -> contextlib.closing[sqlite3.Connection]:
    return contextlib.closing(sqlite3.connect(path))


def test_an_interrupt_from_the_keyboard_loses_nothing_and_leaves_nobody(tmp_path: Path) -> None:
    folder = photographs(tmp_path / "in", 60)
    (folder / "040.png").write_bytes(picture(66, side=66))
    out = tmp_path / "out.jsonl"
    with run(folder, out, "hangs on 66") as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate()
    assert process.returncode == 130
    assert len(rest.splitlines()) < 40
    assert not out.exists()
    (folder / "040.png").write_bytes(picture(0))
    with run(folder, out, "hangs on 66") as process:
        process.communicate()
    assert len(lines(out)) == 60


def test_what_was_judged_is_not_judged_again_unless_it_changed(
    judges: LocalEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, out = photographs(tmp_path / "in", 6), tmp_path / "out.jsonl"
    asked: list[str] = []

    def submit(number: int, request: Request) -> None:
        asked.append(Path(request.content["name"]).name)
        LocalEngine.submit(judges, number, request)

    monkeypatch.setattr(judges, "submit", submit)

    def again() -> list[Verdict]:
        asked.clear()
        return list(scan("quick", [folder], out, FAKE, engine=judges))

    first = again()
    assert len(asked) == 6
    assert again() == first, "times too, for they are those of the first"
    assert asked == []
    (folder / "002.png").write_bytes(picture(255))
    os.utime(folder / "003.png", ns=(1, 1))
    (folder / "004.png").unlink()
    (folder / "new.png").write_bytes(picture(0))
    later = again()
    assert sorted(asked) == ["002.png", "new.png"], "003 has another time, and the same hash"
    assert [verdict.file for verdict in later] == [record["file"] for record in lines(out)]
    assert len(later) == 6


def kept_by(judges: LocalEngine, folder: Path, ledger: Path) -> dict[str, Any]:
    """What a scan says of the hashes of a folder's files."""
    found = scan("quick", [folder], settings=FAKE, engine=judges, ledger=ledger)
    return {Path(verdict.file).name: verdict.sha256 for verdict in found}


def hashes(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def test_another_picture_of_equal_size_and_time_is_judged_again(
    judges: LocalEngine, tmp_path: Path
) -> None:
    folder, ledger = tmp_path / "in", tmp_path / "the.ledger"
    folder.mkdir()
    for name in ("in-place", "replaced", "moved", "same"):
        (folder / name).write_bytes(picture(10, "BMP"))
        os.utime(folder / name, ns=(10**18, 10**18))
    assert kept_by(judges, folder, ledger) == hashes(folder)
    (folder / "in-place").write_bytes(picture(200, "BMP"))
    (tmp_path / "other").write_bytes(picture(201, "BMP"))
    (tmp_path / "other").replace(folder / "replaced")
    (folder / "moved").unlink()
    (tmp_path / "third").write_bytes(picture(202, "BMP"))
    os.utime(tmp_path / "third", ns=(10**18, 10**18))
    (tmp_path / "third").rename(folder / "moved")
    for name in ("in-place", "replaced"):
        os.utime(folder / name, ns=(10**18, 10**18))
    assert len({path.stat().st_size for path in folder.iterdir()}) == 1
    assert len({path.stat().st_mtime_ns for path in folder.iterdir()}) == 1
    assert kept_by(judges, folder, ledger) == hashes(folder)


def test_a_change_within_one_tick_of_a_slow_clock_is_found_by_its_hash(
    judges: LocalEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    path = folder / "a.bmp"
    path.write_bytes(picture(10, "BMP"))
    (item,) = items([folder])
    with Ledger(tmp_path / "the.ledger", {}) as ledger:
        (verdict,) = judge_items(judges, [item], ledger)
        path.write_bytes(picture(200, "BMP"))
        (again,) = items([folder])
        times = {"mtime_ns": item.state.mtime_ns, "ctime_ns": item.state.ctime_ns}
        same = replace(again, state=again.state._replace(**times))
        assert ledger.find(same, 0) is None, "as far as the clock tells, it was not changed"
        path.write_bytes(picture(10, "BMP"))
        assert ledger.find(same, 0) == verdict
        monkeypatch.setattr(
            "trueshot.scanning.ledger.file_sha256", lambda _: pytest.fail("no doubt")
        )
        late = replace(same, state=same.state._replace(seen_ns=same.state.ctime_ns + 10**10))
        ledger.keep(late, 0, verdict, final=True)
        assert ledger.find(late, 0) == verdict


@pytest.mark.parametrize("date", [2**63, -(2**63) - 1])
def test_a_file_of_any_date_is_kept_in_the_ledger(
    judges: LocalEngine, tmp_path: Path, date: int
) -> None:
    """Not set with `os.utime`, because some file systems have no such dates."""
    status = SimpleNamespace(st_size=5, st_mtime_ns=date, st_ctime_ns=date, st_ino=1)
    state = FileState.of(status)  # type: ignore[arg-type]
    item = Item(name="a.jpg", path=str(tmp_path / "a.jpg"), state=state)
    with Ledger(tmp_path / "the.ledger", {}) as ledger:
        ledger.keep(item, 0, verdict_of(1), final=True)
        assert list(ledger.verdicts()) == [verdict_of(1)]


def test_a_full_disk_is_named_and_leaves_the_ledger_whole(tmp_path: Path) -> None:
    item = Item(name="a.jpg", path=str(tmp_path / "a.jpg"), state=FileState(5, 1, 1, 1, 1))
    with Ledger(tmp_path / "the.ledger", {}) as ledger:
        ledger.keep(item, 0, verdict_of(1), final=True)
        ledger._database.execute("PRAGMA max_page_count = 20")
        with pytest.raises(RunError, match=r"the\.ledger: .*full.*free space"):
            ledger.keep(item, 0, verdict_of(2), final=True, explanations={"a": bytes(10**5)})
        assert list(ledger.verdicts()) == [verdict_of(1)]


def test_members_of_a_changed_archive_are_judged_again(judges: LocalEngine, tmp_path: Path) -> None:
    archive, ledger = tmp_path / "a.zip", tmp_path / "the.ledger"
    for level in (10, 200):
        with zipfile.ZipFile(archive, "w") as file:
            file.writestr("a.bmp", picture(level, "BMP"))
        found = scan("quick", [archive], settings=FAKE, engine=judges, ledger=ledger)
        wanted = hashlib.sha256(picture(level, "BMP")).hexdigest()
        assert [verdict.sha256 for verdict in found] == [wanted]


def test_errors_of_the_hour_are_tried_again_and_damage_is_not(
    judges: LocalEngine, tmp_path: Path
) -> None:
    folder, out = photographs(tmp_path / "in", 1), tmp_path / "out.jsonl"
    (folder / "cut.png").write_bytes(picture(0)[:40])
    slow = replace(FAKE, seconds=0.0)
    assert {v.reason for v in scan("quick", [folder], out, slow)} == {"took longer than 0 s"}
    whole, cut = scan("quick", [folder], out, FAKE, engine=judges)
    assert whole.verdict == "original"
    assert "damaged" in str(cut.reason)
    assert list(scan("quick", [folder], out, slow)) == [whole, cut]


def test_what_was_refused_by_a_limit_is_judged_once_the_limit_is_higher(
    judges: LocalEngine, tmp_path: Path
) -> None:
    folder, out = photographs(tmp_path / "in", 1), tmp_path / "out.jsonl"
    (folder / "large.png").write_bytes(picture(255, side=24))
    narrow = replace(FAKE, pixel_limit=300)
    _, refused = scan("quick", [folder], out, narrow)
    assert "declares 24×24 pixels" in str(refused.reason)
    _, prediction = scan("quick", [folder], out, FAKE, engine=judges)
    assert prediction.verdict == "recaptured"
    assert list(scan("quick", [folder], out, narrow))[1] == prediction, "what was reached stands"


def test_what_no_decoder_is_installed_for_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    handle = examiner(object(), "0" * 64)  # type: ignore[arg-type]
    request = {"name": "a", "path": "a", "member": None}
    answer, _ = handle(request, {"data": b"\0\0\0\x18ftypheic" + bytes(16)})
    assert "pip install pillow-heif" in answer["verdict"]["reason"]
    assert not answer["final"]
    answer, _ = handle(request, {"data": b"no image"})
    assert answer["final"]


def test_a_file_is_known_again_by_whatever_name_and_told_of_by_the_present_one(
    judges: LocalEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, out = photographs(tmp_path / "in", 2), tmp_path / "out.jsonl"
    other = photographs(tmp_path / "other", 3)
    for place, level in ((folder, 0), (other, 255)):  # told apart by their places alone
        (place / "000.png").write_bytes(picture(level, "BMP"))
        os.utime(place / "000.png", ns=(1, 1))
    first = list(scan("quick", [folder], out, FAKE, engine=judges))
    monkeypatch.chdir(folder)
    again = list(scan("quick", ["000.png", "001.png"], out, FAKE, engine=judges))
    assert [verdict.file for verdict in again] == ["000.png", "001.png"]
    assert [replace(v, file="") for v in again] == [replace(v, file="") for v in first]
    assert [line["file"] for line in lines(out)] == ["000.png", "001.png"]
    monkeypatch.chdir(other)
    (verdict,) = scan("quick", ["000.png"], out, FAKE)
    assert verdict.verdict == "recaptured"


def pictures_of(ledger: Ledger) -> dict[str, dict[str, bytes]]:
    """All that a ledger keeps besides verdicts, by file."""
    kept = {name: Pictures(ledger, name, bytes) for name in (THUMBNAIL, EXPLANATION)}
    return {
        verdict.file: {
            name: pictures[sha256] for name, pictures in kept.items() if sha256 in pictures
        }
        for verdict in ledger.verdicts()
        if (sha256 := str(verdict.sha256))
    }


def test_explanations_are_kept_and_asked_for_later_they_are_made(
    judges: LocalEngine, tmp_path: Path
) -> None:
    folder, out = photographs(tmp_path / "in", 3), tmp_path / "out.jsonl"
    plain = list(scan("quick", [folder], out, FAKE, engine=judges))
    full = list(scan("quick", [folder], out, replace(FAKE, explain=True), engine=judges))
    assert [v.score for v in full] == [v.score for v in plain]
    assert list(scan("quick", [folder], out, FAKE, engine=judges)) == full, "more than is asked for"
    claim = {"detector": judges.facts["detector"]}
    with Ledger(Path(f"{out}.ledger"), claim) as ledger:
        for position, item in enumerate(items([folder])):
            assert ledger.find(item, position, explained=EXPLAINED)
        assert list(ledger.verdicts()) == full
        kept = pictures_of(ledger)
    for verdict in full:
        assert kept[verdict.file].pop("thumbnail").startswith(b"RIFF")
        assert kept[verdict.file] == {"explanation": str(verdict.sha256).encode()}


def test_of_many_those_that_a_report_shows_are_explained(
    judges: LocalEngine, tmp_path: Path
) -> None:
    folder, out = photographs(tmp_path / "in", 9), tmp_path / "out.jsonl"
    few = replace(FAKE, explain=True, most_explained=3)
    found = list(scan("quick", [folder], out, few, engine=judges))
    order = ["recaptured", "undecided", "original"]
    ranked = sorted(found, key=lambda each: (order.index(each.verdict), -float(each.score or 0)))
    with Ledger(Path(f"{out}.ledger"), {"detector": judges.facts["detector"]}) as ledger:
        list(judge_items(judges, items([folder]), ledger, pictured=True))
        kept = pictures_of(ledger)
    assert len(kept) == 9
    assert all("thumbnail" in pictures for pictures in kept.values())
    assert all("explanation" in kept[each.file] for each in ranked[:3])
    assert sum("explanation" in pictures for pictures in kept.values()) <= 6, "and the first three"


def test_a_ledger_keeps_no_explanations_once_the_report_is_written_and_makes_them_again(
    judges: LocalEngine, tmp_path: Path
) -> None:
    folder, out = photographs(tmp_path / "in", 5), tmp_path / "out.jsonl"
    shown: list[dict[str, set[str]]] = []

    def finish(ledger: Ledger, _: object) -> None:
        shown.append({file: set(pictures) for file, pictures in pictures_of(ledger).items()})

    for _ in range(2):
        explained = replace(FAKE, explain=True)
        found = list(scan("quick", [folder], out, explained, engine=judges, finish=finish))
        assert len(found) == 5
        with connected(Path(f"{out}.ledger")) as database:
            names = {name for (name,) in database.execute("SELECT name FROM explanations")}
        assert names == {"thumbnail"}
    assert shown[0] == shown[1] == {v.file: {"explanation", "thumbnail"} for v in found}


def test_another_file_by_now_is_not_taken_for_the_one_that_was_judged(
    judges: LocalEngine, tmp_path: Path
) -> None:
    folder = photographs(tmp_path / "in", 2)
    claim = {"detector": judges.facts["detector"]}
    with Ledger(tmp_path / "the.ledger", claim) as ledger:
        before = list(judge_items(judges, items([folder]), ledger, pictured=True))
        (folder / "000.png").write_bytes((folder / "001.png").read_bytes())
        explain_shown(judges, items([folder]), ledger, most=2)
        kept = {file: set(pictures) for file, pictures in pictures_of(ledger).items()}
        assert list(ledger.verdicts()) == before
    (changed, same) = sorted(kept)
    assert kept == {changed: {"thumbnail"}, same: {"explanation", "thumbnail"}}


def test_the_ledger_of_another_detector_is_refused(tmp_path: Path) -> None:
    folder, out = photographs(tmp_path / "in", 1), tmp_path / "out.jsonl"
    list(scan("quick", [folder], out, FAKE))
    with pytest.raises(RunError, match=r"ledger of a scan with .* choose another"):
        list(scan("other", [folder], out, FAKE))


def test_two_scans_do_not_share_a_ledger(judges: LocalEngine, tmp_path: Path) -> None:
    folder, out = photographs(tmp_path / "in", 3), tmp_path / "out.jsonl"
    first = scan("quick", [folder], out, FAKE, engine=judges)
    next(first)
    with pytest.raises(RunError, match="another scan is using it"):
        list(scan("quick", [folder], out, FAKE, engine=judges))
    first.close()  # type: ignore[attr-defined]
    assert len(list(scan("quick", [folder], out, FAKE, engine=judges))) == 3


def ledger_of_an_afternoon(path: Path, judges: LocalEngine) -> None:
    folder = photographs(path.with_name("in"), 40)
    list(scan("quick", [folder], settings=FAKE, engine=judges, ledger=path))


@pytest.mark.parametrize("how", ["text", "middle", "cut", "foreign", "before", "later"])
def test_a_damaged_or_foreign_ledger_is_refused_by_name(
    judges: LocalEngine, tmp_path: Path, how: str
) -> None:
    path = tmp_path / "the.ledger"
    ledger_of_an_afternoon(path, judges)
    data = path.read_bytes()
    if how == "foreign":
        path.unlink()
    done = {
        "foreign": "CREATE TABLE t (a)",
        "before": "PRAGMA user_version = 4",
        "later": "PRAGMA user_version = 9",
    }
    if how in done:
        with connected(path) as database:
            database.execute(done[how])
    else:
        middle = data[:100] + os.urandom(len(data) - 100)
        path.write_bytes({"text": b"text" * 5000, "middle": middle, "cut": data[:5000]}[how])
    before = path.read_bytes()
    with pytest.raises(RunError) as caught:
        list(scan("quick", [tmp_path / "in"], settings=FAKE, engine=judges, ledger=path))
    assert str(caught.value).startswith(f"{path}: ")
    assert "choose another" in str(caught.value)
    if how in ("text", *done):
        assert path.read_bytes() == before, "what is not ours is left as it is"


def test_outputs_of_all_kinds_say_the_same(tmp_path: Path) -> None:
    verdicts = [
        verdict_of(1, score=-1.25, log10_lr=2.5, notes=("a", "ü | b"), width=7, seconds=0.5),
        verdict_of(3, reason='is "cut", =1+1'),
        verdict_of(0, sha256="0" * 64, crops=16, format="JPEG", height=3, detector="d" * 64),
    ]
    for suffix in ("jsonl", "csv", "parquet"):
        write_output(tmp_path / f"r.{suffix}", iter(verdicts))
    assert [Verdict.from_record(record) for record in lines(tmp_path / "r.jsonl")] == verdicts
    table = parquet.read_table(tmp_path / "r.parquet").to_pylist()
    assert table == lines(tmp_path / "r.jsonl")
    assert all(tuple(record) == tuple(COLUMNS) for record in table)
    with (tmp_path / "r.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for row, record in zip(rows, table, strict=True):
        shown = record | {"notes": " | ".join(record["notes"])}
        assert row == {name: "" if v is None else str(v) for name, v in shown.items()}


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_no_cell_of_a_csv_is_a_formula(tmp_path: Path, start: str) -> None:
    evil = f'{start}cmd|"/c calc"!A1'
    write_output(
        tmp_path / "r.csv",
        [Verdict(file=evil, verdict="error", reason=evil, notes=(evil,), log10_lr=-2.0)],
    )
    with (tmp_path / "r.csv").open(newline="", encoding="utf-8") as file:
        (row,) = csv.DictReader(file)
    assert [row["file"], row["reason"], row["notes"]] == [f"'{evil}"] * 3
    assert row["log10_lr"] == "-2.0"


def test_a_writer_that_fails_leaves_the_file_that_was_there(tmp_path: Path) -> None:
    out = tmp_path / "r.jsonl"
    write_output(out, [verdict_of(0)])
    before = out.read_bytes()

    def failing() -> Iterator[Verdict]:
        yield verdict_of(1)
        raise KeyboardInterrupt

    (tmp_path / ".r.jsonl.1.part").write_text("of one that was killed")
    with pytest.raises(KeyboardInterrupt):
        write_output(out, failing())
    assert out.read_bytes() == before
    assert os.listdir(tmp_path) == ["r.jsonl"]  # noqa: PTH208


@pytest.mark.parametrize("suffix", ["jsonl", "csv", "parquet"])
def test_who_writes_the_same_file_meanwhile_disturbs_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    out, alone = tmp_path / f"r.{suffix}", tmp_path / f"alone.{suffix}"

    def interrupted() -> Iterator[Verdict]:
        yield verdict_of(1)
        with monkeypatch.context() as patch:
            patch.setattr(os, "getpid", lambda: 1)
            write_output(out, [verdict_of(0)])
        yield verdict_of(2)

    write_output(alone, [verdict_of(1), verdict_of(2)])
    write_output(out, interrupted())
    assert out.read_bytes() == alone.read_bytes()
    assert sorted(os.listdir(tmp_path)) == [alone.name, out.name]  # noqa: PTH208


@pytest.mark.parametrize(
    ("out", "ledger", "reason"),
    [
        ("folder.jsonl", None, "is a folder"),
        ("file/r.jsonl", None, "cannot be written"),
        ("file/below/r.jsonl", None, "cannot be written"),
        ("x" * 300 + ".jsonl", None, "cannot be written"),
        ("r.jsonl", "r.jsonl", "given for two different outputs"),
        ("r.jsonl", "link/r.jsonl", "given for two different outputs"),
        ("r.jsonl", "folder.jsonl", "is a folder"),
    ],
)
def test_what_cannot_be_written_is_refused_before_the_work(
    tmp_path: Path, out: str, ledger: str | None, reason: str
) -> None:
    (tmp_path / "folder.jsonl").mkdir()
    (tmp_path / "link").symlink_to(tmp_path)
    (tmp_path / "file").touch()
    before = sorted(tmp_path.rglob("*"))
    book = None if ledger is None else tmp_path / ledger
    with pytest.raises(RunError, match=reason):
        next(scan("none", [tmp_path], tmp_path / out, FAKE, ledger=book))
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("seconds", [float("inf"), float("nan"), 1e300])
def test_a_time_that_no_clock_can_wait_for_is_refused(seconds: float) -> None:
    with pytest.raises(RunError, match="the time limit per file must be at most 1,000,000 s"):
        Settings(seconds=seconds)


def test_what_must_be_known_of_all_verdicts_is_a_note_on_each() -> None:
    class Predictor:
        notes = ("beware",)

        def predict(self, pixels: np.ndarray) -> Any:
            return SimpleNamespace(
                verdict="original",
                score=1.0,
                log10_lr=None,
                log10_lr_interval=None,
                certified_radius=None,
                scores=np.zeros(1),
                reasons=(),
                notes=("of few colours",),
                top_class=None,
                features={},
            )

    handle = examiner(Predictor(), "0" * 64)  # type: ignore[arg-type]
    request = {"name": "a", "path": "a", "member": None}
    answer, _ = handle(request, {"data": picture(9)})
    assert answer["verdict"]["notes"] == ("of few colours", "beware")


def test_an_output_that_says_no_format_is_refused_before_the_work(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"ends in \.jsonl, \.csv, \.parquet"):
        next(scan("quick", [tmp_path], tmp_path / "r.txt", FAKE))


@pytest.mark.parametrize(
    ("counts", "status"),
    [
        ({"original": 3}, 0),
        ({"original": 3, "recaptured": 1}, 1),
        ({"original": 3, "undecided": 1}, 0),
        ({"undecided": 1}, 0),
        ({"original": 3, "recaptured": 1, "undecided": 1}, 1),
        ({"original": 3, "error": 1}, 2),
        ({"undecided": 1, "error": 1}, 2),
        ({"recaptured": 1, "error": 1}, 3),
        ({"error": 1}, 2),
        ({"original": 0}, 2),
        ({}, 2),
    ],
)
def test_the_exit_status_tells_what_was_found_from_what_was_not_judged(
    counts: dict[str, int], status: int
) -> None:
    assert exit_status(counts) == status


GRIDS = Task(name="grids", classes=("none", "fine", "coarse"))
CAMERAS = Task(name="cameras", classes=("a", "b", "c"), decision="top-class")


@pytest.mark.parametrize(
    ("task", "counts", "fail_on", "status"),
    [
        (RECAPTURE, {"recaptured": 1, "original": 1}, ("undecided", "error"), 0),
        (RECAPTURE, {"recaptured": 1, "undecided": 1}, ("undecided",), 1),
        (RECAPTURE, {"undecided": 1, "error": 1}, ("recaptured", "undecided", "error"), 3),
        (RECAPTURE, {"recaptured": 1, "error": 1}, ("recaptured",), 1),
        (RECAPTURE, {"original": 1}, ("original",), 1),
        (RECAPTURE, {"original": 1, "error": 1}, (), 0),
        (RECAPTURE, {"error": 2}, (), 2),
        (RECAPTURE, {}, (), 2),
        (GRIDS, {"none": 2, "not none": 1}, None, 1),
        (GRIDS, {"none": 2, "undecided": 1}, None, 0),
        (GRIDS, {"none": 2, "not none": 1}, ("undecided",), 0),
        (CAMERAS, {"a": 2}, None, 0),
        (CAMERAS, {"a": 2, "c": 1}, None, 1),
        (CAMERAS, {"a": 2, "c": 1}, ("b",), 0),
    ],
    ids=str,
)
def test_what_a_scan_fails_on_is_said_in_the_words_of_the_task(
    task: Task, counts: dict[str, int], fail_on: tuple[str, ...] | None, status: int
) -> None:
    assert exit_status(counts, task, fail_on) == status


@pytest.mark.parametrize("word", ["recapture", "Recaptured", "not none", "\x1b[2J"])
def test_a_word_that_no_verdict_has_is_refused_before_the_work(tmp_path: Path, word: str) -> None:
    folder = photographs(tmp_path / "in", 1)
    with pytest.raises(
        RunError, match=r"unknown verdict; choose from original, recaptured, undecided, error"
    ):
        next(scan("quick", [folder], tmp_path / "r.csv", replace(FAKE, fail_on=(word,))))
    assert [each.name for each in tmp_path.iterdir()] == ["in"]


def test_a_summary_counts() -> None:
    summary = Summary()
    for number in (0, 0, 1, 3):
        summary.add(verdict_of(number))
    assert str(summary) == "4 files: 2 original, 1 recaptured, 0 undecided, 1 error"
    assert (summary.total, summary.status) == (4, 3)


def test_what_is_passed_over_is_counted_in_summary_and_record_and_is_never_status_0(
    judges: LocalEngine, tmp_path: Path
) -> None:
    folder, out = tmp_path / "in", folder_results(tmp_path)
    folder.mkdir()
    for name in ("a.png", "photograph", "b.jfif", "c.data"):
        (folder / name).write_bytes(picture(5))
    for number in range(5):
        summary = Summary()
        for verdict in scan("quick", [folder], out, FAKE, engine=judges):
            summary.add(verdict)
        assert summary.counts["original"] == 4
        assert (summary.passed_over, summary.status) == (number, 2 if number else 0)
        said = [line["reason"] for line in lines(out) if line["verdict"] == "error"]
        assert len(said) == bool(number)
        assert all(f"{number} file" in reason for reason in said)
        assert ("skipped" in str(summary)) == bool(number)
        (folder / f"notes-{number}.txt").write_text("no photograph")
    assert "notes-0.txt, notes-1.txt, notes-2.txt, …" in said[0]


def folder_results(folder: Path) -> Path:
    """In the folder that is scanned: nothing is said of what the scan itself writes."""
    return folder / "in" / "results.jsonl"


def test_a_csv_for_excel_begins_so_that_it_reads_all_names(
    judges: LocalEngine, tmp_path: Path
) -> None:
    folder = photographs(tmp_path / "in", 1)
    (folder / "000.png").rename(folder / "Grüße 写真.png")
    rows = []
    for excel in (False, True):
        out = tmp_path / f"{excel}.csv"
        list(scan("quick", [folder], out, replace(FAKE, excel=excel), engine=judges))
        assert out.read_bytes().startswith(b"\xef\xbb\xbffile,") is excel
        with out.open(encoding="utf-8-sig", newline="") as file:
            (row,) = csv.DictReader(file)
        assert row["file"].endswith("Grüße 写真.png")
        rows.append(row | {"seconds": ""})
        assert out.read_bytes().count(b"\xef\xbb\xbf") == int(excel)
    assert rows[0] == rows[1]
    lines = tmp_path / "r.jsonl"  # no mark where one would break what reads it
    list(scan("quick", [folder], lines, replace(FAKE, excel=True), engine=judges))
    assert lines.read_bytes().startswith(b"{")


def test_the_first_estimate_waits_for_a_few_items(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress, "_SECONDS_BETWEEN_LINES", 0.0)
    with progress.progress("work", 10, done=2) as advance:
        for _ in range(8):
            advance(1, "")
    lines = capsys.readouterr().err.splitlines()
    assert [line.split()[1].rstrip(",") for line in lines] == [f"{n}/10" for n in range(3, 11)]
    assert [" s left" in line for line in lines] == [False] * 4 + [True] * 3 + [False]


def test_the_bar_waits_for_a_few_items_too() -> None:
    bar = progress._bar()
    task = bar.add_task("work", total=100, completed=10, note="", reports=0)
    column = next(each for each in bar.columns if isinstance(each, progress._Remaining))
    bar.update(task, completed=90, reports=4)
    assert str(column.render(bar.tasks[0])) == "-:--:--"


def test_what_is_waited_for_is_said_if_it_takes_more_than_a_moment(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress, "_SECONDS_OF_PATIENCE", 0.0)
    with progress.waiting("loading the detector"):
        pass
    assert capsys.readouterr().err == ""  # it is no terminal
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with progress.waiting("loading the detector"):
        wait_until(lambda: capsys.readouterr().err == "loading the detector …\n")


def test_progress_is_said_with_rate_and_without_colours_in_a_pipe(
    judges: LocalEngine, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = photographs(tmp_path / "in", 5)
    list(scan("quick", [folder], settings=replace(FAKE, show_progress=True), engine=judges))
    said = capsys.readouterr().err
    assert said.startswith("scan: 5/5")
    assert "files/s" in said


def test_standard_input_is_judged_once_and_kept(judges: LocalEngine, tmp_path: Path) -> None:
    out = tmp_path / "r.jsonl"
    levels = [picture(level, "BMP") for level in (255, 0)]
    assert len(levels[0]) == len(levels[1]), "so that size does not tell them apart"
    for data, word in zip(map(io.BytesIO, levels), ("recaptured", "original"), strict=True):
        (verdict,) = scan("quick", ["-"], out, FAKE, engine=judges, stdin=data)
        assert (verdict.file, verdict.verdict) == ("-", word)
    with pytest.raises(RunError, match="standard input is not available"):
        list(scan("quick", ["-"], settings=FAKE, engine=judges))


def test_a_list_of_names_comes_from_standard_input(judges: LocalEngine, tmp_path: Path) -> None:
    folder = photographs(tmp_path / "in", 3)
    data = io.BytesIO(b"\n".join(os.fsencode(folder / f"00{n}.png") for n in (2, 0)))
    settings = replace(FAKE, piped_names=True)
    found = scan("quick", ["-"], settings=settings, engine=judges, stdin=data)
    assert [Path(verdict.file).name for verdict in found] == ["002.png", "000.png"]


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"piped_names": True}, "from standard input only: add the path -"),
        ({"address": "there:6379"}, "only used with the engine ray"),
    ],
)
def test_settings_without_effect_are_refused(more: dict[str, Any], reason: str) -> None:
    with pytest.raises(RunError, match=reason):
        list(scan("quick", ["names.txt"], settings=replace(FAKE, **more)))


def test_members_of_archives_get_verdicts_and_hashes_of_their_own(
    judges: LocalEngine, tmp_path: Path
) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, level in (("x.png", 255), ("../y.png", 0)):
            file.writestr(name, picture(level))
        file.writestr("z.zip", b"PK")
    (tmp_path / "x.png").write_bytes(picture(255))
    alone, bright, dark, inner = scan(
        "quick", [tmp_path / "x.png", path], settings=FAKE, engine=judges
    )
    assert [v.verdict for v in (alone, bright, dark, inner)] == [
        "recaptured",
        "recaptured",
        "original",
        "error",
    ]
    assert alone.sha256 == bright.sha256 != dark.sha256
    assert dark.notes == ("its name points outside the archive; nothing was written to disk",)


class Fixed(LocalEngine):
    """Answers the same to whatever it is asked."""

    def __init__(self, reply: Reply) -> None:
        self.reply = reply
        self.pool = SimpleNamespace(workers=1)  # type: ignore[assignment]
        self.asked: list[int] = []

    def begin(self) -> None:
        pass

    def submit(self, number: int, request: Request) -> None:
        self.asked.append(number)

    def collect(self, *, wait: bool) -> tuple[int, Reply] | None:
        return (self.asked.pop(), self.reply) if self.asked else None

    def stop(self) -> None:
        pass


def test_what_a_worker_says_is_made_printable_and_bears_the_name_known_here(tmp_path: Path) -> None:
    record = {"verdict": "error", "file": "other", "reason": "\x1b[2J", "sha256": "0" * 64}
    record |= {"notes": ["\n"], "format": "\x07"}
    attached = {"explanation": b"1", "\udcff": b"2"}
    item = Item(name="a", path="a", state=FileState(1, seen_ns=10**10), note="known here")
    with Ledger(tmp_path / "ledger", {}) as ledger:
        engine = Fixed(Answer({"verdict": record, "final": True}, attached))
        (verdict,) = judge_items(engine, [item], ledger, explained=1)
        assert (list(ledger.verdicts()), pictures_of(ledger)) == (
            [verdict], {"a": {"explanation": b"1"}}
        )  # fmt: skip
        assert ledger.find(item, 0)
    assert verdict == Verdict(
        file="a",
        verdict="error",
        sha256="0" * 64,
        reason="\\x1b[2J",
        notes=("\\n", "known here"),
        format="\\x07",
    )


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"file": "a", "verdict": 3},
        {"file": "a", "verdict": "yes"},
        {"file": "a", "verdict": "error", "reason": 5},
        {"file": "a", "verdict": "original", "score": "x"},
        {"file": "a", "verdict": "original", "score": float("nan")},
        {"file": "a", "verdict": "original", "score": 10**400},
        {"file": "a", "verdict": "original", "log10_lr": 101.0},
        {"file": "a", "verdict": "original", "log10_lr": -(10**400)},
        {"file": "a", "verdict": "original", "crops": -1},
        {"file": "a", "verdict": "original", "width": 2**31},
        {"file": "a", "verdict": "original", "height": 1.5},
        {"file": "a", "verdict": "original", "crops": True},
        {"file": "a", "verdict": "original", "sha256": "../../evil"},
        {"file": "a", "verdict": "original", "detector": "g" * 64},
        {"file": "a", "verdict": "original", "notes": ["n"] * 101},
        {"file": "a", "verdict": "original", "notes": [1]},
        {"file": "a", "verdict": "original", "notes": "text"},
        {"file": "a", "verdict": "original", "features": {"flat": "x"}},
        {"file": "a", "verdict": "original", "features": {"flat": float("inf")}},
        {"file": "a", "verdict": "original", "features": {str(n): 0.0 for n in range(101)}},
        {"verdict": "original"},
        "text",
        None,
    ],
)
def test_nonsense_of_a_worker_is_an_error_of_its_item(tmp_path: Path, said: Any) -> None:
    item = Item(name="a", path="a", state=FileState(1))
    with Ledger(tmp_path / "ledger", {}) as ledger:
        (verdict,) = judge_items(
            Fixed(Answer({"verdict": said, "final": True}, {})), [item], ledger
        )
        assert verdict.verdict == "error"
        assert ledger.find(item, 0) is None, "it is judged again next time"


def test_records_and_verdicts_are_the_same_thing() -> None:
    verdict = verdict_of(1, score=0.1, log10_lr=-0.5, notes=("n",), seconds=1.0)
    assert Verdict.from_record(json.loads(json.dumps(verdict.as_record()))) == verdict
    full = replace(verdict, features={"flat": 0.25})
    assert Verdict.from_record(verdict.as_record() | {"features": {"flat": 0.25}}) == full
    assert full.as_record() == verdict.as_record(), "features are for calibration"
    assert tuple(verdict.as_record()) == tuple(COLUMNS)
    with pytest.raises(ValueError, match="invalid record of a verdict"):
        Verdict.from_record({"file": "a", "verdict": "error", "other": 1})


def test_the_main_process_of_a_scan_never_imports_torch_or_decodes() -> None:
    program = (
        "import sys; from trueshot.scanning import scan, Summary\n"
        "print([name for name in ('torch', 'numpy', 'PIL', 'pyarrow') if name in sys.modules])"
    )
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert said.stdout.strip() == b"[]"


def test_a_file_that_hangs_holds_up_only_itself(tmp_path: Path) -> None:
    folder = photographs(tmp_path / "in", 20)
    settings = replace(FAKE, seconds=20.0)
    (folder / "005.png").write_bytes(picture(66, side=66))
    found = list(scan("hangs on 66", [folder], settings=settings))
    assert [v.reason for v in found if v.verdict == "error"] == ["took longer than 20 s"]
    assert found[5].verdict == "error"
